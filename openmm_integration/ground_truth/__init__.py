"""Short MD with OpenMM: force fields, builders, and the generator of training data."""
