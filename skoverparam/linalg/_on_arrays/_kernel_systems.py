"""Kernel systems, products with kernel matrices and their partial factors, for arrays."""

import warnings
from functools import partial
from typing import Any

import torch
from torch import Tensor

from skoverparam._arrays import tensor_function, ways_of
from skoverparam._config import memory_budget, require_memory
from skoverparam._params import (
    check_flag,
    check_integer,
    check_number,
    check_option,
    make_generator,
)
from skoverparam.linalg import _rp_cholesky
from skoverparam.linalg._kernel_systems import _matvec, _solve
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._solution import KernelSolution, check_weights
from skoverparam.linalg._on_arrays._designs import check_design


def kernel_solve(
    kernel: Any,
    X: Any,
    Y: Any,
    *,
    ridge: float = 0.0,
    weights: Any = None,
    solver: str = "auto",
    tol: float = 1e-6,
    max_iter: int = 200,
    rank: int | None = None,
    n_centers: int | None = None,
    loo: bool = False,
    random_state: Any = None,
) -> KernelSolution:
    r"""Kernel interpolation and kernel ridge regression, with a certificate.

    Solves :math:`(K + \lambda W^{-1}) A = Y` for the kernel matrix K of the points X. The function
    :math:`f(x) = \sum_i k(x, x_i) A_i` minimizes
    :math:`\sum_i w_i (f(x_i) - y_i)^2 + \lambda \|f\|^2`; with :math:`\lambda = 0` it
    interpolates.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Z=None)`` returns the (n, m) values of a positive semidefinite kernel between
        rows, of X with itself where Z is None. Functions of :mod:`skoverparam.kernels`, with
        their parameters bound by :func:`functools.partial`, or a function on tensors or arrays.

    X : array-like of shape (n, d)
        Points. All is computed in float64, and the solution returned in the precision of X.

    Y : array-like of shape (n,) or (n, c)
        Targets.

    ridge : float, default=0.0
        :math:`\lambda`, not scaled by n: the ``alpha`` of
        :class:`sklearn.kernel_ridge.KernelRidge`.

    weights : array-like of shape (n,) or (n, c), default=None
        Positive weights of the squared errors, for all targets or for each.

    solver : {"auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted"}, default="auto"
        - "cholesky": exact, in half the memory of K. The factor is in single precision where
          that is enough, and refined by residuals in float64;
        - "eigh": exact, by eigenvectors; of smallest norm where K is singular;
        - "pcg": conjugate gradients, all targets in lockstep, preconditioned by a partial factor
          (:func:`rp_cholesky`); half of K is stored if it fits the memory budget;
        - "eigenpro": stochastic gradients with the largest eigenvalues flattened; memory O(n);
        - "restricted": coefficients for `n_centers` points only;
        - "auto": what is expected to be fastest within the memory budget, of "cholesky" and
          "pcg"; conjugate gradients that turn out slow are left for a factor. With `n_centers`
          it is "restricted".

    tol : float, default=1e-6
        Relative residual at which iterative solvers stop. Direct ones go as far as float64 goes.

    max_iter : int, default=200
        Most passes of an iterative solver over the matrix.

    rank : int, default=None
        Columns of the preconditioner of "pcg". None is 3.5 times the square root of n, at least
        200.

    n_centers : int, default=None
        Points that get coefficients, with "restricted".

    loo : bool, default=False
        Whether to compute leave-one-out residuals, by a direct solver.

    random_state : int, RandomState or None, default=None
        Seed of pivots, batches and centers.

    Returns
    -------
    solution : KernelSolution
        Coefficients, true residuals, what was used and planned, and what serves again: its
        methods ``solve(Y)``, ``at_ridge(ridge)`` and ``predict(X)``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite or out of its range.
    MemoryError
        If no solver fits the memory budget; nothing has been computed then.

    Warns
    -----
    RuntimeWarning
        If a residual is above `tol`: what was reached, and what to change.

    See Also
    --------
    skoverparam.KernelInterpolatorRegressor : The same as an estimator.
    kernel_matvec : Products with a kernel matrix.
    rp_cholesky : The preconditioner.

    Notes
    -----
    The exact solver writes the lower half of K and factors it in place:
    :math:`n^3 / 3` operations, and :math:`2 n^2` bytes in single precision or :math:`4 n^2` in
    double. It goes on in double precision where corrections do not converge. Where rounding
    leaves no positive definite matrix, a jitter is added to the factor's diagonal and recorded;
    the solution is then refined for the matrix without it, by conjugate gradients. Where that
    fails, it is the solution of smallest norm on the numerical range of K, by eigenvectors.

    An iteration of "pcg" takes :math:`n^2` multiplications for each target. The recurrence runs
    in float64; entries in single precision stop it from converging, so that its residual is
    replaced by the true one on the way, and search directions go on: this takes as many
    iterations as exact entries (ours; known as reliable updates elsewhere). Residuals are
    always computed at the end, never recurred.

    Leave-one-out residuals are :math:`A_i / (K + \lambda W^{-1})^{-1}_{ii}`, at the price of
    another factorization, without storing an inverse.

    References
    ----------
    M. Diaz, E. N. Epperly, Z. Frangella, J. A. Tropp, R. J. Webber, "Robust, randomized
    preconditioning for kernel ridge regression", arXiv:2304.12465.

    E. N. Epperly, J. A. Tropp, R. J. Webber, "Embrace rejection: kernel matrix approximation by
    accelerated randomly pivoted Cholesky", arXiv:2410.03969.

    S. Ma, M. Belkin, "Kernel machines that adapt to GPUs for effective large batch training",
    arXiv:1806.06144.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from skoverparam.kernels import laplace
    >>> from skoverparam.linalg import kernel_solve
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(400, 3))
    >>> y = np.sin(X[:, 0]) + 0.5 * rng.normal(size=400)
    >>> solution = kernel_solve(partial(laplace, bandwidth=3.0), X, y, loo=True)
    >>> solution.solver, bool(solution.residual < 1e-10), solution.jitter
    ('cholesky', True, 0.0)
    >>> bool(np.allclose(solution.predict(X), y))
    True
    >>> smoother = solution.at_ridge(0.3)
    >>> bool(np.mean(smoother.loo_residuals**2) < np.mean(solution.loo_residuals**2))
    True
    """
    check_number(ridge, "ridge", low=0)
    check_option(solver, "solver", ("auto", *_solve.SOLVERS))
    check_number(tol, "tol", low=0, high=1, boundaries="neither")
    check_integer(max_iter, "max_iter", low=1)
    check_integer(rank, "rank", low=1, none=True)
    check_integer(n_centers, "n_centers", low=1, none=True)
    check_flag(loo, "loo")
    _check_kernel(kernel)
    enter, leave = ways_of(X)
    points, targets = enter(X, "X"), enter(Y, "Y")
    check_design(points, targets, names=("X", "Y"))
    if weights is not None:
        weights = enter(weights, "weights")
        check_weights(weights, targets)
    steps = _solve.kernel_solve_steps(
        _on_tensors(kernel),
        points,
        targets if targets.ndim == 2 else targets[:, None],
        ridge=float(ridge),
        weights=weights,
        solver=solver,
        tol=float(tol),
        max_iter=int(max_iter),
        rank=rank,
        n_centers=n_centers,
        loo=bool(loo),
        memory_budget=memory_budget(points.device),
        generator=make_generator(random_state),
    )
    solution = _solve.solution_of(steps)
    if not solution.converged:
        warnings.warn(
            f"The relative residual is {float(solution.residual.max()):.2g}, above tol={tol:g}. "
            f"{solution.remark}".strip(),
            RuntimeWarning,
            stacklevel=2,
        )
    return solution.in_kind(
        enter,
        lambda tensor: leave(
            tensor if not tensor.is_floating_point() else tensor.to(points.dtype)
        ),
        flat=targets.ndim == 1,
    )


@tensor_function("X", "Z", "V")
def kernel_matvec(kernel: Any, X: Any, Z: Any, V: Any) -> Any:
    r"""Multiply a kernel matrix by coefficients, without forming it.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Z)`` returns (n, m) values: functions of :mod:`skoverparam.kernels`, with
        their parameters bound by :func:`functools.partial`, or a function on tensors or arrays.

    X : array-like of shape (n, d)
        Points at which to evaluate.

    Z : array-like of shape (m, d)
        Centers.

    V : array-like of shape (m,) or (m, c)
        Coefficients of the centers.

    Returns
    -------
    array of shape (n,) or (n, c)
        :math:`K(X, Z) V`, of the kind of X and in the precision of V.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit or a number is not finite.

    See Also
    --------
    kernel_solve : Find coefficients.

    Notes
    -----
    As many kernel evaluations as there are pairs and :math:`n m c` multiplications; memory for
    16 MiB of kernel values.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import gaussian
    >>> from skoverparam.linalg import kernel_matvec
    >>> X, Z = np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])
    >>> kernel_matvec(gaussian, X, Z, np.array([1.0, 1.0])).round(4)
    array([1.1353, 1.2131])
    """
    _check_kernel(kernel)
    check_design(Z, V, names=("Z", "V"))
    if X.ndim != 2 or X.shape[1] != Z.shape[1]:
        raise ValueError(
            f"X must have two dimensions and {Z.shape[1]} columns like Z, got shape "
            f"{tuple(X.shape)}."
        )
    dtype = torch.promote_types(X.dtype, Z.dtype)
    return _matvec.kernel_matvec(
        _on_tensors(kernel), X.to(dtype), Z.to(X.device, dtype), V.to(X.device)
    )


@tensor_function("X")
def rp_cholesky(
    kernel: Any, X: Any, rank: int, *, tol: float | None = None, random_state: Any = None
) -> Any:
    r"""Partial Cholesky factor of a kernel matrix with randomly drawn pivots.

    :math:`K \approx F F^T` from `rank` columns of K, which alone are evaluated: a low-rank
    approximation close to the best one, a preconditioner, or a choice of `rank` points that
    represent all.

    Parameters
    ----------
    kernel : callable
        ``kernel(X, Z=None)`` returns (n, m) values of a positive semidefinite kernel: functions
        of :mod:`skoverparam.kernels`, with their parameters bound by :func:`functools.partial`,
        or a function on tensors or arrays.

    X : array-like of shape (n, d)
        Points.

    rank : int
        Number of pivots r. Fewer come back where the residual has vanished.

    tol : float, default=None
        Stop when the trace of the residual is at most `tol` times that of K. None is rounding
        error.

    random_state : int, RandomState or None, default=None
        Seed of the pivots.

    Returns
    -------
    result : RPCholesky
        Named tuple of ``factor``, F of shape (n, r); ``pivots``, indices of shape (r,); and
        ``residual_diagonal``, the diagonal of :math:`K - F F^T`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If X has no two dimensions, a number is not finite or out of its range.
    MemoryError
        If F does not fit the memory budget; nothing has been computed then.

    See Also
    --------
    kernel_solve : Systems with the whole matrix, preconditioned by such a factor.

    Notes
    -----
    Pivots are drawn with probabilities proportional to the residual's diagonal, some at a time,
    with rejections that make their law the one of drawing one after the other. Cost: :math:`n r`
    kernel evaluations and :math:`n r^2` multiplications; memory for about 1.5 F.

    References
    ----------
    Y. Chen, E. N. Epperly, J. A. Tropp, R. J. Webber, "Randomly pivoted Cholesky",
    arXiv:2207.06503.

    E. N. Epperly, J. A. Tropp, R. J. Webber, "Embrace rejection: kernel matrix approximation by
    accelerated randomly pivoted Cholesky", arXiv:2410.03969.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import gaussian
    >>> from skoverparam.linalg import rp_cholesky
    >>> X = np.linspace(0, 1, 200)[:, None]
    >>> result = rp_cholesky(gaussian, X, 8, random_state=0)
    >>> result.factor.shape, bool(result.residual_diagonal.max() < 1e-9)
    ((200, 8), True)
    """
    _check_kernel(kernel)
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(
            f"X must have two dimensions and no empty one, got shape {tuple(X.shape)}."
        )
    check_integer(rank, "rank", low=1)
    check_number(tol, "tol", low=0, high=1, none=True)
    rank = min(int(rank), len(X))
    require_memory(
        1.5 * X.element_size() * len(X) * rank,
        X.device,
        what=f"A factor of {len(X)} rows and {rank} columns",
        remedy="Take a smaller rank.",
    )
    matrix = KernelMatrix(_on_tensors(kernel), X)
    return _rp_cholesky.rp_cholesky(
        matrix.columns,
        matrix.diagonal(),
        rank,
        generator=make_generator(random_state),
        tol=None if tol is None else float(tol),
    )


def _check_kernel(kernel: Any) -> None:
    if not callable(kernel):
        raise TypeError(
            "kernel must be a function kernel(X, Z) of two arrays of points, got "
            f"{kernel!r} of type {type(kernel).__name__}."
        )


def _on_tensors(kernel: Any) -> Any:
    """Return the object behind a public kernel function, or let a function answer in arrays."""
    bound = kernel if isinstance(kernel, partial) else partial(kernel)
    behind = getattr(bound.func, "on_tensors", None)
    if behind is not None and not bound.args:
        return behind(**bound.keywords)
    if hasattr(kernel, "into"):
        return kernel

    def values(X: Tensor, Z: Tensor | None = None) -> Tensor:
        K = torch.as_tensor(kernel(X) if Z is None else kernel(X, Z), device=X.device)
        expected = (len(X), len(X if Z is None else Z))
        if tuple(K.shape) != expected:
            raise ValueError(
                f"kernel must return a value for every pair of points, shape {expected}, got "
                f"{tuple(K.shape)}."
            )
        return K.to(X.dtype)

    return values
