import threading

import pytest
import torch

from skoverparam.linalg._threads import on_threads, sum_on_threads


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


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("n_items", [1, 2, 7])
def test_every_item_is_added_once(n_items):
    shares = []

    def add_up(items):
        shares.append(len(items))
        return torch.tensor([float(sum(items))])

    total = sum_on_threads(add_up, range(n_items), torch.device("cpu"))
    assert total.tolist() == [sum(range(n_items))]
    assert len(shares) == min(2, n_items)
    assert sum(shares) == n_items
