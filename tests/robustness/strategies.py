"""What the property tests draw: samples, targets, classes and holes, kind or unkind.

Arrays are drawn by their description (shape, kind, scale, seed), which shrinks to a readable
example; small ones also entry by entry, with every float that there is.
"""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

# Extreme scales are those of floats: most draws are to be floats.
DTYPES = ("float64", "float64", "float64", "float32", "float32", "int64", "bool")
KINDS = (
    "normal",
    "heavy tails",
    "constant columns",
    "duplicates",
    "rank one",
    "zero",
    "grid",
    "graded columns",
)

# Powers of ten of the scale, by type: squares of these and short sums of them are finite.
EXPONENTS = {"float64": (-150, 150), "float32": (-30, 30)}


def shapes(max_samples=12, max_features=8, min_samples=1, min_features=1):
    """Pairs of sizes; one sample, one feature, wide and tall all come up often."""
    return st.tuples(
        st.one_of(st.just(min_samples), st.integers(min_samples, max_samples)),
        st.one_of(st.just(min_features), st.integers(min_features, max_features)),
    )


@st.composite
def scales(draw, dtype="float64", *, extreme=True):
    """A factor: mostly 1, sometimes as large or small as the type allows."""
    if dtype not in EXPONENTS or not extreme:
        return 1.0
    low, high = EXPONENTS[dtype]
    exponent = draw(
        st.one_of(st.just(0), st.sampled_from([low, low, high, high]), st.integers(low, high))
    )
    return 10.0**exponent


@st.composite
def samples(draw, shape, *, dtypes=DTYPES, kinds=KINDS, extreme=True):
    """Samples of shape (n, d) in one of the types, of one of the kinds, at some scale."""
    n, d = shape
    dtype = draw(st.sampled_from(dtypes))
    if dtype == "bool":
        return draw(arrays.arrays(np.bool_, shape))
    if dtype == "int64":
        top = draw(st.sampled_from([2, 1000, 2**53]))
        return draw(arrays.arrays(np.int64, shape, elements=st.integers(-top, top)))
    if n * d <= 12 and draw(st.booleans()):
        return draw(_every_entry(shape, dtype, extreme))
    kind = draw(st.sampled_from(kinds))
    X = _of_kind(kind, n, d, np.random.default_rng(draw(st.integers(0, 2**16))))
    return (X * draw(scales(dtype, extreme=extreme))).astype(dtype)


def _every_entry(shape, dtype, extreme):
    top = 10.0 ** EXPONENTS[dtype][1] if extreme else 1e6
    width = 32 if dtype == "float32" else 64
    top = float(np.float32(top)) if width == 32 else top
    elements = st.floats(-top, top, width=width, allow_subnormal=extreme)
    if not extreme:
        elements = st.one_of(st.just(0.0), st.floats(0.5, top, width=width).map(float))
    return arrays.arrays(dtype, shape, elements=elements)


def _of_kind(kind, n, d, rng):
    X = rng.normal(size=(n, d))
    if kind == "heavy tails":
        return rng.standard_cauchy(size=(n, d))
    if kind == "constant columns":
        X[:, :: 1 + rng.integers(2)] = rng.normal()
    elif kind == "duplicates":
        X = X[rng.integers(0, 1 + n // 2, size=n)]
    elif kind == "rank one":
        X = np.outer(X[:, 0], X[0])
    elif kind == "zero":
        X = np.zeros((n, d))
    elif kind == "grid":
        X = rng.integers(-2, 3, size=(n, d)).astype(float)
    elif kind == "graded columns":
        X = X * 10.0 ** -np.arange(d)
    return X


@st.composite
def targets(
    draw, n_samples, *, dtypes=("float64", "float64", "float32", "int64"), extreme=True, multi=True
):
    """Targets of shape (n,) or (n, k): any numbers, all zero, constant, or contradictory."""
    k = draw(st.sampled_from([None, 1, 3])) if multi else None
    shape = (n_samples,) if k is None else (n_samples, k)
    dtype = draw(st.sampled_from(dtypes))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["normal", "zero", "constant", "signs", "one large"]))
    Y = rng.normal(size=shape)
    if kind == "zero":
        Y = np.zeros(shape)
    elif kind == "constant":
        Y = np.full(shape, 3.0)
    elif kind == "signs":
        Y = np.where(Y > 0, 1.0, -1.0)
    elif kind == "one large":
        Y[0] = 1e6
    if dtype == "int64":
        return np.round(4 * Y).astype(np.int64)
    return (Y * draw(scales(dtype, extreme=extreme))).astype(dtype)


@st.composite
def labels(draw, n_samples, *, max_classes=4):
    """Classes of any type: numbers, strings, truth values; now and then a single class."""
    # One class is refused by most classifiers: it need not come up often.
    count = draw(st.sampled_from([*range(2, max_classes + 1)] * 3 + [1]))
    each = list(range(count))[:n_samples]
    rest = n_samples - len(each)
    others = draw(st.lists(st.integers(0, count - 1), min_size=rest, max_size=rest))
    codes = draw(st.permutations(each + others))
    names = draw(
        st.sampled_from(
            [
                np.arange(4) - 1,
                np.array(["a", "bb", "ccc", "d"]),
                np.array([0.0, 1.0, 2.0, 7.0]),
                np.array([True, False, True, False]),
            ]
        )
    )
    return names[np.array(codes)]


@st.composite
def holes(draw, shape):
    """Boolean arrays, True where an entry is missing: from none of them to all."""
    missing = np.zeros(shape, dtype=bool)
    n, d = shape
    pattern = draw(
        st.sampled_from(["some", "none", "one", "rows", "columns", "most", "all but one", "block"])
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    if pattern == "some":
        missing = rng.random(shape) < 0.3
    elif pattern == "most":
        missing = rng.random(shape) < 0.85
    elif pattern == "one":
        missing[rng.integers(n), rng.integers(d)] = True
    elif pattern == "rows":
        missing = rng.random(shape) < 0.2
        missing[rng.integers(0, n, size=1 + n // 4)] = True
    elif pattern == "columns":
        missing = rng.random(shape) < 0.2
        missing[:, rng.integers(0, d, size=1 + d // 4)] = True
    elif pattern == "all but one":
        missing[:] = True
        missing[rng.integers(n), rng.integers(d)] = False
    elif pattern == "block":
        missing[n // 2 :, d // 2 :] = True
    return missing


@st.composite
def class_codes(draw, n_samples, *, max_classes=4):
    """Classes 0, 1, ..., at least two of them, each of at least one sample."""
    count = draw(st.integers(2, min(max_classes, n_samples)))
    rest = n_samples - count
    others = draw(st.lists(st.integers(0, count - 1), min_size=rest, max_size=rest))
    return np.array(draw(st.permutations([*range(count), *others])))


def renamed(codes, kind):
    """Give classes 0, 1, ... names in the same order: integers, strings, floats or bools."""
    names = {
        "i": np.arange(4) - 1,
        "s": np.array(["a", "bb", "ccc", "d"]),
        "f": np.array([0.0, 1.0, 2.0, 7.0]),
        "b": np.array([False, True]),
    }
    return names[kind][codes]
