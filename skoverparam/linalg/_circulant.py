"""Products with kernels between pixels that are the same all over the image, up to a period.

A block-circulant kernel of period p is given by p^2 images, one for each *phase* of a pixel,
(i mod p, j mod p): ``blocks[a, b, u, v] = K[(a, b), (a + u, b + v)]``, displacements around the
image. With p = 1 it is circulant. A kernel that is constant beyond a small displacement is given
by a *window* and that constant, and then belongs to the plane, without borders to go around.

Every maker returns a function on tensors of shape (..., h, w): all leading axes share its work.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Product = Callable[[Tensor], Tensor]

# Pixels transformed at once on a CPU: larger temporary tensors would cost more in page faults than
# the transforms.
_PART = 2**18

# What a compact kernel may deviate from its far value by rounding, relative to its largest entry.
_ROUNDING = 1e-13


class Window(NamedTuple):
    """A kernel that is constant beyond a displacement.

    Attributes
    ----------
    values : Tensor of shape (p, p, 2 r + 1, 2 r + 1)
        ``values[a, b, r + u, r + v]``: between a pixel of phase (a, b) and the one at displacement
        (u, v).

    far : float
        Between pixels that are farther apart, along either axis.
    """

    values: Tensor
    far: float


def circulant_product(blocks: Tensor) -> Product:
    """Product with a block-circulant kernel, by fast Fourier transforms.

    Parameters
    ----------
    blocks : Tensor of shape (p, p, h, w)
        A symmetric kernel; h and w are multiples of p.

    Returns
    -------
    product : callable
        Maps tensors of shape (..., h, w), of the dtype of ``blocks``, to K times them. A smaller
        image (..., h', w') is the upper left part of one that is zero elsewhere, and so is the
        result: this is K restricted to those pixels.

    Raises
    ------
    ValueError
        If the sides are no multiples of the period.

    Notes
    -----
    With the image cut into its p^2 phase planes of (h/p) x (w/p) pixels, K is a p^2 x p^2 array
    of circulant matrices: one Fourier transform of each plane, one product with a p^2 x p^2
    matrix for each frequency, and the transforms back. The cost is ``O(h w (log(h w) + p^2))``
    an image, the memory ``p^2 h w`` numbers.
    """
    p, q, h, w = blocks.shape
    if p != q or h % p or w % p:
        raise ValueError(
            "blocks must have shape (p, p, h, w) with h and w multiples of p, "
            f"got {tuple(blocks.shape)}."
        )
    if p == 1:
        return _fourier_product(blocks[0, 0])
    spectrum = _block_spectrum(blocks)

    def product(X: Tensor) -> Tensor:
        *batch, rows, columns = X.shape
        if (rows, columns) != (h, w):
            X = functional.pad(X, (0, w - columns, 0, h - rows))
        # (..., h, w) -> (phases, batch, h/p, w/p)
        planes = X.reshape(-1, h // p, p, w // p, p).permute(2, 4, 0, 1, 3).flatten(0, 1)
        waves = torch.fft.rfft2(planes)
        shape = waves.shape
        # (frequencies, phases, batch)
        waves = waves.flatten(2).permute(2, 0, 1)
        waves = torch.bmm(spectrum, waves).permute(1, 2, 0).reshape(shape)
        planes = torch.fft.irfft2(waves, s=(h // p, w // p))
        planes = planes.unflatten(0, (p, p)).permute(2, 3, 0, 4, 1).reshape(*batch, h, w)
        return planes[..., :rows, :columns]

    return product


def window_product(window: Window, shape: tuple[int, int], *, wrap: bool) -> Product:
    """Product with a kernel that is constant beyond a displacement.

    Parameters
    ----------
    window : Window
        A symmetric kernel of period p.

    shape : tuple of two ints
        The images' rows and columns.

    wrap : bool
        Whether the kernel goes around the image, whose sides are then multiples of p, and at least
        2 r + 1; otherwise it is that of a part of the plane, of any size.

    Returns
    -------
    product : callable
        Maps tensors of shape (..., h, w), of the dtype of the window, to K times them.

    Notes
    -----
    The constant is a sum. The rest is a Fourier transform and back where p = 1, and where not
    a convolution of stride p with p^2 filters of (2 r + p)^2 weights, which on small windows is
    faster than the many transforms. Both make no more than a few copies of the images.
    """
    h, w = shape
    near = window.values - window.far
    p, r = len(near), near.shape[-1] // 2
    if p == 1:
        sides = (h, w) if wrap else (fast_length(h + r), fast_length(w + r))
        bump = near.new_zeros(sides)
        steps = torch.arange(-r, r + 1, device=near.device)
        bump[(steps % sides[0])[:, None], steps % sides[1]] = near[0, 0]
        product = _fourier_product(bump)
    else:
        product = _strided_product(near, shape, wrap)

    return plus_constant(product, window.far)


def plus_constant(product: Product, constant: float) -> Product:
    """Product with a kernel plus a constant, apart from it.

    Parameters
    ----------
    product : callable
        Product with the kernel.

    constant : float
        What is added to all its entries. Added to a kernel that is small beside it, float32 would
        lose that kernel's digits.

    Returns
    -------
    product : callable
        As the one given.
    """

    def with_constant(X: Tensor) -> Tensor:
        # The sum of many numbers that nearly cancel: in float64 whatever the images are.
        total = X.sum((-2, -1), keepdim=True, dtype=torch.float64)
        return product(X) + (constant * total).to(X.dtype)

    return with_constant


def as_window(blocks: Tensor) -> Window | None:
    """Return the window of a block-circulant kernel that is constant beyond a displacement.

    Parameters
    ----------
    blocks : Tensor of shape (p, p, h, w)
        The kernel.

    Returns
    -------
    Window or None
        The smallest one, up to rounding. None where the kernel is constant nowhere, or where the
        window would go around the image.
    """
    h, w = blocks.shape[2:]
    far = float(blocks[0, 0, h // 2, w // 2])
    tolerance = _ROUNDING * max(float(blocks.max()), -float(blocks.min()))
    varies = torch.zeros((h, w), dtype=torch.bool, device=blocks.device)
    for part in blocks.flatten(0, 1):
        varies |= (part - far).abs() > tolerance
    u, v = varies.nonzero(as_tuple=True)
    if not len(u):
        return Window(displacements(blocks, 0), far)
    radius = int(torch.maximum(u.minimum(h - u), v.minimum(w - v)).max())
    if 2 * radius + 1 >= min(h, w):
        return None
    return Window(displacements(blocks, radius), far)


def displacements(blocks: Tensor, radius: int) -> Tensor:
    """Return the entries of a block-circulant kernel at small displacements.

    Parameters
    ----------
    blocks : Tensor of shape (p, p, h, w)
        The kernel.

    radius : int
        Largest displacement R.

    Returns
    -------
    Tensor of shape (p, p, 2 R + 1, 2 R + 1)
        Displacement zero in the middle; around the image where it is smaller than that.
    """
    h, w = blocks.shape[2:]
    steps = torch.arange(-radius, radius + 1, device=blocks.device)
    return blocks[:, :, (steps % h)[:, None], steps % w]


def fast_length(least: int) -> int:
    """Return the next length that has no prime factor above five, for fast transforms.

    Parameters
    ----------
    least : int
        Lower bound, at least 1.

    Returns
    -------
    int
    """
    best = 2 ** math.ceil(math.log2(max(least, 1)))
    for fives in range(8):
        for threes in range(8):
            odd = 5**fives * 3**threes
            if odd < best:
                length = odd * 2 ** max(0, math.ceil(math.log2(least / odd)))
                best = min(best, length)
    return best


def _fourier_product(kernel: Tensor) -> Product:
    """Product with the circulant kernel whose row of pixel (0, 0) is given."""
    sides = (kernel.shape[0], kernel.shape[1])
    # A symmetric kernel has a real spectrum.
    spectrum = torch.fft.rfft2(kernel).real.contiguous()

    def product(X: Tensor) -> Tensor:
        rows, columns = X.shape[-2:]
        images = X.reshape(-1, rows, columns)
        result = torch.empty_like(images)
        n_images = len(images)
        if X.device.type == "cpu":
            n_images = max(1, _PART // (sides[0] * sides[1]))
        for part, target in zip(images.split(n_images), result.split(n_images), strict=True):
            waves = torch.fft.rfft2(part, s=sides).mul_(spectrum)
            target.copy_(torch.fft.irfft2(waves, s=sides)[..., :rows, :columns])
        return result.view(X.shape)

    return product


def _block_spectrum(blocks: Tensor) -> Tensor:
    """For each frequency the matrix between phases, of shape ((h/p) (w/2p + 1), p^2, p^2)."""
    p, _, h, w = blocks.shape
    rows = torch.arange(0, h, p, device=blocks.device)
    columns = torch.arange(0, w, p, device=blocks.device)
    frequencies = (h // p) * (w // p // 2 + 1)
    dtype = torch.complex64 if blocks.dtype == torch.float32 else torch.complex128
    spectrum = torch.empty((frequencies, p**2, p**2), dtype=dtype, device=blocks.device)
    for a in range(p):
        for b in range(p):
            for c in range(p):
                for d in range(p):
                    # From phase (c, d) to phase (a, b), as a function of the coarse displacement.
                    plane = blocks[c, d][((rows + a - c) % h)[:, None], (columns + b - d) % w]
                    spectrum[:, a * p + b, c * p + d] = torch.fft.rfft2(plane).flatten()
    return spectrum


def _strided_product(near: Tensor, shape: tuple[int, int], wrap: bool) -> Product:
    """Product with a window of period p > 1: every phase is a channel of a strided convolution."""
    p, _, side, _ = near.shape
    r, (h, w) = side // 2, shape
    # A filter sees the tile of p x p pixels and r more on every side.
    filters = near.new_zeros((p, p, side + p - 1, side + p - 1))
    for a in range(p):
        for b in range(p):
            filters[a, b, a : a + side, b : b + side] = near[a, b]
    filters = filters.flatten(0, 1)[:, None]
    tall, wide = -(-h // p) * p, -(-w // p) * p

    def product(X: Tensor) -> Tensor:
        images = X.reshape(-1, 1, h, w)
        if wrap:
            images = functional.pad(images, (r, r, r, r), mode="circular")
        else:
            images = functional.pad(images, (r, r + wide - w, r, r + tall - h))
        tiles = functional.conv2d(images, filters, stride=p)
        return functional.pixel_shuffle(tiles, p)[..., :h, :w].reshape(X.shape)

    return product
