"""Sparse feature vectors of ids, and their inner products without sparse tensors."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

# Numbers in the dense piece of the right-hand side of a product: it should stay in the cache.
_PIECE = 2**22


class Profiles(NamedTuple):
    """Rows of a sparse matrix, one row for each id.

    Attributes
    ----------
    starts : Tensor of shape (n + 1,), int64
        Where each row begins in ``indices`` and ``values``.

    indices : Tensor of shape (nnz,), int64
        Columns.

    values : Tensor of shape (nnz,)
        Entries of the matrix.

    width : int
        Number of columns.
    """

    starts: Tensor
    indices: Tensor
    values: Tensor
    width: int

    @property
    def n_rows(self) -> int:
        """Return the number of rows."""
        return len(self.starts) - 1

    def counts(self) -> Tensor:
        """Return the number of stored values of each row."""
        return self.starts.diff()

    def owners(self) -> Tensor:
        """Return the row of each stored value."""
        rows = torch.arange(self.n_rows, device=self.starts.device)
        return torch.repeat_interleave(rows, self.counts())

    def square_norms(self) -> Tensor:
        """Return the square length of each row."""
        return self.values.new_zeros(self.n_rows).index_add_(
            0, self.owners(), self.values.square()
        )

    def largest(self) -> Tensor:
        """Return the largest absolute value of each row, zero for an empty one."""
        zeros = self.values.new_zeros(self.n_rows)
        return zeros.scatter_reduce_(0, self.owners(), self.values.abs(), "amax")

    def over(self, divisors: Tensor) -> Profiles:
        """Divide each row by its number, of which the reciprocal may be out of range."""
        return self._replace(values=self.values / divisors[self.owners()])

    def scaled(self, factors: Tensor) -> Profiles:
        """Multiply each row by its factor."""
        return self._replace(values=self.values * factors[self.owners()])

    def take(self, ids: Tensor) -> Profiles:
        """Return the given rows, in that order."""
        counts = self.counts()[ids]
        starts = _starts(counts)
        # Position within the row, plus where the row begins here.
        place = torch.arange(int(starts[-1]), device=ids.device)
        place = place - torch.repeat_interleave(starts[:-1] - self.starts[ids], counts)
        return Profiles(starts, self.indices[place], self.values[place], self.width)


def profiles_from_coordinates(
    rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]
) -> Profiles:
    """Collect coordinates in any order; those of the same place stay separate summands."""
    order = torch.argsort(rows, stable=True)
    counts = torch.bincount(rows, minlength=shape[0])
    return Profiles(_starts(counts), columns[order], values[order], shape[1])


def sparse_times_dense(profiles: Profiles, B: Tensor, values: Tensor | None = None) -> Tensor:
    """Return the matrix times B, shape (n, b), in time proportional to nnz times b.

    Differentiable in ``values`` (None for the profiles' own): the derivative is the product read
    at the stored places only, which is how the solver reads its observed entries.
    """
    return F.embedding_bag(
        profiles.indices,
        B,
        profiles.starts,
        mode="sum",
        per_sample_weights=profiles.values if values is None else values,
        include_last_offset=True,
    )


def inner_products(P: Profiles, Q: Profiles) -> Tensor:
    """Inner products of all rows of P with all rows of Q, shape (P.n_rows, Q.n_rows)."""
    out = P.values.new_empty(P.n_rows, Q.n_rows)
    if not out.numel():
        return out
    step = max(1, min(512, _PIECE // max(P.width, 1)))
    for start in range(0, Q.n_rows, step):
        part = Q.take(torch.arange(start, min(start + step, Q.n_rows), device=Q.starts.device))
        dense = P.values.new_zeros(P.width, part.n_rows)
        dense.index_put_((part.indices, part.owners()), part.values, accumulate=True)
        out[:, start : start + step] = sparse_times_dense(P, dense)
    return out


def _starts(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
