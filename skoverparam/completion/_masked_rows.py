"""Kernel regression of every row of a matrix on its own observed entries.

Row i solves ``(C[O_i, O_i] + ridge_i diag(noise[O_i])) x_i = y[i, O_i]`` with one column kernel C
for all rows. Rows that share their mask and ridge share one factorization; different masks are
padded to a common size and factorized as a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._jittered_cholesky import jittered_cholesky

# Padded entries of a batch of systems: large enough to amortize a call, small enough for the cache
# level that the factorization works in.
_BATCH_ENTRIES = 2**22


class MaskedSolution(NamedTuple):
    """Dual coefficients of every row.

    Attributes
    ----------
    dual : Tensor of shape (m, n)
        ``x_i`` on the observed entries, zero elsewhere.

    leave_one_out : Tensor of shape (m, n) or None
        Residual of each observed entry when it alone is left out, ``x_i / (K^-1)_jj``.

    jitter : float
        Largest number that had to be added to a diagonal so that it could be factorized; zero when
        the systems were solved as they stand.
    """

    dual: Tensor
    leave_one_out: Tensor | None
    jitter: float


def solve_masked_rows(
    C: Tensor,
    Y: Tensor,
    observed: Tensor,
    ridge: Tensor,
    noise: Tensor | None = None,
    *,
    leave_one_out: bool = False,
) -> MaskedSolution:
    """Solve one masked kernel system per row.

    Parameters
    ----------
    C : Tensor of shape (n, n)
        Symmetric positive semidefinite kernel of the columns.

    Y : Tensor of shape (m, n)
        Right-hand sides; looked at where observed.

    observed : Tensor of shape (m, n), bool
        The masks.

    ridge : Tensor of shape (m,)
        What is added to each row's diagonal, at least zero.

    noise : Tensor of shape (n,) or None
        Relative noise variance of the columns, None for all alike.

    leave_one_out : bool, default=False
        Whether to compute the leave-one-entry-out residuals, too.

    Returns
    -------
    MaskedSolution

    Notes
    -----
    Time is the sum over distinct (mask, ridge) pairs of |O|^3 / 3 (|O|^3 with leave-one-out)
    plus |O|^2 per row. The scratch memory is a few batches, whatever the size of the problem.
    """
    dual = torch.zeros_like(Y)
    loo = torch.zeros_like(Y) if leave_one_out else None
    jitter = 0.0
    for batch in _batches(observed, ridge):
        K = C[batch.columns[:, :, None], batch.columns[:, None, :]]
        K *= (batch.valid[:, :, None] & batch.valid[:, None, :]).to(K.dtype)
        own = (
            batch.ridge[:, None] if noise is None else batch.ridge[:, None] * noise[batch.columns]
        )
        # Padding has a zero row and column: a one on its diagonal makes it a unit block.
        K.diagonal(dim1=1, dim2=2).add_(torch.where(batch.valid, own, torch.ones_like(own)))
        L, added = jittered_cholesky(K, "The column kernel")
        jitter = max(jitter, added)
        # (systems, unknowns, rows of that system)
        rhs = Y[batch.rows[:, None, :], batch.columns[:, :, None]] * batch.valid[:, :, None]
        x = torch.cholesky_solve(rhs, L)
        keep = batch.valid[:, :, None] & batch.row_valid[:, None, :]
        where = _places(batch, keep)
        dual[where] = x[keep]
        if loo is not None:
            inverse = torch.cholesky_inverse(L).diagonal(dim1=1, dim2=2)
            loo[where] = (x / inverse[:, :, None])[keep]
    return MaskedSolution(dual, loo, jitter)


class _Batch(NamedTuple):
    """Padded systems: ``columns`` the unknowns, ``rows`` the rows that share a system."""

    columns: Tensor
    valid: Tensor
    rows: Tensor
    row_valid: Tensor
    ridge: Tensor


def _batches(observed: Tensor, ridge: Tensor) -> Iterator[_Batch]:
    """Group rows by mask and ridge, and pad groups of like sizes to a common shape."""
    rows = torch.nonzero(observed.any(1)).squeeze(1)
    if not len(rows):
        return
    keys = torch.cat([_packed(observed[rows]), _bits(ridge[rows])], dim=1)
    _, group, sharing = torch.unique(keys, dim=0, return_inverse=True, return_counts=True)
    first = torch.full_like(sharing, len(rows)).scatter_reduce_(
        0, group, torch.arange(len(rows), device=group.device), "amin"
    )
    size = observed[rows[first]].sum(1)
    # Systems of like size, and with like numbers of rows, waste little when padded together.
    order = torch.argsort(sharing * (observed.shape[1] + 1) + size)
    members = torch.argsort(group, stable=True)
    start = sharing.cumsum(0) - sharing
    for part in _parts(order, size, sharing):
        largest, widest = int(size[part].max()), int(sharing[part].max())
        masks = observed[rows[first[part]]]
        # A stable sort puts the observed columns first, in their order.
        columns = torch.argsort(~masks, dim=1, stable=True)[:, :largest]
        valid = masks.gather(1, columns)
        offsets = torch.arange(widest, device=group.device)
        row_valid = offsets < sharing[part, None]
        places = (start[part, None] + offsets).clamp_max(len(rows) - 1)
        yield _Batch(columns, valid, rows[members[places]], row_valid, ridge[rows[first[part]]])


def _parts(order: Tensor, size: Tensor, sharing: Tensor) -> Iterator[Tensor]:
    """Cut the ordered groups so that no part's padded systems exceed the batch size."""
    begin = 0
    sizes, counts = size[order].tolist(), sharing[order].tolist()
    largest = widest = 0
    for position, (s, c) in enumerate(zip(sizes, counts, strict=True)):
        new_largest, new_widest = max(largest, s), max(widest, c)
        entries = (position - begin + 1) * new_largest * (new_largest + new_widest)
        if position > begin and entries > _BATCH_ENTRIES:
            yield order[begin:position]
            begin, new_largest, new_widest = position, s, c
        largest, widest = new_largest, new_widest
    yield order[begin:]


def _places(batch: _Batch, keep: Tensor) -> tuple[Tensor, Tensor]:
    shape = keep.shape
    return (
        batch.rows[:, None, :].expand(shape)[keep],
        batch.columns[:, :, None].expand(shape)[keep],
    )


def _packed(observed: Tensor) -> Tensor:
    """Masks as few integers per row, so that comparing rows is cheap."""
    width = 32
    padded = torch.nn.functional.pad(observed, (0, -observed.shape[1] % width))
    weights = 2 ** torch.arange(width, device=observed.device)
    return (padded.view(len(observed), -1, width) * weights).sum(2)


def _bits(ridge: Tensor) -> Tensor:
    """Ridges as integers that are equal exactly when the numbers are."""
    return ridge.to(torch.float64).view(torch.int64)[:, None]
