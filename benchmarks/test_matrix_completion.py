"""Complete generated matrices, and measured drug responses where they are found."""

import warnings

import numpy as np
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from skoverparam import NTKMatrixCompleter
from skoverparam.datasets import make_low_rank_matrix_with_missing
from skoverparam.model_selection import EntryShuffleSplit

CONTENDERS = {
    "ours": NTKMatrixCompleter(random_state=0),
    "KNNImputer": KNNImputer(n_neighbors=10),
    "IterativeImputer, one round": IterativeImputer(max_iter=1, random_state=0),
}


def completed_by(measure, task, contender, X, **kwargs):
    with warnings.catch_warnings():
        # One round does not converge; more take longer and predict worse.
        warnings.filterwarnings("ignore", message=".*Early stopping criterion not reached")
        return measure(task, contender, CONTENDERS[contender].fit_transform, X, **kwargs)


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("mechanism", ["random", "blocks"])
def test_generated(measure, contender, mechanism):
    X, X_true = make_low_rank_matrix_with_missing(
        500, 100, rank=8, missing=0.3, noise=0.3, mechanism=mechanism, random_state=0
    )
    task = f"complete a noisy rank-8 matrix, {X.shape[0]} x {X.shape[1]}, holes: {mechanism}"
    completed = completed_by(measure, task, contender, X)
    measure.note(RMSE=np.sqrt(np.mean((completed - X_true)[np.isnan(X)] ** 2)))


@pytest.mark.parametrize("contender", CONTENDERS)
def test_new_rows(measure, contender):
    X, X_true = make_low_rank_matrix_with_missing(
        600, 60, rank=6, missing=0.3, noise=0.3, random_state=0
    )
    train, new = X[:400], X[400:]
    imputer = CONTENDERS[contender]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Early stopping criterion not reached")
        imputer.fit(train)
    task = f"transform {new.shape[0]} new rows of {new.shape[1]} columns"
    completed = measure(task, contender, imputer.transform, new, rounds=3)
    measure.note(RMSE=np.sqrt(np.mean((completed - X_true[400:])[np.isnan(new)] ** 2)))


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("held_out", ["at random", "in blocks"])
def test_drug_responses(measure, data_folder, contender, held_out):
    path = data_folder / "completion" / "gdsc_ic50.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    X = np.load(path, allow_pickle=True)["X"]
    # Tissues are not in the file: consecutive cell lines make up the groups.
    groups = None if held_out == "at random" else np.arange(len(X)) * 25 // len(X)
    splitter = EntryShuffleSplit(1, test_size=0.1, random_state=0)
    X_train, held = next(splitter.split(X, groups=groups))
    task = f"GDSC drug responses, {X.shape[0]} x {X.shape[1]}, 10 % held out {held_out}"
    completed = completed_by(measure, task, contender, X_train)
    measure.note(RMSE=np.sqrt(np.mean((completed - X)[held] ** 2)))
