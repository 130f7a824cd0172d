"""Pictures of generalization curves."""

import numpy as np

from skoverparam._display import axes_in_a_row
from skoverparam._params import check_option
from skoverparam.model_selection._generalization_curve import generalization_curve

_STATISTICS = ("median", "mean")


class GeneralizationCurveDisplay:
    """A generalization curve: test errors over the size of a model, and what theory says.

    Make it with :meth:`from_estimator` or :meth:`from_curve`; the constructor stores what it is
    given.

    Parameters
    ----------
    curve : GeneralizationCurve
        What :func:`generalization_curve` returned.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        Test scores, a line for each statistic.

    train_line_ : matplotlib Line2D or None
        Training scores.

    fill_between_ : matplotlib artist or None
        Between the lowest and the highest of the quantiles.

    theory_line_ : matplotlib Line2D or None
        The line of theory.

    threshold_line_ : matplotlib Line2D or None
        The interpolation threshold, if it is within the range drawn.

    ax_, figure_ : matplotlib axes and Figure
        Where it is drawn.

    See Also
    --------
    generalization_curve : Computes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import MinNormRegressor
    >>> from skoverparam.model_selection import GeneralizationCurveDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 100))
    >>> y = X.sum(axis=1) / 10 + 0.5 * rng.normal(size=60)
    >>> display = GeneralizationCurveDisplay.from_estimator(
    ...     MinNormRegressor(), X, y, param_range=range(1, 101), random_state=0
    ... )
    >>> display.threshold_line_.get_label()
    'interpolation threshold: 44'
    """

    def __init__(self, *, curve):
        self.curve = curve

    @classmethod
    def from_estimator(cls, estimator, X, y=None, *, ax=None, plot_kw=None, **curve_kw):
        """Compute a curve and draw it.

        Parameters
        ----------
        estimator : estimator
            Anything with ``fit`` and ``predict``.

        X : array-like of shape (n_samples, n_features), or callable
            As in :func:`generalization_curve`.

        y : array-like of shape (n_samples,) or (n_samples, n_targets), default=None
            Targets; None if X is a callable.

        ax : matplotlib axes, default=None
            None makes a new figure.

        plot_kw : dict, default=None
            For :meth:`plot`.

        **curve_kw : dict
            For :func:`generalization_curve`: ``param_range`` and what else is wanted.

        Returns
        -------
        display : GeneralizationCurveDisplay
            The drawn display.
        """
        curve = generalization_curve(estimator, X, y, **curve_kw)
        return cls.from_curve(curve, ax=ax, **(plot_kw or {}))

    @classmethod
    def from_curve(cls, curve, *, ax=None, **plot_kw):
        """Draw a curve that was computed before.

        Parameters
        ----------
        curve : GeneralizationCurve
            What :func:`generalization_curve` returned.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : GeneralizationCurveDisplay
            The drawn display.
        """
        return cls(curve=curve).plot(ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        statistic="median",
        train=True,
        xscale="linear",
        yscale="auto",
        score_name=None,
        line_kw=None,
        train_kw=None,
        fill_between_kw=None,
        theory_kw=None,
        threshold_kw=None,
    ):
        """Draw the curve.

        Scores that are negative errors are drawn as errors.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            None makes a new figure.

        statistic : {"median", "mean"} or list of them, default="median"
            What is drawn of the repeats.

        train : bool, default=True
            Whether training scores are drawn, too. On a logarithmic scale they leave the
            picture where they are zero to rounding.

        xscale : str, default="linear"
            Scale of the horizontal axis.

        yscale : str, default="auto"
            Scale of the vertical axis. "auto" is "log" if scores are positive and those of the
            tests span more than a factor of 20.

        score_name : str, default=None
            Label of the vertical axis.

        line_kw, train_kw, fill_between_kw, theory_kw, threshold_kw : dict, default=None
            For the lines, and for the area between quantiles, over the defaults.

        Returns
        -------
        self : GeneralizationCurveDisplay
            With the artists as attributes.
        """
        curve = self.curve
        statistics = [statistic] if isinstance(statistic, str) else list(statistic)
        for name in statistics:
            check_option(name, "statistic", _STATISTICS)
        sign = -1.0 if curve.negate else 1.0
        x, ax = curve.param_range, axes_in_a_row(self, ax, 1, size=(6.0, 4.0))[0]
        self.ax_, self.figure_ = ax, ax.figure
        several = curve.test_scores.shape[1] > 1
        self.lines_ = []
        for name, style in zip(statistics, ("-", "--"), strict=False):
            label = f"test, {name} of {curve.test_scores.shape[1]}" if several else "test"
            style = {"color": "C0", "linestyle": style, "label": label, **(line_kw or {})}
            self.lines_ += ax.plot(x, sign * getattr(curve, name), **style)
        self.fill_between_ = None
        if several and curve.quantiles.shape[1] > 1:
            style = {"color": "C0", "alpha": 0.2, "linewidth": 0, **(fill_between_kw or {})}
            band = sign * curve.quantiles
            self.fill_between_ = ax.fill_between(x, band.min(1), band.max(1), **style)
        shown = sign * np.concatenate([curve.median, curve.mean])
        scale = yscale
        if yscale == "auto":
            wide = (shown > 0).all() and shown.max() > 20 * shown.min()
            scale = "log" if wide else "linear"
        self.train_line_ = self.theory_line_ = self.threshold_line_ = None
        if curve.theory is not None:
            style = {"color": "0.2", "linestyle": ":", "label": "theory", **(theory_kw or {})}
            # Infinite at the threshold: the line leaves the picture there.
            values = np.where(np.isfinite(curve.theory), curve.theory, np.nan)
            (self.theory_line_,) = ax.plot(x, values, **style)
        ax.set(xscale=xscale, yscale=scale, xlabel=curve.param_name.replace("_", " "))
        ax.set_ylabel(score_name or ("test error" if curve.negate else "score"))
        if train:
            limits = ax.get_ylim()
            style = {"color": "C1", "label": "training", **(train_kw or {})}
            (self.train_line_,) = ax.plot(x, sign * np.median(curve.train_scores, axis=1), **style)
            if scale == "log":
                # Training errors of 1e-30 would leave no room for the others.
                floor = max(ax.get_ylim()[0], limits[0] / 10)
                ax.set_ylim(floor, limits[1])
        self._mark_threshold(threshold_kw)
        ax.legend(frameon=False)
        return self

    def _mark_threshold(self, threshold_kw):
        threshold, x = self.curve.threshold, self.curve.param_range
        if threshold is None or not min(x) <= threshold <= max(x):
            return
        style = {"color": "0.6", "linestyle": "--", "linewidth": 1, "zorder": 0}
        style |= {"label": f"interpolation threshold: {threshold:g}", **(threshold_kw or {})}
        self.threshold_line_ = self.ax_.axvline(threshold, **style)
