"""Where features come from, and statistics of them in parts; what is refused, by name."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier

from skoverparam.inspection import ClassStatistics, neural_collapse


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], 20)
    return rng.normal(size=(60, 5)) + 3 * np.eye(5)[y], y


def test_features_of_an_estimator_with_transform(features):
    X, y = features
    pca = PCA(3).fit(X)
    assert neural_collapse(pca, X, y) == neural_collapse(pca.transform(X), y=y)


def test_a_column_of_labels_is_taken_as_labels(features):
    X, y = features
    assert neural_collapse(X, y=y[:, None]) == neural_collapse(X, y=y)


def test_statistics_of_parts_are_those_of_the_whole(features):
    X, y = features
    whole = ClassStatistics([0, 1, 2]).update(X, y)
    means = np.stack([X[y == c].mean(0) for c in range(3)])
    np.testing.assert_allclose(whole.means, means, rtol=1e-13)
    squares = [np.mean(((X[y == c] - means[c]) ** 2).sum(1)) for c in range(3)]
    np.testing.assert_allclose(whole.variances, squares, rtol=1e-13)
    np.testing.assert_array_equal(whole.counts, [20, 20, 20])
    empty, part = ClassStatistics([0, 1, 2]), ClassStatistics([0, 1, 2]).update(X[:30], y[:30])
    part.update(X[:0], y[:0])
    merged = empty.merge(part).merge(ClassStatistics([0, 1, 2]))
    merged.merge(ClassStatistics([0, 1, 2]).update(X[30:], y[30:]))
    np.testing.assert_allclose(merged.means, whole.means, rtol=1e-13)
    np.testing.assert_allclose(merged.variances, whole.variances, rtol=1e-12)
    with pytest.raises(ValueError, match="other must have 5 features, got 4"):
        merged.merge(ClassStatistics([0, 1, 2]).update(X[:, :4], y))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda X, y: neural_collapse(Ridge().fit(X, y), X, y),
            TypeError,
            "estimator with transform",
        ),
        (lambda X, y: neural_collapse(PCA(2).fit(X), X), ValueError, "X and y must be given"),
        (
            lambda X, y: neural_collapse(PCA(2).fit(X), X, y, head=(X, y)),
            ValueError,
            "head must be None for a model",
        ),
        (lambda X, y: neural_collapse(X[:, 0], y=y), ValueError, r"features must have shape"),
        (lambda X, y: neural_collapse(X, y=y[:30]), ValueError, "as many samples, got 60 and 30"),
        (lambda X, y: neural_collapse(X[:0], y=y[:0]), ValueError, "at least one sample|0 sample"),
        (lambda X, y: neural_collapse(X, y=y, head=X), TypeError, "head must be a pair"),
        (
            lambda X, y: neural_collapse(X, y=y, head=(np.ones((3, 4)), None)),
            ValueError,
            r"head must hold W of shape \(n_classes, 5\)",
        ),
        (
            lambda X, y: neural_collapse(X, y=y, X_test=X[:, :2], y_test=y),
            ValueError,
            "X_test must have the 5 columns",
        ),
        (
            lambda X, y: neural_collapse(ClassStatistics([0, 1, 2]).update(X, y), X_test=X),
            ValueError,
            "X_test must be ClassStatistics of the same classes",
        ),
        (
            lambda X, y: neural_collapse(
                ClassStatistics([0, 1, 2]).update(X, y), head=(np.ones((2, 5)), None)
            ),
            ValueError,
            "head must have a row for each of the 3 classes, got 2",
        ),
        (
            lambda X, y: ClassStatistics([0, 1, 2]).update(X, np.c_[y, y]),
            ValueError,
            r"y must have shape \(n_samples,\)",
        ),
        (
            lambda X, y: neural_collapse(
                MLPClassifier((3,), max_iter=1, random_state=0).fit(X, y), X[:, :4], y
            ),
            ValueError,
            r"X must have shape \(n_samples, 5\)",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_bad_input_is_named(features, call, error, message):
    with pytest.raises(error, match=message):
        call(*features)
