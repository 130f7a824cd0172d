"""Kernels that are functions of a distance, for arrays."""

from functools import partial
from typing import Any

import torch

from skoverparam._arrays import tensor_function
from skoverparam.kernels import _radial
from skoverparam.kernels._on_arrays._row_pairs import one_precision, require_room
from skoverparam.kernels._radial import RadialKernel


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


def _radial_values(kernel: RadialKernel, X: torch.Tensor, Z: torch.Tensor | None) -> torch.Tensor:
    X, Z = one_precision(X, Z)
    require_room(X, Z, _radial.memory_needed(X, Z))
    return kernel(X, Z)


# What stands behind the functions, for whoever calls them many times on tensors.
for _function, _maker in (
    (laplace, partial(RadialKernel, "laplace")),
    (gaussian, partial(RadialKernel, "gaussian")),
    (matern, partial(RadialKernel, "matern")),
    (generalized_exponential, partial(RadialKernel, "exponential")),
):
    _function.on_tensors = _maker  # type: ignore[attr-defined]
