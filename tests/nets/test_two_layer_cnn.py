"""The network and its descents against autodiff, each other and finite differences."""

import itertools

import pytest
import torch

from skoverparam.nets._two_layer_cnn import (
    Problem,
    activation,
    dense_descent,
    outputs,
    span_descent,
)
from skoverparam.nets._two_layer_cnn_batch import Cell, train_cells
from skoverparam.nets._two_layer_cnn_patches import gather_patches, split_patches
from skoverparam.nets._two_layer_cnn_training import (
    Record,
    batches,
    filters,
    patch_norms,
    start_training,
    train_batch,
    training_accuracy,
    training_steps,
)


def draw(n=12, n_patches=2, d=30, n_classes=2, m=4, seed=0, repeats=True, dtype=torch.float64):
    """Noise patches, and a signal that the samples of a class share."""
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(n, n_patches, d, generator=generator, dtype=torch.float64)
    labels = torch.arange(n) % n_classes
    if repeats:
        signals = torch.randn(n_classes, d, generator=generator, dtype=torch.float64)
        patches[:, 0] = signals[labels]
    W = 0.1 * torch.randn(n_classes, m, d, generator=generator, dtype=torch.float64)
    return patches.to(dtype), labels, W.to(dtype)


def autograd_descent(patches, labels, W, *, q, rate, steps):
    """The definition: every patch of every sample, gradients by autodiff."""
    W = W.clone().requires_grad_()
    curve = []
    for _ in range(steps + 1):
        z = torch.einsum("krd,npd->nkrp", W, patches)
        F = torch.relu(z).pow(q).sum((2, 3)) / W.shape[1]
        loss = torch.nn.functional.cross_entropy(F, labels)
        curve.append(loss.item())
        (gradient,) = torch.autograd.grad(loss, W)
        with torch.no_grad():
            last = W.detach().clone()
            W -= rate * gradient
    return last, curve


def problem_of(patches, labels, W, q, logistic):
    n = len(labels)
    counts = None if patches.counts is None else patches.counts[None]
    return Problem.of(
        counts,
        labels[None],
        torch.full((1, n), 1 / n, dtype=W.dtype),
        n_classes=W.shape[0],
        n_filters=W.shape[1],
        q=q,
        logistic=logistic,
    )


@pytest.mark.parametrize("q", [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0])
@pytest.mark.parametrize(("n_patches", "n_classes"), [(1, 2), (2, 2), (3, 2), (2, 4)])
def test_both_descents_are_those_of_autodiff(q, n_patches, n_classes):
    all_patches, labels, W = draw(n_patches=n_patches, n_classes=n_classes)
    expected, curve = autograd_descent(all_patches, labels, W, q=q, rate=0.01, steps=300)
    patches = gather_patches(all_patches)
    problem = problem_of(patches, labels, W, q, logistic=n_classes == 2)
    X = patches.vectors
    none = W.new_zeros(*W.shape[:2], len(X))
    span = list(itertools.islice(span_descent(X @ X.T, W @ X.T, none, problem, 0.01), 301))
    dense = list(itertools.islice(dense_descent(X, W, none, problem, 0.01), 301))
    # Three hundred steps of rounding errors, on filters of order one.
    torch.testing.assert_close(dense[-1].coef, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(W + span[-1].patch_coef @ X, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(W + dense[-1].patch_coef @ X, expected, rtol=0, atol=1e-12)
    assert [step.loss for step in span] == pytest.approx(curve, abs=1e-12)
    assert [step.loss for step in dense] == pytest.approx(curve, abs=1e-12)


def train(training, track=None, *, solver="span", logistic=True, tol=0, max_iter=300, halve=False):
    """Train a network alone: where it ended, and the record of it."""
    record = Record(track)
    steps = training_steps(
        training, solver=solver, logistic=logistic, tol=tol, max_iter=max_iter, halve=halve
    )
    *_, last = record.follow(steps)
    record.close(last)
    return last, record


@pytest.mark.parametrize("solver", ["span", "dense"])
def test_softmax_of_two_outputs_is_the_logistic_loss(solver):
    all_patches, labels, W = draw()
    training = start_training(gather_patches(all_patches), labels, W, learning_rate=0.01, q=3.0)
    ends = [train(training, solver=solver, logistic=logistic)[0] for logistic in (True, False)]
    torch.testing.assert_close(ends[0].patch_coef, ends[1].patch_coef, rtol=0, atol=1e-12)
    assert ends[0].loss == pytest.approx(ends[1].loss, abs=1e-12)


def test_patches_without_a_table_of_counts_give_the_same(monkeypatch):
    all_patches, labels, W = draw(n_patches=3)
    merged = gather_patches(all_patches)
    monkeypatch.setattr("skoverparam.nets._two_layer_cnn_patches._TABLE_ENTRIES", 1)
    plain = gather_patches(all_patches)
    assert plain.counts is None
    assert len(merged.vectors) == 2 + 2 * len(labels)
    assert len(plain.vectors) == 3 * len(labels)
    found = []
    for patches, solver in itertools.product((merged, plain), ("span", "dense")):
        training = start_training(patches, labels, W, learning_rate=0.01, q=3.0)
        last, _ = train(training, solver=solver, max_iter=200)
        found.append(filters(training, last.patch_coef))
    batch = train_batch([training], logistic=True, tol=0, max_iter=200, halve=False)
    found.append(batch[0].coef)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("q", [2.5, 3.0])
def test_gradient_by_finite_differences(q):
    all_patches, labels, W = draw(n=6, d=5, m=3)
    patches = gather_patches(all_patches)
    problem = problem_of(patches, labels, W, q, logistic=True)
    none = W.new_zeros(*W.shape[:2], len(patches.vectors))
    steps = dense_descent(patches.vectors, W, none, problem, 1.0)
    gradient = W - [next(steps), next(steps)][1].coef

    def loss(V):
        F = outputs(V, all_patches, q)
        return torch.nn.functional.cross_entropy(F, labels)

    h = 1e-6
    for index in itertools.product(range(2), range(3), range(5)):
        step = torch.zeros_like(W)
        step[index] = h
        difference = (loss(W + step) - loss(W - step)) / (2 * h)
        # Central differences: h^2 from the third derivative, and rounding of 1e-16 over h.
        assert gradient[index].item() == pytest.approx(difference.item(), abs=1e-8)


def test_cubic_activation_has_a_continuous_second_derivative():
    z = torch.tensor([-1e-3, -1e-9, 0.0, 1e-9, 1e-3], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(activation(z, 3.0).sum(), z, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), z)
    torch.testing.assert_close(second, 6 * z.detach().clamp_min(0), rtol=1e-12, atol=0)
    assert activation(torch.tensor([-2.0]), 2.5).item() == 0


def test_outputs_do_not_depend_on_the_block(monkeypatch):
    all_patches, _, W = draw(n=50)
    whole = outputs(W, all_patches, 3.0)
    monkeypatch.setattr("skoverparam.nets._two_layer_cnn._BLOCK", 100)
    torch.testing.assert_close(outputs(W, all_patches, 3.0), whole, rtol=1e-13, atol=0)


def make_training(n, d, seed, n_classes=2, rate=0.005, repeats=True):
    all_patches, labels, W = draw(n=n, d=d, m=10, n_classes=n_classes, seed=seed, repeats=repeats)
    patches = gather_patches(all_patches)
    return start_training(patches, labels, 0.5 * W, learning_rate=rate, q=3.0)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_cells_of_a_batch_are_what_they_are_alone(n_classes, device):
    trainings = [
        make_training(n, d, seed, n_classes=n_classes, rate=rate)
        for seed, (n, d, rate) in enumerate(
            [(12, 30, 0.01), (12, 50, 0.02), (9, 200, 0.004), (21, 40, 0.01), (6, 30, 0.03)]
        )
    ]
    logistic = n_classes == 2
    moved = [
        training._replace(
            patches=type(training.patches)(*(part.to(device) for part in training.patches)),
            labels=training.labels.to(device),
            coef_init=training.coef_init.to(device),
            coef=training.coef.to(device),
            patch_coef=training.patch_coef.to(device),
        )
        for training in trainings
    ]
    found = train_batch(moved, logistic=logistic, tol=0.05, max_iter=700, halve=False)
    lengths = set()
    for training, learned in zip(trainings, found, strict=True):
        last, record = train(training, tol=0.05, max_iter=700, logistic=logistic)
        curve = record.curve
        assert len(curve) == len(learned.loss_curve)
        assert learned.end == last.end
        assert learned.loss_curve == pytest.approx(curve, abs=1e-9)
        torch.testing.assert_close(
            learned.patch_coef.cpu(), last.patch_coef, rtol=1e-9, atol=1e-12
        )
        lengths.add(len(curve))
    assert len(lengths) == len(trainings)  # every cell stopped at a step of its own


@pytest.mark.parametrize("max_iter", [1, 15, 16, 17, 40])
def test_steps_of_a_batch_are_counted_like_those_alone(max_iter):
    trainings = [make_training(8, 20, seed) for seed in range(3)]
    for learned in train_batch(trainings, logistic=True, tol=0, max_iter=max_iter, halve=False):
        assert len(learned.loss_curve) == max_iter + 1
        assert learned.end == "max_iter"


def test_a_cell_that_explodes_leaves_the_others_alone():
    good, bad = make_training(8, 20, 0), make_training(30, 20, 1, rate=20.0, repeats=False)
    both = train_batch([good, bad], logistic=True, tol=0.05, max_iter=2000, halve=False)
    (only,) = train_batch([good], logistic=True, tol=0.05, max_iter=2000, halve=False)
    assert only.end == "converged"
    torch.testing.assert_close(both[0].patch_coef, only.patch_coef, rtol=1e-9, atol=1e-12)
    last, record = train(bad, tol=0.05, max_iter=2000)
    assert (last.end, both[1].end) == ("", "diverged")
    assert both[1].loss_curve == pytest.approx(record.curve)
    assert both[1].patch_coef.isfinite().all()


def test_descent_begins_again_with_half_the_step_where_it_goes_up():
    training = make_training(30, 20, 1, rate=20.0, repeats=False)
    last, record = train(training, 1, tol=0.05, max_iter=3000, halve=True)
    assert last.end == "converged"
    assert last.learning_rate in [20.0 / 2**k for k in range(1, 20)]
    # The record knows the last attempt only.
    assert len(record.curve) == last.n_steps + 1
    assert record.steps == list(range(last.n_steps + 1))
    assert max(record.curve) < record.curve[0] + 10
    # The same with that step from the start, and in a batch.
    again, of_it = train(
        training._replace(learning_rate=last.learning_rate), tol=0.05, max_iter=3000
    )
    assert torch.equal(again.patch_coef, last.patch_coef)
    assert of_it.curve == record.curve
    (learned,) = train_batch([training], logistic=True, tol=0.05, max_iter=3000, halve=True)
    assert torch.equal(learned.patch_coef, last.patch_coef)
    assert learned.learning_rate == last.learning_rate


def test_batches_hold_every_cell_once_and_similar_ones_together():
    trainings = [make_training(n, 20, n) for n in (4, 30, 5, 31, 4)]
    halve = [True, True, True, True, False]
    found = batches(trainings, halve)
    assert sorted(k for batch in found for k in batch) == list(range(5))
    assert {frozenset(batch) for batch in found} == {
        frozenset([4]),
        frozenset([0, 2]),
        frozenset([1, 3]),
    }


def test_patches_are_cut_padded_and_kept_once():
    X = torch.arange(1.0, 11.0, dtype=torch.float64).reshape(2, 5)
    cut = split_patches(X, 2)
    assert cut.tolist() == [[[1, 2, 3], [4, 5, 0]], [[6, 7, 8], [9, 10, 0]]]
    zero = torch.zeros(3, dtype=torch.float64)
    a, b = cut[0]
    patches = gather_patches(torch.stack([a, zero, b, a, a, -zero]).reshape(3, 2, 3))
    assert patches.vectors.tolist() == [a.tolist(), b.tolist()]
    assert patches.positions.tolist() == [[0, -1], [1, 0], [0, -1]]
    assert patches.counts.tolist() == [[1, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_patches_are_found_among_many(dtype):
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(-2, 3, (400, 3), generator=generator).to(dtype)
    patches = gather_patches(rows.reshape(200, 2, 3))
    distinct = torch.unique(rows, dim=0)
    assert len(patches.vectors) == len(distinct) - 1  # without zeros
    back = torch.cat([patches.vectors, patches.vectors.new_zeros(1, 3)])[patches.positions]
    assert torch.equal(back.reshape(400, 3), rows)


def test_norms_leave_zeros_out():
    patches = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 2.0]]])
    assert patch_norms(patches) == (5.0, 2.0)
    assert patch_norms(torch.zeros(2, 2, 2)) == (1.0, 1.0)


def test_a_dead_network_is_stationary():
    all_patches, labels, W = draw()
    training = start_training(gather_patches(all_patches), labels, 0 * W, learning_rate=0.1, q=3.0)
    *_, last = training_steps(
        training, solver="span", logistic=True, tol=0.01, max_iter=50, halve=True
    )
    assert (last.end, last.n_steps) == ("stationary", 1)
    assert training_accuracy(training, 0 * W) == pytest.approx((labels == 0).double().mean())


def test_tracked_steps():
    training = make_training(8, 20, 0)
    for track, expected in ((50, [0, 50, 100, 120]), (None, [])):
        _, record = train(training, track, max_iter=120)
        assert record.steps == expected
        assert len(record.path) == len(expected)
    last, record = train(training, "log", max_iter=1000)
    assert {0, 1, 10, 100, 1000} <= set(record.steps)
    assert sum(100 < step <= 1000 for step in record.steps) == 20
    assert torch.equal(record.path[-1], last.patch_coef)
    assert not record.path[0].any()


def test_results_of_a_batch_share_no_memory():
    trainings = [make_training(8, 20, seed) for seed in range(2)]
    cells = [
        Cell(
            t.patches.vectors @ t.patches.vectors.T,
            t.coef_init @ t.patches.vectors.T,
            t.patches.counts,
            t.labels,
            t.learning_rate,
        )
        for t in trainings
    ]
    a, b = train_cells(cells, q=3.0, tol=0, max_iter=5, logistic=True)
    before = b.patch_coef.clone()
    a.patch_coef.fill_(9)
    assert torch.equal(b.patch_coef, before)
