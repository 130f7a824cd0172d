"""A large symmetric matrix as a product of thin ones and a diagonal."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LowRankPlusDiagonal(NamedTuple):
    """``A A^T + diag(d)``: multiplied at the cost of A, never formed.

    Attributes
    ----------
    factor : Tensor of shape (m, r)
        A.

    diagonal : Tensor of shape (m,)
        d.
    """

    factor: Tensor
    diagonal: Tensor

    def __matmul__(self, X: Tensor) -> Tensor:
        """Multiply a matrix, or a batch of matrices, from the left."""
        return (self.factor @ (self.factor.T @ X)).addcmul_(self.diagonal[:, None], X)
