"""Kernels of infinitely wide fully connected networks, for arrays."""

from functools import partial
from typing import Any

from skoverparam._arrays import tensor_function
from skoverparam.kernels import _fully_connected
from skoverparam.kernels._on_arrays._row_pairs import one_precision, require_room


@tensor_function("X", "Z")
def fully_connected_ntk(
    X: Any,
    Z: Any = None,
    *,
    depth: int = 1,
    activation: Any = "relu",
    normalize: bool = True,
) -> Any:
    r"""Neural tangent kernel of an infinitely wide fully connected network.

    Kernel regression with it is what gradient descent on the square loss converges to when the
    layers of the network are wide and its output starts at zero.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Inputs, one per row. float32 stays float32, all else is computed in float64.

    Z : array-like of shape (m, d), default=None
        Other inputs. None means X with itself: half the work, and a result that is symmetric to
        the last bit.

    depth : int, default=1
        Number of hidden layers L. 0 is the linear kernel.

    activation : {"relu", "leaky_relu", "erf"} or object, default="relu"
        A name, or `ReLU()`, `LeakyReLU(slope)`, `Erf()`, `DualPair(kappa_1, kappa_0)`.

    normalize : bool, default=True
        Whether every row is divided by its norm first. A row of zeros stays zero: its cosine is 0
        with every row, itself included.

    Returns
    -------
    K : array of shape (n, n) or (n, m)
        The kernel, of the kind and on the device of X.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite, `depth` is negative or `activation` is not
        a known name.
    MemoryError
        If the result does not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    fully_connected_nngp : The same network at initialization.

    Notes
    -----
    For unit vectors x, z with cosine :math:`c`, and the activation's dual functions
    :math:`\kappa_1(c)` (normalized, :math:`\kappa_1(1) = 1`) and
    :math:`\kappa_0 = \kappa_1'`,

    .. math::

        S_0 = T_0 = c, \qquad S_l = \kappa_1(S_{l-1}), \qquad
        T_l = S_l + T_{l-1} \, \kappa_0(S_{l-1}), \qquad K = T_L .

    This is the network with standard normal weights in the first layer, hidden layers scaled
    so that unit inputs keep unit variance, a linear output, no biases, and every weight trained
    ("NTK parametrization"). The diagonal is :math:`\sum_{l \le L} \kappa_0(1)^l`: L + 1 for
    ReLU and LeakyReLU.

    Without `normalize`, rectifiers (homogeneous of degree one) and `DualPair` give
    :math:`|x| |z|` times the kernel of the unit vectors. For erf the variances of both inputs are
    carried through the layers; the formula is in :class:`Erf`.

    Cost: one matrix product, :math:`n m d`, and about ten elementwise passes and one
    arctangent per layer and pair, half of it when Z is None. Memory: the result, a copy of the
    inputs, and five tiles a thread that stay in the cache. No gradient flows through.

    Accuracy, measured against 50-digit arithmetic: in float64 about 1e-12, also for rows that are
    nearly or exactly parallel (there the angle comes from the difference of the rows, since a
    cosine near 1 has lost half of its digits); in float32 about 1e-5 of the largest value. The
    raw erf kernel loses digits in proportion to the squared norms.

    References
    ----------
    A. Jacot, F. Gabriel, C. Hongler, "Neural tangent kernel: convergence and generalization in
    neural networks", arXiv:1806.07572.

    A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, fast, and flexible framework
    for matrix completion with infinite width neural networks", arXiv:2108.00131.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import fully_connected_ntk
    >>> X = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    >>> fully_connected_ntk(X).round(4)
    array([[2.    , 0.3183, 0.    ],
           [0.3183, 2.    , 0.3183],
           [0.    , 0.3183, 2.    ]])
    >>> fully_connected_ntk(X[:1], X, depth=3, activation="erf").round(4)
    array([[ 5.5695,  0.    , -5.5695]])
    """
    X, Z = one_precision(X, Z)
    require_room(X, Z, _fully_connected.memory_needed(X, Z))
    return _fully_connected.fully_connected_ntk(
        X, Z, depth=depth, activation=activation, normalize=normalize
    )


@tensor_function("X", "Z")
def fully_connected_nngp(
    X: Any,
    Z: Any = None,
    *,
    depth: int = 1,
    activation: Any = "relu",
    normalize: bool = True,
) -> Any:
    r"""Compute the Gaussian-process kernel of an infinitely wide fully connected network.

    The covariance of the outputs of the random network at initialization, over its weights.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Inputs, one per row. float32 stays float32, all else is computed in float64.

    Z : array-like of shape (m, d), default=None
        Other inputs. None means X with itself: half the work, and a result that is symmetric to
        the last bit.

    depth : int, default=1
        Number of hidden layers L. 0 is the linear kernel.

    activation : {"relu", "leaky_relu", "erf"} or object, default="relu"
        A name, or `ReLU()`, `LeakyReLU(slope)`, `Erf()`, `DualPair(kappa_1, kappa_0)`.

    normalize : bool, default=True
        Whether every row is divided by its norm first. A row of zeros stays zero: its cosine is 0
        with every row, itself included.

    Returns
    -------
    K : array of shape (n, n) or (n, m)
        The kernel, of the kind and on the device of X.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite, `depth` is negative or `activation` is not
        a known name.
    MemoryError
        If the result does not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    fully_connected_ntk : The same network in training.

    Notes
    -----
    For unit vectors with cosine :math:`c` and the activation's normalized dual function
    :math:`\kappa_1`, the kernel is :math:`\kappa_1` applied L times to c, and 1 on the diagonal.
    Inputs that are not normalized, cost, memory and accuracy: see :func:`fully_connected_ntk`.

    References
    ----------
    Y. Cho and L. K. Saul, "Kernel methods for deep learning", NIPS 2009.

    C. K. I. Williams, "Computing with infinite networks", NIPS 1996.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import fully_connected_nngp
    >>> fully_connected_nngp(np.array([[1.0, 0.0], [0.0, 2.0]]), depth=2).round(4)
    array([[1.    , 0.4937],
           [0.4937, 1.    ]])
    """
    X, Z = one_precision(X, Z)
    require_room(X, Z, _fully_connected.memory_needed(X, Z))
    return _fully_connected.fully_connected_nngp(
        X, Z, depth=depth, activation=activation, normalize=normalize
    )


# What stands behind the functions, for whoever calls them many times on tensors.
for _function, _maker in (
    (fully_connected_ntk, partial(partial, _fully_connected.fully_connected_ntk)),
    (fully_connected_nngp, partial(partial, _fully_connected.fully_connected_nngp)),
):
    _function.on_tensors = _maker  # type: ignore[attr-defined]
