"""What ``cgplugin analyze`` does: properties of recorded trajectories, as tables and plots."""
