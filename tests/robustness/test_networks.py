"""Networks on anything: finite outputs and probabilities, or an error that names the cause."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import labels, samples, shapes
from robustness.watch import attempt, watch

from skoverparam import SquareLossNetClassifier, TokenIdVectorizer, TwoLayerCNNClassifier

_ABOUT = (
    r"\b(X|y|classes|n_patches|n_filters|q|init_scale|learning_rate|solver|tol|max_iter|track"
    r"|architecture|hidden_layer_sizes|architecture_options|input_shape|loss|k|M|optimizer"
    r"|optimizer_params|weight_decay|batch_size|early_stopping|validation_fraction|class_weight"
    r"|momentum|width|n_heads|kernel_size|n_layers|n_blocks|dropout|pooling|p|c|damping|lr|weights|diverge\w*)\b"
)


def check_classifier(model, X, y):
    scores, P, chosen = model.decision_function(X), model.predict_proba(X), model.predict(X)
    assert np.isfinite(scores).all()
    assert np.isfinite(P).all()
    assert (P >= 0).all()
    np.testing.assert_allclose(P.sum(-1), 1, rtol=0, atol=1e-5)
    assert set(chosen.tolist()) <= set(y.tolist())
    own = P[np.arange(len(X)), np.searchsorted(model.classes_, chosen)]
    assert (own >= P.max(1) * (1 - 1e-5)).all()


@st.composite
def two_layer_cnns(draw):
    return {
        "n_patches": draw(st.sampled_from([1, 2, 3, 20, 0])),
        "n_filters": draw(st.sampled_from([1, 3, 10])),
        "q": draw(st.sampled_from([1.0, 2.0, 3.0, 7.5, 0.5, 300.0])),
        "init_scale": draw(st.sampled_from(["auto", "auto", 0.1, 1e-20, 1e10, 0.0])),
        "learning_rate": draw(st.sampled_from(["auto", "auto", 0.1, 1e-20, 1e20])),
        "solver": draw(st.sampled_from(["auto", "span", "dense"])),
        "tol": draw(st.sampled_from([1e-2, 0.0, -1.0])),
        "max_iter": draw(st.sampled_from([1, 30])),
        "track": draw(st.sampled_from([None, 1, "log"])),
        "dtype": draw(st.sampled_from(["float64", "float32"])),
        "random_state": 0,
    }


@given(shapes(), st.data(), two_layer_cnns())
def test_two_layer_cnns(shape, data, parameters):
    X = data.draw(samples(shape, extreme=data.draw(st.booleans())))
    y = data.draw(labels(shape[0]))
    model = TwoLayerCNNClassifier(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        assert np.isfinite(model.coef_).all()
        assert np.isfinite(model.loss_curve_).all()
        check_classifier(model, X, y)


_ARCHITECTURES = [
    ("mlp", None, None),
    ("mlp", {"dropout": 0.3}, None),
    ("mlp", {"dropout": 2.0}, None),
    ("mlp", {"nonsense": 1}, None),
    ("resnet", {"widths": (2,)}, "image"),
    ("resnet", {"widths": ()}, "image"),
    ("resnet", {"widths": (2, 2, 2)}, None),
    ("tcnn", {"width": 4, "n_blocks": 1}, None),
    ("tcnn", {"width": 4, "kernel_size": 9}, None),
    ("tcnn", {"width": 4, "causal": True, "pooling": "mean"}, None),
    ("lstm", {"width": 4}, None),
    ("lstm", {"width": 4, "n_layers": 0}, None),
    ("transformer", {"width": 4, "n_heads": 2, "n_blocks": 1}, None),
    ("transformer", {"width": 4, "n_heads": 3, "n_blocks": 1}, None),
    ("transformer", {"width": 4, "n_heads": 1, "pooling": "attention"}, "tokens"),
    ("transformer", {"width": 4, "pooling": "none"}, None),
]
_OPTIMIZERS = [
    ("adam", None),
    ("adamw", None),
    ("sgd", None),
    ("mirror-descent", None),
    ("mirror-descent", {"mirror": "pnorm", "mirror_params": {"p": 3.0}}),
    ("mirror-descent", {"mirror": "negentropy"}),
    ("polyak", None),
    ("polyak", {"lr_max": 1.0}),
    ("polyak", {"c": -1.0}),
    ("gauss-newton", None),
    ("gauss-newton", {"damping": -1.0}),
    ("gauss-newton", {"momentum": 1.0}),
]


@st.composite
def networks(draw):
    architecture, options, kind = draw(st.sampled_from(_ARCHITECTURES))
    optimizer, optimizer_params = draw(st.sampled_from(_OPTIMIZERS))
    shape = draw(shapes(max_samples=8, max_features=6))
    parameters = {
        "architecture": architecture,
        "architecture_options": options,
        "hidden_layer_sizes": draw(st.sampled_from([(4,), (4,), (3, 2), (), 5])),
        "activation": draw(st.sampled_from(["relu", "tanh", "logistic", "gelu", "identity"])),
        "loss": draw(st.sampled_from(["square", "square", "cross-entropy", "squentropy"])),
        "k": draw(st.sampled_from(["auto", "auto", "auto", 5.0, 1e30])),
        "M": draw(st.sampled_from(["auto", "auto", "auto", 10.0])),
        "class_reduction": draw(st.sampled_from(["mean", "sum"])),
        "optimizer": optimizer,
        "optimizer_params": optimizer_params,
        "learning_rate": draw(st.sampled_from([1e-3, 1e-3, 0.1, 1e20, 1e-30])),
        "schedule": draw(st.sampled_from(["constant", "linear", "cosine"])),
        "batch_size": draw(st.sampled_from([64, 1, 3])),
        "max_iter": draw(st.sampled_from([1, 2])),
        "early_stopping": draw(st.sampled_from([False, False, False, False, True])),
        "class_weight": draw(st.sampled_from([None, None, "balanced"])),
        "dtype": draw(st.sampled_from(["float32", "float64"])),
        "random_state": 0,
    }
    if kind == "tokens":
        parameters["input_shape"] = "tokens"
        X = np.random.default_rng(draw(st.integers(0, 99))).integers(-1, 5, size=shape)
    elif kind == "image":
        X = draw(samples((shape[0], 12), extreme=False))
        parameters["input_shape"] = draw(st.sampled_from([(3, 4), (2, 2, 3), (12, 1), (5, 5)]))
    else:
        X = draw(samples(shape, extreme=draw(st.sampled_from([False, False, True]))))
    return X, parameters


@given(networks(), st.data())
def test_networks(network, data):
    X, parameters = network
    y = data.draw(labels(len(X), max_classes=3))
    if len(y) > 1:
        # One class is tried where there is one sample.
        y[:2] = np.unique(np.concatenate([y, y[:1] + 1 if y.dtype.kind in "if" else y]))[[0, -1]]
    model = SquareLossNetClassifier(**parameters)
    with watch(model):
        attempt(model.fit, X, y, about=_ABOUT)
        assert all(np.isfinite(value).all() for value in model.weights_.values())
        assert np.isfinite(model.loss_curve_).all()
        attempt(model.decision_function, X, about=_ABOUT)
        check_classifier(model, X, y)
        features = model.transform(X)
        assert len(features) == len(X)


@given(
    st.lists(st.text(max_size=12), max_size=5),
    st.lists(st.text(max_size=12), max_size=5),
    st.sampled_from([None, 1, 3, 0]),
)
def test_token_ids(texts, others, max_length):
    vectorizer = TokenIdVectorizer(max_length=max_length)
    with watch(vectorizer):
        about = r"max_length|vocabulary|text|raw_documents|sample"
        attempt(vectorizer.fit, texts, about=about)
        for documents in (texts, others):
            ids = vectorizer.transform(documents)
            assert ids.shape == (len(documents), vectorizer.length_)
            analyze = vectorizer.vectorizer_.build_analyzer()
            names = {number: token for token, number in vectorizer.vocabulary_.items()}
            for row, document in zip(ids, documents, strict=True):
                tokens = analyze(document)[: vectorizer.length_]
                assert (row[len(tokens) :] == -1).all()
                for number, token in zip(row, tokens, strict=False):
                    expected = token if token in vectorizer.vocabulary_ else None
                    assert names.get(number) == expected
