"""Matrix completion with infinitely wide networks, as an imputer."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.base import TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, feature_names_in, finite_array, same_namespace, to_numpy
from skoverparam._config import require_memory
from skoverparam._params import (
    check_bounds,
    check_flag,
    check_integer,
    check_number,
    check_option,
    make_generator,
)
from skoverparam._steps import run_steps
from skoverparam.completion._biases import Baseline
from skoverparam.completion._dense import (
    Completion,
    Prior,
    Settings,
    completion_passes,
    memory_needed,
)
from skoverparam.completion._new_rows import NewRows, complete_new_rows
from skoverparam.completion._noise import Noise
from skoverparam.completion._ridge_choice import choose_alpha
from skoverparam.completion._uncertainty import completion_std
from skoverparam.estimators._base import DocumentedEstimator
from skoverparam.kernels._activations import resolve

_ROWS_AT_ONCE = 1024


class NTKMatrixCompleter(CallbackSupportMixin, TransformerMixin, DocumentedEstimator):
    """Fill the holes of a matrix by regression with an infinitely wide neural network.

    A wide network trained by gradient descent on the observed entries is kernel regression with
    its neural tangent kernel. Here the kernel says how rows resemble one another and how columns
    do: ``K((i, j), (i', j')) = R[i, i'] C[j, j']``, each side an NTK of that side's features.
    Features are learned from the entries unless a prior is given. Rows that were not in the
    training matrix are completed too, each from its own observed entries.

    Parameters
    ----------
    row_prior : None, "identity", array-like of shape (n_samples, p) or callable, default=None
        What is known about the rows. None learns their features from the observed entries.
        "identity" says that no two rows are alike: rows are then fitted each by itself, which is
        the model of the paper, and no kernel between rows is formed. An array holds one feature
        vector per training row; they are scaled to unit length and a row of zeros means nothing
        is known. A callable maps the rows (an array with NaN) to such features, and does so for
        new rows, too.

    column_prior : None, "identity", array-like of shape (n_features, p) or callable, default=None
        The same for the columns. A callable maps the training matrix to one feature vector per
        column.

    depth : int, default=2
        Number of hidden layers.

    activation : {"relu", "leaky_relu", "erf"} or activation object, default="relu"
        As in :func:`skoverparam.kernels.fully_connected_ntk`.

    alpha : "auto" or float, default="auto"
        Ridge, in units of the noise variance of an entry relative to the prior variance, after
        columns have been scaled to unit spread. Zero interpolates the observed entries. "auto"
        chooses it on the observed entries: by leave-one-entry-out where a closed form exists (an
        "identity" row prior with a column prior that is not learned), else on a tenth of the
        entries held out.

    rank : int or None, default=None
        Reduce learned profiles to this many principal directions. None keeps them whole, which
        predicted best in our measurements.

    n_passes : int, default=3
        How often learned features are recomputed from the completed matrix.

    standardize : bool, default=True
        Remove row and column offsets and scale columns to unit spread first. False models the
        entries as they are, as in the paper.

    clip : (float, float) or None, default=None
        Bounds of the completed values, for ratings and the like.

    tol : float, default=1e-2
        Relative residual to solve the linear system to. Completed values settle long before the
        coefficients do: 1e-2 and 1e-4 gave equal errors on held-out entries.

    max_iter : int, default=500
        Largest number of conjugate gradient steps in a pass.

    missing_values : float, default=np.nan
        What stands for a missing entry.

    keep_empty_features : bool, default=False
        Whether columns without any observed entry in ``fit`` are kept, filled with 0. Columns that
        an array or callable as ``column_prior`` says something about are predicted and kept
        anyway.

    add_indicator : bool, default=False
        Whether to append indicators of what was missing, as
        :class:`sklearn.impute.MissingIndicator` makes them.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=None
        Draws the entries held out to choose ``alpha``.

    Attributes
    ----------
    alpha_ : float
        The ridge used.

    alpha_errors_ : dict
        Root mean square error on left-out entries of every ridge tried; empty if ``alpha`` was
        given.

    completion_ : array of shape (n_samples, n_kept)
        The training matrix with its holes filled.

    observed_ : array of shape (n_samples, n_kept), bool
        Which of its entries were observed.

    kept_features_ : array of shape (n_kept,)
        Indices of the columns that are kept.

    row_offsets_, column_offsets_ : array of shape (n_samples,) and (n_kept,)
        The baseline of an entry is the sum of its row's and its column's offset.

    column_scales_ : array of shape (n_kept,)
        Spread of the columns around the baseline.

    row_features_ : array of shape (n_samples, p)
        Features whose cosines make the row kernel; ``p`` is 0 for the "identity" prior.

    column_kernel_ : array of shape (n_kept, n_kept)
        The kernel of the columns.

    dual_coef_ : array of shape (n_samples, n_kept)
        Dual coefficients, zero where nothing was observed.

    residual_ : float
        True relative residual of the linear system in the last pass.

    jitter_ : float
        What had to be added to a diagonal to factorize it; zero if nothing.

    amplitude_ : float
        Estimated prior variance of a standardized entry.

    n_iter_ : int
        Conjugate gradient steps, all passes together.

    indicator_ : MissingIndicator or None
        The fitted indicator if ``add_indicator``.

    n_features_in_ : int
        Number of columns seen in ``fit``.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, if all of them are strings.

    See Also
    --------
    NTKInteractionRegressor : The same model for (row, column) pairs, such as ratings.
    sklearn.impute.KNNImputer : Averages the nearest rows; fast and crude.
    sklearn.impute.IterativeImputer : Regresses each column on the others; slow for many columns.

    Notes
    -----
    Standardized entries ``Z`` have dual coefficients ``X`` with
    ``P(R X C) + alpha X = P Z``, P the projection to the observed entries; the completion is
    ``R X C`` [1]_. The one-sided case R = I is the paper's; two sides, learned features and the
    treatment of new rows are ours. A pass costs about a hundred products of
    ``n_samples n_features (n_samples + n_features)`` multiplications; memory is that of the two
    kernels and some fifteen arrays like the data.

    A row of ``transform`` that equals a training row, holes included, gets the completion of the
    joint fit; any other row is completed from its own entries and the fitted model, whatever else
    is in the call. Training rows that are equal but have different rows of an array
    ``row_prior`` are told apart by their position.

    Features learned from the entries assume that the pattern of missing entries means the same
    in training and in new rows.

    References
    ----------
    .. [1] A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, Fast, and Flexible
       Framework for Matrix Completion with Infinite Width Neural Networks", PNAS 119(16), 2022,
       arXiv:2108.00131.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import NTKMatrixCompleter
    >>> rng = np.random.default_rng(0)
    >>> X_true = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 20))
    >>> X = np.where(rng.random(X_true.shape) < 0.3, np.nan, X_true)
    >>> completer = NTKMatrixCompleter(random_state=0).fit(X)
    >>> completer.transform(X).shape
    (60, 20)
    >>> bool(completer.score(X, X_true) > -0.6)  # minus the RMSE of the missing entries
    True
    """

    def __init__(
        self,
        *,
        row_prior=None,
        column_prior=None,
        depth=2,
        activation="relu",
        alpha="auto",
        rank=None,
        n_passes=3,
        standardize=True,
        clip=None,
        tol=1e-2,
        max_iter=500,
        missing_values=np.nan,
        keep_empty_features=False,
        add_indicator=False,
        device="auto",
        random_state=None,
    ):
        self.row_prior = row_prior
        self.column_prior = column_prior
        self.depth = depth
        self.activation = activation
        self.alpha = alpha
        self.rank = rank
        self.n_passes = n_passes
        self.standardize = standardize
        self.clip = clip
        self.tol = tol
        self.max_iter = max_iter
        self.missing_values = missing_values
        self.keep_empty_features = keep_empty_features
        self.add_indicator = add_indicator
        self.device = device
        self.random_state = random_state

    @with_callbacks
    def fit(self, X, y=None):
        """Learn the kernels and the coefficients from the observed entries.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The matrix with its holes.

        y : ignored
            Present for API consistency.

        Returns
        -------
        self : NTKMatrixCompleter
            The fitted estimator.
        """
        self._check_params()
        passage, X = self._cross(X, reset=True)
        Y, observed = self._entries(passage, X)
        if not bool(observed.any()):
            raise ValueError(f"X has no observed entry: all {len(Y)} x {Y.shape[1]} are missing.")
        rows, columns = self._priors(passage, X)
        informed = _informed(columns, observed)
        kept = torch.nonzero(observed.any(0) | informed | self.keep_empty_features).squeeze(1)
        Y, observed = Y[:, kept], observed[:, kept]
        settings = self._settings(rows, columns, kept)
        self._check_size(Y, settings)
        alpha, errors = self._choose_alpha(Y, observed, settings)
        known = {
            "alpha_": alpha,
            "alpha_errors_": errors,
            "observed_": passage.keep(observed),
            "kept_features_": passage.keep(kept),
            "indicator_": self._fitted_indicator(passage, X),
            "_filled_with_zero": passage.keep(~(observed.any(0) | informed[kept])),
        }

        def fitted_after(model):
            return known | self._attributes(passage, Y, observed, model)

        model, _ = run_steps(
            self,
            completion_passes(Y, observed, settings, alpha),
            X=X,
            task_name="pass",
            max_steps=self.n_passes if settings.learns else 1,
            fitted_after=fitted_after,
        )
        vars(self).update(fitted_after(model))
        if self.residual_ > self.tol and not settings.decouples:
            warnings.warn(
                f"The linear system was solved to a relative residual of {self.residual_:.2g}, "
                f"not to tol={self.tol:g}. Increase max_iter={self.max_iter}, alpha or tol.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def transform(self, X):
        """Fill the holes of a matrix with the same columns.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows with holes, from the training matrix or new.

        Returns
        -------
        X_completed : array of shape (n_rows, n_kept + n_indicators)
            Observed entries unchanged to the last bit, the others predicted.
        """
        check_is_fitted(self)
        passage, X = self._cross(X, reset=False)
        same_namespace(self, X, attribute="dual_coef_", method="transform")
        Y, observed = self._entries(passage, X)
        kept = passage.tensor(self.kept_features_)
        completed = self._completed(passage, X, Y[:, kept], observed[:, kept])
        if self.indicator_ is None:
            return passage.back(completed)
        flagged = torch.as_tensor(self.indicator_.features_, device=observed.device)
        return passage.back(torch.cat([completed, ~observed[:, flagged]], dim=1))

    def score(self, X, y=None):
        """Return minus the root mean square error of the entries that are missing in X.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows with holes.

        y : array-like of shape (n_rows, n_features)
            The true values. They are looked at only where X has holes; NaN there means that the
            truth is not known, and such entries do not count.

        Returns
        -------
        score : float
            Larger is better; 0.0 if nothing is missing in X.
        """
        check_is_fitted(self)
        passage, X = self._cross(X, reset=False)
        same_namespace(self, X, attribute="dual_coef_", method="score")
        Y, observed = self._entries(passage, X)
        if bool(observed.all()):
            return 0.0
        if y is None or tuple(np.shape(y)) != tuple(Y.shape):
            came = "None" if y is None else f"shape {tuple(np.shape(y))}"
            raise ValueError(
                f"y must be the true matrix, of the shape of X {tuple(Y.shape)}, got {came}."
            )
        kept = passage.tensor(self.kept_features_)
        truth = passage.tensor(y, passage.dtype)[:, kept]
        counted = ~observed[:, kept] & ~torch.isnan(truth)
        if not bool(counted.any()):
            raise ValueError("y is NaN wherever X has a hole: there is no entry to score.")
        completed = self._completed(passage, X, Y[:, kept], observed[:, kept])
        errors = (completed - truth)[counted].double()
        return -float(torch.linalg.vector_norm(errors) / len(errors) ** 0.5)

    def posterior_std(self, X):
        """Compute the standard deviation of a new measurement of every missing entry.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows with holes, from the training matrix or new.

        Returns
        -------
        std : array of shape (n_rows, n_kept)
            Zero where X is observed. In the units of X, noise included.

        Notes
        -----
        The posterior of the Gaussian process with the fitted kernels, exact where rows decouple
        or the other rows are complete; elsewhere the other rows' holes count as extra noise.
        Features learned from the same entries make it overconfident: on drug responses nominal
        90 % intervals covered 81 %. Costs an eigendecomposition of the row kernel and one
        factorization of a (n_kept, n_kept) matrix per row.
        """
        check_is_fitted(self)
        passage, X = self._cross(X, reset=False)
        same_namespace(self, X, attribute="dual_coef_", method="posterior_std")
        Y, observed = self._entries(passage, X)
        kept = passage.tensor(self.kept_features_)
        Y, observed = Y[:, kept], observed[:, kept]
        model, training_observed = self._model(passage)
        settings = self._fitted_settings(passage)
        known = self._training_rows(passage, Y, observed)
        std = torch.empty_like(Y)

        def fill(places, rows):
            std[places] = completion_std(
                rows,
                observed[places],
                model,
                training_observed,
                settings,
                self.alpha_,
            ).to(std.dtype)

        old, new = torch.nonzero(known >= 0).squeeze(1), torch.nonzero(known < 0).squeeze(1)
        if len(old):
            fill(old, known[old])
        for places in new.split(_ROWS_AT_ONCE):
            fill(places, self._complete_new(passage, X, Y, observed, places))
        return passage.back(std.masked_fill_(observed, 0))

    def get_feature_names_out(self, input_features=None):
        """Names of the completed columns, then those of the indicators.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the input columns; None takes those seen in ``fit``, or ``x0, x1, ...``.

        Returns
        -------
        names : ndarray of str objects
            One name per output column.
        """
        check_is_fitted(self)
        names = feature_names_in(self, input_features)
        kept = names[to_numpy(self.kept_features_)]
        if self.indicator_ is None:
            return kept
        return np.concatenate([kept, self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = _is_nan(self.missing_values)
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_params(self):
        check_integer(self.depth, "depth", low=1)
        resolve(self.activation)
        if not (isinstance(self.alpha, str) and self.alpha == "auto"):
            if isinstance(self.alpha, str):
                raise ValueError(f"alpha must be 'auto' or a number >= 0, got {self.alpha!r}.")
            check_number(self.alpha, "alpha", low=0)
        check_integer(self.rank, "rank", low=1, none=True)
        check_integer(self.n_passes, "n_passes", low=1)
        check_number(self.tol, "tol", low=0, high=1, boundaries="neither")
        check_integer(self.max_iter, "max_iter", low=1)
        check_flag(self.standardize, "standardize")
        check_flag(self.keep_empty_features, "keep_empty_features")
        check_flag(self.add_indicator, "add_indicator")
        check_bounds(self.clip, "clip")

    def _cross(self, X, *, reset):
        finite = "allow-nan" if _is_nan(self.missing_values) else True
        return cross(self, X, reset=reset, device=self.device, ensure_all_finite=finite)

    def _entries(self, passage, X):
        """Turn the matrix into a tensor, zero in its holes, and a mask of what it has."""
        Y = passage.tensor(X)
        missing = torch.isnan(Y) if _is_nan(self.missing_values) else self.missing_values == Y
        return Y.masked_fill(missing, 0), ~missing

    def _priors(self, passage, X):
        sides = (("row_prior", X.shape[0], "row"), ("column_prior", X.shape[1], "column"))
        return tuple(
            _prior(passage, getattr(self, name), name, X, count, side)
            for name, count, side in sides
        )

    def _settings(self, rows, columns, kept=None):
        if columns.features is not None and kept is not None:
            columns = Prior("given", columns.features[kept])
        return Settings(
            rows=rows,
            columns=columns,
            depth=self.depth,
            activation=self.activation,
            rank=self.rank,
            n_passes=self.n_passes,
            standardize=bool(self.standardize),
            tol=self.tol,
            max_iter=self.max_iter,
        )

    def _fitted_settings(self, passage):
        """Make the settings for new rows, which need of the priors only their kind."""
        return self._settings(Prior(_kind(self.row_prior)), Prior(_kind(self.column_prior)))

    def _check_size(self, Y, settings):
        m, n = Y.shape
        if self.rank is not None and settings.learns and self.rank > min(m, n):
            raise ValueError(
                f"rank must be at most the smaller side of X, {min(m, n)}, got {self.rank}."
            )
        rows = 0 if settings.decouples else m
        require_memory(
            memory_needed(m, n, rows, Y.element_size()),
            Y.device,
            what=f"Completing {m} x {n} entries",
            remedy="row_prior='identity' needs no kernel between rows; float32 data need half.",
        )

    def _choose_alpha(self, Y, observed, settings):
        if self.alpha != "auto":
            return float(self.alpha), {}
        return choose_alpha(Y, observed, settings, make_generator(self.random_state))

    def _fitted_indicator(self, passage, X):
        if not self.add_indicator:
            return None
        _, observed = self._entries(passage, X)
        holes = np.where(observed.cpu().numpy(), 0.0, np.nan)
        return MissingIndicator(error_on_new=False).fit(holes)

    def _attributes(self, passage, Y, observed, model):
        """Collect the fitted attributes that a model amounts to."""
        baseline, noise = model.baseline, model.noise
        completion = torch.where(observed, Y, self._clipped(model.completed))
        arrays = {
            "completion_": completion,
            "row_offsets_": baseline.row,
            "column_offsets_": baseline.center + baseline.column,
            "column_scales_": baseline.scale,
            "row_features_": model.row_features,
            "column_kernel_": model.column_kernel,
            "dual_coef_": model.dual,
            "_gains": model.gains,
            "_typical": model.typical[None],
            "_row_noise": noise.row,
            "_column_noise": noise.column,
            "_noise_level": noise.level[None],
        }
        return {name: passage.keep(value) for name, value in arrays.items()} | {
            "_row_basis": None if model.row_basis is None else passage.keep(model.row_basis),
            "residual_": float(model.residual),
            "amplitude_": float(model.amplitude),
            "jitter_": model.jitter,
            "n_iter_": model.n_iter,
        }

    def _model(self, passage):
        """Rebuild the fitted model from the attributes, and the training mask."""

        def tensor(name):
            return passage.tensor(getattr(self, name))

        observed = tensor("observed_")
        column = tensor("column_offsets_")
        model = Completion(
            completed=tensor("completion_"),
            baseline=Baseline(
                column.new_zeros(()), tensor("row_offsets_"), column, tensor("column_scales_")
            ),
            row_features=tensor("row_features_"),
            row_basis=None if self._row_basis is None else tensor("_row_basis"),
            gains=tensor("_gains"),
            typical=tensor("_typical")[0],
            column_kernel=tensor("column_kernel_"),
            noise=Noise(tensor("_row_noise"), tensor("_column_noise"), tensor("_noise_level")[0]),
            dual=tensor("dual_coef_"),
            residual=column.new_tensor(self.residual_),
            amplitude=column.new_tensor(self.amplitude_),
            n_iter=self.n_iter_,
            jitter=self.jitter_,
        )
        return model, observed

    def _completed(self, passage, X, Y, observed):
        known = self._training_rows(passage, Y, observed)
        completed = passage.tensor(self.completion_)[known.clamp_min(0)].to(Y.dtype)
        new = torch.nonzero(known < 0).squeeze(1)
        for places in new.split(_ROWS_AT_ONCE):
            rows = self._complete_new(passage, X, Y, observed, places)
            completed[places] = self._clipped(rows.completed).to(Y.dtype)
        completed[:, passage.tensor(self._filled_with_zero)] = 0
        return torch.where(observed, Y, completed)

    def _complete_new(self, passage, X, Y, observed, places) -> NewRows:
        model, training_observed = self._model(passage)
        dtype = model.dual.dtype
        features = None
        if callable(self.row_prior):
            prior = _prior(passage, self.row_prior, "row_prior", X, X.shape[0], "row")
            features = prior.features[places].to(dtype)
        return complete_new_rows(
            Y[places].to(dtype),
            observed[places],
            model,
            training_observed.to(dtype).mean(0),
            self._fitted_settings(passage),
            self.alpha_,
            features,
        )

    def _training_rows(self, passage, Y, observed):
        """Index of the training row that each row is, holes included; -1 for new rows."""
        trained = _contents(passage.tensor(self.completion_), passage.tensor(self.observed_))
        places = {}
        for place, content in enumerate(trained):
            places.setdefault(content, []).append(place)
        # Only an array tells rows apart that have the same entries.
        by_position = _kind(self.row_prior) == "given" and not callable(self.row_prior)
        known = []
        for position, content in enumerate(_contents(Y, observed)):
            found = places.get(content, [-1])
            ambiguous = by_position and len(found) > 1
            known.append(position if position in found else -1 if ambiguous else found[0])
        return torch.tensor(known, dtype=torch.int64, device=Y.device)

    def _clipped(self, values):
        return values if self.clip is None else values.clamp(*self.clip)


def _is_nan(value):
    return isinstance(value, float) and bool(np.isnan(value))


def _kind(prior):
    if prior is None:
        return "learned"
    return "identity" if isinstance(prior, str) else "given"


def _prior(passage, value, name, X, count, side):
    if isinstance(value, str):
        check_option(value, name, ("identity",))
    if _kind(value) != "given":
        return Prior(_kind(value))
    features = finite_array(value(X) if callable(value) else value, name)
    if len(features) != count:
        raise ValueError(
            f"{name} must have one row of features per {side} of X, {count}, "
            f"got shape {features.shape}."
        )
    return Prior("given", passage.tensor(features, passage.dtype))


def _informed(columns, observed):
    """Columns that the prior says something about, so that they are predicted unseen."""
    if columns.features is None:
        return torch.zeros_like(observed[0])
    return (columns.features != 0).any(1)


def _contents(Y, observed):
    """Turn rows into bytes: equal for rows with the same holes and the same values."""
    # Adding zero turns -0.0 into 0.0; NaN stands for every hole.
    rows = torch.where(observed, Y.double() + 0.0, torch.nan).cpu().numpy()
    return [row.tobytes() for row in rows]
