"""Half of a matrix by blocks, against torch on the whole matrix."""

import pytest
import torch

from skoverparam.linalg import _lower_cholesky
from skoverparam.linalg._lower_blocks import LowerBlocks

CPU = torch.device("cpu")


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def positive_definite(n, dtype=torch.float64):
    generator = torch.Generator().manual_seed(n)
    G = torch.randn(n, n, generator=generator, dtype=torch.float64)
    return (G @ G.T / n + 0.1 * torch.eye(n, dtype=torch.float64)).to(dtype)


def halved(K, block_rows):
    """Blocks of the lower half, with noise above the diagonal blocks' own triangle."""
    blocks = LowerBlocks(len(K), K.dtype, CPU, block_rows=block_rows)
    for rows, block in zip(blocks.rows, blocks.blocks, strict=True):
        block.copy_(K[rows, : rows.stop])
    return blocks


SIZES = [(1, 4), (3, 4), (4, 4), (5, 4), (97, 16), (130, 130), (130, 500)]


@pytest.mark.parametrize(("n", "block_rows"), SIZES)
def test_bytes_are_those_of_the_blocks(n, block_rows):
    blocks = LowerBlocks(n, torch.float32, CPU, block_rows=block_rows)
    held = sum(block.numel() * 4 for block in blocks.blocks)
    assert held <= LowerBlocks.n_bytes(n, 4, block_rows)
    assert held >= 4 * n * (n + 1) / 2


@pytest.mark.parametrize(("n", "block_rows"), SIZES)
def test_symmetric_product(n, block_rows):
    K = positive_definite(n)
    V = normal(n, 3)
    torch.testing.assert_close(halved(K, block_rows).symmetric_product(V), K @ V)


def test_long_rows_are_multiplied_in_parts(monkeypatch):
    monkeypatch.setattr("skoverparam.linalg._lower_blocks._PRODUCT_COLUMNS", 10)
    K = positive_definite(61)
    V = normal(61, 2)
    torch.testing.assert_close(halved(K, 7).symmetric_product(V), K @ V)


@pytest.mark.parametrize(("n", "block_rows"), SIZES)
def test_factor_solve_product_and_inverse_diagonal(n, block_rows):
    K = positive_definite(n)
    lower = halved(K, block_rows)
    assert _lower_cholesky.factor(lower)
    L = torch.linalg.cholesky(K)
    for rows, block in zip(lower.rows, lower.blocks, strict=True):
        torch.testing.assert_close(block, L[rows, : rows.stop])
    V = normal(n, 2)
    torch.testing.assert_close(_lower_cholesky.solve(lower, V), torch.linalg.solve(K, V))
    torch.testing.assert_close(_lower_cholesky.product(lower, V), K @ V)
    torch.testing.assert_close(
        _lower_cholesky.inverse_diagonal(lower), torch.linalg.inv(K).diagonal()
    )


def test_single_precision_stays_single():
    K = positive_definite(50)
    lower = halved(K.float(), 16)
    assert _lower_cholesky.factor(lower)
    X = _lower_cholesky.solve(lower, torch.ones(50, 1, dtype=torch.float64))
    assert X.dtype == torch.float32
    expected = torch.linalg.solve(K, torch.ones(50, 1, dtype=torch.float64))
    # Condition number below 1e3 times the rounding error.
    torch.testing.assert_close(X.double(), expected, rtol=0, atol=1e-4 * float(expected.max()))


@pytest.mark.parametrize("where", [0, 40, 89])
def test_an_indefinite_matrix_has_no_factor(where):
    K = positive_definite(90)
    K[where, where] = -1.0
    assert not _lower_cholesky.factor(halved(K, 16))


def test_nan_has_no_factor():
    K = positive_definite(20)
    K[10, 3] = torch.nan
    assert not _lower_cholesky.factor(halved(K, 8))


def test_diagonal_is_read_and_overwritten():
    K = positive_definite(30)
    blocks = halved(K, 7)
    torch.testing.assert_close(blocks.diagonal(), K.diagonal())
    values = torch.arange(30, dtype=torch.float64)
    blocks.set_diagonal(values)
    torch.testing.assert_close(blocks.diagonal(), values)
    torch.testing.assert_close(blocks.blocks[2][:, :14], K[14:21, :14])
