"""Looking at a network without changing it, and its outputs in the precision that is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def evaluating(module: nn.Module, *, gradients: bool = True) -> Iterator[None]:
    """Put a network in evaluation mode; afterwards it and torch's random streams are as before.

    Dropout does nothing then, and batch normalization takes its running statistics. With
    gradients, attention takes its plain formulas: the fused ones have no second derivatives.
    """
    modes = [(part, part.training) for part in module.modules()]
    device = precision_of(module)[0]
    devices = [device] if device.type == "cuda" else []
    module.eval()
    try:
        with torch.random.fork_rng(devices=devices), torch.inference_mode(False):
            if gradients:
                with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                    yield
            else:
                with torch.no_grad():
                    yield
    finally:
        for part, mode in modes:
            part.training = mode


def is_network(model: Any) -> bool:
    """Whether something is a torch module."""
    return isinstance(model, nn.Module)


def precision_of(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Tell where a network computes and in which precision."""
    lead = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(0))
    return lead.device, lead.dtype


def trainable(module: nn.Module, names: Iterable[str] | None = None) -> dict[str, nn.Parameter]:
    """Name the parameters that require gradients, each once, or those of them that are asked for.

    Raises
    ------
    ValueError
        If there are none, or a name is not among them.
    """
    found = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not found:
        raise ValueError(
            f"{type(module).__name__} has no parameters that require gradients, so it has no "
            "tangent kernel and no Hessian. Call module.requires_grad_(True)."
        )
    if names is None:
        return found
    wanted = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in wanted if name not in found]
    if unknown or not wanted:
        raise ValueError(
            f"params must be None or names of parameters that require gradients; got {wanted!r}, "
            f"accepted are {', '.join(found)}."
        )
    return {name: p for name, p in found.items() if name in wanted}


def outputs_of(module: nn.Module, X: Tensor) -> Tensor:
    """Compute outputs as a table with a row for each sample, of shape (n, C)."""
    outputs: Any = module(X)
    if not isinstance(outputs, Tensor):
        raise TypeError(
            f"The module must return one tensor, got {type(outputs).__name__}. Wrap it in a "
            "module that returns the outputs that are meant."
        )
    if outputs.ndim == 0 or len(outputs) != len(X):
        raise ValueError(
            f"The module must return a row for each of the {len(X)} samples, got outputs of shape "
            f"{tuple(outputs.shape)}."
        )
    return outputs.reshape(len(X), -1)


def outputs_per_sample(module: nn.Module, X: Tensor) -> int:
    """Count the outputs of a network for one sample."""
    with evaluating(module, gradients=False):
        return outputs_of(module, X[:1]).shape[1]


def suited(module: nn.Module, X: Tensor) -> Tensor:
    """Move samples to the device and the precision of a network; token ids become integers.

    Where a network embeds something and all of X is integers, it decides itself whether they are
    ids: as other numbers it would refuse them.
    """
    device, dtype = precision_of(module)
    numbers = X.to(device=device, dtype=dtype)
    embeds = any(isinstance(part, (nn.Embedding, nn.EmbeddingBag)) for part in module.modules())
    if not embeds or not bool((X.round() == X).all()):
        return numbers
    if X.dtype.is_floating_point:
        try:
            outputs_per_sample(module, numbers)
        except RuntimeError:
            pass
        else:
            return numbers
    return X.to(device=device, dtype=torch.long)


def check_rows_apart(module: nn.Module, X: Tensor) -> None:
    """Refuse networks whose output for a sample depends on the other samples of a batch.

    Raises
    ------
    ValueError
        If it does: it has no tangent kernel between samples.
    """
    if len(X) < 2:
        return
    mixes = (
        "The outputs of the module for a sample depend on the other samples of the batch, or are "
        "not finite. Batch normalization needs running statistics (track_running_stats=True); "
        "replace other layers that mix samples."
    )
    with torch.no_grad():
        together = outputs_of(module, X)
        try:
            alone = outputs_of(module, X[:1])
        except ValueError as error:
            # Batch statistics of a single sample.
            raise ValueError(f"{mixes} For one sample it says: {error}") from error
    eps = torch.finfo(together.dtype).eps
    scale = float(together.abs().max())
    if not float((together[:1] - alone).abs().max()) <= 1e4 * eps * max(scale, 1e-30):
        raise ValueError(mixes)


def within(values: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert to a precision, numbers beyond its range to its largest ones.

    Filters that a step has thrown out to -1e80 excite nothing, and as -3e38 nothing either.
    """
    largest = torch.finfo(dtype).max
    if largest < torch.finfo(values.dtype).max:
        values = values.clamp(-largest, largest)
    return values.to(dtype)
