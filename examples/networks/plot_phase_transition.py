"""
===================================================
Benign or harmful: the phase diagram of overfitting
===================================================

A two-layer convolutional network fits its training data perfectly, always. Whether it predicts
anything is decided by the signal-to-noise ratio, and suddenly: theory
(`arXiv:2202.06526 <https://arxiv.org/abs/2202.06526>`_) says that overfitting is benign where
:math:`n\\,\\mathrm{SNR}^q` is large and harmful where it is small. Here is the map.
"""

# %%
# Signal against dimension
# ------------------------
# Every sample has two patches: the signal, with the sign of the label, and Gaussian noise. Each
# cell below is eight networks, trained by gradient descent on 20 samples of their own to the same
# training loss. All of them, a few hundred, are trained at once. (Rarely a sample excites none of
# its class's filters at the start; its network never gets there, and says so by a warning.)

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skoverparam import TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches
from skoverparam.model_selection import PhaseTransitionDisplay, phase_transition_map
from skoverparam.theory import signal_noise_phase

warnings.simplefilter("ignore", ConvergenceWarning)
classifier = TwoLayerCNNClassifier(init_scale=0.01, max_iter=8000)
start = time.perf_counter()
found = phase_transition_map(
    classifier,
    make_signal_noise_patches,
    signals=np.arange(3.0, 16, 1.5),
    dims=[100, 200, 300, 400, 500, 600],
    n_trials=8,
    n_test=250,
    random_state=0,
)
print(f"{found.scores.size} networks in {time.perf_counter() - start:.0f} s")
print(f"mean training accuracy {found.train_scores.mean():.4f}")

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
PhaseTransitionDisplay.from_map(found, ax=left)
PhaseTransitionDisplay.from_map(found, ax=right, threshold=0.75)
left.set_title("Test accuracy, median of 8")
right.set_title("At least 0.75")
plt.show()

# %%
# The solid curve has no free parameter. While the loss is still at its first value, a filter's
# inner product with the signal and that with the noise of a sample each obey an equation that
# blows up in finite time, and the two times are equal where :math:`n\,\mathrm{SNR}^q = 2`.

column = list(found.dims).index(400)
print("d = 400:")
print(f"  boundary of theory at a signal of {found.theory_curve(2.0)[column]:.2f}")
print(f"  accuracy crosses 0.75 at          {found.crossing(0.75)[column]:.2f}")
phase = signal_noise_phase(20, 400, [4.0, 20.0], init_scale=0.01)
print(f"  steps of signal and noise for a signal of 4:  {phase.signal_time[0]:.0f}, ", end="")
print(f"{phase.noise_time[0]:.0f}")
print(f"  steps of signal and noise for a signal of 20: {phase.signal_time[1]:.0f}, ", end="")
print(f"{phase.noise_time[1]:.0f}")

# %%
# Signal against samples
# ----------------------
# The signal is shared by all samples and the noise is not: more samples move the boundary down,
# like :math:`n^{-1/q}`.

samples = [10, 20, 30, 40]
over_samples = phase_transition_map(
    classifier,
    make_signal_noise_patches,
    signals=np.arange(3.0, 15, 1.5),
    dims=400,
    n_samples=samples,
    n_trials=4,
    n_test=250,
    random_state=0,
)
display = PhaseTransitionDisplay.from_map(over_samples, statistic="mean")
display.ax_.set_title("d = 400, mean test accuracy of 4")
plt.show()
print("n:                 ", samples)
print("accuracy 0.75 at:  ", over_samples.crossing(0.75).round(1).tolist())
print("boundary of theory:", over_samples.theory_curve(2.0).round(1).tolist())
