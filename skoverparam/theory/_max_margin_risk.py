"""Risk of the maximum-margin classifier on a mixture of two clusters: predicted and bounded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import log_ndtr

from skoverparam.theory import _arguments as check
from skoverparam.theory._arguments import FloatArray
from skoverparam.theory._minimum_norm_risk import Features, equivalent
from skoverparam.theory._spectra import effective_ranks

# Powers of two of the mean over the standard deviation, whose fourth power is taken.
_FARTHEST = 240
_METHODS = ("auto", "isotropic", "deterministic", "average")


class MixtureRisk(NamedTuple):
    """What :func:`linear_classifier_risk` returns."""

    risk: Any
    log_risk: Any
    exponent: Any


class MaxMarginRisk(NamedTuple):
    """What :func:`max_margin_risk` returns."""

    risk: float
    log_risk: float
    exponent: float
    method: str


class MaxMarginRiskBound(NamedTuple):
    """What :func:`max_margin_risk_bound` returns."""

    bound: float
    log_bound: float
    exponent: float
    mean_term: float
    frobenius_term: float
    spectral_term: float
    condition_ratios: dict[str, float]
    effective_dimension: float
    proliferation_ratio: float


def linear_classifier_risk(
    coef: Any, mean: Any, spectrum: Any, *, intercept: Any = 0.0
) -> MixtureRisk:
    r"""Exact risk of a linear classifier on a mixture of two Gaussian clusters.

    Labels are +1 and -1 with equal probability, and :math:`x = y \mu + q` with q Gaussian.

    Parameters
    ----------
    coef : array-like of shape (n_features,) or (n_classifiers, n_features)
        Coefficients :math:`\theta` of the classifier, or of several.

    mean : array-like of shape (n_features,)
        The mean :math:`\mu` of the cluster labeled +1; that of the other is its negative.

    spectrum : array-like of shape (n_features,) or (n_features, n_features)
        Variances of independent coordinates of q, or its covariance matrix :math:`\Sigma`.

    intercept : float or array-like of shape (n_classifiers,), default=0.0
        Intercepts b.

    Returns
    -------
    risk : float or ndarray of shape (n_classifiers,)
        Probability that the sign of :math:`\theta^T x + b` is not y.

    log_risk : float or ndarray of shape (n_classifiers,)
        Its logarithm, also where the risk itself underflows.

    exponent : float or ndarray of shape (n_classifiers,)
        :math:`(\theta^T \mu)^2 / \theta^T \Sigma \theta`, so that without intercept the risk is
        :math:`\Phi(-\sqrt{e})` for a classifier that leans the right way. Infinite where it is
        larger than any number.

    See Also
    --------
    max_margin_risk : What to expect of the maximum-margin classifier before fitting it.
    skoverparam.datasets.make_subgaussian_mixture : Such data.

    Notes
    -----
    .. math::

        R(\theta, b) = \tfrac12 \sum_{\pm}
            \Phi\Bigl(-\frac{\theta^T \mu \pm b}{\sqrt{\theta^T \Sigma \theta}}\Bigr) .

    With hundreds of features of about equal weight it is accurate for other sub-Gaussian noise,
    too, by the central limit theorem.

    Examples
    --------
    >>> from skoverparam.theory import linear_classifier_risk
    >>> round(linear_classifier_risk([1.0, 0.0], [1.0, 0.0], [1.0, 1.0]).risk, 4)
    0.1587
    """
    theta, b = check.finite(coef, "coef"), check.finite(intercept, "intercept")
    if theta.ndim not in (1, 2) or theta.size == 0:
        raise ValueError(
            "coef must be a vector or a matrix with a row for each classifier, got shape "
            f"{theta.shape}."
        )
    d = theta.shape[-1]
    mu = check.vector(mean, "mean", length=d, of=" (as coef has)")
    if b.ndim > theta.ndim - 1 or b.shape not in ((), theta.shape[:-1]):
        raise ValueError(
            f"intercept must be a number, or one for each classifier, got shape {b.shape}."
        )
    if check.ndim(spectrum) == 2:
        Sigma = check.covariance(spectrum)
        if len(Sigma) != d:
            raise ValueError(f"spectrum must be for {d} features as coef is, got {len(Sigma)}.")
    else:
        Sigma = check.variances(spectrum, length=d)
    scores, exponent = _scores(theta, b, mu, Sigma)
    log_risk = np.logaddexp(*log_ndtr(-scores)) - np.log(2)
    if log_risk.ndim == 0:
        return MixtureRisk(float(np.exp(log_risk)), float(log_risk), float(exponent))
    return MixtureRisk(np.exp(log_risk), log_risk, exponent)


def _scores(
    theta: FloatArray, b: FloatArray, mu: FloatArray, Sigma: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Means of the outputs for either cluster over their standard deviation, and e.

    All in units, powers of two, in which squares are within range.
    """
    sizes = np.frexp(np.abs(theta).max(axis=-1))[1]
    of_mean, of_noise = check.exponent_of(mu), (check.exponent_of(Sigma) + 1) // 2
    theta, mu = np.ldexp(theta, -sizes[..., None]), np.ldexp(mu, -of_mean)
    Sigma = np.ldexp(Sigma, -2 * of_noise)
    if Sigma.ndim == 2:
        spread = np.einsum("...i,...i->...", theta @ Sigma, theta)
    else:
        spread = theta**2 @ Sigma
    signal, at = theta @ mu, sizes + of_mean
    unit = np.where(b != 0, np.maximum(np.frexp(b)[1], at), at)
    signal, b = np.ldexp(signal, at - unit), np.ldexp(b, -unit)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        means = np.stack([signal + b, signal - b, signal]) / np.sqrt(spread.clip(min=0))
        scores = np.ldexp(means, unit - sizes - of_noise)
        exponent = scores[2] ** 2
    # A classifier that is constant is right for one of the clusters.
    return np.nan_to_num(scores[:2], posinf=np.inf, neginf=-np.inf), np.nan_to_num(
        exponent, posinf=np.inf
    )


def max_margin_risk(
    n_samples: int, spectrum: Any, mean: Any, *, flip: float = 0.0, method: str = "auto"
) -> MaxMarginRisk:
    r"""Predict the risk of the maximum-margin classifier on a mixture of two clusters.

    The prediction is that of the minimum-norm interpolator of the labels, which is the
    maximum-margin classifier without intercept once every sample is a support vector. That is the
    rule for effective dimensions above about :math:`2 n \ln n`.

    Parameters
    ----------
    n_samples : int
        Number of samples n.

    spectrum : array-like of shape (n_features,) or (n_features, n_features)
        Variances of independent coordinates around the cluster means, see :func:`spectrum`, or
        their covariance matrix.

    mean : float or array-like of shape (n_features,)
        The mean :math:`\mu` of the cluster labeled +1; that of the other is its negative. With
        equal variances its norm is enough.

    flip : float, default=0.0
        Share of training labels that are flipped, in [0, 0.5). The risk is against true labels.

    method : {"auto", "isotropic", "deterministic", "average"}, default="auto"
        The formula, see Notes. "auto" is "isotropic" for equal variances of at least n + 4
        features, and "deterministic" otherwise. "average" is the risk of the average
        :math:`\sum_i y_i x_i`: a rough guide, without flips.

    Returns
    -------
    risk : float
        :math:`\Phi(-\sqrt{e})`.

    log_risk : float
        Its logarithm.

    exponent : float
        The exponent e.

    method : str
        The formula that was used.

    See Also
    --------
    max_margin_risk_bound : The paper's bound.
    linear_classifier_risk : The exact risk of a classifier at hand.

    Notes
    -----
    With :math:`\delta = 1 - 2\,\mathrm{flip}` and the deterministic equivalents
    :math:`\kappa, V, B` of :func:`minimum_norm_risk` (with :math:`\beta = \mu` in B), let
    :math:`r = \sum_i \mu_i^2 \kappa / (\lambda_i + \kappa)`,
    :math:`q = \delta / (\kappa + r)` and :math:`p = q r`. Then

    .. math::

        e = \frac{(q r)^2}{(1 - 2 p \delta + p^2) V + q^2 B} .

    For :math:`\Sigma = s^2 I`, with :math:`M = \|\mu\|^2 / s^2`, :math:`D = d - n` and
    :math:`S = D + n M + n` it reads

    .. math::

        e = \frac{n \delta^2 M^2 D}{S \, (D + n + n M (1 - \delta^2))} ,

    and "isotropic" takes the exact mean of an inverse Wishart matrix: :math:`D = d - n - 2`. The
    plain average has :math:`e = n \|\mu\|^4 / (n\, \mu^T \Sigma \mu + \|\Sigma\|_F^2)`. All three
    are ours. The mixture, and what the exponent depends on without flips, are the paper's; with
    flips and :math:`n M \gg d` the risk no longer falls as the means move apart. Measured over 200
    draws with n = 25 to 100, d = 2 n to 40 n: "isotropic" is within 3 % of the mean risk of the
    interpolator (plus four standard errors).

    References
    ----------
    Y. Cao, Q. Gu, M. Belkin, Risk bounds for over-parameterized maximum margin classification on
    sub-Gaussian mixtures, arXiv:2104.13628.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.theory import max_margin_risk
    >>> round(max_margin_risk(50, np.ones(1000), 3.0).risk, 4)
    0.0516
    >>> round(max_margin_risk(50, np.ones(1000), 3.0, flip=0.1).risk, 4)
    0.1132
    """
    n = check.integer(n_samples, "n_samples", low=1)
    flip = check.number(flip, "flip", low=0, high=0.5, open_high=True)
    method = check.option(method, "method", _METHODS)
    lam, mu, _ = _mixture(spectrum, mean)
    equal = lam.max() - lam.min() <= 1e-10 * lam.max()
    if method == "auto":
        method = "isotropic" if equal and len(lam) >= n + 4 else "deterministic"
    if method == "average":
        if flip:
            raise ValueError(f"flip must be 0 for method='average', got {flip!r}.")
        e = float(n * (mu @ mu) ** 2 / (n * (lam @ mu**2) + lam @ lam))
    elif method == "isotropic":
        if not equal:
            raise ValueError("method='isotropic' needs equal variances in spectrum.")
        e = _isotropic_exponent(n, len(lam), float(mu @ mu / lam.mean()), flip)
    else:
        e = _deterministic_exponent(n, lam, mu, flip)
    log_risk = float(log_ndtr(-np.sqrt(e)))
    return MaxMarginRisk(float(np.exp(log_risk)), log_risk, e, method)


def max_margin_risk_bound(
    n_samples: int, spectrum: Any, mean: Any, *, constant: float = 0.5
) -> MaxMarginRiskBound:
    r"""Bound the risk of the maximum-margin classifier on a mixture of two clusters.

    Parameters
    ----------
    n_samples : int
        Number of samples n, at least 2.

    spectrum : array-like of shape (n_features,) or (n_features, n_features)
        Variances of independent coordinates around the cluster means, see :func:`spectrum`, or
        their covariance matrix :math:`\Sigma`.

    mean : float or array-like of shape (n_features,)
        The mean :math:`\mu` of the cluster labeled +1. With equal variances its norm is enough.

    constant : float, default=0.5
        The constant C' in the bound. The paper leaves it open; 1/2 is what the tail of a Gaussian
        suggests, and held in every one of 225 measured draws with equal variances.

    Returns
    -------
    bound : float
        :math:`\exp(-C' e)`.

    log_bound : float
        :math:`-C' e`.

    exponent : float
        The exponent e.

    mean_term, frobenius_term, spectral_term : float
        The three terms of its denominator: :math:`n \|\mu\|_\Sigma^2`, :math:`\|\Sigma\|_F^2` and
        :math:`n \|\Sigma\|_2^2`. The largest is what limits the risk; where it is the last one,
        the bound is loose.

    condition_ratios : dict of str to float
        For each condition of the theorem, its left side over its right without the constant:
        "trace / n^1.5 spectral", "trace / n frobenius", "trace / n sqrt(log n) mean" and
        "mean^2 / mean". The theorem needs each to exceed a constant that it leaves open, and with
        it promises the bound with probability 1 - 1/n.

    effective_dimension : float
        :math:`\operatorname{tr}(\Sigma)^2 / \|\Sigma\|_F^2`.

    proliferation_ratio : float
        The effective dimension over :math:`n \ln n`. Measured with equal variances, n = 20 to 100
        and :math:`\|\mu\| = 2`, half of the draws have every sample as a support vector at a ratio
        of 2, and nearly all at 4: the conditions of the theorem are sufficient, not sharp.

    See Also
    --------
    max_margin_risk : A prediction in place of a bound.

    Notes
    -----
    With :math:`\|\mu\|_\Sigma^2 = \mu^T \Sigma \mu`, the paper shows

    .. math::

        R \le \exp\Bigl(- \frac{C' n \|\mu\|^4}
            {n \|\mu\|_\Sigma^2 + \|\Sigma\|_F^2 + n \|\Sigma\|_2^2}\Bigr)

    if, for a large enough C, :math:`\operatorname{tr} \Sigma \ge C \max(n^{3/2} \|\Sigma\|_2,
    n \|\Sigma\|_F, n \sqrt{\log n} \, \|\mu\|_\Sigma)` and :math:`\|\mu\|^2 \ge C \|\mu\|_\Sigma`.
    A ratio to :math:`\|\mu\|_\Sigma = 0` is infinite.

    References
    ----------
    Y. Cao, Q. Gu, M. Belkin, Risk bounds for over-parameterized maximum margin classification on
    sub-Gaussian mixtures, arXiv:2104.13628.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.theory import max_margin_risk_bound
    >>> bound = max_margin_risk_bound(50, np.ones(2000), 5.0)
    >>> round(bound.exponent, 3), round(bound.bound, 4)
    (9.47, 0.0088)
    >>> round(bound.condition_ratios["trace / n^1.5 spectral"], 2)
    5.66
    """
    n = check.integer(n_samples, "n_samples", low=2)
    constant = check.number(constant, "constant", low=0, open_low=True)
    lam, mu, unit = _mixture(spectrum, mean)
    trace, largest, frobenius = float(lam.sum()), float(lam.max()), float(np.sqrt(lam @ lam))
    # Means far below the noise have a direction still.
    small = check.exponent_of(mu)
    direction = np.ldexp(mu, -small)
    norm = float(np.ldexp(np.sqrt(lam @ direction**2), small))
    terms = np.array([n * (lam @ mu**2), frobenius**2, n * largest**2])
    squared = float(mu @ mu)
    exponent = float(n * squared**2 / terms.sum())
    over_norm = float(np.ldexp(direction @ direction, 2 * small)) / norm if norm else np.inf
    with np.errstate(over="ignore"):
        # Of means that are all but zero: infinite, as documented of those that are.
        over_mean = float(trace / (n * np.sqrt(np.log(n))) / np.float64(norm)) if norm else np.inf
    ratios = {
        "trace / n^1.5 spectral": trace / (n**1.5 * largest),
        "trace / n frobenius": trace / (n * frobenius),
        "trace / n sqrt(log n) mean": over_mean,
        "mean^2 / mean": over_norm,
    }
    of_mean, of_frobenius, of_spectral = check.held(terms, 2 * unit, "spectrum or mean").tolist()
    dimension = float(effective_ranks(lam).R[0])
    return MaxMarginRiskBound(
        float(np.exp(-constant * exponent)),
        -constant * exponent,
        exponent,
        of_mean,
        of_frobenius,
        of_spectral,
        {name: float(ratio) for name, ratio in ratios.items()},
        dimension,
        float(dimension / (n * np.log(n))),
    )


def _mixture(spectrum: Any, mean: Any) -> tuple[FloatArray, FloatArray, int]:
    """Variances along principal axes, the mean's coordinates along them, and their unit.

    Variances are divided by a power of two, the mean by its root: the exponents stay the same.
    The last value is the exponent of that power.
    """
    if check.ndim(spectrum) == 2:
        Sigma = check.covariance(spectrum)
        half = (check.exponent_of(Sigma) + 1) // 2
        lam, axes = np.linalg.eigh(np.ldexp(Sigma, -2 * half))
        # Eigenvalues of a singular matrix are zero up to rounding only.
        lam = np.where(lam > 1e-13 * lam[-1], lam, 0.0)
    else:
        lam, axes = check.variances(spectrum), None
        half = (check.exponent_of(lam) + 1) // 2
        lam = np.ldexp(lam, -2 * half)
    if check.ndim(mean) == 0:
        norm = check.number(mean, "mean", low=0)
        if lam.max() - lam.min() > 1e-10 * lam.max():
            raise ValueError(
                "mean must be a vector where variances are unequal: its direction matters."
            )
        mu = np.zeros(len(lam))
        mu[0] = norm
    else:
        mu = check.vector(mean, "mean", length=len(lam), of=" (n_features)")
    size = check.exponent_of(mu)
    far = size + np.log2(np.linalg.norm(np.ldexp(mu, -size)).clip(min=1)) - half
    if mu.any() and far > _FARTHEST:
        raise ValueError(
            f"mean must be within 2**{_FARTHEST} times the largest standard deviation in "
            f"spectrum, got 2**{far:.0f} times that."
        )
    mu = np.ldexp(mu, -half)
    return lam, mu if axes is None else axes.T @ mu, 2 * half


def _isotropic_exponent(n: int, d: int, M: float, flip: float) -> float:
    if d < n + 4:
        raise ValueError(
            f"spectrum must have at least n_samples + 4 = {n + 4} features for this formula, got "
            f"{d}."
        )
    delta, D = 1 - 2 * flip, d - n - 2
    # 4 f (1 - f) is 1 - delta^2 without the cancellation.
    blur = 4 * flip * (1 - flip)
    return n * delta**2 * (M / (D + n * M + n)) * (M * D / (D + n + n * M * blur))


def _deterministic_exponent(n: int, lam: FloatArray, mu: FloatArray, flip: float) -> float:
    free = lam == 0
    if np.abs(mu[free]).max(initial=0) > 1e-10 * np.abs(mu).max():
        raise ValueError("spectrum must be positive where mean is not zero for this formula.")
    lam, mu = lam[~free], mu[~free]
    if len(lam) <= n:
        raise ValueError(
            f"spectrum must have more than n_samples={n} positive values for this formula, got "
            f"{len(lam)}."
        )
    kappa, _, _, V = equivalent(Features(lam, mu, 0.0), n)
    r = float(mu**2 @ (kappa / (lam + kappa)))
    delta, size = 1 - 2 * flip, kappa + r
    p = delta * (r / size)
    # q^2 B: the squares of either may be no numbers where the product is one.
    _, _, B, _ = equivalent(Features(lam, mu / size, 0.0), n)
    # 1 - 2 p delta + p^2 from terms that are all positive: means far apart make p delta nearly 1.
    blur = 4 * flip * (1 - flip)
    misfit = ((kappa + blur * r) / size) ** 2 + blur * p**2
    return p**2 / (misfit * V + delta**2 * B)
