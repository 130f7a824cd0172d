"""MinNormRegressor on anything: certified by its own predictions, or refused."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import samples, shapes, targets
from robustness.watch import attempt, says_truly, watch

from skoverparam import MinNormRegressor

_ABOUT = r"^(X|y|n_features_used|The coefficients) "


@st.composite
def problems(draw):
    n, d = draw(shapes())
    X, y = draw(samples((n, d))), draw(targets(n))
    parameters = {
        "fit_intercept": draw(st.booleans()),
        "solver": draw(st.sampled_from(["auto", "svd", "cod", "gram"])),
        "rcond": draw(st.sampled_from([None, 0.0, 1e-10, 0.1])),
        "n_features_used": draw(st.sampled_from([None, None, 1, d, d + 1])),
        "spectrum": draw(st.sampled_from([None, None, "isotropic", "power"])),
        "directions": draw(st.sampled_from(["features", "features", "principal"])),
    }
    return X, y, parameters


@given(problems())
def test_certificates_are_true_of_the_predictions(problem):
    X, y, parameters = problem
    model = MinNormRegressor(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        predicted = model.predict(X)
        assert predicted.shape == y.shape
        assert predicted.dtype == (np.float32 if X.dtype == np.float32 else np.float64)
        for name in ("coef_", "intercept_", "residual_", "coef_norm_"):
            assert np.isfinite(getattr(model, name)).all(), name
        size = np.abs(X.astype(float)).max() * np.abs(np.asarray(model.coef_, float)).sum()
        says_truly(model.interpolates_, y, predicted, rounding=size)


@given(problems())
def test_targets_in_other_units(problem):
    X, y, parameters = problem
    model = MinNormRegressor(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        other = MinNormRegressor(**parameters)
        attempt(other.fit, X, y * 4.0, about=_ABOUT)
        tiny = 8 * np.finfo(model.coef_.dtype).tiny
        np.testing.assert_allclose(other.coef_, 4 * model.coef_, rtol=1e-6, atol=tiny)
