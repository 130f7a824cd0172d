"""Averages with singular weights as scikit-learn estimators."""

import pickle

import numpy as np
import pytest
import skops.io
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from skoverparam import SingularKernelClassifier, SingularKernelRegressor

RULES = [
    {"exponent": 2.5},
    {"exponent": 1.5, "n_neighbors": 5},
    {"exponent": 1.5, "n_neighbors": 5, "algorithm": "brute"},
    {"n_neighbors": 5, "weight": "log"},
    {"exponent": 1.0, "n_neighbors": 100, "weight": "tapered"},
    {"exponent": 1.0, "radius": 1.0},
    {"exponent": 0.5, "radius": 0.3, "weight": "tapered"},
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def by_definition(X, y, Q, exponent, weight="power", n_neighbors=None, radius=None, mass=None):
    """The formula, for queries that are not training points and in no hurry."""
    mass = np.ones(len(X)) if mass is None else mass
    values = []
    for q in Q:
        r = np.linalg.norm(X - q, axis=1)
        reach = np.inf if n_neighbors is None else np.sort(r)[min(n_neighbors, len(X) - 1)]
        reach = reach if radius is None else radius
        t = r / (reach if np.isfinite(reach) else 1.0)
        w = {
            "power": lambda t: t**-exponent,
            "log": lambda t: -np.log(t),
            "tapered": lambda t: t**-exponent * (1 - t) ** 2,
        }[weight](t)
        w = np.where(r < reach, w, 0.0) * mass
        values.append(w @ y / w.sum() if w.any() else y[r.argmin()])
    return np.array(values)


@pytest.mark.parametrize("rule", RULES)
def test_averages_are_those_of_the_formula(rule, rng):
    X, y, mass = rng.normal(size=(40, 3)), rng.normal(size=40), rng.uniform(0.5, 2, 40)
    Q = np.r_[rng.normal(size=(30, 3)), [[50.0, 0.0, 0.0]]]
    model = SingularKernelRegressor(**rule).fit(X, y, sample_weight=mass)
    kw = {k: v for k, v in rule.items() if k != "algorithm"} | {"exponent": model.exponent_}
    expected = by_definition(X, y, Q, mass=mass, **kw)
    np.testing.assert_allclose(model.predict(Q), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("d", [1, 3, 30])
def test_training_targets_come_back_exactly(rule, d, rng):
    X, y = rng.normal(size=(60, d)), rng.normal(size=60)
    model = SingularKernelRegressor(**rule).fit(X, y)
    assert model.interpolates_ is True
    np.testing.assert_array_equal(model.predict(X), y)
    labels = np.array(["a", "b", "c"])[rng.integers(0, 3, 60)]
    classifier = SingularKernelClassifier(**rule).fit(X, labels)
    np.testing.assert_array_equal(classifier.predict(X), labels)
    assert (classifier.predict_proba(X).max(1) == 1).all()


@pytest.mark.parametrize("algorithm", ["brute", "kd_tree", "ball_tree"])
@pytest.mark.parametrize("d", [1, 3])
def test_points_too_close_for_squares_are_not_confused(algorithm, d):
    """Differences of 1e-300 beside others of one: squares are zero, and tell nothing apart."""
    X = np.zeros((30, d))
    X[:, 0] = np.r_[1.0, np.arange(29) * 1e-300]
    y = np.arange(30.0)
    for rule in ({"n_neighbors": 1}, {"n_neighbors": 3}, {"exponent": 2.0}):
        model = SingularKernelRegressor(algorithm=algorithm, **rule).fit(X, y)
        assert model.n_points_ == 30
        np.testing.assert_array_equal(model.predict(X), y)
    nearest = SingularKernelRegressor(algorithm=algorithm, n_neighbors=1).fit(X, y)
    np.testing.assert_array_equal(nearest.predict(X[1:] + 4e-301 * np.eye(d)[0]), y[1:])


def test_points_that_no_number_tells_apart_are_one():
    """In units of the largest coordinate, less than the least number is nothing: certified."""
    X = np.array([[1e150], [0.0], [1e-200], [-1e150]])
    y = np.array([5.0, 1.0, 2.0, 3.0])
    model = SingularKernelRegressor().fit(X, y)
    assert model.n_points_ == 3
    assert model.interpolates_ is False
    np.testing.assert_array_equal(model.predict(X), [5.0, 1.5, 1.5, 3.0])
    np.testing.assert_array_equal(model.loo_residuals()[1:3], [-1.0, 1.0])
    classes = SingularKernelClassifier().fit(X, ["a", "b", "b", "c"])
    assert classes.interpolates_ is True
    np.testing.assert_array_equal(classes.predict(X), ["a", "b", "b", "c"])


@pytest.mark.parametrize(("scale", "offset"), [(1e-200, 0), (1e300, 0), (1e-6, 1e8)])
@pytest.mark.parametrize("rule", RULES[:5])
def test_units_and_offsets_do_not_matter(rule, scale, offset, rng):
    X, y, Q = rng.normal(size=(30, 2)), rng.normal(size=30), rng.normal(size=(20, 2))
    X, Q = (np.round(array * 2**20) / 2**20 for array in (X, Q))  # exact after the shift
    expected = SingularKernelRegressor(**rule).fit(X, y).predict(Q)
    model = SingularKernelRegressor(**rule).fit(offset + scale * X, y)
    found = model.predict(offset + scale * Q)
    # An offset of 1e14 sizes of the cloud leaves few digits of it.
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9 if offset == 0 else 0.2)
    np.testing.assert_array_equal(model.predict(offset + scale * X), y)


def test_points_that_almost_coincide_are_told_apart(rng):
    """In many features a product of matrices would confuse points 1e-9 apart."""
    X = np.repeat(rng.normal(size=(1, 40)), 8, axis=0) + 1e-9 * rng.normal(size=(8, 40))
    X, y = np.r_[rng.normal(size=(50, 40)), X], rng.normal(size=58)
    for rule in RULES:
        np.testing.assert_array_equal(SingularKernelRegressor(**rule).fit(X, y).predict(X), y)


def test_a_large_exponent_is_the_nearest_neighbor(rng):
    X, y, Q = rng.normal(size=(50, 4)), rng.normal(size=50), rng.normal(size=(80, 4))
    expected = KNeighborsRegressor(1).fit(X, y).predict(Q)
    for model in (SingularKernelRegressor(exponent=1e6), SingularKernelRegressor(n_neighbors=1)):
        np.testing.assert_allclose(model.fit(X, y).predict(Q), expected, rtol=0, atol=1e-12)


def test_exponent_one_on_neighbors_is_that_of_scikit_learn(rng):
    X, Q = rng.normal(size=(100, 4)), rng.normal(size=(80, 4))
    y = rng.integers(0, 3, 100)
    theirs = KNeighborsClassifier(7, weights="distance").fit(X, y)
    ours = SingularKernelClassifier(exponent=1, n_neighbors=7).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(Q), theirs.predict_proba(Q), atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_leave_one_out_is_that_of_refits(rule, rng):
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    X[5], X[7], X[8] = X[6], X[9], X[9]
    model = SingularKernelRegressor(**{"exponent": 1.0} | rule).fit(X, y)
    without = cross_val_predict(model, X, y, cv=LeaveOneOut())
    np.testing.assert_allclose(model.loo_residuals(), y - without, rtol=0, atol=1e-12)


def test_leave_one_out_with_weights(rng):
    X, y, w = rng.normal(size=(9, 2)), rng.normal(size=9), rng.uniform(size=9)
    X[1], w[2] = X[0], 0.0
    model = SingularKernelRegressor(exponent=2.0).fit(X, y, sample_weight=w)
    residuals = model.loo_residuals()
    assert np.isnan(residuals[2])
    for i in (0, 3):
        others = np.arange(9) != i
        fitted = SingularKernelRegressor(exponent=2.0).fit(X[others], y[others], w[others])
        assert residuals[i] == pytest.approx(y[i] - fitted.predict(X[i : i + 1])[0], abs=1e-12)


def test_contradicting_samples_are_averaged(rng):
    X, y = rng.normal(size=(20, 2)), rng.normal(size=20)
    X[1] = X[0]
    model = SingularKernelRegressor().fit(X, y)
    assert model.interpolates_ is False
    assert model.n_points_ == 19
    assert model.predict(X[:1])[0] == pytest.approx((y[0] + y[1]) / 2, rel=1e-14)


@pytest.mark.parametrize("rule", [{}, *RULES])
@pytest.mark.parametrize(
    "X",
    [
        [[1.0, 2.0]],
        [[1.0, 2.0]] * 3,
        [[0.0, 0.0], [1.0, 1.0]],
        np.eye(4),
        np.c_[np.random.default_rng(1).normal(size=(12, 2)), np.full(12, 3.0)],
    ],
    ids=["one", "equal", "two", "equally far", "constant column"],
)
def test_odd_clouds(rule, X):
    X = np.asarray(X)
    y = X[:, 0] + 0.5
    model = SingularKernelRegressor(**rule).fit(X, y)
    np.testing.assert_array_equal(model.predict(X), y)
    far = model.predict(np.full((1, X.shape[1]), 1e300))
    assert y.min() - 1e-12 <= far[0] <= y.max() + 1e-12
    assert model.loo_residuals().shape == y.shape


def test_names_of_exponents(rng):
    # A plane in ten dimensions.
    X = rng.uniform(size=(500, 2)) @ np.linalg.qr(rng.normal(size=(10, 2)))[0].T
    y = X[:, 0]
    model = SingularKernelRegressor().fit(X, y)
    assert model.exponent_ == model.intrinsic_dimension_
    assert abs(model.intrinsic_dimension_ - 2) < 0.3
    assert SingularKernelRegressor(n_neighbors=5).fit(X, y).exponent_ == model.exponent_ / 2
    by_features = SingularKernelRegressor(exponent="dimension").fit(X, y)
    assert by_features.exponent_ == 10
    assert not hasattr(by_features, "intrinsic_dimension_")


def test_errors_on_noisy_digits(digits):
    """Measured with three seeds: .054, .045, .108 and .068; here one seed, within its spread."""
    X, y = digits
    rng = np.random.default_rng(0)
    order = rng.permutation(len(X))
    train, test = order[:1000], order[1000:]
    noisy = y[train].copy()
    drawn = rng.random(1000) < 0.4
    noisy[drawn] = rng.integers(0, 10, drawn.sum())

    def error(**rule):
        model = SingularKernelClassifier(**rule).fit(X[train], noisy)
        assert model.interpolates_
        return 1 - model.score(X[test], y[test])

    assert error(exponent=2.0, n_neighbors=25) < 0.06
    assert abs(error(exponent=2.0, n_neighbors=10) - 0.054) < 0.02
    assert abs(error(exponent=4.0, n_neighbors=10) - 0.108) < 0.025
    assert abs(error(exponent=4.0) - 0.068) < 0.02
    assert error(n_neighbors=1) > 0.35


def test_which_rules_are_consistent():
    """sin(2 pi x) in the plane, noise 0.3: alpha = d is, alpha = d / 2 is not, smooth ones are."""
    sizes, rules = (250, 1000, 4000), {"d": [], "d/2": [], "tapered": []}
    for n in sizes:
        rng = np.random.default_rng(n)
        X, Q = rng.uniform(size=(n, 2)), rng.uniform(size=(1000, 2))
        y = np.sin(2 * np.pi * X[:, 0]) + 0.3 * rng.normal(size=n)
        for name, model in {
            "d": SingularKernelRegressor(exponent="dimension"),
            "d/2": SingularKernelRegressor(exponent=1.0),
            "tapered": SingularKernelRegressor(
                exponent=0.5, radius=0.35 * n ** (-1 / 6), weight="tapered"
            ),
        }.items():
            error = model.fit(X, y).predict(Q) - np.sin(2 * np.pi * Q[:, 0])
            rules[name].append(np.mean(error**2))
    assert rules["d"][0] > rules["d"][1] > rules["d"][2]
    assert min(rules["d/2"]) > 0.17
    assert rules["tapered"][2] < 0.006


@pytest.mark.parametrize("d", [1, 2, 3, 5])
def test_noise_is_outvoted(d):
    """Labels wrong with probability 1/5 everywhere: 0.2 is the least error there is."""
    errors = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X, Q = rng.uniform(size=(800, d)), rng.uniform(size=(1000, d))
        y, fresh = rng.random(800) < 0.8, rng.random(1000) < 0.8
        model = SingularKernelClassifier(exponent=d / 2, n_neighbors=25).fit(X, y)
        errors.append((model.predict(Q) != fresh).mean())
    assert np.mean(errors) < 0.22


def test_precision_and_several_targets(rng):
    X, Y = rng.normal(size=(30, 3)).astype(np.float32), rng.normal(size=(30, 2))
    model = SingularKernelRegressor().fit(X, Y)
    assert model.predict(X).dtype == model.loo_residuals().dtype == np.float32
    np.testing.assert_array_equal(model.predict(X), Y.astype(np.float32))
    assert model.loo_residuals().shape == (30, 2)


def test_it_survives_pickling_and_skops(rng):
    X, y, Q = rng.normal(size=(40, 2)), rng.normal(size=40), rng.normal(size=(20, 2))
    model = SingularKernelRegressor(n_neighbors=4).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(Q), model.predict(Q))
    dumped = skops.io.dumps(model)
    loaded = skops.io.loads(dumped, trusted=skops.io.get_untrusted_types(data=dumped))
    np.testing.assert_array_equal(loaded.predict(Q), model.predict(Q))
    np.testing.assert_array_equal(loaded.loo_residuals(), model.loo_residuals())


def test_tensors_come_back_as_tensors(rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    found = SingularKernelRegressor().fit(X, y).predict(torch.as_tensor(X))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_array_equal(found, y)


def test_grid_search(digits):
    X, y = digits
    search = GridSearchCV(
        SingularKernelClassifier(), {"exponent": [1, 4], "n_neighbors": [None, 10]}, cv=3
    ).fit(X[:300], y[:300])
    assert search.best_score_ > 0.9


def test_bad_arguments_are_named(rng):
    X, y = rng.normal(size=(5, 2)), np.arange(5.0)
    for parameters, message in [
        ({"exponent": "d"}, "exponent must be one of"),
        ({"exponent": 0.0}, "exponent"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"radius": -1.0}, "radius"),
        ({"n_neighbors": 3, "radius": 1.0}, "one of them must be None"),
        ({"weight": "log"}, "it needs n_neighbors or radius"),
        ({"weight": "none"}, "weight must be one of"),
        ({"algorithm": "fast"}, "algorithm must be one of"),
    ]:
        with pytest.raises(ValueError, match=message):
            SingularKernelRegressor(**parameters).fit(X, y)
    model = SingularKernelRegressor().fit(X, y)
    with pytest.raises(ValueError, match="sample_weight must hold 5"):
        model.fit(X, y, sample_weight=[1.0])
    assert model.n_points_ == 5
    with pytest.raises(ValueError, match="at least two classes"):
        SingularKernelClassifier().fit(X, np.zeros(5))


@pytest.mark.parametrize("rule", RULES)
def test_devices_agree(rule, device, rng):
    X, y, Q = rng.normal(size=(60, 3)), rng.normal(size=60), rng.normal(size=(30, 3))
    expected = SingularKernelRegressor(**rule, device="cpu").fit(X, y)
    model = SingularKernelRegressor(**rule, device=str(device)).fit(X, y)
    np.testing.assert_allclose(model.predict(Q), expected.predict(Q), rtol=0, atol=1e-10)
    np.testing.assert_array_equal(model.predict(X), y)
    np.testing.assert_allclose(model.loo_residuals(), expected.loo_residuals(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("coding", ["onehot", "pm1", "rescaled", (5, 3.0), (1, 2.0)])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("rule", [{"exponent": 2.5}, {"exponent": 1.5, "n_neighbors": 5}])
def test_scores_are_averages_of_the_coded_targets(rule, n_classes, coding, rng):
    """Column by column, what a regressor makes of targets in that coding and its weights."""
    X, y = rng.normal(size=(60, 2)), rng.integers(n_classes, size=60)
    X[50:] = X[:10]  # equal samples, some of several classes
    Q = rng.normal(size=(20, 2))
    high, low, k = {"onehot": (1, 0, 1), "pm1": (1, -1, 1), "rescaled": (1, 0, 1)}.get(
        coding, (coding[-1], 0, coding[0])
    )
    scores, residuals = np.empty((20, n_classes)), np.empty((60, n_classes))
    for column in range(n_classes):
        own = y == column
        targets, weights = np.where(own, high, low), np.where(own, k, 1.0)
        regressor = SingularKernelRegressor(**rule).fit(X, targets, sample_weight=weights)
        scores[:, column], residuals[:, column] = regressor.predict(Q), regressor.loo_residuals()
    model = SingularKernelClassifier(target_coding=coding, **rule).fit(X, y)
    if n_classes == 2:
        scores = scores[:, 1] - scores[:, 0]
        if k == 1:
            # One column, with targets from -high to high.
            wider = 2 * high / (high - low)
            scores, residuals = wider * scores / 2, wider * residuals[:, 1:]
    np.testing.assert_allclose(model.decision_function(Q), scores, rtol=0, atol=1e-12)
    np.testing.assert_allclose(model.loo_residuals(), residuals, rtol=0, atol=1e-12)
    plain = SingularKernelClassifier(**rule).fit(X, y)
    np.testing.assert_array_equal(model.predict(Q), plain.predict(Q))
    np.testing.assert_array_equal(model.predict_proba(Q), plain.predict_proba(Q))


@pytest.mark.parametrize("bad", ["binary", (0.5, 1), None])
def test_a_wrong_coding_is_refused_before_any_work(bad):
    with pytest.raises((TypeError, ValueError), match="target_coding"):
        SingularKernelClassifier(target_coding=bad).fit([[0.0], [1.0]], [0, 1])
