"""Every public estimator through scikit-learn's common checks, with no expected failures.

``make test`` runs this file twice: plain, and with SCIPY_ARRAY_API=1, which adds the checks of
array API dispatch with torch and array-api-strict.
"""

import inspect

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

import skoverparam

# Estimators of texts are left out: scikit-learn's checks have numbers only, and skip its own
# vectorizers, too. What can be checked of ours is in tests/estimators/test_token_ids.py.
ESTIMATORS = [
    public
    for public in (getattr(skoverparam, name) for name in skoverparam.__all__)
    if inspect.isclass(public)
    and issubclass(public, BaseEstimator)
    and public().__sklearn_tags__().input_tags.two_d_array
]


# Some of scikit-learn's checks shuffle by numpy's global stream, others set no random_state.
@pytest.mark.draws_globally
# As in scikit-learn's own run of them: they fit random labels with a few steps.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks([estimator() for estimator in ESTIMATORS])
def test_common_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_array_api_support_is_declared(estimator):
    assert estimator().__sklearn_tags__().array_api_support
