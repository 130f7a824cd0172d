"""Regression on pairs (or any tuples) of ids, such as ratings."""

from __future__ import annotations

import warnings
from functools import partial

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from skoverparam._arrays import cross, same_namespace, sample_weights, to_numpy
from skoverparam._config import memory_budget, require_memory
from skoverparam._ids import distinct_ids, positions, side_rows
from skoverparam._params import (
    check_auto,
    check_bounds,
    check_integer,
    check_number,
    make_generator,
)
from skoverparam._steps import run_steps
from skoverparam.completion._entries import merge_entries
from skoverparam.completion._interaction_choice import choose_settings
from skoverparam.completion._interaction_state import map_tensors, model_from, state_of
from skoverparam.completion._interactions import (
    Settings,
    choose_precision,
    choose_rank,
    finish,
    know,
    memory_needed,
    noise_of,
    pose,
    posterior_variance,
    predict,
    solve,
    true_residual,
)
from skoverparam.completion._profiles import profiles_from_coordinates
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing
from skoverparam.kernels._activations import resolve

# What "auto" starts from, and stays at where there are too few entries to choose.
_STARTS = {
    "alpha": 0.5,
    "mask_weight": 1.0,
    "side_weight": 2.0,
}
# Share of the biases' variance that similar ids have in common. Errors on held-out ratings hardly
# depend on it between .2 and .8; zero is worse.
_SHARING = 0.5
# Noise variances of entries go with the square root of those seen of their ids: better than 0 and
# 1 on three sets of ratings, if only by a few units of the fourth digit.
_NOISE_POWER = 0.5


class NTKInteractionRegressor(CallbackSupportMixin, RegressorMixin, DocumentedEstimator):
    """Predict values of pairs of ids, such as ratings of (user, item), with an infinite network.

    A Gaussian process over entries: additive offsets of rows and columns with learned variances,
    plus an interaction with covariance ``R[i, i'] C[j, j']``, both sides neural tangent kernels
    of infinitely wide networks without their constants. Rows are alike when similar residuals were
    observed in them, when the same columns were observed at all, and when their side information
    is alike.

    Parameters
    ----------
    row_prior, column_prior : mapping, data frame, callable or array, default=None
        Side information about the ids in the first and second column of X, seen in ``fit`` or not.

        - mapping: id to a vector of p numbers;
        - pandas data frame: its index holds the ids, its columns are the features;
        - callable: maps an array of k ids to an array or sparse matrix of shape (k, p);
        - array or sparse matrix of shape (n, p): the ids are its row numbers.

        Vectors are scaled to unit length. A vector of zeros, and an id that the prior does not
        have, mean that nothing is known. For a graph over integer ids give the rows of its
        adjacency matrix plus the identity, best with columns over the square root of their sums.

    depth : int, default=1
        Number of hidden layers.

    activation : {"relu", "leaky_relu", "erf"} or activation object, default="relu"
        As in :func:`skoverparam.kernels.fully_connected_ntk`.

    alpha : "auto" or float, default="auto"
        Noise variance over the prior variance of the interaction. This and every other "auto"
        is chosen on training entries held out for it, see Notes.

    mask_weight : "auto" or float, default="auto"
        How much *which* entries were observed says about ids, beside the observed values with
        weight 1. Set it to 0 if the pattern of observed entries will change.

    side_weight : "auto", float or (float, float), default="auto"
        How much side information says, beside the observed values with weight 1; a pair for rows
        and columns.

    shrinkage : float, default=20.0
        An id's values count by half, beside its own identity, when it has so many entries.

    rank : "auto", int or None, default="auto"
        Columns of each side's kernel that are read (randomly pivoted Cholesky; what is left of
        the diagonal is added exactly). None reads everything. "auto" does so where memory and
        time allow. For one or more than two columns of ids the rank is that of the kernel of the
        entries.

    clip : (float, float) or None, default=None
        Bounds of predictions.

    tol : float, default=1e-2
        Relative residual to solve the linear system to.

    max_iter : int, default=200
        Largest number of conjugate gradient steps.

    device : {"auto", "cpu", "cuda", "cuda:<n>"}, default="auto"
        Where to compute. "auto" leaves a tensor where it is and takes arrays to a CUDA device if
        there is one.

    random_state : int, RandomState instance or None, default=0
        Draws the held-out entries and the kernels' pivots. An integer (the default) makes fits
        repeatable.

    Attributes
    ----------
    row_ids_, column_ids_ : array of shape (n_rows,) and (n_columns,)
        Distinct ids in the first and second column; ``column_ids_`` is None for one column.

    ids_ : list of ndarray
        Distinct ids of every column.

    entries_ : array of shape (n_entries, n_columns)
        Distinct combinations of ids, as positions in ``ids_``.

    dual_coef_ : array of shape (n_entries,)
        Dual coefficients of the distinct combinations.

    alpha_, mask_weight_ : float
        Settings used.

    side_weight_ : tuple of float
        Weights used for the side information of every column of ids.

    rank_ : int or None
        Largest number of columns read of a kernel; None if it was used whole.

    held_out_error_ : float
        Root mean square error of the chosen settings on the held-out entries, a little optimistic;
        NaN if nothing was chosen.

    bias_variances_ : tuple of float
        Learned variances of the offsets of every column of ids, in the units of y squared.

    amplitude_ : float
        Estimated prior variance of the interaction, in the units of y squared.

    residual_ : float
        True relative residual of the linear system, computed in float64.

    n_iter_ : int
        Number of products with the kernel.

    n_features_in_ : int
        Number of columns of ids.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all of them are strings.

    See Also
    --------
    NTKMatrixCompleter : The same idea for a matrix with holes, as an imputer.

    Notes
    -----
    Values of the same pair are averaged, and the noise variance of an average of c values is
    that of one over c; a sample weight w counts as w values. Ids that were not seen in ``fit``
    are predicted from their side information if there is any, else as an average id.

    Further columns of X are further factors of the product kernel. With a single column the model
    is kernel regression on side information with an offset for each id.

    Settings left to "auto" are chosen by coordinate descent on 5 % of the distinct entries (15 %,
    and up to five such parts in turn, where they are few; nothing is chosen below 200 entries);
    biases and all features are estimated without the held-out entries. Then everything is fitted
    to all entries.

    A conjugate gradient step costs ``n_entries (n_rows + n_columns)`` multiplications with whole
    kernels and ``n_entries rank`` otherwise, where no array of size n_rows times n_columns is
    ever made. Learned features come from the training entries, so posterior standard deviations
    are somewhat too small.

    The product of kernels on both sides, learned features and the offsets in the same Gaussian
    process are ours; the one-sided infinite-width model is that of [1]_.

    References
    ----------
    .. [1] A. Radhakrishnan, G. Stefanakis, M. Belkin, C. Uhler, "Simple, Fast, and Flexible
       Framework for Matrix Completion with Infinite Width Neural Networks", PNAS 119(16), 2022,
       arXiv:2108.00131.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam import NTKInteractionRegressor
    >>> rng = np.random.default_rng(0)
    >>> taste, style = rng.normal(size=(60, 2)), rng.normal(size=(40, 2))
    >>> pairs = np.argwhere(rng.random((60, 40)) < 0.6)
    >>> y = (taste[pairs[:, 0]] * style[pairs[:, 1]]).sum(axis=1)
    >>> test = np.arange(len(pairs)) % 5 == 0
    >>> model = NTKInteractionRegressor(alpha=0.1, mask_weight=0.0)
    >>> bool(model.fit(pairs[~test], y[~test]).score(pairs[test], y[test]) > 0.7)
    True
    """

    def __init__(
        self,
        row_prior=None,
        column_prior=None,
        *,
        depth=1,
        activation="relu",
        alpha="auto",
        mask_weight="auto",
        side_weight="auto",
        shrinkage=20.0,
        rank="auto",
        clip=None,
        tol=1e-2,
        max_iter=200,
        device="auto",
        random_state=0,
    ):
        self.row_prior = row_prior
        self.column_prior = column_prior
        self.depth = depth
        self.activation = activation
        self.alpha = alpha
        self.mask_weight = mask_weight
        self.side_weight = side_weight
        self.shrinkage = shrinkage
        self.rank = rank
        self.clip = clip
        self.tol = tol
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state

    @all_or_nothing()
    @with_callbacks
    def fit(self, X, y, sample_weight=None):
        """Learn from observed values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns)
            Ids, of any hashable kind: the first column names the row, the second the column,
            further ones further factors.

        y : array-like of shape (n_samples,)
            Observed values.

        sample_weight : array-like of shape (n_samples,), default=None
            Number of values that a value stands for; more than 1e10 count as so many.

        Returns
        -------
        self : NTKInteractionRegressor
            The fitted estimator.
        """
        self._check_params()
        passage, X, y = self._cross(X, y, reset=True)
        columns, values, weights = _observations(X, y, sample_weight)
        ids = [distinct_ids(column, f"column {f} of X") for f, column in enumerate(columns)]
        entries = merge_entries(
            _stacked(passage, map(positions, columns, ids)),
            passage.tensor(values),
            passage.tensor(weights),
            tuple(map(len, ids)),
        )
        sides, widths = self._sides(passage, ids)
        generator = make_generator(self.random_state)
        dtype = choose_precision(len(values), self.tol)
        settings, free = self._settings(entries, sides, dtype)
        choice = choose_settings(
            entries, sides, settings, free, generator, dtype=dtype, max_iter=self.max_iter
        )
        known = know(entries, sides)
        posed = pose(known, choice.settings, generator, dtype)
        attributes = partial(self._attributes, passage, ids, widths, known, choice, posed)
        last, self.n_iter_ = run_steps(
            self,
            solve(posed, choice.settings.alpha, tol=self.tol, max_iter=self.max_iter),
            X=X,
            y=y,
            task_name="conjugate gradient step",
            max_steps=self.max_iter + 1,
            fitted_after=attributes,
        )
        vars(self).update(attributes(last))
        self.residual_ = true_residual(posed, last.coefficients, choice.settings.alpha)
        if self.residual_ > self.tol:
            warnings.warn(
                f"The linear system was solved to a relative residual of {self.residual_:.2g}, "
                f"not to tol={self.tol:g}. Increase max_iter={self.max_iter}, alpha or tol.",
                ConvergenceWarning,
                stacklevel=4,
            )
        return self

    def predict(self, X, return_std=False):
        """Predict values of combinations of ids.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_columns)
            Ids, seen in ``fit`` or not.

        return_std : bool, default=False
            Whether to compute standard deviations of single new values, noise included. One
            linear system for every row of X: meant for few rows.

        Returns
        -------
        y : array of shape (n_samples,)
            Predicted values.

        std : array of shape (n_samples,)
            Standard deviations, if ``return_std``.
        """
        check_is_fitted(self)
        passage, X = self._cross(X, reset=False)
        same_namespace(self, X, attribute="dual_coef_", method="predict")
        model = model_from(passage.tensors(self._state))
        codes, unseen = self._codes(passage, _columns(X))
        values = predict(model, codes, unseen)
        if self.clip is not None:
            values = values.clamp(*self.clip)
        values = passage.back(values.to(passage.dtype))
        if not return_std:
            return values
        variance = posterior_variance(
            model, codes, unseen, alpha=self.alpha_, tol=self.tol / 10, max_iter=self.max_iter
        )
        variance += self.alpha_ * noise_of(model, codes)
        std = model.scale * (model.amplitude * variance).sqrt()
        return values, passage.back(std.to(passage.dtype))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.categorical = True
        tags.array_api_support = True
        # Rows of unseen ids only, as the common checks hold out, can be predicted by a mean only.
        tags.regressor_tags.poor_score = True
        return tags

    def _check_params(self):
        check_integer(self.depth, "depth", low=1)
        resolve(self.activation)
        check_auto(self.alpha, "alpha", check_number, low=0, boundaries="neither")
        check_auto(self.mask_weight, "mask_weight", check_number, low=0)
        pair = self.side_weight
        if not _is_pair(pair):
            check_auto(pair, "side_weight", check_number, low=0)
        elif len(pair) != 2 or any(map(_is_auto, pair)):
            raise ValueError(
                "side_weight must be 'auto', a number or a pair of numbers for rows and columns, "
                f"got {pair!r}."
            )
        else:
            for weight in pair:
                check_number(weight, "side_weight", low=0)
        check_number(self.shrinkage, "shrinkage", low=0, boundaries="neither")
        if isinstance(self.rank, str) and self.rank != "auto":
            raise ValueError(f"rank must be 'auto', None or an integer, got {self.rank!r}.")
        if not isinstance(self.rank, str):
            check_integer(self.rank, "rank", low=1, none=True)
        check_bounds(self.clip, "clip")
        check_number(self.tol, "tol", low=0, high=1, boundaries="neither")
        check_integer(self.max_iter, "max_iter", low=1)

    def _cross(self, X, y="no_validation", *, reset):
        check = {} if isinstance(y, str) else {"y_numeric": True}
        return cross(self, X, y, reset=reset, device=self.device, dtype=None, **check)

    def _priors(self):
        return (("row_prior", self.row_prior), ("column_prior", self.column_prior))

    def _sides(self, passage, ids):
        """Side information of the ids, and how many features it has."""
        sides, widths = [None] * len(ids), [None] * len(ids)
        for f, (name, prior) in enumerate(self._priors()):
            if prior is None:
                continue
            if f >= len(ids):
                raise ValueError(f"{name} was given, but X has only {len(ids)} column of ids.")
            rows = side_rows(prior, name, ids[f])
            sides[f], widths[f] = _profiles(passage, rows), rows.shape[1]
        return tuple(sides), widths

    def _settings(self, entries, sides, dtype):
        """Collect the settings to start from, and the names of those to choose."""
        given = {name: getattr(self, name) for name in _STARTS}
        free = [name for name, value in given.items() if _is_auto(value)]
        if all(about is None for about in sides):
            free = [name for name in free if name != "side_weight"]
        side = given.pop("side_weight")
        side = _STARTS["side_weight"] if _is_auto(side) else side
        weights = [float(weight) for weight in (side if _is_pair(side) else (side, side))]
        weights += [0.0] * len(sides)
        start = {k: _STARTS[k] if _is_auto(v) else float(v) for k, v in given.items()}
        settings = Settings(
            depth=self.depth,
            activation=self.activation,
            side_weights=tuple(weights[: len(sides)]),
            shrinkage=float(self.shrinkage),
            sharing=_SHARING,
            noise_power=_NOISE_POWER,
            rank=self._rank(entries, dtype),
            **start,
        )
        return settings, ["side_weights" if name == "side_weight" else name for name in free]

    def _rank(self, entries, dtype):
        sizes, n = entries.sizes, len(entries.values)
        largest = max(sizes) if len(sizes) == 2 else n
        device = entries.values.device
        if self.rank == "auto":
            rank = choose_rank(sizes, n, dtype.itemsize, memory_budget(device))
        elif self.rank is not None and self.rank > largest:
            raise ValueError(
                f"rank must be at most {largest}, the size of the largest kernel, got {self.rank}."
            )
        else:
            rank = self.rank
        require_memory(
            memory_needed(sizes, n, rank, dtype.itemsize),
            device,
            what=f"Fitting {n} entries of {' x '.join(map(str, sizes))} ids",
            remedy="A smaller rank needs less.",
        )
        return rank

    def _codes(self, passage, columns):
        """Positions of ids, those of unseen ones beyond the seen, and their side information."""
        codes, unseen = [], []
        priors = [*self._priors(), *[(None, None)] * len(columns)]
        for column, ids, width, (name, prior) in zip(
            columns, self.ids_, self._side_widths, priors, strict=False
        ):
            place = positions(column, ids)
            foreign = column[place < 0]
            if width is None or prior is None:
                place[place < 0] = len(ids)
                unseen.append(None)
            else:
                new = distinct_ids(foreign, "X")
                place[place < 0] = len(ids) + positions(foreign, new)
                unseen.append(_profiles(passage, side_rows(prior, name, new, width)))
            codes.append(place)
        return _stacked(passage, codes), tuple(unseen)

    def _attributes(self, passage, ids, widths, known, choice, posed, solved):
        """Collect the fitted attributes that a solution amounts to."""
        settings = choice.settings
        model = finish(posed, solved.coefficients, known, settings)
        square = model.scale * model.scale  # a power would raise where this overflows
        return {
            "ids_": ids,
            "row_ids_": _kept(passage, ids[0]),
            "column_ids_": _kept(passage, ids[1]) if len(ids) > 1 else None,
            "entries_": passage.keep(known.entries.codes),
            "dual_coef_": passage.keep(model.coefficients.to(passage.dtype)),
            "alpha_": settings.alpha,
            "mask_weight_": settings.mask_weight,
            "side_weight_": settings.side_weights,
            "rank_": settings.rank,
            "held_out_error_": choice.error,
            "bias_variances_": tuple(v * square for v in known.components.variances),
            "amplitude_": model.amplitude * square,
            "residual_": solved.residual,
            "_state": map_tensors(state_of(model), to_numpy),
            "_side_widths": widths,
        }


def _observations(X, y, sample_weight):
    """Columns of ids, values and weights on the host, without what has weight zero."""
    columns, values = _columns(X), to_numpy(y)
    if values.dtype.kind not in "fiub":
        raise ValueError(f"y must hold numbers, got values such as {values[0]!r}.")
    values = values.astype(np.float64)
    weights = sample_weights(sample_weight, len(values))
    seen = weights > 0
    return [column[seen] for column in columns], values[seen], weights[seen]


def _columns(X):
    return list(to_numpy(X).T)


def _kept(passage, ids):
    """Ids as a fitted attribute: in the namespace of the data, if they are numbers."""
    return passage.keep(passage.tensor(ids)) if ids.dtype.kind in "fiub" else ids


def _stacked(passage, columns):
    return passage.tensor(np.stack(list(columns), axis=1).astype(np.int64))


def _profiles(passage, rows):
    index = np.stack([rows.rows, rows.columns]).astype(np.int64)
    i, j = passage.tensor(index)
    values = passage.tensor(np.asarray(rows.values, dtype=np.float64))
    return profiles_from_coordinates(i, j, values, rows.shape)


def _is_auto(value):
    return isinstance(value, str)


def _is_pair(value):
    return isinstance(value, (tuple, list))
