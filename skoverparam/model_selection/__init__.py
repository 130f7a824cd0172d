"""Cross-validation over the entries of a matrix."""

from skoverparam.model_selection._entries import EntryKFold, EntryShuffleSplit
from skoverparam.model_selection._entry_scores import cross_val_entries

__all__ = [
    # splitters
    "EntryKFold",
    "EntryShuffleSplit",
    # scores
    "cross_val_entries",
]
