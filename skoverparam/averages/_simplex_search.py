r"""The Delaunay simplex around a query, without a triangulation.

With the points lifted to the paraboloid, the weights of the Delaunay simplex of q solve

.. math::

    \min_{b \ge 0} \sum_i b_i \|x_i\|^2 \quad \text{subject to} \quad
    \sum_i b_i x_i = q , \; \sum_i b_i = 1 ,

a linear program with d + 1 constraints. It is solved by the simplex method for many queries at
once: what enters is the point that is deepest inside the circumscribed sphere of a query's
simplex, found for all queries by one matrix product.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

FOUND, OUTSIDE, UNDECIDED = 0, 1, 2

_PRICE_BYTES = 2**26
# A query is moved by that share of its way to a point inside of the hull while its simplex is
# searched: on a face between two simplices the method could go in circles. Of a query on the
# border it makes one inside, however thin the hull is.
_INWARD = 1e-10
_PIVOTS_PER_DIMENSION = 50
# From so many dimensions on, hyperplanes that separate queries from the points are looked for
# first: a step of that costs one product, and most queries are outside.
_MANY_DIMENSIONS, _SEPARATING_STEPS = 7, 24
_REFRESH = 24


class Simplices(NamedTuple):
    """A simplex around each query.

    ``vertices`` (q, d + 1), indices of points; ``weights`` (q, d + 1), barycentric coordinates;
    ``status`` (q,): FOUND, OUTSIDE the convex hull, or UNDECIDED.
    """

    vertices: Tensor
    weights: Tensor
    status: Tensor


def search_simplices(X: Tensor, Q: Tensor, *, left_out: Tensor | None = None) -> Simplices:
    """Find the Delaunay simplices of queries by linear programming.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Distinct points in float64, not all in one hyperplane.

    Q : Tensor of shape (q, d)
        Queries.

    left_out : Tensor of shape (q,), default=None
        The point that each query does without.

    Returns
    -------
    Simplices
        The simplices. Of points on a common sphere, which have several triangulations, one is
        chosen by a tiny perturbation, the same for all queries.
    """
    center, size = X.mean(0), (X - X.mean(0)).abs().max().clamp(min=1e-300)
    Z, targets = (X - center) / size, (Q - center) / size
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(len(Z), generator=generator, dtype=Z.dtype).to(Z.device)
    heights = Z.square().sum(1) + 1e-11 * noise
    # Heights are squares of distances, and know units; weights do not, and are found in
    # coordinates in which the points are spread evenly.
    even = _evening(Z)
    Z, targets = Z @ even, targets @ even
    few = torch.randint(len(Z), (Z.shape[1] + 1,), generator=generator)
    # Halfway from the center, which is inside, to a point in general position.
    within = Z.mean(0) / 2 + Z[few.to(Z.device)].mean(0) / 2
    moved = targets + _INWARD * (within - targets)
    width = Z.shape[1] + 1
    vertices = torch.zeros((len(Q), width), dtype=torch.int64, device=Z.device)
    weights, status = Z.new_zeros((len(Q), width)), vertices[:, 0].clone()
    many = Z.shape[1] >= _MANY_DIMENSIONS
    rows = max(1, _PRICE_BYTES // (8 * (len(Z) + width**2)))
    for part in torch.arange(len(Q), device=Z.device).split(rows):
        if many:
            apart = _separated(Z, targets[part], None if left_out is None else left_out[part])
            status[part[apart]] = OUTSIDE
            part = part[~apart]
        out = None if left_out is None else left_out[part]
        vertices[part], found = _Pivoting(Z, heights, moved[part], out).run()
        weights[part], status[part] = _weights(Z, targets[part], vertices[part], found)
    return Simplices(vertices, weights, status)


def _evening(Z: Tensor) -> Tensor:
    """Matrix (d, d) that takes centered points (n, d) to coordinates of equal spread."""
    _, spread, axes = torch.linalg.svd(Z, full_matrices=False)
    return axes.T * (len(Z) ** 0.5 / spread.clamp(min=1e-12 * float(spread[0])))


def _separated(Z: Tensor, targets: Tensor, left_out: Tensor | None) -> Tensor:
    """Find queries (q,) that a hyperplane separates from all points: they are outside.

    The hyperplanes are those of some steps toward the nearest point of the convex hull; a query
    that stays may be outside, too.
    """
    size = Z.square().sum(1).max().sqrt() + targets.square().sum(1).sqrt()
    apart = torch.zeros(len(targets), dtype=torch.bool, device=Z.device)
    nearest = torch.zeros_like(targets)
    rows = torch.arange(len(targets), device=Z.device)
    for _ in range(_SEPARATING_STEPS):
        toward = targets[rows] - nearest
        heights = toward @ Z.T
        if left_out is not None:
            heights.scatter_(1, left_out[rows, None], -torch.inf)
        height, at = heights.max(1)
        beyond = (toward * targets[rows]).sum(1) - height
        found = beyond > 1e-9 * size[rows] * toward.square().sum(1).sqrt()
        apart[rows[found]] = True
        stay = ~found
        if not bool(stay.any()):
            break
        rows, nearest, toward = rows[stay], nearest[stay], toward[stay]
        edge = Z[at[stay]] - nearest
        length = edge.square().sum(1).clamp(min=1e-300)
        share = ((toward * edge).sum(1) / length).clamp(0, 1)
        nearest = nearest + share[:, None] * edge
    return apart


def _weights(
    Z: Tensor, targets: Tensor, vertices: Tensor, status: Tensor
) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates in the simplices that were found, and what is left undecided."""
    weights = Z.new_zeros(vertices.shape)
    found = (status == FOUND).nonzero()[:, 0]
    if len(found):
        corners = _with_one(Z[vertices[found]]).mT
        goal = _with_one(targets[found])[..., None]
        solved, info = torch.linalg.solve_ex(corners, goal)
        solved = solved[..., 0]
        miss = (corners @ solved[..., None] - goal)[..., 0].abs().amax(1)
        right = (info == 0) & (solved.amin(1) > -1e-7) & (miss < 1e-9)
        solved = solved.clamp(min=0.0)
        weights[found[right]] = (solved / solved.sum(1, keepdim=True))[right]
        status = status.clone()
        status[found[~right]] = UNDECIDED
    return weights, status


def _with_one(V: Tensor) -> Tensor:
    return torch.cat([V, torch.ones_like(V[..., :1])], -1)


class _Pivoting:
    """The simplex method in two phases, for a batch of queries in lockstep.

    The basis of a query begins with the corners of an artificial simplex around it. The first
    phase drives their weights to zero, or proves that the query is outside of the hull; the
    second lowers the heights.
    """

    def __init__(
        self, Z: Tensor, heights: Tensor, targets: Tensor, left_out: Tensor | None
    ) -> None:
        q, d = targets.shape
        self.Z, self.heights, self.targets, self.left_out = Z, heights, targets, left_out
        self.active = torch.arange(q, device=Z.device)
        # Corners of the artificial simplex relative to the query: -1, and d + 1 along axis j less
        # one; their mean is zero.
        artificial = torch.cat([(d + 1.0) * torch.eye(d), torch.zeros(1, d)]).to(Z) - 1.0
        self.artificial = _with_one(artificial / (d + 1.0))
        inverse = torch.linalg.inv(self.artificial.T.contiguous())
        self.inverse = inverse.expand(q, -1, -1).clone()
        # Points by number, artificial corners as -1 - number.
        self.basis = (-1 - torch.arange(d + 1, device=Z.device)).expand(q, -1).clone()
        self.share = Z.new_full((q, d + 1), 1.0 / (d + 1.0))
        self.first_phase = torch.ones(q, dtype=torch.bool, device=Z.device)

    def run(self) -> tuple[Tensor, Tensor]:
        """Pivot until all queries are decided; returns vertices (q, d + 1) and status (q,)."""
        q, width = self.basis.shape
        vertices = self.basis.new_zeros((q, width))
        status = self.basis.new_full((q,), UNDECIDED)
        for count in range(_PIVOTS_PER_DIMENSION * (width + 3)):
            if count and count % _REFRESH == 0:
                self._refresh()
            entering, least = self._price()
            tolerance = 1e-12 * (1 + self.dual.abs().amax(1))
            optimal = least >= -tolerance
            artificial = (self.basis < 0).any(1)
            stuck = torch.where(self.basis < 0, self.share, 0.0).amax(1) > 1e-12
            outside = optimal & self.first_phase & stuck
            done = optimal & ~self.first_phase
            # No artificial corner, or none with a weight: on to the second phase.
            self.first_phase &= artificial & ~optimal
            over = outside | done
            if bool(over.any()):
                rows = self.active[over]
                # A simplex that kept an artificial corner, with weight zero, is left to others.
                whole = done & ~artificial
                status[rows] = torch.where(
                    outside[over], OUTSIDE, torch.where(whole[over], FOUND, UNDECIDED)
                )
                vertices[rows] = self.basis[over].clamp(min=0)
                if bool(over.all()):
                    break
                keep = ~over
                self._restrict(keep)
                entering, optimal = entering[keep], optimal[keep]
            self._pivot(entering, ~optimal)
        return vertices, status

    def _price(self) -> tuple[Tensor, Tensor]:
        """Return the point with the least reduced cost for every query, and that cost."""
        real = self.basis >= 0
        height = torch.where(real, self.heights[self.basis.clamp(min=0)], 0.0)
        cost = torch.where(self.first_phase[:, None], (~real).to(height), height)
        self.dual = torch.einsum("qi,qij->qj", cost, self.inverse)
        slope, offset = self.dual[:, :-1], self.dual[:, -1]
        constant = (slope * self.targets).sum(1) - offset
        second = (~self.first_phase).to(height)
        price = torch.addmm(constant[:, None], slope, self.Z.T, alpha=-1.0)
        price.addcmul_(second[:, None], self.heights)
        if self.left_out is not None:
            price.scatter_(1, self.left_out[:, None], torch.inf)
        least, entering = price.min(1)
        return entering, least

    def _pivot(self, entering: Tensor, moves: Tensor) -> None:
        """Exchange a corner for the entering point, where `moves` says so."""
        rows = moves.nonzero()[:, 0]
        if not len(rows):
            return
        entering = entering[rows]
        inverse, share, basis = self.inverse[rows], self.share[rows], self.basis[rows]
        column = _with_one(self.Z[entering] - self.targets[rows])
        step = torch.einsum("qij,qj->qi", inverse, column)
        large = step.abs().amax(1, keepdim=True)
        ratio = torch.where(step > 1e-11 * large, share.clamp(min=0.0) / step, torch.inf)
        # In the second phase artificial corners have no weight and may not get any.
        idle = (basis < 0) & ~self.first_phase[rows, None] & (step.abs() > 1e-9 * large)
        ratio = torch.where(idle, 0.0, ratio)
        # Of equal ratios the largest step: the best conditioned simplex.
        least = ratio.amin(1, keepdim=True)
        tied = ratio <= least * (1 + 1e-12)
        leaving = torch.where(tied, step.abs(), -1.0).argmax(1, keepdim=True)
        pivot = step.gather(1, leaving)
        theta = torch.where(idle.gather(1, leaving), 0.0, share.gather(1, leaving) / pivot)
        share = (share - theta * step).scatter(1, leaving, theta)
        line = inverse.gather(1, leaving[..., None].expand(-1, 1, inverse.shape[2]))
        line = line / pivot[..., None]
        inverse = inverse - step[..., None] * line
        inverse.scatter_(1, leaving[..., None].expand(-1, 1, inverse.shape[2]), line)
        self.inverse[rows], self.share[rows] = inverse, share
        self.basis[rows] = basis.scatter(1, leaving, entering[:, None])

    def _refresh(self) -> None:
        """Recompute inverses from the corners, before rounding errors add up."""
        real = _with_one(self.Z[self.basis.clamp(min=0)] - self.targets[:, None])
        corners = self.artificial[(-1 - self.basis).clamp(min=0)]
        matrix = torch.where((self.basis >= 0)[..., None], real, corners).mT
        inverse, info = torch.linalg.inv_ex(matrix.contiguous())
        right = info == 0
        self.inverse[right] = inverse[right]
        self.share[right] = inverse[right][:, :, -1]

    def _restrict(self, keep: Tensor) -> None:
        for name in ("active", "targets", "inverse", "basis", "share", "first_phase"):
            setattr(self, name, getattr(self, name)[keep])
        if self.left_out is not None:
            self.left_out = self.left_out[keep]
