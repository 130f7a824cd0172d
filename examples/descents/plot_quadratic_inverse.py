"""
===============================================
Descent that doubles the right digits each time
===============================================

Gradient descent converges linearly: each step takes a fixed part of the error away. With a step
that is taken from the iterate itself it can square the error instead, even if each step sees one
column of the problem only. arXiv:2112.14872 shows this for problems such as the inversion of a
matrix; the formulas and figures here are our own.
"""

# %%
# Newton-Schulz is gradient descent
# ---------------------------------
# The inverse of a positive definite matrix A minimizes the energy tr(W' A W) / 2 - tr(W), whose
# gradient is A W - I. Constant steps contract by a factor that the condition number sets. The best
# matrix to multiply the gradient with would be the inverse itself; as it is not known yet, take
# the best guess there is, the iterate. That is the iteration of Newton and Schulz.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam.inspection import ConvergenceDisplay
from skoverparam.linalg import convergence_order, newton_schulz_inverse, sgd_inverse

rng = np.random.default_rng(0)
G = rng.normal(size=(20, 20)) / np.sqrt(20) + 2 * np.eye(20)
A = G @ G.T
eigenvalues = np.linalg.eigvalsh(A)
W0 = A / (np.abs(A).sum(axis=0).max() * np.abs(A).sum(axis=1).max())


def descend(step_of, n_steps):
    W, errors = W0.copy(), []
    for _ in range(n_steps):
        gradient = A @ W - np.eye(20)
        errors.append(np.linalg.norm(gradient))
        W = W - step_of(W) @ gradient
    return np.array(errors)


best_constant = 2 / (eigenvalues[0] + eigenvalues[-1]) * np.eye(20)
constant = descend(lambda W: best_constant, 120)
iterate = descend(lambda W: W, 16)
_, info = newton_schulz_inverse(A, W0)
print("the same errors:", np.allclose(iterate, info.errors[:16], rtol=1e-6, atol=1e-12))

display = ConvergenceDisplay.from_errors({"best constant step": constant, "the iterate": iterate})
display.ax_[0].set(xlim=(-1, 60), ylim=(1e-16, 10), title="Error per step")
display.ax_[1].set(title="Error over the error before")
plt.show()

# %%
# The price is the first phase. From a small start every singular value has to double its way up,
# which takes about twice the binary logarithm of the condition number; then a handful of steps
# gives all digits that a factorization gives.

figure, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
U, V = (np.linalg.qr(rng.normal(size=(50, 50)))[0] for _ in range(2))
for condition in (1e1, 1e3, 1e6, 1e9):
    matrix = (U * np.geomspace(1, 1 / condition, 50)) @ V.T
    _, info = newton_schulz_inverse(matrix)
    direct = np.linalg.norm(np.eye(50) - matrix @ np.linalg.inv(matrix))
    (line,) = ax.semilogy(info.errors, ".-", label=f"condition {condition:.0e}")
    ax.axhline(direct, color=line.get_color(), linestyle=":", linewidth=1)
ax.set(xlabel="iteration", ylabel="error", title="Dotted: what a factorization reaches")
ax.legend(frameon=False)
plt.show()

# %%
# Quadratic per epoch
# -------------------
# Now stochastic gradients: a sample is a column of the identity, and a step corrects the same
# column of the inverse, by gradient descent on least squares with the step W W'. For any order of
# the columns an epoch squares the error. Two things take that away. Drawing columns with
# replacement leaves some unvisited, and they hold their errors: the rate is per visit of all.
# Taking random directions instead of columns is linear for good, because the corrections of
# different directions undo one another.

A = G
W, info = newton_schulz_inverse(A, tol=0.3)
errors = {
    "full gradient": sgd_inverse(A, W, order="cyclic", step="frozen")[1],
    "reshuffled": sgd_inverse(A, W, random_state=0)[1],
    "drawn": sgd_inverse(A, W, order="iid", random_state=0)[1],
}
directions = [np.linalg.norm(np.eye(20) - A @ W)]
for _ in range(12):
    for _ in range(20):
        x = rng.normal(size=20)
        W = W + np.outer(W @ (W.T @ (A.T @ (x - A @ (W @ x)))), x) / (x @ x)
    directions.append(np.linalg.norm(np.eye(20) - A @ W))
errors["random directions"] = np.array(directions)

display = ConvergenceDisplay.from_errors(errors)
display.ax_[0].set(ylim=(1e-16, 1), xlabel="epoch")
display.ax_[1].set(xlabel="error", ylabel="error after an epoch")
plt.show()

for name, one in errors.items():
    fit = convergence_order(getattr(one, "errors", one))
    print(f"{name}: order {fit.order:.2f}, constant {fit.constant:.2f}")
