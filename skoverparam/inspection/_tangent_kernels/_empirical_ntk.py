"""The tangent kernel of a network as it is."""

import numpy as np
from sklearn.gaussian_process.kernels import Kernel

from skoverparam._params import check_integer, check_option
from skoverparam.inspection._tangent_kernels._network_input import (
    network_of,
    room_for_samples,
    samples_for,
)
from skoverparam.nets import _tangent_kernel
from skoverparam.nets._evaluation import precision_of
from skoverparam.nets._tangent_layers import OUTPUTS

# A pass for each sample would take longer than the products of a few samples that are not asked.
_DIAGONAL_BLOCK = 32


def empirical_ntk(
    module, X, Z=None, *, params=None, output="trace", method="auto", chunk_size=None
):
    r"""Compute the tangent kernel of a network at its present parameters.

    :math:`K(x, z) = \langle \nabla_w f(x), \nabla_w f(z) \rangle`, the inner product of the
    derivatives by all parameters. It belongs to the network and needs no loss.

    Parameters
    ----------
    module : torch module, or fitted SquareLossNetClassifier, skorch net or MLPClassifier
        A network with a row of outputs for each sample. It is run in evaluation mode: dropout does
        nothing, batch normalization takes its running statistics. It comes back unchanged.

    X : array-like of shape (n, ...)
        Samples; they are moved to the network's device and precision.

    Z : array-like of shape (m, ...), default=None
        Other samples; None takes X.

    params : list of str, default=None
        Names of the parameters that count. None takes all that require gradients; each tensor
        counts once, however often it is used.

    output : {"trace", "diagonal", "full"}, default="trace"
        For networks with C outputs: the mean of the kernels of all outputs, each of them, or
        those between all pairs of outputs.

    method : {"auto", "jacobian"}, default="auto"
        "auto" uses the structure of dense and convolution layers; "jacobian" forms all
        derivatives, as a reference.

    chunk_size : int, default=None
        Largest number of samples, on either side, whose derivatives are in memory at a time. None
        takes what fits the memory budget.

    Returns
    -------
    K : array of shape (n, m), (n, m, C) or (n, m, C, C)
        The kernel in the precision of the network, of the kind of X, without history.

    Raises
    ------
    ValueError
        If no parameter requires gradients, a name is unknown, values are not finite or the
        output for a sample depends on the rest of the batch.

    MemoryError
        If even two samples do not fit the memory budget.

    See Also
    --------
    TangentKernel : The same as a kernel of scikit-learn's estimators.
    tangent_kernel_change : How far the kernel moves.
    skoverparam.kernels.fully_connected_ntk : Its limit for infinite width.

    Notes
    -----
    A dense layer with inputs :math:`a` whose outputs have derivatives :math:`d` contributes
    :math:`(\langle a, a' \rangle + 1) \langle d, d' \rangle`: one pass forward and one back for
    each output give the kernel, and no derivative by a weight is formed. Convolutions are dense
    layers at many positions. A check on three samples with random weights compares this with the
    derivatives themselves; parameters of other layers, and of layers that fail it, because their
    weights are tied or their rows are no samples, go through explicit derivatives.

    Cost for dense layers: one pass forward, C back and O(n m) times the sum of all widths. In
    float32 the kernel is good to about 1e-6; use ``module.double()`` to see smaller changes.

    References
    ----------
    C. Liu, L. Zhu, M. Belkin, "On the linearity of large non-linear models: when and why the
    tangent kernel is constant", NeurIPS 2020, arXiv:2010.01092.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import NTKMLP, empirical_ntk
    >>> from skoverparam.kernels import fully_connected_ntk
    >>> X = np.array([[1.0, 1.0], [1.0, -1.0], [2.0, 0.0]])
    >>> network = NTKMLP(2, [20000], "relu", random_state=0)
    >>> empirical_ntk(network, X).round(1)
    array([[1. , 0.2, 0.9],
           [0.2, 1. , 0.9],
           [0.9, 0.9, 2. ]], dtype=float32)
    >>> (fully_connected_ntk(X, normalize=False) / 4).round(1)  # the limit, in its units
    array([[1. , 0.2, 0.9],
           [0.2, 1. , 0.9],
           [0.9, 0.9, 2. ]])
    """
    check_option(output, "output", OUTPUTS)
    check_option(method, "method", _tangent_kernel.METHODS)
    check_integer(chunk_size, "chunk_size", low=1, none=True)
    module, shape = network_of(module)
    samples, back = samples_for(module, X, input_shape=shape)
    others = None
    if Z is not None:
        others = samples_for(module, Z, "Z", lead=X, input_shape=shape)[0]
        if others.shape[1:] != samples.shape[1:]:
            raise ValueError(
                f"Z must have samples of shape {tuple(samples.shape[1:])} as X has, got "
                f"{tuple(others.shape[1:])}."
            )
    K = _tangent_kernel.empirical_ntk(
        module,
        samples,
        others,
        params=params,
        output=output,
        method=method,
        chunk_size=chunk_size,
        budget=room_for_samples(precision_of(module)[0]),
    )
    return back(K)


class TangentKernel(Kernel):
    """The tangent kernel of a network, as a kernel of scikit-learn.

    Give it to a Gaussian process, to :class:`sklearn.kernel_ridge.KernelRidge`, to a support
    vector machine or to :class:`~skoverparam.KernelInterpolatorRegressor`: they then learn what
    the network's linear expansion would.

    Parameters
    ----------
    module : torch module, or fitted SquareLossNetClassifier, skorch net or MLPClassifier
        The network.

    input_shape : tuple of int, default=None
        Dimensions of a sample for the network, where the estimators get flat rows.

    params : list of str, default=None
        Names of the parameters that count; None takes all that require gradients.

    See Also
    --------
    empirical_ntk : The same as a function.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.gaussian_process import GaussianProcessRegressor
    >>> from skoverparam.inspection import NTKMLP, TangentKernel
    >>> X = np.random.default_rng(0).normal(size=(30, 3))
    >>> y = np.sin(X[:, 0])
    >>> kernel = TangentKernel(NTKMLP(3, [500], random_state=0))
    >>> process = GaussianProcessRegressor(kernel, alpha=1e-4).fit(X, y)
    >>> bool(process.score(X, y) > 0.99)
    True
    """

    def __init__(self, module, input_shape=None, params=None):
        self.module = module
        self.input_shape = input_shape
        self.params = params

    def __call__(self, X, Y=None, eval_gradient=False):
        """Return the kernel between rows of X and Y, in float64."""
        K = self._compute(self._shaped(X), None if Y is None else self._shaped(Y))
        # Nothing of it can be tuned: the gradient is by no parameters.
        return (K, np.empty((*K.shape, 0))) if eval_gradient else K

    def diag(self, X):
        """Return the kernel of each row with itself.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            The rows.

        Returns
        -------
        diagonal : ndarray of shape (n,)
            In float64.
        """
        X = self._shaped(X)
        starts = range(0, len(X), _DIAGONAL_BLOCK)
        blocks = [X[start : start + _DIAGONAL_BLOCK] for start in starts]
        return np.concatenate([np.diag(np.asarray(self._compute(X, None))) for X in blocks])

    def is_stationary(self):
        """Tell whether the kernel depends on differences of rows alone.

        Returns
        -------
        stationary : bool
            False.
        """
        return False

    def __repr__(self):
        return f"TangentKernel({type(self.module).__name__})"

    def __eq__(self, other):
        return (
            type(self) is type(other)
            and self.module is other.module
            and (self.input_shape, self.params) == (other.input_shape, other.params)
        )

    def _compute(self, X, Z):
        K = empirical_ntk(self.module, X, Z, params=self.params)
        return K.double() if hasattr(K, "double") else np.asarray(K, dtype=np.float64)

    def _shaped(self, X):
        if not hasattr(X, "reshape"):
            X = np.asarray(X, dtype=np.float64)
        return X if self.input_shape is None else X.reshape(len(X), *self.input_shape)
