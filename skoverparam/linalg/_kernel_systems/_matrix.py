"""A kernel matrix that is evaluated where it is needed, or stored by half."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from skoverparam.linalg._kernel_systems._matvec import (
    evaluate,
    for_each,
    kernel_matvec,
    takes_threads,
    tile_bytes,
)
from skoverparam.linalg._lower_blocks import LowerBlocks
from skoverparam.linalg._middle import middle_of
from skoverparam.linalg._threads import sum_on_threads

# Rows for which a diagonal is read off a small kernel matrix, for kernels that know no better.
_DIAGONAL_ROWS = 32


class KernelMatrix:
    """The symmetric matrix ``K(X, X)``.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Z=None) -> (n, m)``; optional methods ``diagonal(X) -> (n,)`` and
        ``into(X, Z, out)`` save work, and an attribute ``stationary`` says that it depends on
        differences of points only.

    X : Tensor of shape (n, d)
        The points.

    block_bytes : int, default=None
        Size of the tiles in which it is evaluated. None takes what suits the device.

    Attributes
    ----------
    n : int
        Number of points.

    X : Tensor of shape (n, d)
        The points.

    stored : LowerBlocks or None
        What :meth:`store` has kept.
    """

    def __init__(self, kernel: Any, X: Tensor, *, block_bytes: int | None = None) -> None:
        self._middle = middle_of(X) if getattr(kernel, "stationary", False) else None
        self.kernel = kernel
        self.X = X
        self.n = len(X)
        self.stored: LowerBlocks | None = None
        self._block_bytes = tile_bytes(X.device) if block_bytes is None else block_bytes

    def points(self, dtype: torch.dtype, rows: Tensor | slice = slice(None)) -> Tensor:
        """Points in some precision; around their middle in a coarser one, which keeps distances.

        In their own they are as they were given: a difference from the middle may round, too.
        """
        X = self.X[rows]
        if self._middle is not None and not _precise(dtype, X.dtype):
            X = X - self._middle
        return X.to(dtype)

    def diagonal(self) -> Tensor:
        """``K_ii``, in the precision of the points."""
        known = getattr(self.kernel, "diagonal", None)
        if known is not None:
            return known(self.X)
        parts = self.X.split(_DIAGONAL_ROWS)
        return torch.cat([self.kernel(part).diagonal() for part in parts])

    def columns(self, indices: Tensor) -> Tensor:
        """``K[:, indices]``, shape (n, b)."""
        return self.kernel(self.X, self.X[indices])

    def submatrix(self, rows: Tensor, columns: Tensor) -> Tensor:
        """``K[rows][:, columns]`` for two tensors of indices."""
        return self.kernel(self.X[rows], self.X[columns])

    def rows_product(self, rows: Tensor, V: Tensor) -> Tensor:
        """``K[rows] V`` for a tensor of indices and coefficients of shape (n, c)."""
        return kernel_matvec(self.kernel, self.X[rows], self.X, V, block_bytes=self._block_bytes)

    def product(self, V: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """``K V`` for V of shape (n, c), with entries computed in ``dtype``, by default V's.

        Stored entries are used if they are that precise. The result has the precision of V.
        """
        dtype = V.dtype if dtype is None else dtype
        if self.stored is not None and _precise(self.stored.dtype, dtype):
            return self.stored.symmetric_product(V).to(V.dtype)
        across = V.to(dtype).T.contiguous()
        side = max(1, int((self._block_bytes / dtype.itemsize) ** 0.5))

        def add_up(tiles: Sequence[tuple[slice, slice]]) -> Tensor:
            out = torch.zeros_like(across)
            room = across.new_empty(min(side, self.n) ** 2)
            for rows, columns in tiles:
                shape = (rows.stop - rows.start, columns.stop - columns.start)
                tile = self._tile(rows, columns, room[: shape[0] * shape[1]].view(shape))
                out[:, rows] += across[:, columns] @ tile.T
                if rows != columns:
                    out[:, columns] += across[:, rows] @ tile
            return out

        tiles = list(self._tiles(side))
        ours = takes_threads(self.kernel)
        total = sum_on_threads(add_up, tiles, V.device) if ours else add_up(tiles)
        return total.T.to(V.dtype).contiguous()

    def store(self, dtype: torch.dtype) -> None:
        """Keep the lower triangle, block by block, for the products to come."""
        self.stored = self.lower(dtype)

    def lower(self, dtype: torch.dtype, out: LowerBlocks | None = None) -> LowerBlocks:
        """Evaluate or copy the lower triangle; blocks on the diagonal are symmetric in full."""
        if out is None:
            out = LowerBlocks(self.n, dtype, self.X.device)
        if self.stored is not None and _precise(self.stored.dtype, dtype):
            for block, kept in zip(out.blocks, self.stored.blocks, strict=True):
                block.copy_(kept)
            return out

        def fill(one: tuple[slice, Tensor]) -> None:
            rows, block = one
            width = max(1, self._block_bytes // (dtype.itemsize * len(block)))
            for j in range(0, rows.start, width):
                columns = slice(j, min(j + width, rows.start))
                self._write(rows, columns, block[:, columns])
            self._write(rows, rows, block[:, rows])

        # The longest first, so that threads end together.
        work = list(zip(out.rows, out.blocks, strict=True))[::-1]
        for_each(self.kernel, fill, work, self.X.device)
        return out

    def dense(self, dtype: torch.dtype) -> Tensor:
        """Evaluate all of it, shape (n, n)."""
        room = torch.empty(self.n, self.n, dtype=dtype, device=self.X.device)
        return evaluate(self.kernel, self.points(dtype), None, room)

    def _tiles(self, side: int) -> Iterator[tuple[slice, slice]]:
        for i in range(0, self.n, side):
            for j in range(0, i + 1, side):
                yield slice(i, min(i + side, self.n)), slice(j, min(j + side, self.n))

    def _tile(self, rows: slice, columns: slice, room: Tensor) -> Tensor:
        X = self.points(room.dtype, rows)
        Z = None if rows == columns else self.points(room.dtype, columns)
        return evaluate(self.kernel, X, Z, room)

    def _write(self, rows: slice, columns: slice, place: Tensor) -> None:
        tile = self._tile(rows, columns, place)
        if tile is not place:
            place.copy_(tile)


def _precise(have: torch.dtype, want: torch.dtype) -> bool:
    return torch.finfo(have).eps <= torch.finfo(want).eps
