"""Designed curves against Monte Carlo on draws that the designer has not seen."""

import numpy as np
import pytest

from skoverparam.datasets import design_arrows, design_staircase
from skoverparam.theory import minimum_norm_risk


def test_designed_peaks_are_predicted_and_found():
    design = design_staircase(20, [70, 120], [10, 10])
    np.testing.assert_array_equal(design.peaks, [20, 70, 120])
    at = dict(zip(design.n_features, design.risk, strict=True))
    beyond = design.n_features >= 40
    order = np.argsort(design.risk[beyond])[::-1]
    assert set(design.n_features[beyond][order[:2]]) == {70, 120}
    # The variances solve for the heights.
    assert (at[70], at[120]) == (pytest.approx(10, rel=1e-9), pytest.approx(10, rel=1e-9))
    assert np.isinf(at[20])
    np.testing.assert_array_equal(design.n_features, np.arange(1, 161))

    drawn = minimum_norm_risk(
        20,
        design.laws,
        n_features_used=design.n_features,
        method="monte_carlo",
        n_draws=500,
        random_state=0,
    ).total
    for peak in (70, 120):
        around = np.abs(design.n_features - peak) <= 20
        found = design.n_features[around][np.argmax(drawn[around])]
        assert abs(found - peak) <= 1
        assert drawn[peak - 1] == pytest.approx(10, rel=0.15)


def test_peaks_of_different_heights():
    design = design_staircase(30, [80, 130, 200], [12, 120, 32], noise=2.0, n_features=250)
    np.testing.assert_array_equal(design.peaks, [30, 80, 130, 200])
    np.testing.assert_allclose(design.risk[[79, 129, 199]], [12, 120, 32], rtol=1e-9)
    assert len(design.laws.scale) == len(design.risk) == 250
    # Four times the noise variance with a quarter of the heights is the same design.
    other = design_staircase(30, [80, 130, 200], [3, 30, 8], n_features=250)
    np.testing.assert_allclose(other.laws.scale, design.laws.scale, rtol=1e-9)


def test_blocks_begin_n_features_before_their_peaks():
    scale = design_staircase(20, [70, 120]).laws.scale
    np.testing.assert_array_equal(np.flatnonzero(np.diff(scale)) + 1, [50, 100])


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        ((20, [40]), {}, "peaks must each be at least 1.5 n_samples = 30 beyond"),
        ((20, [70, 90]), {}, r"peaks must each be .* got \[70, 90\]"),
        ((20, [120, 70]), {}, "peaks must each be"),
        ((20, [70, 120], [10, 10, 10]), {}, "heights must be a number or one for each of 2"),
        ((20, [70], -1.0), {}, "heights must be"),
        ((20, [70], 0.1), {}, "heights must be well above the risk .* got 0.1 times"),
        ((20, [70], 0.45), {}, "heights must be well above the risk"),
        ((1, [70]), {}, "n_samples must be at least 2, got 1"),
        ((20, [70]), {"noise": 0.0}, "noise must be above 0, got 0.0"),
        ((20, [70]), {"n_features": 70}, "n_features must be at least 71, got 70"),
    ],
)
def test_impossible_staircases_are_named(arguments, parameters, message):
    with pytest.raises(ValueError, match=message):
        design_staircase(*arguments, **parameters)


def test_peaks_are_integers():
    with pytest.raises(TypeError, match="peaks must be one or more integers"):
        design_staircase(20, [70.5])


def test_a_spread_beyond_float64_is_warned_about():
    with pytest.warns(UserWarning, match="standard deviations .* factor of .*, which solvers"):
        design_staircase(10, [40, 80, 120, 160], 1000)


ARROWS = "UUddddddUddddUUUdddddddd"


def test_all_arrows_are_followed_on_fresh_draws():
    design = design_arrows(20, ARROWS, n_draws=1500, random_state=0)
    np.testing.assert_array_equal(design.n_features, np.arange(28, 53))
    np.testing.assert_array_equal(design.peaks, [30, 37, 44])
    fresh = minimum_norm_risk(
        20,
        design.laws,
        n_features_used=design.n_features,
        method="monte_carlo",
        n_draws=3000,
        random_state=1,
    )
    # Before the first arrow: n / (d - n - 1).
    assert fresh.total[0] == pytest.approx(20 / 7, abs=4 * fresh.standard_error[0])
    wanted = np.array([1 if arrow == "U" else -1 for arrow in ARROWS])
    steps = np.diff(fresh.draws, axis=1) * wanted
    errors = steps.std(axis=0, ddof=1) / np.sqrt(3000)
    assert (steps.mean(axis=0) >= 5 * errors).all()
    # Steps up are by half, and what the design reports is what others find.
    ratios = (fresh.total[1:] / fresh.total[:-1])[wanted == 1]
    np.testing.assert_allclose(ratios, 1.5, rtol=0.1)
    both = np.hypot(fresh.standard_error, design.standard_error)
    assert (np.abs(fresh.total - design.risk) <= 5 * both).all()


@pytest.mark.parametrize("seed", range(3))
def test_random_arrows(seed):
    wanted = np.random.default_rng(seed).choice([-1, 1], 12)
    design = design_arrows(10, wanted, start=20, ratio=2.0, noise=0.1, random_state=seed)
    fresh = minimum_norm_risk(
        10,
        design.laws,
        noise=0.1,
        n_features_used=design.n_features,
        method="monte_carlo",
        n_draws=3000,
        random_state=seed + 100,
    )
    steps = np.diff(fresh.draws, axis=1) * wanted
    errors = steps.std(axis=0, ddof=1) / np.sqrt(3000)
    assert (steps.mean(axis=0) >= 5 * errors).all()


def test_arrows_may_be_letters_or_numbers():
    one = design_arrows(5, "uD", n_draws=1000, ratio=2.0, random_state=0)
    two = design_arrows(5, [1, -1], n_draws=1000, ratio=2.0, random_state=0)
    np.testing.assert_array_equal(one.laws.scale, two.laws.scale)
    np.testing.assert_array_equal(one.risk, two.risk)


def test_a_step_that_is_not_sure_is_warned_about():
    with pytest.warns(UserWarning, match="1 of 1 steps are not 5 standard errors"):
        design_arrows(20, "U", ratio=1.0001, n_draws=100, random_state=0)


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        ((20, "UDX"), {}, "arrows must be letters 'U' and 'D' .* got 'X'"),
        ((20, ""), {}, "arrows must be .* got an empty sequence"),
        ((20, [1, 0]), {}, "arrows must be .* got 0"),
        ((1, "U"), {}, "n_samples must be at least 2, got 1"),
        ((20, "U"), {"start": 27}, "start must be at least 28, got 27"),
        ((20, "U"), {"ratio": 1.0}, "ratio must be above 1, got 1.0"),
        ((20, "U"), {"n_draws": 10}, "n_draws must be at least 100, got 10"),
    ],
)
def test_wrong_arrows_are_named(arguments, parameters, message):
    with pytest.raises(ValueError, match=message):
        design_arrows(*arguments, **parameters)
