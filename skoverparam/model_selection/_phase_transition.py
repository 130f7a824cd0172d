"""Scores over the strength of a signal and the size of the noise: where learning sets in."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.metrics import check_scoring
from sklearn.utils.parallel import Parallel, delayed

from skoverparam._params import check_integer, check_number, make_stream
from skoverparam.nets._two_layer_cnn_training import suitable_threads

# Networks that are trained at once: enough to keep any device busy, and their data in memory.
_CELLS = 2048


class PhaseTransitionMap(NamedTuple):
    """Scores over signals and sizes.

    Attributes
    ----------
    signals : ndarray of shape (n_signals,)
        Norms of the signal, the rows.

    dims, n_samples : ndarray of shape (n_columns,)
        Size of a patch and number of training samples of each column.

    scores, train_scores : ndarray of shape (n_signals, n_columns, n_trials)
        Scores on test and training data.

    mean, median : ndarray of shape (n_signals, n_columns)
        Of the test scores over the trials.

    n_snr_q : ndarray of shape (n_signals, n_columns)
        What theory says decides: n SNR^q.

    q : float
        Degree of the activation in it.

    sigma_p : float
        Standard deviation of the noise in it.
    """

    signals: np.ndarray
    dims: np.ndarray
    n_samples: np.ndarray
    scores: np.ndarray
    train_scores: np.ndarray
    mean: np.ndarray
    median: np.ndarray
    n_snr_q: np.ndarray
    q: float
    sigma_p: float

    def theory_curve(self, c=2.0):
        """Signal in every column where n SNR^q = c; with c = 2 both times of theory are equal."""
        noise = self.sigma_p * np.sqrt(self.dims)
        return noise * (c / self.n_samples) ** (1 / self.q)

    def crossing(self, level=0.75):
        """Signal in every column where the mean score first crosses a level, NaN if nowhere."""
        found = np.full(len(self.dims), np.nan)
        for column, scores in enumerate(self.mean.T):
            above = np.flatnonzero(scores >= level)
            if not len(above) or above[0] == 0:
                continue
            low, high = above[0] - 1, above[0]
            share = (level - scores[low]) / (scores[high] - scores[low])
            found[column] = self.signals[low] + share * (self.signals[high] - self.signals[low])
        return found


def phase_transition_map(
    estimator,
    make_data,
    *,
    signals,
    dims=400,
    n_samples=20,
    n_trials=8,
    n_test=1000,
    data_params=None,
    scoring=None,
    n_jobs=None,
    resume=None,
    random_state=None,
):
    r"""Score an estimator over the strength of a signal and the dimension of the noise.

    Training data are drawn anew for every cell of the map and every trial, and so are test data.
    Networks that can be trained many at once are: with
    :class:`~skoverparam.TwoLayerCNNClassifier` the whole map is one tensor program.

    Parameters
    ----------
    estimator : estimator
        Anything with ``fit`` and a score; it is cloned, not fitted itself.

    make_data : callable
        Draws data: ``make_data(n, d, signal, random_state=..., **data_params)`` returns X and y,
        and maybe more, as :func:`skoverparam.datasets.make_signal_noise_patches` does.

    signals : array-like of shape (n_signals,)
        Norms of the signal, ascending.

    dims : int or array-like of shape (n_columns,), default=400
        Sizes of a patch.

    n_samples : int or array-like of shape (n_columns,), default=20
        Numbers of training samples. If both this and `dims` are arrays they must be of one
        length.

    n_trials : int, default=8
        Independent repeats of every cell. Near the boundary luck decides; fewer than eight leave
        speckles.

    n_test : int, default=1000
        Number of test samples.

    data_params : dict, default=None
        Further arguments of `make_data`, such as ``sigma_p``.

    scoring : str, callable or None, default=None
        As in scikit-learn; None is the estimator's ``score``.

    n_jobs : int, default=None
        Number of cells computed in parallel, by processes; where networks are trained many at
        once, number of threads that draw and score.

    resume : PhaseTransitionMap, default=None
        A map of the same cells and the same `random_state`, an integer, with fewer trials; only
        those that are missing are computed.

    random_state : int, RandomState instance or None, default=None
        Determines the seeds of all cells and trials, each of which is its own.

    Returns
    -------
    map : PhaseTransitionMap
        Named tuple of ``signals``, ``dims``, ``n_samples``; ``scores``, ``train_scores`` of shape
        (n_signals, n_columns, n_trials); their ``mean`` and ``median``; ``n_snr_q``, ``q`` and
        ``sigma_p``; with methods ``theory_curve(c)`` and ``crossing(level)``.

    Raises
    ------
    ValueError
        If sizes are out of range or do not match, or `resume` is a map of other cells.

    See Also
    --------
    PhaseTransitionDisplay : Draws it.
    skoverparam.theory.signal_noise_phase : What to expect.

    Notes
    -----
    A classifier is trained many at once if it has a method ``fit_many(data, parameters=...)``
    that returns fitted copies. A cell's generator is seeded once and draws its training data,
    then its test data; the same seed is set as ``random_state`` of the estimator and its parts.

    Examples
    --------
    >>> from skoverparam import TwoLayerCNNClassifier
    >>> from skoverparam.datasets import make_signal_noise_patches
    >>> from skoverparam.model_selection import phase_transition_map
    >>> found = phase_transition_map(
    ...     TwoLayerCNNClassifier(max_iter=20_000),
    ...     make_signal_noise_patches,
    ...     signals=[3.0, 7.0, 13.0],
    ...     dims=[100, 400],
    ...     n_trials=4,
    ...     random_state=0,
    ... )
    >>> found.scores.shape, bool((found.train_scores == 1).all())
    ((3, 2, 4), True)
    >>> found.median[[0, 2]].round(1).tolist()
    [[0.5, 0.5], [1.0, 1.0]]
    """
    signals = _ascending(signals)
    dims, sizes = _columns(dims, n_samples)
    check_integer(n_trials, "n_trials", low=1)
    check_integer(n_test, "n_test", low=1)
    data_params = dict(data_params or {})
    scorer = check_scoring(estimator, scoring)
    q, sigma_p = _law(estimator, data_params)
    shape = (n_trials, len(signals), len(dims))
    seeds = make_stream(random_state).randint(np.iinfo(np.int32).max, size=shape)
    known = _known(resume, signals, dims, sizes, n_trials)
    cells = [
        (int(seeds[trial, row, column]), int(sizes[column]), int(dims[column]), signals[row])
        for trial in range(known.shape[1], n_trials)
        for row in range(len(signals))
        for column in range(len(dims))
    ]
    draw = _Draw(make_data, data_params, int(n_test))
    score = _scores_together if hasattr(estimator, "fit_many") else _scores_apart
    found = score(estimator, cells, draw, scorer, n_jobs)
    fresh = np.reshape(found, (-1, *shape[1:], 2)).transpose(3, 0, 1, 2)
    test, train = np.moveaxis(np.concatenate([known, fresh], axis=1), 1, 3)
    snr = signals[:, None] / (sigma_p * np.sqrt(dims))
    return PhaseTransitionMap(
        signals=signals,
        dims=dims,
        n_samples=sizes,
        scores=test,
        train_scores=train,
        mean=test.mean(axis=2),
        median=np.median(test, axis=2),
        n_snr_q=sizes * snr**q,
        q=q,
        sigma_p=sigma_p,
    )


class _Draw(NamedTuple):
    """Draws the data of a cell."""

    make_data: object
    data_params: dict[str, object]
    n_test: int

    def train(self, cell):
        seed, n, d, signal = cell
        rng = np.random.RandomState(seed)
        return rng, self.make_data(n, d, signal, random_state=rng, **self.data_params)[:2]

    def test(self, cell, rng):
        _, _, d, signal = cell
        return self.make_data(self.n_test, d, signal, random_state=rng, **self.data_params)[:2]


def _scores_together(estimator, cells, draw, scorer, n_jobs):
    """Score networks that are trained many at once."""
    parallel = Parallel(n_jobs=n_jobs, prefer="threads")
    scores = []
    for start in range(0, len(cells), _CELLS):
        some = cells[start : start + _CELLS]
        drawn = parallel(delayed(draw.train)(cell) for cell in some)
        fitted = estimator.fit_many(
            [data for _, data in drawn],
            parameters=[_seeds(estimator, seed) for seed, *_ in some],
        )
        scores += parallel(
            delayed(_test_on_one_thread)(one, cell, rng, data, draw, scorer)
            for one, cell, (rng, data) in zip(fitted, some, drawn, strict=True)
        )
    return scores


def _scores_apart(estimator, cells, draw, scorer, n_jobs):
    """Score any estimator, cell by cell."""
    return Parallel(n_jobs=n_jobs)(
        delayed(_fit_and_test)(clone(estimator), cell, draw, scorer) for cell in cells
    )


def _fit_and_test(estimator, cell, draw, scorer):
    rng, data = draw.train(cell)
    estimator.set_params(**_seeds(estimator, cell[0])).fit(*data)
    return _test(estimator, cell, rng, data, draw, scorer)


def _test(fitted, cell, rng, data, draw, scorer):
    return scorer(fitted, *draw.test(cell, rng)), scorer(fitted, *data)


def _test_on_one_thread(*arguments):
    # Cells are small and there are many: they go side by side, not each on all threads.
    with suitable_threads(0):
        return _test(*arguments)


def _seeds(estimator, seed):
    """Seed all parts of an estimator that take one."""
    names = estimator.get_params(deep=True)
    return {name: seed for name in names if name.rpartition("__")[2] == "random_state"}


def _law(estimator, data_params):
    """Take what theory needs to know from the estimator's and the data's parameters."""
    q = estimator.get_params().get("q", 3.0)
    check_number(q, "q", low=1)
    sigma_p = data_params.get("sigma_p", 1.0)
    check_number(sigma_p, "sigma_p", low=0, boundaries="neither")
    return float(q), float(sigma_p)


def _ascending(signals):
    values = np.asarray(signals, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all() or values[0] < 0:
        raise ValueError(f"signals must be a list of finite numbers >= 0, got {signals!r}.")
    if not (np.diff(values) > 0).all():
        raise ValueError(f"signals must be ascending, got {signals!r}.")
    return values


def _columns(dims, n_samples):
    axes = []
    for value, name in ((dims, "dims"), (n_samples, "n_samples")):
        values = np.atleast_1d(np.asarray(value))
        if values.ndim != 1 or not len(values) or values.dtype.kind not in "iu":
            raise ValueError(f"{name} must be an integer or a list of them, got {value!r}.")
        for one in values.tolist():
            check_integer(one, name, low=1)
        axes.append(values.astype(np.int64))
    if len({len(values) for values in axes} - {1}) > 1:
        raise ValueError(
            f"dims and n_samples must be of one length if both are lists, got {len(axes[0])} and "
            f"{len(axes[1])}."
        )
    return [values.copy() for values in np.broadcast_arrays(*axes)]


def _known(resume, signals, dims, sizes, n_trials):
    """Scores that exist, of shape (2, n_known, n_signals, n_columns)."""
    if resume is None:
        return np.empty((2, 0, len(signals), len(dims)))
    same = all(
        np.array_equal(old, new)
        for old, new in ((resume.signals, signals), (resume.dims, dims), (resume.n_samples, sizes))
    )
    if not same or resume.scores.shape[2] > n_trials:
        raise ValueError(
            "resume must be a map of the same signals, dims and n_samples with at most "
            f"n_trials={n_trials} trials, got one of shape {resume.scores.shape}."
        )
    return np.moveaxis(np.stack([resume.scores, resume.train_scores]), 3, 1)
