"""MaxMarginClassifier on anything: what it says of margins is true of its scores."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes
from robustness.watch import attempt, watch

from skoverparam import MaxMarginClassifier

_ABOUT = r"X|y |class|norm|solver|C=|multi_class"


@st.composite
def problems(draw):
    n, d = draw(shapes(max_samples=14, max_features=16, min_samples=2))
    norm = draw(st.sampled_from(["l2", "l2", "l2", "l1", "linf"]))
    parameters = {
        "norm": norm,
        "fit_intercept": draw(st.booleans()),
        "on_nonseparable": draw(st.sampled_from(["soft", "warn", "raise"])),
        "C": draw(st.sampled_from([1e-3, 1.0, 1e6])),
        "max_iter": draw(st.sampled_from([1, 50, 10_000])),
    }
    if norm == "l2":
        solvers = ["auto", "auto", "pivoting", "gradient", "gd"]
        parameters["solver"] = draw(st.sampled_from(solvers))
        parameters["multi_class"] = draw(st.sampled_from(["ovr", "simplex"]))
        if parameters["solver"] == "gd":
            parameters["max_iter"] = min(parameters["max_iter"], 50)
    X = draw(samples((n, d), extreme=draw(st.booleans())))
    return X, draw(labels(n)), parameters


@given(problems())
def test_margins_are_those_of_the_scores(problem):
    X, y, parameters = problem
    model = MaxMarginClassifier(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        scores = model.decision_function(X).astype(float)
        for values in (scores, model.coef_, model.intercept_, model.margin_, model.duality_gap_):
            assert np.isfinite(values).all()
        assert set(model.predict(X)) <= set(y)
        assert model.separable_ in (True, False, None)
        if model.separable_ is True and model.solver_ != "gd" and model.duality_gap_ < 1e-6:
            np.testing.assert_array_equal(model.predict(X), y)
        if model.separable_ and scores.ndim == 1 and model.duality_gap_ < 1e-6:
            signs = np.where(y == model.classes_[1], 1, -1)
            rounding = np.abs(X.astype(float)).max() * np.abs(model.coef_).sum()
            slack = 1e-6 + rounding * np.finfo(scores.dtype if X.dtype != "f" else "f").eps * 8
            assert (signs * scores).min() > 1 - slack
