"""Kernel matrices in tiles, against the whole matrix."""

from functools import partial

import numpy as np
import pytest
import torch

from skoverparam.kernels import laplace
from skoverparam.kernels._radial import RadialKernel
from skoverparam.linalg import kernel_matvec as public_kernel_matvec
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._matvec import kernel_matvec


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def points(n, d=3):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(n), dtype=torch.float64)


def plain(X, Z=None):
    """A kernel with neither ``into`` nor ``diagonal``, and a diagonal that varies."""
    Z = X if Z is None else Z
    return 1 + X @ Z.T


KERNELS = [plain, RadialKernel("laplace", 2.0), RadialKernel("gaussian", 1.5)]


@pytest.mark.parametrize("kernel", KERNELS, ids=["plain", "laplace", "gaussian"])
@pytest.mark.parametrize("side", [5, 64, 1000])
def test_every_view_of_the_matrix(kernel, side):
    X = points(150)
    K = kernel(X)
    matrix = KernelMatrix(kernel, X, block_bytes=8 * side**2)
    V = normal(150, 2)
    rows, columns = torch.tensor([7, 3, 149]), torch.tensor([0, 149, 3, 8])
    torch.testing.assert_close(matrix.product(V), K @ V)
    torch.testing.assert_close(matrix.diagonal(), K.diagonal())
    torch.testing.assert_close(matrix.columns(columns), K[:, columns])
    torch.testing.assert_close(matrix.submatrix(rows, columns), K[rows][:, columns])
    torch.testing.assert_close(matrix.rows_product(rows, V), K[rows] @ V)
    torch.testing.assert_close(matrix.dense(torch.float64), K)
    lower = matrix.lower(torch.float64)
    for part, block in zip(lower.rows, lower.blocks, strict=True):
        torch.testing.assert_close(block, K[part, : part.stop])


def test_stored_entries_serve_where_they_are_precise_enough():
    X = points(80)
    kernel = RadialKernel("laplace", 2.0)
    V = normal(80, 1)
    matrix = KernelMatrix(kernel, X)
    exact = matrix.product(V)
    matrix.store(torch.float32)
    single = matrix.product(V, torch.float32)
    assert single.dtype == torch.float64
    error = float((single - exact).norm() / exact.norm())
    assert 1e-9 < error < 1e-5
    # Double precision asks for entries in double precision, which are not stored.
    torch.testing.assert_close(matrix.product(V), exact, rtol=0, atol=0)
    matrix.store(torch.float64)
    torch.testing.assert_close(matrix.product(V), exact)


def test_points_far_from_the_origin_in_single_precision():
    X = points(200, 5)
    kernel = RadialKernel("laplace", 3.0)
    V = torch.ones(200, 1, dtype=torch.float64)
    near = KernelMatrix(kernel, X).product(V, torch.float32)
    far = KernelMatrix(kernel, X + 1e4).product(V, torch.float32)
    # Single precision at 1e4 would move every distance by 1e-3.
    torch.testing.assert_close(near, far, rtol=1e-5, atol=0)


@pytest.mark.parametrize("shape", [(40, 70), (1, 70), (40, 1), (3, 500), (500, 3)])
@pytest.mark.parametrize("kernel", KERNELS, ids=["plain", "laplace", "gaussian"])
def test_matvec(kernel, shape):
    X, Z = points(shape[0]), points(shape[1] + 1)[: shape[1]]
    V = normal(shape[1], 2)
    for block_bytes in (8 * 50, 8 * 4000, None):
        found = kernel_matvec(kernel, X, Z, V, block_bytes=block_bytes)
        torch.testing.assert_close(found, kernel(X, Z) @ V)
    torch.testing.assert_close(kernel_matvec(kernel, X, Z, V[:, 0]), kernel(X, Z) @ V[:, 0])


def test_matvec_in_public():
    X, Z = points(30).numpy(), points(40).numpy()
    kernel = partial(laplace, bandwidth=2.0)
    V = normal(40, 2).numpy()
    expected = laplace(X, Z, bandwidth=2.0) @ V
    np.testing.assert_allclose(public_kernel_matvec(kernel, X, Z, V), expected)
    single = public_kernel_matvec(kernel, X.astype(np.float32), Z, V[:, 0].astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected[:, 0], atol=1e-5)
    with pytest.raises(ValueError, match="V must have one or two dimensions and 40 rows"):
        public_kernel_matvec(kernel, X, Z, V[:3])
    with pytest.raises(ValueError, match="X must have two dimensions and 3 columns like Z"):
        public_kernel_matvec(kernel, X[:, :2], Z, V)


def test_a_cluster_far_away_takes_no_digits_of_the_others():
    """The middle may be in either: in double precision nothing is subtracted."""
    X = torch.tensor([[0.0], [1e-3], [1e13], [1e13 + 1], [1e13 + 2]], dtype=torch.float64)
    kernel = RadialKernel("laplace", 0.7)
    gaps = (X - X.T).abs()
    expected = torch.exp(-gaps / 0.7)
    matrix = KernelMatrix(kernel, X)
    torch.testing.assert_close(matrix.dense(torch.float64), expected, rtol=1e-13, atol=0)
    V = torch.eye(5, dtype=torch.float64)
    torch.testing.assert_close(matrix.product(V), expected, rtol=1e-13, atol=0)
    # As far as their type allows, others come from differences, too.
    wide = torch.cat([X, torch.zeros(5, 30, dtype=torch.float64)], 1)
    torch.testing.assert_close(kernel(wide), expected, rtol=1e-13, atol=0)
