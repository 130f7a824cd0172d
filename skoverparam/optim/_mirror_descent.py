"""Mirror descent as an optimizer of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from skoverparam.optim._diverging_step import DivergingStepError
from skoverparam.optim._mirrors import MIRRORS, Mirror, TimeDependentMirror, make_mirror

# Names of the mirrors that depend on time.
_ADAPTIVE = tuple(name for name, kind in MIRRORS.items() if kind.time_dependent)


class MirrorDescent(Optimizer):
    r"""Generalized mirror descent, :math:`\phi_t(w_{t+1}) = \phi_t(w_t) - \eta \nabla f(w_t)`.

    Full-batch or stochastic, depending on the gradients that it is given. There is no momentum
    and no weight decay: both would change where the descent ends, which is what a mirror is
    chosen for.

    Parameters
    ----------
    params : iterable
        Parameters, or dicts that define groups. Groups may have mirrors of their own.

    lr : float or "theory", default=1e-2
        The step :math:`\eta`. "theory" takes :math:`\alpha_l / L` anew in each step, with
        :math:`\alpha_l` the least curvature of the mirror at the weights and L of
        `smoothness`; ``lr`` of the group is then a factor, 1.0 unless a scheduler changes it.

    mirror : str or mirror map, default="euclidean"
        "euclidean", "pnorm", "hypentropy", "negentropy", "simplex" (last axes sum to one),
        "diagonal", "adagrad", "adagrad-norm", or a mirror map.

    mirror_params : dict, default=None
        Parameters of a mirror given by name, such as ``{"p": 1.5}``.

    smoothness : float, default=None
        Lipschitz constant L of the gradient for ``lr="theory"``. None estimates it by the
        largest :math:`\|\nabla f\|^2 / (2 f)` of all steps so far, a lower bound of it where the
        least loss is zero; `step` then needs a closure.

    track_bounds : bool, default=False
        Whether to keep, for each tensor, the box that the weights have visited; `bounds` then
        tells the constants of the mirror there. Takes twice the memory of the weights.

    Raises
    ------
    ValueError
        If weights are outside the mirror's domain, or a step leaves the finite numbers; weights
        are then as before the step.

    See Also
    --------
    skoverparam.MirrorDescentRegressor : Linear least squares by mirror descent.
    skoverparam.theory.bregman_projection : Where it ends, computed directly.

    Notes
    -----
    Duals of fixed mirrors are kept in the state and accumulate the gradients: weights alone do
    not always determine them in floating point (:math:`|w|^{10}` underflows). A parameter that
    was changed from outside since the last step is noticed by its version counter and its dual
    taken anew; changes through ``.data`` are not seen. Mirrors that depend on time are diagonal
    metrics, and a step divides the gradient by the metric that includes it.

    For an L-smooth loss with :math:`\|\nabla f\|^2 / 2 \ge \mu (f - f^*)` and a mirror with
    Lipschitz constant :math:`\alpha_u`, the step :math:`\alpha_l / L` takes :math:`f - f^*` down
    by the factor :math:`1 - (\mu / L) (\alpha_l / \alpha_u)^2` at least (arXiv:2009.08574).

    On linear models with a fixed mirror, descent from :math:`w_0` ends in the interpolator with
    the least Bregman divergence from :math:`w_0`. That is a classical result, which does not hold
    for mirrors that depend on time.

    References
    ----------
    A. Radhakrishnan, M. Belkin, C. Uhler, "Linear Convergence of Generalized Mirror Descent with
    Time-Dependent Mirrors", arXiv:2009.08574.

    Examples
    --------
    >>> import torch
    >>> from skoverparam.optim import MirrorDescent
    >>> X = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))
    >>> w = torch.nn.Parameter(torch.zeros(20))
    >>> optimizer = MirrorDescent([w], lr=0.05, mirror="hypentropy", mirror_params={"beta": 0.1})
    >>> for _ in range(500):
    ...     optimizer.zero_grad()
    ...     loss = (X @ w - 1).square().mean()
    ...     loss.backward()
    ...     optimizer.step()
    >>> bool(loss < 1e-6)
    True
    """

    def __init__(
        self,
        params: Any,
        lr: float | str = 1e-2,
        mirror: str | Mirror | TimeDependentMirror = "euclidean",
        mirror_params: dict[str, Any] | None = None,
        *,
        smoothness: float | None = None,
        track_bounds: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "theory": False,
            "mirror": mirror,
            "mirror_params": mirror_params,
            "smoothness": smoothness,
            "track_bounds": track_bounds,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            ``params``, and any of ``lr``, ``mirror``, ``mirror_params``, ``smoothness`` and
            ``track_bounds`` that differ from the optimizer's own.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_group(group)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override,unused-ignore]
        """Make one step.

        Parameters
        ----------
        closure : callable, default=None
            Computes the loss anew, with gradients, and returns it.

        Returns
        -------
        loss : Tensor or None
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moving = [(p, p.grad) for p in group["params"] if p.grad is not None]
            if moving:
                self._step_group(group, moving, loss)
        return loss

    def bounds(self) -> list[tuple[float, float]]:
        """Return the mirrors' constants where the weights have been.

        Returns
        -------
        bounds : list of (float, float)
            For each group the least and the greatest curvature of the potential, or of the
            present metric of a mirror that depends on time: ``alpha_l`` and ``alpha_u``. Over
            the box of all weights visited with `track_bounds`, else at the present weights.
        """
        return [self._bounds_of(group) for group in self.param_groups]

    def _bounds_of(self, group: dict[str, Any]) -> tuple[float, float]:
        mirror = make_mirror(group["mirror"], group["mirror_params"])
        lowest, greatest = math.inf, 0.0
        for p in group["params"]:
            w, state = p.detach(), self.state.get(p, {})
            if isinstance(mirror, Mirror):
                low, high = mirror.bounds(state.get("low", w), state.get("high", w))
            elif "metric_state" in state:
                metric = mirror.metric(state["metric_state"])
                # Weights without any gradient so far do not move, whatever their metric.
                metric = metric[metric > 0]
                if not metric.numel():
                    continue
                low, high = float(metric.min()), float(metric.max())
            else:
                continue
            lowest, greatest = min(lowest, low), max(greatest, high)
        return lowest, greatest

    def _step_group(
        self, group: dict[str, Any], moving: list[tuple[Tensor, Tensor]], loss: Any
    ) -> None:
        mirror = make_mirror(group["mirror"], group["mirror_params"])
        for p, gradient in moving:
            if gradient.is_sparse:
                raise TypeError("MirrorDescent needs dense gradients, got a sparse one.")
            self._refresh(p, mirror, group["track_bounds"])
            if isinstance(mirror, TimeDependentMirror):
                state = self.state[p]
                state["metric_state"] = mirror.update(state["metric_state"], gradient)
        lr = group["lr"]
        if group["theory"]:
            lr = lr * self._theory_step(group, moving, loss)
        for p, gradient in moving:
            state = self.state[p]
            if isinstance(mirror, Mirror):
                self._move_dual(p, gradient, mirror, lr)
            else:
                _divide_step(p, gradient, mirror.metric(state["metric_state"]), lr)
            if group["track_bounds"]:
                torch.minimum(state["low"], p, out=state["low"])
                torch.maximum(state["high"], p, out=state["high"])

    def _refresh(self, p: Tensor, mirror: Mirror | TimeDependentMirror, track: bool) -> None:
        """Make the state of a parameter what its weights are."""
        state = self.state[p]
        if isinstance(mirror, TimeDependentMirror):
            if "metric_state" not in state:
                state["metric_state"] = mirror.initial_state(p)
        elif state.get("version") != p._version:
            # Loaded states, and edits that changed nothing, keep the digits of their dual.
            if "dual" not in state or not torch.equal(mirror.to_primal(state["dual"]), p):
                mirror.check_domain(p)
                state["dual"] = mirror.to_dual(p)
            state["version"] = p._version
        if track and "low" not in state:
            state["low"], state["high"] = p.clone(), p.clone()

    def _theory_step(
        self, group: dict[str, Any], moving: list[tuple[Tensor, Tensor]], loss: Any
    ) -> float:
        least, _ = self._bounds_of(group)
        if not math.isfinite(least):
            # Of a metric that depends on time: no weight has had a gradient.
            if group["mirror"] in _ADAPTIVE or isinstance(group["mirror"], TimeDependentMirror):
                return 0.0
            raise ValueError(
                "lr='theory' needs weights at which the mirror has a finite constant; "
                f"{group['mirror']!r} has none at zero. Start elsewhere or give lr a number."
            )
        smoothness = group["smoothness"]
        if smoothness is None:
            if loss is None:
                raise ValueError(
                    "lr='theory' without smoothness estimates it from the loss: step needs a "
                    "closure that returns the loss, got None."
                )
            value = float(torch.as_tensor(loss).detach())
            squared = sum(float(gradient.double().square().sum()) for _, gradient in moving)
            # The largest so far: one that falls short makes the loss rise.
            present = squared / (2 * value) if value > 0 else 0.0
            smoothness = group["largest_smoothness"] = max(
                present, group.get("largest_smoothness", 0.0)
            )
        return least / smoothness if smoothness > 0 else 0.0

    def _move_dual(self, p: Tensor, gradient: Tensor, mirror: Mirror, lr: float) -> None:
        state = self.state[p]
        z = state["dual"].add_(gradient, alpha=-lr)
        limit = mirror.largest_dual(p.dtype)
        largest = _largest(z) if math.isfinite(limit) else 0.0
        if not largest <= limit:
            z.copy_(mirror.to_dual(p))
            raise DivergingStepError(
                f"A step of lr={lr:.3g} takes the dual to {largest:.3g}, where "
                f"{type(mirror).__name__} has no finite weights in {str(p.dtype)[6:]}. Lower lr; "
                "the weights are as before the step."
            )
        mirror.to_primal_(z, p)
        state["version"] = p._version

    def state_dict(self) -> dict[str, Any]:
        """Return the state: duals, metrics and boxes of all parameters, and the groups.

        Returns
        -------
        state : dict
            For ``load_state_dict``; a run resumed from it continues bit by bit.
        """
        saved = super().state_dict()
        # Version counters count within this process only.
        saved["state"] = {
            key: {name: value for name, value in state.items() if name != "version"}
            for key, state in saved["state"].items()
        }
        return saved


def _check_group(group: dict[str, Any]) -> None:
    if group["lr"] == "theory":
        group["lr"], group["theory"] = 1.0, True
    if isinstance(group["lr"], Tensor):
        group["lr"] = float(group["lr"])
    for name in ("lr", "smoothness"):
        value = group[name]
        if name == "smoothness" and value is None:
            continue
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float)):
            kind = "a number or 'theory'" if name == "lr" else "a number or None"
            raise TypeError(f"{name} must be {kind}, got {value!r}.")
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be positive and finite, got {value!r}.")
    mirror = make_mirror(group["mirror"], group["mirror_params"])
    for p in group["params"]:
        if not p.is_floating_point():
            raise TypeError(f"Mirrors are maps of real numbers, got a parameter of {p.dtype}.")
        mirror.check_domain(p.detach())


def _largest(z: Tensor) -> float:
    # One pass; the norm of order infinity takes ten times as long. NaN stays NaN.
    least, greatest = z.aminmax()
    return float(torch.maximum(-least, greatest))


def _divide_step(p: Tensor, gradient: Tensor, metric: Tensor, lr: float) -> None:
    """Move weights by the gradient over the metric; where both are zero, not at all."""
    if metric.ndim == 0:
        if float(metric) > 0:
            p.addcdiv_(gradient, metric, value=-lr)
        return
    # The metric contains the gradient: where it is zero, so is the gradient.
    tiny = torch.finfo(metric.dtype).tiny
    p.addcdiv_(gradient, metric.clamp_min(tiny), value=-lr)
