"""Parameter checks with messages that name the parameter, and seeded generators."""

from __future__ import annotations

from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state, check_scalar

# Integers are numbers of things, and of 64 bits.
_MOST = 2**63 - 1


def check_number(
    value: Any,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    boundaries: str = "both",
    none: bool = False,
) -> None:
    """Check that a parameter is a real number, finite and within bounds.

    Parameters
    ----------
    value : object
        What the user gave.

    name : str
        The parameter's name, for the message.

    low, high : float, default=None
        Bounds.

    boundaries : {"both", "left", "right", "neither"}, default="both"
        Which bounds are themselves allowed.

    none : bool, default=False
        Whether None is accepted, too.
    """
    if none and value is None:
        return
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a number, got {value!r} of type bool.")
    check_scalar(value, name, Real, min_val=low, max_val=high, include_boundaries=boundaries)
    try:
        finite = np.isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError(f"{name} must be finite, got {value!r:.80}.")


def check_integer(
    value: Any,
    name: str,
    *,
    low: int | None = None,
    high: int | None = None,
    none: bool = False,
) -> None:
    """Check that a parameter is an integer within bounds (both included)."""
    if none and value is None:
        return
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r} of type bool.")
    check_scalar(value, name, Integral, min_val=low, max_val=high)
    if value > _MOST:
        raise ValueError(f"{name} must be at most {_MOST}, got {value!r:.80}.")


def check_flag(value: Any, name: str) -> None:
    """Check that a parameter is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}.")


def check_option(value: Any, name: str, options: Collection[Any]) -> None:
    """Check that a parameter is one of a few accepted values."""
    if not isinstance(value, str) or value not in options:
        accepted = ", ".join(repr(option) for option in options)
        raise ValueError(f"{name} must be one of {accepted}; got {value!r}.")


def check_auto(
    value: Any,
    name: str,
    check: Callable[..., None],
    *,
    words: Collection[str] = ("auto",),
    **bounds: Any,
) -> None:
    """Check that a parameter is "auto", or another of a few words, or passes another check."""
    if not isinstance(value, str):
        check(value, name, **bounds)
    elif value not in words:
        accepted = ", ".join(repr(word) for word in words)
        raise ValueError(f"{name} must be {accepted} or a number, got {value!r}.")


def check_bounds(value: Any, name: str) -> None:
    """Check that a parameter is None or a pair (low, high) of numbers, low below high."""
    if value is None:
        return
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"{name} must be None or a pair (low, high), got {value!r}.")
    for bound in value:
        check_number(bound, name)
    if not value[0] < value[1]:
        raise ValueError(f"{name} must be a pair (low, high) with low < high, got {value!r}.")


def check_missing_values(value: Any) -> None:
    """Check a ``missing_values`` parameter: a number, or NaN."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"missing_values must be a number or NaN, got {value!r:.80}.")


def is_nan(value: Any) -> bool:
    """Whether a parameter is the number NaN."""
    return isinstance(value, Real) and bool(np.isnan(float(value)))


def make_generator(random_state: Any) -> torch.Generator:
    """Make a CPU generator from a ``random_state`` parameter.

    Draws are made on the CPU and then moved, so that they agree between devices; the global seed
    is never touched.
    """
    seed = make_stream(random_state).randint(np.iinfo(np.int32).max)
    return torch.Generator().manual_seed(int(seed))


def make_stream(random_state: Any) -> np.random.RandomState:
    """Make a numpy stream from a ``random_state`` parameter."""
    try:
        return check_random_state(random_state)
    except (TypeError, ValueError):
        raise ValueError(
            "random_state must be None, an integer from 0 or a numpy.random.RandomState, got "
            f"{random_state!r:.80}."
        ) from None
