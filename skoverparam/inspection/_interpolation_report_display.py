"""Pictures of an interpolation report."""

import numpy as np

from skoverparam._display import axes_in_a_row
from skoverparam.inspection._interpolation_report import interpolation_report


class InterpolationReportDisplay:
    """Training and test errors over the level of noise in the targets.

    Where the first stays at zero and the second does not rise with it, a model fits noise without
    harm. Make it with :meth:`from_estimator` or :meth:`from_report`; the constructor stores what
    it is given.

    Parameters
    ----------
    report : InterpolationReport
        What :func:`interpolation_report` returned.

    Attributes
    ----------
    test_line_, train_line_ : matplotlib Line2D
        Mean errors on test samples and on the noisy training samples; the former None without
        test samples.

    fill_between_ : matplotlib artist or None
        Between the smallest and largest test error of several repeats.

    ax_, figure_ : matplotlib axes and Figure
        Where it is drawn.

    See Also
    --------
    interpolation_report : Computes it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skoverparam import SingularKernelClassifier
    >>> from skoverparam.inspection import InterpolationReportDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SingularKernelClassifier(exponent=2, n_neighbors=25).fit(X[:300], y[:300])
    >>> display = InterpolationReportDisplay.from_estimator(
    ...     model, X[:300], y[:300], X[300:], y[300:], noise_levels=[0.2, 0.4], random_state=0
    ... )
    >>> display.train_line_.get_ydata()
    array([0., 0., 0.])
    """

    def __init__(self, *, report):
        self.report = report

    @classmethod
    def from_estimator(
        cls, estimator, X, y, X_test=None, y_test=None, *, ax=None, plot_kw=None, **report_kw
    ):
        """Report on a fitted estimator and draw it.

        Parameters
        ----------
        estimator : estimator
            Any fitted classifier or regressor.

        X : array-like of shape (n_samples, n_features)
            The samples it was fitted on.

        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.

        X_test, y_test : array-like, default=None
            Test samples and targets without noise.

        ax : matplotlib axes, default=None
            None makes a new figure.

        plot_kw : dict, default=None
            For :meth:`plot`.

        **report_kw : dict
            For :func:`interpolation_report`: ``noise_levels`` and what else is wanted.

        Returns
        -------
        display : InterpolationReportDisplay
            The drawn display.
        """
        report = interpolation_report(estimator, X, y, X_test, y_test, **report_kw)
        return cls.from_report(report, ax=ax, **(plot_kw or {}))

    @classmethod
    def from_report(cls, report, *, ax=None, **plot_kw):
        """Draw a report that was made before.

        Parameters
        ----------
        report : InterpolationReport
            What :func:`interpolation_report` returned.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : InterpolationReportDisplay
            The drawn display.
        """
        return cls(report=report).plot(ax, **plot_kw)

    def plot(self, ax=None, *, name=None, test_kw=None, train_kw=None, fill_between_kw=None):
        """Draw errors over the level of noise.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            None makes a new figure.

        name : str, default=None
            Name of the estimator, for the legend.

        test_kw, train_kw, fill_between_kw : dict, default=None
            For the lines, and for the area between repeats, over the defaults.

        Returns
        -------
        self : InterpolationReportDisplay
            With the artists as attributes.
        """
        report = self.report
        ax = axes_in_a_row(self, ax, 1, size=(6.0, 4.0))[0]
        self.ax_, self.figure_ = ax, ax.figure
        self.test_line_ = self.fill_between_ = None
        prefix = "" if name is None else f"{name}, "
        test, color = report.noise_test_error, "C0"
        if report.test_error is not None:
            style = {"marker": "o", "label": f"{prefix}test", **(test_kw or {})}
            (self.test_line_,) = ax.plot(report.noise_levels, test.mean(axis=1), **style)
            color = self.test_line_.get_color()
            if test.shape[1] > 1:
                style = {"color": color, "alpha": 0.2, "linewidth": 0, **(fill_between_kw or {})}
                low, high = np.min(test, axis=1), np.max(test, axis=1)
                self.fill_between_ = ax.fill_between(report.noise_levels, low, high, **style)
        style = {"color": color, "linestyle": ":", "label": f"{prefix}training"}
        train = report.noise_train_error.mean(axis=1)
        (self.train_line_,) = ax.plot(report.noise_levels, train, **style | (train_kw or {}))
        ax.set(xlabel="noise in the training targets", ylabel="error")
        ax.legend(frameon=False)
        return self
