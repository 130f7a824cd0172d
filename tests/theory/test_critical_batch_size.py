"""Best steps against a search, special spectra by hand, kernels against designs."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from skoverparam.theory import critical_batch_size


def worst_rate(eta, m, beta, lam):
    return (1 - 2 * eta * lam + eta**2 * (beta / m * lam + (m - 1) / m * lam**2)).max()


@pytest.fixture(scope="module")
def design():
    return np.random.default_rng(0).standard_normal((400, 30)) / np.sqrt(np.arange(1, 31))


@pytest.mark.parametrize("m", [1, 2, 12, 13, 14, 50, 400])
def test_no_step_is_better_than_the_best_one(design, m):
    lam = np.linalg.eigvalsh(design.T @ design / 400)
    beta = (design**2).sum(1).max()
    found = critical_batch_size(design, batch_sizes=m)
    searched = minimize_scalar(
        worst_rate, bounds=(0, 3), args=(m, beta, lam), method="bounded", options={"xatol": 1e-12}
    )
    # The search is good to about the square root of the machine precision.
    assert found.step_sizes[0] == pytest.approx(searched.x, rel=1e-6)
    assert found.rates[0] == pytest.approx(searched.fun, abs=1e-9)
    assert found.rates[0] == pytest.approx(
        worst_rate(found.step_sizes[0], m, beta, lam), abs=1e-14
    )


def test_published_problem_has_its_published_constants(design):
    sgd = critical_batch_size(design)
    assert sgd.critical_batch_size == pytest.approx(13.0, abs=0.05)
    assert sgd.max_squared_norm == pytest.approx(12.64, abs=0.005)
    assert sgd.largest_eigenvalue == pytest.approx(1.079, abs=5e-4)
    assert sgd.smallest_eigenvalue == pytest.approx(0.0254, abs=5e-5)
    assert sgd.batch_sizes.tolist() == [1, 2, 4, 8, 16, 32, 64, 128]


def test_both_sides_agree_on_the_critical_batch_size():
    # beta = 4, eigenvalues 2 and 1: the critical batch size is the integer 5.
    sgd = critical_batch_size(eigenvalues=[1, 2], max_squared_norm=4, batch_sizes=[5])
    assert sgd.critical_batch_size == 5
    assert sgd.step_sizes[0] == pytest.approx(5 / 8)
    assert 2 * 5 / (4 + 4 * 3) == 5 / 8  # the formula of the other side
    assert sgd.rates[0] == pytest.approx(1 - 5 / 8)
    assert 4 * 5 * 4 * 2 / 16**2 == 5 / 8


def test_large_batches_come_to_the_rate_of_gradient_descent():
    sgd = critical_batch_size(eigenvalues=[1, 3], max_squared_norm=10, batch_sizes=[10**9])
    assert sgd.step_sizes[0] == pytest.approx(2 / (1 + 3), rel=1e-6)
    # The rate of the squared error is the square of (kappa - 1) / (kappa + 1).
    assert sgd.rates[0] == pytest.approx(((3 - 1) / (3 + 1)) ** 2, rel=1e-6)


def test_equal_eigenvalues_scale_without_end():
    sgd = critical_batch_size(np.sqrt(6) * np.eye(6), batch_sizes=[1, 10, 1000])
    assert sgd.critical_batch_size == np.inf
    np.testing.assert_allclose(sgd.rates, [1 - 1 / 6, 1 - 10 / 15, 1 - 1000 / 1005], rtol=1e-12)


def test_kernel_matrix_eigenvalues_and_design_agree(design):
    m = [1, 7, 30]
    X = design[:20]  # more features than samples: H has zeros, which do not count
    first = critical_batch_size(X, batch_sizes=m)
    kernel = critical_batch_size(kernel_matrix=X @ X.T, batch_sizes=m)
    listed = critical_batch_size(
        eigenvalues=np.linalg.eigvalsh(X.T @ X / 20).clip(0),
        max_squared_norm=first.max_squared_norm,
        batch_sizes=m,
    )
    for other in (kernel, listed):
        # Forming X X' costs half the digits of small eigenvalues, not more.
        for one, two in zip(first, other, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-8)


def test_equal_norms_make_it_about_the_effective_rank():
    # All rows on the unit sphere, smallest eigenvalue negligible: m* - 1 = trace(H) / largest.
    X = np.random.default_rng(1).standard_normal((500, 40)) / np.arange(1, 41) ** 3
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    sgd = critical_batch_size(X)
    assert sgd.critical_batch_size - 1 == pytest.approx(1 / sgd.largest_eigenvalue, rel=1e-3)


def test_small_eigenvalues_can_be_left_out():
    lam = [1.0, 0.5, 1e-9]
    assert critical_batch_size(
        eigenvalues=lam, max_squared_norm=2, rcond=1e-6
    ).smallest_eigenvalue == pytest.approx(0.5)
    assert critical_batch_size(
        eigenvalues=lam, max_squared_norm=2
    ).smallest_eigenvalue == pytest.approx(1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "Give exactly one .* got none of them"),
        ({"X": np.eye(2), "eigenvalues": [1]}, "got X and eigenvalues"),
        ({"X": np.ones(3)}, "X must be two-dimensional and not empty, got shape"),
        ({"X": np.zeros((2, 2))}, "X must have a value other than zero"),
        ({"X": [[np.nan]]}, "X must be finite"),
        ({"X": np.eye(2), "batch_sizes": [0]}, "batch_sizes must be at least 1, got 0"),
        ({"X": np.eye(2), "rcond": 1.0}, "rcond must be below 1"),
        ({"X": np.eye(2), "max_squared_norm": 0.5}, "max_squared_norm must be at least the"),
        ({"eigenvalues": [1, 2]}, "max_squared_norm must be given with eigenvalues"),
        ({"eigenvalues": [1, 2], "max_squared_norm": 2.5}, "at least the sum of the eigenvalues"),
        ({"eigenvalues": [1, -2], "max_squared_norm": 9}, "eigenvalues must not be negative"),
        ({"kernel_matrix": [[1, 2], [2, 1]]}, "kernel_matrix must be positive semidefinite"),
        ({"kernel_matrix": [[1, 0.5], [0.2, 1]]}, "kernel_matrix must be symmetric"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        critical_batch_size(**arguments)
