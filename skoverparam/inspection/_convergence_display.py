"""Pictures of errors that fall, and of the order in which they do."""

import numpy as np

from skoverparam._arrays import finite_array
from skoverparam._display import axes_in_a_row
from skoverparam.linalg import convergence_order


class ConvergenceDisplay:
    """Errors per step, and every error over the one before it with the fitted order.

    In the second panel a power law :math:`e_{t+1} = C e_t^q` is a line of slope q: parallel to
    the guide of slope one where convergence is linear, to that of slope two where it is
    quadratic. Make it with :meth:`from_errors` or :meth:`from_estimator`; the constructor stores
    what it is given.

    Parameters
    ----------
    errors : dict of str to ndarray of shape (n,)
        Errors at the start and after each step, by name.

    orders : dict of str to ConvergenceOrder
        What :func:`skoverparam.linalg.convergence_order` found in them.

    Attributes
    ----------
    error_lines_ : list of matplotlib Line2D
        Errors over steps, one line for each name.

    order_lines_ : list of matplotlib Line2D
        Errors over the errors before them, up to the last pair that counts for the order: after
        it come rounding errors.

    guides_ : list of matplotlib Line2D
        The lines of slope one and two.

    ax_, figure_ : ndarray of matplotlib axes, and Figure
        Where it is drawn.

    See Also
    --------
    skoverparam.linalg.convergence_order : Fits the order.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.inspection import ConvergenceDisplay
    >>> from skoverparam.linalg import newton_schulz_inverse
    >>> A = np.random.default_rng(0).normal(size=(30, 20))
    >>> W, info = newton_schulz_inverse(A)
    >>> display = ConvergenceDisplay.from_errors({"Newton-Schulz": info})
    >>> display.error_lines_[0].get_label()
    'Newton-Schulz, order 2.0'
    """

    def __init__(self, *, errors, orders):
        self.errors = errors
        self.orders = orders

    @classmethod
    def from_errors(cls, errors, *, floor=None, below=0.3, ax=None, **plot_kw):
        """Fit orders and draw.

        Parameters
        ----------
        errors : array-like of shape (n,), InverseInfo, or dict of them
            Errors relative to what counts as one, or what an iterated inverse returned; several
            by name.

        floor : float, default=None
            Size of rounding errors, as in :func:`skoverparam.linalg.convergence_order`.

        below : float, default=0.3
            Where the local phase begins.

        ax : matplotlib axes or array of 2 axes, default=None
            None makes a new figure; a single one is divided.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : ConvergenceDisplay
            The drawn display.
        """
        named = errors if isinstance(errors, dict) else {"error": errors}
        if not named:
            raise ValueError("errors must name at least one sequence, got an empty dict.")
        values = {
            str(name): finite_array(getattr(one, "errors", one), f"errors[{name!r}]", n_dims=1)
            for name, one in named.items()
        }
        orders = {
            name: convergence_order(one, floor=floor, below=below) for name, one in values.items()
        }
        return cls(errors=values, orders=orders).plot(ax, **plot_kw)

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **errors_kw):
        """Draw the losses of an iterative estimator, relative to the first.

        Parameters
        ----------
        estimator : estimator
            Fitted, with the losses of its steps in ``loss_curve_``.

        name : str, default=None
            For the legend; None is the class name.

        ax : matplotlib axes or array of 2 axes, default=None
            None makes a new figure; a single one is divided.

        **errors_kw : dict
            For :meth:`from_errors`.

        Returns
        -------
        display : ConvergenceDisplay
            The drawn display.
        """
        losses = getattr(estimator, "loss_curve_", None)
        if losses is None:
            raise ValueError(
                "ConvergenceDisplay needs a fitted estimator with a loss_curve_, got "
                f"{type(estimator).__name__} without one."
            )
        losses = finite_array(losses, "loss_curve_", n_dims=1)
        if not (len(losses) > 1 and losses[0] > 0):
            raise ValueError(
                "ConvergenceDisplay needs the losses of two steps at least, the first above zero, "
                f"got {losses[:3]!r}."
            )
        name = type(estimator).__name__ if name is None else name
        return cls.from_errors({name: losses / losses[0]}, ax=ax, **errors_kw)

    def plot(self, ax=None, *, error_kw=None, order_kw=None, guide_kw=None):
        """Draw both panels.

        Parameters
        ----------
        ax : matplotlib axes or array of 2 axes, default=None
            None makes a new figure; a single one is divided.

        error_kw, order_kw, guide_kw : dict, default=None
            For the lines of errors, of successive errors, and of slopes one and two, over the
            defaults.

        Returns
        -------
        self : ConvergenceDisplay
            With the artists as attributes.
        """
        left, right = axes = axes_in_a_row(self, ax, 2, size=(5.0, 3.8))
        self.ax_, self.figure_ = axes, left.figure
        self.error_lines_, self.order_lines_ = [], []
        for name, e in self.errors.items():
            order, steps = self.orders[name].order, self.orders[name].steps
            end = int(steps[-1]) + 1 if len(steps) else len(e)
            label = name if np.isnan(order) else f"{name}, order {order:.1f}"
            # An error of zero has no place on a logarithmic axis.
            seen = np.where(e > 0, e, np.nan)
            style = {"marker": ".", "label": label, **(error_kw or {})}
            (line,) = left.plot(np.arange(len(e)), seen, **style)
            style = {"marker": ".", "linestyle": "-", "color": line.get_color()}
            (pairs,) = right.plot(seen[:-1][:end], seen[1:][:end], **style | (order_kw or {}))
            self.error_lines_.append(line)
            self.order_lines_.append(pairs)
        self.guides_ = self._draw_guides(right, guide_kw)
        left.set(yscale="log", xlabel="step", ylabel="error")
        right.set(xscale="log", yscale="log", xlabel="error", ylabel="error after a step")
        # Lines fall through everywhere: names are read through a veil.
        left.legend(edgecolor="none", framealpha=0.8)
        right.legend(frameon=False)
        return self

    def _draw_guides(self, ax, guide_kw):
        positive = np.concatenate([e[e > 0] for e in self.errors.values()])
        least = positive.min() if len(positive) else 1e-16
        guides = []
        for slope, style in ((1, ":"), (2, "--")):
            # Both through (1, 1), and inside the picture.
            x = np.geomspace(max(least, 1e-300) ** (1 / slope), 1.0, 50)
            style = {"color": "0.6", "linestyle": style, "zorder": 0, "label": f"slope {slope}"}
            guides += ax.plot(x, x**slope, **style | (guide_kw or {}))
        return guides
