"""Spectra with a name, and the effective ranks of any spectrum."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skoverparam.theory import _arguments as check
from skoverparam.theory._arguments import FloatArray

# What each spectrum takes besides n_features, with its default.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "isotropic": {"scale": 1.0},
    "power": {"scale": 1.0, "exponent": 1.0},
    "exponential": {"scale": 1.0, "rate": 0.1},
    "spiked": {"scale": 1.0, "n_spikes": 1, "height": 10.0},
    "staircase": {"sizes": None, "levels": None},
}


def spectrum(
    kind: Any,
    n_features: int | None = None,
    *,
    scale: float | None = None,
    exponent: float | None = None,
    rate: float | None = None,
    n_spikes: int | None = None,
    height: float | None = None,
    sizes: Any = None,
    levels: Any = None,
) -> FloatArray:
    r"""Make the variances of features: a spectrum with a name, or a checked array.

    Parameters
    ----------
    kind : {"isotropic", "power", "exponential", "spiked", "staircase"} or array-like
        Which spectrum, for k = 1, ..., n_features:

        - "isotropic": ``scale``;
        - "power": ``scale * k ** -exponent``;
        - "exponential": ``scale * exp(-rate * (k - 1))``;
        - "spiked": ``scale * height`` for the first `n_spikes` features, ``scale`` for the rest;
        - "staircase": ``levels[0]`` for the first ``sizes[0]`` features, ``levels[1]`` for the
          next ``sizes[1]``, and so on;
        - an array of variances, which is checked and copied.

    n_features : int, default=None
        Number of features. May be left out for "staircase" and for an array, whose length it must
        otherwise be.

    scale : float, default=None
        A factor, above 0; None is 1.

    exponent : float, default=None
        Of "power", not negative; None is 1.

    rate : float, default=None
        Of "exponential", not negative; None is 0.1.

    n_spikes : int, default=None
        Of "spiked", in [0, n_features]; None is 1.

    height : float, default=None
        Of "spiked", above 0; None is 10.

    sizes, levels : array-like, default=None
        Of "staircase": the numbers of features and their variances.

    Returns
    -------
    variances : ndarray of shape (n_features,)
        The spectrum in the order of the features, in float64.

    See Also
    --------
    effective_ranks : How many features such a spectrum is worth.

    Examples
    --------
    >>> from skoverparam.theory import spectrum
    >>> spectrum("power", 4, exponent=0.5)
    array([1.        , 0.70710678, 0.57735027, 0.5       ])
    >>> spectrum("staircase", sizes=[2, 1], levels=[1, 100])
    array([  1.,   1., 100.])
    """
    given: dict[str, Any] = {
        "scale": scale,
        "exponent": exponent,
        "rate": rate,
        "n_spikes": n_spikes,
        "height": height,
        "sizes": sizes,
        "levels": levels,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if n_features is not None:
        n_features = check.integer(n_features, "n_features", low=1)
    if not isinstance(kind, str):
        if given:
            raise ValueError(f"{next(iter(given))} is for a spectrum with a name, not an array.")
        return check.variances(kind, "kind of spectrum", length=n_features).copy()
    check.option(kind, "kind of spectrum", tuple(_PARAMETERS))
    taken = _PARAMETERS[kind]
    for name in given:
        if name not in taken:
            raise ValueError(
                f"{name} is not a parameter of the {kind!r} spectrum, which takes "
                f"{', '.join(taken)}."
            )
    if kind == "staircase":
        return _staircase(n_features, given)
    if n_features is None:
        raise ValueError(f"n_features must be given for the {kind!r} spectrum.")
    return _named(kind, n_features, taken | given)


def _named(kind: str, n_features: int, parameters: dict[str, Any]) -> FloatArray:
    scale = check.number(parameters["scale"], "scale", low=0, open_low=True)
    k = np.arange(1, n_features + 1, dtype=np.float64)
    if kind == "power":
        return scale * k ** -check.number(parameters["exponent"], "exponent", low=0)
    if kind == "exponential":
        rate = check.number(parameters["rate"], "rate", low=0)
        with np.errstate(over="ignore"):
            return scale * np.exp(-rate * (k - 1))
    values = np.full(n_features, scale)
    if kind == "spiked":
        n_spikes = check.integer(parameters["n_spikes"], "n_spikes", low=0, high=n_features)
        height = check.number(parameters["height"], "height", low=0, open_low=True)
        if not np.isfinite(scale * height):
            raise ValueError(f"height must be finite times scale={scale:g}, got {height:g}.")
        values[:n_spikes] *= height
    return values


def _staircase(n_features: int | None, given: dict[str, Any]) -> FloatArray:
    for name in ("sizes", "levels"):
        if name not in given:
            raise ValueError(f"{name} must be given for the 'staircase' spectrum.")
    sizes = np.atleast_1d(check.integers(given["sizes"], "sizes", low=1))
    levels = check.vector(given["levels"], "levels", length=len(sizes), of=" as sizes has")
    values = check.variances(np.repeat(levels, sizes), "levels")
    if n_features is not None and len(values) != n_features:
        raise ValueError(f"sizes must add up to n_features={n_features}, got {len(values)}.")
    return values


class EffectiveRanks(NamedTuple):
    """What :func:`effective_ranks` returns."""

    r: FloatArray
    R: FloatArray
    k_star: int | None
    variance_order: float | None


def effective_ranks(
    spectrum: Any, *, n_samples: int | None = None, threshold: float = 1.0
) -> EffectiveRanks:
    r"""Effective ranks of the tails of a spectrum.

    Parameters
    ----------
    spectrum : array-like of shape (n_features,)
        Variances in any order; they are sorted here, and zeros are left out.

    n_samples : int, default=None
        With it, `k_star` and `variance_order` are found, too.

    threshold : float, default=1.0
        The constant b in the definition of :math:`k^*`. The theory leaves it open.

    Returns
    -------
    r : ndarray of shape (n_positive,)
        :math:`r_k`, for k = 0, 1, ...

    R : ndarray of shape (n_positive,)
        :math:`R_k`, for k = 0, 1, ...

    k_star : int or None
        The smallest k with :math:`r_k \ge b n`; None if there is none, or without `n_samples`.

    variance_order : float or None
        :math:`k^*/n + n/R_{k^*}`: up to constants, the excess risk that labels with noise of unit
        variance cost the minimum-norm interpolator. Infinite where there is no :math:`k^*`: the
        theory then promises nothing.

    See Also
    --------
    minimum_norm_risk : The risk itself, with its constants.

    Notes
    -----
    With :math:`\lambda_1 \ge \lambda_2 \ge \dots`,

    .. math::

        r_k = \frac{\sum_{i>k} \lambda_i}{\lambda_{k+1}}, \qquad
        R_k = \frac{\bigl(\sum_{i>k} \lambda_i\bigr)^2}{\sum_{i>k} \lambda_i^2}, \qquad
        r_k \le R_k \le r_k^2 .

    The ranks, :math:`k^*` and the order of the variance are those of the paper cited.
    Interpolation is benign when :math:`k^* \ll n \ll R_{k^*}`. The cost is that of sorting.

    References
    ----------
    P. Bartlett, P. Long, G. Lugosi, A. Tsigler, Benign overfitting in linear regression,
    arXiv:1906.11300.

    Examples
    --------
    >>> from skoverparam.theory import effective_ranks, spectrum
    >>> stairs = spectrum("staircase", sizes=[30, 90, 280], levels=[1, 1e-3, 1e-6])
    >>> ranks = effective_ranks(stairs, n_samples=40)
    >>> round(float(ranks.r[0]), 4), round(float(ranks.R[30]), 4)
    (30.0903, 90.5606)
    >>> ranks.k_star
    30
    """
    ordered = np.sort(check.variances(spectrum))[::-1]
    threshold = check.number(threshold, "threshold", low=0, open_low=True)
    if n_samples is not None:
        n_samples = check.integer(n_samples, "n_samples", low=1)
    ordered = ordered[ordered > 0]
    # Division by the largest keeps squares from under- and overflowing.
    lam = ordered / ordered[0]
    tail, squares = np.cumsum(lam[::-1])[::-1], np.cumsum(lam[::-1] ** 2)[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        r, R = tail / lam, tail**2 / squares
    # Where even the scaled squares underflow, sum again relative to the tail's own largest.
    for k in np.flatnonzero(squares < 1e-200):
        own = ordered[k:] / ordered[k]
        r[k], R[k] = own.sum(), own.sum() ** 2 / (own**2).sum()
    if n_samples is None:
        return EffectiveRanks(r, R, None, None)
    n = n_samples
    enough = np.flatnonzero(r >= threshold * n)
    if not len(enough):
        return EffectiveRanks(r, R, None, float("inf"))
    k_star = int(enough[0])
    return EffectiveRanks(r, R, k_star, float(k_star / n + n / R[k_star]))
