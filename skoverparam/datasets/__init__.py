"""Generated data sets whose truth is known."""

from skoverparam.datasets._low_rank import make_low_rank_matrix_with_missing

__all__ = ["make_low_rank_matrix_with_missing"]
