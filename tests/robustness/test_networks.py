"""Networks on anything: trained as they say, the same each time, or refused with the cause."""

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import class_codes, renamed, samples
from robustness.watch import attempt, check_classifier, few, is_refused, watch
from sklearn.base import clone
from torch import nn

from skoverparam import SquareLossNetClassifier, TokenIdVectorizer

# Steps may be too long for the data; nothing else may keep a network from training.
_DIVERGES = r"lower learning_rate="


class Normalized(nn.Module):
    """A network of a user's: statistics of batches, a weight used twice, and dropout."""

    def __init__(self, input_shape, n_outputs):
        super().__init__()
        width = int(np.prod(input_shape))
        self.first = nn.Linear(width, 3)
        self.norm = nn.BatchNorm1d(3)
        self.again = nn.Linear(3, 3)
        self.drop = nn.Dropout(0.2)
        self.last = nn.Linear(3, n_outputs)

    def forward(self, X):
        H = self.norm(self.first(X.flatten(1))).tanh()
        return self.last(self.drop(self.again(self.again(H))))


_FLAT = [
    ("mlp", None),
    ("mlp", {"dropout": 0.3}),
    (Normalized, None),
]
_IMAGES = [
    ("resnet", {"widths": (2,)}),
    ("resnet", {"widths": (2, 3), "dropout": 0.2}),
]
_SEQUENCES = [
    ("tcnn", {"width": 4, "n_blocks": 1, "kernel_size": 2}),
    ("tcnn", {"width": 3, "causal": True, "pooling": "mean"}),
    ("lstm", {"width": 3}),
    ("lstm", {"width": 2, "n_layers": 2, "pooling": "attention", "dropout": 0.2}),
    ("transformer", {"width": 4, "n_heads": 2, "n_blocks": 1}),
    ("transformer", {"width": 4, "n_heads": 1, "n_blocks": 1, "causal": True, "pooling": "max"}),
]
_OPTIMIZERS = [
    ("adam", None),
    ("adam", None),
    ("adamw", None),
    ("sgd", None),
    ("mirror-descent", None),
    ("mirror-descent", {"mirror": "pnorm", "mirror_params": {"p": 3.0}}),
    ("polyak", None),
    ("polyak", {"lr_max": 0.1}),
    ("gauss-newton", None),
    ("gauss-newton", {"damping": 0.1}),
]


@st.composite
def options(draw):
    """Parameters that go together, of a network that is trained in a moment."""
    optimizer, optimizer_params = draw(st.sampled_from(_OPTIMIZERS))
    losses = ["square", "square", "cross-entropy", "squentropy"]
    return {
        "hidden_layer_sizes": draw(st.sampled_from([(4,), (3, 2), (), 5])),
        "activation": draw(st.sampled_from(["relu", "tanh", "logistic", "gelu", "identity"])),
        "loss": "square" if optimizer == "gauss-newton" else draw(st.sampled_from(losses)),
        "k": draw(st.sampled_from(["auto", "auto", 5.0])),
        "M": draw(st.sampled_from(["auto", "auto", 3.0])),
        "class_reduction": draw(st.sampled_from(["mean", "sum"])),
        "optimizer": optimizer,
        "optimizer_params": optimizer_params,
        "learning_rate": draw(st.sampled_from([1e-3, 1e-3, 1e-2, 1e-30])),
        "schedule": draw(st.sampled_from(["constant", "linear", "cosine"])),
        "batch_size": draw(st.sampled_from([64, 3, 2])),
        "max_iter": draw(st.sampled_from([1, 2, 3])),
        "class_weight": draw(st.sampled_from([None, None, "balanced"])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "random_state": draw(st.integers(0, 3)),
    }


@st.composite
def problems(draw, *, kinds=("flat", "flat", "image", "vectors", "tokens"), extreme=False):
    """A network, samples that it takes, and at least two classes of them."""
    parameters = draw(options())
    n = draw(st.integers(2, 8))
    kind = draw(st.sampled_from(kinds))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    pool = {"flat": _FLAT, "image": _IMAGES}.get(kind, _SEQUENCES)
    architecture, architecture_options = draw(st.sampled_from(pool))
    if kind == "flat":
        X = draw(samples((n, draw(st.integers(1, 6))), extreme=extreme))
    elif kind == "image":
        parameters["input_shape"] = draw(st.sampled_from([(3, 4), (2, 2, 3), (12, 1)]))
        X = draw(samples((n, 12), extreme=extreme))
    elif kind == "vectors":
        parameters["input_shape"] = draw(st.sampled_from([None, (6, 1), (3, 2)]))
        X = draw(samples((n, 6), dtypes=("float64", "float32"), extreme=extreme))
        steps = X.reshape(n, *(parameters["input_shape"] or (6, 1)))
        steps[rng.random(steps.shape[:2]) < draw(st.sampled_from([0.0, 0.4]))] = np.nan
    else:
        parameters["input_shape"] = "tokens"
        X = rng.integers(-1, 5, size=(n, draw(st.integers(1, 6))))
    parameters |= {"architecture": architecture, "architecture_options": architecture_options}
    y = draw(class_codes(n, max_classes=3))
    names = draw(st.sampled_from("isfb" if y.max() == 1 else "isf"))
    return SquareLossNetClassifier(**parameters), X, renamed(y, names)


def is_random(model):
    """Whether training draws noise, or keeps statistics of batches."""
    given = model.architecture_options or {}
    return model.architecture is Normalized or "dropout" in given


def losses_of(model, scores, y):
    """Compute the mean loss of outputs from its formula."""
    f = scores * (model.M_ if model.loss == "square" else 1)
    own, (n, C) = np.searchsorted(model.classes_, y), f.shape
    true = f[np.arange(n), own]
    others = np.square(f).sum(1) - np.square(true)
    share = {"mean": C, "sum": 1}[model.class_reduction]
    if model.loss == "square":
        losses = (model.k_ * np.square(true - model.M_) + others) / share
    else:
        losses = np.logaddexp.reduce(f, axis=1) - true
        if model.loss == "squentropy":
            losses += others / max(share - 1, 1)
    weights = np.ones(n) if model.class_weight is None else 1 / np.bincount(own)[own]
    return np.average(losses, weights=weights)


@few
@given(problems())
def test_what_is_reported_is_what_is_computed(problem):
    model, X, y = problem
    with watch(model):
        attempt(model.fit, X, y, about=_DIVERGES)
        check_classifier(model, X, y)
        assert np.isfinite(model.loss_curve_).all()
        assert len(model.loss_curve_) == model.n_iter_ == model.max_iter
        assert model.loss_ == model.loss_curve_[-1]
        assert model.t_ == model.n_iter_ * len(X)
        assert all(np.isfinite(value).all() for value in model.weights_.values())
        assert model.score(X, y) == np.mean(model.predict(X) == y)
        log_P, P = model.predict_log_proba(X), model.predict_proba(X)
        assert (log_P <= 0).all()
        np.testing.assert_allclose(np.exp(log_P), P, rtol=1e-5, atol=1e-7)
        features = model.transform(X)
        assert features.shape == (len(X), len(model.get_feature_names_out()))
        assert np.isfinite(features).all()
        scores = model.decision_function(X)
        # Each sample by itself: outputs depend on no other, and on no padding of others.
        alone = np.concatenate([model.decision_function(X[i : i + 1]) for i in range(len(X))])
        size = 1 + np.abs(features).max() + np.abs(scores).max()
        single = scores.dtype == np.float32
        np.testing.assert_allclose(alone, scores, rtol=0, atol=size * (2e-4 if single else 1e-10))
        whole = model.batch_size >= len(X) and not is_random(model)
        if whole and X.dtype == np.float64 and len(model.classes_) > 2:
            # One batch an epoch: the first loss is that of the weights drawn at first.
            start = model._at_start().decision_function(X)
            expected = losses_of(model, start, y)
            tolerance = 1e-4 if model.dtype == "float32" else 1e-9
            np.testing.assert_allclose(model.loss_curve_[0], expected, rtol=tolerance)


@few
@given(problems())
def test_another_fit_is_the_same_fit(problem):
    model, X, y = problem
    with watch(model):
        attempt(model.fit, X, y, about=_DIVERGES)
        scores = model.decision_function(X)
        again = clone(model).fit(X, y)
        assert again.loss_curve_ == model.loss_curve_
        np.testing.assert_array_equal(again.decision_function(X), scores)
        loaded = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(loaded.decision_function(X), scores)
        # Classes with other names, in the same order, are the same classes.
        codes = np.searchsorted(model.classes_, y)
        other = clone(model).fit(X, np.array(["a", "b", "c"])[codes])
        np.testing.assert_array_equal(other.decision_function(X), scores)


@few
@given(problems(), st.integers(1, 2))
def test_training_in_parts_is_the_whole(problem, n_more):
    model, X, y = problem
    model.set_params(schedule="constant")
    with watch(model):
        attempt(model.fit, X, y, about=_DIVERGES)
        n_epochs = model.max_iter
        model.set_params(warm_start=True, max_iter=n_more)
        attempt(model.fit, X, y, about=_DIVERGES)
        whole = clone(model).set_params(warm_start=False, max_iter=n_epochs + n_more).fit(X, y)
        assert model.loss_curve_ == whole.loss_curve_
        for name, value in whole.weights_.items():
            np.testing.assert_array_equal(model.weights_[name], value)


@few
@given(problems())
def test_a_stream_in_chunks_is_the_stream(problem):
    model, X, y = problem
    model.set_params(class_weight=None, batch_size=2)
    if model.input_shape == "tokens":
        # A stream is to know how many tokens there are.
        model.set_params(architecture_options=model.architecture_options | {"n_tokens": 6})
    with watch(model):
        classes = np.unique(y)
        attempt(model.partial_fit, X, y, classes=classes, about=_DIVERGES)
        parts = clone(model)
        # A last sample by itself joins the batch before it.
        cut = len(X) if len(X) < 4 else 2
        parts.partial_fit(X[:cut], y[:cut], classes=classes)
        if cut < len(X):
            parts.partial_fit(X[cut:], y[cut:])
        for name, value in model.weights_.items():
            np.testing.assert_array_equal(parts.weights_[name], value)


@few
@given(problems(kinds=("vectors", "tokens")))
def test_padding_is_not_there(problem):
    model, X, y = problem
    with watch("padding of sequences"):
        attempt(model.fit, X, y, about=_DIVERGES)
        steps = X.reshape(len(X), *model.input_shape_).astype(float)
        missing = (steps < 0) if steps.ndim == 2 else np.isnan(steps).all(-1)
        order = np.argsort(~missing, axis=1, kind="stable")
        moved = np.take_along_axis(steps, order if steps.ndim == 2 else order[:, :, None], 1)
        scores = model.decision_function(X)
        other = model.decision_function(moved.reshape(X.shape).astype(X.dtype))
        np.testing.assert_allclose(other, scores, rtol=0, atol=1e-4 * (1 + np.abs(scores).max()))


@few
@given(problems(extreme=True), st.sampled_from([1e-3, 1.0, 1e20]))
def test_extreme_samples_and_steps(problem, learning_rate):
    model, X, y = problem
    model.set_params(learning_rate=learning_rate)
    with watch(model):
        attempt(model.fit, X, y, about=rf"{_DIVERGES}|\bX\b")
        assert all(np.isfinite(value).all() for value in model.weights_.values())
        assert np.isfinite(model.loss_curve_).all()
        attempt(model.decision_function, X, about=r"\bX\b")
        check_classifier(model, X, y)


_WRONG = {
    "architecture": ["perceptron", 3, nn.Linear(1, 1)],
    "hidden_layer_sizes": [(0,), (2.5,), "ten"],
    "activation": ["softplus", None],
    "architecture_options": ["wide", 3],
    "input_shape": ["image", (0,), 7],
    "loss": ["hinge", None],
    "k": [0.5, np.nan, "large"],
    "M": [0.0, np.inf, "large"],
    "class_reduction": ["max"],
    "optimizer": ["lion", None],
    "optimizer_params": ["none", {"nonsense": 1}],
    "learning_rate": [0.0, -1.0, np.nan, "auto"],
    "schedule": ["step", 3],
    "momentum": [1.0, -0.1],
    "weight_decay": [-1.0, np.nan],
    "batch_size": [0, 2.5, None],
    "max_iter": [0, 1.5],
    "early_stopping": ["yes", 1],
    "validation_fraction": [0.0, 1.0],
    "n_iter_no_change": [0],
    "tol": [-1.0],
    "class_weight": ["even", {0: -1.0}],
    "warm_start": [2],
    "mixed_precision": ["bf16"],
    "dtype": ["float16", None],
    "device": ["abacus"],
    "random_state": ["seed", -1],
}
_WRONG_OPTIONS = {
    "mlp": [("dropout", 2.0), ("dropout", -0.1), ("nonsense", 1), ("dropout", True)],
    "resnet": [("widths", ()), ("widths", (0,)), ("n_blocks", 0), ("widths", "wide")],
    "tcnn": [("kernel_size", 0), ("width", 2.5), ("pooling", "none"), ("causal", "no")],
    "lstm": [("n_layers", 0), ("width", None), ("pooling", 3), ("causal", None)],
    "transformer": [("n_heads", 7), ("n_blocks", -1), ("feedforward_width", 0), ("causal", 2)],
}


@few
@given(problems(), st.data())
def test_what_is_wrong_is_named(problem, data):
    model, X, y = problem
    given = model.get_params()
    with watch(model):
        attempt(model.fit, X, y, about=_DIVERGES)
        before = model.predict_proba(X)
        name = data.draw(st.sampled_from([*_WRONG, "an option", "X", "y", "shape"]))
        naming = rf"\b{name}\b"
        if name in _WRONG:
            value = data.draw(st.sampled_from(_WRONG[name]))
            is_refused(model.set_params(**{name: value}).fit, X, y, naming=naming)
        elif name == "an option":
            wrong = _WRONG_OPTIONS.get(model.architecture)
            if wrong is None:
                return
            option, value = data.draw(st.sampled_from(wrong))
            model.set_params(
                architecture_options={**(model.architecture_options or {}), option: value}
            )
            is_refused(model.fit, X, y, naming=rf"\b{option}\b")
        elif name == "X":
            bad = X.astype(float)
            bad[0, 0] = np.inf
            is_refused(model.fit, bad, y, naming=naming)
            is_refused(model.predict, bad, naming=naming)
        elif name == "y":
            is_refused(model.fit, X, np.full(len(X), 3), naming=r"two classes")
            is_refused(model.fit, X, y[:-1], naming=r"samples")
        else:
            is_refused(model.predict, np.hstack([X, X]), naming=r"\bX has \d+ features")
        model.set_params(**{key: given[key] for key in model.get_params()})
        # Nothing that was fitted before is lost.
        np.testing.assert_array_equal(model.predict_proba(X), before)


@few
@given(problems(), st.sampled_from([0.2, 0.5]))
def test_held_out_samples_choose_the_epoch(problem, share):
    model, X, y = problem
    X, y = np.tile(X, (5, 1)), np.tile(y, 5)
    model.set_params(early_stopping=True, validation_fraction=share, max_iter=3)
    with watch(model):
        attempt(model.fit, X, y, about=_DIVERGES)
        check_classifier(model, X, y)
        assert len(model.validation_scores_) == model.n_iter_
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert model.temperature_ > 0


_words = st.text(alphabet="abcxyz ", max_size=20).map("wordy {}".format)


@given(st.lists(_words, min_size=1, max_size=5), st.lists(_words, max_size=5), st.data())
def test_token_ids(texts, others, data):
    max_length = data.draw(st.sampled_from([None, None, 1, 3, 100]))
    vectorizer = TokenIdVectorizer(max_length=max_length)
    with watch(vectorizer):
        vectorizer.fit(texts)
        np.testing.assert_array_equal(
            vectorizer.transform(texts), clone(vectorizer).fit_transform(texts)
        )
        for documents in (texts, others):
            ids = vectorizer.transform(documents)
            assert ids.shape == (len(documents), vectorizer.length_)
            assert (ids < vectorizer.n_tokens_).all()
            analyze = vectorizer.vectorizer_.build_analyzer()
            names = {number: token for token, number in vectorizer.vocabulary_.items()}
            for row, document in zip(ids, documents, strict=True):
                tokens = analyze(document)[: vectorizer.length_]
                assert (row[len(tokens) :] == -1).all()
                for number, token in zip(row, tokens, strict=False):
                    expected = token if token in vectorizer.vocabulary_ else None
                    assert names.get(number) == expected


@given(st.lists(st.text(max_size=12), max_size=5), st.sampled_from([None, 1, 0, 2.5]))
def test_texts_of_anything(texts, max_length):
    vectorizer = TokenIdVectorizer(max_length=max_length)
    with watch(vectorizer):
        attempt(vectorizer.fit, texts, about=r"max_length|vocabulary|raw_documents")
        assert vectorizer.transform(texts).shape == (len(texts), vectorizer.length_)
