"""
===============================================
Initial filters that destroy benign overfitting
===============================================

Benign overfitting needs small initial filters. Large ones fit the training data at once, before
any feature is learned, and what they were at random is never forgotten.
"""

# %%
# The signal is strong enough here, :math:`n\,\mathrm{SNR}^3` above 4. All networks are trained to
# the same training loss, on the same eight data sets; only the scale :math:`\sigma_0` of the
# initial filters differs. They are trained together: hyper-parameters may differ within a batch.

import matplotlib.pyplot as plt
import numpy as np

from skoverparam import TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches

n, d, strength, trials = 20, 400, 12.0, 8
scales = np.geomspace(0.004, 0.3, 10)
sets = [make_signal_noise_patches(n, d, strength, random_state=k)[:2] for k in range(trials)]
cells = [(scale, trial) for scale in scales for trial in range(trials)]
classifier = TwoLayerCNNClassifier(n_filters=16, max_iter=20_000)
fitted = classifier.fit_many(
    [sets[trial] for _, trial in cells],
    parameters=[{"init_scale": scale, "random_state": trial} for scale, trial in cells],
)
X_test, y_test, truth = make_signal_noise_patches(2000, d, strength, random_state=99)


def over_trials(values):
    """One row for each scale."""
    return np.reshape(values, (len(scales), trials))


accuracy = over_trials([one.score(X_test, y_test) for one in fitted])
loss = over_trials(
    [np.logaddexp(0, -y_test * one.decision_function(X_test)).mean() for one in fitted]
)
steps = over_trials([one.n_iter_ for one in fitted])
aligned = over_trials(
    [one.signal_noise_decomposition(truth.signal).alignment.max(1).min() for one in fitted]
)
print(f"training accuracy of all: {min(one.train_accuracy_ for one in fitted)}")

# %%
# In units of a noise patch's norm, :math:`\sigma_0 \sigma_p \sqrt d`, the break is near one: from
# there on random filters respond to a patch as strongly as trained ones.

x = scales * np.sqrt(d)
figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
panels = (
    (accuracy, "test accuracy", "linear"),
    (loss, "test loss", "log"),
    (steps, "steps to a training loss of 0.01", "log"),
)
for ax, (values, name, scale) in zip(axes, panels, strict=True):
    ax.plot(x, values, color="C0", alpha=0.25, linewidth=0.8)
    ax.plot(x, np.median(values, axis=1), color="C0", linewidth=2)
    ax.set(xscale="log", yscale=scale, xlabel=r"$\sigma_0 \sigma_p \sqrt{d}$", title=name)
    ax.axvline(0.2, color="0.6", linestyle=":", linewidth=1)
axes[1].axhline(np.log(2), color="0.6", linestyle="--", linewidth=1)
plt.show()
for k in (0, 4, 9):
    print(
        f"scale {x[k]:.2f}: accuracy {np.median(accuracy[k]):.2f}, "
        f"loss {np.median(loss[k]):.2f}, steps {np.median(steps[k]):.0f}, "
        f"cosine of the best filter with the signal {np.median(aligned[k]):.2f}"
    )

# %%
# The price of small filters is patience: the smaller they are, the longer nothing seems to happen.
# ``init_scale="auto"`` is 0.2 over the median norm of the patches, about at the dotted line.
