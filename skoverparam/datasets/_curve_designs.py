"""Features whose generalization curve goes where you want it."""

import warnings
from typing import NamedTuple

import numpy as np

from skoverparam.datasets._random_streams import random_stream
from skoverparam.theory import FeatureLaws, minimum_norm_risk
from skoverparam.theory import _arguments as check
from skoverparam.theory._feature_laws import draw_feature
from skoverparam.theory._minimum_norm_risk import Features, equivalent
from skoverparam.theory._risk_path import append_feature, empty_path

# The paper's window around the interpolation threshold, where moments may not exist.
_WINDOW = 8
# No feature is to be more than this much rarer or larger than those before it.
_STEEPEST = 1e12
# An arrow counts as followed on fresh draws if the step is this many standard errors long.
_SURE = 5
# Beyond this ratio of standard deviations, solvers in float64 no longer see the smallest ones.
_WIDEST = 1e8


class CurveDesign(NamedTuple):
    """What :func:`design_staircase` and :func:`design_arrows` return."""

    laws: FeatureLaws
    n_samples: int
    n_features: np.ndarray
    risk: np.ndarray
    standard_error: np.ndarray | None
    peaks: np.ndarray


def design_staircase(n_samples, peaks, heights=10.0, *, noise=1.0, n_features=None):
    r"""Design Gaussian features whose risk has smooth peaks at chosen numbers of features.

    The labels are pure noise, so that the risk is variance; every curve of the minimum-norm
    solution has a first, infinite peak at ``n_samples`` features.

    Parameters
    ----------
    n_samples : int
        Number of samples n.

    peaks : array-like of int
        Numbers of features where the further peaks shall be, rising. The first must be at least
        1.5 n beyond n, and each one as far beyond the one before.

    heights : float or array-like, default=10.0
        Excess risk at each of these peaks.

    noise : float, default=1.0
        Standard deviation of the noise in the labels, above 0.

    n_features : int, default=None
        Number of features in all, beyond the last peak. None is 2 n beyond it.

    Returns
    -------
    laws : FeatureLaws
        The Gaussian features, for
        :func:`~skoverparam.datasets.make_minimum_norm_regression`.

    n_samples : int
        As given.

    n_features : ndarray of shape (n_features,)
        The numbers of features the curve is for: 1, 2, ...

    risk : ndarray of shape (n_features,)
        The predicted excess risk: exact up to n features, the deterministic equivalent beyond.

    standard_error : None
        Nothing was drawn.

    peaks : ndarray of int
        Where the prediction has its peaks: n, and those asked for.

    Warns
    -----
    UserWarning
        If standard deviations differ by more than :math:`10^8`: the design is right, but no solver
        in float64 follows it.

    See Also
    --------
    design_arrows : Any sequence of ups and downs.
    skoverparam.theory.minimum_norm_risk : The prediction, and its check by Monte Carlo.

    Notes
    -----
    The features come in blocks, each with a variance much larger than the one before. Once the
    blocks before have more than n features, a new block is like a fresh regression in which they
    are the noise, and that has its peak after n features of its own. So the block of a peak at d
    starts with feature d - n + 1, or a little later for a low peak, which would come early. Its
    variance solves for the height in the deterministic equivalent, whose relative error is of
    order 1/n: with n = 20, peaks designed for 10 are 10.6 in Monte Carlo.

    That peaks may be designed is the message of the paper cited; this design is ours.

    References
    ----------
    L. Chen, Y. Min, M. Belkin, A. Karbasi, Multiple descent: design your own generalization curve,
    arXiv:2008.01036.

    Examples
    --------
    >>> from skoverparam.datasets import design_staircase
    >>> design = design_staircase(20, [70, 120], [10, 10])
    >>> design.peaks.tolist(), design.risk[[69, 119]].round(3).tolist()
    ([20, 70, 120], [10.0, 10.0])
    """
    check.integer(n_samples, "n_samples", low=2)
    check.number(noise, "noise", low=0, open_low=True)
    n = int(n_samples)
    peaks = _checked_peaks(peaks, n)
    heights = check.finite(heights, "heights")
    if heights.ndim > 1 or heights.size not in (1, len(peaks)):
        raise ValueError(
            f"heights must be a number or one for each of {len(peaks)} peaks, got shape "
            f"{heights.shape}."
        )
    if not heights.min() > 0:
        raise ValueError(f"heights must be positive, got {heights.tolist()}.")
    heights = np.broadcast_to(heights.ravel(), len(peaks))
    with np.errstate(over="ignore", divide="ignore"):
        relative = heights / np.float64(noise) / np.float64(noise)
    if not (np.isfinite(relative) & (relative > 0)).all():
        raise ValueError(
            f"heights must be numbers relative to noise**2, got {heights.tolist()} and "
            f"noise={noise:g}."
        )
    last = int(peaks[-1])
    if n_features is None:
        n_features = last + 2 * n
    check.integer(n_features, "n_features", low=last + 1)

    starts, levels = [0], [1.0]
    for peak, height in zip(peaks, relative, strict=True):
        start, level = _block(starts, levels, n, int(peak), height)
        starts.append(start)
        levels.append(level)
    variances = _stairs(starts, levels, n_features)
    if variances[-1] > _WIDEST**2:
        warnings.warn(
            f"The standard deviations of the designed features differ by a factor of "
            f"{np.sqrt(variances[-1]):.0e}, which solvers in float64 do not follow. Choose lower "
            "or fewer peaks.",
            stacklevel=2,
        )
    dims = np.arange(1, n_features + 1)
    risk = minimum_norm_risk(n, variances, noise=noise, n_features_used=dims).total
    found = _peaks(dims, risk)
    if not np.array_equal(found, [n, *peaks]):
        raise ValueError(
            f"heights must be well above the risk between the peaks: with {heights.tolist()} the "
            f"peaks would be at {found.tolist()}, not at {[n, *peaks.tolist()]}."
        )
    laws = FeatureLaws.from_variances(variances)
    return CurveDesign(laws, n, dims, risk, None, found)


def _checked_peaks(peaks, n):
    peaks = np.atleast_1d(check.integers(peaks, "peaks", low=1))
    if peaks.ndim != 1:
        raise TypeError(f"peaks must be one or more integers, got shape {peaks.shape}.")
    if np.diff(peaks, prepend=n).min() < 1.5 * n:
        raise ValueError(
            f"peaks must each be at least 1.5 n_samples = {1.5 * n:g} beyond the one before, the "
            f"first beyond n_samples = {n}; got {peaks.tolist()}."
        )
    return peaks


def _stairs(starts, levels, n_features):
    return np.repeat(levels, np.diff([*starts, n_features]))


def _block(starts, levels, n, peak, height):
    """Where the next block starts and its variance, for a peak of this height at this place."""
    for delay in range(n // 2 + 1):
        start = peak - n + delay
        level = _level(_stairs(starts, levels, start), n, peak, height)
        stairs = _stairs([*starts, start], [*levels, level], peak + 1)
        before, at, after = (_variance_risk(stairs[:d], n) for d in (peak - 1, peak, peak + 1))
        if before < at > after:
            return start, level
        # A low peak comes early; a later start moves it back.
    raise ValueError(
        f"heights must be well above the risk between the peaks: no step of the variance gives a "
        f"peak of {height:.3g} times the noise variance at {peak} features."
    )


def _variance_risk(variances, n):
    return equivalent(Features(variances, np.zeros_like(variances), 0.0), n)[3]


def _level(variances, n, peak, height):
    """Variance of the next block with which the risk at the peak has the height."""

    def risk(log_level):
        block = np.full(peak - len(variances), np.exp(log_level))
        return _variance_risk(np.append(variances, block), n)

    low = np.log(variances[-1])
    if risk(low) >= height:
        raise ValueError(
            f"heights must be well above the risk between the peaks: at {peak} features it is "
            f"{risk(low):.3g} times the noise variance without a peak, got {height:.3g} times."
        )
    high = low + 1
    while risk(high) < height:
        high += 2
        if high > low + 500:
            raise ValueError(f"heights must be lower: {height:.3g} is beyond float64.")
    return np.exp(_bisect(risk, low, high, height))


def _bisect(rising, low, high, target):
    """Where a rising function reaches its target, to rounding."""
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if rising(middle) < target:
            low = middle
        else:
            high = middle


def _peaks(dims, risk):
    inside = (risk[1:-1] > risk[:-2]) & (risk[1:-1] >= risk[2:])
    found = dims[1:-1][inside]
    if not np.isinf(risk).any():
        return found
    # The infinite plateau around the threshold is one peak.
    middle = dims[np.isinf(risk)].mean()
    return np.array([round(middle), *found[~np.isinf(risk[found - dims[0]])]])


def design_arrows(
    n_samples,
    arrows,
    *,
    start=None,
    ratio=1.5,
    noise=1.0,
    n_draws=3000,
    random_state=None,
):
    r"""Design features with which the risk goes up and down in any order.

    The labels are pure noise, so that the risk is variance. The curve begins beyond the
    interpolation threshold, and every arrow is one more feature.

    Parameters
    ----------
    n_samples : int
        Number of samples n, at least 2.

    arrows : str or sequence of {+1, -1}
        The sequence: letters "U" and "D" in any case, or numbers, +1 for up and -1 for down.

    start : int, default=None
        Number of standard normal features before the first arrow, at least n + 8. None is n + 8.

    ratio : float, default=1.5
        Factor of the risk for each step up, above 1. Downward steps are as long as possible.

    noise : float, default=1.0
        Standard deviation of the noise in the labels, above 0.

    n_draws : int, default=3000
        Random designs on which features are chosen; as many fresh ones check the result.

    random_state : int, RandomState instance or None, default=None
        Determines the random designs.

    Returns
    -------
    laws : FeatureLaws
        The features, for :func:`~skoverparam.datasets.make_minimum_norm_regression`.

    n_samples : int
        As given.

    n_features : ndarray of shape (n_arrows + 1,)
        The numbers of features the curve is for: start, start + 1, ...

    risk : ndarray of shape (n_arrows + 1,)
        Mean excess risk on the fresh draws.

    standard_error : ndarray of shape (n_arrows + 1,)
        That of `risk`. Differences between neighbors are known better, as they share their draws.

    peaks : ndarray of int
        Where a step up is followed by a step down.

    Warns
    -----
    UserWarning
        If a step on the fresh draws is not 5 standard errors in the right direction. More draws or
        a larger ratio help.

    See Also
    --------
    design_staircase : Smooth peaks of Gaussian features.

    Notes
    -----
    Let A be the design, :math:`G = A A^T`, :math:`z = (A^T)^+ x`, and append a feature with
    training values b, test value of variance v, :math:`u = G^{-1} b` and :math:`s = b^T u`. The
    risk becomes

    .. math::

        E \Bigl\| \Bigl(I - \frac{u b^T}{1 + s}\Bigr) z \Bigr\|^2
            + v \, E \frac{\|u\|^2}{(1 + s)^2} .

    A Gaussian feature brings it down by a share of order 1/n (9 to 15 % measured with n = 20), and
    the best standard deviation is found on a grid. For a step up, the feature is small but in one
    of n cases has a spike: training data lack it with probability
    :math:`(1 - 1/n)^n \approx 0.37`, test data have it, and the risk grows without bounds with its
    height, which is found by bisection.

    The paper shows that every sequence can be realized, with a mixture of three equal modes for
    the steps up. Its ascent comes from designs in which all n training values fall into the
    central mode, which has probability :math:`3^{-n}` and is never seen in simulations with n
    above about ten. The rare spike, and the choice of features on random designs, are ours. Time
    is O(n_draws n^2) per feature, memory O(n_draws n^2).

    References
    ----------
    L. Chen, Y. Min, M. Belkin, A. Karbasi, Multiple descent: design your own generalization curve,
    arXiv:2008.01036.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.datasets import design_arrows
    >>> design = design_arrows(10, "UDDU", n_draws=1000, random_state=0)
    >>> np.sign(np.diff(design.risk)).tolist(), design.peaks.tolist()
    ([1.0, -1.0, -1.0, 1.0], [19])
    """
    check.integer(n_samples, "n_samples", low=2)
    check.number(ratio, "ratio", low=1, open_low=True, high=_STEEPEST)
    check.number(noise, "noise", low=0, open_low=True)
    check.integer(n_draws, "n_draws", low=100)
    n = int(n_samples)
    if start is None:
        start = n + _WINDOW
    check.integer(start, "start", low=n + _WINDOW)
    directions = _directions(arrows)
    rng = np.random.default_rng(random_stream(random_state).randint(np.iinfo(np.int32).max))

    laws = FeatureLaws.from_variances(np.ones(start))
    state = empty_path(n_draws, n)
    for feature in range(start):
        b = draw_feature(laws, feature, rng, (n_draws, n))
        state, _ = append_feature(state, b, 1.0)
    for up in directions:
        law = _spike(state, n, ratio, rng) if up else _descent(state, n, rng)
        laws = FeatureLaws(*(np.append(old, new) for old, new in zip(laws, law[0], strict=True)))
        state, _ = append_feature(state, law[1], float(laws.variances[-1]))

    dims = np.arange(start, start + len(directions) + 1)
    fresh = minimum_norm_risk(
        n,
        laws,
        noise=noise,
        n_features_used=dims,
        method="monte_carlo",
        n_draws=n_draws,
        random_state=rng,
    )
    _warn_about_unsure_steps(fresh.draws, directions, dims)
    turns = np.flatnonzero(directions[:-1] & ~directions[1:])
    return CurveDesign(laws, n, dims, fresh.total, fresh.standard_error, dims[turns + 1])


def _directions(arrows):
    """Read the arrows: True for up."""
    if isinstance(arrows, str):
        arrows = [{"U": 1, "D": -1}.get(letter, letter) for letter in arrows.upper()]
    try:
        arrows = list(arrows)
    except TypeError:
        arrows = [arrows]
    wrong = [arrow for arrow in arrows if np.size(arrow) != 1 or arrow not in (1, -1)]
    if wrong or not arrows:
        got = f"{wrong[0]!r:.80}" if wrong else "an empty sequence"
        raise ValueError(f"arrows must be letters 'U' and 'D' or numbers +1 and -1, got {got}.")
    return np.array([arrow == 1 for arrow in arrows])


class _QuadraticForms(NamedTuple):
    """What the risk after a feature b = sigma g + mu B needs, for all sigma and mu at once."""

    risk: np.ndarray  # (T,)
    N: np.ndarray  # (T, 2, 2): b^T N b, with N the inverse of G
    NN: np.ndarray  # |N b|^2
    M: np.ndarray  # b^T M b
    MN: np.ndarray  # b^T M N b

    @classmethod
    def of(cls, state, g, B):
        both = np.stack([g, B], axis=-1)
        N, M = np.matmul(state.metrics, both[:, None]).swapaxes(0, 1)
        across = both.swapaxes(1, 2)
        return cls(
            np.trace(state.metrics[:, 1], axis1=1, axis2=2),
            across @ N,
            N.swapaxes(1, 2) @ N,
            across @ M,
            M.swapaxes(1, 2) @ N,
        )

    def risk_with(self, sigma, mu, variance):
        """Risk of each design with the feature appended."""
        N, NN, M, MN = (
            sigma**2 * form[:, 0, 0]
            + sigma * mu * (form[:, 0, 1] + form[:, 1, 0])
            + mu**2 * form[:, 1, 1]
            for form in self[1:]
        )
        return self.risk - 2 * MN / (1 + N) + (M + variance) * NN / (1 + N) ** 2


def _natural_scale(state):
    return np.trace(state.metrics[:, 0], axis1=1, axis2=2).mean() ** -0.5


def _descent(state, n, rng):
    """Find the Gaussian feature that brings the risk down most."""
    g = rng.standard_normal((len(state.rank), n))
    forms = _QuadraticForms.of(state, g, np.zeros_like(g))
    sigmas = _natural_scale(state) * np.logspace(-1, 2, 61)
    sigma = min(sigmas, key=lambda s: forms.risk_with(s, 0.0, s**2).mean())
    return (sigma, 0.0, 0.0), sigma * g


def _spike(state, n, ratio, rng):
    """Find the rare spike that brings the risk up by a factor."""
    shape = (len(state.rank), n)
    g = rng.standard_normal(shape)
    unit = FeatureLaws(*np.array([[0.0], [1.0], [1 / n]]))
    B = draw_feature(unit, 0, rng, shape)
    forms = _QuadraticForms.of(state, g, B)
    sigma, target = _natural_scale(state), ratio * forms.risk.mean()

    def risk(log_mu):
        mu = np.exp(log_mu)
        return forms.risk_with(sigma, mu, sigma**2 + mu**2 / n).mean()

    low = np.log(sigma)
    high = low + 1
    while risk(high) < target:
        high += 1
    mu = np.exp(_bisect(risk, low, high, target))
    return (sigma, mu, 1 / n), sigma * g + mu * B


def _warn_about_unsure_steps(draws, directions, dims):
    steps = np.diff(draws, axis=1) * np.where(directions, 1, -1)
    length = steps.mean(axis=0) / (steps.std(axis=0, ddof=1) / np.sqrt(len(steps)))
    unsure = np.flatnonzero(length < _SURE)
    if len(unsure):
        warnings.warn(
            f"{len(unsure)} of {len(directions)} steps are not {_SURE} standard errors in the "
            f"right direction on fresh draws, the first from {dims[unsure[0]]} features "
            f"({length[unsure[0]]:.1f}). Raise n_draws or ratio.",
            stacklevel=3,
        )
