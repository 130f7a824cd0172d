"""Distinct points and distances without cancellation."""

import numpy as np
import pytest
import torch

from skoverparam.averages._intrinsic_dimension import dimension_of
from skoverparam.averages._points import Cloud, distinct_rows, merge, without_own
from skoverparam.averages._singular import search_all


def tensor(array):
    return torch.as_tensor(np.asarray(array), dtype=torch.float64)


@pytest.mark.parametrize("high", [2, 5, 1000])
def test_distinct_rows_are_those_of_numpy(high):
    rng = np.random.default_rng(0)
    X = rng.integers(0, high, size=(300, 4)).astype(float)
    X[::7] *= -0.0 if high == 2 else 1.0  # -0.0 equals 0.0
    found = distinct_rows(tensor(X))
    _, first, inverse = np.unique(X + 0.0, axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(found.first, np.sort(first))
    np.testing.assert_array_equal(X[found.first][found.group], X)
    assert len(np.unique(inverse)) == len(found.first)


def test_merge_averages_equal_rows():
    X = tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 2.0], [3.0, 0.0]])
    Y, weights = tensor([[1.0], [0.1], [4.0], [7.0]]), tensor([1.0, 1.0, 2.0, 1.0])
    merged = merge(X, Y, weights)
    np.testing.assert_array_equal(merged.X, X[[0, 1, 3]])
    np.testing.assert_allclose(merged.values[:, 0], [3.0, 0.1, 7.0], rtol=1e-15)
    np.testing.assert_array_equal(merged.mass, [3.0, 1.0, 1.0])
    without = without_own(merged, Y, weights, lambda: tensor([[9.0], [8.0], [6.0]]))
    np.testing.assert_allclose(without[:, 0], [4.0, 8.0, 1.0, 6.0], rtol=1e-15)


def test_equal_targets_come_back_to_the_last_digit():
    X, Y = tensor([[1.0]] * 3), tensor([[0.1]] * 3)
    assert float(merge(X, Y, tensor([0.3, 0.7, 0.1])).values[0, 0]) == 0.1


@pytest.mark.parametrize("d", [2, 40])
@pytest.mark.parametrize(
    ("scale", "offset"), [(1.0, 0.0), (1e-200, 0.0), (1e300, 0.0), (1e-5, 1e5)]
)
def test_distances_keep_their_digits(d, scale, offset):
    """Against differences in extended precision: 1e-10 of relative error, near pairs too."""
    rng = np.random.default_rng(0)
    X = offset + scale * rng.normal(size=(50, d))
    X[1] = X[0] + scale * 1e-7 * rng.normal(size=d)
    X[2] = X[0]
    cloud = Cloud(tensor(X))
    Q = cloud.queries(tensor(X))
    exact = np.longdouble(X)
    gaps = np.sqrt((((exact[:, None] - exact[None]) / scale) ** 2).sum(-1))
    logs = np.log(gaps, out=np.full(gaps.shape, -np.inf, gaps.dtype), where=gaps > 0)
    expected = logs.astype(float) + cloud.log_length(1.0) + np.log(scale)
    for found in (
        cloud.log_distances(Q),
        cloud.log_distances_at(Q, torch.arange(50).expand(50, -1)),
    ):
        found = found.numpy()
        assert np.array_equal(np.isinf(found), gaps == 0)
        known = gaps > 0
        np.testing.assert_allclose(found[known], expected[known], rtol=0, atol=1e-9)


def test_queries_far_away_are_equally_far_from_all():
    cloud = Cloud(tensor([[0.0, 0.0], [1.0, 3.0], [2.0, 1.0]]))
    logs = cloud.log_distances(cloud.queries(tensor([[1e300, -1e200]])))
    assert torch.isfinite(logs).all()
    assert float(logs.max() - logs.min()) < 1e-15


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_intrinsic_dimension_of_a_plane(dimension):
    """The estimate from n k ratios has a standard error of d / sqrt(n k), and some bias."""
    rng = np.random.default_rng(dimension)
    axes = np.linalg.qr(rng.normal(size=(10, dimension)))[0]
    X = rng.uniform(size=(2000, dimension)) @ axes.T
    cloud = Cloud(tensor(X))
    found = dimension_of(cloud, lambda Q, count: search_all(cloud, Q, count))
    assert abs(found - dimension) < 0.15 * dimension


@pytest.mark.parametrize("X", [[[0.0]], [[0.0], [1.0]], np.eye(6)])
def test_intrinsic_dimension_stays_between_one_and_the_features(X):
    cloud = Cloud(tensor(X))
    found = dimension_of(cloud, lambda Q, count: search_all(cloud, Q, count))
    assert 1.0 <= found <= np.shape(X)[1]
