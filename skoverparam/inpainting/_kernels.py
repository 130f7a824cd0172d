"""Kernels between the pixels of pictures of any size, from a network and its input."""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor
from torch.nn import functional

from skoverparam.inpainting._stationary import torus_shape
from skoverparam.kernels._convolutional import (
    convolutional_ntk,
    dense_bytes,
    displacement_window,
    kernel_bytes,
)
from skoverparam.kernels._convolutional_layers import Layer, is_circular, is_nearest
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel, DenseKernel, DisplacementWindow

PixelKernel = BlockCirculantKernel | DenseKernel | DisplacementWindow

# Beyond so many steps of the coarsest grid an interpolated kernel changes little.
_REACH = 2


def pixel_kernel(
    layers: list[Layer],
    levels: int,
    shape: tuple[int, int],
    prior: Tensor | None,
    *,
    averaged: bool,
    device: torch.device,
) -> PixelKernel:
    """Compute the kernel of a network between pixels, in float64.

    Parameters
    ----------
    layers : list of layers
        The network, from `encoder_decoder`.

    levels : int
        How often it halves its input's sides: sizes are padded to multiples of ``2**levels``.

    shape : (int, int)
        Rows and columns of the pictures.

    prior : Tensor of shape (c, h, w) or None
        The network's input; None for the stationary one.

    averaged : bool
        Whether to take the mean over all positions of the network's grid, where the kernel is
        stationary.

    device : torch.device
        Where to compute.

    Returns
    -------
    DisplacementWindow, BlockCirculantKernel or DenseKernel
        The first where upsampling is by the nearest pixel, for pictures of any size; the second,
        on a torus large enough that the picture does not meet itself, where it interpolates
        around the borders; the last for everything that is not stationary, on ``shape``.
    """
    p = 2**levels
    if prior is None and is_nearest(layers):
        window = displacement_window(layers, device=device)
        return window.averaged() if averaged else window
    if prior is None and is_circular(layers):
        torus = torus_shape(shape, period=p, reach=_REACH * p)
        blocks = convolutional_ntk(layers, torus, device=device)
        assert isinstance(blocks, BlockCirculantKernel)
        return blocks.averaged() if averaged else blocks
    h, w = shape
    margin = (0, -w % p, 0, -h % p)
    if prior is not None:
        prior = functional.pad(prior[None], margin, mode="replicate")[0]
    dense = convolutional_ntk(layers, (h + margin[3], w + margin[1]), prior, device=device)
    assert isinstance(dense, DenseKernel)
    return DenseKernel(dense.values[:h, :w, :h, :w].contiguous())


def memory_needed(
    layers: list[Layer],
    levels: int,
    shape: tuple[int, int],
    prior: Tensor | None,
    n_values: int,
) -> float:
    """Bytes that a fit allocates at most, roughly, ``n_values`` of the pictures in lockstep."""
    p = 2**levels
    solver = 60 * 8 * n_values
    if prior is None and is_nearest(layers):
        # Images of 2p x 2p pixels show all of the window.
        return solver + kernel_bytes(layers, (2 * p, 2 * p))
    if prior is None and is_circular(layers):
        return solver + kernel_bytes(layers, torus_shape(shape, period=p, reach=_REACH * p))
    h, w = (side + -side % p for side in shape)
    return solver + dense_bytes(layers, (h, w)) + 2 * 8 * float(h * w) ** 2


def kernel_row(kernel: PixelKernel, pixel: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """Return the kernel of one pixel with all pixels of a picture.

    Parameters
    ----------
    kernel : DisplacementWindow, BlockCirculantKernel or DenseKernel
        Of a larger shape than the picture's, the picture is the upper left part.

    pixel : (int, int)
        Row and column.

    shape : (int, int)
        Rows and columns of the picture.

    Returns
    -------
    Tensor of shape ``shape``
    """
    return _row(kernel, *pixel, *shape)


@singledispatch
def _row(kernel: object, i: int, j: int, h: int, w: int) -> Tensor:
    raise TypeError(f"no such kernel: {type(kernel).__name__}")


@_row.register(BlockCirculantKernel)
@_row.register(DenseKernel)
def _row_on_a_shape(
    kernel: BlockCirculantKernel | DenseKernel, i: int, j: int, h: int, w: int
) -> Tensor:
    return kernel.row(i, j)[:h, :w]


@_row.register
def _row_of_a_window(kernel: DisplacementWindow, i: int, j: int, h: int, w: int) -> Tensor:
    p, _, side, _ = kernel.values.shape
    r = side // 2
    row = kernel.values.new_full((h + 2 * r, w + 2 * r), kernel.far)
    row[i : i + side, j : j + side] = kernel.values[i % p, j % p]
    return row[r : r + h, r : r + w]
