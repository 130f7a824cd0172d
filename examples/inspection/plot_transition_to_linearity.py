"""
=======================================
When wide networks are linear, and when
=======================================

As a network grows wide its Hessian vanishes, its tangent kernel freezes, and training it is
training a linear model. Not every network: a non-linear output or a narrow layer keeps the Hessian
and the motion of the kernel at any width, and gradient descent reaches zero loss all the same
(`arXiv:2010.01092 <https://arxiv.org/abs/2010.01092>`_).
"""

# %%
# The Hessian over the width
# --------------------------
# Networks with one hidden layer in the tangent parametrization, and one with a hidden layer of
# width one between two wide ones. :func:`~skoverparam.inspection.width_sweep` computes the
# spectral norm of the second derivatives by all parameters, and fits slopes in logarithms.

import matplotlib.pyplot as plt
import numpy as np
import torch

from skoverparam.inspection import (
    NTKMLP,
    LinearityDisplay,
    TangentKernelRecorder,
    linearize,
    pl_star_constant,
    width_sweep,
)

torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(7)
X = rng.standard_normal((20, 10))
X *= np.sqrt(10) / np.linalg.norm(X, axis=1, keepdims=True)
y = 0.5 * np.sign(rng.standard_normal(20))


def linear_output(width, seed):
    return NTKMLP(10, [width], output_layer="signs", random_state=seed)


def swish_output(width, seed):
    return NTKMLP(10, [width], "tanh", "swish", random_state=seed)


def tanh_output(width, seed):
    return NTKMLP(10, [width], "tanh", "tanh", random_state=seed)


def bottleneck(width, seed):
    return NTKMLP(10, [width, 1, width], random_state=seed)


figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
widths = [64, 256, 1024]
for k, (name, factory) in enumerate(
    {
        "linear output": linear_output,
        "swish output": swish_output,
        "bottleneck": bottleneck,
    }.items()
):
    few = [width // 4 for width in widths] if factory is bottleneck else widths
    sweep = width_sweep(
        factory, few, X[:1], n_seeds=10 if factory is bottleneck else 4, random_state=0
    )
    LinearityDisplay.from_sweep(sweep, ax=ax, name=name, reference=k == 0)
    slope, error = sweep.slopes["hessian_norm"], sweep.standard_errors["hessian_norm"]
    print(f"Hessian, {name}: slope {slope:.2f} +- {error:.2f}")
ax.set_title("Second derivatives")
plt.show()

# %%
# The kernel freezes, or does not
# -------------------------------
# The same networks, trained on twenty samples by gradient descent until half the sum of squared
# errors is a thousandth. Theory bounds the change of the kernel by a multiple of
# :math:`m^{-1/2}`; it falls faster, like 1/m, as at random weights its first-order part averages
# out over neurons. A bottleneck of one neuron is a matter of luck: its slope has a large error.

figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
for k, (name, factory) in enumerate(
    {"linear output": linear_output, "tanh output": tanh_output}.items()
):
    sweep = width_sweep(
        factory,
        [64, 512],
        X,
        y,
        quantities=["kernel_change"],
        n_seeds=2,
        loss=1e-3,
        random_state=0,
    )
    LinearityDisplay.from_sweep(sweep, ax=ax, name=name, reference=k == 0)
    slope, error = sweep.slopes["kernel_change"], sweep.standard_errors["kernel_change"]
    print(f"kernel change, {name}: slope {slope:.2f} +- {error:.2f}")
ax.set_title("Tangent kernel in training")
plt.show()

# %%
# A finite network against its own linearization
# ----------------------------------------------
# :func:`~skoverparam.inspection.linearize` expands a network where it starts; any torch optimizer
# trains both. In a wide network the two stay together and below the geometric bound of the PL*
# constant. In a narrow one with a tanh output they part, and both learn.

figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
samples, targets = torch.as_tensor(X), torch.as_tensor(y)[:, None]
networks = {
    "width 1024, linear output": linear_output(1024, 0),
    "width 32, tanh output": tanh_output(32, 0),
}
for ax, (name, network) in zip(axes, networks.items(), strict=True):
    constant = pl_star_constant(network, X, y)
    bound = constant.loss_bound(150)
    for label, model in {"its linearization": linearize(network), "network": network}.items():
        recorder = TangentKernelRecorder(model, X, every=50)
        optimizer = torch.optim.SGD(model.parameters(), lr=1 / constant.beta)
        optimizer.register_step_post_hook(recorder)
        losses = []
        for _ in range(151):
            optimizer.zero_grad()
            loss = (model(samples) - targets).square().sum() / 2
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
        moved = recorder.record().change[-1]
        print(f"{name}, {label}: loss {losses[-1]:.1e}, kernel moved by {moved:.1%}")
        style = "-" if label == "network" else "--"
        ax.semilogy(losses, style, label=f"{label}: kernel moved by {moved:.1%}")
    ax.semilogy(bound, ":", color="0.5", label="bound by the first PL* constant")
    ax.set(xlabel="steps of gradient descent", title=name)
    ax.legend(frameon=False)
axes[0].set_ylabel("half the sum of squared errors")
plt.show()
