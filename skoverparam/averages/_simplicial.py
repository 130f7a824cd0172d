"""Interpolation on the Delaunay simplices between training points.

Where the points allow it they are triangulated once by Qhull and queries walk through the
simplices; the simplex of any other query is searched by linear programming. Queries outside of
the convex hull get the value of the nearest point.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.spatial import Delaunay, QhullError
from torch import Tensor

from skoverparam.averages._points import Cloud
from skoverparam.averages._simplex_search import FOUND, OUTSIDE, UNDECIDED, search_simplices

# Relative to the size of the cloud: singular values below count as zero, and queries that far
# from the plane of the points as being in it; or what rounding makes of points in a plane.
_FLAT = 1e-10
_INSIDE = 1e-11

# Mean number of Delaunay simplices per point of a Poisson process in 2, 3, ... dimensions.
_SIMPLICES_PER_POINT = (2.0, 6.8, 31.8, 187.0, 1300.0, 1.05e4, 9.5e4)


class Hull(NamedTuple):
    """Coordinates in the smallest plane that holds all points.

    ``origin`` (d,); ``axes`` (d, r), orthonormal, or None if r = d and coordinates are kept;
    ``thickness``, the distance up to which a point counts as being in the plane.
    """

    origin: Tensor
    axes: Tensor | None
    thickness: float

    def coordinates(self, Q: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates (q, r) of queries (q, d), and which of them (q,) are in the plane."""
        away = Q - self.origin
        if self.axes is None:
            return away, torch.ones(len(Q), dtype=torch.bool, device=Q.device)
        inside = away @ self.axes
        off = (away - inside @ self.axes.T).abs()
        # Of coordinates of cloud size one.
        return inside, (off <= self.thickness * (1 + away.abs().amax(1, keepdim=True))).all(1)


def nearest_of(cloud: Cloud, Q: Tensor, candidates: Tensor, *, skip: int = 0) -> Tensor:
    """Choose the nearest of some candidates (q, c), or the next one; returns indices (q,)."""
    order = cloud.log_distances_at(Q, candidates).sort(dim=1, stable=True).indices
    return candidates.gather(1, order)[:, skip]


def hull_of(cloud: Cloud) -> Hull:
    """Find the plane of a cloud."""
    n, d = cloud.X.shape
    # The center was rounded like a point: what that leaves in all of them is no direction.
    centered = cloud.centered - cloud.centered.mean(0)
    singular_values, axes = torch.linalg.svd(centered, full_matrices=False)[1:]
    # A matrix of independent rounding errors, each up to half of one, has no larger norm.
    noise = 0.5 * cloud.rounding * (n**0.5 + d**0.5)
    rank = int((singular_values > max(_FLAT * float(singular_values[0]), noise)).sum())
    thickness = max(_FLAT, 2 * cloud.rounding * d**0.5)
    return Hull(cloud.center, None if rank == d else axes[:rank].T, thickness)


class Triangulation(NamedTuple):
    """A Delaunay triangulation as arrays.

    ``simplices`` (s, r + 1), points; ``neighbors`` (s, r + 1), the simplex opposite to each
    vertex, -1 for none; ``inverses`` (s, r, r), from a point's position relative to the last
    vertex to its first r barycentric coordinates, NaN for a simplex that is flat; ``start`` (n,),
    a simplex at each point.
    """

    simplices: Tensor
    neighbors: Tensor
    inverses: Tensor
    start: Tensor


def triangulation_bytes(n: int, r: int) -> float:
    """Guess the memory that a triangulation of n points in r dimensions takes."""
    if r > len(_SIMPLICES_PER_POINT) + 1:
        return float("inf")
    per_simplex = 8 * r * r + 24 * (r + 1) + 200
    return n * _SIMPLICES_PER_POINT[max(r - 2, 0)] * per_simplex


def triangulate(Z: Tensor) -> Triangulation | None:
    """Triangulate points (n, r) that are not all in one hyperplane; None where Qhull gives up."""
    n, r = Z.shape
    if r == 1:
        order = Z[:, 0].argsort()
        simplices = torch.stack([order[:-1], order[1:]], 1)
        number = torch.arange(n - 1, device=Z.device)
        # The neighbor opposite to the left end is the interval on the right.
        neighbors = torch.stack([number + 1, number - 1], 1)
        neighbors[-1, 0] = -1
    else:
        try:
            found = Delaunay(Z.cpu().numpy())
        except QhullError:
            return None
        simplices = torch.from_numpy(found.simplices).long().to(Z.device)
        neighbors = torch.from_numpy(found.neighbors).long().to(Z.device)
    start = torch.zeros(n, dtype=torch.int64, device=Z.device)
    number = torch.arange(len(simplices), device=Z.device)
    start.index_put_((simplices.T.reshape(-1),), number.repeat(r + 1))
    corners = Z[simplices]
    edges = (corners[:, :-1] - corners[:, -1:]).mT
    inverses, info = torch.linalg.inv_ex(edges)
    miss = (edges @ inverses - torch.eye(r).to(Z)).abs().amax((1, 2))
    inverses[(info != 0) | ~(miss < 1e-6)] = torch.nan
    return Triangulation(simplices, neighbors, inverses, start)


class Located(NamedTuple):
    """Corners around each query.

    ``vertices`` (q, r + 1) and their ``weights`` (q, r + 1); ``inside`` (q,), whether the query
    is in the convex hull of the points; if not, the nearest point has all of the weight.
    """

    vertices: Tensor
    weights: Tensor
    inside: Tensor

    def average(self, values: Tensor) -> Tensor:
        """Average values (n, t) of the points at the corners; returns (q, t)."""
        return torch.einsum("qk,qkt->qt", self.weights, values[self.vertices])


def locate(
    cloud: Cloud,
    hull: Hull,
    triangulation: Triangulation | None,
    Q: Tensor,
    nearest: Tensor,
    *,
    alone: bool = False,
) -> Located:
    """Find the simplex of every query, and the query's barycentric coordinates in it.

    Parameters
    ----------
    cloud : Cloud
        The n points.

    hull : Hull
        Their plane.

    triangulation : Triangulation or None
        Their triangulation; None searches every simplex.

    Q : Tensor of shape (q, d)
        Queries, in the units of the cloud.

    nearest : Tensor of shape (q,)
        The nearest point of each.

    alone : bool, default=False
        Whether the queries are the points themselves, in order, and each does without itself.

    Returns
    -------
    Located
        The corners.
    """
    Z, _ = hull.coordinates(cloud.X)
    targets, in_plane = hull.coordinates(Q)
    width = Z.shape[1] + 1
    vertices = nearest[:, None].expand(-1, width).clone()
    weights = Q.new_zeros((len(Q), width))
    weights[:, 0] = 1.0
    at_point = torch.zeros(len(Q), dtype=torch.bool, device=Q.device)
    if not alone:
        at_point = (cloud.X[nearest] == Q).all(1)
    inside = at_point.clone()
    rows = (in_plane & ~at_point).nonzero()[:, 0]
    if not len(rows) or width == 1:
        return Located(vertices, weights, inside)
    if triangulation is not None and not alone:
        simplex, status = _walk(
            triangulation, Z, targets[rows], triangulation.start[nearest[rows]]
        )
        found = rows[status == FOUND]
        simplex = simplex[status == FOUND]
        vertices[found] = triangulation.simplices[simplex]
        weights[found] = _clean(_barycentric(triangulation, Z, targets[found], simplex))
        inside[found] = True
        rows = rows[status == UNDECIDED]
    if len(rows):
        by_search = search_simplices(Z, targets[rows], left_out=rows if alone else None)
        done = by_search.status == FOUND
        vertices[rows[done]] = by_search.vertices[done]
        weights[rows[done]] = by_search.weights[done]
        inside[rows[done]] = True
    return Located(vertices, weights, inside)


def _barycentric(t: Triangulation, Z: Tensor, targets: Tensor, simplex: Tensor) -> Tensor:
    corners = Z[t.simplices[simplex]]
    edges, away = corners[:, :-1] - corners[:, -1:], targets - corners[:, -1]
    inverses = t.inverses[simplex]
    first = torch.einsum("qij,qj->qi", inverses, away)
    # One step of refinement: thin simplices have inexact inverses.
    miss = away - torch.einsum("qji,qj->qi", edges, first)
    first = first + torch.einsum("qij,qj->qi", inverses, miss)
    return torch.cat([first, 1.0 - first.sum(1, keepdim=True)], 1)


def _clean(weights: Tensor) -> Tensor:
    weights = weights.clamp(min=0.0)
    return weights / weights.sum(1, keepdim=True)


def _walk(t: Triangulation, Z: Tensor, targets: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Walk from simplices `at` (q,) to those that hold the queries.

    Each step crosses the face behind which the query is furthest. In a Delaunay triangulation no
    walk goes in circles; those that meet a flat simplex or take too long are left undecided.
    """
    at = at.clone()
    status = torch.full_like(at, UNDECIDED)
    rows = torch.arange(len(at), device=at.device)
    for _ in range(100 + 20 * int(len(t.simplices) ** (1 / Z.shape[1]))):
        here = at[rows]
        weights = _barycentric(t, Z, targets[rows], here)
        least, face = weights.min(1)
        beyond = t.neighbors[here].gather(1, face[:, None])[:, 0]
        flat, found = weights.isnan().any(1), least >= -_INSIDE
        out = ~flat & ~found & (beyond < 0)
        status[rows[found]] = FOUND
        status[rows[out]] = OUTSIDE
        going = ~(flat | found | out)
        rows = rows[going]
        if not len(rows):
            break
        at[rows] = beyond[going]
    return at, status
