"""How kernels move in training, and what the PL* constant says of the loss."""

import numpy as np
import pytest
import torch
from torch import nn

from skoverparam import MirrorDescentRegressor, SquareLossNetClassifier
from skoverparam.inspection import (
    NTKMLP,
    TangentKernelRecorder,
    empirical_ntk,
    linearize,
    pl_star_constant,
    tangent_kernel_change,
)
from skoverparam.inspection._tangent_kernels._pl_star import PLStarConstant
from skoverparam.nets._tangent_descent import gradient_descent, train_to_loss


@pytest.fixture(autouse=True)
def own_stream():
    """Layers draw their first weights from the global stream: not from everybody's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def published_data():
    generator = torch.Generator().manual_seed(7)
    X = torch.randn(20, 10, generator=generator, dtype=torch.float64)
    X *= 10**0.5 / X.norm(dim=1, keepdim=True)
    y = 0.5 * torch.randn(20, generator=generator, dtype=torch.float64).sign()
    return X, y[:, None]


def mlp(widths, seed=0, **options):
    return NTKMLP(10, widths, random_state=seed, dtype=torch.float64, **options)


def changes(make, widths, n_seeds, loss=1e-4):
    """Largest change of the kernel in training, mean over seeds; all must reach the loss."""
    X, Y = published_data()
    table = []
    for m in widths:
        runs = [train_to_loss(make(m, s), X, Y, loss=loss, max_iter=3000) for s in range(n_seeds)]
        assert all(run.losses[-1] <= loss for run in runs)
        table.append(np.mean([max(move.change for move in run.moves) for run in runs]))
    return np.array(table), np.polyfit(np.log(widths), np.log(table), 1)[0]


def test_kernels_of_wide_networks_freeze():
    found, slope = changes(lambda m, s: mlp([m], s), [64, 256, 1024], 3)
    # The theorem's -1/2 is a bound; at random weights first-order changes average out.
    assert slope < -0.5
    # Ten seeds gave .104, .0253 and .0057; three of them scatter by a third.
    np.testing.assert_allclose(found, [0.104, 0.0253, 0.0057], rtol=0.5)


def test_kernels_move_with_a_nonlinear_output_and_training_works():
    found, slope = changes(lambda m, s: mlp([m], s, output_activation="tanh"), [64, 512], 3)
    assert abs(slope) < 0.25
    assert (found > 0.3).all()


def test_kernels_move_past_a_bottleneck_and_training_works():
    found, slope = changes(lambda m, s: mlp([m, 5, m], s), [32, 128], 2)
    assert abs(slope) < 0.4  # two widths of two seeds; the slope of more is -.16
    assert (found > 0.3).all()


def test_snapshots():
    X = published_data()[0]
    first, other = mlp([30]), mlp([30], 1)
    found = tangent_kernel_change([first, other, first], X)
    K, L = (empirical_ntk(network, X).numpy() for network in (first, other))
    expected = np.linalg.norm(L - K) / np.linalg.norm(K)
    np.testing.assert_allclose(found.change, [0, expected, 0], rtol=1e-12)
    np.testing.assert_allclose(found.lambda_min[1], np.linalg.eigvalsh(L)[0], rtol=1e-9)
    np.testing.assert_allclose(found.lambda_max[1], np.linalg.eigvalsh(L)[-1], rtol=1e-12)
    weights = [
        np.concatenate([p.detach().ravel() for p in n.parameters()]) for n in (first, other)
    ]
    np.testing.assert_allclose(found.distance[1], np.linalg.norm(weights[0] - weights[1]))
    states = [network.state_dict() for network in (first, other, first)]
    same = tangent_kernel_change(states, X, module=first)
    for one, two in zip(found, same, strict=True):
        np.testing.assert_array_equal(one, two)
    frame = found.to_frame()
    assert list(frame.columns) == ["steps", "change", "lambda_min", "lambda_max", "distance"]
    assert len(frame) == 3


def test_bad_snapshots():
    X = published_data()[0]
    with pytest.raises(ValueError, match="at least one state"):
        tangent_kernel_change([], X)
    with pytest.raises(ValueError, match="state dicts need their module"):
        tangent_kernel_change([mlp([3]).state_dict()], X)
    with pytest.raises(ValueError, match="one network with the same parameters"):
        tangent_kernel_change([mlp([3]), mlp([4])], X)
    with pytest.raises(TypeError, match="snapshots must be a torch module"):
        tangent_kernel_change([3], X)


def test_recorder_with_any_optimizer():
    X, Y = published_data()
    network = mlp([50])
    recorder = TangentKernelRecorder(network, X[:5], every=4)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    optimizer.register_step_post_hook(recorder)
    for _ in range(9):
        optimizer.zero_grad()
        (network(X) - Y).square().sum().backward()
        optimizer.step()
    found = recorder.record()
    np.testing.assert_array_equal(found.steps, [0, 4, 8])
    assert (np.diff(found.distance) > 0).all()
    optimizer.zero_grad()
    recorder.every = 1
    recorder.step()
    last = tangent_kernel_change([before, network.state_dict()], X[:5], module=network)
    assert recorder.record().change[-1] == pytest.approx(last.change[1], rel=1e-12)
    with pytest.raises(ValueError, match="every"):
        TangentKernelRecorder(network, X, every=0)
    with pytest.raises(TypeError, match="module must be a torch module"):
        TangentKernelRecorder("net", X)


def test_recorder_as_a_callback():
    X = np.random.default_rng(0).normal(size=(60, 4))
    y = (X[:, 0] > X[:, 1]).astype(int)
    recorder = TangentKernelRecorder(None, X[:6], every=2)
    with pytest.raises(ValueError, match="Nothing was recorded"):
        recorder.record()
    options = {"hidden_layer_sizes": (20,), "dtype": "float64", "random_state": 0}
    network = SquareLossNetClassifier(max_iter=3, warm_start=True, **options)
    network.set_callbacks(recorder).fit(X, y)
    assert recorder.record().steps.tolist() == [0, 2]
    two = SquareLossNetClassifier(max_iter=2, **options).fit(X, y)
    start = SquareLossNetClassifier(max_iter=1, learning_rate=1e-300, **options).fit(X, y)
    expected = tangent_kernel_change([start, two], X[:6])
    for found, value in zip(recorder.record()[1:], expected[1:], strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-9, atol=1e-14)
    network.fit(X, y)  # goes on
    assert recorder.record().steps.tolist() == [0, 2, 4, 6]
    network.set_params(warm_start=False).fit(X, y)  # begins anew
    assert recorder.record().steps.tolist() == [0, 2]
    with pytest.raises(ValueError, match="step"):
        recorder.step()
    other = MirrorDescentRegressor(max_iter=5).set_callbacks(TangentKernelRecorder(None, X[:6]))
    with pytest.raises(TypeError, match="callback of SquareLossNetClassifier, got MirrorDesc"):
        other.fit(X, y)


def test_a_linear_model_has_a_constant_kernel():
    X, Y = published_data()
    run = train_to_loss(linearize(mlp([20])), X, Y, loss=1e-3, max_iter=200)
    assert max(move.change for move in run.moves) < 1e-12
    assert run.moves[-1].distance > 0.1


def test_pl_star_constant_is_the_kernels():
    X, Y = published_data()
    network = mlp([40], n_outputs=2)
    targets = torch.cat([Y, -Y], dim=1)
    found = pl_star_constant(network, X, targets)
    K = empirical_ntk(network, X, output="full").permute(0, 2, 1, 3).reshape(40, 40)
    values = np.linalg.eigvalsh(K.numpy())
    assert found.mu == pytest.approx(values[0], rel=1e-8)
    assert found.beta == pytest.approx(values[-1], rel=1e-12)
    assert found.condition_number == found.beta / found.mu
    r = (network(X).detach() - targets).reshape(-1)
    assert found.loss == pytest.approx(float(r @ r) / 2)
    assert found.local_mu == pytest.approx(float(r @ K @ r) / float(r @ r), rel=1e-10)
    assert found.mu <= found.local_mu <= found.beta
    without = pl_star_constant(network, X)
    assert without.loss is None
    with pytest.raises(ValueError, match="loss must be given"):
        without.loss_bound(3)
    with pytest.raises(ValueError, match="at most 1 / beta"):
        found.loss_bound(3, learning_rate=2 / found.beta)
    assert pl_star_constant(nn.Linear(10, 1).double(), X).mu == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("output_activation", ["identity", "tanh"])
def test_the_loss_stays_below_the_geometric_bound(output_activation):
    X, Y = published_data()
    network = mlp([256], output_activation=output_activation)
    start = pl_star_constant(network, X, Y)
    path = [start]
    losses = []
    for t, step in enumerate(gradient_descent(network, X, Y, learning_rate=1 / start.beta)):
        losses.append(step.loss)
        if t == 120:
            break
        path.append(pl_star_constant(network, X, Y) if t % 20 == 0 else path[-1])
    mu = min(constant.mu for constant in path)
    beta = max(constant.beta for constant in path)
    assert mu > 0
    bound = start._replace(mu=mu, beta=beta).loss_bound(120)
    assert (np.array(losses) <= bound * (1 + 1e-12)).all()
    assert losses[-1] < 0.05 * losses[0]
    assert min(constant.local_mu for constant in path) >= mu


def test_published_rate():
    """1 hidden layer of 256, steps 300 to 399: .97000 a step, not above the bound .98788."""
    X, Y = published_data()
    network = mlp([256])
    constant = pl_star_constant(network, X, Y)
    assert constant.mu == pytest.approx(0.0479, abs=5e-5)
    assert constant.beta == pytest.approx(3.950, abs=5e-4)
    losses = []
    for step in gradient_descent(network, X, Y, learning_rate=1 / constant.beta):
        losses.append(step.loss)
        if len(losses) == 400:
            break
    rate = (losses[399] / losses[300]) ** (1 / 99)
    assert rate == pytest.approx(0.97, abs=1e-4)
    assert rate <= 1 - constant.mu / constant.beta


def test_a_network_without_gradient_keeps_its_loss():
    constant = PLStarConstant(0.0, 0.0, np.inf, 2.0, None)
    assert constant.loss_bound(3).tolist() == [2.0] * 4
