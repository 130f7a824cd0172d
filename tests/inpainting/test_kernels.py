import pytest
import torch

from skoverparam.inpainting._kernels import kernel_row, pixel_kernel
from skoverparam.kernels._convolutional import convolutional_ntk
from skoverparam.kernels._convolutional_layers import encoder_decoder

LEVELS = 2


@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("upsampling", ["nearest", "periodic_bilinear", "bilinear"])
def test_rows_are_those_of_the_dense_kernel(upsampling, averaged):
    shape = (17, 23)
    layers = encoder_decoder(LEVELS, upsampling=upsampling)
    kernel = pixel_kernel(
        layers, LEVELS, shape, None, averaged=averaged, device=torch.device("cpu")
    )
    if upsampling == "bilinear":
        dense = convolutional_ntk(layers, (20, 24)).values
    else:
        # So large that a picture in the corner does not feel the borders meet.
        dense = convolutional_ntk(layers, (48, 48))
        dense = (dense.averaged() if averaged else dense).dense().values
    for pixel in [(0, 0), (5, 9), (16, 22), (3, 22)]:
        row = kernel_row(kernel, pixel, shape)
        # The same numbers, unless an interpolated kernel reaches around its torus.
        atol = 1e-4 if upsampling == "periodic_bilinear" else 1e-14
        torch.testing.assert_close(row, dense[pixel][:17, :23], rtol=0, atol=atol)


def test_other_kernels_are_refused():
    with pytest.raises(TypeError, match="no such kernel: list"):
        kernel_row([], (0, 0), (3, 3))
