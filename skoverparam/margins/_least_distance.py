"""Least-distance programming by nonnegative least squares: a solution, or the proof of none."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from skoverparam.margins._constraints import Candidate, Constraints

Array = NDArray[np.float64]

_EPS = float(np.finfo(np.float64).eps)
# The intercept is first measured with this many times the scale of the points: far from free is
# slow, close to free loses digits.
_INTERCEPT_SCALE = 30.0
# Rounds of it; the active set is the right one after one or two.
_ROUNDS = 30


def least_distance(
    constraints: Constraints, *, max_iter: int, start: Tensor | None = None
) -> Iterator[Candidate]:
    r"""Find the hard margin by nonnegative least squares, or weights that prove there is none.

    Parameters
    ----------
    constraints : Constraints
        The problem. Points may repeat or depend on one another.

    max_iter : int
        Largest number of constraints entering the active set, all rounds together.

    start : Tensor of int, default=None
        Constraints believed to be active.

    Yields
    ------
    Candidate
        One per round. The first one tells whether the data are separable: if they are not,
        ``Z^T a`` and ``E^T a`` vanish to rounding. Without intercept it is the solution; with
        one, each round brings the intercept closer to free, and its active set is soon the right
        one.

    Notes
    -----
    Minimizing :math:`\|\theta\|^2` over :math:`A \theta \ge h` is the problem of nonnegative
    least squares

    .. math:: \min_{u \ge 0} \; \| [A, h]^T u - e_{last} \|^2 ,

    with residual :math:`r`: if :math:`r = 0` there is no :math:`\theta`, as
    :math:`A^T u = 0` and :math:`h^T u = 1`; else :math:`\theta = - r / r_{last}` without the last
    entry (Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23). The intercept
    enters as a column that counts little in the norm; a round measures it from where the last one
    left it (the proximal point method), so that it is free in the limit. A step costs a pass over
    the constraints, :math:`N r`, and an update of a QR factorization. It runs on the host.
    """
    F = constraints.features().cpu().numpy() / constraints.scale
    E = constraints.intercepts.cpu().numpy() * _INTERCEPT_SCALE
    A = np.hstack([F, E])
    h = np.ones(len(A))
    passive = [] if start is None else start.tolist()
    n_iter, beta = 0, np.zeros(E.shape[1])
    for _ in range(_ROUNDS):
        if n_iter >= max_iter:
            return
        u, passive, n_steps = nonnegative_least_squares(
            np.hstack([A, h[:, None]]), passive, max_iter - n_iter
        )
        n_iter += max(n_steps, 1)
        rest = 1 - h @ u
        theta = A.T @ u
        shift = np.zeros_like(beta)
        if rest > 0:
            shift = theta[F.shape[1] :] / rest
            beta = beta + shift
            u = u / (rest * constraints.scale**2)
        yield Candidate(
            _tensor(u, constraints), _tensor(beta * _INTERCEPT_SCALE, constraints), n_iter
        )
        settled = np.linalg.norm(shift) <= _EPS * np.linalg.norm(beta)
        if settled or not np.linalg.norm(theta) > _EPS:
            return
        h = 1 - E @ beta


def nonnegative_least_squares(
    rows: Array, passive: list[int], max_iter: int
) -> tuple[Array, list[int], int]:
    """Minimize ``||rows^T u - e_last||`` over ``u >= 0`` by an active set with QR updates.

    Parameters
    ----------
    rows : ndarray of shape (N, p)
        The columns of the least squares problem, as rows.

    passive : list of int
        Where to start: the unknowns that are free to be positive.

    max_iter : int
        Largest number of unknowns entering.

    Returns
    -------
    u : ndarray of shape (N,)
        The solution.

    passive : list of int
        Its positive unknowns.

    n_iter : int
        How many entered.
    """
    norms = np.linalg.norm(rows, axis=1)
    norms[norms == 0] = 1.0
    factor = _ActiveColumns(rows)
    factor.replace(passive)
    values = factor.solution()
    # A start is a guess: what comes out negative leaves before the first step.
    while len(values) and values.min() <= 0:
        factor.replace([i for i, value in zip(factor.members, values, strict=True) if value > 0])
        values = factor.solution()
    refused: set[int] = set()
    for n_iter in range(max_iter):
        residual = factor.residual(values)
        size = float(np.linalg.norm(residual))
        pull = (rows @ residual) / norms
        pull[factor.members] = -np.inf
        pull[list(refused)] = -np.inf
        entering = int(np.argmax(pull))
        if not pull[entering] > 32 * _EPS * max(size, _EPS) or size <= 32 * _EPS:
            return factor.spread(values), factor.members, n_iter
        if not factor.append(entering):
            refused.add(entering)
            continue
        before = np.append(values, 0.0)
        values = factor.solution()
        if values[-1] <= 0:
            # Rounding made it look profitable.
            factor.remove(len(values) - 1)
            refused.add(entering)
            values = before[:-1]
            continue
        refused.clear()
        while values.min() <= 0:
            leaving = values <= 0
            ratios = before[leaving] / (before[leaving] - values[leaving])
            step = ratios.min()
            before += step * (values - before)
            blocked = np.flatnonzero(leaving)[ratios <= step]
            for place in sorted(blocked, reverse=True):
                factor.remove(int(place))
                before = np.delete(before, place)
            values = factor.solution()
    return factor.spread(values), factor.members, max_iter


class _ActiveColumns:
    """QR factorization of the rows that are passive now, as columns."""

    def __init__(self, rows: Array) -> None:
        self.rows = rows
        self.members: list[int] = []
        room = rows.shape[1]
        self._Q = np.zeros((room, room), order="F")
        self._R = np.zeros((room, room), order="F")

    def replace(self, members: list[int]) -> None:
        """Factorize other members anew, leaving out those that depend on the rest."""
        columns = self.rows[members].T
        Q, R, order = scipy.linalg.qr(columns, mode="economic", pivoting=True, check_finite=False)
        sizes = np.abs(R.diagonal())
        k = int((sizes > 1e-12 * sizes[:1]).sum()) if len(members) else 0
        self.members = [members[place] for place in order[:k]]
        self._Q[:, :k], self._R[:k, :k] = Q[:, :k], R[:k, :k]

    def append(self, i: int) -> bool:
        """Add a row; False if it depends on those that are there."""
        k = len(self.members)
        if k == self.rows.shape[1]:
            return False
        v = self.rows[i].copy()
        size = np.linalg.norm(v)
        Q, r = self._Q[:, :k], np.zeros(k)
        for _ in range(2):  # twice is enough
            h = Q.T @ v
            v -= Q @ h
            r += h
        rest = np.linalg.norm(v)
        if rest <= 1e-13 * size:
            return False
        self._Q[:, k] = v / rest
        self._R[:k, k], self._R[k, k] = r, rest
        self.members.append(i)
        return True

    def remove(self, place: int) -> None:
        """Take out the member at a place."""
        k = len(self.members)
        del self.members[place]
        Q, R = scipy.linalg.qr_delete(
            self._Q[:, :k], self._R[:k, :k], place, which="col", check_finite=False
        )
        self._Q[:, : k - 1], self._R[: k - 1, : k - 1] = Q[:, : k - 1], R[: k - 1, : k - 1]
        self._R[k - 1, :] = 0

    def solution(self) -> Array:
        """Solve the unconstrained problem for the members."""
        k = len(self.members)
        if k == 0:
            return np.zeros(0)
        return scipy.linalg.solve_triangular(self._R[:k, :k], self._Q[-1, :k], check_finite=False)

    def residual(self, values: Array) -> Array:
        """Compute ``e_last - rows^T u`` for values of the members."""
        r = -self.rows[self.members].T @ values
        r[-1] += 1
        # What is left of it lies outside the span of the members: rounding does not.
        Q = self._Q[:, : len(self.members)]
        return r - Q @ (Q.T @ r)

    def spread(self, values: Array) -> Array:
        """Values of all unknowns from those of the members."""
        u = np.zeros(len(self.rows))
        u[self.members] = values
        return u


def _tensor(array: Array, constraints: Constraints) -> Tensor:
    like = constraints.codes
    return torch.from_numpy(array).to(device=like.device, dtype=like.dtype)
