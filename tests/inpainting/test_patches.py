import torch

from skoverparam.inpainting._patches import distances, patches

f64 = torch.float64


def _random(*shape, seed=0):
    return torch.rand(*shape, dtype=f64, generator=torch.Generator().manual_seed(seed))


def test_distances_are_weighted_sums_of_squares():
    image, confidence = _random(2, 9, 11), _random(9, 11, seed=1)
    described = patches(image, confidence, 3, 1.2)
    i, j = (4, 5), (6, 2)
    steps = [-1, 0, 1]
    total = weight = 0.0
    for a in steps:
        for b in steps:
            if a or b:
                g = torch.exp(torch.tensor(-(a * a + b * b) / (2 * 1.2**2), dtype=f64))
                m = g * confidence[i[0] + a, i[1] + b]
                gap = image[:, i[0] + a, i[1] + b] - image[:, j[0] + a, j[1] + b]
                total += m * gap.square().sum()
                weight += m * 2
    targets = torch.tensor([[i[0] * 11 + i[1]]])
    both = torch.tensor([[i[0] * 11 + i[1], j[0] * 11 + j[1]]])
    own, other = distances(described, targets, both)[0, 0]
    torch.testing.assert_close(other - own, total / weight, rtol=1e-12, atol=1e-14)


def test_copy_and_view_tell_the_same():
    described = patches(_random(3, 7, 8), _random(7, 8), 5, 1.5)
    pixels = torch.tensor([[0, 55], [17, 30]])
    torch.testing.assert_close(
        described.values_of(pixels), described.copied().values_of(pixels), rtol=0, atol=0
    )
    assert described.copied(3 * 7 * 8 * 25 * 8 - 1) is described


def test_weights_sum_to_one_also_at_borders_and_vanish_without_confidence():
    confidence = torch.ones(6, 6, dtype=f64)
    pixels = torch.arange(36)
    described = patches(_random(2, 6, 6), confidence, 5, 1.5)
    torch.testing.assert_close(described.weights_of(pixels).sum(1), torch.ones(36, dtype=f64))
    described = patches(_random(2, 6, 6), 0 * confidence, 5, 1.5)
    assert not described.weights_of(pixels).any()


def test_center_does_not_count():
    image = _random(1, 5, 5)
    other = image.clone()
    other[0, 2, 2] += 1
    targets = torch.tensor([[12]])
    everywhere = torch.ones(5, 5, dtype=f64)
    d = [distances(patches(x, everywhere, 3, 1.0), targets, targets) for x in (image, other)]
    torch.testing.assert_close(d[0], d[1], rtol=0, atol=0)


def test_weights_are_largest_where_they_are_shifted():
    described = patches(_random(1, 9, 9), torch.ones(9, 9, dtype=f64), 5, 1.0, (-2, 1))
    weights = described.weights_of(torch.tensor([40])).view(5, 5)
    assert weights.argmax() == 0 * 5 + 3
    ratio = weights[1, 1] / weights[0, 3]
    torch.testing.assert_close(ratio, torch.exp(torch.tensor(-(1 + 4) / 2, dtype=f64)))
