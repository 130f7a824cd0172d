r"""
=============================================
When Polyak's step is quadratic, and when not
=============================================

Under interpolation the least value of every batch's loss is known: zero. The step
:math:`(f - f^*) / (c \|\nabla f\|^2)` of Polyak needs nothing else, and
:class:`skoverparam.optim.PolyakSGD` takes it. The constant c decides more than a speed.
"""

# %%
# One residual: c = 1/2 squares, c = 1 halves
# -------------------------------------------
# The loss is the square of one smooth residual of fifty weights. The textbook has c = 1: it
# follows the tangent of the loss down to zero. But a square is flat at zero, its tangent gets half
# the way there, and the residual is halved in each step. With c = 1/2 the step is Newton's.

import matplotlib.pyplot as plt
import torch

from skoverparam.inspection import ConvergenceDisplay
from skoverparam.linalg import convergence_order
from skoverparam.optim import GaussNewtonSGD, PolyakSGD


def problem(n, seed=0):
    """Residuals of n samples that vanish together at a point, and a start near it."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": torch.float64}
    A, B = torch.randn(n, 50, **draw) / 50**0.5, torch.randn(n, 50, **draw) / 50**0.5
    target = 0.5 * torch.randn(50, **draw)
    start = target + 0.2 * torch.randn(50, **draw)
    y = torch.tanh(A @ target) + 0.5 * (B @ target) ** 2
    w = torch.nn.Parameter(start)
    return (lambda: torch.tanh(A @ w) + 0.5 * (B @ w) ** 2 - y), w


def descend(residuals, optimizer, n_steps, batches=(slice(None),)):
    """Norm of all residuals before each step, or each pass over the batches."""
    norms = []
    for _ in range(n_steps):
        norms.append(float(residuals().detach().norm()))
        for batch in batches:
            if isinstance(optimizer, GaussNewtonSGD):
                optimizer.step(lambda batch=batch: residuals()[batch])
                continue
            optimizer.zero_grad()
            loss = residuals()[batch].square().sum()
            loss.backward()
            optimizer.step(loss=loss)
    return norms


errors = {}
for c in (2.0, 1.0, 0.5, 0.3):
    residuals, w = problem(1)
    errors[f"c = {c}"] = descend(residuals, PolyakSGD([w], c=c), 25)
display = ConvergenceDisplay.from_errors(errors)
display.ax_[0].set(ylim=(1e-17, 2), title="One residual")
plt.show()

for name, norms in errors.items():
    fit = convergence_order(norms)
    print(f"{name}: order {fit.order:.2f}, constant {fit.constant:.2f}")

# %%
# Near the solution a step multiplies the residual by 1 - 1 / (2 c): three quarters, one half,
# nothing, and minus two thirds. For losses that grow like another power p of the residual, the
# quadratic one is c = 1 / p.
#
# Ten residuals: one step cannot serve all
# ----------------------------------------
# One number is not the inverse of a matrix of curvatures: with ten residuals in the loss Polyak's
# step is linear, and so it is with one residual at a time.
# :class:`skoverparam.optim.GaussNewtonSGD` solves with the tangent kernel of the batch, ten by
# ten, and is quadratic if the batch holds all samples. Its batches of two are linear again: each
# undoes a little of what the others did.

errors = {}
residuals, w = problem(10)
errors["Polyak, all"] = descend(residuals, PolyakSGD([w]), 40)
singles = [slice(i, i + 1) for i in range(10)]
residuals, w = problem(10)
errors["Polyak, one at a time"] = descend(residuals, PolyakSGD([w]), 40, singles)
pairs = [slice(i, i + 2) for i in range(0, 10, 2)]
residuals, w = problem(10)
errors["Gauss-Newton, two"] = descend(residuals, GaussNewtonSGD([w]), 20, pairs)
residuals, w = problem(10)
errors["Gauss-Newton, all"] = descend(residuals, GaussNewtonSGD([w]), 6)
display = ConvergenceDisplay.from_errors(errors, below=0.6)
display.ax_[0].set(ylim=(1e-16, 2), xlabel="pass over the samples", title="Ten residuals")
plt.show()

# %%
# With noise, say so
# ------------------
# If the least loss is not zero, the step grows without bound as the gradient vanishes. Twenty
# noisy targets of a line: with the true least loss as ``f_star`` it converges, as exactly as a
# difference of losses can be known; with zero it is thrown about, unless ``lr_max`` bounds the
# step, and then it is descent with a constant step.

generator = torch.Generator().manual_seed(1)
x = torch.linspace(-1, 1, 20, dtype=torch.float64)
X = torch.stack([torch.ones_like(x), x], 1)
y = 1 + 2 * x + 0.5 * torch.randn(20, generator=generator, dtype=torch.float64)
best = torch.linalg.lstsq(X, y[:, None]).solution[:, 0]
least = float((X @ best - y).square().mean())

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
settings = {
    "f_star: the least loss": {"f_star": least},
    "f_star = 0, lr_max = 0.4": {"lr_max": 0.4},
    "f_star = 0": {},
}
for label, options in settings.items():
    w = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer, distances = PolyakSGD([w], **options), []
    for _ in range(40):
        distances.append(float((w.detach() - best).norm()))
        optimizer.zero_grad()
        loss = (X @ w - y).square().mean()
        loss.backward()
        optimizer.step(loss=loss)
    ax.semilogy(distances, label=label)
ax.set(xlabel="step", ylabel="distance from least squares", title="Targets with noise")
ax.legend(frameon=False)
plt.show()
