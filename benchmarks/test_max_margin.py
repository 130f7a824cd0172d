"""Hard margins: exact solvers beside libsvm with a large penalty, end to end."""

import numpy as np
import pytest
from sklearn.svm import SVC

from skoverparam import MaxMarginClassifier
from skoverparam.datasets import make_subgaussian_mixture


class PrecomputedSVC:
    """What one does to speed libsvm up: one matrix product, then its solver."""

    def __init__(self, **parameters):
        self._svc = SVC(kernel="precomputed", **parameters)

    def fit(self, X, y):
        self._svc.fit(X @ X.T, y)
        self.coef_ = self._svc.dual_coef_ @ X[self._svc.support_]
        return self


WIDE = {
    "ours": MaxMarginClassifier(),
    "SVC, C=1e10": SVC(kernel="linear", C=1e10),
    "SVC on the Gram matrix, C=1e10": PrecomputedSVC(C=1e10),
    "SVC on the Gram matrix, tol=1e-8": PrecomputedSVC(C=1e10, tol=1e-8),
}
LONG = {
    "ours": MaxMarginClassifier(),
    "SVC, C=1e10": SVC(kernel="linear", C=1e10),
}


def margin(coef, X, y):
    """Half the gap between the classes along the coefficients: what any classifier reaches."""
    projected = X @ coef[0]
    width = projected[y > 0].min() - projected[y < 0].max()
    return width / 2 / np.linalg.norm(coef)


@pytest.mark.parametrize("contender", WIDE)
@pytest.mark.parametrize(("n", "d"), [(1000, 10_000), (2000, 20_000), (2000, 3000)])
def test_wide(measure, contender, n, d):
    if contender.startswith("SVC, ") and n * d > 10**7:
        pytest.skip("takes ten minutes and more: libsvm forms its kernel value by value")
    X, y = make_subgaussian_mixture(n, d, mean=3.0, random_state=0)
    task = f"widest margin of {n} samples with {d} features"
    fitted = measure(task, contender, WIDE[contender].fit, X, y)
    measure.note(margin=margin(fitted.coef_, X, y))


@pytest.mark.parametrize("contender", LONG)
def test_long(measure, contender):
    X, y = make_subgaussian_mixture(20_000, 50, mean=6.0, random_state=0)
    task = "widest margin of 20000 samples with 50 features"
    fitted = measure(task, contender, LONG[contender].fit, X, y)
    measure.note(margin=margin(fitted.coef_, X, y))


def test_not_separable(measure):
    X, y = make_subgaussian_mixture(20_000, 50, mean=6.0, flip=0.05, random_state=0)
    task = "20000 samples with 50 features, 5 % of the labels flipped: proof of no margin"
    fitted = measure(task, "ours", MaxMarginClassifier().fit, X, y)
    proof = fitted.certificate_[0]
    measure.note(residual=np.linalg.norm(proof @ X), weights=np.abs(proof).sum())
