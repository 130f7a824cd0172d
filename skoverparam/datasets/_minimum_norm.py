"""Linear regression problems with a spectrum of your choice."""

import numpy as np
from sklearn.utils import Bunch

from skoverparam.datasets._random_streams import random_stream
from skoverparam.theory import FeatureLaws
from skoverparam.theory import _arguments as check
from skoverparam.theory import spectrum as make_spectrum
from skoverparam.theory._feature_laws import check_laws


def make_minimum_norm_regression(
    n_samples=100,
    n_features=None,
    *,
    spectrum="isotropic",
    coef=1.0,
    noise=0.0,
    distribution="gaussian",
    return_truth=False,
    random_state=None,
):
    """Generate a linear regression problem with independent features of given variances.

    Parameters
    ----------
    n_samples : int, default=100
        Number of samples.

    n_features : int, default=None
        Number of features. None is as many as `spectrum` has, or 200 if that is a name.

    spectrum : str, array-like of shape (n_features,) or FeatureLaws, default="isotropic"
        Variances of the features: a name that :func:`skoverparam.theory.spectrum` knows, with its
        default parameters, or what that function returns; or laws of the features, such as those
        of a designed curve.

    coef : float or array-like of shape (n_features,), default=1.0
        True coefficients. A number is the norm of coefficients that are all equal.

    noise : float, default=0.0
        Standard deviation of Gaussian noise in y.

    distribution : {"gaussian", "rademacher", "trimodal", "spike"}, default="gaussian"
        Kind of the features, see :meth:`skoverparam.theory.FeatureLaws.from_variances`; a "spike"
        happens in one of `n_samples` cases. Not used if `spectrum` says it.

    return_truth : bool, default=False
        Whether to return the truth, too.

    random_state : int, RandomState instance or None, default=None
        Determines the features and the noise.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The features, with mean zero.

    y : ndarray of shape (n_samples,)
        ``X @ coef`` and noise.

    truth : Bunch
        Only if `return_truth`: ``coef``, ``variances`` and ``laws`` of the features, and ``y``
        without noise. The excess risk of coefficients w is
        ``truth.variances @ (w - truth.coef) ** 2``.

    See Also
    --------
    skoverparam.theory.minimum_norm_risk : The risk to expect.
    design_staircase : Spectra whose risk has peaks where you want them.
    sklearn.datasets.make_regression : Regression with an intercept and correlated features.

    Examples
    --------
    >>> from skoverparam.datasets import make_minimum_norm_regression
    >>> X, y, truth = make_minimum_norm_regression(
    ...     20, 50, spectrum="power", noise=0.1, return_truth=True, random_state=0
    ... )
    >>> X.shape, truth.variances[:3].round(3).tolist()
    ((20, 50), [1.0, 0.5, 0.333])
    """
    check.flag(return_truth, "return_truth")
    check.integer(n_samples, "n_samples", low=1)
    check.number(noise, "noise", low=0)
    if n_features is not None:
        check.integer(n_features, "n_features", low=1)
    laws = _laws(spectrum, n_features, distribution, n_samples)
    D = len(laws.scale)
    coef = _coefficients(coef, D)
    rng = random_stream(random_state)
    X = laws.sample(rng, n_samples)
    with np.errstate(over="ignore", invalid="ignore"):
        y_true = X @ coef
        y = y_true + noise * rng.standard_normal(n_samples)
    check.within_range("coef, noise or spectrum", X, y)
    if return_truth:
        return X, y, Bunch(coef=coef, variances=laws.variances, laws=laws, y=y_true)
    return X, y


def _laws(spectrum, n_features, distribution, n_samples):
    if not isinstance(spectrum, FeatureLaws):
        if isinstance(spectrum, str) and n_features is None:
            n_features = 200
        variances = make_spectrum(spectrum, n_features)
        return FeatureLaws.from_variances(variances, distribution, n_samples=n_samples)
    laws = check_laws(spectrum)
    if n_features not in (None, len(laws.scale)):
        raise ValueError(
            f"spectrum must have length {n_features} (n_features), got length {len(laws.scale)}."
        )
    if distribution != "gaussian":
        raise ValueError(
            f"distribution is for a spectrum of variances; laws say it themselves, got "
            f"{distribution!r}."
        )
    return laws


def _coefficients(coef, n_features):
    if check.ndim(coef) == 0:
        return np.full(n_features, check.number(coef, "coef") / np.sqrt(n_features))
    return check.vector(coef, "coef", length=n_features, of=" (n_features)").copy()
