"""Columns appended to a matrix with a decomposition: what they open, and what they depend on.

At an *anchor* the matrix has a singular value decomposition. Appended columns that open a new
direction extend an orthonormal basis of the range, and every other one adds a vector to a nested
orthonormal basis of the null space.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._minimum_norm import rank_above

# Times a direction opened by rounding errors may be larger than they are estimated to be.
_MARGIN = 10
# Backward error, in units of the machine precision, up to which a step stands. Decompositions have
# some units themselves.
_UNITS = 50


class Anchor(NamedTuple):
    """The first ``size`` columns of A: ``U diag(S) V^T``, cut off at the numerical rank.

    What is needed of V the paths carry themselves.
    """

    size: int
    U: Tensor
    S: Tensor


class Block(NamedTuple):
    """Columns B appended to an anchor.

    ``B = U UB + Q R`` with Q orthonormal and orthogonal to U. ``pivots`` are the columns
    that opened the directions Q, ``rest`` the others; column i of N is the null vector of
    ``[U diag(S), B]`` that came with column ``rest[i]`` and uses none after it. ``scales`` is a
    norm of the matrix with the first 1, 2, ... columns. Column `doubtful` is the first that may
    have opened its direction by rounding errors alone; the number of columns, if none has.
    """

    UB: Tensor
    Q: Tensor
    R: Tensor
    pivots: list[int]
    rest: list[int]
    N: Tensor
    scales: Tensor
    doubtful: int


def append(anchor: Anchor, B: Tensor, rcond: float, *, bare: bool) -> Block:
    """Sort appended columns into those that open directions and those that do not.

    A bare block has no null vectors: enough to pass over its columns.
    """
    UB, outside = _project_off(anchor.U, B)
    lengths = torch.linalg.vector_norm(B, dim=0)
    first = anchor.S[0] if len(anchor.S) else B.new_zeros(())
    # Between the spectral norm of the columns so far and the Frobenius norm of the block's.
    Q, R, pivots = _directions(
        outside, rcond * torch.maximum(first, lengths.square().cumsum(0).sqrt())
    )
    opened = set(pivots)
    rest = [] if bare else [j for j in range(B.shape[1]) if j not in opened]
    scales = torch.maximum(first, lengths.cummax(0).values) if len(lengths) else lengths
    null_basis = _null_basis(anchor.S, UB, R, pivots, rest)
    doubtful = _first_doubtful(anchor.S, R, pivots, scales, rcond)
    return Block(UB, Q, R, pivots, rest, null_basis, scales, doubtful)


def _first_doubtful(S: Tensor, R: Tensor, pivots: list[int], scales: Tensor, rcond: float) -> int:
    """First column whose direction may be an error of those before, or the number of columns.

    The smallest direction so far is known to rounding errors relative to its own size: what is
    left of a column outside of it may be no more than how much it is tilted.
    """
    sizes = R[range(len(pivots)), pivots].abs()
    before = torch.cat([S[-1:], sizes])[: len(pivots)] if len(S) else sizes[:-1]
    smallest = before.cummin(0).values if len(before) else before
    if not len(S):
        # Nothing comes before the very first.
        smallest = torch.cat([sizes.new_full((min(1, len(sizes)),), torch.inf), smallest])
    tops = scales[pivots]
    doubt = (sizes <= _MARGIN * rcond * tops * (tops / smallest)).tolist()
    return next((j for j, found in zip(pivots, doubt, strict=True) if found), R.shape[1])


def null_error(anchor: Anchor, block: Block) -> Tensor:
    """By how much the null vectors miss, relative to the matrix; shape (number of them,)."""
    r, N, scales = len(anchor.S), block.N, block.scales[block.rest]
    above = anchor.S[:, None] * N[:r] + block.UB @ N[r:]
    return hypot(above, block.R @ N[r:]) / torch.where(scales > 0, scales, 1)


def certified(block: Block, null_errors: Tensor, errors: Tensor, ahead: list[int]) -> int:
    """How many columns of the block can be relied on, by its null vectors' errors and others."""
    tol = _UNITS * torch.finfo(errors.dtype).eps
    columns = [*block.rest, *(k - 1 for k in ahead)]
    # Written so that NaN fails, too.
    failed = (~(torch.cat([null_errors, errors]) <= tol)).tolist()
    bad = [column for column, fails in zip(columns, failed, strict=True) if fails]
    return min([*bad, block.doubtful])


def next_anchor(
    anchor: Anchor, block: Block, n_columns: int, rcond: float
) -> tuple[Anchor, Tensor]:
    """Decompose the anchor with the first columns of the block, and how V turned."""
    r, p = len(anchor.S), sum(j < n_columns for j in block.pivots)
    K = block.UB.new_zeros(r + p, r + n_columns)
    K[:r, :r] = torch.diag(anchor.S)
    K[:r, r:], K[r:, r:] = block.UB[:, :n_columns], block.R[:p, :n_columns]
    u, S, vh = torch.linalg.svd(K, full_matrices=False)
    rank = rank_above(S, rcond)
    U = torch.cat([anchor.U, block.Q[:, :p]], dim=1) @ u[:, :rank]
    return Anchor(anchor.size + n_columns, U, S[:rank]), vh[:rank].T


def hypot(*parts: Tensor) -> Tensor:
    return torch.linalg.vector_norm(torch.cat(parts), dim=0)


def _directions(outside: Tensor, cut: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Orthonormalize columns in order, leaving out those that depend on earlier ones."""
    n, m = outside.shape
    if not bool((torch.linalg.vector_norm(outside, dim=0) > cut).any()):
        return outside.new_zeros(n, 0), outside.new_zeros(0, m), []
    if n >= m:
        Q, R = torch.linalg.qr(outside)
        if bool((R.diagonal().abs() > cut).all()):
            return Q, R, list(range(m))
    # Dependent columns among them: one by one, with reorthogonalization.
    most = min(n, m)
    Q, R = outside.new_zeros(n, most), outside.new_zeros(most, m)
    pivots: list[int] = []
    for j in range(m):
        found = len(pivots)
        inside, left = _project_off(Q[:, :found], outside[:, j : j + 1])
        R[:found, j] = inside[:, 0]
        length = torch.linalg.vector_norm(left)
        if found < most and bool(length > cut[j]):
            R[found, j] = length
            Q[:, found] = left[:, 0] / length
            pivots.append(j)
    return Q[:, : len(pivots)], R[: len(pivots)], pivots


def _null_basis(S: Tensor, UB: Tensor, R: Tensor, pivots: list[int], rest: list[int]) -> Tensor:
    """Nested orthonormal basis of the null space of ``[U diag(S), B]``."""
    r, m = UB.shape
    raw = UB.new_zeros(r + m, len(rest))
    if not rest:
        return raw
    target = UB[:, rest]
    if pivots:
        K = torch.linalg.solve_triangular(R[:, pivots], R[:, rest], upper=True)
        raw[r:][pivots] = K
        target = target - UB[:, pivots] @ K
    raw[:r] = target / S[:, None]
    raw[[r + j for j in rest], range(len(rest))] = -1
    # The triangle keeps the order: a vector uses no column after its own.
    return torch.linalg.qr(raw).Q


def _project_off(Q: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of B in the orthonormal Q, and the rest; twice is enough."""
    inside = Q.T @ B
    outside = B - Q @ inside
    again = Q.T @ outside
    return inside + again, outside - Q @ again
