"""Hard-margin constraints in one form for two classes, one against the rest, and simplex codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

_EPS = torch.finfo(torch.float64).eps
# Rows of a symmetric product are formed in this many blocks: 56 % of the work of all of it.
_BLOCKS = 8


@dataclass(frozen=True)
class Points:
    """Training points, known by their features or, behind a kernel, by their inner products.

    Attributes
    ----------
    X : Tensor of shape (n, d) or None
        Features.

    K : Tensor of shape (n, n) or None
        Kernel matrix, where there are no features.
    """

    X: Tensor | None = None
    K: Tensor | None = None

    @property
    def count(self) -> int:
        """Number of points."""
        return len(self._any)

    @property
    def like(self) -> Tensor:
        """A tensor to take device and precision from."""
        return self._any

    @cached_property
    def gram(self) -> Tensor:
        """Inner products of all pairs, of shape (n, n)."""
        return self.K if self.K is not None else symmetric_product(self._any)

    @cached_property
    def features(self) -> Tensor:
        """Features of shape (n, r), r at most n, with the same inner products."""
        if self.K is not None:
            values, vectors = torch.linalg.eigh(self.K)
            keep = values > len(values) * _EPS * values[-1].clamp(min=0)
            return vectors[:, keep] * values[keep].sqrt()
        X = self._any
        if X.shape[1] <= len(X):
            return X
        # The factor of X itself: one of the matrix of inner products would lose half the digits.
        return torch.linalg.qr(X.T, mode="r").R.T.contiguous()

    @cached_property
    def squared_norms(self) -> Tensor:
        """Squared norms of the points, of shape (n,)."""
        if self.K is not None:
            return self.K.diagonal()
        return torch.linalg.vecdot(self._any, self._any)

    def products(self, B: Tensor) -> Tensor:
        """Multiply the matrix of inner products with a tensor of shape (n, q)."""
        return self.K @ B if self.K is not None else self._any @ (self._any.T @ B)

    @property
    def _any(self) -> Tensor:
        known = self.X if self.X is not None else self.K
        assert known is not None
        return known


@dataclass(frozen=True)
class Constraints:
    r"""The constraints ``<c_m, f(x_m)> >= 1`` of a classifier ``f(x) = W^T x + b``.

    With :math:`z_m = x_m \otimes c_m`, the vector :math:`\theta` of all entries of W and a free
    :math:`\beta = b`, they read :math:`Z \theta + E \beta \ge 1`, and the hard margin minimizes
    :math:`\|\theta\|^2 / 2`. Two classes have codes of -1 and +1.

    Attributes
    ----------
    points : Points
        The training points.

    codes : Tensor of shape (N, q)
        One code per constraint.

    index : Tensor of shape (N,) or None
        Which point each constraint is about; None says that there is one per point, in order.

    free : bool
        Whether there is a free intercept.
    """

    points: Points
    codes: Tensor
    index: Tensor | None
    free: bool

    @property
    def count(self) -> int:
        """Number of constraints, N."""
        return len(self.codes)

    @property
    def intercepts(self) -> Tensor:
        """The matrix E, of shape (N, q), or (N, 0) without intercept."""
        return self.codes if self.free else self.codes[:, :0]

    @cached_property
    def scale(self) -> float:
        """Root mean square of the norms of the rows of Z; 1 if all of them vanish."""
        norms = self.at_points(self.points.squared_norms) * self.codes.square().sum(1)
        return float(norms.mean().sqrt()) or 1.0

    def at_points(self, values: Tensor) -> Tensor:
        """Look up a value of each constraint's point."""
        return values if self.index is None else values[self.index]

    def coefficients(self, weights: Tensor) -> Tensor:
        """Dual coefficients of the points, B of shape (n, q) with ``W = X^T B``."""
        B = weights[:, None] * self.codes
        if self.index is None:
            return B
        return B.new_zeros(self.points.count, B.shape[1]).index_add_(0, self.index, B)

    def products(self, weights: Tensor) -> Tensor:
        """Multiply ``Z Z^T`` with weights of the constraints."""
        G = self.at_points(self.points.products(self.coefficients(weights)))
        return (G * self.codes).sum(1)

    def combination(self, weights: Tensor) -> Tensor:
        """Combine the rows of Z to coefficients W of the features, of shape (d, q)."""
        assert self.points.X is not None
        return self.points.X.T @ self.coefficients(weights)

    def scores(self, coef: Tensor) -> Tensor:
        """Multiply Z with coefficients of the features."""
        assert self.points.X is not None
        return (self.at_points(self.points.X @ coef) * self.codes).sum(1)

    def gram(self) -> Tensor:
        """Compute the matrix ``Z Z^T``, of shape (N, N), anew."""
        if self.index is None:
            return self.block(None)
        return self.block(torch.arange(self.count, device=self.codes.device))

    def block(self, rows: Tensor | None) -> Tensor:
        """Compute rows and columns of ``Z Z^T``; None takes all of them."""
        if rows is None:
            return self.points.gram * (self.codes @ self.codes.T)
        at = rows if self.index is None else self.index[rows]
        if "gram" in vars(self.points) or self.points.X is None:
            G = self.points.gram[at][:, at]
        else:
            G = symmetric_product(self.points.X[at])
        C = self.codes[rows]
        return G * (C @ C.T)

    def features(self) -> Tensor:
        """Rows of Z in as few coordinates as possible, of shape (N, r q)."""
        F = self.at_points(self.points.features)
        return (F[:, :, None] * self.codes[:, None, :]).flatten(1)

    def lifted(self, theta: Tensor) -> Tensor:
        """Coefficients W of the features, (d, q), from those of :meth:`features`, (r q,)."""
        assert self.points.X is not None
        X, reduced = self.points.X, theta.reshape(-1, self.codes.shape[1])
        if X.shape[1] <= len(X):
            return reduced
        return torch.linalg.qr(X.T).Q @ reduced


class Candidate(NamedTuple):
    """What a solver proposes.

    Attributes
    ----------
    weights : Tensor of shape (N,)
        Multipliers a of the constraints, not negative; the scale means nothing.

    offset : Tensor of shape (q,) or (0,)
        The intercept that goes with them.

    n_iter : int
        How many steps it took.

    coef : Tensor of shape (d, q) or None
        Coefficients W of the features, None for those that follow from the weights. Where the
        margin is narrow, large weights cancel in them, and they are known better than that.
    """

    weights: Tensor
    offset: Tensor
    n_iter: int
    coef: Tensor | None = None


class Certified(NamedTuple):
    r"""A candidate with bounds of the margin that hold whatever made it.

    Attributes
    ----------
    weights : Tensor of shape (N,)
        Multipliers a, scaled so that the smallest constraint holds with equality (if separable).

    offset : Tensor of shape (q,) or (0,)
        The intercept in the same scale.

    coef : Tensor of shape (d, q) or None
        The coefficients in the same scale, if the candidate had any.

    values : Tensor of shape (N,)
        Left-hand sides of the constraints, ``Z theta + E beta``.

    lower : float
        Margin of the candidate, ``min_m values_m / ||theta||``: no smaller than this is possible
        for the best classifier.

    upper : float
        ``||Z^T a|| / sum(a)``: no classifier has a larger margin.

    gap : float
        Relative duality gap ``1 - (lower / upper)^2``, that is, primal objective minus dual
        objective over the primal one; 1 if ``lower`` is not positive.
    """

    weights: Tensor
    offset: Tensor
    coef: Tensor | None
    values: Tensor
    lower: float
    upper: float
    gap: float


def certified(constraints: Constraints, candidate: Candidate) -> Certified:
    r"""Bound the margin from both sides, from the candidate alone.

    Parameters
    ----------
    constraints : Constraints
        The problem.

    candidate : Candidate
        Weights and intercept of any quality.

    Returns
    -------
    Certified
        The candidate, rescaled, and what it proves.

    Notes
    -----
    For weights :math:`a \ge 0` with :math:`E^T a = 0` and any classifier :math:`(\theta, \beta)`
    of margin :math:`\gamma \|\theta\|`,

    .. math::

        \gamma \|\theta\| \, 1^T a \le a^T (Z \theta + E \beta) = (Z^T a)^T \theta
        \le \|Z^T a\| \|\theta\| .

    With two classes the best intercept for given :math:`\theta` is known, and the weights are
    balanced between the classes first, so that :math:`E^T a = 0` holds to rounding.
    """
    a, offset = candidate.weights.clamp(min=0), candidate.offset
    binary = constraints.free and constraints.codes.shape[1] == 1
    if binary:
        a = _balanced(a, constraints.codes[:, 0])
    coef = candidate.coef
    if coef is None:
        products = constraints.products(a)
        norm = pull = float((a @ products).clamp(min=0).sqrt())
    else:
        products = constraints.scores(coef)
        norm = float(torch.linalg.vector_norm(coef))
        pull = float(torch.linalg.vector_norm(constraints.combination(a)))
    total = float(a.sum())
    if binary:
        offset = _best_intercept(products, constraints.codes[:, 0])
    values = products + constraints.intercepts @ offset
    smallest = float(values.min())
    lower = smallest / norm if norm > 0 else 0.0
    excess = float((constraints.intercepts.T @ a).abs().sum())
    # Weights that leave the intercept a direction to grow in prove nothing.
    upper = pull / total if total > 0 and excess <= 1e-9 * total else float("inf")
    gap = max(0.0, 1 - (lower / upper) ** 2) if lower > 0 else 1.0
    scale = 1 / smallest if smallest > 0 else 1.0
    coef = None if coef is None else coef * scale
    return Certified(a * scale, offset * scale, coef, values * scale, lower, upper, gap)


def symmetric_product(A: Tensor) -> Tensor:
    """Compute ``A A^T`` by blocks of rows, the upper half by reflection."""
    n = len(A)
    if n < 32 * _BLOCKS:
        return A @ A.T
    K = A.new_empty(n, n)
    edges = torch.linspace(0, n, _BLOCKS + 1).long().tolist()
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        torch.mm(A[low:high], A[:high].T, out=K[low:high, :high])
        K[:low, low:high] = K[low:high, :low].T
    return K


def _balanced(a: Tensor, signs: Tensor) -> Tensor:
    positive = torch.where(signs > 0, a, 0).sum()
    negative = torch.where(signs > 0, 0, a).sum()
    if not (positive > 0 and negative > 0):
        return a
    total = (positive * negative).sqrt()
    return a * torch.where(signs > 0, total / positive, total / negative)


def _best_intercept(products: Tensor, signs: Tensor) -> Tensor:
    nearest_positive = products[signs > 0].min()
    nearest_negative = products[signs < 0].min()
    return ((nearest_negative - nearest_positive) / 2)[None]
