"""Gradient descent on the logistic loss, whose direction converges to the maximum margin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus


class DescentStep(NamedTuple):
    """Where gradient descent is.

    Attributes
    ----------
    dual : Tensor of shape (m, n)
        Coefficients of the points, for each of m problems: ``w = sum_i dual_i x_i``.

    loss : float
        Mean logistic loss, all problems together.

    margin : float
        Smallest signed distance of a point from its boundary.

    margin_ratio : float
        Margin over the largest possible one, that of the worst problem.

    cosine : float
        Cosine between w and the direction of maximum margin, that of the worst problem.
    """

    dual: Tensor
    loss: float
    margin: float
    margin_ratio: float
    cosine: float


def logistic_descent(
    F: Tensor, signs: Tensor, dual_best: Tensor, margins: Tensor, *, max_iter: int
) -> Iterator[DescentStep]:
    r"""Minimize the logistic loss of separable points by gradient descent from zero.

    Parameters
    ----------
    F : Tensor of shape (n, r)
        Features.

    signs : Tensor of shape (m, n)
        Classes, -1 or +1, of m problems on the same points.

    dual_best : Tensor of shape (m, n)
        Coefficients of the directions of maximum margin.

    margins : Tensor of shape (m,)
        The margins they have.

    max_iter : int
        How many steps.

    Yields
    ------
    DescentStep
        After every step.

    Notes
    -----
    On separable points the loss has no minimum: w grows like :math:`\log t`, and its direction
    converges to that of the maximum margin, at the rate :math:`1 / \log t` (arXiv:1710.10345).
    The step is 4 over the largest eigenvalue of :math:`F^T F`, the inverse of the gradient's
    Lipschitz constant for the sum of the losses. A step costs two passes, :math:`4 n r m`.
    """
    n = len(F)
    best = dual_best @ F
    best = best / torch.linalg.vector_norm(best, dim=1, keepdim=True)
    step = 4 / torch.linalg.matrix_norm(F, ord=2) ** 2
    dual, w = torch.zeros_like(signs), torch.zeros_like(best)
    values = torch.zeros_like(signs)
    for _ in range(max_iter):
        change = step * signs * torch.sigmoid(-values)
        dual = dual + change
        w = w + change @ F
        values = signs * (w @ F.T)
        norms = torch.linalg.vector_norm(w, dim=1)
        reached = values.min(1).values / norms
        cosine = (w * best).sum(1) / norms
        yield DescentStep(
            dual=dual,
            loss=float(softplus(-values).sum() / n),
            margin=float(reached.min()),
            margin_ratio=float((reached / margins).min()),
            cosine=float(cosine.min()),
        )
