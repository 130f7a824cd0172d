"""Kernel systems by every solver, against dense solves and refits."""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics.pairwise import rbf_kernel

from skoverparam import config_context
from skoverparam.kernels import gaussian, laplace
from skoverparam.kernels._radial import RadialKernel
from skoverparam.linalg import kernel_solve
from skoverparam.linalg._kernel_systems import _cholesky, _eigenpro, _pcg
from skoverparam.linalg._kernel_systems._matrix import KernelMatrix
from skoverparam.linalg._kernel_systems._plan import candidates, make_plan
from skoverparam.linalg._kernel_systems._solve import kernel_solve_steps, solution_of
from skoverparam.linalg._kernel_systems._system import KernelSystem, SolverOptions, last_of

LAPLACE = RadialKernel("laplace", 10.0)
GIB = 2**30


def solve(*problem, **options):
    return solution_of(kernel_solve_steps(*problem, **options))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def synthetic(n, noise=0.1):
    """Eight features; a sine, a product and a cosine with noise."""
    draws = generator()
    X = torch.randn(n + 100, 8, generator=draws, dtype=torch.float64)
    e = torch.randn(n + 100, generator=draws, dtype=torch.float64)
    y = torch.sin(X[:, 0]) + 0.5 * X[:, 1] * X[:, 2] + torch.cos(2 * X[:, 3]) + noise * e
    return X[:n], y[:n, None], X[n:]


def system(n=300, ridge=0.0, weights=None, kernel=LAPLACE, c=1):
    X, Y, _ = synthetic(n)
    Y = torch.cat([torch.roll(Y, k, 0) + k * Y for k in range(c)], 1)
    return KernelSystem(KernelMatrix(kernel, X), Y, ridge, weights)


def dense(one, k=0):
    """The matrix of the k-th target's system."""
    K = one.matrix.dense(torch.float64)
    shift = one.shift()
    return K if shift is None else K + torch.diag(shift[:, min(k, shift.shape[1] - 1)])


def solved(one, solver="auto", **options):
    options = {"memory_budget": GIB, "generator": generator(), "tol": 1e-8} | options
    weights = one.weights
    return solve(
        one.matrix.kernel,
        one.matrix.X,
        one.targets,
        ridge=one.ridge,
        weights=weights,
        solver=solver,
        **options,
    )


ITERATIVE = ("pcg", "eigenpro")
DIRECT = ("cholesky", "eigh")


@pytest.mark.parametrize("solver", [*DIRECT, *ITERATIVE])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_solutions_are_those_of_a_dense_solve(solver, ridge):
    one = system(ridge=ridge, c=3)
    found = solved(one, solver)
    expected = torch.linalg.solve(dense(one), one.targets)
    tolerance = 1e-10 if solver in DIRECT else 1e-5
    assert float((found.dual_coef - expected).norm() / expected.norm()) < tolerance
    assert found.solver == solver
    assert found.converged
    assert found.remark == ""


@pytest.mark.parametrize("solver", [*DIRECT, *ITERATIVE])
@pytest.mark.parametrize("columns", [1, 3])
def test_weights_divide_the_ridge(solver, columns):
    weights = 0.3 + torch.rand(300, columns, generator=generator(), dtype=torch.float64)
    one = system(ridge=0.5, weights=weights, c=3)
    found = solved(one, solver, loo=solver in DIRECT)
    expected = torch.stack(
        [torch.linalg.solve(dense(one, k), one.targets[:, k]) for k in range(3)], 1
    )
    tolerance = 1e-10 if solver in DIRECT else 1e-5
    assert float((found.dual_coef - expected).norm() / expected.norm()) < tolerance
    if solver in DIRECT:
        inverse = torch.stack([torch.linalg.inv(dense(one, k)).diagonal() for k in range(3)], 1)
        torch.testing.assert_close(found.loo_residuals, expected / inverse)


@pytest.mark.parametrize("solver", [*DIRECT, *ITERATIVE])
def test_residuals_are_true(solver):
    one = system(ridge=0.01, c=2)
    found = solved(one, solver, tol=1e-3)
    R = one.targets - dense(one) @ found.dual_coef
    true = R.norm(dim=0) / one.targets.norm(dim=0)
    # To rounding of the products, which is all that is left after a direct solver.
    torch.testing.assert_close(found.residual, true, rtol=1e-6, atol=1e-13)


@pytest.mark.parametrize("solver", ITERATIVE)
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_largest_entries_are_brought_down_with_the_norm(solver, precision):
    """Two points that are close: what is left of the residual is theirs alone."""
    one = system(300, c=2)
    X = one.matrix.X.clone()
    X[1] = X[0] + 0.01
    one = KernelSystem(KernelMatrix(LAPLACE, X), one.targets, 0.0)
    walk = {"pcg": _pcg.steps, "eigenpro": _eigenpro.steps}[solver]
    options = SolverOptions(generator(), tol=1e-3, max_iter=2000, rank=60, precisions=(precision,))
    largest, passes = [], []
    for peak in (math.inf, 3e-4):
        last = last_of(walk(one, dataclasses.replace(options, generator=generator(), peak=peak)))
        assert last.status == "solved"
        R = one.residual(last.coef)
        torch.testing.assert_close(last.true_residual, one.relative(R), rtol=1e-6, atol=0)
        assert (last.true_residual <= 1e-3).all()
        largest.append(float((R.abs().amax(0) / one.targets.abs().amax(0)).max()))
        passes.append(last.n_iter)
    assert largest[0] > 3e-4 >= largest[1]
    assert passes[0] < passes[1]


@pytest.mark.parametrize("solver", DIRECT)
@pytest.mark.parametrize("ridge", [0.0, 0.2])
def test_leave_one_out_is_that_of_refits(solver, ridge):
    one = system(60, ridge=ridge, c=2)
    found = solved(one, solver, loo=True)
    K = one.matrix.dense(torch.float64)
    for i in (0, 17, 59):
        rest = torch.arange(60) != i
        A = torch.linalg.solve(
            K[rest][:, rest] + ridge * torch.eye(59, dtype=torch.float64), one.targets[rest]
        )
        refit = one.targets[i] - K[i, rest] @ A
        torch.testing.assert_close(found.loo_residuals[i], refit, rtol=1e-10, atol=1e-10)


def test_leave_one_out_needs_a_direct_solver():
    assert solved(system(), loo=True).loo_residuals is not None
    with pytest.raises(ValueError, match="loo=True needs solver='auto', 'cholesky' or 'eigh'"):
        solved(system(), "pcg", loo=True)


@pytest.mark.parametrize("solver", [*DIRECT, *ITERATIVE, "restricted"])
def test_a_solution_solves_again(solver):
    one = system(ridge=0.1)
    options = {"n_centers": 300} if solver == "restricted" else {}
    found = solved(one, solver, **options)
    Y = torch.cat([one.targets.cos(), one.targets.sin()], 1)
    expected = torch.linalg.solve(dense(one), Y)
    again = found.solve(Y).predict(one.matrix.X)
    K = one.matrix.dense(torch.float64)
    torch.testing.assert_close(again, K @ expected, rtol=0, atol=1e-5)
    smoother = found.at_ridge(2.0)
    two = system(ridge=2.0)
    expected = K @ torch.linalg.solve(dense(two), two.targets)
    torch.testing.assert_close(smoother.predict(one.matrix.X), expected, rtol=0, atol=1e-5)
    assert smoother.solver == solver


def test_a_factor_serves_its_own_ridge_only(monkeypatch):
    found = solved(system(ridge=0.1), "cholesky")
    made = []
    monkeypatch.setattr(_cholesky, "_factor", lambda *a, **k: made.append(1))
    found.solve(system(c=2).targets)
    assert not made


def test_predictions_elsewhere():
    one = system(200)
    X = synthetic(200)[2]
    found = solved(one, "cholesky")
    torch.testing.assert_close(
        found.predict(X), LAPLACE(X, one.matrix.X) @ torch.linalg.solve(dense(one), one.targets)
    )


@pytest.mark.parametrize("kernel", [LAPLACE, RadialKernel("gaussian", 2.0)])
def test_single_precision_is_refined(kernel):
    one = system(400, ridge=1e-2, kernel=kernel)
    options = SolverOptions(generator=generator(), precisions=(torch.float32,))
    (step,) = _cholesky.steps(one, options)
    expected = torch.linalg.solve(dense(one), one.targets)
    assert step.prepared.lower.dtype == torch.float32
    assert step.residual < 1e-11
    assert float((step.coef - expected).norm() / expected.norm()) < 1e-9


def test_double_precision_takes_over():
    # A condition number of 1e10: a factor in single precision does not exist, or is no help.
    one = system(400, ridge=1e-8, kernel=RadialKernel("gaussian", 4.0))
    both = SolverOptions(generator=generator(), precisions=(torch.float32, torch.float64))
    (step,) = _cholesky.steps(one, both)
    assert step.prepared.lower.dtype == torch.float64
    assert step.jitter == 0
    assert step.residual < 1e-7


def test_condition_estimate():
    one = system(400, ridge=0.1)
    true = float(torch.linalg.cond(dense(one)))
    assert 0.5 * true < solved(one, "cholesky").condition_estimate < 1.01 * true
    assert solved(one, "eigh").condition_estimate == pytest.approx(true, rel=1e-8)


@pytest.mark.parametrize("solver", [*DIRECT, "pcg"])
def test_duplicated_points_with_equal_targets(solver):
    X, Y, _ = synthetic(150)
    X, Y = X.repeat(2, 1), Y.repeat(2, 1)
    found = solve(LAPLACE, X, Y, solver=solver, memory_budget=GIB, generator=generator())
    assert found.converged
    # However two equal points share a coefficient, the function is the same.
    single = torch.linalg.solve(LAPLACE(X[:150]), Y[:150])
    shared = found.dual_coef[:150] + found.dual_coef[150:]
    torch.testing.assert_close(shared, single, rtol=0, atol=1e-5)
    if solver == "cholesky":
        # What was added is refined away: the residual is that of the system without it.
        assert 0 < found.jitter < 1e-10
        assert found.residual.max() < 1e-10


def test_contradicting_duplicates_end_in_the_smallest_norm():
    X, Y, _ = synthetic(60)
    X, Y = X.repeat(2, 1), torch.cat([Y, Y + 1])
    found = solve(LAPLACE, X, Y, memory_budget=GIB, generator=generator())
    K = LAPLACE(X)
    expected = torch.linalg.pinv(K, rcond=1e-13, hermitian=True) @ Y
    torch.testing.assert_close(found.predict(X), K @ expected, rtol=0, atol=1e-6)
    assert not found.converged
    assert "numerical rank 60 of 120" in found.remark


def test_conjugate_gradients_without_a_solution_are_no_worse_than_nothing():
    X, Y, _ = synthetic(60)
    X, Y = X.repeat(2, 1), torch.cat([Y, -Y + 0.5])
    found = solve(LAPLACE, X, Y, solver="pcg", memory_budget=GIB, generator=generator())
    assert found.residual.max() <= 1
    assert not found.converged
    assert "equal points with different targets" in found.remark


def test_conjugate_gradients_reach_single_precision_and_go_on():
    """Entries in single precision alone end at 1e-5 of the targets here."""
    one = system(500, c=2)
    options = SolverOptions(
        generator=generator(), tol=1e-11, rank=100, precisions=(torch.float32,), stored=True
    )
    *_, single = _pcg.steps(one, options)
    assert one.matrix.stored.dtype == torch.float32
    *_, double = _pcg.steps(
        system(500, c=2),
        SolverOptions(
            generator=generator(), tol=1e-11, rank=100, precisions=(torch.float64,), stored=True
        ),
    )
    assert single.status == double.status == "solved"
    assert single.residual <= 1e-11
    assert single.n_iter <= 1.2 * double.n_iter + 2


@pytest.mark.parametrize(("rank", "published"), [(30, None), (100, 57), (300, 37), (1000, 24)])
def test_iterations_of_the_literature(rank, published):
    """Published for 5000 points at a fifth of the size here, where it takes fewer."""
    one = system(1000)
    found = solved(one, "pcg", rank=rank, tol=1e-6, generator=generator(1))
    if published is not None:
        assert found.n_iter <= 1.5 * published
    assert found.residual.max() <= 1e-6


def test_iterations_fall_with_the_rank():
    one = system(1000)
    counts = [solved(one, "pcg", rank=rank, tol=1e-6).n_iter for rank in (10, 50, 250, 1000)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 2 * counts[2]


def test_targets_of_zeros_and_constants():
    X, Y, _ = synthetic(100)
    Y = torch.cat([torch.zeros_like(Y), torch.ones_like(Y), Y], 1)
    for solver in ("cholesky", "pcg"):
        found = solve(LAPLACE, X, Y, solver=solver, memory_budget=GIB, generator=generator())
        assert not found.dual_coef[:, 0].any()
        assert float(found.residual[0]) == 0
        assert found.converged


@pytest.mark.parametrize("solver", [*DIRECT, *ITERATIVE])
def test_a_single_point_and_a_single_feature(solver):
    X = torch.tensor([[2.0]], dtype=torch.float64)
    Y = torch.tensor([[3.0]], dtype=torch.float64)
    found = solve(
        LAPLACE, X, Y, ridge=0.5, solver=solver, memory_budget=GIB, generator=generator()
    )
    torch.testing.assert_close(found.dual_coef, Y / 1.5)


def test_stagnation_enlarges_the_preconditioner(monkeypatch):
    monkeypatch.setattr(_pcg, "_PATIENCE", 10)
    one = system(400, ridge=1e-3, kernel=RadialKernel("gaussian", 3.0))
    ranks = []
    extend = _pcg.LowRankFactor.extend

    def watched(self, matrix, rank, draws):
        ranks.append(rank)
        extend(self, matrix, rank, draws)

    monkeypatch.setattr(_pcg.LowRankFactor, "extend", watched)
    found = solved(one, "pcg", rank=20, tol=1e-6, max_iter=2000)
    assert ranks[:2] == [40, 80]
    assert found.converged


def test_max_iter_says_what_to_change():
    found = solved(system(400), "pcg", rank=5, max_iter=3)
    assert found.n_iter == 3
    assert not found.converged
    assert "max_iter" in found.remark


def test_slow_conjugate_gradients_are_left_for_a_factor(monkeypatch):
    monkeypatch.setattr("skoverparam.linalg._kernel_systems._plan._SMALL", 0)
    monkeypatch.setattr(
        "skoverparam.linalg._kernel_systems._plan._Work.eigh",
        lambda self: self.cholesky("float64", GIB),
    )
    # Conjugate gradients look cheap, and are not: a smooth kernel with next to no ridge.
    monkeypatch.setattr("skoverparam.linalg._kernel_systems._plan._ITERATIONS", -1000)
    one = system(700, ridge=1e-6, kernel=RadialKernel("gaussian", 4.0))
    steps = list(
        kernel_solve_steps(
            one.matrix.kernel,
            one.matrix.X,
            one.targets,
            ridge=one.ridge,
            memory_budget=GIB,
            generator=generator(),
            tol=1e-9,
        )
    )
    found = steps[-1].solution
    assert found.solver == "cholesky"
    # A tenth of what the factor costs, at most.
    assert 5 <= found.n_iter < 20
    assert "conjugate gradients had a residual of" in found.plan.why
    assert found.residual.max() < 1e-9


@pytest.mark.parametrize(("max_iter", "status"), [(100, "slow"), (2000, "solved")])
def test_iterations_that_will_not_be_enough_are_given_up(max_iter, status):
    """At the pace of the first of them, where somebody else can go on; to the end, where not."""
    one = system(600, kernel=RadialKernel("matern", 3.0, nu=2.5))
    options = SolverOptions(generator(), tol=1e-7, max_iter=max_iter, rank=60, slow_after=1e6)
    last = last_of(_pcg.steps(one, options))
    assert last.status == status
    if status == "slow":
        assert last.n_iter < 50
        alone = dataclasses.replace(options, generator=generator(), slow_after=math.inf)
        assert last_of(_pcg.steps(one, alone)).status == "max_iter"


def test_steps_lead_to_the_solution():
    one = system(400)
    steps = list(
        kernel_solve_steps(
            LAPLACE,
            one.matrix.X,
            one.targets,
            solver="pcg",
            memory_budget=GIB,
            generator=generator(),
        )
    )
    assert [step.solution for step in steps[:-1]] == [None] * (len(steps) - 1)
    assert steps[-1].solution.n_iter == steps[-1].n_iter >= len(steps) - 1
    residuals = [step.residual for step in steps]
    assert residuals[-1] <= 1e-6 < residuals[0]


@pytest.mark.parametrize("solver", ["cholesky", "pcg", "eigenpro", "restricted"])
@pytest.mark.parametrize("scale", [1e-100, 1e-30, 1e30, 1e100])
def test_points_beyond_single_precision(solver, scale):
    X = torch.randn(40, 3, generator=generator(), dtype=torch.float64)
    y = torch.sin(X[:, :1])
    options = {"n_centers": 20} if solver == "restricted" else {}

    def predicted(unit):
        kernel = partial(laplace, bandwidth=2.0 * unit)
        found = solve(
            kernel,
            X * unit,
            y,
            solver=solver,
            memory_budget=GIB,
            generator=generator(1),
            **options,
        )
        return found.predict(X * unit)

    torch.testing.assert_close(predicted(scale), predicted(1.0), rtol=0, atol=1e-4)


# The plan


def plan_of(n, budget, *, allowed=("cholesky", "pcg"), loo=False, d=8):
    found = candidates(n, d, 1, device=torch.device("cpu"), memory_budget=budget)
    return make_plan(found, n, allowed=allowed, loo=loo, budget=budget)


def test_a_plan_grows_with_the_problem():
    assert plan_of(1000, 8 * GIB)[1].precision == "float64"
    assert plan_of(1000, 8 * GIB)[0].solver == "cholesky"
    assert plan_of(60000, 16 * GIB)[0].solver == "pcg"
    for n in (1000, 20000, 60000):
        plan, chosen = plan_of(n, 16 * GIB)
        assert chosen in plan.candidates
        assert chosen.n_bytes == plan.n_bytes <= 16 * GIB


def test_less_memory_stores_less():
    stored = [plan_of(40000, budget * GIB)[1] for budget in (16, 5, 1)]
    assert [(one.precision, one.stored) for one in stored] == [
        ("float64", True),
        ("float32", True),
        ("float32", False),
    ]


def test_a_preconditioner_is_made_to_fit():
    full, lean = plan_of(100000, 2 * GIB)[1], plan_of(100000, GIB // 4)[1]
    assert lean.rank < full.rank
    assert lean.n_bytes <= GIB // 4


def test_a_budget_too_small_is_refused_before_any_work():
    def kernel(X, Z=None):
        raise AssertionError("work was done")

    X, Y, _ = synthetic(500)
    with pytest.raises(MemoryError, match="500 points needs about .* memory budget"):
        solve(kernel, X, Y, memory_budget=10**5, generator=generator())
    with pytest.raises(MemoryError, match="with leave-one-out residuals"):
        plan_of(40000, 3 * GIB, loo=True)


def test_centers_need_the_solver_that_restricts_them():
    with pytest.raises(ValueError, match="n_centers restricts the centers"):
        solved(system(), "pcg", n_centers=50)
    assert solved(system(), n_centers=50).solver == "restricted"


# In public


def test_like_kernel_ridge():
    X, Y, X_test = (part.numpy() for part in synthetic(500))
    for ridge in (1e-2, 1.0):
        theirs = KernelRidge(alpha=ridge, kernel="rbf", gamma=1 / 8).fit(X, Y[:, 0])
        ours = kernel_solve(
            partial(gaussian, bandwidth=2.0), X, Y[:, 0], ridge=ridge, random_state=0
        )
        np.testing.assert_allclose(ours.predict(X_test), theirs.predict(X_test), atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_answers_in_kind_and_precision(dtype):
    X, Y, X_test = (part.numpy().astype(dtype) for part in synthetic(200))
    kernel = partial(laplace, bandwidth=10.0)
    found = kernel_solve(kernel, X, Y[:, 0], loo=True, random_state=0)
    assert isinstance(found.dual_coef, np.ndarray)
    assert found.dual_coef.dtype == found.loo_residuals.dtype == dtype
    assert found.dual_coef.shape == found.loo_residuals.shape == (200,)
    assert found.residual.shape == ()
    assert found.predict(X_test).shape == (100,)
    assert found.predict(X_test).dtype == dtype
    again = found.solve(Y)
    assert again.dual_coef.shape == (200, 1)
    np.testing.assert_allclose(again.dual_coef[:, 0], found.dual_coef)
    assert found.at_ridge(0.1).dual_coef.shape == (200,)
    tensors = kernel_solve(kernel, torch.from_numpy(X), torch.from_numpy(Y[:, 0]), random_state=0)
    assert isinstance(tensors.dual_coef, torch.Tensor)
    np.testing.assert_allclose(tensors.dual_coef.numpy(), found.dual_coef)


def test_a_kernel_on_arrays():
    X, Y, X_test = (part.numpy() for part in synthetic(200))
    theirs = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / 8).fit(X, Y)
    ours = kernel_solve(partial(rbf_kernel, gamma=1 / 8), X, Y, ridge=0.1, random_state=0)
    np.testing.assert_allclose(ours.predict(X_test), theirs.predict(X_test), atol=1e-10)


def test_the_same_seed_is_the_same_solution():
    X, Y, _ = (part.numpy() for part in synthetic(300))
    kernel = partial(laplace, bandwidth=10.0)
    first, second, other = (
        kernel_solve(kernel, X, Y, solver="pcg", rank=50, random_state=seed).dual_coef
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0


def test_warns_where_the_tolerance_is_missed():
    X, Y, _ = (part.numpy() for part in synthetic(300))
    with pytest.warns(RuntimeWarning, match="above tol=1e-10.* stopped at max_iter"):
        kernel_solve(
            partial(laplace, bandwidth=10.0),
            X,
            Y,
            solver="pcg",
            max_iter=2,
            tol=1e-10,
            random_state=0,
        )


def test_the_budget_of_the_configuration_counts():
    X, Y, _ = (part.numpy() for part in synthetic(300))
    with config_context(memory_budget=1e5), pytest.raises(MemoryError, match="memory budget"):
        kernel_solve(laplace, X, Y, random_state=0)


def test_an_offset_in_single_precision():
    X, Y, X_test = (part.numpy().astype(np.float32) for part in synthetic(300))
    kernel = partial(laplace, bandwidth=10.0)
    # Offsets by powers of two and inputs on a grid: the very same distances.
    X, X_test = np.round(X * 2**10) / 2**10, np.round(X_test * 2**10) / 2**10
    near, far = (
        kernel_solve(kernel, X + move, Y, random_state=0).predict(X_test + move)
        for move in (np.float32(0), np.float32(128))
    )
    assert np.abs(near - far).max() < 1e-4


def short(X, Z=None):
    return torch.ones(2, 2)


BAD = [
    ({"kernel": "laplace"}, TypeError, "kernel must be a function"),
    ({"kernel": short}, ValueError, "kernel must return a value for every pair"),
    ({"X": np.ones(5)}, ValueError, "X must have two dimensions"),
    ({"X": np.full((20, 2), np.nan)}, ValueError, "X must hold finite numbers"),
    ({"Y": np.ones(3)}, ValueError, "Y must have one or two dimensions and 20 rows"),
    ({"ridge": -1.0}, ValueError, "ridge"),
    ({"ridge": math.nan}, ValueError, "ridge"),
    ({"weights": np.ones(3)}, ValueError, "weights must have shape"),
    ({"weights": np.zeros(20)}, ValueError, "weights must be positive"),
    ({"solver": "lu"}, ValueError, "solver must be one of"),
    ({"tol": 0.0}, ValueError, "tol"),
    ({"max_iter": 0}, ValueError, "max_iter"),
    ({"rank": 0}, ValueError, "rank"),
    ({"loo": 1}, TypeError, "loo"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD, ids=lambda v: str(v)[:30])
def test_bad_arguments_are_named(change, error, message):
    X = np.random.default_rng(0).normal(size=(20, 2))
    arguments = {"kernel": laplace, "X": X, "Y": X[:, 0], "random_state": 0} | change
    with pytest.raises(error, match=message):
        kernel_solve(**arguments)


def test_bad_arguments_of_a_solution():
    X = np.random.default_rng(0).normal(size=(20, 2))
    found = kernel_solve(laplace, X, X[:, 0], random_state=0)
    with pytest.raises(ValueError, match="ridge must be a finite number"):
        found.at_ridge(-1.0)
    with pytest.raises(ValueError, match="Y must have one or two dimensions and 20 rows"):
        found.solve(np.ones(3))
    with pytest.raises(ValueError, match="X must have two dimensions and 2 columns"):
        found.predict(np.ones((3, 4)))


@pytest.mark.parametrize(
    ("weights", "message"),
    [(-np.ones(40), "weights must be positive, got -1"), (np.ones(7), r"weights must have shape")],
)
def test_weights_of_other_targets_are_checked_like_those_of_the_first(weights, message):
    X = np.linspace(0, 1, 40)[:, None]
    solution = kernel_solve(gaussian, X, X[:, 0], ridge=1e-3, random_state=0)
    with pytest.raises(ValueError, match=message):
        solution.solve(X[:, 0], weights=weights)


def test_targets_of_different_weights_count_all_passes_and_say_if_one_failed():
    n = 60
    draws = generator()
    X = torch.randn(n, 3, generator=draws, dtype=torch.float64)
    Y = torch.randn(n, 2, generator=draws, dtype=torch.float64)
    weights = 0.5 + torch.rand(n, 2, generator=draws, dtype=torch.float64)
    solution = solve(
        RadialKernel("laplace"),
        X,
        Y,
        ridge=0.1,
        weights=weights,
        solver="eigenpro",
        tol=1e-12,
        max_iter=3,
        memory_budget=GIB,
        generator=draws,
    )
    # Three passes for each of two weightings, none of which can reach such a tolerance.
    assert solution.n_iter == 6
    assert not solution.converged
    assert "max_iter" in solution.remark


@pytest.mark.parametrize("solver", ["cholesky", "eigh", "pcg"])
def test_other_targets_with_weights_of_their_own(solver):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(40, 2)), rng.normal(size=(40, 2))
    first, second = rng.uniform(0.3, 3, 40), rng.uniform(0.3, 3, (40, 2))
    options = {"ridge": 0.1, "solver": solver, "tol": 1e-11, "random_state": 0}
    solution = kernel_solve(laplace, X, Y[:, 0], weights=first, **options)
    for weights in (first, second, None):
        found = solution.solve(Y, weights=weights)
        columns = np.ones((40, 2)) if weights is None else weights.reshape(40, -1) * np.ones(2)
        for k in range(2):
            A = laplace(X) + 0.1 * np.diag(1 / columns[:, k])
            np.testing.assert_allclose(
                found.dual_coef[:, k], np.linalg.solve(A, Y[:, k]), atol=1e-8
            )
