"""What regressors and classifiers share that average the targets of training points."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, cross_targets, same_namespace, sample_weights, to_numpy
from skoverparam._labels import (
    TargetCoding,
    check_target_coding,
    cross_labels,
    decision_values,
    decode_labels,
)
from skoverparam.averages._points import Cloud, Merged, indicators, merge
from skoverparam.averages._singular import search_all
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.estimators._columns import are_met

# Up to that many features a tree finds neighbors faster than a product of matrices.
_TREE_FEATURES = 15
# In units of the cloud: squares of smaller distances lose digits, or are zero.
_SQUARES_VANISH = 1e-140


class PointAverage(DocumentedEstimator):
    """The distinct training points, their mean targets, and the search for those nearby.

    A subclass has ``_check_params()``; ``_prepare(passage, cloud)``, which stores what averages
    take besides the points; ``_average(passage, X)``, the targets (n, t) at samples; and
    ``_without_own(passage, merged, Y, weights)``, those (n, t) of each training sample by the
    others. ``algorithm`` is that of the search.
    """

    algorithm = "auto"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def _keep_points(self, passage, X, Y, sample_weight):
        """Keep the distinct points; Y is a tensor of shape (n_samples, n_targets)."""
        weights = passage.tensor(sample_weights(sample_weight, X.shape[0]))
        weights = weights / weights.max()
        kept = weights > 0
        X, Y, weights = passage.tensor(X).double()[kept], Y[kept], weights[kept]
        # Points whose difference is no number in units of the cloud are one point.
        merged = merge(X, Y, weights, seen=Cloud(X).X)
        cloud = Cloud(merged.X, given=passage.dtype)
        self._search = _tree(cloud, self.algorithm) if passage.device.type == "cpu" else None
        self._prepare(passage, cloud)
        self.n_points_ = len(cloud)
        self._points = passage.keep(merged.X.to(passage.dtype))
        self._values = passage.keep(merged.values)
        self._mass = passage.keep(merged.mass)
        self._kept, self._group = passage.keep(kept), passage.keep(merged.group)
        self._targets, self._weights = passage.keep(Y), passage.keep(weights)
        self.interpolates_ = are_met(merged.values[merged.group] - Y, Y)

    def _cloud(self, passage):
        points = passage.tensor(self._points)
        return Cloud(points.double(), given=points.dtype)

    def _nearest(self, passage, cloud, Q, count):
        """Find points close to queries Q, (q, count), by the tree if there is one."""
        if self._search is None or passage.device.type != "cpu":
            return search_all(cloud, Q, count)
        # Squares may not overflow; who is nearest from that far away makes no difference.
        near = to_numpy(Q.clamp(-1e100, 1e100))
        distances, index = (passage.tensor(one) for one in self._search.kneighbors(near, count))
        # Where all that were found are too close for squares, others may be closer.
        blurred = (distances[:, -1] < _SQUARES_VANISH).nonzero()[:, 0]
        if len(blurred):
            index[blurred] = search_all(cloud, Q[blurred], count)
        return index

    def _open(self, X, method):
        """Validate samples, and average the targets there."""
        check_is_fitted(self)
        passage, X = cross(self, X, reset=False, device=self.device)
        same_namespace(self, X, attribute="_points", method=method)
        return passage, self._average(passage, X)

    def _left_out(self):
        """Targets, and the averages of all other samples; NaN in those of samples not kept."""
        check_is_fitted(self)
        # The points stand for the data, and another estimator for this one, which knows names.
        passage, _ = cross(BaseEstimator(), self._points, reset=True, device=self.device)
        names = ("_values", "_mass", "_group", "_targets", "_weights", "_kept")
        values, mass, group, Y, weights, kept = (
            passage.tensor(getattr(self, name)) for name in names
        )
        merged = Merged(passage.tensor(self._points).double(), values, mass, group)
        targets = Y.new_full((len(kept), Y.shape[1]), np.nan)
        averages = targets.clone()
        targets[kept], averages[kept] = Y, self._without_own(passage, merged, Y, weights)
        return passage, targets, averages


class PointAverageRegressor(MultiOutputMixin, RegressorMixin, PointAverage):
    """Averages of numbers."""

    @all_or_nothing()
    def fit(self, X, y, sample_weight=None):
        """Keep the samples, and prepare the averages.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts in averages. Samples of weight zero are dropped.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._check_params()
        passage, X, _, Y, self._single = cross_targets(self, X, y)
        self._keep_points(passage, X, Y, sample_weight)
        return self

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,) or (n_samples, n_targets)
            Averages of the training targets.
        """
        passage, Y = self._open(X, "predict")
        return passage.back((Y[:, 0] if self._single else Y).to(passage.dtype))

    def loo_residuals(self):
        """Return the targets minus what is predicted without them.

        At the cost of predicting all training samples.

        Returns
        -------
        residuals : array of shape (n_samples,) or (n_samples, n_targets)
            NaN for samples of weight zero, and where there are no other samples to predict from.
        """
        passage, targets, averages = self._left_out()
        residuals = (targets - averages).to(passage.dtype)
        return passage.keep(residuals[:, 0] if self._single else residuals)


class PointAverageClassifier(ClassifierMixin, PointAverage):
    """Averages of the indicators of classes, and of any other coding: a function of them.

    A subclass has ``target_coding``.
    """

    @all_or_nothing()
    def fit(self, X, y, sample_weight=None):
        """Keep the samples, and prepare the averages.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.

        y : array-like of shape (n_samples,)
            Their classes.

        sample_weight : array-like of shape (n_samples,), default=None
            How often each sample counts in averages. Samples of weight zero are dropped.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._check_params()
        check_target_coding(self.target_coding)
        passage, X, _, self.classes_, labels = cross_labels(self, X, y)
        self._coding = tuple(TargetCoding.of(self.target_coding, len(self.classes_)))
        self._keep_points(passage, X, indicators(labels, len(self.classes_)), sample_weight)
        return self

    def decision_function(self, X):
        """Compute the averages of the coded targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            For two classes the score of the second, which is predicted above zero; for more the
            average of each class's targets.
        """
        passage, probabilities = self._open(X, "decision_function")
        coding = TargetCoding(*self._coding)
        return passage.back(
            decision_values(coding.scores(coding.outputs(probabilities)), passage.dtype)
        )

    def predict_proba(self, X):
        """Estimate the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        probabilities : array of shape (n_samples, n_classes)
            Averages of the indicators of the classes.
        """
        passage, probabilities = self._open(X, "predict_proba")
        return passage.back(probabilities.to(passage.dtype))

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,)
            The most probable class.
        """
        passage, probabilities = self._open(X, "predict")
        return decode_labels(passage, self.classes_, probabilities.argmax(1))

    def loo_residuals(self):
        """Return the coded targets minus the averages without them.

        At the cost of predicting all training samples.

        Returns
        -------
        residuals : array of shape (n_samples, n_columns)
            One column for two classes with k = 1, else one for each class. NaN for samples of
            weight zero, and where there are no other samples to predict from.
        """
        passage, targets, averages = self._left_out()
        coding = TargetCoding(*self._coding)
        residuals = coding.outputs(targets) - coding.outputs(averages)
        return passage.keep(residuals.to(passage.dtype))


def _tree(cloud, algorithm):
    """Make a tree of the points, which takes differences; None to measure all distances.

    scikit-learn's own brute force may confuse points that are very close to each other.
    """
    if algorithm == "auto":
        algorithm = "kd_tree" if cloud.X.shape[1] <= _TREE_FEATURES else "brute"
    if algorithm == "brute":
        return None
    return NearestNeighbors(algorithm=algorithm).fit(to_numpy(cloud.X))
