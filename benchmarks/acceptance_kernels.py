"""Kernel systems at the sizes they are for: prints times, memory and errors to judge them by.

    SKOVERPARAM_DATA=FOLDER python benchmarks/acceptance_kernels.py [PART ...]

- ridge: 10000 points, Gaussian kernel, beside scikit-learn's KernelRidge, each in a process of its
  own: seconds to fit, peak memory, and the largest difference of predictions;
- laplace: 20000 points, Laplace kernel, no ridge, by conjugate gradients and exactly;
- kin40k, protein: real regression on all training rows of the first split, beside
  HistGradientBoostingRegressor; the bandwidth is chosen on 3000 of the training rows;
- mnist: all 60000 digits, Laplace kernel, one target for each class, on deskewed and raw pixels;
- iterations: iterations of conjugate gradients by the rank of the preconditioner;
- columns: ten targets beside one.

Times are those of an idle machine only if it is idle. Peak memory is that of the whole process,
interpreter and libraries included (about 0.3 GB for ours, 0.15 for scikit-learn alone).
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

GIB = 2**30
PARTS = ("ridge", "laplace", "kin40k", "protein", "mnist", "iterations", "columns")


def synthetic(n, noise):
    """Eight standard normal features; sine, product and cosine; 2000 test points without noise."""
    import torch

    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n + 2000, 8, generator=generator, dtype=torch.float64)
    e = torch.randn(n + 2000, generator=generator, dtype=torch.float64)
    f = torch.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + torch.cos(2 * X[:, 3])
    y = f + noise * e
    return X[:n].numpy(), y[:n].numpy(), X[n:].numpy(), f[n:].numpy()


def folder():
    name = os.environ.get("SKOVERPARAM_DATA")
    if not name:
        sys.exit("set SKOVERPARAM_DATA to the folder of real data")
    return Path(name)


def table(name):
    """Standardized inputs and targets of the first split of a regression table."""
    path = folder() / "tabular" / name
    data = np.loadtxt(path / "data.csv.gz", delimiter=",")
    test = np.loadtxt(path / "test_mask.csv.gz", delimiter=",", usecols=0).astype(bool)
    X, y = data[:, :-1], data[:, -1]
    train = ~test
    X = (X - X[train].mean(0)) / X[train].std(0).clip(1e-12)
    y = (y - y[train].mean()) / y[train].std()
    return X[train], y[train], X[test], y[test]


def described(solution):
    return {
        "solver": solution.solver,
        "residual": float(np.max(np.asarray(solution.residual))),
        "n_iter": solution.n_iter,
        "condition": solution.condition_estimate,
        "planned_seconds": round(solution.plan.seconds, 1),
        "planned_gib": round(solution.plan.n_bytes / GIB, 2),
        "why": solution.plan.why,
    }


def ridge_ours(ridge):
    from skoverparam.kernels import gaussian
    from skoverparam.linalg import kernel_solve

    X, y, X_test, _ = synthetic(10000, 0.1)
    start = time.perf_counter()
    solution = kernel_solve(partial(gaussian, bandwidth=2.0), X, y, ridge=ridge, solver="cholesky")
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    predictions = solution.predict(X_test)
    return described(solution) | {
        "seconds": seconds,
        "predict_seconds": time.perf_counter() - start,
        "predictions": predictions.tolist(),
    }


def ridge_sklearn(ridge):
    from sklearn.kernel_ridge import KernelRidge

    X, y, X_test, _ = synthetic(10000, 0.1)
    model = KernelRidge(alpha=ridge, kernel="rbf", gamma=1 / 8)
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    predictions = model.predict(X_test)
    return {
        "seconds": seconds,
        "predict_seconds": time.perf_counter() - start,
        "predictions": predictions.tolist(),
    }


def laplace(solver):
    from skoverparam.kernels import laplace
    from skoverparam.linalg import kernel_solve

    X, y, X_test, f_test = synthetic(20000, 0.1)
    start = time.perf_counter()
    solution = kernel_solve(
        partial(laplace, bandwidth=10.0), X, y, tol=1e-5, solver=solver, random_state=1
    )
    seconds = time.perf_counter() - start
    error = np.mean((solution.predict(X_test) - f_test) ** 2)
    return described(solution) | {"seconds": seconds, "test_mse": error}


def regression(name):
    """Matern kernel; bandwidth and ridge by leave-one-out errors of 3000 training rows."""
    import skoverparam
    from skoverparam.kernels import matern
    from skoverparam.linalg import kernel_solve

    X, y, X_test, y_test = table(name)
    start = time.perf_counter()
    rows = np.random.default_rng(0).choice(len(X), 3000, replace=False)
    best = None
    for bandwidth in (1.0, 2.0, 4.0, 8.0):
        kernel = partial(matern, bandwidth=bandwidth * X.shape[1] ** 0.5 / 3, nu=1.5)
        trial = kernel_solve(kernel, X[rows], y[rows], ridge=1e-3, solver="cholesky", loo=True)
        for ridge in (1e-3, 1e-2, 1e-1, 1.0):
            error = float(np.mean(trial.at_ridge(ridge).loo_residuals ** 2))
            if best is None or error < best[0]:
                best = error, bandwidth, kernel, ridge
    error, bandwidth, kernel, ridge = best
    chosen = time.perf_counter() - start
    with skoverparam.config_context(memory_budget=7 * GIB):
        start = time.perf_counter()
        solution = kernel_solve(kernel, X, y, ridge=ridge, tol=1e-4, random_state=0)
        seconds = time.perf_counter() - start
    rmse = float(np.mean((solution.predict(X_test) - y_test) ** 2) ** 0.5)
    return described(solution) | {
        "n": len(X),
        "choice": f"bandwidth {bandwidth}, ridge {ridge}, loo rmse {error**0.5:.4f}",
        "choice_seconds": chosen,
        "seconds": seconds,
        "test_rmse": rmse,
    }


def boosting(name):
    from sklearn.ensemble import HistGradientBoostingRegressor

    X, y, X_test, y_test = table(name)
    start = time.perf_counter()
    model = HistGradientBoostingRegressor(random_state=0).fit(X, y)
    seconds = time.perf_counter() - start
    return {
        "n": len(X),
        "seconds": seconds,
        "test_rmse": float(np.mean((model.predict(X_test) - y_test) ** 2) ** 0.5),
    }


def deskewed(images):
    """Shear and shift digits until their centre of mass is the middle and their slant is zero.

    The moments say how: the column's mean is a linear function of the row with slope
    ``cov(row, column) / var(row)``.
    """
    from scipy.ndimage import affine_transform

    middle = (np.array(images.shape[1:]) - 1) / 2
    rows, columns = np.indices(images.shape[1:]) - middle[:, None, None]
    straight = np.empty_like(images)
    for image, out in zip(images, straight, strict=True):
        weight = image / image.sum()
        centre = np.array([(rows * weight).sum(), (columns * weight).sum()])
        spread = ((rows - centre[0]) ** 2 * weight).sum()
        slope = ((rows - centre[0]) * (columns - centre[1]) * weight).sum() / spread
        shear = np.array([[1.0, 0.0], [slope, 1.0]])
        affine_transform(image, shear, middle + centre - shear @ middle, output=out, order=1)
    return straight


def mnist(pixels):
    """Choose the bandwidth by leave-one-out errors of 8000 training digits; fit all of them."""
    import skoverparam
    from skoverparam.kernels import laplace
    from skoverparam.linalg import kernel_solve

    with np.load(folder() / "vision" / "mnist.npz") as data:
        X, X_test = (data[f"X_{part}"].reshape(-1, 28, 28) for part in ("train", "test"))
        labels, labels_test = data["y_train"], data["y_test"]
    X, X_test = (images.astype(np.float32) / 255 for images in (X, X_test))
    if pixels == "deskewed":
        X, X_test = deskewed(X), deskewed(X_test)
    X, X_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)
    Y = np.eye(10, dtype=np.float32)[labels]
    start = time.perf_counter()
    errors = {}
    for bandwidth in (4.0, 8.0, 16.0, 32.0):
        trial = kernel_solve(
            partial(laplace, bandwidth=bandwidth), X[:8000], Y[:8000], solver="cholesky", loo=True
        )
        held_out = Y[:8000] - trial.loo_residuals
        errors[bandwidth] = float(np.mean(held_out.argmax(1) != labels[:8000]))
    bandwidth = min(errors, key=errors.get)
    chosen = time.perf_counter() - start
    with skoverparam.config_context(memory_budget=12 * GIB):
        start = time.perf_counter()
        solution = kernel_solve(
            partial(laplace, bandwidth=bandwidth), X, Y, tol=1e-4, random_state=0
        )
        seconds = time.perf_counter() - start
    start = time.perf_counter()
    scores = solution.predict(X_test)
    return described(solution) | {
        "bandwidth": bandwidth,
        "loo_errors": errors,
        "choice_seconds": chosen,
        "seconds": seconds,
        "predict_seconds": time.perf_counter() - start,
        "test_error": float(np.mean(scores.argmax(1) != labels_test)),
        "training_residual": [float(f"{r:.1e}") for r in solution.residual],
    }


def iterations(n, profile, bandwidth, ridge, rank, n_targets, tol):
    from skoverparam import kernels
    from skoverparam.linalg import kernel_solve

    X, y, X_test, f_test = synthetic(n, 0.1)
    if n_targets > 1:
        y = np.stack([np.roll(y, k) + k * y for k in range(n_targets)], 1)
    kernel = partial(getattr(kernels, profile), bandwidth=bandwidth)
    start = time.perf_counter()
    solution = kernel_solve(
        kernel, X, y, ridge=ridge, rank=rank, solver="pcg", tol=tol, max_iter=2000, random_state=1
    )
    seconds = time.perf_counter() - start
    found = {"seconds": seconds, "n_iter": solution.n_iter, "residual": solution.residual.max()}
    if n_targets == 1:
        found["test_mse"] = np.mean((solution.predict(X_test) - f_test) ** 2)
    return {name: float(value) for name, value in found.items()}


TABLE = (
    # n, profile, bandwidth, ridge, rank, tol, published iterations of this problem
    (5000, "laplace", 10.0, 0.0, 100, 1e-6, 57),
    (5000, "laplace", 10.0, 0.0, 300, 1e-6, 37),
    (5000, "laplace", 10.0, 0.0, 1000, 1e-6, 24),
    (5000, "gaussian", 2.0, 1e-3, 100, 1e-6, 609),
    (5000, "gaussian", 2.0, 1e-3, 300, 1e-6, 313),
    (5000, "gaussian", 2.0, 1e-3, 1000, 1e-6, 117),
    (5000, "gaussian", 4.0, 1e-5, 300, 1e-6, 501),
    (5000, "gaussian", 4.0, 1e-5, 1000, 1e-6, 76),
    (20000, "laplace", 10.0, 0.0, 200, 1e-5, 70),
    (20000, "laplace", 10.0, 0.0, 500, 1e-5, 44),
    (20000, "laplace", 10.0, 0.0, 1000, 1e-5, 32),
)


def fresh(function, *arguments):
    """Call a function of this file in a new process; add the process's peak memory."""
    call = [sys.executable, __file__, "--call", function, json.dumps(arguments)]
    answer = subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(answer.stdout.splitlines()[-1])


def show(title, found):
    numbers = ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in found.items()
        if name != "predictions"
    )
    print(f"{title}: {numbers}", flush=True)


def run(part):
    if part == "ridge":
        for ridge in (1.0, 1e-2):
            ours, theirs = fresh("ridge_ours", ridge), fresh("ridge_sklearn", ridge)
            show(f"ridge {ridge}, ours", ours)
            show(f"ridge {ridge}, KernelRidge", theirs)
            apart = np.abs(np.subtract(ours["predictions"], theirs["predictions"])).max()
            speed = theirs["seconds"] / ours["seconds"]
            memory = ours["peak_gb"] / theirs["peak_gb"]
            print(f"  apart {apart:.1e}, {speed:.2f} x faster, {memory:.0%} of the memory")
    elif part == "laplace":
        for solver in ("auto", "cholesky"):
            show(f"20000, {solver}", fresh("laplace", solver))
    elif part in ("kin40k", "protein"):
        show(f"{part}, kernel", fresh("regression", part))
        show(f"{part}, boosting", fresh("boosting", part))
    elif part == "mnist":
        for pixels in ("deskewed", "raw"):
            show(f"mnist, {pixels} pixels", fresh("mnist", pixels))
    elif part == "iterations":
        for n, profile, bandwidth, ridge, rank, tol, published in TABLE:
            found = fresh("iterations", n, profile, bandwidth, ridge, rank, 1, tol)
            share = found["n_iter"] / published
            show(f"{n} {profile} {bandwidth} {ridge:g} r={rank} ({share:.2f} x)", found)
    elif part == "columns":
        for n_targets in (1, 10):
            arguments = (10000, "laplace", 10.0, 0.0, None, n_targets, 1e-6)
            show(f"10000, {n_targets} targets", fresh("iterations", *arguments))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", default=[])
    parser.add_argument("--call", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.call:
        answer = globals()[options.call[0]](*json.loads(options.call[1]))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        answer["peak_gb"] = usage.ru_maxrss * 1024 / 1e9
        # Of the whole process: what is left of a timing on a machine that others use, too.
        answer["cpu_seconds"] = usage.ru_utime + usage.ru_stime
        print(json.dumps(answer))
    else:
        for part in options.parts or PARTS:
            run(part)
