"""Predict ratings beside what scikit-learn offers for pairs of ids: a ridge on one-hot ids."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skoverparam import NTKInteractionRegressor
from skoverparam.datasets import make_low_rank_matrix_with_missing

CONTENDERS = {
    "ours": NTKInteractionRegressor(),
    "ours, settings given": NTKInteractionRegressor(alpha=0.5, mask_weight=3.0),
    # Offsets of rows and columns, shrunken: what any model of interactions has to beat.
    "Ridge on one-hot ids": make_pipeline(
        OneHotEncoder(handle_unknown="ignore"), Ridge(alpha=3.0, solver="sparse_cg")
    ),
}


def judge(measure, task, contender, train, test):
    model = CONTENDERS[contender]
    measure(task, contender, model.fit, *train)
    pairs, y = test
    measure.note(RMSE=np.sqrt(np.mean((model.predict(pairs) - y) ** 2)))


@pytest.mark.parametrize("contender", CONTENDERS)
def test_generated_ratings(measure, contender):
    X, _ = make_low_rank_matrix_with_missing(
        2000, 800, rank=4, missing=0.95, noise=0.5, mechanism="uneven", random_state=0
    )
    pairs = np.argwhere(~np.isnan(X))
    y = X[pairs[:, 0], pairs[:, 1]]
    test = np.random.default_rng(0).random(len(y)) < 0.1
    task = f"{len(y)} generated ratings, 2000 x 800"
    judge(measure, task, contender, (pairs[~test], y[~test]), (pairs[test], y[test]))


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("name", ["flixster", "douban"])
def test_ratings(measure, data_folder, contender, name):
    path = data_folder / "completion" / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    data = np.load(path)

    def part(which):
        pairs = np.column_stack([data[f"{which}_rows"], data[f"{which}_cols"]])
        return pairs, data[f"{which}_values"]

    task = f"{name} ratings, published split, no side information"
    judge(measure, task, contender, part("train"), part("test"))
