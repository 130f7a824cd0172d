"""Units that are powers of two: they change no digit, and keep squares within range."""

from __future__ import annotations

import torch
from torch import Tensor


def units_of(columns: Tensor) -> Tensor:
    """Powers of two next to the largest entry of each column, (t,) for (n, t), () for (n,).

    One for a column of zeros.
    """
    largest = columns.abs().amax(0)
    most = 1000 if columns.dtype == torch.float64 else 126
    exponents = torch.frexp(largest).exponent.clamp(-most, most)
    return torch.where(largest > 0, torch.exp2(exponents.to(columns.dtype)), 1)


def holds(dtype: torch.dtype, columns: Tensor, relative: Tensor) -> bool:
    """Whether a type holds the largest entry of each column.

    Parameters
    ----------
    dtype : torch.dtype
        The type.

    columns : Tensor of shape (n, t)
        The numbers.

    relative : Tensor of shape (k, t)
        The same in units in which they are within range: zero where they are meant to be.
    """
    # There may be no coefficient at all, where a sum is still a sum.
    largest, wanted = columns.to(dtype).abs().amax(0), relative.abs().sum(0) > 0
    enough = (largest >= torch.finfo(dtype).tiny) | ~wanted
    return bool((largest.isfinite() & enough).all())
