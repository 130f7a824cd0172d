"""Inverses by descent whose step is taken from the iterate itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from skoverparam.linalg._convergence_order import convergence_order
from skoverparam.linalg._units import holds, units_of

ORDERS = ("reshuffle", "cyclic", "iid")
STEPS = ("live", "frozen")

# The error E of a column step contracts below sqrt(2) - 1.
LARGEST_SWITCH = math.sqrt(2.0) - 1.0
# Errors below this are in the local phase of all these iterations.
LOCAL = 0.3
# Below this error two steps in float64 reach all digits; rounding errors in float32 are far still.
_SINGLE_ENDS = 1e-3
# Rounding errors, in units of the error, that an iterate in float32 may carry into float64.
_SINGLE_BREAKS = 1e-2
# Rounding errors at which an iterate cannot be told from one of a singular matrix.
_SINGULAR = 1.0


class InverseInfo(NamedTuple):
    """How an iterated inverse converged.

    Attributes
    ----------
    errors : Tensor of shape (n_iter + 1,), float64
        ``||I - A W||_F`` at the start and after each iteration or epoch. For a matrix with more
        rows than columns, ``||I - W A||_F``.

    order_ : float
        Exponent q of ``errors[t + 1] = C errors[t] ** q`` in the local phase, NaN if there were
        fewer than two steps of it above the rounding errors.

    converged : bool
        Whether the reason is "tol", or "floor" without a `tol` to meet and in the local phase.

    reason : {"tol", "floor", "max_iter", "diverged"}
        Why it stopped. "floor": rounding errors let the error fall no more.

    n_iter : int
        Iterations or epochs made.

    residual : float
        The error of the inverse as it is returned, computed in float64.

    warmup_errors : Tensor of shape (k,), float64
        The errors of Newton-Schulz steps made before the first epoch of :func:`sgd_inverse`.
    """

    errors: Tensor
    order_: float
    converged: bool
    reason: str
    n_iter: int
    residual: float
    warmup_errors: Tensor


def scaled_transpose(A: Tensor) -> Tensor:
    """Return ``A' / (||A||_1 ||A||_inf)``, from which Newton-Schulz always converges."""
    return A.T / (A.abs().sum(0).max() * A.abs().sum(1).max())


def newton_schulz_inverse(
    A: Tensor,
    W0: Tensor | None = None,
    *,
    tol: float | None,
    max_iter: int,
    refine: bool = True,
    stop_below: float | None = None,
) -> tuple[Tensor, InverseInfo]:
    """Inverse or pseudo-inverse by ``W += W (I - A W)``.

    Parameters
    ----------
    A : Tensor of shape (m, n)
        Of full rank.

    W0 : Tensor of shape (n, m), default=None
        Start. None is the scaled transpose.

    tol : float or None
        Error ``||I - A W||_F`` at which to stop. None goes on to the rounding errors.

    max_iter : int
        Largest number of iterations.

    refine : bool, default=True
        Whether to make the last steps for a matrix in float32 in float64.

    stop_below : float, default=None
        Stop, not converged, when the error is below this: for a warm-up.

    Returns
    -------
    W : Tensor of shape (n, m)
        The iterate with the smallest error, in the precision of A.

    info : InverseInfo
        How it converged.

    Raises
    ------
    ValueError
        If the precision of A does not hold the inverse.
    """
    A, W0, unit = _in_units(A, W0)
    W, info = _inverse_by_newton_schulz(A, W0, tol, max_iter, stop_below, refine=refine)
    return _back(W, unit), info


def _in_units(A: Tensor, W0: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor]:
    """Divide a matrix by a power of two, its unit, and multiply the start by it.

    The start and the errors are sums of squares of its entries, which so are within range.
    """
    unit = units_of(A.reshape(-1, 1))
    if W0 is None:
        return A / unit, None, unit
    start = W0 * unit
    if not bool(start.isfinite().all()):
        raise ValueError(
            f"W0 must be near the inverse of A, whose largest entry is {float(A.abs().max()):.2g},"
            f" got entries up to {float(W0.abs().max()):.2g}."
        )
    return A / unit, start, unit


def _back(W: Tensor, unit: Tensor) -> Tensor:
    inverse = W / unit
    if not holds(W.dtype, inverse.reshape(-1, 1), W.reshape(-1, 1)):
        raise ValueError(
            f"A must be scaled: {W.dtype} does not hold its inverse, which is about "
            f"{float(W.abs().max()):.2g} / {float(unit):.2g}."
        )
    return inverse


def _inverse_by_newton_schulz(
    A: Tensor,
    W0: Tensor | None,
    tol: float | None,
    max_iter: int,
    stop_below: float | None,
    *,
    refine: bool,
) -> tuple[Tensor, InverseInfo]:
    wide = A.shape[0] <= A.shape[1]
    B = A if wide else A.T
    given = W0 if W0 is None or wide else W0.T
    mixed = refine and A.dtype == torch.float32
    start = scaled_transpose(B) if given is None else given
    run = _newton_schulz(B, start, tol, max_iter, stop_below, mixed=mixed)
    if mixed and not min(run.errors) < LOCAL:
        # Rounding errors of float32 drown singular values below its precision; start again.
        B = B.double()
        start = scaled_transpose(B) if given is None else given.double()
        run = _newton_schulz(B, start, tol, max_iter, stop_below, mixed=False)
    W = (run.best if wide else run.best.T).to(A.dtype)
    precision = torch.float64 if mixed else A.dtype
    return W, _info(A, W, run.errors, run.reason, tol, passes=run.errors, precision=precision)


class _Run(NamedTuple):
    best: Tensor
    errors: list[float]
    reason: str


def _newton_schulz(
    A: Tensor,
    W: Tensor,
    tol: float | None,
    max_iter: int,
    stop_below: float | None,
    *,
    mixed: bool,
) -> _Run:
    symmetric = A.shape[0] == A.shape[1] and torch.equal(A, A.T) and torch.equal(W, W.T)
    best, least = W, math.inf
    errors: list[float] = []
    reason, began = "max_iter", 0
    while True:
        E = residual_matrix(A, W)
        error = float(torch.linalg.matrix_norm(E))
        errors.append(error)
        rounding = rounding_floor(A, W, A.dtype)
        if mixed and (error < _SINGLE_ENDS or rounding > _SINGLE_BREAKS):
            # The same iterate goes on in float64; its error there is a measurement of its own.
            mixed, began = False, len(errors) - 1
            A, W = A.double(), W.double()
            E, rounding = residual_matrix(A, W), 0.0
            error = errors[-1] = float(torch.linalg.matrix_norm(E))
            best, least = W, error
        if error < least:
            best, least = W, error
        if tol is not None and error <= tol:
            reason = "tol"
        elif error == 0 or rounding > _SINGULAR or _no_longer_squared(errors[began:]):
            reason = "floor"
        elif not error <= 1e6 * max(1.0, errors[0]):
            reason = "diverged"
        elif len(errors) <= max_iter and (stop_below is None or error >= stop_below):
            W = W + W @ E
            if symmetric:
                W = (W + W.T) / 2
            continue
        return _Run(best, errors, reason)


def sgd_inverse(
    A: Tensor,
    W0: Tensor | None,
    *,
    epochs: Iterator[list[Tensor]],
    frozen: bool,
    tol: float | None,
    max_iter: int,
    switch_at: float = LOCAL,
    warmup_max_iter: int = 200,
) -> tuple[Tensor, InverseInfo]:
    """Inverse by stochastic gradients of ``||I - A W||^2 / 2``, some columns at a time.

    Parameters
    ----------
    A : Tensor of shape (d, d)
        An invertible matrix.

    W0 : Tensor of shape (d, d) or None
        Start.

    epochs : iterator of lists of Tensors
        For each epoch the indices of the columns of each step.

    frozen : bool
        Whether the step ``W W'`` is that of the epoch's start; else of the present iterate.

    tol : float or None
        Error at which to stop. None goes on to the rounding errors.

    max_iter : int
        Largest number of epochs.

    switch_at : float, default=0.3
        Newton-Schulz steps come first until the error is below this.

    warmup_max_iter : int, default=200
        Largest number of those.

    Returns
    -------
    W : Tensor of shape (d, d)
        The iterate with the smallest error.

    info : InverseInfo
        How it converged; where Newton-Schulz does not come so far, how that ended.

    Raises
    ------
    ValueError
        If the precision of A does not hold the inverse.
    """
    A, W0, unit = _in_units(A, W0)
    work = A.double()
    W, warmup = _inverse_by_newton_schulz(
        work,
        None if W0 is None else W0.double(),
        None,
        warmup_max_iter,
        switch_at,
        refine=True,
    )
    W = W.clone()  # columns are written in place, and W may be the caller's W0
    d = len(work)
    eye = torch.eye(d, dtype=work.dtype, device=work.device)
    errors = [float(torch.linalg.matrix_norm(residual_matrix(work, W)))]
    if not errors[0] < LARGEST_SWITCH:
        return _back(W.to(A.dtype), unit), warmup._replace(converged=False)
    # Unvisited columns hold their error, so steps are judged where all columns had a visit.
    passes, unvisited = [errors[0]], torch.ones(d, dtype=torch.bool, device=work.device)
    best, least, reason = W.clone(), errors[0], "max_iter"
    while True:
        if tol is not None and errors[-1] <= tol:
            reason = "tol"
        elif errors[-1] <= rounding_floor(work, W, work.dtype) or _no_longer_halved(passes):
            reason = "floor"
        elif not errors[-1] < 1.0:
            reason = "diverged"
        elif len(errors) <= max_iter:
            step = W.clone() if frozen else W
            for columns in next(epochs):
                R = eye[:, columns] - work @ W[:, columns]
                W[:, columns] += step @ (step.T @ (work.T @ R))
                unvisited[columns] = False
            errors.append(float(torch.linalg.matrix_norm(residual_matrix(work, W))))
            if not bool(unvisited.any()):
                passes.append(errors[-1])
                unvisited.fill_(True)
            if errors[-1] < least:
                best, least = W.clone(), errors[-1]
            continue
        break
    inverse = best.to(A.dtype)
    info = _info(A, inverse, errors, reason, tol, passes=passes, precision=work.dtype)
    return _back(inverse, unit), info._replace(warmup_errors=warmup.errors)


def column_epochs(
    d: int, order: str, batch_size: int, generator: torch.Generator, device: torch.device
) -> Iterator[list[Tensor]]:
    """Yield for each epoch the columns of its steps.

    Parameters
    ----------
    d : int
        Number of columns.

    order : {"reshuffle", "cyclic", "iid"}
        A new permutation for each epoch, their own order, or independent draws.

    batch_size : int
        Columns in a step.

    generator : torch.Generator
        On the CPU.

    device : torch.device
        Of the indices.

    Yields
    ------
    steps : list of Tensors
        Indices of columns.
    """
    while True:
        if order == "cyclic":
            columns = torch.arange(d)
        elif order == "reshuffle":
            columns = torch.randperm(d, generator=generator)
        else:
            columns = torch.randint(d, (d,), generator=generator)
        yield list(columns.to(device).split(batch_size))


def residual_matrix(A: Tensor, W: Tensor) -> Tensor:
    """Return ``I - A W``."""
    E = -(A @ W)
    E.diagonal().add_(1.0)
    return E


def _no_longer_squared(errors: list[float]) -> bool:
    """Whether rounding errors hold an error up that would be squared without them."""
    if len(errors) < 2 or not errors[-2] < 1.0:
        return False
    before, after = errors[-2:]
    return after > 0.5 * before and after > 1.1 * before**2


def _no_longer_halved(errors: list[float]) -> bool:
    """Whether rounding errors hold an error up that column steps would take to (2 + e) e^2."""
    return len(errors) > 1 and errors[-2] < 0.1 and errors[-1] > 0.5 * errors[-2]


def rounding_floor(A: Tensor, W: Tensor, precision: torch.dtype) -> float:
    """Size that rounding errors of ``I - A W`` can have."""
    norms = [float(torch.linalg.matrix_norm(matrix)) for matrix in (A, W)]
    return torch.finfo(precision).eps * norms[0] * norms[1]


def _info(
    A: Tensor,
    W: Tensor,
    errors: list[float],
    reason: str,
    tol: float | None,
    *,
    passes: list[float],
    precision: torch.dtype,
) -> InverseInfo:
    residual = min(errors)
    if A.dtype != torch.float64:  # else it was measured already
        left, right = (A, W) if A.shape[0] <= A.shape[1] else (W, A)
        E = residual_matrix(left.double(), right.double())
        residual = float(torch.linalg.matrix_norm(E))
    history = torch.tensor(errors, dtype=torch.float64)
    return InverseInfo(
        errors=history,
        order_=convergence_order(
            torch.tensor(passes, dtype=torch.float64),
            floor=rounding_floor(A, W, precision),
            below=LOCAL,
        ).order,
        converged=reason == "tol" or (reason == "floor" and tol is None and min(errors) < LOCAL),
        reason=reason,
        n_iter=len(errors) - 1,
        residual=residual,
        warmup_errors=history.new_zeros(0),
    )
