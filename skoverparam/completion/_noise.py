"""How noisy each row and each column is, from the residuals of a fit."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# A row or column with few entries counts as noisy as the average until it proves otherwise.
_PRIOR_ENTRIES = 5.0


class Noise(NamedTuple):
    """Noise variance of entry (i, j) relative to the average: ``row_i * column_j``.

    Attributes
    ----------
    row, column : Tensor of shape (m,) and (n,)
        Factors around one.

    level : Tensor of shape ()
        Mean squared residual, the unit of the factors.
    """

    row: Tensor
    column: Tensor
    level: Tensor


def uniform_noise(Z: Tensor) -> Noise:
    """Every entry is as noisy as any other."""
    return Noise(torch.ones_like(Z[:, 0]), torch.ones_like(Z[0]), Z.new_ones(()))


def estimate_noise(residual: Tensor, observed: Tensor) -> Noise:
    """Estimate the factors from the residuals of the observed entries.

    Parameters
    ----------
    residual : Tensor of shape (m, n)
        Zero where nothing was observed.

    observed : Tensor of shape (m, n), bool
        Which residuals count.
    """
    W = observed.to(residual.dtype)
    squares = residual.square()
    level = squares.sum() / W.sum().clamp_min(1)
    level = torch.where(level > 0, level, torch.ones_like(level))
    column = (squares.sum(0) / level + _PRIOR_ENTRIES) / (W.sum(0) + _PRIOR_ENTRIES)
    row = row_noise(residual, observed, column, level)
    return Noise(row, column, level)


def row_noise(residual: Tensor, observed: Tensor, column: Tensor, level: Tensor) -> Tensor:
    """Estimate the factors of rows, training rows or new ones, given those of the columns."""
    squares = residual.square() / (level * column)
    return (squares.sum(1) + _PRIOR_ENTRIES) / (observed.sum(1) + _PRIOR_ENTRIES)
