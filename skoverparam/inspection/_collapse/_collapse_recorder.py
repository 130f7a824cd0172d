"""A callback that measures neural collapse while a network is trained."""

from collections.abc import Collection
from typing import NamedTuple

from skoverparam._display import pandas
from skoverparam._params import check_integer
from skoverparam.inspection._collapse._measures import NeuralCollapse, checked_options
from skoverparam.inspection._collapse._neural_collapse import collapse_of_layers
from skoverparam.nets._module_features import PENULTIMATE


class CollapseRecord(NamedTuple):
    """Collapse of a layer after an epoch of a fit.

    Attributes
    ----------
    fit : int
        Which fit, counted from 0.

    epoch : int
        After which epoch.

    layer : str
        Name of the layer.

    collapse : NeuralCollapse
        Its measures.
    """

    fit: int
    epoch: int
    layer: str
    collapse: NeuralCollapse


class CollapseRecorder:
    """Callback that records neural collapse after epochs of a fit.

    Set it with ``estimator.set_callbacks(recorder)`` on any network of this package. It works
    outside of a fit as well: ``recorder.record(model, epoch, X, y)``.

    Parameters
    ----------
    X_test : array-like, default=None
        Test samples; None measures training samples only.

    y_test : array-like of shape (n_test,), default=None
        Their labels.

    every : int or collection of int, default=1
        Every how many epochs, or which.

    layers : "penultimate", "all" or sequence of str, default="penultimate"
        As in :func:`layerwise_collapse`.

    weighting : {"class", "sample"}, default="class"
        As in :func:`neural_collapse`.

    pool : {"gap", "flatten"}, default="gap"
        As in :func:`neural_collapse`.

    Attributes
    ----------
    records_ : list of CollapseRecord
        Named tuples of the number of the ``fit``, the ``epoch``, the ``layer`` and its
        ``collapse``.

    See Also
    --------
    neural_collapse : What is measured.
    NeuralCollapseDisplay : Draws the records.

    Notes
    -----
    Training samples are those of the fit. Records stay in the process in which the fit ran: those
    of fits in worker processes do not come back.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SquareLossNetClassifier
    >>> from skoverparam.inspection import CollapseRecorder
    >>> X, y = load_digits(return_X_y=True)
    >>> recorder = CollapseRecorder(every=2)
    >>> classifier = SquareLossNetClassifier(max_iter=4, random_state=0)
    >>> classifier = classifier.set_callbacks(recorder).fit(X / 16, y)
    >>> [record.epoch for record in recorder.records_]
    [2, 4]
    """

    def __init__(
        self,
        X_test=None,
        y_test=None,
        *,
        every=1,
        layers=PENULTIMATE,
        weighting="class",
        pool="gap",
    ):
        if not isinstance(every, Collection):
            check_integer(every, "every", low=1)
        if (X_test is None) != (y_test is None):
            raise ValueError("X_test and y_test must be given together.")
        self._options = checked_options(weighting, False, False, pool, 1e-10)
        self.X_test, self.y_test = X_test, y_test
        self.every, self.layers, self.weighting, self.pool = every, layers, weighting, pool
        self.records_ = []
        self._fit = -1

    def record(self, estimator, epoch, X, y):
        """Measure a fitted network and add the records.

        Parameters
        ----------
        estimator : estimator or torch module
            As in :func:`neural_collapse`.

        epoch : int
            What to call the moment.

        X : array-like
            Training samples.

        y : array-like of shape (n_samples,)
            Their labels.

        Returns
        -------
        list of CollapseRecord
            What was added.
        """
        found = collapse_of_layers(
            estimator,
            X,
            y,
            self.X_test,
            self.y_test,
            layers=self.layers,
            pool=self.pool,
            options=self._options,
        )
        new = [CollapseRecord(max(self._fit, 0), epoch, *item) for item in found.items()]
        self.records_.extend(new)
        return new

    def to_frame(self):
        """Make a pandas data frame with a row for each record and split."""
        rows = [
            {"fit": r.fit, "epoch": r.epoch, "layer": r.layer, "split": split} | values
            for r in self.records_
            for split, values in r.collapse.by_split().items()
        ]
        return pandas().DataFrame(rows)

    def setup(self, estimator, context):
        """Count the fits: called by scikit-learn when one begins."""
        self._fit += 1

    def teardown(self, estimator, context):
        """Do nothing: called by scikit-learn when a fit ends."""

    def on_fit_task_begin(self, estimator, context):
        """Do nothing: called by scikit-learn when an epoch begins."""

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        """Record: called by scikit-learn when an epoch, or the whole fit, has ended."""
        if context.max_subtasks != 0 or fitted_estimator is None:
            return  # the fit as a whole, whose last epoch has been recorded
        epoch = getattr(fitted_estimator, "n_iter_", context.task_id + 1)
        if epoch in self.every if isinstance(self.every, Collection) else epoch % self.every == 0:
            self.record(fitted_estimator, epoch, X, y)
