"""Splitters of the observed entries of a matrix."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_array

from skoverparam._params import check_flag, check_integer, check_number, make_stream


class _EntrySplitter:
    """What the splitters share: the entries as units, and lines that may not run empty."""

    def split(self, X, y=None, groups=None):
        """Yield the matrix with some observed entries hidden, and where they are.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The matrix, NaN where it was not observed.

        y : ignored
            Present for API consistency.

        groups : array-like of shape (n_samples,), default=None
            Groups of rows. If given, the entries of one column in one group of rows are hidden
            together, as if the column had never been measured there.

        Yields
        ------
        X_train : array or data frame of shape (n_samples, n_features)
            A copy of X with NaN at the held-out entries, too. A pandas data frame stays one,
            anything else becomes a numpy array.

        held : ndarray of shape (n_samples, n_features), bool
            The held-out entries. All of them are observed in X.
        """
        check_flag(self.keep_one, "keep_one")
        values = entries(X)
        observed = ~np.isnan(values)
        units = _units(observed, groups)
        n_units = int(units.max(initial=-1)) + 1
        rng = make_stream(self.random_state)
        if not n_units:
            raise ValueError("X has no observed entry: there is nothing to split.")
        for chosen in self._choose(rng, n_units):
            is_chosen = np.zeros(n_units, dtype=bool)
            is_chosen[chosen] = True
            held = observed & is_chosen[units]
            if self.keep_one:
                _return_some(held, observed, units, rng)
            yield hide(X, values, held), held

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of splits; the arguments are ignored."""
        return self.n_splits


class EntryKFold(_EntrySplitter):
    """K-fold cross-validation over the observed entries of a matrix.

    Every observed entry is held out once, except those that had to stay because their row or
    column would have run empty.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.

    keep_one : bool, default=True
        Whether every row and column with observed entries keeps at least one of them (with
        groups: one of its cells) in every training part. An entry that is kept for this is not
        held out in any fold. False also tests what is left without any entry.

    random_state : int, RandomState instance or None, default=None
        Determines the folds. Entries are always shuffled: consecutive ones make up whole rows.

    See Also
    --------
    EntryShuffleSplit : Independent random splits.
    cross_val_entries : Scores on the held-out entries.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.model_selection import EntryKFold
    >>> X = np.array([[1.0, 2.0, 3.0], [4.0, np.nan, 6.0], [7.0, 8.0, 9.0]])
    >>> for X_train, held in EntryKFold(n_splits=2, random_state=0).split(X):
    ...     print(held.sum(), np.isnan(X_train).sum())
    3 4
    3 4
    """

    def __init__(self, n_splits=5, *, keep_one=True, random_state=None):
        self.n_splits = n_splits
        self.keep_one = keep_one
        self.random_state = random_state

    def _choose(self, rng, n_units):
        check_integer(self.n_splits, "n_splits", low=2)
        if self.n_splits > n_units:
            raise ValueError(
                f"n_splits={self.n_splits} is more than the {n_units} observed entries (with "
                "groups: cells) that there are to split."
            )
        yield from np.array_split(rng.permutation(n_units), self.n_splits)


class EntryShuffleSplit(_EntrySplitter):
    """Random splits of the observed entries of a matrix.

    Parameters
    ----------
    n_splits : int, default=5
        Number of splits, drawn independently.

    test_size : float or int, default=0.1
        What is held out of the observed entries (with groups: of the cells): a share in (0, 1),
        or a number.

    keep_one : bool, default=True
        Whether every row and column with observed entries keeps at least one of them (with
        groups: one of its cells) in every training part, which may then be a little larger.

    random_state : int, RandomState instance or None, default=None
        Determines the splits.

    See Also
    --------
    EntryKFold : Holds out every entry once.
    cross_val_entries : Scores on the held-out entries.

    Examples
    --------
    >>> import numpy as np
    >>> from skoverparam.model_selection import EntryShuffleSplit
    >>> X = np.arange(20.0).reshape(4, 5)
    >>> splitter = EntryShuffleSplit(n_splits=1, test_size=0.2, random_state=0)
    >>> X_train, held = next(splitter.split(X))
    >>> int(np.isnan(X_train).sum()), bool(np.isnan(X_train[held]).all())
    (4, True)
    """

    def __init__(self, n_splits=5, *, test_size=0.1, keep_one=True, random_state=None):
        self.n_splits = n_splits
        self.test_size = test_size
        self.keep_one = keep_one
        self.random_state = random_state

    def _choose(self, rng, n_units):
        check_integer(self.n_splits, "n_splits", low=1)
        size = self._size(n_units)
        for _ in range(self.n_splits):
            yield rng.permutation(n_units)[:size]

    def _size(self, n_units):
        if isinstance(self.test_size, Integral):
            check_integer(self.test_size, "test_size", low=1)
            if self.test_size >= n_units:
                raise ValueError(
                    f"test_size={self.test_size} leaves none of the {n_units} observed entries "
                    "(with groups: cells) to train on."
                )
            return self.test_size
        if isinstance(self.test_size, Real):
            check_number(self.test_size, "test_size", low=0, high=1, boundaries="neither")
            return min(max(1, round(self.test_size * n_units)), n_units - 1)
        raise TypeError(f"test_size must be a share or a number, got {self.test_size!r}.")


def entries(X):
    """Return the matrix as a floating-point numpy array, holes as NaN."""
    return check_array(X, dtype=(np.float64, np.float32), ensure_all_finite="allow-nan")


def hide(X, values, held):
    """Return a copy of X with NaN where entries are held; data frames of pandas stay such."""
    if hasattr(X, "iloc"):
        return X.mask(held)
    return np.where(held, values.dtype.type(np.nan), values)


def _units(observed, groups):
    """Give numbers to what is held out together: single entries, or (group, column) cells."""
    units = np.full(observed.shape, -1)
    if groups is None:
        units[observed] = np.arange(observed.sum())
        return units
    groups = np.asarray(groups)
    if groups.shape != (len(observed),):
        raise ValueError(
            f"groups must have one entry per row of X, {len(observed)}, got shape {groups.shape}."
        )
    _, group = np.unique(groups, return_inverse=True)
    cells = group[:, None] * observed.shape[1] + np.arange(observed.shape[1])
    # Cells without an observed entry do not count.
    units[observed] = np.unique(cells[observed], return_inverse=True)[1]
    return units


def _return_some(held, observed, units, rng):
    """Give one unit back to every row, then to every column, that has lost all its entries."""
    for axis in (0, 1):
        # Views, so that rows and columns are treated alike.
        h, o, u = (a if axis == 0 else a.T for a in (held, observed, units))
        for line in np.flatnonzero(o.any(1) & ~(o & ~h).any(1)):
            lost = np.flatnonzero(h[line])
            # A cell given back to one row may have helped others that it goes through.
            if len(lost) == o[line].sum():
                h[(u == u[line, rng.choice(lost)]) & o] = False
