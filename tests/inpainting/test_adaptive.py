import math

import pytest
import torch

from skoverparam.inpainting._adaptive import ADAPTIVE, adapted_kernel, complete

f64 = torch.float64
# A displacement kernel like those of networks: a peak that falls off to a constant.
_TENT = 1 - torch.arange(-7, 8, dtype=f64).abs() / 8
T = 0.4 + 0.6 * _TENT[:, None] * _TENT
FAR = 0.4
EXACT = ADAPTIVE._replace(dtype=f64)


def _noise(*shape, share=0.5, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share


def _picture(h, w, c=1):
    rows, columns = torch.arange(h, dtype=f64)[:, None], torch.arange(w, dtype=f64)
    waves = torch.sin(rows / 3) * torch.cos(columns / 4) + (rows + 2 * columns > (h + w) / 1.3)
    return torch.stack([waves + channel * torch.cos(columns / 5) for channel in range(c)])


def _last(steps):
    *_, last = steps
    return last


def _at(i, w):
    return i // w, i % w


def _direct(x, y, missing, settings, weight, with_features):
    """One pass by loops: the formula, pixel by pixel, all observed pixels as candidates."""
    h, w = missing.shape
    known = torch.nonzero(~missing.flatten()).flatten().tolist()
    new = y.clone()
    r = settings.patch_size // 2
    inner = [(a, b) for a in range(-r, r + 1) for b in range(-r, r + 1) if a or b]

    def value(p, a, b):
        row, column = _at(p, w)
        return x[min(max(row + a, 0), h - 1), min(max(column + b, 0), w - 1)]

    def trust(p, a, b):
        row, column = _at(p, w)
        if not (0 <= row + a < h and 0 <= column + b < w):
            return 0.0
        g = math.exp(-(a * a + b * b) / (2 * settings.patch_deviation**2))
        return g * (weight if missing[row + a, column + b] else 1.0)

    def displacement(p, q):
        (a, b), (c, d) = _at(p, w), _at(q, w)
        near = abs(a - c) <= 7 and abs(b - d) <= 7
        return float(T[a - c + 7, b - d + 7]) if near else FAR

    def kernel(p, q, m, f):
        if not with_features:
            return displacement(p, q)
        squared = float((m * (f[p] - f[q]) ** 2).sum())
        alike = math.exp(-squared / (2 * settings.bandwidth**2))
        return (displacement(p, q) + 9) / 10 * alike

    for i in torch.nonzero(missing.flatten()).flatten().tolist():
        m = torch.tensor([trust(i, *k) for k in inner], dtype=f64)
        m /= m.sum()
        f = {p: torch.stack([value(p, *k) for k in inner]) for p in [*known, i]}
        (row, column) = _at(i, w)
        order = sorted(known, key=lambda p: ((p // w - row) ** 2 + (p % w - column) ** 2, p))
        if with_features:
            rest = order[settings.n_neighbors :]
            rest.sort(key=lambda p: float((m * (f[p] - f[i]) ** 2).sum()))
            chosen = order[: settings.n_neighbors] + rest[: settings.n_similar]
        else:
            chosen = order[: settings.n_start]

        K = torch.tensor([[kernel(p, q, m, f) for q in chosen] for p in chosen], dtype=f64)
        k = torch.tensor([kernel(p, i, m, f) for p in chosen], dtype=f64)
        own = y.flatten()[chosen]
        A = torch.linalg.inv(K + settings.nugget * torch.eye(len(chosen), dtype=f64))
        mu = (A @ own).sum() / (A.sum() + 1e-3)
        predicted = k @ (A @ (own - mu)) + mu
        new.view(-1)[i] = predicted.clamp(y[~missing].min(), y[~missing].max())
    return new


def test_passes_are_those_of_the_formula():
    settings = EXACT._replace(
        n_neighbors=4, n_similar=3, n_start=5, patch_size=3, n_passes=2, missing_weight=0.3
    )
    picture, missing = _picture(9, 11)[0], _noise(9, 11)
    steps = list(complete(picture[None, None], missing[None], T, FAR, settings))
    assert len(steps) == 3
    # In the units of the computation: mean zero and range one.
    seen = picture[~missing]
    scale = seen.max() - seen.min()
    y = torch.where(missing, 0, (picture - seen.mean()) / scale)
    x = y
    for step, with_features in zip(steps, [False, True, True], strict=True):
        x = _direct(x, y, missing, settings, 0.3, with_features)
        # Condition numbers are below 1e4.
        torch.testing.assert_close(step[0, 0], x * scale + seen.mean(), rtol=1e-10, atol=1e-10)


def test_observed_values_stay_and_passes_help():
    picture = _picture(48, 40)
    missing = _noise(48, 40)
    corrupted = torch.where(missing, torch.nan, picture)
    steps = list(complete(corrupted[None], missing[None], T, FAR))
    errors = [(step[0] - picture).square().mean().item() for step in steps]
    for step in steps:
        assert step[0, :, ~missing].equal(picture[:, ~missing])
    assert errors[-1] < 0.8 * errors[0]


def test_an_image_alone_equals_the_image_in_a_batch():
    pictures = torch.stack([_picture(24, 20, 2), 3 - 0.2 * _picture(24, 20, 2).flip(2)])
    missing = torch.stack([_noise(24, 20), _noise(24, 20, share=0.8, seed=1)])
    missing[1, 3:15, 2:14] = True
    together = _last(complete(pictures, missing, T, FAR))
    for i in range(2):
        alone = _last(complete(pictures[i : i + 1], missing[i : i + 1], T, FAR))
        assert together[i].equal(alone[0])


def test_number_of_threads_does_not_matter():
    picture, missing = _picture(40, 40), _noise(40, 40)
    missing[10:20, 10:20] = True
    one = _last(complete(picture[None], missing[None], T, FAR))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = _last(complete(picture[None], missing[None], T, FAR))
    finally:
        torch.set_num_threads(before)
    assert one.equal(two)


@pytest.mark.parametrize("kernel", ["gaussian", "ntk"])
def test_units_do_not_matter(kernel):
    settings = EXACT._replace(n_passes=2, feature_kernel=kernel)
    picture, missing = _picture(24, 20), _noise(24, 20)
    one = _last(complete(picture[None], missing[None], T, FAR, settings))
    other = _last(complete(1e6 - 250 * picture[None], missing[None], T, FAR, settings))
    # The offset leaves ten digits.
    torch.testing.assert_close(other, 1e6 - 250 * one, rtol=1e-10, atol=1e-4)


def test_float32_is_enough():
    picture, missing = _picture(32, 32), _noise(32, 32)
    single = _last(complete(picture[None], missing[None], T, FAR))
    double = _last(complete(picture[None], missing[None], T, FAR, EXACT))
    # Rounding may change the choice among pixels that are equally similar; that is harmless.
    errors = [(x[0] - picture).square().mean().sqrt() for x in (single, double)]
    assert abs(errors[0] - errors[1]) < 0.01 * errors[1]
    assert (single - double).abs().median() < 1e-4


def test_channels_share_the_system_but_not_the_values():
    picture, missing = _picture(24, 20, 1), _noise(24, 20)
    colored = torch.cat([picture, 1 - picture, 0.5 * picture])
    completed = _last(complete(colored[None], missing[None], T, FAR, EXACT))[0]
    torch.testing.assert_close(completed[2], 0.5 * completed[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(completed[1], 1 - completed[0], rtol=1e-10, atol=1e-10)


def test_a_guide_supplies_the_features():
    picture, missing = _picture(40, 40), _noise(40, 40, share=0.8)
    guide = 1 - 2 * picture
    steps = list(complete(picture[None], missing[None], T, FAR, guide=guide[None]))
    assert len(steps) == 2
    unguided = _last(complete(picture[None], missing[None], T, FAR))
    error, unguided_error = ((s - picture).square().mean() for s in (steps[-1], unguided))
    assert error < 0.5 * unguided_error


def test_holes_are_filled_ring_by_ring():
    # Stripes: what is smooth fills a hole with gray, rings continue the stripes.
    columns = torch.arange(64, dtype=f64)
    picture = (torch.sin(columns / 2)[None] + 0 * columns[:, None])[None]
    missing = torch.zeros(64, 64, dtype=torch.bool)
    missing[22:42, 20:40] = True
    steps = list(complete(picture[None], missing[None], T, FAR))
    start, last = ((s[0] - picture)[:, missing].square().mean() for s in (steps[0], steps[-1]))
    assert last < 0.2 * start
    assert len(steps) == 1 + 20 // 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 17), (17, 1), (2, 2), (3, 40)])
def test_small_images(shape):
    picture = _picture(*shape, 2)
    missing = _noise(*shape, share=0.6, seed=3)
    missing[0, 0] = False
    completed = _last(complete(picture[None], missing[None], T, FAR))
    assert completed.isfinite().all()
    assert completed[0, :, ~missing].equal(picture[:, ~missing])
    assert completed.min() >= picture[:, ~missing].min() - 1e-6
    assert completed.max() <= picture[:, ~missing].max() + 1e-6


@pytest.mark.parametrize("n_observed", [1, 2, 5])
def test_few_observed_pixels(n_observed):
    missing = torch.ones(30, 30, dtype=torch.bool)
    missing.view(-1)[torch.arange(n_observed) * 37 + 11] = False
    picture = _picture(30, 30)
    completed = _last(complete(picture[None], missing[None], T, FAR))
    assert completed.isfinite().all()
    if n_observed == 1:
        torch.testing.assert_close(completed, picture[:, ~missing].expand_as(completed))


def test_constant_image():
    missing = _noise(20, 20)
    completed = _last(complete(torch.full((1, 1, 20, 20), 7.0), missing[None], T, FAR))
    torch.testing.assert_close(completed, torch.full((1, 1, 20, 20), 7.0))


def test_nothing_missing():
    picture = _picture(12, 12)[None]
    steps = list(complete(picture, torch.zeros(1, 12, 12, dtype=torch.bool), T, FAR))
    assert len(steps) == 1
    assert steps[0].equal(picture)


def test_images_done_early_wait_for_the_others():
    pictures = torch.stack([_picture(20, 20)] * 2)
    missing = torch.stack([_noise(20, 20, share=0.1), _noise(20, 20, share=0.85)])
    steps = list(complete(pictures, missing, T, FAR))
    lengths = [
        len(list(complete(pictures[i : i + 1], missing[i : i + 1], T, FAR))) for i in range(2)
    ]
    assert len(steps) == max(lengths)
    assert lengths[0] < lengths[1]
    assert steps[-1][0].equal(steps[lengths[0] - 1][0])


def test_schedule_follows_the_share_unless_given():
    assert ADAPTIVE.schedule(0.5) == (0.3, 6)
    assert ADAPTIVE.schedule(0.8) == (pytest.approx(0.2), 10)
    assert ADAPTIVE._replace(missing_weight=0.7, n_passes=1).schedule(0.8) == (0.7, 1)


def test_runs_where_the_images_are(device):
    pictures, missing = _picture(40, 32, 3)[None], _noise(1, 40, 32)
    missing[0, 5:15, 5:15] = True
    completed = _last(complete(pictures.to(device), missing.to(device), T, FAR))
    assert completed.device.type == device.type
    reference = _last(complete(pictures, missing, T, FAR))
    assert (completed.cpu() - reference).abs().mean() < 1e-3


@pytest.mark.parametrize("guided", [False, True])
def test_adapted_kernel_is_that_of_the_formula(guided):
    image, guide = _picture(12, 15, 2), _picture(12, 15).flip(1)
    missing = _noise(12, 15)
    settings = EXACT._replace(patch_size=3, missing_weight=0.3)
    target = 4 * 15 + 7
    pixels = torch.arange(12 * 15)
    row = adapted_kernel(
        image, missing, T, FAR, target, pixels, settings, guide if guided else None
    ).view(12, 15)
    x = guide if guided else image
    seen = x if guided else x[:, ~missing]
    extent = (seen.flatten(1).amax(1) - seen.flatten(1).amin(1)).max()
    for i, j in [(4, 7), (4, 8), (1, 2), (11, 14), (6, 7)]:
        squared = total = 0.0
        for a in (-1, 0, 1):
            for b in (-1, 0, 1):
                if a == b == 0:
                    continue
                m = math.exp(-(a * a + b * b) / (2 * settings.patch_deviation**2))
                m *= 0.3 if missing[4 + a, 7 + b] and not guided else 1.0
                # Beyond the border stands what is nearest to it.
                there = x[:, min(max(i + a, 0), 11), min(max(j + b, 0), 14)]
                squared += m * float(((there - x[:, 4 + a, 7 + b]) / extent).square().sum())
                total += m * len(x)
        near = abs(i - 4) <= 7 and abs(j - 7) <= 7
        displacement = float(T[i - 4 + 7, j - 7 + 7]) if near else FAR
        alike = math.exp(-squared / total / (2 * settings.bandwidth**2))
        assert float(row[i, j]) == pytest.approx((displacement + 9) / 10 * alike, abs=1e-12)
    assert float(row[4, 7]) == pytest.approx(1, abs=1e-12)
