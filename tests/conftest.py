"""What every test shares: one torch thread, devices, and a watch over global state."""

import numpy as np
import pytest
import torch

# On a busy two-core machine two threads make small problems ten times slower, not faster.
torch.set_num_threads(1)


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """A torch device: the CPU, and the GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture(autouse=True)
def _global_state_is_left_alone(request):
    """The library draws from its own generators and leaves the user's settings as they are.

    As in scikit-learn, ``random_state=None`` draws from numpy's global stream; tests pass a seed,
    and the few that cannot say so by the marker `draws_globally`.
    """
    numpy_before = np.random.get_state()
    torch_before = torch.random.get_rng_state()
    threads_before = torch.get_num_threads()
    yield
    numpy_after = np.random.get_state()
    changed = []
    if numpy_before[2:] != numpy_after[2:] or not np.array_equal(numpy_before[1], numpy_after[1]):
        np.random.set_state(numpy_before)
        if "draws_globally" not in request.keywords:
            changed.append("numpy's global random state (give the estimator a random_state)")
    if not torch.equal(torch_before, torch.random.get_rng_state()):
        torch.random.set_rng_state(torch_before)
        changed.append("torch's global random state (pass a generator)")
    if torch.get_num_threads() != threads_before:
        torch.set_num_threads(threads_before)
        changed.append("the number of torch threads")
    assert not changed, f"the test changed {' and '.join(changed)}"


@pytest.fixture
def several_threads():
    """Let torch use three threads, as a user's process may."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield 3
    torch.set_num_threads(before)
