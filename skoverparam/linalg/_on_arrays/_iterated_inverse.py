"""Inverses by iteration, for arrays."""

import warnings
from typing import Any

import torch
from torch import Tensor

from skoverparam._arrays import tensor_function
from skoverparam._config import require_memory
from skoverparam._params import (
    check_flag,
    check_integer,
    check_number,
    check_option,
    make_generator,
)
from skoverparam.linalg import _iterated_inverse


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
        If shapes do not fit, A is zero, a number is not finite, or the precision of A does not
        hold the inverse.
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
    Günther Schulz, "Iterative Berechnung der reziproken Matrix", ZAMM 13, 1933.

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
        If shapes do not fit, A is zero, a number is out of its range, or the precision of A does
        not hold the inverse.
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
