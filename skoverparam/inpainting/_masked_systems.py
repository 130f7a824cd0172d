"""Linear systems of kernels between the observed pixels of images, solved iteratively.

For each image and channel, with P the projection on the observed pixels,

    (P K P + alpha) x = y.

Conjugate gradients run in float32, on the residual, which is recomputed in float64 after each
sweep. They are preconditioned by a sparse inverse factor of the kernel between observed pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._circulant import Product, Window
from skoverparam.linalg._conjugate_gradients import conjugate_gradients
from skoverparam.linalg._sparse_inverse_cholesky import InverseFactor, sparse_inverse_cholesky

# What conjugate gradients in float32 may gain before the residual is recomputed in float64.
_GAIN = 1e-3

# A sweep that leaves more than this of the residual has failed.
_PROGRESS = 0.9

# Products of a sweep after a failed one. Where a system is singular and has no solution, conjugate
# gradients first come near and then go astray.
_CAUTIOUS_SWEEP = 2

# Pixels of all images and channels that are solved at once: on a CPU, larger temporary tensors
# would cost more in page faults than the arithmetic.
_AT_ONCE, _AT_ONCE_ON_GPU = 2**21, 2**28


class FastKernel(NamedTuple):
    """Products with a kernel, and what its preconditioner looks at.

    Attributes
    ----------
    exact, rough : callable
        Products in float64 and in float32.

    window : Window
        The kernel at small displacements.

    wrap : bool
        Whether it joins opposite borders.
    """

    exact: Product
    rough: Product
    window: Window
    wrap: bool


class Sweep(NamedTuple):
    """Where the solution stands.

    Attributes
    ----------
    x : Tensor of shape (n, c, h, w), float64
        Dual coefficients, zero on missing pixels.

    completed : Tensor of shape (n, c, h, w), float64
        ``mean + K x``.

    residual : Tensor of shape (n, c), float64
        True relative residuals.

    n_iter : int
        Products so far.
    """

    x: Tensor
    completed: Tensor
    residual: Tensor
    n_iter: int


class MaskedSystems:
    """The systems of all images and channels.

    Parameters
    ----------
    fast : FastKernel
        K.

    images : Tensor of shape (n, c, h, w)
        y is an observed value minus the mean of those of its image and channel.

    missing : Tensor of shape (n, h, w), bool
        The masks. Where nothing is missing, there is nothing to solve.

    alpha : float
        What is added to the diagonal.
    """

    def __init__(self, fast: FastKernel, images: Tensor, missing: Tensor, alpha: float) -> None:
        self.fast, self.missing, self.alpha = fast, missing, alpha
        self.observed = ~missing & missing.flatten(1).any(1)[:, None, None]
        self.y, self.mean = centered(images, self.observed)

    def solve(
        self,
        goals: Tensor,
        tol: float,
        max_iter: int,
        sweep_iter: int,
        start: Sweep | None = None,
    ) -> Iterator[Sweep]:
        """Sweep until each residual is at most its goal.

        Parameters
        ----------
        goals : Tensor of shape (n, c)
            At least ``tol``; may be changed between sweeps.

        tol : float
            Smallest of the residuals that are wanted.

        max_iter : int
            Upper bound of the number of products.

        sweep_iter : int
            And of those of a sweep.

        start : Sweep, default=None
            Where to go on, None for zero.

        Yields
        ------
        Sweep
            At least one.
        """
        x = torch.zeros_like(self.y) if start is None else start.x
        n_iter = 0 if start is None else start.n_iter
        Kx, R, residual = self._applied(x)
        # In equal parts, so that no sweep does more than it must.
        n_parts = max(1, math.ceil(math.log(max(tol, 1e-15)) / math.log(_GAIN) - 1e-9))
        gain = 0.9 * max(tol, 1e-15) ** (1 / n_parts)
        active, length = residual > goals, torch.full_like(residual, sweep_iter)
        batches: list[_Batch] = []
        if start is not None or not bool(active.any()):
            yield Sweep(x, Kx + self.mean, residual, n_iter)
        while n_iter < max_iter and bool((active := active & (residual > goals)).any()):
            batches = batches or self._batches()
            n_products, moved = 0, x
            for limit in (sweep_iter, _CAUTIOUS_SWEEP):
                correction, taken = _correction(
                    batches, R, active & (length == limit), gain, min(limit, max_iter - n_iter)
                )
                n_products, moved = max(n_products, taken), moved + correction
            n_iter += n_products
            K_moved, R_moved, fresh = self._applied(moved)
            better = (active & (fresh < residual))[:, :, None, None]
            x, Kx, R = (
                torch.where(better, new, old)
                for new, old in ((moved, x), (K_moved, Kx), (R_moved, R))
            )
            enough = fresh <= _PROGRESS * residual
            active = active & (enough | (length > _CAUTIOUS_SWEEP))
            length = torch.where(enough, length, _CAUTIOUS_SWEEP)
            residual = torch.where(better[:, :, 0, 0], fresh, residual)
            yield Sweep(x, Kx + self.mean, residual, n_iter)

    def _applied(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return K x, the residual and its relative norms."""
        Kx = self.fast.exact(x)
        R = (self.y - Kx).mul_(self.observed[:, None]).sub_(x, alpha=self.alpha)
        return Kx, R, relative_norms(R, self.y)

    def _batches(self) -> list[_Batch]:
        at_once = _AT_ONCE if self.y.device.type == "cpu" else _AT_ONCE_ON_GPU
        limit = max(1, at_once // self.y[0].numel())
        return [
            batch
            for members in _alike(sharing(self.missing), limit)
            for batch in _factorized(self.fast, self.observed, self.alpha, members, limit)
        ]


def centered(images: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract from each image and channel the mean of its observed pixels.

    Parameters
    ----------
    images : Tensor of shape (n, c, h, w)
        Looked at where observed.

    observed : Tensor of shape (n, h, w), bool
        The masks.

    Returns
    -------
    tuple of Tensor
        What is left, zero where not observed, and the means, of shape (n, c, 1, 1); float64.
    """
    seen = observed[:, None]
    values = torch.where(seen, images, 0).to(torch.float64)
    mean = values.sum((2, 3), keepdim=True) / seen.sum((2, 3), keepdim=True).clamp_min(1)
    return torch.where(seen, values - mean, 0), mean


def relative_norms(R: Tensor, y: Tensor) -> Tensor:
    """Norms of residuals relative to their right-hand sides.

    Parameters
    ----------
    R, y : Tensor of shape (n, c, ...)
        A system for each of the leading axes.

    Returns
    -------
    Tensor of shape (n, c)
        Zero where both are zero.
    """
    norms = torch.linalg.vector_norm(y.flatten(2), dim=2)
    residual = torch.linalg.vector_norm(R.flatten(2), dim=2)
    return residual / torch.where(norms > 0, norms, 1)


def sharing(missing: Tensor) -> list[Tensor]:
    """Find the images that share a mask.

    Parameters
    ----------
    missing : Tensor of shape (n, h, w), bool
        The masks.

    Returns
    -------
    list of Tensor
        The indices of the images, for each distinct mask.
    """
    if bool((missing == missing[:1]).all()):
        return [torch.arange(len(missing), device=missing.device)]
    _, group, counts = torch.unique(
        missing.flatten(1), dim=0, return_inverse=True, return_counts=True
    )
    return list(torch.argsort(group, stable=True).split(counts.tolist()))


class _Batch:
    """Systems that are solved in lockstep in float32: k masks, each with equally many images."""

    def __init__(
        self,
        fast: FastKernel,
        observed: Tensor,
        alpha: float,
        members: Tensor,
        factor: InverseFactor,
    ) -> None:
        self.members, self.images = members, members.flatten()
        self.rough, self.alpha, self.factor = fast.rough, alpha, factor
        self.seen = observed[self.images][:, None].to(torch.float32)
        # K = (K - far) + far 1 1': the second part, far larger than all else, is put back exactly.
        masks = observed[members[:, 0]].flatten(1)
        ones = masks.to(torch.float32).view(-1, 1)
        self.lifted = factor.product(ones).view(len(masks), -1, 1)
        total = self.lifted.sum((1, 2), keepdim=True, dtype=torch.float64)
        self.share = (fast.window.far / (1 + fast.window.far * total)).to(torch.float32)

    def product(self, X: Tensor) -> Tensor:
        """Return (P K P + alpha) X for X of shape (images and their channels, h, w)."""
        images = X.view(len(self.images), -1, *X.shape[1:])
        product = self.rough(images) * self.seen
        return product.add_(images, alpha=self.alpha).view_as(X)

    def precondition(self, R: Tensor) -> Tensor:
        """Return about the inverse of that times R."""
        k, n_pixels = len(self.members), R.shape[1] * R.shape[2]
        # Columns are the images and channels of one mask.
        X = R.view(k, -1, n_pixels).transpose(1, 2)
        Z = self.factor.product(X.reshape(k * n_pixels, -1)).view(X.shape)
        Z = Z - self.lifted * (self.share * (self.lifted.transpose(1, 2) @ X))
        return Z.transpose(1, 2).reshape(R.shape)


def _factorized(
    fast: FastKernel, observed: Tensor, alpha: float, members: Tensor, limit: int
) -> list[_Batch]:
    """Factorize some masks, and cut the images of a mask that has very many."""
    factor = sparse_inverse_cholesky(
        fast.window, observed[members[:, 0]], nugget=alpha, wrap=fast.wrap
    )
    parts = members.split(limit, dim=1) if len(members) == 1 else (members,)
    return [_Batch(fast, observed, alpha, part, factor) for part in parts]


def _alike(groups: list[Tensor], limit: int) -> list[Tensor]:
    """Stack groups of equal size, up to so many images, in the order of their first ones."""
    by_size: dict[int, list[Tensor]] = {}
    for group in sorted(groups, key=lambda group: int(group[0])):
        by_size.setdefault(len(group), []).append(group)
    return [
        stack
        for size, alike in by_size.items()
        for stack in torch.stack(alike).split(max(1, limit // size))
    ]


def _correction(
    batches: list[_Batch], R: Tensor, chosen: Tensor, gain: float, max_iter: int
) -> tuple[Tensor, int]:
    """Solve some of the systems for their residuals R, roughly; zero for the others."""
    correction, n_products = torch.zeros_like(R), 0
    # At an infinite scale, the systems not chosen are zero.
    scale = torch.linalg.vector_norm(R, dim=(2, 3), keepdim=True)
    scale = torch.where(chosen[:, :, None, None], scale, math.inf)
    for batch in batches:
        own = chosen[batch.images]
        if not bool(own.any()):
            continue
        solved = conjugate_gradients(
            batch.product,
            (R[batch.images] / scale[batch.images]).to(torch.float32).flatten(0, 1),
            tol=gain,
            max_iter=max_iter,
            precondition=batch.precondition,
        )
        found = solved.x.view(*own.shape, *R.shape[2:]).to(R.dtype) * scale[batch.images]
        correction[batch.images] = torch.where(own[:, :, None, None], found, 0)
        n_products = max(n_products, solved.n_iter)
    return correction, n_products
