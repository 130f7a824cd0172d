"""What the layers of any torch module make of samples, and its linear head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skoverparam.nets._evaluation import evaluating, precision_of
from skoverparam.nets._sequences import present_steps
from skoverparam.nets._two_layer_cnn import activation as powered

PENULTIMATE = "penultimate"

_ACTIVATIONS = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.PReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.GELU,
    nn.SiLU,
    nn.Mish,
    nn.Softplus,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardswish,
    nn.Hardtanh,
)

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)

# These layers have channels before positions also where there is one dimension of positions.
_CHANNELS_FIRST = (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d)


class Head(NamedTuple):
    """The last linear layer: weights (C, d) and bias (C,), in float64."""

    W: Tensor
    b: Tensor


class ModuleFeatures(NamedTuple):
    """Features of samples.

    Attributes
    ----------
    layers : dict of Tensor
        Features (n, d) by the name of the layer, in the order in which layers are reached.

    head : Head or None
        What turns the features called "penultimate" into outputs; None where there is none.
    """

    layers: dict[str, Tensor]
    head: Head | None


def module_features(
    module: nn.Module,
    X: Tensor,
    layers: Sequence[str] | str = PENULTIMATE,
    *,
    pool: str = "gap",
    batch_size: int = 1024,
    require: Callable[[float], None] | None = None,
) -> ModuleFeatures:
    """Compute features of samples, and leave the module as it was.

    Parameters
    ----------
    module : Module
        Any module. It is run in evaluation mode and without gradients; modes, gradients, hooks,
        buffers and torch's random stream are afterwards what they were.

    X : Tensor of shape (n, ...)
        Samples, on the device of the module.

    layers : "penultimate", "all" or sequence of str
        Paths of submodules, whose outputs are the features; "penultimate" stands for what comes
        into the last linear layer that is reached, and "all" for the layers that
        `cascade_layers` finds.

    pool : {"gap", "flatten"}
        Whether positions of maps and steps of sequences are averaged, or kept as features.

    batch_size : int
        Samples at a time.

    require : callable, default=None
        Gets the number of bytes that the features will take, before they are computed.

    Returns
    -------
    ModuleFeatures
        In the precision of the module.

    Raises
    ------
    ValueError
        If there is no such layer, or the module did not use it.
    """
    with evaluating(module, gradients=False):
        probe = X[:2]
        last = _last_linear(module, probe)
        if layers == "all":
            names = cascade_layers(module, probe, last)
        else:
            names = [layers] if isinstance(layers, str) else list(layers)
        for name in names:
            _check_name(module, name, last)
        parts: dict[str, list[Tensor]] = {name: [] for name in names}
        for start in range(0, len(X), batch_size):
            block = X[start : start + batch_size]
            caught = _catch(module, block, names, last)
            for name in names:
                if name not in caught:
                    raise ValueError(f"The module makes outputs without its layer {name!r}.")
                part = _rows(module, name, caught[name], block, pool)
                parts[name].append(part)
            if not start and require is not None:
                require(
                    sum(float(p[0].nbytes) / len(p[0]) for p in parts.values()) * float(len(X))
                )
    features = {name: torch.cat(part) for name, part in parts.items()}
    return ModuleFeatures(features, None if last is None else _head(module.get_submodule(last)))


def cascade_layers(module: nn.Module, X: Tensor, last: str | None) -> list[str]:
    """Name the layers whose features are compared from the first to the last.

    Parameters
    ----------
    module : Module
        Any module, in evaluation mode.

    X : Tensor of shape (b, ...)
        A few samples.

    last : str or None
        The last linear layer.

    Returns
    -------
    list of str
        Layers of activations in the order in which they are reached, or where there are none,
        all leaves with parameters but the last linear layer; then "penultimate", unless the last
        of them is the same.
    """
    leaves = [name for name, m in module.named_modules() if name and not list(m.children())]
    kinds = [name for name in leaves if isinstance(module.get_submodule(name), _ACTIVATIONS)]
    if not kinds:
        kinds = [
            name
            for name in leaves
            if name != last and any(True for _ in module.get_submodule(name).parameters())
        ]
    wanted = [*kinds, *([PENULTIMATE] if last is not None else [])]
    # A dictionary keeps the order of first insertion: that in which layers are reached.
    caught = _catch(module, X, wanted, last)
    names = [name for name in caught if name != PENULTIMATE]
    if PENULTIMATE not in caught:
        return names
    if names and not isinstance(module.get_submodule(names[-1]), nn.RNNBase):
        final, features = caught[names[-1]], caught[PENULTIMATE]
        if final.shape == features.shape and torch.equal(final, features):
            names.pop()
    return [*names, PENULTIMATE]


def batch_statistics(module: nn.Module) -> list[str]:
    """Name the layers that normalize by the batch also in evaluation mode."""
    return [
        name
        for name, m in module.named_modules()
        if isinstance(m, _BATCH_NORMS) and m.running_mean is None
    ]


def _last_linear(module: nn.Module, X: Tensor) -> str | None:
    """Find the linear layer that a module reaches last."""
    reached: list[str] = []

    def note(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda m, inputs: reached.append(name)

    # Of a module under several names each is a path to it; the first is enough.
    hooks = [
        m.register_forward_pre_hook(note(name))
        for name, m in module.named_modules()
        if isinstance(m, nn.Linear)
    ]
    try:
        module(X)
    finally:
        for hook in hooks:
            hook.remove()
    return reached[-1] if reached else None


def _check_name(module: nn.Module, name: str, last: str | None) -> None:
    names = [path for path, _ in module.named_modules() if path]
    if name in names or (name == PENULTIMATE and last is not None):
        return
    if name == PENULTIMATE:
        raise ValueError(
            "layer='penultimate' reads what comes into the last linear layer, and this module "
            f"has none; name one of its layers: {', '.join(names)}."
        )
    raise ValueError(f"layer must be 'penultimate' or one of {', '.join(names)}; got {name!r}.")


def _catch(
    module: nn.Module, X: Tensor, names: Sequence[str], last: str | None
) -> dict[str, Tensor]:
    """Run a module and copy what layers return: a later layer may work in place."""
    caught: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda m, inputs, output: caught.__setitem__(name, _first(output).detach().clone())

    def keep_input(m: nn.Module, inputs: Any) -> None:
        caught[PENULTIMATE] = inputs[0].detach().clone()

    hooks = []
    try:
        for name in names:
            if name == PENULTIMATE and last is not None:
                hooks.append(module.get_submodule(last).register_forward_pre_hook(keep_input))
            else:
                hooks.append(module.get_submodule(name).register_forward_hook(keep(name)))
        module(X)
    finally:
        for hook in hooks:
            hook.remove()
    return caught


def _first(output: Any) -> Tensor:
    while isinstance(output, (tuple, list)):
        output = output[0]
    if isinstance(output, dict):
        output = next(iter(output.values()))
    if not isinstance(output, Tensor):
        raise TypeError(f"layer must be one that returns tensors, got {type(output).__name__}.")
    return output


def _rows(module: nn.Module, name: str, values: Tensor, X: Tensor, pool: str) -> Tensor:
    """Make one row a sample of what a layer returned."""
    layer = None if name == PENULTIMATE else module.get_submodule(name)
    if isinstance(layer, nn.RNNBase) and not layer.batch_first and values.ndim == 3:
        values = values.transpose(0, 1)
    restore = getattr(module, "restore", None)
    if restore is not None and values.ndim == 3:
        # Networks for sequences of this package move padding: steps go back, zeros on padding.
        values = restore(values, X)
        if pool == "gap":
            return values.sum(1) / present_steps(X).sum(1, keepdim=True).clamp_min(1)
    if values.ndim == 0 or len(values) != len(X):
        raise ValueError(
            f"Layer {name!r} returns shape {tuple(values.shape)} for {len(X)} samples: its first "
            "dimension must be that of the samples."
        )
    if values.ndim <= 2 or pool == "flatten":
        return values.reshape(len(values), -1)
    channels_first = layer is not None and (values.ndim > 3 or isinstance(layer, _CHANNELS_FIRST))
    return values.flatten(2).mean(2) if channels_first else values.flatten(1, -2).mean(1)


def _head(layer: nn.Module) -> Head:
    assert isinstance(layer, nn.Linear)
    W = layer.weight.detach().double()
    b = W.new_zeros(len(W)) if layer.bias is None else layer.bias.detach().double()
    return two_outputs(W, b)


def two_outputs(W: Tensor, b: Tensor) -> Head:
    """Write a head with one output, whose sign decides, as one with two."""
    if len(W) == 1:
        return Head(torch.cat([-W, W]), torch.cat([-b, b]))
    return Head(W, b)


def feature_width(network: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Count the numbers that come into the last linear layer, for one sample."""
    device, dtype = precision_of(network)
    sample = torch.zeros((1, *input_shape), device=device, dtype=dtype)
    return module_features(network, sample, pool="flatten").layers[PENULTIMATE].shape[1]


def two_layer_features(patches: Tensor, coef: Tensor, q: float) -> ModuleFeatures:
    """Compute the features of the two-layer network with a fixed second layer.

    Parameters
    ----------
    patches : Tensor of shape (n, P, d)
        Samples.

    coef : Tensor of shape (K, m, d)
        Filters of each class.

    q : float
        Degree of the activation.

    Returns
    -------
    ModuleFeatures
        Activations of all filters, summed over patches, shape (n, K m); the head averages those
        of each class.
    """
    n_classes, n_filters, d = coef.shape
    features = powered(patches @ coef.reshape(-1, d).T, q).sum(1)
    own = torch.eye(n_classes, dtype=torch.float64, device=coef.device)
    W = own.repeat_interleave(n_filters, dim=1) / n_filters
    return ModuleFeatures({PENULTIMATE: features}, Head(W, W.new_zeros(n_classes)))
