"""Layers of long short-term memory, in one direction or in both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skoverparam.nets._sequences import Chain, SequenceNetwork


def recurrent_network(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    width: int = 64,
    n_layers: int = 1,
    pooling: str = "attention",
    dropout: float = 0.0,
    causal: bool = False,
    n_tokens: int | None = None,
    per_position: bool = False,
) -> nn.Module:
    """Make LSTM layers, in both directions unless causal, and attention over their steps."""
    return SequenceNetwork(
        input_shape,
        n_outputs,
        body=recurrent_layers(width, n_layers, causal=causal, dropout=dropout),
        body_width=width,
        out_width=width if causal else 2 * width,
        pooling=None if per_position else pooling,
        n_tokens=n_tokens,
        dropout=dropout,
    )


def recurrent_layers(width: int, n_layers: int, *, causal: bool, dropout: float) -> Chain:
    """Make LSTM layers; each returns `width` features for each direction."""
    directions = 1 if causal else 2
    layers: dict[str, nn.Module] = {}
    for i in range(n_layers):
        layers[f"layer{i + 1}"] = RecurrentLayer(
            width if i == 0 else directions * width,
            width,
            causal=causal,
            dropout=dropout if i else 0.0,
        )
    return Chain(**layers)


class RecurrentLayer(nn.Module):
    """An LSTM that reads sequences forward and, unless causal, another one backward.

    Parameters
    ----------
    in_width, width : int
        Number of features of a step, and of the memory of each direction.

    causal : bool
        Whether to read forward only.

    dropout : float
        Share of the inputs that is dropped in training.
    """

    def __init__(self, in_width: int, width: int, *, causal: bool, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.forwards = nn.LSTM(in_width, width, batch_first=True)
        self.backwards = None if causal else nn.LSTM(in_width, width, batch_first=True)

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Map values of shape (b, t, in_width) to (b, t, width), or twice that width."""
        values = self.dropout(values)
        # What comes after the last valid step cannot change what was read up to it.
        ahead = self.forwards(values)[0]
        if self.backwards is None:
            return ahead
        back = _reverse(self.backwards(_reverse(values, valid))[0], valid)
        return torch.cat([ahead, back], 2)


def _reverse(values: Tensor, valid: Tensor | None) -> Tensor:
    """Turn the valid steps around; the padding after them stays where it is."""
    if valid is None:
        return values.flip(1)
    steps = torch.arange(values.shape[1], device=values.device)
    mirrored = valid.sum(1, keepdim=True) - 1 - steps
    mirrored = torch.where(mirrored >= 0, mirrored, steps)
    return values.take_along_dim(mirrored[:, :, None], 1)
