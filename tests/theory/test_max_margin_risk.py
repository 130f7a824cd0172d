"""Predicted and bounded risks against classifiers fitted to drawn clusters."""

import numpy as np
import pytest
from scipy.special import log_ndtr, ndtr

from skoverparam.datasets import make_subgaussian_mixture
from skoverparam.theory import (
    linear_classifier_risk,
    max_margin_risk,
    max_margin_risk_bound,
    minimum_norm_risk,
    spectrum,
)


def interpolators(n, lam, mean, flip, n_draws, seed=42):
    """Minimum-norm interpolators of the labels of drawn clusters, a row each."""
    rng, rows = np.random.RandomState(seed), []
    for _ in range(n_draws):
        X, y = make_subgaussian_mixture(
            n, len(lam), mean=mean, spectrum=lam, flip=flip, random_state=rng
        )
        rows.append(X.T @ np.linalg.solve(X @ X.T, y))
    return np.array(rows)


# n, d, squared distance of the mean, flips, corrected formula to four digits.
CORRECTED = [
    (50, 100, 4, 0.0, 0.1258),
    (50, 200, 9, 0.0, 0.01533),
    (50, 500, 9, 0.0, 0.02497),
    (50, 1000, 9, 0.0, 0.05155),
    (50, 2000, 9, 0.0, 0.10203),
    (100, 500, 4, 0.0, 0.1164),
    (100, 500, 9, 0.0, 0.01570),
    (25, 500, 9, 0.0, 0.05144),
    (50, 1000, 9, 0.1, 0.1132),
    (50, 2000, 25, 0.1, 0.01343),
    (50, 2000, 25, 0.2, 0.06023),
]


@pytest.mark.parametrize(("n", "d", "square", "flip", "expected"), CORRECTED)
def test_corrected_formula(n, d, square, flip, expected):
    predicted = max_margin_risk(n, np.ones(d), square**0.5, flip=flip)
    assert predicted.method == "isotropic"
    assert predicted.risk == pytest.approx(expected, abs=5.1e-5 if expected > 0.02 else 5.1e-6)


@pytest.mark.parametrize(
    ("n", "d", "square", "flip", "expected"), [row for row in CORRECTED if row[1] <= 1000]
)
def test_corrected_formula_predicts_the_interpolator(n, d, square, flip, expected):
    lam, mu = np.ones(d), np.r_[square**0.5, np.zeros(d - 1)]
    risks = linear_classifier_risk(interpolators(n, lam, mu, flip, 100), mu, lam).risk
    error = risks.std() / 10
    assert expected == pytest.approx(risks.mean(), abs=4 * error + 0.03 * expected)


@pytest.mark.parametrize(
    ("exponent", "place", "norm", "flip"),
    [
        (0.3, "top", 3.0, 0.0),
        (0.3, "flat", 1.5, 0.0),
        (0.5, "top", 3.0, 0.1),
        (0.5, "flat", 1.0, 0.1),
        (0.7, "flat", 0.7, 0.0),
    ],
)
def test_deterministic_formula_predicts_the_interpolator(exponent, place, norm, flip):
    d = 1200
    lam = spectrum("power", d, exponent=exponent)
    mu = np.zeros(d)
    mu[0 if place == "top" else slice(None)] = norm
    mu *= norm / np.linalg.norm(mu)
    risks = linear_classifier_risk(interpolators(40, lam, mu, flip, 80), mu, lam).risk
    predicted = max_margin_risk(40, lam, mu, flip=flip)
    assert predicted.method == "deterministic"
    # An approximation of order 1/n, and the mean of a convex function of the exponent.
    error = risks.std() / np.sqrt(80)
    assert predicted.risk == pytest.approx(risks.mean(), abs=4 * error + 0.05 * predicted.risk)


@pytest.mark.parametrize("flip", [0.0, 0.15])
def test_deterministic_formula_with_equal_variances_has_its_simple_form(flip):
    n, d, M, delta = 30, 90, 5.0, 1 - 2 * flip
    D = d - n
    expected = n * delta**2 * M**2 * D
    expected /= (D + n * M + n) * (D + n + n * M * (1 - delta**2))
    found = max_margin_risk(n, np.full(d, 4.0), np.sqrt(4 * M), flip=flip, method="deterministic")
    assert found.exponent == pytest.approx(expected, rel=1e-11)
    assert found.log_risk == pytest.approx(log_ndtr(-np.sqrt(expected)), rel=1e-11)


def test_average():
    lam, mu = np.array([4.0, 1.0, 1.0]), np.array([0.0, 1.0, 2.0])
    found = max_margin_risk(10, lam, mu, method="average")
    assert found.exponent == pytest.approx(10 * 25 / (10 * 5 + 18), rel=1e-14)
    # For the plain average the formula is a ratio of means.
    rng = np.random.default_rng(0)
    rows = [mu + np.sqrt(lam / 10) * rng.standard_normal(3) for _ in range(4000)]
    signal, spread = np.array(rows) @ mu, np.array(rows) ** 2 @ lam
    assert signal.mean() ** 2 / spread.mean() == pytest.approx((5**2) / (5 + 18 / 10), rel=0.02)
    assert found.exponent == pytest.approx(5**2 / (5 + 18 / 10), rel=1e-14)


def test_slope_of_the_exponent():
    logs, exponents = [], []
    for n in (25, 50, 100):
        for d in (500, 1000, 2000):
            lam = np.ones(d)
            for norm in (2.0, 3.0, 4.0, 6.0):
                mu = np.r_[norm, np.zeros(d - 1)]
                rows = interpolators(n, lam, mu, 0.0, 2)
                risk = linear_classifier_risk(rows, mu, lam)
                if risk.risk.mean() < 0.3:
                    logs.append(-risk.log_risk.mean())
                    exponents.append(max_margin_risk(n, lam, norm, method="average").exponent)
    slope = np.polyfit(exponents, logs, 1)[0]
    assert 0.45 <= slope <= 0.60  # the Gaussian tail says 1/2


def test_the_bound_holds_with_one_half():
    broken = 0
    for n in (25, 50, 100):
        for d in (10 * n, 20 * n, 40 * n):
            for norm in (1.0, 2.0, 3.0, 4.0, 6.0):
                mu = np.r_[norm, np.zeros(d - 1)]
                rows = interpolators(n, np.ones(d), mu, 0.0, 5)
                risks = linear_classifier_risk(rows, mu, np.ones(d)).log_risk
                broken += (risks > max_margin_risk_bound(n, np.ones(d), norm).log_bound).sum()
    assert broken == 0


def test_terms_and_ratios_of_the_bound():
    lam, mu = np.array([4.0, 2.0, 1.0, 1.0]), np.array([1.0, 0.0, 2.0, 0.0])
    bound = max_margin_risk_bound(3, lam, mu, constant=0.25)
    energy, n = 4 + 4, 3
    assert bound.mean_term == n * energy
    assert bound.frobenius_term == pytest.approx(22, rel=1e-14)
    assert bound.spectral_term == n * 16
    assert bound.exponent == pytest.approx(n * 25 / (24 + 22 + 48), rel=1e-14)
    assert bound.bound == pytest.approx(np.exp(-bound.exponent / 4), rel=1e-14)
    expected = [
        8 / (3**1.5 * 4),
        8 / (3 * np.sqrt(22)),
        8 / (3 * np.sqrt(np.log(3)) * np.sqrt(energy)),
        5 / np.sqrt(energy),
    ]
    assert list(bound.condition_ratios.values()) == pytest.approx(expected, rel=1e-14)
    assert bound.effective_dimension == pytest.approx(64 / 22, rel=1e-14)
    assert bound.proliferation_ratio == pytest.approx(64 / 22 / (3 * np.log(3)), rel=1e-14)
    nothing = max_margin_risk_bound(3, lam, np.zeros(4))
    assert (nothing.bound, nothing.condition_ratios["mean^2 / mean"]) == (1, np.inf)


def test_every_point_supports_at_four_times_the_switch():
    # All dual coefficients of K a = 1 are positive at d = 4 n ln n, and not at half of n ln n.
    rng = np.random.RandomState(1)
    n, shares = 30, []
    for ratio in (0.5, 4.0):
        d = round(ratio * n * np.log(n))
        positive = 0
        for _ in range(30):
            X, y = make_subgaussian_mixture(n, d, mean=2.0, random_state=rng)
            Z = y[:, None] * X
            positive += np.linalg.solve(Z @ Z.T, np.ones(n)).min() > 0
        shares.append(positive / 30)
        bound = max_margin_risk_bound(n, np.ones(d), 2.0)
        assert bound.proliferation_ratio == pytest.approx(ratio, rel=0.01)
    assert shares[0] == 0
    assert shares[1] > 0.85


def test_rotations_change_nothing():
    rng = np.random.default_rng(0)
    lam, mu, theta = spectrum("power", 60, exponent=0.5), np.ones(60), rng.standard_normal(60)
    Q = np.linalg.qr(rng.standard_normal((60, 60)))[0]
    Sigma = Q @ (lam[:, None] * Q.T)
    for plain, turned in (
        (max_margin_risk(10, lam, mu), max_margin_risk(10, Sigma, Q @ mu)),
        (max_margin_risk_bound(10, lam, mu), max_margin_risk_bound(10, Sigma, Q @ mu)),
        (
            linear_classifier_risk(theta, mu, lam, intercept=0.3),
            linear_classifier_risk(Q @ theta, Q @ mu, Sigma, intercept=0.3),
        ),
    ):
        assert turned.exponent == pytest.approx(plain.exponent, rel=1e-9)
        assert turned[0] == pytest.approx(plain[0], rel=1e-9)


def test_a_singular_covariance():
    # Directions without variance and without mean do not count.
    lam, mu = np.r_[np.ones(40), np.zeros(10)], np.r_[np.ones(40), np.zeros(10)]
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((50, 50)))[0]
    Sigma = Q @ (lam[:, None] * Q.T)
    plain = max_margin_risk(10, lam[:40], mu[:40], method="deterministic")
    for turned in (max_margin_risk(10, lam, mu), max_margin_risk(10, Sigma, Q @ mu)):
        assert turned.exponent == pytest.approx(plain.exponent, rel=1e-9)


def test_risk_of_a_classifier_is_its_error():
    X, y, truth = make_subgaussian_mixture(
        40_000,
        4,
        mean=[1.0, 0.5, 0.0, 0.0],
        spectrum=[1, 2, 3, 1],
        return_truth=True,
        random_state=0,
    )
    coef, intercept = np.array([[1.0, 0.3, -0.4, 0.0], [1.0, -1.0, 0.0, 2.0]]), [0.8, -0.2]
    risk = linear_classifier_risk(coef, truth.mean, truth.variances, intercept=intercept)
    wrong = y[:, None] * (X @ coef.T + intercept) < 0
    assert (np.abs(wrong.mean(axis=0) - risk.risk) < 4 * np.sqrt(0.25 / 40_000)).all()
    by_hand = (ndtr(-(1.15 + 0.8) / np.sqrt(1.66)) + ndtr(-(1.15 - 0.8) / np.sqrt(1.66))) / 2
    assert risk.risk[0] == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("noise", ["rademacher", "uniform"])
def test_dense_classifiers_hardly_see_the_law_of_the_noise(noise):
    X, y, truth = make_subgaussian_mixture(
        50, 1000, direction="flat", noise=noise, return_truth=True, random_state=0
    )
    theta = X.T @ np.linalg.solve(X @ X.T, y)
    X, y = make_subgaussian_mixture(5000, 1000, direction="flat", noise=noise, random_state=1)
    risk = linear_classifier_risk(theta, truth.mean, truth.variances).risk
    assert (y * (X @ theta) < 0).mean() == pytest.approx(risk, abs=4 * np.sqrt(risk / 5000))


def test_limits():
    tiny = linear_classifier_risk([1.0, 0.0], [100.0, 0.0], [1.0, 1.0])
    assert tiny.risk == 0
    assert tiny.log_risk == pytest.approx(log_ndtr(-100), rel=1e-12)
    assert linear_classifier_risk([0.0, 0.0], [1.0, 0.0], [1.0, 1.0]).risk == pytest.approx(0.5)
    assert linear_classifier_risk([-1.0, 0.0], [1.0, 0.0], [1.0, 1.0]).risk == pytest.approx(
        ndtr(1), rel=1e-12
    )
    assert max_margin_risk(10, np.ones(50), 0.0).risk == 0.5
    # With flips the risk stays, however far the clusters are apart.
    far = [max_margin_risk(50, np.ones(500), m, flip=0.2).exponent for m in (1e2, 1e4)]
    D = 500 - 52
    assert far[1] == pytest.approx(0.36 * D / (50 * 0.64), rel=1e-3)
    assert far[0] == pytest.approx(far[1], rel=0.01)


def test_predictions_share_the_deterministic_equivalent():
    # Without signal the norm is the variance of the minimum-norm regression of pure noise.
    lam = spectrum("power", 200, exponent=0.5)
    rows = interpolators(30, lam, np.zeros(200), 0.0, 200)
    V = minimum_norm_risk(30, lam).total
    assert (rows**2 @ lam).mean() == pytest.approx(V, rel=0.05)


@pytest.mark.parametrize(
    ("function", "arguments", "parameters", "message"),
    [
        (max_margin_risk, (0, np.ones(9), 1.0), {}, "n_samples must be at least 1"),
        (max_margin_risk, (3, np.ones(9), np.ones(8)), {}, "mean must have length 9"),
        (max_margin_risk, (3, [1, 2, 3, 4], 1.0), {}, "mean must be a vector where variances"),
        (max_margin_risk, (3, np.ones(9), -1.0), {}, "mean must be at least 0"),
        (max_margin_risk, (3, np.ones(9), 1.0), {"flip": 0.5}, "flip must be below 0.5"),
        (max_margin_risk, (3, np.ones(9), 1.0), {"method": "x"}, "method must be one of"),
        (max_margin_risk, (9, np.ones(9), 1.0), {}, "more than n_samples=9 positive values"),
        (
            max_margin_risk,
            (9, np.ones(12), 1.0),
            {"method": "isotropic"},
            r"at least n_samples \+ 4 = 13 features .* got 12",
        ),
        (
            max_margin_risk,
            (2, [1, 2, 3], np.ones(3)),
            {"method": "isotropic"},
            "needs equal variances",
        ),
        (
            max_margin_risk,
            (2, np.ones(9), 1.0),
            {"method": "average", "flip": 0.1},
            "flip must be 0 for method='average'",
        ),
        (max_margin_risk, (2, [0, 1, 2, 3], np.ones(4)), {}, "spectrum must be positive where"),
        (max_margin_risk_bound, (1, np.ones(9), 1.0), {}, "n_samples must be at least 2"),
        (max_margin_risk_bound, (3, np.zeros(9), 1.0), {}, "spectrum must have a positive"),
        (
            max_margin_risk_bound,
            (3, np.ones(9), 1.0),
            {"constant": 0},
            "constant must be above 0",
        ),
        (linear_classifier_risk, ([], [], []), {}, "coef must be"),
        (linear_classifier_risk, ([1.0], [1.0, 2.0], [1.0]), {}, "mean must have length 1"),
        (linear_classifier_risk, ([1.0], [1.0], np.eye(2)), {}, "spectrum must be for 1 feat"),
    ],
)
def test_wrong_parameters_are_named(function, arguments, parameters, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments, **parameters)


@pytest.mark.parametrize("flip", [0.0, 1e-9, 0.1])
@pytest.mark.parametrize("square", [1e2, 1e6, 1e10, 1e14])
def test_means_far_apart_keep_their_digits(square, flip):
    # The closed form for equal variances, from sums of positive terms. With 1 - 2 p delta + p^2
    # as it stands, errors were 2e-9 at a squared distance of 1e10 and 3e-8 with rare flips.
    n, D = 50, 950
    blur = 4 * flip * (1 - flip)
    expected = n * (1 - 2 * flip) ** 2 * square**2 * D
    expected /= (D + n * square + n) * (D + n + n * square * blur)
    found = max_margin_risk(
        n, np.ones(n + D), np.sqrt(square), flip=flip, method="deterministic"
    ).exponent
    # Rounding of sums of a thousand terms.
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("intercept", [np.nan, np.inf, [0.0, 1.0], [[0.0]]])
def test_an_intercept_that_is_none_is_named(intercept):
    # NaN used to come back as a risk of one half.
    with pytest.raises(ValueError, match="intercept must be"):
        linear_classifier_risk([1.0, 0.0], [1.0, 0.0], [1.0, 1.0], intercept=intercept)
