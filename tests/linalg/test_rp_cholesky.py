"""Partial Cholesky factors against dense matrices."""

from functools import partial

import numpy as np
import pytest
import torch

from skoverparam import config_context
from skoverparam.kernels import laplace
from skoverparam.linalg import rp_cholesky as public_rp_cholesky
from skoverparam.linalg._rp_cholesky import rp_cholesky


def positive_semidefinite(n, rank, seed=0):
    generator = torch.Generator().manual_seed(seed)
    G = torch.randn(n, rank, generator=generator, dtype=torch.float64)
    return G @ G.T


def factorize(K, rank, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return rp_cholesky(lambda ids: K[:, ids], K.diagonal(), rank, generator=generator, **options)


def test_full_rank_is_exact():
    K = positive_semidefinite(40, 60)
    result = factorize(K, 40)
    assert result.factor.shape == (40, 40)
    # Rounding of a well-conditioned Cholesky factorization, entries of K being near 60.
    torch.testing.assert_close(result.factor @ result.factor.T, K, atol=1e-10, rtol=0)
    assert float(result.residual_diagonal.max()) < 1e-10


def test_stops_at_the_numerical_rank():
    K = positive_semidefinite(50, 7)
    result = factorize(K, 50)
    assert result.factor.shape == (50, 7)
    torch.testing.assert_close(result.factor @ result.factor.T, K, atol=1e-10, rtol=0)


@pytest.mark.parametrize("block_size", [1, 4, 15])
def test_is_the_nystrom_approximation_of_its_pivots(block_size):
    K = positive_semidefinite(30, 40)
    result = factorize(K, 15, block_size=block_size)
    S = result.pivots
    assert len(S) == len(S.unique()) == 15
    nystrom = K[:, S] @ torch.linalg.solve(K[S][:, S], K[S])
    torch.testing.assert_close(result.factor @ result.factor.T, nystrom, atol=1e-9, rtol=0)
    torch.testing.assert_close(
        result.residual_diagonal, (K - nystrom).diagonal().clamp_min(0), atol=1e-9, rtol=0
    )


def test_pivot_rows_extend_the_factor_to_new_points():
    K = positive_semidefinite(31, 40)
    result = factorize(K[:30, :30], 12)
    lower = result.factor[result.pivots]
    assert torch.equal(lower, lower.tril())
    row = torch.linalg.solve_triangular(lower, K[30, result.pivots][:, None], upper=False)
    expected = K[:30, result.pivots] @ torch.linalg.solve(
        K[result.pivots][:, result.pivots], K[30, result.pivots]
    )
    torch.testing.assert_close(result.factor @ row[:, 0], expected, atol=1e-9, rtol=0)


def test_duplicates_are_never_pivots_twice():
    K = positive_semidefinite(20, 30)
    twice = torch.arange(20).repeat(2)
    result = factorize(K[twice][:, twice], 40)
    assert result.factor.shape == (40, 20)
    assert len((result.pivots % 20).unique()) == 20


def test_first_pivots_follow_the_diagonal():
    K = torch.diag(torch.tensor([1.0, 3.0, 0.0, 4.0], dtype=torch.float64))
    first = torch.tensor([int(factorize(K, 1, seed=s).pivots[0]) for s in range(800)])
    shares = torch.bincount(first, minlength=4) / 800
    # Five standard errors of a share of one half.
    torch.testing.assert_close(
        shares, torch.tensor([1 / 8, 3 / 8, 0, 1 / 2]), atol=5 * 0.5 / 800**0.5, rtol=0
    )


def test_law_of_the_pivots_does_not_depend_on_the_block():
    K = positive_semidefinite(4, 2, seed=3) + 0.1 * torch.eye(4, dtype=torch.float64)
    shares = []
    for block_size in (1, 2):
        pairs = [factorize(K, 2, seed=s, block_size=block_size).pivots for s in range(2000)]
        keys = torch.stack([4 * p[0] + p[1] for p in pairs])
        shares.append(torch.bincount(keys, minlength=16) / 2000)
    # Five standard errors of the difference of two shares of one half.
    torch.testing.assert_close(shares[0], shares[1], atol=5 * (0.5 / 2000) ** 0.5, rtol=0)


def test_tolerance_bounds_the_trace():
    K = positive_semidefinite(60, 60)
    result = factorize(K, 60, tol=0.2)
    assert result.factor.shape[1] < 60
    assert float(result.residual_diagonal.sum()) <= 0.2 * float(K.trace())


def test_nothing_to_factorize():
    assert factorize(torch.zeros(5, 5, dtype=torch.float64), 5).factor.shape == (5, 0)


def test_single_precision_columns():
    K = positive_semidefinite(40, 60).to(torch.float32)
    result = factorize(K, 20)
    assert result.factor.dtype == torch.float32
    S = result.pivots
    # Columns of pivots are reproduced to float32 rounding of numbers near 100.
    torch.testing.assert_close((result.factor @ result.factor.T)[:, S], K[:, S], atol=2e-3, rtol=0)


def test_going_on_from_a_factor():
    K = positive_semidefinite(60, 80)
    first = factorize(K, 15)
    more = factorize(K, 40, seed=1, start=first)
    torch.testing.assert_close(more.factor[:, :15], first.factor)
    torch.testing.assert_close(more.pivots[:15], first.pivots)
    assert len(set(more.pivots.tolist())) == 40
    left = (K - more.factor @ more.factor.T).diagonal()
    torch.testing.assert_close(more.residual_diagonal, left.clamp_min(0), atol=1e-9, rtol=0)
    chosen = more.pivots
    torch.testing.assert_close(
        more.factor[chosen], torch.linalg.cholesky(K[chosen][:, chosen]), atol=1e-9, rtol=0
    )


def test_in_public():
    X = np.random.default_rng(0).normal(size=(200, 3))
    kernel = partial(laplace, bandwidth=3.0)
    result = public_rp_cholesky(kernel, X, 30, random_state=0)
    assert result.factor.shape == (200, 30)
    K = laplace(X, bandwidth=3.0)
    np.testing.assert_allclose(result.residual_diagonal, 1 - (result.factor**2).sum(1), atol=1e-12)
    np.testing.assert_allclose(
        (result.factor @ result.factor.T)[result.pivots], K[result.pivots], atol=1e-12
    )
    single = public_rp_cholesky(kernel, X.astype(np.float32), 30, random_state=0)
    assert single.factor.dtype == np.float32
    coarse = public_rp_cholesky(kernel, X, 200, tol=0.5, random_state=0)
    assert coarse.residual_diagonal.sum() <= 100
    assert coarse.factor.shape[1] < 150


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"kernel": 3}, TypeError, "kernel must be a function"),
        ({"X": np.ones(4)}, ValueError, "X must have two dimensions"),
        ({"rank": 0}, ValueError, "rank"),
        ({"rank": 2.5}, TypeError, "rank"),
        ({"tol": -1.0}, ValueError, "tol"),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    arguments = {"kernel": laplace, "X": np.ones((4, 2)), "rank": 2, "random_state": 0} | change
    with pytest.raises(error, match=message):
        public_rp_cholesky(**arguments)


def test_a_factor_too_large_is_refused_before_any_work():
    X = np.ones((1000, 2))
    with config_context(memory_budget=1e4), pytest.raises(MemoryError, match="smaller rank"):
        public_rp_cholesky(laplace, X, 500, random_state=0)
