"""Randomly pivoted partial Cholesky factors of a kernel that is never formed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

_EMPTY_BLOCKS = 3


class RPCholesky(NamedTuple):
    """A partial factor ``K ~ F F'``.

    Attributes
    ----------
    factor : Tensor of shape (n, r)
        F. Its pivot rows ``F[pivots]`` are the lower triangular Cholesky factor of
        ``K[pivots, pivots]``, so that a new point with kernel values k against the pivots has the
        row ``solve(F[pivots], k)``.

    pivots : Tensor of shape (r,), int64
        The columns that were read, in the order of elimination.

    residual_diagonal : Tensor of shape (n,), float64
        ``diag(K - F F')``, not negative.
    """

    factor: Tensor
    pivots: Tensor
    residual_diagonal: Tensor


def rp_cholesky(
    columns: Callable[[Tensor], Tensor],
    diagonal: Tensor,
    rank: int,
    *,
    generator: torch.Generator,
    block_size: int | None = None,
    tol: float | None = None,
    start: RPCholesky | None = None,
) -> RPCholesky:
    """Partial Cholesky factor with pivots drawn from the residual diagonal.

    Parameters
    ----------
    columns : callable
        Maps indices of shape (b,) to the columns ``K[:, indices]`` of a positive semidefinite
        matrix, shape (n, b).

    diagonal : Tensor of shape (n,)
        ``diag(K)``.

    rank : int
        Largest number of pivots r.

    generator : torch.Generator
        CPU generator for the draws.

    block_size : int, default=None
        Pivots proposed at once, None for a tenth of the rank. The law of the pivots does not
        depend on it (rejection sampling), only the speed does.

    tol : float, default=None
        Stop when the trace of the residual is at most ``tol`` times that of K; None for the
        rounding error of the columns' precision.

    start : RPCholesky, default=None
        A factor of the same matrix to go on from.

    Returns
    -------
    RPCholesky

    Notes
    -----
    About ``r n`` kernel evaluations, ``O(r^2 n)`` operations and ``r n`` numbers. In expectation
    the error is near that of the best approximation of a slightly smaller rank
    (arXiv:2207.06503); proposals in blocks with rejection are from arXiv:2410.03969. The small
    factors are computed in float64 whatever the precision of the columns.
    """
    n = len(diagonal)
    rank = min(rank, n)
    left = diagonal.to(torch.float64).clamp_min(0)
    rounding = torch.finfo(diagonal.dtype).eps
    floor = n * rounding * float(left.max()) if n else 0.0
    enough = (n * rounding if tol is None else tol) * float(left.sum())
    block = max(1, -(-rank // 10)) if block_size is None else block_size
    F = diagonal.new_zeros(n, rank)
    pivots = torch.empty(rank, dtype=torch.int64, device=diagonal.device)
    found, empty = 0, 0
    if start is not None:
        found = len(start.pivots)
        F[:, :found], pivots[:found] = start.factor, start.pivots
        left = start.residual_diagonal
    while found < rank and empty < _EMPTY_BLOCKS and float(left.sum()) > enough:
        drawn = _draw(left, min(block, rank - found), generator)
        C = columns(drawn)
        C = C - F[:, :found] @ F[drawn, :found].T
        accepted, lower = _eliminate(C[drawn].to(torch.float64), floor, generator)
        if len(accepted) == 0:
            empty += 1
            continue
        empty = 0
        new = torch.linalg.solve_triangular(lower, C[:, accepted].to(torch.float64).T, upper=False)
        there = slice(found, found + len(accepted))
        F[:, there] = new.T.to(F.dtype)
        pivots[there] = drawn[accepted]
        # Exactly lower triangular pivot rows: later blocks are zero there in exact arithmetic.
        F[pivots[there], there] = lower.to(F.dtype)
        left = (left - (new * new).sum(0)).clamp_(min=0)
        left[pivots[there]] = 0
        found += len(accepted)
    F, pivots = F[:, :found], pivots[:found]
    # Rounding leaves tiny numbers above the diagonal of the pivot rows.
    F[pivots] = F[pivots].tril()
    return RPCholesky(F.contiguous(), pivots, left)


def _draw(mass: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw indices in proportion to ``mass``, by inversion (no limit on the length)."""
    cumulated = mass.cumsum(0)
    uniform = torch.rand(count, generator=generator, dtype=torch.float64).to(mass.device)
    drawn = torch.searchsorted(cumulated, uniform * cumulated[-1], right=True)
    return drawn.clamp_(max=len(mass) - 1)


def _eliminate(H: Tensor, floor: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rejection Cholesky of the proposals' block: the accepted ones and their lower factor."""
    b = len(H)
    # A proposal stays with the probability by which earlier ones have reduced its diagonal.
    chances = torch.rand(b, generator=generator, dtype=torch.float64)
    home = H.device
    H = H.cpu()
    original = H.diagonal().clone()
    L = torch.zeros_like(H)
    accepted: list[int] = []
    for t in range(b):
        k = len(accepted)
        row = L[t, :k]
        gap = float(H[t, t] - row @ row)
        if gap <= floor or float(chances[t] * original[t]) >= gap:
            continue
        L[:, k] = (H[:, t] - L[:, :k] @ row) / gap**0.5
        accepted.append(t)
    chosen = torch.tensor(accepted, dtype=torch.int64)
    lower = L[chosen, : len(accepted)].tril()
    return chosen.to(home), lower.to(home)
