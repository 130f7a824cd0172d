"""What every fit promises: all of its attributes, or those of the fit before."""

import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.validation import check_is_fitted

from skoverparam import (
    MaxMarginClassifier,
    MinNormRegressor,
    MirrorDescentRegressor,
    SingularKernelRegressor,
)
from skoverparam.kernels import gaussian


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(20, 4))


@pytest.mark.parametrize(
    ("before", "changes", "attribute"),
    [
        (
            MirrorDescentRegressor(feature_map=PolynomialFeatures(2), tol=0.0, max_iter=5),
            {"feature_map": None},
            "feature_map_",
        ),
        (SingularKernelRegressor(), {"exponent": 1.0}, "intrinsic_dimension_"),
        (MaxMarginClassifier(), {"kernel": gaussian}, "coef_"),
        (MaxMarginClassifier(kernel=gaussian), {"kernel": "linear"}, "support_vectors_"),
        (
            MaxMarginClassifier(solver="gd", max_iter=100),
            {"solver": "auto", "max_iter": 10_000},
            "loss_curve_",
        ),
    ],
    ids=["feature_map", "exponent", "kernel", "linear", "solver"],
)
def test_nothing_of_an_earlier_fit_is_left(X, before, changes, attribute):
    y = np.where(X[:, 0] > 0, 1.0, -1.0)
    before.fit(X, y)
    assert hasattr(before, attribute)
    before.set_params(**changes).fit(X, y)
    assert not hasattr(before, attribute)
    assert before.predict(X).shape == (20,)


def test_a_fit_that_fails_leaves_the_one_before(X):
    model = MinNormRegressor().fit(X, X[:, 0])
    expected = model.predict(X)
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X[:, :2], X[:, 0], sample_weight=np.zeros(20))
    assert model.n_features_in_ == 4
    np.testing.assert_array_equal(model.predict(X), expected)


def test_a_first_fit_that_fails_leaves_nothing(X):
    model = MinNormRegressor()
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, X[:, 0], sample_weight=np.zeros(20))
    with pytest.raises(ValueError, match="not fitted"):
        check_is_fitted(model)
