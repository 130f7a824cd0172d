"""Image completion on real pictures: prints the tables to judge it by.

    SKOVERPARAM_DATA=FOLDER python benchmarks/acceptance_inpainting.py [PART ...]

- parity: two corners of 128 x 128 pixels by the exact kernel that arXiv:2108.00131 uses, beside
  the PSNR of its authors' code, and beside scipy's dense solve of the same system in time;
- speed: time and peak memory of stationary completion by size, each in a process of its own, and
  relative to N log N; with --device cuda, also a batch of 64 color pictures and 4096 x 4096;
- stationary: PSNR on the seven pictures of 256 x 256, at half and four fifths of the pixels
  missing and with a hole, beside scikit-image's biharmonic inpainting where it is installed.

Masks are those of ``numpy.random.default_rng(1).random(shape) > share``, true where observed.
"""

import argparse
import math
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from skoverparam.inpainting._stationary import complete
from skoverparam.kernels._convolutional import convolutional_ntk, displacement_window
from skoverparam.kernels._convolutional_layers import encoder_decoder

SMALL = ("01", "02", "03", "04", "05", "06", "07")
# A weight for noise, as a part of the kernel's height above its far value.
RELATIVE_ALPHA = 1e-2


def picture(folder, name):
    """A picture of Set12 in [0, 1]."""
    pixels = np.asarray(Image.open(folder / "images" / "set12" / f"{name}.png"), dtype=float)
    return torch.from_numpy(pixels / 255)


def enlarged(image, side):
    """The picture and its mirror images, side by side, as a square of the given side."""
    while image.shape[0] < side:
        image = torch.cat([image, image.flip(1)], dim=1)
        image = torch.cat([image, image.flip(0)], dim=0)
    return image[:side, :side].contiguous()


def observed_at_random(shape, share_missing):
    return torch.from_numpy(np.random.default_rng(1).random(shape) > share_missing)


def psnr(truth, completed, *, clip=False):
    completed = completed.clamp(0, 1) if clip else completed
    return -10 * math.log10(float((completed - truth).square().mean()))


def last(steps):
    *_, step = steps
    return step


def height(window):
    """The kernel of a pixel with itself above that of distant ones."""
    middle = window.values.shape[-1] // 2
    return float(window.values[0, 0, middle, middle]) - window.far


def stationary_window(levels, averaged):
    window = displacement_window(encoder_decoder(levels))
    return window.averaged() if averaged else window


# ---- parity -------------------------------------------------------------------------------


def parity(folder, arguments):
    """PSNR beside the authors' code, and time beside a dense solve of the same system."""
    from scipy.linalg import solve

    anchors = {"01": 28.179, "05": 28.299}
    side = 128
    observed = observed_at_random((side, side), 0.5)
    seen = observed.flatten().numpy()
    K = convolutional_ntk(encoder_decoder(3), (side, side)).dense().values
    K = K.reshape(side**2, side**2).numpy()
    print(f"128 x 128, {seen.sum()} unknowns, kernel of three levels on the torus, not averaged")
    print(f"{'':10}{'PSNR':>9}{'authors':>9}{'largest':>12}{'ours':>9}{'dense':>9}{'ratio':>8}")
    print(f"{'':10}{'clipped':>9}{'':>9}{'difference':>12}{'s':>9}{'s':>9}")
    # Libraries are loaded and threads are started before anything is timed.
    solve(np.eye(500) + 1, np.ones(500))
    last(complete(torch.rand(1, 1, 64, 64), observed[None, :64, :64], stationary_window(1, True)))
    for name, anchor in anchors.items():
        truth = picture(folder, name)[:side, :side].contiguous()
        start = time.perf_counter()
        kernel = convolutional_ntk(encoder_decoder(3), (side, side))
        step = last(complete(truth[None, None], ~observed[None], kernel, tol=1e-6))
        ours = time.perf_counter() - start
        values = truth.flatten().numpy()
        mean = values[seen].mean()
        system = K[np.ix_(seen, seen)]
        start = time.perf_counter()
        dual = solve(system, values[seen] - mean)
        dense = time.perf_counter() - start
        del system
        filled = K[:, seen] @ dual + mean
        difference = np.abs(filled - step.images.flatten().numpy())[~seen].max()
        print(
            f"{name:10}{psnr(truth, step.images[0, 0], clip=True):9.3f}{anchor:9.3f}"
            f"{difference:12.1e}{ours:9.3f}{dense:9.2f}{dense / ours:8.1f}"
        )


# ---- speed --------------------------------------------------------------------------------

# (title, side, images, channels, levels, averaged)
SIZES = [
    ("3 levels", 256, 1, 1, 3, False),
    ("3 levels", 512, 1, 1, 3, False),
    ("3 levels", 1024, 1, 1, 3, False),
    ("4 levels, averaged", 128, 1, 1, 4, True),
    ("4 levels, averaged", 256, 1, 1, 4, True),
    ("4 levels, averaged", 512, 1, 1, 4, True),
    ("4 levels, averaged", 1024, 1, 1, 4, True),
    ("4 levels, averaged", 2048, 1, 1, 4, True),
]
LARGE = [
    ("64 color pictures", 256, 64, 3, 4, True),
    ("4 levels, averaged", 4096, 1, 1, 4, True),
]


def peak_memory():
    """Largest memory of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Unlike ru_maxrss, this is not inherited from the process that started this one.
        (line,) = (row for row in status.read_text().splitlines() if row.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def measure(folder, arguments):
    """Complete once, in this process; print products, residual, seconds and megabytes."""
    side, n_images, n_channels, levels, averaged = arguments.measure
    device, dtype = torch.device(arguments.device), torch.float64
    truth = enlarged(picture(folder, "08"), side)
    images = truth.expand(n_images, n_channels, side, side).to(device, dtype)
    missing = ~observed_at_random((side, side), 0.5).expand(n_images, side, side).to(device)
    if device.type == "cuda":
        torch.zeros(1, device=device)
        torch.cuda.synchronize()
    before = peak_memory()
    start, cpu = time.perf_counter(), time.process_time()
    window = displacement_window(encoder_decoder(levels), device=device)
    window = window.averaged() if averaged else window
    step = last(complete(images, missing, window, tol=arguments.tol))
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    after = peak_memory()
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else after
    score = psnr(truth, step.images[0, 0].cpu())
    print(
        step.n_iter,
        float(step.residual.max()),
        seconds,
        cpu,
        peak,
        after - before,
        score,
    )


def speed(folder, arguments):
    """Time and memory by size."""
    sizes = SIZES + (LARGE if arguments.device != "cpu" else [])
    print(
        f"half the pixels missing, relative residual {arguments.tol:g}, kernel included, "
        f"{arguments.device}, {torch.get_num_threads()} threads"
    )
    print(
        f"{'':20}{'side':>6}{'products':>10}{'residual':>10}{'seconds':>9}{'CPU s':>8}"
        f"{'MB':>7}{'grown':>7}{'PSNR':>7}  ns / (N log2 N)"
    )
    for title, side, n_images, n_channels, levels, averaged in sizes:
        numbers = [side, n_images, n_channels, levels, int(averaged)]
        command = [sys.executable, __file__, "--device", arguments.device]
        command += ["--tol", str(arguments.tol), "--measure", *map(str, numbers)]
        rows = [
            [float(word) for word in subprocess.check_output(command, text=True).split()]
            for _ in range(arguments.repeats)
        ]
        products, residual, seconds, cpu, peak, grown, score = min(rows, key=lambda row: row[2])
        n_pixels = n_images * n_channels * side**2
        share = 1e9 * seconds / (n_pixels * math.log2(side**2))
        print(
            f"{title:20}{side:6d}{products:10.0f}{residual:10.1e}{seconds:9.2f}{cpu:8.2f}"
            f"{peak:7.0f}{grown:7.0f}{score:7.2f}{share:8.1f}",
            flush=True,
        )


# ---- stationary ---------------------------------------------------------------------------


def masks(side):
    """The three masks, true where observed."""
    hole = torch.ones(side, side, dtype=torch.bool)
    hole[100:140, 100:140] = False
    return {
        "50 %": observed_at_random((side, side), 0.5),
        "80 %": observed_at_random((side, side), 0.8),
        "hole": hole,
    }


def biharmonic(truth, observed):
    from skimage.restoration import inpaint_biharmonic

    return torch.from_numpy(inpaint_biharmonic(truth.numpy(), (~observed).numpy()))


def stationary(folder, arguments):
    """PSNR of stationary kernels on the pictures of 256 x 256."""
    truths = torch.stack([picture(folder, name) for name in SMALL])[:, None]
    side = truths.shape[-1]
    print(f"mean PSNR of {len(truths)} pictures (not clipped), and seconds for all of them")
    print(f"{'':44}" + "".join(f"{name:>8}{'s':>7}" for name in masks(side)))

    def row(title, fill):
        figures = []
        for observed in masks(side).values():
            start = time.perf_counter()
            filled = fill(observed)
            seconds = time.perf_counter() - start
            mean = np.mean([psnr(a, b) for a, b in zip(truths, filled, strict=True)])
            figures.append(f"{mean:8.2f}{seconds:7.2f}")
        print(f"{title:44}{''.join(figures)}", flush=True)

    for levels in (3, 4, 5):
        for averaged in (False, True):
            window = stationary_window(levels, averaged)
            on_torus = window.on((side, side)) if averaged or levels < 5 else None
            for where, kernel in (("torus", on_torus), ("plane", window)):
                for relative in (0.0, RELATIVE_ALPHA):
                    if kernel is None:
                        continue
                    title = f"{levels} levels{', averaged' * averaged}, {where}, {relative:g}"

                    alpha = relative * height(window)

                    def fill(observed, kernel=kernel, alpha=alpha):
                        missing = ~observed.expand(len(truths), side, side)
                        return last(complete(truths, missing, kernel, alpha=alpha)).images

                    row(title, fill)
    try:
        row("biharmonic", lambda observed: [biharmonic(t[0], observed)[None] for t in truths])
    except ImportError:
        print("biharmonic: scikit-image is not installed")


PARTS = {"parity": parity, "speed": speed, "stationary": stationary}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all if none is named")
    parser.add_argument("--device", default="cpu", help="where speed is measured")
    parser.add_argument("--tol", type=float, default=1e-3, help="relative residual for speed")
    parser.add_argument("--repeats", type=int, default=2, help="runs, of which the best counts")
    parser.add_argument("--measure", nargs=5, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}")
    if "SKOVERPARAM_DATA" not in os.environ:
        parser.error("set SKOVERPARAM_DATA to the folder of real data")
    data_folder = Path(os.environ["SKOVERPARAM_DATA"])
    if arguments.measure:
        measure(data_folder, arguments)
    else:
        for part in arguments.parts or PARTS:
            print(f"== {part}")
            PARTS[part](data_folder, arguments)
