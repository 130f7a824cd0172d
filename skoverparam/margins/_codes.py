"""From classes to hard-margin problems: one against the rest, or the corners of a simplex."""

from __future__ import annotations

import torch
from torch import Tensor

from skoverparam.margins._constraints import Constraints, Points


def one_against_rest(
    points: Points, labels: Tensor, n_classes: int, free: bool
) -> list[Constraints]:
    """Make a problem of two sides per class, or just one for two classes.

    Parameters
    ----------
    points : Points
        The training points.

    labels : Tensor of int, shape (n,)
        Classes 0, 1, ...

    n_classes : int
        How many there are.

    free : bool
        Whether there is a free intercept.

    Returns
    -------
    list of Constraints
        One per class. For two classes one in all, class 1 being the positive side.
    """
    positive = [1] if n_classes == 2 else range(n_classes)
    dtype = points.like.dtype
    return [
        Constraints(points, (2.0 * (labels == k).to(dtype) - 1)[:, None], None, free)
        for k in positive
    ]


def simplex_codes(n_classes: int, like: Tensor) -> Tensor:
    """Corners of a regular simplex around the origin, at distance 1 from it.

    Parameters
    ----------
    n_classes : int
        How many corners, k.

    like : Tensor
        Gives device and precision.

    Returns
    -------
    Tensor of shape (k, k - 1)
        Codes with inner products 1 with themselves and ``-1 / (k - 1)`` with each other; -1 and
        +1 for two.
    """
    k = n_classes
    if k == 2:
        return like.new_tensor([[-1.0], [1.0]])
    # An orthonormal basis of the vectors that sum to zero.
    basis = torch.linalg.qr(
        torch.hstack([like.new_ones(k, 1), torch.eye(k, k - 1, device=like.device).to(like)])
    ).Q[:, 1:]
    return basis * (k / (k - 1)) ** 0.5


def between_corners(points: Points, labels: Tensor, codes: Tensor, free: bool) -> Constraints:
    r"""Make the one problem that asks every point to be closer to its corner than to any other.

    Parameters
    ----------
    points : Points
        The training points.

    labels : Tensor of int, shape (n,)
        Classes 0, 1, ...

    codes : Tensor of shape (k, k - 1)
        Corners of the simplex, :math:`c_y`.

    free : bool
        Whether there is a free intercept, of k - 1 entries.

    Returns
    -------
    Constraints
        ``(k - 1) / k <c_y - c_{y'}, f(x_i)> >= 1`` for every point and each of the k - 1 wrong
        classes y'. All of them are equalities where :math:`f(x_i) = c_{y_i}`.

    Notes
    -----
    With one vector :math:`w_y = W c_y` per class these are the constraints of the multiclass
    support vector machines of Weston and Watkins and of Crammer and Singer, and
    :math:`\sum_y \|w_y\|^2 = \|W\|^2 k / (k - 1)`.
    """
    k = len(codes)
    labels = labels.to(codes.device)
    wrong = torch.arange(k, device=labels.device) != labels[:, None]
    index, other = wrong.nonzero(as_tuple=True)
    return Constraints(points, (k - 1) / k * (codes[labels[index]] - codes[other]), index, free)
