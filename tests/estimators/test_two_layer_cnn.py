"""The classifier: the two phases, the decomposition, batches, and what it refuses."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import FitCallback
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skoverparam
from skoverparam import TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches


def published(mu, n=20, d=400, seed=0, init_scale=0.01, n_test=1000):
    """Data and initial filters of the published setting, all drawn from one stream."""
    rng = np.random.default_rng(seed)
    settings = {"signal": mu, "position": "first", "random_state": rng}
    X, y, truth = make_signal_noise_patches(n, d, **settings)
    W = init_scale * rng.standard_normal((2, 10, d))  # that of class +1 first
    X_test, y_test, _ = make_signal_noise_patches(n_test, d, **settings)
    rate = 0.5 / max(mu**2, d)
    return X, y, W[::-1].copy(), X_test, y_test, truth, rate


def logistic(classifier, X, y):
    return np.logaddexp(0, -y * classifier.decision_function(X)).mean()


def fit_published(mu, seed=0, **settings):
    X, y, W, X_test, y_test, truth, rate = published(mu, seed=seed)
    classifier = TwoLayerCNNClassifier(learning_rate=rate, max_iter=20_000, **settings)
    classifier.fit(X, y, coef_init=W)
    return classifier, truth, X_test, y_test


@pytest.mark.parametrize(
    ("mu", "steps", "accuracy", "loss", "max_gamma", "rho_high", "rho_low"),
    [
        (4, 1555, 0.491, 0.693, (0.009, 0.004), (2.67, 3.52), -0.255),
        (9, 1559, 0.695, 0.689, (0.33, 0.23), (2.67, 3.52), -0.255),
        (12, 661, 1.0, 0.0177, (3.01, 3.70), (0.096, 2.66), -0.197),
        (20, 149, 1.0, 0.0130, (2.97, 3.55), (0.013, 0.178), -0.065),
        (30, 112, 1.0, 0.0125, (2.77, 3.42), (0.003, 0.040), -0.020),
    ],
)
def test_trajectories_of_an_independent_simulation(
    mu, steps, accuracy, loss, max_gamma, rho_high, rho_low
):
    classifier, truth, X_test, y_test = fit_published(mu)
    assert classifier.n_iter_ == steps
    assert classifier.train_accuracy_ == 1.0
    assert classifier.converged_
    # The figures were written down with three digits.
    assert classifier.score(X_test, y_test) == pytest.approx(accuracy, abs=6e-4)
    assert logistic(classifier, X_test, y_test) == pytest.approx(loss, abs=6e-4)
    parts = classifier.signal_noise_decomposition(truth.signal)
    assert tuple(parts.max_gamma) == pytest.approx(max_gamma, abs=6e-3)
    assert parts.max_rho.min() == pytest.approx(rho_high[0], abs=6e-3)
    assert parts.max_rho.max() == pytest.approx(rho_high[1], abs=6e-3)
    assert parts.rho.min() == pytest.approx(rho_low, abs=6e-4)


@pytest.mark.parametrize("seed", range(4))
def test_benign_phase(seed):
    classifier, truth, X_test, y_test = fit_published(20, seed)
    assert classifier.score(X_test, y_test) >= 0.99
    assert logistic(classifier, X_test, y_test) <= 6 * classifier.tol
    parts = classifier.signal_noise_decomposition(truth.signal)
    assert parts.max_gamma.min() >= 2
    assert parts.max_rho.max() <= 0.6


@pytest.mark.parametrize("seed", range(4))
def test_harmful_phase(seed):
    classifier, truth, X_test, y_test = fit_published(4, seed)
    assert classifier.train_accuracy_ == 1.0
    assert 0.45 <= classifier.score(X_test, y_test) <= 0.55
    assert 0.68 <= logistic(classifier, X_test, y_test) <= 0.71
    parts = classifier.signal_noise_decomposition(truth.signal)
    assert parts.max_gamma.max() <= 0.06
    assert parts.max_rho.min() >= 1.8


@pytest.mark.parametrize("mu", [4, 12])
def test_solvers_agree(mu):
    X, y, W, X_test, _, _, rate = published(mu)
    settings = {"tol": 0, "max_iter": 300, "learning_rate": rate}
    with pytest.warns(ConvergenceWarning):
        span = TwoLayerCNNClassifier(solver="span", **settings).fit(X, y, coef_init=W)
    with pytest.warns(ConvergenceWarning):
        dense = TwoLayerCNNClassifier(solver="dense", **settings).fit(X, y, coef_init=W)
    assert (span.solver_, dense.solver_) == ("span", "dense")
    np.testing.assert_allclose(span.coef_, dense.coef_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(span.patch_coef_, dense.patch_coef_, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        span.decision_function(X_test), dense.decision_function(X_test), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("mu", [4, 9, 12, 20])
@pytest.mark.parametrize("solver", ["span", "dense"])
def test_decomposition_is_exact_and_moves_one_way(mu, solver):
    classifier, truth, *_ = fit_published(mu, track=1, solver=solver)
    y = truth.y
    parts = classifier.signal_noise_decomposition(truth.signal, history=True)
    last = classifier.signal_noise_decomposition(
        truth.signal, signal_position=truth.signal_position
    )
    assert last.reconstruction_error < 1e-10
    np.testing.assert_array_equal(parts.signal_position, 0)
    assert parts.gamma.shape == (classifier.n_iter_ + 1, 2, 10)
    assert parts.rho.shape == (classifier.n_iter_ + 1, 2, 10, 20)
    np.testing.assert_array_equal(parts.gamma[-1], last.gamma)
    np.testing.assert_array_equal(parts.rho[-1], last.rho)
    assert not parts.gamma[0].any()
    assert not parts.rho[0].any()
    # Steps add numbers of one sign: sums of equal order, to rounding.
    assert np.diff(parts.gamma, axis=0).min() > -1e-14
    own = np.stack([y == -1, y == 1])[:, None]
    rho = parts.rho
    assert (np.where(own, np.diff(rho, axis=0), 0) >= 0).all()
    assert (np.where(own, 0, np.diff(rho, axis=0)) <= 0).all()
    assert (np.maximum(rho, 0) * ~own == 0).all()
    assert (np.minimum(rho, 0) * own == 0).all()
    np.testing.assert_allclose(parts.max_gamma, parts.gamma.max(-1))
    np.testing.assert_allclose(parts.max_rho, parts.rho.max((1, 2)))


def test_alignment_is_the_cosine_with_the_signal_of_the_class():
    classifier, truth, *_ = fit_published(20)
    parts = classifier.signal_noise_decomposition(truth.signal)
    mu = truth.signal
    for k, sign in enumerate((-1, 1)):
        for r, w in enumerate(classifier.coef_[k]):
            expected = sign * w @ mu / np.linalg.norm(w) / np.linalg.norm(mu)
            assert parts.alignment[k, r] == pytest.approx(expected, abs=1e-12)


def test_a_wrong_signal_shows_in_the_reconstruction():
    classifier, truth, *_ = fit_published(12)
    tilted = truth.signal + 3 * np.eye(400)[1]
    assert classifier.signal_noise_decomposition(tilted).reconstruction_error > 0.01


def test_order_of_the_patches_does_not_matter():
    X, y, W, X_test, _, truth, rate = published(12)
    swapped = X.reshape(-1, 2, 400)[:, ::-1].reshape(len(X), -1)
    classifier = TwoLayerCNNClassifier(learning_rate=rate)
    one, other = (clone(classifier).fit(Z, y, coef_init=W) for Z in (X, swapped))
    np.testing.assert_allclose(one.coef_, other.coef_, rtol=0, atol=1e-12)
    swapped_test = X_test.reshape(-1, 2, 400)[:, ::-1].reshape(len(X_test), -1)
    np.testing.assert_allclose(
        one.decision_function(X_test), one.decision_function(swapped_test), rtol=1e-12, atol=1e-14
    )
    parts = other.signal_noise_decomposition(truth.signal)
    np.testing.assert_array_equal(parts.signal_position, 1)


def test_half_the_step_and_twice_the_steps_lead_to_the_same():
    X, y, W, X_test, *_, rate = published(12)
    coarse = TwoLayerCNNClassifier(tol=0, learning_rate=rate, max_iter=600)
    fine = TwoLayerCNNClassifier(tol=0, learning_rate=rate / 2, max_iter=1200)
    for classifier in (coarse, fine):
        with pytest.warns(ConvergenceWarning):
            classifier.fit(X, y, coef_init=W)
    np.testing.assert_allclose(
        coarse.predict_proba(X_test), fine.predict_proba(X_test), rtol=0, atol=1e-2
    )


@pytest.mark.slow
def test_boundary_is_where_theory_says():
    """The 75 % level is near n SNR^q = 2, and moves with the number of samples."""
    levels = {}
    for n, signals in ((20, range(6, 13)), (80, range(3, 9))):
        data, tests = [], []
        for mu in signals:
            for seed in range(8):
                X, y, W, X_test, y_test, _, rate = published(mu, n=n, seed=seed, n_test=250)
                data.append((X, y, W))
                tests.append((X_test, y_test))
        fitted = TwoLayerCNNClassifier(learning_rate=0.5 / 400, max_iter=20_000).fit_many(data)
        scores = [one.score(*test) for one, test in zip(fitted, tests, strict=True)]
        scores = np.reshape(scores, (-1, 8)).mean(1)
        above = np.argmax(scores >= 0.75)
        share = (0.75 - scores[above - 1]) / (scores[above] - scores[above - 1])
        levels[n] = signals[above - 1] + share
    assert 1 <= 20 * (levels[20] / 20) ** 3 <= 3
    assert levels[20] / levels[80] == pytest.approx(4 ** (1 / 3), rel=0.2)


def test_many_at_once_are_what_they_are_alone(device):
    data = [published(mu, n=n, d=d, seed=k)[:3] for k, (mu, n, d) in enumerate(CELLS)]
    rates = [published(mu, n=n, d=d, seed=k)[-1] for k, (mu, n, d) in enumerate(CELLS)]
    classifier = TwoLayerCNNClassifier(device=str(device), max_iter=20_000)
    parameters = [{"learning_rate": rate} for rate in rates]
    together = classifier.fit_many(data, parameters=parameters)
    assert not hasattr(classifier, "coef_")
    for one, given, changes in zip(together, data, parameters, strict=True):
        alone = clone(classifier).set_params(**changes).fit(*given)
        assert one.n_iter_ == alone.n_iter_
        assert one.converged_
        assert one.solver_ == "span"
        # Products of other shapes are summed in another order; hundreds of steps multiply it.
        np.testing.assert_allclose(one.coef_, alone.coef_, rtol=0, atol=1e-8)
        np.testing.assert_allclose(one.loss_curve_, alone.loss_curve_, rtol=0, atol=1e-8)
        assert vars(one).keys() == vars(alone).keys()


CELLS = [(12, 20, 400), (20, 20, 100), (15, 26, 300), (4, 10, 200), (12, 8, 50)]


def test_hyperparameters_and_seeds_of_a_batch():
    X, y, _ = make_signal_noise_patches(20, 100, 10.0, random_state=0)
    parameters = [
        {"random_state": 1},
        {"random_state": 2, "n_filters": 12},
        {"random_state": 1, "q": 4.0},
        {"random_state": 1, "solver": "dense"},
        {"random_state": 1, "track": 50},
        {"random_state": 1, "init_scale": 0.01},
    ]
    base = TwoLayerCNNClassifier()
    fitted = base.fit_many([(X, y)] * len(parameters), parameters=parameters)
    for one, changes in zip(fitted, parameters, strict=True):
        assert changes.items() <= one.get_params().items()
        alone = clone(base).set_params(**changes).fit(X, y)
        np.testing.assert_allclose(one.coef_, alone.coef_, rtol=0, atol=1e-9)
    assert base.fit_many([]) == []
    with pytest.raises(ValueError, match="one dict for each of the 2 data sets, got 1"):
        base.fit_many([(X, y)] * 2, parameters=[{}])


def test_a_batch_says_how_many_did_not_converge():
    X, y, _ = make_signal_noise_patches(20, 100, 10.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="of 2 of 3 networks"):
        TwoLayerCNNClassifier(random_state=0).fit_many(
            [(X, y)] * 3, parameters=[{"max_iter": 3}, {"max_iter": 4}, {}]
        )


def test_classes_more_than_two():
    rng = np.random.default_rng(0)
    signals = 20 * np.eye(50)[:3]
    labels = np.arange(30) % 3
    noise = rng.standard_normal((30, 50))
    noise[:, :3] = 0
    X = np.stack([noise, signals[labels]], axis=1)
    y = np.array(["a", "b", "c"])[labels]
    classifier = TwoLayerCNNClassifier(random_state=0, track=10).fit(X, y)
    assert classifier.train_accuracy_ == 1.0
    assert classifier.decision_function(X).shape == (30, 3)
    assert (classifier.predict(X) == y).all()
    np.testing.assert_allclose(classifier.predict_proba(X).sum(1), 1)
    np.testing.assert_array_equal(
        classifier.predict_proba(X).argmax(1), classifier.decision_function(X).argmax(1)
    )
    parts = classifier.signal_noise_decomposition(signals)
    assert parts.gamma.shape == (3, 10, 3)
    assert parts.reconstruction_error < 1e-10
    np.testing.assert_array_equal(parts.signal_position, 1)
    assert parts.max_gamma.min() > 1
    # A class's filters are pushed away from the signals of the others.
    off = parts.gamma[~np.eye(3, dtype=bool)[:, None, :].repeat(10, axis=1)]
    assert off.max() <= 0
    path = classifier.signal_noise_decomposition(signals, history=True)
    assert path.gamma.shape[1:] == (3, 10, 3)
    with pytest.raises(ValueError, match="one row for each of the 3 classes"):
        classifier.signal_noise_decomposition(signals[0])


def test_two_classes_with_a_signal_each():
    classifier, truth, *_ = fit_published(12)
    one = classifier.signal_noise_decomposition(truth.signal)
    two = classifier.signal_noise_decomposition(np.stack([-truth.signal, truth.signal]))
    assert two.reconstruction_error < 1e-10
    np.testing.assert_allclose(two.rho, one.rho, atol=1e-12)
    np.testing.assert_allclose(two.alignment, one.alignment, atol=1e-12)
    # Learning one's own signal and unlearning the other's negative add up.
    own = np.stack(
        [two.gamma[0, :, 0] - two.gamma[0, :, 1], two.gamma[1, :, 1] - two.gamma[1, :, 0]]
    )
    np.testing.assert_allclose(own, one.gamma, atol=1e-12)


@pytest.mark.parametrize("n_patches", [1, 3, 5])
def test_any_number_of_patches(n_patches):
    X, y, truth = make_signal_noise_patches(16, 60, 12.0, n_patches=n_patches, random_state=3)
    classifier = TwoLayerCNNClassifier(n_patches=n_patches, random_state=0).fit(X, y)
    assert classifier.train_accuracy_ == 1.0
    parts = classifier.signal_noise_decomposition(truth.signal)
    assert parts.reconstruction_error < 1e-10
    np.testing.assert_array_equal(parts.signal_position, truth.signal_position)
    assert parts.rho.shape == (2, 10, 16, n_patches - 1)
    assert parts.max_rho.shape == (16,)
    np.testing.assert_array_equal(classifier.fit(X.reshape(16, n_patches, -1), y).predict(X), y)


def test_a_width_that_does_not_divide_is_filled_up():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((12, 101)), np.arange(12) % 2
    classifier = TwoLayerCNNClassifier(n_patches=4, random_state=0).fit(X, y)
    padded = np.pad(X, [(0, 0), (0, 3)])
    assert classifier.coef_.shape == (2, 10, 26)
    same = TwoLayerCNNClassifier(n_patches=4, random_state=0).fit(padded, y)
    np.testing.assert_array_equal(same.coef_, classifier.coef_)
    np.testing.assert_array_equal(same.decision_function(padded), classifier.decision_function(X))


def test_outputs_by_hand():
    classifier, _, X_test, _ = fit_published(20)
    patches = X_test.reshape(-1, 2, 400)
    z = np.einsum("krd,npd->nkrp", classifier.coef_, patches)
    F = (np.maximum(z, 0) ** 3).sum((2, 3)) / 10
    np.testing.assert_allclose(classifier.decision_function(X_test), F[:, 1] - F[:, 0], atol=1e-12)
    np.testing.assert_allclose(
        classifier.predict_proba(X_test)[:, 1], 1 / (1 + np.exp(F[:, 0] - F[:, 1])), atol=1e-12
    )
    # A sample that excites no filter has no preference, and gets the first class.
    nothing = np.zeros((1, 800))
    assert classifier.decision_function(nothing)[0] == 0
    assert classifier.predict(nothing)[0] == -1


@pytest.mark.parametrize("solver", ["span", "dense"])
def test_warm_starts_go_on_to_the_bit(solver):
    X, y, truth = make_signal_noise_patches(20, 50, 6.0, random_state=0)
    settings = {"solver": solver, "random_state": 0, "track": 20}
    whole = TwoLayerCNNClassifier(**settings).fit(X, y)
    parts = TwoLayerCNNClassifier(warm_start=True, max_iter=100, **settings)
    with pytest.warns(ConvergenceWarning):
        parts.fit(X, y)
    assert parts.n_iter_ == 100
    parts = pickle.loads(pickle.dumps(parts)).set_params(max_iter=2000).fit(X, y)
    np.testing.assert_array_equal(parts.coef_, whole.coef_)
    np.testing.assert_array_equal(parts.patch_coef_, whole.patch_coef_)
    np.testing.assert_array_equal(parts.coef_init_, whole.coef_init_)
    assert parts.loss_curve_ == whole.loss_curve_
    assert parts.history_ == whole.history_
    np.testing.assert_array_equal(parts.patch_coef_path_, whole.patch_coef_path_)
    assert parts.init_scale_ == whole.init_scale_
    # Converged: nothing left to do.
    again = parts.fit(X, y)
    assert again.n_iter_ == whole.n_iter_
    np.testing.assert_array_equal(again.coef_, whole.coef_)


def test_a_warm_start_on_other_data_begins_with_the_filters():
    X, y, truth = make_signal_noise_patches(20, 50, 6.0, random_state=0)
    other, y_other, _ = make_signal_noise_patches(20, 50, 6.0, random_state=1)
    classifier = TwoLayerCNNClassifier(warm_start=True, random_state=0).fit(X, y)
    before = classifier.coef_
    classifier.fit(other, y_other)
    np.testing.assert_array_equal(classifier.coef_init_, before)
    assert len(classifier.loss_curve_) == classifier.n_iter_ + 1
    assert classifier.signal_noise_decomposition(truth.signal).reconstruction_error < 1e-10
    with pytest.raises(ValueError, match="warm_start=True goes on with filters"):
        classifier.fit(X[:, :60], y)
    with pytest.raises(ValueError, match="warm_start=True goes on with filters"):
        classifier.fit(X, y > 0)


def test_pickles_skops_and_clones():
    X, y, _ = make_signal_noise_patches(20, 50, 10.0, random_state=0)
    classifier = TwoLayerCNNClassifier(random_state=0, track="log").fit(X, y)
    blob = skops.io.dumps(classifier)
    loaded = [
        pickle.loads(pickle.dumps(classifier)),
        skops.io.loads(blob, trusted=skops.io.get_untrusted_types(data=blob)),
    ]
    for other in loaded:
        np.testing.assert_array_equal(other.decision_function(X), classifier.decision_function(X))
    np.testing.assert_array_equal(clone(classifier).fit(X, y).coef_, classifier.coef_)


def test_float32_data_and_float32_training():
    X, y, _ = make_signal_noise_patches(20, 100, 10.0, random_state=0)
    double = TwoLayerCNNClassifier(random_state=0).fit(X, y)
    single = TwoLayerCNNClassifier(random_state=0).fit(X.astype(np.float32), y)
    assert single.coef_.dtype == single.decision_function(X.astype(np.float32)).dtype == np.float32
    assert single.n_iter_ == double.n_iter_
    np.testing.assert_allclose(single.coef_, double.coef_, rtol=1e-4, atol=1e-5)
    fast = TwoLayerCNNClassifier(random_state=0, dtype="float32").fit(X, y)
    assert fast.coef_.dtype == np.float64
    # Half a million times the rounding error: growth from small filters multiplies it.
    np.testing.assert_allclose(fast.coef_, double.coef_, rtol=1e-2, atol=1e-3)


def test_tensors_frames_and_pipelines(device):
    X, y, truth = make_signal_noise_patches(20, 50, 10.0, random_state=0)
    reference = TwoLayerCNNClassifier(random_state=0, device=str(device)).fit(X, y)
    tensor = torch.from_numpy(X).to(device)
    classifier = TwoLayerCNNClassifier(random_state=0).fit(tensor, y)
    assert isinstance(classifier.coef_, np.ndarray)
    assert classifier.predict(tensor).device.type == device.type
    np.testing.assert_allclose(classifier.coef_, reference.coef_, atol=1e-9)
    frame = pd.DataFrame(X, columns=[f"f{k}" for k in range(100)])
    framed = TwoLayerCNNClassifier(random_state=0).fit(frame, pd.Series(y))
    assert framed.feature_names_in_[0] == "f0"
    pipeline = make_pipeline(StandardScaler(), TwoLayerCNNClassifier(random_state=0))
    assert pipeline.fit(X, y).score(X, y) == 1


@pytest.mark.skipif(
    os.environ.get("SCIPY_ARRAY_API") != "1", reason="array API dispatch is off in scipy"
)
def test_tensors_in_tensors_out():
    X, y, truth = make_signal_noise_patches(20, 50, 10.0, random_state=0)
    reference = TwoLayerCNNClassifier(random_state=0, track=20).fit(X, y)
    with config_context(array_api_dispatch=True):
        classifier = TwoLayerCNNClassifier(random_state=0, track=20)
        classifier.fit(torch.from_numpy(X), torch.from_numpy(y))
        for name in ("coef_", "patches_", "patch_index_", "patch_coef_", "patch_coef_path_"):
            assert isinstance(getattr(classifier, name), torch.Tensor)
        parts = classifier.signal_noise_decomposition(torch.from_numpy(truth.signal))
        assert isinstance(parts.gamma, torch.Tensor)
    expected = reference.signal_noise_decomposition(truth.signal)
    np.testing.assert_allclose(parts.gamma, expected.gamma)
    loaded = pickle.loads(pickle.dumps(classifier))
    assert isinstance(loaded.patch_coef_path_, np.ndarray)


class Watch(FitCallback):
    """Counts steps, and stops after some."""

    def __init__(self, stop=None):
        self.stop, self.losses, self.scores = stop, [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator=None, **kwargs):
        if context.task_name != "step":
            return False
        self.losses.append(fitted_estimator.loss_curve_[-1])
        self.scores.append(fitted_estimator.score(X, y))
        return self.stop is not None and len(self.losses) > self.stop


def test_callbacks_see_every_step_and_may_stop():
    X, y, _ = make_signal_noise_patches(20, 50, 10.0, random_state=0)
    watch = Watch()
    classifier = TwoLayerCNNClassifier(random_state=0).set_callbacks(watch).fit(X, y)
    assert watch.losses == classifier.loss_curve_
    assert watch.scores[-1] == 1
    with pytest.warns(ConvergenceWarning):
        stopped = TwoLayerCNNClassifier(random_state=0).set_callbacks(Watch(7)).fit(X, y)
    assert stopped.n_iter_ == 7
    assert stopped.loss_curve_ == classifier.loss_curve_[:8]


def test_ten_classes_of_digits():
    X, y = load_digits(return_X_y=True)
    classifier = TwoLayerCNNClassifier(
        n_patches=1, learning_rate=1.0, max_iter=200, random_state=0
    )
    with pytest.warns(ConvergenceWarning):
        classifier.fit(X[:300] / 16, y[:300])
    assert classifier.train_accuracy_ > 0.85
    assert classifier.score(X[300:] / 16, y[300:]) > 0.7


def test_labels_that_noise_flips_are_memorized():
    X, y, truth = make_signal_noise_patches(40, 400, 40.0, flip=0.1, random_state=0)
    classifier = TwoLayerCNNClassifier(random_state=0, max_iter=20_000).fit(X, y)
    assert classifier.train_accuracy_ == 1.0
    flipped = y != truth.y
    parts = classifier.signal_noise_decomposition(truth.signal)
    assert parts.max_rho[flipped].min() > 2 * parts.max_rho[~flipped].max()


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_patches": 0}, ValueError, "n_patches"),
        ({"n_patches": 2.0}, TypeError, "n_patches"),
        ({"n_filters": 0}, ValueError, "n_filters"),
        ({"q": 0.5}, ValueError, "q"),
        ({"q": np.inf}, ValueError, "q must be finite"),
        ({"init_scale": 0}, ValueError, "init_scale"),
        ({"init_scale": "small"}, ValueError, "init_scale must be 'auto'"),
        ({"learning_rate": -1}, ValueError, "learning_rate"),
        ({"learning_rate": "fast"}, ValueError, "learning_rate must be 'auto'"),
        ({"solver": "kernel"}, ValueError, "solver must be one of"),
        ({"tol": -1}, ValueError, "tol"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"track": 0}, ValueError, "track"),
        ({"track": "linear"}, ValueError, "track must be one of 'log'"),
        ({"warm_start": 1}, TypeError, "warm_start"),
        ({"dtype": "float16"}, ValueError, "dtype must be one of"),
        ({"device": "abacus"}, ValueError, "device"),
    ],
)
def test_refuses_parameters(parameters, error, message):
    X, y, _ = make_signal_noise_patches(10, 20, 10.0, random_state=0)
    classifier = TwoLayerCNNClassifier(random_state=0).fit(X, y)
    before = classifier.coef_
    with pytest.raises(error, match=message):
        classifier.set_params(**parameters).fit(X, y)
    assert classifier.coef_ is before


def test_refuses_data():
    X, y, truth = make_signal_noise_patches(10, 20, 10.0, random_state=0)
    classifier = TwoLayerCNNClassifier(random_state=0)
    with pytest.raises(ValueError, match="n_patches=2 patches"):
        classifier.fit(X.reshape(10, 4, 10), y)
    with pytest.raises(ValueError, match=r"moderate size, got a largest norm of 1e\+201"):
        classifier.fit(1e200 * X, y)
    with pytest.raises(ValueError, match="moderate size"):
        classifier.fit(1e-200 * X, y)
    with pytest.raises(ValueError, match=r"coef_init must have shape \(2, 10, 20\)"):
        classifier.fit(X, y, coef_init=np.zeros((2, 10, 21)))
    with pytest.raises(ValueError, match="initial filters is not finite"):
        classifier.fit(X, y, coef_init=np.full((2, 10, 20), 1e200))
    with pytest.raises(ValueError, match="one class"):
        classifier.fit(X, np.ones(10))
    classifier.fit(X, y)
    with pytest.raises(ValueError, match="fitted with track"):
        classifier.signal_noise_decomposition(truth.signal, history=True)
    with pytest.raises(ValueError, match=r"signal must have shape \(20,\)"):
        classifier.signal_noise_decomposition(truth.signal[:-1])
    with pytest.raises(ValueError, match="signal must not be zero"):
        classifier.signal_noise_decomposition(0 * truth.signal)
    with pytest.raises(ValueError, match="10 integers from 0 to 1"):
        classifier.signal_noise_decomposition(truth.signal, signal_position=[2] * 10)
    with pytest.raises(ValueError, match="10 integers from 0 to 1"):
        classifier.signal_noise_decomposition(truth.signal, signal_position=[1] * 9)


def test_refuses_what_memory_does_not_hold():
    X, y, _ = make_signal_noise_patches(60, 200, 10.0, random_state=0)
    classifier = TwoLayerCNNClassifier(solver="span", random_state=0)
    with (
        skoverparam.config_context(memory_budget=10_000),
        pytest.raises(MemoryError, match="solver='dense' needs less"),
    ):
        classifier.fit(X, y)


def test_warns_of_degrees_without_theory():
    X, y, _ = make_signal_noise_patches(10, 50, 20.0, random_state=0)
    with pytest.warns(UserWarning, match="q=2: "):
        TwoLayerCNNClassifier(q=2.0, random_state=0).fit(X, y)


def test_keeps_the_last_finite_filters_of_a_step_too_large():
    X, y, _ = make_signal_noise_patches(30, 10, 1.0, random_state=0)
    with pytest.warns(ConvergenceWarning, match="smaller learning_rate"):
        classifier = TwoLayerCNNClassifier(learning_rate=50.0, random_state=0).fit(X, y)
    assert np.isfinite(classifier.coef_).all()
    assert np.isfinite(classifier.loss_curve_).all()


def test_single_precision_holds_what_a_step_too_large_made_in_double():
    X, y, _ = make_signal_noise_patches(20, 50, 40.0, random_state=0)
    X = X.astype(np.float32)
    # One step that no one should take, and that fits the data.
    classifier = TwoLayerCNNClassifier(learning_rate=1e42, random_state=0).fit(X, y)
    assert classifier.n_iter_ == 1
    assert np.abs(classifier.coef_).max() == np.finfo(np.float32).max
    assert np.isfinite(classifier.decision_function(X)).all()
    assert np.isfinite(classifier.predict_proba(X)).all()
    assert classifier.score(X, y) == 1


def test_samples_beyond_the_range_of_the_precision_are_refused():
    X, y = np.full((4, 2), 1e39), [0, 1] * 2
    with pytest.raises(ValueError, match="X must have patches of moderate size, got .* inf"):
        TwoLayerCNNClassifier(dtype="float32").fit(X, y)


def test_patches_are_those_of_the_fit():
    X, y, _ = make_signal_noise_patches(20, 50, 40.0, random_state=0)
    classifier = TwoLayerCNNClassifier(random_state=0).fit(X, y)
    scores = classifier.decision_function(X)
    np.testing.assert_array_equal(classifier.set_params(n_patches=5).decision_function(X), scores)
