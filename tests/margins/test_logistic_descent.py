"""Gradient descent on the logistic loss, against autodiff and its limit."""

import numpy as np
import torch

from skoverparam.margins._constraints import Constraints, Points
from skoverparam.margins._hard_margin import hard_margin
from skoverparam.margins._logistic_descent import logistic_descent


def path(n=50, d=300, seed=0, max_iter=2000):
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.choice([-1.0, 1.0], n))
    X = torch.from_numpy(rng.normal(size=(n, d)))
    X[:, 0] += 2 * y
    best = hard_margin(
        Constraints(Points(X=X), y[:, None], None, False), solver="auto", tol=1e-10, max_iter=100
    )
    margins = X.new_tensor([best.margin])
    steps = logistic_descent(X, y[None], (y * best.weights)[None], margins, max_iter=max_iter)
    return X, y, best, steps


def test_a_step_is_that_of_autodiff():
    X, y, _, steps = path(max_iter=5)
    rate = 4 / torch.linalg.matrix_norm(X, ord=2) ** 2
    w = torch.zeros(300, dtype=torch.float64, requires_grad=True)
    for step in steps:
        loss = torch.nn.functional.softplus(-y * (X @ w)).sum()
        (gradient,) = torch.autograd.grad(loss, w)
        w = (w - rate * gradient).detach()
        torch.testing.assert_close((step.dual @ X)[0], w, rtol=1e-10, atol=1e-14)
        after = torch.nn.functional.softplus(-y * (X @ w)).mean()
        w.requires_grad_()
        assert abs(step.loss - float(after)) <= 1e-12


def test_direction_and_margin_converge_slowly_from_below():
    _, _, best, steps = path()
    losses, ratios, cosines = [], [], []
    for step in steps:
        losses.append(step.loss)
        ratios.append(step.margin_ratio)
        cosines.append(step.cosine)
    assert all(later <= earlier for earlier, later in zip(losses, losses[1:], strict=False))
    assert max(ratios) <= 1 + 1e-12
    assert max(cosines) <= 1 + 1e-12
    # At 1 / log t: nearer with every decade, and still percents away.
    assert ratios[19] < ratios[199] < ratios[1999]
    assert 0.9 < ratios[1999] < 0.999
    assert cosines[1999] > 0.99
    assert step.margin == step.margin_ratio * best.margin
