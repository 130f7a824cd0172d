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

from skoverparam.linalg._minimum_norm import default_rcond, rank_above, thin_svd

# Columns between two anchors: fewer mean more decompositions, more mean longer bases.
_BLOCK = 96
# Backward error, in units of the machine precision, up to which a step stands. Decompositions have
# some units themselves.
_UNITS = 50
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


class _Anchor(NamedTuple):
    """The first ``size`` columns of A: ``U diag(S) V^T``, cut off at the numerical rank.

    What is needed of V the paths carry themselves.
    """

    size: int
    U: Tensor
    S: Tensor


class _Block(NamedTuple):
    """Columns B appended to an anchor.

    ``B = U UB + Q R`` with Q orthonormal and orthogonal to U. ``pivots`` are the columns
    that opened the directions Q, ``rest`` the others; column i of N is the null vector of
    ``[U diag(S), B]`` that came with column ``rest[i]`` and uses none after it. ``scales`` is a
    norm of the matrix with the first 1, 2, ... columns.
    """

    UB: Tensor
    Q: Tensor
    R: Tensor
    pivots: list[int]
    rest: list[int]
    N: Tensor
    scales: Tensor


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

    def steps(self, anchor: _Anchor, block: _Block, ahead: Tensor) -> _Steps:
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
        residuals = _hypot(
            outside[:, None].expand(-1, len(ahead), -1), miss_U, Qy[:, None] - fit_Q
        )
        miss = _hypot(miss_U, known * Qy[:, None] - fit_Q)
        return _Steps(W, residuals, _relative(miss, block, ahead, W, Y))

    def land(self, anchor: _Anchor, V: Tensor) -> None:
        self.landed = V

    def image(self, anchor: _Anchor, block: _Block, W: Tensor) -> Tensor:
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

    def advance(self, old: _Anchor, new: _Anchor, v: Tensor) -> None:
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

    def at(self, anchor: _Anchor, rank: int) -> tuple[Tensor, Tensor]:
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

    def steps(self, anchor: _Anchor, block: _Block, ahead: Tensor) -> _Steps:
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

    def image(self, anchor: _Anchor, block: _Block, W: Tensor) -> Tensor:
        basis = torch.cat([anchor.U, block.Q[:, : len(W) - len(anchor.S)]], dim=1)
        if self.readout is not None:
            basis = self.readout @ basis
        return _apply(basis, W)

    def land(self, anchor: _Anchor, V: Tensor) -> None:
        self.inside = V.T @ self.Y[: anchor.size]
        self.outside = (self.Y[: anchor.size] - V @ self.inside).square().sum(0)

    def advance(self, old: _Anchor, new: _Anchor, v: Tensor) -> None:
        target = torch.cat([self.inside, self.Y[old.size : new.size]])
        self.inside = v.T @ target
        self.outside = self.outside + (target - v @ self.inside).square().sum(0)

    def at(self, anchor: _Anchor, rank: int) -> tuple[Tensor, Tensor]:
        W = self.inside / anchor.S[:, None]
        W[rank:] = 0
        residuals = torch.hypot(_hypot(self.inside[rank:]), self.outside.sqrt())
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
    anchor = _Anchor(0, A.new_zeros(len(A), 0), A.new_zeros(0))
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
            anchor, length = _Anchor(dims[place], U, S), longest
            path.land(anchor, V)
            yield _at_anchor(path, anchor, rank_above(S, rcond), place)
            place += 1
            continue
        stop = min(anchor.size + length, A.shape[1], dims[place] if cuts else A.shape[1])
        ahead = [d - anchor.size for d in dims[place : bisect_right(dims, stop)]]
        block = _append(anchor, A[:, anchor.size : stop], kept, bare=cuts or not ahead)
        n_columns, good = stop - anchor.size, stop - anchor.size
        if ahead and not cuts:
            steps = path.steps(anchor, block, torch.tensor(ahead, device=A.device))
            good = min(_certified(block, _null_error(anchor, block), steps.error, ahead), good)
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
        anchor, v = _next(previous, block, n_columns, kept)
        path.advance(previous, anchor, v)
        if dims[place] == anchor.size:
            yield _at_anchor(path, anchor, rank_above(anchor.S, rcond), place)
            place += 1


def _at_anchor(path: _Features | _Samples, anchor: _Anchor, rank: int, place: int) -> Solutions:
    W, residuals = path.at(anchor, rank)
    nothing = _append(anchor, anchor.U[:, :0], 0.0, bare=True)
    return Solutions(
        slice(place, place + 1),
        path.image(anchor, nothing, W[:, None]),
        torch.linalg.vector_norm(W, dim=0)[None],
        residuals[None],
        [rank],
    )


def _append(anchor: _Anchor, B: Tensor, rcond: float, *, bare: bool) -> _Block:
    """Sort appended columns into those that open directions and those that do not.

    A bare block has no null vectors: enough to pass over its columns.
    """
    UB, outside = _project_off(anchor.U, B)
    lengths = torch.linalg.vector_norm(B, dim=0)
    first = anchor.S[0] if len(anchor.S) else B.new_zeros(())
    # Between the spectral norm of the columns so far and the Frobenius norm of the block's.
    Q, R, pivots = _directions(
        outside, rcond * torch.maximum(first, lengths.square().cumsum(0).sqrt())
    )
    opened = set(pivots)
    rest = [] if bare else [j for j in range(B.shape[1]) if j not in opened]
    scales = torch.maximum(first, lengths.cummax(0).values) if len(lengths) else lengths
    return _Block(UB, Q, R, pivots, rest, _null_basis(anchor.S, UB, R, pivots, rest), scales)


def _directions(outside: Tensor, cut: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """Orthonormalize columns in order, leaving out those that depend on earlier ones."""
    n, m = outside.shape
    if not bool((torch.linalg.vector_norm(outside, dim=0) > cut).any()):
        return outside.new_zeros(n, 0), outside.new_zeros(0, m), []
    if n >= m:
        Q, R = torch.linalg.qr(outside)
        if bool((R.diagonal().abs() > cut).all()):
            return Q, R, list(range(m))
    # Dependent columns among them: one by one, with reorthogonalization.
    most = min(n, m)
    Q, R = outside.new_zeros(n, most), outside.new_zeros(most, m)
    pivots: list[int] = []
    for j in range(m):
        found = len(pivots)
        inside, left = _project_off(Q[:, :found], outside[:, j : j + 1])
        R[:found, j] = inside[:, 0]
        length = torch.linalg.vector_norm(left)
        if found < most and bool(length > cut[j]):
            R[found, j] = length
            Q[:, found] = left[:, 0] / length
            pivots.append(j)
    return Q[:, : len(pivots)], R[: len(pivots)], pivots


def _null_basis(S: Tensor, UB: Tensor, R: Tensor, pivots: list[int], rest: list[int]) -> Tensor:
    """Nested orthonormal basis of the null space of ``[U diag(S), B]``."""
    r, m = UB.shape
    raw = UB.new_zeros(r + m, len(rest))
    if not rest:
        return raw
    target = UB[:, rest]
    if pivots:
        K = torch.linalg.solve_triangular(R[:, pivots], R[:, rest], upper=True)
        raw[r:][pivots] = K
        target = target - UB[:, pivots] @ K
    raw[:r] = target / S[:, None]
    raw[[r + j for j in rest], range(len(rest))] = -1
    # The triangle keeps the order: a vector uses no column after its own.
    return torch.linalg.qr(raw).Q


def _null_error(anchor: _Anchor, block: _Block) -> Tensor:
    """By how much the null vectors miss, relative to the matrix; shape (number of them,)."""
    r, N, scales = len(anchor.S), block.N, block.scales[block.rest]
    above = anchor.S[:, None] * N[:r] + block.UB @ N[r:]
    return _hypot(above, block.R @ N[r:]) / torch.where(scales > 0, scales, 1)


def _certified(block: _Block, null_error: Tensor, error: Tensor, ahead: list[int]) -> int:
    """How many columns of the block can be relied on."""
    tol = _UNITS * torch.finfo(error.dtype).eps
    columns = [*block.rest, *(k - 1 for k in ahead)]
    # Written so that NaN fails, too.
    failed = (~(torch.cat([null_error, error]) <= tol)).tolist()
    bad = [column for column, fails in zip(columns, failed, strict=True) if fails]
    return min(bad, default=block.UB.shape[1])


def _next(anchor: _Anchor, block: _Block, n_columns: int, rcond: float) -> tuple[_Anchor, Tensor]:
    """Decompose the anchor with the first columns of the block, and how V turned."""
    r, p = len(anchor.S), sum(j < n_columns for j in block.pivots)
    K = block.UB.new_zeros(r + p, r + n_columns)
    K[:r, :r] = torch.diag(anchor.S)
    K[:r, r:], K[r:, r:] = block.UB[:, :n_columns], block.R[:p, :n_columns]
    u, S, vh = torch.linalg.svd(K, full_matrices=False)
    rank = rank_above(S, rcond)
    U = torch.cat([anchor.U, block.Q[:, :p]], dim=1) @ u[:, :rank]
    return _Anchor(anchor.size + n_columns, U, S[:rank]), vh[:rank].T


def _masks(block: _Block, ahead: Tensor) -> tuple[Tensor, Tensor]:
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


def _project_off(Q: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates of B in the orthonormal Q, and the rest; twice is enough."""
    inside = Q.T @ B
    outside = B - Q @ inside
    again = Q.T @ outside
    return inside + again, outside - Q @ again


def _relative(miss: Tensor, block: _Block, ahead: Tensor, W: Tensor, Y: Tensor) -> Tensor:
    """Largest backward error over the targets."""
    allowed = block.scales[ahead - 1][:, None] * torch.linalg.vector_norm(W, dim=0)
    allowed = allowed + torch.linalg.vector_norm(Y, dim=0)
    return (miss / torch.where(allowed > 0, allowed, 1)).amax(1)


def _apply(matrix: Tensor, W: Tensor) -> Tensor:
    return (matrix @ W.flatten(1)).view(-1, *W.shape[1:])


def _hypot(*parts: Tensor) -> Tensor:
    return torch.linalg.vector_norm(torch.cat(parts), dim=0)


def _eye_like(matrix: Tensor, n: int) -> Tensor:
    return torch.eye(n, dtype=matrix.dtype, device=matrix.device)
