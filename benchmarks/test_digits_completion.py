"""Complete a matrix of scanned digits that is bundled with scikit-learn."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from skoverparam import NTKMatrixCompleter

CONTENDERS = {
    "ours": NTKMatrixCompleter(keep_empty_features=True),
    "KNNImputer": KNNImputer(keep_empty_features=True),
    # A huge tolerance ends after one round without a warning; more do not help here.
    "IterativeImputer, one round": IterativeImputer(
        max_iter=1, tol=1e9, random_state=0, keep_empty_features=True
    ),
}


@pytest.mark.parametrize("contender", CONTENDERS)
def test_digits(measure, contender):
    X_true = load_digits().data
    hidden = np.random.default_rng(0).random(X_true.shape) < 0.2
    X = np.where(hidden, np.nan, X_true)
    task = f"complete digits, {X.shape[0]} x {X.shape[1]}, 20 % hidden"
    completed = measure(task, contender, CONTENDERS[contender].fit_transform, X, rounds=3)
    measure.note(RMSE=np.sqrt(np.mean((completed - X_true)[hidden] ** 2)))
