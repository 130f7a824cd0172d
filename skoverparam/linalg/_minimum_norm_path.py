"""Minimum-norm solutions for every number of features, or of samples, in one pass.

Both paths append columns to a matrix: features to X, samples to its transpose. At *anchors* the
matrix has a singular value decomposition, updated from the one before. Between anchors,
columns that open a new direction extend an orthonormal basis of the range, and every other one
adds a vector to a nested orthonormal basis of the null space. What these steps give is checked
against the data; the first column that fails the check becomes an anchor itself.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._appended_columns import (
    Anchor,
    Block,
    append,
    certified,
    hypot,
    next_anchor,
    null_error,
)
from skoverparam.linalg._minimum_norm import default_rcond, rank_above, thin_svd

# Columns between two anchors: fewer mean more decompositions, more mean longer bases.
_BLOCK = 96
# Cut-offs up to so many times the default one are about rounding errors.
_ROUNDING = 10


class MinimumNormPath(NamedTuple):
    """Minimum-norm solutions for many sizes of a problem.

    Attributes
    ----------
    coef : Tensor of shape (n_dims, D) or (n_dims, D, t)
        Solutions; the features that a solution does not use have coefficient 0.

    norms : Tensor of shape (n_dims,) or (n_dims, t)
        Their norms.

    residuals : Tensor of shape (n_dims,) or (n_dims, t)
        Norms of their residuals on the samples used, ``||y - X coef||``.

    rank : Tensor of shape (n_dims,)
        Numerical rank of every design.
    """

    coef: Tensor
    norms: Tensor
    residuals: Tensor
    rank: Tensor


class MinimumNormPathRisk(NamedTuple):
    """Test errors of the minimum-norm solutions for many sizes of a problem.

    Attributes
    ----------
    risk : Tensor of shape (n_dims,) or (n_dims, t)
        Mean squared errors on the test set.

    norms, residuals, rank : Tensor
        As in :class:`MinimumNormPath`.
    """

    risk: Tensor
    norms: Tensor
    residuals: Tensor
    rank: Tensor


class Solutions(NamedTuple):
    """Solutions of a few consecutive sizes on a path.

    Attributes
    ----------
    places : slice
        Positions in the list of sizes.

    image : Tensor of shape (p, k, t)
        The solutions themselves, without trailing zeros, or their images under a linear map.

    norms, residuals : Tensor of shape (k, t)
        Norms of the solutions and of their residuals.

    rank : list of int
        Numerical ranks.
    """

    places: slice
    image: Tensor
    norms: Tensor
    residuals: Tensor
    rank: list[int]


class _Steps(NamedTuple):
    """Solutions after some of a block's columns.

    ``W`` of shape (coordinates, k, t) are the solutions in an orthonormal basis, ``error`` of
    shape (k,) is by how much they miss what they should fit, relative to what rounding allows.
    """

    W: Tensor
    residuals: Tensor
    error: Tensor


class _Features:
    """The path over features: columns of X are appended, targets stay."""

    def __init__(self, X: Tensor, Y: Tensor, readout: Tensor | None) -> None:
        self.A, self.Y, self.readout = X, Y, readout
        # Right singular vectors V, or their images: a product that is put off as long as only
        # single solutions go through it.
        self.basis = X.new_zeros(0 if readout is None else len(readout), 0)
        self.landed: Tensor | None = None

    def steps(self, anchor: Anchor, block: Block, ahead: Tensor) -> _Steps:
        Y, S, (r, m) = self.Y, anchor.S[:, None], block.UB.shape
        Uy, Qy = anchor.U.T @ Y, block.Q.T @ Y
        known, born = _masks(block, ahead)
        # Basic solutions: the anchor's, and a column of G for every direction opened since.
        basic = torch.cat([Uy / S, Y.new_zeros(m, Y.shape[1])])
        W = basic[:, None].expand(-1, len(ahead), -1)
        if block.pivots:
            inverse = torch.linalg.solve_triangular(
                block.R[:, block.pivots], _eye_like(block.R, len(block.pivots)), upper=True
            )
            G = Y.new_zeros(r + m, len(block.pivots))
            G[:r] = -(block.UB[:, block.pivots] / S) @ inverse
            G[r:][block.pivots] = inverse
            W = W + _apply(G, known * Qy[:, None])
        W = _without_null_vectors(block.N, born, W)
        miss_U = Uy[:, None] - S[..., None] * W[:r] - _apply(block.UB, W[r:])
        fit_Q = _apply(block.R, W[r:])
        outside = Y - anchor.U @ Uy - block.Q @ Qy
        residuals = hypot(outside[:, None].expand(-1, len(ahead), -1), miss_U, Qy[:, None] - fit_Q)
        miss = hypot(miss_U, known * Qy[:, None] - fit_Q)
        return _Steps(W, residuals, _relative(miss, block, ahead, W, Y))

    def land(self, anchor: Anchor, V: Tensor) -> None:
        self.landed = V

    def image(self, anchor: Anchor, block: Block, W: Tensor) -> Tensor:
        r, (k, t) = len(anchor.S), W.shape[1:]
        inner, outer = W[:r].reshape(r, k * t), W[r:].reshape(-1, k * t)
        last = anchor.size + len(outer)
        if self.landed is not None and not len(outer):
            image = self._read(self.landed @ inner)
            return image.view(-1, k, t)
        self._settle()
        if self.readout is not None:
            image = self.basis @ inner + self.readout[:, anchor.size : last] @ outer
        else:
            image = torch.cat([self.basis @ inner, outer])
        return image.view(-1, k, t)

    def advance(self, old: Anchor, new: Anchor, v: Tensor) -> None:
        self._settle()
        inner, outer = v[: len(old.S)], v[len(old.S) :]
        if self.readout is None:
            self.basis = torch.cat([self.basis @ inner, outer])
        else:
            columns = self.readout[:, old.size : new.size]
            self.basis = self.basis @ inner + columns @ outer

    def _read(self, coef: Tensor) -> Tensor:
        return coef if self.readout is None else self.readout[:, : len(coef)] @ coef

    def _settle(self) -> None:
        if self.landed is not None:
            self.basis, self.landed = self._read(self.landed), None

    def at(self, anchor: Anchor, rank: int) -> tuple[Tensor, Tensor]:
        Uy = anchor.U.T @ self.Y
        Uy[rank:] = 0
        residuals = torch.linalg.vector_norm(self.Y - anchor.U @ Uy, dim=0)
        return Uy / anchor.S[:, None], residuals


class _Samples:
    """The path over samples: columns of X^T are appended, and with each of them a target."""

    def __init__(self, X: Tensor, Y: Tensor, readout: Tensor | None) -> None:
        self.A, self.Y, self.readout = X.T, Y, readout
        # Of the anchor's targets: coordinates in V, and the squared norm of the rest.
        self.inside = Y.new_zeros(0, Y.shape[1])
        self.outside = Y.new_zeros(Y.shape[1])

    def steps(self, anchor: Anchor, block: Block, ahead: Tensor) -> _Steps:
        S, (r, m) = anchor.S[:, None], block.UB.shape
        known, born = _masks(block, ahead)
        added = torch.arange(m, device=ahead.device)[:, None, None] < ahead[:, None]
        target = torch.cat([self.inside, self.Y[anchor.size : anchor.size + m]])
        target = target[:, None].expand(-1, len(ahead), -1).clone()
        target[r:] *= added
        # The part of the targets that can be fitted; null vectors weigh samples here.
        can = _without_null_vectors(block.N, born, target)
        W = target.new_zeros(r + len(block.pivots), *target.shape[1:])
        W[:r] = can[:r] / S[..., None]
        if block.pivots:
            ahead_of = can[r:][block.pivots] - _apply(block.UB[:, block.pivots].T, W[:r])
            lower = block.R[:, block.pivots].T
            opened = torch.linalg.solve_triangular(lower, ahead_of.flatten(1), upper=False)
            W[r:] = known * opened.view_as(W[r:])
        fit_B = added * (_apply(block.UB.T, W[:r]) + _apply(block.R.T, W[r:]))
        fit = torch.cat([S[..., None] * W[:r], fit_B])
        residuals = torch.linalg.vector_norm(target - fit, dim=0)
        residuals = torch.hypot(residuals, self.outside.sqrt())
        miss = torch.linalg.vector_norm(can - fit, dim=0)
        return _Steps(W, residuals, _relative(miss, block, ahead, W, target[:, -1]))

    def image(self, anchor: Anchor, block: Block, W: Tensor) -> Tensor:
        basis = torch.cat([anchor.U, block.Q[:, : len(W) - len(anchor.S)]], dim=1)
        if self.readout is not None:
            basis = self.readout @ basis
        return _apply(basis, W)

    def land(self, anchor: Anchor, V: Tensor) -> None:
        self.inside = V.T @ self.Y[: anchor.size]
        self.outside = (self.Y[: anchor.size] - V @ self.inside).square().sum(0)

    def advance(self, old: Anchor, new: Anchor, v: Tensor) -> None:
        target = torch.cat([self.inside, self.Y[old.size : new.size]])
        self.inside = v.T @ target
        self.outside = self.outside + (target - v @ self.inside).square().sum(0)

    def at(self, anchor: Anchor, rank: int) -> tuple[Tensor, Tensor]:
        W = self.inside / anchor.S[:, None]
        W[rank:] = 0
        residuals = torch.hypot(hypot(self.inside[rank:]), self.outside.sqrt())
        return W, residuals


_PATHS: dict[str, type[_Features | _Samples]] = {"features": _Features, "samples": _Samples}
AXES = tuple(_PATHS)


def minimum_norm_path(
    X: Tensor, Y: Tensor, dims: list[int], *, axis: str = "features", rcond: float
) -> MinimumNormPath:
    """Collect the solutions of a path; documented where it is published."""
    coef = X.new_empty(len(dims), X.shape[1], Y.shape[1])
    norms, residuals = (X.new_zeros(len(dims), Y.shape[1]) for _ in range(2))
    rank = torch.zeros(len(dims), dtype=torch.int64, device=X.device)
    for part in solutions(X, Y, dims, axis=axis, rcond=rcond):
        coef[part.places, : len(part.image)] = part.image.movedim(1, 0)
        coef[part.places, len(part.image) :] = 0
        norms[part.places], residuals[part.places] = part.norms, part.residuals
        rank[part.places] = rank.new_tensor(part.rank)
    return MinimumNormPath(coef, norms, residuals, rank)


def minimum_norm_path_risk(
    X: Tensor,
    Y: Tensor,
    X_test: Tensor,
    Y_test: Tensor,
    dims: list[int],
    *,
    axis: str = "features",
    rcond: float,
) -> MinimumNormPathRisk:
    """Collect the test errors of a path; documented where it is published."""
    risk, norms, residuals = (X.new_zeros(len(dims), Y.shape[1]) for _ in range(3))
    rank = torch.zeros(len(dims), dtype=torch.int64, device=X.device)
    for part in solutions(X, Y, dims, axis=axis, rcond=rcond, readout=X_test):
        risk[part.places] = (part.image - Y_test[:, None]).square().mean(0)
        norms[part.places], residuals[part.places] = part.norms, part.residuals
        rank[part.places] = rank.new_tensor(part.rank)
    return MinimumNormPathRisk(risk, norms, residuals, rank)


def solutions(
    X: Tensor,
    Y: Tensor,
    dims: list[int],
    *,
    axis: str = "features",
    rcond: float,
    readout: Tensor | None = None,
) -> Iterator[Solutions]:
    """Walk a path, solving with the first d features (or samples) for every d in ``dims``.

    Parameters
    ----------
    X : Tensor of shape (n, D)
        The design.

    Y : Tensor of shape (n, t)
        Targets.

    dims : list of int
        Sizes, strictly ascending, from 1 on.

    axis : {"features", "samples"}, default="features"
        What the sizes count.

    rcond : float
        Cut-off relative to the largest singular value.

    readout : Tensor of shape (p, D), default=None
        A linear map to apply to the solutions, such as test points: only its values are formed.
        None yields the solutions.

    Yields
    ------
    Solutions
        For one stretch of ``dims`` after the other.
    """
    path = _PATHS[axis](X, Y, readout)
    A, p = path.A, X.shape[1] if readout is None else len(readout)
    # Solutions of a block are formed together: not more of them than some hundred megabytes.
    longest = max(1, min(_BLOCK, 10**7 // (max(p, len(A) + _BLOCK) * max(Y.shape[1], 1))))
    anchor = Anchor(0, A.new_zeros(len(A), 0), A.new_zeros(0))
    # A cut-off above rounding errors is a matter of singular values: every size is an anchor, and
    # what is cut off for one size must not be lost for the next.
    floor = default_rcond(len(X), X.shape[1], X.dtype)
    cuts = rcond > _ROUNDING * floor
    kept = floor if cuts else rcond
    place, length = 0, longest
    while place < len(dims):
        if dims[place] - anchor.size > longest:
            # Far ahead: a decomposition of its own costs less than those on the way.
            U, S, V, _ = thin_svd(A[:, : dims[place]], kept)
            anchor, length = Anchor(dims[place], U, S), longest
            path.land(anchor, V)
            yield _at_anchor(path, anchor, rank_above(S, rcond), place)
            place += 1
            continue
        stop = min(anchor.size + length, A.shape[1], dims[place] if cuts else A.shape[1])
        ahead = [d - anchor.size for d in dims[place : bisect_right(dims, stop)]]
        block = append(anchor, A[:, anchor.size : stop], kept, bare=cuts or not ahead)
        n_columns, good = stop - anchor.size, stop - anchor.size
        if ahead and not cuts:
            steps = path.steps(anchor, block, torch.tensor(ahead, device=A.device))
            good = min(certified(block, null_error(anchor, block), steps.error, ahead), good)
            some = sum(k <= good for k in ahead)
            if some:
                W = steps.W[:, :some]
                yield Solutions(
                    slice(place, place + some),
                    path.image(anchor, block, W),
                    torch.linalg.vector_norm(W, dim=0),
                    steps.residuals[:some],
                    [len(anchor.S) + sum(j < k for j in block.pivots) for k in ahead[:some]],
                )
            place += some
            if place == len(dims):
                return
        # The first column that failed becomes an anchor, and is solved there.
        length = min(longest, 2 * length) if good == n_columns else max(good, 1)
        previous, n_columns = anchor, min(good + 1, n_columns)
        anchor, v = next_anchor(previous, block, n_columns, kept)
        path.advance(previous, anchor, v)
        if dims[place] == anchor.size:
            yield _at_anchor(path, anchor, rank_above(anchor.S, rcond), place)
            place += 1


def _at_anchor(path: _Features | _Samples, anchor: Anchor, rank: int, place: int) -> Solutions:
    W, residuals = path.at(anchor, rank)
    nothing = append(anchor, anchor.U[:, :0], 0.0, bare=True)
    return Solutions(
        slice(place, place + 1),
        path.image(anchor, nothing, W[:, None]),
        torch.linalg.vector_norm(W, dim=0)[None],
        residuals[None],
        [rank],
    )


def _masks(block: Block, ahead: Tensor) -> tuple[Tensor, Tensor]:
    """Which directions and which null vectors there are after k columns, k in ``ahead``."""
    columns = (torch.tensor(c, device=ahead.device) for c in (block.pivots, block.rest))
    known, born = ((c[:, None] < ahead)[..., None] for c in columns)
    return known, born


def _without_null_vectors(N: Tensor, born: Tensor, W: Tensor) -> Tensor:
    """Project solutions after k columns off the null vectors that there are by then."""
    if N.shape[1]:
        before = torch.linalg.vector_norm(W, dim=0)
        if W.stride(1) == 0:
            # The same vector for every k: projections in turn, without a product for each.
            parts = N[..., None] * (N.T @ W[:, 0])
            W = W - parts.cumsum(1)[:, born[..., 0].sum(0) - 1]
        else:
            W = W - _apply(N, born * _apply(N.T, W))
        # Once more where that canceled a good part of W.
        if bool((torch.linalg.vector_norm(W, dim=0) < 0.5 * before).any()):
            W = W - _apply(N, born * _apply(N.T, W))
    return W


def _relative(miss: Tensor, block: Block, ahead: Tensor, W: Tensor, Y: Tensor) -> Tensor:
    """Largest backward error over the targets."""
    allowed = block.scales[ahead - 1][:, None] * torch.linalg.vector_norm(W, dim=0)
    allowed = allowed + torch.linalg.vector_norm(Y, dim=0)
    return (miss / torch.where(allowed > 0, allowed, 1)).amax(1)


def _apply(matrix: Tensor, W: Tensor) -> Tensor:
    return (matrix @ W.flatten(1)).view(-1, *W.shape[1:])


def _eye_like(matrix: Tensor, n: int) -> Tensor:
    return torch.eye(n, dtype=matrix.dtype, device=matrix.device)
