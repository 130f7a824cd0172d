"""Generated data sets whose truth is known, and holes in data that are."""

from skoverparam.datasets._image_masks import mask_images
from skoverparam.datasets._low_rank import make_low_rank_matrix_with_missing

__all__ = ["make_low_rank_matrix_with_missing", "mask_images"]
