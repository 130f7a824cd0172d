"""Networks for sequences of token ids or vectors, to which padding is invisible."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from skoverparam.nets._features import UnitFeatures


class Steps(NamedTuple):
    """The steps of a batch of sequences, padding moved to the end and cut off where it can be.

    Attributes
    ----------
    inputs : Tensor of shape (b, t) or (b, t, f)
        Token ids, or vectors; t is the length of the longest sequence.

    valid : Tensor of shape (b, t), or None
        Which steps are no padding. None: all of them.

    order : Tensor of shape (b, t), or None
        Where each step stood. None: where it stands.
    """

    inputs: Tensor
    valid: Tensor | None
    order: Tensor | None


def present_steps(X: Tensor) -> Tensor:
    """Find the steps of token ids (b, t), or of vectors (b, t, f), that are no padding."""
    return X >= 0 if X.ndim == 2 else ~X.isnan().all(-1)


def check_steps(X: Tensor) -> None:
    """Refuse token ids that are no integers, and vectors that are NaN in parts.

    Parameters
    ----------
    X : Tensor of shape (b, t) or (b, t, f)
        Token ids or vectors.
    """
    if X.ndim == 2:
        odd = X.round() != X
        if bool(odd.any()):
            raise ValueError(
                "Token ids must be integers, negative on padding; X has "
                f"{float(X[odd].flatten()[0]):g}."
            )
        return
    missing = X.isnan()
    parts = missing.any(-1) & ~missing.all(-1)
    if bool(parts.any()):
        sample, step = parts.nonzero()[0].tolist()
        raise ValueError(
            "A step of a sequence must be all finite, or all NaN if it is padding; step "
            f"{step} of sample {sample} of X is NaN in parts."
        )


def arrange_steps(X: Tensor) -> Steps:
    """Find the padding of sequences and move it to the end.

    Parameters
    ----------
    X : Tensor of shape (b, t) or (b, t, f)
        Token ids, where negative ones are padding, or vectors, where those of NaN are. Padding
        may stand anywhere; a sequence of nothing else counts as one step that says nothing.

    Returns
    -------
    Steps
        What is left of it.
    """
    present = present_steps(X)
    if bool(present.all()):
        return Steps(X, None, None)
    lengths = present.sum(1).clamp_min(1)
    longest = int(lengths.max())
    order = (~present).byte().argsort(dim=1, stable=True)[:, :longest]
    if X.ndim == 2:
        inputs = X.gather(1, order)
    else:
        inputs = X.take_along_dim(order[:, :, None], 1)
        padding = ~present.gather(1, order)[:, :, None]
        inputs = inputs.masked_fill(padding, 0)
    valid = torch.arange(longest, device=X.device) < lengths[:, None]
    return Steps(inputs, None if bool(valid.all()) else valid, order)


def restore_steps(values: Tensor, steps: Steps, length: int) -> Tensor:
    """Put values of shape (b, t, c) where their steps stood, and zeros on padding."""
    values = hide_padding(values, steps.valid)
    if steps.order is None:
        return values
    restored = values.new_zeros(len(values), length, values.shape[2])
    return restored.scatter(1, steps.order[:, :, None].expand_as(values), values)


def hide_padding(values: Tensor, valid: Tensor | None) -> Tensor:
    """Set values of shape (b, t, c) to zero on padding."""
    return values if valid is None else values.masked_fill(~valid[:, :, None], 0)


class SequenceNetwork(nn.Module):
    """Embed the steps of sequences, pass them through a body, and map them to outputs.

    Its layers are ``embedding``, ``body``, ``pool`` (if there is one output per sequence),
    ``features`` and ``head``.

    Parameters
    ----------
    input_shape : tuple of int
        ``(t,)`` for token ids, ``(t, f)`` for vectors.

    n_outputs : int
        Number of outputs.

    body : Module
        Maps values of shape (b, t, width) and their validity to values of the same shape.

    body_width, out_width : int
        Width of what the body takes, and of what it returns.

    pooling : {"max", "mean", "attention"} or None
        How the steps of a sequence become one. None: outputs per position.

    n_tokens : int or None
        Number of tokens. Ids beyond them are unknown tokens: their embedding is zero, and stays
        zero. None for vectors.

    dropout : float
        Share of the features that is dropped in training.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        *,
        body: nn.Module,
        body_width: int,
        out_width: int,
        pooling: str | None,
        n_tokens: int | None,
        dropout: float,
    ) -> None:
        super().__init__()
        if len(input_shape) != (2 if n_tokens is None else 1):
            raise ValueError(
                "Sequences have samples of shape (n_steps, n_features), or (n_steps,) with "
                f"n_tokens if they are token ids; got {input_shape} and n_tokens={n_tokens}."
            )
        pools: dict[str | None, Callable[[], nn.Module | None]] = {
            "max": MaxPool,
            "mean": MeanPool,
            "attention": lambda: AttentionPool(out_width, body_width),
            None: lambda: None,
        }
        if pooling not in pools:
            raise ValueError(
                f"pooling must be one of 'max', 'mean', 'attention'; got {pooling!r}."
            )
        self.n_tokens = n_tokens
        if n_tokens is None:
            self.embedding: nn.Module = nn.Linear(input_shape[1], body_width)
        else:
            self.embedding = nn.Embedding(n_tokens + 1, body_width, padding_idx=n_tokens)
        self.body = body
        self.pool = pools[pooling]()
        self.dropout = nn.Dropout(dropout)
        self.features = UnitFeatures()
        self.head = nn.Linear(out_width, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Compute outputs: (b, n_outputs), or (b, t, n_outputs) with zeros on padding."""
        steps = arrange_steps(X)
        values = hide_padding(self.embedding(self._ids_or_vectors(steps.inputs)), steps.valid)
        values = self.body(values, steps.valid)
        if self.pool is not None:
            values = self.pool(values, steps.valid)
        outputs = self.head(self.features(self.dropout(values)))
        return outputs if self.pool is not None else restore_steps(outputs, steps, X.shape[1])

    def restore(self, values: Tensor, X: Tensor) -> Tensor:
        """Put what a layer makes of the steps of X, (b, t, c), where they stood."""
        return restore_steps(values, arrange_steps(X), X.shape[1])

    def _ids_or_vectors(self, inputs: Tensor) -> Tensor:
        if self.n_tokens is None:
            return inputs
        known = (inputs >= 0) & (inputs < self.n_tokens)
        return torch.where(known, inputs, self.n_tokens).long()


class Chain(nn.Module):
    """Modules one after the other, each of values and their validity."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Pass values of shape (b, t, c) through all of them."""
        for module in self.children():
            values = module(values, valid)
        return values


class Normalize(nn.LayerNorm):
    """Normalize each step by itself."""

    def forward(self, values: Tensor, valid: Tensor | None = None) -> Tensor:
        """Normalize values of shape (b, t, c) along their last axis."""
        return super().forward(values)


class MaxPool(nn.Module):
    """The largest value of each feature over the steps."""

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Reduce values of shape (b, t, c) to (b, c)."""
        if valid is not None:
            values = values.masked_fill(~valid[:, :, None], -torch.inf)
        return values.amax(1)


class MeanPool(nn.Module):
    """The mean of each feature over the steps."""

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Reduce values of shape (b, t, c) to (b, c)."""
        if valid is None:
            return values.mean(1)
        return hide_padding(values, valid).sum(1) / valid.sum(1, keepdim=True)


class AttentionPool(nn.Module):
    """A mean over the steps, weighted by softmax of ``score(tanh(project(values)))``."""

    def __init__(self, width: int, attention_width: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, attention_width)
        self.score = nn.Linear(attention_width, 1, bias=False)

    def forward(self, values: Tensor, valid: Tensor | None) -> Tensor:
        """Reduce values of shape (b, t, c) to (b, c)."""
        scores = self.score(torch.tanh(self.project(values)))
        if valid is not None:
            scores = scores.masked_fill(~valid[:, :, None], -torch.inf)
        return (scores.softmax(1) * values).sum(1)
