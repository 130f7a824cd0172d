"""Patches of samples, each kept once: the directions a two-layer CNN can move in."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Up to so many entries the table of which patch occurs where is worth its memory: sums over
# samples are then products of small matrices, which repeat bit for bit on every device.
_TABLE_ENTRIES = 2**24


class Patches(NamedTuple):
    """The patches of a data set.

    Attributes
    ----------
    vectors : Tensor of shape (n_distinct, d)
        Patches, each once; zeros are left out, since they never excite a filter.

    positions : Tensor of shape (n, P)
        Where in `vectors` a sample's patches are; -1 for a patch of zeros.

    counts : Tensor of shape (n_distinct, n) or None
        How often a patch occurs in a sample. None if `vectors` are all patches of all samples,
        in order, nothing left out.
    """

    vectors: Tensor
    positions: Tensor
    counts: Tensor | None


def split_patches(X: Tensor, n_patches: int) -> Tensor:
    """Cut rows into patches, shape (n, n_patches, d); zeros fill up the last ones.

    Parameters
    ----------
    X : Tensor of shape (n, n_features)
        Samples.

    n_patches : int
        How many patches a sample has; d is n_features over it, rounded up.

    Returns
    -------
    Tensor of shape (n, n_patches, d)
        The patches.
    """
    n, width = X.shape
    d = -(-width // n_patches)
    missing = n_patches * d - width
    if missing:
        X = torch.nn.functional.pad(X, (0, missing))
    return X.reshape(n, n_patches, d)


def gather_patches(patches: Tensor) -> Patches:
    """Find equal patches, such as a signal that many samples share, and keep one of them.

    Parameters
    ----------
    patches : Tensor of shape (n, P, d)
        All of them.

    Returns
    -------
    Patches
        Order of first occurrence. Time and memory are a few passes over the patches.
    """
    n, n_patches, d = patches.shape
    rows = patches.reshape(n * n_patches, d)
    if n * n_patches * n > _TABLE_ENTRIES:
        index = torch.arange(len(rows), device=rows.device).reshape(n, n_patches)
        return Patches(vectors=rows, positions=index, counts=None)
    owner = _first_equal(rows)
    kept, index = torch.unique(owner, return_inverse=True)
    nonzero = (rows[kept] != 0).any(1)
    kept = kept[nonzero]
    renumbered = torch.where(nonzero, nonzero.cumsum(0) - 1, -1)
    index = renumbered[index].reshape(n, n_patches)
    counts = torch.zeros(n, len(kept) + 1, dtype=rows.dtype, device=rows.device)
    samples = torch.arange(n, device=rows.device)
    for p in range(n_patches):
        counts[samples, index[:, p]] += 1  # zeros, at -1, fall into the last column
    return Patches(vectors=rows[kept], positions=index, counts=counts[:, :-1].T.contiguous())


def _first_equal(rows: Tensor) -> Tensor:
    """For each row, the number of the first row that equals it."""
    count = len(rows)
    # Sums of bits times odd numbers, modulo 2^64, are equal for equal rows whatever the order
    # of summation; rows with equal sums are then compared in full.
    bits = (rows + 0.0).contiguous()
    bits = bits.view(torch.int64 if rows.dtype == torch.float64 else torch.int32).long()
    # Short numbers have their bits at the upper end, which products move out of sight.
    bits = bits ^ (bits >> 31)
    factors = torch.arange(1, rows.shape[1] + 1, device=rows.device)
    bits = bits * (factors * -7046029254386353131 | 1)
    keys = (bits ^ (bits >> 29)).sum(1)
    numbers = torch.arange(count, device=rows.device)
    order = torch.argsort(keys, stable=True)
    starts = torch.ones(count, dtype=torch.bool, device=rows.device)
    starts[1:] = keys[order][1:] != keys[order][:-1]
    group = starts.cumsum(0) - 1
    first = torch.empty_like(numbers)
    first[order] = order[starts][group]
    return torch.where((rows == rows[first]).all(1), first, numbers)
