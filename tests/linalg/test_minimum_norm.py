"""Minimum-norm solutions against pseudoinverses, and what is said about them."""

import numpy as np
import pytest
import torch

from skoverparam.linalg import minimum_norm


def gaussian(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def with_spectrum(values, n, d, seed=0):
    """A design of given singular values."""
    U = np.linalg.qr(gaussian(n, len(values), seed=seed))[0]
    V = np.linalg.qr(gaussian(d, len(values), seed=seed + 1))[0]
    return U * values @ V.T


@pytest.mark.parametrize("solver", ["svd", "cod", "gram"])
@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (30, 30), (30, 35), (1, 4), (4, 1)])
def test_equals_the_pseudoinverse(solver, shape):
    X, Y = gaussian(*shape), gaussian(shape[0], 3, seed=1)
    result = minimum_norm(X, Y, solver=solver)
    expected = np.linalg.pinv(X) @ Y
    # Condition numbers up to a few hundred: eps times these, squared for the Gram matrix.
    atol = (1e-8 if solver == "gram" else 1e-10) * np.abs(expected).max()
    np.testing.assert_allclose(result.coef, expected, rtol=0, atol=atol)
    assert result.rank == min(shape)
    np.testing.assert_allclose(result.norm, np.linalg.norm(result.coef, axis=0), rtol=1e-12)
    if solver == "cod":
        assert result.singular_values is None
    else:
        np.testing.assert_allclose(
            result.singular_values, np.linalg.svd(X, compute_uv=False), rtol=1e-8
        )


@pytest.mark.parametrize("solver", ["svd", "cod", "gram"])
def test_interpolates_with_the_smallest_norm(solver):
    X, y = gaussian(15, 40), gaussian(15, seed=1)
    result = minimum_norm(X, y, solver=solver)
    np.testing.assert_allclose(X @ result.coef, y, atol=1e-11)
    assert result.residual < 1e-11
    # Any other interpolant differs by a null vector, which is orthogonal.
    null = np.linalg.svd(X)[2][15:]
    np.testing.assert_allclose(null @ result.coef, 0, atol=1e-11)
    for row in null:
        assert np.linalg.norm(result.coef + 0.1 * row) > result.norm


@pytest.mark.parametrize("solver", ["svd", "cod"])
@pytest.mark.parametrize("rank", [0, 1, 7])
def test_deficient_rank(solver, rank):
    X, y = gaussian(12, rank) @ gaussian(rank, 20, seed=1), gaussian(12, seed=2)
    result = minimum_norm(X, y, solver=solver)
    assert result.rank == rank
    np.testing.assert_allclose(result.coef, np.linalg.pinv(X, rcond=1e-12) @ y, atol=1e-12)
    left = y - X @ result.coef
    assert result.residual == pytest.approx(np.linalg.norm(left) / np.linalg.norm(y), rel=1e-12)


@pytest.mark.parametrize(("smallest", "bound"), [(1e-8, 1e-8), (1e-12, 1e-4)])
@pytest.mark.parametrize("seed", range(5))
def test_ill_conditioned_designs_are_interpolated(smallest, bound, seed):
    X = with_spectrum(np.geomspace(1, smallest, 40), 40, 120, seed=seed)
    y = gaussian(40, seed=seed + 100)
    result = minimum_norm(X, y)
    left = np.linalg.norm(y - X @ result.coef) / np.linalg.norm(y)
    # The limit is eps ||X|| ||w||, and ||w|| is about ||y|| over the smallest singular value.
    assert left < bound
    # At this size it is made of rounding errors, also those of its computation.
    assert left / 2 < result.residual < 2 * left
    assert result.rank == 40
    assert result.rcond == 120 * np.finfo(float).eps


def test_the_cut_off_is_explicit():
    X = with_spectrum(np.geomspace(1, 1e-8, 9), 9, 30)
    y = gaussian(9, seed=3)
    for rcond, rank in ((None, 9), (1e-4 / 2, 5), (0.5, 1)):
        result = minimum_norm(X, y, rcond=rcond)
        assert result.rank == rank
        U, S, Vt = np.linalg.svd(X, full_matrices=False)
        expected = Vt[:rank].T @ (U[:, :rank].T @ y / S[:rank])
        np.testing.assert_allclose(result.coef, expected, rtol=1e-6)
        assert result.rcond == (rcond or 30 * np.finfo(float).eps)
    assert minimum_norm(X, y, rcond=0.5).residual > 0.1


def test_the_gram_matrix_loses_half_of_the_digits_and_cuts_noise_off():
    X, y = with_spectrum(np.geomspace(1, 1e-12, 40), 40, 120), gaussian(40, seed=3)
    result = minimum_norm(X, y, solver="gram")
    assert 22 <= result.rank < 32
    assert np.isfinite(result.coef).all()


def test_weighted_norms():
    X, y = gaussian(8, 20), gaussian(8, seed=1)
    q = np.random.default_rng(2).uniform(0.5, 3, size=20)
    Q = gaussian(20, 20, seed=3)
    for weights, matrix in ((q, np.diag(q)), (Q, Q)):
        result = minimum_norm(X, y, weights=weights)
        inverse = np.linalg.inv(matrix)
        expected = inverse @ np.linalg.pinv(X @ inverse) @ y
        np.testing.assert_allclose(result.coef, expected, atol=1e-10)
        assert result.norm == pytest.approx(np.linalg.norm(matrix @ expected), rel=1e-10)
        np.testing.assert_allclose(X @ result.coef, y, atol=1e-10)
        # Least: stationary along every direction that keeps the interpolation.
        null = np.linalg.svd(X)[2][8:]
        np.testing.assert_allclose(null @ matrix.T @ matrix @ result.coef, 0, atol=1e-9)


def test_gradient_descent_from_zero_goes_to_the_same_solution():
    X, y = gaussian(10, 40), gaussian(10, seed=1)
    w = np.zeros(40)
    for _ in range(2000):
        w -= X.T @ (X @ w - y) / np.linalg.norm(X, 2) ** 2
    np.testing.assert_allclose(minimum_norm(X, y).coef, w, atol=1e-10)


def test_gradient_descent_stays_in_the_row_space_and_keeps_the_rest_of_its_start():
    X, y, start = gaussian(10, 40), gaussian(10, seed=1), gaussian(40, seed=2)
    null = np.linalg.svd(X)[2][10:]
    step = 1 / np.linalg.norm(X, 2) ** 2
    w, moved = np.zeros(40), start.copy()
    for _ in range(2000):
        w -= step * X.T @ (X @ w - y)
        moved -= step * X.T @ (X @ moved - y)
        assert np.linalg.norm(null @ w) < 1e-10 * np.linalg.norm(w)
    least = minimum_norm(X, y).coef
    assert np.linalg.norm(w - least) < 1e-6 * np.linalg.norm(least)
    # From elsewhere: what of the start is orthogonal to the rows stays.
    np.testing.assert_allclose(moved, least + null.T @ (null @ start), atol=1e-10)


def test_results_in_kind_and_precision(device):
    X, y = gaussian(6, 9), gaussian(6, seed=1)
    expected = minimum_norm(X, y).coef
    tensor = minimum_norm(torch.tensor(X, device=device), y)
    assert isinstance(tensor.coef, torch.Tensor)
    assert tensor.coef.device.type == device.type
    np.testing.assert_allclose(tensor.coef.cpu().numpy(), expected, rtol=1e-10)
    single = minimum_norm(X.astype(np.float32), y)
    assert single.coef.dtype == np.float32
    # Computed in float64: what is lost is the rounding of X and of the result.
    np.testing.assert_allclose(single.coef, expected, rtol=1e-4)


def test_a_target_of_zeros_has_residual_zero():
    result = minimum_norm(gaussian(5, 8), np.zeros(5))
    assert result.norm == result.residual == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.ones(3)}, r"X must have two dimensions .* shape \(3,\)"),
        ({"X": np.ones((3, 0))}, r"X must have two dimensions and no empty one"),
        ({"y": np.ones(4)}, r"y must have one or two dimensions and 3 rows like X, .* \(4,\)"),
        ({"X": np.full((3, 5), np.nan)}, "X must hold finite numbers"),
        ({"rcond": 1.0}, "rcond == 1.0, must be < 1"),
        ({"solver": "qr"}, "solver must be one of 'svd', 'cod', 'gram'; got 'qr'"),
        ({"weights": np.ones(4)}, r"weights must have shape \(5,\) or \(5, 5\) .* got \(4,\)"),
        ({"weights": np.zeros(5)}, "weights must be positive, got 0 among them"),
        ({"weights": np.ones((5, 5))}, "weights must be an invertible matrix"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    good = {"X": gaussian(3, 5), "y": np.ones(3)}
    with pytest.raises(ValueError, match=message):
        minimum_norm(**(good | arguments))


def test_a_solution_beyond_the_precision_is_refused():
    X = np.array([[1e-30]], dtype=np.float32)
    with pytest.raises(FloatingPointError, match="beyond the range of float32, the type of X"):
        minimum_norm(X, [1e30])
    np.testing.assert_allclose(minimum_norm(X.astype(float), [1e30]).coef, 1e60, rtol=1e-6)


@pytest.mark.parametrize("solver", ["svd", "cod", "gram"])
def test_the_rank_does_not_depend_on_what_was_in_memory(solver):
    X = np.random.default_rng(0).integers(-2, 3, size=(7, 7)).astype(float)
    X = np.hstack([X[:, :3], X])
    X -= X.mean(0)
    expected = np.linalg.pinv(X, rcond=1e-12) @ X[:, 0]
    for _ in range(200):
        # Freed, and handed out again as it is.
        torch.full((10,), 3, dtype=torch.int32)
        found = minimum_norm(X, X[:, 0], solver=solver)
        assert found.rank == 6
        np.testing.assert_allclose(found.coef, expected, atol=1e-7)
