import pytest
import torch

from skoverparam.linalg._jittered_cholesky import jittered_cholesky


def definite(n=5):
    G = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return G @ G.T + torch.eye(n)


def test_definite_matrices_are_factorized_as_they_are():
    K = torch.stack([definite(), 3 * definite()])
    factors, jitter = jittered_cholesky(K, "K")
    assert jitter == 0
    torch.testing.assert_close(factors, torch.linalg.cholesky(K))


def test_what_one_matrix_needs_changes_no_other():
    # An eigenvalue of -1e-9: the first jitter of the ladder beyond it is the one of 2.2e-9.
    K = torch.stack([definite(), torch.diag(torch.tensor([1.0, 1.0, 1.0, 2.0, -1e-9])).double()])
    factors, jitter = jittered_cholesky(K, "K")
    assert jitter == pytest.approx(float(torch.finfo(torch.float64).eps) * 1e7, rel=1e-12)
    assert torch.equal(factors[0], torch.linalg.cholesky(K[0]))
    torch.testing.assert_close(factors[1] @ factors[1].T, K[1] + jitter * torch.eye(5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_more_than_a_hundredth_of_the_diagonal_is_refused_in_any_precision(dtype):
    enough = torch.diag(torch.tensor([1.0, 1.0, -0.006], dtype=dtype))
    _, jitter = jittered_cholesky(enough, "K")
    assert jitter == pytest.approx(0.01 * float(enough.diagonal().mean()), rel=1e-6)
    with pytest.raises(ValueError, match=r"The kernel is not positive .* a jitter of 1% of its"):
        jittered_cholesky(torch.diag(torch.tensor([1.0, 1.0, -0.02], dtype=dtype)), "The kernel")
