"""One epoch of a multilayer perceptron on MNIST: ours beside scikit-learn and skorch."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from torch import nn

from skoverparam import SquareLossNetClassifier

BATCH = 128


def ours(hidden, loss="square"):
    network = SquareLossNetClassifier(
        hidden_layer_sizes=hidden, loss=loss, batch_size=BATCH, max_iter=1, random_state=0
    )
    return network.fit


def of_sklearn(hidden):
    network = MLPClassifier(hidden, alpha=0, batch_size=BATCH, max_iter=1, random_state=0)

    def fit(X, y):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return network.fit(X, y)

    return fit


def of_skorch(hidden):
    skorch = pytest.importorskip("skorch")
    torch.manual_seed(0)
    layers = []
    for fan_in, fan_out in zip((784, *hidden), hidden, strict=False):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    network = skorch.NeuralNetClassifier(
        nn.Sequential(*layers, nn.Linear(hidden[-1], 10)),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-3,
        batch_size=BATCH,
        max_epochs=1,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return network.fit


CONTENDERS = {
    "ours": ours,
    "ours, cross-entropy": lambda hidden: ours(hidden, "cross-entropy"),
    "MLPClassifier": of_sklearn,
    "skorch": of_skorch,
}


@pytest.fixture(scope="module")
def mnist(data_folder):
    data = np.load(data_folder / "vision" / "mnist.npz")
    rows = [
        np.reshape(data[f"X_{part}"], (-1, 784)).astype(np.float32) / 255
        for part in ("train", "test")
    ]
    return rows[0], data["y_train"].astype(np.int64), rows[1], data["y_test"].astype(np.int64)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("hidden", [(256, 256), (100,)], ids=str)
def test_epoch(measure, mnist, contender, hidden):
    X, y, X_test, y_test = mnist
    fit = CONTENDERS[contender](hidden)
    task = f"MNIST, 60000 digits, one epoch of a perceptron with {hidden} hidden units, Adam"
    # Every round is a whole fit of one epoch; the median is taken.
    network = measure(task, contender, fit, X, y, rounds=3, warmup_rounds=1)
    measure.note(accuracy=np.mean(network.predict(X_test) == y_test))
