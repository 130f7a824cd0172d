"""Kernels in closed form: functions of a distance, and those of infinitely wide networks.

The functions take numpy arrays, torch tensors on any device, data frames or other arrays, and
answer in the kind and precision of their first argument.
"""

from skoverparam.kernels._activations import DualPair, Erf, LeakyReLU, ReLU
from skoverparam.kernels._convolutional_layers import (
    Conv,
    Downsample,
    StationaryPrior,
    Upsample,
    encoder_decoder,
)
from skoverparam.kernels._on_arrays._convolutional import convolutional_ntk
from skoverparam.kernels._on_arrays._fully_connected import (
    fully_connected_nngp,
    fully_connected_ntk,
)
from skoverparam.kernels._on_arrays._radial import (
    gaussian,
    generalized_exponential,
    laplace,
    matern,
)
from skoverparam.kernels._pixel_pairs import BlockCirculantKernel, DenseKernel

__all__ = [
    # functions of a distance
    "gaussian",
    "generalized_exponential",
    "laplace",
    "matern",
    # wide networks
    "convolutional_ntk",
    "fully_connected_nngp",
    "fully_connected_ntk",
    # activations
    "DualPair",
    "Erf",
    "LeakyReLU",
    "ReLU",
    # convolutional networks
    "Conv",
    "Downsample",
    "StationaryPrior",
    "Upsample",
    "encoder_decoder",
    # kernels between pixels
    "BlockCirculantKernel",
    "DenseKernel",
]
