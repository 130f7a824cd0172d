"""Cholesky factorization in place, in half of a matrix's memory."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from skoverparam.linalg._lower_blocks import LowerBlocks
from skoverparam.linalg._threads import on_threads


def factor(matrix: LowerBlocks) -> bool:
    """Overwrite a symmetric matrix by its lower Cholesky factor.

    Parameters
    ----------
    matrix : LowerBlocks
        Its lower half is read, and overwritten; above the diagonal there are zeros then.

    Returns
    -------
    bool
        Whether it was positive definite to rounding. If not, its entries are spoiled.

    Notes
    -----
    ``n^3 / 3`` multiplications, nearly all of them in products of matrices, and one panel of
    ``n * block_rows`` numbers beside the matrix.
    """
    n, size = matrix.n, matrix.block_rows
    panel_room = matrix.blocks[0].new_empty(max(n - size, 0), size)
    device = panel_room.device
    for k, (rows, block) in enumerate(zip(matrix.rows, matrix.blocks, strict=True)):
        columns = slice(rows.start, rows.stop)
        square = block[:, columns]
        corner, failure = torch.linalg.cholesky_ex(square)
        if int(failure) or not bool(torch.isfinite(corner).all()):
            return False
        square.copy_(corner)
        # The longest first, so that threads end together.
        later = list(zip(matrix.rows[k + 1 :], matrix.blocks[k + 1 :], strict=True))[::-1]
        panel = panel_room[: n - rows.stop]
        eliminate = partial(_eliminate, corner, columns, panel)
        on_threads(eliminate, later, device)
        on_threads(partial(_subtract, rows.stop, panel), later, device)
    return True


def _eliminate(corner: Tensor, columns: slice, panel: Tensor, one: tuple[slice, Tensor]) -> None:
    """Solve for the factor's entries of a block in some columns, there and in the panel."""
    rows, block = one
    mine = panel[rows.start - columns.stop : rows.stop - columns.stop]
    mine.copy_(block[:, columns])
    torch.linalg.solve_triangular(corner.T, mine, upper=True, left=False, out=mine)
    block[:, columns] = mine


def _subtract(start: int, panel: Tensor, one: tuple[slice, Tensor]) -> None:
    """Subtract what the panel's columns explain from the rest of a block."""
    rows, block = one
    mine = panel[rows.start - start : rows.stop - start]
    block[:, start:].addmm_(mine, panel[: rows.stop - start].T, alpha=-1)


def solve(lower: LowerBlocks, Y: Tensor) -> Tensor:
    """Return ``(L L')^-1 Y`` for Y of shape (n, c), computed in the precision of L."""
    X = Y.to(lower.dtype, copy=True)
    for rows, block in zip(lower.rows, lower.blocks, strict=True):
        here = X[rows]
        here -= block[:, : rows.start] @ X[: rows.start]
        here.copy_(torch.linalg.solve_triangular(block[:, rows.start :], here, upper=False))
    for rows, block in zip(reversed(lower.rows), reversed(lower.blocks), strict=True):
        here = X[rows]
        here.copy_(torch.linalg.solve_triangular(block[:, rows.start :].T, here, upper=True))
        X[: rows.start] -= block[:, : rows.start].T @ here
    return X


def product(lower: LowerBlocks, V: Tensor) -> Tensor:
    """Return ``L L' V`` for V of shape (n, c), computed in the precision of L."""
    V = V.to(lower.dtype)
    inner = torch.zeros_like(V)
    for rows, block in zip(lower.rows, lower.blocks, strict=True):
        inner[: rows.stop] += block.T @ V[rows]
    parts = [
        block @ inner[: rows.stop] for rows, block in zip(lower.rows, lower.blocks, strict=True)
    ]
    return torch.cat(parts)


def inverse_diagonal(lower: LowerBlocks) -> Tensor:
    """Diagonal of ``(L L')^-1``: squared norms of the columns of ``L^-1``, some at a time.

    Notes
    -----
    ``n^3 / 3`` multiplications and ``n * block_rows`` numbers beside the factor.
    """
    sums = lower.blocks[0].new_empty(lower.n)
    for k, rows in enumerate(lower.rows):
        width = rows.stop - rows.start
        Z = lower.blocks[0].new_zeros(lower.n - rows.start, width)
        Z[:width].fill_diagonal_(1.0)
        for there, block in zip(lower.rows[k:], lower.blocks[k:], strict=True):
            here = Z[there.start - rows.start : there.stop - rows.start]
            above = Z[: there.start - rows.start]
            here -= block[:, rows.start : there.start] @ above
            here.copy_(torch.linalg.solve_triangular(block[:, there.start :], here, upper=False))
        sums[rows] = (Z * Z).sum(0)
    return sums
