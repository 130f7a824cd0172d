"""Laws of features: their moments, their modes, wrong ones."""

import numpy as np
import pytest

from skoverparam.theory import FeatureLaws, minimum_norm_risk
from skoverparam.theory._feature_laws import draw_feature

VARIANCES = np.array([1.0, 9.0, 0.25])


@pytest.mark.parametrize("distribution", ["gaussian", "rademacher", "trimodal", "spike"])
def test_samples_have_the_variances_asked_for(distribution):
    laws = FeatureLaws.from_variances(VARIANCES, distribution, n_samples=10)
    np.testing.assert_allclose(laws.variances, VARIANCES, rtol=1e-14)
    X = laws.sample(np.random.default_rng(0), 40_000)
    assert X.shape == (40_000, 3)
    # Of a spike in ten cases the fourth moment is 10: the variance is known to 3 / 200.
    np.testing.assert_allclose(X.var(axis=0), VARIANCES, rtol=0.06)
    assert (np.abs(X.mean(axis=0)) < 5 * np.sqrt(VARIANCES / 40_000)).all()
    assert np.abs(np.corrcoef(X.T) - np.eye(3)).max() < 5 / 200


def test_modes():
    rng = np.random.default_rng(0)
    signs = FeatureLaws.from_variances(VARIANCES, "rademacher").sample(rng, 100)
    np.testing.assert_array_equal(np.abs(signs), np.broadcast_to([1, 3, 0.5], (100, 3)))
    laws = FeatureLaws.from_variances([1.0], "spike", n_samples=20)
    x = draw_feature(laws, 0, rng, (50_000,))
    assert (np.abs(x) > laws.height / 2).mean() == pytest.approx(1 / 20, abs=0.005)
    laws = FeatureLaws.from_variances([1.0], "trimodal")
    modes = np.round(draw_feature(laws, 0, rng, (30_000,)) / laws.height)
    shares = [(modes == mode).mean() for mode in (-1, 0, 1)]
    np.testing.assert_allclose(shares, 1 / 3, atol=0.015)  # 5 standard errors


def test_a_random_state_of_either_kind_will_do():
    laws = FeatureLaws.from_variances(VARIANCES, "trimodal")
    assert laws.sample(np.random.RandomState(0), 5).shape == (5, 3)


def test_wrong_laws_are_named():
    with pytest.raises(ValueError, match="distribution must be one of 'gaussian'"):
        FeatureLaws.from_variances(VARIANCES, "cauchy")
    with pytest.raises(ValueError, match="n_samples must be given for the 'spike'"):
        FeatureLaws.from_variances(VARIANCES, "spike")
    with pytest.raises(ValueError, match="variances must not be negative"):
        FeatureLaws.from_variances([-1.0])
    ones = np.ones(3)
    with pytest.raises(ValueError, match=r"spectrum.probability must be in \[0, 1\]"):
        minimum_norm_risk(5, FeatureLaws(ones, ones, 2 * ones), method="monte_carlo")
    with pytest.raises(ValueError, match="spectrum.height must have length 3"):
        minimum_norm_risk(5, FeatureLaws(ones, ones[:2], ones), method="monte_carlo")
    with pytest.raises(ValueError, match="method must be 'monte_carlo' for features with spikes"):
        minimum_norm_risk(5, FeatureLaws(ones, ones, ones))
