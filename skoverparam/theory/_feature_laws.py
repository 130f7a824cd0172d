"""Laws of independent features: Gaussian, with spikes of any rarity."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skoverparam.theory import _arguments as check
from skoverparam.theory._arguments import FloatArray

_DISTRIBUTIONS = ("gaussian", "rademacher", "trimodal", "spike")


class FeatureLaws(NamedTuple):
    r"""Laws of independent features with mean zero.

    Feature k is :math:`\sigma_k g + \mu_k B`: g is standard normal, and B is +1 or -1 with
    probability :math:`p_k / 2` each, and 0 otherwise.

    Parameters
    ----------
    scale : ndarray of shape (n_features,)
        Standard deviations :math:`\sigma_k` of the Gaussian parts.

    height : ndarray of shape (n_features,)
        Heights :math:`\mu_k` of the spikes, 0 for a Gaussian feature.

    probability : ndarray of shape (n_features,)
        Probabilities :math:`p_k` of a spike of either sign.

    See Also
    --------
    minimum_norm_risk : Their risk, by Monte Carlo.
    skoverparam.datasets.make_minimum_norm_regression : Data with such features.

    Notes
    -----
    The mixtures of arXiv:2008.01036 are the case p = 2/3: three equal modes. Other weights, and
    with them the rare spike, are ours.

    Examples
    --------
    >>> from skoverparam.theory import FeatureLaws
    >>> laws = FeatureLaws.from_variances([1.0, 4.0], "spike", n_samples=20)
    >>> laws.variances.round(10).tolist(), laws.probability.tolist()
    ([1.0, 4.0], [0.05, 0.05])
    """

    scale: FloatArray
    height: FloatArray
    probability: FloatArray

    @classmethod
    def from_variances(
        cls, variances: Any, distribution: str = "gaussian", *, n_samples: int | None = None
    ) -> FeatureLaws:
        """Make laws of one kind with the variances asked for.

        Parameters
        ----------
        variances : array-like of shape (n_features,)
            Variances, not negative.

        distribution : {"gaussian", "rademacher", "trimodal", "spike"}, default="gaussian"
            The kind. "trimodal" has three equally likely modes, "spike" a spike in one of
            `n_samples` cases; the modes of both are Gaussian, a hundred times narrower than the
            distance between them.

        n_samples : int, default=None
            For "spike" only.

        Returns
        -------
        laws : FeatureLaws
            The laws.
        """
        lam = check.variances(variances, "variances")
        check.option(distribution, "distribution", _DISTRIBUTIONS)
        nothing, ones = np.zeros_like(lam), np.ones_like(lam)
        if distribution == "gaussian":
            return cls(np.sqrt(lam), nothing, nothing)
        if distribution == "rademacher":
            return cls(nothing, np.sqrt(lam), ones)
        p = 2 / 3
        if distribution == "spike":
            if n_samples is None:
                raise ValueError("n_samples must be given for the 'spike' distribution.")
            p = 1 / check.integer(n_samples, "n_samples", low=1)
        height = np.sqrt(lam) / np.sqrt(p + 1e-4)
        return cls(0.01 * height, height, p * ones)

    @property
    def variances(self) -> FloatArray:
        """Variances of the features, of shape (n_features,)."""
        return self.scale**2 + self.probability * self.height**2

    def sample(self, rng: Any, n_samples: int) -> FloatArray:
        """Draw all features of some samples.

        Parameters
        ----------
        rng : numpy Generator or RandomState
            Where the draws come from.

        n_samples : int
            Number of samples.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The samples.
        """
        X = self.scale * rng.standard_normal((n_samples, len(self.scale)))
        spiked = np.flatnonzero(self.height)
        if len(spiked):
            signs = _signs(rng, self.probability[spiked], (n_samples, len(spiked)))
            X[:, spiked] += self.height[spiked] * signs
        return X


def draw_feature(
    laws: FeatureLaws, feature: int, rng: np.random.Generator, shape: tuple[int, ...]
) -> FloatArray:
    """Draw one feature of many samples."""
    b = laws.scale[feature] * rng.standard_normal(shape)
    if laws.height[feature]:
        b += laws.height[feature] * _signs(rng, laws.probability[feature], shape)
    return b


def _signs(rng: Any, probability: Any, shape: tuple[int, ...]) -> FloatArray:
    """Draw +1 and -1, each with half the probability, and 0 otherwise."""
    uniform = rng.random(shape)
    signs: FloatArray = np.where(uniform < probability / 2, 1.0, -1.0)
    signs[uniform >= probability] = 0
    return signs


def check_laws(laws: FeatureLaws, name: str = "spectrum") -> FeatureLaws:
    """Check laws that a user may have put together by hand."""
    scale = check.vector(laws.scale, f"{name}.scale")
    height = check.vector(laws.height, f"{name}.height", length=len(scale))
    p = check.vector(laws.probability, f"{name}.probability", length=len(scale))
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"{name}.probability must be in [0, 1], got {p.min():g} to {p.max():g}.")
    checked = FeatureLaws(scale, height, p)
    with np.errstate(over="ignore"):
        variances = checked.variances
    if not np.isfinite(variances).all():
        raise ValueError(f"{name} must have finite variances; those of its laws overflow.")
    check.variances(variances, name)
    return checked
