"""Periodic images of many pairs at once, each pair in the box of its system."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .verlet_list import lattice_shift, squared_length

OTHER_SIDES = [steps for steps in itertools.product((0.0, 1.0), repeat=3) if any(steps)]
"""Whether to go to the image on the other side, along each box vector."""


@dataclass(frozen=True)
class PairBoxes:
    """Boxes of many pairs, in the cheapest form.

    Attributes
    ----------
    vectors, inverse : Tensor of float64
        Lengths and their inverses, shape (1 or n, 3), where all boxes are orthorhombic; else matrices, shape (1 or n, 3, 3).
    """

    vectors: Tensor
    inverse: Tensor

    @classmethod
    def of_systems(cls, box_vectors: Sequence[Tensor], system: Tensor) -> "PairBoxes":
        """Boxes (3, 3) of the systems that the pairs are in."""
        matrices = torch.stack(list(box_vectors))
        lengths = torch.diagonal(matrices, dim1=-2, dim2=-1)
        orthorhombic = torch.equal(torch.diag_embed(lengths), matrices)
        vectors, inverse = (lengths, 1 / lengths) if orthorhombic else (matrices, torch.linalg.inv(matrices))
        if bool((matrices == matrices[0]).all()):
            return cls(vectors[:1], inverse[:1])
        return cls(vectors[system], inverse[system])

    def of(self, pairs: Tensor) -> "PairBoxes":
        """Boxes of some of the pairs."""
        return self if len(self.vectors) == 1 else PairBoxes(self.vectors[pairs], self.inverse[pairs])

    def fractions(self, separations: Tensor) -> Tensor:
        """Separations (n, 3) in units of the box vectors."""
        if self.inverse.dim() == 2:
            return separations * self.inverse
        return lattice_shift(separations.unsqueeze(1), self.inverse).squeeze(1)

    def nearest_images(self, separations: Tensor) -> Tensor:
        """Images (n, 3) to take off separations (n, 3); exact up to half the smallest height."""
        return torch.round(self.fractions(separations))

    def shifts(self, images: Tensor) -> Tensor:
        """Lattice vectors of an image (n, 3), or of several (n, m, 3), of each pair, nm."""
        if images.dim() == 2:
            return self.shifts(images.unsqueeze(1)).squeeze(1)
        return images * self.vectors.unsqueeze(1) if self.vectors.dim() == 2 else lattice_shift(images, self.vectors)

    def further_images(self, nearest: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
        """Images within the cutoff beside the nearest ones; it does not exceed the smallest height of a box.

        Along each box vector that is the next image on the other side: all others are beyond the whole height.

        Parameters
        ----------
        nearest : Tensor, shape (n, 3)
            Separations of the nearest images, nm.
        cutoff : float
            nm.

        Returns
        -------
        pairs : Tensor of int64, shape (n_found,)
            Which of the n pairs.
        separations : Tensor, shape (n_found, 3)
            nm.
        """
        other_side = torch.where(self.fractions(nearest) < 0, -1.0, 1.0).to(nearest)
        images = other_side.unsqueeze(1) * nearest.new_tensor(OTHER_SIDES)
        separations = nearest.unsqueeze(1) - self.shifts(images)
        pairs, sides = (squared_length(separations) < cutoff**2).nonzero().unbind(1)
        return pairs, separations[pairs, sides]
