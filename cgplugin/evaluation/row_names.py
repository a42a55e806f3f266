"""What the rows of an evaluation are called, of chains and of electrolytes: the reference and what is compared with it."""

MD = "MD"
"""The reference."""

LEARNED, UNREFINED, SHORT_MD, HALVES = "learned", "learned, unrefined", "short MD", "MD halves"
"""Learned simulations, those without refinement, the beginning of the reference, and its first half against its second."""
