"""What regressors and classifiers share that fit columns of outputs.

A regressor has a column for each target, a classifier columns that stand for its classes. Both
have ``_outputs(X, method)``, which validates samples and returns the way back to arrays and the
fitted columns (n, t) in float64, or (n,) where targets came with one axis.
"""

from __future__ import annotations

from typing import NamedTuple

from sklearn.base import ClassifierMixin, MultiOutputMixin, RegressorMixin

from skoverparam._arrays import sample_weights
from skoverparam._labels import TargetCoding, decision_values, decode_labels

MET = 1e-6  # of the largest target


def are_met(miss, Y):
    """Whether no target is missed by more than 1e-6 of the largest one of its column."""
    return bool((miss.abs().amax(0) <= MET * Y.abs().amax(0)).all())


class Samples(NamedTuple):
    """Training samples that count, as tensors in float64.

    ``X`` (n, d); ``Y`` (n, t); ``weights`` (n,) of the samples; ``column_weights`` (n, t) of the
    errors of each column, None if all are one.
    """

    X: object
    Y: object
    weights: object
    column_weights: object = None

    @classmethod
    def of(cls, passage, X, Y, sample_weight, column_weights=None):
        """Drop samples of weight zero."""
        X = passage.tensor(X).double()
        weights = passage.tensor(sample_weights(sample_weight, len(X)))
        kept = weights > 0
        samples = cls(X, Y, weights, column_weights)
        if bool(kept.all()):
            return samples
        return cls(*(None if part is None else part[kept] for part in samples))


def kept_columns(passage, coef, numbers, *, single):
    """Make attributes of coefficients (d, t) and of tensors (t,) by name.

    A single target, of y with one axis, has coefficients (d,) and plain numbers.
    """
    kept = {"coef_": passage.keep(coef[:, 0] if single else coef.T.contiguous())}
    for name, values in numbers.items():
        kept[name] = float(values[0]) if single else passage.keep(values)
    return kept


def fitted_columns(estimator, passage):
    """Bring ``coef_`` and ``intercept_`` to the device: (d, t), and (t,) or a number."""
    coef, intercept = passage.tensor(estimator.coef_).double(), estimator.intercept_
    if not isinstance(intercept, float):
        intercept = passage.tensor(intercept).double()
    return coef[:, None] if coef.ndim == 1 else coef.T, intercept


class ColumnRegressor(MultiOutputMixin, RegressorMixin):
    """Columns are predictions."""

    def predict(self, X):
        """Predict targets.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,) or (n_samples, n_targets)
            Predicted targets.
        """
        passage, outputs = self._outputs(X, "predict")
        return passage.back(outputs.to(passage.dtype))


class ColumnClassifier(ClassifierMixin):
    """Columns are coded classes; ``_coding`` holds the fields of their `TargetCoding`."""

    def decision_function(self, X):
        """Compute the scores of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        scores : array of shape (n_samples,) or (n_samples, n_classes)
            One per sample for two classes, positive for ``classes_[1]``; else one per class.
        """
        passage, outputs = self._outputs(X, "decision_function")
        return passage.back(
            decision_values(TargetCoding(*self._coding).scores(outputs), passage.dtype)
        )

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        y : array of shape (n_samples,)
            The class with the largest output.
        """
        passage, outputs = self._outputs(X, "predict")
        best = TargetCoding(*self._coding).decide(outputs)
        return decode_labels(passage, self.classes_, best)

    def predict_proba(self, X):
        """Estimate the probabilities of the classes.

        Least squares on coded labels estimates probabilities, which outputs are taken back to,
        and then to the probability simplex. They are not calibrated: a model that interpolates is
        certain of every training sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features_in)
            Samples.

        Returns
        -------
        probabilities : array of shape (n_samples, n_classes)
            Not negative, with rows that sum to 1.
        """
        passage, outputs = self._outputs(X, "predict_proba")
        return passage.back(TargetCoding(*self._coding).probabilities(outputs).to(passage.dtype))
