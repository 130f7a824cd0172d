"""How curved a network is in its parameters."""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skoverparam._config import require_memory
from skoverparam._params import check_integer, check_number, check_option, make_generator
from skoverparam.inspection._tangent_kernels._network_input import (
    network_of,
    samples_for,
    targets_for,
)
from skoverparam.nets import _hessian
from skoverparam.nets._evaluation import precision_of, trainable

_TARGETS = ("output", "loss")


class HessianNorm(NamedTuple):
    """Norms of second derivatives by all parameters.

    Attributes
    ----------
    norm : float
        The largest of ``norms``.

    norms : ndarray of shape (n, C) or (1, 1)
        Spectral norm for each sample and output, or of the loss.

    lowest, highest : ndarray of the same shape
        Smallest and largest eigenvalue found, the one that is not the norm less precisely.

    residuals : ndarray of the same shape
        Relative residual of each norm: an eigenvalue is that close.

    n_products : int
        Products of second derivatives with vectors, altogether.

    converged : bool
        Whether all residuals are below the tolerance.
    """

    norm: float
    norms: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    residuals: np.ndarray
    n_products: int
    converged: bool


def hessian_norm(
    module,
    X,
    y=None,
    *,
    target="output",
    params=None,
    tol=1e-3,
    max_iter=200,
    chunk_size=None,
    random_state=None,
):
    r"""Compute the spectral norm of a network's second derivatives by its parameters.

    How far a network is from linear in its parameters: within a distance R of where it is, the
    tangent kernel changes by at most
    :math:`\epsilon R (|\nabla f(x)| + |\nabla f(z)|) + \epsilon^2 R^2` if :math:`\epsilon` bounds
    this norm there.

    Parameters
    ----------
    module : torch module, or fitted SquareLossNetClassifier, skorch net or MLPClassifier
        The network, evaluated in evaluation mode. It comes back unchanged.

    X : array-like of shape (n, ...)
        Samples.

    y : array-like of shape (n,) or (n, C), default=None
        Targets, for ``target="loss"``.

    target : {"output", "loss"}, default="output"
        Second derivatives of each output at each sample, or of half the sum of squared errors on
        all samples.

    params : list of str, default=None
        Names of the parameters that count; None takes all that require gradients.

    tol : float, default=1e-3
        Relative residual at which Lanczos' method stops: an eigenvalue is that close, and mostly
        much closer. In wide networks thousands of eigenvalues crowd at the end of the spectrum,
        and many products go into the last digits.

    max_iter : int, default=200
        Largest number of products with vectors, for each norm.

    chunk_size : int, default=None
        Samples at a time for the loss. All products take all samples. None runs the network once,
        on all samples.

    random_state : int, RandomState instance or None, default=None
        Determines where Lanczos' method starts.

    Returns
    -------
    result : HessianNorm
        Named tuple of ``norm``, the largest; ``norms``, ``lowest``, ``highest`` and ``residuals``
        for each sample and output; ``n_products`` and ``converged``.

    Raises
    ------
    ValueError
        If no parameter requires gradients, or y is missing or does not fit.

    MemoryError
        If ``max_iter`` vectors of all parameters do not fit the memory budget.

    See Also
    --------
    width_sweep : The same over the width of networks.
    tangent_kernel_change : What it bounds.

    Notes
    -----
    Lanczos' method with full reorthogonalization on products by two backward passes; the network
    runs forward once for each sample. The norm is the largest absolute value of an eigenvalue:
    these matrices are indefinite, often with ends of nearly the same size. It is found from below,
    and so is the supremum over samples or over a ball of parameters by any number of them.

    The norm falls like one over the root of the width for networks in the tangent parametrization
    with a linear output, and not in PyTorch's; see :func:`ntk_parametrize`. For ReLU and
    other activations with kinks second derivatives miss the kinks, which a warning says.

    References
    ----------
    C. Liu, L. Zhu, M. Belkin, "On the linearity of large non-linear models: when and why the
    tangent kernel is constant", NeurIPS 2020, arXiv:2010.01092.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import NTKMLP, hessian_norm
    >>> x = np.ones((1, 10))
    >>> for width in (100, 400, 1600):
    ...     network = NTKMLP(10, [width], output_layer="signs", random_state=0).double()
    ...     print(round(hessian_norm(network, x, random_state=0).norm * width**0.5, 2))
    1.24
    1.24
    1.24
    """
    check_option(target, "target", _TARGETS)
    check_number(tol, "tol", low=0, high=1)
    check_integer(max_iter, "max_iter", low=1)
    check_integer(chunk_size, "chunk_size", low=1, none=True)
    generator = make_generator(random_state)
    module, shape = network_of(module)
    samples, _ = samples_for(module, X, input_shape=shape)
    device, dtype = precision_of(module)
    size = sum(p.numel() for p in trainable(module, params).values())
    require_memory(
        (max_iter + 8) * size * dtype.itemsize,
        device,
        what=f"Lanczos' method with {max_iter} vectors of {size} parameters",
        remedy="Take a smaller max_iter or fewer parameters (params).",
    )
    options = {"generator": generator, "params": params, "tol": tol, "max_iter": max_iter}
    if target == "loss":
        if y is None:
            raise ValueError("target='loss' needs the targets y.")
        targets = targets_for(module, samples, y)
        ends = [
            [
                _hessian.loss_hessian_ends(
                    module,
                    samples,
                    lambda outputs, batch: (outputs - targets[batch]).square().sum() / 2,
                    chunk_size=chunk_size,
                    **options,
                )
            ]
        ]
    else:
        if y is not None:
            raise ValueError("y is for target='loss' only; outputs have no targets.")
        ends = [
            _hessian.output_hessian_ends(module, samples[i : i + 1], **options)
            for i in range(len(samples))
        ]
    if _hessian.has_kinks(module):
        warnings.warn(
            "The network has activations with kinks, such as ReLU: the norm is that of second "
            "derivatives where they exist and does not bound the change of its tangent kernel.",
            UserWarning,
            stacklevel=2,
        )
    result = HessianNorm(
        norm=max(end.norm for row in ends for end in row),
        norms=np.array([[end.norm for end in row] for row in ends]),
        lowest=np.array([[end.lowest for end in row] for row in ends]),
        highest=np.array([[end.highest for end in row] for row in ends]),
        residuals=np.array([[end.residual for end in row] for row in ends]),
        n_products=sum(end.n_products for row in ends for end in row),
        converged=all(end.converged for row in ends for end in row),
    )
    if not result.converged:
        warnings.warn(
            f"Lanczos' method stopped after {max_iter} products with a relative residual of "
            f"{result.residuals.max():.1e}, above tol={tol:g}. Raise max_iter or tol.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result
