"""Stochastic gradients under interpolation: best step sizes and the batch where gains end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skoverparam.theory import _arguments as check
from skoverparam.theory._arguments import FloatArray

# Largest squared norm in units of the eigenvalues: with batches of any size it is a number.
_LARGEST = 1e280


class CriticalBatchSize(NamedTuple):
    """What :func:`critical_batch_size` returns."""

    critical_batch_size: float
    max_squared_norm: float
    largest_eigenvalue: float
    smallest_eigenvalue: float
    batch_sizes: NDArray[np.int64]
    step_sizes: FloatArray
    rates: FloatArray


def critical_batch_size(
    X: Any = None,
    *,
    kernel_matrix: Any = None,
    eigenvalues: Any = None,
    max_squared_norm: float | None = None,
    batch_sizes: Any = None,
    rcond: float | None = None,
) -> CriticalBatchSize:
    r"""Critical batch size, best steps and rates of stochastic gradients under interpolation.

    For the square loss, when the labels can be fitted exactly. Up to the critical batch size, a
    batch of m samples is worth m steps with one sample each (linear scaling); far above it, it is
    worth no more than a step of gradient descent on all samples (saturation).

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), default=None
        A design. Exactly one of `X`, `kernel_matrix` and `eigenvalues` must be given.

    kernel_matrix : array-like of shape (n_samples, n_samples), default=None
        Values of a kernel, symmetric and positive semidefinite: the same for the features of the
        kernel, which may be infinitely many.

    eigenvalues : array-like of shape (n_eigenvalues,), default=None
        Eigenvalues of H, that is, of the matrix of second moments or of ``K / n``; needs
        `max_squared_norm`.

    max_squared_norm : float, default=None
        :math:`\beta`, the largest :math:`\|x_i\|^2` or :math:`K(x_i, x_i)`. With a design or a
        kernel matrix None, the default, finds it there; a larger one that holds for all points,
        not only these, may be given.

    batch_sizes : int or array-like of int, default=None
        Batch sizes m to find step sizes and rates for. None takes powers of 2 up to sixteen times
        the critical batch size, and not above n.

    rcond : float, default=None
        Eigenvalues up to ``rcond`` times the largest count as zero. None is the rounding error,
        ``eps * n``.

    Returns
    -------
    critical_batch_size : float
        :math:`m^*`. Infinite if all eigenvalues that are not zero are equal.

    max_squared_norm : float
        :math:`\beta`.

    largest_eigenvalue, smallest_eigenvalue : float
        :math:`\lambda_1` and :math:`\lambda_n`, extreme eigenvalues of H that are not zero.

    batch_sizes : ndarray of shape (n_batch_sizes,)
        The batch sizes m.

    step_sizes : ndarray of shape (n_batch_sizes,)
        The best constant step :math:`\eta(m)` on the mean gradient of a batch.

    rates : ndarray of shape (n_batch_sizes,)
        :math:`g(m)`: a step multiplies the mean of the squared distance from the minimum-norm
        solution by this factor at most.

    Raises
    ------
    ValueError
        If not exactly one of the three is given, or it is not finite, only zeros, not symmetric or
        not positive semidefinite; if `max_squared_norm` is less than the trace of H allows; if
        eigenvalues or step sizes are beyond what numbers can be.

    See Also
    --------
    interpolating_sgd : Run it and count the steps.
    sgd_mean_squared_error : The exact mean, without running it.

    Notes
    -----
    With :math:`H = \frac1n \sum_i x_i x_i^T`, batches drawn with replacement and steps
    :math:`w \leftarrow w - \frac{\eta}{m} \sum_{i \in B} (x_i^T w - y_i) x_i`, the mean squared
    error in the direction of an eigenvalue :math:`\lambda` is multiplied by at most

    .. math::

        g(\lambda) = 1 - 2 \eta \lambda
            + \eta^2 \Bigl(\frac{\beta}{m} \lambda + \frac{m - 1}{m} \lambda^2\Bigr),

    which is convex, so that the extreme eigenvalues decide. The step that makes the larger of the
    two smallest is

    .. math::

        m^* = 1 + \frac{\beta}{\lambda_1 - \lambda_n}, \qquad
        \eta = \begin{cases}
            \dfrac{m}{\beta + (m - 1) \lambda_n} & m \le m^* \\[2ex]
            \dfrac{2 m}{\beta + (m - 1)(\lambda_1 + \lambda_n)} & m > m^*,
        \end{cases} \qquad
        g = \begin{cases}
            1 - \dfrac{m \lambda_n}{\beta + (m - 1) \lambda_n} \\[2ex]
            1 - \dfrac{4 m (m - 1) \lambda_1 \lambda_n}
                {(\beta + (m - 1)(\lambda_1 + \lambda_n))^2} .
        \end{cases}

    The critical batch size does not grow with n. That there is one, and that it saves a factor
    of the order of :math:`n / m^*` over gradient descent, is the result of the paper cited; the
    constants are derived here for the mean over all directions. Cost: the singular values of X or
    the eigenvalues of the kernel matrix.

    References
    ----------
    S. Ma, R. Bassily, M. Belkin, The power of interpolation, arXiv:1712.06559. A survey:
    M. Belkin, Fit without fear, arXiv:2105.14368.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.theory import critical_batch_size
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((400, 30)) / np.sqrt(np.arange(1, 31))
    >>> sgd = critical_batch_size(X, batch_sizes=[1, 8, 64])
    >>> round(sgd.critical_batch_size, 1)
    13.0
    >>> sgd.step_sizes.round(3), sgd.rates.round(3)
    (array([0.079, 0.624, 1.557]), array([0.998, 0.984, 0.935]))
    """
    beta, lam, n, unit = _spectrum(X, kernel_matrix, eigenvalues, max_squared_norm)
    if rcond is None:
        rcond = float(np.finfo(np.float64).eps) * (len(lam) if n is None else n)
    rcond = check.number(rcond, "rcond", low=0, high=1, open_high=True)
    kept = lam[lam > rcond * lam.max()]
    largest, smallest = float(kept.max()), float(kept.min())
    gap = largest - smallest
    critical = float("inf") if gap <= 0 else 1 + beta / gap
    if batch_sizes is None:
        end = min(16 * critical, np.inf if n is None else n)
        m = 2 ** np.arange(1 + int(np.log2(min(end, 2.0**30))))
    else:
        m = np.atleast_1d(check.integers(batch_sizes, "batch_sizes", low=1))
    steps, rates = _best_steps(m.astype(np.float64), critical, beta, largest, smallest)
    # Everything so far is in units, a power of two, in which squares are within range.
    what = "X, kernel_matrix or eigenvalues"
    beta, largest, smallest = check.held(
        np.array([beta, largest, smallest]), unit, what, positive=True
    ).tolist()
    steps = check.held(steps, -unit, what, positive=True)
    return CriticalBatchSize(critical, beta, largest, smallest, m.astype(np.int64), steps, rates)


def _best_steps(
    m: Any, critical: float, beta: float, largest: float, smallest: float
) -> tuple[FloatArray, FloatArray]:
    """Find steps and rates on both sides of the critical batch size, where the two agree."""
    scaling = beta + (m - 1) * smallest
    saturated = beta + (m - 1) * (largest + smallest)
    below = m <= critical
    steps = np.where(below, m / scaling, 2 * m / saturated)
    gains = np.where(
        below,
        m * smallest / scaling,
        4 * (m * largest / saturated) * ((m - 1) * smallest / saturated),
    )
    return steps, 1 - gains


def _spectrum(
    X: Any, kernel_matrix: Any, eigenvalues: Any, max_squared_norm: float | None
) -> tuple[float, FloatArray, int | None, int]:
    """Find beta, the eigenvalues of H and, where there are samples, their number.

    The first two are divided by a power of two, whose exponent is the last value.
    """
    given = {"X": X, "kernel_matrix": kernel_matrix, "eigenvalues": eigenvalues}
    names = [name for name, value in given.items() if value is not None]
    if len(names) != 1:
        raise ValueError(
            "Give exactly one of X, kernel_matrix and eigenvalues, got "
            f"{' and '.join(names) or 'none of them'}."
        )
    if max_squared_norm is not None:
        max_squared_norm = check.number(max_squared_norm, "max_squared_norm", low=0, open_low=True)
    if eigenvalues is not None:
        lam = check.variances(eigenvalues, "eigenvalues")
        if max_squared_norm is None:
            raise ValueError("max_squared_norm must be given with eigenvalues, got None.")
        unit, n = check.exponent_of(lam), None
        lam = np.ldexp(lam, -unit)
        floor = float(lam.sum())
    elif X is not None:
        design = check.matrix(X, "X")
        half, n = check.exponent_of(design), len(design)
        design, unit = np.ldexp(design, -half), 2 * half
        norms = np.einsum("ij,ij->i", design, design)
        floor, lam = float(norms.max()), np.linalg.svd(design, compute_uv=False) ** 2 / n
    else:
        K = check.covariance(kernel_matrix, "kernel_matrix")
        unit, n = check.exponent_of(K), len(K)
        K = np.ldexp(K, -unit)
        floor, lam = float(np.diag(K).max()), np.linalg.eigvalsh(K).clip(min=0) / n
    if floor == 0 or lam.max() == 0:
        raise ValueError(f"{names[0]} must have a value other than zero, got only zeros.")
    if max_squared_norm is None:
        return floor, lam, n, unit
    with np.errstate(over="ignore"):
        beta = float(np.ldexp(max_squared_norm, -unit))
    # The trace of H is the mean of the squared norms, which their maximum cannot be below.
    if beta < floor * (1 - 1e-9):
        what = "the sum of the eigenvalues" if n is None else "the largest squared norm found"
        raise ValueError(
            f"max_squared_norm must be at least {what}, {np.ldexp(floor, unit):g}, got "
            f"{max_squared_norm:g}."
        )
    if beta > _LARGEST:
        raise ValueError(
            f"max_squared_norm must be at most {_LARGEST:g} times the size of {names[0]}, got "
            f"{max_squared_norm:g}."
        )
    return beta, lam, n, unit
