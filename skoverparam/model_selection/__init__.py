"""Generalization curves, and cross-validation over the entries of a matrix."""

from skoverparam.model_selection._entries import EntryKFold, EntryShuffleSplit
from skoverparam.model_selection._entry_scores import cross_val_entries
from skoverparam.model_selection._generalization_curve import generalization_curve
from skoverparam.model_selection._generalization_curve_display import GeneralizationCurveDisplay
from skoverparam.model_selection._phase_transition import phase_transition_map
from skoverparam.model_selection._phase_transition_display import PhaseTransitionDisplay

__all__ = [
    # curves
    "GeneralizationCurveDisplay",
    "generalization_curve",
    "PhaseTransitionDisplay",
    "phase_transition_map",
    # splitters
    "EntryKFold",
    "EntryShuffleSplit",
    # scores
    "cross_val_entries",
]
