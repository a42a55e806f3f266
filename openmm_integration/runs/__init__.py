"""Runs of learned simulations as files: start frames, resumable runs, screenings, runs of reference systems."""
