"""Networks made linear in their parameters, or parametrized so that width makes them so."""

from skoverparam._params import check_number, make_generator
from skoverparam.inspection._tangent_kernels._network_input import network_of
from skoverparam.nets import _ntk_parametrization
from skoverparam.nets._linearized import LinearizedModule


def linearize(module):
    r"""Expand a network to first order in its parameters, where it is now.

    :math:`f(w_0; x) + \langle \nabla_w f(w_0; x), w - w_0 \rangle`, as a torch module that trains
    like any other: what the network would be if its tangent kernel did not move.

    Parameters
    ----------
    module : torch module, or fitted SquareLossNetClassifier, skorch net or MLPClassifier
        The network. It is copied, and not changed.

    Returns
    -------
    linearized : torch module
        With parameters ``weights``, at first those of the network, and a method
        ``displacement()``, w - w0 as one vector. The network is in evaluation mode in it: no
        dropout, running statistics.

    Raises
    ------
    ValueError
        If no parameter requires gradients.

    See Also
    --------
    empirical_ntk : The kernel of both.
    hessian_norm : What comes after the first order.

    Notes
    -----
    A forward pass costs one pass through the network and two back, twice the memory of training;
    a step of training about twice that.

    References
    ----------
    C. Liu, L. Zhu, M. Belkin, "On the linearity of large non-linear models: when and why the
    tangent kernel is constant", NeurIPS 2020, arXiv:2010.01092.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import NTKMLP, empirical_ntk, linearize
    >>> network = NTKMLP(3, [20], random_state=0).double()
    >>> linear = linearize(network)
    >>> X = np.eye(3)
    >>> np.allclose(empirical_ntk(linear, X), empirical_ntk(network, X))
    True
    """
    return LinearizedModule(network_of(module)[0])


def ntk_parametrize(module, *, redraw=False, bias_scale=1.0, random_state=None):
    r"""Copy a network with its dense and convolution layers in the tangent parametrization.

    Weights are of order one and divided by the root of the number of inputs in the forward pass,
    instead of being small. The function can stay what it is, but gradients, and with them the
    tangent kernel, are scaled so that they have a limit as the width grows.

    Parameters
    ----------
    module : torch module
        The network, which is not changed. Layers of exactly the types ``Linear`` and ``Conv1d`` to
        ``Conv3d`` are converted.

    redraw : bool, default=False
        Whether the entries of these layers, biases too, are drawn anew from N(0, 1). False keeps
        the function.

    bias_scale : float, default=1.0
        What stands in front of biases.

    random_state : int, RandomState instance or None, default=None
        Determines the draws.

    Returns
    -------
    converted : torch module
        A copy.

    See Also
    --------
    NTKMLP : A multilayer perceptron of this kind.

    Examples
    --------
    >>> from torch import nn
    >>> from skoverparam.inspection import empirical_ntk, ntk_parametrize
    >>> for width in (100, 10000):
    ...     network = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, 1))
    ...     converted = ntk_parametrize(network, redraw=True, random_state=0)
    ...     K = empirical_ntk(network, [[1.0, 1.0]]), empirical_ntk(converted, [[1.0, 1.0]])
    ...     print(f"width {width}: as made {K[0][0, 0]:.0f}, converted {K[1][0, 0]:.1f}")
    width 100: as made ..., converted 2...
    width 10000: as made ..., converted 2...
    """
    check_number(bias_scale, "bias_scale", low=0, boundaries="neither")
    network, _ = network_of(module)
    generator = make_generator(random_state) if redraw else None
    return _ntk_parametrization.ntk_parametrize(
        network, bias_scale=bias_scale, generator=generator
    )
