"""A fitted interaction model as nested dictionaries of tensors, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from skoverparam.completion._combinations import Combinations
from skoverparam.completion._entries import Entries
from skoverparam.completion._exact_pairs import ExactPairs
from skoverparam.completion._id_kernels import BiasKernel, IdKernel, Network
from skoverparam.completion._interactions import Interactions
from skoverparam.completion._low_rank_pairs import LowRankPairs
from skoverparam.completion._profiles import Profiles

_KINDS = {"exact": ExactPairs, "low_rank": LowRankPairs, "combinations": Combinations}


def state_of(model: Interactions) -> dict[str, Any]:
    """Collect what a model is made of: tensors, numbers, lists and dictionaries only."""
    kernel = model.kernel
    state: dict[str, Any] = {
        "kind": next(name for name, kind in _KINDS.items() if isinstance(kernel, kind)),
        "entries": kernel.entries._asdict() | {"sizes": list(kernel.entries.sizes)},
        "biases": [list(bias) for bias in kernel.biases],
        "network": list(kernel.network),
        "model": {
            "coefficients": model.coefficients,
            "S": model.S,
            "noise": list(model.noise),
            "amplitude": model.amplitude,
            "mean": model.mean,
            "scale": model.scale,
            "like": [profiles._asdict() for profiles in model.like],
        },
    }
    if isinstance(kernel, ExactPairs):
        state["mixed"] = [profiles._asdict() for profiles in kernel.mixed]
    elif isinstance(kernel, LowRankPairs):
        state["ids"] = [
            ids._asdict() | {"landmarks": ids.landmarks._asdict()} for ids in kernel.ids
        ]
    else:
        state["tables"] = list(kernel.tables)
        state["landmarks"] = [profiles._asdict() for profiles in kernel.landmarks]
        state["factor"] = {"F": kernel.F, "G": kernel.G, "pivots": kernel.pivots}
    return state


def map_tensors(state: Any, function: Callable[[Tensor], Any]) -> Any:
    """Apply a function to every tensor in nested dictionaries and lists."""
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, dict):
        return {name: map_tensors(value, function) for name, value in state.items()}
    if isinstance(state, list):
        return [map_tensors(value, function) for value in state]
    return state


def model_from(state: dict[str, Any]) -> Interactions:
    """Rebuild a model from its state, without any of the work of fitting it."""
    sizes = tuple(state["entries"]["sizes"])
    entries = Entries(**(state["entries"] | {"sizes": sizes}))
    shared = (tuple(BiasKernel(*bias) for bias in state["biases"]), Network(*state["network"]))
    kernel: ExactPairs | LowRankPairs | Combinations
    if state["kind"] == "exact":
        kernel = ExactPairs(entries, _profiles(state["mixed"]), *shared)
    elif state["kind"] == "low_rank":
        ids = tuple(
            IdKernel(**(one | {"landmarks": Profiles(**one["landmarks"])})) for one in state["ids"]
        )
        kernel = LowRankPairs(entries, ids, *shared)
    else:
        F, G, pivots = state["factor"].values()
        marks = _profiles(state["landmarks"])
        kernel = Combinations(entries, tuple(state["tables"]), marks, F, G, pivots, *shared)
    rest = dict(state["model"])
    rest["noise"] = tuple(rest["noise"])
    rest["like"] = _profiles(rest["like"])
    return Interactions(kernel=kernel, **rest)


def _profiles(states: list[dict[str, Any]]) -> tuple[Profiles, ...]:
    return tuple(Profiles(**state) for state in states)
