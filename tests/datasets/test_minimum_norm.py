"""Regression problems: their laws, their truth, and fits that have the predicted risk."""

import numpy as np
import pytest

from skoverparam.datasets import design_staircase, make_minimum_norm_regression
from skoverparam.theory import FeatureLaws, minimum_norm_risk, spectrum


def test_data_are_what_they_say():
    X, y, truth = make_minimum_norm_regression(
        4000, 6, spectrum="power", coef=2.0, noise=0.5, return_truth=True, random_state=0
    )
    np.testing.assert_allclose(truth.variances, 1 / np.arange(1, 7), rtol=1e-12)
    np.testing.assert_allclose(X.var(axis=0), truth.variances, rtol=0.12)  # 5 x sqrt(2 / 4000)
    assert np.linalg.norm(truth.coef) == pytest.approx(2)
    np.testing.assert_allclose(X @ truth.coef, truth.y, atol=1e-13)
    assert (y - truth.y).std() == pytest.approx(0.5, rel=0.06)


def test_fits_have_the_predicted_risk():
    lam = spectrum("spiked", 80, n_spikes=5)
    risks = []
    for seed in range(200):
        X, y, truth = make_minimum_norm_regression(
            30, spectrum=lam, noise=0.5, return_truth=True, random_state=seed
        )
        error = np.linalg.pinv(X) @ y - truth.coef
        risks.append(truth.variances @ error**2)
    predicted = minimum_norm_risk(30, lam, truth.coef, 0.5).total
    # Three standard errors, and the 1/n of the deterministic equivalent.
    assert np.mean(risks) == pytest.approx(predicted, rel=0.05)


def test_defaults_and_kinds():
    X, y = make_minimum_norm_regression(random_state=0)
    assert X.shape == (100, 200)
    assert y.shape == (100,)
    signs, _ = make_minimum_norm_regression(10, 4, distribution="rademacher", random_state=0)
    np.testing.assert_array_equal(np.abs(signs), 1)
    rare, _ = make_minimum_norm_regression(50, 400, distribution="spike", random_state=0)
    assert (np.abs(rare) > 3).mean() == pytest.approx(1 / 50, abs=0.005)


def test_laws_of_a_design():
    design = design_staircase(10, [30], n_features=50)
    X, _, truth = make_minimum_norm_regression(
        200, spectrum=design.laws, coef=np.zeros(50), noise=1.0, return_truth=True, random_state=0
    )
    assert X.shape == (200, 50)
    np.testing.assert_allclose(truth.variances, design.laws.variances)
    assert X[:, 20:].std() / X[:, :20].std() == pytest.approx(design.laws.scale[-1], rel=0.1)


def test_seeds():
    one = make_minimum_norm_regression(5, 4, noise=1.0, random_state=0)
    again = make_minimum_norm_regression(5, 4, noise=1.0, random_state=0)
    other = make_minimum_norm_regression(5, 4, noise=1.0, random_state=1)
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "n_samples must be at least 1, got 0"),
        ({"n_features": 0}, "n_features must be at least 1, got 0"),
        ({"noise": -1.0}, "noise must be at least 0, got -1.0"),
        ({"noise": np.nan}, "noise must be finite, got nan"),
        ({"coef": [1.0, np.nan], "n_features": 2}, "coef must be finite"),
        ({"spectrum": "flat"}, "spectrum must be one of 'isotropic'"),
        ({"spectrum": [1, 2], "n_features": 3}, "spectrum must have length 3"),
        ({"spectrum": [0, 0]}, "spectrum must have a positive value"),
        ({"coef": [1, 2], "n_features": 3}, "coef must have length 3 .n_features., got length 2"),
        ({"distribution": "cauchy"}, "distribution must be one of 'gaussian'"),
        (
            {"spectrum": FeatureLaws.from_variances([1, 1]), "distribution": "spike"},
            "distribution is for a spectrum of variances",
        ),
        (
            {"spectrum": FeatureLaws.from_variances([1, 1]), "n_features": 3},
            "spectrum must have length 3 .* got length 2",
        ),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_minimum_norm_regression(**{"random_state": 0, **parameters})
