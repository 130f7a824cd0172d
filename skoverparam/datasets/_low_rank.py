"""Low-rank matrices with holes."""

import numpy as np

from skoverparam.datasets._random_streams import random_stream
from skoverparam.theory import _arguments as check

_MECHANISMS = ("random", "uneven", "blocks", "rows", "columns")


def make_low_rank_matrix_with_missing(
    n_samples=100,
    n_features=50,
    *,
    rank=5,
    missing=0.3,
    mechanism="random",
    noise=0.0,
    n_groups=10,
    return_factors=False,
    random_state=None,
):
    """Generate a low-rank matrix, noise, and holes in it.

    Parameters
    ----------
    n_samples, n_features : int, default=100 and 50
        Shape of the matrix.

    rank : int, default=5
        Rank of the matrix without noise, at most the smaller side.

    missing : float, default=0.3
        Share of what is hidden, in [0, 1): of the entries, of the (group, column) cells, of the
        rows or of the columns, depending on `mechanism`. It is met up to rounding.

    mechanism : {"random", "uneven", "blocks", "rows", "columns"}, default="random"
        What is hidden together.

        - "random": single entries, all equally likely;
        - "uneven": single entries, but some rows and columns are measured much more often than
          others, as in ratings;
        - "blocks": whole columns for a group of similar rows, such as a drug that was never
          tried on one tissue;
        - "rows" and "columns": whole rows or columns, which only side information can predict.

    noise : float, default=0.0
        Standard deviation of Gaussian noise on the observed entries. The entries without noise
        have unit variance on average.

    n_groups : int, default=10
        Number of groups of rows for "blocks": consecutive runs of rows of nearly equal length.
        Half of the variance of their factors lies between groups.

    return_factors : bool, default=False
        Whether to return the factors, too. They are the best side information there can be.

    random_state : int, RandomState instance or None, default=None
        Determines the factors, the noise and the holes.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        The matrix with noise, NaN where it was not observed.

    X_true : ndarray of shape (n_samples, n_features)
        The whole matrix without noise.

    row_factors : ndarray of shape (n_samples, rank)
        With ``column_factors``, ``X_true = row_factors @ column_factors.T``. Only if
        `return_factors`.

    column_factors : ndarray of shape (n_features, rank)
        Only if `return_factors`.

    See Also
    --------
    sklearn.datasets.make_low_rank_matrix : A matrix with a bell-shaped spectrum, without holes.

    Notes
    -----
    Factors are standard normal, the row factors divided by the square root of the rank. The
    odds of "uneven" are the product of a log-normal weight (sigma 1) for the row and for the
    column. Nothing keeps a row or column from being hidden entirely.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.datasets import make_low_rank_matrix_with_missing
    >>> X, X_true = make_low_rank_matrix_with_missing(20, 10, rank=2, random_state=0)
    >>> X.shape, int(np.linalg.matrix_rank(X_true)), int(np.isnan(X).sum())
    ((20, 10), 2, 60)
    >>> cold, _ = make_low_rank_matrix_with_missing(20, 10, mechanism="rows", random_state=0)
    >>> int(np.isnan(cold).all(axis=1).sum())
    6
    """
    _check_parameters(n_samples, n_features, rank, missing, mechanism, noise, n_groups)
    check.flag(return_factors, "return_factors")
    rng = random_stream(random_state)
    row_factors = rng.standard_normal((n_samples, rank))
    group = np.arange(n_samples) * n_groups // n_samples
    if mechanism == "blocks":
        centers = rng.standard_normal((n_groups, rank))
        row_factors = (row_factors + centers[group]) / np.sqrt(2)
    row_factors /= np.sqrt(rank)
    column_factors = rng.standard_normal((n_features, rank))
    X_true = row_factors @ column_factors.T
    hidden = _hidden(rng, n_samples, n_features, missing, mechanism, group, n_groups)
    with np.errstate(over="ignore"):
        X = X_true + noise * rng.standard_normal(X_true.shape)
    check.within_range("noise", X)
    X[hidden] = np.nan
    if return_factors:
        return X, X_true, row_factors, column_factors
    return X, X_true


def _check_parameters(n_samples, n_features, rank, missing, mechanism, noise, n_groups):
    check.integer(n_samples, "n_samples", low=1)
    check.integer(n_features, "n_features", low=1)
    check.integer(rank, "rank", low=1)
    check.number(missing, "missing", low=0, high=1, open_high=True)
    check.number(noise, "noise", low=0)
    check.integer(n_groups, "n_groups", low=1)
    check.option(mechanism, "mechanism", _MECHANISMS)
    if rank > min(n_samples, n_features):
        raise ValueError(
            f"rank must be at most the smaller side, {min(n_samples, n_features)}, got {rank}."
        )
    if mechanism == "blocks" and n_groups > n_samples:
        raise ValueError(f"n_groups must be at most n_samples={n_samples}, got {n_groups}.")


def _hidden(rng, n_samples, n_features, missing, mechanism, group, n_groups):
    """Where the matrix has holes."""
    if mechanism == "rows":
        return np.repeat(_draw(rng, (n_samples, 1), missing), n_features, axis=1)
    if mechanism == "columns":
        return np.repeat(_draw(rng, (1, n_features), missing), n_samples, axis=0)
    if mechanism == "blocks":
        return _draw(rng, (n_groups, n_features), missing)[group]
    weights = None
    if mechanism == "uneven":
        weights = np.exp(rng.standard_normal((n_samples, 1)) + rng.standard_normal(n_features))
    return _draw(rng, (n_samples, n_features), missing, weights)


def _draw(rng, shape, share, weights=None):
    """Mark a share of the places, without replacement, with odds proportional to the weights."""
    # The first arrivals of exponential clocks are such a draw.
    arrival = rng.standard_exponential(shape)
    if weights is not None:
        arrival /= weights
    marked = np.zeros(arrival.size, dtype=bool)
    marked[np.argsort(arrival, axis=None)[: round(share * arrival.size)]] = True
    return marked.reshape(shape)
