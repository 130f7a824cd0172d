"""Interpolation on Delaunay simplices as scikit-learn estimators."""

import os
import pickle

import numpy as np
import pytest
import skops.io
import torch
from scipy.interpolate import LinearNDInterpolator
from sklearn import config_context
from sklearn.model_selection import LeaveOneOut, cross_val_predict

import skoverparam
from skoverparam import SimplicialClassifier, SimplicialRegressor, SingularKernelClassifier


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("max_dim", [0, 4])
@pytest.mark.parametrize("d", [2, 3])
def test_it_is_the_interpolant_of_scipy(d, max_dim, rng):
    X, Q = rng.uniform(size=(150, d)), rng.uniform(size=(400, d))
    Y = rng.normal(size=(150, 2))
    model = SimplicialRegressor(max_dim=max_dim).fit(X, Y)
    expected = LinearNDInterpolator(X, Y)(Q)
    inside = ~np.isnan(expected[:, 0])
    np.testing.assert_array_equal(model.inside_hull(Q), inside)
    np.testing.assert_allclose(model.predict(Q)[inside], expected[inside], rtol=0, atol=1e-9)
    nearest = ((Q[:, None] - X[None]) ** 2).sum(-1).argmin(1)
    np.testing.assert_array_equal(model.predict(Q)[~inside], Y[nearest][~inside])
    assert (model.n_simplices_ is None) == (max_dim == 0)


@pytest.mark.parametrize("max_dim", [0, 4])
def test_one_dimension_connects_the_dots(max_dim, rng):
    x, y = rng.uniform(size=50), rng.normal(size=50)
    order, Q = x.argsort(), np.linspace(-0.2, 1.2, 301)
    model = SimplicialRegressor(max_dim=max_dim).fit(x[:, None], y)
    expected = np.interp(Q, x[order], y[order])  # constant outside: the nearest
    np.testing.assert_allclose(model.predict(Q[:, None]), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("d", [1, 2, 5, 12])
def test_training_targets_come_back_exactly(d, rng):
    X, y = rng.normal(size=(60, d)), rng.normal(size=60)
    model = SimplicialRegressor().fit(X, y)
    assert model.interpolates_ is True
    np.testing.assert_array_equal(model.predict(X), y)


def test_fewer_wrong_labels_win_in_more_dimensions():
    """Labels wrong with probability 1/5: the nearest neighbor misses 0.32, Bayes 0.2."""
    errors = {}
    for d in (1, 2, 5):
        scores = []
        for seed in range(4):
            rng = np.random.default_rng(seed)
            X, Q = rng.uniform(size=(800, d)), rng.uniform(size=(1000, d))
            y, fresh = rng.random(800) < 0.8, rng.random(1000) < 0.8
            model = SimplicialClassifier().fit(X, y)
            wrong = model.predict(Q) != fresh
            scores.append(wrong[model.inside_hull(Q)].mean())
            if d == 1:
                nearest = SingularKernelClassifier(n_neighbors=1).fit(X, y).predict(Q)
                np.testing.assert_array_equal(model.predict(Q), nearest)
        errors[d] = np.mean(scores)
    assert abs(errors[1] - 0.32) < 0.03
    assert errors[2] - errors[5] > 0.03
    assert abs(errors[5] - 0.271) < 0.015


def test_probabilities_are_barycentric():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    model = SimplicialClassifier().fit(X, ["a", "b", "c"])
    np.testing.assert_allclose(model.predict_proba([[0.2, 0.3]]), [[0.5, 0.2, 0.3]], atol=1e-15)


@pytest.mark.parametrize(
    "X",
    [
        [[1.0, 2.0]],
        [[1.0, 2.0]] * 3,
        [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]],
        np.c_[np.arange(6.0), 2 * np.arange(6.0) + 1],
        np.c_[np.random.default_rng(1).normal(size=(12, 2)), np.full(12, 3.0)],
    ],
    ids=["one", "equal", "fewer than corners", "collinear", "constant column"],
)
def test_flat_clouds(X):
    X = np.asarray(X)
    y = X[:, 0] + 0.5
    model = SimplicialRegressor().fit(X, y)
    np.testing.assert_array_equal(model.predict(X), y)
    middle = (X[:1] + X[-1:]) / 2
    np.testing.assert_allclose(model.predict(middle), middle[:, 0] + 0.5, rtol=1e-12)
    assert model.inside_hull(middle).all()
    assert not model.inside_hull(middle + 0.1 * (-1) ** np.arange(X.shape[1])).any()
    assert model.hull_dim_ <= 2


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("r", "d"), [(1, 2), (1, 5), (2, 3), (3, 6)])
def test_a_plane_far_from_the_origin(r, d, dtype, offset, rng):
    """Rounding gives it a thickness, which is no dimension; single precision does so at once."""
    offset = min(offset, 1e4) if dtype == np.float32 else offset
    axes = np.linalg.qr(rng.normal(size=(d, r)))[0]
    inner = rng.normal(size=(40, r))
    X = (inner @ axes.T + offset).astype(dtype)
    model = SimplicialRegressor().fit(X, inner[:, 0])
    assert model.hull_dim_ == r
    shares = rng.dirichlet(np.ones(40), size=20)
    Q = (shares @ inner @ axes.T + offset).astype(dtype)
    assert model.inside_hull(Q).all()
    # Coordinates are known up to the rounding of the samples, over simplices of a tenth.
    rounding = np.finfo(dtype).eps * (offset + 3)
    np.testing.assert_allclose(
        model.predict(Q), (shares @ inner)[:, 0], rtol=0, atol=50 * rounding
    )
    # A step out of the plane is seen, from a thousand rounding errors on.
    normal = np.linalg.svd(axes.T)[2][-1]
    away = (Q + max(1e3 * rounding, 1e-7) * normal).astype(dtype)
    assert not model.inside_hull(away).any()


def test_contradicting_samples_are_averaged(rng):
    X = rng.normal(size=(20, 2))
    X[1] = X[0]
    y = rng.normal(size=20)
    model = SimplicialRegressor().fit(X, y, sample_weight=[3.0] + [1.0] * 19)
    assert model.interpolates_ is False
    assert model.n_points_ == 19
    assert model.predict(X[:1])[0] == pytest.approx((3 * y[0] + y[1]) / 4, rel=1e-14)


def test_leave_one_out_is_that_of_refits(rng):
    X, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    X[3], y[4] = X[4], y[3]
    model = SimplicialRegressor().fit(X, y)
    without = cross_val_predict(model, X, y, cv=LeaveOneOut())
    np.testing.assert_allclose(model.loo_residuals(), y - without, rtol=0, atol=1e-9)


def test_above_the_memory_budget_it_searches(rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    Q = rng.normal(size=(50, 2))
    expected = SimplicialRegressor().fit(X, y).predict(Q)
    with skoverparam.config_context(memory_budget=1000):
        model = SimplicialRegressor().fit(X, y)
    assert model.n_simplices_ is None
    np.testing.assert_allclose(model.predict(Q), expected, rtol=0, atol=1e-9)


def test_it_survives_pickling_and_skops(rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    model = SimplicialRegressor().fit(X, y)
    Q = rng.normal(size=(20, 2))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(Q), model.predict(Q))
    dumped = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=dumped)
    loaded = skops.io.loads(dumped, trusted=untrusted)
    np.testing.assert_array_equal(loaded.predict(Q), model.predict(Q))


def test_tensors(rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    expected = SimplicialRegressor().fit(X, y).predict(X * 0.9)
    X, y = torch.as_tensor(X), torch.as_tensor(y)
    plain = SimplicialRegressor().fit(X, y).predict(X * 0.9)
    assert isinstance(plain, torch.Tensor)
    np.testing.assert_array_equal(plain, expected)
    if os.environ.get("SCIPY_ARRAY_API") != "1":
        return  # dispatch needs it from the start
    with config_context(array_api_dispatch=True):
        model = SimplicialRegressor().fit(X, y)
        found = model.predict(X * 0.9)
        assert isinstance(model.inside_hull(X), torch.Tensor)
    np.testing.assert_array_equal(found, expected)


def test_bad_arguments_are_named(rng):
    X, y = rng.normal(size=(5, 2)), np.arange(5.0)
    with pytest.raises(ValueError, match="max_dim"):
        SimplicialRegressor(max_dim=-1).fit(X, y)
    model = SimplicialRegressor().fit(X, y)
    with pytest.raises(ValueError, match="sample_weight must hold 5"):
        model.fit(X, y, sample_weight=[1.0])
    assert model.n_points_ == 5


@pytest.mark.parametrize("max_dim", [0, 4])
@pytest.mark.parametrize("d", [1, 3, 9])
def test_devices_agree(d, max_dim, device, rng):
    X, y, Q = rng.normal(size=(60, d)), rng.normal(size=60), 0.5 * rng.normal(size=(30, d))
    expected = SimplicialRegressor(max_dim=max_dim, device="cpu").fit(X, y)
    model = SimplicialRegressor(max_dim=max_dim, device=str(device)).fit(X, y)
    np.testing.assert_allclose(model.predict(Q), expected.predict(Q), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(model.predict(X), y)
    np.testing.assert_allclose(model.loo_residuals(), expected.loo_residuals(), rtol=0, atol=1e-9)


def test_scores_in_every_coding():
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    y, Q = ["a", "b", "c"], [[0.2, 0.3]]
    p = np.array([[0.5, 0.2, 0.3]])
    expected = {"onehot": p, "pm1": 2 * p - 1, (4, 3): 12 * p / (1 + 3 * p)}
    for coding, scores in expected.items():
        model = SimplicialClassifier(target_coding=coding).fit(X, y)
        np.testing.assert_allclose(model.decision_function(Q), scores, rtol=0, atol=1e-15)
        assert model.predict(Q) == ["a"]
    two = SimplicialClassifier(target_coding=(1, 2)).fit(X, ["a", "b", "b"])
    np.testing.assert_allclose(two.decision_function([[0.1, 0.1]]), [-1.2], rtol=0, atol=1e-15)
    assert two.loo_residuals().shape == (3, 1)
