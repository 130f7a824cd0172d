"""Two clusters: their means, their noise, their labels."""

import numpy as np
import pytest

from skoverparam.datasets import make_subgaussian_mixture


@pytest.mark.parametrize("noise", ["gaussian", "rademacher", "uniform"])
def test_clusters_have_the_means_and_variances_asked_for(noise):
    lam, mu = np.array([4.0, 1.0, 0.25]), np.array([1.0, -2.0, 0.0])
    X, y, truth = make_subgaussian_mixture(
        20_000, 3, mean=mu, spectrum=lam, noise=noise, return_truth=True, random_state=0
    )
    np.testing.assert_array_equal(truth.mean, mu)
    np.testing.assert_array_equal(truth.variances, lam)
    np.testing.assert_array_equal(truth.y, y)
    assert set(y) == {-1, 1}
    assert y.mean() == pytest.approx(0, abs=5 / np.sqrt(20_000))
    q = X - y[:, None] * mu
    assert (np.abs(q.mean(axis=0)) < 5 * np.sqrt(lam / 20_000)).all()
    np.testing.assert_allclose(q.var(axis=0), lam, rtol=0.05)  # 5 sqrt(2 / 20000)
    bounds = {"gaussian": np.inf, "rademacher": 1.0, "uniform": np.sqrt(3)}
    assert (np.abs(q) <= bounds[noise] * np.sqrt(lam) + 1e-12).all()


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("first", [2, 0, 0, 0]), ("last", [0, 0, 0, 2]), ("flat", [1, 1, 1, 1])],
)
def test_directions(direction, expected):
    *_, truth = make_subgaussian_mixture(
        2, 4, mean=2.0, direction=direction, return_truth=True, random_state=0
    )
    np.testing.assert_array_equal(truth.mean, expected)


def test_a_random_direction_keeps_the_norm():
    means = [
        make_subgaussian_mixture(
            2, 9, mean=2.0, direction="random", return_truth=True, random_state=seed
        )[2].mean
        for seed in (0, 1)
    ]
    np.testing.assert_allclose(np.linalg.norm(means, axis=1), 2)
    assert abs(means[0] @ means[1]) < 3.9


def test_flips_are_counted():
    _, y, truth = make_subgaussian_mixture(50, 10, flip=0.13, return_truth=True, random_state=0)
    assert (y != truth.y).sum() == 6  # 6.5, to even
    one = make_subgaussian_mixture(50, 10, flip=0.13, random_state=0)
    np.testing.assert_array_equal(one[1], y)
    np.testing.assert_array_equal(make_subgaussian_mixture(50, 10, random_state=0)[0], one[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "n_samples must be at least 1, got 0"),
        ({"n_features": 0}, "n_features must be at least 1, got 0"),
        ({"mean": -1.0}, "mean must be at least 0, got -1.0"),
        ({"mean": [1, 2]}, "mean must have length 1000 .n_features., got length 2"),
        ({"direction": "up"}, "direction must be one of 'first'"),
        ({"noise": "cauchy"}, "noise must be one of 'gaussian'"),
        ({"flip": 0.5}, "flip must be below 0.5, got 0.5"),
        ({"spectrum": [1, 2]}, "spectrum must have length 1000 .* got length 2"),
    ],
)
def test_wrong_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        make_subgaussian_mixture(**{"random_state": 0, **parameters})
