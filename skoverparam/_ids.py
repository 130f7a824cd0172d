"""Ids of any kind to positions, and side information to sparse rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from skoverparam._arrays import finite_array

Ids = np.ndarray[Any, Any]


def distinct_ids(column: Ids, name: str) -> Ids:
    """Sorted distinct ids of a column; ids that do not compare are ordered by type and text."""
    if column.dtype.kind in "mM" and np.isnat(column).any():
        raise ValueError(f"The ids in {name} must not be missing, got NaT.")
    if column.dtype.kind != "O":
        return np.unique(column)
    seen = set()
    for value in column:
        try:
            seen.add(value)
        except TypeError:
            raise TypeError(
                f"The ids in {name} must be hashable: argument must be a string or a number or "
                f"another hashable value, got {value!r}."
            ) from None
        if value is None or value != value:
            raise ValueError(f"The ids in {name} must not be missing, got {value!r}.")
    try:
        ordered = sorted(seen)
    except TypeError:
        ordered = sorted(seen, key=lambda value: (type(value).__name__, repr(value)))
    ids = np.empty(len(ordered), dtype=object)
    ids[:] = ordered
    return ids


def positions(column: Ids, ids: Ids) -> Ids:
    """Position of each id in a list of ids, -1 where it is not there."""
    if not len(ids):
        return np.full(len(column), -1)
    numbers = column.dtype.kind in "fiub" and ids.dtype.kind in "fiub"
    # Times of different units are equal as times, but not as the Python objects they turn into.
    if numbers or (column.dtype.kind in "mM" and column.dtype.kind == ids.dtype.kind):
        place = np.searchsorted(ids, column).clip(max=len(ids) - 1)
        return np.where(ids[place] == column, place, -1)
    places = {value: k for k, value in enumerate(ids.tolist())}
    return np.fromiter((_look_up(places, value) for value in column.tolist()), int, len(column))


def _look_up(place: dict[Any, int], value: Any) -> int:
    try:
        return place.get(value, -1)
    except TypeError:
        raise TypeError(
            "Ids must be hashable: argument must be a string or a number or another hashable "
            f"value, got {value!r}."
        ) from None


class SideRows(NamedTuple):
    """Side information of some ids as a sparse matrix: coordinates, values and shape."""

    rows: Ids
    columns: Ids
    values: Ids
    shape: tuple[int, int]


def side_rows(prior: Any, name: str, ids: Ids, width: int | None = None) -> SideRows:
    """Look up the side information of ids.

    Parameters
    ----------
    prior : mapping, data frame, callable or array
        As the estimator documents.

    name : str
        The parameter, for messages.

    ids : ndarray of shape (n,)
        Whose side information is asked for.

    width : int, default=None
        Number of features that must come, None for any.

    Returns
    -------
    SideRows
    """
    if isinstance(prior, Mapping):
        rows = _from_mapping(prior, name, ids, width)
    elif hasattr(prior, "columns") and hasattr(prior, "index"):
        table = finite_array(prior, name)
        rows = _taken(table, positions(ids, _labels(prior.index)))
    elif callable(prior):
        rows = _sparse_or_dense(prior(ids), name)
        if rows.shape[0] != len(ids):
            raise ValueError(
                f"{name} must map {len(ids)} ids to an array of shape ({len(ids)}, p), "
                f"got shape {rows.shape}."
            )
    else:
        whole = _sparse_or_dense(prior, name)
        rows = _selected(whole, _as_row_numbers(ids, whole.shape[0], name))
    if width is not None and rows.shape[1] != width:
        raise ValueError(
            f"{name} must have {width} features, as in fit, got {rows.shape[1]} features."
        )
    return rows


def _labels(index: Any) -> Ids:
    labels = np.asarray(index)
    return labels if labels.dtype.kind in "fiubO" else labels.astype(object)


def _from_mapping(prior: Mapping[Any, Any], name: str, ids: Ids, width: int | None) -> SideRows:
    found, vectors = [], []
    for k, value in enumerate(ids.tolist()):
        vector = prior.get(value)
        if vector is not None:
            found.append(k)
            vectors.append(finite_array(vector, f"{name}[{value!r}]", n_dims=1))
    lengths = {len(vector) for vector in vectors}
    if len(lengths) > 1:
        raise ValueError(
            f"{name} must map every id to a vector of the same length, "
            f"got lengths {sorted(lengths)}."
        )
    if not vectors:
        # Ids that come later may be among those that the mapping has.
        other = next((vector for vector in prior.values() if vector is not None), [0.0])
        return _nothing(len(ids), np.size(other) if width is None else width)
    dense = np.zeros((len(ids), lengths.pop()))
    dense[found] = vectors
    return _from_dense(dense)


def _as_row_numbers(ids: Ids, n_rows: int, name: str) -> Ids:
    """Ids as row numbers of an array prior; -1 for ids beyond its rows."""
    try:
        numbers = ids.astype(np.float64)
        whole = bool((numbers == np.floor(numbers)).all())
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(
            f"{name} given as an array needs integer ids, its row numbers; got ids such as "
            f"{ids[:1].tolist()}. Give a mapping, a data frame or a callable instead."
        )
    inside = (numbers >= 0) & (numbers < n_rows)
    return np.where(inside, numbers, -1).astype(np.int64)


def _sparse_or_dense(array: Any, name: str) -> SideRows:
    if hasattr(array, "tocoo"):
        coordinates = array.tocoo()
        values = finite_array(coordinates.data, name, n_dims=1)
        rows, columns = coordinates.coords
        return SideRows(rows.astype(np.int64), columns.astype(np.int64), values, array.shape)
    return _from_dense(finite_array(array, name))


def _from_dense(dense: Ids) -> SideRows:
    rows, columns = np.nonzero(dense)
    return SideRows(rows, columns, dense[rows, columns], dense.shape)


def _taken(table: Ids, places: Ids) -> SideRows:
    dense = np.where(places[:, None] >= 0, table[places], 0.0)
    return _from_dense(dense)


def _selected(table: SideRows, places: Ids) -> SideRows:
    """Rows of a sparse matrix, which may repeat; -1 is a row of zeros."""
    order = np.argsort(table.rows, kind="stable")
    starts = np.searchsorted(table.rows[order], np.arange(table.shape[0] + 1))
    known = np.where(places >= 0, places, 0)
    counts = np.where(places >= 0, np.diff(starts)[known] if len(starts) > 1 else 0, 0)
    rows = np.repeat(np.arange(len(places)), counts)
    ends = np.cumsum(counts)
    offsets = np.arange(len(rows)) - np.repeat(ends - counts, counts)
    chosen = order[np.repeat(starts[:-1][known], counts) + offsets]
    return SideRows(
        rows, table.columns[chosen], table.values[chosen], (len(places), table.shape[1])
    )


def _nothing(n_rows: int, width: int) -> SideRows:
    empty = np.zeros(0, dtype=np.int64)
    return SideRows(empty, empty, np.zeros(0), (n_rows, width))
