"""The PL* constant of the square loss, and how fast gradient descent must be."""

from typing import NamedTuple

import numpy as np

from skoverparam._params import check_integer, check_number
from skoverparam.inspection._tangent_kernels._network_input import (
    network_of,
    room_for_samples,
    samples_for,
    targets_for,
)
from skoverparam.nets._evaluation import precision_of
from skoverparam.nets._tangent_descent import extreme_eigenvalues, kernel_state, squared_gradient


class PLStarConstant(NamedTuple):
    """The PL* constant at one place of the parameters.

    Attributes
    ----------
    mu : float
        Smallest eigenvalue of the tangent kernel.

    beta : float
        Largest eigenvalue: the smoothness of the loss, up to the curvature of the network.

    condition_number : float
        beta / mu, infinite where mu is not positive.

    loss : float or None
        Half the sum of squared errors, where there are targets.

    local_mu : float or None
        Squared gradient over twice the loss: what the condition needs at this place.
    """

    mu: float
    beta: float
    condition_number: float
    loss: float | None
    local_mu: float | None

    def loss_bound(self, n_steps, *, loss=None, learning_rate=None):
        r"""Bound the loss under gradient descent.

        Loss at the start times :math:`(1 - \eta \mu)^t`, if the constant holds on the way.

        Parameters
        ----------
        n_steps : int
            Number of steps T.

        loss : float, default=None
            Loss at the start; None takes that which was measured.

        learning_rate : float, default=None
            The step :math:`\eta`, at most 1 / beta, which None takes.

        Returns
        -------
        bound : ndarray of shape (T + 1,)
            After 0, 1, ..., T steps.
        """
        check_integer(n_steps, "n_steps", low=0)
        check_number(loss, "loss", low=0, none=True)
        check_number(learning_rate, "learning_rate", low=0, none=True)
        start = self.loss if loss is None else loss
        if start is None:
            raise ValueError("loss must be given where the constant was computed without targets.")
        if not self.beta > 0:
            # No gradient at all: steps of any length stay where they are.
            return np.full(n_steps + 1, float(start))
        step = 1 / self.beta if learning_rate is None else learning_rate
        if step > (1 + 1e-12) / self.beta:
            raise ValueError(
                f"learning_rate must be at most 1 / beta = {1 / self.beta:g}, got {step:g}."
            )
        return start * (1 - step * max(self.mu, 0.0)) ** np.arange(n_steps + 1)


def pl_star_constant(module, X, y=None, *, chunk_size=None):
    r"""Compute the PL* constant of the square loss at a network's present parameters.

    Half the sum of squared errors L is :math:`\mu`-PL* on a set if
    :math:`|\nabla L|^2 / 2 \ge \mu L` there, and it is with the infimum of the smallest eigenvalue
    of the tangent kernel. Gradient descent with a step :math:`\eta` of at most one over the
    smoothness then loses a factor of :math:`1 - \eta \mu` at each step, down to zero; the loss
    need not be convex, nor the kernel constant.

    Parameters
    ----------
    module : torch module, or fitted SquareLossNetClassifier, skorch net or MLPClassifier
        The network, which comes back unchanged.

    X : array-like of shape (n, ...)
        Samples.

    y : array-like of shape (n,) or (n, C), default=None
        Targets; with them the loss and ``local_mu`` are computed.

    chunk_size : int, default=None
        As in :func:`empirical_ntk`.

    Returns
    -------
    constant : PLStarConstant
        Named tuple of ``mu``, ``beta``, ``condition_number``, ``loss`` and ``local_mu``, with a
        method ``loss_bound(n_steps)``.

    See Also
    --------
    empirical_ntk : The kernel.
    tangent_kernel_change : Its smallest eigenvalue along training.

    Notes
    -----
    The constant is that of one place. For a bound on the loss take the smallest on the way, as
    ``lambda_min`` of :class:`TangentKernelRecorder` gives it, or that of a place whose kernel
    hardly moves. ``local_mu`` is always between ``mu`` and ``beta``. Eigenvalues are computed in
    float64 from derivatives in the precision of the network.

    References
    ----------
    C. Liu, L. Zhu, M. Belkin, "Loss landscapes and optimization in over-parameterized non-linear
    systems and neural networks", arXiv:2003.00307.

    M. Belkin, "Fit without fear: remarkable mathematical phenomena of deep learning through the
    prism of interpolation", Acta Numerica 2021, arXiv:2105.14368.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import NTKMLP, pl_star_constant
    >>> network = NTKMLP(3, [2000], random_state=0).double()
    >>> constant = pl_star_constant(network, np.eye(3), np.ones(3))
    >>> 0 < constant.mu <= constant.local_mu <= constant.beta
    True
    >>> bound = constant.loss_bound(100)
    >>> bool(bound[-1] < 1e-3 * bound[0])
    True
    """
    check_integer(chunk_size, "chunk_size", low=1, none=True)
    module, shape = network_of(module)
    samples, _ = samples_for(module, X, input_shape=shape)
    targets = None if y is None else targets_for(module, samples, y)
    state = kernel_state(
        module,
        samples,
        chunk_size=chunk_size,
        budget=room_for_samples(precision_of(module)[0]),
    )
    mu, beta = extreme_eigenvalues(state)
    loss = local = None
    if targets is not None:
        loss, squared = squared_gradient(module, samples, targets)
        local = squared / (2 * loss) if loss > 0 else None
    condition = beta / mu if mu > 0 else float("inf")
    return PLStarConstant(mu, beta, condition, loss, local)
