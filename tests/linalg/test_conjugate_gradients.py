"""Conjugate gradients against dense solves."""

import pytest
import torch

from skoverparam.linalg._conjugate_gradients import conjugate_gradients


def spd(n, generator, smallest=0.1):
    A = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return A @ A.T / n + smallest * torch.eye(n, dtype=torch.float64)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_solves_a_batch_each_system_with_its_own_operator(generator, device):
    # Three ridges at once, unknowns of two axes: every system equals its own dense solve.
    A = spd(12, generator).to(device)
    ridge = torch.tensor([0.0, 0.5, 10.0], dtype=torch.float64, device=device)
    Y = torch.randn(3, 3, 4, generator=generator, dtype=torch.float64).to(device)

    def apply(X):
        flat = X.flatten(1)
        return (flat @ A + ridge[:, None] * flat).view_as(X)

    result = conjugate_gradients(apply, Y, tol=1e-13, max_iter=200)

    eye = torch.eye(12, dtype=torch.float64, device=device)
    for k in range(3):
        expected = torch.linalg.solve(A + ridge[k] * eye, Y[k].flatten())
        torch.testing.assert_close(result.x[k].flatten(), expected, rtol=0, atol=1e-11)
    assert result.converged
    # n steps are enough in exact arithmetic; rounding costs a few more.
    assert result.n_iter <= 20


def test_the_residual_reported_is_the_true_one(generator):
    A = spd(30, generator, smallest=1e-6).float()
    Y = torch.randn(2, 30, generator=generator)
    result = conjugate_gradients(lambda X: X @ A, Y, tol=1e-12, max_iter=500)
    true = torch.linalg.vector_norm(Y.double() - result.x.double() @ A.double(), dim=1)
    true /= torch.linalg.vector_norm(Y.double(), dim=1)
    # float32 cannot reach the tolerance: it must stop, say so, and not claim a recurred residual.
    assert not result.converged
    torch.testing.assert_close(result.residual.double(), true, rtol=0.3, atol=1e-7)


def test_a_preconditioner_saves_steps_and_changes_nothing_else(generator):
    scales = torch.logspace(0, 6, 40, dtype=torch.float64)
    A = scales[:, None].sqrt() * spd(40, generator) * scales.sqrt()
    Y = torch.randn(1, 40, generator=generator, dtype=torch.float64)

    def solve(precondition):
        return conjugate_gradients(
            lambda X: X @ A, Y, tol=1e-10, max_iter=4000, precondition=precondition
        )

    plain, preconditioned = solve(None), solve(lambda R: R / A.diagonal())
    assert preconditioned.converged
    assert preconditioned.n_iter < plain.n_iter / 2
    expected = torch.linalg.solve(A, Y[0])
    torch.testing.assert_close(preconditioned.x[0], expected, rtol=1e-6, atol=1e-12)


def test_a_start_at_the_solution_costs_no_step(generator):
    A = spd(10, generator)
    x = torch.randn(1, 10, generator=generator, dtype=torch.float64)
    result = conjugate_gradients(lambda X: X @ A, x @ A, tol=1e-10, max_iter=50, x0=x)
    assert result.n_iter == 0
    torch.testing.assert_close(result.x, x, rtol=0, atol=0)


def test_zero_right_hand_sides_and_singular_directions_stand_still():
    A = torch.diag(torch.tensor([2.0, 0.0], dtype=torch.float64))
    Y = torch.tensor([[0.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
    result = conjugate_gradients(lambda X: X @ A, Y, tol=1e-10, max_iter=50)
    expected = torch.tensor([[0.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(result.x, expected)
    assert torch.isfinite(result.residual).all()


def test_a_singular_system_without_a_solution_is_not_made_worse(generator):
    # What A cannot give stays in the residual, and must not be chased with ever longer steps.
    B = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    A = B @ B.T
    Y = torch.randn(1, 20, generator=generator, dtype=torch.float64)
    result = conjugate_gradients(lambda X: X @ A, Y, tol=1e-10, max_iter=500)
    assert not result.converged
    assert result.residual[0] <= 1
    assert result.x.norm() < 1e3 * (Y @ torch.linalg.pinv(A)).norm()
    start = Y @ torch.linalg.pinv(A)
    again = conjugate_gradients(lambda X: X @ A, Y, tol=1e-10, max_iter=500, x0=start)
    least = (Y - start @ A).norm() / Y.norm()
    torch.testing.assert_close(again.residual[0], least, rtol=1e-6, atol=0)
