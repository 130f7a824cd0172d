"""Risks against published values, against each other, and against fits of drawn data."""

import numpy as np
import pytest

from skoverparam.theory import FeatureLaws, minimum_norm_risk, spectrum
from skoverparam.theory._minimum_norm_risk import implicit_ridge


def measured(n, Sigma, coef, noise, d, n_draws, seed=0):
    """Mean risk and its standard error of drawn data, fitted by the pseudoinverse."""
    rng = np.random.default_rng(seed)
    root, risks = np.linalg.cholesky(Sigma), []
    for _ in range(n_draws):
        X = rng.standard_normal((n, len(Sigma))) @ root.T
        y = X @ coef + noise * rng.standard_normal(n)
        error = -coef
        error[:d] += np.linalg.pinv(X[:, :d]) @ y
        risks.append(error @ Sigma @ error)
    return np.mean(risks), np.std(risks) / np.sqrt(n_draws)


# n = 40, 120 features of unit variance, equal coefficients of norm 1, noise .5: by hand from
# t + s2 d / (n - d - 1), and t + (d / D)(1 - n / d) + s2 n / (d - n - 1), with t = 1 - d / D and
# s2 = .25 + t.
DOUBLE_DESCENT = {
    5: 1.1360,
    20: 1.9737,
    30: 4.0833,
    35: 9.0937,
    38: 36.150,
    42: 36.667,
    45: 9.4167,
    60: 2.2456,
    80: 1.2650,
    120: 0.7932,
}
COEF = np.full(120, 120**-0.5)


def test_double_descent_in_closed_form():
    dims = np.array(list(DOUBLE_DESCENT))
    risk = minimum_norm_risk(40, np.ones(120), COEF, 0.5, n_features_used=dims, method="exact")
    np.testing.assert_allclose(risk.total, list(DOUBLE_DESCENT.values()), rtol=7e-5)
    assert risk.exact.all()


def test_monte_carlo_of_double_descent():
    dims = np.array([d for d in DOUBLE_DESCENT if abs(d - 40) >= 5])
    exact = minimum_norm_risk(40, np.ones(120), COEF, 0.5, n_features_used=dims)
    drawn = minimum_norm_risk(
        40,
        np.ones(120),
        COEF,
        0.5,
        n_features_used=dims,
        method="monte_carlo",
        n_draws=1000,
        random_state=0,
    )
    assert (np.abs(drawn.total - exact.total) <= 4 * drawn.standard_error).all()
    assert drawn.draws.shape == (1000, len(dims))
    np.testing.assert_allclose(drawn.draws.mean(axis=0), drawn.total, rtol=1e-12)
    # Bias and variance each on their own, with the relative error of the total.
    for part in ("bias", "variance"):
        relative = getattr(drawn, part) / getattr(exact, part) - 1
        assert (np.abs(relative) <= 6 * drawn.standard_error / drawn.total).all()


def test_deterministic_equivalent_of_a_power_spectrum():
    lam, coef = spectrum("power", 400, exponent=1.5), np.full(400, 0.1)
    dims = [50, 60, 80, 120, 200, 400]
    risk = minimum_norm_risk(40, lam, coef, 0.5, n_features_used=dims)
    expected = [1.150, 0.649, 0.399, 0.274, 0.2103, 0.1723]
    np.testing.assert_allclose(risk.total, expected, atol=6e-4)
    assert not risk.exact.any()
    drawn = minimum_norm_risk(
        40,
        lam,
        coef,
        0.5,
        n_features_used=[80, 120, 200],
        method="monte_carlo",
        n_draws=300,
        random_state=0,
    )
    np.testing.assert_allclose(risk.total[2:5], drawn.total, rtol=0.05)


def test_deterministic_equivalent_of_a_staircase():
    lam = spectrum("staircase", sizes=[50, 50, 60], levels=[1, 1e3, 1e6])
    dims = np.array([60, 66, 70, 71, 74, 80, 110, 118, 120, 130])
    risk = minimum_norm_risk(20, lam, n_features_used=dims)
    expected = [1.480, 4.003, 9.713, 8.664, 4.380, 1.942, 1.479, 6.704, 9.708, 1.942]
    np.testing.assert_allclose(risk.total, expected, atol=6e-4)
    drawn = minimum_norm_risk(
        20, lam, n_features_used=dims, method="monte_carlo", n_draws=1500, random_state=0
    )
    # The approximation is good to O(1/n).
    peak = np.isin(dims, (70, 120))
    error = np.abs(risk.total / drawn.total - 1)
    assert error[peak].max() < 0.1
    assert error[~peak].max() < 0.2


def test_peaks_over_the_number_of_samples():
    lam = spectrum("staircase", sizes=[30, 90, 280], levels=[1, 1e-3, 1e-6])
    risk = minimum_norm_risk([15, 30, 60, 120, 200], lam)
    np.testing.assert_allclose(risk.total, [0.977, 8.79, 1.974, 11.85, 2.481], rtol=6e-4)
    drawn = minimum_norm_risk([15, 30], lam, method="monte_carlo", n_draws=200, random_state=0)
    np.testing.assert_allclose(drawn.total, risk.total[:2], rtol=0.1)


def test_underparameterized_risk_never_falls_when_noise_is_all():
    rng = np.random.default_rng(0)
    laws = FeatureLaws(rng.uniform(0.1, 3, 18), rng.uniform(0, 9, 18), rng.uniform(0, 1, 18))
    risk = minimum_norm_risk(
        20,
        laws,
        n_features_used=np.arange(19),
        method="monte_carlo",
        n_draws=200,
        random_state=0,
    )
    assert (np.diff(risk.draws, axis=1) >= 0).all()


def random_covariance(d, seed=0):
    root = np.random.default_rng(seed).standard_normal((d, d)) * np.linspace(0.3, 2, d)
    return root @ root.T / d


def test_underparameterized_risk_is_the_same_for_all_covariances():
    Sigma = random_covariance(10)
    dims = np.arange(11)
    coef = np.r_[np.linspace(-1, 1, 8), 0, 0]
    risk = minimum_norm_risk(15, Sigma, coef, 0.7, n_features_used=dims)
    # With all features that matter in use, only noise costs.
    np.testing.assert_allclose(risk.total[8:], 0.49 * dims[8:] / (14 - dims[8:]), rtol=1e-9)
    assert risk.exact.all()
    # Below, the omitted ones are what a regression on the used ones leaves.
    Q = Sigma[5:, 5:] - Sigma[5:, :5] @ np.linalg.solve(Sigma[:5, :5], Sigma[:5, 5:])
    t = coef[5:] @ Q @ coef[5:]
    assert risk.total[5] == pytest.approx(t + (0.49 + t) * 5 / 9, rel=1e-10)


@pytest.mark.parametrize("d", [0, 4, 16, 20])
def test_risk_with_a_covariance_is_that_of_drawn_data(d):
    Sigma, coef = random_covariance(20), np.linspace(-1, 1, 20)
    mean, error = measured(8, Sigma, coef, 0.7, d, 1500)
    drawn = minimum_norm_risk(
        8, Sigma, coef, 0.7, n_features_used=d, method="monte_carlo", n_draws=1500, random_state=1
    )
    spread = np.hypot(error, drawn.standard_error)
    # Without features nothing is random but the rounding.
    assert drawn.total == pytest.approx(mean, abs=4 * spread + 1e-12)
    assert isinstance(drawn.total, float)
    predicted = minimum_norm_risk(8, Sigma, coef, 0.7, n_features_used=d)
    # Exact up to n; an approximation of order 1/n beyond.
    assert predicted.total == pytest.approx(mean, rel=0 if d <= 8 else 0.15, abs=4 * error + 1e-12)


def test_a_diagonal_covariance_is_a_spectrum():
    lam, coef = spectrum("power", 12), np.linspace(1, 2, 12)
    dims = [0, 3, 5, 8, 12]
    for method in ("auto", "deterministic"):
        one = minimum_norm_risk(5, lam, coef, 0.3, n_features_used=dims, method=method)
        two = minimum_norm_risk(5, np.diag(lam), coef, 0.3, n_features_used=dims, method=method)
        np.testing.assert_allclose(two.total, one.total, rtol=1e-9)
        np.testing.assert_allclose(two.bias, one.bias, rtol=1e-9)


def test_a_singular_covariance():
    # The third feature is the sum of the others: the design never has rank three.
    mix = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    risk = minimum_norm_risk(10, mix @ mix.T, [1.0, 2.0, 3.0], 0.5)
    assert risk.total == pytest.approx(0.25 * 2 / 7, rel=1e-10)
    assert risk.bias == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("method", ["auto", "deterministic", "monte_carlo"])
@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_bias_and_variance_add_up(method, noise):
    lam, coef = spectrum("power", 30), np.linspace(-1, 1, 30)
    dims = np.arange(31)
    risk = minimum_norm_risk(
        10, lam, coef, noise, n_features_used=dims, method=method, n_draws=50, random_state=0
    )
    np.testing.assert_allclose(risk.bias + risk.variance, risk.total, rtol=1e-12)
    assert (risk.bias >= 0).all()
    assert (risk.variance >= 0).all()
    assert risk.total[0] == pytest.approx(lam @ coef**2, rel=1e-12)  # nothing is used
    if not noise:
        np.testing.assert_array_equal(risk.variance, 0)


def test_where_the_expectation_is_infinite():
    dims = [8, 9, 10, 11, 12]
    risk = minimum_norm_risk(10, np.ones(12), n_features_used=dims)
    np.testing.assert_array_equal(np.isinf(risk.total), [False, True, True, True, False])
    # Without noise and with all features in use, every fit up to n is perfect.
    exact = [
        minimum_norm_risk(10, np.ones(d), np.ones(d), noise=0.0, method="exact").total
        for d in dims
    ]
    np.testing.assert_allclose(exact, [0, 0, 0, 11 * (1 - 10 / 11), 12 * (1 - 10 / 12)])


def test_units():
    lam, coef = spectrum("power", 30), np.linspace(-1, 1, 30)
    one = minimum_norm_risk(10, lam, coef, 0.5)
    other = minimum_norm_risk(10, 9 * lam, 2 * coef / 3, 1.0)
    assert other.total == pytest.approx(4 * one.total, rel=1e-10)
    assert other.kappa == pytest.approx(9 * one.kappa, rel=1e-10)


@pytest.mark.parametrize("levels", [[1, 1], [1, 1e8], [1, 1e-15], [1e-300, 1e-150]])
@pytest.mark.parametrize("n", [1, 20, 30, 39])
def test_implicit_ridge_solves_its_equation(levels, n):
    lam = spectrum("staircase", sizes=[20, 20], levels=levels)
    kappa = implicit_ridge(lam, n)
    # Summed so that terms near one do not hide the others.
    terms = np.sort(lam / (lam + kappa))[::-1]
    rests = np.sort(kappa / (lam + kappa))
    assert terms[n:].sum() == pytest.approx(rests[:n].sum(), rel=1e-9)


def test_isotropic_deterministic_equivalent_has_its_simple_form():
    risk = minimum_norm_risk(40, np.ones(100), np.ones(100), method="deterministic")
    assert risk.kappa == pytest.approx(1.5, rel=1e-12)
    assert risk.df2 == pytest.approx(100 * 0.4**2, rel=1e-12)
    assert risk.variance == pytest.approx(40 / 60, rel=1e-12)
    assert risk.bias == pytest.approx(100 * 0.6, rel=1e-12)
    below = minimum_norm_risk(40, np.ones(30), method="deterministic")
    assert (below.kappa, below.df2, below.variance) == (0, 30, pytest.approx(3))


def test_shapes_and_seeds():
    risk = minimum_norm_risk([[5], [9]], np.ones(20), n_features_used=range(21))
    assert risk.total.shape == risk.exact.shape == risk.kappa.shape == (2, 21)
    assert isinstance(minimum_norm_risk(5, np.ones(20)).total, float)
    settings = {"n_features_used": [12, 3, 12], "method": "monte_carlo", "n_draws": 20}
    one = minimum_norm_risk([5, 5, 4], np.ones(20), **settings, random_state=3)
    again = minimum_norm_risk([5, 5, 4], np.ones(20), **settings, random_state=3)
    other = minimum_norm_risk(
        [5, 5, 4], np.ones(20), **settings, random_state=np.random.RandomState(4)
    )
    assert one.draws.shape == (20, 3)
    np.testing.assert_array_equal(one.draws, again.draws)
    assert not np.array_equal(one.draws, other.draws)
    assert one.kappa is None
    assert minimum_norm_risk(5, np.ones(20)).draws is None


def test_gaussian_laws_are_a_spectrum():
    lam = spectrum("power", 20)
    laws = FeatureLaws.from_variances(lam)
    assert minimum_norm_risk(5, laws).total == pytest.approx(minimum_norm_risk(5, lam).total)
    settings = {"method": "monte_carlo", "n_draws": 10, "random_state": 0}
    one, two = (minimum_norm_risk(5, given, **settings) for given in (laws, lam))
    np.testing.assert_array_equal(one.draws, two.draws)


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        ((0, np.ones(3)), {}, "n_samples must be at least 1, got 0"),
        (([3, 0], np.ones(3)), {}, "n_samples must be at least 1, got 0"),
        ((3, np.zeros(3)), {}, "spectrum must have a positive value"),
        ((3, np.ones((2, 3))), {}, "spectrum must be a vector of variances or a square cov"),
        ((3, [[1.0, 2.0], [0.0, 1.0]]), {}, "spectrum must be symmetric"),
        ((3, [[1.0, 2.0], [2.0, 1.0]]), {}, "spectrum must be positive semidefinite"),
        ((3, np.ones(3), np.ones(4)), {}, "coef must have length 3 .*, got length 4"),
        ((3, np.ones(3), None, -1.0), {}, "noise must be at least 0, got -1.0"),
        ((3, np.ones(3)), {"n_features_used": 4}, r"n_features_used must be in \[0, 3\], got 4"),
        ((3, np.ones(3)), {"n_features_used": [-1]}, r"n_features_used must be in \[0, 3\]"),
        (([3, 4], np.ones(3)), {"n_features_used": [1, 2, 3]}, "must broadcast"),
        ((3, np.ones(3)), {"method": "guess"}, "method must be one of 'auto'"),
        ((2, [1, 2, 3, 4, 5]), {"method": "exact"}, "no closed form for 5 features"),
        ((3, np.ones(3)), {"method": "monte_carlo", "n_draws": 1}, "n_draws must be at least 2"),
        ((3, np.ones(3)), {"method": "monte_carlo", "random_state": -1}, "random_state must be"),
    ],
)
def test_wrong_parameters_are_named(arguments, parameters, message):
    with pytest.raises(ValueError, match=message):
        minimum_norm_risk(*arguments, **parameters)


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="n_samples must be an integer, got 3.5"):
        minimum_norm_risk(3.5, np.ones(3))
    with pytest.raises(TypeError, match="n_features_used must be .* integers"):
        minimum_norm_risk(3, np.ones(3), n_features_used=[0.5])
    with pytest.raises(TypeError, match="noise must be a number, got True"):
        minimum_norm_risk(3, np.ones(3), noise=True)
