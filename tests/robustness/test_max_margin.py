"""MaxMarginClassifier on anything: what it says of margins is true of its scores."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes
from robustness.watch import attempt, watch

from skoverparam import MaxMarginClassifier

_ABOUT = (
    r"^(X|y|solver|norm|max_iter|C|The kernel)[ =]|of at least two classes|^The classes cannot"
)
_SOFT_WITHOUT_AN_INTERCEPT = {
    "norm": "l2",
    "on_nonseparable": "soft",
    "C": 1e-3,
    "fit_intercept": False,
}
_NORMS = {"l2": 2, "l1": 1, "linf": np.inf}


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
@example((np.float32([[1e-31], [-2e-31]]), np.array([-1, 0]), _SOFT_WITHOUT_AN_INTERCEPT))
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
        scale = np.abs(X.astype(float)).max().clip(1e-300)
        rounding = scale * np.abs(model.coef_.astype(float)).sum(1)
        digits = np.finfo(X.dtype if X.dtype == np.float32 else float)
        slack = 64 * digits.eps * (rounding + np.abs(model.intercept_.astype(float)))
        slack += digits.tiny  # what is closer to zero keeps its sign alone
        if parameters.get("solver") == "gd":
            return  # any multiple of its coefficients would do, and its margin has a constant
        if model.separable_ and scores.ndim == 1 and model.duality_gap_ < 1e-6:
            signs = np.where(y == model.classes_[1], 1, -1)
            assert (signs * scores).min() > 1 - 1e-6 - slack.max()
        if len(model.classes_) == 2 or parameters.get("multi_class", "ovr") == "ovr":
            check_margin(
                model, scores.reshape(len(X), -1), y, slack, _NORMS[parameters["norm"]], scale
            )


def check_margin(model, scores, y, slack, norm, scale):
    """Assert that the margin is the smallest distance that coefficients and scores tell."""
    coef = model.coef_.astype(float)
    lengths = np.linalg.norm(coef / np.abs(coef).max().clip(1e-300), norm, axis=1)
    lengths *= np.abs(coef).max().clip(1e-300)
    if model.solver_ == "soft" and norm != 2 or not (lengths > 1e-140 / scale).all():
        return
    positive = model.classes_[1:] if len(model.classes_) == 2 else model.classes_
    signs = np.where(y[:, None] == positive, 1, -1)
    worst = (signs * scores).min(0)
    distances, known = worst / lengths, slack / lengths
    tolerance = known.max() + 1e-6 * np.abs(distances).max()
    assert abs(model.margin_ - distances.min()) <= tolerance


@given(problems(), st.sampled_from([-20, 3]))
@example((np.array([[1e-160], [2e-160]]), np.array([-1, 0]), _SOFT_WITHOUT_AN_INTERCEPT), 600)
def test_points_in_other_units(problem, exponent):
    X, y, parameters = problem
    if X.dtype.kind != "f":
        X = X.astype(float)
    model = MaxMarginClassifier(**parameters | {"fit_intercept": False})
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        C = float(np.ldexp(parameters["C"], -2 * exponent))
        other = MaxMarginClassifier(**parameters | {"fit_intercept": False, "C": C})
        # Subnormal numbers lose digits.
        moved = np.ldexp(X, exponent)
        if not (np.ldexp(moved, -exponent) == X).all():
            return
        attempt(other.fit, moved, y, about=_ABOUT)
        tiny = 8 * np.finfo(model.coef_.dtype).tiny
        expected = np.ldexp(model.coef_, -exponent)
        np.testing.assert_allclose(other.coef_, expected, rtol=1e-6, atol=tiny)
        assert other.separable_ == model.separable_
        assert other.duality_gap_ == model.duality_gap_
