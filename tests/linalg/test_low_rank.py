"""Low rank plus diagonal against the matrix it stands for."""

import torch

from skoverparam.linalg._low_rank import LowRankPlusDiagonal


def test_products_equal_those_of_the_dense_matrix(device):
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(7, 3, generator=generator, dtype=torch.float64).to(device)
    d = torch.rand(7, generator=generator, dtype=torch.float64).to(device)
    dense = A @ A.T + torch.diag(d)
    X = torch.randn(2, 7, 4, generator=generator, dtype=torch.float64).to(device)
    operator = LowRankPlusDiagonal(A, d)
    torch.testing.assert_close(operator @ X[0], dense @ X[0], rtol=0, atol=1e-13)
    torch.testing.assert_close(operator @ X, dense @ X, rtol=0, atol=1e-13)
