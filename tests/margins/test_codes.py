"""Codes of classes, against the geometry they stand for and another multiclass machine."""

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC

from skoverparam.margins._codes import between_corners, one_against_rest, simplex_codes
from skoverparam.margins._constraints import Points, symmetric_product
from skoverparam.margins._hard_margin import hard_margin


@pytest.mark.parametrize("k", [2, 3, 4, 10])
def test_corners_are_those_of_a_regular_simplex(k):
    codes = simplex_codes(k, torch.zeros(1).double())
    expected = torch.full((k, k), -1.0 / (k - 1), dtype=torch.float64)
    expected.fill_diagonal_(1.0)
    torch.testing.assert_close(codes @ codes.T, expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(codes.sum(0), torch.zeros(k - 1).double(), rtol=0, atol=1e-14)


def classes(n=45, d=20, k=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    X = rng.normal(size=(n, d))
    X[:, :k] += 3 * np.eye(k)[labels]
    return torch.from_numpy(X), torch.from_numpy(labels)


def test_two_classes_make_one_problem():
    X, labels = classes(k=2)
    (only,) = one_against_rest(Points(X=X), labels, 2, True)
    corners = between_corners(Points(X=X), labels, simplex_codes(2, X), True)
    torch.testing.assert_close(only.codes, corners.codes, rtol=0, atol=1e-15)
    torch.testing.assert_close(only.gram(), corners.gram(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("free", [True, False])
def test_products_features_and_gram_are_one_matrix(free):
    X, labels = classes(n=12, d=5)
    points = Points(X=X)
    for problem in (
        between_corners(points, labels, simplex_codes(3, X), free),
        one_against_rest(points, labels, 3, free)[0],
    ):
        rows = torch.arange(problem.count) if problem.index is None else problem.index
        Z = torch.stack(
            [torch.outer(X[i], c).flatten() for i, c in zip(rows, problem.codes, strict=True)]
        )
        K = Z @ Z.T
        torch.testing.assert_close(problem.gram(), K, rtol=0, atol=1e-12)
        F = problem.features()
        torch.testing.assert_close(F @ F.T, K, rtol=0, atol=1e-12)
        a = torch.arange(1.0, problem.count + 1).double()
        torch.testing.assert_close(problem.products(a), K @ a, rtol=1e-12, atol=0)
        some = torch.tensor([1, 3, 4])
        torch.testing.assert_close(problem.block(some), K[some][:, some], rtol=0, atol=1e-12)
        assert problem.scale == pytest.approx(float(K.diagonal().mean().sqrt()))


def test_features_of_few_points_and_of_kernels_have_their_inner_products():
    X, _ = classes(n=10, d=30)
    for points in (Points(X=X), Points(K=X @ X.T)):
        F = points.features
        assert F.shape == (10, 10)
        torch.testing.assert_close(F @ F.T, X @ X.T, rtol=0, atol=1e-11)


def test_symmetric_product_by_blocks():
    A = torch.randn(301, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(symmetric_product(A), A @ A.T, rtol=0, atol=1e-13)


def test_simplex_codes_are_the_hard_margin_of_crammer_and_singer():
    X, labels = classes()
    codes = simplex_codes(3, X)
    problem = between_corners(Points(X=X), labels, codes, False)
    found = hard_margin(problem, solver="auto", tol=1e-10, max_iter=10_000)
    assert found.separable is True
    W = codes @ problem.coefficients(found.weights).T @ X
    svc = LinearSVC(
        multi_class="crammer_singer",
        C=1e5,
        fit_intercept=False,
        tol=1e-10,
        max_iter=10**6,
        random_state=0,
    ).fit(X.numpy(), labels.numpy())
    # Theirs asks for differences of 1, ours of k / (k - 1) = 1.5; theirs stops at 1e-6 or so.
    np.testing.assert_allclose(W.numpy() / 1.5, svc.coef_, rtol=0, atol=2e-5)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("n", [20, 45, 90])
def test_simplex_solutions_are_optimal(n, free):
    X, labels = classes(n=n, d=30, k=4)
    problem = between_corners(Points(X=X), labels, simplex_codes(4, X), free)
    found = hard_margin(problem, solver="auto", tol=1e-10, max_iter=10_000)
    assert found.separable is True
    assert found.gap <= 1e-10
    assert float(found.values.min()) >= 1 - 1e-10
    assert float((found.weights * (found.values - 1)).max()) <= 1e-8 * float(found.weights.max())


def test_classes_in_a_row_are_separable_by_simplex_codes_only():
    X = torch.tensor([[0.0], [1.0], [10.0], [11.0], [20.0], [21.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    points = Points(X=X - X.mean(0))
    verdicts = [
        hard_margin(problem, solver="auto", tol=1e-10, max_iter=1000).separable
        for problem in one_against_rest(points, labels, 3, True)
    ]
    assert verdicts == [True, False, True]
    together = between_corners(points, labels, simplex_codes(3, X), True)
    assert hard_margin(together, solver="auto", tol=1e-10, max_iter=1000).separable is True
