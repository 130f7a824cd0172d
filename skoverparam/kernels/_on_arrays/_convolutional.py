"""Kernels of infinitely wide convolutional networks, for arrays."""

from typing import Any

import torch

from skoverparam._arrays import tensor_function, to_numpy
from skoverparam._config import require_memory
from skoverparam.kernels import _convolutional
from skoverparam.kernels._convolutional_layers import StationaryPrior


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
