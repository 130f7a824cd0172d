"""Bregman projections against linear programs, norms and optimality conditions."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from skoverparam.optim import Hypentropy, Mirror, NegativeEntropy, PNorm
from skoverparam.theory import bregman_projection


@pytest.fixture(scope="module")
def sparse_problem():
    rng = np.random.RandomState(0)
    X = rng.randn(10, 30) / np.sqrt(30)
    w = np.zeros(30)
    w[:3] = 1, 2, 1.5
    return X, X @ w


# Norms l1, l2 and of the largest coordinate, by mirror descent run to a residual of 1e-12.
MEASURED = [
    ("euclidean", {}, 0.0, (6.3222, 1.4591, 0.7344)),
    ("pnorm", {"p": 1.5}, 0.0, (5.3754, 1.5286, 1.0197)),
    ("pnorm", {"p": 1.1}, 0.0, (4.6992, 1.8893, 1.4430)),
    ("pnorm", {"p": 3.0}, 0.0, (7.2729, 1.5074, 0.5408)),
    ("pnorm", {"p": 10.0, "ridge": 0.01}, 0.0, (6.7823, 1.4834, 0.5430)),
    ("hypentropy", {"beta": 1e-1}, 0.0, (5.5032, 1.526, None)),
    ("hypentropy", {"beta": 1e-3}, 0.0, (4.8303, 1.759, None)),
    ("hypentropy", {"beta": 1e-6}, 0.0, (4.6541, 1.983, None)),
    ("negentropy", {}, 0.1, (6.3514, 1.8141, None)),
]


@pytest.mark.parametrize(("mirror", "params", "start", "norms"), MEASURED)
def test_norms_of_the_limits(sparse_problem, mirror, params, start, norms):
    X, y = sparse_problem
    found = bregman_projection(X, y, np.full(30, start), mirror=mirror, mirror_params=params)
    assert found.residual < 1e-12
    for order, norm in zip((1, 2, np.inf), norms, strict=True):
        if norm is not None:
            assert np.linalg.norm(found.coef, order) == pytest.approx(norm, rel=5e-4)


@pytest.mark.parametrize("mirror", [PNorm(1.2), PNorm(1.7), Hypentropy(0.01), NegativeEntropy()])
def test_displacement_of_the_dual_is_in_the_row_space(sparse_problem, mirror):
    X, y = sparse_problem
    start = np.full(30, 0.1)
    found = bregman_projection(X, y, start, mirror=mirror)
    moved = mirror.to_dual(torch.from_numpy(found.coef)) - mirror.to_dual(torch.from_numpy(start))
    np.testing.assert_allclose(moved, X.T @ found.multipliers, atol=1e-9)


def test_primal_and_dual_agree(sparse_problem):
    class Dual(PNorm):
        flat_at_zero = False

    X, y = sparse_problem
    # Off zero both are smooth for p = 3.
    start = np.full(30, 0.5)
    primal = bregman_projection(X, y, start, mirror=PNorm(3.0))
    dual = bregman_projection(X, y, start, mirror=Dual(3.0))
    assert primal.multipliers is None
    np.testing.assert_allclose(primal.coef, dual.coef, atol=1e-9)


def test_small_beta_approaches_the_least_l1_norm(sparse_problem):
    X, y = sparse_problem
    least = linprog(np.ones(60), A_eq=np.hstack([X, -X]), b_eq=y).fun
    norms = [
        np.abs(bregman_projection(X, y, mirror=Hypentropy(beta)).coef).sum()
        for beta in (1e-1, 1e-3, 1e-6, 1e-12)
    ]
    assert sorted(norms, reverse=True) == norms
    assert least < norms[-1] < 1.02 * least


def test_the_start_matters(sparse_problem):
    X, y = sparse_problem
    w0 = np.random.default_rng(0).normal(size=30)
    found = bregman_projection(X, y, w0)
    expected = w0 + np.linalg.pinv(X) @ (y - X @ w0)
    np.testing.assert_allclose(found.coef, expected, atol=1e-12)


def test_dependent_equations():
    X = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
    found = bregman_projection(X, np.array([1.0, 2.0]), mirror=Hypentropy(0.1))
    np.testing.assert_allclose(found.coef, [0.5, 0.5, 0], atol=1e-10)
    with pytest.raises(ValueError, match="must have a solution; .* misses y by"):
        bregman_projection(X, np.array([1.0, 3.0]))


def test_no_positive_solution():
    X, w0 = np.array([[1.0, 1.0]]), [0.1, 0.1]
    with pytest.raises(ValueError, match="domain of NegativeEntropy.*there may be none"):
        bregman_projection(X, [-1.0], w0, mirror="negentropy", max_iter=100)


@pytest.mark.parametrize("start", [0.1, 1e-6])
@pytest.mark.parametrize("n", [10, 4])
def test_no_positive_solution_of_many_equations(sparse_problem, n, start):
    X, y = sparse_problem
    with pytest.raises(ValueError, match="No solution of X w = y was found in the domain of Neg"):
        # Positive weights give positive sums; some of these are negative.
        bregman_projection(
            np.abs(X[:n]), -(y[:n] ** 2), np.full(30, start), mirror="negentropy", max_iter=100
        )


@pytest.mark.parametrize("mirror", [Hypentropy(1e-20), PNorm(1.02), PNorm(10.0, ridge=1e-6)])
def test_mirrors_of_extreme_curvature(sparse_problem, mirror):
    X, y = sparse_problem
    found = bregman_projection(X, y, mirror=mirror)
    assert found.residual < 1e-12
    moved = mirror.to_dual(torch.from_numpy(found.coef))
    np.testing.assert_allclose(moved, X.T @ found.multipliers, rtol=1e-7, atol=1e-10)


def test_bad_input(sparse_problem):
    X, y = sparse_problem
    with pytest.raises(ValueError, match="w0 must have shape"):
        bregman_projection(X, y, np.zeros(3))
    with pytest.raises(ValueError, match="y shape"):
        bregman_projection(X, y[:4])
    with pytest.raises(ValueError, match="mirror must be a fixed one, got 'adagrad'"):
        bregman_projection(X, y, mirror="adagrad")
    with pytest.raises(ValueError, match="the least of w0 is 0"):
        bregman_projection(X, y, mirror="negentropy")


def test_a_mirror_of_ones_own(sparse_problem):
    class Cosh(Mirror):
        """Potential cosh(w)."""

        def to_dual(self, w):
            return w.sinh()

        def to_primal(self, z):
            return z.asinh()

        def potential(self, w):
            return w.cosh().sum()

        def curvature(self, w):
            return w.cosh()

    X, y = sparse_problem
    found = bregman_projection(X, y, mirror=Cosh())
    np.testing.assert_allclose(np.sinh(found.coef), X.T @ found.multipliers, atol=1e-10)


@pytest.mark.parametrize("mirror", ["euclidean", "pnorm", "hypentropy"])
@pytest.mark.parametrize("exponent", [-830, 500])
def test_equations_in_other_units_are_the_same_equations(mirror, exponent):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3, 6))
    y = X @ rng.normal(size=6)
    one = bregman_projection(X, y, mirror=mirror)
    other = bregman_projection(np.ldexp(X, exponent), np.ldexp(y, exponent), mirror=mirror)
    np.testing.assert_array_equal(other.coef, one.coef)
    assert other.residual == one.residual
    np.testing.assert_array_equal(other.multipliers, np.ldexp(one.multipliers, -exponent))
