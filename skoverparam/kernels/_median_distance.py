"""The usual bandwidth where none is given: the median distance of two samples."""

from __future__ import annotations

import torch
from torch import Tensor

# Pairs of so many rows tell the median to about a percent.
_MOST_ROWS = 1000


def median_distance(X: Tensor, p_norm: float = 2.0) -> float:
    """Median distance between two different rows.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Samples. Of more than 1000 rows a fixed random choice of 1000 is taken: the same for equal
        n, whatever the seed of the caller.

    p_norm : float, default=2.0
        Which norm of the differences.

    Returns
    -------
    float
        The median; 1.0 if there are no two different rows.
    """
    if len(X) > _MOST_ROWS:
        some = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))[:_MOST_ROWS]
        X = X[some.to(X.device)]
    X = X.double()
    # Rows of size one: squares of large or small numbers leave the range of floating point.
    size = float(X.abs().max())
    X = X / size if size > 0 else X
    # A sample that counts twice is no other sample.
    distances = torch.pdist(torch.unique(X - X.mean(0), dim=0), p=p_norm)
    distances = distances[distances > 0]
    return size * float(distances.median()) if len(distances) else 1.0
