"""Kernels in closed form: functions of a distance, and those of infinitely wide networks.

The functions take numpy arrays, torch tensors on any device, data frames or other arrays, and
answer in the kind and precision of their first argument.
"""

from functools import partial
from typing import Any

import torch

from skoverparam._arrays import tensor_function, to_numpy
from skoverparam._config import require_memory
from skoverparam.kernels import _convolutional, _fully_connected, _radial
from skoverparam.kernels._activations import DualPair, Erf, LeakyReLU, ReLU
from skoverparam.kernels._convolutional import (
    BlockCirculantKernel,
    Conv,
    DenseKernel,
    Downsample,
    StationaryPrior,
    Upsample,
    encoder_decoder,
)
from skoverparam.kernels._radial import RadialKernel

__all__ = [
    # functions of a distance
    "gaussian",
    "generalized_exponential",
    "laplace",
    "matern",
    # wide networks
    "convolutional_ntk",
    "fully_connected_nngp",
    "fully_connected_ntk",
    # activations
    "DualPair",
    "Erf",
    "LeakyReLU",
    "ReLU",
    # convolutional networks
    "Conv",
    "Downsample",
    "StationaryPrior",
    "Upsample",
    "encoder_decoder",
    # kernels between pixels
    "BlockCirculantKernel",
    "DenseKernel",
]


@tensor_function("X", "Z")
def laplace(X: Any, Z: Any = None, *, bandwidth: float = 1.0) -> Any:
    r"""Laplace kernel of Euclidean distances, :math:`\exp(-\|x - z\| / L)`.

    Its functions have a kink at every center, which lets them fit noisy targets with little
    effect elsewhere.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Points, one per row. float32 stays float32, all else is computed in float64.

    Z : array-like of shape (m, d), default=None
        Other points. None means X with itself: half the work, and a result that is symmetric to
        the last bit with a diagonal of ones.

    bandwidth : float, default=1.0
        L, the distance at which the kernel falls to 1/e.

    Returns
    -------
    K : array of shape (n, n) or (n, m)
        The kernel, of the kind and on the device of X.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit or a number is out of its range.
    MemoryError
        If the result does not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    matern : Smoother kernels; ``nu=0.5`` is this one.
    generalized_exponential : Other powers and norms of the difference.
    sklearn.metrics.pairwise.laplacian_kernel : Another kernel, of the sum of absolute differences.

    Notes
    -----
    Inputs are centered, distances of close points are computed from their differences, and
    points with themselves give exactly 1, so that single precision and data far from the origin
    do no harm: values are right to a few units of rounding.

    Cost: for up to 16 features, :math:`n m d` operations on differences; else one matrix product;
    then about five nanoseconds for every pair and thread in float64. Memory: the result, and a
    few tiles that stay in the cache. No gradient flows through.

    References
    ----------
    M. Belkin, S. Ma, S. Mandal, "To understand deep learning we need to understand kernel
    learning", arXiv:1802.01396.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import laplace
    >>> laplace(np.array([[0.0, 0.0], [3.0, 4.0]]), bandwidth=5.0).round(4)
    array([[1.    , 0.3679],
           [0.3679, 1.    ]])
    """
    return _radial_values(RadialKernel("laplace", bandwidth), X, Z)


@tensor_function("X", "Z")
def gaussian(X: Any, Z: Any = None, *, bandwidth: float = 1.0) -> Any:
    r"""Gaussian kernel, :math:`\exp(-\|x - z\|^2 / 2 L^2)`.

    Its functions are analytic: to fit noise they need norms that grow faster than any power of
    the number of points, and their systems are soon singular to rounding.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Points, one per row. float32 stays float32, all else is computed in float64.

    Z : array-like of shape (m, d), default=None
        Other points. None means X with itself: half the work, and a result that is symmetric to
        the last bit with a diagonal of ones.

    bandwidth : float, default=1.0
        L, the standard deviation.

    Returns
    -------
    K : array of shape (n, n) or (n, m)
        The kernel, of the kind and on the device of X.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit or a number is out of its range.
    MemoryError
        If the result does not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    laplace : A rough kernel.
    matern : Kernels in between.
    sklearn.metrics.pairwise.rbf_kernel : The same with ``gamma=0.5 / bandwidth**2``.

    Notes
    -----
    Accuracy, cost and memory: see :func:`laplace`.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import gaussian
    >>> gaussian(np.array([[0.0]]), np.array([[0.0], [1.0], [2.0]])).round(4)
    array([[1.    , 0.6065, 0.1353]])
    """
    return _radial_values(RadialKernel("gaussian", bandwidth), X, Z)


@tensor_function("X", "Z")
def matern(X: Any, Z: Any = None, *, bandwidth: float = 1.0, nu: float = 1.5) -> Any:
    r"""Matern kernel of half-integer smoothness.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Points, one per row. float32 stays float32, all else is computed in float64.

    Z : array-like of shape (m, d), default=None
        Other points. None means X with itself: half the work, and a result that is symmetric to
        the last bit with a diagonal of ones.

    bandwidth : float, default=1.0
        L, the unit of distances.

    nu : float, default=1.5
        Smoothness: 0.5 is the Laplace kernel, 1.5 has functions with one derivative, 2.5 with
        two, ..., up to 10.5; infinity is the Gaussian kernel.

    Returns
    -------
    K : array of shape (n, n) or (n, m)
        The kernel, of the kind and on the device of X.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit or a number is out of its range.
    MemoryError
        If the result does not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    laplace : Smoothness 1/2.
    gaussian : Infinite smoothness.
    sklearn.gaussian_process.kernels.Matern : The same for any smoothness, by Bessel functions.

    Notes
    -----
    With :math:`p = \nu - 1/2` and :math:`s = \sqrt{2 \nu} \, \|x - z\| / L`,

    .. math::

        k = e^{-s} \, \frac{p!}{(2p)!} \sum_{i=0}^{p} \frac{(p + i)!}{i! \, (p - i)!}
            (2 s)^{p - i} .

    Accuracy, cost and memory: see :func:`laplace`.

    References
    ----------
    C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning", section 4.2.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import matern
    >>> matern(np.array([[0.0]]), np.array([[0.0], [1.0], [2.0]]), nu=2.5).round(4)
    array([[1.    , 0.524 , 0.1387]])
    """
    return _radial_values(RadialKernel("matern", bandwidth, nu=nu), X, Z)


@tensor_function("X", "Z")
def generalized_exponential(
    X: Any,
    Z: Any = None,
    *,
    bandwidth: float = 1.0,
    exponent: float = 1.0,
    p_norm: float = 2.0,
) -> Any:
    r"""Exponential of a power of a p-norm distance, :math:`\exp(-(\|x - z\|_p / L)^q)`.

    Norms with p below 2 tell coordinates from their rotations, which suits tables whose columns
    mean something by themselves.

    Parameters
    ----------
    X : array-like of shape (n, d)
        Points, one per row. float32 stays float32, all else is computed in float64.

    Z : array-like of shape (m, d), default=None
        Other points. None means X with itself: half the work, and a result that is symmetric to
        the last bit with a diagonal of ones.

    bandwidth : float, default=1.0
        L, the distance at which the kernel falls to 1/e.

    exponent : float, default=1.0
        The power q, at most `p_norm`. Smaller powers are rougher.

    p_norm : float, default=2.0
        The norm's p, positive and at most 2.

    Returns
    -------
    K : array of shape (n, n) or (n, m)
        The kernel, of the kind and on the device of X.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit or a number is out of its range.
    MemoryError
        If the result does not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    laplace : The one with q = 1 and p = 2.
    sklearn.metrics.pairwise.laplacian_kernel : The one with q = p = 1, ``gamma=1 / bandwidth``.

    Notes
    -----
    Positive definite for :math:`0 < q \le p \le 2` (Schoenberg). With p other than 1 and 2 every
    difference costs a power, about ten times the work of p = 2. The rest is as in :func:`laplace`.

    References
    ----------
    D. Beaglehole, D. Holzmuller, A. Radhakrishnan, M. Belkin, "xRFM: Accurate, scalable, and
    interpretable feature learning models for tabular data", arXiv:2508.10053.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.kernels import generalized_exponential
    >>> X = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> generalized_exponential(X, exponent=0.5, p_norm=1.0).round(4)
    array([[1.    , 0.2431],
           [0.2431, 1.    ]])
    """
    return _radial_values(
        RadialKernel("exponential", bandwidth, exponent=exponent, p_norm=p_norm), X, Z
    )


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
    X, Z = _one_precision(X, Z)
    _require_room(X, Z, _fully_connected.memory_needed(X, Z))
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
    r"""Gaussian-process kernel of an infinitely wide fully connected network.

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
    X, Z = _one_precision(X, Z)
    _require_room(X, Z, _fully_connected.memory_needed(X, Z))
    return _fully_connected.fully_connected_nngp(
        X, Z, depth=depth, activation=activation, normalize=normalize
    )


def convolutional_ntk(layers: Any, shape: Any = None, prior: Any = None) -> Any:
    r"""Neural tangent kernel of an infinitely wide convolutional network, between pixels.

    The network turns an image of features, the prior, into an image. Kernel regression from some
    of the pixels to the others with this kernel is what training the network by gradient
    descent on these pixels converges to when its layers are wide.

    Parameters
    ----------
    layers : list
        The network, from input to output: `Conv`, `ReLU`, `LeakyReLU`, `DualPair`, `Downsample`,
        `Upsample`. :func:`encoder_decoder` makes the usual ones. There is a convolution before
        every activation and one after the last.

    shape : tuple of two ints, default=None
        Rows and columns of the network's input, divisible by two as often as `layers` halve it.
        None is possible with an array as prior, which has a shape.

    prior : StationaryPrior or array-like of shape (channels, rows, columns), default=None
        Input of the network. None is ``StationaryPrior()``, white noise. float32 stays
        float32, all else is computed in float64.

    Returns
    -------
    kernel : BlockCirculantKernel or DenseKernel
        The kernel between the pixels of the output: of :math:`p^2` rows where the prior is
        stationary and no upsampling is "bilinear", else of all rows. Arrays of the kind of
        the prior if it is one, else numpy arrays.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If shapes do not fit, a number is not finite, or layers do not fit together.
    MemoryError
        If the kernel does not fit the memory budget; nothing has been allocated then.

    See Also
    --------
    encoder_decoder : Layers of the usual networks.
    fully_connected_ntk : Kernel of a network without convolutions.

    Notes
    -----
    Q is the covariance of the features at two pixels, T the tangent kernel, and
    :math:`B(A)` the sum of A over a window of k x k pixels by which both pixels move together,
    around the image. From :math:`Q = k^2 \langle V_{ij}, V_{i'j'} \rangle` with the prior V
    (k that of the first convolution) and T = 0,

    .. math::

        \text{convolution:} \quad & Q \leftarrow B(Q) / k^2, \qquad
            T \leftarrow B(Q + T) / k^2 \\
        \text{activation:} \quad & T \leftarrow T \, \kappa_0(Q / s), \qquad
            Q \leftarrow s \, \kappa_1(Q / s), \qquad
            s^2 = Q_{ij,ij} \, Q_{i'j',i'j'}

    with the old Q on the right; changes of size move Q and T to other pixels. This is the network
    with standard normal weights, convolutions scaled by the number of their inputs (the first one
    by that of its channels), activations scaled to keep the second moment, circular
    padding, no biases, and every weight trained.

    With a stationary prior all depends on the pixels' displacement and on their phase modulo
    :math:`p = 2^s` after s upsamplings. With nearest upsampling it is constant from displacement
    p on: the kernel takes work on :math:`4 p^4` numbers, and then :math:`p^2 h w` to write. Dense
    kernels take :math:`(h w)^2` numbers, and four times as much while they are computed. No
    gradient flows through.

    A network that ends with nearest upsampling and one convolution never sees images whose rows
    alternate, ``(-1)**i * f(j)``, nor such columns: the kernel is singular there, averaged or not,
    and regression on all pixels needs a ridge.

    The block-circulant form and the circular bilinear upsampling are ours. The rest is the
    recursion of arXiv:2108.00131; values of its authors' code are among our tests.

    References
    ----------
    A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, fast, and flexible framework
    for matrix completion with infinite width neural networks", arXiv:2108.00131.

    S. Arora, S. S. Du, W. Hu, Z. Li, R. Salakhutdinov, R. Wang, "On exact computation with an
    infinitely wide neural net", arXiv:1904.11955.

    Examples
    --------
    >>> from skoverparam.kernels import convolutional_ntk, encoder_decoder
    >>> layers = encoder_decoder(levels=1, activation="relu")
    >>> kernel = convolutional_ntk(layers, shape=(256, 256))
    >>> kernel.blocks.shape
    (2, 2, 256, 256)
    >>> kernel.row(0, 0)[:2, :4].round(4)
    array([[0.09  , 0.0679, 0.0568, 0.0568],
           [0.0679, 0.0605, 0.0568, 0.0568]])
    """
    if prior is None or isinstance(prior, StationaryPrior):
        kernel = _stationary_ntk(layers, shape, prior)
        return type(kernel)(*(to_numpy(values) for values in kernel))
    return _prior_ntk(prior, layers, shape)


def _stationary_ntk(layers: Any, shape: Any, prior: Any) -> Any:
    if shape is None:
        raise TypeError("shape must be given (rows, columns) unless the prior is an array.")
    _require_room_for_pixels(
        _convolutional.kernel_bytes(layers, shape), shape, torch.device("cpu")
    )
    return _convolutional.convolutional_ntk(layers, shape, prior)


@tensor_function("prior")
def _prior_ntk(prior: Any, layers: Any, shape: Any) -> Any:
    if prior.ndim != 3:
        raise ValueError(
            "prior must have three axes (channels, rows, columns), got shape "
            f"{tuple(prior.shape)}."
        )
    shape = tuple(prior.shape[1:]) if shape is None else shape
    n_bytes = _convolutional.dense_bytes(layers, shape, prior.element_size())
    _require_room_for_pixels(n_bytes, shape, prior.device)
    return _convolutional.convolutional_ntk(layers, shape, prior)


def _require_room_for_pixels(n_bytes: int, shape: Any, device: torch.device) -> None:
    require_memory(
        n_bytes,
        device,
        what=f"A kernel between the pixels of {shape[0]} x {shape[1]} images",
        remedy="Take smaller images, such as tiles of this one, or, where the kernel is dense, a "
        "stationary prior.",
    )


def _radial_values(kernel: RadialKernel, X: torch.Tensor, Z: torch.Tensor | None) -> torch.Tensor:
    X, Z = _one_precision(X, Z)
    _require_room(X, Z, _radial.memory_needed(X, Z))
    return kernel(X, Z)


def _one_precision(
    X: torch.Tensor, Z: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    if Z is None:
        return X, Z
    dtype = torch.promote_types(X.dtype, Z.dtype)
    return X.to(dtype), Z.to(dtype)


def _require_room(X: torch.Tensor, Z: torch.Tensor | None, n_bytes: int) -> None:
    n, m = len(X), len(X if Z is None else Z)
    require_memory(
        n_bytes,
        X.device,
        what=f"A kernel of {n} x {m} pairs",
        remedy="Compute it for fewer rows of X at a time, or in float32.",
    )


# What stands behind the functions, for whoever calls them many times on tensors.
for _function, _maker in (
    (laplace, partial(RadialKernel, "laplace")),
    (gaussian, partial(RadialKernel, "gaussian")),
    (matern, partial(RadialKernel, "matern")),
    (generalized_exponential, partial(RadialKernel, "exponential")),
    (fully_connected_ntk, partial(partial, _fully_connected.fully_connected_ntk)),
    (fully_connected_nngp, partial(partial, _fully_connected.fully_connected_nngp)),
):
    _function.on_tensors = _maker  # type: ignore[union-attr]
