"""Pictures of a completed matrix and of the kernels behind it."""

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import tensor_function, to_numpy
from skoverparam._display import axes_in_a_row, pyplot
from skoverparam._params import check_option
from skoverparam.completion._dense import OWN_SHARE
from skoverparam.completion._features import feature_kernel

_HOLE = "0.85"  # a light gray that is in neither color map
_MOST_ROWS = 5000  # a picture of a larger kernel shows nothing and costs gigabytes


class MatrixCompletionDisplay:
    """Pictures of a matrix with holes, its completion and the errors.

    Make it with :meth:`from_estimator` or :meth:`from_matrices`; the constructor stores what it is
    given.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The observed matrix, NaN in its holes.

    X_completed : ndarray of shape (n_samples, n_features)
        Its completion.

    X_true : ndarray of shape (n_samples, n_features), default=None
        The truth, NaN where it is not known. With it, errors are drawn where X has holes.

    row_order, column_order : ndarray of int, default=None
        Order of the rows and columns in the pictures; None keeps theirs.

    row_kernel : ndarray of shape (n_samples, n_samples), default=None
        Kernel of the rows.

    column_kernel : ndarray of shape (n_features, n_features), default=None
        Kernel of the columns.

    Attributes
    ----------
    axes_ : ndarray of matplotlib axes
        The panels, in the order observed, completed, error.

    images_ : list of matplotlib AxesImage
        What is drawn in them.

    colorbars_ : list of matplotlib Colorbar
        One for the values and, if there are errors, one for these.

    kernel_ax_, kernel_image_ : matplotlib axes and AxesImage
        What :meth:`plot_kernel` drew.

    figure_ : matplotlib Figure
        The figure drawn last.

    See Also
    --------
    skoverparam.NTKMatrixCompleter : The estimator whose completions and kernels these are.

    Examples
    --------
    >>> from skoverparam import NTKMatrixCompleter
    >>> from skoverparam.datasets import make_low_rank_matrix_with_missing
    >>> from skoverparam.inspection import MatrixCompletionDisplay
    >>> X, X_true = make_low_rank_matrix_with_missing(40, 15, rank=2, random_state=0)
    >>> completer = NTKMatrixCompleter(random_state=0).fit(X)
    >>> display = MatrixCompletionDisplay.from_estimator(completer, X, X_true)
    >>> len(display.axes_)
    3
    """

    def __init__(
        self,
        *,
        X,
        X_completed,
        X_true=None,
        row_order=None,
        column_order=None,
        row_kernel=None,
        column_kernel=None,
    ):
        self.X = X
        self.X_completed = X_completed
        self.X_true = X_true
        self.row_order = row_order
        self.column_order = column_order
        self.row_kernel = row_kernel
        self.column_kernel = column_kernel

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        X_true=None,
        *,
        order="similarity",
        ax=None,
        im_kw=None,
        error_kw=None,
    ):
        """Complete a matrix with a fitted imputer and draw what comes out.

        Parameters
        ----------
        estimator : transformer
            A fitted imputer. :class:`skoverparam.NTKMatrixCompleter` also lends its kernels, that
            of the training rows up to 5000 of them.

        X : array-like of shape (n_samples, n_features)
            The matrix with its holes.

        X_true : array-like of shape (n_samples, n_features), default=None
            The truth, NaN where it is not known.

        order : {"similarity"} or None, default="similarity"
            Whether rows and columns that resemble each other are drawn side by side.

        ax : matplotlib axes or array of them, default=None
            See :meth:`plot`.

        im_kw, error_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : MatrixCompletionDisplay
            The drawn display.
        """
        check_is_fitted(estimator)
        completed = np.asarray(to_numpy(estimator.transform(X)), dtype=np.float64)
        # A number that marks holes is compared with entries in their own precision.
        holes = to_numpy(X) == float(getattr(estimator, "missing_values", np.nan))
        X, X_true = _matrix(X, "X"), None if X_true is None else _matrix(X_true, "X_true")
        X = np.where(holes, np.nan, X)
        if hasattr(estimator, "kept_features_"):
            kept = to_numpy(estimator.kept_features_)
            # Empty columns are in their place or gone; indicators come after all columns.
            completed = completed[:, kept if estimator.keep_empty_features else range(len(kept))]
            X, X_true = X[:, kept], X_true if X_true is None else X_true[:, kept]
        kernels = {}
        if hasattr(estimator, "column_kernel_"):
            kernels["column_kernel"] = to_numpy(estimator.column_kernel_)
        if hasattr(estimator, "row_features_") and len(estimator.row_features_) <= _MOST_ROWS:
            kernels["row_kernel"] = _row_kernel(estimator)
        return cls.from_matrices(
            X,
            completed,
            X_true,
            order=order,
            ax=ax,
            im_kw=im_kw,
            error_kw=error_kw,
            **kernels,
        )

    @classmethod
    def from_matrices(
        cls,
        X,
        X_completed,
        X_true=None,
        *,
        row_kernel=None,
        column_kernel=None,
        order="similarity",
        ax=None,
        im_kw=None,
        error_kw=None,
    ):
        """Draw a completion that was computed elsewhere.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The matrix with its holes.

        X_completed : array-like of shape (n_samples, n_features)
            Its completion.

        X_true : array-like of shape (n_samples, n_features), default=None
            The truth, NaN where it is not known.

        row_kernel, column_kernel : array-like, default=None
            Kernels of the rows and of the columns, for :meth:`plot_kernel`.

        order : {"similarity"} or None, default="similarity"
            Whether rows and columns that resemble each other are drawn side by side: by the
            leading singular vectors of the completion without its column means.

        ax : matplotlib axes or array of them, default=None
            See :meth:`plot`.

        im_kw, error_kw : dict, default=None
            See :meth:`plot`.

        Returns
        -------
        display : MatrixCompletionDisplay
            The drawn display.
        """
        if order is not None:
            check_option(order, "order", ("similarity",))
        X, X_completed = _matrix(X, "X"), _matrix(X_completed, "X_completed")
        for name, matrix in (("X_completed", X_completed), ("X_true", X_true)):
            if matrix is not None and np.shape(matrix) != X.shape:
                raise ValueError(
                    f"{name} must have the shape of X, {X.shape}, got {np.shape(matrix)}."
                )
        row_order, column_order = (None, None) if order is None else _orders(X_completed)
        display = cls(
            X=X,
            X_completed=X_completed,
            X_true=None if X_true is None else _matrix(X_true, "X_true"),
            row_order=row_order,
            column_order=column_order,
            row_kernel=row_kernel,
            column_kernel=column_kernel,
        )
        return display.plot(ax, im_kw=im_kw, error_kw=error_kw)

    def plot(self, ax=None, *, im_kw=None, error_kw=None):
        """Draw the observed and the completed matrix and, if the truth is known, the errors.

        Parameters
        ----------
        ax : matplotlib axes or array of them, default=None
            None makes a new figure. A single one is divided among the panels. An array must have
            one for each panel: 3, or 2 if the truth is not known.

        im_kw : dict, default=None
            For ``imshow`` of the two matrices, over the defaults.

        error_kw : dict, default=None
            For ``imshow`` of the errors, completed minus true, over the defaults.

        Returns
        -------
        self : MatrixCompletionDisplay
            With the artists as attributes.
        """
        plt = pyplot(self)
        holes = np.isnan(self.X)
        panels = [("observed", self.X), ("completed", self.X_completed)]
        if self.X_true is not None:
            error = np.where(holes, self.X_completed - self.X_true, np.nan)
            panels.append(("error in the holes", error))
        self.axes_ = axes_in_a_row(self, ax, len(panels), size=(3.4, 4.0))
        self.figure_ = self.axes_[0].figure
        self.images_, self.colorbars_ = [], []
        # Common limits that a few extreme entries do not decide.
        low, high = np.nanpercentile(self.X_completed, [1, 99])
        value_kw = {"cmap": "viridis", "vmin": low, "vmax": high, **(im_kw or {})}
        for panel, (title, matrix) in zip(self.axes_, panels, strict=True):
            style = value_kw
            if title.startswith("error"):
                limit = _symmetric_limit(matrix)
                style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit, **(error_kw or {})}
            self._draw(plt, panel, title, matrix, style)
        self._color_bars()
        return self

    def plot_kernel(self, side="column", ax=None, *, order="similarity", im_kw=None):
        """Draw the kernel of the columns or of the rows as correlations.

        Parameters
        ----------
        side : {"column", "row"}, default="column"
            Whose kernel.

        ax : matplotlib axes, default=None
            None makes a new figure.

        order : {"similarity"} or None, default="similarity"
            Whether those that the kernel holds for similar are drawn side by side (by
            cutting its graph in two again and again).

        im_kw : dict, default=None
            For ``imshow``, over the defaults. Colors span the values off the diagonal.

        Returns
        -------
        self : MatrixCompletionDisplay
            With the artists as attributes.
        """
        check_option(side, "side", ("column", "row"))
        if order is not None:
            check_option(order, "order", ("similarity",))
        kernel = self.column_kernel if side == "column" else self.row_kernel
        if kernel is None:
            raise ValueError(f"There is no {side}_kernel to draw.")
        pyplot(self)
        K = _matrix(kernel, f"{side}_kernel")
        scale = np.sqrt(np.diag(K))
        K = K / np.where(scale > 0, scale, 1) / np.where(scale > 0, scale, 1)[:, None]
        order = np.arange(len(K)) if order is None else _seriation(K)
        off_diagonal = K[~np.eye(len(K), dtype=bool)]
        low, high = np.percentile(off_diagonal, [1, 99]) if len(K) > 1 else (0, 1)
        self.kernel_ax_ = axes_in_a_row(self, ax, 1, size=(4.4, 4.0))[0]
        self.figure_ = self.kernel_ax_.figure
        style = {"cmap": "magma", "vmin": low, "vmax": high, **(im_kw or {})}
        self.kernel_image_ = self.kernel_ax_.imshow(K[np.ix_(order, order)], **style)
        self.kernel_ax_.set(title=f"kernel of the {side}s", xlabel=side, ylabel=side)
        self.figure_.colorbar(self.kernel_image_, ax=self.kernel_ax_, fraction=0.046)
        return self

    def _draw(self, plt, panel, title, matrix, style):
        if self.row_order is not None:
            matrix = matrix[self.row_order]
        if self.column_order is not None:
            matrix = matrix[:, self.column_order]
        style = {"aspect": "auto", "interpolation": "nearest"} | style
        style["cmap"] = plt.get_cmap(style["cmap"]).with_extremes(bad=_HOLE)
        self.images_.append(panel.imshow(matrix, **style))
        panel.set(title=title, xlabel="column")
        if panel is self.axes_[0]:
            panel.set_ylabel("row")
        else:
            panel.tick_params(labelleft=False)

    def _color_bars(self):
        shared = self.figure_.colorbar(
            self.images_[1], ax=list(self.axes_[:2]), fraction=0.05, pad=0.02
        )
        self.colorbars_.append(shared)
        if len(self.images_) > 2:
            own = self.figure_.colorbar(self.images_[2], ax=self.axes_[2], fraction=0.1, pad=0.02)
            self.colorbars_.append(own)


def _matrix(X, name):
    return check_array(
        to_numpy(X), dtype=np.float64, ensure_all_finite="allow-nan", input_name=name
    )


def _row_kernel(estimator):
    """Compute the kernel of the training rows of an NTKMatrixCompleter."""
    features = to_numpy(estimator.row_features_)
    if not features.shape[1]:
        return np.eye(len(features))
    kernel = tensor_function("F")(feature_kernel)
    K = kernel(features, estimator.depth, estimator.activation)
    if estimator.row_prior is not None:
        return K
    gains = to_numpy(estimator._gains)
    K *= 1 - OWN_SHARE
    np.fill_diagonal(K, 1)
    return K * gains * gains[:, None]


def _orders(X_completed):
    """Order rows and columns along the leading singular vectors."""
    centered = np.nan_to_num(X_completed - X_completed.mean(axis=0))
    U, _, Vt = np.linalg.svd(centered, full_matrices=False)
    return np.argsort(U[:, 0], kind="stable"), np.argsort(Vt[0], kind="stable")


def _seriation(K, along=None):
    """Order by similarity, cutting the graph of the kernel in two again and again.

    Each cut is the sign of the Fiedler vector; the halves are laid out in the direction of the
    vector that cut them off.
    """
    if len(K) < 3:
        return np.arange(len(K)) if along is None else np.argsort(along, kind="stable")
    weights = K - K.min()
    np.fill_diagonal(weights, 0)
    root = np.sqrt(weights.sum(axis=1) + np.finfo(float).tiny)
    fiedler = np.linalg.eigh(weights / root / root[:, None])[1][:, -2] / root
    if along is not None and (along - along.mean()) @ fiedler < 0:
        fiedler = -fiedler
    halves = np.flatnonzero(fiedler < 0), np.flatnonzero(fiedler >= 0)
    if not all(len(half) for half in halves):
        return np.argsort(fiedler, kind="stable")
    ordered = [half[_seriation(K[np.ix_(half, half)], fiedler[half])] for half in halves]
    return np.concatenate(ordered)


def _symmetric_limit(error):
    """Compute a limit of the error's colors that a few extreme entries do not decide."""
    known = np.abs(error[~np.isnan(error)])
    limit = np.percentile(known, 98) if len(known) else 0
    return limit if limit > 0 else 1.0
