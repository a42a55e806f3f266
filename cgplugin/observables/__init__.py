"""Observables as functions of positions, and the statistics of their series."""
