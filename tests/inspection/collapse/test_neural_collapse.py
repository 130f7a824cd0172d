"""Neural collapse against loops in float64, exact simplices, and models of every kind."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skoverparam import SquareLossNetClassifier, TwoLayerCNNClassifier
from skoverparam.inspection import ClassStatistics, neural_collapse


@pytest.fixture(autouse=True)
def _own_stream():
    """Modules are built with torch's global stream: give it back as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def simplex(n_classes, d, seed=0):
    """Corners of a regular simplex with norm one, turned at random in d dimensions."""
    rng = np.random.default_rng(seed)
    corners = np.eye(n_classes) - 1 / n_classes
    basis = np.linalg.qr(rng.standard_normal((d, n_classes)))[0]
    return (corners @ basis.T) / math.sqrt(1 - 1 / n_classes)


def noisy(means, per_class, sigma, *, offset=0.0, seed=0):
    """Features around means: noise of norm about sigma, and a common offset."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(means)), per_class)
    d = means.shape[1]
    noise = rng.standard_normal((len(y), d)) * sigma / math.sqrt(d)
    return means[y] + noise + offset / math.sqrt(d), y


def dense_reference(H, y, by_class=True, rtol=1e-10):
    """All measures of NC1 and NC2 by loops, with matrices of d times d."""
    classes = np.unique(y)
    C, d = len(classes), H.shape[1]
    means = np.array([H[y == c].mean(0) for c in classes])
    center = means.mean(0) if by_class else H.mean(0)
    M = means - center
    S_B = sum(np.outer(m, m) for m in M) / C
    S_W = np.zeros((d, d))
    variances = []
    for c, mean in zip(classes, means, strict=True):
        R = H[y == c] - mean
        S_W += R.T @ R / (C * len(R) if by_class else len(H))
        variances.append((R**2).sum() / len(R))
    values, vectors = np.linalg.eigh(S_B)
    kept = np.argsort(values)[::-1][: min(C - 1, d)]
    kept = kept[values[kept] > rtol * values.max()]
    inverse = (vectors[:, kept] / values[kept]) @ vectors[:, kept].T
    pairs = [(i, j) for i in range(C) for j in range(i)]
    cosines = np.array(
        [M[i] @ M[j] / np.linalg.norm(M[i]) / np.linalg.norm(M[j]) for i, j in pairs]
    )
    norms = np.linalg.norm(M, axis=1)
    gram, target = M @ M.T, (np.eye(C) - 1 / C) / math.sqrt(C - 1)
    return {
        "nc1_pinv": np.trace(S_W @ inverse) / C,
        "nc1_ratio": np.trace(S_W) / np.trace(S_B),
        "nc1_cdnv": np.mean(
            [
                (variances[i] + variances[j]) / 2 / ((means[i] - means[j]) ** 2).sum()
                for i, j in pairs
            ]
        ),
        "nc2_equinorm": norms.std() / norms.mean(),
        "nc2_equiangle": cosines.std(),
        "nc2_max_angle": np.abs(cosines + 1 / (C - 1)).mean(),
        "nc2_etf_error": np.linalg.norm(gram / np.linalg.norm(gram) - target),
        "sb_trace": np.trace(S_B),
        "sw_trace": np.trace(S_W),
    }


@pytest.mark.parametrize(
    ("n_classes", "d", "n"), [(2, 3, 40), (4, 9, 150), (7, 6, 300), (70, 80, 900)]
)
@pytest.mark.parametrize("weighting", ["class", "sample"])
def test_measures_are_those_of_a_dense_reference(n_classes, d, n, weighting):
    rng = np.random.default_rng(n)
    y = np.concatenate([np.repeat(np.arange(n_classes), 2), rng.integers(n_classes, size=n) // 2])
    H = rng.standard_normal((n_classes, d))[y] + 0.3 * rng.standard_normal((len(y), d))
    found = neural_collapse(H, y=y, weighting=weighting)
    for name, value in dense_reference(H, y, weighting == "class").items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-10, abs=1e-12), name


def test_a_simplex_without_noise_is_collapsed():
    means = simplex(10, 64)
    H, y = noisy(means, 5, 0.0)
    found = neural_collapse(H, y=y, head=(means, np.zeros(10)))
    zeros = "nc1_pinv nc1_ratio nc1_cdnv nc2_equinorm nc2_max_angle nc2_etf_error nc4_disagreement"
    for name in [*zeros.split(), "nc3_self_duality", "nc3_etf_error", "nc2_head_equinorm"]:
        assert getattr(found, name) == pytest.approx(0, abs=1e-12), name
    assert found.sb_rank == 9
    assert found.accuracy == found.ncc_accuracy == 1


def test_isotropic_noise_around_a_simplex_has_closed_forms():
    # trace(P S_W) = (C - 1)/d sigma^2 within the span of the means; 1 % for 20000 samples each.
    n_classes, d, sigma = 5, 20, 0.1
    H, y = noisy(simplex(n_classes, d), 20_000, sigma)
    found = neural_collapse(H, y=y)
    ratio = sigma**2
    assert found.nc1_ratio == pytest.approx(ratio, rel=0.01)
    assert found.nc1_pinv == pytest.approx(
        (n_classes - 1) / n_classes * ratio * (n_classes - 1) / d, rel=0.01
    )
    assert found.nc1_cdnv == pytest.approx((n_classes - 1) / (2 * n_classes) * ratio, rel=0.01)


def test_scale_and_rotation_change_nothing():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 25)
    H = rng.standard_normal((4, 12))[y] + 0.2 * rng.standard_normal((100, 12))
    head = rng.standard_normal((4, 12)), np.zeros(4)
    Q = np.linalg.qr(rng.standard_normal((12, 12)))[0]
    before = neural_collapse(H, y=y, head=head)
    scaled = neural_collapse(1e4 * H, y=y, head=head)
    turned = neural_collapse(H @ Q, y=y, head=(head[0] @ Q, head[1]))
    for name, value in before._asdict().items():
        if value is not None and not name.endswith("_trace"):
            assert getattr(turned, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name
            assert getattr(scaled, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name


def test_any_linear_map_leaves_pinv_where_means_span_everything():
    rng = np.random.default_rng(1)
    y = np.repeat(np.arange(6), 30)
    H = rng.standard_normal((6, 5))[y] + 0.2 * rng.standard_normal((180, 5))
    A = rng.standard_normal((5, 5)) + 2 * np.eye(5)
    assert neural_collapse(H @ A, y=y).nc1_pinv == pytest.approx(
        neural_collapse(H, y=y).nc1_pinv, rel=1e-8
    )


@pytest.mark.parametrize(("sigma", "offset"), [(1e-2, 0), (1e-3, 0), (1e-3, 10), (1e-4, 10)])
def test_float32_features_with_an_offset_do_not_cancel(sigma, offset):
    # E[h h^T] - E[h] E[h]^T in float32 gives negative values here. What is left is the rounding of
    # the features themselves: at sigma 1e-4 below 1e-3 of the result.
    H, y = noisy(simplex(10, 512), 200, sigma, offset=offset)
    exact = neural_collapse(H, y=y)
    single = neural_collapse(H.astype(np.float32), y=y)
    rel = 1e-4 if sigma > 1e-4 else 1e-2
    assert single.nc1_pinv == pytest.approx(exact.nc1_pinv, rel=rel)
    assert single.nc1_ratio == pytest.approx(exact.nc1_ratio, rel=rel)
    if sigma == 1e-3 and offset == 10:
        h = H.astype(np.float32)
        second = (h**2).sum(1).reshape(10, -1).mean(1)
        mean = h.reshape(10, 200, -1).mean(1)
        naive = (second - (mean**2).sum(1)).mean()
        assert naive != pytest.approx(exact.sw_trace, rel=0.5)  # the data are hard enough


def test_directions_of_small_means_are_kept():
    rng = np.random.default_rng(2)
    means = np.zeros((10, 64))
    means[:, :10] = np.linalg.qr(rng.standard_normal((10, 10)))[0] * np.logspace(0, -3, 10)
    H, y = noisy(means, 100, 1e-3)
    found = neural_collapse(H.astype(np.float32), y=y)
    assert found.sb_rank == 9
    expected = dense_reference(H.astype(np.float32).astype(float), y)["nc1_pinv"]
    assert found.nc1_pinv == pytest.approx(expected, rel=1e-6)


def test_directions_without_means_are_left_out_with_a_warning():
    rng = np.random.default_rng(3)
    y = np.repeat(np.arange(5), 20)
    means = np.zeros((5, 8))
    means[:, :2] = rng.standard_normal((5, 2))
    H = means[y] + 0.1 * rng.standard_normal((100, 8))
    H -= np.array([H[y == c].mean(0) for c in range(5)])[y] - means[y]
    with pytest.warns(RuntimeWarning, match="rank 2, less than 4"):
        assert neural_collapse(H, y=y).sb_rank == 2


def test_the_bias_of_the_head_counts():
    H = np.array([[-1.0], [-0.9], [1.0], [0.9]])
    y = np.array([0, 0, 1, 1])
    W = np.array([[-1.0], [1.0]])
    assert neural_collapse(H, y=y, head=(W, [0, 0])).nc4_disagreement == 0
    shifted = neural_collapse(H, y=y, head=(W, [0, 10]))
    assert shifted.nc4_disagreement == 0.5
    assert shifted.accuracy == 0.5
    assert shifted.ncc_accuracy == 1


def test_a_head_with_one_output_stands_for_two():
    rng = np.random.default_rng(4)
    y = np.repeat(["a", "b"], 30)
    H = np.where(y == "b", 1.0, -1.0)[:, None] * np.ones(3) + rng.standard_normal((60, 3)) / 2
    one = neural_collapse(H, y=y, head=(np.ones((1, 3)), [0.1]))
    two = neural_collapse(H, y=y, head=(np.array([-np.ones(3), np.ones(3)]), [-0.1, 0.1]))
    assert one == two
    assert one.nc2_equiangle == pytest.approx(0, abs=1e-12)


def test_nearest_means_are_those_of_nearest_centroid():
    rng = np.random.default_rng(5)
    y, y_test = rng.integers(6, size=200), rng.integers(6, size=300)
    M = rng.standard_normal((6, 10))
    H = M[y] + rng.standard_normal((200, 10)) + 100
    H_test = M[y_test] + rng.standard_normal((300, 10)) + 100
    found = neural_collapse(H, y=y, X_test=H_test, y_test=y_test)
    centroids = NearestCentroid().fit(H, y)
    assert found.ncc_accuracy == pytest.approx(centroids.score(H, y), abs=1e-12)
    assert found.test_ncc_accuracy == pytest.approx(centroids.score(H_test, y_test), abs=1e-12)
    # Dispersions by loops.
    mu = np.array([H[y == c].mean(0) for c in range(6)])
    D = ((mu - mu.mean(0)) ** 2).sum(1).mean()
    distances = ((H_test[:, None] - mu) ** 2).sum(2)
    mu_test = np.array([H_test[y_test == c].mean(0) for c in range(6)])
    by_class = [distances[y_test == c] for c in range(6)]
    strong = np.mean([d[:, c].mean() for c, d in enumerate(by_class)]) / D
    weak = np.mean([d.min(1).mean() for d in by_class]) / D
    assert found.test_strong_dispersion == pytest.approx(strong, rel=1e-10)
    assert found.test_weak_dispersion == pytest.approx(weak, rel=1e-10)
    assert weak < strong
    shift = ((mu_test - mu) ** 2).sum(1).mean() / D
    assert found.test_mean_shift == pytest.approx(shift, rel=1e-10)


def test_order_of_samples_does_not_matter():
    rng = np.random.default_rng(6)
    y = rng.integers(5, size=120)
    H = rng.standard_normal((5, 30))[y] + 1e-3 * rng.standard_normal((120, 30))
    order = rng.permutation(120)
    for one, two in zip(
        neural_collapse(H, y=y), neural_collapse(H[order], y=y[order]), strict=True
    ):
        assert one == two or one == pytest.approx(two, rel=1e-10, abs=1e-12)


def test_unbiased_variances_count_degrees_of_freedom():
    rng = np.random.default_rng(7)
    y = np.repeat([0, 1, 2], 4)
    H = rng.standard_normal((12, 5))
    biased, unbiased = (neural_collapse(H, y=y, unbiased=flag) for flag in (False, True))
    for name in ("nc1_pinv", "nc1_ratio", "nc1_cdnv"):
        assert getattr(unbiased, name) == pytest.approx(getattr(biased, name) * 4 / 3, rel=1e-12)


def test_classes_may_be_missing_from_the_test_set():
    H, y = noisy(simplex(4, 6), 10, 0.1)
    some = y < 2
    found = neural_collapse(H, y=y, X_test=H[some], y_test=y[some], head=(simplex(4, 6), None))
    assert found.test_n_classes == 2
    assert found.test_mean_shift == pytest.approx(0, abs=1e-14)
    assert found.test_nc1_ratio > 0
    alone = neural_collapse(H, y=y, X_test=H[y == 3], y_test=y[y == 3])
    assert alone.test_n_classes == 1
    assert alone.test_nc1_ratio is None
    assert alone.test_strong_dispersion > 0


def test_few_features_leave_no_room_for_a_simplex():
    H, y = noisy(np.random.default_rng(8).standard_normal((6, 3)), 10, 0.1)
    found = neural_collapse(H, y=y)
    assert found.nc2_max_angle is None
    assert found.nc2_etf_error is None
    assert found.nc2_equinorm > 0


def test_features_that_do_not_differ_are_no_error():
    y = np.repeat([0, 1, 2], 5)
    with pytest.warns(RuntimeWarning, match="do not differ"):
        found = neural_collapse(np.full((15, 4), 0.1), y=y)
    assert math.isnan(found.nc1_pinv)
    assert math.isnan(found.nc1_ratio)
    spread = np.tile([-1.0, 1.0, 0, 3, -3], 3)[:, None]
    with pytest.warns(RuntimeWarning, match="do not differ"):
        found = neural_collapse(spread, y=y)
    assert found.nc1_ratio == found.nc1_pinv == found.nc1_cdnv == math.inf


def test_single_samples_are_named():
    H, y = noisy(simplex(3, 5), 4, 0.1)
    with pytest.warns(RuntimeWarning, match="1 classes have a single training sample"):
        neural_collapse(H[:9], y=y[:9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": np.zeros(30, int)}, "at least two classes, got 1"),
        ({"X_test": np.ones((3, 8))}, "given together"),
        ({"X_test": np.ones((3, 7)), "y_test": [0, 1, 2]}, "must have the 8 columns"),
        ({"X_test": np.ones((3, 8)), "y_test": [0, 1, 9]}, r"labels \[9\] that are not among"),
        ({"X": np.ones((30, 2))}, "X must be left out"),
        ({"y": None}, "y given"),
        ({"head": (np.ones((3, 7)), None)}, r"W of shape \(n_classes, 8\)"),
        ({"weighting": "even"}, "weighting must be"),
        ({"rtol": 2}, "rtol"),
        ({"y": np.zeros((30, 2))}, "one label a sample"),
    ],
)
def test_bad_input_is_named(change, message):
    H, y = noisy(simplex(3, 8), 10, 0.1)
    with pytest.raises(ValueError, match=message):
        neural_collapse(H, **{"y": y, **change})


def test_features_must_be_finite():
    H, y = noisy(simplex(3, 8), 10, 0.1)
    H[3, 2] = np.nan
    with pytest.raises(ValueError, match="features must hold finite numbers"):
        neural_collapse(H, y=y)


def test_frames_have_a_row_for_each_split():
    H, y = noisy(simplex(3, 8), 10, 0.1)
    found = neural_collapse(H, y=y, X_test=H, y_test=y)
    assert all(value is None or type(value) is float for value in found)
    frame = found.to_frame()
    assert list(frame.index) == ["train", "test"]
    assert frame.loc["test", "nc1_pinv"] == pytest.approx(found.nc1_pinv, rel=1e-12)
    assert list(neural_collapse(H, y=y).to_frame().index) == ["train"]


# ---- streams ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("scatter", ["class", "pooled", "none"])
def test_batches_are_the_same_as_all_at_once(size, scatter):
    rng = np.random.default_rng(9)
    y = rng.permutation(np.repeat(np.arange(5), 60))
    H = rng.standard_normal((5, 150))[y] + 1e-3 * rng.standard_normal((300, 150)) + 10
    whole = neural_collapse(H, y=y)._asdict()
    one, two = (ClassStatistics(range(5), scatter=scatter) for _ in range(2))
    for start in range(0, 300, size):
        rows = slice(start, start + size)
        (one if start < 100 else two).update(H[rows], y[rows])
    if two.counts.any() if size < 1000 else False:
        one = one.merge(two)
    found = neural_collapse(one)._asdict()
    for name, value in whole.items():
        if value is None or name in ("ncc_accuracy", "nc4_disagreement", "accuracy"):
            continue
        if name == "nc1_pinv" and scatter == "none":
            assert found[name] is None
        else:
            assert found[name] == pytest.approx(value, rel=1e-10, abs=1e-11), name


def test_pooled_scatter_cannot_be_weighted_by_class():
    rng = np.random.default_rng(10)
    y = rng.integers(3, size=50)
    H = rng.standard_normal((50, 6))
    pooled = ClassStatistics(range(3), scatter="pooled").update(H, y)
    assert neural_collapse(pooled).nc1_pinv is None
    expected = neural_collapse(H, y=y, weighting="sample").nc1_pinv
    assert neural_collapse(pooled, weighting="sample").nc1_pinv == pytest.approx(expected)


def test_streams_of_test_features_have_strong_dispersion():
    rng = np.random.default_rng(11)
    y = rng.integers(3, size=90)
    H = rng.standard_normal((3, 6))[y] + rng.standard_normal((90, 6))
    train = ClassStatistics(range(3)).update(H[:50], y[:50])
    test = ClassStatistics(range(3)).update(H[50:], y[50:])
    found = neural_collapse(train, X_test=test)
    expected = neural_collapse(H[:50], y=y[:50], X_test=H[50:], y_test=y[50:])
    assert found.test_weak_dispersion is None
    for name in ("test_strong_dispersion", "test_mean_shift", "test_nc1_pinv", "test_nc1_cdnv"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-10)


def test_bad_batches_are_named():
    statistics = ClassStatistics(range(3))
    with pytest.raises(ValueError, match="seen no samples"):
        neural_collapse(statistics)
    with pytest.raises(ValueError, match="at least two labels"):
        ClassStatistics([1, 1])
    with pytest.raises(ValueError, match="not among the classes"):
        statistics.update(np.ones((2, 4)), [0, 5])
    with pytest.raises(ValueError, match="one row a label"):
        statistics.update(np.ones((2, 4)), [0, 1, 2])
    statistics.update(np.ones((2, 4)), [0, 1])
    with pytest.raises(ValueError, match="4 columns as before, got 5"):
        statistics.update(np.ones((2, 5)), [0, 1])
    with pytest.raises(ValueError, match="same classes and scatter"):
        statistics.merge(ClassStatistics(range(4)))
    assert statistics.counts.tolist() == [1, 1, 0]  # nothing was added by what was refused


# ---- models -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    return train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)


def test_networks_of_ours_are_read_through_their_features(digits):
    X, X_test, y, y_test = digits
    names = np.array([f"digit {label}" for label in range(10)])
    classifier = SquareLossNetClassifier(hidden_layer_sizes=(64, 32), max_iter=3, random_state=0)
    classifier.fit(X, names[y])
    found = neural_collapse(classifier, X, names[y], X_test, names[y_test])
    W, b = (classifier.weights_[f"head.{name}"] for name in ("weight", "bias"))
    expected = neural_collapse(
        classifier.transform(X),
        y=y,
        X_test=classifier.transform(X_test),
        y_test=y_test,
        head=(W, b),
    )
    assert found == expected
    assert found.test_accuracy == pytest.approx(classifier.score(X_test, names[y_test]))
    first = neural_collapse(classifier, X, names[y], layer="body.linear1")
    assert first.n_features == 64
    assert first.nc4_disagreement is None
    with pytest.raises(ValueError, match="body.linear1, body.activation1"):
        neural_collapse(classifier, X, names[y], layer="body.linear9")
    piped = make_pipeline(StandardScaler(with_std=False), classifier).fit(X, names[y])
    assert neural_collapse(piped, X, names[y]).n_features == 32


def test_sequences_of_ours_are_read(digits):
    X, _, y, _ = digits
    classifier = SquareLossNetClassifier(
        architecture="lstm",
        input_shape=(8, 8),
        architecture_options={"width": 8},
        max_iter=1,
        random_state=0,
    ).fit(X[:200], y[:200])
    found = neural_collapse(classifier, X, y)
    H = classifier.transform(X)
    assert found.nc1_ratio == pytest.approx(neural_collapse(H, y=y).nc1_ratio, rel=1e-6)
    assert found.accuracy == pytest.approx(classifier.score(X, y))


def test_two_layer_networks_have_a_fixed_head():
    rng = np.random.default_rng(12)
    y = np.repeat([0, 1], 10)
    X = rng.standard_normal((20, 2, 12))
    X[:, 0] = np.where(y == 1, 1, -1)[:, None] * np.eye(12)[0] * 3
    network = TwoLayerCNNClassifier(random_state=0).fit(X, y)
    found = neural_collapse(network, X, y)
    assert found.accuracy == network.score(X, y)
    assert found.n_features == network.coef_.shape[0] * network.coef_.shape[1]


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_perceptrons_of_scikit_learn_are_read(digits, activation):
    X, X_test, y, y_test = digits
    model = MLPClassifier((20, 12), activation=activation, max_iter=300, tol=0.1, random_state=0)
    model.fit(X, y)
    found = neural_collapse(model, X, y, X_test, y_test)
    assert found.n_features == 12
    assert found.accuracy == pytest.approx(model.score(X, y))
    assert found.test_accuracy == pytest.approx(model.score(X_test, y_test))
    assert neural_collapse(model, X, y, layer="body.activation1").n_features == 20
    with pytest.raises(ValueError, match="one of body, .*body.activation2, head; got 'hidden3'"):
        neural_collapse(model, X, y, layer="hidden3")


def test_binary_perceptrons_have_one_output(digits):
    X, _, y, _ = digits
    model = MLPClassifier((8,), max_iter=300, tol=0.1, random_state=0).fit(X, y > 4)
    found = neural_collapse(model, X, y > 4)
    assert found.accuracy == pytest.approx(model.score(X, y > 4))
    assert found.nc4_disagreement is not None


class SmallCNN(nn.Module):
    """Convolutions with batch norm and a functional ending, as in torchvision."""

    def __init__(self, n_outputs=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.5)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8, n_outputs)

    def forward(self, X):
        X = self.relu(self.bn1(self.conv1(X)))
        X = self.relu(self.bn2(self.conv2(X)) + 0)
        return self.fc(self.dropout(torch.flatten(self.avgpool(X), 1)))


def states(module):
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules()]
    values = {name: value.clone() for name, value in module.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in module.parameters()]
    return [m.training for m in module.modules()], hooks, values, grads


def test_modules_come_back_unchanged(digits):
    X, _, y, _ = digits
    module = SmallCNN()
    images = torch.from_numpy(X).reshape(-1, 1, 8, 8)
    module.train()
    module.bn1.eval()  # modes may differ
    module.conv1.weight.requires_grad_(False)
    module(images[:4]).square().sum().backward()
    before, stream = states(module), torch.get_rng_state()
    found = neural_collapse(module, images, y)
    after = states(module)
    assert before[:2] == after[:2]
    assert all(torch.equal(before[2][name], after[2][name]) for name in before[2])
    for one, two in zip(before[3], after[3], strict=True):
        assert (one is None and two is None) or torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), stream)
    assert found.n_features == 8
    # In evaluation mode: batch norm by running statistics, no dropout.
    module.eval()
    with torch.no_grad():
        accuracy = (module(images).argmax(1).numpy() == y).mean()
    assert found.accuracy == pytest.approx(accuracy)
    maps = neural_collapse(module, images, y, layer="conv2")
    assert maps.n_features == 8
    assert neural_collapse(module, images, y, layer="conv2", pool="flatten").n_features == 512
    before = states(module)
    with pytest.raises(ValueError, match="'penultimate' or one of conv1, bn1"):
        neural_collapse(module, images, y, layer="conv3")
    assert before[:2] == states(module)[:2]


def test_layers_before_one_that_works_in_place_are_not_overwritten(digits):
    X, _, y, _ = digits
    module = nn.Sequential(nn.Linear(64, 8), nn.ReLU(inplace=True), nn.Linear(8, 10))
    with torch.no_grad():
        H = module[0](torch.from_numpy(X)).numpy()
    assert (H < 0).any()
    found = neural_collapse(module, X, y, layer="0")
    assert found.nc1_ratio == pytest.approx(neural_collapse(H, y=y).nc1_ratio, rel=1e-9)


class Recurrent(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.lstm = nn.LSTM(8, 5, batch_first=batch_first)
        self.head = nn.Linear(5, 10)

    def forward(self, X):
        first = self.lstm.batch_first
        steps = self.lstm(X if first else X.transpose(0, 1))[0]
        return self.head(steps[:, -1] if first else steps[-1])


@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers_are_averaged_over_steps(digits, batch_first):
    X, _, y, _ = digits
    module, sequences = Recurrent(batch_first), X.reshape(-1, 8, 8)
    assert neural_collapse(module, sequences, y).n_features == 5
    steps = torch.from_numpy(sequences)
    with torch.no_grad():
        H = module.lstm(steps if batch_first else steps.transpose(0, 1))[0]
        H = H.mean(1 if batch_first else 0).numpy()
    found = neural_collapse(module, sequences, y, layer="lstm")
    assert found.nc1_ratio == pytest.approx(neural_collapse(H, y=y).nc1_ratio, rel=1e-5)


def test_batch_statistics_in_evaluation_mode_are_named(digits):
    X, _, y, _ = digits
    module = nn.Sequential(
        nn.Linear(64, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 10)
    )
    with pytest.warns(UserWarning, match="Layers 1 normalize by the batch"):
        neural_collapse(module, X, y)


def test_labels_of_a_module_are_indices_or_stand_in_order(digits):
    X, _, y, _ = digits
    module = nn.Linear(64, 10)
    with torch.no_grad():
        predicted = module(torch.from_numpy(X)).argmax(1).numpy()
    some = y > 6  # labels 7 to 9 are still outputs 7 to 9
    found = neural_collapse(module, X[some], y[some])
    assert found.accuracy == pytest.approx((predicted == y)[some].mean())
    words = np.array(list("abcdefghij"))
    assert neural_collapse(module, X, words[y]).accuracy == pytest.approx((predicted == y).mean())
    with pytest.raises(ValueError, match="indices of outputs, 0 to 9"):
        neural_collapse(module, X[some], words[y][some])


def test_a_module_that_returns_nan_is_named(digits):
    X, _, y, _ = digits
    broken = nn.Sequential(nn.Linear(64, 4), nn.Linear(4, 10))
    with torch.no_grad():
        broken[0].weight.fill_(torch.nan)
    with pytest.raises(ValueError, match="features of X must be finite"):
        neural_collapse(broken, X, y)


def test_skorch_nets_are_read(digits):
    skorch = pytest.importorskip("skorch")
    X, X_test, y, y_test = digits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = skorch.NeuralNetClassifier(
            nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10)),
            criterion=nn.CrossEntropyLoss,
            max_epochs=3,
            lr=0.1,
            verbose=0,
        ).fit(X, y)
        expected = net.score(X_test, y_test)
    found = neural_collapse(net, X, y, X_test, y_test)
    assert found.n_features == 12
    assert found.test_accuracy == pytest.approx(expected)


def test_what_is_no_model_is_named():
    with pytest.raises(TypeError, match="estimator_or_features must be"):
        neural_collapse(StandardScaler, np.ones((3, 2)), [0, 1, 1])


def test_a_single_sample_adds_no_degree_of_freedom():
    # Pooled: sums of squares 2 + 0, over (3 - 1) + (1 - 1).
    H = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0], [5.0, 5.0]])
    with pytest.warns(RuntimeWarning, match="single training sample"):
        found = neural_collapse(H, y=[0, 0, 0, 1], weighting="sample", unbiased=True)
    assert found.sw_trace == pytest.approx(1.0, rel=1e-14)


@pytest.mark.parametrize("unit", [2.0**-400, 2.0**-200, 2.0**200, 2.0**400])
def test_no_measure_depends_on_the_unit(unit):
    H, y = noisy(simplex(4, 6), 5, 0.3)
    head = np.random.default_rng(0).normal(size=(4, 6))
    one = neural_collapse(H, y=y, head=(head, None), X_test=H[::-1], y_test=y[::-1])
    other = neural_collapse(
        unit * H, y=y, head=(unit * head, None), X_test=unit * H[::-1], y_test=y[::-1]
    )
    for name, value in one._asdict().items():
        if not name.endswith("trace"):
            assert getattr(other, name) == pytest.approx(value, rel=1e-12), name


def test_means_far_from_the_others_take_no_digits_off_their_distance():
    H = np.array([6.75539944e15, 0, 1, 1, 1, 6.75539944e15, 1])[:, None]
    found = neural_collapse(H, y=np.array([1, 0, 2, 0, 0, 1, 2]))
    variance = np.var([0, 1, 1])
    assert found.nc1_cdnv == pytest.approx(variance / 2 / (1 / 3) ** 2 / 3, rel=1e-12)


def test_arrays_that_do_not_belong_together():
    H, y = np.random.default_rng(0).normal(size=(12, 3)), np.arange(12) % 3
    with pytest.raises(ValueError, match="X_test and y_test must be given together"):
        neural_collapse(H, y=y, X_test=H)
    with pytest.raises(ValueError, match="head must have a row for each of the 3 labels, got 2"):
        neural_collapse(H, y=y, head=(np.ones((2, 3)), None))
    whole, other = (ClassStatistics([0, 1, 2]).update(part, y) for part in (H, H[:, :2]))
    with pytest.raises(ValueError, match="Test features must be 3 as in training, got 2"):
        neural_collapse(whole, X_test=other)
