"""Mirror maps: which geometry a descent moves in.

A mirror is the gradient of a strictly convex potential and takes weights to their dual. A fixed
one is summed over coordinates (or over rows, on the simplex); one that depends on time is a
diagonal metric that gradients update.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

# Newton's method for one number each, from above on a convex function: digits double.
_MAX_NEWTON = 100


class Mirror:
    r"""A fixed mirror map, :math:`\phi = \nabla \psi` for a strictly convex potential.

    Subclasses give `to_dual`, `to_primal` and `potential`, and `curvature` if bounds and theory
    steps are wanted. They hold numbers only and have no state: one mirror serves any number of
    tensors.

    Examples
    --------
    >>> from skoverparam.optim import Mirror
    >>> class Cosh(Mirror):
    ...     def to_dual(self, w):
    ...         return w.sinh()
    ...
    ...     def to_primal(self, z):
    ...         return z.asinh()
    ...
    ...     def potential(self, w):
    ...         return w.cosh().sum()
    ...
    ...     def curvature(self, w):
    ...         return w.cosh()
    >>> import torch
    >>> round(float(Cosh().divergence(torch.ones(1), torch.zeros(1))), 3)
    0.543
    """

    time_dependent: ClassVar[bool] = False

    @property
    def flat_at_zero(self) -> bool:
        """Whether the curvature is zero at a weight of zero."""
        return False

    def start(self, n_weights: int) -> float:
        """Return a value in the domain, to start from if nothing else is known."""
        return 0.0

    def to_dual(self, w: Tensor) -> Tensor:
        r"""Map weights to their dual, :math:`\phi(w)`."""
        raise NotImplementedError

    def to_primal(self, z: Tensor) -> Tensor:
        r"""Map a dual to weights, :math:`\phi^{-1}(z)`."""
        raise NotImplementedError

    def to_primal_(self, z: Tensor, out: Tensor) -> None:
        """Write the weights of a dual to a tensor. Overwrite it where that saves memory."""
        out.copy_(self.to_primal(z))

    def largest_dual(self, dtype: torch.dtype) -> float:
        """Return the size up to which dual coordinates have finite weights in this precision."""
        return math.inf

    def potential(self, w: Tensor) -> Tensor:
        r"""Return the potential :math:`\psi(w)`, a scalar."""
        raise NotImplementedError

    def curvature(self, w: Tensor) -> Tensor:
        r"""Return the diagonal of :math:`\nabla^2 \psi(w)`; monotone in the size of a weight."""
        raise NotImplementedError

    def check_domain(self, w: Tensor, name: str = "the weights") -> None:
        """Raise ValueError where weights have no dual."""

    def divergence(self, w: Tensor, v: Tensor) -> Tensor:
        r"""Return the Bregman divergence of w from v, a scalar that is zero for w = v only.

        :math:`D(w, v) = \psi(w) - \psi(v) - \langle \phi(v), w - v \rangle`.
        """
        return self.potential(w) - self.potential(v) - (self.to_dual(v) * (w - v)).sum()

    def bounds(self, low: Tensor, high: Tensor) -> tuple[float, float]:
        """Return the least and the greatest curvature in the box between two points."""
        nearest = torch.zeros_like(low).clamp(low, high)
        farthest = torch.where(low.abs() > high.abs(), low, high)
        ends = torch.stack([self.curvature(nearest), self.curvature(farthest)])
        return float(ends.min()), float(ends.max())


@dataclass(frozen=True)
class Euclidean(Mirror):
    """Gradient descent: the potential is half the squared norm.

    Examples
    --------
    >>> from skoverparam.optim import Euclidean
    >>> import torch
    >>> Euclidean().to_dual(torch.tensor([1.0, -2.0]))
    tensor([ 1., -2.])
    """

    def to_dual(self, w: Tensor) -> Tensor:
        """Return the weights."""
        return w.clone()

    def to_primal(self, z: Tensor) -> Tensor:
        """Return the dual."""
        return z.clone()

    def to_primal_(self, z: Tensor, out: Tensor) -> None:
        """Write the dual."""
        out.copy_(z)

    def potential(self, w: Tensor) -> Tensor:
        """Return half the squared norm."""
        return 0.5 * w.square().sum()

    def curvature(self, w: Tensor) -> Tensor:
        """Return ones."""
        return torch.ones_like(w)


@dataclass(frozen=True)
class PNorm(Mirror):
    r"""The potential :math:`\sum |w|^p / p + \epsilon w^2 / 2`.

    Parameters
    ----------
    p : float, default=1.5
        Exponent above 1. Near 1 descent from zero finds sparse weights, above 2 even ones.

    ridge : float, default=0.0
        :math:`\epsilon`: keeps the curvature above zero for p > 2, where a descent otherwise
        stalls at coordinates near zero.

    Examples
    --------
    >>> from skoverparam.optim import PNorm
    >>> import torch
    >>> PNorm(p=3.0).to_dual(torch.tensor([1.0, -2.0]))
    tensor([ 1., -4.])
    """

    p: float = 1.5
    ridge: float = 0.0

    def __post_init__(self) -> None:
        _check_positive(self.p - 1, f"p must be a finite number above 1, got {self.p!r}.")
        if self.ridge != 0:
            _check_positive(self.ridge, f"ridge must be 0 or more, got {self.ridge!r}.")

    @property
    def flat_at_zero(self) -> bool:
        """Whether p > 2, without a ridge."""
        return self.p > 2 and not self.ridge

    def to_dual(self, w: Tensor) -> Tensor:
        """Return powers p - 1 with their signs."""
        z = w.abs().pow(self.p - 1).copysign(w)
        return z.add(w, alpha=self.ridge) if self.ridge else z

    def to_primal(self, z: Tensor) -> Tensor:
        """Return powers 1 / (p - 1) with their signs; with a ridge, by Newton's method."""
        size = z.abs()
        if not self.ridge:
            return size.pow_(1 / (self.p - 1)).copysign_(z)
        # Of x and x^(p - 1), the one in which the equation is convex.
        power = max(self.p - 1, 1 / (self.p - 1))
        direct = self.p >= 2
        a, b = (self.ridge, 1.0) if direct else (1.0, self.ridge)
        u = torch.minimum(size / a, (size / b) ** (1 / power))
        for _ in range(_MAX_NEWTON):
            slope = a + b * power * u ** (power - 1)
            following = u - (a * u + b * u**power - size) / slope
            # From above every step goes down, until rounding ends that.
            settled = bool((following >= u).all())
            u = torch.minimum(u, following).clamp_(min=0)
            if settled:
                break
        return (u if direct else u**power).copysign_(z)

    def largest_dual(self, dtype: torch.dtype) -> float:
        """Return where the power overflows for p < 2."""
        return torch.finfo(dtype).max ** min(self.p - 1, 1.0)

    def potential(self, w: Tensor) -> Tensor:
        """Return the potential."""
        value = w.abs().pow(self.p).sum() / self.p
        return value + 0.5 * self.ridge * w.square().sum()

    def curvature(self, w: Tensor) -> Tensor:
        r"""Return :math:`(p - 1) |w|^{p - 2}` plus ridge, infinite at zero for p < 2."""
        return (self.p - 1) * w.abs().pow(self.p - 2) + self.ridge


@dataclass(frozen=True)
class Hypentropy(Mirror):
    r"""The potential :math:`\sum w \sinh^{-1}(w / \beta) - \sqrt{w^2 + \beta^2}`.

    Between the squared norm (large :math:`\beta`) and the entropy of signed weights (small), with
    which descent from zero goes to weights of small l1 norm.

    Parameters
    ----------
    beta : float, default=0.01
        Size of a weight at which one goes over into the other.

    Examples
    --------
    >>> from skoverparam.optim import Hypentropy
    >>> import torch
    >>> mirror = Hypentropy(beta=0.01)
    >>> mirror.to_primal(mirror.to_dual(torch.tensor([1.0, -2.0]))).round(decimals=4)
    tensor([ 1., -2.])
    """

    beta: float = 0.01

    def __post_init__(self) -> None:
        _check_positive(self.beta, f"beta must be a positive number, got {self.beta!r}.")

    def to_dual(self, w: Tensor) -> Tensor:
        """Return asinh(w / beta)."""
        return (w / self.beta).asinh()

    def to_primal(self, z: Tensor) -> Tensor:
        """Return beta sinh(z)."""
        return torch.sinh(z).mul_(self.beta)

    def to_primal_(self, z: Tensor, out: Tensor) -> None:
        """Write beta sinh(z)."""
        torch.sinh(z, out=out).mul_(self.beta)

    def largest_dual(self, dtype: torch.dtype) -> float:
        """Return where sinh overflows."""
        return math.log(torch.finfo(dtype).max)

    def potential(self, w: Tensor) -> Tensor:
        """Return the potential."""
        return (w * (w / self.beta).asinh() - (w.square() + self.beta**2).sqrt()).sum()

    def curvature(self, w: Tensor) -> Tensor:
        """Return 1 / sqrt(w^2 + beta^2)."""
        return (w.square() + self.beta**2).rsqrt()


@dataclass(frozen=True)
class NegativeEntropy(Mirror):
    r"""The potential :math:`\sum w \log w - w` of positive weights: multiplicative updates.

    Examples
    --------
    >>> from skoverparam.optim import NegativeEntropy
    >>> import torch
    >>> NegativeEntropy().to_primal(torch.tensor([0.0, 0.6931])).round(decimals=3)
    tensor([1., 2.])
    """

    def start(self, n_weights: int) -> float:
        """Return equal shares of one."""
        return 1 / n_weights

    def to_dual(self, w: Tensor) -> Tensor:
        """Return log(w)."""
        return w.log()

    def to_primal(self, z: Tensor) -> Tensor:
        """Return exp(z)."""
        return z.exp()

    def largest_dual(self, dtype: torch.dtype) -> float:
        """Return where exp overflows."""
        return math.log(torch.finfo(dtype).max)

    def potential(self, w: Tensor) -> Tensor:
        """Return the potential."""
        return (torch.special.xlogy(w, w) - w).sum()

    def curvature(self, w: Tensor) -> Tensor:
        """Return 1 / w."""
        return w.reciprocal()

    def check_domain(self, w: Tensor, name: str = "the weights") -> None:
        """Raise ValueError unless all weights are positive."""
        if not bool((w > 0).all()):
            raise ValueError(
                f"The negative entropy needs positive weights; the least of {name} is "
                f"{float(w.min()):.6g}. Start from positive weights, such as 0.1 everywhere."
            )


@dataclass(frozen=True)
class SimplexEntropy(NegativeEntropy):
    """The negative entropy on the probability simplex: last axes of weights sum to one.

    Examples
    --------
    >>> from skoverparam.optim import SimplexEntropy
    >>> import torch
    >>> SimplexEntropy().to_primal(torch.tensor([3.0, 3.0]))
    tensor([0.5000, 0.5000])
    """

    def to_primal(self, z: Tensor) -> Tensor:
        """Return softmax(z) over the last axis."""
        return z.softmax(-1)

    def largest_dual(self, dtype: torch.dtype) -> float:
        """Return infinity: differences matter only."""
        return math.inf

    def check_domain(self, w: Tensor, name: str = "the weights") -> None:
        """Raise ValueError unless the last axis is positive and sums to one."""
        super().check_domain(w, name)
        off = float((w.sum(-1) - 1).abs().max())
        if off > 1e-4:
            raise ValueError(
                f"The simplex needs weights whose last axis sums to 1; sums of {name} are off by "
                f"up to {off:.3g}."
            )


@dataclass(frozen=True)
class Diagonal(Mirror):
    """The potential of a diagonal metric, half of ``sum(scale * w**2)``.

    Parameters
    ----------
    scale : float or Tensor
        Positive numbers that broadcast against the weights: large ones make steps small.

    Examples
    --------
    >>> from skoverparam.optim import Diagonal
    >>> import torch
    >>> Diagonal(scale=4.0).to_primal(torch.tensor([1.0, -2.0]))
    tensor([ 0.2500, -0.5000])
    """

    scale: Any = 1.0

    def __post_init__(self) -> None:
        try:
            scale = torch.as_tensor(self.scale)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TypeError(f"scale must hold numbers, got {self.scale!r}.") from error
        if not bool(((scale > 0) & torch.isfinite(scale)).all()):
            raise ValueError(f"scale must be positive and finite, got {self.scale!r}.")

    def to_dual(self, w: Tensor) -> Tensor:
        """Return scale * w."""
        return w * self._scale(w)

    def to_primal(self, z: Tensor) -> Tensor:
        """Return z / scale."""
        return z / self._scale(z)

    def potential(self, w: Tensor) -> Tensor:
        """Return half the squared norm in the metric."""
        return 0.5 * (self._scale(w) * w.square()).sum()

    def curvature(self, w: Tensor) -> Tensor:
        """Return the scale."""
        return torch.ones_like(w) * self._scale(w)

    def check_domain(self, w: Tensor, name: str = "the weights") -> None:
        """Raise ValueError unless the scale broadcasts to the shape of the weights."""
        shape = tuple(torch.as_tensor(self.scale).shape)
        try:
            fits = torch.broadcast_shapes(shape, w.shape) == w.shape
        except RuntimeError:
            fits = False
        if not fits:
            raise ValueError(
                f"scale must be a number or broadcast to the shape {tuple(w.shape)} of {name}, "
                f"got shape {shape}."
            )

    def _scale(self, like: Tensor) -> Tensor:
        return torch.as_tensor(self.scale, dtype=like.dtype, device=like.device)


class TimeDependentMirror:
    """A diagonal metric that follows the gradients: the dual of w at time t is ``metric * w``.

    Its duals are not a running sum of gradients: both sides of a step use the metric of that
    step. `update` takes a state and returns the next one; states are tensors, so that they can
    be saved.

    Examples
    --------
    >>> from skoverparam.optim import TimeDependentMirror
    >>> class Largest(TimeDependentMirror):
    ...     def initial_state(self, w):
    ...         return w.new_zeros(w.shape)
    ...
    ...     def update(self, state, gradient):
    ...         return state.maximum(gradient.abs())
    ...
    ...     def metric(self, state):
    ...         return state
    >>> import torch
    >>> Largest().update(torch.zeros(2), torch.tensor([1.0, -2.0]))
    tensor([1., 2.])
    """

    time_dependent: ClassVar[bool] = True

    def initial_state(self, w: Tensor) -> Tensor:
        """Return the state before the first gradient."""
        raise NotImplementedError

    def update(self, state: Tensor, gradient: Tensor) -> Tensor:
        """Return the state after a gradient; it may be changed in place."""
        raise NotImplementedError

    def metric(self, state: Tensor) -> Tensor:
        """Return the metric, which broadcasts against the weights."""
        raise NotImplementedError

    def check_domain(self, w: Tensor, name: str = "the weights") -> None:
        """Accept any weights."""


@dataclass(frozen=True)
class Adagrad(TimeDependentMirror):
    r"""The metric :math:`(\delta + \sum_s g_s^2)^{1/2}`, the present gradient included.

    Parameters
    ----------
    delta : float, default=0.0
        What the sum starts from.

    Examples
    --------
    >>> from skoverparam.optim import Adagrad
    >>> import torch
    >>> mirror = Adagrad()
    >>> state = mirror.update(mirror.initial_state(torch.zeros(2)), torch.tensor([3.0, -4.0]))
    >>> mirror.metric(state)
    tensor([3., 4.])
    """

    delta: float = 0.0

    def __post_init__(self) -> None:
        if self.delta != 0:
            _check_positive(self.delta, f"delta must be 0 or more, got {self.delta!r}.")

    def initial_state(self, w: Tensor) -> Tensor:
        """Return delta everywhere."""
        return torch.full_like(w, self.delta)

    def update(self, state: Tensor, gradient: Tensor) -> Tensor:
        """Add the squared gradient."""
        return state.addcmul_(gradient, gradient)

    def metric(self, state: Tensor) -> Tensor:
        """Return the square root of the sum."""
        return state.sqrt()


@dataclass(frozen=True)
class AdagradNorm(Adagrad):
    r"""The metric :math:`(\delta + \sum_s \|g_s\|^2)^{1/2}`, one number for a whole tensor.

    Parameters
    ----------
    delta : float, default=0.0
        What the sum starts from.

    Examples
    --------
    >>> from skoverparam.optim import AdagradNorm
    >>> import torch
    >>> mirror = AdagradNorm()
    >>> state = mirror.update(mirror.initial_state(torch.zeros(2)), torch.tensor([3.0, -4.0]))
    >>> mirror.metric(state)
    tensor(5.)
    """

    def initial_state(self, w: Tensor) -> Tensor:
        """Return delta."""
        return w.new_full((), self.delta)

    def update(self, state: Tensor, gradient: Tensor) -> Tensor:
        """Add the squared norm of the gradient."""
        return state.add_(gradient.square().sum())


MIRRORS: dict[str, type[Mirror] | type[TimeDependentMirror]] = {
    "euclidean": Euclidean,
    "pnorm": PNorm,
    "hypentropy": Hypentropy,
    "negentropy": NegativeEntropy,
    "simplex": SimplexEntropy,
    "diagonal": Diagonal,
    "adagrad": Adagrad,
    "adagrad-norm": AdagradNorm,
}


def make_mirror(
    mirror: Any, parameters: dict[str, Any] | None = None
) -> Mirror | TimeDependentMirror:
    """Turn a ``mirror`` parameter, a name or a mirror, into a mirror.

    Parameters
    ----------
    mirror : str, Mirror or TimeDependentMirror
        One of `MIRRORS`, or a mirror, also of the user's own.

    parameters : dict, default=None
        Parameters of a mirror given by name, such as ``{"p": 1.5}``.

    Returns
    -------
    Mirror or TimeDependentMirror
        The mirror.
    """
    if isinstance(mirror, (Mirror, TimeDependentMirror)):
        if parameters:
            raise ValueError(
                f"mirror_params={parameters!r} goes with a mirror given by name, got the mirror "
                f"{mirror!r}."
            )
        return mirror
    if not isinstance(mirror, str) or mirror not in MIRRORS:
        accepted = ", ".join(repr(name) for name in MIRRORS)
        raise ValueError(f"mirror must be one of {accepted} or a mirror map, got {mirror!r}.")
    if parameters is not None and not isinstance(parameters, dict):
        raise TypeError(f"mirror_params must be a dict or None, got {parameters!r}.")
    kind = MIRRORS[mirror]
    known = list(getattr(kind, "__dataclass_fields__", {}))
    for name in parameters or {}:
        if name not in known:
            accepted = ", ".join(repr(field) for field in known) or "none"
            raise ValueError(
                f"mirror_params of {mirror!r} got {name!r}; its parameters are: {accepted}."
            )
    return kind(**(parameters or {}))


def _check_positive(value: Any, message: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(message)
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(message)
