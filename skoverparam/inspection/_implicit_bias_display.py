"""Which of many interpolating solutions linear models have found."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import to_numpy
from skoverparam._display import axes_in_a_row, pandas

ORDERS = (1, 2, np.inf)
_NAMES = {1: "$\\ell_1$", 2: "$\\ell_2$", np.inf: "$\\ell_\\infty$"}
# Coefficients below this share of the largest one are drawn as if they were zero.
_FLOOR = 1e-6


class ImplicitBiasDisplay:
    r"""Coefficients of linear models that fit the same data, and their norms.

    With more features than samples many coefficients fit. Which ones a descent ends in is the
    implicit bias of its mirror: sizes of coefficients tell sparse solutions from even ones, and
    each norm is least for the mirror that belongs to it.

    Make it with :meth:`from_estimators`; the constructor stores what it is given.

    Parameters
    ----------
    coef : dict of str to ndarray of shape (n_coefficients,)
        Coefficients of each model.

    reference : ndarray of shape (n_coefficients,), default=None
        Coefficients to compare with, such as the true ones.

    Attributes
    ----------
    norms_ : dict of str to ndarray of shape (3,)
        Norms l1, l2 and of the largest coefficient, of each model.

    lines_ : list of matplotlib Line2D
        Sizes of the coefficients in descending order, a line for each model; that of the
        reference comes last.

    bars_ : list of matplotlib BarContainer
        Norms over the least one of all models, for each model.

    axes_, ax_, figure_ : array of matplotlib axes, the first one and Figure
        Where it is drawn.

    See Also
    --------
    skoverparam.MirrorDescentRegressor : Descents with different mirrors.
    skoverparam.theory.bregman_projection : Where they end, computed directly.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import MirrorDescentRegressor
    >>> from skoverparam.inspection import ImplicitBiasDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(20, 60))
    >>> y = X[:, 0] - X[:, 1]
    >>> models = {
    ...     f"p = {p}": MirrorDescentRegressor(mirror_params={"p": p}, learning_rate="search")
    ...     for p in (1.2, 2.0, 3.0)
    ... }
    >>> models = {name: model.fit(X, y) for name, model in models.items()}
    >>> display = ImplicitBiasDisplay.from_estimators(models)
    >>> display.least(1), display.least(2), display.least(np.inf)
    ('p = 1.2', 'p = 2.0', 'p = 3.0')
    """

    def __init__(self, *, coef, reference=None):
        self.coef = coef
        self.reference = reference
        self.norms_ = {
            name: np.array([np.linalg.norm(values, order) for order in ORDERS])
            for name, values in coef.items()
        }

    @classmethod
    def from_estimators(cls, estimators, *, reference=None, ax=None, **plot_kw):
        """Compare coefficients of fitted models.

        Parameters
        ----------
        estimators : dict of str to estimator
            Fitted models with ``coef_``, all of the same shape; several targets count as one long
            vector. Any linear model will do, not only descents.

        reference : array-like of the shape of ``coef_``, default=None
            Coefficients to compare with, such as the true ones.

        ax : matplotlib axes or array of two, default=None
            None makes a new figure; a single one is divided.

        **plot_kw : dict
            For :meth:`plot`.

        Returns
        -------
        display : ImplicitBiasDisplay
            The drawn display.
        """
        if not isinstance(estimators, dict) or not estimators:
            raise TypeError(
                "estimators must be a dict of names and fitted estimators, with one at least, got "
                f"{estimators!r:.80}."
            )
        coef = {}
        for name, estimator in estimators.items():
            check_is_fitted(estimator)
            if not hasattr(estimator, "coef_"):
                raise TypeError(
                    f"estimators must be linear models with coef_; {name!r} is "
                    f"{type(estimator).__name__}, which has none."
                )
            coef[str(name)] = np.asarray(to_numpy(estimator.coef_), dtype=float).ravel()
        sizes = {name: len(values) for name, values in coef.items()}
        if reference is not None:
            reference = np.asarray(to_numpy(reference), dtype=float).ravel()
            sizes["reference"] = len(reference)
        if len(set(sizes.values())) > 1:
            raise ValueError(f"All must have the same number of coefficients, got {sizes}.")
        return cls(coef=coef, reference=reference).plot(ax, **plot_kw)

    def least(self, order):
        """Return the name of the model with the least norm.

        Parameters
        ----------
        order : {1, 2, inf}
            Which norm.

        Returns
        -------
        name : str
            The name.
        """
        if order not in ORDERS:
            raise ValueError(f"order must be 1, 2 or inf, got {order!r}.")
        return min(self.norms_, key=lambda name: self.norms_[name][ORDERS.index(order)])

    def to_frame(self):
        """Make a pandas data frame of the norms, with a row for each model.

        Returns
        -------
        frame : DataFrame
            Columns ``l1``, ``l2`` and ``linf``.
        """
        columns = ["l1", "l2", "linf"]
        return pandas().DataFrame.from_dict(self.norms_, orient="index", columns=columns)

    def plot(self, ax=None, *, line_kw=None, bar_kw=None):
        """Draw sizes of coefficients, and norms.

        Parameters
        ----------
        ax : matplotlib axes or array of two, default=None
            None makes a new figure; a single one is divided.

        line_kw, bar_kw : dict, default=None
            For the lines and for the bars, over the defaults.

        Returns
        -------
        self : ImplicitBiasDisplay
            With the artists as attributes.
        """
        self.axes_ = axes_in_a_row(self, ax, 2, size=(5.2, 4.0))
        self.ax_, self.figure_ = self.axes_[0], self.axes_[0].figure
        self._plot_sizes(self.axes_[0], line_kw or {})
        self._plot_norms(self.axes_[1], bar_kw or {})
        return self

    def _plot_sizes(self, ax, line_kw):
        largest = max(norms[2] for norms in self.norms_.values())
        floor = _FLOOR * (largest if largest > 0 else 1.0)
        curves = [(name, {}, values) for name, values in self.coef.items()]
        if self.reference is not None:
            curves.append(("reference", {"color": "black", "linestyle": ":"}, self.reference))
        self.lines_ = []
        for name, style, values in curves:
            sizes = np.sort(np.abs(values))[::-1]
            style = {"label": name, "marker": ".", **style, **line_kw}
            rank = np.arange(1, len(sizes) + 1)
            self.lines_ += ax.plot(rank, np.maximum(sizes, floor), **style)
        ax.set(xlabel="rank", ylabel="size of coefficient", yscale="log")
        if any((np.abs(values) < floor).any() for _, _, values in curves):
            ax.set_ylim(bottom=0.5 * floor)
        ax.legend()

    def _plot_norms(self, ax, bar_kw):
        table = np.array(list(self.norms_.values()))
        least = table.min(axis=0)
        ratios = table / np.where(least > 0, least, 1.0)
        width = 0.8 / len(table)
        self.bars_ = []
        for k, (name, row) in enumerate(zip(self.norms_, ratios, strict=True)):
            style = {"color": self.lines_[k].get_color(), "label": name, **bar_kw}
            places = np.arange(len(ORDERS)) + (k - (len(table) - 1) / 2) * width
            self.bars_.append(ax.bar(places, row, width, **style))
        ax.axhline(1.0, color="gray", linewidth=0.8)
        ax.set_xticks(range(len(ORDERS)), [_NAMES[order] for order in ORDERS])
        ax.set(xlabel="norm", ylabel="over the least of all")
