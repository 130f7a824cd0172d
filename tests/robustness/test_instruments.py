"""Instruments on anything: finite measures, or arguments that are refused."""

import warnings

from hypothesis import given
from hypothesis import strategies as st
from robustness.strategies import samples, shapes
from robustness.watch import attempt, watch

from skoverparam import inspection


@given(shapes(), st.data())
def test_neural_collapse(shape, data):
    H = data.draw(samples(shape))
    y = data.draw(st.lists(st.integers(0, 2), min_size=len(H), max_size=len(H)))
    with watch("neural_collapse"), warnings.catch_warnings():
        # It says so where there is nothing to measure.
        warnings.filterwarnings(
            "ignore", category=RuntimeWarning, message="The class means|[0-9]+ classes"
        )
        about = r"class|sample|H|feature|finite|spread"
        found = attempt(inspection.neural_collapse, H, y, about=about)
        assert found is not None
