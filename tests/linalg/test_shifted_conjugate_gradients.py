"""One Krylov space for several ridges, against dense solves."""

import pytest
import torch

from skoverparam.linalg._shifted_conjugate_gradients import shifted_conjugate_gradients


def problem(n=40, seed=0):
    generator = torch.Generator().manual_seed(seed)
    G = torch.randn(n, n // 2, generator=generator, dtype=torch.float64)
    return G @ G.T, torch.randn(n, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shifts", [[0.5], [3.0, 0.5, 40.0]])
def test_equals_dense_solves(shifts):
    A, y = problem()
    shifts = torch.tensor(shifts, dtype=torch.float64)
    for step in shifted_conjugate_gradients(A.mv, y, shifts, tol=1e-12, max_iter=200):
        last = step
    for x, shift in zip(last.x, shifts, strict=True):
        exact = torch.linalg.solve(A + shift * torch.eye(len(A)), y)
        # tol times the condition number, about 400.
        torch.testing.assert_close(x, exact, atol=1e-9, rtol=0)


def test_every_iterate_is_that_of_the_shift_alone():
    A, y = problem()
    both = shifted_conjugate_gradients(A.mv, y, torch.tensor([0.5, 2.0]), tol=1e-10, max_iter=9)
    alone = shifted_conjugate_gradients(A.mv, y, torch.tensor([2.0]), tol=1e-10, max_iter=9)
    for step, expected in zip(both, alone, strict=True):
        torch.testing.assert_close(step.x[1], expected.x[0], atol=1e-10, rtol=0)


def test_residual_is_that_of_the_smallest_shift():
    A, y = problem()
    shifts = torch.tensor([2.0, 0.5], dtype=torch.float64)
    for step in shifted_conjugate_gradients(A.mv, y, shifts, tol=1e-3, max_iter=100):
        true = [
            float((y - A @ x - shift * x).norm() / y.norm())
            for x, shift in zip(step.x, shifts, strict=True)
        ]
        assert step.residual == pytest.approx(true[1], rel=1e-6)
        assert true[0] <= true[1] * (1 + 1e-9)
    assert step.residual <= 1e-3


def test_zero_right_hand_side():
    A, y = problem()
    (step,) = shifted_conjugate_gradients(
        A.mv, torch.zeros_like(y), torch.tensor([1.0]), tol=1e-3, max_iter=5
    )
    assert step.residual == 0.0
    assert not step.x.any()
