"""Reporters: trajectories of the parts of a simulation, properties while it lasts; all append exactly after a restart."""
