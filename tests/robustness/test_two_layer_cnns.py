"""Two-layer networks on anything: trained as their attributes say, or refused with the cause."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import DTYPES, class_codes, renamed, samples
from robustness.watch import attempt, check_classifier, is_refused, watch
from sklearn.base import clone

from skoverparam import TwoLayerCNNClassifier

_WRONG = {
    "n_patches": [0, 1.5, "two"],
    "n_filters": [0, -1, True],
    "q": [0.5, np.nan, np.inf],
    "init_scale": [0.0, -1.0, "large"],
    "learning_rate": [0.0, np.inf, "small"],
    "solver": ["sparse", None],
    "tol": [-1.0, np.nan],
    "max_iter": [0, 2.5],
    "track": [0, "linear", 1.5],
    "warm_start": [1, "yes"],
    "dtype": ["float16", np.float64],
    "device": ["abacus"],
    "random_state": ["seed", -1],
}

# Samples, or filters to begin with, that are too large for a power of their products.
_TOO_LARGE = r"\b(X must have patches of moderate size|init_scale)\b"


@st.composite
def parameters(draw):
    return {
        "n_patches": draw(st.sampled_from([1, 2, 3, 20])),
        "n_filters": draw(st.sampled_from([1, 3, 10])),
        "q": draw(st.sampled_from([3.0, 2.0, 1.0, 4.0, 7.5])),
        "init_scale": draw(st.sampled_from(["auto", "auto", "auto", 0.1, 1e-20])),
        "learning_rate": draw(st.sampled_from(["auto", "auto", "auto", 0.1, 1e-20])),
        "solver": draw(st.sampled_from(["auto", "span", "dense"])),
        "tol": draw(st.sampled_from([1e-2, 0.0, 0.5])),
        "max_iter": draw(st.sampled_from([1, 4, 40])),
        "track": draw(st.sampled_from([None, 1, 3, "log"])),
        "dtype": draw(st.sampled_from(["float64", "float64", "float32"])),
        "random_state": draw(st.integers(0, 3)),
    }


@st.composite
def problems(draw, *, extreme=False, dtypes=DTYPES):
    """Samples and classes, at least one sample of each of at least two."""
    n = draw(st.integers(2, 10))
    X = draw(samples((n, draw(st.integers(1, 8))), dtypes=dtypes, extreme=extreme))
    y = draw(class_codes(n, max_classes=4))
    return X, renamed(y, draw(st.sampled_from("isfb" if y.max() == 1 else "isf")))


@given(parameters(), problems())
def test_attributes_are_those_of_the_training(options, problem):
    X, y = problem
    model = TwoLayerCNNClassifier(**options)
    with watch(model):
        attempt(model.fit, X, y, about=_TOO_LARGE)
        check_classifier(model, X, y)
        losses = np.array(model.loss_curve_)
        assert np.isfinite(losses).all()
        assert len(losses) == model.n_iter_ + 1 <= options["max_iter"] + 1
        assert model.converged_ == (losses[-1] <= options["tol"])
        # Attributes are kept in the precision of X; training may have been in the other one.
        single = X.dtype == np.float32 or options["dtype"] == "float32"
        assert single or model.train_accuracy_ == np.mean(model.predict(X) == y)
        moved = model.patch_coef_ @ model.patches_
        size = np.abs(model.patch_coef_) @ np.abs(model.patches_) + np.abs(model.coef_init_)
        error = np.abs(model.coef_init_ + moved - model.coef_)
        assert (error <= (1e-5 if single else 1e-12) * size).all()
        whole = np.zeros((len(X), options["n_patches"], model.coef_.shape[2]))
        whole.reshape(len(X), -1)[:, : X.shape[1]] = X
        padded = np.vstack([model.patches_, np.zeros_like(whole[0, :1])])
        single_X = whole.astype(np.float32 if single else np.float64)
        np.testing.assert_array_equal(padded[model.patch_index_], single_X)
        P = model.predict_proba(X)
        own = P[np.arange(len(y)), np.searchsorted(model.classes_, y)]
        if (own > 1e-30).all() and not single:
            np.testing.assert_allclose(-np.log(own).mean(), losses[-1], rtol=1e-8, atol=1e-12)
        if options["track"] is not None:
            steps = model.history_["step"]
            assert steps[-1] == model.n_iter_
            np.testing.assert_array_equal(model.history_["loss"], losses[steps])
            np.testing.assert_array_equal(model.patch_coef_path_[-1], model.patch_coef_)


@given(parameters(), problems())
def test_another_fit_is_the_same_fit(options, problem):
    X, y = problem
    model = TwoLayerCNNClassifier(**options)
    with watch(model):
        attempt(model.fit, X, y, about=_TOO_LARGE)
        again = clone(model).fit(X, y)
        assert again.loss_curve_ == model.loss_curve_
        np.testing.assert_array_equal(again.coef_, model.coef_)
        # Classes with other names, in the same order, are the same classes.
        codes = np.searchsorted(model.classes_, y)
        other = clone(model).fit(X, np.array(["a", "b", "c", "d"])[codes])
        np.testing.assert_array_equal(other.coef_, model.coef_)
        np.testing.assert_array_equal(
            np.searchsorted(other.classes_, other.predict(X)),
            np.searchsorted(model.classes_, model.predict(X)),
        )
        (many,) = clone(model).fit_many([(X, y)])
        # The first losses are the same up to rounding, which training may enlarge later.
        np.testing.assert_allclose(many.loss_curve_[:2], model.loss_curve_[:2], rtol=1e-4)


@given(parameters(), problems(dtypes=("float64",)), st.integers(-12, 12))
def test_units_of_samples_do_not_matter(options, problem, exponent):
    X, y = problem
    options |= {"init_scale": "auto", "learning_rate": "auto", "dtype": "float64"}
    model = TwoLayerCNNClassifier(**options)
    with watch(model):
        attempt(model.fit, X, y, about=_TOO_LARGE)
        unit = 2.0**exponent if X.any() else 1.0  # zeros have no unit
        other = clone(model).fit(unit * X, y)
        # Powers of two are exact: every product is the same number.
        assert other.loss_curve_ == model.loss_curve_
        np.testing.assert_array_equal(other.coef_, model.coef_ / unit)
        np.testing.assert_array_equal(
            other.decision_function(unit * X), model.decision_function(X)
        )


@given(parameters(), problems(extreme=True))
def test_extreme_samples(options, problem):
    X, y = problem
    model = TwoLayerCNNClassifier(**options)
    with watch(model):
        attempt(model.fit, X, y, about=_TOO_LARGE)
        assert np.isfinite(model.loss_curve_).all()
        assert np.isfinite(model.coef_).all()
        check_classifier(model, X, y)


@given(parameters(), problems(), st.data())
def test_what_is_wrong_is_named(options, problem, data):
    X, y = problem
    name = data.draw(st.sampled_from([*_WRONG, "X", "y", "coef_init"]))
    model = TwoLayerCNNClassifier(**options)
    with watch(model):
        attempt(model.fit, X, y, about=_TOO_LARGE)
        before = model.predict_proba(X)
        if name in _WRONG:
            value = data.draw(st.sampled_from(_WRONG[name]))
            is_refused(clone(model).set_params(**{name: value}).fit, X, y, naming=rf"\b{name}\b")
            is_refused(model.set_params(**{name: value}).fit, X, y, naming=rf"\b{name}\b")
            model.set_params(**{name: getattr(TwoLayerCNNClassifier(**options), name)})
        elif name == "X":
            bad = X.astype(float)
            bad[0, 0] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
            is_refused(model.fit, bad, y, naming=r"\bX\b")
            is_refused(model.predict, bad, naming=r"\bX\b")
            is_refused(model.predict, X[:, :0], naming=r"\bX\b|feature")
        elif name == "y":
            is_refused(model.fit, X, np.full(len(X), 3), naming=r"\bclass(es)?\b")
            is_refused(model.fit, X, y[:-1], naming=r"samples")
        else:
            is_refused(model.fit, X, y, np.ones((1, 2, 3)), naming=r"\bcoef_init\b")
            is_refused(model.fit, X, y, np.full_like(model.coef_, np.nan), naming=r"\bcoef_init\b")
        # Nothing that was fitted before is lost.
        np.testing.assert_array_equal(model.predict_proba(X), before)
