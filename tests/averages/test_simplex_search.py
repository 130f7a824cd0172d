"""Delaunay simplices by linear programming, against Qhull and HiGHS."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.spatial import Delaunay

from skoverparam.averages._simplex_search import FOUND, OUTSIDE, search_simplices


def search(X, Q, **kw):
    found = search_simplices(torch.as_tensor(X), torch.as_tensor(Q), **kw)
    return [part.numpy() for part in found]


def check_coordinates(X, Q, vertices, weights, status):
    inside = status == FOUND
    assert (weights[inside] >= 0).all()
    np.testing.assert_allclose(weights[inside].sum(1), 1, rtol=0, atol=1e-12)
    meant = (X[vertices[inside]] * weights[inside, :, None]).sum(1)
    np.testing.assert_allclose(meant, Q[inside], rtol=0, atol=1e-9 * np.abs(X).max())


@pytest.mark.parametrize(("n", "d"), [(5, 2), (200, 2), (200, 3), (150, 4), (60, 6)])
def test_simplices_are_those_of_qhull(n, d):
    rng = np.random.default_rng(d)
    X, Q = rng.normal(size=(n, d)), rng.normal(size=(300, d))
    vertices, weights, status = search(X, Q)
    check_coordinates(X, Q, vertices, weights, status)
    triangulation = Delaunay(X)
    simplex = triangulation.find_simplex(Q)
    np.testing.assert_array_equal(status, np.where(simplex < 0, OUTSIDE, FOUND))
    inside = simplex >= 0
    np.testing.assert_array_equal(
        np.sort(vertices[inside], 1), np.sort(triangulation.simplices[simplex[inside]], 1)
    )


@pytest.mark.parametrize("d", [8, 20])
def test_simplices_are_those_of_highs(d):
    rng = np.random.default_rng(d)
    X = rng.normal(size=(200, d))
    Q = rng.normal(size=(12, d)) * np.linspace(0.1, 1, 12)[:, None]
    vertices, weights, status = search(X, Q)
    check_coordinates(X, Q, vertices, weights, status)
    assert {FOUND, OUTSIDE} == set(status)
    for k, q in enumerate(Q):
        expected = linprog(
            (X**2).sum(1), A_eq=np.vstack([X.T, np.ones(len(X))]), b_eq=np.append(q, 1)
        )
        assert (expected.status == 2) == (status[k] == OUTSIDE)
        if status[k] == FOUND:
            dense = np.zeros(len(X))
            dense[vertices[k]] = weights[k]
            np.testing.assert_allclose(dense, expected.x, rtol=0, atol=1e-7)


def test_queries_on_faces_of_a_grid():
    """Every query is on a face, and every cell has several triangulations."""
    axis = np.arange(4.0)
    X = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    Q = np.random.default_rng(0).integers(0, 13, size=(300, 3)) / 4
    vertices, weights, status = search(X, Q)
    assert (status == FOUND).all()  # the border belongs to the hull
    check_coordinates(X, Q, vertices, weights, status)
    # A Delaunay simplex of a grid stays in one cell.
    assert (np.ptp(X[vertices], axis=1) <= 1).all()


def test_a_point_that_is_left_out_is_no_corner():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2))
    vertices, weights, status = search(X, X, left_out=torch.arange(40))
    check_coordinates(X, X, vertices, weights, status)
    for i in range(40):
        others = np.delete(np.arange(40), i)
        triangulation = Delaunay(X[others])
        simplex = triangulation.find_simplex(X[i])
        assert (status[i] == FOUND) == (simplex >= 0)
        if simplex >= 0:
            assert set(vertices[i]) == set(others[triangulation.simplices[simplex]])


def test_no_queries():
    vertices, weights, status = search(np.eye(4)[:, :3], np.zeros((0, 3)))
    assert vertices.shape == weights.shape == (0, 4)
    assert len(status) == 0


@pytest.mark.parametrize("d", [2, 4, 6, 8])
def test_the_border_of_a_thin_hull_is_inside(d):
    """Features of very different sizes: a query is not moved over a border that is near."""
    rng = np.random.default_rng(d)
    X = rng.normal(size=(d + 6, d)) * 10.0 ** -np.linspace(0, 4, d)
    # Between any two corners of a simplex is its border; here there is no other point.
    for points in (X, X[: d + 1]):
        Q = (points[1:] + points[:-1]) / 2
        vertices, weights, status = search(points, Q)
        assert (status == FOUND).all()
        check_coordinates(points, Q, vertices, weights, status)
