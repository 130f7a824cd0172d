"""What features learned from coarse labels still say about fine ones, over training."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier

from skoverparam._arrays import to_numpy
from skoverparam._display import axes_in_a_row, pandas
from skoverparam._params import check_integer
from skoverparam.inspection._collapse._collapse_recorder import CollapseRecorder
from skoverparam.inspection._collapse._collapse_sources import read_features
from skoverparam.nets._module_features import PENULTIMATE


class TransferCurve(NamedTuple):
    """Scores of probes over training: one entry for each epoch and layer.

    Attributes
    ----------
    epoch : ndarray of int
        Epochs.

    layer : ndarray of str
        Layers.

    score : ndarray
        Test score of the probe for the fine labels.

    nc1_pinv, nc1_ratio : ndarray
        Collapse of training features by the coarse labels.

    accuracy : ndarray
        Accuracy for the coarse labels on the test samples, NaN without them.

    probe : str
        What was trained on the features.
    """

    epoch: np.ndarray
    layer: np.ndarray
    score: np.ndarray
    nc1_pinv: np.ndarray
    nc1_ratio: np.ndarray
    accuracy: np.ndarray
    probe: str

    def to_frame(self):
        """Make a pandas data frame with a row for each epoch and layer."""
        return pandas().DataFrame(self._asdict())


def transfer_curve(
    estimator,
    X,
    y,
    y_fine,
    X_test,
    y_fine_test,
    *,
    epochs,
    y_test=None,
    layers=PENULTIMATE,
    probe=None,
    pool="gap",
):
    """Train on coarse labels and test, epoch by epoch, what features say about fine ones.

    Fully collapsed features take as many values as there are coarse classes, and nothing can tell
    fine classes apart in them. Longer training can therefore make features worse for another
    task while the task itself goes better and better.

    Parameters
    ----------
    estimator : estimator
        A network of this package, or one with ``partial_fit`` such as
        :class:`~sklearn.neural_network.MLPClassifier`. A clone is trained; ``max_iter`` is set to
        the last of the epochs.

    X : array-like of shape (n_samples, n_features)
        Training samples.

    y : array-like of shape (n_samples,)
        Their coarse labels, which the network is trained on.

    y_fine : array-like of shape (n_samples,)
        Their fine labels, which the probe is trained on.

    X_test : array-like of shape (n_test, n_features)
        Test samples.

    y_fine_test : array-like of shape (n_test,)
        Their fine labels.

    epochs : sequence of int
        After which epochs to stop and look; 0 is before training, for networks of this package.

    y_test : array-like of shape (n_test,), default=None
        Coarse labels of the test samples, for the accuracy of the network.

    layers : str or sequence of str, default="penultimate"
        As in :func:`layerwise_collapse`.

    probe : estimator, default=None
        Trained on frozen features. None: ``RidgeClassifier(alpha=1.0)``. How much it is
        regularized decides how fast the score falls: report it.

    pool : {"gap", "flatten"}, default="gap"
        As in :func:`neural_collapse`.

    Returns
    -------
    curve : TransferCurve
        Named tuple of arrays with an entry for each epoch and layer; ``to_frame()`` makes a
        pandas data frame.

    See Also
    --------
    TransferCurveDisplay : Draws it.
    CollapseRecorder : Collapse alone, during any fit.

    Notes
    -----
    Features are centered by the training samples and divided by one number a layer, their standard
    deviation over samples and features, in float64: directions keep their proportions.

    References
    ----------
    L. Hui, M. Belkin, P. Nakkiran, "Limitations of Neural Collapse for Understanding
    Generalization in Deep Learning", arXiv:2202.08384.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SquareLossNetClassifier
    >>> from skoverparam.inspection import transfer_curve
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = X[:900] / 16, X[900:] / 16, y[:900], y[900:]
    >>> network = SquareLossNetClassifier(random_state=0)
    >>> curve = transfer_curve(network, X, y < 5, y, X_test, y_test, epochs=[1, 5])
    >>> curve.epoch
    array([1, 5])
    """
    epochs = sorted({*np.atleast_1d(epochs).tolist()})
    for epoch in epochs:
        check_integer(epoch, "epochs", low=0)
    if not epochs or epochs[-1] == 0:
        raise ValueError(f"epochs must hold one of at least 1, got {epochs}.")
    if epochs[0] == 0 and not hasattr(estimator, "_at_start"):
        raise ValueError(
            f"epochs must be at least 1 for {type(estimator).__name__}: what it begins with is "
            "not known."
        )
    y_fine, y_fine_test = np.asarray(to_numpy(y_fine)), np.asarray(to_numpy(y_fine_test))
    if len(y_fine) != len(X) or len(y_fine_test) != len(X_test):
        raise ValueError(
            f"y_fine and y_fine_test must have {len(X)} and {len(X_test)} labels, one a sample, "
            f"got {len(y_fine)} and {len(y_fine_test)}."
        )
    probe = RidgeClassifier(alpha=1.0) if probe is None else probe
    rows = defaultdict(list)

    def look(model, records):
        names = [record.layer for record in records]
        train = read_features(model, X, names, pool).layers
        test = read_features(model, X_test, names, pool).layers
        accuracy = np.nan if y_test is None else model.score(X_test, y_test)
        for record in records:
            layer = record.layer
            rows["epoch"].append(record.epoch)
            rows["layer"].append(layer)
            rows["score"].append(_probed(probe, train[layer], y_fine, test[layer], y_fine_test))
            rows["nc1_pinv"].append(record.collapse.nc1_pinv)
            rows["nc1_ratio"].append(record.collapse.nc1_ratio)
            rows["accuracy"].append(accuracy)

    recorder = _Probing(look, every=epochs, layers=layers, pool=pool)
    model = clone(estimator)
    if hasattr(model, "set_callbacks"):
        model.set_params(max_iter=epochs[-1]).set_callbacks(recorder).fit(X, y)
        if epochs[0] == 0:
            recorder.record(model._at_start(), 0, X, y)
    elif hasattr(model, "partial_fit"):
        classes = np.unique(to_numpy(y))
        for epoch in range(1, epochs[-1] + 1):
            model.partial_fit(X, y, classes=classes)
            if epoch in epochs:
                recorder.record(model, epoch, X, y)
    else:
        raise TypeError(
            "estimator must take callbacks or have partial_fit, so that training can be looked "
            f"into; got {type(model).__name__}."
        )
    order = np.argsort(rows["epoch"], kind="stable")
    return TransferCurve(**{k: np.array(v)[order] for k, v in rows.items()}, probe=repr(probe))


class _Probing(CollapseRecorder):
    """Records, and shows each record with its model to a function."""

    def __init__(self, look, **options):
        super().__init__(**options)
        self._look = look

    def record(self, estimator, epoch, X, y):
        new = super().record(estimator, epoch, X, y)
        self._look(estimator, new)
        return new


def _probed(probe, H, y, H_test, y_test):
    H, H_test = (to_numpy(features).astype(np.float64) for features in (H, H_test))
    mean = H.mean(0)
    spread = (H - mean).std() or 1.0
    fitted = clone(probe).fit((H - mean) / spread, y)
    return float(fitted.score((H_test - mean) / spread, y_test))


class TransferCurveDisplay:
    """Scores of probes for fine labels over training on coarse ones.

    Make it with :meth:`from_curve`; the constructor stores what it is given.

    Parameters
    ----------
    curve : TransferCurve
        What :func:`transfer_curve` returned.

    Attributes
    ----------
    lines_ : dict of matplotlib Line2D
        Scores, by layer.

    accuracy_line_ : matplotlib Line2D or None
        Accuracy for the coarse labels.

    ax_, figure_ : matplotlib axes and Figure
        Where it is drawn.

    See Also
    --------
    transfer_curve : Computes it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SquareLossNetClassifier
    >>> from skoverparam.inspection import TransferCurveDisplay, transfer_curve
    >>> X, y = load_digits(return_X_y=True)
    >>> X, X_test, y, y_test = X[:900] / 16, X[900:] / 16, y[:900], y[900:]
    >>> network = SquareLossNetClassifier(random_state=0)
    >>> curve = transfer_curve(network, X, y < 5, y, X_test, y_test, epochs=[1, 5])
    >>> TransferCurveDisplay.from_curve(curve).ax_.get_xlabel()
    'epoch'
    """

    def __init__(self, *, curve):
        self.curve = curve

    @classmethod
    def from_curve(cls, curve, *, ax=None, **plot_kw):
        """Draw a curve that was computed before.

        Parameters
        ----------
        curve : TransferCurve
            What :func:`transfer_curve` returned.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : TransferCurveDisplay
            The drawn display.
        """
        return cls(curve=curve).plot(ax, **plot_kw)

    def plot(self, ax=None, *, line_kw=None):
        """Draw the score of every layer's probe over epochs.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            None makes a new figure.

        line_kw : dict, default=None
            For the lines, over the defaults.

        Returns
        -------
        self : TransferCurveDisplay
            With the artists as attributes.
        """
        ax = axes_in_a_row(self, ax, 1, size=(6.0, 4.0))[0]
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, {}
        curve = self.curve
        for name in dict.fromkeys(curve.layer.tolist()):
            own = curve.layer == name
            style = {"marker": "o", "label": f"fine, {name}"} | (line_kw or {})
            (self.lines_[name],) = ax.plot(curve.epoch[own], curve.score[own], **style)
        self.accuracy_line_ = None
        if np.isfinite(curve.accuracy).any():
            epoch, first = np.unique(curve.epoch, return_index=True)
            style = {"color": "0.5", "linestyle": "--", "label": "coarse, the network itself"}
            (self.accuracy_line_,) = ax.plot(epoch, curve.accuracy[first], **style)
        ax.set(xlabel="epoch", ylabel="test accuracy", title=f"Probe: {curve.probe}")
        ax.legend(frameon=False)
        return self
