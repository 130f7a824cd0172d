"""EigenPro and restricted centers: whether they diverge, and how many passes they take.

    python benchmarks/acceptance_eigenpro.py [draws] [passes] [centers]

- draws: 50 draws of a kernel, points, targets, subsample and number of eigenvalues, with
  duplicates, clusters, heavy tails, outliers and either precision; 15 passes each. The largest
  true residual must not exceed 1, which is that of doing nothing;
- passes: 5000 and 20000 points, Laplace kernel, no ridge, 400 eigenvalues from 2000 points: the
  true residual and the error on test points after some passes;
- centers: 10000 points, Laplace kernel, a ridge of 1e-3: iterations to 1e-6 and test errors with
  500, 1000 and 2000 centers, by either preconditioner, and of Gaussian kernels by the ridge.

Times are those of an idle machine only if it is idle.
"""

import argparse
import random
import time

import torch

from skoverparam.kernels._radial import RadialKernel
from skoverparam.linalg._kernel_systems._eigenpro import eigenpro_steps
from skoverparam.linalg._kernel_systems._eigenpro_preconditioner import eigenpro_preconditioner
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._matvec import kernel_matvec
from skoverparam.linalg._kernel_systems._restricted_centers import (
    RestrictedProblem,
    choose_centers,
    preconditioner,
    restricted_steps,
)
from skoverparam.linalg._kernel_systems._system import KernelSystem

PARTS = ("draws", "passes", "centers")


def synthetic(n):
    """Eight standard normal features; sine, product and cosine; 2000 test points without noise."""
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n + 2000, 8, generator=generator, dtype=torch.float64)
    e = torch.randn(n + 2000, generator=generator, dtype=torch.float64)
    f = torch.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + torch.cos(2 * X[:, 3])
    return X[:n], (f + 0.1 * e)[:n, None], X[n:], f[n:, None]


# ---- 50 random draws ----------------------------------------------------------------------


def draw(seed):
    """Points and targets, a kernel and settings."""
    pick, g = random.Random(seed), torch.Generator().manual_seed(seed)
    n, d = pick.choice([300, 1000, 2500]), pick.choice([1, 2, 5, 20])
    s = min(n, pick.choice([20, 100, 300, n]))
    q = max(1, pick.choice([1, s // 20, s // 5, s // 2, s - 1]))
    profile = pick.choice(["laplace", "gaussian", "matern", "exponential"])
    shape = {"exponent": 0.7, "p_norm": 1.0} if profile == "exponential" else {}
    kernel = RadialKernel(profile, 10 ** pick.uniform(-1, 1.5), **shape)
    where = pick.choice(["normal", "heavy", "duplicates", "clusters"])
    X = torch.randn(n, d, generator=g, dtype=torch.float64)
    if where == "heavy":
        X /= torch.rand(n, 1, generator=g, dtype=torch.float64)
    elif where == "duplicates":
        X = X[torch.randint(n // 2, (n,), generator=g)]
    elif where == "clusters":
        X[: n // 10] += 50
        X[n // 10 :] *= 0.01
    Y = X[:, :1].sin() + torch.randn(n, 1, generator=g, dtype=torch.float64) / 2
    if pick.random() < 0.3:
        Y[torch.randperm(n, generator=g)[: max(1, n // 100)]] *= 100
    precision = pick.choice([torch.float64, torch.float32])
    ridge = pick.choice([0.0, 0.0, 0.0, 1e-3, 1.0])
    batch_size = pick.choice([None, None, 1 if n < 500 else 7, 64, n])
    return kernel, X, Y, where, s, q, precision, ridge, batch_size, g


def draws():
    print(
        f"{'n':>5} {'d':>2} {'s':>4} {'q':>4} {'kernel':>19} {'points':>10} {'ridge':>5} "
        f"{'m':>4} {'':>7} {'undone':>6} {'residual':>9}"
    )
    worst = 0.0
    for seed in range(50):
        kernel, X, Y, where, s, q, precision, ridge, batch_size, g = draw(seed)
        n, d = X.shape
        pre = eigenpro_preconditioner(
            KernelMatrix(kernel, X.to(precision)),
            shift=torch.full((n,), ridge, dtype=torch.float64),
            subsample_size=s,
            n_components=q,
            generator=g,
        )
        system = KernelSystem(KernelMatrix(kernel, X), Y, ridge)
        *_, last = eigenpro_steps(
            system, pre, tol=1e-6, max_epochs=15, batch_size=batch_size, generator=g
        )
        true = float(system.relative(system.residual(last.dual_coef)).max())
        worst = max(worst, true)
        print(
            f"{n:5} {d:2} {s:4} {q:4} {kernel.profile:>12} {kernel.bandwidth:6.2f} {where:>10} "
            f"{ridge:5g} {last.batch_size:4} {str(precision)[6:]} {last.n_restored:6} {true:9.2e}"
        )
    print(f"largest residual of all: {worst:.6f}")


# ---- passes over points -------------------------------------------------------------------


def passes():
    for n, n_passes, shown in ((5000, 40, (1, 2, 5, 10, 20)), (20000, 8, (1, 2, 5, 8))):
        X, Y, X_test, truth = synthetic(n)
        system = KernelSystem(KernelMatrix(RadialKernel("laplace", 10.0), X), Y, 0.0)
        g = torch.Generator().manual_seed(0)
        began = time.perf_counter()
        pre = eigenpro_preconditioner(
            system.matrix, shift=torch.zeros(n, dtype=torch.float64), n_components=400, generator=g
        )
        spent = time.perf_counter() - began
        print(
            f"n = {n}: prepared in {spent:.1f} s; largest diagonal {pre.diagonal.max():.3f}, "
            f"critical batch size {pre.critical_batch_size:.0f}"
        )
        began, walk = (
            time.perf_counter(),
            eigenpro_steps(system, pre, tol=1e-6, max_epochs=n_passes, generator=g),
        )
        seconds = 0.0
        for count, step in enumerate(walk, start=1):
            seconds += time.perf_counter() - began
            if count in shown or step.status != "running":
                true = float(system.relative(system.residual(step.dual_coef)).max())
                fitted = kernel_matvec(system.matrix.kernel, X_test, X, step.dual_coef)
                error = float((fitted - truth).square().mean())
                print(
                    f"  pass {count:2}: residual {true:.1e}, test error {error:.4f}, "
                    f"{seconds:.1f} s"
                )
            began = time.perf_counter()


# ---- restricted centers -------------------------------------------------------------------


def centers():
    X, Y, X_test, truth = synthetic(10000)
    for profile, bandwidth, ridge, sizes in (
        ("laplace", 10.0, 1e-3, (500, 1000, 2000)),
        ("gaussian", 2.0, 1e-3, (1000,)),
        ("gaussian", 4.0, 1e-5, (1000,)),
        ("gaussian", 4.0, 0.0, (1000,)),
    ):
        matrix = KernelMatrix(RadialKernel(profile, bandwidth), X)
        print(f"{profile} {bandwidth:g}, ridge {ridge:g}")
        for m in sizes:
            for method in ("uniform", "pivots"):
                chosen = choose_centers(matrix, m, method, torch.Generator().manual_seed(0))
                problem = RestrictedProblem(matrix, chosen, Y, ridge)
                problem.store(torch.float64)
                for kind in ("triangles", "sketch"):
                    began = time.perf_counter()
                    pre = preconditioner(problem, kind, torch.Generator().manual_seed(0))
                    *_, (coef, n_iter, residual, status) = restricted_steps(
                        problem, pre, tol=1e-6, max_iter=200
                    )
                    seconds = time.perf_counter() - began
                    fitted = kernel_matvec(matrix.kernel, X_test, X[chosen], coef)
                    error = float((fitted - truth).square().mean())
                    print(
                        f"  {m:4} {method:7} {kind:9} {n_iter:3} iterations ({status}), residual "
                        f"{float(residual.max()):.1e}, test error {error:.4f}, {seconds:.1f} s"
                    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=PARTS, default=PARTS)
    for part in parser.parse_args().parts:
        print(f"== {part}")
        globals()[part]()
