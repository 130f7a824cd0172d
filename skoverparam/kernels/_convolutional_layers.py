"""Descriptions of convolutional networks: layers, what goes in, and what fits together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.kernels._activations import Activation, resolve

# Every output pixel of a circular upsampling is a weighted sum of input pixels; by its parity,
# (offset from the input pixel in whose place it lies, weight).
Taps = tuple[tuple[int, float], ...]
_TAPS: dict[str, tuple[Taps, Taps]] = {
    "nearest": (((0, 1.0),), ((0, 1.0),)),
    "periodic_bilinear": (((-1, 0.25), (0, 0.75)), ((0, 0.75), (1, 0.25))),
}

# Index of an input row, and its weight, for every output row; a sum has one or two of them.
Sources = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Conv:
    """Convolution with circular padding, stride 1 and infinitely many channels.

    Parameters
    ----------
    kernel_size : int, default=3
        Side k of the square filter, odd.

    Notes
    -----
    It replaces the covariance of its inputs at two pixels by the sum over the k x k offsets of
    both pixels together, divided by k^2 in every convolution but the network's first. No biases.

    Examples
    --------
    >>> from skoverparam.kernels import Conv
    >>> Conv(kernel_size=5)
    Conv(kernel_size=5)
    """

    kernel_size: int = 3

    def __post_init__(self) -> None:
        _check_integer("kernel_size", self.kernel_size)
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(
                "kernel_size must be odd and positive, so that a filter has a middle; "
                f"got {self.kernel_size}."
            )


@dataclass(frozen=True)
class Downsample:
    """Keep the pixels of even rows and columns.

    Examples
    --------
    >>> from skoverparam.kernels import Conv, Downsample, ReLU, Upsample
    >>> layers = [Conv(), ReLU(), Downsample(), Conv(), ReLU(), Upsample(), Conv()]
    """


@dataclass(frozen=True)
class Upsample:
    """Double the number of rows and columns.

    Parameters
    ----------
    mode : {"nearest", "bilinear", "periodic_bilinear"}, default="nearest"
        How pixels in between are filled; see Notes.

    Notes
    -----
    "nearest" repeats every pixel: output row r is input row ``r // 2``.

    "periodic_bilinear" places output row r at input row ``r / 2 - 1/4`` (the pixels' centers are
    aligned) and goes around the border, as the convolutions do. It is ours.

    "bilinear" places output row r at input row ``r (h - 1) / (2h - 1)`` (the corners are aligned).
    It is the one of arXiv:2108.00131, whose code interpolates the derivative of the activation
    and the tangent kernel apart from each other, and their product is what goes on. We do the
    same. The result is a positive semidefinite kernel, but about one percent off the tangent
    kernel of a network with that interpolation; the other two modes are exact. As it is not
    circular it needs dense kernels.

    Examples
    --------
    >>> from skoverparam.kernels import Upsample
    >>> Upsample("nearest").circular, Upsample("bilinear").circular
    (True, False)
    """

    mode: str = "nearest"

    def __post_init__(self) -> None:
        if self.mode not in (*_TAPS, "bilinear"):
            raise ValueError(
                f"mode must be 'nearest', 'bilinear' or 'periodic_bilinear', got {self.mode!r}."
            )

    @property
    def circular(self) -> bool:
        """Whether a rolled image gives a rolled result, in steps of whole input pixels."""
        return self.mode in _TAPS

    @property
    def taps(self) -> tuple[Taps, Taps]:
        """Input offsets and weights of even and of odd output rows, where circular."""
        return _TAPS[self.mode]

    def tap_tables(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the offsets and the weights of `taps`, of shape (number, parity)."""
        offsets, weights = torch.tensor(self.taps, dtype=torch.float64).permute(2, 1, 0)
        return offsets.to(like.device, torch.long), weights.to(like)

    def sources(self, size: int, like: Tensor) -> Sources:
        """Return the input rows, and their weights, that all output rows are sums of."""
        output = torch.arange(2 * size, device=like.device)
        if self.circular:
            offsets, weights = self.tap_tables(like)
            index = (output // 2 + offsets[:, output % 2]) % size
            return list(zip(index, weights[:, output % 2], strict=True))
        place = output.to(like) * ((size - 1) / (2 * size - 1))
        before = place.floor().clamp_(max=max(size - 2, 0))
        after = (before + 1).clamp_(max=size - 1)
        return [(before.long(), 1 - (place - before)), (after.long(), place - before)]


@dataclass(frozen=True)
class StationaryPrior:
    """White noise with a mean as input of the network.

    Parameters
    ----------
    diagonal : float, default=1/300
        Inner product of a pixel's input channels with themselves.

    elsewhere : float, default=1/400
        Inner product of the input channels of two different pixels. The defaults are those
        of independent uniform numbers in [0, .1] in every channel, on average over channels.

    Notes
    -----
    It stands for infinitely many random channels, so that inner products are their expectations.
    Positive semidefinite on images of any size if and only if ``0 <= elsewhere <= diagonal``.

    References
    ----------
    A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, fast, and flexible framework
    for matrix completion with infinite width neural networks", arXiv:2108.00131.

    Examples
    --------
    >>> from skoverparam.kernels import StationaryPrior
    >>> StationaryPrior(diagonal=1.0, elsewhere=0.5)
    StationaryPrior(diagonal=1.0, elsewhere=0.5)
    """

    diagonal: float = 1 / 300
    elsewhere: float = 1 / 400

    def __post_init__(self) -> None:
        for name in ("diagonal", "elsewhere"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, got {value!r}.")
            if not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, got {value!r}.")
        if not 0 <= self.elsewhere <= self.diagonal or self.diagonal == 0:
            raise ValueError(
                "a stationary prior must have 0 <= elsewhere <= diagonal and a positive diagonal, "
                f"got diagonal={self.diagonal!r} and elsewhere={self.elsewhere!r}."
            )


Layer = Conv | Downsample | Upsample | Activation


def encoder_decoder(
    levels: int,
    convs_per_level: int = 1,
    kernel_size: int = 3,
    activation: object = "leaky_relu",
    upsampling: str = "nearest",
) -> list[Layer]:
    """Build a network that halves an image some times and doubles it as often.

    Parameters
    ----------
    levels : int
        How often the image is halved. 0 leaves only the last convolution: a linear network.

    convs_per_level : int, default=1
        Convolutions, each with an activation, before every change of size.

    kernel_size : int, default=3
        Side of the filters, odd.

    activation : {"relu", "leaky_relu"} or object, default="leaky_relu"
        A name, or `ReLU()`, `LeakyReLU(slope)`, `DualPair(kappa_1, kappa_0)`.

    upsampling : {"nearest", "bilinear", "periodic_bilinear"}, default="nearest"
        See `Upsample`.

    Returns
    -------
    layers : list
        ``levels`` times [Conv, activation, Downsample], as often [Conv, activation, Upsample], and
        a last Conv; the pair of Conv and activation is repeated ``convs_per_level`` times.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If a number is out of range or a name unknown.

    See Also
    --------
    convolutional_ntk : The kernel of such a network.

    References
    ----------
    A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, fast, and flexible framework
    for matrix completion with infinite width neural networks", arXiv:2108.00131.

    Examples
    --------
    >>> from skoverparam.kernels import encoder_decoder
    >>> for layer in encoder_decoder(levels=1, activation="relu"):
    ...     print(layer)
    Conv(kernel_size=3)
    ReLU()
    Downsample()
    Conv(kernel_size=3)
    ReLU()
    Upsample(mode='nearest')
    Conv(kernel_size=3)
    """
    _check_integer("levels", levels)
    _check_integer("convs_per_level", convs_per_level)
    if levels < 0:
        raise ValueError(f"levels must be at least 0, got {levels}.")
    if convs_per_level < 1:
        raise ValueError(f"convs_per_level must be at least 1, got {convs_per_level}.")
    conv, phi, up = Conv(kernel_size), resolve(activation), Upsample(upsampling)
    features: list[Layer] = [conv, phi] * convs_per_level
    return [*[*features, Downsample()] * levels, *[*features, up] * levels, conv]


class Extent(NamedTuple):
    """Size of the features after a layer.

    Attributes
    ----------
    shape : tuple of two ints
        Rows and columns.
    period : int
        Rolling the network's input by so many pixels of this layer rolls its features here:
        a power of two.
    """

    shape: tuple[int, int]
    period: int


def extents(layers: Sequence[Layer], shape: tuple[int, int]) -> list[Extent]:
    """Check that layers fit together and on an image, and return the extents on the way.

    The first extent is that of the input, the last that of the output.
    """
    _check_shape(shape)
    _check_order(layers)
    found = [Extent((shape[0], shape[1]), 1)]
    for number, layer in enumerate(layers):
        (h, w), period = found[-1]
        if isinstance(layer, Downsample):
            if h % 2 or w % 2:
                raise ValueError(
                    "shape must be divisible by two as often as the layers halve it: with "
                    f"shape={tuple(shape)}, layers[{number}], a Downsample, would have to halve "
                    f"{h} x {w} pixels. Pad the image."
                )
            found.append(Extent((h // 2, w // 2), max(period // 2, 1)))
        elif isinstance(layer, Upsample):
            found.append(Extent((2 * h, 2 * w), 2 * period))
    return found


def first_kernel_size(layers: Sequence[Layer]) -> int:
    """Side of the filters of the first convolution."""
    return next(layer.kernel_size for layer in layers if isinstance(layer, Conv))


def is_circular(layers: Sequence[Layer]) -> bool:
    """Whether the network commutes with rolling the image by its period."""
    return all(layer.circular for layer in layers if isinstance(layer, Upsample))


def is_nearest(layers: Sequence[Layer]) -> bool:
    """Whether all upsampling is by repeating pixels."""
    return all(layer.mode == "nearest" for layer in layers if isinstance(layer, Upsample))


def _check_shape(shape: object) -> None:
    if not isinstance(shape, Sequence) or len(shape) != 2:
        raise TypeError(f"shape must be a pair of integers (rows, columns), got {shape!r}.")
    for size in shape:
        _check_integer("every entry of shape", size)
        if size < 1:
            raise ValueError(f"shape must be positive, got {tuple(shape)}.")


def _check_order(layers: Sequence[Layer]) -> None:
    """Check that every activation acts on a Gaussian field, and that the output is one."""
    if isinstance(layers, (str, bytes)) or not isinstance(layers, Sequence):
        raise TypeError(
            f"layers must be a list of layers, got {type(layers).__name__}; encoder_decoder() "
            "makes one."
        )
    gaussian = False
    for number, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            raise TypeError(
                f"layers[{number}] must be Conv(), ReLU(), LeakyReLU(), DualPair(), Downsample() "
                f"or Upsample(), got {layer!r}."
            )
        if isinstance(layer, Conv):
            gaussian = True
        elif isinstance(layer, Activation):
            if not layer.homogeneous:
                raise ValueError(
                    f"layers[{number}] must be homogeneous (ReLU, LeakyReLU or DualPair), "
                    f"got {layer!r}."
                )
            if not gaussian:
                raise ValueError(
                    f"layers[{number}], {layer!r}, must have a Conv between it and the activation "
                    "or the input before it: only sums over many channels are Gaussian, "
                    "which the kernel rests on."
                )
            gaussian = False
    if not gaussian:
        raise ValueError(
            "layers must have a Conv, and after the last activation another: the output is a sum "
            "over the channels of the last features."
        )


def _check_integer(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
