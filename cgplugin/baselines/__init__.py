"""Baselines that predict the mean and the standard deviation of Rg^2 straight from the structure, without dynamics."""
