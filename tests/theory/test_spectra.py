"""Spectra against their formulas, effective ranks against values by hand."""

import numpy as np
import pytest

from skoverparam.theory import effective_ranks, spectrum


@pytest.mark.parametrize(
    ("kind", "parameters", "expected"),
    [
        ("isotropic", {}, [1, 1, 1, 1]),
        ("isotropic", {"scale": 2}, [2, 2, 2, 2]),
        ("power", {}, [1, 1 / 2, 1 / 3, 1 / 4]),
        ("power", {"exponent": 2, "scale": 3}, [3, 3 / 4, 3 / 9, 3 / 16]),
        ("exponential", {"rate": 0.5}, np.exp([0, -0.5, -1, -1.5])),
        ("spiked", {"n_spikes": 2, "height": 7, "scale": 0.5}, [3.5, 3.5, 0.5, 0.5]),
        ("spiked", {"n_spikes": 0}, [1, 1, 1, 1]),
        ("staircase", {"sizes": [1, 3], "levels": [1, 50]}, [1, 50, 50, 50]),
        ([3, 0, 1, 2], {}, [3, 0, 1, 2]),
    ],
)
def test_spectra_are_their_formulas(kind, parameters, expected):
    np.testing.assert_allclose(spectrum(kind, 4, **parameters), expected, rtol=1e-15)


def test_an_array_is_copied():
    given = np.ones(3)
    spectrum(given)[0] = 5
    assert given[0] == 1


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        (("flat", 4), {}, "spectrum must be one of 'isotropic', .* got 'flat'"),
        (("power",), {}, "n_features must be given for the 'power' spectrum"),
        (("power", 0), {}, "n_features must be at least 1, got 0"),
        (("power", 4), {"rate": 1}, "rate is not a parameter of the 'power' spectrum"),
        (("power", 4), {"exponent": -1}, "exponent must be at least 0, got -1"),
        (("isotropic", 4), {"scale": 0}, "scale must be above 0, got 0"),
        (("isotropic", 4), {"scale": np.inf}, "scale must be finite, got inf"),
        (("spiked", 4), {"n_spikes": 5}, r"n_spikes must be in \[0, 4\], got 5"),
        (("staircase", 4), {"sizes": [4]}, "levels must be given"),
        (("staircase", 4), {"sizes": [2, 1], "levels": [1, 2]}, "add up to n_features=4, got 3"),
        (("staircase",), {"sizes": [2, 1], "levels": [1]}, "levels must have length 2"),
        (("staircase",), {"sizes": [2], "levels": [0]}, "levels must have a positive value"),
        (([1, 2, 3], 4), {}, "spectrum must have length 4 .*, got length 3"),
        (([1, 2, 3],), {"scale": 2}, "scale is for a spectrum with a name"),
        (([1, -2],), {}, "spectrum must not be negative, got a value of -2"),
        (([0, 0],), {}, "spectrum must have a positive value, got only zeros"),
        (([1, np.nan],), {}, "spectrum must be finite"),
        (([],), {}, "spectrum must be one-dimensional and not empty"),
        (([[1, 2]],), {}, "spectrum must be one-dimensional"),
    ],
)
def test_wrong_spectra_are_named(arguments, parameters, message):
    with pytest.raises(ValueError, match=message):
        spectrum(*arguments, **parameters)


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        (("power", 4.0), {}, "n_features must be an integer, got 4.0"),
        (("power", True), {}, "n_features must be an integer, got True"),
        (("power", 4), {"exponent": "1"}, "exponent must be a number, got '1'"),
        (("staircase",), {"sizes": [2.5], "levels": [1]}, "sizes must be .* integers"),
        ((["a", "b"],), {}, "spectrum must be an array of numbers"),
    ],
)
def test_wrong_types_are_named(arguments, parameters, message):
    with pytest.raises(TypeError, match=message):
        spectrum(*arguments, **parameters)


STAIRS = spectrum("staircase", sizes=[30, 90, 280], levels=[1, 1e-3, 1e-6])


def test_effective_ranks_of_a_staircase():
    ranks = effective_ranks(STAIRS)
    # Sums over blocks by hand: (30 + .09 + .00028) / 1 and so on.
    assert ranks.r[0] == pytest.approx(30.09028, rel=1e-12)
    assert ranks.R[0] == pytest.approx(30.09028**2 / (30 + 90e-6 + 280e-12), rel=1e-12)
    assert ranks.r[30] == pytest.approx(90.28, rel=1e-12)
    assert ranks.R[30] == pytest.approx(90.5606, abs=1e-4)
    assert ranks.r[120] == pytest.approx(280, rel=1e-12)
    assert ranks.R[120] == pytest.approx(280, rel=1e-12)


@pytest.mark.parametrize(
    "values",
    [
        np.ones(7),
        STAIRS,
        spectrum("power", 300, exponent=1.5),
        spectrum("exponential", 400, rate=1.5),  # squares of the tail underflow
        spectrum("spiked", 50, n_spikes=3, height=1e8),
    ],
)
def test_ranks_are_ordered_and_do_not_depend_on_the_order(values):
    ranks = effective_ranks(values)
    assert (ranks.r <= ranks.R * (1 + 1e-12)).all()
    assert (ranks.r**2 * (1 + 1e-12) >= ranks.R).all()
    shuffled = effective_ranks(np.random.default_rng(0).permutation(values) * 1e6)
    np.testing.assert_allclose(shuffled.r, ranks.r, rtol=1e-12)
    np.testing.assert_allclose(shuffled.R, ranks.R, rtol=1e-12)


def test_isotropic_ranks_are_the_dimension():
    ranks = effective_ranks(np.r_[np.full(9, 0.3), 0.0])  # a zero is no dimension
    np.testing.assert_allclose(ranks.r, np.arange(9, 0, -1), rtol=1e-14)
    np.testing.assert_allclose(ranks.R, np.arange(9, 0, -1), rtol=1e-14)


def test_k_star_and_the_order_of_the_variance():
    ranks = effective_ranks(STAIRS, n_samples=40)
    assert ranks.k_star == 30
    assert ranks.variance_order == pytest.approx(30 / 40 + 40 / ranks.R[30], rel=1e-14)
    assert effective_ranks(STAIRS, n_samples=20).k_star == 0
    # r_1 = 29.09 and falls to 1.003 at k = 29: with b = 5, 200 first fits below 280 at k = 120.
    assert effective_ranks(STAIRS, n_samples=40, threshold=5).k_star == 120
    none = effective_ranks(STAIRS, n_samples=400)
    assert none.k_star is None
    assert none.variance_order == np.inf
    assert effective_ranks(STAIRS).k_star is None
    assert effective_ranks(STAIRS).variance_order is None
    with pytest.raises(ValueError, match="threshold must be above 0"):
        effective_ranks(STAIRS, n_samples=4, threshold=0)
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        effective_ranks(STAIRS, n_samples=0)
