"""Blocks of self-attention, normalized before they look."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skoverparam.nets._sequences import Chain, Normalize, SequenceNetwork


def transformer_network(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    width: int = 64,
    n_blocks: int = 2,
    n_heads: int = 4,
    feedforward_width: int | None = None,
    pooling: str = "mean",
    dropout: float = 0.0,
    causal: bool = False,
    n_tokens: int | None = None,
    per_position: bool = False,
) -> nn.Module:
    """Make a pre-norm transformer encoder; ``feedforward_width=None`` is twice the width."""
    if width % n_heads:
        raise ValueError(f"n_heads must divide width, got {n_heads} heads and width {width}.")
    body = transformer_encoder(
        width,
        n_blocks,
        n_heads,
        2 * width if feedforward_width is None else feedforward_width,
        input_shape[0],
        causal=causal,
        dropout=dropout,
    )
    return SequenceNetwork(
        input_shape,
        n_outputs,
        body=body,
        body_width=width,
        out_width=width,
        pooling=None if per_position else pooling,
        n_tokens=n_tokens,
        dropout=dropout,
    )


def transformer_encoder(
    width: int,
    n_blocks: int,
    n_heads: int,
    feedforward_width: int,
    max_steps: int,
    *,
    causal: bool,
    dropout: float,
) -> Chain:
    """Make learned positions, blocks of attention, and a last normalization."""
    blocks: dict[str, nn.Module] = {
        f"block{i + 1}": TransformerBlock(
            width, n_heads, feedforward_width, causal=causal, dropout=dropout
        )
        for i in range(n_blocks)
    }
    return Chain(positions=Positions(max_steps, width, dropout), **blocks, norm=Normalize(width))


class Positions(nn.Module):
    """Add a learned vector for each position, padding not counted."""

    def __init__(self, max_steps: int, width: int, dropout: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.3 * torch.randn(max_steps, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Map values of shape (b, t, width) to values of the same shape."""
        return self.dropout(values + self.weight[: values.shape[1]])


class TransformerBlock(nn.Module):
    """Add what attention, and then a network of one hidden layer, make of normalized steps.

    Parameters
    ----------
    width, n_heads, feedforward_width : int
        Number of features of a step, heads that share them, and hidden units.

    causal : bool
        Whether a step sees itself and the past only.

    dropout : float
        Share of what is added that is dropped in training.
    """

    def __init__(
        self, width: int, n_heads: int, feedforward_width: int, *, causal: bool, dropout: float
    ) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.causal = bool(causal)
        self.norm1 = Normalize(width)
        self.project = nn.Linear(width, 3 * width)
        self.attention = nn.Linear(width, width)
        self.norm2 = Normalize(width)
        self.hidden = nn.Linear(width, feedforward_width)
        self.feedforward = nn.Linear(feedforward_width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Map values of shape (b, t, width) to values of the same shape."""
        values = values + self.dropout(self.attention(self._attend(self.norm1(values), valid)))
        hidden = self.dropout(F.gelu(self.hidden(self.norm2(values))))
        return values + self.dropout(self.feedforward(hidden))

    def _attend(self, values: Tensor, valid: Tensor | None) -> Tensor:
        # Padding stands at the end: who sees the past only does not see it.
        seen = None if valid is None or self.causal else valid[:, None, None, :]
        query, key, value = (
            part.unflatten(2, (self.n_heads, -1)).transpose(1, 2)
            for part in self.project(values).chunk(3, 2)
        )
        heads = F.scaled_dot_product_attention(
            query, key, value, attn_mask=seen, is_causal=self.causal
        )
        return heads.transpose(1, 2).flatten(2)
