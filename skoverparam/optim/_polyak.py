"""Steps from the value of the loss, as an optimizer of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from skoverparam.optim._diverging_step import DivergingStepError
from skoverparam.optim._parameter_groups import add_group, check_setting

# What PolyakSGD was told, besides the factors of its groups.
_OPTIONS = ("c", "f_star", "lr_max", "eps")


class PolyakSGD(Optimizer):
    r"""Gradient descent with the step :math:`\eta = (f - f^*) / (c \, \|\nabla f\|^2)`.

    For losses whose least value :math:`f^*` is known, as it is for batches of a model that can
    fit all its data: zero.

    Parameters
    ----------
    params : iterable
        Parameters, or dicts that define groups. All groups move with one step.

    c : float, default=0.5
        The divisor. For a square loss of one residual only 1/2 is quadratic: see the notes.

    f_star : float, default=0.0
        Least value of the loss. `step` takes one for a batch.

    lr_max : float, default=None
        Largest step. Give one where the loss may not come down to `f_star`: with a penalty, with
        noise in the labels of a model that cannot fit them, or early in a run.

    eps : float, default=0.0
        Added to the denominator.

    lr : float, default=1.0
        A factor on the step after that, for schedulers, and to hold groups back.

    Attributes
    ----------
    step_size : float
        The step :math:`\eta` that was made last, without the factor `lr`; NaN before the first.

    Raises
    ------
    ValueError
        If the loss or a gradient is not finite, or no loss is given; no weight has moved then.

    See Also
    --------
    GaussNewtonSGD : Quadratic also where the loss has several residuals.

    Notes
    -----
    For one residual g and any multiple f of :math:`g^2`, the step with c = 1/2 is Newton's method
    for g = 0 along the gradient, :math:`w - g \nabla g / \|\nabla g\|^2`, and
    :math:`|g_+| \le C g^2`. With the textbook c = 1 it is half of that step, and g is halved:
    linear convergence with the factor 1/2. For f proportional to :math:`|g|^p` the divisor is
    c = 1/p.

    With several residuals one step cannot serve all of them and convergence is linear, unless all
    curvatures are equal. Losses below `f_star` make no step; neither do gradients of zero.
    Momentum, averages of the weights and clipped gradients take the quadratic rate away, so there
    are none.

    Reading the loss costs one synchronization with a GPU in each step.

    References
    ----------
    B. T. Polyak, "Introduction to Optimization", Optimization Software, 1987.

    A. Radhakrishnan, M. Belkin, C. Uhler, "Local Quadratic Convergence of Stochastic Gradient
    Descent with Adaptive Step Size", arXiv:2112.14872, shows that adaptive steps can be quadratic
    for problems such as matrix inversion. What is said here on c is our own.

    Examples
    --------
    >>> import torch
    >>> from skoverparam.optim import PolyakSGD
    >>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0], dtype=torch.float64))
    >>> optimizer = PolyakSGD([w])
    >>> for _ in range(5):
    ...     optimizer.zero_grad()
    ...     loss = (w[0] * w[1] - 2).square()
    ...     loss.backward()
    ...     print(f"{optimizer.step(loss=loss):.1e}")
    1.0e+00
    6.2e-02
    4.8e-05
    3.6e-11
    2.0e-23
    """

    def __init__(
        self,
        params: Any,
        c: float = 0.5,
        f_star: float = 0.0,
        lr_max: float | None = None,
        eps: float = 0.0,
        *,
        lr: float = 1.0,
    ) -> None:
        check_setting(c, "c", positive=True)
        check_setting(f_star, "f_star", low=-math.inf)
        if lr_max is not None:
            check_setting(lr_max, "lr_max", positive=True)
        check_setting(eps, "eps")
        self.c, self.f_star, self.lr_max, self.eps = c, f_star, lr_max, eps
        self.step_size = math.nan
        super().__init__(params, {"lr": lr})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters.

        Parameters
        ----------
        param_group : dict
            ``params``, and ``lr`` if it differs from the optimizer's own.
        """
        add_group(self, super().add_param_group, param_group)

    @torch.no_grad()
    def step(  # type: ignore[override,unused-ignore]
        self,
        closure: Callable[[], Any] | None = None,
        *,
        loss: Any = None,
        f_star: float | None = None,
    ) -> Any:
        """Make one step.

        Parameters
        ----------
        closure : callable, default=None
            Computes the loss anew, with gradients, and returns it.

        loss : Tensor or float, default=None
            The loss that the present gradients belong to, in place of a closure.

        f_star : float, default=None
            Least value of this loss, where it is another than the optimizer's.

        Returns
        -------
        loss : Tensor or float
            The loss before the step.
        """
        if (closure is None) == (loss is None):
            raise ValueError(
                "step needs the loss that the gradients belong to, as a closure that returns it "
                f"or as loss=...; got {'neither' if loss is None else 'both'}."
            )
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        value = float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
        squared = 0.0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    if p.grad.is_sparse:
                        raise TypeError("PolyakSGD needs dense gradients, got a sparse one.")
                    norm = _norm(p.grad)
                    squared += norm * norm  # as a power it would raise where it overflows
        if not (math.isfinite(value) and math.isfinite(squared)):
            raise DivergingStepError(
                f"PolyakSGD needs a finite loss and gradient, got the loss {value:g} and a "
                f"gradient of squared norm {squared:g}. The weights are as before the step."
            )
        self.step_size = self._length(value, squared, self.f_star if f_star is None else f_star)
        if self.step_size > 0:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        _add_multiple(p, p.grad, -group["lr"] * self.step_size)
        return loss

    def _length(self, value: float, squared: float, f_star: float) -> float:
        if squared < torch.finfo(torch.float64).tiny:
            return 0.0
        denominator = self.c * squared + self.eps
        if denominator == 0:
            return 0.0
        length = max(value - f_star, 0.0) / denominator
        return length if self.lr_max is None else min(length, self.lr_max)

    def __getstate__(self) -> dict[str, Any]:
        # torch's optimizers pickle and copy their groups and state only.
        return super().__getstate__() | {
            name: getattr(self, name) for name in (*_OPTIONS, "step_size")
        }

    def state_dict(self) -> dict[str, Any]:
        """Return the groups with their factors, and the options.

        Returns
        -------
        state : dict
            For ``load_state_dict``.
        """
        return super().state_dict() | {"options": {name: getattr(self, name) for name in _OPTIONS}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Parameters
        ----------
        state_dict : dict
            Groups and options.
        """
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        for name in _OPTIONS:
            setattr(self, name, state_dict["options"][name])


def _add_multiple(p: Tensor, gradient: Tensor, factor: float) -> None:
    """Add a multiple of the gradient; tiny gradients have steps beyond their own precision."""
    if abs(factor) <= torch.finfo(p.dtype).max:
        p.add_(gradient, alpha=factor)
    else:
        p.add_((gradient.double() * factor).to(p.dtype))


def _norm(gradient: Tensor) -> float:
    kind = torch.float64 if gradient.dtype == torch.float64 else torch.float32
    norm = float(torch.linalg.vector_norm(gradient, dtype=kind))
    if kind == torch.float64 or 1e-15 < norm < 1e15:
        return norm
    # Squares may have left the range of float32. The sum in float64 takes several times as long.
    return float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
