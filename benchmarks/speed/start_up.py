"""What it takes until something happens: imports, ``--help``, the model file."""

import resource
import subprocess
import sys
from pathlib import Path

COMMANDS = {
    "python": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "import cgplugin": ["-c", "import cgplugin"],
    "cgplugin --help": ["-m", "cgplugin", "--help"],
}


def _seconds(words: list[str]) -> float:
    """Processor time of a Python process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def start_up(model: Path, rounds: int) -> dict[str, float]:
    """Processor time in s, the best of a few rounds; loading is what `LearnedModel.load` adds to its imports."""
    imports = "from cgplugin import LearnedModel"
    commands = COMMANDS | {
        "import LearnedModel": ["-c", imports],
        "and load a model": ["-c", f"{imports}; LearnedModel.load({str(model)!r})"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, words in commands.items():
            taken[name].append(_seconds(words))
    return {name: min(values) for name, values in taken.items()}
