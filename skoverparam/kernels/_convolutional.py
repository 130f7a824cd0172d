"""Tangent kernels of infinitely wide convolutional networks, between the pixels of their output.

The network's input is an image of features, the prior; its kernel says how much learning the
value of one output pixel changes another. With B(A) the sum of A over a k x k window by which
both pixels move together, on the covariance Q of the features and the tangent kernel T:

    input           Q = k^2 <V[i, j], V[i', j']>,  T = 0          (k of the first convolution)
    convolution     Q <- B(Q) / k^2,               T <- B(Q + D T) / k^2,        D <- 1
    activation      Q <- s kappa_1(Q / s),         D <- kappa_0(Q / s),   s = sqrt(N N')
    Down, Upsample  Q, D, T <- their values at, or interpolated from, other pixels

where N = Q[i, j, i, j] and N' = Q[i', j', i', j']. This is the recursion of arXiv:2108.00131; the
derivative D waits for the next convolution because of its bilinear upsampling (see `Upsample`).

How functions of two pixels are stored is the business of `_pixel_pairs`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import singledispatch
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.kernels._activations import Activation, DualPair, LeakyReLU, ReLU
from skoverparam.kernels._convolutional_layers import (
    Conv,
    Downsample,
    Extent,
    Layer,
    StationaryPrior,
    Upsample,
    extents,
    first_kernel_size,
    is_circular,
    is_nearest,
)
from skoverparam.kernels._pixel_pairs import (
    BlockCirculantKernel,
    DenseKernel,
    DensePairs,
    DisplacementWindow,
    Pairs,
    PhasePairs,
    for_each,
)

# Arrays of the size of a kernel that live at once while it is computed, at most; measured.
_ARRAYS = 4


class _State(NamedTuple):
    """Covariance Q, derivative D (None for one) and tangent kernel T of the features."""

    covariance: Tensor
    slope: Tensor | None
    tangent: Tensor

    def pushed_(self) -> Tensor:
        """Return D T, the tangent kernel of the activated features, in the place of T."""
        return self.tangent if self.slope is None else self.tangent.mul_(self.slope)


def convolutional_ntk(
    layers: Sequence[Layer],
    shape: tuple[int, int],
    prior: StationaryPrior | Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> BlockCirculantKernel | DenseKernel:
    """Tangent kernel of a convolutional network; the public function says everything else.

    `dtype` and `device` are those of the result, unless the prior is a tensor, with its own.
    """
    if isinstance(prior, Tensor):
        return _dense(layers, shape, prior)
    prior = StationaryPrior() if prior is None else prior
    found = extents(layers, shape)
    if not is_circular(layers):
        Q = torch.full((*shape, *shape), prior.elsewhere, dtype=dtype, device=device)
        Q.view(math.prod(shape), -1).diagonal().fill_(prior.diagonal)
        return DenseKernel(_tangent(layers, Q, DensePairs()))
    if _has_window(layers, found):
        window = displacement_window(layers, prior, dtype=dtype, device=device)
        return window.on(found[-1].shape)
    return BlockCirculantKernel(_phases(layers, shape, prior, dtype, device))


def displacement_window(
    layers: Sequence[Layer],
    prior: StationaryPrior | None = None,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> DisplacementWindow:
    """Kernel of a network with nearest upsampling on images of any size, from a few numbers.

    Parameters
    ----------
    layers : sequence of layers
        Upsampling, if any, by the nearest pixel.

    prior : StationaryPrior, default=None
        The input. None is ``StationaryPrior()``.

    dtype, device
        Those of the result.

    Returns
    -------
    DisplacementWindow
        ``values`` of shape (p, p, 2p - 1, 2p - 1), the kernel at displacements below p, and
        ``far``, the kernel at all others.

    Raises
    ------
    ValueError
        If an upsampling interpolates, or layers do not fit together.

    Notes
    -----
    Before the first upsampling, Q and T have one value for a pixel with itself and one for any
    two different pixels: windows move both pixels together, and so does everything else.
    Repeating pixels turns a radius r, within which displacements matter, into 2r + 1, and
    downsampling turns it into r // 2: it is always p - 1. All pixels have the same variance.
    Hence an image of 2p pixels shows everything, and the cost is that of (2p)^2 p^2 numbers.
    """
    prior = StationaryPrior() if prior is None else prior
    if not is_nearest(layers):
        raise ValueError(
            "layers must upsample by the nearest pixel: with interpolation the kernel is not "
            "constant between distant pixels, since their variances differ with their place."
        )
    # Sizes relative to the input's, from the largest image that could be meant.
    large = 2 ** len(layers)
    found = extents(layers, (large, large))
    # Every image on the way must be so large that windows of radius p - 1 leave something.
    side = max(math.ceil(2 * e.period * large / e.shape[0]) for e in found)
    A = _phases(layers, (side, side), prior, dtype, device)
    p = found[-1].period
    steps = torch.arange(1 - p, p) % A.shape[-1]
    values = A[:, :, steps[:, None], steps]
    return DisplacementWindow(values, float(A[0, 0, p, p]))


def dense_bytes(layers: Sequence[Layer], shape: tuple[int, int], itemsize: int = 8) -> int:
    """Memory that a dense kernel needs at most while it is computed.

    Parameters
    ----------
    layers : sequence of layers
        The network.

    shape : tuple of two ints
        Rows and columns of its input.

    itemsize : int, default=8
        Bytes of a number: 8 in float64, 4 in float32.

    Returns
    -------
    int
        Bytes.
    """
    n_pixels = max(math.prod(e.shape) for e in extents(layers, shape))
    return _ARRAYS * n_pixels**2 * itemsize


def kernel_bytes(layers: Sequence[Layer], shape: tuple[int, int], itemsize: int = 8) -> int:
    """Memory that the kernel of a stationary prior needs at most while it is computed.

    Parameters
    ----------
    layers : sequence of layers
        The network.

    shape : tuple of two ints
        Rows and columns of its input.

    itemsize : int, default=8
        Bytes of a number: 8 in float64, 4 in float32.

    Returns
    -------
    int
        Bytes.
    """
    found = extents(layers, shape)
    if not is_circular(layers):
        return dense_bytes(layers, shape, itemsize)
    largest = max(e.period**2 * math.prod(e.shape) for e in found)
    if not _has_window(layers, found):
        return _ARRAYS * largest * itemsize
    # The recursion runs on images of 2p x 2p pixels, and only the result is larger.
    window = max(e.period**2 * (2 * e.period) ** 2 for e in found)
    result = found[-1].period ** 2 * math.prod(found[-1].shape)
    return max(_ARRAYS * window, result) * itemsize


def _has_window(layers: Sequence[Layer], found: Sequence[Extent]) -> bool:
    """Whether images are large enough for windows of radius p - 1, not overlapping themselves."""
    return is_nearest(layers) and all(min(e.shape) >= 2 * e.period - 1 for e in found)


def _dense(layers: Sequence[Layer], shape: tuple[int, int], prior: Tensor) -> DenseKernel:
    if prior.ndim != 3 or tuple(prior.shape[1:]) != tuple(shape):
        raise ValueError(
            f"prior must have shape (channels, {shape[0]}, {shape[1]}) for images of shape "
            f"{tuple(shape)}, got {tuple(prior.shape)}."
        )
    extents(layers, shape)
    return DenseKernel(_tangent(layers, _inner_products(prior), DensePairs()))


def _inner_products(V: Tensor) -> Tensor:
    _, h, w = V.shape
    Q = V.new_zeros(h, w, h, w)
    # Added channel by channel, equal pixels get equal inner products to the last bit.
    for v in V.detach():
        Q.addcmul_(v[:, :, None, None], v)
    return Q


def _phases(
    layers: Sequence[Layer],
    shape: tuple[int, int],
    prior: StationaryPrior,
    dtype: torch.dtype,
    device: torch.device | str,
) -> Tensor:
    Q = torch.full((1, 1, *shape), prior.elsewhere, dtype=dtype, device=device)
    Q[0, 0, 0, 0] = prior.diagonal
    return _tangent(layers, Q, PhasePairs())


def _tangent(layers: Sequence[Layer], covariance: Tensor, pairs: Pairs) -> Tensor:
    """Run the recursion from the covariance of the input, which is overwritten."""
    with torch.no_grad():
        # The kernel is homogeneous. Scaled by a power of two, which is exact, products of
        # variances neither over- nor underflow.
        largest = float(pairs.variances(covariance).max())
        if not math.isfinite(largest):
            raise ValueError(
                "prior must be so small that its squares are finite numbers in "
                f"{covariance.dtype}, they are not; divide it by its largest entry."
            )
        scale = math.ldexp(1.0, max(math.frexp(largest)[1], -1000) - 1)
        covariance.mul_(first_kernel_size(layers) ** 2 / scale)
        state = _State(covariance, None, torch.zeros_like(covariance))
        del covariance  # its memory is needed
        for layer in layers:
            state = _through(layer, state, pairs)
        return state.pushed_().mul_(scale)


@singledispatch
def _through(layer: object, state: _State, pairs: Pairs) -> _State:
    """Apply one layer to the state."""
    raise TypeError(f"no such layer: {layer!r}")


@_through.register
def _conv(layer: Conv, state: _State, pairs: Pairs) -> _State:
    k = layer.kernel_size
    # Arrays that are done with hold the results: three are all that dense kernels need.
    Q, D, T = state.covariance, state.slope, state.pushed_()
    T_next = pairs.box_sum(T.add_(Q), k, out=torch.empty_like(T) if D is None else D)
    return _State(pairs.box_sum(Q, k, out=T).div_(k**2), None, T_next.div_(k**2))


@_through.register(Activation)
def _activation(layer: ReLU | LeakyReLU | DualPair, state: _State, pairs: Pairs) -> _State:
    Q = state.covariance
    D = torch.empty_like(Q)
    variances = pairs.variances(Q)
    rounded_one = 1 - 4 * torch.finfo(Q.dtype).eps

    def process(tile: tuple[int, slice]) -> None:
        scale = pairs.products(variances, tile, Q.shape).sqrt_()
        alive = scale > 0
        cosine = torch.where(alive, Q[tile] / scale, 0)
        # The angle of pixels with equal features, such as a pixel and itself, is 0 and not the
        # root of a rounding error.
        cosine[cosine > rounded_one] = 1
        Q[tile] = layer.kappa_1(cosine) * scale
        # Where the features of a pixel are zero, whatever the weights, nothing passes.
        D[tile] = layer.kappa_0(cosine) * alive

    for_each(process, pairs.tiles(Q), Q)
    return _State(Q, D, state.tangent)


@_through.register
def _downsample(layer: Downsample, state: _State, pairs: Pairs) -> _State:
    Q, D, T = state
    return _State(
        pairs.downsample(Q), None if D is None else pairs.downsample(D), pairs.downsample(T)
    )


@_through.register
def _upsample(layer: Upsample, state: _State, pairs: Pairs) -> _State:
    Q = pairs.upsample(state.covariance, layer)
    if layer.circular or state.slope is None:
        return _State(Q, None, pairs.upsample(state.pushed_(), layer))
    return _State(Q, pairs.upsample(state.slope, layer), pairs.upsample(state.tangent, layer))
