"""Baselines that predict Rg^2 of a chain, or diffusivities of an electrolyte, from the structure alone, without dynamics."""
