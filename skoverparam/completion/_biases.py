"""Offsets of rows and columns and the spread of columns, estimated from the observed entries."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._units import units_of

_ROUNDS = 15


class Baseline(NamedTuple):
    """What is known of an entry from its row and column alone: ``center + row_i + column_j``.

    Attributes
    ----------
    center : Tensor of shape ()
        Mean of the observed entries.

    row, column : Tensor of shape (m,) and (n,)
        Offsets, shrunk towards zero as if one more entry with offset zero had been seen.

    scale : Tensor of shape (n,)
        Root mean square of what remains in each column; the columns' mean scale where a column
        has nothing left to measure it by, one if no column has.
    """

    center: Tensor
    row: Tensor
    column: Tensor
    scale: Tensor

    def of_rows(self) -> Tensor:
        """Give the baseline of every entry of the training rows, shape (m, n)."""
        return self.center + self.row[:, None] + self.column


def estimate_baseline(Y: Tensor, observed: Tensor) -> Baseline:
    """Estimate offsets by alternating shrunken means, then the scale of each column.

    Parameters
    ----------
    Y : Tensor of shape (m, n)
        Values; those not observed are ignored, but must be finite.

    observed : Tensor of shape (m, n), bool
        Which entries count.
    """
    unit = units_of((Y * observed).flatten())
    Y = Y / unit
    W = observed.to(Y.dtype)
    center = (Y * W).sum() / W.sum().clamp_min(1)
    column = torch.zeros_like(Y[0])
    row = torch.zeros_like(Y[:, 0])
    for _ in range(_ROUNDS):
        row = _shrunken_means(Y - center - column, W, dim=1)
        column = _shrunken_means(Y - center - row[:, None], W, dim=0)
    remainder = (Y - center - row[:, None] - column) * W
    scale = _scales(remainder, W, (Y * W).abs().max())
    return Baseline(center * unit, row * unit, column * unit, scale * unit)


def no_baseline(Y: Tensor, observed: Tensor) -> Baseline:
    """Make a baseline without offsets: the entries are modeled as they are.

    All columns share one scale, a power of two, which no prediction depends on: it only keeps
    squares within range.
    """
    zero = Y.new_zeros(())
    scale = units_of((Y * observed).flatten()).expand(Y.shape[1])
    return Baseline(zero, Y.new_zeros(len(Y)), Y.new_zeros(Y.shape[1]), scale)


def new_row_offsets(Y: Tensor, observed: Tensor, baseline: Baseline) -> Tensor:
    """Offsets of rows that were not in the training matrix, given its columns' offsets."""
    W = observed.to(Y.dtype)
    return _shrunken_means(Y - baseline.center - baseline.column, W, dim=1)


def _shrunken_means(values: Tensor, W: Tensor, dim: int) -> Tensor:
    return (values * W).sum(dim) / (W.sum(dim) + 1)


def _scales(remainder: Tensor, W: Tensor, magnitude: Tensor) -> Tensor:
    count = W.sum(0)
    scale = (remainder.square().sum(0) / count.clamp_min(1)).sqrt()
    # What is left of a constant column is rounding, not signal: it must not be blown up to one.
    measurable = (count > 0) & (scale > 100 * torch.finfo(scale.dtype).eps * magnitude)
    typical = scale[measurable].mean() if bool(measurable.any()) else torch.ones_like(magnitude)
    return torch.where(measurable, scale, typical)
