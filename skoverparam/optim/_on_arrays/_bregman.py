"""Bregman projections, for arrays."""

from typing import Any

from skoverparam._arrays import tensor_function
from skoverparam._params import check_integer, check_number
from skoverparam.optim import _bregman
from skoverparam.optim._mirrors import Mirror, make_mirror


@tensor_function("X", "y", "w0")
def bregman_projection(
    X: Any,
    y: Any,
    w0: Any = None,
    *,
    mirror: Any = "euclidean",
    mirror_params: dict[str, Any] | None = None,
    tol: float = 1e-10,
    max_iter: int = 1000,
) -> Any:
    r"""Find the solution of linear equations nearest to a start in Bregman divergence.

    :math:`\arg\min_{X w = y} D_\psi(w, w_0)`: where mirror descent from :math:`w_0` ends on a
    linear model, if it fits all targets.

    Parameters
    ----------
    X : array-like of shape (n, d)
        The design.

    y : array-like of shape (n,)
        The targets.

    w0 : array-like of shape (d,), default=None
        The start; None is zero.

    mirror : str or mirror map, default="euclidean"
        A fixed mirror; names as in :class:`MirrorDescent`.

    mirror_params : dict, default=None
        Parameters of a mirror given by name, such as ``{"p": 1.5}``.

    tol : float, default=1e-10
        Size of the gradient, relative to the targets, at which Newton's method may stop. It goes
        on to the rounding error where it can.

    max_iter : int, default=1000
        Largest number of Newton steps. A dozen is usual.

    Returns
    -------
    projection : BregmanProjection
        Named tuple of ``coef`` of shape (d,); ``multipliers`` of shape (n,), for which
        ``phi(coef) - phi(w0) = X.T @ multipliers``, or None where they were not solved for; the
        ``divergence``; the ``residual`` ``||y - X coef|| / ||y||``; and ``n_iter``.

    Raises
    ------
    ValueError
        If the equations have no solution, or none was found in the mirror's domain.

    See Also
    --------
    MirrorDescent : The descent that ends there.

    Notes
    -----
    Newton's method on the n multipliers of the dual problem,
    :math:`\min_\lambda \psi^*(\phi(w_0) + X^T \lambda) - y^T \lambda`, costs :math:`n^2 d + n^3` a
    step. For p-norms above 2, whose dual is not smooth, Newton's method on the d - n free numbers
    of the primal problem costs :math:`(d - n)^2 d`. Everything is computed in float64. That the
    limit of descent is this point is classical for convex losses and fixed mirrors; see
    arXiv:1802.08246.

    References
    ----------
    S. Gunasekar, J. Lee, D. Soudry, N. Srebro, "Characterizing implicit bias in terms of
    optimization geometry", arXiv:1802.08246.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.theory import bregman_projection
    >>> X, y = np.array([[1.0, 2.0]]), np.array([2.0])
    >>> bregman_projection(X, y).coef.round(3)
    array([0.4, 0.8])
    >>> bregman_projection(X, y, mirror="pnorm", mirror_params={"p": 1.1}).coef.round(3)
    array([0.001, 1.   ])
    """
    check_number(tol, "tol", low=0, high=1, boundaries="neither")
    check_integer(max_iter, "max_iter", low=1)
    resolved = make_mirror(mirror, mirror_params)
    if not isinstance(resolved, Mirror):
        raise ValueError(
            f"mirror must be a fixed one, got {mirror!r}: descents with metrics that depend on "
            "time do not end in a Bregman projection."
        )
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ValueError(
            "X must have shape (n, d) and y shape (n,), got "
            f"{tuple(X.shape)} and {tuple(y.shape)}."
        )
    start = X.new_zeros(X.shape[1]) if w0 is None else w0
    if start.shape != X.shape[1:]:
        raise ValueError(f"w0 must have shape {(X.shape[1],)}, got {tuple(start.shape)}.")
    found = _bregman.bregman_projection(
        X.double(), y.double(), start.double(), resolved, tol=float(tol), max_iter=max_iter
    )
    return found._replace(
        coef=found.coef.to(X.dtype),
        multipliers=None if found.multipliers is None else found.multipliers.to(X.dtype),
    )
