"""The two-layer convolutional network with polynomial ReLU, and its gradient descent.

The network of arXiv:2202.06526: filters are shared by the patches of a sample, the second layer
is fixed, and the gradient of a filter is a combination of training patches. Gradient descent
therefore never leaves the initial filters plus the span of the patches. Here it runs on the
coefficients of that span (cost independent of the dimension of a patch), or on the filters.

Leading axes are cells: independent problems of the same shape that share every operation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

# Inner products of filters and patches that prediction keeps at a time.
_BLOCK = 2**22


def activation(z: Tensor, q: float) -> Tensor:
    """Polynomial ReLU, :math:`max(0, z)^q`."""
    return _power(z.clamp_min(0), q)


def outputs(coef: Tensor, patches: Tensor, q: float) -> Tensor:
    r"""Compute the outputs of the network.

    Parameters
    ----------
    coef : Tensor of shape (K, m, d)
        Filters of each class.

    patches : Tensor of shape (n, P, d)
        Samples.

    q : float
        Degree of the activation.

    Returns
    -------
    Tensor of shape (n, K)
        :math:`F_k(x_i) = \frac{1}{m} \sum_{r,p} \max(0, \langle w_{kr}, x_{ip} \rangle)^q`.
        Memory besides: that of a block of samples.
    """
    n_classes, n_filters, d = coef.shape
    n, n_patches, _ = patches.shape
    W = coef.reshape(-1, d).T
    size = max(1, _BLOCK // (n_classes * n_filters * n_patches))
    F = [
        activation(block.reshape(-1, d) @ W, q)
        .reshape(len(block), n_patches, n_classes, n_filters)
        .sum((1, 3))
        for block in patches.split(size)
    ]
    return torch.cat(F) / n_filters


class Problem(NamedTuple):
    """What gradient descent needs to know of cells whose patches' inner products are known.

    Attributes
    ----------
    counts : Tensor of shape (B, M, n) or None
        How often each of M patches occurs in a sample, over m. None: patches are those of
        sample 0, of sample 1, and so on, equally many each.

    own : Tensor of shape (B, n)
        Class of each sample: -1 or +1 for the logistic loss, else an integer from 0 below K.

    weights : Tensor of shape (B, n)
        One over the number of samples; 0 for samples that only fill up a shorter cell.

    slopes : Tensor of shape (B, K, n)
        Factors of the loss's derivatives in the outputs: weights times q, and with the sign of
        the class for the logistic loss.

    n_filters : int
        Number m of filters of a class.

    q : float
        Degree of the activation.

    logistic : bool
        Whether the loss is the logistic one on the difference of two outputs, which the softmax
        of two outputs amounts to.
    """

    counts: Tensor | None
    own: Tensor
    weights: Tensor
    slopes: Tensor
    n_filters: int
    q: float
    logistic: bool

    @classmethod
    def of(
        cls,
        counts: Tensor | None,
        labels: Tensor,
        weights: Tensor,
        *,
        n_classes: int,
        n_filters: int,
        q: float,
        logistic: bool,
    ) -> Problem:
        """Prepare the factors, from counts as they are and labels (B, n) that count from 0."""
        if counts is not None:
            counts = counts / n_filters
        slopes = (q * weights)[:, None].repeat(1, n_classes, 1)
        own = labels
        if logistic:
            own = (2 * labels - 1).to(weights.dtype)
            slopes = slopes * torch.stack([own, -own], dim=1)
        return cls(counts, own, weights, slopes, n_filters, q, logistic)

    def among(self, kept: Tensor) -> Problem:
        """Keep some of the cells, given by their indices."""
        return self._replace(
            counts=None if self.counts is None else self.counts[kept],
            own=self.own[kept],
            weights=self.weights[kept],
            slopes=self.slopes[kept],
        )


class Slope(NamedTuple):
    """Loss and gradient at some filters.

    Attributes
    ----------
    loss : Tensor of shape (B,)
        Mean loss of the training samples.

    scale : Tensor of shape (B, K, 1, M)
        The loss's derivative in a patch's inner product with a filter is scale times powers.

    powers : Tensor of shape (B, K, m, M)
        :math:`max(0, z)^{q-1}` of the inner products.
    """

    loss: Tensor
    scale: Tensor
    powers: Tensor


def slope(z: Tensor, problem: Problem) -> Slope:
    """Evaluate loss and gradient from the inner products of filters and patches.

    Parameters
    ----------
    z : Tensor of shape (B, K * m, M)
        Inner products; overwritten.

    problem : Problem
        The cells.

    Returns
    -------
    Slope
        At these filters.
    """
    counts, n_filters, q = problem.counts, problem.n_filters, problem.q
    # Cut off before the power: a power of a negative number is NaN where q is no integer.
    z = z.clamp_(min=0).unflatten(1, (-1, n_filters))
    powers = _power(z, q - 1) if q > 1 else (z > 0).to(z.dtype)
    excited = (powers * z).sum(2)
    if counts is None:
        n_samples = problem.weights.shape[1]
        F = excited.unflatten(2, (n_samples, -1)).sum(3) / n_filters
    else:
        F = excited @ counts
    losses, residuals = _cross_entropy(F, problem)
    if counts is None:
        scale = (residuals / n_filters).repeat_interleave(z.shape[3] // F.shape[2], dim=2)
    else:
        scale = residuals @ counts.mT
    return Slope(torch.linalg.vecdot(losses, problem.weights), scale.unsqueeze(2), powers)


def largest_loss(dtype: torch.dtype) -> float:
    """Return a loss from which the next step may leave the range of numbers."""
    return float(torch.finfo(dtype).max ** 0.3)


class DescentStep(NamedTuple):
    """Where gradient descent is.

    Attributes
    ----------
    loss : float
        Mean training loss.

    patch_coef : Tensor of shape (K, m, M)
        Coefficients of the patches: the filters are initial ones plus ``patch_coef @ patches``.

    coef : Tensor of shape (K, m, d) or None
        The filters, if the descent runs on them.

    stationary : bool
        Whether the gradient is exactly zero, so that nothing will ever change.
    """

    loss: float
    patch_coef: Tensor
    coef: Tensor | None
    stationary: bool


def span_descent(
    gram: Tensor, start: Tensor, patch_coef: Tensor, problem: Problem, learning_rate: float
) -> Iterator[DescentStep]:
    r"""Gradient descent on the coefficients of the patches.

    Parameters
    ----------
    gram : Tensor of shape (M, M)
        Inner products of the patches.

    start : Tensor of shape (K, m, M)
        Inner products of the initial filters with the patches.

    patch_coef : Tensor of shape (K, m, M)
        Coefficients to start from.

    problem : Problem
        A single cell.

    learning_rate : float
        Constant step.

    Yields
    ------
    DescentStep
        Before the first step, and after every one, until the loss leaves the range of numbers.

    Notes
    -----
    With :math:`w_{kr} = w_{kr}(0) + \sum_a c_{kra} x_a`, a step of gradient descent is
    :math:`c_{kra} \leftarrow c_{kra} - \eta\, \partial L / \partial \langle w_{kr}, x_a \rangle`:
    the same filters as from a step on the filters themselves, whatever the rank of the patches.
    A step costs :math:`K m M^2`, free of d.
    """
    gram, start = gram[None], start.flatten(0, 1)[None]
    C, loss, largest = patch_coef[None], math.inf, largest_loss(gram.dtype)
    while True:
        # Taken from the coefficients anew in each step: nothing drifts.
        at = slope(torch.baddbmm(start, C.flatten(1, 2), gram), problem)
        before, loss = loss, float(at.loss)
        if not loss < largest:
            return
        yield DescentStep(loss, C[0], None, loss == before and _is_zero(at))
        C = torch.addcmul(C, at.powers, at.scale, value=-learning_rate)


def dense_descent(
    patches: Tensor, coef: Tensor, patch_coef: Tensor, problem: Problem, learning_rate: float
) -> Iterator[DescentStep]:
    """Gradient descent on the filters, for more patches than they have dimensions.

    Parameters
    ----------
    patches : Tensor of shape (M, d)
        The patches.

    coef : Tensor of shape (K, m, d)
        Filters to start from.

    patch_coef : Tensor of shape (K, m, M)
        Coefficients to start from; kept up to date beside the filters.

    problem : Problem
        A single cell.

    learning_rate : float
        Constant step.

    Yields
    ------
    DescentStep
        Before the first step, and after every one, until the loss leaves the range of numbers. A
        step costs 2 K m M d.
    """
    W, C = coef.flatten(0, 1), patch_coef
    loss, largest = math.inf, largest_loss(coef.dtype)
    while True:
        at = slope((W @ patches.T)[None], problem)
        before, loss = loss, float(at.loss)
        if not loss < largest:
            return
        yield DescentStep(loss, C, W.reshape(coef.shape), loss == before and _is_zero(at))
        change = (at.powers * at.scale)[0] * -learning_rate
        C = C + change
        W = torch.addmm(W, change.flatten(0, 1), patches)


def _power(z: Tensor, exponent: float) -> Tensor:
    """Powers of numbers that are not negative; small integers by multiplication."""
    if exponent == 1:
        return z
    if exponent == 2:
        return z * z
    if exponent == 3:
        return z * z * z
    return z**exponent


def _cross_entropy(F: Tensor, problem: Problem) -> tuple[Tensor, Tensor]:
    """Losses (B, n), and their derivatives in the outputs (B, K, n) times the slopes."""
    own = problem.own
    if problem.logistic:
        margins = own * (F[:, 0] - F[:, 1])  # with the other sign
        return softplus(margins), torch.sigmoid(margins)[:, None] * problem.slopes
    own = own[:, None]
    log_p = F.log_softmax(1)
    minus = torch.full_like(own, -1, dtype=F.dtype)
    residuals = log_p.exp().scatter_add(1, own, minus)
    return -log_p.gather(1, own)[:, 0], residuals * problem.slopes


def _is_zero(at: Slope) -> bool:
    return not bool((at.powers * at.scale).any())
