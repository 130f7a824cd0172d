"""Checks of what users pass: numbers, spectra, covariances, seeds."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def integer(value: Any, name: str, *, low: int, high: int | None = None) -> int:
    """Check that a parameter is an integer within bounds (both included)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r}.")
    value = int(value)
    if value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {bounds}, got {value!r}.")
    return value


def integers(
    value: Any, name: str, *, low: int, high: int | None = None
) -> NDArray[np.int64] | int:
    """Check that a parameter is an integer, or an array of them of any shape."""
    if np.ndim(value) == 0 and not isinstance(value, np.ndarray):
        return integer(value, name, low=low, high=high)
    array = np.asarray(value)
    if array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be an integer or an array of integers, got {value!r}.")
    for bound in (array.min(), array.max()):
        integer(bound, name, low=low, high=high)
    return array.astype(np.int64)


def number(
    value: Any,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Check that a parameter is a finite real number within bounds."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
    value = float(value)
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}.")
    if low is not None and (value < low or (open_low and value == low)):
        raise ValueError(
            f"{name} must be {'above' if open_low else 'at least'} {low}, got {value!r}."
        )
    if high is not None and (value > high or (open_high and value == high)):
        raise ValueError(
            f"{name} must be {'below' if open_high else 'at most'} {high}, got {value!r}."
        )
    return value


def option(value: Any, name: str, options: Collection[str]) -> str:
    """Check that a parameter is one of a few accepted words."""
    if not isinstance(value, str) or value not in options:
        accepted = ", ".join(repr(word) for word in options)
        raise ValueError(f"{name} must be one of {accepted}; got {value!r}.")
    return value


def vector(value: Any, name: str, *, length: int | None = None, of: str = "") -> FloatArray:
    """Check that a parameter is a vector of finite numbers, and make it float64."""
    array = _finite(value, name)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty, got shape {array.shape}.")
    if length is not None and array.size != length:
        raise ValueError(f"{name} must have length {length}{of}, got length {array.size}.")
    return array


def matrix(value: Any, name: str) -> FloatArray:
    """Check that a parameter is a matrix of finite numbers, and make it float64."""
    array = _finite(value, name)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name} must be two-dimensional and not empty, got shape {array.shape}.")
    return array


def variances(value: Any, name: str = "spectrum", *, length: int | None = None) -> FloatArray:
    """Check that a parameter is a vector of variances: none negative, not all zero."""
    of = " (n_features)" if length is not None else ""
    array = vector(value, name, length=length, of=of)
    if array.min() < 0:
        raise ValueError(f"{name} must not be negative, got a value of {array.min():g}.")
    if array.max() == 0:
        raise ValueError(f"{name} must have a positive value, got only zeros.")
    return array


def covariance(value: Any, name: str = "spectrum") -> FloatArray:
    """Check that a parameter is a symmetric positive semidefinite matrix."""
    array = _finite(value, name)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise ValueError(
            f"{name} must be a vector of variances or a square covariance matrix, got shape "
            f"{array.shape}."
        )
    size = np.abs(array).max()
    if size == 0:
        raise ValueError(f"{name} must have a positive value, got only zeros.")
    if np.abs(array - array.T).max() > 1e-10 * size:
        raise ValueError(f"{name} must be symmetric if it is a matrix.")
    array = (array + array.T) / 2
    smallest = np.linalg.eigvalsh(array)[0]
    if smallest < -1e-10 * size:
        raise ValueError(
            f"{name} must be positive semidefinite if it is a matrix, got the eigenvalue "
            f"{smallest:g}."
        )
    return array


def generator(random_state: Any) -> np.random.Generator:
    """Make a generator from a seed, a generator, a RandomState or None (fresh entropy)."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(np.iinfo(np.int32).max))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "random_state must be None, an integer that is not negative, or a numpy generator, "
            f"got {random_state!r}."
        ) from error


def _finite(value: Any, name: str) -> FloatArray:
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {value!r}.") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but it contains NaN or infinity.")
    return array
