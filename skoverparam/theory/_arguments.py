"""Checks of what users pass: numbers, spectra, covariances, seeds."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
# Integers are numbers of things, and of 64 bits.
_MOST = 2**63 - 1


def ndim(value: Any) -> int:
    """Count the dimensions of what a user gave; ragged lists, which are no arrays, have one."""
    try:
        return np.ndim(value)
    except ValueError:
        return 1


def integer(value: Any, name: str, *, low: int, high: int | None = None) -> int:
    """Check that a parameter is an integer within bounds (both included)."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r:.80}.")
    value = int(value)
    if value < low or value > (_MOST if high is None else high):
        within = value <= _MOST and high is None
        bounds = f"at least {low}" if within else f"in [{low}, {_MOST if high is None else high}]"
        raise ValueError(f"{name} must be {bounds}, got {value!r:.80}.")
    return value


def integers(
    value: Any, name: str, *, low: int, high: int | None = None
) -> NDArray[np.int64] | int:
    """Check that a parameter is an integer, or an array of them of any shape."""
    if ndim(value) == 0 and not isinstance(value, np.ndarray):
        return integer(value, name, low=low, high=high)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise TypeError(f"{name} must be one or more integers, got {value!r:.80}.") from error
    if array.size == 0 or not np.issubdtype(array.dtype, np.integer):
        raise TypeError(f"{name} must be one or more integers, got {value!r:.80}.")
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
        raise TypeError(f"{name} must be a number, got {value!r:.80}.")
    try:
        value = float(value)
    except OverflowError:
        value = np.inf
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


def flag(value: Any, name: str) -> bool:
    """Check that a parameter is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r:.80}.")
    return bool(value)


def option(value: Any, name: str, options: Collection[str]) -> str:
    """Check that a parameter is one of a few accepted words."""
    if not isinstance(value, str) or value not in options:
        accepted = ", ".join(repr(word) for word in options)
        raise ValueError(f"{name} must be one of {accepted}; got {value!r:.80}.")
    return value


def vector(value: Any, name: str, *, length: int | None = None, of: str = "") -> FloatArray:
    """Check that a parameter is a vector of finite numbers, and make it float64."""
    array = finite(value, name)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be one-dimensional and not empty, got shape {array.shape}.")
    if length is not None and array.size != length:
        raise ValueError(f"{name} must have length {length}{of}, got length {array.size}.")
    return array


def matrix(value: Any, name: str) -> FloatArray:
    """Check that a parameter is a matrix of finite numbers, and make it float64."""
    array = finite(value, name)
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
    array = finite(value, name)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or array.size == 0:
        raise ValueError(
            f"{name} must be a vector of variances or a square covariance matrix, got shape "
            f"{array.shape}."
        )
    size = np.abs(array).max()
    if size == 0:
        raise ValueError(f"{name} must have a positive value, got only zeros.")
    if np.abs(array / 2 - array.T / 2).max() > 0.5e-10 * size:
        raise ValueError(f"{name} must be symmetric if it is a matrix.")
    array = array / 2 + array.T / 2
    smallest = np.linalg.eigvalsh(array / size)[0] * size
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


def exponent_of(*values: FloatArray | float) -> int:
    """Exponent of a power of two next to the largest of numbers in size; 0 for zeros.

    A power of two changes no digit. In such units squares, and sums of them, are within range.
    """
    largest = max(float(np.max(np.abs(value), initial=0)) for value in values)
    return int(np.frexp(largest)[1]) if largest > 0 else 0


def held(number: Any, exponent: int, what: str, *, positive: bool = False) -> Any:
    """Multiply results by the unit they are in, and refuse where that is beyond all numbers.

    Parameters
    ----------
    number : float or ndarray
        Results.

    exponent : int
        That of the power of two that is their unit.

    what : str
        What must be scaled, for the message.

    positive : bool, default=False
        Whether to refuse, too, what is so small that it would become zero.

    Returns
    -------
    value : number or array
        The results themselves.
    """
    with np.errstate(over="ignore", under="ignore"):
        exact = np.ldexp(number, exponent)
    if (np.isinf(exact) & ~np.isinf(number)).any():
        raise ValueError(f"{what} must be scaled: results are larger than any number.")
    if positive and ((exact == 0) & (np.asarray(number) != 0)).any():
        raise ValueError(f"{what} must be scaled: results are too small for numbers.")
    return exact


def within_range(what: str, *drawn: FloatArray) -> None:
    """Check that data that were drawn are numbers, or say what made them too large."""
    if not all(np.isfinite(part).all() for part in drawn):
        raise ValueError(f"{what} must be scaled: the data are larger than any number.")


def finite(value: Any, name: str) -> FloatArray:
    """Check that a parameter is an array of finite numbers of any shape, and make it float64."""
    try:
        if np.iscomplexobj(value):
            raise TypeError("complex numbers")
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"{name} must be an array of numbers, got {value!r:.80}.") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite, but it contains NaN or infinity.")
    return array
