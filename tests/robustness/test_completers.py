"""The completers on matrices and images with any holes: filled, or refused."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import holes, samples, shapes, targets
from robustness.watch import attempt, watch

from skoverparam import NTKImageCompleter, NTKInteractionRegressor, NTKMatrixCompleter

_ABOUT = r"X|y |prior|landmarks|image|alpha|clip|levels|shape|entr|rank"
_FLOATS = ("float64", "float64", "float32")


@st.composite
def matrices(draw):
    shape = draw(shapes(max_samples=14, max_features=9))
    X = draw(samples(shape, dtypes=_FLOATS))
    X = np.where(draw(holes(shape)), np.array(np.nan, X.dtype), X)
    rows = st.sampled_from([None, None, "identity"])
    parameters = {
        "row_prior": draw(rows),
        "column_prior": draw(rows),
        "depth": draw(st.sampled_from([1, 2, 5])),
        "activation": draw(st.sampled_from(["relu", "leaky_relu", "erf"])),
        "alpha": draw(st.sampled_from(["auto", 0.0, 1e-3, 10.0])),
        "rank": draw(st.sampled_from([None, 1, 4])),
        "n_passes": draw(st.sampled_from(["auto", 1, 3])),
        "standardize": draw(st.booleans()),
        "n_landmarks": draw(st.sampled_from(["auto", None, 2])),
        "keep_empty_features": draw(st.booleans()),
        "max_iter": draw(st.sampled_from([1, 500])),
        "random_state": 0,
    }
    return X, parameters


@given(matrices())
def test_matrices_are_filled(problem):
    X, parameters = problem
    model = NTKMatrixCompleter(**parameters)
    with watch(model):
        attempt(model.fit, X, about=_ABOUT)
        filled = attempt(model.transform, X, about=_ABOUT)
        assert filled.dtype == X.dtype
        assert len(filled) == len(X)
        assert np.isfinite(filled).all()
        kept = np.arange(X.shape[1]) if filled.shape == X.shape else model.kept_features_
        observed = ~np.isnan(X[:, kept])
        np.testing.assert_array_equal(filled[observed], X[:, kept][observed])
        if X.size and observed.any():
            reach = np.abs(X[:, kept][observed].astype(float)).max()
            assert np.abs(filled.astype(float)).max() <= 1e3 * reach
        # Each row is completed from its own entries, whatever else is in the call.
        alone = model.transform(X[:1])
        np.testing.assert_allclose(alone, filled[:1], rtol=1e-4, atol=1e-5 * np.abs(filled).max())


@st.composite
def images(draw):
    n = draw(st.integers(1, 2))
    height, width = draw(shapes(max_samples=9, max_features=9))
    channels = draw(st.sampled_from([None, 1, 3]))
    size = height * width * (channels or 1)
    X = draw(samples((n, size), dtypes=_FLOATS))
    missing = draw(holes((height, width)))
    parameters = {
        "prior": draw(st.sampled_from(["adaptive", "adaptive", "stationary"])),
        "n_passes": draw(st.sampled_from(["auto", 1, 2])),
        "alpha": draw(st.sampled_from(["auto", 0.0, 1e-3])),
        "levels": draw(st.sampled_from([0, 1, 4])),
        "patch_size": draw(st.sampled_from([1, 7])),
    }
    shape = (n, height, width) if channels is None else (n, height, width, channels)
    X = X.reshape(shape)
    missing = missing if channels is None else missing[..., None]
    return np.where(missing, np.array(np.nan, X.dtype), X), parameters


@given(images())
def test_images_are_filled(problem):
    X, parameters = problem
    model = NTKImageCompleter(**parameters)
    with watch(model):
        attempt(model.fit, X, about=_ABOUT)
        filled = attempt(model.transform, X, about=_ABOUT)
        assert filled.shape == X.shape
        assert filled.dtype == X.dtype
        assert np.isfinite(filled).all()
        observed = ~np.isnan(X)
        np.testing.assert_array_equal(filled[observed], X[observed])
        reach = np.abs(X[observed].astype(float)).max()
        assert np.abs(filled.astype(float)).max() <= 1e3 * reach


@st.composite
def interactions(draw):
    n = draw(st.integers(1, 30))
    n_fields = draw(st.integers(1, 3))
    many = draw(st.integers(1, 8))
    ids = st.lists(
        st.lists(st.integers(0, many), min_size=n_fields, max_size=n_fields),
        min_size=n,
        max_size=n,
    )
    parameters = {
        "depth": draw(st.sampled_from([1, 3])),
        "activation": draw(st.sampled_from(["relu", "erf"])),
        "alpha": draw(st.sampled_from(["auto", 1e-6, 1.0, 1e4])),
        "mask_weight": draw(st.sampled_from(["auto", 0.0, 1.0])),
        "shrinkage": draw(st.sampled_from([1e-3, 20.0])),
        "rank": draw(st.sampled_from(["auto", None, 1, 4])),
        "max_iter": draw(st.sampled_from([1, 200])),
    }
    return np.array(draw(ids)), draw(targets(n, multi=False)), parameters


@given(interactions())
def test_interactions_are_predicted(problem):
    X, y, parameters = problem
    model = NTKInteractionRegressor(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        predicted = attempt(model.predict, X, about=_ABOUT)
        unseen = attempt(model.predict, X + 100, about=_ABOUT)
        for values in (predicted, unseen):
            assert values.shape == y.shape
            assert np.isfinite(values).all()
            reach = np.abs(y.astype(float)).max()
            assert np.abs(values.astype(float)).max() <= 100 * reach
