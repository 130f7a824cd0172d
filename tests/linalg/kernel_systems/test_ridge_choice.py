"""The ridge chosen by leave-one-out errors against refits, with weights of all shapes."""

import functools

import pytest
import torch

from skoverparam.kernels._radial import RadialKernel
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._ridge_choice import (
    choice_bytes,
    choose_ridge,
    ridges_path,
)

RIDGES = [0.0, 1e-3, 1e-2, 0.1, 1.0, 10.0]


def pose(n=40, c=3, columns=None):
    generator = torch.Generator().manual_seed(0)
    draw = functools.partial(torch.randn, generator=generator, dtype=torch.float64)
    X = draw(n, 2)
    Y = X[:, :1].sin() + 1.5 * draw(n, c)
    weights = None if columns is None else draw(n, columns).exp()
    matrix = KernelMatrix(RadialKernel("laplace", 2.0), X)
    return matrix, matrix.kernel(X), Y, weights


def solve(K, Y, weights, ridge):
    columns = []
    for j in range(Y.shape[1]):
        w = torch.ones(len(K), dtype=K.dtype)
        if weights is not None:
            w = weights[:, min(j, weights.shape[1] - 1)]
        columns.append(torch.linalg.solve(K + torch.diag(ridge / w), Y[:, j]))
    return torch.stack(columns, 1)


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_choice_is_that_of_refits(columns):
    matrix, K, Y, weights = pose(columns=columns)
    found = choose_ridge(matrix, Y, weights, RIDGES)
    rows = torch.arange(len(K))
    for ridge, error in zip(RIDGES, found.errors, strict=True):
        left_out = torch.empty_like(Y)
        for i in rows:
            rest = rows != i
            w = None if weights is None else weights[rest]
            coef = solve(K[rest][:, rest], Y[rest], w, ridge)
            left_out[i] = Y[i] - K[i, rest] @ coef
        squares = left_out.square()
        shares = torch.ones_like(Y) if weights is None else weights.expand_as(Y)
        expected = (shares * squares).sum() / shares.sum()
        torch.testing.assert_close(error, expected, rtol=1e-9, atol=0)
        if ridge == found.ridge:
            torch.testing.assert_close(found.loo_residuals, left_out, rtol=0, atol=1e-10)
    assert found.ridge == RIDGES[int(found.errors.argmin())]
    coef = solve(K, Y, weights, found.ridge)
    torch.testing.assert_close(found.dual_coef, coef, rtol=0, atol=1e-10)


@pytest.mark.parametrize("columns", [None, 1, 3])
def test_path_is_that_of_solves(columns):
    matrix, K, Y, weights = pose(columns=columns)
    for ridge, coef in zip(RIDGES, ridges_path(matrix, Y, weights, RIDGES), strict=True):
        torch.testing.assert_close(coef, solve(K, Y, weights, ridge), rtol=0, atol=1e-9)


def test_condition_is_that_of_the_choice():
    matrix, K, Y, _ = pose()
    found = choose_ridge(matrix, Y, None, RIDGES)
    values = torch.linalg.eigvalsh(K) + found.ridge
    assert found.condition_estimate == pytest.approx(float(values[-1] / values[0]), rel=1e-8)


def test_no_ridge_is_no_candidate_where_the_matrix_is_singular():
    X = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    matrix = KernelMatrix(RadialKernel("laplace", 1.0), X)
    Y = torch.ones(3, 1, dtype=torch.float64)
    found = choose_ridge(matrix, Y, None, [0.0, 1e-6, 1.0])
    assert found.errors[0] == torch.inf
    assert found.ridge == 1e-6


def test_memory():
    assert choice_bytes(1000, 1, 1) > 8 * 1000**2
