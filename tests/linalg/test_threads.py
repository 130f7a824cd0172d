import threading

import pytest
import torch

from skoverparam.linalg._threads import on_threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_results_come_in_order_from_threads_that_do_not_fork():
    barrier = threading.Barrier(2, timeout=20)

    def work(item):
        # Two at a time, or this never returns.
        barrier.wait()
        return item, torch.get_num_threads()

    assert on_threads(work, [3, 1, 2, 0], torch.device("cpu")) == [(3, 1), (1, 1), (2, 1), (0, 1)]
    assert torch.get_num_threads() == 2
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [2]


@pytest.mark.usefixtures("two_threads")
def test_errors_come_through_and_settings_stay():
    def fail(item):
        raise ValueError(str(item))

    with pytest.raises(ValueError, match="1"):
        on_threads(fail, [1, 1], torch.device("cpu"))
    assert torch.get_num_threads() == 2


def test_no_items():
    assert on_threads(str, [], torch.device("cpu")) == []
