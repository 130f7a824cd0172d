"""Regression on centers against dense normal equations, and the iterations it takes."""

import pytest
import torch

from skoverparam.kernels._radial import RadialKernel
from skoverparam.linalg._kernel_systems import _restricted_centers
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._restricted_centers import (
    Restricted,
    RestrictedProblem,
    choose_centers,
    preconditioner,
    restricted_steps,
)
from skoverparam.linalg._kernel_systems._restricted_preconditioner import jittered_triangle
from skoverparam.linalg._kernel_systems._system import KernelSystem, SolverOptions


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def points(n, d=4, seed=0):
    return torch.randn(n, d, generator=seeded(seed), dtype=torch.float64)


def smooth_problem(n, d=8):
    """Points in d dimensions and noisy values of a smooth function."""
    X = points(n, d)
    noise = torch.randn(n, generator=seeded(1), dtype=torch.float64)
    y = X[:, 0].sin() + 0.5 * X[:, 1] * X[:, 2] + (2 * X[:, 3]).cos() + 0.1 * noise
    return X, y[:, None]


def solve(problem, kind="sketch", *, tol=1e-10, max_iter=500, dtype=torch.float64):
    pre = preconditioner(problem, kind, seeded())
    *_, last = restricted_steps(problem, pre, tol=tol, max_iter=max_iter, dtype=dtype)
    return last


def dense(problem):
    Knm = problem.matrix.kernel(problem.matrix.X, problem.matrix.X[problem.centers])
    W = torch.ones(len(Knm), 1).double() if problem.weights is None else problem.weights
    H = Knm.T @ (W * Knm) + problem.ridge * problem.Kmm
    return torch.linalg.solve(H, Knm.T @ (W * problem.targets))


@pytest.mark.parametrize("kind", ["triangles", "sketch"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("stored", [None, torch.float32, torch.float64])
def test_it_solves_the_normal_equations(kind, weighted, stored):
    X, Y = points(500), points(500, 2, seed=1)
    weights = 0.1 + torch.rand(500, 1, generator=seeded(2)).double() if weighted else None
    matrix = KernelMatrix(RadialKernel("laplace", 2.0), X)
    centers = choose_centers(matrix, 40, "uniform", seeded())
    problem = RestrictedProblem(matrix, centers, Y, 0.05, weights)
    if stored is not None:
        problem.store(stored)
    coef, _, residual, status = solve(
        problem, kind, dtype=torch.float64 if stored is None else stored
    )
    assert status == "solved"
    assert residual.max() <= 1e-10
    # Off by the residual times a condition number of about a thousand.
    torch.testing.assert_close(coef, dense(problem), rtol=1e-6, atol=1e-7)


def test_all_points_as_centers_are_ridge_regression():
    X, Y = points(120), points(120, 1, seed=1)
    matrix = KernelMatrix(RadialKernel("laplace", 2.0), X)
    problem = RestrictedProblem(matrix, torch.arange(120), Y, 0.2)
    K = matrix.kernel(X)
    expected = torch.linalg.solve(K + 0.2 * torch.eye(120).double(), Y)
    torch.testing.assert_close(solve(problem)[0], expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("m", "published"), [(500, 31), (1000, 24)])
def test_two_triangles_take_as_many_iterations_as_published(m, published):
    X, Y = smooth_problem(10_000)
    matrix = KernelMatrix(RadialKernel("laplace", 10.0), X)
    centers = choose_centers(matrix, m, "uniform", seeded())
    problem = RestrictedProblem(matrix, centers, Y, 1e-7 * 10_000)
    problem.store(torch.float64)
    _, n_iter, _, status = solve(problem, "triangles", tol=1e-6)
    assert status == "solved"
    assert published / 1.5 <= n_iter <= published * 1.5


@pytest.mark.parametrize("ridge", [1.0, 1e-5, 1e-9, 0.0])
@pytest.mark.parametrize("bandwidth", [2.0, 4.0, 10.0])
@pytest.mark.parametrize("method", ["uniform", "pivots"])
def test_a_sketch_takes_few_iterations_whatever_the_ridge(ridge, bandwidth, method):
    # Kernel matrices of condition numbers up to 1e16.
    X, Y = smooth_problem(1500)
    matrix = KernelMatrix(RadialKernel("gaussian", bandwidth), X)
    problem = RestrictedProblem(matrix, choose_centers(matrix, 150, method, seeded()), Y, ridge)
    _, n_iter, residual, _ = solve(problem, tol=1e-6)
    assert n_iter <= 30
    assert residual.max() <= 2e-6


def test_a_sketch_is_near_the_identity():
    X, Y = smooth_problem(2000)
    matrix = KernelMatrix(RadialKernel("gaussian", 3.0), X)
    problem = RestrictedProblem(matrix, torch.arange(100), Y, 1e-4)
    pre = preconditioner(problem, "sketch", seeded())
    H = pre.transposed(problem.product(pre(torch.eye(100).double()), torch.float64))
    values = torch.linalg.eigvalsh((H + H.T) / 2)
    # Four rows for each center: singular values of the sketch between 1/2 and 3/2, and a margin.
    assert values[0] > 0.35
    assert values[-1] < 4.5


def test_pivots_are_distinct_and_as_many_as_there_are():
    X = points(60).repeat(3, 1)
    matrix = KernelMatrix(RadialKernel("laplace", 1.0), X)
    centers = choose_centers(matrix, 100, "pivots", seeded())
    assert len(centers) <= 60
    assert len(torch.unique(X[centers], dim=0)) == len(centers)


def test_duplicated_centers_are_no_obstacle():
    X, Y = points(60).repeat(3, 1), points(180, 1, seed=1)
    matrix = KernelMatrix(RadialKernel("laplace", 1.0), X)
    problem = RestrictedProblem(matrix, torch.arange(120), Y, 0.1)
    pre = preconditioner(problem, "sketch", seeded())
    assert pre.jitter > 0
    *_, (coef, _, _, status) = restricted_steps(problem, pre, tol=1e-6, max_iter=500)
    assert status == "solved"
    K = matrix.kernel(X)
    expected = K @ torch.linalg.solve(K + 0.1 * torch.eye(180).double(), Y)
    # Coefficients of duplicates are not unique, values are.
    torch.testing.assert_close(K[:, :120] @ coef, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("values", [[1.0, 1e-30], [1.0, -1e-9], [0.0, 0.0]])
def test_triangles_of_matrices_that_are_not_positive_definite(values):
    Q = torch.linalg.qr(points(2, 2))[0]
    K = Q @ torch.diag(torch.tensor(values, dtype=torch.float64)) @ Q.T
    K = (K + K.T) / 2
    U, jitter = jittered_triangle(K)
    assert U.isfinite().all()
    assert (U.tril(-1) == 0).all()
    assert 0 < jitter < 1e-8
    torch.testing.assert_close(U.T @ U, K, rtol=0, atol=3 * jitter + 1e-15)


def options(**changes):
    return SolverOptions(**({"generator": seeded(), "tol": 1e-9, "max_iter": 200} | changes))


def test_steps_are_those_of_a_solver():
    X, Y = points(400), points(400, 2, seed=1)
    system = KernelSystem(KernelMatrix(RadialKernel("laplace", 2.0), X), Y, 0.1)
    steps = list(_restricted_centers.steps(system, options(n_centers=50)))
    last = steps[-1]
    assert [step.status for step in steps[:-1]] == ["running"] * (len(steps) - 1)
    assert last.status == "solved"
    assert last.coef.shape == (50, 2)
    assert last.true_residual.max() <= 1e-9
    problem = RestrictedProblem(system.matrix, last.centers, Y, 0.1)
    torch.testing.assert_close(last.coef, dense(problem), rtol=1e-6, atol=1e-7)
    # The centers serve again.
    other = KernelSystem(system.matrix, points(400, 1, seed=4), 0.5)
    *_, again = last.prepared.steps(other, options())
    assert torch.equal(again.centers, last.centers)
    problem = RestrictedProblem(system.matrix, last.centers, other.targets, 0.5)
    torch.testing.assert_close(again.coef, dense(problem), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_targets_of_different_weights(ridge):
    X, Y = points(300), points(300, 2, seed=1)
    weights = 0.1 + torch.rand(300, 2, generator=seeded(2)).double()
    system = KernelSystem(KernelMatrix(RadialKernel("laplace", 2.0), X), Y, ridge, weights)
    centers = torch.arange(0, 300, 10)
    *_, last = Restricted(centers).steps(system, options())
    for j in range(2):
        problem = RestrictedProblem(
            system.matrix, centers, Y[:, j : j + 1], ridge, weights[:, j : j + 1]
        )
        torch.testing.assert_close(last.coef[:, j : j + 1], dense(problem), rtol=1e-6, atol=1e-7)


def test_too_few_iterations_are_told():
    X, Y = smooth_problem(500)
    system = KernelSystem(KernelMatrix(RadialKernel("gaussian", 3.0), X), Y, 1e-6)
    *_, last = _restricted_centers.steps(system, options(n_centers=80, max_iter=3))
    assert last.status == "max_iter"
    assert last.n_iter == 3
    assert "max_iter" in last.remark
    assert last.true_residual.max() > 1e-9


def test_targets_that_are_zero():
    Y = torch.zeros(50, 2, dtype=torch.float64)
    Y[:, 1] = 1
    system = KernelSystem(KernelMatrix(RadialKernel("laplace", 1.0), points(50)), Y, 0.1)
    *_, last = _restricted_centers.steps(system, options(n_centers=10))
    assert last.status == "solved"
    assert (last.coef[:, 0] == 0).all()


def test_a_kernel_that_is_zero():
    def nothing(X, Z=None):
        return X.new_zeros(len(X), len(X if Z is None else Z))

    system = KernelSystem(KernelMatrix(nothing, points(20)), points(20, 1, seed=1), 0.1)
    *_, last = _restricted_centers.steps(system, options(n_centers=5))
    assert last.coef.isfinite().all()
    assert (last.coef == 0).all()
