"""Two-sided kernel regression on the observed entries of a dense matrix.

A standardized entry is ``f(i, j) + noise`` with prior covariance ``R[i, i'] C[j, j']`` of f: the
kernel of an infinitely wide network on features of rows and of columns. With the projection P to
the training entries and relative noise variances N, the dual coefficients solve
``P(R (P X) C) + alpha N * X = P Z``; the completion is ``R X C``. No array larger than R, C and
the matrix itself is ever formed; with very many rows not even R, but a factor of it made from
landmark rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skoverparam.completion._biases import (
    Baseline,
    estimate_baseline,
    no_baseline,
)
from skoverparam.completion._features import (
    cross_kernel,
    feature_kernel,
    given_features,
    leading_directions,
    learned_features,
    row_gains,
    scaled_ntk_,
    typical_length,
)
from skoverparam.completion._masked_rows import solve_masked_rows
from skoverparam.completion._noise import Noise, estimate_noise, uniform_noise
from skoverparam.linalg._conjugate_gradients import conjugate_gradients
from skoverparam.linalg._low_rank import LowRankPlusDiagonal
from skoverparam.linalg._rp_cholesky import rp_cholesky

# A learned row kernel keeps this share for the row alone: no profile says all about a row.
OWN_SHARE = 0.2

# Profiles of the next pass take the observed values by this much and the fitted ones by the rest.
_TRUST_IN_OBSERVED = 0.8

# Passes before the last only make features: they need neither a close solution nor, for it, double
# precision. A user's ``tol`` rules the last.
_TOL_BETWEEN_PASSES = 0.1


@dataclass(frozen=True)
class Prior:
    """What is known about one side before any entry is seen.

    Attributes
    ----------
    kind : {"learned", "identity", "given"}
        Learned from the entries; no two alike; or features that the user gives.

    features : Tensor of shape (k, p) or None
        The user's features of the ``k`` rows (or columns), for "given".
    """

    kind: str
    features: Tensor | None = None

    def take(self, kept: Tensor) -> Prior:
        """Restrict the prior to some of the rows (or columns)."""
        return self if self.features is None else Prior(self.kind, self.features[kept])


@dataclass(frozen=True)
class Settings:
    """How to build the kernels and how hard to solve.

    Attributes
    ----------
    rows, columns : Prior
        The two sides' priors.

    depth : int
        Hidden layers.

    activation : object
        As in ``kernels.fully_connected_ntk``.

    rank : int or None
        Directions that learned profiles are reduced to.

    n_passes : int
        How often features are learned from the completed matrix.

    standardize : bool
        Whether offsets are removed and columns scaled first.

    tol : float
        Relative residual to solve to.

    max_iter : int
        Largest number of conjugate gradient steps in a pass.

    n_landmarks : int or None
        Rows that the row kernel is approximated from; None for the exact kernel.

    seed : int
        Of the draw of the landmarks.
    """

    rows: Prior
    columns: Prior
    depth: int
    activation: object
    rank: int | None
    n_passes: int
    standardize: bool
    tol: float
    max_iter: int
    n_landmarks: int | None = None
    seed: int = 0

    @property
    def decouples(self) -> bool:
        """Whether rows are fitted each by itself: the one-sided model of arXiv:2108.00131."""
        return self.rows.kind == "identity"

    @property
    def own_share(self) -> float:
        """Share of the row kernel that is each row's own, beside its features."""
        return OWN_SHARE if self.rows.kind == "learned" else 0.0

    @property
    def learns(self) -> bool:
        """Whether another pass would change the features."""
        return "learned" in (self.rows.kind, self.columns.kind)


class Landmarks(NamedTuple):
    """Rows that stand for all the others in an approximate row kernel.

    Attributes
    ----------
    rows : Tensor of shape (r,), int64
        Their indices.

    factor : Tensor of shape (r, r)
        Lower Cholesky factor L of their kernel. A row with kernel values k against them has the
        coordinates ``L^-1 k``, and inner products of coordinates approximate the kernel.

    pull : Tensor of shape (r, n)
        ``A^T X C``, with the training rows' coordinates A: what the coordinates of any row are
        multiplied with to get its share from the training rows.
    """

    rows: Tensor
    factor: Tensor
    pull: Tensor


class Completion(NamedTuple):
    """A completed matrix and what it takes to complete further rows.

    Attributes
    ----------
    completed : Tensor of shape (m, n)
        The prediction of every entry, observed or not, in the user's units.

    baseline : Baseline
        Offsets and scales.

    row_features : Tensor of shape (m, p)
        Features whose cosines the row kernel is made of; no columns where rows decouple.

    row_basis : Tensor of shape (n, rank) or None
        Directions that learned row profiles were reduced to.

    gains : Tensor of shape (m,)
        The row kernel is ``gains_i gains_i'`` times the kernel of the features.

    typical : Tensor of shape ()
        Length of a profile at which the gain is one.

    landmarks : Landmarks or None
        What the row kernel was approximated from; None if it is exact.

    column_kernel : Tensor of shape (n, n)
        The kernel C.

    noise : Noise
        Relative noise variances of rows and columns.

    dual : Tensor of shape (m, n)
        Dual coefficients, zero where nothing was observed.

    residual : Tensor of shape ()
        True relative residual of the linear system.

    amplitude : Tensor of shape ()
        The prior variance that makes the entries most likely: ``z^T (K + alpha N)^-1 z`` over
        their number.

    n_iter : int
        Conjugate gradient steps so far, all passes together.

    jitter : float
        Added to a diagonal so that it could be factorized, see ``solve_masked_rows``.
    """

    completed: Tensor
    baseline: Baseline
    row_features: Tensor
    row_basis: Tensor | None
    gains: Tensor
    typical: Tensor
    landmarks: Landmarks | None
    column_kernel: Tensor
    noise: Noise
    dual: Tensor
    residual: Tensor
    amplitude: Tensor
    n_iter: int
    jitter: float


def memory_needed(m: int, n: int, row_kernel: int, item_size: int) -> int:
    """Bytes that a completion allocates at most; ``row_kernel`` counts the entries kept of R."""
    # A kernel is made from cosines in place. Five CG vectors, the features of both sides (profile
    # and pattern blocks, and a copy while they are scaled), the matrix, its mask, the completion.
    return item_size * (row_kernel + 2 * n * n + 20 * m * n)


def completion_passes(
    Y: Tensor, observed: Tensor, settings: Settings, alpha: float
) -> Iterator[Completion]:
    """Yield the completion after every pass.

    Parameters
    ----------
    Y : Tensor of shape (m, n)
        The matrix, any finite number where nothing was observed.

    observed : Tensor of shape (m, n), bool
        The entries to learn from.

    settings : Settings
        Priors, kernel and solver.

    alpha : float
        Ridge, in units of the standardized noise variance.

    Yields
    ------
    Completion
        At least one; ``n_passes`` if a side is learned, else exactly one.
    """
    exact, baseline = standardized(Y, observed, settings)
    n_passes = settings.n_passes if settings.learns else 1
    rough = exact.float() if n_passes > 1 else exact
    Q, noise, dual, n_iter = rough, uniform_noise(rough), None, 0
    for number in range(1, n_passes + 1):
        Z, tol = rough, max(settings.tol, _TOL_BETWEEN_PASSES)
        if number == n_passes:
            Z, tol = exact, settings.tol
            Q, noise = Q.to(Z.dtype), Noise(*(part.to(Z.dtype) for part in noise))
            dual = None if dual is None else dual.to(Z.dtype)
        model = kernels_from(Q, observed, settings)
        ridge = Z.new_full((1,), alpha)
        solution = solve(model, Z, observed, noise, ridge, dual, tol, settings)
        dual = solution.dual
        n_iter += solution.n_iter
        f = model.times(dual[0])
        completion = Completion(
            completed=baseline.of_rows() + baseline.scale * f.to(Y.dtype),
            baseline=baseline,
            row_features=model.row_features,
            row_basis=model.row_basis,
            gains=model.gains,
            typical=model.typical,
            landmarks=model.landmarks_of(dual[0]),
            column_kernel=model.C,
            noise=noise,
            dual=dual[0],
            residual=solution.residual[0],
            # Not negative if solved to the end, which a user may not have asked for.
            amplitude=((Z * dual[0]).sum() / observed.sum()).clamp_min(0),
            n_iter=n_iter,
            jitter=solution.jitter,
        )
        yield _in_precision(completion, Y.dtype)
        Q, noise = next_profiles(Z, f, observed), estimate_noise((Z - f) * observed, observed)


def _in_precision(part: Any, dtype: torch.dtype) -> Any:
    """Cast the floating-point tensors of a NamedTuple, and of those inside it."""
    if isinstance(part, tuple):
        return type(part)(*(_in_precision(inner, dtype) for inner in part))
    is_float = isinstance(part, Tensor) and part.is_floating_point()
    return part.to(dtype) if is_float else part


def next_profiles(Z: Tensor, f: Tensor, observed: Tensor) -> Tensor:
    """Make what the next pass learns features from: the completed matrix, a little smoothed."""
    return torch.where(observed, torch.lerp(f, Z, _TRUST_IN_OBSERVED), f)


class Kernels(NamedTuple):
    """The kernels of one pass. ``R`` is None where rows decouple."""

    R: Tensor | LowRankPlusDiagonal | None
    C: Tensor
    pivots: Tensor | None
    row_features: Tensor
    row_basis: Tensor | None
    gains: Tensor
    typical: Tensor

    def times(self, X: Tensor) -> Tensor:
        """``R X C`` for one matrix or a batch of them."""
        XC = X @ self.C
        return XC if self.R is None else self.R @ XC

    def landmarks_of(self, dual: Tensor) -> Landmarks | None:
        """Sum up what new rows need to know, if the row kernel is approximate."""
        if not isinstance(self.R, LowRankPlusDiagonal) or self.pivots is None:
            return None
        A = self.R.factor
        # Rows of the factor at the pivots are the Cholesky factor, but for the pivots' gains.
        L = A[self.pivots] / self.gains[self.pivots, None]
        return Landmarks(self.pivots, L, A.T @ dual @ self.C)


class Solution(NamedTuple):
    """Dual coefficients for every ridge with their true relative residuals, and what it took."""

    dual: Tensor
    residual: Tensor
    n_iter: int
    jitter: float


def standardized(Y: Tensor, observed: Tensor, settings: Settings) -> tuple[Tensor, Baseline]:
    """Remove offsets and scales; zero where nothing was observed."""
    baseline = estimate_baseline(Y, observed) if settings.standardize else no_baseline(Y, observed)
    Z = (Y - baseline.of_rows()) / baseline.scale
    return torch.where(observed, Z, torch.zeros_like(Z)), baseline


def kernels_from(Q: Tensor, observed: Tensor, settings: Settings) -> Kernels:
    """Build the kernels of both sides from the profiles Q of this pass."""
    row_features, row_basis = _side(Q, observed, settings.rows, settings.rank, of_columns=False)
    column_features, _ = _side(Q.T, observed.T, settings.columns, settings.rank, of_columns=True)
    C = _kernel_of(column_features, settings)
    typical = typical_length(Q)
    learned = settings.rows.kind == "learned"
    gains = row_gains(Q, typical) if learned else torch.ones_like(typical).expand(len(Q))
    R: Tensor | LowRankPlusDiagonal | None = None
    pivots = None
    if settings.n_landmarks is not None and not settings.decouples:
        R, pivots = _row_factor(row_features, gains, settings)
    elif not settings.decouples:
        R = row_kernel(row_features, gains, settings)
    return Kernels(R, C, pivots, row_features, row_basis, gains, typical)


def row_kernel(features: Tensor, gains: Tensor, settings: Settings) -> Tensor:
    """Build the kernel R of some rows with themselves."""
    R = _kernel_of(features, settings)
    R.mul_(1 - settings.own_share).fill_diagonal_(1)
    return R.mul_(gains).mul_(gains[:, None])


def _row_factor(
    features: Tensor, gains: Tensor, settings: Settings
) -> tuple[LowRankPlusDiagonal, Tensor]:
    """Approximate R by a partial Cholesky factor; its diagonal stays exact."""
    share = 1 - settings.own_share

    def kernel_with(rows: Tensor) -> Tensor:
        return share * cross_kernel(features, features[rows], settings.depth, settings.activation)

    assert settings.n_landmarks is not None
    own = features.square().sum(1, keepdim=True)
    diagonal = share * scaled_ntk_(own, settings.depth, settings.activation).squeeze(1)
    generator = torch.Generator().manual_seed(settings.seed)
    factor, pivots, _ = rp_cholesky(
        kernel_with, diagonal, settings.n_landmarks, generator=generator
    )
    rest = (1 - factor.square().sum(1)).clamp_min(0)
    return LowRankPlusDiagonal(factor * gains[:, None], rest * gains.square()), pivots


def _kernel_of(features: Tensor, settings: Settings) -> Tensor:
    return feature_kernel(features, settings.depth, settings.activation)


def _side(
    Q: Tensor, observed: Tensor, prior: Prior, rank: int | None, *, of_columns: bool
) -> tuple[Tensor, Tensor | None]:
    if prior.features is not None:
        # Unit vectors fit into any precision, the user's numbers only into their own.
        return given_features(prior.features).to(Q.dtype), None
    if prior.kind == "identity":
        return Q.new_zeros(len(Q), 0), None
    basis = leading_directions(Q, rank)
    share = observed.to(Q.dtype).mean(0)
    features = learned_features(Q, observed, share, basis=basis, of_columns=of_columns)
    return features, basis


def solve(
    model: Kernels,
    Z: Tensor,
    observed: Tensor,
    noise: Noise,
    ridge: Tensor,
    start: Tensor | None,
    tol: float,
    settings: Settings,
) -> Solution:
    """Solve for several ridges at once: the solution's ``dual`` has a leading axis of them."""
    W = observed.to(Z.dtype)
    diagonal = ridge[:, None, None] * (noise.row[:, None] * noise.column)
    targets = Z.expand(len(ridge), *Z.shape)

    def apply(X: Tensor) -> Tensor:
        return model.times(X).mul_(W).addcmul_(diagonal, X)

    if not settings.decouples:
        result = conjugate_gradients(apply, targets, tol=tol, max_iter=settings.max_iter, x0=start)
        return Solution(result.x, result.residual, result.n_iter, 0.0)
    rows = [
        solve_masked_rows(model.C, Z, observed, alpha * noise.row, noise.column) for alpha in ridge
    ]
    dual = torch.stack([row.dual for row in rows])
    size = torch.linalg.vector_norm(Z).clamp_min(torch.finfo(Z.dtype).tiny)
    residual = torch.linalg.vector_norm((targets - apply(dual)).flatten(1), dim=1) / size
    return Solution(dual, residual, 1, max(row.jitter for row in rows))
