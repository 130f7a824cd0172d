"""Kernels of distances against formulas written with differences, and scikit-learn."""

import functools
import math

import numpy as np
import pytest
import sklearn
import torch
from scipy.spatial.distance import cdist
from sklearn.gaussian_process.kernels import Matern
from sklearn.metrics.pairwise import laplacian_kernel, rbf_kernel

import skoverparam
from skoverparam.kernels import gaussian, generalized_exponential, laplace, matern
from skoverparam.kernels._radial import RadialKernel

L = 1.7
MATERN = [0.5, 1.5, 2.5, 3.5, 6.5, 10.5, math.inf]
CASES = [
    (functools.partial(laplace, bandwidth=L), lambda X, Z: np.exp(-cdist(X, Z) / L)),
    (functools.partial(gaussian, bandwidth=L), lambda X, Z: rbf_kernel(X, Z, 0.5 / L**2)),
    (
        functools.partial(generalized_exponential, bandwidth=L, p_norm=1.0),
        lambda X, Z: laplacian_kernel(X, Z, 1 / L),
    ),
    (
        functools.partial(generalized_exponential, bandwidth=L, exponent=0.7, p_norm=1.3),
        lambda X, Z: np.exp(-((cdist(X, Z, "minkowski", p=1.3) / L) ** 0.7)),
    ),
    (
        functools.partial(generalized_exponential, bandwidth=L, exponent=2.0),
        lambda X, Z: np.exp(-((cdist(X, Z) / L) ** 2)),
    ),
]
CASES += [
    (functools.partial(matern, bandwidth=L, nu=nu), lambda X, Z, nu=nu: Matern(L, nu=nu)(X, Z))
    for nu in MATERN
]


def draw(n, d, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


# 3 features: differences; 40: products. 400 rows are more than two tiles.
@pytest.mark.parametrize("d", [1, 3, 40])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_values(case, d):
    kernel, reference = CASES[case]
    X, Z = draw(400, d), draw(190, d, seed=1)
    # The general Matern formula of scikit-learn, with Bessel functions, is good to 1e-13.
    np.testing.assert_allclose(kernel(X, Z), reference(X, Z), rtol=1e-12, atol=1e-14)
    K = kernel(X)
    np.testing.assert_allclose(K, kernel(X, X), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(K, K.T)
    np.testing.assert_array_equal(np.diag(K), 1.0)


def test_rows_of_several_panels_of_products():
    # Products are made for 8 tiles of 181 rows at a time.
    X = draw(1700, 20)
    np.testing.assert_allclose(laplace(X, bandwidth=5), np.exp(-cdist(X, X) / 5), atol=1e-14)


@pytest.mark.parametrize("d", [5, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_close_points_far_from_the_origin(d, dtype):
    # Inner products of such rows have lost every digit of distances below 1e-2 in float32.
    X = (draw(100, d) + 1000).astype(dtype)
    step = np.spacing(dtype(1000)) * 4
    Z = X.copy()
    Z[:, 0] += step
    expected = np.exp(-cdist(X.astype(float), Z.astype(float)) * 50 / d)
    K = laplace(X, Z, bandwidth=d / 50)
    assert K.dtype == dtype
    # Values of pairs that are close are right to rounding of the kernel, not of the products.
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(np.diag(K), np.diag(expected), rtol=1e-3 * step, atol=4 * eps)
    np.testing.assert_allclose(K, expected, atol=2e3 * eps)
    np.testing.assert_array_equal(np.diag(laplace(X, X)), 1.0)


def test_an_offset_changes_nothing():
    X = draw(200, 30)
    np.testing.assert_allclose(laplace(X + 1e4), laplace(X), atol=1e-10)


@pytest.mark.parametrize("d", [2, 40])
def test_extreme_numbers(d):
    X = np.zeros((4, d))
    X[1], X[2], X[3] = 1e300, -1e300, 1e-300
    for kernel in (laplace, gaussian, matern, generalized_exponential):
        K = kernel(X)
        expected = np.eye(4)
        expected[0, 3] = expected[3, 0] = 1.0
        np.testing.assert_array_equal(K, expected)
    np.testing.assert_allclose(laplace(X, bandwidth=1e300)[0, 1], np.exp(-np.sqrt(d)), rtol=1e-12)


@pytest.mark.parametrize("d", [5, 30])
def test_one_point_far_away_takes_no_digits_of_the_others(d):
    X = draw(60, d)
    X[-1] = 1e12
    np.testing.assert_allclose(laplace(X)[:-1, :-1], laplace(X[:-1]), atol=1e-14)


def test_positive_definite():
    X = draw(150, 4)
    for kernel, _ in CASES:
        # Noise of eigenvalues at n times the machine precision.
        assert np.linalg.eigvalsh(kernel(X)).min() > -150 * 2.3e-16


def test_into_a_part_of_a_larger_matrix():
    X, Z = torch.tensor(draw(30, 20)), torch.tensor(draw(20, 20, seed=1))
    kernel = RadialKernel("matern", 2.0, nu=2.5)
    room = torch.full((60, 60), -1.0, dtype=torch.float64)
    kernel.into(X, Z, room[10:40, 10:30])
    torch.testing.assert_close(room[10:40, 10:30], kernel(X, Z), rtol=0, atol=0)
    room[10:40, 10:30] = -1
    assert bool((room == -1).all())
    torch.testing.assert_close(kernel.diagonal(X), kernel(X).diagonal(), rtol=0, atol=0)


def test_points_without_features_or_rows():
    assert laplace(np.empty((3, 0))).tolist() == np.ones((3, 3)).tolist()
    assert laplace(np.empty((0, 2)), np.ones((4, 2))).shape == (0, 4)
    assert gaussian(np.ones((4, 30)), np.empty((0, 30))).shape == (4, 0)


def test_kinds_and_precision():
    X = draw(5, 3)
    assert isinstance(laplace(torch.tensor(X)), torch.Tensor)
    assert laplace(X.astype(np.float32)).dtype == np.float32
    assert laplace(X.astype(np.float32), X).dtype == np.float64
    assert laplace([[0, 1], [1, 0]]).dtype == np.float64
    with sklearn.config_context(array_api_dispatch=False):
        np.testing.assert_array_equal(laplace(torch.tensor(X)).numpy(), laplace(X))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda X: laplace(X, bandwidth=0), ValueError, "bandwidth must be positive"),
        (lambda X: laplace(X, bandwidth=math.inf), ValueError, "bandwidth must be positive"),
        (lambda X: laplace(X, bandwidth="1"), TypeError, "bandwidth must be a number"),
        (lambda X: laplace(X, bandwidth=True), TypeError, "bandwidth must be a number"),
        (lambda X: matern(X, nu=1.0), ValueError, "nu must be a half-integer"),
        (lambda X: matern(X, nu=11.5), ValueError, "nu must be a half-integer"),
        (lambda X: matern(X, nu=None), TypeError, "nu must be a number"),
        (lambda X: generalized_exponential(X, p_norm=3), ValueError, "p_norm"),
        (lambda X: generalized_exponential(X, exponent=1.5, p_norm=1), ValueError, "exponent"),
        (lambda X: laplace(X, X[:, :1]), ValueError, "same number of features"),
        (lambda X: laplace(X[0]), ValueError, "two axes"),
        (lambda X: laplace(X * math.nan), ValueError, "finite"),
    ],
)
def test_bad_arguments(call, error, words):
    with pytest.raises(error, match=words):
        call(np.ones((3, 2)))


def test_unknown_profile():
    with pytest.raises(ValueError, match="profile must be one of"):
        RadialKernel("box")


def test_memory_budget():
    with (
        skoverparam.config_context(memory_budget=1e6),
        pytest.raises(MemoryError, match="1000 x 1000 pairs"),
    ):
        laplace(np.ones((1000, 2)))
