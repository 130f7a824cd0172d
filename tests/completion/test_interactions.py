"""Interaction models against dense linear algebra over the observed entries."""

import math

import pytest
import torch

from skoverparam.completion._bias_components import estimate_bias_components
from skoverparam.completion._entries import find_entries, merge_entries
from skoverparam.completion._interaction_state import model_from, state_of
from skoverparam.completion._interactions import (
    Settings,
    choose_rank,
    finish,
    know,
    memory_needed,
    noise_of,
    pose,
    posterior_variance,
    predict,
    solve,
    true_residual,
)
from skoverparam.completion._profiles import (
    inner_products,
    profiles_from_coordinates,
    sparse_times_dense,
)

SETTINGS = Settings(
    depth=1,
    activation="relu",
    alpha=0.7,
    mask_weight=0.8,
    side_weights=(1.5, 0.6, 0.0),
    shrinkage=4.0,
    sharing=0.3,
    noise_power=0.5,
    rank=None,
)


def draw_entries(sizes, n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = torch.stack([torch.randint(0, s, (n,), generator=generator) for s in sizes], dim=1)
    values = torch.randn(n, generator=generator, dtype=torch.float64)
    values += codes[:, 0].double() / sizes[0]
    return codes, values


def dense(profiles):
    Z = torch.zeros(profiles.n_rows, profiles.width, dtype=profiles.values.dtype)
    Z[profiles.owners(), profiles.indices] += profiles.values
    return Z


def sparse(Z):
    rows, columns = Z.nonzero(as_tuple=True)
    return profiles_from_coordinates(rows, columns, Z[rows, columns], tuple(Z.shape))


def relu_ntk(cosines):
    """Depth 1 in closed form without its constant 1 / pi, over its value then at cosine 1."""
    c = cosines.clamp(-1, 1)
    angle = torch.acos(c)
    full = (2 * c * (math.pi - angle) + (1 - c * c).clamp_min(0).sqrt()) / math.pi
    return (full - 1 / math.pi) / (2 - 1 / math.pi)


def unit(Z):
    norms = Z.norm(dim=1, keepdim=True)
    return Z / torch.where(norms > 0, norms, 1.0)


def reference_kernel(entries, f, side, side_weight, settings, remainder, cold=None):
    """Kernel of the ids of factor f written out densely, and that of unseen ids against them."""
    blocks = []
    for g, size in enumerate(entries.sizes):
        if g == f:
            continue
        sums = torch.zeros(entries.sizes[f], size, dtype=torch.float64)
        counts = torch.zeros_like(sums)
        for code, value in zip(entries.codes, remainder, strict=True):
            sums[code[f], code[g]] += value
            counts[code[f], code[g]] += 1
        blocks.append((sums / counts.clamp_min(1), (counts > 0).double()))
    n = entries.sizes[f]
    if blocks:
        raw = torch.cat([b[0] for b in blocks], dim=1)
        mask = torch.cat([b[1] for b in blocks], dim=1)
        mask = unit(mask * torch.log(n / (mask.sum(0) + 1)).clamp_min(0))
        squares = raw.square().sum(1, keepdim=True)
        raw = raw / (squares + settings.shrinkage).sqrt()
    else:
        raw = mask = torch.zeros(n, 1, dtype=torch.float64)
    parts = [(1.0, raw), (settings.mask_weight, mask)]
    if side is not None:
        parts.append((side_weight, unit(side)))
    total = sum(w * (Z.abs().sum(1) > 0).double() for w, Z in parts)
    total = torch.where(total > 0, total, 1.0)
    cosines = sum(w * Z @ Z.T for w, Z in parts) / (total[:, None] * total).sqrt()
    R = relu_ntk(cosines)
    R.fill_diagonal_(1)
    if cold is None:
        return R, relu_ntk(torch.zeros(1, n, dtype=torch.float64))
    cross = side_weight**0.5 * unit(cold) @ unit(side).T / total.sqrt()
    return R, relu_ntk(cross)


def reference(entries, sides, settings, codes, colds):
    """Posterior mean and variance by solving over the entries, and the residual variance."""
    components = estimate_bias_components(entries)
    p = len(entries.sizes)
    at_entries, at_codes, own = 1, 1, 1
    biases, bias_codes = 0, 0
    for f in range(p):
        R, cross = reference_kernel(
            entries,
            f,
            sides[f],
            settings.side_weights[f],
            settings,
            components.remainder,
            colds[f],
        )
        ids, asked = entries.codes[:, f], codes[:, f]
        full = torch.cat([R, cross])
        K, k = R[ids][:, ids], full[asked][:, ids]
        t, g = components.variances[f], settings.sharing
        at_entries, at_codes = at_entries * K, at_codes * k
        biases = biases + t * ((1 - g) * (ids[:, None] == ids).double() + g * K)
        bias_codes = bias_codes + t * ((1 - g) * (asked[:, None] == ids).double() + g * k)
        own += t
    noise = 1 / entries.weights
    for f, nu in enumerate(components.noise):
        noise = noise * nu[entries.codes[:, f]] ** settings.noise_power
    system = at_entries + biases + settings.alpha * torch.diag(noise)
    k = at_codes + bias_codes
    y = entries.values - components.mean
    mean = components.mean + k @ torch.linalg.solve(system, y)
    variance = own - (k * torch.linalg.solve(system, k.T).T).sum(1)
    return mean, variance


def fitted(entries, sides, settings, dtype=torch.float64, tol=1e-13):
    known = know(entries, tuple(None if Z is None else sparse(Z) for Z in sides))
    posed = pose(known, settings, torch.Generator().manual_seed(0), dtype)
    for solved in solve(posed, settings.alpha, tol=tol, max_iter=500):
        last = solved
    return finish(posed, last.coefficients, known, settings), posed, last


def side_information(sizes, seed=1):
    generator = torch.Generator().manual_seed(seed)
    sides = [torch.randn(sizes[0], 4, generator=generator, dtype=torch.float64)]
    sides[0][2] = 0
    colds = [torch.randn(2, 4, generator=generator, dtype=torch.float64)]
    return sides + [None] * (len(sizes) - 1), colds + [None] * (len(sizes) - 1)


CASES = {
    "one factor": ((25,), 60, None),
    "two factors, whole kernels": ((12, 9), 60, None),
    "two factors, factors of full rank": ((12, 9), 60, 12),
    "three factors": ((8, 6, 4), 70, None),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_the_dense_solve_over_the_entries(case):
    sizes, n, rank = CASES[case]
    codes, values = draw_entries(sizes, n)
    weights = torch.linspace(0.5, 2, n, dtype=torch.float64)
    entries = merge_entries(codes, values, weights, sizes)
    sides, colds = side_information(sizes)
    settings = SETTINGS._replace(rank=rank, side_weights=SETTINGS.side_weights[: len(sizes)])
    model, posed, solved = fitted(entries, sides, settings)
    generator = torch.Generator().manual_seed(5)
    # Seen and unseen ids in all positions; codes from the size on are unseen.
    extra = (2,) + (1,) * (len(sizes) - 1)
    asked = torch.stack(
        [
            torch.randint(0, s + more, (40,), generator=generator)
            for s, more in zip(sizes, extra, strict=True)
        ],
        dim=1,
    )
    asked = torch.cat([asked, entries.codes[:10]])
    asked[0] = torch.tensor([s + more - 1 for s, more in zip(sizes, extra, strict=True)])
    unseen = tuple(None if Z is None else sparse(Z) for Z in colds)
    mean, variance = reference(entries, sides, settings, asked, colds)
    # Exact but for the solver's tolerance, 1e-13 times the condition number.
    torch.testing.assert_close(predict(model, asked, unseen), mean, atol=1e-8, rtol=0)
    ours = posterior_variance(model, asked, unseen, alpha=settings.alpha, tol=1e-13, max_iter=500)
    torch.testing.assert_close(ours, variance, atol=1e-8, rtol=0)
    assert true_residual(posed, solved.coefficients, settings.alpha) < 1e-12


@pytest.mark.parametrize("case", CASES)
def test_state_holds_everything(case):
    sizes, n, rank = CASES[case]
    codes, values = draw_entries(sizes, n)
    entries = merge_entries(codes, values, torch.ones_like(values), sizes)
    sides, _ = side_information(sizes)
    settings = SETTINGS._replace(rank=rank, side_weights=SETTINGS.side_weights[: len(sizes)])
    model, _, _ = fitted(entries, sides, settings, tol=1e-6)
    again = model_from(state_of(model))
    unseen = (None,) * len(sizes)
    torch.testing.assert_close(
        predict(again, codes, unseen), predict(model, codes, unseen), atol=1e-13, rtol=0
    )


def test_low_rank_is_near_the_whole_kernel_and_nearer_with_more_rank():
    codes, values = draw_entries((60, 50), 900)
    entries = merge_entries(codes, values, torch.ones_like(values), (60, 50))
    sides = (None, None)
    settings = SETTINGS._replace(side_weights=(0.0, 0.0))
    whole = predict(fitted(entries, sides, settings)[0], codes, sides)
    gaps = []
    for rank in (5, 20, 45):
        low = fitted(entries, sides, settings._replace(rank=rank))[0]
        gaps.append(float((predict(low, codes, sides) - whole).norm() / whole.norm()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.05


def test_single_precision_agrees():
    codes, values = draw_entries((30, 20), 300)
    entries = merge_entries(codes, values, torch.ones_like(values), (30, 20))
    settings = SETTINGS._replace(side_weights=(0.0, 0.0))
    exact = predict(fitted(entries, (None, None), settings)[0], codes, (None, None))
    single = fitted(entries, (None, None), settings, torch.float32, tol=1e-5)[0]
    # Rounding 6e-8 times a condition number near 100, and acos near 1.
    torch.testing.assert_close(predict(single, codes, (None, None)), exact, atol=1e-3, rtol=0)


def test_entries_are_weighted_means_of_what_shares_all_ids():
    codes = torch.tensor([[1, 0], [0, 2], [1, 0], [0, 1], [0, 2]])
    values = torch.tensor([1.0, 5.0, 4.0, 2.0, 9.0], dtype=torch.float64)
    weights = torch.tensor([1.0, 1.0, 2.0, 1.0, 0.0], dtype=torch.float64)
    entries = merge_entries(codes, values, weights, (2, 3))
    assert entries.codes.tolist() == [[0, 1], [0, 2], [1, 0]]
    assert entries.values.tolist() == [2.0, 5.0, 3.0]
    assert entries.weights.tolist() == [1.0, 1.0, 3.0]
    asked = torch.tensor([[1, 0], [1, 1], [0, 3], [2, 0], [0, 1]])
    assert find_entries(asked, entries).tolist() == [2, -1, -1, -1, 0]


def test_entries_of_more_combinations_than_int64_has():
    sizes = (2**21, 2**21, 2**21)
    codes = torch.tensor([[2**21 - 1, 0, 5], [3, 2**21 - 1, 2**21 - 1], [2**21 - 1, 0, 5]])
    values = torch.tensor([1.0, 7.0, 3.0], dtype=torch.float64)
    entries = merge_entries(codes, values, torch.ones_like(values), sizes)
    assert entries.codes.tolist() == [codes[1].tolist(), codes[0].tolist()]
    assert entries.values.tolist() == [7.0, 2.0]


def test_bias_components_recover_the_variances():
    generator = torch.Generator().manual_seed(0)
    n, m = 400, 300
    a = 2.0 * torch.randn(n, generator=generator, dtype=torch.float64)
    b = 0.5 * torch.randn(m, generator=generator, dtype=torch.float64)
    codes = torch.rand(n, m, generator=generator).lt(0.1).nonzero()
    noise = torch.randn(len(codes), generator=generator, dtype=torch.float64)
    values = 3 + a[codes[:, 0]] + b[codes[:, 1]] + noise
    components = estimate_bias_components(
        merge_entries(codes, values, torch.ones_like(values), (n, m))
    )
    unit = components.scale**2
    # Sample variances of 400 and 300 normal numbers: standard errors 7 and 8 per cent.
    assert components.variances[0] * unit == pytest.approx(4.0, rel=0.25)
    assert components.variances[1] * unit == pytest.approx(0.25, rel=0.3)
    # The noise's share knows of the offsets' uncertainty: twelve thousand entries, about 1 %.
    assert components.noise_share * unit == pytest.approx(1.0, rel=0.05)


def test_bias_components_of_a_constant():
    codes, values = draw_entries((5, 4), 12)
    components = estimate_bias_components(
        merge_entries(codes, torch.full_like(values, 3.0), torch.ones_like(values), (5, 4))
    )
    assert components.mean == pytest.approx(3.0)
    assert not components.remainder.any()


def test_noise_of_unseen_ids_is_average():
    codes, values = draw_entries((6, 5), 25)
    entries = merge_entries(codes, values, torch.ones_like(values), (6, 5))
    settings = SETTINGS._replace(side_weights=(0.0, 0.0))
    model, _, _ = fitted(entries, (None, None), settings)
    noise = noise_of(model, torch.tensor([[6, 5], [0, 5]]))
    assert float(noise[0]) == 1.0
    assert float(noise[1]) == pytest.approx(float(model.noise[0][0]))


@pytest.mark.parametrize("width", [7, 3000])
def test_sparse_products_are_dense_products(width):
    generator = torch.Generator().manual_seed(0)
    Z = torch.randn(20, width, generator=generator, dtype=torch.float64)
    Z = Z * torch.rand(20, width, generator=generator).lt(0.2)
    Z[4] = 0
    P = sparse(Z)
    B = torch.randn(width, 3, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(sparse_times_dense(P, B), Z @ B, atol=1e-12, rtol=0)
    torch.testing.assert_close(inner_products(P, P), Z @ Z.T, atol=1e-11, rtol=0)
    ids = torch.tensor([3, 4, 0, 3])
    assert torch.equal(dense(P.take(ids)), Z[ids])
    assert inner_products(P.take(ids[:0]), P).shape == (0, 20)


def test_rank_follows_memory_and_time():
    sizes, n = (3000, 3000), 120_000
    assert choose_rank(sizes, n, 4, 1e9) is None
    assert choose_rank(sizes, n, 4, 1e8) == 500
    assert choose_rank((10**6, 10**5), 10**7, 4, 1e12) == 500
    assert choose_rank((100, 50, 3), 900, 8, 1e9) == 900
    assert memory_needed(sizes, n, 100, 4) < memory_needed(sizes, n, 500, 4)
    # No array of rows times columns: hundreds of times less than it would take.
    assert memory_needed((10**6, 10**6), 10**7, 100, 4) < 4e12 / 500
