"""What every estimator shares: the documentation link of its diagram, and fits that are whole.

A fit assigns attributes one after another, the number of features first. Whatever ends it early,
an error or an interrupt, must not leave some of the new ones beside some of the old. Nor may an
attribute that depends on a parameter stay when a fit with another value does not set it.
"""

from __future__ import annotations

from functools import wraps

from sklearn.base import BaseEstimator

from skoverparam._arrays import NumpyStateMixin


class DocumentedEstimator(NumpyStateMixin, BaseEstimator):
    """Link the HTML diagram to the package's documentation. Think twice before adding here."""

    _doc_link_module = "skoverparam"
    _doc_link_template = (
        "https://skoverparam.readthedocs.io/en/latest/generated/skoverparam.{estimator_name}.html"
    )


def all_or_nothing(keeps=None):
    """Undo a fit that does not return: the estimator is then what it was before.

    A fit begins without the attributes of the one before, unless it goes on from there: with
    ``warm_start``, or with `keeps`. The decorator goes around the callbacks, whose own attributes
    are gone when it looks.

    Parameters
    ----------
    keeps : str, default=None
        An attribute that, once it is new, stands for a whole fit: an interrupted training may
        have put its last whole epoch in place.

    Returns
    -------
    decorator : callable
        For ``fit``, and for ``partial_fit``.
    """

    def decorate(fit):
        @wraps(fit)
        def whole(self, *args, **kwargs):
            before = dict(vars(self))
            if keeps is None and not getattr(self, "warm_start", False):
                self.__dict__ = {k: v for k, v in before.items() if not _is_fitted(k)}
            try:
                return fit(self, *args, **kwargs)
            except BaseException:
                now = vars(self)
                if keeps is None or now.get(keeps) is before.get(keeps):
                    # One assignment, which a second interrupt cannot divide.
                    self.__dict__ = before
                raise

        return whole

    return decorate


def _is_fitted(name):
    return name.endswith("_") and not name.startswith("_")
