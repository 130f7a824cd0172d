"""Reading what the layers of a network make of its input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


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

    X : Tensor of shape (b, ...)
        Its input.

    layer : str, default=None
        Which layer. None: what comes into the last linear layer.

    Returns
    -------
    Tensor of shape (b, ...)
        What the layer returned when the network computed its outputs, the first of them if there
        are several. Steps of sequences stand where they stood in X, with zeros on padding.

    Raises
    ------
    ValueError
        If there is no such layer, or the network did not use it.
    """
    modules = dict(network.named_modules())
    caught: list[Any] = []
    if layer is None:
        linear = [module for module in modules.values() if isinstance(module, nn.Linear)]
        if not linear:
            raise ValueError(
                "layer=None reads what comes into the last linear layer, and this network has no "
                f"linear layer; name one of its layers: {', '.join(layer_names(network))}."
            )
        hook = linear[-1].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    else:
        if not isinstance(layer, str) or layer not in modules or not layer:
            raise ValueError(
                f"layer must be None or one of {', '.join(layer_names(network))}; got {layer!r}."
            )
        hook = modules[layer].register_forward_hook(lambda _, __, out: caught.append(out))
    try:
        network(X)
    finally:
        hook.remove()
    if not caught:
        raise ValueError(f"The network does not use its layer {layer!r} to compute outputs.")
    values = caught[-1]
    while isinstance(values, (tuple, list)):
        values = values[0]
    return _in_place(network, values, X)


def _in_place(network: nn.Module, values: Tensor, X: Tensor) -> Tensor:
    restore = getattr(network, "restore", None)
    if restore is None or values.ndim != 3 or not isinstance(values, torch.Tensor):
        return values
    return restore(values, X)
