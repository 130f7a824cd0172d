"""Pictures of networks that become linear in their parameters, or do not."""

import numpy as np

from skoverparam._display import axes_in_a_row
from skoverparam.inspection._tangent_kernels._tangent_kernel_change import TangentKernelRecorder
from skoverparam.inspection._tangent_kernels._width_sweep import width_sweep

_LABELS = {
    "hessian_norm": "norm of the Hessian",
    "kernel_change": "relative change of the tangent kernel",
    "lambda_min": "smallest eigenvalue of the tangent kernel",
    "lambda_max": "largest eigenvalue of the tangent kernel",
    "n_steps": "steps of gradient descent",
}


class LinearityDisplay:
    """A measure of networks over their width, or of a tangent kernel over time.

    Make it with :meth:`from_sweep`, :meth:`from_factory` or :meth:`from_recorder`; the constructor
    stores what it is given.

    Parameters
    ----------
    x : ndarray of shape (n,)
        Widths, or steps of training.

    values : ndarray of shape (n, k)
        Values, a column for each seed.

    quantity : str
        What they are.

    line : (float, float, float) or None, default=None
        Slope, its standard error and the intercept of a straight line in logarithms.

    x_name : {"width", "step"}, default="width"
        What x is.

    Attributes
    ----------
    points_ : matplotlib Line2D
        All values.

    mean_line_ : matplotlib Line2D
        Means over seeds.

    fit_line_ : matplotlib Line2D or None
        The straight line in logarithms.

    reference_line_ : matplotlib Line2D or None
        A line of slope -1/2 through the first mean.

    ax_, figure_ : matplotlib axes and Figure
        Where it is drawn.

    See Also
    --------
    width_sweep : Measures networks over their width.
    TangentKernelRecorder : Records a tangent kernel while a network trains.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import LinearityDisplay, NTKMLP, width_sweep
    >>> def factory(width, seed):
    ...     return NTKMLP(10, [width], output_layer="signs", random_state=seed).double()
    >>> sweep = width_sweep(factory, [64, 256, 1024], np.ones((1, 10)), random_state=0)
    >>> display = LinearityDisplay.from_sweep(sweep)
    >>> display.fit_line_.get_label()
    'slope -0.50 ± 0.00'
    """

    def __init__(self, *, x, values, quantity, line=None, x_name="width"):
        self.x = x
        self.values = values
        self.quantity = quantity
        self.line = line
        self.x_name = x_name

    @classmethod
    def from_factory(
        cls, factory, widths, X, y=None, *, quantity="hessian_norm", ax=None, plot_kw=None, **kw
    ):
        """Measure networks over their width and draw it.

        Parameters
        ----------
        factory : callable
            ``factory(width, seed)`` makes a network.

        widths : array-like of int of shape (n_widths,)
            The widths.

        X : array-like of shape (n, ...)
            Samples.

        y : array-like of shape (n,) or (n, C), default=None
            Targets.

        quantity : str or callable, default="hessian_norm"
            What is measured, as in :func:`width_sweep`.

        ax : matplotlib axes, default=None
            None makes a new figure.

        plot_kw : dict, default=None
            For :meth:`plot`.

        **kw : dict
            For :func:`width_sweep`.

        Returns
        -------
        display : LinearityDisplay
            The drawn display.
        """
        sweep = width_sweep(factory, widths, X, y, quantities=[quantity], **kw)
        return cls.from_sweep(sweep, ax=ax, **(plot_kw or {}))

    @classmethod
    def from_sweep(cls, sweep, quantity=None, *, ax=None, **plot_kw):
        """Draw a quantity of a sweep over widths.

        Parameters
        ----------
        sweep : WidthSweep
            What :func:`width_sweep` returned.

        quantity : str, default=None
            Which of its quantities; None takes the first.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : LinearityDisplay
            The drawn display.
        """
        if quantity is None:
            quantity = next(iter(sweep.values))
        if quantity not in sweep.values:
            raise ValueError(
                f"quantity must be one of {', '.join(map(repr, sweep.values))}; got {quantity!r}."
            )
        parts = (sweep.slopes, sweep.standard_errors, sweep.intercepts)
        line = tuple(part[quantity] for part in parts)
        display = cls(x=sweep.widths, values=sweep.values[quantity], quantity=quantity, line=line)
        return display.plot(ax, **plot_kw)

    @classmethod
    def from_recorder(cls, recorder, *, ax=None, **plot_kw):
        """Draw the change of the tangent kernel over the steps of training.

        Parameters
        ----------
        recorder : TangentKernelRecorder or TangentKernelChange
            What has recorded, or what :func:`tangent_kernel_change` returned.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : LinearityDisplay
            The drawn display.
        """
        record = recorder.record() if isinstance(recorder, TangentKernelRecorder) else recorder
        display = cls(
            x=record.steps,
            values=record.change[:, None],
            quantity="kernel_change",
            x_name="step",
        )
        return display.plot(ax, **plot_kw)

    def plot(
        self, ax=None, *, name=None, reference=True, points_kw=None, line_kw=None, fit_kw=None
    ):
        """Draw the values.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            None makes a new figure.

        name : str, default=None
            Name of the networks, for the legend.

        reference : bool, default=True
            Whether to draw a line of slope -1/2, over widths.

        points_kw, line_kw, fit_kw : dict, default=None
            For the points, the means and the straight line, over the defaults.

        Returns
        -------
        self : LinearityDisplay
            With the artists as attributes.
        """
        ax = axes_in_a_row(self, ax, 1, size=(6.0, 4.0))[0]
        self.ax_, self.figure_ = ax, ax.figure
        self.fit_line_ = self.reference_line_ = None
        x, mean = np.asarray(self.x, dtype=float), self.values.mean(axis=1)
        over_width = self.x_name == "width"
        fitted = self.line is not None and np.isfinite(self.line[0])
        style = {"marker": "o", "linestyle": "none" if fitted else "-", "label": name}
        (self.mean_line_,) = ax.plot(x, mean, **style | (line_kw or {}))
        style = {"marker": ".", "linestyle": "none", "alpha": 0.4, "label": "_"}
        style["color"] = self.mean_line_.get_color()
        columns = self.values.shape[1]
        (self.points_,) = ax.plot(
            np.repeat(x, columns), self.values.ravel(), **style | (points_kw or {})
        )
        if fitted:
            slope, error, intercept = self.line
            label = f"slope {slope:.2f}" + (f" ± {error:.2f}" if np.isfinite(error) else "")
            style = {"color": self.mean_line_.get_color(), "label": label, "linewidth": 1}
            line = np.exp(intercept) * x**slope
            (self.fit_line_,) = ax.plot(x, line, **style | (fit_kw or {}))
        if over_width:
            if reference and (mean > 0).all():
                style = {"color": "0.5", "linestyle": ":", "label": "slope -1/2", "zorder": 0}
                (self.reference_line_,) = ax.plot(x, mean[0] * (x / x[0]) ** -0.5, **style)
            ax.set_xscale("log")
            ax.set_yscale("log" if (self.values > 0).all() else "linear")
        label = "width" if over_width else "steps of training"
        ax.set(xlabel=label, ylabel=_LABELS.get(self.quantity, self.quantity))
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False)
        return self
