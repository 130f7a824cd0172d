"""Least squares with a ridge against the normal equations and augmented designs."""

import numpy as np
import pytest
import torch

from skoverparam.linalg._minimum_norm import default_rcond, minimum_norm
from skoverparam.linalg._ridge import ridge_features_path, ridge_solution, ridges_path


def gaussian(*shape, seed=0):
    return torch.tensor(np.random.default_rng(seed).normal(size=shape))


def augmented(Z, Y, ridge):
    """The same problem without a ridge: rows sqrt(ridge) I with targets 0, by QR."""
    d = Z.shape[1]
    rows = torch.cat([Z, ridge**0.5 * torch.eye(d, dtype=Z.dtype)])
    return torch.linalg.lstsq(rows, torch.cat([Y, Y.new_zeros(d, Y.shape[1])])).solution


@pytest.mark.parametrize("shape", [(20, 60), (60, 20), (30, 30), (1, 4), (4, 1)])
@pytest.mark.parametrize("ridge", [1e-9, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("solver", ["auto", "svd", "cholesky"])
def test_equals_the_augmented_least_squares(shape, ridge, solver):
    Z, Y = gaussian(*shape), gaussian(shape[0], 2, seed=1)
    found = ridge_solution(Z, Y, ridge=ridge, solver=solver)
    expected = augmented(Z, Y, ridge)
    # Condition numbers up to some hundred; the Gram matrix squares them.
    atol = 1e-8 if found.solver == "cholesky" else 1e-9
    np.testing.assert_allclose(found.coef, expected, rtol=0, atol=atol * expected.abs().max())
    if found.solver == "svd":
        np.testing.assert_allclose(found.singular_values, torch.linalg.svdvals(Z), rtol=1e-10)
        assert found.rank == min(shape)
    else:
        assert found.rank is found.singular_values is None


def test_auto_takes_the_gram_matrix_where_it_is_exact():
    # Singular values down to 1e-9: a factorization of the Gram matrix sees none below 1e-8.
    U, V = (torch.linalg.qr(gaussian(size, 30, seed=size)).Q for size in (40, 80))
    Z, Y = U * torch.logspace(0, -9, 30, dtype=U.dtype) @ V.T, gaussian(40, 1)
    for ridge, solver in ((1e-6, "cholesky"), (1e-12, "svd"), (1e-20, "svd")):
        found = ridge_solution(Z, Y, ridge=ridge)
        assert found.solver == solver
        values = torch.logspace(0, -9, 30, dtype=U.dtype)
        expected = V @ ((values / (values**2 + ridge))[:, None] * (U.T @ Y))
        error = (found.coef - expected).norm() / expected.norm()
        # Rounding errors, 1e-16, over the ridge; of singular values over its square root.
        assert error < 100 * 1e-16 / ridge ** (1 if solver == "cholesky" else 0.5)


def test_no_ridge_is_the_solution_of_smallest_norm():
    Z, Y = gaussian(20, 60), gaussian(20, 2, seed=1)
    found, least = ridge_solution(Z, Y, ridge=0.0), minimum_norm(Z, Y)
    torch.testing.assert_close(found.coef, least.coef)
    assert (found.rank, found.solver) == (20, "svd")


def test_a_gram_matrix_that_is_singular_to_rounding_falls_back():
    Z = torch.ones(6, 3, dtype=torch.float64)
    Y = torch.arange(6.0, dtype=torch.float64)[:, None]
    found = ridge_solution(Z, Y, ridge=1e-30, solver="cholesky")
    np.testing.assert_allclose(Z @ found.coef, 2.5, rtol=1e-12)


@pytest.mark.parametrize("shape", [(20, 60), (60, 20)])
def test_all_ridges_from_one_decomposition(shape):
    Z, Y = gaussian(*shape), gaussian(shape[0], 2, seed=1)
    ridges = [0.0, 1e-6, 1.0]
    floor = default_rcond(*shape, Z.dtype)
    path = ridges_path(Z, Y, ridges, [0.5, floor, floor])
    for ridge, coef in zip(ridges, path, strict=True):
        rcond = 0.5 if ridge == 0 else None
        expected = ridge_solution(Z, Y, ridge=ridge, rcond=rcond).coef
        torch.testing.assert_close(coef, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("ridge", [1e-14, 1e-3, 1.0])
def test_growing_designs(ridge):
    Z, Y = gaussian(20, 70), gaussian(20, 2, seed=1)
    dims = [1, 5, 19, 20, 21, 50, 70]
    ridges = [ridge * (1 + d) for d in dims]
    path = ridge_features_path(Z, Y, dims, ridges)
    for d, r, coef in zip(dims, ridges, path, strict=True):
        expected = ridge_solution(Z[:, :d], Y, ridge=r, solver="svd").coef
        torch.testing.assert_close(coef, expected, rtol=1e-7, atol=1e-9)
