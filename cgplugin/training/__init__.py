"""From trajectories of beads to a model file: samples, losses, options, the training itself."""
