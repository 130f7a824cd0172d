"""The order of convergence of a sequence of errors, for arrays."""

from typing import Any

from skoverparam._arrays import tensor_function
from skoverparam._params import check_number
from skoverparam.linalg import _convergence_order


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
