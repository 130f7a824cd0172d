"""Maps: batched against cell by cell, resumed against whole, theory beside both."""

import matplotlib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skoverparam import TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches
from skoverparam.model_selection import PhaseTransitionDisplay, phase_transition_map

matplotlib.use("Agg")

SMALL = {"signals": [2.0, 6.0, 12.0], "dims": [50, 100], "n_samples": 10, "n_test": 60}


class OneByOne(TwoLayerCNNClassifier):
    """The same classifier, which cannot be trained many at once."""

    fit_many = property()


@pytest.fixture(scope="module")
def found():
    return phase_transition_map(
        TwoLayerCNNClassifier(max_iter=20_000),
        make_signal_noise_patches,
        n_trials=3,
        random_state=0,
        **SMALL,
    )


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_together_and_one_by_one_are_the_same(found, n_jobs):
    apart = phase_transition_map(
        OneByOne(max_iter=20_000) if n_jobs is None else TwoLayerCNNClassifier(max_iter=20_000),
        make_signal_noise_patches,
        n_trials=3,
        random_state=0,
        n_jobs=n_jobs,
        **SMALL,
    )
    np.testing.assert_array_equal(apart.scores, found.scores)
    np.testing.assert_array_equal(apart.train_scores, found.train_scores)


def test_scores_are_those_of_fits_by_hand(found):
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=(3, 3, 2))
    for trial, row, column in ((0, 0, 0), (2, 1, 1), (1, 2, 0)):
        rng = np.random.RandomState(seeds[trial, row, column])
        settings = {"d": SMALL["dims"][column], "signal": SMALL["signals"][row]}
        X, y, _ = make_signal_noise_patches(10, **settings, random_state=rng)
        X_test, y_test, _ = make_signal_noise_patches(60, **settings, random_state=rng)
        seed = int(seeds[trial, row, column])
        classifier = TwoLayerCNNClassifier(max_iter=20_000, random_state=seed).fit(X, y)
        assert found.scores[row, column, trial] == classifier.score(X_test, y_test)
        assert found.train_scores[row, column, trial] == classifier.score(X, y)


def test_statistics_and_theory(found):
    assert found.scores.shape == (3, 2, 3)
    np.testing.assert_array_equal(found.mean, found.scores.mean(2))
    np.testing.assert_array_equal(found.median, np.median(found.scores, axis=2))
    np.testing.assert_allclose(
        found.n_snr_q, 10 * (np.array([[2], [6], [12]]) / np.sqrt([50, 100])) ** 3
    )
    curve = found.theory_curve(2.0)
    np.testing.assert_allclose(10 * (curve / np.sqrt([50, 100])) ** 3, 2)


def test_crossing_by_linear_interpolation(found):
    mean = np.array([[0.5, 0.8, 0.5], [0.7, 0.9, 0.5], [0.9, 0.9, 0.6]])
    made = found._replace(mean=mean, dims=np.array([1, 2, 3]))
    np.testing.assert_allclose(made.crossing(0.75), [7.5, np.nan, np.nan])


def test_resumed_maps_are_whole_ones(found):
    settings = {"random_state": 0, **SMALL}
    classifier = TwoLayerCNNClassifier(max_iter=20_000)
    part = phase_transition_map(classifier, make_signal_noise_patches, n_trials=1, **settings)
    whole = phase_transition_map(
        classifier, make_signal_noise_patches, n_trials=3, resume=part, **settings
    )
    np.testing.assert_array_equal(whole.scores, found.scores)
    np.testing.assert_array_equal(whole.train_scores, found.train_scores)
    same = phase_transition_map(
        classifier, make_signal_noise_patches, n_trials=3, resume=found, **settings
    )
    np.testing.assert_array_equal(same.scores, found.scores)
    with pytest.raises(ValueError, match="resume must be a map of the same"):
        phase_transition_map(
            classifier,
            make_signal_noise_patches,
            n_trials=3,
            resume=found,
            **settings | {"dims": [50, 60]},
        )


def test_any_estimator_scoring_and_parameters_of_the_data():
    pipeline = make_pipeline("passthrough", LogisticRegression())
    found = phase_transition_map(
        pipeline,
        make_signal_noise_patches,
        signals=[1.0, 8.0],
        dims=30,
        n_samples=[20, 40, 80],
        n_trials=2,
        n_test=50,
        data_params={"sigma_p": 0.5, "position": "first"},
        scoring="neg_log_loss",
        random_state=0,
    )
    assert found.scores.shape == (2, 3, 2)
    assert (found.scores < 0).all()
    assert (found.mean[1] > found.mean[0]).all()
    assert found.sigma_p == 0.5
    np.testing.assert_array_equal(found.dims, 30)
    np.testing.assert_allclose(
        found.theory_curve(1.0), 0.5 * np.sqrt(30) * (1 / found.n_samples) ** (1 / 3)
    )
    display = PhaseTransitionDisplay.from_map(found, score_name="log-likelihood")
    assert display.ax_.get_xlabel() == "training samples n"


def test_display(found):
    display = PhaseTransitionDisplay.from_map(found)
    np.testing.assert_array_equal(display.mesh_.get_array().reshape(3, 2), found.median)
    np.testing.assert_allclose(display.lines_[1].get_ydata(), found.theory_curve(2.0))
    assert display.colorbar_ is not None
    assert display.ax_.get_xlim() == (25, 125)
    assert display.ax_.get_ylim() == (0, 15)
    plain = PhaseTransitionDisplay(phase_map=found).plot(
        statistic="mean", threshold=0.8, curves=(), mesh_kw={"cmap": "gray"}
    )
    np.testing.assert_array_equal(plain.mesh_.get_array().reshape(3, 2), found.mean >= 0.8)
    assert plain.colorbar_ is None
    assert plain.lines_ == []
    assert plain.mesh_.get_cmap().name == "gray"
    ax = display.figure_.add_subplot()
    assert PhaseTransitionDisplay.from_map(found, ax=ax).ax_ is ax
    drawn = PhaseTransitionDisplay.from_estimator(
        LogisticRegression(),
        make_signal_noise_patches,
        signals=[2.0],
        dims=[20],
        n_trials=1,
        random_state=0,
        plot_kw={"colorbar": False},
    )
    assert drawn.phase_map.scores.shape == (1, 1, 1)
    with pytest.raises(ValueError, match="ascending to be drawn"):
        PhaseTransitionDisplay.from_map(found._replace(dims=found.dims[::-1]))
    with pytest.raises(ValueError, match="statistic"):
        display.plot(statistic="mode")
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"signals": []}, "signals must be a list"),
        ({"signals": [3.0, 1.0]}, "signals must be ascending"),
        ({"signals": [-1.0]}, "signals must be a list of finite numbers"),
        ({"dims": 2.5}, "dims must be an integer"),
        ({"dims": [0]}, "dims"),
        ({"dims": [5, 6], "n_samples": [5, 6, 7]}, "of one length"),
        ({"n_trials": 0}, "n_trials"),
        ({"n_test": 0}, "n_test"),
    ],
)
def test_refuses(parameters, message):
    with pytest.raises(ValueError, match=message):
        phase_transition_map(
            LogisticRegression(),
            make_signal_noise_patches,
            **{"signals": [1.0], "dims": [5], "random_state": 0} | parameters,
        )
