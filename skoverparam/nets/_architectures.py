"""Small networks by name, with weights drawn from a seed."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from skoverparam.nets._recurrent import recurrent_layers
from skoverparam.nets._residual_images import ResidualImageNetwork
from skoverparam.nets._sequences import AttentionPool, Chain, MaxPool, MeanPool, SequenceNetwork
from skoverparam.nets._temporal_convolutions import temporal_convolutions
from skoverparam.nets._transformer import transformer_encoder

Factory = Callable[..., nn.Module]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "identity": nn.Identity,
}


def build_network(
    architecture: str | Factory,
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """Make a network, in float32 and on the CPU.

    Parameters
    ----------
    architecture : {"mlp", "resnet", "tcnn", "lstm", "transformer"} or callable
        A name; or a callable ``(input_shape, n_outputs, **options)`` that makes a module.

    input_shape : tuple of int
        Shape of one sample: any for "mlp"; ``(height, width)`` or ``(height, width, n_channels)``
        for "resnet"; for the others ``(n_steps, n_features)``, or ``(n_steps,)`` for token ids,
        with the option ``n_tokens``.

    n_outputs : int
        Number of outputs.

    seed : int, default=0
        Seed of the weights. The global stream is left as it was.

    **options : dict
        Of the architecture; see `architecture_options`.

    Returns
    -------
    Module
        Maps a Tensor of shape (b, *input_shape) to outputs: (b, n_outputs), or (b, n_steps,
        n_outputs) with the option ``per_position``.

    Raises
    ------
    ValueError
        If there is no such architecture or option, or the shape does not suit it.
    """
    if isinstance(architecture, str):
        if architecture not in ARCHITECTURES:
            accepted = ", ".join(map(repr, ARCHITECTURES))
            raise ValueError(
                f"architecture must be one of {accepted} or a callable (input_shape, n_outputs) "
                f"-> torch.nn.Module; got {architecture!r}."
            )
        make = ARCHITECTURES[architecture]
        known = architecture_options(architecture)
        if unknown := sorted(set(options) - set(known)):
            raise ValueError(
                f"architecture {architecture!r} takes the options {', '.join(known)}; got "
                f"{', '.join(unknown)}."
            )
    else:
        make = architecture
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed: it would seed the devices, too.
        torch.default_generator.manual_seed(seed)
        return make(input_shape, n_outputs, **options)


def architecture_options(architecture: str) -> dict[str, Any]:
    """Name the options of an architecture, with their defaults."""
    parameters = inspect.signature(ARCHITECTURES[architecture]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def multilayer_perceptron(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    hidden_layer_sizes: Sequence[int] = (256, 256),
    activation: str = "relu",
    dropout: float = 0.0,
) -> nn.Module:
    """Make a network of hidden layers: ``hidden1``, ``activation1``, ..., ``head``."""
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    width = math.prod(input_shape)
    for i, size in enumerate(hidden_layer_sizes, 1):
        network.add_module(f"hidden{i}", nn.Linear(width, size))
        network.add_module(f"activation{i}", ACTIVATIONS[activation]())
        if dropout:
            network.add_module(f"dropout{i}", nn.Dropout(dropout))
        width = size
    network.add_module("head", nn.Linear(width, n_outputs))
    return network


def residual_images(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    widths: Sequence[int] = (16, 32, 64),
    n_blocks: int = 1,
    dropout: float = 0.0,
) -> nn.Module:
    """Make a residual network of convolutions for images."""
    if len(input_shape) not in (2, 3):
        raise ValueError(
            "architecture 'resnet' needs images, of shape (height, width) or (height, width, "
            f"n_channels); got samples of shape {input_shape}."
        )
    return ResidualImageNetwork(
        input_shape, n_outputs, widths=widths, n_blocks=n_blocks, dropout=dropout
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
    _check_sequence("tcnn", input_shape, n_tokens)
    if n_blocks is None:
        reach = input_shape[0] / (2 * (kernel_size - 1)) + 1
        n_blocks = min(max(math.ceil(math.log2(reach)), 1), 8)
    return _sequence_network(
        input_shape,
        n_outputs,
        temporal_convolutions(width, n_blocks, kernel_size, causal=causal, dropout=dropout),
        body_width=width,
        out_width=width,
        pooling=None if per_position else pooling,
        n_tokens=n_tokens,
        dropout=dropout,
    )


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
    _check_sequence("lstm", input_shape, n_tokens)
    return _sequence_network(
        input_shape,
        n_outputs,
        recurrent_layers(width, n_layers, causal=causal, dropout=dropout),
        body_width=width,
        out_width=width if causal else 2 * width,
        pooling=None if per_position else pooling,
        n_tokens=n_tokens,
        dropout=dropout,
    )


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
    _check_sequence("transformer", input_shape, n_tokens)
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
    return _sequence_network(
        input_shape,
        n_outputs,
        body,
        body_width=width,
        out_width=width,
        pooling=None if per_position else pooling,
        n_tokens=n_tokens,
        dropout=dropout,
    )


ARCHITECTURES: dict[str, Factory] = {
    "mlp": multilayer_perceptron,
    "resnet": residual_images,
    "tcnn": temporal_network,
    "lstm": recurrent_network,
    "transformer": transformer_network,
}

# Those whose samples are sequences: they know padding, token ids and outputs per position.
SEQUENCE_ARCHITECTURES = ("tcnn", "lstm", "transformer")


def _check_sequence(name: str, input_shape: tuple[int, ...], n_tokens: int | None) -> None:
    if len(input_shape) != (2 if n_tokens is None else 1):
        raise ValueError(
            f"architecture {name!r} needs sequences: samples of shape (n_steps, n_features), or "
            f"(n_steps,) with n_tokens if they are token ids; got samples of shape {input_shape} "
            f"and n_tokens={n_tokens}."
        )


def _sequence_network(
    input_shape: tuple[int, ...],
    n_outputs: int,
    body: Chain,
    *,
    body_width: int,
    out_width: int,
    pooling: str | None,
    n_tokens: int | None,
    dropout: float,
) -> SequenceNetwork:
    pools: dict[str | None, Callable[[], nn.Module | None]] = {
        "max": MaxPool,
        "mean": MeanPool,
        "attention": lambda: AttentionPool(out_width, body_width),
        None: lambda: None,
    }
    if pooling not in pools:
        raise ValueError(f"pooling must be one of 'max', 'mean', 'attention'; got {pooling!r}.")
    return SequenceNetwork(
        input_shape,
        n_outputs,
        body=body,
        body_width=body_width,
        out_width=out_width,
        n_tokens=n_tokens,
        pool=pools[pooling](),
        dropout=dropout,
    )
