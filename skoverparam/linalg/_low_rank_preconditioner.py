"""Approximate inverse of a matrix that is of low rank up to a diagonal."""

from __future__ import annotations

import torch
from torch import Tensor


class LowRankPreconditioner:
    """The inverse of ``F F' + diag(shift)``, one shift for all columns or one for each.

    Parameters
    ----------
    factor : Tensor of shape (n, r), float64
        F.

    shift : Tensor of shape (n, 1) or (n, c), float64
        Positive.

    Notes
    -----
    By the inverse of ``I + F' diag(1 / shift) F``, of order r: ``n r^2`` multiplications for every
    column of ``shift``, ``2 n r`` for every column that is preconditioned.
    """

    def __init__(self, factor: Tensor, shift: Tensor) -> None:
        self._factor = factor
        self._scale = 1 / shift
        self._inner = [self._inner_factor(scale) for scale in self._scale.T]

    def __call__(self, R: Tensor, columns: Tensor | None = None) -> Tensor:
        """Apply to R of shape (n, c); ``columns`` says which of the shifts belong to R."""
        F = self._factor
        if len(self._inner) == 1:
            scaled = self._scale * R
            inner = torch.cholesky_solve(F.T @ scaled, self._inner[0])
            return scaled - self._scale * (F @ inner)
        chosen = range(len(self._inner)) if columns is None else columns.tolist()
        scale = self._scale[:, list(chosen)]
        scaled = scale * R
        projected = F.T @ scaled
        inner = torch.cat(
            [
                torch.cholesky_solve(projected[:, k : k + 1], self._inner[column])
                for k, column in enumerate(chosen)
            ],
            dim=1,
        )
        return scaled - scale * (F @ inner)

    def _inner_factor(self, scale: Tensor) -> Tensor:
        F = self._factor
        # A part of the rows at a time: no second copy of F.
        gram = F.new_zeros(F.shape[1], F.shape[1])
        for rows, weights in zip(F.split(4096), scale.split(4096), strict=True):
            gram.addmm_(rows.T, weights[:, None] * rows)
        gram.diagonal().add_(1)
        return torch.linalg.cholesky(gram)
