"""What batches of systems have in common, wherever they are simulated: the model of a worker, and a seed each."""

from functools import cache

import numpy as np

from cgplugin.learned.learned_model import LearnedModel


@cache
def model_of_worker(path: str, *, compiled: bool = False) -> LearnedModel:
    """The model; a worker reads it once, and compiles it where the cache of its machine does not have it yet."""
    return LearnedModel.load(path, compiled=compiled)


def seed_of_batch(seed: int, number: int) -> int:
    """Seed of a batch's run, from 0 to 2^31 - 1."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0] % 2**31)
