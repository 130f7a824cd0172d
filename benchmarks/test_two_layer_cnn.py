"""Many small networks: one tensor program beside a loop of torch's autograd and SGD."""

import numpy as np
import pytest
import torch

from skoverparam import TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches

SIGNALS = (4.0, 8.0, 12.0, 16.0)
TRIALS = 4
D = 400


def cells():
    """Data sets, initial filters and steps."""
    for signal in SIGNALS:
        for seed in range(TRIALS):
            X, y, _ = make_signal_noise_patches(20, D, signal, random_state=seed)
            W = 0.01 * np.random.default_rng(seed).standard_normal((2, 10, D))
            yield X, y, W, 0.5 / D


def together(tasks):
    classifier = TwoLayerCNNClassifier(learning_rate=0.5 / D, max_iter=20_000)
    fitted = classifier.fit_many([task[:3] for task in tasks])
    return [one.n_iter_ for one in fitted]


def one_by_one(tasks):
    classifier = TwoLayerCNNClassifier(learning_rate=0.5 / D, max_iter=20_000)
    return [classifier.fit(*task[:3]).n_iter_ for task in tasks]


def autograd(tasks):
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two only wait for each other in steps of microseconds
    try:
        return [autograd_descent(*task) for task in tasks]
    finally:
        torch.set_num_threads(n_threads)


def autograd_descent(X, y, W, rate):
    patches, labels = torch.from_numpy(X).reshape(len(X), 2, -1), torch.from_numpy(y)
    W = torch.from_numpy(W.copy()).requires_grad_()
    optimizer = torch.optim.SGD([W], lr=rate)
    for step in range(20_001):
        optimizer.zero_grad()
        excited = torch.relu(patches @ W.flatten(0, 1).T).pow(3).sum(1).unflatten(1, (2, -1))
        F = excited.mean(2)
        loss = torch.nn.functional.softplus(-labels * (F[:, 1] - F[:, 0])).mean()
        if loss.item() <= 0.01:
            return step
        loss.backward()
        optimizer.step()
    return step


CONTENDERS = {"ours": together, "ours, one by one": one_by_one, "torch autograd, SGD": autograd}


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_many_networks(measure, contender):
    tasks = list(cells())
    task = f"train {len(tasks)} two-layer CNNs, 20 samples of 2 x {D}, to the same loss"
    steps = measure(task, contender, CONTENDERS[contender], tasks)
    measure.note(steps=np.mean(steps))
