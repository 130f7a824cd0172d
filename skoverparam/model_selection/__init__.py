"""Generalization curves, and cross-validation over the entries of a matrix."""

from skoverparam.model_selection._entries import EntryKFold, EntryShuffleSplit
from skoverparam.model_selection._entry_scores import cross_val_entries
from skoverparam.model_selection._generalization_curve import generalization_curve
from skoverparam.model_selection._generalization_curve_display import GeneralizationCurveDisplay

__all__ = [
    # curves
    "GeneralizationCurveDisplay",
    "generalization_curve",
    # splitters
    "EntryKFold",
    "EntryShuffleSplit",
    # scores
    "cross_val_entries",
]
