"""How many dimensions a cloud of points has, seen from its nearest neighbors."""

from __future__ import annotations

import torch
from torch import Tensor

from skoverparam.averages._points import Cloud
from skoverparam.averages._singular import Search

# The dimension is estimated at that many points, from that many neighbors.
_N_POINTS = 2000
_N_NEIGHBORS = 20


def intrinsic_dimension(log_r: Tensor, *, n_features: int) -> float:
    """Maximum-likelihood dimension from distances to neighbors.

    If points are spread evenly near each of them, the logarithms of the ratio of the k-th
    distance to the closer ones are exponential with the dimension as their rate.

    Parameters
    ----------
    log_r : Tensor of shape (n, k)
        Logarithms of the distances of n points to their k nearest other points, ascending and
        finite.

    n_features : int
        The largest answer.

    Returns
    -------
    float
        Between 1 and `n_features`; 1 if there are less than two neighbors.

    Notes
    -----
    All n (k - 1) ratios are pooled, the inverse of averaged inverses. With k = 2 it is the
    estimate from two nearest neighbors.

    References
    ----------
    E. Levina and P. J. Bickel, "Maximum Likelihood Estimation of Intrinsic Dimension", NIPS 2004.

    E. Facco, M. d'Errico, A. Rodriguez, A. Laio, "Estimating the intrinsic dimension of datasets
    by a minimal neighborhood information", arXiv:1803.06992.
    """
    n, k = log_r.shape
    if k < 2:
        return 1.0
    ratios = log_r[:, -1:] - log_r[:, :-1]
    total = float(torch.sum(ratios))
    count = n * (k - 1)
    dimension = (count - 1) / total if total > 0 else float(n_features)
    return min(max(dimension, 1.0), float(n_features))


def dimension_of(cloud: Cloud, search: Search) -> float:
    """Estimate the dimension of a cloud from the neighbors of points spread over it."""
    n, d = cloud.X.shape
    count = min(_N_NEIGHBORS, n - 1)
    if count < 2:
        return 1.0
    rows = torch.linspace(0, n - 1, min(n, _N_POINTS), device=cloud.X.device).long()
    Q = cloud.X[rows]
    log_r = cloud.log_distances_at(Q, search(Q, count + 1)).sort(dim=1).values
    return intrinsic_dimension(log_r[:, 1:], n_features=d)
