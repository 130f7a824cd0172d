"""The two-sided model against the dense system over all observed entries."""

import pytest
import torch

from skoverparam.completion._dense import (
    Prior,
    Settings,
    completion_passes,
    kernels_from,
    row_kernel,
    standardized,
)
from skoverparam.completion._new_rows import complete_new_rows
from skoverparam.completion._uncertainty import completion_std
from skoverparam.kernels._fully_connected import fully_connected_ntk

LEARNED, IDENTITY = Prior("learned"), Prior("identity")


def make_settings(rows, columns, **changes):
    settings = {
        "rows": rows,
        "columns": columns,
        "depth": 2,
        "activation": "relu",
        "rank": None,
        "n_passes": 3,
        "standardize": True,
        "tol": 1e-12,
        "max_iter": 2000,
    }
    return Settings(**(settings | changes))


@pytest.fixture
def matrix(device):
    generator = torch.Generator().manual_seed(0)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    Y = randn(15, 3) @ randn(3, 9) + 0.1 * randn(15, 9) + 2.0
    observed = torch.rand(15, 9, generator=generator) < 0.7
    side = {"rows": randn(15, 4), "columns": randn(9, 4)}
    return (
        Y.to(device),
        observed.to(device),
        {name: Prior("given", value.to(device)) for name, value in side.items()},
    )


def last(passes):
    return list(passes)[-1]


def dense_system(model, settings, observed, alpha):
    """The kernel over all pairs of observed entries, with the noise, and with every entry."""
    R = row_kernel(model.row_features, model.gains, settings)
    full = torch.kron(R, model.column_kernel)
    noise = (model.noise.row[:, None] * model.noise.column).flatten()
    seen = observed.flatten()
    return full[seen][:, seen] + alpha * torch.diag(noise[seen]), full[:, seen]


@pytest.mark.parametrize("kind", ["learned", "given"])
def test_completion_equals_the_dense_solve(matrix, kind):
    Y, observed, side = matrix
    rows, columns = (side["rows"], side["columns"]) if kind == "given" else (LEARNED, LEARNED)
    settings = make_settings(rows, columns)
    model = last(completion_passes(Y, observed, settings, 0.3))
    K, cross = dense_system(model, settings, observed, 0.3)
    Z = (Y - model.baseline.of_rows()) / model.baseline.scale
    f = (cross @ torch.linalg.solve(K, Z[observed])).view_as(Y)
    expected = model.baseline.of_rows() + model.baseline.scale * f
    # tol = 1e-12 on the residual, times a condition number of about 1e2.
    torch.testing.assert_close(model.completed, expected, rtol=0, atol=1e-8)
    assert model.residual <= 1e-12


def test_one_sided_completion_equals_the_loop_over_rows(matrix):
    Y, observed, side = matrix
    settings = make_settings(IDENTITY, side["columns"], standardize=False, depth=1)
    model = last(completion_passes(Y, observed, settings, 0.0))
    theta = fully_connected_ntk(side["columns"].features, depth=1) / 2
    for i in range(len(Y)):
        seen = observed[i].nonzero()[:, 0]
        own = torch.linalg.solve(theta[seen][:, seen], Y[i, seen])
        expected = theta[:, seen] @ own
        torch.testing.assert_close(model.completed[i], expected, rtol=0, atol=1e-10)


def test_given_priors_take_one_pass_and_learned_ones_all(matrix):
    Y, observed, side = matrix
    given = make_settings(side["rows"], side["columns"])
    learned = make_settings(LEARNED, side["columns"], n_passes=4)
    assert len(list(completion_passes(Y, observed, given, 1.0))) == 1
    assert len(list(completion_passes(Y, observed, learned, 1.0))) == 4


@pytest.mark.parametrize("kind", ["learned", "given", "identity"])
def test_hidden_entries_do_not_matter(matrix, kind):
    Y, observed, side = matrix
    rows = {"learned": LEARNED, "given": side["rows"], "identity": IDENTITY}[kind]
    settings = make_settings(rows, LEARNED, tol=1e-6)
    hidden = torch.where(observed, Y, torch.full_like(Y, -1e3))
    a, b = (last(completion_passes(V, observed, settings, 1.0)) for V in (Y, hidden))
    torch.testing.assert_close(a.completed, b.completed, rtol=0, atol=1e-12)


def test_a_new_row_is_a_gauss_seidel_step_of_the_joint_system(matrix):
    # A training row, given back with the others' dual coefficients as solved and its own removed,
    # must be completed exactly as in the joint solution.
    Y, observed, side = matrix
    settings = make_settings(side["rows"], side["columns"])
    model = last(completion_passes(Y, observed, settings, 0.3))
    i = 4
    dual = model.dual.clone()
    dual[i] = 0
    again = complete_new_rows(
        (Y - model.baseline.row[:, None])[i : i + 1],
        observed[i : i + 1],
        model._replace(dual=dual),
        observed.double().mean(0),
        # Offsets of new rows are estimated; here the row's own is taken out beforehand.
        make_settings(side["rows"], side["columns"], standardize=False),
        0.3,
        side["rows"].features[i : i + 1],
    )
    offset = model.baseline.row[i]
    torch.testing.assert_close(again.completed[0] + offset, model.completed[i], rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", ["given", "identity"])
def test_std_of_a_new_row_is_the_gaussian_process_posterior(matrix, kind):
    # Complete training rows: the row-by-row formula is exact, so the dense posterior must agree.
    Y, observed, side = matrix
    rows = side["rows"] if kind == "given" else IDENTITY
    alpha, settings = 0.3, make_settings(rows, side["columns"], standardize=False)
    training = Prior("given", side["rows"].features[1:]) if kind == "given" else rows
    fit_settings = make_settings(training, side["columns"], standardize=False)
    everything = torch.ones_like(observed[1:])
    model = last(completion_passes(Y[1:], everything, fit_settings, alpha))
    features = side["rows"].features[:1] if kind == "given" else None
    new = complete_new_rows(
        Y[:1], observed[:1], model, everything.double().mean(0), settings, alpha, features
    )
    std = completion_std(new, observed[:1], model, everything, fit_settings, alpha)

    if kind == "given":
        R = fully_connected_ntk(side["rows"].features, depth=2) / 3
    else:
        R = torch.eye(len(Y), dtype=torch.float64, device=Y.device)
    full = torch.kron(R, model.column_kernel)
    seen = torch.cat([observed[:1], everything]).flatten()
    K = full[seen][:, seen] + alpha * torch.eye(int(seen.sum()), dtype=Y.dtype, device=Y.device)
    row = full[:9][:, seen]
    variance = full.diagonal()[:9] - (row * torch.linalg.solve(K, row.T).T).sum(1)
    expected = model.baseline.scale * (model.amplitude * (variance + alpha)).sqrt()
    torch.testing.assert_close(std[0], expected, rtol=1e-8, atol=0)


def test_std_of_a_training_row_is_the_gaussian_process_posterior(matrix):
    Y, observed, side = matrix
    alpha, settings = 0.3, make_settings(side["rows"], side["columns"], standardize=False)
    mask = torch.ones_like(observed)
    mask[0] = observed[0]
    model = last(completion_passes(Y, mask, settings, alpha))
    std = completion_std(torch.tensor([0]), mask[:1], model, mask, settings, alpha)
    K, cross = dense_system(model, settings, mask, alpha)
    prior = torch.kron(
        row_kernel(model.row_features, model.gains, settings), model.column_kernel
    ).diagonal()
    variance = prior - (cross * torch.linalg.solve(K, cross.T).T).sum(1)
    expected = model.baseline.scale * (model.amplitude * (variance[:9] + alpha)).sqrt()
    # Row 0 has holes, which only enter through the noise of the *other* rows: their mean share
    # observed is a little below one, so agreement is close but not to rounding.
    torch.testing.assert_close(std[0], expected, rtol=5e-3, atol=0)


def test_rank_reduces_profiles_and_full_rank_changes_nothing(matrix):
    Y, observed, _ = matrix
    whole = last(completion_passes(Y, observed, make_settings(LEARNED, LEARNED), 1.0))
    full = last(completion_passes(Y, observed, make_settings(LEARNED, LEARNED, rank=9), 1.0))
    low = last(completion_passes(Y, observed, make_settings(LEARNED, LEARNED, rank=2), 1.0))
    # A rotation of the profiles leaves their cosines alone. Early passes are in single precision.
    torch.testing.assert_close(whole.completed, full.completed, rtol=0, atol=1e-4)
    assert low.row_features.shape == (15, 2 + 9)
    assert not torch.allclose(whole.completed, low.completed, atol=1e-3)


@pytest.mark.parametrize("kind", ["learned", "given"])
def test_all_rows_as_landmarks_change_nothing(matrix, kind):
    # The approximation error of a partial Cholesky factor with every pivot is rounding, which in
    # the early passes is that of single precision.
    Y, observed, side = matrix
    rows = side["rows"] if kind == "given" else LEARNED
    exact, landmarks = (
        make_settings(rows, LEARNED, n_landmarks=number, tol=1e-10) for number in (None, len(Y))
    )
    a, b = (last(completion_passes(Y, observed, s, 0.3)) for s in (exact, landmarks))
    torch.testing.assert_close(a.completed, b.completed, rtol=0, atol=1e-4)
    assert sorted(b.landmarks.rows.tolist()) == list(range(len(Y)))

    new = (Y[:4] + 0.5, observed[:4])
    share = observed.double().mean(0)
    given = side["rows"].features[:4] if kind == "given" else None
    c, d = (
        complete_new_rows(*new, model, share, settings, 0.3, given)
        for model, settings in ((a, exact), (b, landmarks))
    )
    torch.testing.assert_close(c.completed, d.completed, rtol=0, atol=1e-4)
    for rows_c, rows_d in ((c, d), (torch.arange(4), torch.arange(4))):
        std_c = completion_std(rows_c, new[1], a, observed, exact, 0.3)
        std_d = completion_std(rows_d, new[1], b, observed, landmarks, 0.3)
        torch.testing.assert_close(std_c, std_d, rtol=1e-4, atol=0)


def test_few_landmarks_keep_the_diagonal(matrix):
    Y, observed, _ = matrix
    settings = make_settings(LEARNED, LEARNED, n_landmarks=4)
    Z, _ = standardized(Y, observed, settings)
    model = kernels_from(Z, observed, settings)
    dense = model.R @ torch.eye(len(Y), dtype=Y.dtype, device=Y.device)
    torch.testing.assert_close(dense.diagonal(), model.gains.square(), rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(dense).min() > 0
    assert model.R.factor.shape == (15, 4)
