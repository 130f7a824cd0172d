"""A kernel matrix that is evaluated where it is needed, or stored by half."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skoverparam.linalg._kernel_matvec import evaluate, kernel_matvec, tile_bytes

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
        Size of the tiles in which it is evaluated. None takes what stays in the cache.

    Attributes
    ----------
    n : int
        Number of points.
    """

    def __init__(self, kernel: Any, X: Tensor, *, block_bytes: int | None = None) -> None:
        if getattr(kernel, "stationary", False):
            # Far from the origin, single precision would lose the distances.
            X = X - X.mean(0)
        self.kernel = kernel
        self.X = X
        self.n = len(X)
        self._block_bytes = tile_bytes(X.device) if block_bytes is None else block_bytes
        self._tiles: list[tuple[slice, slice, Tensor]] | None = None

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

    def product(self, V: Tensor) -> Tensor:
        """``K V`` for V of shape (n, c), in the precision of V; tiles are stored or made anew."""
        out = torch.zeros_like(V)
        for rows, columns, tile in self._lower_tiles(V.dtype):
            out[rows] += tile @ V[columns]
            if rows != columns:
                out[columns] += tile.T @ V[rows]
        return out

    def store(self, dtype: torch.dtype) -> None:
        """Keep the tiles of the lower triangle: half the memory, each used twice a product."""
        self._tiles = [
            (rows, columns, tile.to(dtype, copy=True))
            for rows, columns, tile in self._evaluated(dtype)
        ]

    def lower(self, dtype: torch.dtype, out: Tensor | None = None) -> Tensor:
        """Write the tiles of the lower triangle into ``out``, shape (n, n); the rest is left."""
        if out is None:
            out = torch.empty(self.n, self.n, dtype=dtype, device=self.X.device)
        for rows, columns, tile in self._evaluated(dtype):
            out[rows, columns] = tile
        return out

    def _lower_tiles(self, dtype: torch.dtype) -> Any:
        if self._tiles is None:
            yield from self._evaluated(dtype)
            return
        for rows, columns, tile in self._tiles:
            yield rows, columns, tile.to(dtype)

    def _evaluated(self, dtype: torch.dtype) -> Any:
        X = self.X.to(dtype)
        side = max(1, int((self._block_bytes / X.element_size()) ** 0.5))
        room = X.new_empty(min(side, self.n) ** 2)
        for i in range(0, self.n, side):
            rows = slice(i, min(i + side, self.n))
            for j in range(0, i + 1, side):
                columns = slice(j, min(j + side, self.n))
                shape = (rows.stop - i, columns.stop - j)
                out = room[: shape[0] * shape[1]].view(shape)
                other = None if i == j else X[columns]
                yield rows, columns, evaluate(self.kernel, X[rows], other, out)
