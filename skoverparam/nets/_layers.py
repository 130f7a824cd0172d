"""Reading what the layers of a network make of its input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# Samples whose values are computed at a time.
_BLOCK = 512


def layer_names(network: nn.Module) -> list[str]:
    """Name the layers of a network, in the order in which they were made.

    Parameters
    ----------
    network : Module
        Any network.

    Returns
    -------
    list of str
        Paths such as ``"body.block1.attention"``.
    """
    return [name for name, _ in network.named_modules() if name]


def layer_values(network: nn.Module, X: Tensor, layer: str | None = None) -> Tensor:
    """Compute what a layer returns.

    Parameters
    ----------
    network : Module
        Any network.

    X : Tensor of shape (n, ...)
        Its input.

    layer : str, default=None
        Which layer. None: what comes into the last linear layer.

    Returns
    -------
    Tensor of shape (n, ...)
        What the layer returned when the network computed its outputs, the first of them if there
        are several. Steps of sequences stand where they stood in X, with zeros on padding.

    Raises
    ------
    ValueError
        If there is no such layer, or the network did not use it.
    """
    # Copies: a later layer may work in place.
    caught: list[Tensor] = []
    if layer is None:
        hook = _last_linear(network).register_forward_pre_hook(
            lambda _, inputs: caught.append(_first(inputs).clone())
        )
    else:
        if layer not in layer_names(network):
            raise ValueError(
                f"layer must be None or one of {', '.join(layer_names(network))}; got {layer!r}."
            )
        hook = network.get_submodule(layer).register_forward_hook(
            lambda _, __, out: caught.append(_first(out).clone())
        )
    network.eval()
    blocks = []
    try:
        with torch.inference_mode():
            for block in X.split(_BLOCK):
                caught.clear()
                network(block)
                if not caught:
                    raise ValueError(f"The network makes outputs without its layer {layer!r}.")
                blocks.append(_in_place(network, caught[-1], block))
    finally:
        hook.remove()
    return torch.cat(blocks)


def read_width(network: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Count the numbers that come into the last linear layer, for one sample."""
    width = _last_linear(network).in_features
    return width if getattr(network, "pool", True) is not None else input_shape[0] * width


def _last_linear(network: nn.Module) -> nn.Linear:
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(
            "layer=None reads what comes into the last linear layer, and this network has none; "
            f"name one of its layers: {', '.join(layer_names(network))}."
        )
    return linear[-1]


def _first(values: Any) -> Tensor:
    while isinstance(values, (tuple, list)):
        values = values[0]
    return values


def _in_place(network: nn.Module, values: Tensor, X: Tensor) -> Tensor:
    restore = getattr(network, "restore", None)
    return values if restore is None or values.ndim != 3 else restore(values, X)
