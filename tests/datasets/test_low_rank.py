"""Matrices with holes: the shares asked for, the rank, the noise, the structure of the holes."""

import numpy as np
import pytest

from skoverparam.datasets import make_low_rank_matrix_with_missing


def test_observed_entries_are_the_truth_and_its_rank_is_right():
    X, X_true, U, V = make_low_rank_matrix_with_missing(
        30, 20, rank=3, return_factors=True, random_state=0
    )
    np.testing.assert_array_equal(X[~np.isnan(X)], X_true[~np.isnan(X)])
    np.testing.assert_allclose(X_true, U @ V.T, rtol=0, atol=1e-14)
    assert np.linalg.matrix_rank(X_true) == 3
    assert np.isnan(X).sum() == 180  # 0.3 of 600


@pytest.mark.parametrize("mechanism", ["random", "uneven", "blocks"])
def test_entries_have_unit_variance_and_noise_the_one_asked_for(mechanism):
    X, X_true = make_low_rank_matrix_with_missing(
        800, 400, rank=40, noise=0.5, mechanism=mechanism, n_groups=200, random_state=0
    )
    # Each variance is a mean over at least 200 x 40 nearly independent squares: sd about .02.
    assert X_true.var() == pytest.approx(1, abs=0.1)
    assert np.nanstd(X - X_true) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("mechanism", "axis"), [("rows", 1), ("columns", 0)])
def test_whole_rows_or_columns_are_hidden(mechanism, axis):
    X, _ = make_low_rank_matrix_with_missing(
        20, 40, missing=0.25, mechanism=mechanism, random_state=0
    )
    hidden = np.isnan(X)
    assert hidden.all(axis=axis).mean() == 0.25
    assert hidden.mean() == 0.25


def test_blocks_hide_a_column_for_a_whole_group():
    X, _ = make_low_rank_matrix_with_missing(
        40, 30, mechanism="blocks", n_groups=4, missing=0.2, random_state=0
    )
    blocks = np.isnan(X).reshape(4, 10, 30)
    assert (blocks.all(axis=1) == blocks.any(axis=1)).all()
    assert blocks.any(axis=1).sum() == 24  # 0.2 of 4 x 30


def test_rows_of_a_group_resemble_each_other():
    _, X_true = make_low_rank_matrix_with_missing(
        200, 50, rank=20, mechanism="blocks", n_groups=20, random_state=0
    )
    unit = X_true / np.linalg.norm(X_true, axis=1, keepdims=True)
    cosines = unit @ unit.T
    same = np.equal.outer(np.arange(200) // 10, np.arange(200) // 10)
    np.fill_diagonal(same, False)
    assert cosines[same].mean() > cosines[~same].mean() + 0.3  # half the variance, less noise


def test_uneven_rows_differ_more_than_chance():
    def spread(mechanism):
        X, _ = make_low_rank_matrix_with_missing(
            200, 200, missing=0.8, mechanism=mechanism, random_state=0
        )
        assert np.isnan(X).mean() == 0.8
        return (~np.isnan(X)).sum(axis=1).std()

    # By chance sqrt(200 x .2 x .8) = 5.7.
    assert spread("random") < 7
    assert spread("uneven") > 15


def test_a_seed_gives_the_same_matrix_and_no_seed_another():
    first = make_low_rank_matrix_with_missing(random_state=3)
    again = make_low_rank_matrix_with_missing(random_state=3)
    other = make_low_rank_matrix_with_missing(random_state=4)
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[1], other[1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rank": 51}, "rank must be at most the smaller side, 50, got 51"),
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"missing": 1.0}, "missing must be below 1, got 1.0"),
        ({"noise": -1.0}, "noise must be at least 0, got -1.0"),
        ({"mechanism": "rowss"}, "mechanism must be one of 'random', .* got 'rowss'"),
        ({"mechanism": "blocks", "n_groups": 101}, "n_groups must be at most n_samples=100"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_low_rank_matrix_with_missing(**parameters)


@pytest.mark.parametrize("name", ["missing", "noise"])
def test_what_is_no_number_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be finite, got nan"):
        make_low_rank_matrix_with_missing(8, 6, rank=2, random_state=0, **{name: float("nan")})
