"""The squared hinge loss, against a general minimizer and libsvm's relatives."""

import numpy as np
import pytest
import scipy.optimize
import torch
from sklearn.svm import LinearSVC

from skoverparam.margins._codes import between_corners, simplex_codes
from skoverparam.margins._constraints import Constraints, Points
from skoverparam.margins._soft_margin import soft_margin


def overlapping(n=80, d=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], n)
    X = rng.normal(size=(n, d)) + 0.5 * y[:, None]
    return torch.from_numpy(X), torch.from_numpy(y)


def solve(X, y, C, free):
    problem = Constraints(Points(X=X), y[:, None], None, free)
    return problem, soft_margin(problem, C, tol=1e-12, max_iter=100)


@pytest.mark.parametrize("C", [1e-3, 1.0, 10.0])
def test_without_intercept_it_is_linear_svc(C):
    X, y = overlapping()
    problem, found = solve(X, y, C, free=False)
    # The dual coordinate descent of liblinear, run until it no longer moves.
    svc = LinearSVC(C=C, fit_intercept=False, dual=True, tol=1e-9, max_iter=10**5, random_state=0)
    svc.fit(X.numpy(), y.numpy())
    w = X.T @ problem.coefficients(found.weights)[:, 0]
    np.testing.assert_allclose(w.numpy(), svc.coef_[0], rtol=1e-6)
    assert found.gap <= 1e-12
    assert found.n_iter <= 20


@pytest.mark.parametrize("C", [1e-2, 1.0, 1e2])
def test_a_free_intercept_is_minimized_too(C):
    X, y = overlapping()

    def objective(x):
        slack = (1 - y * (X @ x[:4] + x[4])).clamp(min=0)
        return x[:4] @ x[:4] / 2 + C * slack @ slack

    def with_gradient(x):
        x = torch.tensor(x, requires_grad=True)
        value = objective(x)
        return value.item(), torch.autograd.grad(value, x)[0].numpy()

    expected = scipy.optimize.minimize(
        with_gradient, np.zeros(5), jac=True, method="BFGS", options={"gtol": 1e-9}
    )
    problem, found = solve(X, y, C, free=True)
    w = X.T @ problem.coefficients(found.weights)[:, 0]
    ours = torch.hstack([w, found.offset])
    assert float(objective(ours)) <= expected.fun * (1 + 1e-12)
    np.testing.assert_allclose(ours.numpy(), expected.x, atol=1e-6)
    assert found.gap <= 1e-12


def test_more_features_than_points():
    X, y = overlapping(n=20, d=3000)
    problem, found = solve(X, y, 1.0, free=True)
    a = found.weights
    # The dual is the hard margin of K + I / (2C); here all weights are positive.
    K = y[:, None] * y * (X @ X.T) + torch.eye(20) / 2
    bordered = torch.vstack(
        [torch.hstack([K, y[:, None]]), torch.hstack([y, torch.zeros(1)])[None]]
    )
    expected = torch.linalg.solve(
        bordered, torch.hstack([torch.ones(20), torch.zeros(1)]).double()
    )
    assert bool((expected[:20] > 0).all())
    torch.testing.assert_close(a, expected[:20], rtol=1e-6, atol=0)


def test_simplex_codes_have_a_soft_margin_too():
    X, y = overlapping(n=60, d=3)
    labels = (X[:, 0] > 0).long() + (y > 0).long()
    problem = between_corners(Points(X=X), labels, simplex_codes(3, X), True)
    found = soft_margin(problem, 1.0, tol=1e-10, max_iter=100)
    assert found.gap <= 1e-10
    values = problem.products(found.weights) + problem.intercepts @ found.offset
    torch.testing.assert_close(values, found.values, rtol=0, atol=1e-9)


def test_points_that_are_all_the_same():
    X, y = torch.ones(10, 3).double(), torch.tensor([1.0] * 7 + [-1.0] * 3).double()
    problem, found = solve(X - X.mean(0), y, 1.0, free=True)
    # The intercept is then the mean of the labels.
    assert float(found.offset) == pytest.approx(0.4, rel=1e-6)


def test_a_gap_that_rounding_leaves_ends_the_method():
    # With such weights of the violations rounding errors of the slacks are the gap.
    X, y = overlapping()
    problem = Constraints(Points(X=1e12 * X), y[:, None], None, True)
    found = soft_margin(problem, 1e6, tol=1e-300, max_iter=100_000)
    assert found.n_iter < 200


def test_the_exact_step_whatever_lies_between_the_kinks():
    # One point is 134 orders of magnitude farther out than the others, on the wrong side of them.
    X = torch.tensor([[-1.0], [1e-134], [1e-134]]).double()
    _, found = solve(X, torch.tensor([-1.0, 1.0, -1.0]).double(), 1e290, free=False)
    assert found.theta.tolist() == pytest.approx([1.0], rel=1e-12)
    assert found.values.tolist() == pytest.approx([1.0, 1e-134, -1e-134], rel=1e-12)
    assert found.gap <= 1.0


@pytest.mark.parametrize("d", [4, 200])
def test_coefficients_where_violations_weigh_much(d):
    """All but interpolated, or least squares: known without the weights, which cancel."""
    X, y = overlapping(d=d)
    problem, found = solve(X, y, 1e18, free=False)
    w = problem.lifted(found.theta)[:, 0]
    torch.testing.assert_close(X @ w * y, found.values, rtol=0, atol=1e-9)
    if d > len(X):
        # Not all of the labels need be met, but none may be missed.
        assert float(found.values.min()) >= 1 - 1e-6
    else:
        active = found.values < 1
        expected = torch.linalg.lstsq(X[active], y[active][:, None]).solution[:, 0]
        torch.testing.assert_close(w, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("C", [1e13, 1e200, 1e290])
def test_equal_columns_where_violations_weigh_much(C):
    X, y = overlapping()
    _, one = solve(X[:, :1], y, C, free=True)
    _, both = solve(X[:, [0, 0]], y, C, free=True)
    torch.testing.assert_close(both.values, one.values, rtol=0, atol=1e-9)
    torch.testing.assert_close(both.theta, one.theta.expand(2) / 2, rtol=1e-9, atol=0)
