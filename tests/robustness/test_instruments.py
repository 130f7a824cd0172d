"""Measures of collapse on anything: those of their definitions, in any units and any parts."""

import contextlib
import itertools
import math
import warnings

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import class_codes, renamed, samples
from robustness.watch import few, is_refused, watch
from sklearn.linear_model import RidgeClassifier

from skoverparam import SquareLossNetClassifier
from skoverparam.inspection import (
    ClassStatistics,
    layerwise_collapse,
    neural_collapse,
    transfer_curve,
)

# Squares of units.
_SQUARED = ("sb_trace", "sw_trace", "test_sb_trace", "test_sw_trace")


@contextlib.contextmanager
def said():
    """Let it say where there is nothing to measure."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", category=RuntimeWarning, message="The class means|[0-9]+ classes"
        )
        yield


@said()
def measured(H, y, **options):
    """Measure features or statistics."""
    return neural_collapse(H, y=y, **options)


def same(one, other, *, rtol, but=()):
    """Assert that two results are the same measures, what is not to be measured included."""
    for name, value, again in zip(one._fields, one, other, strict=True):
        if name in but:
            continue
        assert (value is None) == (again is None), name
        if value is not None:
            equal = value == again or (math.isnan(value) and math.isnan(again))
            near = math.isclose(value, again, rel_tol=rtol, abs_tol=rtol)
            assert equal or near, f"{name}: {value} and {again}"


@st.composite
def problems(draw, *, extreme=False, kinds=None):
    """Features and classes of them, at least one sample of each of at least two."""
    n = draw(st.integers(2, 12))
    more = {} if kinds is None else {"kinds": kinds, "dtypes": ("float64",)}
    H = draw(samples((n, draw(st.integers(1, 6))), extreme=extreme, **more))
    return H, draw(class_codes(n))


_options = st.fixed_dictionaries(
    {
        "weighting": st.sampled_from(["class", "sample"]),
        "unbiased": st.booleans(),
    }
)


@given(problems(extreme=True), _options)
def test_measures_are_numbers_of_their_range(problem, options):
    H, y = problem
    with watch("neural_collapse"):
        found = measured(H, y, **options)
        means = np.array([H[y == c].astype(float).mean(0) for c in np.unique(y)])
        apart = np.ptp(means, axis=0).max()
        # Of two classes with one mean.
        closest = min(np.abs(a - b).max() for a, b in itertools.combinations(means, 2))
        spread = max(np.ptp(H[y == c].astype(float), axis=0).max() for c in np.unique(y))
        top = np.abs(H.astype(float)).max()
        for name, value in found._asdict().items():
            if value is None:
                continue
            # Only what does not differ, in its squares, has no measure.
            if np.isnan(value):
                assert apart <= max(1e-12 * top, 1e-150) or name in {
                    "nc2_equinorm",
                    "nc2_equiangle",
                    "nc2_max_angle",
                    "nc2_etf_error",
                    "sb_condition",
                    "nc1_cdnv",
                }, name
            elif (closest if name == "nc1_cdnv" else apart) > max(1e-9 * top, 1e-150):
                assert math.isfinite(value), name
            assert not value < 0, name
        assert found.n_samples == len(H)
        assert found.n_classes == len(np.unique(y))
        assert 0 <= found.ncc_accuracy <= 1
        if spread == 0 and apart > max(1e-9 * top, 1e-150):
            assert found.nc1_ratio == found.nc1_pinv == 0
        if found.sb_rank:
            assert found.sb_rank <= min(found.n_classes - 1, found.n_features)
            assert found.sb_condition >= 1


@given(problems(), _options, st.integers(-480, 480))
def test_units_do_not_matter(problem, options, exponent):
    H, y = problem
    H = H.astype(float)
    top = np.abs(H).max()
    unit = 2.0 ** (exponent - (math.frexp(top)[1] if top else 0))
    with watch("neural_collapse"):
        # Powers of two are exact. What is squared may be too small or too large for a number.
        one, other = measured(H, y, **options), measured(unit * H, y, **options)
        same(one, other, rtol=1e-14, but=_SQUARED)
        for name in ("sb_trace", "sw_trace"):
            expected = math.log2(getattr(one, name) or 1) + 2 * math.log2(unit)
            if abs(expected) < 1000 and getattr(one, name):
                assert abs(math.log2(getattr(other, name)) - expected) < 1e-9


@given(
    problems(kinds=("normal", "grid", "duplicates")),
    _options,
    st.floats(-100, 100),
    st.integers(0, 99),
)
def test_places_and_directions_do_not_matter(problem, options, offset, seed):
    H, y = problem
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(H.shape[1],) * 2))[0]
    order = rng.permutation(len(H))
    with watch("neural_collapse"):
        found = measured(H, y, **options)
        if not found.sb_rank or found.sb_condition > 1e8:
            return  # directions that are there by rounding only
        # An offset takes digits off; ratios to a small distance of means lose as many again.
        scale = (1 + abs(offset) + np.abs(H).max()) / math.sqrt(found.sb_trace)
        near = 1e-13 * scale**2 * max(found.sb_condition, 1) * 1e3
        if near > 1e-3:
            return
        ties = ("ncc_accuracy", "nc2_equinorm", "nc2_equiangle", "nc2_max_angle", "nc2_etf_error")
        ties = (*ties, "nc1_cdnv")  # of means that are the same, or at the center
        moved = measured(H @ turn + offset, y, **options)
        same(found, moved, rtol=near, but=(*ties, *_SQUARED))
        same(found, measured(H[order], y[order], **options), rtol=near, but=(*ties, *_SQUARED))
        same(found, measured(H, renamed(y, "s"), **options), rtol=0)
        same(found, measured(H, 3 - y, **options), rtol=near, but=(*ties, *_SQUARED))


@given(problems(extreme=True), _options, st.lists(st.integers(0, 12), max_size=4))
def test_parts_are_the_whole(problem, options, cuts):
    H, y = problem
    with watch("ClassStatistics"):
        single = H.astype(np.float32) if np.abs(H.astype(float)).max() < 1e30 else H
        same(measured(single, y, **options), measured(single.astype(float), y, **options), rtol=0)
        edges = sorted({0, *(min(cut, len(H)) for cut in cuts)}) + [len(H)]
        parts = [slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
        whole = ClassStatistics(np.unique(y)).update(H, y)
        streamed, merged = ClassStatistics(np.unique(y)), ClassStatistics(np.unique(y))
        for part in parts:
            streamed.update(H[part], y[part])
            merged.merge(ClassStatistics(np.unique(y)).update(H[part], y[part]))
        top = np.abs(H.astype(float)).max()
        for other in (streamed, merged):
            np.testing.assert_array_equal(other.counts, whole.counts)
            np.testing.assert_allclose(other.means, whole.means, rtol=0, atol=1e-14 * top)
            near = 1e-13 * top**2 * H.shape[1]
            np.testing.assert_allclose(other.variances, whole.variances, rtol=1e-12, atol=near)
            found, again = (measured(part, None, **options) for part in (whole, other))
            assert found.n_samples == again.n_samples
            # Where rounding has no part in it.
            clear = found.sb_rank and found.sb_condition < 1e4 and found.nc1_ratio > 1e-8
            if clear and found.sb_trace > 1e-6 * top**2:
                assert math.isclose(found.nc1_pinv, again.nc1_pinv, rel_tol=1e-5)
                assert math.isclose(found.nc1_ratio, again.nc1_ratio, rel_tol=1e-5)


@given(problems(), st.sampled_from(["nan", "one class", "empty", "lengths", "weighting", "rtol"]))
def test_what_is_wrong_is_named(problem, wrong):
    H, y = problem
    with watch("neural_collapse"):
        if wrong == "nan":
            bad = H.astype(float)
            bad[-1, 0] = np.nan
            is_refused(neural_collapse, bad, y=y, naming=r"features")
            is_refused(ClassStatistics([0, 1, 2, 3]).update, bad, y, naming=r"features")
        elif wrong == "one class":
            is_refused(neural_collapse, H, y=np.zeros(len(H)), naming=r"\by\b")
            is_refused(ClassStatistics, [1, 1], naming=r"\bclasses\b")
        elif wrong == "empty":
            is_refused(neural_collapse, H[:0], y=y[:0], naming=r"\bX\b|\bfeatures\b|\by\b")
            is_refused(neural_collapse, ClassStatistics([0, 1]), naming=r"update")
            statistics = ClassStatistics([0, 1]).update(H[:0], y[:0])
            is_refused(neural_collapse, statistics, naming=r"update")
        elif wrong == "lengths":
            is_refused(neural_collapse, H, y=y[:-1], naming=r"\by\b")
            is_refused(ClassStatistics([0, 1, 2, 3]).update, H, y[:-1], naming=r"features")
            is_refused(ClassStatistics([7, 8]).update, H, y, naming=r"\by\b has labels")
        elif wrong == "weighting":
            is_refused(neural_collapse, H, y=y, weighting="even", naming=r"\bweighting\b")
            is_refused(neural_collapse, H, y=y, unbiased=1, naming=r"\bunbiased\b")
        else:
            is_refused(neural_collapse, H, y=y, rtol=-1.0, naming=r"\brtol\b")
            is_refused(neural_collapse, H, y=y, head=([[1.0]],), naming=r"\bhead\b")


@few
@given(problems(kinds=("normal", "grid")), st.sampled_from(["all", ["head"]]), st.integers(0, 3))
def test_layers_of_networks(problem, layers, seed):
    X, y = problem
    network = SquareLossNetClassifier(
        hidden_layer_sizes=(3, 2), activation="tanh", max_iter=1, random_state=seed
    )
    with watch("layerwise_collapse"):
        network.fit(X, y)
        with said():
            found = layerwise_collapse(network, X, y, X, y, layers=layers)
        for name, collapse in zip(found.layers, found.collapse, strict=True):
            # The same numbers as of the features by themselves, and as of the test samples.
            alone = measured(network.transform(X, layer=name), y)
            head = ("nc2_head", "nc3", "nc4", "accuracy", "test")
            but = [field for field in collapse._fields if field.startswith(head)]
            same(alone, collapse, rtol=1e-12, but=but)
            for field in ("nc1_ratio", "nc2_equinorm", "ncc_accuracy"):
                one, other = getattr(collapse, field), getattr(collapse, f"test_{field}")
                assert one == other or (math.isnan(one) and math.isnan(other))


@few
@given(problems(kinds=("normal",)), st.integers(0, 3))
def test_transfer_of_features(problem, seed):
    X, y = problem
    y_fine = np.arange(len(X)) % 2 + 2 * y
    network = SquareLossNetClassifier(hidden_layer_sizes=(4,), random_state=seed)
    with watch("transfer_curve"), said():
        curve = transfer_curve(
            network, X, y, y_fine, X, y_fine, epochs=[0, 2], y_test=y, probe=RidgeClassifier(0.5)
        )
        assert curve.epoch.tolist() == [0, 2]
        assert ((curve.score >= 0) & (curve.score <= 1)).all()
        trained = SquareLossNetClassifier(
            hidden_layer_sizes=(4,), random_state=seed, max_iter=2
        ).fit(X, y)
        assert curve.accuracy[-1] == trained.score(X, y)
        short = (X, y, y_fine[:-1], X, y_fine)
        is_refused(transfer_curve, network, *short, epochs=[1], naming=r"\by_fine\b")
        whole = (X, y, y_fine, X, y_fine)
        is_refused(transfer_curve, network, *whole, epochs=[0], naming=r"\bepochs\b")
