"""Completion of images under a given kernel between pixels.

With P the projection on the observed pixels, the dual coefficients x solve

    (P K P + alpha) x = y - mean,        and the completion is   mean + K x

on the missing pixels. All images and channels are solved together: by conjugate gradients where
the kernel has a fast product, by a Cholesky factor for each mask where it is a dense array.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from skoverparam.inpainting._masked_systems import (
    FastKernel,
    MaskedSystems,
    Sweep,
    centered,
    relative_norms,
    sharing,
)
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel, DenseKernel, DisplacementWindow
from skoverparam.linalg._circulant import (
    Window,
    as_window,
    circulant_product,
    displacements,
    fast_length,
    plus_constant,
    window_product,
)
from skoverparam.linalg._jittered_cholesky import jittered_cholesky
from skoverparam.linalg._units import units_of

# Products between two float64 residuals; few where held-out pixels are looked at after each.
_SWEEP, _SHORT_SWEEP = 50, 4

# A sweep that leaves more than this of the error on held-out pixels was the last one.
_HELD_OUT_PROGRESS = 0.999

# Largest displacement the preconditioner looks at where the kernel is nowhere constant.
_REACH = 15

# Entries of a dense kernel that are copied at once.
_BLOCK = 2**24


class Step(NamedTuple):
    """Completion so far.

    Attributes
    ----------
    images : Tensor of shape (n, c, h, w)
        The images, missing pixels filled in; observed pixels as they were given.

    residual : Tensor of shape (n, c), float64
        True relative residuals of the systems solved in this step, recomputed in float64.

    n_iter : int
        Products with the kernel so far.

    converged : bool
        Whether every residual is at most the tolerance.

    held_out_error : Tensor of shape (n,) or None
        Root mean squared error on each image's held-out pixels, while they are held out.

    jitter : float
        Largest number that was added to a diagonal so that it could be factorized; zero when the
        systems were solved as they stand, and in conjugate gradients always.
    """

    images: Tensor
    residual: Tensor
    n_iter: int
    converged: bool
    held_out_error: Tensor | None = None
    jitter: float = 0.0


def complete(
    images: Tensor,
    missing: Tensor,
    kernel: BlockCirculantKernel | DisplacementWindow | DenseKernel,
    *,
    alpha: float = 0.0,
    tol: float = 1e-3,
    max_iter: int = 500,
    held_out: Tensor | None = None,
) -> Iterator[Step]:
    """Complete images by kernel regression on their observed pixels.

    Parameters
    ----------
    images : Tensor of shape (n, c, h, w)
        Missing pixels may hold anything, NaN included.

    missing : Tensor of shape (n, h, w), bool
        Each image's missing pixels, the same in all channels. Images with the same mask share
        all that depends on it. An image with no observed pixel becomes zero.

    kernel : BlockCirculantKernel, DisplacementWindow or DenseKernel
        A `BlockCirculantKernel` joins opposite borders. A `DisplacementWindow` is the kernel of
        a part of the plane, of any size, and joins nothing. The others may be larger than the
        images, which then are the upper left part, and the rest is missing.

    alpha : float, default=0
        What is added to the kernel's diagonal: the variance of noise in the observed pixels.

    tol : float, default=1e-3
        Largest relative residual of every image and channel.

    max_iter : int, default=500
        Upper bound of the number of products with the kernel. Not used by dense kernels.

    held_out : Tensor of shape (n, h, w), bool, default=None
        Observed pixels to stop by: first they are hidden, until an image's error on them stops
        falling; then they are observed again, and the image is solved to the residual that was
        reached, if ``tol`` is not reached before. This saves products where ``tol`` is smaller
        than the picture needs; against noise ``alpha`` does more. Not used by dense kernels.

    Yields
    ------
    Step
        After each sweep of conjugate gradients, at least one. The last one is the result.

    Notes
    -----
    The observed mean of each image and channel is subtracted before and added after.

    Conjugate gradients run in float32, on the residual, which is recomputed in float64 after each
    sweep. They are preconditioned by a sparse approximate inverse factor of the kernel between
    observed pixels (`sparse_inverse_cholesky`), with the kernel's constant far value, which is
    of rank one, put back exactly. At a half or four fifths of the pixels missing at random they
    take 10 to 20 products to a residual of 1e-3 whatever the size of the image. Where nearly
    all pixels are observed, the kernels of networks that upsample are close to singular, and
    interpolate badly: give them a positive ``alpha``. Half a hundredth of the diagonal was best,
    or nearly, on seven pictures for 3 to 5 levels and 2 % to 80 % of the pixels missing. A
    sweep that does not lessen a residual is taken back, and followed by short ones until one of
    these fails, too.

    The cost is ``O(N log N)`` for a period of one and a few hundred operations per pixel and
    product otherwise; the memory some tens of numbers per pixel, and 150 bytes per observed pixel
    and mask.
    """
    # In units of powers of two, which change no digit, the squares of residuals are numbers.
    seen = torch.where(missing[:, None], 0, images)
    units = units_of(seen.flatten(1).T)
    back = units[:, None, None, None]
    for step in _complete(kernel, _Task(seen / back, missing, alpha, tol, max_iter, held_out)):
        error = None if step.held_out_error is None else step.held_out_error * units
        filled = _filled(images, missing, step.images * back)
        yield step._replace(images=filled, held_out_error=error)


def torus_shape(shape: tuple[int, int], *, period: int, reach: int) -> tuple[int, int]:
    """Shape of a torus on which an image meets itself nowhere.

    Parameters
    ----------
    shape : tuple of two ints
        Rows and columns of the image.

    period : int
        The period p of the kernel: both sides become multiples of it.

    reach : int
        Displacement beyond which the kernel is constant, 2^levels - 1 for nearest upsampling; with
        0 the borders may meet.

    Returns
    -------
    tuple of two ints
        Sides for fast Fourier transforms.

    Notes
    -----
    A block-circulant kernel on this shape makes `complete` treat the margin as missing. Opposite
    borders of pictures have little in common: keeping them apart was worth .2 to .4 dB on average
    over seven pictures of 256 x 256.
    """
    h, w = (fast_length(-(-(side + reach) // period)) * period for side in shape)
    return h, w


class _Task(NamedTuple):
    """The arguments of :func:`complete` but for the kernel."""

    images: Tensor
    missing: Tensor
    alpha: float
    tol: float
    max_iter: int
    held_out: Tensor | None


@singledispatch
def _complete(kernel: object, task: _Task) -> Iterator[Step]:
    raise TypeError(f"no such kernel: {type(kernel).__name__}")


@_complete.register
def _complete_dense(kernel: DenseKernel, task: _Task) -> Iterator[Step]:
    images, missing = task.images, task.missing
    y, mean = centered(images, ~missing)
    n, c, h, w = images.shape
    tall, wide = _require_room(kernel.values.shape, images)
    K = kernel.values.reshape(tall * wide, tall * wide)
    # Where the pixels of the images are among those of the kernel.
    place = (torch.arange(h * w, device=K.device) // w) * wide
    place += torch.arange(h * w, device=K.device) % w
    completed = torch.zeros(n, c, h * w, dtype=torch.float64, device=images.device)
    residual = torch.zeros(n, c, dtype=torch.float64, device=images.device)
    jitter = 0.0
    for members in sharing(missing):
        gone = missing[members[0]].flatten()
        seen = place[~gone]
        if not len(seen) or not bool(gone.any()):
            continue
        # (unknowns, images of this mask and their channels)
        Y = y[members].flatten(0, 1).flatten(1)[:, ~gone].T
        A = K[seen[:, None], seen].to(torch.float64)
        A.diagonal().add_(task.alpha)
        if not bool(A.any()):
            # The network sees nothing there: nothing but the mean can be said of the others.
            residual[members] = y[members].flatten(2).any(2).to(residual.dtype)
            continue
        L, added = jittered_cholesky(A, "The kernel of the observed pixels")
        jitter = max(jitter, added)
        X = torch.cholesky_solve(Y, L)
        R = (Y - A @ X).T.view(len(members), c, -1)
        residual[members] = relative_norms(R, Y.T.view(R.shape))
        del A, L
        filled = torch.zeros(X.shape[1], h * w, dtype=torch.float64, device=images.device)
        filled[:, gone] = _predicted(K, place[gone], seen, X).T
        completed[members] = filled.view(len(members), c, -1)
    yield Step(
        _filled(images, missing, completed.view(n, c, h, w) + mean),
        residual,
        0,
        bool((residual <= task.tol).all()),
        None,
        jitter,
    )


@_complete.register
def _complete_block_circulant(kernel: BlockCirculantKernel, task: _Task) -> Iterator[Step]:
    images = task.images
    blocks = kernel.blocks.to(torch.float64)
    shape = _require_room(blocks.shape, images)
    window = as_window(blocks)
    if window is not None:
        fast = _both_precisions(window, shape, wrap=True)
    else:
        # Nowhere constant: the preconditioner makes do with what is near.
        reach = min(_REACH, (min(shape) - 1) // 2)
        far = float(blocks.min())
        near = (blocks - far).to(torch.float32)
        fast = FastKernel(
            circulant_product(blocks),
            plus_constant(circulant_product(near), far),
            Window(displacements(blocks, reach), far),
            wrap=True,
        )
    margin = (0, shape[1] - images.shape[3], 0, shape[0] - images.shape[2])
    held_out = None if task.held_out is None else functional.pad(task.held_out, margin)
    padded = task._replace(
        images=functional.pad(images, margin),
        missing=functional.pad(task.missing, margin, value=True),
        held_out=held_out,
    )
    h, w = images.shape[2:]
    for step in _sweeps(fast, padded):
        yield step._replace(images=step.images[..., :h, :w])


@_complete.register
def _complete_in_the_plane(kernel: DisplacementWindow, task: _Task) -> Iterator[Step]:
    window = Window(kernel.values.to(torch.float64), kernel.far)
    h, w = task.images.shape[2:]
    yield from _sweeps(_both_precisions(window, (h, w), wrap=False), task)


def _both_precisions(window: Window, shape: tuple[int, int], *, wrap: bool) -> FastKernel:
    rough = Window(window.values.to(torch.float32), window.far)
    return FastKernel(
        window_product(window, shape, wrap=wrap),
        window_product(rough, shape, wrap=wrap),
        window,
        wrap,
    )


def _sweeps(fast: FastKernel, task: _Task) -> Iterator[Step]:
    images, missing, alpha, tol, max_iter, held_out = task
    goals = torch.full(images.shape[:2], tol, dtype=torch.float64, device=images.device)
    last: Sweep | None = None
    if held_out is not None:
        held_out = held_out & ~missing
        hidden = MaskedSystems(fast, images, missing | held_out, alpha)
        best = torch.full_like(goals[:, 0], math.inf)
        for sweep in hidden.solve(goals, tol, max_iter, _SHORT_SWEEP):
            error = _error(images, sweep.completed, held_out)
            # A system that is told to stop keeps the residual it has reached.
            reached = (error > _HELD_OUT_PROGRESS * best)[:, None] & (sweep.n_iter > 0)
            goals.copy_(torch.where(reached, goals.maximum(sweep.residual), goals))
            best = best.minimum(error)
            last = sweep
            yield _step(sweep, images, missing, goals)._replace(held_out_error=error)
    masked = MaskedSystems(fast, images, missing, alpha)
    # Not far beyond the residual at which the held-out pixels were content.
    for sweep in masked.solve(goals, tol, max_iter, _SHORT_SWEEP if last else _SWEEP, last):
        yield _step(sweep, images, missing, goals)


def _step(sweep: Sweep, images: Tensor, missing: Tensor, goals: Tensor) -> Step:
    return Step(
        _filled(images, missing, sweep.completed),
        sweep.residual,
        sweep.n_iter,
        bool((sweep.residual <= goals).all()),
    )


def _filled(images: Tensor, missing: Tensor, completed: Tensor) -> Tensor:
    return torch.where(missing[:, None], completed.to(images.dtype), images)


def _error(images: Tensor, completed: Tensor, where: Tensor) -> Tensor:
    """Root mean squared errors of shape (n,) over some pixels; zero where there are none."""
    squares = torch.where(where[:, None], images - completed, 0).square().sum((1, 2, 3))
    return (squares / (where.sum((1, 2)) * images.shape[1]).clamp_min(1)).sqrt()


def _require_room(kernel: torch.Size, images: Tensor) -> tuple[int, int]:
    """Return the shape of the pixels of a kernel, its last two axes, if the images fit in."""
    tall, wide = kernel[-2:]
    h, w = images.shape[2:]
    if tall < h or wide < w:
        raise ValueError(
            f"kernel must be at least as large as the images, of shape {(h, w)}, got one for "
            f"shape {(tall, wide)}."
        )
    return tall, wide


def _predicted(K: Tensor, gone: Tensor, seen: Tensor, X: Tensor) -> Tensor:
    """Return K[gone, seen] X in float64, some rows at a time."""
    rows = max(1, _BLOCK // max(1, len(seen)))
    return torch.cat([K[part[:, None], seen].to(X.dtype) @ X for part in gone.split(rows)])
