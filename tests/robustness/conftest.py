"""Profiles of the property tests: few fixed examples in the suite, thousands in a campaign.

A campaign runs one file after another, on one thread, and says how many inputs were tried::

    HYPOTHESIS_PROFILE=campaign pytest tests/robustness

``HYPOTHESIS_EXAMPLES`` sets their number for each test, ``HYPOTHESIS_SEED`` where they start.
"""

import os

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.configuration import set_hypothesis_home_dir

set_hypothesis_home_dir("build/hypothesis")
# The watch keeps time itself; global state is guarded around every test, and around every example.
_ALWAYS = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
settings.register_profile(
    "suite",
    max_examples=15,
    derandomize=True,
    database=None,
    # Neither shrinking nor targets: what fails here is looked at with the campaign.
    phases=[Phase.explicit, Phase.generate],
    **_ALWAYS,
)
settings.register_profile(
    "campaign",
    max_examples=int(os.environ.get("HYPOTHESIS_EXAMPLES", "2000")),
    report_multiple_bugs=True,
    **_ALWAYS,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


def pytest_collection_modifyitems(items):
    seed = os.environ.get("HYPOTHESIS_SEED")
    for item in items:
        function = getattr(item, "function", None)
        if seed is not None and hypothesis.is_hypothesis_test(function):
            hypothesis.seed(int(seed))(function)


def pytest_terminal_summary(terminalreporter):
    from robustness.watch import outcomes  # after the profile is loaded

    if not outcomes:
        return
    terminalreporter.section("inputs tried")
    for name in sorted(outcomes):
        counts = ", ".join(f"{number} {how}" for how, number in sorted(outcomes[name].items()))
        terminalreporter.write_line(f"{name}: {sum(outcomes[name].values())} ({counts})")
