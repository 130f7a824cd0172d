"""MinNormRegressor on anything: certified by its own predictions, or refused."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import samples, shapes, targets
from robustness.watch import attempt, watch

from skoverparam import MinNormRegressor

_ABOUT = r"X|y|n_features_used|spectrum|feature_weights|directions|sample_weight|rcond"


@st.composite
def problems(draw):
    shape = draw(shapes())
    X, y = draw(samples(shape)), draw(targets(shape[0]))
    parameters = {
        "fit_intercept": draw(st.booleans()),
        "solver": draw(st.sampled_from(["auto", "svd", "cod", "gram"])),
        "rcond": draw(st.sampled_from([None, 0.0, 1e-10, 0.1])),
        "n_features_used": draw(st.sampled_from([None, 1, shape[1], shape[1] + 1])),
        "spectrum": draw(st.sampled_from([None, "isotropic", "power"])),
        "directions": draw(st.sampled_from(["features", "principal"])),
    }
    return X, y, parameters


@given(problems())
def test_certificates_are_true_of_the_predictions(problem):
    X, y, parameters = problem
    model = MinNormRegressor(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        predicted = attempt(model.predict, X, about=_ABOUT)
        assert predicted.shape == y.shape
        assert predicted.dtype == (np.float32 if X.dtype == np.float32 else np.float64)
        assert np.isfinite(predicted).all()
        assert np.isfinite(model.coef_).all()
        assert np.isfinite(model.residual_).all()
        assert np.isfinite(model.coef_norm_).all()
