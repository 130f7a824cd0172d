"""The experiment: stochastic gradient descent on labels that can be fitted, by batch size."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skoverparam.theory import _arguments as check
from skoverparam.theory._arguments import FloatArray
from skoverparam.theory._critical_batch_size import critical_batch_size

# A run is declared diverged, rather than slow, once its squared error has grown this much.
_DIVERGED = 1e12


class InterpolatingSGD(NamedTuple):
    """What :func:`interpolating_sgd` returns."""

    batch_sizes: NDArray[np.int64]
    step_sizes: FloatArray
    n_steps: FloatArray
    bound: FloatArray
    critical_batch_size: float


def interpolating_sgd(
    X: Any,
    y: Any,
    *,
    batch_sizes: Any = None,
    step_sizes: Any = None,
    tol: float = 1e-6,
    n_repeats: int = 5,
    max_steps: int = 100_000,
    random_state: Any = None,
) -> InterpolatingSGD:
    r"""Run stochastic gradient descent from zero and count its steps, by batch size.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The design.

    y : array-like of shape (n_samples,)
        Labels that some w fits exactly, ``X w = y``, and not all zero.

    batch_sizes : int or array-like of int, default=None
        Batch sizes; None takes those of :func:`critical_batch_size`.

    step_sizes : float or array-like of shape (n_batch_sizes,), default=None
        Constant steps on the mean gradient of a batch; None takes the best ones.

    tol : float, default=1e-6
        A run ends when the squared distance from the minimum-norm solution is ``tol`` times that
        at the start.

    n_repeats : int, default=5
        Runs for each batch size, in lockstep.

    max_steps : int, default=100_000
        A run that has not ended by then counts as infinitely long, as one that diverges does.

    random_state : int, RandomState instance, Generator or None, default=None
        Seed of the batches, which are drawn with replacement.

    Returns
    -------
    batch_sizes : ndarray of shape (n_batch_sizes,)
        The batch sizes.

    step_sizes : ndarray of shape (n_batch_sizes,)
        The steps taken.

    n_steps : ndarray of shape (n_batch_sizes, n_repeats)
        Steps until the end, infinite for runs that did not come there.

    bound : ndarray of shape (n_batch_sizes,)
        Steps after which the mean of the squared distance is at most ``tol`` times the first, by
        :func:`critical_batch_size`; infinite for steps that are too long for it.

    critical_batch_size : float
        Where linear scaling ends.

    Raises
    ------
    ValueError
        If shapes do not fit, numbers are not finite, or no w fits the labels.

    See Also
    --------
    critical_batch_size : The theory behind the bound and the best steps.
    sgd_mean_squared_error : The mean over all runs, without running any.

    Notes
    -----
    A step costs ``n_repeats * batch_size * min(n_samples, n_features)`` operations: the iterates
    stay in the row space of X, whose coordinates are used.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.theory import interpolating_sgd
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 30)) / np.sqrt(np.arange(1, 31))
    >>> runs = interpolating_sgd(
    ...     X, X @ rng.standard_normal(30), batch_sizes=[4, 8], random_state=0
    ... )
    >>> round(float(runs.n_steps[0].mean() / runs.n_steps[1].mean()), 1)
    2.0
    """
    coordinates, target, half, _ = _row_space(X, y)
    theory = critical_batch_size(coordinates, batch_sizes=batch_sizes)
    m, eta = theory.batch_sizes, theory.step_sizes
    given = None if step_sizes is None else _checked_steps(step_sizes, len(m))
    if given is None:
        taken = check.held(eta, -2 * half, "X", positive=True)
    else:
        taken = given
        with np.errstate(over="ignore"):
            # Steps beyond all numbers diverge as the largest do.
            eta = np.ldexp(given, 2 * half).clip(max=1e300)
    tol = check.number(tol, "tol", low=0, high=1, open_low=True, open_high=True)
    n_repeats = check.integer(n_repeats, "n_repeats", low=1)
    max_steps = check.integer(max_steps, "max_steps", low=1)
    rng = check.generator(random_state)
    n_steps = np.stack(
        [
            _run(coordinates, target, int(size), step, tol, n_repeats, max_steps, rng)
            for size, step in zip(m, eta, strict=True)
        ]
    )
    ends = np.array([theory.largest_eigenvalue, theory.smallest_eigenvalue])[:, None]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        rates = _rate(ends, eta, m.astype(float), theory.max_squared_norm).max(axis=0)
        bound = np.where(
            rates < 1, np.log(tol) / np.log(np.clip(rates, 0, 1 - 1e-16)), float("inf")
        )
    return InterpolatingSGD(m, taken, n_steps, np.ceil(bound), theory.critical_batch_size)


def sgd_mean_squared_error(
    X: Any, y: Any, *, batch_size: int, step_size: float, n_steps: int
) -> FloatArray:
    r"""Exact mean of the squared error of stochastic gradient descent from zero, step by step.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        The design.

    y : array-like of shape (n_samples,)
        Labels that some w fits exactly.

    batch_size : int
        Samples per step, drawn with replacement.

    step_size : float
        Constant step on the mean gradient of a batch.

    n_steps : int
        Number of steps.

    Returns
    -------
    errors : ndarray of shape (n_steps + 1,)
        :math:`\mathbb{E} \|w_t - X^+ y\|^2` for t = 0, ..., `n_steps`, over the draws of all
        batches. Infinite where it is larger than any number.

    Raises
    ------
    ValueError
        If shapes do not fit, numbers are not finite, or no w fits the labels.

    See Also
    --------
    interpolating_sgd : Single runs.

    Notes
    -----
    The second moment C of the error obeys a linear recursion,

    .. math::

        C \leftarrow C - \eta (H C + C H) + \eta^2 \Bigl(
            \frac{1}{m n} \sum_i (x_i^T C x_i) \, x_i x_i^T + \frac{m - 1}{m} H C H \Bigr),

    at ``O(n_samples * min(n_samples, n_features) ** 2)`` per step.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.theory import sgd_mean_squared_error
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> sgd_mean_squared_error(X, [1.0, 1.0], batch_size=1, step_size=1.0, n_steps=3)
    array([2.  , 1.  , 0.5 , 0.25])
    """
    R, target, half, label = _row_space(X, y)
    m = check.integer(batch_size, "batch_size", low=1)
    eta = check.number(step_size, "step_size", low=0, open_low=True)
    n_steps = check.integer(n_steps, "n_steps", low=1)
    H = R.T @ R / len(R)
    C = np.outer(target, target)
    errors = np.full(n_steps + 1, np.inf)
    errors[0] = np.trace(C)
    with np.errstate(over="ignore", invalid="ignore"):
        eta = float(np.ldexp(eta, 2 * half).clip(max=1e300))
        _recurse(errors, C, R, H, m, eta)
    return check.held(errors, 2 * (label - half), "X or y")


def _recurse(
    errors: FloatArray, C: FloatArray, R: FloatArray, H: FloatArray, m: int, eta: float
) -> None:
    """Fill in the errors until they are larger than any number."""
    for t in range(len(errors) - 1):
        HC = H @ C
        spread = np.einsum("ij,ij->i", R @ C, R)
        fourth = (R * spread[:, None]).T @ R / len(R) / m
        C = C - eta * (HC + HC.T) + eta * (eta * (fourth + (m - 1) / m * HC @ H))
        # The recursion blows up whatever asymmetry rounding leaves.
        C = (C + C.T) / 2
        error = np.trace(C)
        if not np.isfinite(error):
            return
        errors[t + 1] = error


def _run(
    R: FloatArray,
    target: FloatArray,
    size: int,
    eta: float,
    tol: float,
    n_repeats: int,
    max_steps: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Count the steps of all repeats of a batch size; those that have ended are left out."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _counted(R, target, size, eta, tol, n_repeats, max_steps, rng)


def _counted(
    R: FloatArray,
    target: FloatArray,
    size: int,
    eta: float,
    tol: float,
    n_repeats: int,
    max_steps: int,
    rng: np.random.Generator,
) -> FloatArray:
    ended = np.full(n_repeats, np.inf)
    alive = np.arange(n_repeats)
    error = np.tile(-target, (n_repeats, 1))
    first = target @ target
    for t in range(1, max_steps + 1):
        batch = R[rng.integers(len(R), size=(len(alive), size))]
        misfit = batch @ error[:, :, None]
        error = error - eta / size * (batch * misfit).sum(axis=1)
        left = np.einsum("ij,ij->i", error, error) / first
        ended[alive[left <= tol]] = t
        going = (left > tol) & (left < _DIVERGED)
        if not going.all():
            alive, error = alive[going], error[going]
            if not len(alive):
                break
    return ended


def _rate(lam: FloatArray, eta: FloatArray, m: Any, beta: float) -> FloatArray:
    return 1 - 2 * eta * lam + eta * (eta * (beta / m * lam + (m - 1) / m * lam**2))


def _row_space(X: Any, y: Any) -> tuple[FloatArray, FloatArray, int, int]:
    """Coordinates of the samples and of the minimum-norm solution in the row space of X.

    Samples and labels are divided by powers of two first, so that squares are within range. The
    last two values are their exponents.
    """
    X = check.matrix(X, "X")
    y = check.vector(y, "y", length=len(X), of=" (n_samples)")
    if not y.any():
        raise ValueError("y must have a value other than zero, got only zeros.")
    half, label = check.exponent_of(X), check.exponent_of(y)
    X, y = np.ldexp(X, -half), np.ldexp(y, -label)
    U, s, _ = np.linalg.svd(X, full_matrices=False)
    kept = s > s[0] * max(X.shape) * np.finfo(np.float64).eps
    U, s = U[:, kept], s[kept]
    fitted = U.T @ y
    misfit = np.linalg.norm(y - U @ fitted) / np.linalg.norm(y)
    if misfit > 1e-8:
        raise ValueError(
            "y must be fitted exactly by some coefficients, but least squares leaves a relative "
            f"residual of {misfit:.2g}."
        )
    return U * s, fitted / s, half, label


def _checked_steps(step_sizes: Any, count: int) -> FloatArray:
    steps = check.vector(check.finite(step_sizes, "step_sizes").ravel(), "step_sizes")
    if steps.size == 1:
        steps = np.full(count, steps[0])
    steps = check.vector(steps, "step_sizes", length=count, of=" (one for each batch size)")
    if steps.min() <= 0:
        raise ValueError(f"step_sizes must be above 0, got {steps.min():g}.")
    return steps
