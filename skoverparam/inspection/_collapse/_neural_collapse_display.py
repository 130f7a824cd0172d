"""Pictures of neural collapse over epochs and over layers."""

import numpy as np

from skoverparam._display import axes_in_a_row
from skoverparam._params import check_option
from skoverparam.inspection._collapse._layerwise_collapse import layerwise_collapse
from skoverparam.inspection._collapse._measures import NeuralCollapse

_LABELS = {
    "nc1_pinv": r"NC1: $\mathrm{tr}(S_W S_B^+)/C$",
    "nc1_ratio": r"NC1: $\mathrm{tr}\,S_W / \mathrm{tr}\,S_B$",
    "nc1_cdnv": "NC1: CDNV",
    "nc2_equinorm": "NC2: spread of norms",
    "nc2_equiangle": "NC2: spread of cosines",
    "nc2_max_angle": r"NC2: mean $|\cos + 1/(C-1)|$",
    "nc2_etf_error": "NC2: distance from a simplex",
    "nc3_self_duality": "NC3: head against means",
    "nc3_etf_error": "NC3: distance from a simplex",
    "nc4_disagreement": "NC4: disagreement with nearest mean",
    "ncc_accuracy": "accuracy of nearest mean",
    "accuracy": "accuracy",
}

# These may be zero, or are near one: drawn on a linear scale.
_LINEAR = ("nc4_disagreement", "ncc_accuracy", "accuracy")


class NeuralCollapseDisplay:
    """Measures of neural collapse, on training and on test samples.

    Make it with :meth:`from_estimator`, over layers, or :meth:`from_recorder`, over epochs; the
    constructor stores what it is given.

    Parameters
    ----------
    positions : sequence of int or str
        Epochs, or names of layers.

    collapse : sequence of NeuralCollapse
        Measures at each.

    Attributes
    ----------
    lines_ : dict of matplotlib Line2D
        By measure and split: ``lines_["nc1_pinv", "test"]``.

    axes_ : ndarray of matplotlib axes
        One for each measure.

    ax_, figure_ : matplotlib axes and Figure
        The first of them, and what they are in.

    See Also
    --------
    neural_collapse, layerwise_collapse, CollapseRecorder : What is drawn.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SquareLossNetClassifier
    >>> from skoverparam.inspection import NeuralCollapseDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = SquareLossNetClassifier(max_iter=3, random_state=0).fit(X / 16, y)
    >>> display = NeuralCollapseDisplay.from_estimator(classifier, X / 16, y)
    >>> len(display.axes_)
    2
    """

    def __init__(self, *, positions, collapse):
        self.positions = positions
        self.collapse = collapse

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        X_test=None,
        y_test=None,
        *,
        layers="all",
        measures=("nc1_ratio", "ncc_accuracy"),
        ax=None,
        **plot_kw,
    ):
        """Measure the layers of a fitted network, and draw them from the first to the last.

        Parameters
        ----------
        estimator : estimator or torch module
            As in :func:`layerwise_collapse`.

        X : array-like
            Training samples.

        y : array-like of shape (n_samples,)
            Their labels.

        X_test : array-like, default=None
            Test samples.

        y_test : array-like of shape (n_test,), default=None
            Their labels.

        layers : "all" or sequence of str, default="all"
            As in :func:`layerwise_collapse`.

        measures : sequence of str, default=("nc1_ratio", "ncc_accuracy")
            What to draw.

        ax : matplotlib axes, or array of them, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : NeuralCollapseDisplay
            The drawn display.
        """
        found = layerwise_collapse(estimator, X, y, X_test, y_test, layers=layers)
        display = cls(positions=found.layers, collapse=found.collapse)
        return display.plot(ax, measures=measures, **plot_kw)

    @classmethod
    def from_recorder(
        cls,
        recorder,
        *,
        layer=None,
        fit=0,
        measures=("nc1_pinv", "nc2_max_angle", "nc3_self_duality"),
        ax=None,
        **plot_kw,
    ):
        """Draw what a callback recorded, over epochs.

        Parameters
        ----------
        recorder : CollapseRecorder
            With records.

        layer : str, default=None
            Which layer; None takes the last one.

        fit : int, default=0
            Which fit.

        measures : sequence of str, \
                default=("nc1_pinv", "nc2_max_angle", "nc3_self_duality")
            What to draw.

        ax : matplotlib axes, or array of them, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : NeuralCollapseDisplay
            The drawn display.
        """
        records = [record for record in recorder.records_ if record.fit == fit]
        if not records:
            raise ValueError(f"recorder must have records of fit {fit}, and has none.")
        names = list(dict.fromkeys(record.layer for record in records))
        layer = names[-1] if layer is None else layer
        check_option(layer, "layer", names)
        records = [record for record in records if record.layer == layer]
        display = cls(
            positions=[record.epoch for record in records],
            collapse=[record.collapse for record in records],
        )
        return display.plot(ax, measures=measures, **plot_kw)

    def plot(self, ax=None, *, measures=("nc1_pinv", "nc1_ratio"), train_kw=None, test_kw=None):
        """Draw a panel for each measure.

        Parameters
        ----------
        ax : matplotlib axes, or array of them, default=None
            None makes a new figure; a single one is divided.

        measures : sequence of str, default=("nc1_pinv", "nc1_ratio")
            Names of fields of `NeuralCollapse`, without prefix.

        train_kw, test_kw : dict, default=None
            For the lines, over the defaults.

        Returns
        -------
        self : NeuralCollapseDisplay
            With the artists as attributes.
        """
        measures = [measures] if isinstance(measures, str) else list(measures)
        for measure in measures:
            check_option(measure, "measures", NeuralCollapse._fields)
        axes = axes_in_a_row(self, ax, len(measures), size=(4.4, 3.8))
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        self.lines_ = {}
        named = isinstance(self.positions[0], str)
        x = np.arange(len(self.positions)) if named else np.asarray(self.positions)
        for panel, measure in zip(axes, measures, strict=True):
            styles = {
                "train": {"color": "C0", "marker": "o"} | (train_kw or {}),
                "test": {"color": "C3", "marker": "s"} | (test_kw or {}),
            }
            for split, style in styles.items():
                values = self._values(measure, split)
                if np.isfinite(values).any():
                    (line,) = panel.plot(x, values, label=split, **style)
                    self.lines_[measure, split] = line
            drawn = [
                line.get_ydata() for (name, _), line in self.lines_.items() if name == measure
            ]
            if measure not in _LINEAR and drawn and np.nanmin(np.concatenate(drawn)) > 0:
                panel.set_yscale("log")
            if named:
                panel.set_xticks(x, self.positions, rotation=30, ha="right")
            panel.set(xlabel="layer" if named else "epoch", title=_LABELS.get(measure, measure))
        if any(split == "test" for _, split in self.lines_):
            axes[0].legend(frameon=False)
        return self

    def _values(self, measure, split):
        name = measure if split == "train" else f"test_{measure}"
        values = [getattr(found, name, None) for found in self.collapse]
        return np.array([np.nan if value is None else value for value in values])
