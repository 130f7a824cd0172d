"""The hard margin by every route, against quadratic programs solved otherwise."""

import numpy as np
import pytest
import scipy.optimize
import torch
from sklearn.svm import SVC

from skoverparam.margins._constraints import Candidate, Constraints, Points, certified
from skoverparam.margins._hard_margin import hard_margin
from skoverparam.margins._least_distance import nonnegative_least_squares
from skoverparam.margins._pivoting import block_pivoting, polished

ROUTES = ("auto", "least_distance", "gradient")


def clusters(n, d, signal, seed=0, spread=1.0):
    """Two Gaussian clusters away from the origin, at least one point each."""
    rng = np.random.default_rng(seed)
    y = rng.choice([-1.0, 1.0], n)
    y[:2] = -1, 1
    X = rng.normal(size=(n, d)) + spread * rng.normal(size=d)
    X[:, 0] += signal * y
    return torch.from_numpy(X), torch.from_numpy(y)


def problem(X, y, free=True):
    return Constraints(Points(X=X), y[:, None], None, free)


def solve(X, y, free=True, solver="auto", tol=1e-10):
    return hard_margin(problem(X, y, free), solver=solver, tol=tol, max_iter=20_000)


def coefficients(X, y, found):
    return X.T @ (y * found.weights)


def is_optimal(X, y, found, free):
    """The conditions that make a solution the only one, each to rounding."""
    w = coefficients(X, y, found)
    values = y * (X @ w + (found.offset if free else 0.0))
    assert float(values.min()) >= 1 - 1e-10
    assert float(found.weights.min()) >= 0
    slack = found.weights * (values - 1)
    assert float(slack.abs().max()) <= 1e-9 * float(found.weights.sum())
    if free:
        assert abs(float(found.weights @ y)) <= 1e-10 * float(found.weights.sum())
    assert found.gap <= 1e-10
    assert found.margin == pytest.approx(1 / float(w.norm()), rel=1e-9)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("solver", ROUTES)
@pytest.mark.parametrize(
    ("n", "d", "signal"),
    [(40, 100, 2.0), (60, 62, 1.0), (50, 20, 3.0), (200, 5, 5.0), (30, 1, 6.0)],
)
def test_every_route_satisfies_the_optimality_conditions(n, d, signal, solver, free):
    X, y = clusters(n, d, signal, spread=0.3)
    found = solve(X, y, free, solver)
    assert found.separable is True
    is_optimal(X, y, found, free)


@pytest.mark.parametrize("free", [True, False])
def test_all_routes_agree(free):
    X, y = clusters(60, 62, 1.0)
    solutions = [coefficients(X, y, solve(X, y, free, solver)) for solver in (*ROUTES, "pivoting")]
    for w in solutions[1:]:
        torch.testing.assert_close(w, solutions[0], rtol=0, atol=1e-9)


def test_support_and_margin_of_fifty_problems_are_those_of_libsvm():
    # libsvm stops at tol=1e-9 of its own measure; its margin is recomputed from its hyperplane,
    # feasible only after rescaling, so that ours can be no smaller than it, up to rounding.
    for seed in range(50):
        rng = np.random.default_rng(seed)
        n, d = int(rng.integers(10, 60)), int(rng.integers(2, 120))
        X, y = clusters(n, d, signal=2.0 if d > n else 6.0, seed=seed)
        found = solve(X, y)
        assert found.separable is True
        svc = SVC(kernel="linear", C=1e10, tol=1e-9, random_state=0).fit(X.numpy(), y.numpy())
        projected = X.numpy() @ svc.coef_[0]
        width = projected[y.numpy() > 0].min() - projected[y.numpy() < 0].max()
        theirs = width / 2 / np.linalg.norm(svc.coef_)
        assert found.margin >= theirs * (1 - 1e-12)
        assert found.margin == pytest.approx(theirs, rel=1e-5)
        assert found.gap <= 1e-10
        np.testing.assert_array_equal(found.weights.nonzero()[:, 0].numpy(), np.sort(svc.support_))


def test_two_points_in_the_plane_have_the_perpendicular_bisector():
    X = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=torch.float64)
    y = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    found = solve(X, y)
    assert found.margin == pytest.approx(2.5, rel=1e-14)
    torch.testing.assert_close(coefficients(X, y, found), 2 / 25 * X[1], rtol=1e-13, atol=0)
    assert float(found.offset) == pytest.approx(-1.0, rel=1e-13)


def test_interpolation_where_the_dual_of_equality_is_positive():
    for seed in range(8):
        # Around d = 2 n log n about half of the draws have support vectors only.
        X, y = clusters(20, 120, 1.0, seed=seed, spread=0.0)
        interpolator = X.T @ torch.linalg.solve(X @ X.T, y)
        multipliers = y * torch.linalg.solve(X @ X.T, y)
        found = solve(X, y, free=False)
        everywhere = bool((found.weights > 0).all())
        assert everywhere == bool((multipliers > 0).all())
        if everywhere:
            torch.testing.assert_close(coefficients(X, y, found), interpolator, rtol=0, atol=1e-10)
            assert found.n_iter == 1


@pytest.mark.parametrize("free", [True, False])
def test_scaling_and_rotating_the_points(free):
    X, y = clusters(40, 60, 1.0)
    rotation = torch.linalg.qr(
        torch.randn(60, 60, generator=torch.Generator().manual_seed(0)).double()
    )[0]
    w = coefficients(X, y, solve(X, y, free))
    for factor in (1e-6, 1e5):
        scaled = coefficients(factor * X, y, solve(factor * X, y, free))
        torch.testing.assert_close(
            scaled, w / factor, rtol=1e-8, atol=1e-9 * float(w.norm()) / factor
        )
    rotated = coefficients(X @ rotation, y, solve(X @ rotation, y, free))
    torch.testing.assert_close(rotated, rotation.T @ w, rtol=0, atol=1e-10)


def test_moving_the_points_moves_only_a_free_intercept():
    X, y = clusters(40, 60, 1.0)
    moved = X + 7.0
    first, second = solve(X, y), solve(moved, y)
    w = coefficients(X, y, first)
    torch.testing.assert_close(coefficients(moved, y, second), w, rtol=0, atol=1e-9)
    assert float(second.offset) == pytest.approx(float(first.offset - 7.0 * w.sum()), abs=1e-9)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("solver", ROUTES)
@pytest.mark.parametrize(("n", "d"), [(200, 20), (90, 40), (30, 1)])
def test_the_proof_of_non_separability_checks_out(n, d, solver, free):
    X, y = clusters(n, d, 0.0, spread=0.0)
    found = solve(X, y, free, solver)
    assert found.separable is False
    a = found.weights
    assert float(a.min()) >= 0
    assert float(a.sum()) == pytest.approx(1.0)
    # A separating w would give a^T (y X w) > 0, and this is zero up to rounding.
    assert float((X.T @ (a * y)).norm()) <= 1e-11 * float(X.norm(dim=1).max())
    if free:
        assert abs(float(a @ y)) <= 1e-12


@pytest.mark.parametrize("free", [True, False])
def test_verdict_agrees_with_a_linear_program(free):
    verdicts = set()
    for seed in range(30):
        # 2 d points in general position are separable with probability 1/2 (Cover, 1965).
        X, y = clusters(24, 12, 0.0, seed=seed, spread=0.0)
        Z = np.hstack([X.numpy(), np.ones((24, int(free)))]) * y.numpy()[:, None]
        program = scipy.optimize.linprog(
            np.zeros(Z.shape[1]), A_ub=-Z, b_ub=-np.ones(24), bounds=(None, None)
        )
        for solver in ROUTES:
            assert solve(X, y, free, solver).separable is (program.status == 0)
        verdicts.add(program.status)
    assert verdicts == {0, 2}


def test_repeated_and_dependent_points():
    X, y = clusters(30, 80, 2.0)
    doubled = solve(torch.vstack([X, X[:10]]), torch.hstack([y, y[:10]]))
    assert doubled.separable is True
    assert doubled.margin == pytest.approx(solve(X, y).margin, rel=1e-10)
    contradicted = solve(torch.vstack([X, X[:1]]), torch.hstack([y, -y[:1]]))
    assert contradicted.separable is False
    # The proof is the point that is in both classes.
    assert float(contradicted.weights[[0, 30]].sum()) == pytest.approx(1.0, abs=1e-12)


def test_a_narrow_margin_is_found():
    # The classes are a distance of 2e-6 apart in a cloud of size 1.
    rng = np.random.default_rng(0)
    X = torch.from_numpy(rng.normal(size=(100, 3)))
    y = torch.where(X[:, 0] > 0, 1.0, -1.0).double()
    X[:, 0] += 1e-6 * y - X[:, 0] * (torch.arange(100) < 20)
    found = solve(X, y)
    assert found.separable is True
    assert found.margin >= 1e-6 * (1 - 1e-6)
    assert found.gap <= 1e-10


def test_pivoting_gives_up_on_dependent_points():
    X, y = clusters(50, 20, 3.0)
    assert block_pivoting(problem(X, y), max_iter=100) is None


def test_pivoting_gives_up_at_its_limit():
    X, y = clusters(60, 62, 1.0)
    assert block_pivoting(problem(X, y), max_iter=2) is None


def test_polishing_refuses_a_wrong_active_set():
    X, y = clusters(30, 80, 2.0)
    right = solve(X, y)
    active = right.weights.nonzero()[:, 0]
    again = polished(problem(X, y), active)
    assert certified(problem(X, y), again).gap <= 1e-12
    same_side = (y > 0).nonzero()[:3, 0]
    wrong = polished(problem(X, y, free=False), same_side)
    assert wrong is None or certified(problem(X, y, free=False), wrong).gap > 1e-3
    assert polished(problem(X, y), active[:0]) is None


def test_bounds_hold_for_any_weights():
    X, y = clusters(40, 60, 2.0)
    best = solve(X, y).margin
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        weights = torch.rand(40, generator=generator, dtype=torch.float64)
        bounds = certified(problem(X, y), Candidate(weights, y.new_zeros(1), 1))
        assert bounds.lower <= best * (1 + 1e-12)
        assert bounds.upper >= best * (1 - 1e-12)


def test_nonnegative_least_squares_is_that_of_scipy():
    rng = np.random.default_rng(0)
    for shape in ((8, 5), (5, 8), (30, 10)):
        rows = rng.normal(size=shape) + 0.3
        target = np.zeros(shape[1])
        target[-1] = 1
        u, passive, _ = nonnegative_least_squares(rows, [], 100)
        expected, residual = scipy.optimize.nnls(rows.T, target)
        assert np.linalg.norm(rows.T @ u - target) == pytest.approx(residual, abs=1e-12)
        np.testing.assert_allclose(u, expected, rtol=0, atol=1e-10)
        assert set(passive) == set(np.flatnonzero(u))
        # From any start, with dependent and wrong members.
        again, _, _ = nonnegative_least_squares(rows, [0, 1, 2, 3], 100)
        np.testing.assert_allclose(again, expected, rtol=0, atol=1e-10)


def test_too_few_steps_leave_the_question_open():
    X, y = clusters(200, 20, 0.0)
    found = hard_margin(problem(X, y), solver="least_distance", tol=1e-10, max_iter=3)
    assert found.separable is None
    assert found.gap == 1.0


def test_many_points_in_few_dimensions():
    X, y = clusters(20_000, 50, 6.0)
    found = solve(X, y)
    assert found.separable is True
    is_optimal(X, y, found, free=True)


def test_many_features_and_more_points():
    X, y = clusters(900, 450, 2.0)
    found = solve(X, y)
    assert found.separable is True
    is_optimal(X, y, found, free=True)
    X, y = clusters(900, 410, 0.0)
    assert solve(X, y).separable is False


def test_kernel_points_are_solved_like_their_features():
    X, y = clusters(40, 15, 4.0)
    K = X @ X.T
    by_kernel = hard_margin(
        Constraints(Points(K=K), y[:, None], None, True), solver="auto", tol=1e-10, max_iter=1000
    )
    by_features = solve(X, y)
    assert by_kernel.separable is True
    assert by_kernel.margin == pytest.approx(by_features.margin, rel=1e-8)
    w = coefficients(X, y, by_features)
    torch.testing.assert_close(coefficients(X, y, by_kernel), w, rtol=0, atol=1e-7)


def test_runs_where_the_points_are(device):
    X, y = clusters(40, 60, 1.0)
    for solver in (*ROUTES, "pivoting"):
        there = solve(X.to(device), y.to(device), solver=solver)
        assert there.weights.device.type == device.type
        assert there.margin == pytest.approx(solve(X, y).margin, rel=1e-10)
