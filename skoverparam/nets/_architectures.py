"""Networks by name or by factory, their weights drawn from a seed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor, nn

from skoverparam.nets._recurrent import recurrent_network
from skoverparam.nets._residual_images import residual_images
from skoverparam.nets._temporal_convolutions import temporal_network
from skoverparam.nets._transformer import transformer_network

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "logistic": nn.Sigmoid,
    "gelu": nn.GELU,
    "identity": nn.Identity,
}

Factory = Callable[[tuple[int, ...], int], nn.Module]


class MLP(nn.Module):
    """A multilayer perceptron; samples of several dimensions are flattened.

    Its layers are ``body``, with ``linear1``, ``activation1``, ..., and ``head``.

    Parameters
    ----------
    input_shape : tuple of int
        Dimensions of a sample.

    n_outputs : int
        Number of outputs.

    hidden_layer_sizes : sequence of int
        Widths of the hidden layers.

    activation : str
        A name in `ACTIVATIONS`.

    dropout : float
        Share of the outputs of hidden layers that is dropped in training.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        n_outputs: int,
        *,
        hidden_layer_sizes: Sequence[int] = (256, 256),
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = torch.Size(input_shape).numel()
        self.body = nn.Sequential()
        for i, size in enumerate(hidden_layer_sizes, 1):
            self.body.add_module(f"linear{i}", nn.Linear(width, size))
            self.body.add_module(f"activation{i}", ACTIVATIONS[activation]())
            if dropout:
                self.body.add_module(f"dropout{i}", nn.Dropout(dropout))
            width = size
        self.head = nn.Linear(width, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        """Compute outputs of shape (b, n_outputs)."""
        return self.head(self.body(X.flatten(1)))


NAMED: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    "resnet": residual_images,
    "tcnn": temporal_network,
    "lstm": recurrent_network,
    "transformer": transformer_network,
}

# Samples of these are sequences: they know token ids, padding and outputs per position.
SEQUENTIAL = ("tcnn", "lstm", "transformer")


def check_architecture(architecture: Any) -> None:
    """Check that a network can be made of what was given: a name, or a function."""
    if isinstance(architecture, nn.Module) or not (
        callable(architecture) or (isinstance(architecture, str) and architecture in NAMED)
    ):
        raise TypeError(
            f"architecture must be one of {', '.join(map(repr, NAMED))}, or a function of "
            "(input_shape, n_outputs) that makes a torch module; got "
            f"{type(architecture).__name__} {architecture!r:.80}."
        )


def build_network(
    architecture: str | Factory,
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    seed: int = 0,
    **options: Any,
) -> nn.Module:
    """Make a network with weights drawn from a seed; no global stream is touched.

    Parameters
    ----------
    architecture : str or callable
        A name in `NAMED`, or a function of ``(input_shape, n_outputs)`` that makes a module.

    input_shape : tuple of int
        Dimensions of a sample.

    n_outputs : int
        Number of classes.

    seed : int, default=0
        Where the weights are drawn from.

    **options : dict
        More arguments of the network or the factory.

    Returns
    -------
    Module
        On the CPU, in training mode.
    """
    check_architecture(architecture)
    make = architecture if callable(architecture) else NAMED[architecture]
    if not callable(architecture):
        _check_options(architecture, options)
    with seeded(torch.Generator().manual_seed(seed).get_state(), torch.device("cpu")):
        network = make(input_shape, n_outputs, **options)
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"architecture must make a torch module, got {type(network).__name__} from "
            f"{architecture!r:.80}."
        )
    return network


# Options that are integers from one; the first two are several.
_SIZES = (
    "hidden_layer_sizes",
    "widths",
    "width",
    "n_blocks",
    "n_layers",
    "n_heads",
    "feedforward_width",
    "kernel_size",
    "n_tokens",
)


def _check_options(architecture: str, options: dict[str, Any]) -> None:
    """Refuse what torch would say about in words of its own, or not at all."""
    parameters = signature(NAMED[architecture]).parameters
    accepted = [name for name in parameters if name not in {"input_shape", "n_outputs"}]
    for name, value in options.items():
        if name not in accepted:
            raise ValueError(
                f"architecture_options of {architecture!r} must be among {accepted}, got {name!r}."
            )
        if name == "dropout":
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and 0 <= value < 1):
                raise ValueError(
                    f"dropout in architecture_options must be from 0 to below 1, got {value!r}."
                )
        elif isinstance(parameters[name].default, bool):
            if value not in (True, False):
                raise ValueError(
                    f"{name} in architecture_options must be True or False, got {value!r}."
                )
        elif name in _SIZES and value is not parameters[name].default:
            several = isinstance(parameters[name].default, tuple)
            sizes = value if several and isinstance(value, (tuple, list)) else [value]
            whole = all(isinstance(size, Integral) and int(size) >= 1 for size in sizes)
            if not whole or (name == "widths" and not len(sizes)):
                kind = "integers" if several else "an integer"
                raise ValueError(
                    f"{name} in architecture_options must be {kind} from 1, got {value!r}."
                )


def rebuild_network(
    architecture: str | Factory,
    input_shape: tuple[int, ...],
    n_outputs: int,
    weights: Mapping[str, Tensor],
    **options: Any,
) -> nn.Module:
    """Make a network with given weights, in evaluation mode, where the weights are."""
    if callable(architecture):
        # A factory may do anything with its tensors, such as computing others from them.
        network = build_network(architecture, input_shape, n_outputs, **options)
        lead = next(iter(weights.values()), torch.zeros(0))
        network = network.to(device=lead.device)
    else:
        # Shapes only: drawing weights would cost more than a small network's outputs.
        with torch.device("meta"):
            network = NAMED[architecture](input_shape, n_outputs, **options)
    network.load_state_dict(weights, strict=True, assign=True)
    return network.eval()


# The global stream belongs to all threads: two fits that exchanged it at once would mix theirs up.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def seeded(state: Tensor, device: torch.device) -> Iterator[torch.Generator]:
    """Draw from a stream of one's own where torch would draw from the global one of a device."""
    with _ONE_AT_A_TIME:
        yield from _swapped(state, device)


def _swapped(state: Tensor, device: torch.device) -> Iterator[torch.Generator]:
    generator = torch.default_generator
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        generator = torch.cuda.default_generators[index]
    before = generator.get_state()
    generator.set_state(state)
    try:
        yield generator
    finally:
        generator.set_state(before)
