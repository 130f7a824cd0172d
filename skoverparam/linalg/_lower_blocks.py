"""Symmetric and triangular matrices by the blocks of their lower half: half the memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skoverparam.linalg._threads import sum_on_threads

# Rows of a block. A factorization multiplies panels of this width, so it must be wide enough for
# a matrix product to run at full speed, and narrow enough that panels are a small part of it.
BLOCK_ROWS = 512
# Columns of a block that are used twice in a product while they are in the cache.
_PRODUCT_COLUMNS = 2048


class LowerBlocks:
    """Rows ``[start, stop)`` of a matrix up to column ``stop``, block by block.

    Parameters
    ----------
    n : int
        Order of the matrix.

    dtype, device : torch.dtype, torch.device
        Of its entries.

    block_rows : int, default=BLOCK_ROWS
        Rows of a block.

    Attributes
    ----------
    rows : list of slice
        Rows of every block.

    blocks : list of Tensor, of shapes (stop - start, stop)
        The entries. What is above the diagonal, in the last columns of a block, has no meaning.
    """

    def __init__(
        self, n: int, dtype: torch.dtype, device: torch.device, *, block_rows: int = BLOCK_ROWS
    ) -> None:
        self.n = n
        self.dtype = dtype
        self.block_rows = block_rows
        self.rows = [slice(i, min(i + block_rows, n)) for i in range(0, n, block_rows)]
        self.blocks = [
            torch.empty(rows.stop - rows.start, rows.stop, dtype=dtype, device=device)
            for rows in self.rows
        ]

    @staticmethod
    def n_bytes(n: int, itemsize: int, block_rows: int = BLOCK_ROWS) -> int:
        """Bytes that the blocks take."""
        return itemsize * n * (n + min(block_rows, n)) // 2

    def diagonal_blocks(self) -> list[Tensor]:
        """Return views of the square blocks on the diagonal."""
        return [block[:, rows.start :] for rows, block in zip(self.rows, self.blocks, strict=True)]

    def diagonal(self) -> Tensor:
        """Return a copy of the diagonal."""
        return torch.cat([square.diagonal() for square in self.diagonal_blocks()])

    def set_diagonal(self, values: Tensor) -> None:
        """Overwrite the diagonal."""
        for rows, square in zip(self.rows, self.diagonal_blocks(), strict=True):
            square.diagonal().copy_(values[rows])

    def symmetric_product(self, V: Tensor) -> Tensor:
        """Multiply the symmetric matrix with V of shape (n, c), in the precision of the blocks.

        The blocks on the diagonal must be symmetric in full. The last bits depend on the number of
        threads.
        """
        # Rows of a product are much faster than columns where there are a few.
        across = V.to(self.dtype).T.contiguous()

        def add_up(pairs: Sequence[tuple[slice, Tensor]]) -> Tensor:
            out = torch.zeros_like(across)
            for rows, block in pairs:
                here, there = across[:, rows], out[:, rows]
                for j in range(0, rows.start, _PRODUCT_COLUMNS):
                    columns = slice(j, min(j + _PRODUCT_COLUMNS, rows.start))
                    tile = block[:, columns]
                    there += across[:, columns] @ tile.T
                    out[:, columns] += here @ tile
                there += here @ block[:, rows.start :]
            return out

        pairs = list(zip(self.rows, self.blocks, strict=True))
        return sum_on_threads(add_up, pairs, V.device).T.contiguous()
