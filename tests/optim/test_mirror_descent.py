"""The optimizer against torch's own, and what it keeps."""

import copy
import io

import pytest
import torch

from skoverparam.optim import Adagrad, MirrorDescent, PNorm, TimeDependentMirror


def problem(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(10, 30, generator=generator, dtype=dtype) / 30**0.5
    return X, X[:, :3].sum(1)


def run(optimizer, w, n_steps, X, y):
    losses = []
    for _ in range(n_steps):

        def closure():
            optimizer.zero_grad()
            loss = 0.5 * (X @ w - y).square().sum()
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return losses


def parameter(value=0.0, dtype=torch.float64):
    return torch.nn.Parameter(torch.full((30,), value, dtype=dtype))


@pytest.mark.parametrize("kind", ["sgd", "adagrad"])
def test_equals_the_optimizers_of_torch(kind):
    X, y = problem()
    w, v = parameter(0.3), parameter(0.3)
    if kind == "sgd":
        ours, theirs = MirrorDescent([w], lr=0.1), torch.optim.SGD([v], lr=0.1)
    else:
        ours = MirrorDescent([w], lr=0.1, mirror="adagrad")
        theirs = torch.optim.Adagrad([v], lr=0.1, eps=0)
    run(ours, w, 200, X, y)
    run(theirs, v, 200, X, y)
    torch.testing.assert_close(w, v, rtol=0, atol=1e-14)


def test_stored_duals_move_where_weights_underflow():
    X, y = problem(torch.float32)
    w = parameter(dtype=torch.float32)
    optimizer = MirrorDescent([w], lr=1e-6, mirror="pnorm", mirror_params={"p": 1.1})
    run(optimizer, w, 5, X, y)
    # All 30 are zero in float32 still, and the dual is not.
    dual = optimizer.state[w]["dual"]
    assert (w == 0).all()
    assert (dual != 0).all()
    before = dual.clone()
    run(optimizer, w, 5, X, y)
    torch.testing.assert_close(optimizer.state[w]["dual"], 2 * before)
    optimizer.param_groups[0]["lr"] = 0.1
    losses = run(optimizer, w, 2000, X, y)
    assert losses[-1] < 0.1 * losses[0]


def test_edits_from_outside_are_noticed():
    X, y = problem()
    w = parameter()
    optimizer = MirrorDescent([w], lr=0.1, mirror="hypentropy", mirror_params={"beta": 0.1})
    run(optimizer, w, 10, X, y)
    with torch.no_grad():
        w.fill_(0.7)
    v = parameter(0.7)
    fresh = MirrorDescent([v], lr=0.1, mirror="hypentropy", mirror_params={"beta": 0.1})
    run(optimizer, w, 3, X, y)
    run(fresh, v, 3, X, y)
    assert torch.equal(w, v)


@pytest.mark.parametrize("mirror", ["hypentropy", "adagrad", "pnorm"])
@pytest.mark.parametrize("weights_first", [True, False])
def test_resumed_runs_continue_bit_by_bit(mirror, weights_first):
    X, y = problem()
    w = parameter()
    optimizer = MirrorDescent([w], lr=0.05, mirror=mirror, track_bounds=True)
    run(optimizer, w, 20, X, y)
    file = io.BytesIO()
    torch.save({"w": w.detach(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    v = parameter(0.1)
    resumed = MirrorDescent([v], lr=1.0, mirror=mirror)

    def load_weights():
        with torch.no_grad():
            v.copy_(saved["w"])

    if weights_first:
        load_weights()
    resumed.load_state_dict(saved["optimizer"])
    if not weights_first:
        load_weights()
    assert run(optimizer, w, 20, X, y) == run(resumed, v, 20, X, y)
    assert torch.equal(w, v)
    assert optimizer.bounds() == resumed.bounds()


def test_groups_with_mirrors_of_their_own_and_schedules():
    X, y = problem()
    w, b = parameter(), torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
    optimizer = MirrorDescent(
        [{"params": [w], "mirror": "hypentropy", "lr": 0.05}, {"params": [b]}], lr=0.1
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    for _ in range(2):
        optimizer.zero_grad()
        (X @ w + b - y).square().sum().backward()
        gradient = b.grad.clone()
        before = b.detach().clone()
        lr = optimizer.param_groups[1]["lr"]
        optimizer.step()
        schedule.step()
        torch.testing.assert_close(b.detach(), before - lr * gradient)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0125, 0.025]
    assert set(optimizer.state[w]) == {"dual", "version"}


def test_a_copy_is_independent():
    X, y = problem()
    w = parameter()
    optimizer = MirrorDescent([w], lr=0.05, mirror="hypentropy")
    run(optimizer, w, 5, X, y)
    other = copy.deepcopy({"w": w, "optimizer": optimizer})
    assert run(optimizer, w, 5, X, y) == run(other["optimizer"], other["w"], 5, X, y)


def test_theory_steps_go_down_at_the_rate_that_is_promised():
    X, y = problem()
    spectrum = torch.linalg.svdvals(X).square()
    L, mu = float(spectrum[0]), float(spectrum[-1])
    w = parameter(0.2)
    optimizer = MirrorDescent(
        [w], lr="theory", mirror=PNorm(3.0, ridge=0.5), smoothness=L, track_bounds=True
    )
    losses = torch.tensor(run(optimizer, w, 500, X, y))
    ((low, high),) = optimizer.bounds()
    rate = 1 - mu / L * (low / high) ** 2
    losses = losses[losses > 1e-24]  # above rounding
    assert len(losses) > 50
    assert (losses[1:] <= rate * losses[:-1]).all()


def test_adagrad_with_theory_steps_ignores_weights_without_gradient():
    X, y = problem()
    X[:, 4] = 0
    w = parameter()
    L = float(torch.linalg.svdvals(X)[0] ** 2)
    optimizer = MirrorDescent([w], lr="theory", mirror="adagrad", smoothness=L)
    losses = run(optimizer, w, 300, X, y)
    assert w[4] == 0
    assert losses[-1] < 0.05 * losses[0]


def test_smoothness_is_estimated_from_the_loss():
    X, y = problem()
    w = parameter()
    optimizer = MirrorDescent([w], lr="theory", mirror="adagrad")
    losses = run(optimizer, w, 50, X, y)
    assert losses[-1] < losses[0]
    (0.5 * (X @ w - y).square().sum()).backward()
    with pytest.raises(ValueError, match="step needs a closure"):
        optimizer.step()


@pytest.mark.parametrize("factor", [1.0, 1.98])
def test_the_loss_of_a_network_goes_down_with_steps_of_the_theory(factor):
    generator = torch.Generator().manual_seed(0)
    X, y = (torch.rand(s, generator=generator, dtype=torch.float64) for s in ((10, 20), (10,)))
    first, second = (
        torch.nn.Parameter(0.2 * torch.rand(s, generator=generator, dtype=torch.float64) - 0.1)
        for s in ((40, 20), (40,))
    )
    optimizer = MirrorDescent([first, second], lr="theory", mirror="adagrad")
    optimizer.param_groups[0]["lr"] = factor

    def closure():
        optimizer.zero_grad()
        hidden = X @ first.T
        loss = 0.5 * ((hidden + hidden.sin()) @ second - y).square().sum()
        loss.backward()
        return loss

    losses = torch.tensor([optimizer.step(closure).item() for _ in range(300)])
    assert (losses.diff() < 0).all()
    assert losses[-1] < 0.5 * losses[0]


def test_overflow_keeps_the_weights():
    w = torch.nn.Parameter(torch.zeros(3))
    optimizer = MirrorDescent([w], lr=1e3, mirror="hypentropy")
    w.grad = torch.ones(3)
    with pytest.raises(
        ValueError, match="takes the dual to 1e.03, where Hypentropy has no finite"
    ):
        optimizer.step()
    assert (w == 0).all()
    optimizer.param_groups[0]["lr"] = 1e-3
    optimizer.step()
    torch.testing.assert_close(w.detach(), torch.full((3,), -1e-5), rtol=1e-4, atol=0)


def test_a_metric_of_ones_own():
    class Largest(TimeDependentMirror):
        """The largest gradient so far."""

        def initial_state(self, w):
            return torch.zeros_like(w)

        def update(self, state, gradient):
            return torch.maximum(state, gradient.abs(), out=state)

        def metric(self, state):
            return state

    w = torch.nn.Parameter(torch.zeros(2))
    optimizer = MirrorDescent([w], lr=0.5, mirror=Largest())
    w.grad = torch.tensor([4.0, -2.0])
    optimizer.step()
    assert w.tolist() == [-0.5, 0.5]
    assert optimizer.bounds() == [(2.0, 4.0)]


@pytest.mark.parametrize("mirror", ["adagrad", Adagrad(), "adagrad-norm"])
def test_zero_gradients_move_nothing(mirror):
    w = torch.nn.Parameter(torch.ones(2))
    optimizer = MirrorDescent([w], lr=0.5, mirror=mirror)
    w.grad = torch.zeros(2)
    optimizer.step()
    assert w.tolist() == [1, 1]


def test_simplex_stays_on_the_simplex():
    w = torch.nn.Parameter(torch.full((2, 4), 0.25, dtype=torch.float64))
    target = torch.tensor([[0.7, 0.1, 0.1, 0.1], [0.0, 0.0, 0.5, 0.5]], dtype=torch.float64)
    optimizer = MirrorDescent([w], lr=1.0, mirror="simplex")
    for _ in range(300):
        optimizer.zero_grad()
        (w - target).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(w.sum(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(w.detach(), target, atol=1e-2, rtol=0)


def test_bad_input():
    w = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="positive weights; the least of the weights is 0"):
        MirrorDescent([w], mirror="negentropy")
    with pytest.raises(ValueError, match="lr must be positive and finite, got -1"):
        MirrorDescent([w], lr=-1)
    with pytest.raises(TypeError, match="lr must be a number or 'theory', got 'fast'"):
        MirrorDescent([w], lr="fast")
    with pytest.raises(ValueError, match="mirror must be one of"):
        MirrorDescent([w], mirror="bent")
    with pytest.raises(TypeError, match="complex64"):
        MirrorDescent([torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))])
    optimizer = MirrorDescent([w], lr="theory", mirror="pnorm", smoothness=1.0)
    w.grad = torch.ones(2)
    with pytest.raises(ValueError, match="'pnorm' has none at zero"):
        optimizer.step()
    w.grad = torch.zeros(2).to_sparse()
    with pytest.raises(TypeError, match="dense gradients"):
        optimizer.step()
