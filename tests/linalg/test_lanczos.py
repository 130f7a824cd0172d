"""Largest eigenvalues from a few products."""

import torch

from skoverparam.linalg._lanczos import largest_eigenvalue


def start(n):
    return torch.randn(n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_from_below_and_close_where_there_is_a_gap():
    values = torch.linspace(0.1, 1, 50, dtype=torch.float64)
    values[-1] = 5.0
    found = largest_eigenvalue(lambda v: values[:, None] * v, start(50))
    assert 4.99 < found <= 5.0 + 1e-12


def test_few_distinct_eigenvalues_end_it_early():
    calls = []

    def apply(v):
        calls.append(1)
        return 2.0 * v

    assert abs(largest_eigenvalue(apply, start(30)) - 2.0) < 1e-12
    assert len(calls) == 1


def test_order_one_and_zero():
    assert abs(largest_eigenvalue(lambda v: 3.0 * v, start(1)) - 3.0) < 1e-12
    assert largest_eigenvalue(lambda v: 0.0 * v, start(4)) == 0.0
