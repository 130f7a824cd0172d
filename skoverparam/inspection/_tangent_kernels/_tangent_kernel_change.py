"""How far a network's tangent kernel moves, at snapshots or while anything trains it."""

from typing import NamedTuple

import numpy as np

from skoverparam._display import pandas
from skoverparam._params import check_integer
from skoverparam.inspection._tangent_kernels._network_input import (
    network_of,
    room_for_samples,
    samples_for,
)
from skoverparam.nets._evaluation import is_network, precision_of
from skoverparam.nets._tangent_descent import kernel_move, kernel_state, with_weights


class TangentKernelChange(NamedTuple):
    """How far the tangent kernel has moved from the first of several states.

    Attributes
    ----------
    steps : ndarray of int of shape (n_states,)
        Which state, or how many steps of training before it.

    change : ndarray of shape (n_states,)
        Norm of the kernel's change over the norm of the first kernel (Frobenius).

    lambda_min, lambda_max : ndarray of shape (n_states,)
        Extreme eigenvalues of the kernel between all samples and outputs.

    distance : ndarray of shape (n_states,)
        Euclidean norm of the change of all parameters.
    """

    steps: np.ndarray
    change: np.ndarray
    lambda_min: np.ndarray
    lambda_max: np.ndarray
    distance: np.ndarray

    def to_frame(self):
        """Make a pandas data frame with a row for each state."""
        return pandas().DataFrame(self._asdict())


def _table(steps, moves):
    columns = [np.array(column) for column in zip(*moves, strict=True)]
    return TangentKernelChange(np.array(steps), *columns)


def _state(module, X, chunk_size, shape=None):
    samples, _ = samples_for(module, X, input_shape=shape)
    budget = room_for_samples(precision_of(module)[0])
    return kernel_state(module, samples, chunk_size=chunk_size, budget=budget)


def tangent_kernel_change(snapshots, X, *, module=None, chunk_size=None):
    r"""Measure how far the tangent kernel of a network moves between snapshots.

    The tangent kernel of a network is constant exactly if the network is linear in its parameters.
    Training a wide network with a linear output hardly moves it; with an output that is not
    linear, or a narrow layer, it moves at any width, and training works all the same.

    Parameters
    ----------
    snapshots : list of torch modules, or of state dicts
        States of one network, or fitted copies of it, in the order of time; the first is the one
        that others are compared with.

    X : array-like of shape (n, ...)
        Samples.

    module : torch module, default=None
        The network, where snapshots are state dicts; it is copied, and not changed.

    chunk_size : int, default=None
        As in :func:`empirical_ntk`.

    Returns
    -------
    change : TangentKernelChange
        Named tuple of arrays with a number for each snapshot: ``steps`` (0, 1, ...), relative
        ``change`` of the kernel in the Frobenius norm, ``lambda_min`` and ``lambda_max`` of the
        kernel, and ``distance`` of the parameters; ``to_frame()`` makes a pandas data frame of it.

    Raises
    ------
    ValueError
        If there are no snapshots or their parameters differ in number.

    See Also
    --------
    TangentKernelRecorder : The same while a network trains.
    hessian_norm : Bounds the change.

    Notes
    -----
    The kernel is that between all samples and outputs, of n C rows. The relative change says
    nothing of small eigenvalues, on which the speed of training depends; they are in
    ``lambda_min``. In float32 changes below about 1e-5 are rounding errors. Compare networks at
    equal loss, not after equal numbers of steps.

    References
    ----------
    C. Liu, L. Zhu, M. Belkin, "On the linearity of large non-linear models: when and why the
    tangent kernel is constant", NeurIPS 2020, arXiv:2010.01092.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import NTKMLP, tangent_kernel_change
    >>> first, other = (NTKMLP(3, [4000], random_state=seed) for seed in (0, 1))
    >>> moved = tangent_kernel_change([first, first, other], np.eye(3))
    >>> moved.change.round(1)  # wide networks have nearly the same kernel
    array([0., 0., 0.])
    """
    check_integer(chunk_size, "chunk_size", low=1, none=True)
    snapshots = list(snapshots)
    if not snapshots:
        raise ValueError("snapshots must hold at least one state of the network, got none.")
    if module is not None:
        module = network_of(module)[0]
    moves, first = [], None
    for snapshot in snapshots:
        if isinstance(snapshot, dict):
            if module is None:
                raise ValueError("snapshots that are state dicts need their module.")
            network, shape = with_weights(module, snapshot), None
        else:
            network, shape = network_of(snapshot, "snapshots")
        state = _state(network, X, chunk_size, shape)
        first = first or state
        moves.append(kernel_move(first, state))
    return _table(range(len(moves)), moves)


class TangentKernelRecorder:
    """Record how far a network's tangent kernel moves while anything trains it.

    In a loop of one's own, call :meth:`step` after each step of training, or register the
    recorder with an optimizer: ``optimizer.register_step_post_hook(recorder)``. For a
    :class:`~skoverparam.SquareLossNetClassifier` it is a callback:
    ``classifier.set_callbacks(recorder)``.

    Parameters
    ----------
    module : torch module or None
        The network that is trained; its first kernel is taken now. None: that of the fits which
        the recorder is a callback of; their first kernel is that of the weights drawn at first.

    X : array-like of shape (n, ...)
        Samples, few enough for a kernel at every record.

    every : int, default=1
        Steps between records; as a callback, epochs.

    chunk_size : int, default=None
        As in :func:`empirical_ntk`.

    See Also
    --------
    tangent_kernel_change : The same for snapshots.
    LinearityDisplay : Draws the record.

    Notes
    -----
    A new fit begins a new record, but with ``warm_start`` the record goes on. As a callback the
    recorder sees fits in its own process only.

    Examples
    --------
    >>> import torch
    >>> from skoverparam.inspection import NTKMLP, TangentKernelRecorder
    >>> network = NTKMLP(3, [1000], random_state=0).double()
    >>> X, y = torch.eye(3).double(), torch.ones(3, 1)
    >>> recorder = TangentKernelRecorder(network, X, every=10)
    >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    >>> hook = optimizer.register_step_post_hook(recorder)
    >>> for _ in range(30):
    ...     optimizer.zero_grad()
    ...     (network(X) - y).square().sum().backward()
    ...     optimizer.step()
    >>> recorder.record().steps
    array([ 0, 10, 20, 30])
    >>> bool(recorder.record().change.max() < 0.1)
    True

    As a callback:

    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SquareLossNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> recorder = TangentKernelRecorder(None, X[:20] / 16, every=2)
    >>> classifier = SquareLossNetClassifier(max_iter=4, random_state=0)
    >>> classifier = classifier.set_callbacks(recorder).fit(X / 16, y)
    >>> recorder.record().steps
    array([0, 2, 4])
    """

    def __init__(self, module, X, *, every=1, chunk_size=None):
        check_integer(every, "every", low=1)
        check_integer(chunk_size, "chunk_size", low=1, none=True)
        if module is not None and not is_network(module):
            raise TypeError(f"module must be a torch module or None, got {type(module).__name__}.")
        self.module, self.X, self.every, self.chunk_size = module, X, every, chunk_size
        self._n_steps, self._first = 0, None
        self._steps, self._moves = [], []
        if module is not None:
            self._measure(0, module)

    def step(self):
        """Count a step of training, and measure if it is time."""
        if self.module is None:
            raise ValueError("step() counts steps of a module, and there is none.")
        self._n_steps += 1
        if self._n_steps % self.every == 0:
            self._measure(self._n_steps, self.module)

    def __call__(self, *args, **kwargs):
        """Count a step as a hook of an optimizer."""
        self.step()

    def record(self):
        """Return what was measured so far, a TangentKernelChange."""
        if not self._moves:
            raise ValueError("Nothing was recorded: no fit has run with this callback.")
        return _table(self._steps, self._moves)

    def setup(self, estimator, context):
        """Do nothing: called by scikit-learn when a fit begins."""

    def teardown(self, estimator, context):
        """Do nothing: called by scikit-learn when a fit ends."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing: called by scikit-learn when an epoch begins."""

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        """Measure: called by scikit-learn when an epoch, or the whole fit, has ended."""
        if context.max_subtasks != 0 or fitted_estimator is None:
            return  # the fit as a whole, whose last epoch has been recorded
        if not hasattr(fitted_estimator, "_at_start"):
            raise TypeError(
                "TangentKernelRecorder is a callback of SquareLossNetClassifier, got "
                f"{type(fitted_estimator).__name__}."
            )
        epoch = fitted_estimator.n_iter_
        if epoch == 1 or not self._steps:
            self._steps, self._moves, self._first = [], [], None
            self._measure(0, *network_of(fitted_estimator._at_start()))
        if epoch % self.every == 0:
            self._measure(epoch, *network_of(fitted_estimator))

    def _measure(self, step, module, shape=None):
        state = _state(module, self.X, self.chunk_size, shape)
        self._first = self._first or state
        self._steps.append(step)
        self._moves.append(kernel_move(self._first, state))
