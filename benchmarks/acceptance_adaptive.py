"""Image completion with the adaptive prior on real pictures: prints the tables to judge it by.

    SKOVERPARAM_DATA=FOLDER python benchmarks/acceptance_adaptive.py [PART ...]

- adaptive: PSNR and time of every picture of Set12 at its own size, at half and four fifths of
  the pixels missing, beside scikit-image's biharmonic inpainting where it is installed;
- holes: the same for rows and columns 100 to 140 of the upper left 256 x 256 pixels;
- large: time and memory of larger pictures; with --device cuda, also a batch of 64 color pictures
  and 4096 x 4096.

One default configuration for everything. Masks are ``numpy.random.default_rng(0).random(shape)
<= share``, true where missing. PSNR is over the whole picture, values in [0, 1].
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from skoverparam.inpainting._adaptive import complete
from skoverparam.kernels._convolutional import displacement_window
from skoverparam.kernels._convolutional_layers import encoder_decoder

NAMES = {
    "01": "cameraman",
    "02": "house",
    "03": "peppers",
    "04": "starfish",
    "05": "monarch",
    "06": "airplane",
    "07": "parrot",
    "08": "Lena",
    "09": "barbara",
    "10": "boat",
    "11": "man",
    "12": "couple",
}
# The other four chose the settings, with other masks, together with a corner of barbara; for holes
# also holes elsewhere in barbara and boat.
JUDGED = ("01", "02", "03", "08", "09", "10", "11", "12")


def picture(folder, name):
    """A picture of Set12 in [0, 1]."""
    pixels = np.asarray(Image.open(folder / "images" / "set12" / f"{name}.png"), dtype=float)
    return pixels / 255


def psnr(truth, completed):
    return -10 * np.log10(np.mean((truth - completed) ** 2))


def displacement():
    """The averaged kernel of a network of four levels, one at displacement zero."""
    window = displacement_window(encoder_decoder(4)).averaged()
    T = window.values[0, 0]
    top = float(T[len(T) // 2, len(T) // 2])
    return T / top, window.far / top


def adaptive_steps(truth, missing):
    """PSNR of the start and after each pass; and seconds."""
    corrupted = torch.from_numpy(np.where(missing, 0, truth))[None, None]
    start = time.perf_counter()
    steps = complete(corrupted, torch.from_numpy(missing)[None], *displacement())
    scores = [psnr(truth, step[0, 0].numpy()) for step in steps]
    return scores, time.perf_counter() - start


def biharmonic(truth, missing):
    """PSNR and seconds of scikit-image."""
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError:
        return np.nan, np.nan
    start = time.perf_counter()
    filled = inpaint_biharmonic(np.where(missing, 0, truth), missing)
    return psnr(truth, filled), time.perf_counter() - start


def table(folder, masked, names):
    """Print a row per picture, and means."""
    print(
        f"{'':12}{'biharmonic':>11}{'s':>7}{'start':>8}{'1 pass':>8}{'last':>8}{'s':>7}{'gain':>7}"
    )
    rows = {}
    for number, name in names.items():
        truth, missing = masked(picture(folder, number))
        peer, peer_seconds = biharmonic(truth, missing)
        scores, seconds = adaptive_steps(truth, missing)
        rows[number] = [peer, peer_seconds, scores[0], scores[1], scores[-1], seconds]
        print_row(name, rows[number])
    print_row("mean", np.mean(list(rows.values()), axis=0))
    judged = [rows[number] for number in rows if number in JUDGED]
    print_row("mean of 8", np.mean(judged, axis=0))


def print_row(name, row):
    peer, peer_seconds, first, second, last, seconds = row
    print(
        f"{name:12}{peer:11.2f}{peer_seconds:7.1f}{first:8.2f}{second:8.2f}{last:8.2f}"
        f"{seconds:7.1f}{last - peer:7.2f}",
        flush=True,
    )


def adaptive(folder, arguments):
    """Pixels missing at random."""
    for share in (0.5, 0.8):
        print(f"{share:.0%} missing, {torch.get_num_threads()} threads")
        table(
            folder,
            lambda x, share=share: (x, np.random.default_rng(0).random(x.shape) <= share),
            {number: NAMES[number] for number in arguments.pictures or NAMES},
        )


def holes(folder, arguments):
    """A hole of 40 x 40 pixels."""

    def masked(truth):
        truth = truth[:256, :256]
        missing = np.zeros(truth.shape, dtype=bool)
        missing[100:140, 100:140] = True
        return truth, missing

    table(folder, masked, {number: NAMES[number] for number in arguments.pictures or NAMES})


# (side, images, channels)
SIZES = [(256, 1, 1), (512, 1, 1), (1024, 1, 1), (256, 1, 3)]
LARGE = [(256, 64, 3), (4096, 1, 1)]


def large(folder, arguments):
    """Time by size."""
    device = torch.device(arguments.device)
    print(f"half missing, {arguments.device}, {torch.get_num_threads()} threads")
    print(
        f"{'side':>6}{'images':>8}{'channels':>10}{'seconds':>9}{'CPU s':>8}{'us / missing':>14}"
    )
    for side, n_images, n_channels in SIZES + (LARGE if device.type != "cpu" else []):
        truth = picture(folder, "08")
        tiles = -(-side // 512)
        truth = np.tile(np.block([[truth, truth[:, ::-1]], [truth[::-1], truth]]), (tiles, tiles))
        shape = (n_images, n_channels, side, side)
        images = torch.from_numpy(truth[:side, :side].copy()).expand(shape).to(device)
        generator = np.random.default_rng(0)
        missing = torch.from_numpy(generator.random((n_images, side, side)) <= 0.5).to(device)
        start, cpu = time.perf_counter(), time.process_time()
        for step in complete(images, missing, *displacement()):
            last = step
        # Reading a number waits for the device.
        float(last.sum())
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        each = 1e6 * seconds / int(missing.sum())
        print(
            f"{side:6d}{n_images:8d}{n_channels:10d}{seconds:9.2f}{cpu:8.2f}{each:14.1f}",
            flush=True,
        )


PARTS = {"adaptive": adaptive, "holes": holes, "large": large}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all if none is named")
    parser.add_argument("--device", default="cpu", help="where large pictures are completed")
    parser.add_argument("--pictures", nargs="*", help="numbers of pictures, 01 to 12")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    if "SKOVERPARAM_DATA" not in os.environ:
        parser.error("set SKOVERPARAM_DATA to the folder of real data")
    for part in arguments.parts or PARTS:
        print(f"== {part}")
        PARTS[part](Path(os.environ["SKOVERPARAM_DATA"]), arguments)
