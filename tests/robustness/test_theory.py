"""Predictions: what must not change with units, order or representation does not."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st
from robustness.watch import attempt, watch

from skoverparam import theory

_exponents = st.sampled_from([-450, -150, -7, 3, 150, 450])
_entries = st.floats(0.01, 100)
# Their squares, in the smallest unit, are numbers with all of their digits.
_sizes = st.one_of(st.just(0.0), st.floats(1e-3, 10))
_flips = st.sampled_from([0.0, 0.1, 0.4])


@st.composite
def problems(draw, max_features=9):
    """Variances, coefficients of the same number, and a number of samples."""
    d = draw(st.integers(1, max_features))
    lam = np.array(draw(st.lists(_entries, min_size=d, max_size=d)))
    coef = np.array(draw(st.lists(_sizes, min_size=d, max_size=d)))
    coef *= np.array(draw(st.lists(st.sampled_from([-1, 1]), min_size=d, max_size=d)))
    return lam, coef, draw(st.integers(1, max_features + 3))


@given(problems(), _sizes, _exponents, st.sampled_from(["auto", "monte_carlo"]))
@example((np.ones(3), np.ones(3), 2), 0.5, 450, "auto")
@example((np.ones(2), np.ones(2), 2), 1e-200, 150, "auto")
def test_risks_of_the_minimum_norm_in_other_units(problem, noise, exponent, method):
    lam, coef, n = problem
    options = {"method": method, "n_draws": 5, "random_state": 0}
    with watch("minimum_norm_risk"):
        one = theory.minimum_norm_risk(n, lam, coef, noise, **options)
        # Features larger, coefficients smaller: no digit of the labels changes.
        lam, coef = np.ldexp(lam, 2 * exponent), np.ldexp(coef, -exponent)
        other = theory.minimum_norm_risk(n, lam, coef, noise, **options)
        assert (other.bias, other.variance, other.total) == (one.bias, one.variance, one.total)
        if one.kappa is not None:
            assert (other.kappa, other.df2) == (np.ldexp(one.kappa, 2 * exponent), one.df2)
        # Labels larger: risks by the square.
        coef, noise = np.ldexp(coef, exponent), np.ldexp(noise, exponent)
        last = theory.minimum_norm_risk(n, lam, coef, noise, **options)
        np.testing.assert_array_equal(last.total, np.ldexp(one.total, 2 * exponent))


@given(problems(), st.floats(0.1, 3), st.randoms(use_true_random=False))
def test_risks_of_the_minimum_norm_in_another_order(problem, noise, rng):
    lam, coef, n = problem
    order = rng.sample(range(len(lam)), len(lam))
    with watch("minimum_norm_risk"):
        one = theory.minimum_norm_risk(n, lam, coef, noise)
        other = theory.minimum_norm_risk(n, lam[order], coef[order], noise)
        np.testing.assert_allclose(other[:3], one[:3], rtol=1e-9)
        # Rotated features are the same features.
        Q = scipy.stats.ortho_group.rvs(len(lam), random_state=0) if len(lam) > 1 else np.eye(1)
        turned = theory.minimum_norm_risk(n, Q * lam @ Q.T, Q @ coef, noise)
        np.testing.assert_allclose(turned[:3], one[:3], rtol=1e-7, atol=1e-12)


@given(
    st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=12),
    st.integers(1, 9),
    st.sampled_from([-900, -30, 30, 900]),
)
@example([1e-300, 1e160], 1, 3)
def test_effective_ranks(spectrum, n, exponent):
    lam = np.sort(spectrum)[::-1]
    with watch("effective_ranks"):
        ranks = theory.effective_ranks(spectrum, n_samples=n)
        for k in range(len(lam)):
            own = lam[k:] / lam[k]
            assert ranks.r[k] == pytest.approx(own.sum(), rel=1e-12)
            assert ranks.R[k] == pytest.approx(own.sum() ** 2 / (own @ own), rel=1e-12)
        enough = np.flatnonzero(ranks.r >= n)
        assert ranks.k_star == (enough[0] if len(enough) else None)
        if np.abs(np.log2(lam)).max() < 100:
            other = theory.effective_ranks(np.ldexp(spectrum, exponent), n_samples=n)
            np.testing.assert_array_equal(other.r, ranks.r)
            np.testing.assert_array_equal(other.R, ranks.R)


@given(problems(), st.floats(-3, 3), _exponents, _exponents)
@example((np.ones(2), np.array([1.0, 0.0]), 1), 0.0, 450, -450)
def test_risks_of_linear_classifiers(problem, intercept, of_coef, of_data):
    lam, coef, seed = problem
    mean = np.random.default_rng(seed).normal(size=len(lam))
    with watch("linear_classifier_risk"):
        one = theory.linear_classifier_risk(coef, mean, lam, intercept=intercept)
        spread = np.sqrt(coef**2 @ lam)
        if spread > 1e-100:
            scores = (coef @ mean + np.array([-1, 1]) * intercept) / spread
            assert one.risk == pytest.approx(scipy.stats.norm.cdf(-scores).mean(), rel=1e-9)
            assert one.exponent == pytest.approx((coef @ mean / spread) ** 2, rel=1e-9)
            wrong = theory.linear_classifier_risk(-coef, mean, lam, intercept=-intercept)
            assert wrong.risk == pytest.approx(1 - one.risk, rel=1e-9)
        large = np.abs(coef)[coef != 0].min(initial=1) > 1e-30
        if large:
            other = theory.linear_classifier_risk(
                np.ldexp(coef, of_coef),
                np.ldexp(mean, of_data),
                np.ldexp(lam, 2 * of_data),
                intercept=np.ldexp(intercept, of_coef + of_data),
            )
            assert other == one
            both = theory.linear_classifier_risk([coef, -coef], mean, np.diag(lam))
            assert both.exponent[0] == pytest.approx(both.exponent[1], rel=1e-12)


@given(problems(), _flips, _exponents)
@example((np.ones(9), np.ones(9), 2), 0.1, 450)
def test_risks_of_the_maximum_margin(problem, flip, exponent):
    lam, mean, n = problem
    about = r"^spectrum must have"
    with watch("max_margin_risk"):
        one = attempt(theory.max_margin_risk, n, lam, mean, flip=flip, about=about)
        larger = np.ldexp(lam, 2 * exponent), np.ldexp(mean, exponent)
        other = theory.max_margin_risk(n, *larger, flip=flip)
        assert other == one
        matrix = theory.max_margin_risk(n, np.diag(lam), mean, flip=flip)
        assert matrix.exponent == pytest.approx(one.exponent, rel=1e-9, abs=1e-300)
        assert 0 <= one.risk <= 0.5
        assert one.risk == pytest.approx(scipy.stats.norm.cdf(-np.sqrt(one.exponent)), rel=1e-9)
        clean = theory.max_margin_risk(n, lam, mean)
        assert clean.exponent >= one.exponent * (1 - 1e-12)


@given(problems(), _exponents)
@example((np.ones(9), np.ones(9), 2), 450)
def test_bounds_of_the_maximum_margin(problem, exponent):
    lam, mean, n = problem
    n += 1
    with watch("max_margin_risk_bound"):
        one = theory.max_margin_risk_bound(n, lam, mean)
        squared, energy = mean @ mean, lam @ mean**2
        terms = [n * energy, lam @ lam, n * lam.max() ** 2]
        np.testing.assert_allclose(one[3:6], terms, rtol=1e-12)
        assert one.exponent == pytest.approx(n * squared**2 / sum(terms), rel=1e-12)
        moved = min(exponent, 240)  # terms are of the fourth power
        other = theory.max_margin_risk_bound(n, np.ldexp(lam, 2 * moved), np.ldexp(mean, moved))
        assert (other.bound, other.exponent) == (one.bound, one.exponent)
        for name, ratio in one.condition_ratios.items():
            assert other.condition_ratios[name] == pytest.approx(ratio, rel=1e-12), name


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 99), _exponents, st.integers(1, 100))
@example(4, 3, 0, 450, 3)
def test_critical_batch_sizes(n, d, seed, exponent, m):
    X = np.random.default_rng(seed).normal(size=(n, d))
    with watch("critical_batch_size"):
        one = theory.critical_batch_size(X, batch_sizes=[1, m])
        lam = np.linalg.eigvalsh(X @ X.T / n)
        # The rate is the larger one of the two ends, and no other step has a smaller.
        ends = np.array([one.largest_eigenvalue, one.smallest_eigenvalue])[:, None]
        assert one.largest_eigenvalue == pytest.approx(lam[-1], rel=1e-9)

        def rate(eta):
            beta, sizes = one.max_squared_norm, one.batch_sizes
            g = 1 - 2 * eta * ends + eta**2 * (beta / sizes + (1 - 1 / sizes) * ends) * ends
            return g.max(0)

        np.testing.assert_allclose(rate(one.step_sizes), one.rates, rtol=0, atol=1e-9)
        for factor in (0.99, 1.01):
            assert (rate(factor * one.step_sizes) >= one.rates - 1e-12).all()
        other = theory.critical_batch_size(np.ldexp(X, exponent), batch_sizes=[1, m])
        assert other.critical_batch_size == one.critical_batch_size
        np.testing.assert_array_equal(other.rates, one.rates)
        np.testing.assert_array_equal(other.step_sizes, np.ldexp(one.step_sizes, -2 * exponent))
        kernel = theory.critical_batch_size(kernel_matrix=X @ X.T, batch_sizes=[1, m], rcond=1e-10)
        np.testing.assert_allclose(kernel.rates, one.rates, rtol=0, atol=1e-6)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 99), _exponents, _exponents)
@example(3, 4, 0, 450, 150)
def test_stochastic_gradients_in_other_units(n, d, seed, of_X, of_y):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, d)), rng.normal(size=d)
    y, options = X @ w, {"n_repeats": 2, "max_steps": 60, "random_state": 0, "tol": 0.1}
    with watch("interpolating_sgd"):
        one = theory.interpolating_sgd(X, y, **options)
        Z, z = np.ldexp(X, of_X), np.ldexp(y, of_y)
        other = theory.interpolating_sgd(Z, z, **options)
        np.testing.assert_array_equal(other.n_steps, one.n_steps)
        np.testing.assert_array_equal(other.bound, one.bound)
        np.testing.assert_array_equal(other.step_sizes, np.ldexp(one.step_sizes, -2 * of_X))
    with watch("sgd_mean_squared_error"):
        step = float(one.step_sizes[0])
        options = {"batch_size": int(one.batch_sizes[0]), "n_steps": 5}
        errors = theory.sgd_mean_squared_error(X, y, step_size=step, **options)
        step = float(np.ldexp(step, -2 * of_X))
        shift = 2 * (of_y - of_X)
        scaled = attempt(
            theory.sgd_mean_squared_error, Z, z, step_size=step, about=r"^X or y ", **options
        )
        np.testing.assert_allclose(scaled, np.ldexp(errors, shift), rtol=1e-12)
        start = np.linalg.pinv(X) @ y
        assert errors[0] == pytest.approx(start @ start, rel=1e-6)
        bounds = errors[0] * one_rate(X, options["batch_size"]) ** np.arange(6)
        assert (errors <= bounds * (1 + 1e-6) + 1e-14 * errors[0]).all()


def one_rate(X, m):
    return theory.critical_batch_size(X, batch_sizes=m).rates[0]


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.floats(1e-3, 1e3),
    st.floats(2.1, 8),
    _exponents,
)
@example(20, 400, 1.0, 3.0, 450)
def test_phases_of_signal_and_noise(n, d, signal, q, exponent):
    with watch("signal_noise_phase"):
        one = theory.signal_noise_phase(n, d, signal, q=q)
        assert one.snr == pytest.approx(signal / np.sqrt(d), rel=1e-12)
        assert one.n_snr_q == pytest.approx(n * (signal / np.sqrt(d)) ** q, rel=1e-9)
        assert one.ratio == pytest.approx(one.n_snr_q / 2, rel=1e-9)
        moved = float(np.ldexp(signal, exponent))
        other = theory.signal_noise_phase(n, d, moved, sigma_p=float(np.ldexp(1.0, exponent)), q=q)
        assert other.n_snr_q == pytest.approx(one.n_snr_q, rel=1e-9)
        assert other.signal_time == pytest.approx(one.signal_time, rel=1e-9)
        assert other.noise_time == pytest.approx(one.noise_time, rel=1e-9)
        border = theory.signal_noise_phase(n, d, float(one.boundary), q=q)
        assert border.ratio == pytest.approx(1, rel=1e-6)


@given(
    st.integers(1, 5),
    st.integers(1, 7),
    st.integers(0, 99),
    st.sampled_from(["euclidean", "pnorm", "hypentropy"]),
    st.sampled_from([-30, 3, 30]),
)
def test_projections(n, d, seed, mirror, exponent):
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, d)), rng.normal(size=d)
    y, order = X @ w, rng.permutation(d)
    with watch("bregman_projection"):
        one = theory.bregman_projection(X, y, mirror=mirror)
        turned = theory.bregman_projection(X[:, order], y, mirror=mirror)
        np.testing.assert_allclose(turned.coef, one.coef[order], rtol=1e-5, atol=1e-7)
        if mirror == "euclidean":
            np.testing.assert_allclose(one.coef, np.linalg.pinv(X) @ y, rtol=1e-6, atol=1e-8)
        if mirror != "hypentropy":  # whose beta is a size of its own
            larger = theory.bregman_projection(X, np.ldexp(y, exponent), mirror=mirror)
            expected = np.ldexp(one.coef, exponent)
            np.testing.assert_allclose(
                larger.coef, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max()
            )
