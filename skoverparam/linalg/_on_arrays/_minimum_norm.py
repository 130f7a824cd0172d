"""Minimum-norm solutions, and their paths over features or samples, for arrays."""

from typing import Any

import torch
from torch import Tensor

from skoverparam._arrays import tensor_function
from skoverparam._config import require_memory
from skoverparam._params import check_number, check_option
from skoverparam.linalg import _minimum_norm, _minimum_norm_path
from skoverparam.linalg._on_arrays._designs import check_design


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
    MemoryError
        If the decomposition does not fit the memory budget; nothing has been allocated then.
    FloatingPointError
        If the solution is too large for the precision of X.

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
    check_design(X, y)
    check_number(rcond, "rcond", low=0, high=1, boundaries="left", none=True)
    check_option(solver, "solver", _minimum_norm.SOLVERS)
    if weights is not None:
        _check_weights(weights, X.shape[1])
        weights = weights.to(X.device, torch.float64)
    require_memory(
        _minimum_norm.memory_needed(*X.shape),
        X.device,
        what=f"The solution of smallest norm of {X.shape[0]} x {X.shape[1]} equations",
        remedy="Take fewer equations or unknowns.",
    )
    result = _minimum_norm.minimum_norm(
        X.double(), y.double(), rcond=rcond, weights=weights, solver=solver
    )
    found = _in_precision(result, X.dtype)
    if not bool(torch.isfinite(found.coef).all()):
        raise FloatingPointError(
            f"The solution has entries beyond the range of {str(X.dtype)[6:]}, the type of X: "
            "scale X or y."
        )
    return found


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
    check_design(X_test, Y_test, names=("X_test", "Y_test"))
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


def _check_weights(Q: Tensor, d: int) -> None:
    if tuple(Q.shape) not in ((d,), (d, d)):
        raise ValueError(
            f"weights must have shape ({d},) or ({d}, {d}) for {d} features, got {tuple(Q.shape)}."
        )
    if Q.ndim == 1 and not bool((Q > 0).all()):
        raise ValueError(f"weights must be positive, got {float(Q.min()):g} among them.")
    if Q.ndim == 2 and int(torch.linalg.matrix_rank(Q.double())) < d:
        raise ValueError("weights must be an invertible matrix, got a singular one.")


def _check_path(
    X: Tensor, Y: Tensor, dims: Any, axis: str, rcond: float | None
) -> tuple[list[int], float]:
    check_design(X, Y, names=("X", "Y"))
    check_option(axis, "axis", _minimum_norm_path.AXES)
    check_number(rcond, "rcond", low=0, high=1, boundaries="left", none=True)
    if rcond is None:
        rcond = _minimum_norm.default_rcond(len(X), X.shape[1], torch.float64)
    largest = X.shape[1] if axis == "features" else X.shape[0]
    if dims is None:
        return list(range(1, largest + 1)), float(rcond)
    try:
        sizes = [int(d) for d in dims]
        whole = sizes == list(dims)
    except (TypeError, ValueError, OverflowError):
        sizes, whole = [], False
    ascending = all(a < b for a, b in zip(sizes, sizes[1:], strict=False))
    if not sizes or not whole or not ascending or sizes[0] < 1 or sizes[-1] > largest:
        raise ValueError(
            f"dims must be integers from 1 to {largest}, the number of {axis}, strictly "
            f"ascending; got {dims!r:.80}."
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
