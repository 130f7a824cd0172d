"""Inverse of a low-rank matrix with a diagonal, against a dense inverse."""

import pytest
import torch

from skoverparam.linalg._low_rank_preconditioner import LowRankPreconditioner


@pytest.mark.parametrize("columns", [1, 3])
def test_inverse(columns):
    generator = torch.Generator().manual_seed(0)
    F = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    shift = 0.1 + torch.rand(40, columns, generator=generator, dtype=torch.float64)
    R = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    expected = torch.stack(
        [
            torch.linalg.solve(F @ F.T + torch.diag(shift[:, k % columns]), R[:, k])
            for k in range(3)
        ],
        dim=1,
    )
    inverse = LowRankPreconditioner(F, shift)
    torch.testing.assert_close(inverse(R), expected)
    chosen = torch.tensor([2, 0])
    torch.testing.assert_close(inverse(R[:, chosen], chosen), expected[:, chosen])


def test_no_columns_leave_the_diagonal():
    shift = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    inverse = LowRankPreconditioner(torch.empty(2, 0, dtype=torch.float64), shift)
    torch.testing.assert_close(inverse(torch.ones(2, 1, dtype=torch.float64)), 1 / shift)
