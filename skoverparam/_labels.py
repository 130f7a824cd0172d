"""Class labels on one side, columns of targets for a least squares fit on the other."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from skoverparam._arrays import Passage, cross, to_numpy
from skoverparam._params import check_number

_NAMES = ("onehot", "pm1", "rescaled")

# Published choice of (k, M) by the number of classes, arXiv:2006.07322.
_RESCALED = ((1000, 15.0, 30.0), (42, 1.0, 15.0), (0, 1.0, 1.0))


def encode_labels(y: Any, estimator_name: str) -> tuple[np.ndarray[Any, Any], Any]:
    """Find the classes, and the index of each sample's class.

    Parameters
    ----------
    y : array of shape (n,)
        Labels of any kind and namespace.

    estimator_name : str
        For the message when there is one class only.

    Returns
    -------
    classes, labels : ndarray of shape (n_classes,) and (n,)
        The distinct labels, sorted, and indices into them.
    """
    y = to_numpy(y)
    check_classification_targets(y)
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{estimator_name} needs samples of at least two classes; the number of classes in "
            f"{len(y)} sample{'s' * (len(y) > 1)} is one class: {classes.tolist()}."
        )
    return classes, labels


def cross_labels(
    estimator: Any, X: Any, y: Any
) -> tuple[Passage, Any, Any, np.ndarray[Any, Any], Tensor]:
    """Validate the training data of a classifier and open the way to torch.

    Parameters
    ----------
    estimator : estimator
        Its ``device`` says where to compute.

    X, y : array-like of shape (n, d) and (n,)
        The user's data.

    Returns
    -------
    passage, X, y : Passage and arrays
        As from :func:`skoverparam._arrays.cross`.

    classes : ndarray of shape (n_classes,)
        The distinct labels, sorted.

    labels : Tensor of shape (n,)
        Indices into them.
    """
    passage, X, y = cross(estimator, X, y, reset=True, device=estimator.device)
    classes, labels = encode_labels(y, type(estimator).__name__)
    return passage, X, y, classes, passage.tensor(labels)


def decode_labels(passage: Passage, classes: Any, indices: Tensor) -> Any:
    """Turn indices of classes into labels of the user's kind."""
    if classes.dtype.kind in "OUS":
        return classes[to_numpy(indices)]
    return passage.back(passage.tensor(classes)[indices])


def has_positions(y: Any) -> bool:
    """Whether there is a row of labels per sample, one for each position: several columns."""
    shape = getattr(y, "shape", None)
    if shape is None:
        y = list(y) if isinstance(y, (list, tuple)) else []
        shape = (len(y), *{np.size(row) for row in y}) if len(y) else ()
    return len(shape) == 2 and shape[1] > 1


def encode_positions(
    y: Any, present: Any, estimator_name: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Find the classes of labels per position, and the index of each position's class.

    Parameters
    ----------
    y : array of shape (n, T)
        Labels; negative numbers and empty strings are not counted.

    present : ndarray of bool of shape (n, T), or None
        Which positions are no padding: labels of others are not counted either.

    estimator_name : str
        For the message when there is one class only.

    Returns
    -------
    classes : ndarray of shape (n_classes,)
        The distinct labels that are counted, sorted.

    labels : ndarray of shape (n, T)
        Indices into them, -1 where labels are not counted.
    """
    y, counted = counted_positions(y, present)
    classes, indices = encode_labels(y[counted], estimator_name)
    labels = np.full(y.shape, -1)
    labels[counted] = indices
    return classes, labels


def counted_positions(y: Any, present: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Bring labels of shape (n, T) to the host, and find those that are counted."""
    y = to_numpy(y)
    if y.dtype.kind in ("b", "u"):
        y = y.astype(np.int64)  # room for -1
    counted = y != "" if y.dtype.kind in "OUS" else y >= 0
    if present is not None:
        counted = counted & present
    if not counted.any():
        raise ValueError("y has no label to train on: all are negative, empty or on padding.")
    return y, counted


def decode_positions(passage: Passage, classes: Any, indices: Tensor, present: Any) -> Any:
    """Turn indices of classes into labels; -1, or an empty string, where nothing is present."""
    if classes.dtype.kind in "OUS":
        return np.where(
            True if present is None else to_numpy(present), classes[to_numpy(indices)], ""
        )
    labels = passage.tensor(classes)[indices]
    return passage.back(labels if present is None else labels.masked_fill(~present, -1))


def check_target_coding(value: Any) -> None:
    """Check a ``target_coding`` parameter: a name, or a pair (k, M) of numbers from 1."""
    if isinstance(value, str) and value in _NAMES:
        return
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(
            "target_coding must be 'onehot', 'pm1', 'rescaled' or a pair (k, M) of numbers, got "
            f"{value!r}."
        )
    check_number(value[0], "k of target_coding", low=1)
    check_number(value[1], "M of target_coding", low=1)


class TargetCoding(NamedTuple):
    """Targets of least squares for classification, and the way back from fitted outputs.

    One column a class: the target is `high` for a sample's own class and `low` for the others,
    and errors of the own class count `k` times. For two classes with k = 1 there is one column,
    whose sign decides: what a linear rule makes of it is the difference of two columns.

    Attributes
    ----------
    n_classes : int
        Number of classes, at least two.

    high, low : float
        Targets of the own class and of the others.

    k : float
        Weight of the own class.
    """

    n_classes: int
    high: float
    low: float
    k: float = 1.0

    @classmethod
    def of(cls, target_coding: Any, n_classes: int) -> TargetCoding:
        """Make the coding that a ``target_coding`` parameter stands for."""
        if target_coding == "pm1":
            return cls(n_classes, 1.0, -1.0)
        if target_coding == "onehot":
            return cls(n_classes, 1.0, 0.0)
        if target_coding == "rescaled":
            k, M = next((k, M) for least, k, M in _RESCALED if n_classes >= least)
        else:
            k, M = target_coding
        return cls(n_classes, float(M), 0.0, float(k))

    @property
    def single(self) -> bool:
        """Whether one column stands for two classes."""
        return self.n_classes == 2 and self.k == 1

    def columns(self, labels: Tensor) -> Tensor:
        """Make the targets in float64, shape (n, n_classes), or (n, 1) if `single`."""
        if self.single:
            return (labels.double() * 2 - 1)[:, None] * self.high
        own = torch.nn.functional.one_hot(labels.long(), self.n_classes).double()
        return self.low + (self.high - self.low) * own

    def weights(self, labels: Tensor) -> Tensor | None:
        """Weights of the errors, of the shape of the targets; None if all are one."""
        if self.k == 1:
            return None
        own = torch.nn.functional.one_hot(labels.long(), self.n_classes).double()
        return 1 + (self.k - 1) * own

    def outputs(self, probabilities: Tensor) -> Tensor:
        """Return what minimizes the expected loss where classes have these probabilities.

        Of shape (n, n_classes) probabilities, columns as in :meth:`columns`:
        low + (high - low) p for k = 1, and in general M k p / (1 + (k - 1) p).
        """
        if self.single:
            return (probabilities[:, 1:] - probabilities[:, :1]) * self.high
        share = self.k * probabilities / (1 + (self.k - 1) * probabilities)
        return self.low + (self.high - self.low) * share

    def scores(self, outputs: Tensor) -> Tensor:
        """Make decision values of fitted outputs: (n,) for two classes, else (n, n_classes)."""
        if self.single:
            return outputs[:, 0]
        return outputs[:, 1] - outputs[:, 0] if self.n_classes == 2 else outputs

    def decide(self, outputs: Tensor) -> Tensor:
        """Return the index of the class with the largest output."""
        scores = self.scores(outputs)
        return (scores > 0).long() if self.n_classes == 2 else scores.argmax(1)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Estimate the probabilities of the classes, shape (n, n_classes).

        They are taken back through :meth:`outputs`. For k = 1 the nearest point of the
        probability simplex follows; else values are cut off at 0 and 1 and scaled to the sum 1.
        """
        if self.single:
            above = (0.5 + 0.5 * outputs[:, 0] / self.high).clamp(0, 1)
            return torch.stack([1 - above, above], 1)
        share = (outputs - self.low) / (self.high - self.low)
        if self.k == 1:
            return project_to_simplex(share)
        share = share.clamp(0, 1)
        share = share / (self.k - (self.k - 1) * share)
        total = share.sum(1, keepdim=True)
        even = torch.full_like(share, 1 / self.n_classes)
        return torch.where(total > 0, share / total.where(total > 0, 1.0), even)


def decision_values(scores: Tensor, dtype: torch.dtype) -> Tensor:
    """Round scores of shape (n,) or (n, n_classes) to a precision in which they decide the same.

    There, scores may be zero that were not, larger than any number, or equal that were not.
    """
    largest = torch.finfo(dtype).max
    if largest >= torch.finfo(scores.dtype).max:
        return scores.to(dtype)
    rounded = scores.clamp(-largest, largest).to(dtype)
    if scores.ndim == 1:
        least = torch.finfo(dtype).tiny
        return torch.where(
            (rounded == 0) & (scores != 0), scores.sign().to(dtype) * least, rounded
        )
    best = scores.argmax(1, keepdim=True)
    top = rounded.gather(1, best)
    lost = rounded.argmax(1, keepdim=True) != best
    # The best a step up; where there is none, the others a step down.
    up, down = (torch.nextafter(top, torch.full_like(top, side * math.inf)) for side in (1, -1))
    others = torch.where(lost & (top == largest), rounded.minimum(down), rounded)
    return others.scatter(1, best, torch.where(lost & (top < largest), up, top))


def decision_values_of_outputs(outputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Make decision values of outputs (..., C) of networks: (...) for two classes, else (..., C).

    Those of two classes are the second output minus the first.
    """
    if outputs.shape[-1] == 2:
        scores = outputs[..., 1] - outputs[..., 0]
        return decision_values(scores.flatten(), dtype).reshape(scores.shape)
    return decision_values(outputs.flatten(0, -2), dtype).reshape(outputs.shape)


def project_to_simplex(rows: Tensor) -> Tensor:
    """Nearest point of the probability simplex to each row, shape (n, c).

    The largest entry stays the largest: every entry is lowered by the same amount, and cut off
    at zero.
    """
    # Adding one number to a row changes nothing; so large rows keep their digits.
    rows = rows - rows.amax(1, keepdim=True)
    ordered = rows.sort(dim=1, descending=True).values
    excess = ordered.cumsum(1) - 1
    ranks = torch.arange(1, rows.shape[1] + 1, device=rows.device, dtype=rows.dtype)
    n_positive = (ordered * ranks > excess).sum(1, keepdim=True)
    shift = excess.gather(1, n_positive - 1) / n_positive
    return (rows - shift).clamp_min(0)
