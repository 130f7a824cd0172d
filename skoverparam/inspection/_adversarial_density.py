"""How close everywhere is to a point that a model gets wrong."""

from typing import NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.neighbors import NearestNeighbors
from sklearn.utils.validation import check_consistent_length

from skoverparam._arrays import finite_array, to_numpy
from skoverparam._display import axes_in_a_row, pandas
from skoverparam._params import check_number


class AdversarialDensity(NamedTuple):
    """How far queries are from points that a model gets wrong.

    Attributes
    ----------
    eps : ndarray of shape (n_eps,)
        Distances.

    fraction : ndarray of shape (n_eps,)
        Share of the queries with such a point within each distance.

    distances : ndarray of shape (n_queries,)
        Distance of each query from the nearest such point; infinite if there is none.

    misfits : ndarray of int of shape (n_misfits,)
        Indices of the samples that the model gets wrong.
    """

    eps: np.ndarray
    fraction: np.ndarray
    distances: np.ndarray
    misfits: np.ndarray

    def to_frame(self):
        """Make a pandas data frame with a row for each distance."""
        return pandas().DataFrame({"eps": self.eps, "fraction": self.fraction})


def adversarial_density(model, X, y_true, eps, *, X_query=None, tolerance=0.0):
    r"""Measure how dense the points are that a model gets wrong.

    A model that interpolates noisy labels is wrong at every noisy training point. As samples are
    added such points come close to everything, so that every input has an adversarial one nearby,
    however small the error of the model.

    Parameters
    ----------
    model : estimator
        A fitted classifier or regressor.

    X : array-like of shape (n_samples, n_features)
        Points at which the model may be wrong: its training samples, or any others.

    y_true : array-like of shape (n_samples,)
        The true classes or targets there, without noise.

    eps : float or array-like of shape (n_eps,)
        Distances, positive.

    X_query : array-like of shape (n_queries, n_features), default=None
        From where distances are measured. None takes the samples of `X` that the model gets
        right.

    tolerance : float, default=0.0
        A regressor is wrong where it misses the truth by more than that.

    Returns
    -------
    density : AdversarialDensity
        Named tuple of ``eps``, the ``fraction`` of queries within each, the ``distances`` of the
        queries and the ``misfits``; ``to_frame()`` makes a pandas data frame of it.

    Raises
    ------
    ValueError
        If shapes do not fit or a distance is not positive.

    See Also
    --------
    AdversarialDensityDisplay : Draws it.
    interpolation_report : Residual, norm, leave-one-out error and sensitivity to noise.

    Notes
    -----
    With n training points in d dimensions of which a share p is wrong, the distance of the nearest
    is of the order of :math:`(n p)^{-1/d}`: what is quick in two dimensions takes very many
    samples in twenty. Nothing is attacked here, no gradient taken: points of `X` that are wrong
    are found, and neighbors of the queries among them. Averages that smooth the noise away have
    no such points.

    References
    ----------
    M. Belkin, "Fit without fear: remarkable mathematical phenomena of deep learning through the
    prism of interpolation", Acta Numerica 2021, arXiv:2105.14368.

    M. Belkin, D. Hsu, P. Mitra, "Overfitting or perfect fitting? Risk bounds for classification
    and regression rules that interpolate", NeurIPS 2018, arXiv:1806.05161.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import SingularKernelClassifier
    >>> from skoverparam.inspection import adversarial_density
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(4000, 2))
    >>> y_true = (X[:, 0] > 0.5).astype(int)
    >>> y = np.where(rng.random(4000) < 0.1, 1 - y_true, y_true)
    >>> model = SingularKernelClassifier(exponent=1, n_neighbors=25).fit(X, y)
    >>> adversarial_density(model, X, y_true, [0.02, 0.05]).fraction.round(1)
    array([0.4, 0.9])
    """
    check_number(tolerance, "tolerance", low=0)
    eps = finite_array(np.atleast_1d(to_numpy(eps)), "eps", n_dims=1)
    if not (eps > 0).all():
        raise ValueError(f"eps must hold positive distances, got {eps.min():g} among them.")
    points = finite_array(X, "X")
    y_true = np.asarray(to_numpy(y_true))
    if not is_classifier(model):
        y_true = finite_array(y_true, "y_true", n_dims=y_true.ndim)
    check_consistent_length(points, y_true)
    predicted = np.asarray(to_numpy(model.predict(X)))
    if predicted.shape != y_true.shape:
        raise ValueError(
            f"y_true must have the shape of the predictions, {predicted.shape}, got "
            f"{y_true.shape}."
        )
    wrong = predicted != y_true if is_classifier(model) else np.abs(predicted - y_true) > tolerance
    wrong = wrong.reshape(len(wrong), -1).any(axis=1)
    queries = points[~wrong] if X_query is None else finite_array(X_query, "X_query")
    if queries.shape[1] != points.shape[1]:
        raise ValueError(
            f"X_query must have the {points.shape[1]} columns of X, got shape {queries.shape}."
        )
    distances = np.full(len(queries), np.inf)
    if wrong.any() and len(queries):
        neighbors = NearestNeighbors(n_neighbors=1).fit(points[wrong])
        distances = neighbors.kneighbors(queries)[0][:, 0]
    within = distances[None, :] <= eps[:, None]
    fraction = within.mean(axis=1) if len(queries) else np.full(len(eps), np.nan)
    return AdversarialDensity(eps, fraction, distances, np.flatnonzero(wrong))


class AdversarialDensityDisplay:
    """How close queries are to points that a model gets wrong, at every distance.

    Make it with :meth:`from_estimator` or :meth:`from_density`; the constructor stores what it is
    given.

    Parameters
    ----------
    density : AdversarialDensity
        What :func:`adversarial_density` returned.

    Attributes
    ----------
    line_ : matplotlib Line2D
        Share of the queries over the distance.

    markers_ : matplotlib Line2D
        The distances that were asked for.

    ax_, figure_ : matplotlib axes and Figure
        Where it is drawn.

    See Also
    --------
    adversarial_density : Computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import SingularKernelClassifier
    >>> from skoverparam.inspection import AdversarialDensityDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(size=(500, 2))
    >>> y = np.where(rng.random(500) < 0.1, 1, 0)  # the truth is 0
    >>> model = SingularKernelClassifier(exponent=1, n_neighbors=25).fit(X, y)
    >>> display = AdversarialDensityDisplay.from_estimator(model, X, np.zeros(500), eps=0.05)
    >>> display.ax_.get_ylabel()
    'share of samples'
    """

    def __init__(self, *, density):
        self.density = density

    @classmethod
    def from_estimator(
        cls, estimator, X, y_true, *, eps, X_query=None, tolerance=0.0, ax=None, **plot_kw
    ):
        """Measure the density of points that a fitted model gets wrong, and draw it.

        Parameters
        ----------
        estimator : estimator
            A fitted classifier or regressor.

        X : array-like of shape (n_samples, n_features)
            Points at which it may be wrong.

        y_true : array-like of shape (n_samples,)
            The truth there.

        eps : float or array-like of shape (n_eps,)
            Distances to mark.

        X_query : array-like of shape (n_queries, n_features), default=None
            As in :func:`adversarial_density`.

        tolerance : float, default=0.0
            As in :func:`adversarial_density`.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : AdversarialDensityDisplay
            The drawn display.
        """
        density = adversarial_density(
            estimator, X, y_true, eps, X_query=X_query, tolerance=tolerance
        )
        return cls.from_density(density, ax=ax, **plot_kw)

    @classmethod
    def from_density(cls, density, *, ax=None, **plot_kw):
        """Draw what was measured before.

        Parameters
        ----------
        density : AdversarialDensity
            What :func:`adversarial_density` returned.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : AdversarialDensityDisplay
            The drawn display.
        """
        return cls(density=density).plot(ax, **plot_kw)

    def plot(self, ax=None, *, line_kw=None, marker_kw=None):
        """Draw the share of queries with a wrong point within each distance.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            None makes a new figure.

        line_kw, marker_kw : dict, default=None
            For the line and for the marks on it, over the defaults.

        Returns
        -------
        self : AdversarialDensityDisplay
            With the artists as attributes.
        """
        ax = axes_in_a_row(self, ax, 1, size=(6.0, 4.0))[0]
        self.ax_, self.figure_ = ax, ax.figure
        density = self.density
        finite = np.sort(density.distances[np.isfinite(density.distances)])
        x = np.concatenate([[0.0], finite])
        share = np.arange(len(x)) / max(len(density.distances), 1)
        style = {"color": "C0", "drawstyle": "steps-post", **(line_kw or {})}
        (self.line_,) = ax.plot(x, share, **style)
        style = {"color": self.line_.get_color(), "marker": "o", "linestyle": "none"}
        (self.markers_,) = ax.plot(density.eps, density.fraction, **style | (marker_kw or {}))
        ax.set(xlabel="distance of the nearest point that is wrong", ylabel="share of samples")
        ax.set_ylim(-0.02, 1.02)
        return self
