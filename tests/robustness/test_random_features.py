"""Random features of anything: certified by their own predictions, or refused."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes, targets
from robustness.watch import attempt, says_truly, watch

from skoverparam import RandomFeatureClassifier, RandomFeatureRegressor

_ABOUT = (
    r"needs samples of at least two classes|y has entries of size .* too large for float32|"
    r"Random features of X overflow: its values reach|"
    r"The (coefficients|predictions) overflow with ridge="
)


@st.composite
def parameters(draw):
    ridge = draw(st.sampled_from([0.0, 0.0, 1e-300, 1e-8, 1.0, 1e6]))
    return {
        "feature": draw(st.sampled_from(["fourier", "fourier_phase", "relu"])),
        "n_features": draw(st.sampled_from([1, 2, 7, 40])),
        "bandwidth": draw(st.sampled_from(["median", "median", 1e-3, 1.0, 1e3])),
        "ridge": ridge,
        "rcond": draw(st.sampled_from([None, None, 0.0, 1e-3])),
        "fit_intercept": draw(st.booleans()),
        "solver": draw(st.sampled_from(["auto", "svd", "cholesky"] if ridge else ["auto", "svd"])),
        "random_state": 0,
    }


@st.composite
def regressions(draw):
    n, d = draw(shapes(max_samples=16, max_features=5))
    return draw(samples((n, d))), draw(targets(n)), draw(parameters())


@given(regressions())
def test_certificates_are_true_of_the_predictions(problem):
    X, y, chosen = problem
    model = RandomFeatureRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        predicted = attempt(model.predict, X, about=_ABOUT)
        assert predicted.shape == y.shape
        for name in ("coef_", "intercept_", "residual_", "coef_norm_"):
            assert np.isfinite(getattr(model, name)).all(), name
        top = np.linalg.norm(X.astype(float) / 1e3, axis=1).max() * 1e3
        top = top if chosen["feature"] == "relu" else 1.0
        rounding = top * np.abs(np.asarray(model.coef_, float)).sum()
        says_truly(model.interpolates_, y, predicted, rounding=rounding)


@given(regressions())
def test_targets_in_other_units(problem):
    X, y, chosen = problem
    model = RandomFeatureRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        other = RandomFeatureRegressor(**chosen)
        attempt(other.fit, X, y * 4.0, about=_ABOUT)
        tiny = 8 * np.finfo(model.coef_.dtype).tiny
        np.testing.assert_allclose(other.coef_, 4 * model.coef_, rtol=1e-6, atol=tiny)


@st.composite
def classifications(draw):
    n, d = draw(shapes(max_samples=16, max_features=5, min_samples=2))
    chosen = draw(parameters())
    chosen["target_coding"] = draw(st.sampled_from(["onehot", "pm1", "rescaled", (5.0, 2.0)]))
    return draw(samples((n, d))), draw(labels(n)), chosen


@given(classifications())
def test_classes(problem):
    X, y, chosen = problem
    model = RandomFeatureClassifier(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        assert np.isfinite(attempt(model.decision_function, X, about=_ABOUT)).all()
        probabilities = model.predict_proba(X)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        assert set(model.predict(X)) <= set(y)
        if model.interpolates_:
            np.testing.assert_array_equal(model.predict(X), y)
