"""Generated data sets whose truth is known, and holes in data that are."""

from skoverparam.datasets._curve_designs import design_arrows, design_staircase
from skoverparam.datasets._image_masks import mask_images
from skoverparam.datasets._low_rank import make_low_rank_matrix_with_missing
from skoverparam.datasets._minimum_norm import make_minimum_norm_regression
from skoverparam.datasets._signal_noise import make_signal_noise_patches
from skoverparam.datasets._subgaussian_mixture import make_subgaussian_mixture

__all__ = [
    "design_arrows",
    "design_staircase",
    "make_low_rank_matrix_with_missing",
    "make_minimum_norm_regression",
    "make_signal_noise_patches",
    "make_subgaussian_mixture",
    "mask_images",
]
