"""MaxMarginClassifier: what a user of classifiers relies on."""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from scipy.stats import norm as gaussian
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import linear_kernel, rbf_kernel
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skoverparam
from skoverparam import MaxMarginClassifier
from skoverparam.kernels import fully_connected_ntk


def mixture(n=50, d=1000, mean=3.0, seed=0, flip=0.0):
    """Two clusters around +-mean on the first axis, in the order of draws of the references."""
    rng = np.random.default_rng(seed) if isinstance(seed, int) else seed
    y = rng.choice([-1.0, 1.0], n)
    X = rng.normal(size=(n, d))
    X[:, 0] += mean * y
    flipped = rng.permutation(n)[: round(flip * n)]
    y[flipped] *= -1
    return X, y


def risk(theta, mean):
    """Exact error of sign(<theta, x>) on the mixture without flips."""
    return gaussian.cdf(-theta[0] * mean / np.linalg.norm(theta))


@pytest.fixture(scope="module")
def data():
    return mixture()


@pytest.fixture(scope="module")
def fitted(data):
    return MaxMarginClassifier().fit(*data)


def test_scores_on_the_margin(data, fitted):
    X, y = data
    scores = fitted.decision_function(X)
    assert (y * scores).min() >= 1 - 1e-10
    np.testing.assert_allclose((y * scores)[fitted.support_], 1, rtol=0, atol=1e-10)
    assert fitted.margin_ == pytest.approx(1 / np.linalg.norm(fitted.coef_), rel=1e-12)
    assert fitted.duality_gap_ <= 1e-10
    np.testing.assert_array_equal(fitted.predict(X), y)


def test_coefficients_are_those_of_the_support(data, fitted):
    X, y = data
    coef = fitted.dual_coef_ @ X[fitted.support_]
    np.testing.assert_allclose(coef, fitted.coef_, rtol=0, atol=1e-12)
    assert (fitted.dual_coef_[0] * y[fitted.support_] > 0).all()
    assert fitted.dual_coef_.sum() == pytest.approx(0, abs=1e-12)
    assert fitted.n_support_ == len(fitted.support_)


def test_interpolation_is_the_minimum_norm_solution():
    X, y = mixture(n=20, d=2000)
    classifier = MaxMarginClassifier(fit_intercept=False).fit(X, y)
    assert classifier.interpolates_ is True
    expected = X.T @ np.linalg.solve(X @ X.T, y)
    np.testing.assert_allclose(classifier.coef_[0], expected, rtol=0, atol=1e-10)
    X, y = mixture(n=50, d=60)
    assert MaxMarginClassifier().fit(X, y).interpolates_ is False


def test_codings_agree_where_everything_interpolates():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(24, 5000)), np.arange(24) % 3
    ovr = MaxMarginClassifier().fit(X, y)
    simplex = MaxMarginClassifier(multi_class="simplex").fit(X, y)
    assert ovr.interpolates_
    assert simplex.interpolates_
    # Scores of 1 and -1 against those of corners, 1 and -1/2, up to a constant.
    np.testing.assert_allclose(simplex.coef_, 0.75 * ovr.coef_, rtol=0, atol=1e-12)
    targets = np.where(y[:, None] == [0, 1, 2], 1, -0.5)
    np.testing.assert_allclose(simplex.decision_function(X), targets, rtol=0, atol=1e-10)
    centered = np.where(y[:, None] == [0, 1, 2], 1.0, -1.0) + 1 / 3
    Xc = X - X.mean(0)
    expected = Xc.T @ np.linalg.pinv(Xc @ Xc.T) @ centered
    np.testing.assert_allclose(ovr.coef_, expected.T, rtol=0, atol=1e-10)


def test_risk_of_minimum_norm_and_maximum_margin():
    # Exact risks, 40 draws; d below 2 n log n: few points interpolate, and the margin is better.
    rng = np.random.default_rng(42)
    interpolators, margins = [], []
    for _ in range(40):
        X, y = mixture(n=50, d=100, mean=2.0, seed=rng)
        interpolators.append(risk(X.T @ np.linalg.solve(X @ X.T, y), 2.0))
        classifier = MaxMarginClassifier(fit_intercept=False).fit(X, y)
        margins.append(risk(classifier.coef_[0], 2.0))
    # The corrected closed form for the interpolator: M = 4, D = 48, S = 298.
    expected = gaussian.cdf(-np.sqrt(50 * 16 * 48 / (298 * 98)))
    error = np.std(interpolators, ddof=1) / np.sqrt(40)
    assert abs(np.mean(interpolators) - expected) <= 4 * error + 0.03 * expected
    assert np.mean(margins) < 0.8 * np.mean(interpolators)


def test_label_flips_are_interpolated_past_the_threshold_and_refused_before():
    X, y = mixture(n=50, d=1000, flip=0.1)
    assert MaxMarginClassifier().fit(X, y).separable_ is True
    X, y = mixture(n=400, d=20, mean=6.0, flip=0.1)
    classifier = MaxMarginClassifier().fit(X, y)
    assert classifier.separable_ is False
    assert classifier.solver_ == "soft"
    proof = classifier.certificate_[0]
    assert (proof * y >= 0).all()
    assert np.abs(proof).sum() == pytest.approx(1)
    assert abs(proof.sum()) <= 1e-12
    assert np.linalg.norm(proof @ X) <= 1e-11 * np.linalg.norm(X, axis=1).max()


@pytest.mark.parametrize("multi_class", ["ovr", "simplex"])
def test_certificate_of_several_classes(multi_class):
    X, y = load_iris(return_X_y=True)
    classifier = MaxMarginClassifier(multi_class=multi_class).fit(X, y)
    assert classifier.separable_ is False
    assert classifier.certificate_.shape == (3, 150)
    np.testing.assert_allclose(classifier.certificate_ @ X, 0, atol=1e-12)
    np.testing.assert_allclose(classifier.certificate_.sum(1), 0, atol=1e-13)
    # Setosa can be told from the rest; the other two cannot be told apart.
    np.testing.assert_allclose(classifier.certificate_[0], 0, atol=1e-14)
    assert np.abs(classifier.certificate_[1:]).sum(1).min() > 0.5
    assert classifier.score(X, y) > 0.95


def test_without_margin_it_does_what_it_is_asked():
    X, y = mixture(n=100, d=5, mean=1.0)
    with pytest.warns(UserWarning, match="cannot be separated"):
        warned = MaxMarginClassifier(on_nonseparable="warn").fit(X, y)
    soft = MaxMarginClassifier().fit(X, y)
    np.testing.assert_array_equal(warned.coef_, soft.coef_)
    assert soft.margin_ < 0
    other = MaxMarginClassifier(C=1e-3).fit(X, y)
    assert np.linalg.norm(other.coef_) < np.linalg.norm(soft.coef_)
    with pytest.raises(ValueError, match="cannot be separated"):
        MaxMarginClassifier(on_nonseparable="raise").fit(X, y)


def test_a_failed_fit_leaves_the_fitted_estimator():
    X, y = mixture(n=50, d=100)
    classifier = MaxMarginClassifier(on_nonseparable="raise").fit(X, y)
    coef = classifier.coef_
    with pytest.raises(ValueError, match="cannot be separated"):
        classifier.fit(np.vstack([X, X[:1]]), np.append(y, -y[0]))
    assert classifier.coef_ is coef
    assert classifier.separable_ is True


def test_the_penalty_does_not_matter_where_there_is_a_margin(data, fitted):
    other = MaxMarginClassifier(C=1e-6).fit(*data)
    np.testing.assert_array_equal(other.coef_, fitted.coef_)
    assert other.certificate_ is None


@pytest.mark.parametrize("solver", ["pivoting", "least_distance", "gradient"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_solvers_agree(data, solver, fit_intercept):
    reference = MaxMarginClassifier(fit_intercept=fit_intercept).fit(*data)
    other = MaxMarginClassifier(fit_intercept=fit_intercept, solver=solver).fit(*data)
    np.testing.assert_allclose(other.coef_, reference.coef_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(other.intercept_, reference.intercept_, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(other.support_, reference.support_)


@pytest.mark.parametrize("multi_class", ["ovr", "simplex"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_linear_kernel_as_a_callable(fit_intercept, multi_class):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 100)) + 1.0, np.arange(40) % 3
    options = {"fit_intercept": fit_intercept, "multi_class": multi_class}
    direct = MaxMarginClassifier(**options).fit(X, y)
    kernel = MaxMarginClassifier(kernel=linear_kernel, **options).fit(X, y)
    new = rng.normal(size=(7, 100))
    np.testing.assert_allclose(
        kernel.decision_function(new), direct.decision_function(new), rtol=0, atol=1e-9
    )
    assert kernel.margin_ == pytest.approx(direct.margin_, rel=1e-9)
    assert not hasattr(kernel, "coef_")


def test_kernels_separate_what_lines_do_not():
    X, y = load_digits(return_X_y=True)
    X, y = X[:400] / 16, y[:400]
    for kernel in (partial(rbf_kernel, gamma=0.03), fully_connected_ntk):
        classifier = MaxMarginClassifier(kernel=kernel).fit(X[:300], y[:300])
        assert classifier.separable_ is True
        assert classifier.duality_gap_ <= 1e-10
        assert classifier.score(X[:300], y[:300]) == 1.0
        assert classifier.score(X[300:], y[300:]) > 0.85


def test_a_kernel_of_low_rank_may_not_separate():
    X, y = mixture(n=60, d=3, mean=0.0)
    classifier = MaxMarginClassifier(kernel=linear_kernel).fit(X, y)
    assert classifier.separable_ is False
    assert np.abs(classifier.certificate_ @ X).max() <= 1e-9


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_other_norms(norm):
    X, y = mixture(n=40, d=100, mean=2.0)
    classifier = MaxMarginClassifier(norm=norm).fit(X, y)
    assert classifier.separable_ is True
    order = {"l1": 1, "linf": np.inf}[norm]
    assert classifier.margin_ == pytest.approx(1 / np.linalg.norm(classifier.coef_[0], order))
    assert (y * classifier.decision_function(X)).min() >= 1 - 1e-9
    # Coefficients of the other norm are feasible, and no better.
    euclidean = MaxMarginClassifier().fit(X, y)
    assert classifier.margin_ > 1.01 / np.linalg.norm(euclidean.coef_[0], order)
    three = MaxMarginClassifier(norm=norm).fit(X, np.arange(40) % 3)
    assert three.coef_.shape == (3, 100)


def test_l1_is_sparse():
    X, y = mixture(n=40, d=100, mean=2.0)
    classifier = MaxMarginClassifier(norm="l1").fit(X, y)
    # A vertex has as many coefficients as binding constraints, less one for the intercept.
    assert np.count_nonzero(classifier.coef_) < 40


def test_gradient_descent_goes_towards_the_margin():
    X, y = mixture(n=30, d=200, mean=2.0)
    classifier = MaxMarginClassifier(solver="gd", fit_intercept=False, max_iter=1000).fit(X, y)
    exact = MaxMarginClassifier(fit_intercept=False).fit(X, y)
    ratios, cosines = classifier.margin_ratio_curve_, classifier.cosine_curve_
    assert len(ratios) == len(cosines) == len(classifier.loss_curve_) == classifier.n_iter_ == 1000
    assert ratios[9] < ratios[99] < ratios[999] < 1
    cosine = classifier.coef_[0] @ exact.coef_[0]
    cosine *= exact.margin_ / np.linalg.norm(classifier.coef_)
    assert cosines[-1] == pytest.approx(cosine, rel=1e-10)
    assert classifier.margin_ == pytest.approx(ratios[-1] * exact.margin_, rel=1e-10)
    distances = y * (X @ classifier.coef_[0]) / np.linalg.norm(classifier.coef_)
    assert classifier.margin_ == pytest.approx(distances.min(), rel=1e-10)
    assert classifier.separable_ is True
    assert classifier.duality_gap_ == pytest.approx(1 - ratios[-1] ** 2)


def test_gradient_descent_with_intercept_has_a_constant_feature():
    X, y = mixture(n=30, d=200, mean=2.0)
    classifier = MaxMarginClassifier(solver="gd", max_iter=50).fit(X, y)
    constant = np.hstack([X, np.ones((30, 1))])
    other = MaxMarginClassifier(solver="gd", max_iter=50, fit_intercept=False).fit(constant, y)
    np.testing.assert_allclose(classifier.coef_[0], other.coef_[0, :-1], rtol=1e-12)
    np.testing.assert_allclose(classifier.intercept_, other.coef_[0, -1:], rtol=1e-12)
    assert classifier.coef_.shape == (1, 200)


def test_gradient_descent_of_one_step_is_compared_with_the_exact_solution():
    X, y = mixture(n=200, d=20, mean=5.0)
    classifier = MaxMarginClassifier(solver="gd", fit_intercept=False, max_iter=1).fit(X, y)
    assert classifier.separable_ is True
    # The first step is the mean of the signed samples.
    mean = y @ X
    np.testing.assert_allclose(
        classifier.coef_[0] / np.linalg.norm(classifier.coef_), mean / np.linalg.norm(mean)
    )


def test_gradient_descent_without_margin_is_soft():
    X, y = mixture(n=100, d=5, mean=1.0)
    classifier = MaxMarginClassifier(solver="gd", max_iter=20).fit(X, y)
    assert classifier.separable_ is False
    assert classifier.margin_ratio_curve_ == []
    assert classifier.coef_.shape == (1, 5)


def test_callbacks_see_every_step_of_the_descent():
    X, y = mixture(n=30, d=200, mean=2.0)
    seen = []

    class Watch:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            seen.append((fitted_estimator.n_iter_, fitted_estimator.score(X, y)))
            return len(seen) == 7

    classifier = MaxMarginClassifier(solver="gd").set_callbacks(Watch()).fit(X, y)
    # The last one is the end of the fit, which the callback asked for.
    assert [n_iter for n_iter, _ in seen] == [1, 2, 3, 4, 5, 6, 7, 7]
    assert seen[-1][1] == classifier.score(X, y)
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 7


def test_many_samples_in_few_dimensions_is_solved_with_certificate():
    rng = np.random.default_rng(0)
    y = rng.choice([0, 1], 20_000)
    X = rng.normal(size=(20_000, 50))
    X[:, 0] += 6.0 * (2 * y - 1)
    classifier = MaxMarginClassifier().fit(X, y)
    assert classifier.separable_ is True
    assert classifier.duality_gap_ <= 1e-10
    assert ((2 * y - 1) * classifier.decision_function(X)).min() >= 1 - 1e-10


def test_clone_pickle_and_skops(data, fitted):
    X, _ = data
    scores = fitted.decision_function(X)
    again = clone(fitted).fit(*data)
    np.testing.assert_array_equal(again.decision_function(X), scores)
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.decision_function(X), scores)
    dumped = skops.io.dumps(fitted)
    trusted = skops.io.get_untrusted_types(data=dumped)
    assert all(name.startswith("skoverparam.") for name in trusted)
    np.testing.assert_array_equal(
        skops.io.loads(dumped, trusted=trusted).decision_function(X), scores
    )


def test_pandas_and_strings(data, fitted):
    X, y = data
    frame = pd.DataFrame(X, columns=[f"gene {j}" for j in range(X.shape[1])])
    names = pd.Series(np.where(y > 0, "sick", "healthy"))
    classifier = MaxMarginClassifier().fit(frame, names)
    assert classifier.classes_.tolist() == ["healthy", "sick"]
    assert classifier.feature_names_in_[1] == "gene 1"
    np.testing.assert_array_equal(classifier.coef_, fitted.coef_)
    np.testing.assert_array_equal(classifier.predict(frame), names)


def test_float32_comes_back_as_float32(data, fitted):
    X, y = data
    classifier = MaxMarginClassifier().fit(X.astype(np.float32), y)
    assert classifier.coef_.dtype == np.float32
    assert classifier.decision_function(X.astype(np.float32)).dtype == np.float32
    # Solved in float64: the gap is not that of float32.
    assert classifier.duality_gap_ <= 1e-10
    np.testing.assert_allclose(classifier.coef_, fitted.coef_, rtol=1e-3, atol=1e-6)


def test_tensors(data, fitted):
    X, y = torch.from_numpy(data[0]), torch.from_numpy(data[1])
    plain = MaxMarginClassifier().fit(X, y)
    assert isinstance(plain.coef_, np.ndarray)
    assert isinstance(plain.decision_function(X), torch.Tensor)
    np.testing.assert_allclose(plain.coef_, fitted.coef_, rtol=0, atol=1e-14)


@pytest.mark.gpu
def test_on_a_gpu(data, fitted):
    X, y = torch.from_numpy(data[0]).cuda(), torch.from_numpy(data[1]).cuda()
    for solver in ("auto", "least_distance", "gradient"):
        there = MaxMarginClassifier(solver=solver).fit(X, y)
        assert there.decision_function(X).device.type == "cuda"
        np.testing.assert_allclose(there.coef_, fitted.coef_, rtol=0, atol=1e-10)
    loaded = pickle.loads(pickle.dumps(there))
    np.testing.assert_allclose(loaded.coef_, fitted.coef_, rtol=0, atol=1e-10)


def test_search_with_two_workers():
    X, y = mixture(n=60, d=100, mean=2.0)
    pipeline = make_pipeline(StandardScaler(), MaxMarginClassifier())
    grid = {"maxmarginclassifier__fit_intercept": [True, False]}
    search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    alone = GridSearchCV(pipeline, grid, cv=3).fit(X, y)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )
    assert cross_val_score(MaxMarginClassifier(), X, y, cv=3).mean() > 0.8


BAD_PARAMETERS = [
    ({"kernel": "rbf"}, ValueError, "kernel must be one of"),
    ({"norm": "l3"}, ValueError, "norm must be one of"),
    ({"fit_intercept": "yes"}, TypeError, "fit_intercept must be True or False"),
    ({"multi_class": "crammer_singer"}, ValueError, "multi_class must be one of"),
    ({"solver": "smo"}, ValueError, "solver must be one of"),
    ({"on_nonseparable": "ignore"}, ValueError, "on_nonseparable must be one of"),
    ({"C": 0.0}, ValueError, "C =="),
    ({"tol": 1.0}, ValueError, "tol =="),
    ({"max_iter": 0}, ValueError, "max_iter =="),
    ({"max_iter": 1.5}, TypeError, "max_iter must be"),
    ({"norm": "l1", "kernel": linear_kernel}, ValueError, "norm='l1' needs kernel='linear'"),
    ({"norm": "l1", "solver": "gd"}, ValueError, "linear program per class"),
    ({"kernel": lambda X, Z: np.ones(3)}, ValueError, "kernel must return one value per pair"),
]


@pytest.mark.parametrize(("parameters", "error", "message"), BAD_PARAMETERS)
def test_bad_parameters(parameters, error, message):
    X, y = mixture(n=10, d=20)
    with pytest.raises(error, match=message):
        MaxMarginClassifier(**parameters).fit(X, y)


def test_bad_data():
    X, y = mixture(n=10, d=20)
    with pytest.raises(ValueError, match="one class"):
        MaxMarginClassifier().fit(X, np.ones(10))
    with pytest.raises(ValueError, match="one class"):
        MaxMarginClassifier().fit(X[:1], y[:1])
    with pytest.raises(ValueError, match="Unknown label type"):
        MaxMarginClassifier().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="NaN"):
        MaxMarginClassifier().fit(np.where(X > 1, np.nan, X), y)
    with pytest.raises(ValueError, match="multi_class='ovr'"):
        MaxMarginClassifier(multi_class="simplex", solver="gd").fit(X, np.arange(10) % 3)


def test_constant_features():
    X, y = mixture(n=10, d=20)
    X[:, 3:6] = 4.0
    classifier = MaxMarginClassifier().fit(X, y)
    np.testing.assert_allclose(classifier.coef_[0, 3:6], 0, atol=1e-14)
    nothing = MaxMarginClassifier().fit(np.ones((10, 3)), y)
    assert nothing.separable_ is False
    assert np.isfinite(nothing.decision_function(np.ones((2, 3)))).all()


def test_too_few_steps_are_reported():
    X, y = mixture(n=200, d=20, mean=0.0)
    with pytest.warns(ConvergenceWarning, match="undecided") as caught:
        classifier = MaxMarginClassifier(max_iter=4).fit(X, y)
    assert caught[0].filename == __file__
    assert classifier.separable_ is None
    assert classifier.certificate_ is None


def test_memory_is_estimated_first():
    X, y = mixture(n=200, d=300, mean=4.0)
    expected = MaxMarginClassifier().fit(X, y)
    with skoverparam.config_context(memory_budget=1e5):
        frugal = MaxMarginClassifier().fit(X, y)
        with pytest.raises(MemoryError, match="solver='gradient'"):
            MaxMarginClassifier(solver="pivoting").fit(X, y)
        with pytest.raises(MemoryError, match="inner products of 200 constraints"):
            MaxMarginClassifier(kernel=rbf_kernel).fit(X, y)
        with pytest.raises(MemoryError, match="400 constraints of 20 coefficients"):
            MaxMarginClassifier(multi_class="simplex").fit(X[:, :10], np.arange(200) % 3)
    assert frugal.solver_ == "gradient"
    np.testing.assert_allclose(frugal.coef_, expected.coef_, rtol=0, atol=1e-9)


def test_dispatch_keeps_tensors(data, fitted):
    try:
        with config_context(array_api_dispatch=True):
            X, y = torch.from_numpy(data[0]), torch.from_numpy(data[1])
            classifier = MaxMarginClassifier().fit(X, y)
            assert isinstance(classifier.coef_, torch.Tensor)
            assert isinstance(classifier.predict(X), torch.Tensor)
            kernel = MaxMarginClassifier(kernel=fully_connected_ntk).fit(X, y)
            assert isinstance(kernel.decision_function(X), torch.Tensor)
    except RuntimeError as error:
        pytest.skip(f"array API dispatch is not available here: {error}")
    np.testing.assert_allclose(classifier.coef_.numpy(), fitted.coef_, rtol=0, atol=1e-14)


@pytest.mark.parametrize("n_features", [3, 60])
@pytest.mark.parametrize("solver", ["auto", "gd"])
@pytest.mark.parametrize("exponent", [480, -480])
def test_points_in_other_units(n_features, solver, exponent):
    """A power of two changes no digit of the margin, whatever its squares."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, n_features)), rng.integers(0, 2, 30)
    options = {"solver": solver, "fit_intercept": False, "max_iter": 50}
    one = MaxMarginClassifier(C=1e4, **options).fit(X, y)
    C = np.ldexp(1e4, -2 * exponent)
    other = MaxMarginClassifier(C=C, **options).fit(np.ldexp(X, exponent), y)
    np.testing.assert_array_equal(other.coef_, np.ldexp(one.coef_, -exponent))
    assert other.margin_ == np.ldexp(one.margin_, exponent)
    assert other.duality_gap_ == one.duality_gap_
    np.testing.assert_array_equal(other.support_, one.support_)


def test_kernels_in_other_units():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 40)), rng.integers(0, 2, 20)

    def kernel_of(exponent):
        return lambda X, Z: np.ldexp(X @ Z.T, 2 * exponent)

    one = MaxMarginClassifier(kernel=kernel_of(0)).fit(X, y)
    other = MaxMarginClassifier(kernel=kernel_of(400)).fit(X, y)
    np.testing.assert_array_equal(other.dual_coef_, np.ldexp(one.dual_coef_, -800))
    np.testing.assert_array_equal(other.decision_function(X), one.decision_function(X))


def test_coefficients_out_of_range_are_refused():
    X, y = np.eye(4), np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match="X is of a size at which torch.float64 cannot hold"):
        MaxMarginClassifier().fit(1e-310 * X, y)
    with pytest.raises(ValueError, match="The kernel is of a size at which torch.float32"):
        MaxMarginClassifier(kernel=lambda X, Z: 1e-42 * (X @ Z.T).astype(float)).fit(
            X.astype(np.float32), y
        )


def test_points_too_small_for_the_weight_of_violations():
    X, y = 1e-150 * np.array([[1.0], [2.0], [3.0]]), [0, 1, 0]
    with pytest.raises(ValueError, match="^C=1 leaves nothing of points of the size of"):
        MaxMarginClassifier().fit(X, y)
    assert MaxMarginClassifier(C=1e30).fit(X, y).solver_ == "soft"


def test_a_soft_margin_of_heavy_violations_is_that_of_its_scores():
    """The classifier is the same whether points or violations grow."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), rng.integers(0, 2, 30)
    one = MaxMarginClassifier(C=1e18, tol=1e-4).fit(X, y)
    other = MaxMarginClassifier(C=1e6, tol=1e-4).fit(1e6 * X, y)
    np.testing.assert_allclose(1e6 * other.coef_, one.coef_, rtol=1e-9)
    distances = np.where(y == 1, 1, -1) * other.decision_function(1e6 * X)
    assert other.margin_ == pytest.approx(distances.min() / np.linalg.norm(other.coef_))
