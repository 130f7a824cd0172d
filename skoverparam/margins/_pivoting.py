"""Block principal pivoting for the dual of the hard margin: exact, in a few factorizations."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.margins._constraints import Candidate, Constraints

# Violations below this share of the values they are compared with are rounding.
_ROUNDING = 1e-11
# Flips of all violated indices that may fail to lower their number before single flips begin.
_PATIENCE = 3
# Values within this of 1 are equal to it, and corrections that may be made to get there.
_EXACT = 1e-13
_CORRECTIONS = 6


def block_pivoting(constraints: Constraints, *, max_iter: int) -> Candidate | None:
    r"""Solve the optimality conditions by flipping whole sets of active constraints.

    Parameters
    ----------
    constraints : Constraints
        The problem; the matrix ``K = Z Z^T`` of shape (N, N) is formed.

    max_iter : int
        Largest number of factorizations.

    Returns
    -------
    Candidate or None
        The solution to rounding. None if the active part of K cannot be factorized (points that
        depend on one another) or `max_iter` is reached.

    Notes
    -----
    The multipliers a and the intercept satisfy

    .. math::

        a \ge 0, \qquad K a + E \beta \ge 1, \qquad a^T (K a + E \beta - 1) = 0,
        \qquad E^T a = 0 .

    The first guess is that every constraint is active. Where the resulting a is positive, this
    was right and the classifier is the interpolator of minimum norm (arXiv:2104.13628): one
    factorization. Else every index that violates its condition is flipped. If the number of
    violations does not fall three times in a row, one index is flipped at a time until it does.
    Without an intercept single flips are finite; with one, `max_iter` guards them. A step costs a
    Cholesky factorization of the active part, at most :math:`N^3 / 3`.
    """
    E = constraints.intercepts
    K, lift = lifted(constraints.gram(), E)
    active = torch.ones(constraints.count, dtype=torch.bool, device=K.device)
    fewest, patience = constraints.count + 1, _PATIENCE
    for n_iter in range(1, max_iter + 1):
        P = active.nonzero().squeeze(1)
        whole = len(P) == constraints.count
        system = bordered(K if whole else K[P][:, P], E[P], lift)
        if system is None:
            return None
        a, offset = system.first
        # As E^T a = 0, what was added to K does not change K a.
        values = torch.ones_like(K[0]) if whole else K[:, P] @ a + E @ offset
        wrong = values < 1 - _ROUNDING
        wrong[P] = a < -_ROUNDING * a.abs().max()
        count = int(wrong.sum())
        if count == 0:
            return _refined(constraints, P, system, a, offset, n_iter)
        if count < fewest:
            fewest, patience = count, _PATIENCE
        else:
            patience -= 1
        if patience >= 0:
            active ^= wrong
        else:
            # Murty's rule: the last violated index, alone.
            last = wrong.nonzero()[-1]
            active[last] = ~active[last]
        if not bool(active.any()):
            return None
    return None


def polished(constraints: Constraints, active: Tensor, n_iter: int = 0) -> Candidate | None:
    """Solve exactly on a guess of the active set.

    Parameters
    ----------
    constraints : Constraints
        The problem.

    active : Tensor of int
        The constraints that are believed to hold with equality; every other weight is zero.

    n_iter : int, default=0
        What to report as the number of steps.

    Returns
    -------
    Candidate or None
        None if the system is singular or a weight comes out negative. The values of the other
        constraints are not looked at: certify the candidate.
    """
    if len(active) == 0:
        return None
    E = constraints.intercepts[active]
    K, lift = lifted(constraints.block(active), E)
    system = bordered(K, E, lift)
    if system is None:
        return None
    a, offset = system.first
    if bool((a < -_ROUNDING * a.abs().max()).any()):
        return None
    return _refined(constraints, active, system, a, offset, n_iter)


class Bordered(NamedTuple):
    """A factorized system ``K a + E beta = r``, ``E^T a = t``.

    Attributes
    ----------
    factor : Tensor of shape (N, N)
        Cholesky factor of ``K + lift E E^T``.

    E : Tensor of shape (N, q)
        The border.

    lift : float
        What E was added with.

    first : tuple of Tensor
        Solution a, beta for r = 1, t = 0.

    solved : Tensor of shape (N, q)
        The factorized matrix's inverse times E.

    inner : Tensor of shape (q, q)
        Inverse of E^T times that.
    """

    factor: Tensor
    E: Tensor
    lift: float
    first: tuple[Tensor, Tensor]
    solved: Tensor
    inner: Tensor

    def solve(self, r: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return a and beta."""
        r = r + self.lift * (self.E @ t)
        x = torch.cholesky_solve(r[:, None], self.factor)[:, 0]
        beta = self.inner @ (self.E.T @ x - t)
        return x - self.solved @ beta, beta


def lifted(K: Tensor, E: Tensor) -> tuple[Tensor, float]:
    """Add ``s E E^T`` to K, which changes no solution, as ``E^T a`` is given.

    The sum is definite also where the points are only affinely independent.
    """
    lift = float(K.diagonal().mean()) or 1.0
    return (K.addmm_(E, E.T, alpha=lift) if E.shape[1] else K), lift


def bordered(K: Tensor, E: Tensor, lift: float) -> Bordered | None:
    """Factorize the system of an active set, or say by None that it is singular."""
    factor, info = torch.linalg.cholesky_ex(K)
    diagonal = factor.diagonal()
    # A pivot at rounding level says that a row depends on those before it.
    if int(info) != 0 or float(diagonal.min()) <= 1e-8 * float(diagonal.max()):
        return None
    right = torch.hstack([torch.ones_like(K[:, :1]), E])
    solutions = torch.cholesky_solve(right, factor)
    x, solved = solutions[:, 0], solutions[:, 1:]
    inner, info = torch.linalg.inv_ex(E.T @ solved)
    if E.shape[1] and (int(info) != 0 or not bool(inner.isfinite().all())):
        return None
    beta = inner @ (E.T @ x)
    return Bordered(factor, E, lift, (x - solved @ beta, beta), solved, inner)


def _refined(
    constraints: Constraints, P: Tensor, system: Bordered, a: Tensor, offset: Tensor, n_iter: int
) -> Candidate:
    """Correct the solution by its residual, computed from the points themselves.

    The coefficients of features are corrected beside the weights: computed from the weights
    afresh they would suffer from cancellation as long as the margin is narrow.
    """
    weights = a.new_zeros(constraints.count)
    weights[P] = a
    linear = constraints.points.X is not None
    coef = constraints.combination(weights) if linear else None
    E, largest = constraints.intercepts[P], float("inf")
    for _ in range(_CORRECTIONS):
        products = constraints.products(weights) if coef is None else constraints.scores(coef)
        residual = 1 - products[P] - E @ offset
        previous, largest = largest, float(residual.abs().max())
        # Near rounding level, or no longer halved, there is nothing to gain.
        if largest <= _EXACT or largest > 0.5 * previous:
            break
        correction, shift = system.solve(residual, -(E.T @ weights[P]))
        change = torch.zeros_like(weights)
        change[P] = correction
        weights += change
        offset = offset + shift
        if coef is not None:
            coef = coef + constraints.combination(change)
    return Candidate(weights, offset, n_iter, coef)
