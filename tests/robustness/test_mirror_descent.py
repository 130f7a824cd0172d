"""Mirror descent on anything: what it reports is true of its predictions, or it refuses."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes, targets
from robustness.watch import attempt, watch

from skoverparam import MirrorDescentClassifier, MirrorDescentRegressor

_ABOUT = (
    r"\b(X|y|mirror|p|beta|scale|delta|ridge|learning_rate|batch_size|init|tol|max_iter"
    r"|mirror_params|of at least two classes)\b"
)
_MIRRORS = [
    ("euclidean", None),
    ("pnorm", None),
    ("pnorm", {"p": 1.1}),
    ("pnorm", {"p": 3.0}),
    ("pnorm", {"p": 3.0, "ridge": 1.0}),
    ("hypentropy", None),
    ("hypentropy", {"beta": 1e-300}),
    ("negentropy", None),
    ("simplex", None),
    ("diagonal", {"scale": 3.0}),
    ("adagrad", None),
    ("adagrad-norm", {"delta": 1.0}),
]
# One of these, or none, in each input: what is refused says little of the rest.
_WRONG = [
    {"mirror": "pnorm", "mirror_params": {"p": 1.0}},
    {"mirror": "pnorm", "mirror_params": {"q": 2.0}},
    {"mirror": "hypentropy", "mirror_params": {"beta": 0.0}},
    {"mirror": "diagonal", "mirror_params": {"scale": [1.0, 2.0]}},
    {"mirror": "diagonal", "mirror_params": {"scale": np.inf}},
    {"mirror": "adagrad", "mirror_params": {"delta": -1.0}},
    {"mirror": "none"},
    {"learning_rate": 1e300},
    {"learning_rate": 1e-300},
    {"learning_rate": 0.0},
    {"batch_size": 0},
    {"init": np.inf},
    {"init": 1e200},
    {"tol": -1.0},
]


@st.composite
def problems(draw, min_samples=1):
    shape = draw(shapes(min_samples=min_samples))
    mirror, mirror_params = draw(st.sampled_from(_MIRRORS))
    batch_size = draw(st.sampled_from([None, None, None, 1, 3, 1000]))
    rates = ["theory", "theory", 0.1] if batch_size else ["theory", "search", "search", 0.1]
    positive = mirror in {"negentropy", "simplex"}
    parameters = {
        "mirror": mirror,
        "mirror_params": mirror_params,
        "learning_rate": draw(st.sampled_from(rates)),
        "batch_size": batch_size,
        "fit_intercept": draw(st.booleans()),
        "init": draw(st.sampled_from([None, None, None, 0.5] + [0.0, -1.0] * (not positive))),
        "tol": draw(st.sampled_from([1e-8, 0.0, 1e-3])),
        "max_iter": draw(st.sampled_from([1, 20, 100])),
        "random_state": 0,
    }
    if draw(st.integers(0, 7)) == 7:
        parameters |= draw(st.sampled_from(_WRONG))
    # Larger or smaller ones are refused.
    kind = draw(st.sampled_from(["plain", "plain", "scaled", "extreme"]))
    X = draw(samples(shape, extreme=kind == "extreme"))
    if kind == "scaled" and X.dtype.kind == "f":
        top = 40 if X.dtype == np.float64 else 25
        X = X * X.dtype.type(10.0 ** draw(st.integers(-top, top)))
    return X, parameters


@given(problems(), st.data())
def test_reports_are_true_of_the_predictions(problem, data):
    X, parameters = problem
    y = data.draw(targets(len(X), extreme=data.draw(st.integers(0, 3)) == 3))
    model = MirrorDescentRegressor(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        F = model.predict(X)
        assert F.shape == y.shape
        assert np.isfinite(F).all()
        assert np.isfinite(model.loss_curve_).all()
        assert len(model.loss_curve_) == model.n_iter_ <= parameters["max_iter"]
        assert 0 <= model.residual_ < np.inf
        Y, F = (part.astype(float).reshape(len(X), -1) for part in (y, F))
        top = np.abs(Y).max(0)
        missed = np.abs(F - Y).max(0)
        # Predictions are rounded to the type of X, and are sums of terms of this size.
        terms = float(np.abs(X.astype(float)).max() * np.abs(model.coef_).sum())
        single = X.dtype == np.float32
        rounding = (1e-7 * top + 1e-44) if single else 1e-14 * terms
        if model.interpolates_:
            assert (missed <= 1.1e-6 * top + rounding).all()
        else:
            assert (missed >= 0.9e-6 * top - rounding).any()
        loss = np.square(F - Y).sum() / (2 * len(X))
        # Each term of the loss is wrong by what its residual is.
        slack = 2 * np.sqrt(loss) * (rounding.max() if single else rounding) * Y.shape[1]
        if not single and np.square(terms * 1e-14) < np.inf:
            slack = slack + 10 * Y.shape[1] * (terms * 1e-14) ** 2
            assert abs(loss - model.loss_curve_[-1]) <= 1e-6 * loss + slack
        if parameters["mirror"] in {"negentropy", "simplex"}:
            assert (model.coef_ >= 0).all()
        if parameters["mirror"] == "simplex" and parameters["init"] is None:
            np.testing.assert_allclose(np.sum(model.coef_, -1), 1, rtol=0, atol=1e-5)
        if parameters["learning_rate"] == "theory" and parameters["batch_size"] in {None, 1000}:
            losses = np.array(model.loss_curve_)
            slack = 1e-14 * losses[0] + 1e-28 * terms**2
            assert (np.diff(losses) <= 1e-9 * losses[:-1] + slack).all()


@given(problems(min_samples=3), st.data())
def test_classes_are_those_of_the_outputs(problem, data):
    X, parameters = problem
    y = data.draw(labels(len(X)))
    model = MirrorDescentClassifier(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        scores, P, chosen = model.decision_function(X), model.predict_proba(X), model.predict(X)
        assert np.isfinite(scores).all()
        assert ((P >= 0) & (P <= 1)).all()
        np.testing.assert_allclose(P.sum(1), 1, rtol=0, atol=1e-5)
        assert set(chosen.tolist()) <= set(y.tolist())
        best = np.searchsorted(model.classes_, chosen)
        decided = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(1)
        np.testing.assert_array_equal(best, decided)
        # Probabilities may be equal to rounding where scores are not.
        own = P[np.arange(len(X)), best]
        assert (own >= P.max(1) - 4 * np.finfo(P.dtype).eps).all()
        if model.interpolates_:
            np.testing.assert_array_equal(model.predict(X), y)
