"""Scaling with width: values, slopes and pictures."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from joblib import parallel_config
from sklearn.exceptions import ConvergenceWarning
from torch import nn

from skoverparam.inspection import (
    NTKMLP,
    LinearityDisplay,
    TangentKernelRecorder,
    hessian_norm,
    pl_star_constant,
    width_sweep,
)

mpl.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def _figures_are_closed():
    yield
    plt.close("all")


@pytest.fixture(autouse=True)
def own_stream():
    """Layers draw their first weights from the global stream: not from everybody's."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def signs(width, seed):
    return NTKMLP(4, [width], output_layer="signs", random_state=seed, dtype=torch.float64)


def swish(width, seed):
    return NTKMLP(4, [width], "tanh", "swish", random_state=seed, dtype=torch.float64)


def data(n=3):
    X = np.random.default_rng(0).normal(size=(n, 4))
    return 2 * X / np.linalg.norm(X, axis=1, keepdims=True), np.where(X[:, 0] > 0, 0.5, -0.5)


def test_values_are_those_of_the_single_measures():
    X, y = data()

    def kernel_trace(module, X, y):
        assert len(y) == len(X)
        return 3.0 * len(module.layers[0].weight)

    quantities = ["hessian_norm", "lambda_min", "lambda_max", kernel_trace]
    sweep = width_sweep(signs, [20, 80], X, y, quantities=quantities, n_seeds=2, random_state=5)
    for row, width in enumerate([20, 80]):
        for column, seed in enumerate([5, 6]):
            network = signs(width, seed)
            norm = hessian_norm(network, X, random_state=seed).norm
            constant = pl_star_constant(network, X)
            assert sweep.values["hessian_norm"][row, column] == norm
            assert sweep.values["lambda_min"][row, column] == constant.mu
            assert sweep.values["lambda_max"][row, column] == constant.beta
    assert sweep.slopes["kernel_trace"] == pytest.approx(1)
    assert sweep.standard_errors["kernel_trace"] == pytest.approx(0, abs=1e-12)
    assert sweep.intercepts["kernel_trace"] == pytest.approx(np.log(3))
    assert sweep.mean["lambda_max"].shape == (2,)
    frame = sweep.to_frame()
    assert frame.shape == (4, 2 + 4)
    np.testing.assert_array_equal(frame["hessian_norm"], sweep.values["hessian_norm"].ravel())


def test_slopes_and_errors_are_those_of_least_squares():
    def noisy(module, X, y):
        return float(np.exp(hash_of(module)))

    def hash_of(module):
        return float(module.layers[0].weight.detach().sum()) % 1

    widths = [10, 20, 50, 70]
    sweep = width_sweep(signs, widths, data()[0], quantities=noisy, n_seeds=3, random_state=0)
    A = np.column_stack([np.log(np.repeat(widths, 3)), np.ones(12)])
    z = np.log(sweep.values["noisy"].ravel())
    coef, rss = np.linalg.lstsq(A, z)[:2]
    assert sweep.slopes["noisy"] == pytest.approx(coef[0])
    error = np.sqrt(rss[0] / 10 * np.linalg.inv(A.T @ A)[0, 0])
    assert sweep.standard_errors["noisy"] == pytest.approx(error)


def test_hessians_shrink_or_stay():
    X = data(1)[0]
    sweep = width_sweep(signs, [64, 256, 1024], X, n_seeds=2, random_state=0)
    assert sweep.slopes["hessian_norm"] == pytest.approx(-0.5, abs=0.03)
    sweep = width_sweep(swish, [64, 256, 1024, 4096], X, n_seeds=6, random_state=0)
    # Six networks scatter by a third around their mean.
    assert abs(sweep.slopes["hessian_norm"]) < max(0.05, 3 * sweep.standard_errors["hessian_norm"])


def test_training_and_workers():
    X, y = data(6)
    options = {"quantities": ["kernel_change", "n_steps"], "n_seeds": 1, "loss": 1e-2}
    sweep = width_sweep(signs, [32, 256], X, y, random_state=1, **options)
    assert sweep.slopes["kernel_change"] < -0.5
    assert (sweep.values["n_steps"] > 3).all()
    assert np.isnan(width_sweep(
        signs, [32, 256], X, y, random_state=1,
        quantities="n_steps", n_seeds=1, loss=1e6,
    ).slopes["n_steps"])  # fmt: skip


def test_workers_find_the_same():
    X = data(2)[0]
    one = width_sweep(signs, [20, 40], X, random_state=0)
    # Processes would take longer to start than all other tests.
    with parallel_config(backend="threading"):
        two = width_sweep(signs, [20, 40], X, n_jobs=2, random_state=0)
    np.testing.assert_array_equal(one.values["hessian_norm"], two.values["hessian_norm"])


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"quantities": ["size"]}, ValueError, "quantities must be among"),
        ({"quantities": []}, ValueError, "at least one quantity"),
        ({"quantities": "kernel_change"}, ValueError, "needs the targets y"),
        ({"widths": [5]}, ValueError, "at least two different integers"),
        ({"widths": [0, 5]}, ValueError, "widths must be positive"),
        ({"factory": 3}, TypeError, "factory must be a function"),
        ({"factory": lambda m, s: None}, TypeError, "must be a torch module"),
        (
            {"factory": lambda m, s: nn.Sequential(nn.Linear(4, m), nn.Linear(m, 1))},
            ValueError,
            "but 0, 1 are plain layers",
        ),
    ],
)
def test_bad_input(kwargs, error, message):
    arguments = {"factory": signs, "widths": [4, 8], "X": data()[0], "random_state": 0} | kwargs
    with pytest.raises(error, match=message):
        width_sweep(**arguments)


def test_display_of_a_sweep():
    sweep = width_sweep(
        signs, [16, 64], data(1)[0], quantities=["hessian_norm", "lambda_max"], random_state=0
    )
    display = LinearityDisplay.from_sweep(sweep)
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "log"
    np.testing.assert_array_equal(display.mean_line_.get_ydata(), sweep.mean["hessian_norm"])
    x, line = display.fit_line_.get_data()
    assert np.diff(np.log(line))[0] / np.diff(np.log(x))[0] == pytest.approx(
        sweep.slopes["hessian_norm"]
    )
    x, line = display.reference_line_.get_data()
    assert line[1] / line[0] == pytest.approx(0.5)
    other = LinearityDisplay.from_sweep(
        sweep, "lambda_max", ax=display.ax_, name="largest", reference=False
    )
    assert other.figure_ is display.figure_
    assert other.reference_line_ is None
    with pytest.raises(ValueError, match="quantity must be one of 'hessian_norm', 'lambda_max'"):
        LinearityDisplay.from_sweep(sweep, "size")
    made = LinearityDisplay.from_factory(signs, [16, 64], data(1)[0], random_state=0)
    np.testing.assert_array_equal(made.values, display.values)


def test_display_of_a_recorder():
    X, y = data(6)
    network = signs(20, 0)
    recorder = TangentKernelRecorder(network, X)
    with torch.no_grad():
        for p in network.parameters():
            p *= 1.1
    recorder.step()
    display = LinearityDisplay.from_recorder(recorder)
    np.testing.assert_array_equal(
        display.mean_line_.get_data(), [[0, 1], recorder.record().change]
    )
    assert display.ax_.get_xlabel() == "steps of training"
    assert display.fit_line_ is None


def test_networks_that_do_not_reach_the_loss_are_told():
    def factory(width, seed):
        return NTKMLP(3, [width], random_state=seed).double()

    with pytest.warns(ConvergenceWarning, match="4 of 4 networks did not reach loss=1e-12"):
        sweep = width_sweep(
            factory,
            [8, 16],
            np.eye(3),
            np.ones(3),
            quantities=["n_steps"],
            n_seeds=2,
            loss=1e-12,
            max_iter=2,
            random_state=0,
        )
    assert (sweep.values["n_steps"] == 2).all()
