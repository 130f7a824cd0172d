"""Networks come back as they were, and get samples of the kind they take."""

import pytest
import torch
from torch import nn

from skoverparam.nets._evaluation import evaluating, suited, within


@pytest.mark.parametrize("gradients", [True, False])
def test_modes_gradients_and_streams_are_restored_after_an_error(gradients):
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.BatchNorm1d(2))
    network[2].eval()
    stream = torch.get_rng_state()

    def fail():
        with evaluating(network, gradients=gradients):
            assert not any(part.training for part in network.modules())
            assert torch.is_grad_enabled() == gradients
            torch.rand(3)
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert [part.training for part in network] == [True, True, False]
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), stream)


class Placed(nn.Module):
    """Vectors, and an embedding of where they stand."""

    def __init__(self):
        super().__init__()
        self.place, self.first = nn.Embedding(3, 4), nn.Linear(2, 4)

    def forward(self, X):
        return self.first(X) + self.place(torch.arange(X.shape[1]))


@pytest.fixture(autouse=True)
def _own_stream():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.float32])
def test_token_ids_become_integers_whatever_they_came_as(dtype):
    network = nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 2))
    ids = suited(network, torch.tensor([[0, 4], [1, 2]]).to(dtype))
    assert ids.dtype == torch.int64
    assert network(ids).shape == (2, 2)


def test_numbers_that_happen_to_be_integers_stay_numbers():
    network = Placed()
    samples = suited(network, torch.ones(4, 3, 2, dtype=torch.float64))
    assert samples.dtype == torch.float32
    assert network(samples).shape == (4, 3, 4)
    plain = suited(nn.Linear(2, 1).double(), torch.ones(3, 2, dtype=torch.int64))
    assert plain.dtype == torch.float64


def test_numbers_beyond_a_precision_are_its_largest():
    values = torch.tensor([1e300, -1e300, 0.1, 1e-300], dtype=torch.float64)
    largest = torch.finfo(torch.float32).max
    expected = torch.tensor([largest, -largest, 0.1, 0])
    assert torch.equal(within(values, torch.float32), expected)
    assert torch.equal(within(values, torch.float64), values)
