"""From atoms to beads: METIS partitions, trajectories of beads, the bead graph and its vocabulary."""
