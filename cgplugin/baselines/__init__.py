"""Baselines that predict the mean and the standard deviation of Rg^2 straight from the structure, without dynamics."""

from .model_file import KINDS, load, train_baseline
from .structure_property import PropertyData, StructureBaseline

__all__ = ["KINDS", "PropertyData", "StructureBaseline", "load", "train_baseline"]
