"""Complete photographs: priors beside biharmonic inpainting, and the solver beside a dense one.

The CUDA rows need no other code: they skip where there is no device.
"""

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.datasets import load_sample_image

from skoverparam import NTKImageCompleter
from skoverparam.datasets import mask_images
from skoverparam.kernels import convolutional_ntk, encoder_decoder

ALPHA = 1e-4

# scikit-learn's photographs: a temple with tiles and sky, a flower out of focus behind.
PICTURES = {"temple": ("china.jpg", 60, 200), "flower": ("flower.jpg", 100, 200)}


def photograph(name, side=256):
    """A square part of a photograph in grey."""
    file, top, left = PICTURES[name]
    return load_sample_image(file)[top : top + side, left : left + side].mean(axis=2)


def tiled(side):
    """A photograph in color with its mirror images, as a square of any size."""
    image = load_sample_image("china.jpg").astype(float)
    margin = [(0, max(0, side - length)) for length in image.shape[:2]]
    return np.pad(image, [*margin, (0, 0)], mode="symmetric")[:side, :side]


def decibels(completed, truth):
    return 10 * np.log10(255**2 / np.mean((completed - truth) ** 2))


def biharmonic(masked):
    from skimage.restoration import inpaint_biharmonic

    return inpaint_biharmonic(np.nan_to_num(masked[0]), np.isnan(masked[0]))[None]


CONTENDERS = {
    "ours": NTKImageCompleter().fit_transform,
    "ours, stationary": NTKImageCompleter(prior="stationary").fit_transform,
    "biharmonic": biharmonic,
}


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("missing", [0.5, 0.8])
@pytest.mark.parametrize("picture", PICTURES)
def test_photograph(measure, contender, missing, picture):
    if contender == "biharmonic":
        pytest.importorskip("skimage")
    images = photograph(picture)[None]
    masked = mask_images(images, missing=missing, random_state=0)
    task = f"complete the {picture}, 256 x 256 in grey, {missing:.0%} missing".replace("%", " %")
    completed = measure(task, contender, CONTENDERS[contender], masked, rounds=2)
    measure.note(dB=decibels(completed, images))


def dense_system(masked):
    """The stationary system written down: (K between observed pixels, K to all), averaged."""
    side = masked.shape[1]
    observed = ~np.isnan(masked.ravel())
    # The picture is a part of a torus so large that its borders do not meet.
    kernel = convolutional_ntk(encoder_decoder(4), shape=(side + 16, side + 16)).averaged()
    row = kernel.blocks[0, 0]
    i, j = np.divmod(np.arange(side * side), side)
    K = row[i[:, None] - i[observed], j[:, None] - j[observed]]
    system = K[observed]
    system[np.diag_indices(len(system))] += ALPHA * row[0, 0]
    return system, K


@pytest.mark.parametrize("contender", ["ours", "scipy.linalg.solve, matrix given"])
def test_dense_system(measure, contender):
    images = photograph("temple", side=128)[None]
    masked = mask_images(images, missing=0.5, random_state=0)
    task = "stationary system of 128 x 128 pixels, half missing, residual 1e-6"
    ours = NTKImageCompleter(prior="stationary", alpha=ALPHA, tol=1e-6)
    if contender == "ours":
        completed = measure(task, contender, ours.fit_transform, masked)
    else:
        system, K = dense_system(masked)
        observed = ~np.isnan(masked.ravel())
        values = masked.ravel()[observed]
        mean = values.mean()
        dual = measure(task, contender, scipy.linalg.solve, system, values - mean, assume_a="pos")
        completed = np.where(observed, masked.ravel(), K @ dual + mean).reshape(masked.shape)
        measure.note(difference=np.abs(completed - ours.fit_transform(masked)).max())
    measure.note(dB=decibels(completed, images))


@pytest.mark.parametrize("prior", ["adaptive", "stationary"])
@pytest.mark.parametrize("size", ["64 color images of 256 x 256", "one grey image of 4096 x 4096"])
def test_on_cuda(measure, prior, size):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    if size.startswith("64"):
        whole = tiled(256 + 63)
        images = np.stack([whole[k : k + 256, k : k + 256] for k in range(64)])
    else:
        images = tiled(4096).mean(axis=2)[None]
    truth = torch.from_numpy(images.astype(np.float32)).cuda()
    masked = mask_images(images.astype(np.float32), missing=0.5, random_state=0)
    masked = torch.from_numpy(masked).cuda()
    completer = NTKImageCompleter(prior=prior)

    def complete():
        completer.fit(masked)
        torch.cuda.synchronize()

    torch.cuda.reset_peak_memory_stats()
    contender = "ours" if prior == "adaptive" else "ours, stationary"
    measure(f"on CUDA: {size}, half missing", contender, complete, warmup_rounds=1)
    completed = completer.transform(masked).double()
    mse = float((completed - truth).square().mean())
    measure.note(dB=10 * np.log10(255**2 / mse), GB=torch.cuda.max_memory_allocated() / 2**30)
