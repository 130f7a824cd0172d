"""
=============================================
What a filter learns: the signal or the noise
=============================================

Gradient descent adds multiples of training patches to the filters, so that every filter is,
exactly, its initial value plus a share of the signal plus shares of the noise of each sample.
Following the coefficients shows why the same network, on the same kind of data, ends so
differently.
"""

# %%
# Two data sets that differ by the strength of the signal only, 20 samples each, and the same
# initial filters. ``track`` keeps coefficients along the way.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches
from skoverparam.theory import signal_noise_phase

n, d = 20, 400
classifier = TwoLayerCNNClassifier(
    init_scale=0.01, learning_rate=0.5 / d, max_iter=5000, track=5, random_state=0
)
figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained", sharex="col")
for (top, bottom), strength in zip(axes.T, (4.0, 16.0), strict=True):
    data = {"n": n, "d": d, "signal": strength}
    X, y, truth = make_signal_noise_patches(**data, random_state=0)
    X_test, y_test, _ = make_signal_noise_patches(**{**data, "n": 2000}, random_state=1)
    classifier.fit(X, y)
    parts = classifier.signal_noise_decomposition(truth.signal, history=True)
    steps = classifier.history_["step"]

    top.plot(steps, parts.max_rho, color="C1", linewidth=0.7, alpha=0.7)
    top.plot([], [], color="C1", label="noise of each sample")
    top.plot(steps, parts.max_gamma, color="C0", linewidth=2)
    top.plot([], [], color="C0", linewidth=2, label="signal, both classes")
    phase = signal_noise_phase(n, d, strength, init_scale=0.01, learning_rate=0.5 / d)
    for when, color in ((phase.signal_time, "C0"), (phase.noise_time, "C1")):
        if when < steps[-1]:
            top.axvline(when, color=color, linestyle=":")
    accuracy = classifier.score(X_test, y_test)
    top.set(title=f"signal {strength:g}: test accuracy {accuracy:.2f}", ylabel="coefficient")
    top.legend(frameon=False, loc="upper left")

    losses = np.array(classifier.loss_curve_)
    bottom.plot(losses, color="k", label="training loss")
    bottom.axhline(np.log(2), color="0.6", linestyle="--", linewidth=1)
    bottom.set(xlabel="steps", ylabel="loss", ylim=(0, 0.8))
    f = classifier.decision_function(X_test)
    bottom.plot(
        len(losses) - 1, np.logaddexp(0, -y_test * f).mean(), "o", label="test loss, at the end"
    )
    bottom.legend(frameon=False, loc="lower left")
    print(
        f"signal {strength:<4g} n SNR^q {phase.n_snr_q:.2f}: {classifier.n_iter_} steps, training "
        f"loss {losses[-1]:.3f}, largest coefficients of signal {parts.max_gamma[-1].max():.3f}, "
        f"of noise {parts.max_rho[-1].max():.3f}"
    )
plt.show()

# %%
# On the left the noise of each sample is memorized, one after the other, and the signal is not
# learned at all: new samples excite nothing and their loss is that of a coin. On the right both
# classes find the signal first, which fits all samples at once and leaves little loss for the
# noise to feed on. Dotted lines are the times at which theory sees the best typical filter take
# off.
#
# The decomposition is not an approximation.

parts = classifier.signal_noise_decomposition(truth.signal)
print(f"relative error of the filters put together again: {parts.reconstruction_error:.1e}")
print(
    f"cosine between the best filter of a class and its signal: {parts.alignment.max(1).round(3)}"
)
