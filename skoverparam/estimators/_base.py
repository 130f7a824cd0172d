"""What every estimator of the package shares: the documentation link of its HTML diagram."""

from __future__ import annotations

from sklearn.base import BaseEstimator

from skoverparam._arrays import NumpyStateMixin


class DocumentedEstimator(NumpyStateMixin, BaseEstimator):
    """Link the HTML diagram to the package's documentation. Think twice before adding here."""

    _doc_link_module = "skoverparam"
    _doc_link_template = (
        "https://skoverparam.readthedocs.io/en/latest/generated/skoverparam.{estimator_name}.html"
    )
