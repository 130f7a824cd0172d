"""Paths against separate decompositions for every size."""

import time

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.datasets import load_digits

import skoverparam
from skoverparam.linalg import minimum_norm, minimum_norm_path, minimum_norm_path_risk
from skoverparam.linalg._minimum_norm_path import solutions


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def part(X, Y, d, axis):
    return (X[:, :d], Y) if axis == "features" else (X[:d], Y[:d])


def compare(X, Y, *, axis="features", units=200.0):
    """Compare every solution with its own decomposition.

    Errors are held against the machine precision times the condition number, which is what two
    backward stable solvers may differ by, times some units.
    """
    path = minimum_norm_path(X, Y, axis=axis)
    eps = np.finfo(float).eps
    for k, d in enumerate(range(1, len(path.norms) + 1)):
        design, targets = part(X, Y, d, axis)
        one = minimum_norm(design, targets, rcond=eps * max(X.shape))
        assert path.rank[k] == one.rank, d
        coef = path.coef[k, : design.shape[1]]
        assert not path.coef[k, design.shape[1] :].any()
        condition = one.singular_values[0] / one.singular_values[one.rank - 1] if one.rank else 1
        allowed = units * eps * condition
        scale = np.linalg.norm(one.coef) or 1.0
        # Where targets are not met, the condition number counts squared, times the residual.
        left = np.linalg.norm(targets - design @ one.coef)
        if one.rank:
            allowed += units * eps * condition * left / (one.singular_values[one.rank - 1] * scale)
        assert np.linalg.norm(coef - one.coef) <= allowed * scale, d
        np.testing.assert_allclose(path.norms[k], np.linalg.norm(coef, axis=0), rtol=1e-9)
        size = np.linalg.norm(targets) + one.singular_values[0] * scale
        left = np.linalg.norm(targets - design @ coef, axis=0)
        np.testing.assert_allclose(path.residuals[k], left, atol=100 * eps * size, rtol=0)
    return path


@pytest.mark.parametrize("axis", ["features", "samples"])
@pytest.mark.parametrize(("n", "D"), [(20, 60), (60, 20), (25, 25), (1, 9), (9, 1), (110, 230)])
def test_gaussian_designs(axis, n, D):
    compare(gaussian(n, D), gaussian(n, 2, seed=1), axis=axis)


@pytest.mark.parametrize("seed", range(3))
def test_relative_error_beside_the_threshold(seed):
    n, D = 40, 120
    X, y = gaussian(n, D, seed=seed), gaussian(n, seed=seed + 10)
    path = minimum_norm_path(X, y)
    for d in range(1, D + 1):
        if abs(d - n) >= 2:
            expected = np.linalg.pinv(X[:, :d]) @ y
            error = np.linalg.norm(path.coef[d - 1, :d] - expected)
            assert error <= 1e-8 * np.linalg.norm(expected)


def test_a_staircase_of_variances():
    scales = np.repeat([1.0, 1e1**1.5, 1e3], [50, 50, 60])
    path = compare(gaussian(20, 160) * scales, gaussian(20, seed=1))
    assert (path.rank == np.minimum(np.arange(1, 161), 20)).all()


@pytest.mark.parametrize("smallest", [1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("axis", ["features", "samples"])
def test_through_a_threshold_that_is_almost_singular(smallest, axis):
    # What comes after is well conditioned and must not inherit the errors of the threshold.
    square, after = gaussian(30, 30), gaussian(30, 60, seed=1)
    U, S, Vt = np.linalg.svd(square)
    S[-3:] = smallest
    X = np.hstack([U * S @ Vt, after])
    X = X if axis == "features" else X.T
    path = compare(X, gaussian(len(X), 2, seed=2), axis=axis)
    assert path.coef.shape[0] == 90


@pytest.mark.parametrize("axis", ["features", "samples"])
def test_dependent_lines(axis):
    # Repeated, zero and centered ones: directions open late, or never.
    X = np.hstack([gaussian(30, 10).repeat(3, axis=1), gaussian(30, 40, seed=1)])
    X[:, [0, 5, 33]] = 0
    X -= X.mean(axis=0)
    X = X if axis == "features" else X.T
    path = compare(X, gaussian(len(X), 2, seed=2), axis=axis)
    assert path.rank[0] == 0
    assert path.rank[-1] == 29


@pytest.mark.parametrize("axis", ["features", "samples"])
def test_pixels(axis):
    X = load_digits().data[:70]
    compare(X, gaussian(70, 1, seed=2), axis=axis, units=1000)


@pytest.mark.parametrize("axis", ["features", "samples"])
def test_some_sizes_only(axis):
    X, y = gaussian(50, 300) if axis == "features" else gaussian(300, 50), None
    y = gaussian(len(X), seed=1)
    whole = minimum_norm_path(X, y, axis=axis)
    # Some of them far from the one before, and others next to one that is.
    dims = [1, 49, 50, 51, 177, 178, 181, 299, 300]
    some = minimum_norm_path(X, y, dims, axis=axis)
    for values, all_values in zip(some, whole, strict=True):
        expected = all_values[[d - 1 for d in dims]]
        np.testing.assert_allclose(values, expected, atol=1e-10 * np.abs(expected).max())


@pytest.mark.parametrize("axis", ["features", "samples"])
@pytest.mark.parametrize("rcond", [1e-9, 0.05, 0.4])
def test_a_cut_off_is_that_of_every_size(axis, rcond):
    # Singular values on both sides of the cut-off; what one size cuts off, the next may need.
    X = gaussian(15, 40) * np.geomspace(1, 1e-7, 15)[:, None]
    Y = gaussian(15, 2, seed=1)
    X, Y = (X, Y) if axis == "features" else (X.T, gaussian(40, 2, seed=1))
    path = minimum_norm_path(X, Y, axis=axis, rcond=rcond)
    for k, d in enumerate(range(1, 41)):
        design, targets = part(X, Y, d, axis)
        one = minimum_norm(design, targets, rcond=rcond)
        assert path.rank[k] == one.rank
        # Condition numbers of what is left are up to 1e7.
        scale = np.abs(one.coef).max()
        coef = path.coef[k, : design.shape[1]]
        np.testing.assert_allclose(coef, one.coef, rtol=0, atol=1e-7 * scale)
        left = np.linalg.norm(targets - design @ one.coef, axis=0)
        np.testing.assert_allclose(path.residuals[k], left, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("axis", ["features", "samples"])
def test_a_target_alone_and_among_others(axis):
    X, Y = gaussian(15, 25), gaussian(15, 3, seed=1)
    together = minimum_norm_path(X, Y, axis=axis)
    alone = minimum_norm_path(X, Y[:, 1], axis=axis)
    assert alone.coef.shape == together.coef.shape[:2]
    np.testing.assert_allclose(alone.coef, together.coef[..., 1], atol=1e-11)
    np.testing.assert_allclose(alone.norms, together.norms[:, 1], rtol=1e-11)


def test_many_targets_shorten_the_blocks_and_change_nothing():
    X, Y = gaussian(30, 120), gaussian(30, 4000, seed=1)
    dims = list(range(20, 60, 3))
    path = minimum_norm_path(X, Y, dims)
    few = minimum_norm_path(X, Y[:, :2], dims)
    np.testing.assert_allclose(path.coef[..., :2], few.coef, atol=1e-9)


@pytest.mark.parametrize("axis", ["features", "samples"])
def test_risk_is_that_of_the_solutions(axis):
    X, Y, X_test, Y_test = (
        gaussian(*shape, seed=k) for k, shape in enumerate([(30, 90), (30, 2), (50, 90), (50, 2)])
    )
    path = minimum_norm_path(X, Y, axis=axis)
    risk = minimum_norm_path_risk(X, Y, X_test, Y_test, axis=axis)
    expected = np.square(np.einsum("ij,kjt->kit", X_test, path.coef) - Y_test).mean(axis=1)
    np.testing.assert_allclose(risk.risk, expected, rtol=1e-8)
    np.testing.assert_allclose(risk.norms, path.norms, rtol=1e-10)
    np.testing.assert_array_equal(risk.rank, path.rank)


def test_excess_risk_is_the_one_of_the_exact_formula():
    # Isotropic: t + s2 d / (n - d - 1) below, and the closed form above the threshold; over 150
    # draws the standard error away from the threshold is some percent.
    n, D, noise = 20, 60, 0.5
    beta = np.full(D, D**-0.5)
    dims = [5, 10, 40, 60]
    risks = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, D))
        y = X @ beta + noise * rng.normal(size=n)
        risks.append(D * minimum_norm_path_risk(X, y, np.eye(D), beta, dims).risk)
    mean, error = np.mean(risks, axis=0), np.std(risks, axis=0) / np.sqrt(150)
    for d, value, standard_error in zip(dims, mean, error, strict=True):
        left = 1 - d / D
        variance = noise**2 + left
        if d < n:
            exact = left + variance * d / (n - d - 1)
        else:
            exact = left + d / D * (1 - n / d) + variance * n / (d - n - 1)
        assert abs(value - exact) < 4 * standard_error


def test_risk_never_falls_below_the_threshold_of_pure_noise():
    # For each draw, whatever the features: their number can only add to the variance.
    X = np.random.default_rng(0).exponential(size=(20, 18))
    variance = np.zeros(18)
    for column in np.eye(20):
        path = minimum_norm_path(X, column)
        variance += np.square(path.coef).sum(axis=1)  # isotropic test points
    assert (np.diff(variance) > -1e-12).all()


def test_results_in_kind_and_precision(device):
    X, y = gaussian(12, 30), gaussian(12, seed=1)
    expected = minimum_norm_path(X, y)
    path = minimum_norm_path(torch.tensor(X, device=device), torch.tensor(y, device=device))
    assert path.coef.device.type == device.type
    np.testing.assert_allclose(path.coef.cpu().numpy(), expected.coef, atol=1e-10)
    single = minimum_norm_path(X.astype(np.float32), y)
    assert single.coef.dtype == np.float32
    assert single.rank.dtype == np.int64


def test_few_decompositions_are_enough():
    X, y = torch.tensor(gaussian(40, 400)), torch.tensor(gaussian(40, 1, seed=1))
    parts = list(solutions(X, y, list(range(1, 401)), rcond=1e-13))
    assert len(parts) <= 10


@pytest.mark.slow
def test_much_faster_than_a_loop():
    X, Y = gaussian(100, 500), gaussian(100, 5, seed=1)
    start = time.perf_counter()
    path = minimum_norm_path(X, Y)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    loop = [scipy.linalg.lstsq(X[:, :d], Y)[0] for d in range(1, 501)]
    theirs = time.perf_counter() - start
    np.testing.assert_allclose(path.coef[-1], loop[-1], atol=1e-12)
    # Measured at 30 times and more (benchmarks); far from that something is broken.
    assert theirs > 4 * ours


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dims": [0, 1]}, "dims must be integers from 1 to 5, the number of features"),
        ({"dims": [3, 2]}, "strictly ascending"),
        ({"dims": [1.5]}, "dims must be integers"),
        ({"dims": []}, "dims must be integers"),
        ({"dims": [4], "axis": "samples"}, "dims must be integers from 1 to 3, .* of samples"),
        ({"axis": "rows"}, "axis must be one of 'features', 'samples'; got 'rows'"),
        ({"Y": np.ones(4)}, "Y must have one or two dimensions and 3 rows like X"),
        ({"rcond": -1.0}, "rcond == -1.0, must be >= 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    good = {"X": gaussian(3, 5), "Y": np.ones(3)}
    with pytest.raises(ValueError, match=message):
        minimum_norm_path(**(good | arguments))


def test_test_points_must_fit():
    X, y = gaussian(3, 5), np.ones(3)
    with pytest.raises(ValueError, match=r"X_test and Y_test must have the columns of X and Y"):
        minimum_norm_path_risk(X, y, gaussian(2, 4), np.ones(2))


def test_above_the_memory_budget_nothing_is_allocated():
    with (
        skoverparam.config_context(memory_budget=10_000),
        pytest.raises(MemoryError, match="minimum_norm_path_risk stores no solutions"),
    ):
        minimum_norm_path(gaussian(10, 100), np.ones(10))


@pytest.mark.parametrize("smallest", [1e-1, 1e-3, 1e-5])
def test_a_nearly_dependent_column_does_not_lend_its_errors_a_direction(smallest):
    """What is left of a column in an exhausted space is how much that space is tilted."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8, 12))
    X -= X.mean(0)  # seven directions
    X[:, 6] = X[:, :6] @ rng.normal(size=6) + smallest * X[:, 6]
    y = X.sum(1) + 0.1 * rng.normal(size=8)
    y -= y.mean()
    path = minimum_norm_path(X, y)
    assert path.rank.tolist() == [min(k, 7) for k in range(1, 13)]
    for k in range(7, 13):
        expected = np.linalg.lstsq(X[:, :k], y, rcond=1e-13)[0]
        np.testing.assert_allclose(
            path.coef[k - 1, :k],
            expected,
            rtol=0,
            atol=1e-13 / smallest**2 * np.abs(expected).max(),
        )
