"""The training loop against plain torch, and that it can stop anywhere and go on."""

from functools import partial

import pytest
import torch
from torch import nn

from skoverparam.nets._architectures import build_network, rebuild_network
from skoverparam.nets._losses import Loss
from skoverparam.nets._training import (
    DivergenceError,
    Recipe,
    Training,
    accuracy,
    batches,
    is_adaptive,
    network_outputs,
    training_epochs,
)


def problem(n=200, d=6, n_classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    W = torch.randn(d, n_classes, generator=generator, dtype=torch.float64)
    return X, (X @ W).argmax(1)


def network(seed=0, **options):
    options = {"hidden_layer_sizes": (16, 8)} | options
    return build_network("mlp", (6,), 4, seed=seed, **options).double()


def weights_of(net):
    return torch.cat([value.detach().flatten() for value in net.parameters()])


def test_steps_are_those_of_torch():
    X, labels = problem()
    ours, theirs = network(), network()
    training = Training(ours, Recipe(Loss("cross-entropy"), "sgd", 0.1, batch_size=50), 0)
    training.run_epoch(X, labels, shuffle=False)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for start in range(0, 200, 50):
        optimizer.zero_grad()
        rows = slice(start, start + 50)
        nn.functional.cross_entropy(theirs(X[rows]), labels[rows]).backward()
        optimizer.step()
    torch.testing.assert_close(weights_of(ours), weights_of(theirs), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sum_at_a_small_rate_is_mean_at_a_large_one(momentum):
    X, labels = problem()
    nets = network(), network()
    for net, reduction, rate in zip(nets, ("sum", "mean"), (0.01, 0.04), strict=True):
        recipe = Recipe(Loss("square", 1, 1, reduction), "sgd", rate, momentum, batch_size=20)
        training = Training(net, recipe, 0)
        for _ in range(2):
            training.run_epoch(X, labels, shuffle=True)
    torch.testing.assert_close(weights_of(nets[0]), weights_of(nets[1]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "optimizer",
    [
        "adam",
        "adamw",
        "sgd",
        torch.optim.RMSprop,
        partial(torch.optim.SGD, momentum=0.5, nesterov=True),
    ],
    ids=str,
)
def test_going_on_from_a_state_changes_nothing(optimizer):
    X, labels = problem()
    recipe = Recipe(Loss(), optimizer, 0.01, weight_decay=1e-3, batch_size=32)
    straight = Training(network(dropout=0.3), recipe, 7)
    for _ in range(4):
        straight.run_epoch(X, labels, shuffle=True)
    broken = Training(network(dropout=0.3), recipe, 7)
    for _ in range(2):
        broken.run_epoch(X, labels, shuffle=True)
    state = broken.state()
    for _ in range(2):  # a state is a copy: what follows does not reach it
        broken.run_epoch(X, labels, shuffle=True)
    resumed = Training(network(seed=1, dropout=0.3), recipe, 8)
    resumed.resume(state)
    for _ in range(2):
        resumed.run_epoch(X, labels, shuffle=True)
    assert torch.equal(weights_of(resumed.network), weights_of(straight.network))
    assert torch.equal(weights_of(broken.network), weights_of(straight.network))
    assert (resumed.n_epochs, resumed.n_samples) == (4, 800)


def test_another_optimizer_starts_with_a_clean_memory():
    X, labels = problem()
    first = Training(network(), Recipe(Loss(), "adam"), 0)
    first.run_epoch(X, labels, shuffle=True)
    second = Training(network(), Recipe(Loss(), "sgd"), 0)
    second.resume(first.state())
    assert not second.optimizer.state_dict()["state"]
    assert torch.equal(weights_of(second.network), weights_of(first.network))


def test_dropout_draws_from_a_stream_of_its_own():
    X, labels = problem()
    before = torch.random.get_rng_state()
    nets = [network(dropout=0.5) for _ in range(2)]
    for net in nets:
        torch.manual_seed(5)
        for _ in range(2):
            Training(net, Recipe(Loss()), 3).run_epoch(X, labels, shuffle=False)
            torch.rand(3)
    torch.random.set_rng_state(before)
    assert torch.equal(weights_of(nets[0]), weights_of(nets[1]))


def test_schedules_scale_the_rate():
    X, labels = problem(n=40)
    seen = []

    def schedule(done):
        seen.append(done)
        return 0.0

    net = network()
    start = weights_of(net).clone()
    training = Training(net, Recipe(Loss(), "adam", schedule=schedule, batch_size=10), 0)
    list(training_epochs(training, X, labels, n_epochs=2))
    assert seen == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]
    assert torch.equal(weights_of(net), start)
    training = Training(net, Recipe(Loss(), "sgd", 1.0, schedule="cosine", batch_size=40), 0)
    epochs = training_epochs(training, X, labels, n_epochs=2)
    next(epochs)
    assert training.optimizer.param_groups[0]["lr"] == 1.0
    next(epochs)
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.5)


def test_best_weights_and_patience():
    X, labels = problem(n=300)
    held_out = X[:100], labels[:100]
    training = Training(network(), Recipe(Loss(), "sgd", 0.5, batch_size=20), 0)
    epochs = list(
        training_epochs(
            training, X[100:], labels[100:], n_epochs=500, held_out=held_out, patience=5
        )
    )
    scores = [epoch.score for epoch in epochs]
    assert len(epochs) < 500
    last = epochs[-1].state
    assert last.best_score == max(scores)
    assert last.n_stale == 5
    best = rebuild_network("mlp", (6,), 4, last.best_weights, hidden_layer_sizes=(16, 8))
    assert accuracy(network_outputs(best, held_out[0]), held_out[1]) == max(scores)
    # Of several equally good epochs the last.
    place = max(i for i, score in enumerate(scores) if score == max(scores))
    assert all(
        torch.equal(last.best_weights[name], epochs[place].state.weights[name])
        for name in last.best_weights
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_divergence_is_noticed(value):
    X, labels = problem()
    X[3, 0] = value
    training = Training(network(activation="tanh"), Recipe(Loss()), 0)
    if value == float("inf"):
        training = Training(network(), Recipe(Loss(), "sgd", 1e300), 0)
    with pytest.raises(DivergenceError):
        training.run_epoch(X, labels, shuffle=True)


def test_a_last_batch_of_one_joins_the_one_before():
    assert list(batches(10, 4)) == [slice(0, 4), slice(4, 8), slice(8, 10)]
    assert list(batches(9, 4)) == [slice(0, 4), slice(4, 9)]
    assert list(batches(1, 4)) == [slice(0, 1)]
    assert list(batches(3, 1)) == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_what_counts_as_adaptive():
    assert is_adaptive("adam")
    assert is_adaptive(torch.optim.RMSprop)
    assert is_adaptive(partial(torch.optim.Adam, eps=1e-4))
    assert not is_adaptive("sgd")
    assert not is_adaptive(torch.optim.SGD)
    assert not is_adaptive(partial(torch.optim.SGD, nesterov=True, momentum=0.9))


def test_accuracy_counts_labels_that_are_not_negative():
    outputs = torch.eye(3)[[0, 1, 2, 1]].reshape(2, 2, 3)
    assert accuracy(outputs, torch.tensor([[0, 1], [0, -1]])) == pytest.approx(2 / 3)


@pytest.mark.gpu
@pytest.mark.parametrize("bfloat16", [False, True])
def test_training_on_a_gpu(bfloat16):
    X, labels = (value.cuda() for value in problem())
    X = X.float()
    net = network(dropout=0.1).float().cuda()
    training = Training(net, Recipe(Loss(), "adam", 0.01, bfloat16=bfloat16), 0)
    losses = [training.run_epoch(X, labels, shuffle=True) for _ in range(30)]
    assert losses[-1] < losses[0] / 2
    state = training.state()
    resumed = Training(network(dropout=0.1).float().cuda(), training.recipe, 1)
    resumed.resume(state)
    assert resumed.run_epoch(X, labels, shuffle=True) == training.run_epoch(
        X, labels, shuffle=True
    )
