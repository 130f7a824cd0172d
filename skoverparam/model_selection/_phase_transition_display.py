"""Pictures of phase transitions."""

import numpy as np

from skoverparam._display import axes_in_a_row
from skoverparam._params import check_number, check_option
from skoverparam.model_selection._phase_transition import phase_transition_map

_STATISTICS = ("median", "mean")


class PhaseTransitionDisplay:
    """A heat map of test scores over signal and dimension, and where theory sees the boundary.

    Make it with :meth:`from_estimator` or :meth:`from_map`; the constructor stores what it is
    given.

    Parameters
    ----------
    phase_map : PhaseTransitionMap
        What :func:`phase_transition_map` returned.

    Attributes
    ----------
    mesh_ : matplotlib QuadMesh
        The heat map.

    lines_ : list of matplotlib Line2D
        Curves of theory.

    colorbar_ : matplotlib Colorbar or None
        Its scale.

    ax_, figure_ : matplotlib axes and Figure
        Where it is drawn.

    See Also
    --------
    phase_transition_map : Computes it.

    Examples
    --------
    >>> from skoverparam import TwoLayerCNNClassifier
    >>> from skoverparam.datasets import make_signal_noise_patches
    >>> from skoverparam.model_selection import PhaseTransitionDisplay
    >>> display = PhaseTransitionDisplay.from_estimator(
    ...     TwoLayerCNNClassifier(max_iter=20_000),
    ...     make_signal_noise_patches,
    ...     signals=[3.0, 6.0, 12.0],
    ...     dims=[100, 200],
    ...     n_trials=2,
    ...     random_state=0,
    ... )
    >>> len(display.lines_), display.ax_.get_xlabel()
    (2, 'patch size d')
    """

    def __init__(self, *, phase_map):
        self.phase_map = phase_map

    @classmethod
    def from_estimator(cls, estimator, make_data, *, ax=None, plot_kw=None, **map_kw):
        """Compute a map and draw it.

        Parameters
        ----------
        estimator : estimator
            Anything with ``fit`` and a score.

        make_data : callable
            As in :func:`phase_transition_map`.

        ax : matplotlib axes, default=None
            None makes a new figure.

        plot_kw : dict, default=None
            For :meth:`plot`.

        **map_kw : dict
            For :func:`phase_transition_map`: ``signals`` and what else is wanted.

        Returns
        -------
        display : PhaseTransitionDisplay
            The drawn display.
        """
        found = phase_transition_map(estimator, make_data, **map_kw)
        return cls.from_map(found, ax=ax, **(plot_kw or {}))

    @classmethod
    def from_map(cls, phase_map, *, ax=None, **plot_kw):
        """Draw a map that was computed before.

        Parameters
        ----------
        phase_map : PhaseTransitionMap
            What :func:`phase_transition_map` returned.

        ax : matplotlib axes, default=None
            None makes a new figure.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : PhaseTransitionDisplay
            The drawn display.
        """
        return cls(phase_map=phase_map).plot(ax, **plot_kw)

    def plot(
        self,
        ax=None,
        *,
        statistic="median",
        threshold=None,
        curves=(1.0, 2.0),
        colorbar=True,
        score_name="test accuracy",
        mesh_kw=None,
        line_kw=None,
    ):
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            None makes a new figure.

        statistic : {"median", "mean"}, default="median"
            What is drawn of the trials.

        threshold : float, default=None
            Draw two colors, for scores below and from this one, in place of a scale.

        curves : tuple of float, default=(1.0, 2.0)
            Values of n SNR^q whose curves are drawn.

        colorbar : bool, default=True
            Whether the scale is drawn beside it; not with a threshold.

        score_name : str, default="test accuracy"
            Label of the scale.

        mesh_kw, line_kw : dict, default=None
            For the heat map and the curves, over the defaults.

        Returns
        -------
        self : PhaseTransitionDisplay
            With the artists as attributes.
        """
        check_option(statistic, "statistic", _STATISTICS)
        check_number(threshold, "threshold", none=True)
        found = self.phase_map
        values = getattr(found, statistic)
        if threshold is not None:
            values = (values >= threshold).astype(np.float64)
        x, name = self._columns()
        ax = axes_in_a_row(self, ax, 1, size=(6.0, 4.4))[0]
        self.ax_, self.figure_ = ax, ax.figure
        style = {"cmap": "viridis"} | ({} if threshold is None else {"vmin": 0, "vmax": 1})
        x_edges, y_edges = _edges(x), _edges(found.signals)
        self.mesh_ = ax.pcolormesh(x_edges, y_edges, values, **style | (mesh_kw or {}))
        self.colorbar_ = None
        if colorbar and threshold is None:
            self.colorbar_ = self.figure_.colorbar(self.mesh_, ax=ax, label=score_name)
        self.lines_ = []
        order = np.argsort(x)
        for c, dashes in zip(curves, ("--", "-", ":", "-.") * len(curves), strict=False):
            label = rf"$n\,\mathrm{{SNR}}^{{{found.q:g}}} = {c:g}$"
            style = {"color": "w", "linestyle": dashes, "label": label, **(line_kw or {})}
            self.lines_ += ax.plot(x[order], found.theory_curve(c)[order], **style)
        ax.set(
            xlabel=name,
            ylabel=r"signal $\|\mu\|$",
            xlim=(x_edges[0], x_edges[-1]),
            ylim=(y_edges[0], y_edges[-1]),
        )
        if self.lines_:
            ax.legend(loc="lower right", labelcolor="w", facecolor="0.3", framealpha=0.6)
        return self

    def _columns(self):
        """Return the values along the horizontal axis, and what they are."""
        found = self.phase_map
        over_samples = (found.dims == found.dims[0]).all() and len(found.dims) > 1
        x, name = (
            (found.n_samples, "training samples n")
            if over_samples
            else (found.dims, "patch size d")
        )
        if not (np.diff(x) > 0).all():
            raise ValueError(f"The columns must be ascending to be drawn, got {x.tolist()}.")
        return x, name


def _edges(centers):
    """Edges of cells, midway between their centers."""
    centers = np.asarray(centers, dtype=np.float64)
    if len(centers) == 1:
        return centers[0] + np.array([-0.5, 0.5])
    middle = (centers[1:] + centers[:-1]) / 2
    first = centers[0] - (middle[0] - centers[0])
    return np.concatenate([[first], middle, [centers[-1] + (centers[-1] - middle[-1])]])
