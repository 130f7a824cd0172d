"""Steps from the tangent kernel of a batch, as an optimizer of torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from skoverparam.optim._diverging_step import DivergingStepError
from skoverparam.optim._parameter_groups import add_group, check_setting


class GaussNewtonSGD(Optimizer):
    r"""The shortest step that makes a batch's linearized residuals zero.

    :math:`w_+ = w - J^T (J J^T + \lambda I)^{-1} g` for the b residuals g of a batch and their
    Jacobian J. The b by b matrix :math:`J J^T` is the tangent kernel of the batch.

    Parameters
    ----------
    params : iterable
        Parameters, or dicts that define groups.

    lr : float, default=1.0
        Factor on the step, for schedulers. Only 1 is quadratic.

    damping : float, default=0.0
        The :math:`\lambda` added to the diagonal: shorter steps, linear convergence. Give some
        where residuals of a batch contradict each other, or the start is far.

    Raises
    ------
    ValueError
        If residuals or their gradients are not finite; no weight has moved then.

    See Also
    --------
    PolyakSGD : The same step for one residual, from the loss and its gradient alone.

    Notes
    -----
    With all residuals in the batch, a Jacobian with the Lipschitz constant :math:`\beta` and
    singular values of at least :math:`\sigma`, a step takes :math:`\|g\|` below
    :math:`\beta / (2 \sigma^2) \|g\|^2`: quadratic once :math:`\|g\| < 2 \sigma^2 / \beta`.
    Batches of a part of the residuals converge linearly, unless the Jacobians of different batches
    are orthogonal. This is classical; it is not from arXiv:2112.14872, whose subject it shares.

    Cost of a step: b gradients, made together by vectorized backward passes, memory for b times
    the weights, and :math:`b^2 d + b^3 / 3` multiplications. A classifier with k outputs has k
    residuals for each sample. The kernel is formed and solved in float64; where it is singular to
    working precision, by its eigenvalues, and the step is the shortest least-squares one.

    Examples
    --------
    >>> import torch
    >>> from skoverparam.optim import GaussNewtonSGD
    >>> generator = torch.Generator().manual_seed(0)
    >>> X = torch.randn(5, 20, generator=generator, dtype=torch.float64)
    >>> w = torch.nn.Parameter(torch.zeros(20, dtype=torch.float64))
    >>> optimizer = GaussNewtonSGD([w])
    >>> residuals = lambda: torch.tanh(X @ w) - 0.5
    >>> [f"{optimizer.step(residuals):.0e}" for _ in range(4)]  # half of the squared norms
    ['6e-01', '4e-03', '2e-06', '6e-13']
    """

    def __init__(self, params: Any, lr: float = 1.0, damping: float = 0.0) -> None:
        check_setting(damping, "damping")
        self.damping = damping
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
        closure: Callable[[], Tensor] | None = None,
        *,
        residuals: Tensor | None = None,
    ) -> Tensor:
        """Make one step.

        Parameters
        ----------
        closure : callable, default=None
            Computes the residuals of the batch, a tensor of any shape that depends on the
            parameters; no ``backward`` is needed.

        residuals : Tensor, default=None
            The residuals themselves, with their graph, in place of a closure.

        Returns
        -------
        loss : Tensor
            Half the sum of the squared residuals before the step.
        """
        if (closure is None) == (residuals is None):
            raise ValueError(
                "step needs the residuals of the batch, as a closure that returns them or as "
                f"residuals=...; got {'neither' if closure is None else 'both'}."
            )
        moving = [
            (p, group["lr"])
            for group in self.param_groups
            for p in group["params"]
            if p.requires_grad
        ]
        with torch.enable_grad():
            if closure is not None:
                residuals = closure()
            if not isinstance(residuals, Tensor) or not residuals.requires_grad:
                raise TypeError(
                    "GaussNewtonSGD needs the residuals as a tensor that depends on the "
                    f"parameters, got {type(residuals).__name__}."
                )
            flat = residuals.reshape(-1)
        rows = _jacobian(flat, [p for p, _ in moving])
        g = flat.detach().double()
        kernel = g.new_zeros(len(g), len(g))
        for J in rows:
            if J is not None:
                J = J.double()
                kernel.addmm_(J, J.T)
        if not bool(torch.isfinite(g).all() and torch.isfinite(kernel).all()):
            raise DivergingStepError(
                "GaussNewtonSGD needs finite residuals and gradients, got NaN or infinity. The "
                "weights are as before the step."
            )
        kernel.diagonal().add_(self.damping)
        multipliers = _solve(kernel, g)
        for (p, lr), J in zip(moving, rows, strict=True):
            if J is not None:
                p.add_((multipliers.to(J.dtype) @ J).view_as(p), alpha=-lr)
        return residuals.detach().square().sum() / 2

    def __getstate__(self) -> dict[str, Any]:
        # torch's optimizers pickle and copy their groups and state only.
        return super().__getstate__() | {"damping": self.damping}

    def state_dict(self) -> dict[str, Any]:
        """Return the groups with their factors, and the damping.

        Returns
        -------
        state : dict
            For ``load_state_dict``.
        """
        return super().state_dict() | {"damping": self.damping}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what ``state_dict`` returned.

        Parameters
        ----------
        state_dict : dict
            Groups and damping.
        """
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        self.damping = state_dict["damping"]


def _jacobian(residuals: Tensor, params: list[Tensor]) -> list[Tensor | None]:
    """Return for each parameter the (b, size) gradients of all residuals, None without any."""
    each = torch.eye(len(residuals), dtype=residuals.dtype, device=residuals.device)

    def gradients(weights: Tensor, batched: bool) -> tuple[Tensor | None, ...]:
        return torch.autograd.grad(
            residuals,
            params,
            grad_outputs=weights,
            is_grads_batched=batched,
            retain_graph=True,
            allow_unused=True,
        )

    try:
        found = gradients(each, True)
    except (RuntimeError, NotImplementedError):
        # Some layers have no rule for batches of derivatives, such as normalization by groups of
        # images whose channels come last.
        rows = [gradients(weights, False) for weights in each]
        found = tuple(
            None if parts[0] is None else torch.stack(parts) for parts in zip(*rows, strict=True)
        )
    return [None if J is None else J.reshape(len(residuals), -1) for J in found]


def _solve(kernel: Tensor, g: Tensor) -> Tensor:
    """Solve with a positive semidefinite matrix; the shortest solution where it is singular."""
    cut = len(g) * torch.finfo(kernel.dtype).eps
    L, info = torch.linalg.cholesky_ex(kernel)
    diagonal = L.diagonal()
    if int(info) == 0 and bool(diagonal.min().square() > 10 * cut * diagonal.max().square()):
        return torch.cholesky_solve(g[:, None], L)[:, 0]
    values, vectors = torch.linalg.eigh(kernel)
    kept = values > cut * values[-1].clamp_min(torch.finfo(kernel.dtype).tiny)
    inverse = torch.where(kept, values, torch.inf).reciprocal()
    return vectors @ (inverse * (vectors.T @ g))
