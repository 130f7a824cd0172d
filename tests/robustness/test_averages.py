"""Singular kernels and simplices on anything: averages are averages, and meet their targets."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes, targets
from robustness.watch import attempt, watch

from skoverparam import (
    SimplicialClassifier,
    SimplicialRegressor,
    SingularKernelClassifier,
    SingularKernelRegressor,
)

_ABOUT = (
    r"(exponent|n_neighbors|radius|max_dim) == .* must be >|exponent must be one of|"
    r"weight='(log|tapered)' falls to zero .* it needs n_neighbors or radius|"
    r"k of target_coding must be|needs samples of at least two classes|"
    r"y has entries of size .* too large for float32"
)


@st.composite
def rules(draw):
    """Parameters of singular kernels, some of which contradict each other."""
    reach = draw(st.sampled_from(["all", "nearest", "within"]))
    return {
        "exponent": draw(
            st.one_of(
                st.sampled_from(["intrinsic", "dimension", "half", 0.0, -1.0, 1e300]),
                st.floats(1e-300, 1e300),
            )
        ),
        "n_neighbors": draw(st.integers(0, 15)) if reach == "nearest" else None,
        "radius": draw(st.floats(0, 1e300)) if reach == "within" else None,
        "weight": draw(st.sampled_from(["power", "power", "log", "tapered"])),
        "algorithm": draw(st.sampled_from(["auto", "brute", "kd_tree", "ball_tree"])),
    }


@st.composite
def simplices(draw):
    return {"max_dim": draw(st.integers(-1, 6))}


def codings():
    return st.sampled_from(["onehot", "pm1", "rescaled", (5.0, 2.0), (1e200, 1e3), ("k", 2)])


@st.composite
def clouds(draw, min_samples=1):
    n, d = draw(shapes(min_samples=min_samples))
    seed = draw(st.integers(0, 2**16))
    return draw(samples((n, d))), np.random.default_rng(seed)


def queries(X, rng):
    """Near the samples, between them, far away, and some samples."""
    size = float(np.abs(X.astype(float)).max()) or 1.0
    near = np.clip(rng.normal(size=(4, X.shape[1])), -3, 3) * min(size, 1e37)
    between = X[rng.integers(len(X), size=3)] / 2 + X[rng.integers(len(X), size=3)] / 2
    far = np.clip(near[:1] * 1e100, *((-1e37, 1e37) if X.dtype == np.float32 else (-1e300, 1e300)))
    dtype = X.dtype if X.dtype.kind == "f" else float
    return np.concatenate([near, between, far, X[:2].astype(float)]).astype(dtype)


def kinds_of(X):
    """Which samples are one point, (n,): their difference is no number in units of the cloud."""
    Z = X.astype(float)
    Z = np.ldexp(Z, -np.frexp(np.abs(Z).max())[1])
    spread = np.abs(Z - (Z.min(0) + Z.max(0)) / 2).max()
    Z = np.ldexp(Z, -np.frexp(spread)[1])
    return np.unique(Z + 0.0, axis=0, return_inverse=True)[1].ravel()


def means_of_equal_samples(X, Y):
    """What an interpolating average has at each sample: the mean of the targets there."""
    top = np.abs(Y).max() or 1.0
    group = kinds_of(X)
    sums = np.zeros((group.max() + 1, Y.shape[1]))
    np.add.at(sums, group, Y / top)
    return (sums / np.bincount(group)[:, None])[group] * top, group.max() + 1


def check_regressor(model, X, y, rng):
    """Predictions lie between the targets, meet them at the samples, and say so."""
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        Y = y.astype(float).reshape(len(y), -1)
        F = model.predict(queries(X, rng))
        assert F.dtype == (np.float32 if X.dtype == np.float32 else np.float64)
        F = F.astype(float).reshape(len(F), -1)
        assert np.isfinite(F).all()
        # Rounding of the average, and of the answer to the type of X.
        single = X.dtype == np.float32
        slack = (1e-6 if single else 1e-9) * np.abs(Y).max() + (1e-44 if single else 0.0)
        assert (Y.min(0) - slack <= F).all()
        assert (Y.max(0) + slack >= F).all()
        means, count = means_of_equal_samples(X, Y)
        assert model.n_points_ == count
        at_samples = model.predict(X).astype(float).reshape(len(X), -1)
        np.testing.assert_allclose(at_samples, means, rtol=0, atol=slack)
        meets = np.abs(means - Y).max(0) <= 1e-6 * np.abs(Y).max(0)
        assert model.interpolates_ == meets.all()
        # A sample without others has no residual; all else is finite.
        residuals = model.loo_residuals().reshape(len(X), -1)
        assert np.isfinite(residuals).all() == (len(X) > 1)
        weights = rng.integers(0, 3, size=len(X)).astype(float)
        if weights.any():
            kept = weights > 0
            weighted = model.fit(X, y, sample_weight=weights).predict(X)
            assert np.isnan(model.loo_residuals().reshape(len(X), -1)[~kept]).all()
            # In any units, with or without those that do not count.
            model.fit(X[kept], y[kept], sample_weight=weights[kept] * 1e200)
            np.testing.assert_allclose(model.predict(X), weighted, rtol=0, atol=slack)


def check_classifier(model, X, y, rng):
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        Q = queries(X, rng)
        P, chosen = model.predict_proba(Q), model.predict(Q)
        assert (P >= 0).all()
        np.testing.assert_allclose(P.sum(1), 1, rtol=0, atol=1e-6)
        own = P[np.arange(len(Q)), np.searchsorted(model.classes_, chosen)]
        np.testing.assert_array_equal(own, P.max(1))
        group = kinds_of(X)
        agree = all(len(set(y[group == g])) == 1 for g in set(group))
        assert model.interpolates_ == agree
        if agree:
            np.testing.assert_array_equal(model.predict(X), y)
        scores, slack = model.decision_function(Q), 1e-6 if X.dtype == np.float32 else 1e-12
        assert np.isfinite(scores).all()
        if scores.ndim == 1:
            assert (scores[chosen == model.classes_[0]] <= 0).all()
        else:
            own = scores[np.arange(len(Q)), np.searchsorted(model.classes_, chosen)]
            assert (own >= scores.max(1) - slack * np.abs(scores).max()).all()


@given(clouds(), st.data(), rules())
def test_singular_kernels_of_numbers(cloud, data, parameters):
    X, rng = cloud
    y = data.draw(targets(len(X)))
    check_regressor(SingularKernelRegressor(**parameters), X, y, rng)


@given(clouds(min_samples=2), st.data(), rules())
def test_singular_kernels_of_classes(cloud, data, parameters):
    X, rng = cloud
    y, coding = data.draw(labels(len(X))), data.draw(codings())
    check_classifier(SingularKernelClassifier(target_coding=coding, **parameters), X, y, rng)


@given(clouds(), st.data(), simplices())
def test_simplices_of_numbers(cloud, data, parameters):
    X, rng = cloud
    y = data.draw(targets(len(X)))
    check_regressor(SimplicialRegressor(**parameters), X, y, rng)


@given(clouds(min_samples=2), st.data(), simplices())
def test_simplices_of_classes(cloud, data, parameters):
    X, rng = cloud
    y, coding = data.draw(labels(len(X))), data.draw(codings())
    check_classifier(SimplicialClassifier(target_coding=coding, **parameters), X, y, rng)


@given(shapes(max_features=5), st.data(), st.sampled_from([0, 8]), st.sampled_from([0, 3, 1e8]))
def test_a_plane_is_met_between_samples(shape, data, max_dim, offset):
    """Linear interpolation reproduces linear functions, however large or thin the hull."""
    X = data.draw(samples(shape, dtypes=("float64", "int64"), kinds=("normal", "duplicates")))
    top = float(np.abs(X.astype(float)).max()) or 1.0
    X = X.astype(float) / top
    rng = np.random.default_rng(0)
    X = X * 10.0 ** -rng.integers(0, 4, size=X.shape[1])
    slope = rng.normal(size=X.shape[1])
    # As the numbers come: far from the origin, they have lost their digits.
    X = (X + offset) - offset
    Q = X[rng.integers(len(X), size=6)] / 2 + X[rng.integers(len(X), size=6)] / 2
    model = SimplicialRegressor(max_dim=max_dim)
    with watch(model):
        # A factor that squares cannot follow changes nothing.
        model.fit((X + offset) * top, X @ slope)
        inside = model.inside_hull((Q + offset) * top)
        error = np.abs(model.predict((Q + offset) * top) - Q @ slope)
        rounding = np.finfo(float).eps * offset * (np.abs(X).max(0) > 0) @ np.abs(slope)
        assert (error[inside] <= 1e-7 * np.abs(slope).sum() + 10 * rounding).all()
        if model.hull_dim_ == X.shape[1] and np.linalg.cond(X - X.mean(0)) < 1e5:
            assert offset or inside.all()


@given(clouds(), rules())
def test_the_order_of_samples_is_of_no_consequence(cloud, parameters):
    X, rng = cloud
    model = SingularKernelRegressor(**parameters)
    # Equally far neighbors would be chosen by their order.
    X = (X.astype(float) + rng.normal(size=X.shape) * (np.abs(X.astype(float)).max() or 1)) / 2
    y, order, Q = rng.normal(size=len(X)), rng.permutation(len(X)), queries(X, rng)[:4]
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        before = model.predict(Q)
        np.testing.assert_allclose(model.fit(X[order], y[order]).predict(Q), before, atol=1e-7)


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.booleans())
def test_what_is_no_number_is_refused(value, in_y):
    X, y = np.eye(3), np.arange(3.0)
    (y if in_y else X)[..., 0] = value
    for model in (SingularKernelRegressor(), SimplicialRegressor()):
        with watch(model):
            attempt(model.fit, X, y, about="Input [Xy] contains (NaN|infinity)")
            raise AssertionError("accepted what is no number")
