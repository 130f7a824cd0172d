"""Batched, padded, shared factorizations against one dense solve per row."""

import pytest
import torch

from skoverparam.completion import _masked_rows
from skoverparam.completion._masked_rows import solve_masked_rows


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    m, n = 120, 40
    F = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    C = F @ F.T + 0.3 * torch.eye(n, dtype=torch.float64)
    observed = torch.rand(m, n, generator=generator) < 0.7
    observed[:50] = observed[0]  # rows that share a mask
    observed[60] = False  # nothing to learn from
    observed[61] = True
    Y = torch.randn(m, n, generator=generator, dtype=torch.float64)
    ridge = torch.full((m,), 0.1, dtype=torch.float64)
    ridge[20:30] = 0.7  # a shared mask with another ridge
    noise = torch.rand(n, generator=generator, dtype=torch.float64) + 0.5
    return C, Y, observed, ridge, noise


def row_system(problem, i):
    C, Y, observed, ridge, noise = problem
    seen = observed[i].nonzero()[:, 0]
    return seen, C[seen][:, seen] + ridge[i] * torch.diag(noise[seen]), Y[i, seen]


@pytest.mark.parametrize("batch_entries", [1, 5000, 2**22])
def test_every_row_equals_its_own_dense_solve(problem, monkeypatch, batch_entries):
    monkeypatch.setattr(_masked_rows, "_BATCH_ENTRIES", batch_entries)
    C, Y, observed, ridge, noise = problem
    solution = solve_masked_rows(C, Y, observed, ridge, noise, leave_one_out=True)
    for i in range(len(Y)):
        seen, K, y = row_system(problem, i)
        expected = torch.zeros_like(Y[i])
        if len(seen):
            expected[seen] = torch.linalg.solve(K, y)
        # Condition numbers here are below 1e3: twelve digits are left.
        torch.testing.assert_close(solution.dual[i], expected, rtol=0, atol=1e-11)
    assert solution.jitter == 0.0


def test_leave_one_out_equals_explicit_refits(problem):
    C, Y, observed, ridge, noise = problem
    solution = solve_masked_rows(C, Y, observed, ridge, noise, leave_one_out=True)
    for i in (0, 25, 61, 100):
        seen, K, y = row_system(problem, i)
        for place in (0, len(seen) // 2):
            rest = torch.arange(len(seen)) != place
            predicted = K[place, rest] @ torch.linalg.solve(K[rest][:, rest], y[rest])
            left_out = solution.leave_one_out[i, seen[place]]
            torch.testing.assert_close(left_out, y[place] - predicted, rtol=0, atol=1e-10)
    assert (solution.leave_one_out[~observed] == 0).all()


def test_rows_with_one_mask_share_one_factorization(problem, monkeypatch):
    C, Y, observed, _, _ = problem
    factorized = []

    def spy(K, name):
        factorized.append(len(K))
        return torch.linalg.cholesky(K), 0.0

    monkeypatch.setattr(_masked_rows, "jittered_cholesky", spy)
    solve_masked_rows(C, Y[:50], observed[:50], Y.new_full((50,), 0.1))
    assert factorized == [1]


def test_a_singular_kernel_is_solved_with_recorded_jitter():
    # Two equal columns at ridge zero: consistent targets are interpolated.
    C = torch.ones(2, 2, dtype=torch.float64)
    Y = torch.tensor([[3.0, 3.0]], dtype=torch.float64)
    solution = solve_masked_rows(C, Y, torch.ones(1, 2, dtype=torch.bool), Y.new_zeros(1))
    assert 0 < solution.jitter < 1e-10
    torch.testing.assert_close(solution.dual @ C, Y, rtol=0, atol=1e-8)


def test_an_indefinite_kernel_is_refused():
    C = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    Y = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match="not positive semidefinite"):
        solve_masked_rows(C, Y, torch.ones(1, 2, dtype=torch.bool), Y.new_zeros(1))
