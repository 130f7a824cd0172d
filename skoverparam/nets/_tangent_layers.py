"""What dense and convolution layers contribute to a tangent kernel, from inputs and derivatives.

The derivative of an output by the weights of a dense layer is the outer product of the layer's
input a and the output's derivative d by what the layer returns. Between two samples the inner
product is <a, a'> <d, d'>: no derivative by a weight is ever formed. A convolution is a dense
layer applied at every position, and so is a layer that is called several times; derivatives are
sums over positions.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Numbers in one intermediate table: enough for fast products, little beside the kernel itself.
_BLOCK = 2**23

OUTPUTS = ("trace", "diagonal", "full")

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LayerTape(NamedTuple):
    """What a layer saw, for one batch.

    Attributes
    ----------
    inputs : Tensor of shape (g, n, T, a)
        What comes into the layer, by group of channels, sample and position.

    derivatives : Tensor of shape (C, g, n, T, d)
        Derivatives of each output by what the layer returns.

    weight_factor, bias_factor : float
        Squares of the factors in front of weights and bias; 0 where they are not trained.
    """

    inputs: Tensor
    derivatives: Tensor
    weight_factor: float
    bias_factor: float


def has_structure(layer: nn.Module) -> bool:
    """Whether a layer is dense or a convolution with weights of its own."""
    plain = type(layer) in (nn.Linear, *_CONVOLUTIONS) or getattr(layer, "ntk_scaled", False)
    return plain and isinstance(layer._parameters.get("weight"), nn.Parameter)


def factors(layer: nn.Module) -> tuple[float, float]:
    """Tell what stands in front of the weights and the bias of a layer."""
    return float(getattr(layer, "weight_scale", 1.0)), float(getattr(layer, "bias_scale", 1.0))


def layer_tape(
    layer: nn.Module,
    calls: list[tuple[Tensor, list[Tensor]]],
    *,
    weight: bool = True,
    bias: bool = True,
) -> LayerTape:
    """Put together what a layer saw.

    Parameters
    ----------
    layer : Module
        A layer that `has_structure`.

    calls : list of (Tensor of shape (n, ...), list of Tensor of shape (n, ...))
        For each call of the layer its input, and the derivative of each output of the network by
        what the call returned.

    weight, bias : bool, default=True
        Whether they are trained.
    """
    inputs, derivatives = [], []
    for values, gradients in calls:
        A, D = _by_position(layer, values, torch.stack(gradients))
        inputs.append(A)
        derivatives.append(D)
    w, b = factors(layer)
    return LayerTape(
        torch.cat(inputs, dim=2),
        torch.cat(derivatives, dim=3),
        w**2 if weight else 0.0,
        b**2 if bias and getattr(layer, "bias", None) is not None else 0.0,
    )


def weighted_gradients(tape: LayerTape, r: Tensor) -> tuple[Tensor, Tensor]:
    """Sum derivatives by weights and bias over samples and outputs with weights r of shape (n, C).

    Returns
    -------
    weight : Tensor of shape (g, d, a)
        Without the factor of the layer.

    bias : Tensor of shape (g, d)
        Likewise.
    """
    D = torch.einsum("nc,cgntd->gntd", r, tape.derivatives)
    return torch.einsum("gntd,gnta->gda", D, tape.inputs), D.sum((1, 2))


def empty_kernel(n: int, m: int, C: int, output: str, like: Tensor) -> Tensor:
    """Make room for a kernel: (n, m), (C, n, m) or (C, n, C, m)."""
    shape = {"trace": (n, m), "diagonal": (C, n, m), "full": (C, n, C, m)}[output]
    return like.new_zeros(shape)


def gram(J: Tensor, Q: Tensor, output: str) -> Tensor:
    """Inner products of derivatives of shapes (C, n, q) and (C, m, q), laid out as the kernel."""
    C, n, q = J.shape
    if output == "diagonal":
        return J @ Q.mT
    if output == "trace":
        if C == 1:
            return J[0] @ Q[0].T
        return J.movedim(0, 1).reshape(n, C * q) @ Q.movedim(0, 1).reshape(-1, C * q).T
    return (J.reshape(C * n, q) @ Q.reshape(-1, q).T).reshape(C, n, C, -1)


def add_layer(K: Tensor, one: LayerTape, other: LayerTape, output: str) -> None:
    """Add a layer's part of the kernel between two batches."""
    C, g, n, T, d = one.derivatives.shape
    m, U, a = other.inputs.shape[1:]
    if g == T == U == 1:
        _add_dense(K, one, other, output)
        return
    apart = g * a * d * (n * m + n * T + m * U) * C
    paired = n * m * T * U * (a + d * C) if g == 1 else math.inf
    if one.weight_factor:
        (_add_pairs if paired < apart else _add_gradients)(K, one, other, output)
    if one.bias_factor:
        J, Q = (tape.derivatives.sum(3).movedim(1, 2).flatten(2) for tape in (one, other))
        K += one.bias_factor * gram(J, Q, output)


def _add_dense(K: Tensor, one: LayerTape, other: LayerTape, output: str) -> None:
    S = one.weight_factor * (one.inputs[0, :, 0] @ other.inputs[0, :, 0].T)
    S += one.bias_factor
    G = gram(one.derivatives[:, 0, :, 0], other.derivatives[:, 0, :, 0], output)
    K += G.mul_(S[:, None] if output == "full" else S)


def _add_pairs(K: Tensor, one: LayerTape, other: LayerTape, output: str) -> None:
    """Go over pairs of positions: cheap where they are few."""
    C, _, n, T, d = one.derivatives.shape
    m, U = other.inputs.shape[1:3]
    tables = C**2 if output == "full" else C if output == "diagonal" else 1
    rows = max(1, _BLOCK // (T * m * U * tables))
    B, E = other.inputs[0].reshape(m * U, -1), other.derivatives.reshape(C, m * U, d)
    rows_of_K = K.movedim(-3 if output == "full" else -2, 0)
    for start in range(0, n, rows):
        i = slice(start, start + rows)
        A = one.inputs[0, i].reshape(-1, B.shape[1])
        S = A @ B.T
        G = gram(one.derivatives[:, 0, i].reshape(C, -1, d), E, output)
        G.mul_(S[:, None] if output == "full" else S)
        lead = (C, -1, T, C, m, U) if output == "full" else (*G.shape[:-2], -1, T, m, U)
        part = G.reshape(lead).sum((2, 5) if output == "full" else (-3, -1))
        rows_of_K[i] += one.weight_factor * part.movedim(-3 if output == "full" else -2, 0)


def _add_gradients(K: Tensor, one: LayerTape, other: LayerTape, output: str) -> None:
    """Form derivatives by a few weights at a time."""
    C, g, n, _, d = one.derivatives.shape
    m, a = other.inputs.shape[1], other.inputs.shape[3]
    same = one is other
    columns = max(1, _BLOCK // (C * max(n, m) * a))
    for group in range(g):
        for start in range(0, d, columns):
            j = slice(start, start + columns)
            J = _gradients(one, group, j)
            Q = J if same else _gradients(other, group, j)
            K += one.weight_factor * gram(J, Q, output)


def _gradients(tape: LayerTape, group: int, columns: slice) -> Tensor:
    """Form derivatives of shape (C, n, q) by the weights of some outputs of a layer."""
    D, A = tape.derivatives[:, group, ..., columns], tape.inputs[group]
    return (D.mT @ A).flatten(2)


def _by_position(layer: nn.Module, values: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Lay out inputs as (g, n, T, a) and derivatives as (C, g, n, T, d)."""
    n = len(values)
    if not isinstance(layer, _CONVOLUTIONS):
        A = values.reshape(1, n, -1, values.shape[-1])
        return A, gradients.reshape(len(gradients), 1, n, -1, gradients.shape[-1])
    windows = _windows(layer, values)
    g, k = layer.groups, len(layer.kernel_size)
    # (n, channels, positions..., window...) -> (g, n, positions, channels / g times window)
    windows = windows.flatten(2, k + 1).flatten(3)
    A = windows.unflatten(1, (g, -1)).permute(1, 0, 3, 2, 4).flatten(3)
    D = gradients.flatten(3).unflatten(2, (g, -1)).permute(0, 2, 1, 4, 3)
    return A, D


def _windows(layer: nn.Conv1d | nn.Conv2d | nn.Conv3d, values: Tensor) -> Tensor:
    """Cut the inputs of a convolution into what its kernel sees at each position."""
    kernel, dilation = layer.kernel_size, layer.dilation
    margins: list[int] = []
    for i in range(len(kernel) - 1, -1, -1):
        if layer.padding == "same":
            total = dilation[i] * (kernel[i] - 1)
            margins += [total // 2, total - total // 2]
        elif layer.padding == "valid":
            margins += [0, 0]
        else:
            margins += [int(layer.padding[i])] * 2
    if any(margins):
        mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
        values = F.pad(values, margins, mode=mode)
    for i, (size, step, gap) in enumerate(zip(kernel, layer.stride, dilation, strict=True)):
        values = values.unfold(2 + i, gap * (size - 1) + 1, step)[..., ::gap]
    return values


def batches(n: int, size: int) -> list[slice]:
    """Cut n samples into batches of nearly the same size, of at most ``size``."""
    count = -(-n // size)
    edges = [n * k // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]
