"""What a classifying network minimizes, with gradients in closed form."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOSSES = ("square", "cross-entropy", "squentropy")


class Loss(NamedTuple):
    r"""A loss of network outputs f for a sample of class y, of C classes.

    - "square": :math:`\frac{1}{C} [k (f_y - M)^2 + \sum_{j \ne y} f_j^2]`, arXiv:2006.07322;
    - "cross-entropy": :math:`-\log \mathrm{softmax}(f)_y`;
    - "squentropy": cross-entropy plus :math:`\frac{1}{C - 1} \sum_{j \ne y} f_j^2`,
      arXiv:2302.03952.

    Attributes
    ----------
    name : {"square", "cross-entropy", "squentropy"}
        Which of them.

    k, M : float
        Weight and target of the own class; for "square" only.

    class_reduction : {"mean", "sum"}
        "sum" leaves out the factors 1 / C and 1 / (C - 1).
    """

    name: str = "square"
    k: float = 1.0
    M: float = 1.0
    class_reduction: str = "mean"

    def per_sample(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of every row of (n, C) outputs, differentiable, shape (n,)."""
        own = labels[:, None]
        true_output = outputs.gather(1, own)[:, 0]
        if self.name == "square":
            # The true class is set aside, not subtracted: with M = 30 the difference of two
            # large sums would be left.
            squares = outputs.scatter(1, own, 0).square().sum(1)
            return (squares + self.k * (true_output - self.M).square()) * self._share(outputs)
        entropy = torch.logsumexp(outputs, 1) - true_output
        if self.name == "cross-entropy":
            return entropy
        return entropy + outputs.scatter(1, own, 0).square().sum(1) * self._share(outputs)

    def residuals(self, outputs: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """Residuals of the square loss, (n, C) and differentiable.

        The sum of their squares is that of the losses of the rows, weighted.
        """
        own = labels[:, None]
        own_errors = (outputs.gather(1, own) - self.M) * math.sqrt(self.k)
        errors = outputs.scatter(1, own, own_errors) * math.sqrt(self._share(outputs))
        return errors if weights is None else errors * weights.sqrt()[:, None]

    def mean_and_gradient(
        self, outputs: Tensor, labels: Tensor, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the weighted mean of the losses of n rows and its gradient, shape (n, C).

        The closed form of what autodiff makes of `per_sample`, in half the time for small nets.
        """
        own, n = labels[:, None], len(labels)
        share = self._share(outputs)
        if self.name == "square":
            errors = outputs.scatter(1, own, outputs.gather(1, own) - self.M)
            gradient = errors * (2 * share / n)
            if self.k != 1:
                gradient.scatter_(1, own, self.k * gradient.gather(1, own))
            if weights is None:
                # Every error times its own gradient is twice its part of the loss.
                return torch.dot(errors.view(-1), gradient.view(-1)) / 2, gradient
            losses = (errors * gradient).sum(1) * (n / 2)
        else:
            losses = self.per_sample(outputs, labels)
            gradient = outputs.softmax(1)
            gradient.scatter_add_(1, own, gradient.new_full((n, 1), -1.0))
            if self.name == "squentropy":
                gradient.add_(outputs.scatter(1, own, 0), alpha=2 * share)
            gradient.mul_(1 / n)
            if weights is None:
                return losses.mean(), gradient
        share_of_row = _normalized(weights)
        return torch.dot(losses, share_of_row), gradient.mul_(n * share_of_row[:, None])

    def _share(self, outputs: Tensor) -> float:
        if self.class_reduction == "sum":
            return 1.0
        n_classes = outputs.shape[1]
        return 1 / n_classes if self.name == "square" else 1 / (n_classes - 1)


def loss(
    outputs: Tensor,
    labels: Tensor,
    *,
    name: str = "square",
    k: float = 1.0,
    M: float = 1.0,
    class_reduction: str = "mean",
    class_weights: Tensor | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean loss of a batch, differentiable.

    Parameters
    ----------
    outputs : Tensor of shape (B, C) or (B, T, C)
        Outputs of a network, no softmax. Half precision is widened to float32.

    labels : Tensor of shape (B,) or (B, T)
        Indices of classes; negative labels are not counted.

    name, k, M, class_reduction : optional
        As in `Loss`.

    class_weights : Tensor of shape (C,), default=None
        Weight of the samples of a class. The mean is weighted: its scale does not matter.

    mask : Tensor of bool, of the shape of labels, default=None
        What counts; None: all labels that are not negative.

    Returns
    -------
    Tensor
        The mean over what counts; zero if nothing does.
    """
    rows, counted, weights = counted_rows(outputs, labels, class_weights, mask)
    losses = Loss(name, k, M, class_reduction).per_sample(rows, counted)
    if weights is None:
        return losses.sum() / max(len(losses), 1)
    return torch.dot(losses, _normalized(weights))


def loss_and_gradient(
    outputs: Tensor, labels: Tensor, kind: Loss, class_weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the mean loss as in `loss`, and its gradient by the outputs, of their shape."""
    if labels.ndim == 1 and class_weights is None:
        value, gradient = kind.mean_and_gradient(widened(outputs), labels, None)
        return value, gradient.to(outputs.dtype)
    rows, counted, weights = counted_rows(outputs, labels, class_weights, None)
    full = torch.zeros_like(outputs)
    if not len(counted):
        return full.sum(), full
    value, gradient = kind.mean_and_gradient(rows, counted, weights)
    full[labels >= 0] = gradient.to(outputs.dtype)
    return value, full


def counted_rows(
    outputs: Tensor,
    labels: Tensor,
    class_weights: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Flatten positions to rows and leave out those that are not counted."""
    mask = labels >= 0 if mask is None else mask & (labels >= 0)
    rows, labels = widened(outputs)[mask], labels[mask]
    return rows, labels, None if class_weights is None else class_weights[labels].to(rows.dtype)


def widened(outputs: Tensor) -> Tensor:
    """Widen outputs to float32: squares of 30 and more are too coarse in half precision."""
    return outputs.float() if outputs.element_size() < 4 else outputs


def published_rescaling(n_classes: int, *, adaptive: bool) -> tuple[float, float]:
    """Choose (k, M) by the number of classes.

    For gradient descent the published table: (1, 1) below 42 classes, (1, 15) below 1000 and
    (15, 30) from there. Adaptive optimizers such as Adam move every weight by the same step
    whatever the scale of the loss, so that outputs take long to grow to a large M, while k alone
    helps from 42 classes on: (15, 1). This rule is our own.
    """
    if n_classes < 42:
        return 1.0, 1.0
    if adaptive:
        return 15.0, 1.0
    return (1.0, 15.0) if n_classes < 1000 else (15.0, 30.0)


def sharpness(kind: Loss) -> float:
    """Scale of the outputs that a temperature is measured in: M for the square loss, else 1."""
    return kind.M if kind.name == "square" else 1.0


def _normalized(weights: Tensor) -> Tensor:
    total = weights.sum()
    return weights / torch.where(total > 0, total, math.inf)
