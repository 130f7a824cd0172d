"""Collapse over layers and epochs, and what is left for other tasks: digits, real training."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from torch import nn

from skoverparam import SquareLossNetClassifier
from skoverparam.inspection import (
    CollapseRecorder,
    NeuralCollapseDisplay,
    TransferCurveDisplay,
    layerwise_collapse,
    neural_collapse,
    transfer_curve,
)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    mean = X.mean(0)
    return X - mean, X_test - mean, y, y_test


def small(max_iter=3, **options):
    return SquareLossNetClassifier(
        hidden_layer_sizes=(48, 32), max_iter=max_iter, random_state=0, **options
    )


@pytest.mark.slow
def test_training_samples_collapse_and_test_samples_do_not(digits):
    # The first half of a cosine over 400 epochs. Bands are wide: seeds 0 and 1 end at training NC1
    # .0019 and .0022 and test NC1 .0415 and .0440.
    X, X_test, y, y_test = digits
    recorder = CollapseRecorder(X_test, y_test, every=(50, 200), layers="all")
    network = SquareLossNetClassifier(
        hidden_layer_sizes=(256, 256, 256),
        optimizer="sgd",
        learning_rate=0.5,
        weight_decay=5e-5,
        schedule=lambda done: 0.5 * (1 + math.cos(math.pi * done / 2)),
        max_iter=200,
        random_state=0,
    ).set_callbacks(recorder)
    network.fit(X, y)
    found = {(r.epoch, r.layer): r.collapse for r in recorder.records_}
    early, late = found[50, "penultimate"], found[200, "penultimate"]
    assert late.nc1_pinv < 0.01
    assert late.test_nc1_pinv > 0.03
    assert late.test_nc1_pinv > 5 * late.nc1_pinv
    assert late.test_weak_dispersion <= late.test_strong_dispersion
    assert late.nc4_disagreement < 0.01
    assert late.test_nc1_pinv > 0.6 * early.test_nc1_pinv
    assert late.nc1_pinv < 0.5 * early.nc1_pinv
    # Cascading: the later the layer, the further it has collapsed.
    names = ["body.activation1", "body.activation2", "penultimate"]
    for epoch in (50, 200):
        ratios = [found[epoch, name].nc1_ratio for name in names]
        assert ratios[0] > ratios[1] > ratios[2]
    assert found[200, names[2]].ncc_accuracy >= found[200, names[0]].ncc_accuracy
    assert layerwise_collapse(network, X, y, X_test, y_test).collapse[2] == late


@pytest.mark.slow
def test_longer_training_on_coarse_labels_loses_the_fine_ones(digits):
    # Digits below five against the others for 400 epochs; the probe is for all ten digits.
    X, X_test, y, y_test = digits
    network = SquareLossNetClassifier(
        hidden_layer_sizes=(256, 256, 256),
        optimizer="sgd",
        learning_rate=0.1,
        weight_decay=5e-4,
        random_state=0,
    )
    curve = transfer_curve(
        network,
        X,
        y < 5,
        y,
        X_test,
        y_test,
        y_test=y_test < 5,
        epochs=(3, 30, 400),
        layers=("body.activation1", "penultimate"),
        probe=RidgeClassifier(alpha=1.0),
    )
    last, first = (curve.layer == name for name in ("penultimate", "body.activation1"))
    assert curve.score[last].max() - curve.score[last][-1] >= 0.2
    assert np.ptp(curve.score[first]) < 0.02
    assert curve.accuracy[last][-1] >= curve.accuracy[last][1] - 0.005
    assert curve.nc1_pinv[last][-1] < 0.5 * curve.nc1_pinv[last][1]


def test_layers_are_those_that_are_asked_for(digits):
    X, X_test, y, y_test = digits
    network = small().fit(X, y)
    found = layerwise_collapse(network, X, y, X_test, y_test)
    assert found.layers == ("body.activation1", "penultimate")
    for name, collapse in zip(found.layers, found.collapse, strict=True):
        assert collapse == neural_collapse(network, X, y, X_test, y_test, layer=name)
    some = layerwise_collapse(network, X, y, layers=["body.linear2", "body.linear1"])
    assert some.layers == ("body.linear2", "body.linear1")
    frame = found.to_frame()
    assert frame.loc[("penultimate", "test"), "nc1_pinv"] == found.collapse[1].test_nc1_pinv
    with pytest.raises(ValueError, match="'all' or a sequence of names, got 'body'"):
        layerwise_collapse(network, X, y, layers="body")
    with pytest.raises(ValueError, match="given together"):
        layerwise_collapse(network, X, y, X_test)


def test_layers_of_modules_and_perceptrons_are_found(digits):
    X, _, y, _ = digits
    model = MLPClassifier((40, 20), max_iter=300, tol=0.1, random_state=0).fit(X, y)
    assert layerwise_collapse(model, X, y).layers == ("body.activation1", "penultimate")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 16, 3),
            nn.BatchNorm2d(16),
            nn.Flatten(),
            nn.Linear(16 * 36, 10),
        )
    found = layerwise_collapse(module, X, y)
    assert found.layers == ("1", "2", "penultimate")
    assert [c.n_features for c in found.collapse] == [16, 16, 576]


def test_recorders_record_the_epochs_they_are_told(digits):
    X, X_test, y, y_test = digits
    recorder = CollapseRecorder(X_test, y_test, every=2)
    network = small(max_iter=5).set_callbacks(recorder).fit(X, y)
    assert [(r.fit, r.epoch) for r in recorder.records_] == [(0, 2), (0, 4)]
    network.set_params(max_iter=2).fit(X, y)
    assert [(r.fit, r.epoch) for r in recorder.records_[2:]] == [(1, 2)]
    # What is recorded is what the network was after that epoch, and recording changes nothing.
    assert recorder.records_[2].collapse == neural_collapse(network, X, y, X_test, y_test)
    plain = small(max_iter=2).fit(X, y)
    assert (plain.weights_["head.weight"] == network.weights_["head.weight"]).all()
    frame = recorder.to_frame()
    assert frame["split"].tolist() == ["train", "test"] * 3
    again = pickle.loads(pickle.dumps(recorder))
    assert again.records_ == recorder.records_


def test_recorders_work_outside_of_fits(digits):
    X, _, y, _ = digits
    recorder = CollapseRecorder()
    new = recorder.record(small().fit(X, y), 7, X, y)
    assert new == recorder.records_
    assert new[0].epoch == 7
    for change, message in [({"every": 0}, "every"), ({"X_test": X}, "given together")]:
        with pytest.raises(ValueError, match=message):
            CollapseRecorder(**change)


def test_transfer_looks_into_perceptrons_of_scikit_learn(digits):
    X, X_test, y, y_test = digits
    model = MLPClassifier((64, 32), random_state=0)
    curve = transfer_curve(model, X, y < 5, y, X_test, y_test, epochs=[1, 3])
    assert curve.epoch.tolist() == [1, 3]
    assert not hasattr(model, "coefs_")
    # The same by hand.
    for _ in range(3):
        model.partial_fit(X, y < 5, classes=[False, True])
    H, H_test = (
        np.maximum(
            np.maximum(Z @ model.coefs_[0] + model.intercepts_[0], 0) @ model.coefs_[1]
            + model.intercepts_[1],
            0,
        ).astype(float)
        for Z in (X, X_test)
    )
    mean, spread = H.mean(0), (H - H.mean(0)).std()
    expected = RidgeClassifier(alpha=1.0).fit((H - mean) / spread, y)
    assert curve.score[1] == pytest.approx(expected.score((H_test - mean) / spread, y_test))


def test_transfer_from_before_training(digits):
    X, X_test, y, y_test = digits
    network = small()
    curve = transfer_curve(network, X, y < 5, y, X_test, y_test, epochs=[8, 0], y_test=y_test < 5)
    assert curve.epoch.tolist() == [0, 8]
    assert curve.accuracy[0] < 0.6
    assert curve.accuracy[1] > 0.9
    # A step as small as rounding errors leaves the weights that were drawn.
    still = clone(network).set_params(learning_rate=1e-12)
    after = transfer_curve(still, X, y < 5, y, X_test, y_test, epochs=[1], y_test=y_test < 5)
    assert curve.score[0] == pytest.approx(after.score[0], abs=1e-3)
    assert curve.nc1_pinv[0] == pytest.approx(after.nc1_pinv[0], rel=1e-3)
    with pytest.raises(ValueError, match="at least 1 for MLPClassifier"):
        transfer_curve(MLPClassifier(), X, y < 5, y, X_test, y_test, epochs=[0, 1])


def test_transfer_takes_any_probe_and_names_it(digits):
    X, X_test, y, y_test = digits
    probe = LogisticRegression(C=0.5, max_iter=500)
    curve = transfer_curve(small(), X, y < 5, y, X_test, y_test, epochs=2, probe=probe)
    assert curve.probe == repr(probe)
    assert np.isnan(curve.accuracy).all()
    assert list(curve.to_frame()["epoch"]) == [2]
    with pytest.raises(ValueError, match="epochs"):
        transfer_curve(small(), X, y < 5, y, X_test, y_test, epochs=[0])
    with pytest.raises(ValueError, match="y_fine and y_fine_test"):
        transfer_curve(small(), X, y < 5, y[:5], X_test, y_test, epochs=[1])
    with pytest.raises(TypeError, match="callbacks or have partial_fit"):
        transfer_curve(RidgeClassifier(), X, y < 5, y, X_test, y_test, epochs=[1])


def test_displays_draw_what_was_measured(digits):
    plt = pytest.importorskip("matplotlib.pyplot")
    X, X_test, y, y_test = digits
    recorder = CollapseRecorder(X_test, y_test, layers="all")
    network = small().set_callbacks(recorder).fit(X, y)
    display = NeuralCollapseDisplay.from_recorder(recorder, measures=("nc1_pinv", "accuracy"))
    last = [r.collapse for r in recorder.records_ if r.layer == "penultimate"]
    line = display.lines_["nc1_pinv", "test"]
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert line.get_ydata().tolist() == [c.test_nc1_pinv for c in last]
    assert [panel.get_yscale() for panel in display.axes_] == ["log", "linear"]
    display = NeuralCollapseDisplay.from_estimator(network, X, y, X_test, y_test)
    labels = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert labels == ["body.activation1", "penultimate"]
    for change in ({"layer": "body"}, {"fit": 3}, {"measures": ["nc7"]}):
        with pytest.raises(ValueError, match="must"):
            NeuralCollapseDisplay.from_recorder(recorder, **change)
    curve = transfer_curve(
        small(), X, y < 5, y, X_test, y_test, y_test=y_test < 5, epochs=[1, 2], layers="all"
    )
    display = TransferCurveDisplay.from_curve(curve)
    assert list(display.lines_) == ["body.activation1", "penultimate"]
    assert display.lines_["penultimate"].get_ydata().tolist() == curve.score[1::2].tolist()
    assert len(display.accuracy_line_.get_xdata()) == 2
    plt.close("all")
