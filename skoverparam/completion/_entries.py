"""Observed entries of a matrix or tensor: one value for each combination of ids that was seen."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Above this the combinations of ids no longer have a number of their own in int64.
_LARGEST_KEY = 2**62


class Entries(NamedTuple):
    """Distinct entries in the order of their codes.

    Attributes
    ----------
    codes : Tensor of shape (n, p), int64
        Position of each of the p ids in the list of ids of its factor, rows distinct and sorted.

    values : Tensor of shape (n,), float64
        Weighted mean of the values seen.

    weights : Tensor of shape (n,), float64
        Sum of the weights: the noise variance of the mean is that of one value over this.

    sizes : tuple of int
        Number of ids of each factor.
    """

    codes: Tensor
    values: Tensor
    weights: Tensor
    sizes: tuple[int, ...]

    def part(self, chosen: Tensor) -> Entries:
        """Return the entries at the given positions, which must be increasing."""
        return Entries(self.codes[chosen], self.values[chosen], self.weights[chosen], self.sizes)


def merge_entries(
    codes: Tensor, values: Tensor, weights: Tensor, sizes: tuple[int, ...]
) -> Entries:
    """Average the values that share all ids; drop what has weight zero.

    Parameters
    ----------
    codes : Tensor of shape (n, p), int64
        Positions of ids.

    values, weights : Tensor of shape (n,), float64
        Observed values and their weights, not negative.

    sizes : tuple of int
        Number of ids of each factor.
    """
    seen = weights > 0
    codes, values, weights = codes[seen], values[seen], weights[seen]
    distinct, group = _distinct(codes, sizes)
    total = weights.new_zeros(len(distinct)).index_add_(0, group, weights)
    # Shares first: a weight times a value may leave the range of numbers that both are in.
    mean = weights.new_zeros(len(distinct)).index_add_(0, group, weights / total[group] * values)
    return Entries(distinct, mean, total, sizes)


def find_entries(codes: Tensor, entries: Entries) -> Tensor:
    """Position of each combination of codes among the entries, -1 where it was not seen.

    Parameters
    ----------
    codes : Tensor of shape (m, p), int64
        Positions of ids; those outside their factor's range were not seen.

    entries : Entries
        What to search.
    """
    limits = torch.tensor(entries.sizes, device=codes.device)
    known = ((codes >= 0) & (codes < limits)).all(1)
    where = torch.full((len(codes),), -1, dtype=torch.int64, device=codes.device)
    if not len(entries.codes) or not bool(known.any()):
        return where
    both, group = _distinct(torch.cat([entries.codes, codes[known]]), entries.sizes)
    place = torch.full((len(both),), -1, dtype=torch.int64, device=codes.device)
    n = len(entries.codes)
    place[group[:n]] = torch.arange(n, device=codes.device)
    where[known] = place[group[n:]]
    return where


def _distinct(codes: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Sorted distinct rows, and for each row its position among them."""
    n_keys = 1
    for size in sizes:
        n_keys *= max(size, 1)
    if n_keys > _LARGEST_KEY:
        distinct, group = torch.unique(codes, dim=0, return_inverse=True)
        return distinct, group
    key = torch.zeros_like(codes[:, 0])
    for column, size in zip(codes.T, sizes, strict=True):
        key = key * size + column
    keys, group = torch.unique(key, return_inverse=True)
    columns = []
    for size in reversed(sizes):
        columns.append(keys % size)
        keys = torch.div(keys, size, rounding_mode="floor")
    return torch.stack(columns[::-1], dim=1), group
