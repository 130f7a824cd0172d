"""Two sub-Gaussian clusters in many dimensions."""

import numpy as np
from sklearn.utils import Bunch

from skoverparam.datasets._random_streams import random_stream
from skoverparam.theory import _arguments as check
from skoverparam.theory import spectrum as make_spectrum

_DIRECTIONS = ("first", "last", "flat", "random")
_NOISES = ("gaussian", "rademacher", "uniform")


def make_subgaussian_mixture(
    n_samples=50,
    n_features=1000,
    *,
    mean=3.0,
    direction="first",
    spectrum="isotropic",
    noise="gaussian",
    flip=0.0,
    return_truth=False,
    random_state=None,
):
    r"""Generate two clusters that are symmetric about the origin.

    A label y is +1 or -1 with equal probability, and the sample is :math:`x = y \mu + q`.

    Parameters
    ----------
    n_samples : int, default=50
        Number of samples.

    n_features : int, default=1000
        Number of features.

    mean : float or array-like of shape (n_features,), default=3.0
        The mean :math:`\mu` of the cluster labeled +1, or its norm.

    direction : {"first", "last", "flat", "random"}, default="first"
        Direction of a mean that is given by its norm: the first or the last feature, which in a
        falling spectrum has the largest or smallest variance, all features equally, or random.

    spectrum : str or array-like of shape (n_features,), default="isotropic"
        Variances of the coordinates of q: a name that :func:`skoverparam.theory.spectrum` knows,
        with its default parameters, or what that function returns.

    noise : {"gaussian", "rademacher", "uniform"}, default="gaussian"
        Law of the independent coordinates of q, scaled to their variances.

    flip : float, default=0.0
        Share of labels that are flipped, in [0, 0.5), met up to rounding.

    return_truth : bool, default=False
        Whether to return the truth, too.

    random_state : int, RandomState instance or None, default=None
        Determines the labels, the noise, the flips and a random direction.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The samples.

    y : ndarray of shape (n_samples,)
        Labels, -1 or +1, integers.

    truth : Bunch
        Only if `return_truth`: ``mean``, ``variances``, and ``y`` before flips.

    See Also
    --------
    skoverparam.theory.linear_classifier_risk : Exact risk of a classifier on such data.
    skoverparam.theory.max_margin_risk : Risk to expect of the maximum margin.

    Notes
    -----
    The mixture is that of the paper cited, in the coordinates of its principal axes; flips are
    ours. No matrix of n_features squared is ever made.

    References
    ----------
    Y. Cao, Q. Gu, M. Belkin, Risk bounds for over-parameterized maximum margin classification on
    sub-Gaussian mixtures, arXiv:2104.13628.

    Examples
    --------
    >>> from skoverparam.datasets import make_subgaussian_mixture
    >>> X, y, truth = make_subgaussian_mixture(
    ...     20, 100, flip=0.1, return_truth=True, random_state=0
    ... )
    >>> X.shape, int((y != truth.y).sum()), float(truth.mean[0])
    ((20, 100), 2, 3.0)
    """
    check.flag(return_truth, "return_truth")
    check.integer(n_samples, "n_samples", low=1)
    check.integer(n_features, "n_features", low=1)
    check.number(flip, "flip", low=0, high=0.5, open_high=True)
    check.option(direction, "direction", _DIRECTIONS)
    check.option(noise, "noise", _NOISES)
    variances = make_spectrum(spectrum, n_features)
    rng = random_stream(random_state)
    mu = _mean(rng, mean, direction, n_features)
    y_true = rng.choice([-1, 1], n_samples)
    X = _unit_noise(rng, noise, (n_samples, n_features))
    X *= np.sqrt(variances)
    with np.errstate(over="ignore"):
        X += y_true[:, None] * mu
    check.within_range("mean or spectrum", X)
    y = y_true.copy()
    y[rng.permutation(n_samples)[: round(flip * n_samples)]] *= -1
    if return_truth:
        return X, y, Bunch(mean=mu, variances=variances, y=y_true)
    return X, y


def _mean(rng, mean, direction, n_features):
    if check.ndim(mean) != 0:
        return check.vector(mean, "mean", length=n_features, of=" (n_features)").copy()
    check.number(mean, "mean", low=0)
    mu = np.zeros(n_features)
    if direction == "flat":
        mu[:] = 1
    elif direction == "random":
        mu = rng.standard_normal(n_features)
    else:
        mu[0 if direction == "first" else -1] = 1
    return mean * mu / np.linalg.norm(mu)


def _unit_noise(rng, noise, shape):
    if noise == "gaussian":
        return rng.standard_normal(shape)
    if noise == "rademacher":
        return rng.choice([-1.0, 1.0], shape)
    return rng.uniform(-np.sqrt(3), np.sqrt(3), shape)
