"""Images, sequences, token ids and labels per position in SquareLossNetClassifier."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skoverparam import SquareLossNetClassifier, TokenIdVectorizer
from skoverparam.nets._architectures import SEQUENTIAL, build_network


def Net(architecture, **parameters):  # noqa: N802
    defaults = {"max_iter": 2, "random_state": 0, "dtype": "float64"}
    return SquareLossNetClassifier(architecture=architecture, **(defaults | parameters))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


@pytest.fixture(scope="module")
def letters():
    """Rows of tokens with padding; each label is the sum of its token and the one before."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (150, 9))
    y = (X + np.roll(X, 1, 1)) % 4
    y[:, 0] = 0
    ends = rng.integers(4, 10, 150)
    beyond = np.arange(9) >= ends[:, None]
    return np.where(beyond, -1, X), np.where(beyond, 99, y), beyond


@pytest.mark.parametrize("architecture", ["resnet", *SEQUENTIAL])
def test_digits_are_learned_as_images_and_as_sequences_of_rows(digits, architecture):
    X, y = digits[0].astype(np.float32), digits[1]
    net = Net(
        architecture,
        architecture_options={"widths": (8, 16)} if architecture == "resnet" else {"width": 32},
        input_shape=(8, 8),
        max_iter=5,
        batch_size=32,
        learning_rate=8e-3,
        dtype="float32",
    ).fit(X[:900], y[:900])
    # About .9 after five epochs; chance is .1.
    assert net.score(X[900:], y[900:]) > 0.75
    assert net.input_shape_ == (8, 8)


@pytest.mark.parametrize("architecture", ["resnet", *SEQUENTIAL])
def test_flat_rows_and_shaped_samples_are_the_same(digits, architecture):
    X, y = digits[0][:100], digits[1][:100]
    flat = Net(architecture, input_shape=(8, 8)).fit(X, y)
    shaped = Net(architecture).fit(X.reshape(-1, 8, 8), y)
    assert np.array_equal(flat.decision_function(X), shaped.decision_function(X.reshape(-1, 8, 8)))


def test_features_of_flat_rows_are_steps(digits):
    X, y = digits
    flat = Net("tcnn", max_iter=1).fit(X[:50], y[:50])
    assert flat.input_shape_ == (64, 1)
    other = Net("tcnn", input_shape=(64, 1), max_iter=1).fit(X[:50], y[:50])
    assert np.array_equal(flat.decision_function(X[:9]), other.decision_function(X[:9]))


# Not the transformer: its positions are drawn for 11 steps here, and for 8 there.
@pytest.mark.parametrize("architecture", ["tcnn", "lstm"])
def test_padding_of_vectors_is_invisible(digits, architecture):
    X, y = digits[0][:60], digits[1][:60]
    frames = np.full((60, 11, 8), np.nan)
    place = np.sort(np.random.default_rng(0).permuted(np.tile(range(11), (60, 1)), axis=1)[:, :8])
    np.put_along_axis(frames, place[:, :, None], X.reshape(-1, 8, 8), axis=1)
    # Depth follows the length of the rows, padding included.
    options = {"n_blocks": 2} if architecture == "tcnn" else None
    padded = Net(architecture, architecture_options=options).fit(frames, y)
    plain = Net(architecture, architecture_options=options).fit(X.reshape(-1, 8, 8), y)
    # The same sums over 60 samples and 2 epochs in another order.
    np.testing.assert_allclose(
        padded.decision_function(frames), plain.decision_function(X.reshape(-1, 8, 8)), atol=1e-9
    )


@pytest.mark.parametrize("architecture", SEQUENTIAL)
def test_where_the_padding_stands_does_not_matter(digits, architecture):
    X, y = digits[0][:60].reshape(-1, 8, 8), digits[1][:60]
    nothing = np.full((60, 3, 8), np.nan)
    right = np.concatenate([X, nothing], 1)
    left = np.concatenate([nothing, X], 1)
    net = Net(architecture).fit(right, y)
    np.testing.assert_allclose(
        net.predict_proba(left), net.predict_proba(right), rtol=0, atol=1e-12
    )
    again = Net(architecture).fit(left, y)
    np.testing.assert_allclose(
        again.decision_function(left), net.decision_function(right), rtol=0, atol=1e-9
    )


def test_nan_is_padding_for_sequences_only(digits):
    X, y = digits[0][:40].copy(), digits[1][:40]
    X[0, 0] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        Net("mlp").fit(X, y)
    with pytest.raises(ValueError, match="step 0 of sample 0 of X is NaN in parts"):
        Net("tcnn", input_shape=(8, 8)).fit(X, y)
    assert not Net("mlp").__sklearn_tags__().input_tags.allow_nan
    assert Net("tcnn").__sklearn_tags__().input_tags.allow_nan
    net = Net("tcnn", input_shape=(8, 8)).fit(digits[0][:40], y)
    with pytest.raises(ValueError, match="NaN in parts"):
        net.predict(X)


@pytest.mark.parametrize("architecture", SEQUENTIAL)
def test_labels_per_position(letters, architecture):
    X, y, beyond = letters
    net = Net(
        architecture, input_shape="tokens", max_iter=25, learning_rate=4e-3, dtype="float32"
    ).fit(X, y)
    # Padding alone holds the label 99, which is not a class.
    assert net.classes_.tolist() == [0, 1, 2, 3]
    predicted = net.predict(X)
    assert np.array_equal(predicted == -1, beyond)
    assert net.score(X, y) == (predicted == y)[~beyond].mean()
    # Knowing the token alone gives .25 but for the first one; the token before is needed.
    assert net.score(X, y) > (0.45 if architecture == "transformer" else 0.9)
    proba = net.predict_proba(X)
    assert proba.shape == (150, 9, 4)
    np.testing.assert_allclose(proba.sum(-1), 1, atol=1e-6)
    assert np.array_equal(proba.argmax(-1)[~beyond], predicted[~beyond])
    weights = np.arange(150)
    counts = (~beyond).sum(1)
    right = ((predicted == y) & ~beyond).sum(1)
    expected = (weights * right).sum() / (weights * counts).sum()
    assert net.score(X, y, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_labels_per_position_of_types_without_a_sign(letters, dtype):
    X, y, beyond = letters
    labels = np.where(beyond, 0, y > 1)
    signed = Net("tcnn", input_shape="tokens").fit(X, labels)
    other = Net("tcnn", input_shape="tokens").fit(X, labels.astype(dtype))
    np.testing.assert_array_equal(other.predict(X), signed.predict(X))


def test_names_as_labels_per_position(letters):
    X, y, beyond = letters
    numbers = Net("tcnn", input_shape="tokens").fit(X, y)
    names = Net("tcnn", input_shape="tokens").fit(X, np.array(list("abcd*"))[y.clip(max=4)])
    assert names.classes_.tolist() == list("abcd")
    expected = np.where(beyond, "", np.array(list("abcd"))[numbers.predict(X)])
    assert np.array_equal(names.predict(X), expected)


@pytest.mark.parametrize("nothing", [-1, ""])
def test_negative_and_empty_labels_are_not_counted(letters, nothing):
    X, y, beyond = letters
    rng = np.random.default_rng(1)
    ignored = rng.random(y.shape) < 0.5
    names = np.array(["0", "1", "2", "3"])[y.clip(max=3)] if nothing == "" else y.clip(max=3)
    sparse = np.where(ignored, nothing, names)
    net = Net("tcnn", input_shape="tokens").fit(X, sparse)
    counted = ~ignored & ~beyond
    assert net.score(X, sparse) == (net.predict(X) == sparse)[counted].mean()
    # The first epoch's loss by hand: the mean over what counts, batches of equal size.
    first = Net("tcnn", input_shape="tokens", max_iter=1, batch_size=150).fit(X, sparse)
    network = build_network("tcnn", (9,), 4, seed=first._seed, n_tokens=4, per_position=True)
    with torch.no_grad():
        outputs = network.double()(torch.as_tensor(X)).numpy()
    errors = (outputs - np.eye(4)[y.clip(max=3)]) ** 2
    assert first.loss_ == pytest.approx(errors.mean(-1)[counted].mean(), rel=1e-12)


def test_labels_per_position_stop_early_weigh_classes_and_go_on(letters):
    X, y, _ = letters
    net = Net(
        "lstm",
        input_shape="tokens",
        early_stopping=True,
        class_weight="balanced",
        warm_start=True,
        max_iter=3,
    ).fit(X, y)
    assert len(net.validation_scores_) == 3
    assert 0 < net.temperature_ < 10
    assert net.fit(X, y).n_iter_ == 6
    stream = Net("lstm", input_shape="tokens").partial_fit(X[:64], y[:64], classes=range(4))
    assert stream.partial_fit(X[64:128], y[64:128]).t_ == 128


def test_a_network_of_ones_own_for_positions(letters):
    X = np.where(letters[0] < 0, 0, letters[0]).astype(float)[:, :, None]
    y = letters[1].clip(max=3)

    def steps(input_shape, n_outputs):
        return torch.nn.Linear(input_shape[1], n_outputs)

    net = Net(steps).fit(X, y)
    assert net.predict(X).shape == y.shape
    with pytest.raises(ValueError, match="9 x 4 outputs per sample"):
        Net(lambda shape, n: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, n))).fit(
            X, y
        )


def test_what_labels_per_position_need(digits, letters):
    X, y, _ = letters
    with pytest.raises(ValueError, match=r"labels per position need.*'transformer', got 'mlp'"):
        Net("mlp").fit(X, y)
    with pytest.raises(ValueError, match=r"labels for 4 positions.*have 9 steps"):
        Net("tcnn", input_shape="tokens").fit(X, y[:, :4])
    with pytest.raises(ValueError, match="no label to train on"):
        Net("tcnn", input_shape="tokens").fit(X, np.full_like(y, -1))


def test_tokens_are_integers_in_sequences(letters):
    X, y, _ = letters
    net = Net("lstm", input_shape="tokens").fit(X, y[:, 0] + X[:, 0] % 2)
    with pytest.raises(ValueError, match=r"integers, negative on padding; X has \d\.5"):
        net.predict(X + 0.5)
    with pytest.raises(ValueError, match=r"needs an architecture for sequences.*got 'resnet'"):
        Net("resnet", input_shape="tokens").fit(X, y)
    with pytest.raises(ValueError, match="None, 'tokens' or a tuple of integers, got 'words'"):
        Net("lstm", input_shape="words").fit(X, y)
    with pytest.raises(ValueError, match=r"input_shape.* must be >= 1"):
        Net("tcnn", input_shape=(9, 0)).fit(X, y[:, 0])


def test_ids_beyond_those_seen_are_unknown(letters):
    X, y, _ = letters
    labels = X[:, 1]
    net = Net("lstm", input_shape="tokens").fit(X, labels)
    assert net.weights_["embedding.weight"].shape[0] == 4 + 1
    far, further = np.where(X == 2, 50, X), np.where(X == 2, 51, X)
    assert np.array_equal(net.decision_function(far), net.decision_function(further))
    roomy = Net("lstm", input_shape="tokens", architecture_options={"n_tokens": 60})
    assert roomy.fit(X, labels).weights_["embedding.weight"].shape[0] == 61
    # Going on with a chunk of fewer or more tokens is going on with the same network.
    stream = Net("lstm", input_shape="tokens").partial_fit(X, labels, classes=range(-1, 4))
    assert stream.partial_fit(far[:64], labels[:64]).t_ == 214


def test_texts_are_classified_through_a_pipeline():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(20)]
    texts, y = [], []
    for _ in range(300):
        sentence = list(rng.choice(words, rng.integers(3, 9)))
        i, j = sorted(rng.choice(len(sentence) + 1, 2, replace=False))
        first, second = rng.permutation(["dog", "man"])
        sentence.insert(j, second)
        sentence.insert(i, first)
        texts.append(" ".join(sentence))
        y.append(f"{first} first")
    model = make_pipeline(
        TokenIdVectorizer(CountVectorizer()),
        Net("tcnn", input_shape="tokens", max_iter=25, learning_rate=4e-3, dtype="float32"),
    ).fit(texts[:200], y[:200])
    # A bag of words knows nothing of order: chance.
    assert model.score(texts[200:], y[200:]) > 0.9
    assert set(model.predict(["dog bites man", "something new", ""])) <= set(y)


def test_features_of_any_layer(digits):
    X, y = digits
    net = Net("resnet", input_shape=(8, 8)).fit(X[:200], y[:200])
    features = net.transform(X[:30])
    head = net.weights_["head.weight"], net.weights_["head.bias"]
    np.testing.assert_allclose(
        features @ head[0].T + head[1], net.decision_function(X[:30]), rtol=0, atol=1e-12
    )
    assert len(net.get_feature_names_out()) == features.shape[1] == 64
    assert net.transform(X[:30], layer="blocks.block1").shape == (30, 16 * 8 * 8)
    assert net.transform(X[:30].astype(np.float32)).dtype == np.float32
    with pytest.raises(
        ValueError, match=r"layer must be .penultimate. or one of stem, .*head; got 'x'"
    ):
        net.transform(X[:30], layer="x")
    head_on_top = make_pipeline(clone(net), StandardScaler(), LogisticRegression(max_iter=1000))
    assert head_on_top.fit(X[:200], y[:200]).score(X[:200], y[:200]) > 0.5


def test_features_of_steps_are_rows(letters):
    X, y, beyond = letters
    net = Net("transformer", input_shape="tokens").fit(X, y)
    features = net.transform(X)
    assert features.shape == (150, len(net.get_feature_names_out())) == (150, 9 * 64)
    assert not features.reshape(150, 9, 64)[beyond].any()


@pytest.mark.parametrize("architecture", ["resnet", *SEQUENTIAL])
def test_refits_pickles_and_going_on_are_equal_to_the_bit(digits, architecture):
    X, y = digits[0][:150], digits[1][:150]
    parameters = {
        "input_shape": (8, 8),
        "dtype": "float32",
        "architecture_options": {"dropout": 0.2},
    }
    whole = Net(architecture, **parameters, max_iter=4).fit(X, y)
    again = clone(whole).fit(X, y)
    part = Net(architecture, **parameters, max_iter=2, warm_start=True).fit(X, y)
    part = pickle.loads(pickle.dumps(part)).fit(X, y)
    for other in (again, part, pickle.loads(pickle.dumps(whole))):
        for name, weight in whole.weights_.items():
            assert np.array_equal(weight, other.weights_[name]), name
        assert np.array_equal(whole.predict_proba(X), other.predict_proba(X))
