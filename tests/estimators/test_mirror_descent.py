"""MirrorDescentRegressor and MirrorDescentClassifier: which solution they find, and how fast."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from scipy.optimize import nnls
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from skoverparam import MinNormRegressor, MirrorDescentClassifier, MirrorDescentRegressor
from skoverparam.optim import Hypentropy, Mirror, PNorm
from skoverparam.theory import bregman_projection


@pytest.fixture(scope="module")
def sparse():
    rng = np.random.RandomState(0)
    X = rng.randn(10, 30) / np.sqrt(30)
    w = np.zeros(30)
    w[:3] = 1, 2, 1.5
    return X, X @ w


FIXED = [
    ("euclidean", None, None),
    ("pnorm", {"p": 1.3}, None),
    ("pnorm", {"p": 3.0, "ridge": 0.05}, None),
    ("hypentropy", {"beta": 0.1}, None),
    ("diagonal", {"scale": 3.0}, 0.5),
    ("negentropy", None, 0.2),
]


@pytest.mark.parametrize(("mirror", "params", "init"), FIXED)
@pytest.mark.parametrize("rate", ["theory", "search"])
def test_it_ends_in_the_bregman_projection(sparse, mirror, params, init, rate):
    X, y = sparse
    model = MirrorDescentRegressor(
        mirror,
        mirror_params=params,
        init=init,
        learning_rate=rate,
        fit_intercept=False,
        tol=1e-10,
    ).fit(X, y)
    start = np.full(30, 0.0 if init is None else init)
    nearest = bregman_projection(X, y, start, mirror=mirror, mirror_params=params).coef
    np.testing.assert_allclose(model.coef_, nearest, rtol=0, atol=1e-8)
    assert model.bregman_distance_ < 1e-8
    assert model.interpolates_
    assert model.residual_ <= 1e-10
    assert model.intercept_ == 0.0
    assert len(model.loss_curve_) == model.n_iter_
    assert np.all(np.diff(model.loss_curve_) < 0)


def test_gradient_descent_is_the_minimum_norm(sparse):
    X, y = sparse
    ours = MirrorDescentRegressor("euclidean", tol=1e-12).fit(X + 3, y + 5)
    theirs = MinNormRegressor().fit(X + 3, y + 5)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-10)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, abs=1e-9)


def test_with_more_samples_than_features_every_mirror_is_least_squares():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 5)), rng.normal(size=(60, 2))
    theirs = LinearRegression().fit(X, Y)
    for mirror in ("euclidean", "pnorm", "hypentropy", "adagrad"):
        ours = MirrorDescentRegressor(mirror, learning_rate="search").fit(X, Y)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, atol=1e-6)
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), atol=1e-6)
        assert not ours.interpolates_
        assert ours.bregman_distance_ is None


def test_positive_coefficients_are_those_of_nnls():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(60, 6)), rng.normal(size=60)
    expected, _ = nnls(X, y)
    assert (expected == 0).any()
    with warnings.catch_warnings():
        # What no positive coefficients fit does not count for tol, but nnls is no such least.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = MirrorDescentRegressor(
            "negentropy", learning_rate="search", fit_intercept=False, max_iter=3000
        ).fit(X, y)
    # Coefficients of the bounds go to zero like one over the number of passes at worst.
    np.testing.assert_allclose(model.coef_, expected, atol=1e-3)
    assert (model.coef_ >= 0).all()


def test_the_simplex_stays_what_it_is(sparse):
    X, _ = sparse
    shares = np.random.default_rng(0).dirichlet(np.ones(30), size=2)
    model = MirrorDescentRegressor("simplex", fit_intercept=False, learning_rate="search")
    model.fit(X, X @ shares.T)
    np.testing.assert_allclose(model.coef_.sum(axis=1), 1, atol=1e-12)
    assert (model.coef_ > 0).all()
    assert model.bregman_distance_ < 1e-6


def test_bound_and_rate_are_those_of_the_losses(sparse):
    X, y = sparse
    model = MirrorDescentRegressor(mirror_params={"p": 3.0, "ridge": 0.5}, init=0.2, tol=1e-10)
    model.fit(X, y)
    losses = np.array(model.loss_curve_)
    ratios = losses[1:] / losses[:-1]
    assert (ratios <= model.rate_bound_).all()
    assert ratios.min() <= model.rate_ <= ratios.max()
    assert model.rate_ < model.rate_bound_ < 1
    least, greatest = model.bounds_
    assert 0.5 <= least <= greatest
    # The bound is about the constants over all coefficients that were visited.
    centered = X - X.mean(axis=0)
    s = np.linalg.svd(centered, compute_uv=False)[:9] ** 2
    bound = 1 - s[-1] / s[0] * (least / greatest) ** 2
    assert model.rate_bound_ == pytest.approx(bound, rel=1e-9)


def test_where_there_is_no_bound(sparse):
    X, y = sparse
    assert MirrorDescentRegressor(learning_rate="search").fit(X, y).rate_bound_ is None
    assert MirrorDescentRegressor().fit(X, y).rate_bound_ == 1.0
    short = MirrorDescentRegressor("euclidean", learning_rate=1.0).fit(X, y)
    assert 0 < short.rate_bound_ < 1
    assert MirrorDescentRegressor("euclidean", learning_rate=6.0).fit(X, y).rate_bound_ < 1
    batches = MirrorDescentRegressor("euclidean", learning_rate=1.0, batch_size=3, random_state=0)
    assert batches.fit(X, y).rate_bound_ is None
    adagrad = MirrorDescentRegressor("adagrad", learning_rate="search").fit(X, y)
    assert adagrad.bregman_distance_ is None


def test_batches_end_in_the_same_place(sparse):
    X, y = sparse
    full = MirrorDescentRegressor(learning_rate="search", tol=1e-9).fit(X, y)
    model = MirrorDescentRegressor(learning_rate=0.5, batch_size=2, random_state=0, tol=1e-9)
    np.testing.assert_allclose(model.fit(X, y).coef_, full.coef_, atol=1e-7)
    assert np.array_equal(clone(model).fit(X, y).coef_, model.coef_)
    other = clone(model).set_params(random_state=1).fit(X, y)
    assert not np.array_equal(other.coef_, model.coef_)


def test_targets_side_by_side(sparse):
    X, y = sparse
    Y = np.column_stack([y, y[::-1]])
    # A given step: those of the theory are common to all targets.
    model = MirrorDescentRegressor(learning_rate=1.0, tol=0, max_iter=300)
    both = clone(model).fit(X, Y)
    assert both.coef_.shape == (2, 30)
    assert both.intercept_.shape == (2,)
    for k in range(2):
        alone = clone(model).fit(X, Y[:, k])
        np.testing.assert_allclose(both.coef_[k], alone.coef_, rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(both.predict(X)[:, k], alone.predict(X), atol=1e-12)


@pytest.mark.parametrize("shape", [(), (30,), (2, 30)])
def test_starts(sparse, shape):
    X, y = sparse
    Y = np.column_stack([y, y[::-1]])
    init = np.random.default_rng(0).normal(size=shape)
    model = MirrorDescentRegressor("euclidean", init=init, fit_intercept=False, tol=1e-12)
    start = np.broadcast_to(init, (2, 30))
    nearest = start + (np.linalg.pinv(X) @ (Y - X @ start.T)).T
    np.testing.assert_allclose(model.fit(X, Y).coef_, nearest, atol=1e-10)


def test_feature_maps_are_like_pipelines(sparse):
    X, y = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40.0)
    polynomials = PolynomialFeatures(4, include_bias=False)
    inner = MirrorDescentRegressor(
        "euclidean", feature_map=polynomials, learning_rate="search", max_iter=200, tol=0
    ).fit(X, y)
    outer = MirrorDescentRegressor("euclidean", learning_rate="search", max_iter=200, tol=0)
    assert not hasattr(polynomials, "n_output_features_")
    outer = make_pipeline(polynomials, outer).fit(X, y)
    np.testing.assert_array_equal(inner.predict(X), outer.predict(X))
    assert inner.feature_map_ is not polynomials
    assert inner.coef_.shape == (inner.feature_map_.n_output_features_,)


def test_mirrors_of_ones_own(sparse):
    class Cosh(Mirror):
        def to_dual(self, w):
            return w.sinh()

        def to_primal(self, z):
            return z.asinh()

        def potential(self, w):
            return w.cosh().sum()

        def curvature(self, w):
            return w.cosh()

    X, y = sparse
    model = MirrorDescentRegressor(Cosh(), fit_intercept=False).fit(X, y)
    assert model.bregman_distance_ < 1e-6
    assert model.rate_bound_ < 1
    by_name = MirrorDescentRegressor("hypentropy", mirror_params={"beta": 0.1}).fit(X, y)
    np.testing.assert_array_equal(
        MirrorDescentRegressor(Hypentropy(0.1)).fit(X, y).coef_, by_name.coef_
    )


def test_single_precision_is_double_precision_rounded(sparse):
    X, y = (part.astype(np.float32) for part in sparse)
    single = MirrorDescentRegressor().fit(X, y)
    double = MirrorDescentRegressor().fit(X.astype(float), y.astype(float))
    assert single.coef_.dtype == single.predict(X).dtype == np.float32
    np.testing.assert_array_equal(single.coef_, double.coef_.astype(np.float32))
    assert single.n_iter_ == double.n_iter_


def test_tensors_stay_tensors(sparse, monkeypatch):
    X, y = sparse
    # scikit-learn asks for it; scipy is not used here.
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    expected = MirrorDescentRegressor().fit(X, y)
    with config_context(array_api_dispatch=True):
        model = MirrorDescentRegressor().fit(torch.from_numpy(X), torch.from_numpy(y))
        predicted = model.predict(torch.from_numpy(X))
        assert isinstance(model.coef_, torch.Tensor)
        np.testing.assert_array_equal(model.coef_.numpy(), expected.coef_)
        np.testing.assert_allclose(predicted.numpy(), expected.predict(X), rtol=1e-12)
        loaded = pickle.loads(pickle.dumps(model))
    assert isinstance(loaded.coef_, np.ndarray)


@pytest.mark.gpu
def test_devices_agree(sparse):
    X, y = sparse
    cpu = MirrorDescentRegressor(device="cpu").fit(X, y)
    gpu = MirrorDescentRegressor(device="cuda").fit(X, y)
    np.testing.assert_allclose(gpu.coef_, cpu.coef_, rtol=1e-9, atol=1e-12)


def test_it_survives_being_stored(sparse):
    X, y = sparse
    frame = pd.DataFrame(X, columns=[f"x{k}" for k in range(30)])
    model = MirrorDescentRegressor(Hypentropy(0.1)).fit(frame, y)
    assert list(model.feature_names_in_) == list(frame.columns)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))
    by_name = MirrorDescentRegressor("hypentropy", mirror_params={"beta": 0.1}).fit(frame, y)
    stored = skops.io.dumps(by_name)
    loaded = skops.io.loads(stored, trusted=skops.io.get_untrusted_types(data=stored))
    np.testing.assert_array_equal(loaded.predict(frame), model.predict(frame))


def test_a_search_over_mirrors(sparse):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 100))
    y = X[:, 0] - 2 * X[:, 1]
    grid = {"mirror_params": [{"p": 1.2}, {"p": 2.0}]}
    model = MirrorDescentRegressor(learning_rate="search", tol=1e-3)
    search = GridSearchCV(model, grid, cv=4).fit(X, y)
    # Two features of a hundred: the sparse one is right.
    assert search.best_params_ == {"mirror_params": {"p": 1.2}}
    assert search.best_score_ > 0.9


def test_binary_labels():
    X, y = load_breast_cancer(return_X_y=True)
    # Columns that are not nearly multiples of each other.
    X = StandardScaler().fit_transform(X[:, [0, 1, 4, 8, 9, 11, 14, 18]])
    y = np.array(["bad", "good"])[y]
    model = MirrorDescentClassifier("euclidean", tol=1e-6, learning_rate="search").fit(X, y)
    assert model.coef_.shape == (1, 8)
    assert set(model.predict(X)) == {"bad", "good"}
    theirs = LinearRegression().fit(X, np.where(y == "good", 1.0, -1.0))
    np.testing.assert_allclose(model.decision_function(X), theirs.predict(X), atol=1e-4)
    assert np.array_equal(model.predict(X) == "good", model.decision_function(X) > 0)
    p = model.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p >= 0).all()


def test_several_labels():
    X, y = load_iris(return_X_y=True)
    model = MirrorDescentClassifier("euclidean", tol=1e-8, learning_rate="search").fit(X, y)
    theirs = LinearRegression().fit(X, np.eye(3)[y])
    assert model.decision_function(X).shape == (150, 3)
    np.testing.assert_allclose(model.coef_, theirs.coef_, atol=1e-5)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X).argmax(axis=1))
    assert cross_val_score(model, X, y).mean() > 0.8


def test_sparse_classification():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 300))
    y = X[:, 7] > 0
    scores = {
        p: MirrorDescentClassifier(mirror_params={"p": p}, learning_rate="search")
        .fit(X[:60], y[:60])
        .score(X[60:], y[60:])
        for p in (1.1, 2.0)
    }
    assert scores[1.1] > scores[2.0]


def test_not_there_yet(sparse):
    X, y = sparse
    with pytest.warns(ConvergenceWarning, match=r"after 5 passes, not tol=1e-08. Increase max_i"):
        model = MirrorDescentRegressor("euclidean", max_iter=5).fit(X, y)
    assert model.n_iter_ == 5
    assert not model.interpolates_
    with pytest.warns(ConvergenceWarning, match=r"steps are short because the curvature .* goes"):
        MirrorDescentRegressor("hypentropy", mirror_params={"beta": 1e-6}, max_iter=9).fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"steps are short because the curvature .* goes"):
        # Away from the start some coordinate of the gradient has been small.
        MirrorDescentRegressor("adagrad", init=np.eye(30)[0], max_iter=20).fit(
            np.diag(np.logspace(0, -4, 30)), np.ones(30)
        )


def test_positive_coefficients_that_fit_are_not_always_there(sparse):
    X, y = sparse
    model = MirrorDescentRegressor("negentropy", fit_intercept=False, learning_rate="search")
    with pytest.warns(ConvergenceWarning, match="domain of NegativeEntropy .* there may be none"):
        model.set_params(max_iter=100).fit(np.abs(X), -np.abs(y))
    assert model.bregman_distance_ is None
    assert not model.interpolates_
    assert (model.coef_ >= 0).all()


def test_nothing_to_do(sparse):
    X, _ = sparse
    for mirror in ("pnorm", "adagrad", "hypentropy"):
        model = MirrorDescentRegressor(mirror).fit(X, np.full(10, 3.0))
        assert model.interpolates_
        assert model.n_iter_ == 1
        assert model.intercept_ == 3
        assert (model.coef_ == 0).all()
    constant = np.column_stack([X, np.ones(10)])
    model = MirrorDescentRegressor("adagrad", learning_rate="search").fit(constant, X[:, 0])
    assert model.interpolates_
    assert model.coef_[-1] == 0


BAD = [
    ({"mirror": "bent"}, ValueError, "mirror must be one of 'euclidean', 'pnorm'.*got 'bent'"),
    ({"mirror_params": {"p": 1.0}}, ValueError, "p must be a finite number above 1, got 1.0"),
    ({"mirror_params": {"p": 0.5}}, ValueError, "p must be a finite number above 1, got 0.5"),
    ({"mirror_params": {"beta": 1.0}}, ValueError, "'pnorm' got 'beta'"),
    ({"mirror": PNorm(3.0), "mirror_params": {"p": 2}}, ValueError, "mirror given by name"),
    ({"mirror": "negentropy", "init": -0.1}, ValueError, "the least of init is -0.1"),
    ({"mirror": "negentropy", "init": 0.0}, ValueError, "the least of init is 0"),
    ({"mirror": "simplex", "init": 1.0}, ValueError, "sums of init are off by up to 29"),
    ({"mirror_params": {"p": 3.0}}, ValueError, "has zero at weights of zero. Give it a ridge"),
    ({"mirror": "hypentropy", "learning_rate": 1e6}, ValueError, "leaves the finite weights of"),
    ({"mirror": "euclidean", "learning_rate": 100.0}, ValueError, "The descent diverges"),
    ({"learning_rate": "fast"}, ValueError, "must be 'theory', 'search' or a number, got 'fast'"),
    ({"learning_rate": 0.0}, ValueError, "learning_rate == 0.0, must be > 0"),
    ({"learning_rate": float("nan")}, ValueError, "learning_rate must be finite"),
    ({"learning_rate": "search", "batch_size": 2}, ValueError, "batch_size must be None, got 2"),
    ({"batch_size": 2, "random_state": 0}, ValueError, "needs a mirror of finite curvature"),
    ({"batch_size": 0}, ValueError, "batch_size == 0, must be >= 1"),
    ({"init": [1.0, 2.0]}, ValueError, r"shape \(30,\) or \(1, 30\), got shape \(2,\)"),
    ({"init": float("nan")}, ValueError, "init must hold finite numbers"),
    ({"feature_map": 3}, TypeError, "feature_map must be None or a transformer"),
    ({"tol": -1.0}, ValueError, "tol == -1.0, must be >= 0"),
    ({"max_iter": 0}, ValueError, "max_iter == 0, must be >= 1"),
    ({"fit_intercept": "yes"}, TypeError, "fit_intercept"),
]


@pytest.mark.parametrize(("params", "kind", "message"), BAD)
def test_bad_input_leaves_what_was_fitted(sparse, params, kind, message):
    X, y = sparse
    model = MirrorDescentRegressor(max_iter=500).fit(X, y)
    before = model.coef_
    with pytest.raises(kind, match=message):
        model.set_params(**params).fit(X, y)
    assert model.coef_ is before
    np.testing.assert_allclose(model.predict(X), y, atol=1e-6)


@pytest.mark.parametrize("size", [1e-150, 1e150])
@pytest.mark.parametrize("what", ["X", "y", "init"])
def test_sizes_whose_powers_are_no_numbers_are_refused(sparse, what, size):
    X, y = sparse
    data = {"X": X, "y": y, "init": np.ones(30)}
    data[what] = data[what] * size
    model = MirrorDescentRegressor(mirror="euclidean", init=data["init"])
    with pytest.raises(ValueError, match=f"{what} must be zero or of a size from 1e-50"):
        model.fit(data["X"], data["y"])


def test_coefficients_beyond_the_range_of_the_samples(sparse):
    X, y = sparse
    small, large = (X * 1e-25).astype(np.float32), (y * 1e25).astype(np.float32)
    model = MirrorDescentRegressor(mirror="euclidean")
    with pytest.raises(FloatingPointError, match="do not fit float32, the type of X"):
        model.fit(small, large)
    assert model.fit(small.astype(float), large).interpolates_


def test_a_scale_of_another_shape_is_refused(sparse):
    model = MirrorDescentRegressor(mirror="diagonal", mirror_params={"scale": [1.0, 2.0]})
    with pytest.raises(ValueError, match="scale must be a number or broadcast to the shape"):
        model.fit(*sparse)


def test_interpolation_is_that_of_what_is_kept(sparse):
    """Far from the origin the intercept, rounded to float32, misses what coefficients meet."""
    X, y = sparse
    far = (X + 1e6).astype(np.float32)
    model = MirrorDescentRegressor(mirror="euclidean").fit(far, y)
    assert abs(model.predict(far) - y).max() > 1e-6 * abs(y).max()
    assert not model.interpolates_
    assert MirrorDescentRegressor(mirror="euclidean").fit(far.astype(float), y).interpolates_


def test_a_start_for_each_target_may_come_as_a_list():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(4, 8)), rng.normal(size=(4, 2))
    start = rng.normal(size=(2, 8))
    listed = MirrorDescentRegressor("euclidean", init=start.tolist()).fit(X, Y)
    np.testing.assert_array_equal(
        listed.coef_, MirrorDescentRegressor("euclidean", init=start).fit(X, Y).coef_
    )
