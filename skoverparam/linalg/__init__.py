"""Solvers that say how exact they were.

The functions take numpy arrays, torch tensors on any device, data frames or other arrays, and
answer in the kind and precision of their first argument. They compute in float64.
"""

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
from skoverparam.linalg import (
    _convergence_order,
    _iterated_inverse,
    _minimum_norm,
    _minimum_norm_path,
    _rp_cholesky,
)
from skoverparam.linalg._kernel_systems import _matvec, _solve
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._solution import KernelSolution

__all__ = [
    "convergence_order",
    "kernel_matvec",
    "kernel_solve",
    "minimum_norm",
    "minimum_norm_path",
    "minimum_norm_path_risk",
    "newton_schulz_inverse",
    "rp_cholesky",
    "sgd_inverse",
]


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
    _check_design(points, targets, names=("X", "Y"))
    if weights is not None:
        weights = enter(weights, "weights")
        _check_sample_weights(weights, targets)
    solution = _solve.kernel_solve(
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
    _check_design(Z, V, names=("Z", "V"))
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


@tensor_function("X", "y", "weights")
def minimum_norm(
    X: Any,
    y: Any,
    *,
    rcond: float | None = None,
    weights: Any = None,
    solver: str = "svd",
) -> Any:
    r"""Least squares solution of smallest norm, :math:`w = X^+ y`.

    Where there are more features than samples it interpolates, and of all that interpolate it is
    the one of smallest norm; where there are fewer it is ordinary least squares.

    Parameters
    ----------
    X : array-like of shape (n, d)
        The design. No column of ones is added and nothing is centered.

    y : array-like of shape (n,) or (n, t)
        One target, or several.

    rcond : float, default=None
        Singular values up to `rcond` times the largest one count as zero. None takes the
        machine precision times ``max(n, d)``. A larger one regularizes: it takes peaks off a
        generalization curve, and training points are no longer met.

    weights : array-like of shape (d,) or (d, d), default=None
        Q: the norm that is made small is :math:`\|Q w\|`. A vector is a diagonal, with positive
        entries; a matrix must be invertible. None is the Euclidean norm.

    solver : {"svd", "cod", "gram"}, default="svd"
        - "svd": singular value decomposition, of a triangle where X is far from square;
        - "cod": complete orthogonal decomposition, from QR with column pivoting, in LAPACK: about
          half the time where X is nearly square and large, a rank from an estimate. It runs on
          the CPU;
        - "gram": eigenvectors of the smaller of ``X X^T`` and ``X^T X``. Fast, and half of the
          digits are lost: singular values below 1e-8 of the largest are noise and cut off.

    Returns
    -------
    result : MinimumNorm
        Named tuple of ``coef`` of shape (d,) or (d, t); its numerical ``rank``; all
        ``singular_values`` of X, or of ``X Q^-1`` (None with "cod"); the ``rcond`` used; the
        ``norm`` that was made small; and the ``residual``, ``||y - X w|| / ||y||``.

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite, `weights` are not invertible or `solver` is
        not known.

    See Also
    --------
    minimum_norm_path : The solutions for all numbers of features at the price of a few.
    skoverparam.MinNormRegressor : The same as an estimator, with an intercept.

    Notes
    -----
    With weights, :math:`w = Q^{-1} (X Q^{-1})^+ y`. Cost: about :math:`4 n^2 d + 20 n^3` for
    n < d, and the other way round. The residual cannot be expected below the machine precision
    times :math:`\|X\| \, \|w\|`: what is reported is computed from the solution that is
    returned.

    References
    ----------
    G. H. Golub and C. F. Van Loan, "Matrix Computations", section 5.5.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.linalg import minimum_norm
    >>> X = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 2.0]])
    >>> result = minimum_norm(X, np.array([2.0, 4.0]))
    >>> result.coef.round(4), result.rank
    (array([1., 1., 2.]), 2)
    >>> minimum_norm(X, np.array([2.0, 4.0]), weights=[1.0, 3.0, 1.0]).coef.round(4)
    array([1.8, 0.2, 2. ])
    """
    _check_design(X, y)
    check_number(rcond, "rcond", low=0, high=1, boundaries="left", none=True)
    check_option(solver, "solver", _minimum_norm.SOLVERS)
    if weights is not None:
        _check_weights(weights, X.shape[1])
        weights = weights.to(X.device, torch.float64)
    result = _minimum_norm.minimum_norm(
        X.double(), y.double(), rcond=rcond, weights=weights, solver=solver
    )
    return _in_precision(result, X.dtype)


@tensor_function("X", "Y")
def minimum_norm_path(
    X: Any, Y: Any, dims: Any = None, *, axis: str = "features", rcond: float | None = None
) -> Any:
    r"""Minimum-norm solutions for all numbers of features, or of samples, in one pass.

    :func:`minimum_norm` for the first d columns of X (or the first d rows), for many d, at the
    price of a few.

    Parameters
    ----------
    X : array-like of shape (n, D)
        The design, its features (samples) in the order in which they come in.

    Y : array-like of shape (n,) or (n, t)
        One target, or several.

    dims : array-like of int, default=None
        Sizes d, strictly ascending. None is all of them, 1, 2, ..., D (or n).

    axis : {"features", "samples"}, default="features"
        What the sizes count.

    rcond : float, default=None
        Singular values up to `rcond` times the largest one count as zero. None takes the
        machine precision times ``max(n, D)``. With more than ten times that, every size gets a
        decomposition of its own.

    Returns
    -------
    path : MinimumNormPath
        Named tuple of ``coef`` of shape (n_dims, D) or (n_dims, D, t), zero for features that
        are not used; ``norms`` and ``residuals``, both norms, of shape (n_dims,) or (n_dims, t);
        and ``rank`` of shape (n_dims,).

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or `dims` are not such sizes.
    MemoryError
        If the solutions do not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    minimum_norm_path_risk : Test errors along the path, without storing its solutions.
    skoverparam.model_selection.generalization_curve : The curve of an estimator, averaged.

    Notes
    -----
    Appending a column b to a matrix whose range holds it adds the null vector
    :math:`v = (X^+ b, -1)` and projects the solution, :math:`w \leftarrow w - v v^T w / v^T v`.
    Any other column adds a direction to the range. Here this is done for blocks of up to 96
    columns with orthonormal bases, from an anchor at which the matrix has a singular value
    decomposition, updated from the one before. Every step's null vectors and fit are
    compared with the data, and the first column where they miss by more than rounding errors of a
    backward stable solver do becomes an anchor. So the path is as exact as separate
    decompositions on both sides of an interpolation threshold, however sharp its peak.

    Appending samples is the same on the transpose, where null vectors say what part of the targets
    cannot be fitted.

    Cost for features, with n < D: about D / 96 decompositions of (n, n + 96) matrices and
    :math:`n D^2 (1 + t / 2)` multiplications, in place of D decompositions. A size that is more
    than 96 from the one before gets a decomposition of its own. Numerical ranks are
    decided column by column between anchors: close to the cut-off they can differ from those of
    separate decompositions, as those of two decompositions do.

    The block form, the check and the anchors are ours; one column at a time, and without them,
    it is Greville's recursion.

    References
    ----------
    T. N. E. Greville, "Some applications of the pseudoinverse of a matrix", SIAM Review 2, 1960.

    L. Chen, Y. Min, M. Belkin, A. Karbasi, "Multiple descent: design your own generalization
    curve", arXiv:2008.01036.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.linalg import minimum_norm, minimum_norm_path
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(20, 60)), rng.normal(size=20)
    >>> path = minimum_norm_path(X, y)
    >>> path.coef.shape, int(path.norms.argmax()) + 1, int(path.rank[-1])
    ((60, 60), 20, 20)
    >>> bool(np.allclose(path.coef[29, :30], minimum_norm(X[:, :30], y).coef))
    True
    """
    dims, rcond = _check_path(X, Y, dims, axis, rcond)
    targets = Y.shape[1] if Y.ndim == 2 else 1
    require_memory(
        8.0 * len(dims) * X.shape[1] * targets,
        X.device,
        what=f"{len(dims)} solutions of {X.shape[1]} features and {targets} targets",
        remedy="minimum_norm_path_risk stores no solutions; dims can be fewer.",
    )
    path = _minimum_norm_path.minimum_norm_path(
        X.double(), _columns(Y, X), dims, axis=axis, rcond=rcond
    )
    return _in_precision(_flat(path, Y), X.dtype)


@tensor_function("X", "Y", "X_test", "Y_test")
def minimum_norm_path_risk(
    X: Any,
    Y: Any,
    X_test: Any,
    Y_test: Any,
    dims: Any = None,
    *,
    axis: str = "features",
    rcond: float | None = None,
) -> Any:
    r"""Test errors of minimum-norm solutions for all numbers of features, or of samples.

    The path of :func:`minimum_norm_path` without its solutions: memory is that of the data and of
    the predictions for some sizes at a time.

    Parameters
    ----------
    X : array-like of shape (n, D)
        The design, its features (samples) in the order in which they come in.

    Y : array-like of shape (n,) or (n, t)
        One target, or several.

    X_test : array-like of shape (n_test, D)
        Test points.

    Y_test : array-like of shape (n_test,) or (n_test, t)
        Their targets.

    dims : array-like of int, default=None
        Sizes d, strictly ascending. None is all of them, 1, 2, ..., D (or n).

    axis : {"features", "samples"}, default="features"
        What the sizes count.

    rcond : float, default=None
        As in :func:`minimum_norm_path`.

    Returns
    -------
    path : MinimumNormPathRisk
        Named tuple of ``risk``, mean squared errors on the test points, ``norms`` and
        ``residuals``, all of shape (n_dims,) or (n_dims, t), and ``rank`` of shape (n_dims,).

    Raises
    ------
    ValueError
        If shapes do not fit, a number is not finite or `dims` are not such sizes.

    See Also
    --------
    minimum_norm_path : The solutions themselves.

    Notes
    -----
    The expected excess risk needs no test set where the true coefficients and the covariance
    are known: with :math:`\Sigma = L L^T` it is D times the risk for ``X_test = L.T`` and
    ``Y_test = L.T @ beta``.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.linalg import minimum_norm_path_risk
    >>> rng = np.random.default_rng(0)
    >>> beta = np.full(100, 0.1)
    >>> X = rng.normal(size=(30, 100))
    >>> y = X @ beta + 0.5 * rng.normal(size=30)
    >>> path = minimum_norm_path_risk(X, y, np.eye(100), beta)  # covariance: the identity
    >>> excess_risk = 100 * path.risk
    >>> int(excess_risk.argmax()) + 1
    30
    """
    dims, rcond = _check_path(X, Y, dims, axis, rcond)
    _check_design(X_test, Y_test, names=("X_test", "Y_test"))
    if X_test.shape[1] != X.shape[1] or Y_test.shape[1:] != Y.shape[1:]:
        raise ValueError(
            f"X_test and Y_test must have the columns of X and Y, {tuple(X.shape)} and "
            f"{tuple(Y.shape)}, got {tuple(X_test.shape)} and {tuple(Y_test.shape)}."
        )
    path = _minimum_norm_path.minimum_norm_path_risk(
        X.double(),
        _columns(Y, X),
        X_test.to(X.device, torch.float64),
        _columns(Y_test, X),
        dims,
        axis=axis,
        rcond=rcond,
    )
    return _in_precision(_flat(path, Y), X.dtype)


@tensor_function("A", "W0")
def newton_schulz_inverse(
    A: Any,
    W0: Any = None,
    *,
    tol: float | None = None,
    max_iter: int = 150,
    refine: bool = True,
) -> Any:
    r"""Inverse or pseudo-inverse by products with the matrix only.

    Repeats :math:`W \leftarrow W + W (I - A W)`, which squares the error :math:`E = I - A W`:
    the number of right digits doubles in each iteration. To see quadratic convergence, and where
    products are all there is or by far the fastest there is; on a CPU a factorization is faster,
    even than the two or three iterations from an inverse of a similar matrix.

    Parameters
    ----------
    A : array-like of shape (m, n)
        A matrix of full rank.

    W0 : array-like of shape (n, m), default=None
        Where to start: an inverse of a similar matrix, with :math:`\|I - A W_0\|_2 < 1`. None is
        :math:`A^T / (\|A\|_1 \|A\|_\infty)`, from which it converges for every A of full rank.

    tol : float, default=None
        Error :math:`\|I - A W\|_F` that is enough. None goes on until rounding errors end it.

    max_iter : int, default=150
        Largest number of iterations. About :math:`2 \log_2` of the condition number and a few
        for its size are made before the error is below one, and six after that.

    refine : bool, default=True
        For A in float32: whether to make the last iterations in float64, so that the inverse is
        exact to the precision of its numbers.

    Returns
    -------
    W : array of shape (n, m)
        The inverse, or pseudo-inverse, in the precision of A.

    info : InverseInfo
        Named tuple of ``errors``, :math:`\|I - A W\|_F` at the start and after each iteration
        (:math:`\|I - W A\|_F` if m > n); ``order_``, the exponent of their convergence, see
        :func:`convergence_order`; ``converged``; ``reason``, one of "tol", "floor" (rounding
        errors let it fall no more), "max_iter" and "diverged"; ``n_iter``; and ``residual``, the
        error of W as returned, computed in float64.

    Raises
    ------
    ValueError
        If shapes do not fit, A is zero or a number is not finite.
    MemoryError
        If the iterates do not fit the memory budget.

    Warns
    -----
    RuntimeWarning
        If it did not converge. W is then the best iterate.

    See Also
    --------
    sgd_inverse : Some columns at a time.
    scipy.linalg.inv : By factorization.

    Notes
    -----
    This is gradient descent on :math:`\mathrm{tr}(W^T A W) / 2 - \mathrm{tr}(W)`, whose gradient
    is :math:`-E`, with the iterate itself as the matrix step. It has been known since the 1930s by
    the names of Schulz, Hotelling and Bodewig, as Newton's method for :math:`W^{-1} = A`.

    What can be reached is what a direct inverse reaches: about the precision times the condition
    number. Beyond a condition of one over the precision, A is singular for this iteration. Each
    iteration costs two products; symmetric matrices keep their symmetry.

    The pseudo-inverse of a matrix that lacks full rank is not found: rounding errors in its null
    space double in each iteration.

    References
    ----------
    G. Schulz, "Iterative Berechnung der reziproken Matrix", ZAMM 13, 1933.

    A. Radhakrishnan, M. Belkin, C. Uhler, "Local Quadratic Convergence of Stochastic Gradient
    Descent with Adaptive Step Size", arXiv:2112.14872, inspired to put it beside gradient
    descent.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.linalg import newton_schulz_inverse
    >>> A = np.array([[2.0, 1.0], [1.0, 3.0]])
    >>> W, info = newton_schulz_inverse(A)
    >>> W.round(4)
    array([[ 0.6, -0.2],
           [-0.2,  0.4]])
    >>> info.reason, info.n_iter, round(info.order_, 2)
    ('floor', 10, 2.0)
    """
    _check_inverse(A, W0, tol, max_iter, square=False)
    check_flag(refine, "refine")
    W, info = _iterated_inverse.newton_schulz_inverse(
        A,
        None if W0 is None else W0.to(A.device, A.dtype),
        tol=None if tol is None else float(tol),
        max_iter=int(max_iter),
        refine=bool(refine),
    )
    _warn_of_inverse(info)
    return W, info


@tensor_function("A", "W0")
def sgd_inverse(
    A: Any,
    W0: Any = None,
    *,
    order: str = "reshuffle",
    step: str = "live",
    batch_size: int = 1,
    switch_at: float = 0.3,
    tol: float | None = None,
    max_iter: int = 50,
    random_state: Any = None,
) -> Any:
    r"""Inverse by stochastic gradient descent that converges quadratically per epoch.

    A sample is a column: :math:`w_j \leftarrow w_j + W W^T A^T (e_j - A w_j)` descends on
    :math:`\|e_j - A w_j\|^2 / 2` with a step that the iterate itself provides, its estimate of the
    inverse curvature :math:`(A^T A)^{-1}`.

    Parameters
    ----------
    A : array-like of shape (d, d)
        An invertible matrix.

    W0 : array-like of shape (d, d), default=None
        Where to start. None starts as :func:`newton_schulz_inverse` does.

    order : {"reshuffle", "cyclic", "iid"}, default="reshuffle"
        A new permutation of the columns in each epoch, their own order, or d independent draws.

    step : {"live", "frozen"}, default="live"
        Whether :math:`W W^T` is taken from the present iterate, or from the epoch's start. An
        epoch with a frozen step is a full gradient step, in whatever order.

    batch_size : int, default=1
        Columns in a step.

    switch_at : float, default=0.3
        Newton-Schulz iterations come first until :math:`\|I - A W\|_F` is below this; at most
        :math:`\sqrt 2 - 1`, where column steps begin to contract.

    tol : float, default=None
        Error that is enough. None goes on until rounding errors end it.

    max_iter : int, default=50
        Largest number of epochs.

    random_state : int, RandomState or None, default=None
        Seed of the order.

    Returns
    -------
    W : array of shape (d, d)
        The inverse, in the precision of A; computed in float64.

    info : InverseInfo
        As of :func:`newton_schulz_inverse`, with errors after each epoch and ``warmup_errors`` of
        the iterations before. For ``order="iid"``, ``order_`` is that of the errors where all
        columns had been visited since. If the warm-up fails, `info` is that of the warm-up.

    Raises
    ------
    ValueError
        If shapes do not fit, A is zero or a number is out of its range.
    MemoryError
        If the iterates do not fit the memory budget.

    Warns
    -----
    RuntimeWarning
        If it did not converge. W is then the best iterate.

    See Also
    --------
    newton_schulz_inverse : All columns at once, with fewer products.

    Notes
    -----
    With all columns at once :math:`E_+ = (E + E^T - E E^T) E` exactly, so that
    :math:`\|E_+\|_F \le 2 \|E\|_F^2 + \|E\|_F^3`; an epoch that visits each column once keeps
    that bound in any order and with either step, from :math:`\|E\|_F < \sqrt 2 - 1`. Independent
    draws are quadratic per visit of all columns, about :math:`\log d` epochs: columns not visited
    hold their error.

    A column costs four products of a matrix with a vector, an epoch about :math:`8 d^3`
    operations, twice that of a Newton-Schulz iteration. This is to study, not to win against.

    References
    ----------
    A. Radhakrishnan, M. Belkin, C. Uhler, "Local Quadratic Convergence of Stochastic Gradient
    Descent with Adaptive Step Size", arXiv:2112.14872. Its abstract states local quadratic
    convergence of such a method for problems such as matrix inversion. The step, the recursion
    and the bounds here are our own.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.linalg import sgd_inverse
    >>> rng = np.random.default_rng(0)
    >>> A = rng.normal(size=(20, 20)) / np.sqrt(20) + 2 * np.eye(20)
    >>> W, info = sgd_inverse(A, random_state=0)
    >>> bool(np.allclose(A @ W, np.eye(20))), info.n_iter < 8, info.order_ > 1.9
    (True, True, True)
    """
    _check_inverse(A, W0, tol, max_iter, square=True)
    check_option(order, "order", _iterated_inverse.ORDERS)
    check_option(step, "step", _iterated_inverse.STEPS)
    check_integer(batch_size, "batch_size", low=1)
    check_number(
        switch_at, "switch_at", low=0, high=_iterated_inverse.LARGEST_SWITCH, boundaries="neither"
    )
    # Nothing is drawn from a global stream where nothing is random.
    generator = torch.Generator() if order == "cyclic" else make_generator(random_state)
    W, info = _iterated_inverse.sgd_inverse(
        A,
        None if W0 is None else W0.to(A.device, A.dtype),
        epochs=_iterated_inverse.column_epochs(
            len(A), order, int(batch_size), generator, A.device
        ),
        frozen=step == "frozen",
        tol=None if tol is None else float(tol),
        max_iter=int(max_iter),
        switch_at=float(switch_at),
    )
    _warn_of_inverse(info)
    return W, info


@tensor_function("errors")
def convergence_order(errors: Any, *, floor: float | None = None, below: float = 0.3) -> Any:
    r"""Estimate the order q of convergence from errors, :math:`e_{t+1} = C e_t^q`.

    One is linear, two quadratic. A line is fitted to the logarithms of all pairs of successive
    errors that are in the local phase and above rounding errors, so that C, which shifts the
    ratio of logarithms for dozens of digits, does not matter.

    Parameters
    ----------
    errors : array-like of shape (n,)
        Errors, at least 0, relative to what counts as one.

    floor : float, default=None
        Size of rounding errors: pairs that end below ten times that are left out. None takes the
        precision of the numbers, or the last error if a sequence that came down fast ends
        without halving any more.

    below : float, default=0.3
        Pairs that start at this or above are left out: no order shows before the local phase.

    Returns
    -------
    fit : ConvergenceOrder
        Named tuple of ``order``, NaN if fewer than two pairs are left; ``constant``, C, which is
        the rate if the order is one; ``steps``, the t of the pairs; and ``ratios``,
        :math:`\log e_{t+1} / \log e_t` of each.

    Raises
    ------
    ValueError
        If errors have no single axis, are negative or not finite.

    See Also
    --------
    skoverparam.inspection.ConvergenceDisplay : Draws errors with their order.

    Examples
    --------
    >>> from skoverparam.linalg import convergence_order
    >>> fit = convergence_order([0.25, 0.109, 0.0226, 0.00101, 2.05e-06, 8.37e-12])
    >>> round(fit.order, 2), round(fit.constant, 1)
    (1.99, 1.8)
    >>> fit = convergence_order([0.1, 0.05, 0.025, 0.0125])
    >>> round(fit.order, 2), round(fit.constant, 2)
    (1.0, 0.5)
    """
    if errors.ndim != 1:
        raise ValueError(f"errors must have one axis, got shape {tuple(errors.shape)}.")
    if bool((errors < 0).any()):
        raise ValueError(f"errors must be at least 0, got {float(errors.min()):g} among them.")
    check_number(floor, "floor", low=0, none=True)
    check_number(below, "below", low=0, boundaries="neither")
    if floor is None:
        floor = _convergence_order.stalled_floor(errors)
    return _convergence_order.convergence_order(errors, floor=float(floor), below=float(below))


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


def _check_sample_weights(weights: Tensor, Y: Tensor) -> None:
    if tuple(weights.shape) not in ((len(Y),), tuple(Y.shape)):
        raise ValueError(
            f"weights must have shape ({len(Y)},) or that of Y, {tuple(Y.shape)}, got "
            f"{tuple(weights.shape)}."
        )
    if not bool((weights > 0).all()):
        raise ValueError(f"weights must be positive, got {float(weights.min()):g} among them.")


def _check_design(X: Tensor, y: Tensor, names: tuple[str, str] = ("X", "y")) -> None:
    if X.ndim != 2 or 0 in X.shape:
        raise ValueError(
            f"{names[0]} must have two dimensions and no empty one, got shape {tuple(X.shape)}."
        )
    if y.ndim not in (1, 2) or len(y) != len(X):
        raise ValueError(
            f"{names[1]} must have one or two dimensions and {len(X)} rows like {names[0]}, got "
            f"shape {tuple(y.shape)}."
        )


def _check_weights(Q: Tensor, d: int) -> None:
    if tuple(Q.shape) not in ((d,), (d, d)):
        raise ValueError(
            f"weights must have shape ({d},) or ({d}, {d}) for {d} features, got {tuple(Q.shape)}."
        )
    if Q.ndim == 1 and not bool((Q > 0).all()):
        raise ValueError(f"weights must be positive, got {float(Q.min()):g} among them.")
    if Q.ndim == 2 and int(torch.linalg.matrix_rank(Q.double())) < d:
        raise ValueError("weights must be an invertible matrix, got a singular one.")


def _check_inverse(A: Tensor, W0: Tensor | None, tol: Any, max_iter: Any, *, square: bool) -> None:
    if A.ndim != 2 or 0 in A.shape or (square and A.shape[0] != A.shape[1]):
        kind = "a square matrix" if square else "two dimensions and no empty one"
        raise ValueError(
            f"A must {'be' if square else 'have'} {kind}, got shape {tuple(A.shape)}."
        )
    if not bool(A.any()):
        raise ValueError("A must not be zero: it has no inverse.")
    if W0 is not None and tuple(W0.shape) != tuple(A.T.shape):
        raise ValueError(
            f"W0 must have the shape of the inverse, {tuple(A.T.shape)}, got {tuple(W0.shape)}."
        )
    check_number(tol, "tol", low=0, boundaries="neither", none=True)
    check_integer(max_iter, "max_iter", low=1)
    require_memory(
        5.0 * 8.0 * A.numel(),
        A.device,
        what=f"The iterates for the inverse of a matrix of shape {tuple(A.shape)}",
        remedy="Set a larger memory budget.",
    )


def _warn_of_inverse(info: Any) -> None:
    if info.converged:
        return
    why = {
        "floor": "rounding errors let it fall no more",
        "max_iter": "max_iter was reached",
        "diverged": "it grew: W0 was too far from the inverse",
    }[info.reason]
    far = info.residual >= _iterated_inverse.LOCAL
    advice = (
        " The matrix may be singular, or too ill-conditioned for this: use scipy.linalg.pinv."
        if far and info.reason != "diverged"
        else ""
    )
    warnings.warn(
        f"The error of the inverse is {info.residual:.2g} after {info.n_iter} steps: {why}."
        f"{advice}",
        RuntimeWarning,
        stacklevel=4,
    )


def _check_path(
    X: Tensor, Y: Tensor, dims: Any, axis: str, rcond: float | None
) -> tuple[list[int], float]:
    _check_design(X, Y, names=("X", "Y"))
    check_option(axis, "axis", _minimum_norm_path.AXES)
    check_number(rcond, "rcond", low=0, high=1, boundaries="left", none=True)
    if rcond is None:
        rcond = _minimum_norm.default_rcond(len(X), X.shape[1], torch.float64)
    largest = X.shape[1] if axis == "features" else X.shape[0]
    if dims is None:
        return list(range(1, largest + 1)), float(rcond)
    sizes = [int(d) for d in dims]
    ascending = all(a < b for a, b in zip(sizes, sizes[1:], strict=False))
    if not sizes or not ascending or sizes != list(dims) or sizes[0] < 1 or sizes[-1] > largest:
        raise ValueError(
            f"dims must be integers from 1 to {largest}, the number of {axis}, strictly "
            f"ascending; got {dims!r}."
        )
    return sizes, float(rcond)


def _columns(Y: Tensor, X: Tensor) -> Tensor:
    return (Y if Y.ndim == 2 else Y[:, None]).to(X.device, torch.float64)


def _flat(path: Any, Y: Tensor) -> Any:
    """Drop the axis of targets where a single one was given."""
    if Y.ndim == 2:
        return path
    return path._replace(
        **{name: value[..., 0] for name, value in path._asdict().items() if name != "rank"}
    )


def _in_precision(result: Any, dtype: torch.dtype) -> Any:
    values = (
        value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
        for value in result
    )
    return type(result)(*values)
