"""Residual blocks of dilated convolutions along time."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from skoverparam.nets._sequences import (
    Chain,
    Normalize,
    SequenceNetwork,
    hide_padding,
)


def temporal_network(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    width: int = 64,
    n_blocks: int | None = None,
    kernel_size: int = 3,
    pooling: str = "max",
    dropout: float = 0.0,
    causal: bool = False,
    n_tokens: int | None = None,
    per_position: bool = False,
) -> nn.Module:
    """Make a network of dilated convolutions along time.

    ``n_blocks=None`` takes as many as a step needs to see half the sequence to each side, or as
    much of the past, and 8 at most.
    """
    if n_blocks is None:
        reach = input_shape[0] / (2 * (kernel_size - 1)) + 1
        n_blocks = min(max(math.ceil(math.log2(reach)), 1), 8)
    return SequenceNetwork(
        input_shape,
        n_outputs,
        body=temporal_convolutions(width, n_blocks, kernel_size, causal=causal, dropout=dropout),
        body_width=width,
        out_width=width,
        pooling=None if per_position else pooling,
        n_tokens=n_tokens,
        dropout=dropout,
    )


def temporal_convolutions(
    width: int, n_blocks: int, kernel_size: int, *, causal: bool, dropout: float
) -> Chain:
    """Make blocks of dilation 1, 2, 4, ... and a last normalization.

    A step sees ``(kernel_size - 1) * (2**(n_blocks + 1) - 2) + 1`` steps.
    """
    blocks: dict[str, nn.Module] = {
        f"block{i + 1}": TemporalBlock(width, kernel_size, 2**i, causal=causal, dropout=dropout)
        for i in range(n_blocks)
    }
    return Chain(**blocks, norm=Normalize(width))


class TemporalBlock(nn.Module):
    """Add to each step what two dilated convolutions make of its neighbors.

    Parameters
    ----------
    width : int
        Number of features of a step.

    kernel_size, dilation : int
        How many steps a convolution sees, and how far they are apart.

    causal : bool
        Whether a step sees itself and the past only.

    dropout : float
        Share of the inputs of the second convolution that is dropped in training.
    """

    def __init__(
        self, width: int, kernel_size: int, dilation: int, *, causal: bool, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = Normalize(width)
        self.convolution1 = nn.Conv1d(width, width, kernel_size, dilation=dilation)
        self.norm2 = Normalize(width)
        self.dropout = nn.Dropout(dropout)
        self.convolution2 = nn.Conv1d(width, width, kernel_size, dilation=dilation)
        reach = (kernel_size - 1) * dilation
        self.margins = (reach, 0) if causal else (reach // 2, reach - reach // 2)

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Map values of shape (b, t, width) to values of the same shape."""
        inner = self._convolve(self.convolution1, F.relu(self.norm1(values)), valid)
        inner = self.dropout(F.relu(self.norm2(inner)))
        return values + self._convolve(self.convolution2, inner, valid)

    def _convolve(self, convolution: nn.Module, values: Tensor, valid: Tensor | None) -> Tensor:
        # Zeros on padding are what a shorter sequence has beyond its ends.
        values = hide_padding(values, valid)
        return convolution(F.pad(values.mT, self.margins)).mT
