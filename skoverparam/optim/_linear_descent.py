"""Mirror descent on linear least squares, with steps that the theory allows."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.optim._mirrors import Mirror, TimeDependentMirror

# Losses below this share of the squared targets are rounding.
_ROUNDING = 1e-28
# A loss so many times that of the start does not come back.
_DIVERGED = 1e8
_MAX_HALVINGS = 200


class Conditioning(NamedTuple):
    """Constants of the loss ``|Z W' - Y|^2 / (2 n)``.

    Attributes
    ----------
    smoothness : float
        L, the largest eigenvalue of ``Z' Z / n``.

    pl : float
        mu, the smallest one that is not zero to rounding: ``|grad f|^2 / 2 >= mu (f - best)``.

    largest_sample : float
        The largest squared norm of a row of Z.

    best : float
        The least loss.
    """

    smoothness: float
    pl: float
    largest_sample: float
    best: float

    @classmethod
    def of(cls, Z: Tensor, Y: Tensor) -> Conditioning:
        """Compute them by a singular value decomposition."""
        n = len(Z)
        U, s, _ = torch.linalg.svd(Z, full_matrices=False)
        kept = s > s.amax() * max(Z.shape) * torch.finfo(Z.dtype).eps
        missed = Y - U[:, kept] @ (U[:, kept].T @ Y)
        best = float(missed.square().sum()) / (2 * n)
        floor = _ROUNDING * float(Y.square().sum()) / (2 * n)
        eigenvalues = s[kept].square() / n
        return cls(
            float(eigenvalues.amax()) if len(eigenvalues) else 0.0,
            float(eigenvalues.amin()) if len(eigenvalues) else 0.0,
            float(Z.square().sum(1).amax()),
            0.0 if best <= floor * max(Z.shape) else best,
        )


class DescentStep(NamedTuple):
    """Where a descent is after a pass over the samples.

    Attributes
    ----------
    coef : Tensor of shape (c, d)
        The coefficients, a row for each target.

    loss : float
        ``|Z W' - Y|^2 / (2 n)``.

    residual : float
        ``|Z W' - Y| / |Y|``, what no coefficients fit not counted.

    bounds : (float, float)
        Least and greatest curvature of the mirror over the box of all iterates, or of the
        metrics so far.

    learning_rate : float
        The last step.

    converged : bool
        Whether the residual is within the tolerance.
    """

    coef: Tensor
    loss: float
    residual: float
    bounds: tuple[float, float]
    learning_rate: float
    converged: bool


def descent_steps(
    Z: Tensor,
    Y: Tensor,
    start: Tensor,
    mirror: Mirror | TimeDependentMirror,
    conditioning: Conditioning,
    *,
    learning_rate: float | str,
    batch_size: int | None,
    tol: float,
    max_iter: int,
    generator: torch.Generator,
) -> Iterator[DescentStep]:
    """Descend from a start until the residual is small; yield after each pass over the samples.

    Parameters
    ----------
    Z : Tensor of shape (n, d)
        Features, in float64.

    Y : Tensor of shape (n, c)
        Targets.

    start : Tensor of shape (c, d)
        Coefficients to start from, in the mirror's domain.

    mirror : Mirror or TimeDependentMirror
        The mirror.

    conditioning : Conditioning
        Constants of the loss.

    learning_rate : float, "theory" or "search"
        The step; the one of the theory; or the longest one, among halves and doubles of the
        last, that takes the loss down by half of what its gradient promises.

    batch_size : int or None
        Samples for each step, None for all of them.

    tol : float
        Relative residual at which to stop.

    max_iter : int
        Largest number of passes.

    generator : torch.Generator
        Draws the order of the samples.

    Yields
    ------
    DescentStep
        After each pass.
    """
    geometry = (_FixedGeometry if isinstance(mirror, Mirror) else _MovingGeometry)(mirror, start)  # type: ignore[arg-type]
    rule = _Rule(conditioning, learning_rate, Z, batch_size)
    scale = float(Y.square().sum()) / (2 * len(Z))
    W = start
    missed = Z @ W.T - Y
    first = float(missed.square().sum()) / (2 * len(Z))
    for _ in range(max_iter):
        if rule.stochastic:
            order = torch.randperm(len(Z), generator=generator).to(Z.device)
            for rows in order.split(rule.batch_size):
                part = Z[rows]
                W = geometry.step(W, (part @ W.T - Y[rows]).T @ part / len(rows), rule)
        else:
            W = geometry.step(W, missed.T @ Z / len(Z), rule)
        missed = Z @ W.T - Y
        loss = float(missed.square().sum()) / (2 * len(Z))
        if not loss <= _DIVERGED * max(first, scale):
            raise ValueError(
                f"The descent diverges: the loss went from {first:.3g} to {loss:.3g}. Lower "
                f"learning_rate={rule.last:.3g}, or take 'theory'."
            )
        excess = max(loss - conditioning.best, 0.0)
        residual = math.sqrt(excess / scale) if scale > 0 else math.sqrt(excess)
        done = residual <= tol
        yield DescentStep(W, loss, residual, geometry.bounds(), rule.last, done)
        if done:
            return


class _Rule:
    """How long a step may be.

    For all samples: with the curvature at least ``least`` between both ends of the step, any step
    below ``2 least / L`` brings the loss down, ``least / L`` most by the bound (arXiv:2009.08574).
    For some of them, ``mu least^2 / (L L_b greatest)`` with ``L_b`` for the variance of the
    gradient of b samples.
    """

    def __init__(
        self,
        conditioning: Conditioning,
        learning_rate: float | str,
        Z: Tensor,
        batch_size: int | None,
    ) -> None:
        n_samples = len(Z)
        self.Z = Z
        self.searches = learning_rate == "search"
        self.given = None if isinstance(learning_rate, str) else learning_rate
        self.batch_size = n_samples if batch_size is None else min(batch_size, n_samples)
        self.stochastic = self.batch_size < n_samples
        self.last = 0.0 if self.given is None else self.given
        L, b = conditioning.smoothness, self.batch_size
        self.smoothness = L
        sampled = conditioning.largest_sample / b + (1 - 1 / b) * L
        self.noise = conditioning.pl / (L * sampled) if L > 0 else 0.0

    def step(self, least: float, greatest: float) -> float:
        """Return the step where the curvature is known to lie between two numbers."""
        if self.smoothness == 0:
            return 0.0
        if not self.stochastic:
            return least / self.smoothness
        return self.noise * least * (least / greatest)

    def falls(self, G: Tensor, moved: Tensor) -> bool:
        """Whether a move takes the loss down by half of what its gradient promises."""
        rise = float((self.Z @ moved.T).square().sum()) / len(self.Z)
        return rise <= -float((G * moved).sum())


class _FixedGeometry:
    """Duals accumulate; the box of the iterates is kept for its bounds."""

    def __init__(self, mirror: Mirror, start: Tensor) -> None:
        self.mirror = mirror
        self.z = mirror.to_dual(start)
        self.low, self.high = start.clone(), start.clone()

    def bounds(self) -> tuple[float, float]:
        return self.mirror.bounds(self.low, self.high)

    def step(self, W: Tensor, G: Tensor, rule: _Rule) -> Tensor:
        if rule.given is not None:
            moved = self._moved(G, rule.given)
            if moved is None:
                raise ValueError(
                    f"A step of learning_rate={rule.given:.3g} leaves the finite weights of "
                    f"{type(self.mirror).__name__}. Lower it, or take 'theory'."
                )
        else:
            moved = self._longest_allowed(W, G, rule)
        self.z, W = moved
        torch.minimum(self.low, W, out=self.low)
        torch.maximum(self.high, W, out=self.high)
        return W

    def _moved(self, G: Tensor, step: float) -> tuple[Tensor, Tensor] | None:
        z = torch.add(self.z, G, alpha=-step)
        W = self.mirror.to_primal(z)
        return (z, W) if bool(torch.isfinite(W).all()) else None

    def _longest_allowed(self, W: Tensor, G: Tensor, rule: _Rule) -> tuple[Tensor, Tensor]:
        """Find a step that is as long as the theory allows for its own two ends."""
        least, greatest = self.mirror.bounds(W, W)
        if least == 0 and rule.searches:
            least = 1.0
        elif least == 0:
            raise ValueError(
                f"learning_rate='theory' needs a mirror whose curvature is not zero, and "
                f"{self.mirror} has zero at weights of zero. Give it a ridge, or take "
                "learning_rate='search' or a number."
            )
        if rule.stochastic and math.isinf(greatest):
            raise ValueError(
                "learning_rate='theory' with a batch_size needs a mirror of finite curvature, "
                f"and that of {self.mirror} is infinite at weights of zero. Give learning_rate "
                "a number, or take all samples."
            )
        # Where the curvature is infinite, at weights of zero, nothing bounds the first try.
        step = rule.step(least, greatest)
        if rule.last > 0:
            step = 2 * rule.last if rule.searches else min(step, 4 * rule.last)
        step = step if math.isfinite(step) else 1.0 / max(rule.smoothness, 1e-300)
        for _ in range(_MAX_HALVINGS):
            moved = self._moved(G, step)
            if moved is not None:
                if rule.searches:
                    enough = rule.falls(G, moved[1] - W)
                else:
                    low, high = torch.minimum(W, moved[1]), torch.maximum(W, moved[1])
                    enough = step <= rule.step(*self.mirror.bounds(low, high))
                if enough:
                    break
            step *= 0.5
        rule.last = step
        return moved if moved is not None else (self.z, W)


class _MovingGeometry:
    """A metric that follows the gradients; both sides of a step use the same one."""

    def __init__(self, mirror: TimeDependentMirror, start: Tensor) -> None:
        self.mirror = mirror
        self.state = mirror.initial_state(start)

    def bounds(self) -> tuple[float, float]:
        metric = self.mirror.metric(self.state)
        # Weights that never had a gradient do not move.
        metric = metric[metric > 0]
        return (float(metric.min()), float(metric.max())) if metric.numel() else (1.0, 1.0)

    def step(self, W: Tensor, G: Tensor, rule: _Rule) -> Tensor:
        self.state = self.mirror.update(self.state, G)
        metric = self.mirror.metric(self.state)
        direction = -G / metric.clamp_min(torch.finfo(metric.dtype).tiny)
        if rule.searches:
            rule.last = 2 * rule.last if rule.last > 0 else rule.step(*self.bounds())
            for _ in range(_MAX_HALVINGS):
                if rule.falls(G, rule.last * direction):
                    break
                rule.last *= 0.5
        elif rule.given is None:
            rule.last = rule.step(*self.bounds())
        return W + rule.last * direction


def rate_bound(
    conditioning: Conditioning, bounds: tuple[float, float], learning_rate: float | str
) -> float | None:
    """Return the factor by which the excess loss falls at least in each full step.

    None where the step may be longer than the theory allows.
    """
    least, greatest = bounds
    L, mu = conditioning.smoothness, conditioning.pl
    if L == 0:
        return 0.0
    if learning_rate == "search":
        return None
    if math.isinf(greatest):
        return 1.0
    step = least / L if isinstance(learning_rate, str) else learning_rate
    if not step < 2 * least / L:
        return None
    # One division after the other: the square of a large curvature is not a number.
    return 1 - mu * step * (2 * least - step * L) / greatest / greatest


def measured_rate(losses: list[float], best: float, scale: float) -> float | None:
    """Return the mean factor of the excess loss over the last half of the passes."""
    excess = [loss - best for loss in losses]
    excess = [value for value in excess if value > max(_ROUNDING * scale, 1e-13 * best)]
    if len(excess) < 3:
        return None
    half = len(excess) // 2
    n_steps = len(excess) - 1 - half
    return float((excess[-1] / excess[half]) ** (1 / n_steps)) if n_steps else None
