"""Padding is invisible: outputs and gradients are those of each sequence by itself."""

import pytest
import torch

from skoverparam.nets._architectures import SEQUENTIAL, build_network
from skoverparam.nets._sequences import AttentionPool, MaxPool, MeanPool, check_steps

LENGTH, N_FEATURES, N_TOKENS, N_OUTPUTS = 9, 5, 11, 3


def sequences(tokens):
    """Sequences of 9, 6, 2 and 1 steps, and the same in one batch with padding anywhere."""
    generator = torch.Generator().manual_seed(0)
    shape = (4, LENGTH) if tokens else (4, LENGTH, N_FEATURES)
    padded = torch.full(shape, -1.0 if tokens else torch.nan, dtype=torch.float64)
    alone, places = [], []
    for i, n in enumerate((9, 6, 2, 1)):
        if tokens:
            # Ids 11 and 12 are unknown.
            steps = torch.randint(0, N_TOKENS + 2, (n,), generator=generator).double()
        else:
            steps = torch.randn(n, N_FEATURES, generator=generator, dtype=torch.float64)
        place = torch.randperm(LENGTH, generator=generator)[:n].sort().values
        padded[i, place] = steps
        alone.append(steps[None])
        places.append(place)
    return padded, alone, places


def network_for(architecture, tokens, **options):
    shape = (LENGTH,) if tokens else (LENGTH, N_FEATURES)
    return build_network(
        architecture,
        shape,
        N_OUTPUTS,
        seed=1,
        n_tokens=N_TOKENS if tokens else None,
        **options,
    ).double()


@pytest.mark.parametrize("tokens", [True, False], ids=["tokens", "vectors"])
@pytest.mark.parametrize("per_position", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("architecture", SEQUENTIAL)
def test_padding_changes_nothing(architecture, causal, per_position, tokens):
    network = network_for(architecture, tokens, causal=causal, per_position=per_position)
    padded, alone, places = sequences(tokens)
    together = network(padded)
    expected = [network(steps)[0] for steps in alone]
    for i, place in enumerate(places):
        got = together[i, place] if per_position else together[i]
        # Rounding only: float64, sums of a few dozen terms of order one.
        torch.testing.assert_close(got, expected[i], rtol=0, atol=1e-13)
        if per_position:
            assert together[i].abs().sum(1).count_nonzero() == len(place)
    gradients = [
        torch.autograd.grad(sum(out.square().sum() for out in outs), list(network.parameters()))
        for outs in (together, expected)
    ]
    for with_padding, without in zip(*gradients, strict=True):
        torch.testing.assert_close(with_padding, without, rtol=0, atol=1e-12)


@pytest.mark.parametrize("pooling", ["max", "mean", "attention"])
def test_padding_changes_no_pooling(pooling):
    network = network_for("tcnn", False, pooling=pooling)
    padded, alone, _ = sequences(False)
    expected = torch.cat([network(steps) for steps in alone])
    torch.testing.assert_close(network(padded), expected, rtol=0, atol=1e-13)


def test_pools_are_what_their_names_say():
    values = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    valid = torch.tensor([[True] * 4, [True, True, False, False]])
    assert torch.equal(MaxPool()(values, valid)[1], values[1, :2].max(0).values)
    torch.testing.assert_close(MeanPool()(values, valid)[1], values[1, :2].mean(0))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        pool = AttentionPool(3, 2)
        pool.score.weight.zero_()
    # Equal scores weigh all steps alike.
    torch.testing.assert_close(pool(values, valid), MeanPool()(values, valid))


@pytest.mark.parametrize("architecture", SEQUENTIAL)
def test_causal_steps_do_not_see_the_future(architecture):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(1, LENGTH, N_FEATURES, generator=generator, dtype=torch.float64)
    changed = X.clone()
    changed[:, 5] += 1
    causal = network_for(architecture, False, causal=True, per_position=True)
    before, after = causal(X), causal(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.isclose(before[:, 5:], after[:, 5:]).all(-1).any()
    both_ways = network_for(architecture, False, causal=False, per_position=True)
    assert not torch.isclose(both_ways(X)[:, 4], both_ways(changed)[:, 4]).all()


@pytest.mark.parametrize("architecture", SEQUENTIAL)
def test_a_sequence_of_padding_alone_is_finite_and_says_nothing(architecture):
    network = network_for(architecture, True)
    # The embedding of an unknown token is zero, as is that of nothing.
    unknown = torch.full((1, 1), 99.0, dtype=torch.float64)
    padding = torch.full((1, LENGTH), -1.0, dtype=torch.float64)
    assert torch.equal(network(padding), network(unknown))
    vectors = network_for(architecture, False)
    assert vectors(torch.full((2, LENGTH, N_FEATURES), torch.nan).double()).isfinite().all()


def test_unknown_tokens_stay_unknown_in_training():
    network = network_for("lstm", True)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    X = torch.tensor([[1.0, 99.0, 3.0, -1.0]], dtype=torch.float64)
    network(X).square().sum().backward()
    optimizer.step()
    assert not network.embedding.weight[N_TOKENS].any()


def test_order_of_steps_matters():
    for architecture in SEQUENTIAL:
        network = network_for(architecture, True)
        X = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.float64)
        assert not torch.isclose(network(X), network(X.flip(1))).all(), architecture


def test_odd_sequences_are_refused():
    with pytest.raises(ValueError, match=r"integers, negative on padding; X has 1\.5"):
        check_steps(torch.tensor([[1.0, 1.5]]))
    X = torch.zeros(2, 3, 2)
    X[1, 2, 0] = torch.nan
    with pytest.raises(ValueError, match="step 2 of sample 1 of X is NaN in parts"):
        check_steps(X)
    X[1, 2] = torch.nan
    check_steps(X)


def test_shapes_and_options_are_checked():
    with pytest.raises(ValueError, match=r"n_tokens if they are token ids; got \(9,\)"):
        build_network("tcnn", (9,), 2)
    with pytest.raises(ValueError, match="pooling must be one of 'max', 'mean', 'attention'"):
        build_network("tcnn", (9, 2), 2, pooling="median")
    with pytest.raises(ValueError, match="n_heads must divide width, got 5 heads and width 64"):
        build_network("transformer", (9, 2), 2, n_heads=5)
