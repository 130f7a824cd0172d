"""Matrix completion with infinitely wide networks, as an imputer."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, feature_names_in, finite_array, same_namespace, to_numpy
from skoverparam._config import require_memory
from skoverparam._params import (
    check_auto,
    check_bounds,
    check_flag,
    check_integer,
    check_missing_values,
    check_number,
    check_option,
    is_nan,
    make_generator,
)
from skoverparam._steps import run_steps
from skoverparam.completion._biases import Baseline
from skoverparam.completion._choice import choose
from skoverparam.completion._dense import (
    Completion,
    Landmarks,
    Prior,
    Settings,
    completion_passes,
    memory_needed,
)
from skoverparam.completion._imputation import Imputation, clipped, imputation_std, impute
from skoverparam.completion._noise import Noise
from skoverparam.completion._observed import (
    append_columns,
    hidden_error,
    indices,
    informed_columns,
    split_missing,
)
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.kernels._activations import resolve

# Above so many rows the exact kernel between them costs more than it is worth.
_EXACT_ROWS = 5000
_LANDMARKS = 1000


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
        entries held out (of the rows, where most of what is missing is whole rows).

    rank : int or None, default=None
        Reduce learned profiles to this many principal directions. None keeps them whole, which
        predicted best in our measurements.

    n_passes : "auto" or int, default="auto"
        How often features are learned: first from the matrix with its holes, then from the
        completed one. "auto" goes on, up to ten passes, while this lowers the error on a tenth of
        the entries held out.

    standardize : bool, default=True
        Remove row and column offsets and scale columns to unit spread first. False models the
        entries as they are, as in the paper.

    n_landmarks : "auto", int or None, default="auto"
        Approximate the row kernel from this many rows, drawn by randomly pivoted Cholesky; its
        diagonal stays exact. None forms the exact kernel, of shape (n_samples, n_samples). "auto"
        takes the exact kernel up to 5000 rows, above that 1000 landmarks.

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
        Determines the entries held out to choose ``alpha``, and the landmarks.

    Attributes
    ----------
    alpha_ : float
        The ridge used.

    alpha_errors_ : dict
        Root mean square error on left-out entries of every ridge tried; empty if ``alpha`` was
        given.

    pass_errors_ : list of float
        The same after every pass that was tried; empty if ``n_passes`` was given.

    held_out_variance_ : float or None
        Mean squared error of the held-out entries in units of their columns' scales; None if
        nothing was held out.

    n_passes_ : int
        Number of passes, chosen or given.

    completion_ : array of shape (n_samples, n_kept)
        The training matrix with its holes filled.

    observed_ : array of shape (n_samples, n_kept), bool
        Which of its entries were observed.

    kept_features_ : array of shape (n_kept,)
        Indices of the columns that the model predicts.

    row_offsets_, column_offsets_ : array of shape (n_samples,) and (n_kept,)
        The baseline of an entry is the sum of its row's and its column's offset.

    column_scales_ : array of shape (n_kept,)
        Spread of the columns around the baseline, the unit of their standardized entries. Without
        ``standardize`` a power of two that is the same for all, and that no prediction depends on.

    row_features_ : array of shape (n_samples, p)
        Features whose cosines make the row kernel; ``p`` is 0 for the "identity" prior.

    landmarks_ : array of shape (r,) or None
        Rows that the row kernel was approximated from; None if it is exact.

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

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
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
    kernels and some twenty arrays like the data. With ``r`` landmarks the row kernel costs ``2 r``
    in place of ``n_samples``, both times.

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
        n_passes="auto",
        standardize=True,
        n_landmarks="auto",
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
        self.n_landmarks = n_landmarks
        self.clip = clip
        self.tol = tol
        self.max_iter = max_iter
        self.missing_values = missing_values
        self.keep_empty_features = keep_empty_features
        self.add_indicator = add_indicator
        self.device = device
        self.random_state = random_state

    @all_or_nothing()
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
        Y, observed = split_missing(passage.tensor(X), self.missing_values)
        if not bool(observed.any()):
            raise ValueError(f"X has no observed entry: all {len(Y)} x {Y.shape[1]} are missing.")
        rows, columns = self._priors(passage, X)
        informed = informed_columns(columns.features, observed)
        kept = indices(observed.any(0) | informed)
        indicator = self._fitted_indicator(observed)
        Y, observed = Y[:, kept], observed[:, kept]
        settings = self._settings(rows, columns.take(kept))
        settings, generator = self._sized(settings, Y)
        choice = choose(
            Y, observed, settings, _given(self.alpha), _given(self.n_passes), generator
        )
        settings = replace(settings, n_passes=choice.n_passes)
        known = {
            "alpha_": choice.alpha,
            "n_passes_": choice.n_passes,
            "alpha_errors_": choice.alpha_errors,
            "pass_errors_": choice.pass_errors,
            "held_out_variance_": choice.held_out_variance,
            "kept_features_": passage.keep(kept),
            "indicator_": indicator,
        }

        def fitted_after(model):
            return known | self._attributes(passage, Y, observed, model)

        model, n_done = run_steps(
            self,
            completion_passes(Y, observed, settings, choice.alpha),
            X=X,
            task_name="pass",
            max_steps=choice.n_passes,
            fitted_after=fitted_after,
        )
        vars(self).update(fitted_after(model))
        stopped_early = n_done < choice.n_passes
        if self.residual_ > self.tol and not settings.decouples and not stopped_early:
            warnings.warn(
                f"The linear system was solved to a relative residual of {self.residual_:.2g}, "
                f"not to tol={self.tol:g}. Increase max_iter={self.max_iter}, alpha or tol.",
                ConvergenceWarning,
                stacklevel=4,
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
        X_completed : array of shape (n_rows, n_features_out)
            Observed entries unchanged to the last bit, the others predicted.
        """
        passage, X, Y, observed = self._open(X, "transform")
        completed = self._complete(passage, X, Y, observed)
        if self.indicator_ is not None:
            completed = append_columns(completed, ~observed[:, self.indicator_.features_])
        return passage.back(completed)

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
            Larger is better; 0.0 if nothing is missing in the columns that are completed.
        """
        passage, X, Y, observed = self._open(X, "score")
        out = self._columns_out(passage)
        if bool(observed[:, out].all()):
            return 0.0
        if y is None or tuple(np.shape(y)) != tuple(Y.shape):
            came = "None" if y is None else f"shape {tuple(np.shape(y))}"
            raise ValueError(
                f"y must be the true matrix, of the shape of X {tuple(Y.shape)}, got {came}."
            )
        truth = passage.tensor(y, passage.dtype)
        completed = self._complete(passage, X, Y, observed)
        return -hidden_error(completed, truth[:, out], observed[:, out])

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
        Features learned from the same entries make it overconfident; where entries were held out
        to choose ``alpha`` or ``n_passes`` it is scaled to their mean squared error (on drug
        responses nominal 90 % intervals then covered 88 % of other hidden entries). Costs an
        eigendecomposition of the row kernel (of the landmarks' kernel, if there are any) and one
        factorization of a (n_kept, n_kept) matrix per row.
        """
        passage, X, Y, observed = self._open(X, "posterior_std")
        kept = passage.tensor(self.kept_features_)
        fitted, features = self._imputation(passage), self._features_of(passage, X)
        return passage.back(imputation_std(fitted, Y[:, kept], observed[:, kept], features))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the completed columns, then those of the indicators.

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
        out = names if self.keep_empty_features else names[to_numpy(self.kept_features_)]
        if self.indicator_ is None:
            return out
        return np.concatenate([out, self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = is_nan(self.missing_values)
        tags.array_api_support = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _check_params(self):
        check_integer(self.depth, "depth", low=1)
        resolve(self.activation)
        check_auto(self.alpha, "alpha", check_number, low=0)
        check_auto(self.n_passes, "n_passes", check_integer, low=1)
        check_auto(self.n_landmarks, "n_landmarks", check_integer, low=1, none=True)
        check_integer(self.rank, "rank", low=1, none=True)
        check_number(self.tol, "tol", low=0, high=1, boundaries="neither")
        check_integer(self.max_iter, "max_iter", low=1)
        check_flag(self.standardize, "standardize")
        check_flag(self.keep_empty_features, "keep_empty_features")
        check_flag(self.add_indicator, "add_indicator")
        check_bounds(self.clip, "clip")
        check_missing_values(self.missing_values)

    def _cross(self, X, *, reset):
        finite = "allow-nan" if is_nan(self.missing_values) else True
        return cross(self, X, reset=reset, device=self.device, ensure_all_finite=finite)

    def _open(self, X, method):
        """Validate the data of a method of the fitted estimator."""
        check_is_fitted(self)
        passage, X = self._cross(X, reset=False)
        same_namespace(self, X, attribute="dual_coef_", method=method)
        return passage, X, *split_missing(passage.tensor(X), self.missing_values)

    def _priors(self, passage, X):
        rows = _prior(passage, self.row_prior, "row_prior", X, X.shape[0], "row")
        columns = _prior(passage, self.column_prior, "column_prior", X, X.shape[1], "column")
        return rows, columns

    def _settings(self, rows, columns):
        return Settings(
            rows=rows,
            columns=columns,
            depth=self.depth,
            activation=self.activation,
            rank=self.rank,
            n_passes=getattr(self, "n_passes_", 1),
            standardize=bool(self.standardize),
            tol=self.tol,
            max_iter=self.max_iter,
        )

    def _sized(self, settings, Y):
        """Complete the settings with what depends on the size, if there is memory for it."""
        m, n = Y.shape
        if self.rank is not None and settings.learns and self.rank > min(m, n):
            raise ValueError(
                f"rank must be at most the smaller side of X, {min(m, n)}, got {self.rank}."
            )
        n_landmarks = self.n_landmarks
        if n_landmarks == "auto":
            n_landmarks = _LANDMARKS if m > _EXACT_ROWS else None
        if settings.decouples or n_landmarks is not None and n_landmarks >= m:
            n_landmarks = None
        width = m if n_landmarks is None else 2 * n_landmarks
        require_memory(
            memory_needed(m, n, 0 if settings.decouples else m * width, Y.element_size()),
            Y.device,
            what=f"Completing {m} x {n} entries",
            remedy="n_landmarks approximates the kernel between rows, row_prior='identity' needs "
            "none; with more columns than rows complete X.T; float32 data take half.",
        )
        chooses = self.alpha == "auto" or (self.n_passes == "auto" and settings.learns)
        generator, seed = None, 0
        if chooses or n_landmarks is not None:
            generator = make_generator(self.random_state)
            seed = generator.initial_seed()
        return replace(settings, n_landmarks=n_landmarks, seed=seed), generator

    def _fitted_indicator(self, observed):
        if not self.add_indicator:
            return None
        holes = np.where(to_numpy(observed), 0.0, np.nan)
        return MissingIndicator(error_on_new=False).fit(holes)

    def _attributes(self, passage, Y, observed, model):
        """Collect the fitted attributes that a model amounts to."""
        baseline, noise, marks = model.baseline, model.noise, model.landmarks
        completion = clipped(model.completed, self.clip).where(~observed, Y)
        tensors = {
            "completion_": completion,
            "observed_": observed,
            "row_offsets_": baseline.row,
            "column_offsets_": baseline.center + baseline.column,
            "column_scales_": baseline.scale,
            "row_features_": model.row_features,
            "column_kernel_": model.column_kernel,
            "dual_coef_": model.dual,
            "_gains": model.gains,
            "_typical": model.typical[None],
            "_row_basis": model.row_basis,
            "_row_noise": noise.row,
            "_column_noise": noise.column,
            "_noise_level": noise.level[None],
            "landmarks_": None if marks is None else marks.rows,
            "_landmark_factor": None if marks is None else marks.factor,
            "_landmark_pull": None if marks is None else marks.pull,
        }
        kept = {name: None if x is None else passage.keep(x) for name, x in tensors.items()}
        return kept | {
            "residual_": float(model.residual),
            "amplitude_": float(model.amplitude),
            "jitter_": model.jitter,
            "n_iter_": model.n_iter,
        }

    def _imputation(self, passage):
        """Rebuild the fitted model from the attributes."""

        def tensor(name):
            value = getattr(self, name)
            return None if value is None else passage.tensor(value)

        column, marks = tensor("column_offsets_"), None
        if self.landmarks_ is not None:
            marks = Landmarks(*map(tensor, ("landmarks_", "_landmark_factor", "_landmark_pull")))
        model = Completion(
            completed=tensor("completion_"),
            baseline=Baseline(
                column.new_zeros(()), tensor("row_offsets_"), column, tensor("column_scales_")
            ),
            row_features=tensor("row_features_"),
            row_basis=tensor("_row_basis"),
            gains=tensor("_gains"),
            typical=tensor("_typical")[0],
            landmarks=marks,
            column_kernel=tensor("column_kernel_"),
            noise=Noise(tensor("_row_noise"), tensor("_column_noise"), tensor("_noise_level")[0]),
            dual=tensor("dual_coef_"),
            residual=column.new_tensor(self.residual_),
            amplitude=column.new_tensor(self.amplitude_),
            n_iter=self.n_iter_,
            jitter=self.jitter_,
        )
        # Of the priors, new rows need to know only the kind. Only an array tells rows apart that
        # have the same entries.
        kind = _kind(self.row_prior)
        return Imputation(
            model=model,
            observed=tensor("observed_"),
            settings=self._settings(Prior(kind), Prior(_kind(self.column_prior))),
            alpha=self.alpha_,
            by_position=kind == "given" and not callable(self.row_prior),
            bounds=self.clip,
            held_out_variance=self.held_out_variance_,
        )

    def _features_of(self, passage, X):
        """Make the function that looks up what a callable prior says of some rows of X."""
        if not callable(self.row_prior):
            return lambda places: None
        prior = _prior(passage, self.row_prior, "row_prior", X, X.shape[0], "row")
        came, fitted = prior.features.shape[1], self.row_features_.shape[1]
        if came != fitted:
            raise ValueError(f"row_prior must return {fitted} features, as in fit, got {came}.")
        return lambda places: prior.features[places]

    def _complete(self, passage, X, Y, observed):
        kept = passage.tensor(self.kept_features_)
        fitted, features = self._imputation(passage), self._features_of(passage, X)
        # Holes of Y hold zeros already: what columns without any data are filled with.
        Y[:, kept] = impute(fitted, Y[:, kept], observed[:, kept], features)
        return Y[:, self._columns_out(passage)]

    def _columns_out(self, passage):
        return slice(None) if self.keep_empty_features else passage.tensor(self.kept_features_)


def _given(value):
    return None if isinstance(value, str) else value


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
    return Prior("given", passage.tensor(features))
