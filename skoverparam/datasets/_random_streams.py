"""Random streams from what users pass as random_state."""

from sklearn.utils import check_random_state


def random_stream(random_state):
    """Make a RandomState, with an error that names the parameter."""
    try:
        return check_random_state(random_state)
    except (TypeError, ValueError):
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1 or a "
            f"numpy.random.RandomState, got {random_state!r:.80}."
        ) from None
