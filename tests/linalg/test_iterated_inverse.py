"""Iterated inverses against their recursions, factorizations, and errors written down before."""

import warnings

import numpy as np
import pytest
import torch

from skoverparam import config_context
from skoverparam.linalg import _iterated_inverse as iterated
from skoverparam.linalg import convergence_order, newton_schulz_inverse, sgd_inverse

# Largest error of a recursion, relative to errors of about one: some products of 20 x 20 matrices
# in float64.
ROUNDING = 1e-13


@pytest.fixture
def A():
    random = np.random.RandomState(0)
    return random.randn(20, 20) / np.sqrt(20) + 2 * np.eye(20)


@pytest.fixture
def warm(A):
    """Seven Newton-Schulz steps from the scaled transpose: an error of 0.102."""
    return run_newton(A, n_steps=7)


def run_newton(A, n_steps):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return newton_schulz_inverse(A, max_iter=n_steps)[0]


def spread(condition, n=50):
    """Log-spaced singular values between orthogonal factors."""
    random = np.random.RandomState(0)
    U, V = (np.linalg.qr(random.randn(n, n))[0] for _ in range(2))
    return (U * np.logspace(0, -np.log10(condition), n)) @ V.T


def run_columns(A, W0, orders, **options):
    """Column steps in given orders: one array of columns for each epoch."""
    epochs = ([torch.tensor([j]) for j in order] for order in orders)
    W, info = iterated.sgd_inverse(
        torch.from_numpy(A),
        torch.from_numpy(W0),
        epochs=epochs,
        tol=None,
        max_iter=len(orders),
        **options,
    )
    return W.numpy(), info


def error(A, W):
    return np.eye(len(A)) - A @ W


# Newton-Schulz


def test_newton_schulz_squares_the_error(A):
    W = newton_schulz_inverse(A, tol=1e-2, max_iter=20)[0]
    for n_steps in range(1, 9):
        before, after = error(A, run_newton(A, n_steps)), error(A, run_newton(A, n_steps + 1))
        np.testing.assert_allclose(after, before @ before, rtol=0, atol=ROUNDING)
    assert np.linalg.norm(error(A, W)) < 1e-2


def test_newton_schulz_is_descent_with_the_iterate_as_step(A):
    W = torch.from_numpy(run_newton(A, 3)).requires_grad_()
    matrix = torch.from_numpy(A + A.T)  # the energy needs a symmetric matrix
    energy = torch.trace(W.T @ matrix @ W) / 2 - torch.trace(W)
    (gradient,) = torch.autograd.grad(energy, W)
    stepped = (W - W @ gradient).detach()
    by_formula = W + W @ iterated.residual_matrix(matrix, W)
    torch.testing.assert_close(stepped, by_formula.detach(), rtol=0, atol=ROUNDING)


def test_newton_schulz_errors_are_the_ones_known(A):
    W, info = newton_schulz_inverse(A)
    known = [3.98, 3.58, 2.97, 2.20, 1.43, 0.779, 0.345, 0.102, 1.02e-2, 1.05e-4, 1.10e-8]
    np.testing.assert_allclose(info.errors[:11], known, rtol=6e-3)
    assert info.errors[11] < 1e-14
    assert info.reason == "floor"
    assert info.converged
    assert info.n_iter == len(info.errors) - 1
    assert info.residual == pytest.approx(np.linalg.norm(error(A, W)), abs=1e-15)
    assert info.order_ > 1.99
    fit = convergence_order(info.errors)
    ratios = np.log(info.errors[8:11]) / np.log(info.errors[7:10])
    np.testing.assert_allclose(ratios, [2.004, 2.0, 2.0], atol=2e-3)
    assert (fit.ratios > 1.9).all()
    local = info.errors[7:11]
    assert (local[1:] <= 1.01 * local[:-1] ** 2).all()
    np.testing.assert_allclose(W, np.linalg.inv(A), rtol=0, atol=ROUNDING)


def test_a_number_by_newton():
    _, info = newton_schulz_inverse([[3.0]], [[0.25]])
    known = [2.5e-1, 6.25e-2, 3.91e-3, 1.53e-5, 2.33e-10, 0]
    np.testing.assert_allclose(info.errors, known, rtol=3e-3, atol=1e-15)
    assert info.reason == "floor"


@pytest.mark.parametrize(
    ("condition", "n_iter", "floor"), [(1e1, 17, 3e-15), (1e3, 29, 1.2e-13), (1e6, 48, 7.4e-11)]
)
def test_reaches_the_error_of_a_direct_inverse(condition, n_iter, floor):
    A = spread(condition)
    _, info = newton_schulz_inverse(A)
    assert info.converged
    assert abs(info.n_iter - n_iter) <= 1
    # Rounding errors differ between machines: a factor of three.
    assert floor / 3 < info.errors[-1] < 3 * floor
    direct = np.linalg.norm(error(A, np.linalg.inv(A)))
    assert info.residual < 3 * direct


@pytest.mark.parametrize(
    ("condition", "n_iter", "floor"), [(1e1, 15, 1.5e-6), (1e3, 27, 4.9e-5), (1e6, 45, 3.0e-2)]
)
def test_single_precision_ends_at_its_floor_and_refined_goes_on(condition, n_iter, floor):
    A = spread(condition).astype(np.float32)
    W, info = newton_schulz_inverse(A, refine=False)
    assert W.dtype == np.float32
    assert info.reason == "floor"
    assert abs(info.n_iter - n_iter) <= 1
    assert floor / 3 < info.residual < 3 * floor
    W, info = newton_schulz_inverse(A)
    assert W.dtype == np.float32
    assert info.converged
    assert info.errors[-1] < 1e-15 * condition
    exact = np.linalg.inv(A.astype(float))
    # One rounding to float32 of an inverse that is exact to 1e-16 times the condition.
    np.testing.assert_allclose(W, exact, rtol=0, atol=1.2e-7 * np.abs(exact).max())


def test_single_precision_starts_again_where_its_rounding_errors_win():
    A = spread(1e10).astype(np.float32)  # a condition of about 1e9 after rounding
    _, info = newton_schulz_inverse(A)
    assert info.converged
    assert info.errors[-1] < 1e-5


def test_pseudo_inverses_of_both_shapes():
    P = np.random.RandomState(1).randn(30, 12)
    W0 = P.T / np.linalg.norm(P, 2) ** 2
    exact = np.linalg.pinv(P)
    W, info = newton_schulz_inverse(P, W0)
    np.testing.assert_allclose(W, exact, rtol=0, atol=1e-15)
    # The error of W relative to the pseudo-inverse, from the same runs cut short.
    known = [0.71, 0.56, 0.37, 0.19, 5.8e-2, 6.5e-3, 9.1e-5, 1.8e-8]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        runs = [W0] + [newton_schulz_inverse(P, W0, max_iter=t)[0] for t in range(1, 8)]
    found = [np.linalg.norm(run - exact) / np.linalg.norm(exact) for run in runs]
    np.testing.assert_allclose(found, known, rtol=2e-2)
    assert info.order_ > 1.9
    assert info.residual == pytest.approx(np.linalg.norm(np.eye(12) - W @ P), abs=1e-15)
    turned, _ = newton_schulz_inverse(P.T, W0.T)
    np.testing.assert_allclose(turned, W.T, rtol=0, atol=1e-15)


def test_symmetric_matrices_have_symmetric_inverses():
    A = spread(1e3)
    S = A @ A.T
    S = (S + S.T) / 2
    W, info = newton_schulz_inverse(S)
    np.testing.assert_array_equal(W, W.T)
    assert info.converged


def test_a_rotation_changes_no_error(A):
    Q = np.linalg.qr(np.random.RandomState(5).randn(20, 20))[0]
    W0 = A.T / np.linalg.norm(A, 2) ** 2
    errors = newton_schulz_inverse(A, W0)[1].errors
    rotated = newton_schulz_inverse(Q @ A, W0 @ Q.T)[1].errors
    np.testing.assert_allclose(rotated[:8], errors[:8], rtol=0, atol=ROUNDING)


def test_stops_at_the_tolerance(A):
    _, info = newton_schulz_inverse(A, tol=1e-3)
    assert info.reason == "tol"
    assert info.converged
    assert info.errors[-1] <= 1e-3 < info.errors[-2]


def test_a_warm_start_takes_a_few_steps(A):
    W, cold = newton_schulz_inverse(A, tol=1e-12)
    moved = A + 1e-3 * np.random.RandomState(3).randn(20, 20)
    updated, info = newton_schulz_inverse(moved, W, tol=1e-12)
    assert info.n_iter <= 3 < cold.n_iter
    np.testing.assert_allclose(updated, np.linalg.inv(moved), rtol=0, atol=1e-11)


def test_failures_are_told(A):
    with pytest.warns(RuntimeWarning, match="max_iter was reached"):
        W, info = newton_schulz_inverse(A, max_iter=3)
    assert (info.reason, info.converged, info.n_iter) == ("max_iter", False, 3)
    assert info.residual == pytest.approx(2.20, rel=3e-3)
    with pytest.warns(RuntimeWarning, match="W0 was too far"):
        W, info = newton_schulz_inverse(A, 10 * np.eye(20))
    assert info.reason == "diverged"
    assert np.isfinite(W).all()
    assert info.residual == info.errors.min()
    singular = A.copy()
    singular[:, 3] = singular[:, 4]
    with pytest.warns(RuntimeWarning, match="use scipy.linalg.pinv"):
        _, info = newton_schulz_inverse(singular)
    assert not info.converged
    assert info.reason in ("floor", "max_iter")


# Columns


@pytest.mark.parametrize("step", ["frozen", "live"])
def test_a_full_batch_follows_its_recursion(A, warm, step):
    E = error(A, warm)
    epoch = [torch.arange(20)]
    W, _ = iterated.sgd_inverse(
        torch.from_numpy(A),
        torch.from_numpy(warm),
        epochs=iter([epoch]),
        frozen=step == "frozen",
        tol=None,
        max_iter=1,
    )
    expected = (E + E.T - E @ E.T) @ E
    np.testing.assert_allclose(error(A, W.numpy()), expected, rtol=0, atol=ROUNDING)


def test_a_frozen_epoch_is_the_full_batch_in_any_order(A, warm):
    E = error(A, warm)
    expected = warm + warm @ warm.T @ A.T @ E
    for order in (np.arange(20), np.random.RandomState(4).permutation(20)):
        W, _ = run_columns(A, warm, [order], frozen=True)
        np.testing.assert_allclose(W, expected, rtol=0, atol=ROUNDING)


def test_errors_per_epoch_are_the_ones_known(A, warm):
    _, info = run_columns(A, warm, [np.arange(20)] * 4, frozen=True)
    np.testing.assert_allclose(info.errors, [0.102, 1.94e-2, 7.48e-4, 1.12e-6, 2.5e-12], rtol=6e-3)
    assert info.order_ > 1.9
    _, info = run_columns(A, warm, [np.arange(20)] * 4, frozen=False)
    np.testing.assert_allclose(info.errors[:4], [0.102, 1.34e-2, 2.35e-4, 6.6e-8], rtol=6e-3)
    assert info.errors[4] < 1e-14
    assert info.order_ > 1.9


def test_a_number_by_its_own_square():
    W, info = sgd_inverse([[3.0]], [[0.25]], order="cyclic", step="frozen")
    known = [2.50e-1, 1.09e-1, 2.26e-2, 1.01e-3, 2.05e-6, 8.37e-12, 0]
    np.testing.assert_allclose(info.errors, known, rtol=6e-3, atol=1e-15)
    assert W[0, 0] == pytest.approx(1 / 3, abs=1e-15)


@pytest.mark.parametrize("order", ["cyclic", "reshuffle"])
@pytest.mark.parametrize("step", ["live", "frozen"])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_every_visiting_order_is_quadratic_per_epoch(A, order, step, batch_size):
    W, info = sgd_inverse(A, order=order, step=step, batch_size=batch_size, random_state=1)
    np.testing.assert_allclose(W, np.linalg.inv(A), rtol=0, atol=ROUNDING)
    assert info.converged
    assert info.order_ > 1.9
    assert info.warmup_errors[-1] == pytest.approx(info.errors[0], abs=1e-15)
    assert info.errors[0] < 0.3 <= info.warmup_errors[-2]
    # The bound of an epoch, above rounding errors.
    e = info.errors
    assert (e[1:] <= (2 * e[:-1] + e[:-1] ** 2) * e[:-1] + ROUNDING).all()


def test_the_bound_holds_at_the_edge_of_the_region():
    random = np.random.RandomState(7)
    for _ in range(20):
        E = random.randn(8, 8)
        E *= 0.41 / np.linalg.norm(E)
        W0 = np.eye(8) - E  # the inverse of the identity, with the error E
        order = random.permutation(8)
        _, info = run_columns(np.eye(8), W0, [order], frozen=False, switch_at=0.414)
        assert info.errors[0] == pytest.approx(0.41)
        assert info.errors[1] <= (2 * 0.41 + 0.41**2) * 0.41 + ROUNDING


def test_independent_draws_hold_the_error_of_columns_not_visited(A, warm):
    columns = np.array([0, 3, 3, 7])
    W, info = run_columns(A, warm, [columns], frozen=False)
    others = np.setdiff1d(np.arange(20), columns)
    np.testing.assert_array_equal(W[:, others], warm[:, others])
    assert (W[:, columns] != warm[:, columns]).any(axis=0).all()
    _, info = sgd_inverse(A, order="iid", random_state=0)
    assert info.converged
    assert info.residual < 1e-14
    # Twenty columns are all drawn after 72 draws in the mean, not after 20.
    _, reshuffled = sgd_inverse(A, random_state=0)
    assert info.n_iter > 1.5 * reshuffled.n_iter


def test_other_directions_converge_linearly(A, warm):
    """A random direction a step, with the same step matrix: what the columns are compared with."""
    random = np.random.RandomState(2)
    W, errors = warm.copy(), []
    for _ in range(12):
        for _ in range(20):
            x = random.randn(20)
            W += np.outer(W @ (W.T @ (A.T @ (x - A @ (W @ x)))), x) / (x @ x)
        errors.append(np.linalg.norm(error(A, W)))
    fit = convergence_order(errors)
    assert fit.order < 1.2
    assert 0.4 < (errors[-1] / errors[0]) ** (1 / 11) < 0.7


def test_the_start_is_left_alone(A, warm):
    before = warm.copy()
    sgd_inverse(A, warm, random_state=0)
    newton_schulz_inverse(A, warm)
    np.testing.assert_array_equal(warm, before)


def test_seeds_repeat(A):
    one, two = (sgd_inverse(A, random_state=5)[0] for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_a_singular_matrix_fails_in_the_warm_up(A):
    A[:, 3] = A[:, 4]
    with pytest.warns(RuntimeWarning, match="use scipy.linalg.pinv"):
        _, info = sgd_inverse(A, random_state=0)
    assert not info.converged


# Both


@pytest.mark.parametrize("function", [newton_schulz_inverse, sgd_inverse])
def test_answers_in_kind(A, function, device):
    options = {} if function is newton_schulz_inverse else {"random_state": 0}
    expected = np.linalg.inv(A)
    W, info = function(A, **options)
    assert isinstance(W, np.ndarray)
    assert isinstance(info.errors, np.ndarray)
    tensor = torch.from_numpy(A).to(device)
    V, info = function(tensor, **options)
    assert V.device == tensor.device
    assert isinstance(info.errors, torch.Tensor)
    np.testing.assert_allclose(V.cpu(), expected, rtol=0, atol=ROUNDING)
    single, info = function(tensor.float(), **options)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.cpu(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("function", [newton_schulz_inverse, sgd_inverse])
@pytest.mark.parametrize(
    ("dtype", "exponents"), [("float64", (-1000, -520, 1000)), ("float32", (-100, 100))]
)
def test_units_change_no_digit(A, function, dtype, exponents):
    """A power of two is exact, and what is squared stays within range."""
    options = {} if function is newton_schulz_inverse else {"random_state": 0}
    A = A.astype(dtype)
    W, info = function(A, **options)
    for exponent in exponents:
        scaled, other = function(np.ldexp(A, exponent).astype(dtype), **options)
        np.testing.assert_array_equal(scaled, np.ldexp(W, -exponent))
        assert other.residual == info.residual
        again, _ = function(np.ldexp(A, exponent), np.ldexp(W, -exponent), **options)
        assert np.isfinite(again).all()


@pytest.mark.parametrize("function", [newton_schulz_inverse, sgd_inverse])
def test_an_inverse_out_of_range_is_refused(A, function):
    options = {} if function is newton_schulz_inverse else {"random_state": 0}
    with pytest.raises(ValueError, match="A must be scaled: torch.float64 does not hold"):
        function(A * 1e-310, **options)
    with pytest.raises(ValueError, match="W0 must be near the inverse of A"):
        function(A * 1e200, np.full_like(A, 1e200), **options)


@pytest.mark.parametrize("function", [newton_schulz_inverse, sgd_inverse])
def test_bad_arguments_are_named(A, function):
    with pytest.raises(ValueError, match="A must"):
        function(A[0])
    with pytest.raises(ValueError, match="A must hold finite"):
        function(A * np.nan)
    with pytest.raises(ValueError, match="A must not be zero"):
        function(0 * A)
    with pytest.raises(ValueError, match=r"W0 must have the shape of the inverse, \(20, 20\)"):
        function(A, A[:3])
    with pytest.raises(ValueError, match="tol"):
        function(A, tol=0.0)
    with pytest.raises(ValueError, match="max_iter"):
        function(A, max_iter=0)
    with config_context(memory_budget=1000), pytest.raises(MemoryError, match="The iterates"):
        function(A)


def test_bad_arguments_of_the_columns_are_named(A):
    with pytest.raises(ValueError, match="A must be a square matrix"):
        sgd_inverse(A[:5])
    with pytest.raises(ValueError, match="order must be one of 'reshuffle'"):
        sgd_inverse(A, order="random")
    with pytest.raises(ValueError, match="step must be one of 'live'"):
        sgd_inverse(A, step="lively")
    with pytest.raises(ValueError, match="batch_size"):
        sgd_inverse(A, batch_size=0)
    with pytest.raises(ValueError, match="switch_at"):
        sgd_inverse(A, switch_at=0.5)
    with pytest.raises(TypeError, match="refine"):
        newton_schulz_inverse(A, refine="yes")
