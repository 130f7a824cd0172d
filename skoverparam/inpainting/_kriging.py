"""Kernel regression on neighborhoods with a free constant mean, many pixels at once.

Known in geostatistics as ordinary kriging. A prediction is linear in the values of the
neighbors, so that one system serves all channels.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Precision of the constant mean: it keeps the mean defined where all neighbors are far.
_MEAN_PRECISION = 1e-3


def kriging_weights(K: Tensor, k: Tensor, nugget: float) -> Tensor:
    """Return the weights of the neighbors' values in the prediction at each target.

    Parameters
    ----------
    K : Tensor of shape (b, m, m)
        Kernel between the m neighbors of each of b targets, positive semidefinite; overwritten.

    k : Tensor of shape (b, m)
        Kernel between target and neighbors.

    nugget : float
        Added to the diagonal of K: the variance of what neighbors do not share.

    Returns
    -------
    Tensor of shape (b, m)
        Weights v: the prediction from values y is v' y. All are 1 / m where K + nugget I is
        not positive definite.

    Notes
    -----
    With A = K + nugget I the prediction is k' A^{-1} (y - mu 1) + mu, where the mean
    mu = 1' A^{-1} y / (1' A^{-1} 1 + 1e-3) is estimated from the same values. Hence
    v = A^{-1} k + A^{-1} 1 (1 - 1' A^{-1} k) / (1' A^{-1} 1 + 1e-3). Time is b m^3 / 3.
    """
    K.diagonal(dim1=1, dim2=2).add_(nugget)
    factor, failed = torch.linalg.cholesky_ex(K)
    solution = torch.cholesky_solve(torch.stack([k, torch.ones_like(k)], 2), factor)
    a_k, a_1 = solution.unbind(2)
    v = a_k + a_1 * ((1 - a_k.sum(1)) / (a_1.sum(1) + _MEAN_PRECISION))[:, None]
    # With next to no nugget like neighbors make a system singular: their mean must do.
    return torch.where(failed[:, None] > 0, 1 / k.shape[1], v)


class DisplacementKernel:
    """A kernel of the displacement between two pixels, looked up for all pairs of neighborhoods.

    Parameters
    ----------
    values : Tensor of shape (2 r + 1, 2 r + 1)
        Kernel at the displacements -r..r of rows and columns.

    far : float
        Kernel at all larger displacements.
    """

    def __init__(self, values: Tensor, far: float) -> None:
        self.radius = values.shape[0] // 2 + 1
        self.table = torch.nn.functional.pad(values, (1, 1, 1, 1), value=far)

    def __call__(self, pixels: Tensor, w: int) -> Tensor:
        """Return the kernel (b, m, m) between the pixels (b, m) of images of width w."""
        r = self.radius
        rows, columns = (pixels // w).int(), (pixels % w).int()
        down = (rows[:, :, None] - rows[:, None]).clamp_(-r, r)
        right = (columns[:, :, None] - columns[:, None]).clamp_(-r, r)
        place = down.mul_(2 * r + 1).add_(right).add_(r * (2 * r + 2))
        # Selecting rows is several times faster than indexing on CPUs.
        return self.table.flatten().index_select(0, place.flatten()).view(place.shape)
