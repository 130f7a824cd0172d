"""Fitted estimators on their way through files: into a fresh process, and by types to trust."""

import os
import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import skops.io
from sklearn.base import clone

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

# What a file may ask for besides the types of numpy and scikit-learn that skops trusts itself.
OURS = "skoverparam."
SEARCH_TREES = {
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.neighbors._kd_tree.KDTree",
}

READER = """
    import pickle
    import sys

    with open(sys.argv[1], "rb") as file:
        models, questions = pickle.load(file)
    answers = {
        name: {method: getattr(models[name], method)(X) for method in methods}
        for name, (methods, X) in questions.items()
    }
    with open(sys.argv[2], "wb") as file:
        pickle.dump(answers, file)
"""


def assert_equal_bits(found, expected):
    assert found.keys() == expected.keys()
    for method in expected:
        assert found[method].dtype == expected[method].dtype
        assert found[method].tobytes() == expected[method].tobytes(), method


def test_a_fresh_process_predicts_the_same_bits(cases, tmp_path):
    models, questions, expected = {}, {}, {}
    for name, case in cases.items():
        models[name] = clone(case.estimator).fit(*case.first)
        questions[name] = case.methods, case.first[0]
        expected[name] = case.answers(models[name], case.first)
    there, back = tmp_path / "models.pkl", tmp_path / "answers.pkl"
    there.write_bytes(pickle.dumps((models, questions)))
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READER), there, back],
        check=True,
        # Sums are split by threads: the same number of them here and there.
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    answers = pickle.loads(back.read_bytes())
    assert answers.keys() == expected.keys()
    for name in expected:
        assert_equal_bits(answers[name], expected[name])


def test_a_pickle_holds_no_tensors(case):
    fitted = clone(case.estimator).fit(*case.first)
    # Tensors of torch would tie the file to a device, and to a version of torch.
    assert b"_rebuild_tensor" not in pickle.dumps(fitted)


def test_skops_needs_trust_in_our_own_types_and_search_trees(case):
    fitted = clone(case.estimator).fit(*case.first)
    dumped = skops.io.dumps(fitted)
    types = skops.io.get_untrusted_types(data=dumped)
    assert type(fitted).__module__.startswith(OURS)
    assert f"{type(fitted).__module__}.{type(fitted).__name__}" in types
    foreign = {name for name in types if not name.startswith(OURS)}
    assert foreign <= SEARCH_TREES, foreign
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException):
        skops.io.loads(dumped)
    loaded = skops.io.loads(dumped, trusted=types)
    assert_equal_bits(case.answers(loaded, case.first), case.answers(fitted, case.first))


def test_a_loaded_estimator_can_be_fitted_again(case):
    loaded = pickle.loads(pickle.dumps(clone(case.estimator).fit(*case.first)))
    again = case.answers(loaded.fit(*case.second), case.second)
    fresh = clone(case.estimator).fit(*case.second)
    assert_equal_bits(again, case.answers(fresh, case.second))


def test_arrays_that_were_given_are_not_changed(case):
    X, y = case.first
    before = np.array(X, copy=True), None if y is None else np.array(y, copy=True)
    case.answers(clone(case.estimator).fit(X, y), case.first)
    np.testing.assert_array_equal(X, before[0])
    if y is not None:
        np.testing.assert_array_equal(y, before[1])
