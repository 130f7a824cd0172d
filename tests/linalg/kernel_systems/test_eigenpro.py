"""EigenPro against dense solutions; it never diverges, whatever it is given."""

import dataclasses
import functools
import random

import pytest
import torch

from skoverparam.kernels._radial import RadialKernel
from skoverparam.linalg._kernel_systems import _eigenpro
from skoverparam.linalg._kernel_systems._eigenpro import EigenPro, eigenpro_steps
from skoverparam.linalg._kernel_systems._eigenpro_preconditioner import (
    against,
    eigenpro_preconditioner,
)
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._system import KernelSystem, SolverOptions


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def points(n, d=4, seed=0):
    return torch.randn(n, d, generator=seeded(seed), dtype=torch.float64)


def system_of(kernel, X, Y, ridge=0.0, weights=None):
    return KernelSystem(KernelMatrix(kernel, X), Y, ridge, weights)


def solve(system, *, tol=1e-8, max_iter=300, precision=torch.float64, rank=None, seed=0):
    options = SolverOptions(
        generator=seeded(seed), tol=tol, max_iter=max_iter, precisions=(precision,), rank=rank
    )
    *_, last = _eigenpro.steps(system, options)
    return last


def dense(system):
    """Solve column by column, with a dense matrix."""
    X, Y = system.matrix.X, system.targets
    shift = system.shift()
    columns = []
    for j in range(Y.shape[1]):
        K = system.matrix.kernel(X)
        if shift is not None:
            K.diagonal().add_(shift[:, min(j, shift.shape[1] - 1)])
        columns.append(torch.linalg.solve(K, Y[:, j]))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize(
    ("ridge", "weights"), [(0.0, None), (0.3, None), (0.3, (300, 1)), (0.3, (300, 2))]
)
def test_it_solves_what_a_dense_solver_does(ridge, weights):
    X, Y = points(300), points(300, 2, seed=1)
    if weights is not None:
        weights = 0.2 + torch.rand(*weights, generator=seeded(2), dtype=torch.float64)
    system = system_of(RadialKernel("laplace", 2.0), X, Y, ridge, weights)
    last = solve(system, tol=1e-9)
    assert last.status == "solved"
    assert last.true_residual.max() <= 1e-9
    # Coefficients are off by the residual times the condition number, a few thousand.
    torch.testing.assert_close(last.coef, dense(system), rtol=1e-5, atol=1e-6)


def test_the_flattened_kernel_is_what_it_says():
    X = points(400)
    matrix = KernelMatrix(RadialKernel("laplace", 3.0), X)
    shift = torch.linspace(0.01, 0.1, 400, dtype=torch.float64)
    pre = eigenpro_preconditioner(
        matrix, shift=shift, subsample_size=120, n_components=20, generator=seeded()
    )
    K = matrix.kernel(X)
    K.diagonal().add_(shift)
    S = pre.indices
    torch.testing.assert_close(against(matrix, torch.arange(400), S, pre.place, shift), K[:, S])
    psi = K[:, S] @ (pre.vectors * pre.damping.sqrt())
    flat = K - psi @ psi.T
    # On the subsample, the leading eigenvalues come down to the one that follows them.
    before = torch.linalg.eigvalsh(K[S][:, S]).flip(0)
    after = torch.linalg.eigvalsh(flat[S][:, S]).flip(0)
    torch.testing.assert_close(after[:21], before[20].expand(21))
    torch.testing.assert_close(after[21:], before[21:])
    torch.testing.assert_close(pre.diagonal, flat.diagonal())
    unit = pre.diagonal.rsqrt()
    largest = torch.linalg.eigvalsh(unit[:, None] * flat * unit)[-1] / 400
    # Power iterations come from below.
    assert 0.99 * largest <= pre.largest_eigenvalue <= largest * (1 + 1e-12)
    G = points(50, 3, seed=5)
    D = torch.diag(pre.damping)
    expected = pre.vectors @ D @ pre.vectors.T @ K[S][:, :50] @ G
    torch.testing.assert_close(pre.correction(torch.arange(50), G), expected)


def test_it_needs_no_more_passes_than_measured():
    # 15 to 17 passes to 1e-4; with steps of 1 / (largest k(x, x)), 60 are not enough.
    X = points(2000, 8)
    noise = torch.randn(2000, generator=seeded(1), dtype=torch.float64)
    y = X[:, 0].sin() + 0.5 * X[:, 1] * X[:, 2] + (2 * X[:, 3]).cos() + 0.1 * noise
    system = system_of(RadialKernel("laplace", 10.0), X, y[:, None])
    g = seeded()
    pre = eigenpro_preconditioner(
        system.matrix,
        shift=torch.zeros(2000, dtype=torch.float64),
        subsample_size=600,
        n_components=120,
        generator=g,
    )
    steps = list(eigenpro_steps(system, pre, tol=1e-4, max_epochs=60, generator=g))
    assert steps[-1].status == "solved"
    assert len(steps) <= 24


def random_draw(seed):
    """A kernel, points, targets and settings, with whatever makes such methods diverge."""
    draw, g = random.Random(seed), seeded(seed)
    n, d = draw.choice([200, 500]), draw.choice([1, 2, 5, 20])
    s = min(n, draw.choice([20, 100, n]))
    q = max(1, draw.choice([1, s // 20, s // 5, s // 2, s - 1]))
    bandwidth, ridge = 10 ** draw.uniform(-1, 1.5), draw.choice([0.0, 0.0, 1e-3, 1.0])
    kind = draw.choice(["laplace", "gaussian", "matern"])
    X, y = torch.randn(n, d, generator=g).double(), torch.randn(n, 1, generator=g).double()
    where = draw.choice(["normal", "heavy tails", "duplicates", "clusters"])
    if where == "heavy tails":
        X /= torch.rand(n, 1, generator=g).double()
    elif where == "duplicates":
        X = X[torch.randint(n // 2, (n,), generator=g)]
    elif where == "clusters":
        X[: n // 10] += 50
        X[n // 10 :] *= 0.01
    if draw.random() < 0.3:
        y[:3] *= 100
    batch_size = draw.choice([None, None, 7, 64, n])
    return RadialKernel(kind, bandwidth), X, y, ridge, s, q, batch_size


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_it_never_diverges(seed, precision):
    kernel, X, y, ridge, s, q, batch_size = random_draw(seed)
    g = seeded(seed)
    pre = eigenpro_preconditioner(
        KernelMatrix(kernel, X.to(precision)),
        shift=torch.full((len(X),), ridge, dtype=torch.float64),
        subsample_size=s,
        n_components=q,
        generator=g,
    )
    system = system_of(kernel, X, y, ridge)
    walk = eigenpro_steps(system, pre, tol=1e-6, max_epochs=8, batch_size=batch_size, generator=g)
    steps = list(walk)
    for step in steps:
        # Twice the loss of before is where passes are undone.
        assert (step.estimate.square() <= 4).all()
    true = system.relative(system.residual(steps[-1].dual_coef))
    torch.testing.assert_close(true, steps[-1].residual, rtol=1e-6, atol=1e-9)
    assert (true <= 1 + 1e-9).all()


def test_steps_that_are_too_long_are_noticed_and_undone():
    X, Y = points(500), points(500, 1, seed=1)
    system = system_of(RadialKernel("laplace", 2.0), X, Y)
    pre = eigenpro_preconditioner(
        system.matrix, shift=torch.zeros(500).double(), subsample_size=100, generator=seeded()
    )
    # As if the subsample had promised six times smaller gradients than there are.
    wrong = dataclasses.replace(pre, diagonal=pre.diagonal / 6)
    *_, last = eigenpro_steps(system, wrong, tol=1e-4, max_epochs=150, generator=seeded())
    assert last.n_restored > 0
    assert last.status == "solved"


def test_single_precision_is_corrected_to_double():
    X, Y = points(400), points(400, 2, seed=1)
    system = system_of(RadialKernel("laplace", 3.0), X, Y)
    last = solve(system, tol=1e-9, precision=torch.float32)
    assert last.status == "solved"
    true = system.relative(Y - system.matrix.kernel(X) @ last.coef)
    assert true.max() <= 1e-9


def test_contradicting_targets_stay_finite():
    X = points(100).repeat(2, 1)
    Y = points(200, 1, seed=1)
    last = solve(system_of(RadialKernel("gaussian", 1.0), X, Y), max_iter=20)
    assert last.status != "solved"
    assert last.remark
    assert last.coef.isfinite().all()
    # No function of X is nearer than the means of duplicates.
    means = (Y[:100] + Y[100:]) / 2
    out_of_reach = ((Y - means.repeat(2, 1)).norm() / Y.norm()).item()
    assert out_of_reach <= last.residual <= 1


def test_duplicates_that_agree_are_fitted():
    X, Y = points(150), points(150, 1, seed=1)
    system = system_of(RadialKernel("laplace", 1.0), X.repeat(2, 1), Y.repeat(2, 1))
    assert solve(system, tol=1e-6).status == "solved"


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_points(n):
    system = system_of(RadialKernel("laplace", 1.0), points(n), points(n, 2, seed=1))
    last = solve(system)
    assert last.status == "solved"
    torch.testing.assert_close(last.coef, dense(system), rtol=1e-6, atol=1e-6)


def test_targets_that_are_zero():
    Y = torch.zeros(30, 2, dtype=torch.float64)
    Y[:, 1] = 1
    last = solve(system_of(RadialKernel("laplace", 1.0), points(30), Y))
    assert last.status == "solved"
    assert (last.coef[:, 0] == 0).all()


def test_a_kernel_that_is_zero_reaches_nothing():
    def nothing(X, Z=None):
        return X.new_zeros(len(X), len(X if Z is None else Z))

    last = solve(system_of(nothing, points(20), points(20, 1, seed=1)), max_iter=3)
    assert last.residual == 1


def test_any_function_of_two_sets_of_points_is_a_kernel():
    def polynomial(X, Z=None, *, degree):
        return (1 + X @ (X if Z is None else Z).T) ** degree

    system = system_of(
        functools.partial(polynomial, degree=2), points(60), points(60, 1, seed=1), 0.5
    )
    last = solve(system, tol=1e-7, max_iter=2000, rank=20)
    assert last.status == "solved"
    torch.testing.assert_close(last.coef, dense(system), rtol=1e-4, atol=1e-5)


def test_the_seed_decides():
    system = system_of(RadialKernel("laplace", 2.0), points(300), points(300, 1, seed=1))
    one, two, other = (solve(system, tol=1e-3, seed=seed).coef for seed in (3, 3, 4))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_preconditioner_serves_again():
    X = points(300)
    kernel = RadialKernel("laplace", 2.0)
    made = EigenPro()
    options = SolverOptions(generator=seeded(), tol=1e-7, max_iter=100)
    for seed, ridge, same in ((1, 0.1, False), (2, 0.1, True), (3, 0.2, False)):
        system = system_of(kernel, X, points(300, 1, seed=seed), ridge)
        before = made.preconditioner
        *_, last = made.steps(system, options)
        assert last.prepared is made
        assert (made.preconditioner is before) is same
        torch.testing.assert_close(last.coef, dense(system), rtol=1e-4, atol=1e-5)


def test_the_last_pass_tells_the_true_residual():
    X, Y = points(300), points(300, 1, seed=1)
    system = system_of(RadialKernel("laplace", 2.0), X, Y)
    last = solve(system, tol=1e-12, max_iter=2)
    assert last.status == "max_iter"
    assert last.n_iter == 2
    assert "max_iter" in last.remark
    true = system.relative(Y - system.matrix.kernel(X) @ last.coef)
    torch.testing.assert_close(last.true_residual, true)
