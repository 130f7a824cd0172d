"""Descent on least squares: where it ends, how fast it gets there, and what it refuses."""

import math

import numpy as np
import pytest
import torch

from skoverparam.optim import (
    Adagrad,
    AdagradNorm,
    Diagonal,
    Euclidean,
    Hypentropy,
    Mirror,
    MirrorDescent,
    NegativeEntropy,
    PNorm,
    SimplexEntropy,
    TimeDependentMirror,
)
from skoverparam.optim._bregman import bregman_projection
from skoverparam.optim._linear_descent import (
    Conditioning,
    _Rule,
    descent_steps,
    measured_rate,
    rate_bound,
)


def gaussian(n, d, seed=0):
    return torch.from_numpy(np.random.RandomState(seed).randn(n, d) / np.sqrt(d))


@pytest.fixture(scope="module")
def sparse_problem():
    X = gaussian(10, 30)
    w = X.new_zeros(30)
    w[:3] = torch.tensor([1.0, 2.0, 1.5])
    return X, (X @ w)[:, None]


def descend(Z, Y, mirror, start=0.0, *, rate, tol=0.0, max_iter=10**5, batch=None, seed=0):
    """Every step of a descent from equal weights, or given ones."""
    if not isinstance(start, torch.Tensor):
        start = Z.new_full((Y.shape[1], Z.shape[1]), start)
    return list(
        descent_steps(
            Z,
            Y,
            start,
            mirror,
            Conditioning.of(Z, Y),
            learning_rate=rate,
            batch_size=batch,
            tol=tol,
            max_iter=max_iter,
            generator=torch.Generator().manual_seed(seed),
        )
    )


def distance(w, v):
    return float((w - v).norm() / v.norm())


# Steps for half the sum of squares and passes until the residual is below 1e-12.
LIMITS = [
    (Euclidean(), 0.0, 0.3, 190),
    (PNorm(1.5), 0.0, 0.1, 1013),
    pytest.param(PNorm(1.1), 0.0, 0.01, 24_750, marks=pytest.mark.slow),
    (PNorm(3.0), 0.0, 0.01, 3296),
    (PNorm(10.0, ridge=0.01), 0.0, 0.01, 101),
    (Hypentropy(1e-1), 0.0, 0.1, 3614),
    pytest.param(Hypentropy(1e-3), 0.0, 0.1, 14_391, marks=pytest.mark.slow),
    (NegativeEntropy(), 0.1, 0.1, 7974),
]


@pytest.mark.parametrize(("mirror", "start", "step", "n_steps"), LIMITS, ids=lambda v: str(v))
def test_it_ends_in_the_bregman_projection(sparse_problem, mirror, start, step, n_steps):
    X, Y = sparse_problem
    # Ours is the mean of the squares: its steps are ten times as long.
    steps = descend(X, Y, mirror, start, rate=10 * step, tol=1e-12 / float(Y.norm()))
    projection = bregman_projection(X, Y[:, 0], X.new_full((30,), start), mirror).coef
    assert distance(steps[-1].coef[0], projection) < 1e-10
    # To a few steps, for the last digits of the residual.
    assert len(steps) == pytest.approx(n_steps, abs=max(2, n_steps / 1000))


@pytest.mark.parametrize("rate", ["theory", "search"])
@pytest.mark.parametrize(
    ("mirror", "start"),
    [
        (Euclidean(), 0.0),
        (PNorm(1.5), 0.0),
        (PNorm(3.0, ridge=0.1), 0.0),
        (Hypentropy(0.1), 0.0),
        (NegativeEntropy(), 0.1),
        (Diagonal(torch.linspace(0.5, 2, 30, dtype=torch.float64)), 0.3),
    ],
    ids=str,
)
def test_long_and_short_steps_end_in_the_same_place(sparse_problem, mirror, start, rate):
    X, Y = sparse_problem
    steps = descend(X, Y, mirror, start, rate=rate, tol=1e-12)
    assert steps[-1].converged
    projection = bregman_projection(X, Y[:, 0], X.new_full((30,), start), mirror).coef
    # Residuals of 1e-12 of the targets leave the weights off by a condition number more.
    assert distance(steps[-1].coef[0], projection) < 1e-10
    losses = torch.tensor([step.loss for step in steps])
    assert (losses.diff() < 0).all()


def test_searching_takes_fewer_steps(sparse_problem):
    X, Y = sparse_problem
    lengths = {
        rate: len(descend(X, Y, Hypentropy(0.01), rate=rate, tol=1e-8))
        for rate in ("theory", "search")
    }
    assert lengths["search"] < lengths["theory"] / 5


def test_on_the_simplex_it_minimizes_the_relative_entropy(sparse_problem):
    X, _ = sparse_problem
    inside = torch.linspace(1, 3, 30, dtype=torch.float64).softmax(0)
    Y = (X @ inside)[:, None]
    (*_, last) = descend(X, Y, SimplexEntropy(), 1 / 30, rate="search", tol=1e-13)
    assert last.coef.sum() == pytest.approx(1, abs=1e-12)
    # Least divergence from equal shares: logarithms in the row space, and constants.
    rows = torch.cat([X, torch.ones(1, 30, dtype=torch.float64)])
    logs = last.coef[0].log()
    fitted = rows.T @ torch.linalg.lstsq(rows.T, logs[:, None]).solution
    torch.testing.assert_close(fitted[:, 0], logs, rtol=0, atol=1e-9)
    projection = bregman_projection(X, Y[:, 0], X.new_full((30,), 1 / 30), SimplexEntropy())
    assert distance(last.coef[0], projection.coef) < 1e-8


@pytest.mark.parametrize("mirror", [Euclidean(), PNorm(1.5), Hypentropy(0.1)], ids=str)
def test_single_samples_have_the_same_limit(sparse_problem, mirror):
    X, Y = sparse_problem
    (*_, last) = descend(X, Y, mirror, rate=0.3, batch=1, tol=1e-11)
    projection = bregman_projection(X, Y[:, 0], X.new_zeros(30), mirror).coef
    assert distance(last.coef[0], projection) < 1e-9


def test_the_seed_orders_the_samples(sparse_problem):
    X, Y = sparse_problem
    first, again, other = (
        descend(X, Y, PNorm(1.5), rate=0.2, batch=3, max_iter=2, seed=seed)[-1].coef
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_batch_of_everything_is_everything(sparse_problem):
    X, Y = sparse_problem
    a = descend(X, Y, PNorm(1.5), rate="theory", batch=10, max_iter=20)
    b = descend(X, Y, PNorm(1.5), rate="theory", max_iter=20)
    assert torch.equal(a[-1].coef, b[-1].coef)


class Wavy(Mirror):
    """Not a power, and not monotone: w + sin(w) / 2."""

    def to_dual(self, w):
        return w + 0.5 * w.sin()

    def to_primal(self, z):
        w = z.clone()
        for _ in range(12):
            w -= (self.to_dual(w) - z) / self.curvature(w)
        return w

    def potential(self, w):
        return (0.5 * w.square() - 0.5 * w.cos()).sum()

    def curvature(self, w):
        return 1 + 0.5 * w.cos()

    def bounds(self, low, high):
        return 0.5, 1.5


@pytest.mark.parametrize(
    ("factor", "promised", "seen"), [(1.0, 0.98613, 0.88606), (1.9, 0.99737, 0.799)]
)
def test_the_rate_is_never_worse_than_the_bound(factor, promised, seen):
    rng = np.random.RandomState(0)
    X = torch.from_numpy(rng.randn(20, 60) / np.sqrt(60))
    Y = X @ torch.from_numpy(2 * rng.randn(60, 1))
    conditioning = Conditioning.of(X, Y)
    assert 20 * conditioning.smoothness == pytest.approx(2.2085, abs=5e-5)
    assert 20 * conditioning.pl == pytest.approx(0.2756, abs=5e-5)
    step = factor * 0.5 / conditioning.smoothness
    bound = rate_bound(conditioning, (0.5, 1.5), step)
    assert bound == pytest.approx(promised, abs=5e-6)
    steps = descend(X, Y, Wavy(), rate=step, max_iter=500)
    losses = torch.tensor([step.loss for step in steps], dtype=torch.float64)
    losses = losses[losses > 1e-24]  # above rounding
    assert len(losses) > 100
    assert (losses[1:] <= bound * losses[:-1]).all()
    mean = float(losses[-1] / losses[0]) ** (1 / (len(losses) - 1))
    # It is slower at the end than at first: a mean depends a little on how many steps it is of.
    assert mean == pytest.approx(seen, abs=0.01)


def test_it_stays_as_close_to_the_start_as_promised_and_ends_bregman_nearest():
    rng = np.random.RandomState(0)
    X = torch.from_numpy(rng.randn(20, 60) / np.sqrt(60))
    Y = X @ torch.from_numpy(2 * rng.randn(60, 1))
    L, mu = (20 * c for c in Conditioning.of(X, Y)[:2])
    steps = descend(X, Y, Wavy(), rate=20 * 0.5 / L, tol=1e-13)
    duals = torch.stack([Wavy().to_dual(step.coef[0]) for step in steps])
    path = torch.cat([duals[:1], duals.diff(dim=0)]).norm(dim=1).sum()
    radius = 2 * math.sqrt(L * float(Y.square().sum())) * 1.5**2 / (0.5 * mu)
    assert radius == pytest.approx(429.4, abs=0.05)
    assert float(path) == pytest.approx(13.80, abs=5e-3)
    assert float(duals[-1].norm()) == pytest.approx(11.218, abs=5e-4)
    projection = bregman_projection(X, Y[:, 0], X.new_zeros(60), Wavy()).coef
    assert distance(steps[-1].coef[0], projection) < 1e-8


@pytest.mark.parametrize("mirror", [PNorm(3.0, ridge=0.5), Hypentropy(0.5)], ids=str)
def test_theory_steps_keep_their_promise(sparse_problem, mirror):
    X, Y = sparse_problem
    conditioning = Conditioning.of(X, Y)
    steps = descend(X, Y, mirror, 0.2, rate="theory", tol=1e-11)
    bound = rate_bound(conditioning, steps[-1].bounds, "theory")
    assert bound < 1
    losses = torch.tensor([step.loss for step in steps], dtype=torch.float64)
    assert (losses[1:] <= bound * losses[:-1]).all()
    # No step is longer than the constants of its own two ends allow.
    before = X.new_full((1, 30), 0.2)
    for step in steps[:100]:
        low, high = torch.minimum(before, step.coef), torch.maximum(before, step.coef)
        assert step.learning_rate <= mirror.bounds(low, high)[0] / conditioning.smoothness
        before = step.coef


def test_steps_for_single_samples_go_down_in_the_mean():
    X = gaussian(8, 20) * torch.linspace(0.5, 2, 8, dtype=torch.float64)[:, None]
    Y = X @ gaussian(20, 1, seed=1)
    mirror = Diagonal(torch.linspace(1, 2, 20, dtype=torch.float64))
    conditioning = Conditioning.of(X, Y)
    step = _Rule(conditioning, "theory", X, 1).step(1.0, 2.0)
    w = gaussian(20, 1, seed=2)[:, 0]
    missed = X @ w - Y[:, 0]
    after = torch.stack([w - step * missed[i] * X[i] / mirror.scale for i in range(8)])
    mean = (after @ X.T - Y[:, 0]).square().mean()
    L, mu, largest, _ = conditioning
    assert mean <= (1 - mu**2 / (L * largest) * 0.25) * missed.square().mean()
    # Passes over all samples, with batches between one and all.
    for batch in (1, 3):
        losses = [s.loss for s in descend(X, Y, mirror, rate="theory", batch=batch, max_iter=300)]
        assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("mirror", [Adagrad(), Adagrad(delta=0.1), AdagradNorm()], ids=str)
@pytest.mark.parametrize("rate", [0.1, "theory"])
def test_moving_metrics_do_what_the_optimizer_does(sparse_problem, mirror, rate):
    X, Y = sparse_problem
    w = torch.nn.Parameter(torch.zeros(30, dtype=torch.float64))
    L = Conditioning.of(X, Y).smoothness
    optimizer = MirrorDescent([w], lr=rate, mirror=mirror, smoothness=L)
    steps = descend(X, Y, mirror, rate=rate, max_iter=100)
    for _ in range(100):
        optimizer.zero_grad()
        (0.5 * (X @ w - Y[:, 0]).square().mean()).backward()
        optimizer.step()
    torch.testing.assert_close(steps[-1].coef[0], w.detach(), rtol=1e-12, atol=1e-14)
    assert steps[-1].bounds == pytest.approx(optimizer.bounds()[0], rel=1e-12)


def test_adagrad_ends_elsewhere(sparse_problem):
    X, Y = sparse_problem
    nearest = torch.linalg.pinv(X) @ Y[:, 0]
    steps = descend(X, Y, Adagrad(), rate="search", tol=1e-10, max_iter=20_000)
    assert steps[-1].converged
    assert distance(steps[-1].coef[0], nearest) > 0.3
    losses = torch.tensor([step.loss for step in steps])
    assert (losses.diff() < 0).all()


@pytest.mark.parametrize("rate", ["theory", "search", 0.1])
def test_a_feature_that_is_zero_does_not_stop_adagrad(sparse_problem, rate):
    X, Y = sparse_problem
    X = X.clone()
    X[:, 4] = 0
    steps = descend(X, Y, Adagrad(), 0.7, rate=rate, max_iter=300)
    assert steps[-1].coef[0, 4] == 0.7
    assert steps[-1].loss < 0.2 * steps[0].loss
    assert math.isfinite(steps[-1].learning_rate)
    assert steps[-1].learning_rate > 0


def test_no_gradient_at_all(sparse_problem):
    X, _ = sparse_problem
    zero = X.new_zeros(10, 1)
    for mirror in (Adagrad(), Euclidean(), PNorm(1.5)):
        (step,) = descend(X, zero, mirror, rate="theory")
        assert step.converged
        assert (step.coef == 0).all()
    (step,) = descend(torch.zeros_like(X), zero, Euclidean(), 0.2, rate="theory")
    assert (step.coef == 0.2).all()


def test_targets_go_side_by_side(sparse_problem):
    X, Y = sparse_problem
    Y = torch.cat([Y, Y.flip(0)], dim=1)
    both = descend(X, Y, PNorm(1.5), rate=0.5, max_iter=200)[-1].coef
    for k in range(2):
        alone = descend(X, Y[:, k : k + 1], PNorm(1.5), rate=0.5, max_iter=200)[-1].coef
        torch.testing.assert_close(both[k], alone[0], rtol=1e-12, atol=1e-14)


def test_the_constants_are_those_of_the_loss():
    X = gaussian(30, 8)
    X = torch.cat([X, X[:, :2]], dim=1)  # of rank 8
    Y = gaussian(30, 2, seed=1)
    found = Conditioning.of(X, Y)
    H = torch.autograd.functional.hessian(
        lambda w: 0.5 * (X @ w - Y[:, 0]).square().mean(), X.new_zeros(10)
    )
    eigenvalues = torch.linalg.eigvalsh(H)
    assert found.smoothness == pytest.approx(float(eigenvalues[-1]), rel=1e-12)
    assert found.pl == pytest.approx(float(eigenvalues[2]), rel=1e-10)
    assert found.largest_sample == float(X.square().sum(1).max())
    fitted = X @ (torch.linalg.pinv(X) @ Y)
    assert found.best == pytest.approx(float((Y - fitted).square().sum()) / 60, rel=1e-10)
    assert Conditioning.of(X, fitted).best == 0


def test_what_nothing_fits_is_not_waited_for():
    X, Y = gaussian(30, 8), gaussian(30, 1, seed=1)
    (*_, last) = descend(X, Y, Euclidean(), rate="theory", tol=1e-7, max_iter=2000)
    assert last.converged
    best = torch.linalg.lstsq(X, Y).solution[:, 0]
    assert distance(last.coef[0], best) < 1e-6


def test_reparametrized_gradient_descent_is_hypentropy(sparse_problem):
    X, Y = sparse_problem
    y, beta = Y[:, 0], 1e-2
    off = []
    for eta in (0.02, 0.01):
        n_steps = round(30 / eta)
        mirror = descend(X, Y, Hypentropy(beta), rate=10 * eta, max_iter=n_steps)[-1].coef[0]
        u = v = X.new_full((30,), math.sqrt(beta / 2))
        for _ in range(n_steps):
            g = X.T @ (X @ (u * u - v * v) - y)
            u, v = u - eta / 4 * 2 * g * u, v + eta / 4 * 2 * g * v
        off.append(distance(u * u - v * v, mirror))
    assert off[0] < 1e-3
    # Both are the same flow in the limit of short steps.
    assert off[1] < 0.6 * off[0]


def test_bounds_of_the_rate():
    conditioning = Conditioning(2.0, 0.5, 4.0, 0.0)
    assert rate_bound(conditioning, (1.0, 1.0), "theory") == pytest.approx(0.75)
    assert rate_bound(conditioning, (1.0, 2.0), 0.25) == pytest.approx(1 - 0.125 * 1.5 / 4)
    assert rate_bound(conditioning, (1.0, math.inf), "theory") == 1.0
    assert rate_bound(conditioning, (1.0, 1.0), 1.0) is None
    assert rate_bound(conditioning, (1.0, 1.0), "search") is None
    assert rate_bound(conditioning, (1.0, math.inf), "search") is None
    assert rate_bound(conditioning._replace(smoothness=0.0), (1.0, 1.0), "theory") == 0.0


def test_measured_rates():
    geometric = [0.5 + 0.9**k for k in range(50)]
    assert measured_rate(geometric, 0.5, 1.0) == pytest.approx(0.9, rel=1e-9)
    # What is below rounding says nothing.
    assert measured_rate([1.0, 0.5, 0.25, 0.0, 0.0], 0.0, 1.0) == pytest.approx(0.5)
    assert measured_rate([1.0, 0.0], 0.0, 1.0) is None


def test_a_metric_of_ones_own(sparse_problem):
    class Largest(TimeDependentMirror):
        """The largest gradient so far."""

        def initial_state(self, w):
            return torch.zeros_like(w)

        def update(self, state, gradient):
            return torch.maximum(state, gradient.abs())

        def metric(self, state):
            return state

    X, Y = sparse_problem
    steps = descend(X, Y, Largest(), rate=0.01, max_iter=500)
    assert steps[-1].loss < 0.1 * steps[0].loss


def test_too_long_steps_are_refused(sparse_problem):
    X, Y = sparse_problem
    with pytest.raises(ValueError, match="The descent diverges: .* learning_rate=100, or take"):
        descend(X, Y, Euclidean(), rate=100.0)
    with pytest.raises(ValueError, match="learning_rate=1e.05 leaves the finite weights of Hyp"):
        descend(X, Y, Hypentropy(1e-3), rate=1e5)


def test_mirrors_without_a_theory_of_their_steps_are_refused(sparse_problem):
    X, Y = sparse_problem
    with pytest.raises(ValueError, match="curvature is not zero.*has zero at weights of zero"):
        descend(X, Y, PNorm(3.0), rate="theory")
    with pytest.raises(ValueError, match="needs a mirror of finite curvature.*take all samples"):
        descend(X, Y, PNorm(1.5), rate="theory", batch=2)


def test_the_rate_of_a_curvature_without_square():
    conditioning = Conditioning(smoothness=1.0, pl=1.0, largest_sample=1.0, best=0.0)
    assert rate_bound(conditioning, (1.0, 1e200), "theory") == 1.0
