"""Kernel interpolators on anything, by every solver: certified, or refused."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes, targets
from robustness.watch import attempt, says_truly, watch

from skoverparam import KernelInterpolatorClassifier, KernelInterpolatorRegressor

_ABOUT = r"X|y |bandwidth|n_centers|ridge|class|kernel|Kernel"
_SOLVERS = ("auto", "cholesky", "eigh", "pcg", "eigenpro", "restricted")
_KERNELS = ("laplace", "gaussian", "matern", "exponential", "ntk", "nngp")


@st.composite
def parameters(draw):
    solver = draw(st.sampled_from(_SOLVERS))
    ridges = [0.0, 1e-300, 1e-8, 1.0, 1e6]
    chosen = {
        "kernel": draw(st.sampled_from(_KERNELS)),
        "bandwidth": draw(st.sampled_from(["median", "median", 1e-3, 1.0, 1e3])),
        "solver": solver,
        "ridge": draw(st.sampled_from([*ridges, "loo"] if solver in ("auto", "eigh") else ridges)),
        "tol": draw(st.sampled_from([None, None, 1e-2, 1e-10])),
        "max_iter": draw(st.sampled_from([1, 20, 200])),
        "random_state": 0,
    }
    if solver == "restricted":
        chosen["n_centers"] = draw(st.sampled_from([None, 1, 3, 100]))
    return chosen


@st.composite
def regressions(draw):
    n, d = draw(shapes(max_samples=16, max_features=5))
    return draw(samples((n, d))), draw(targets(n)), draw(parameters())


@given(regressions())
def test_certificates_are_true_of_the_predictions(problem):
    X, y, chosen = problem
    model = KernelInterpolatorRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        predicted = model.predict(X)
        assert predicted.shape == y.shape
        for name in ("dual_coef_", "residual_", "rkhs_norm_"):
            assert np.isfinite(getattr(model, name)).all(), name
        # No entry of a kernel is above 2.
        rounding = 2.0 * np.abs(model.dual_coef_).sum()
        says_truly(model.interpolates_, y, predicted, rounding=rounding)


@given(regressions())
def test_targets_in_other_units(problem):
    X, y, chosen = problem
    model = KernelInterpolatorRegressor(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        other = KernelInterpolatorRegressor(**chosen)
        attempt(other.fit, X, y * 4.0, about=_ABOUT)
        np.testing.assert_array_equal(other.dual_coef_, 4 * model.dual_coef_)


@st.composite
def classifications(draw):
    n, d = draw(shapes(max_samples=16, max_features=5, min_samples=2))
    chosen = draw(parameters())
    chosen["target_coding"] = draw(st.sampled_from(["onehot", "pm1", "rescaled", (5.0, 2.0)]))
    return draw(samples((n, d))), draw(labels(n)), chosen


@given(classifications())
def test_classes(problem):
    X, y, chosen = problem
    model = KernelInterpolatorClassifier(**chosen)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        assert np.isfinite(model.decision_function(X)).all()
        probabilities = model.predict_proba(X)
        assert (probabilities >= 0).all()
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        assert set(model.predict(X)) <= set(y)
        if model.interpolates_:
            np.testing.assert_array_equal(model.predict(X), y)
