"""Margins in other norms, against sparse truths and duality."""

import numpy as np
import pytest
import torch

from skoverparam.margins._linear_program import p_norm_margin


def points(n=40, d=100, seed=0, signal=2.0):
    rng = np.random.default_rng(seed)
    y = np.where(np.arange(n) % 2, 1.0, -1.0)
    X = rng.normal(size=(n, d)) + 0.5
    X[:, 0] += signal * y
    return torch.from_numpy(X), torch.from_numpy(y)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_margin_is_bounded_from_both_sides(norm, free):
    X, y = points()
    found = p_norm_margin(X, y, free=free, norm=norm, max_iter=10_000)
    w = found.coef[:, 0]
    size = float(torch.linalg.vector_norm(w, ord=1 if norm == "l1" else float("inf")))
    b = float(found.offset.sum())
    assert found.separable is True
    assert float((y * (X @ w + b)).min()) == pytest.approx(1.0, abs=1e-10)
    assert found.margin == pytest.approx(1 / size, rel=1e-10)
    # HiGHS is exact at a vertex, up to its tolerance of 1e-7 at worst.
    assert found.gap <= 1e-7
    pull = X.T @ (y * found.weights)
    dual = float(torch.linalg.vector_norm(pull, ord=float("inf") if norm == "l1" else 1))
    assert dual / float(found.weights.sum()) == pytest.approx(found.bound, rel=1e-9)
    if free:
        assert float(found.weights @ y) == pytest.approx(0, abs=1e-9 * float(found.weights.sum()))


def test_l1_picks_the_one_feature_that_separates():
    X, y = points(d=5, signal=10.0)
    found = p_norm_margin(X, y, free=True, norm="l1", max_iter=10_000)
    assert found.coef[:, 0].nonzero()[:, 0].tolist() == [0]
    width = float(X[y > 0, 0].min() - X[y < 0, 0].max())
    assert found.margin == pytest.approx(width / 2, rel=1e-9)


def test_linf_of_one_feature_is_the_interval_between_the_classes():
    X, y = points(d=1, signal=10.0)
    for norm in ("l1", "linf"):
        found = p_norm_margin(X, y, free=True, norm=norm, max_iter=10_000)
        width = float(X[y > 0, 0].min() - X[y < 0, 0].max())
        assert found.margin == pytest.approx(width / 2, rel=1e-9)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_the_proof_of_non_separability_checks_out(norm, free):
    X, y = points(d=3, signal=0.0)
    found = p_norm_margin(X, y, free=free, norm=norm, max_iter=10_000)
    assert found.separable is False
    a = found.weights
    assert float(a.min()) >= 0
    assert float((X.T @ (a * y)).abs().max()) <= 1e-9 * float(a.sum() * X.abs().max())
    if free:
        assert float(a @ y) == pytest.approx(0, abs=1e-9)


def test_too_few_iterations_decide_nothing():
    X, signs = points(n=2, d=7)[:2]
    found = p_norm_margin(X, signs, free=False, norm="l1", max_iter=1)
    assert found.separable is None
