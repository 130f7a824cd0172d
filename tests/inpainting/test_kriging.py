import pytest
import torch

from skoverparam.inpainting._kriging import DisplacementKernel, kriging_weights

f64 = torch.float64


def _kernel(b, m, seed=0):
    x = torch.randn(b, m + 1, 3, dtype=f64, generator=torch.Generator().manual_seed(seed))
    K = torch.exp(-0.1 * torch.cdist(x, x).square())
    return K[:, :-1, :-1].contiguous(), K[:, :-1, -1].contiguous()


def test_prediction_is_that_of_the_formula():
    K, k = _kernel(4, 7)
    y = torch.randn(4, 7, dtype=f64, generator=torch.Generator().manual_seed(1))
    inverse = torch.linalg.inv(K + 0.01 * torch.eye(7, dtype=f64))
    a_y = (inverse @ y[:, :, None])[:, :, 0]
    a_1 = inverse.sum(2)
    mu = a_y.sum(1) / (a_1.sum(1) + 1e-3)
    expected = (k * (a_y - mu[:, None] * a_1)).sum(1) + mu
    v = kriging_weights(K, k, 0.01)
    # Condition numbers are below 1e4.
    torch.testing.assert_close((v * y).sum(1), expected, rtol=1e-10, atol=1e-10)


def test_weights_sum_to_one_but_for_the_prior_of_the_mean():
    K, k = _kernel(4, 7)
    a_1 = torch.linalg.solve(K + 0.01 * torch.eye(7, dtype=f64), torch.ones(4, 7, dtype=f64))
    v = kriging_weights(K.clone(), k, 0.01)
    missing_mass = 1e-3 * (1 - (k * a_1).sum(1)) / (a_1.sum(1) + 1e-3)
    torch.testing.assert_close(v.sum(1), 1 - missing_mass, rtol=1e-10, atol=1e-10)


def test_far_neighbors_predict_their_mean():
    v = kriging_weights(torch.eye(5, dtype=f64)[None], torch.zeros(1, 5, dtype=f64), 0.0)
    torch.testing.assert_close(v, torch.full((1, 5), 0.2, dtype=f64), rtol=3e-4, atol=0)


def test_displacements_are_looked_up_and_far_ones_share_a_value():
    values = torch.arange(9.0).view(3, 3)
    T = DisplacementKernel(values, -1.0)
    w = 7
    pixels = torch.tensor([[3 * w + 3, 2 * w + 4, 3 * w + 5, 6 * w + 3]])
    K = T(pixels, w)[0]
    # down = row of the first less row of the second, and so on.
    assert K[0, 0] == values[1, 1]
    assert K[0, 1] == values[2, 0]
    assert K[1, 0] == values[0, 2]
    assert K[0, 2] == K[0, 3] == K[2, 3] == -1
    assert K[1, 2] == values[0, 0]


@pytest.mark.parametrize("m", [1, 2])
def test_few_neighbors(m):
    K, k = _kernel(3, m)
    v = kriging_weights(K, k, 0.01)
    assert v.shape == (3, m)
    torch.testing.assert_close(v.sum(1), torch.ones(3, dtype=f64), rtol=0, atol=2e-3)


def test_singular_systems_fall_back_to_the_mean():
    K = torch.ones(2, 3, 3, dtype=f64)
    K[1] = torch.eye(3, dtype=f64)
    v = kriging_weights(K, torch.tensor([[1.0] * 3, [1.0, 0, 0]], dtype=f64), 0.0)
    torch.testing.assert_close(v[0], torch.full((3,), 1 / 3, dtype=f64))
    torch.testing.assert_close(v[1], torch.tensor([1.0, 0, 0], dtype=f64))
