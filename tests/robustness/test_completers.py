"""The completers on matrices and images with any holes: filled, or refused."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import holes, samples, scales, shapes, targets
from robustness.watch import attempt, watch

from skoverparam import NTKImageCompleter, NTKInteractionRegressor, NTKMatrixCompleter

_FLOATS = ("float64", "float64", "float32")
_ABOUT_MATRICES = r"^X has no observed entry: all \d+ x \d+ are |^rank must be at most the smaller"
_ABOUT_IMAGES = (
    r"^Image \d+ of X has no observed pixel( in channel \d+)?: |^prior must have entries"
)
_ABOUT_INTERACTIONS = r"^rank must be at most \d+, the size of the largest kernel|^X has only"
# A factor that changes no digit, and leaves room for the extreme scales.
_TWO = 2.0**10


@st.composite
def priors(draw, count, dtype="float64"):
    """What is known of so many rows: nothing, a vector each at any scale, or a function."""
    kind = draw(st.sampled_from([None, None, "identity", "identity", "array", "callable"]))
    if kind in (None, "identity"):
        return kind
    features = draw(samples((count, draw(st.integers(1, 4)))))
    return features if kind == "array" else _Lookup(features)


class _Lookup:
    """A prior that is a function: of the matrix that it was made for, as of any other."""

    def __init__(self, features):
        self.features = features

    def __call__(self, X):
        return np.resize(self.features, (len(X) or 1, self.features.shape[1]))


@st.composite
def matrices(draw):
    shape = draw(shapes(max_samples=14, max_features=9))
    X = draw(samples(shape, dtypes=_FLOATS))
    marker = draw(st.sampled_from([np.nan, np.nan, np.nan, 0.0, -1.0]))
    X = np.where(draw(holes(shape)), np.array(marker, X.dtype), X)
    columns = draw(priors(shape[1]))
    parameters = {
        "row_prior": draw(priors(shape[0])),
        "column_prior": columns.features if isinstance(columns, _Lookup) else columns,
        "depth": draw(st.sampled_from([1, 2, 5])),
        "activation": draw(st.sampled_from(["relu", "leaky_relu", "erf"])),
        "alpha": draw(st.sampled_from(["auto", 0.0, 1e-3, 10.0])),
        "rank": draw(st.sampled_from([None, None, None, 1, 4])),
        "n_passes": draw(st.sampled_from(["auto", 1, 3])),
        "standardize": draw(st.booleans()),
        "n_landmarks": draw(st.sampled_from(["auto", None, 2])),
        "clip": draw(st.sampled_from([None, None, (-1.0, 2.0)])),
        "tol": draw(st.sampled_from([1e-2, 1e-8])),
        "keep_empty_features": draw(st.booleans()),
        "add_indicator": draw(st.booleans()),
        "max_iter": draw(st.sampled_from([1, 500])),
        "missing_values": marker,
        "random_state": 0,
    }
    return X, parameters


def _is_hole(X, parameters):
    marker = parameters["missing_values"]
    return np.isnan(X) if np.isnan(marker) else marker == X


@given(matrices(), st.sampled_from(["units", "sign", "rows", "columns", "frame", "dense"]))
def test_matrices_are_filled(problem, law):
    X, parameters = problem
    model = NTKMatrixCompleter(**parameters)
    hole = _is_hole(X, parameters)
    with watch(model):
        attempt(model.fit, X, about=_ABOUT_MATRICES)
        filled = model.transform(X)
        n_out = X.shape[1] if model.keep_empty_features else len(model.kept_features_)
        kept = np.arange(X.shape[1]) if model.keep_empty_features else model.kept_features_
        assert filled.dtype == X.dtype
        assert len(filled) == len(X)
        assert filled.shape[1] == len(model.get_feature_names_out())
        filled, flags = filled[:, :n_out], filled[:, n_out:]
        assert np.isfinite(filled).all()
        assert set(np.unique(flags)) <= {0, 1}
        observed = ~hole[:, kept]
        np.testing.assert_array_equal(filled[observed], X[:, kept][observed])
        reach = np.abs(X[:, kept][observed].astype(float)).max()
        if model.clip is None:
            assert np.abs(filled.astype(float)).max() <= 1e3 * reach
        else:
            predicted = filled[:, np.isin(kept, model.kept_features_)]
            predicted = predicted[hole[:, model.kept_features_]]
            assert ((predicted >= -1) & (predicted <= 2)).all()
        std = model.posterior_std(X)
        assert np.isfinite(std).all()
        assert (std >= 0).all()
        assert (std[~hole[:, model.kept_features_]] == 0).all()
        # Columns that are one to the kernel, and differ, have no scale but that of rounding.
        assert std.max(initial=0) <= (1e3 if parameters["alpha"] else 1e8) * reach
        # Each row is completed from its own entries, whatever else is in the call.
        if not callable(model.row_prior):
            alone = model.transform(X[:1])[:, :n_out]
            slack = {"rtol": 1e-4, "atol": 1e-5 * np.abs(filled).max()}
            np.testing.assert_allclose(alone, filled[:1], **slack)
        _check_law_of_matrices(law, X, parameters, model, filled)


def _check_law_of_matrices(law, X, parameters, model, filled):
    """What must hold between the completions of two matrices that are nearly the same."""
    n_out, top = filled.shape[1], np.abs(filled).max()
    other = dict(parameters)
    if law in ("units", "sign") and model.clip is None:
        factor = (_TWO if top < 1 else 1 / _TWO) if law == "units" else -1.0
        factor = X.dtype.type(factor)
        if np.isnan(model.missing_values):
            changed = X * factor
        else:
            changed = np.where(_is_hole(X, parameters), X, X * factor)
            if ((changed == model.missing_values) != _is_hole(X, parameters)).any():
                return
        again = NTKMatrixCompleter(**other).fit_transform(changed)[:, :n_out]
        # Powers of two change no digit, but of numbers without all of their digits.
        tiny = np.finfo(X.dtype).tiny / np.finfo(X.dtype).eps
        np.testing.assert_allclose(again, filled * factor, rtol=1e-9, atol=tiny)
    elif law == "frame":
        frame = pd.DataFrame(X, columns=[f"c{j}" for j in range(X.shape[1])])
        if not callable(model.row_prior):
            again = NTKMatrixCompleter(**other).fit(frame).transform(frame)[:, :n_out]
            np.testing.assert_array_equal(again, filled)
    elif law in ("rows", "columns") and not callable(model.row_prior):
        _check_order_does_not_matter(law, X, other)
    elif law == "dense" and isinstance(model.row_prior, str):
        _check_rows_are_regressed(X, model, filled)


def _check_order_does_not_matter(law, X, parameters):
    # What is drawn is drawn by position, and what is solved for loosely is rounded by it.
    parameters |= {"n_passes": 1, "n_landmarks": None, "tol": 1e-10, "max_iter": 500}
    if parameters["alpha"] in ("auto", 0.0):
        parameters["alpha"] = 1e-2
    parameters |= {"keep_empty_features": True, "add_indicator": False}
    X = X.astype(np.float64)
    filled = NTKMatrixCompleter(**parameters).fit_transform(X)
    axis, name = (0, "row_prior") if law == "rows" else (1, "column_prior")
    order = np.random.default_rng(0).permutation(X.shape[axis])
    if isinstance(parameters[name], np.ndarray):
        parameters[name] = parameters[name][order]
    again = NTKMatrixCompleter(**parameters).fit_transform(X.take(order, axis))
    slack = 1e-6 * np.abs(filled).max()
    np.testing.assert_allclose(again, filled.take(order, axis), rtol=0, atol=slack)


def _check_rows_are_regressed(X, model, filled):
    """Rows that are unlike all others: regression of each on its own entries, written out."""
    if model.n_passes_ != 1 and model.column_prior is None:
        return  # noise is then estimated, too
    C = model.column_kernel_.astype(float)
    holes_kept = _is_hole(X, model.get_params())[:, model.kept_features_]
    base = model.row_offsets_[:, None] + model.column_offsets_
    Z = (X[:, model.kept_features_] - base) / model.column_scales_
    kept = np.arange(X.shape[1]) if model.keep_empty_features else model.kept_features_
    ours = filled[:, np.isin(kept, model.kept_features_)]
    ridge = model.alpha_ + model.jitter_
    for z, hole, b, mine in zip(Z.astype(float), holes_kept, base, ours, strict=True):
        seen = ~hole
        K = C[np.ix_(seen, seen)] + ridge * np.eye(seen.sum())
        if not seen.any() or np.linalg.cond(K) > 1e8:
            continue
        f = b + model.column_scales_ * (C[:, seen] @ np.linalg.solve(K, z[seen]))
        if model.clip is not None:
            f = f.clip(*model.clip)
        slack = 1e-6 if X.dtype == np.float64 else 1e-2
        scale = np.abs(X[:, model.kept_features_][~holes_kept]).max()
        np.testing.assert_allclose(mine[hole], f[hole], rtol=0, atol=slack * scale)


@st.composite
def images(draw):
    n = draw(st.integers(1, 2))
    height, width = draw(shapes(max_samples=9, max_features=9))
    channels = draw(st.sampled_from([None, 1, 3]))
    shape = (n, height, width) if channels is None else (n, height, width, channels)
    X = draw(samples((n, int(np.prod(shape[1:]))), dtypes=_FLOATS)).reshape(shape)
    marker = draw(st.sampled_from([np.nan, np.nan, np.nan, 0.0, -1.0]))
    # One mask for all, one for each image, or one for each channel of each.
    apart = draw(st.sampled_from([0, 0, 1, len(shape)]))
    masks = [draw(holes((height, width))) for _ in range(n if apart else 1)]
    missing = np.resize(np.stack(masks), (n, height, width))
    if channels is not None:
        missing = np.repeat(missing[..., None], channels, axis=-1)
        if apart == 4:
            missing[..., 0] |= draw(holes((height, width)))
    X = np.where(missing, np.array(marker, X.dtype), X)
    prior = draw(st.sampled_from(["adaptive", "adaptive", "stationary", "array"]))
    upsampling = draw(st.sampled_from(["nearest", "nearest", "bilinear", "periodic_bilinear"]))
    guide = None
    if prior == "adaptive":
        upsampling = "nearest"
        if draw(st.booleans()):
            guide = draw(samples((height, width)))
    elif prior == "array":
        prior = draw(samples((2, height * width), extreme=False)).reshape(2, height, width)
    parameters = {
        "prior": prior,
        "guide": guide,
        "n_passes": draw(st.sampled_from(["auto", 1, 2])),
        "n_neighbors": draw(st.sampled_from([1, 12])),
        "n_similar": draw(st.sampled_from([0, 1, 20])),
        "patch_size": draw(st.sampled_from([1, 7])),
        "bandwidth": draw(st.sampled_from([1e-3, 0.17, 1e3])),
        "kernel": draw(st.sampled_from(["auto", "gaussian", "ntk"])),
        "levels": draw(st.sampled_from([0, 1, 4])),
        "convs_per_level": draw(st.sampled_from([1, 2])),
        "kernel_size": draw(st.sampled_from([1, 3])),
        "activation": draw(st.sampled_from(["relu", "leaky_relu"])),
        "upsampling": upsampling,
        "shift_average": draw(st.booleans()),
        "alpha": draw(st.sampled_from(["auto", 0.0, 1e-3])),
        "tol": draw(st.sampled_from(["auto", 1e-3])),
        "max_iter": draw(st.sampled_from([1, 500])),
        "missing_values": marker,
    }
    return X, parameters


@given(images(), st.sampled_from(["units", "flat", "alone", "channels"]))
def test_images_are_filled(problem, law):
    X, parameters = problem
    model = NTKImageCompleter(**parameters)
    hole = _is_hole(X, parameters)
    with watch(model):
        attempt(model.fit, X, about=_ABOUT_IMAGES)
        filled = model.transform(X)
        assert filled.shape == X.shape
        assert filled.dtype == X.dtype
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[~hole], X[~hole])
        reach = np.abs(X[~hole].astype(float)).max()
        # A user's prior may be hard to interpolate with: pixels nearly alike, without any noise.
        if isinstance(model.prior, str) or model.alpha == 1e-3:
            assert np.abs(filled.astype(float)).max() <= 1e3 * reach
        elif law in ("alone", "channels"):
            return  # where digits of the solution are lost
        _check_law_of_images(law, X, parameters, filled, hole)


def _check_law_of_images(law, X, parameters, filled, hole):
    top = np.abs(filled).max()
    if law == "units":
        factor = X.dtype.type(_TWO if top < 1 else 1 / _TWO)
        changed = np.where(hole, X, X * factor)
        if (_is_hole(changed, parameters) != hole).any():
            return
        again = NTKImageCompleter(**parameters).fit_transform(changed)
        tiny = np.finfo(X.dtype).tiny / np.finfo(X.dtype).eps
        np.testing.assert_allclose(again, filled * factor, rtol=1e-9, atol=tiny)
    elif law == "flat":
        model = NTKImageCompleter(X.shape[1:], **parameters)
        again = model.fit_transform(X.reshape(len(X), -1))
        np.testing.assert_array_equal(again.reshape(X.shape), filled)
    elif law == "alone":
        again = NTKImageCompleter(**parameters).fit_transform(X[:1])
        np.testing.assert_allclose(again, filled[:1], rtol=1e-3, atol=1e-3 * top)
    elif law == "channels" and X.ndim == 4 and X.shape[3] > 1:
        again = NTKImageCompleter(**parameters).fit_transform(X[..., ::-1])
        np.testing.assert_allclose(again[..., ::-1], filled, rtol=1e-3, atol=1e-3 * top)


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
        "row_prior": draw(sides(many)),
        "column_prior": draw(sides(many)) if n_fields > 1 else None,
        "depth": draw(st.sampled_from([1, 3])),
        "activation": draw(st.sampled_from(["relu", "erf"])),
        "alpha": draw(st.sampled_from(["auto", 1e-6, 1.0, 1e4])),
        "mask_weight": draw(st.sampled_from(["auto", 0.0, 1.0])),
        "side_weight": draw(st.sampled_from(["auto", 0.0, (1.0, 3.0)])),
        "shrinkage": draw(st.sampled_from([1e-3, 20.0])),
        "rank": draw(st.sampled_from(["auto", None, None, 1, 4])),
        "clip": draw(st.sampled_from([None, None, (-1.0, 2.0)])),
        "tol": draw(st.sampled_from([1e-2, 1e-8])),
        "max_iter": draw(st.sampled_from([1, 200])),
    }
    weight = None
    if draw(st.booleans()):
        weight = np.random.default_rng(0).integers(0, 3, size=n) * draw(scales())
        weight[0] = weight[0] or 1.0
    return np.array(draw(ids)), draw(targets(n, multi=False)), weight, parameters


@st.composite
def sides(draw, many):
    """Side information of ids, at any scale: as an array, a mapping or a function of ids."""
    kind = draw(st.sampled_from([None, None, "array", "mapping", "callable"]))
    if kind is None:
        return None
    table = draw(samples((many + 1, draw(st.integers(1, 3))), dtypes=_FLOATS))
    if kind == "mapping":
        return {k: row for k, row in enumerate(table) if k != 1}
    return table if kind == "array" else lambda ids: table[ids.astype(int) % len(table)]


@given(interactions(), st.sampled_from(["units", "sign", "order", "names"]))
def test_interactions_are_predicted(problem, law):
    X, y, weight, parameters = problem
    model = NTKInteractionRegressor(**parameters)
    with watch(model):
        attempt(model.fit, X, y, weight, about=_ABOUT_INTERACTIONS)
        predicted, unseen = model.predict(X), model.predict(X + 100)
        reach = np.abs(y.astype(float)).max()
        for values in (predicted, unseen):
            assert values.shape == y.shape
            assert np.isfinite(values).all()
            if model.clip is None:
                assert np.abs(values.astype(float)).max() <= 100 * reach
            else:
                assert ((values >= -1) & (values <= 2)).all()
        again, std = model.predict(X, return_std=True)
        np.testing.assert_array_equal(again, predicted)
        assert np.isfinite(std).all()
        assert (std >= 0).all()
        _check_law_of_interactions(law, problem, model, predicted)


def _check_law_of_interactions(law, problem, model, predicted):
    X, y, weight, parameters = problem
    if law in ("units", "sign") and model.clip is None:
        factor = -1.0 if law == "sign" else _TWO if np.abs(y).max() < 1 else 1 / _TWO
        changed = np.asarray(y * factor, y.dtype if y.dtype.kind == "f" else float)
        other = NTKInteractionRegressor(**parameters).fit(X, changed, weight)
        tiny = np.finfo(changed.dtype).tiny / np.finfo(changed.dtype).eps
        np.testing.assert_allclose(other.predict(X), predicted * factor, rtol=1e-6, atol=tiny)
        return
    # What is left is solved to the end, and nothing is drawn.
    tight = parameters | {"rank": None, "tol": 1e-10, "max_iter": 2000}
    if tight["alpha"] == 1e-6:
        tight["alpha"] = 1.0
    reference = NTKInteractionRegressor(**tight).fit(X, y, weight).predict(X)
    slack = {"rtol": 0, "atol": 1e-5 * np.abs(y.astype(float)).max()}
    if law == "order":
        order = np.random.default_rng(0).permutation(len(X))
        part = None if weight is None else weight[order]
        other = NTKInteractionRegressor(**tight).fit(X[order], y[order], part)
        np.testing.assert_allclose(other.predict(X), reference, **slack)
    elif law == "names" and model.row_prior is None and model.column_prior is None:
        names = np.array([f"id {k}" for k in np.random.default_rng(0).permutation(200)])
        other = NTKInteractionRegressor(**tight).fit(names[X], y, weight)
        np.testing.assert_allclose(other.predict(names[X]), reference, **slack)
