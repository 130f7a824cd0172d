"""The phase transition of arXiv:2202.06526, against an independent simulation and a dense loop.

    python benchmarks/acceptance_two_layer_cnn.py [accuracy] [speed]

accuracy: heat maps with q = 3, ten filters, sigma_p = 1, sigma_0 = 0.01, loss 0.01, beside the
test accuracies of another program that drew the same numbers. speed: the map with eight trials in
each cell beside training the same networks one after the other with torch's autograd and SGD.
"""

import sys
import time

import numpy as np
import torch

from skoverparam import TwoLayerCNNClassifier
from skoverparam.datasets import make_signal_noise_patches
from skoverparam.model_selection import phase_transition_map
from skoverparam.theory import signal_noise_phase

DIMS = (100, 200, 400, 600, 800, 1000)
SIGNALS = (3, 5, 7, 9, 11, 13, 15)
SEEDS = (7, 1007, 2007, 3007)

# Mean test accuracies of four trials with 20 samples.
MAP_A = np.array(
    [
        [0.50, 0.50, 0.50, 0.50, 0.49, 0.51],
        [0.88, 0.57, 0.50, 0.50, 0.49, 0.51],
        [1.0, 0.93, 0.52, 0.54, 0.50, 0.51],
        [1.0, 1.0, 0.77, 0.75, 0.52, 0.51],
        [1.0, 1.0, 0.94, 1.0, 0.70, 0.58],
        [1.0, 1.0, 1.0, 1.0, 0.93, 0.71],
        [1.0, 1.0, 1.0, 1.0, 0.98, 0.86],
    ]
)
# With 80 samples: first signal with accuracy of at least 0.9, last one with less than 0.6.
MAP_B = {"first": (4, 5, 7, 9, 9, 11), "last": (2, 3, 5, 5, 7, 8)}


def cell(signal, d, seed, n=20, n_test=1000):
    """Data and initial filters, drawn in the order of the other program."""
    rng = np.random.default_rng(seed)
    settings = {"signal": signal, "position": "first", "random_state": rng}
    X, y, _ = make_signal_noise_patches(n, d, **settings)
    W = 0.01 * rng.standard_normal((2, 10, d))
    X_test, y_test, _ = make_signal_noise_patches(n_test, d, **settings)
    return (X, y, W[::-1].copy()), (X_test, y_test)


def heat_map(signals, n, seeds):
    """Mean test accuracies, a batch for each column."""
    classifier = TwoLayerCNNClassifier(max_iter=20_000)
    columns, unfitted = [], 0
    for d in DIMS:
        cells = [cell(signal, d, seed, n) for signal in signals for seed in seeds]
        fitted = classifier.fit_many([train for train, _ in cells])
        unfitted += sum(not one.converged_ or one.train_accuracy_ < 1 for one in fitted)
        scores = [one.score(*test) for one, (_, test) in zip(fitted, cells, strict=True)]
        columns.append(np.reshape(scores, (len(signals), -1)).mean(1))
    print(f"{n} samples: {unfitted} networks without training accuracy 1 and loss 0.01")
    return np.array(columns).T


def accuracy():
    """Compare both maps."""
    found = heat_map(SIGNALS, 20, SEEDS)
    phase = signal_noise_phase(20, np.array(DIMS), np.array(SIGNALS)[:, None])
    band = (phase.n_snr_q > 0.5) & (phase.n_snr_q < 5)
    off = np.abs(found - MAP_A)
    print("map A, 20 samples, 4 trials: test accuracy, boundary of theory at signals")
    print(found.round(2), phase.boundary[0].round(1))
    print(f"largest difference {off.max():.3f}; outside of the band {off[~band].max():.3f}")
    print(f"cells off by more than 0.06: {(off > 0.06).sum()}, by 0.15: {(off > 0.15).sum()}")
    signals = np.arange(2, 15)
    found = heat_map(signals, 80, SEEDS[:2])
    first = tuple(signals[np.argmax(column >= 0.9)] for column in found.T)
    last = tuple(signals[np.flatnonzero(column < 0.6)[-1]] for column in found.T)
    print("map B, 80 samples, 2 trials")
    print(f"first signal with 0.9: {[int(s) for s in first]}, expected {MAP_B['first']}")
    print(f"last signal below 0.6: {[int(s) for s in last]}, expected {MAP_B['last']}")


class Network(torch.nn.Module):
    """What one writes by hand."""

    def __init__(self, d, n_filters=10, q=3):
        super().__init__()
        self.W = torch.nn.Parameter(0.01 * torch.randn(2 * n_filters, d, dtype=torch.float64))
        self.q = q

    def forward(self, patches):
        """Return f for patches of shape (n, 2, d)."""
        n_filters = len(self.W) // 2
        z = torch.relu(patches @ self.W.T).pow(self.q).sum(1)
        return (z[:, :n_filters].sum(1) - z[:, n_filters:].sum(1)) / n_filters


def dense(signal, d, seed, max_iter=20_000):
    """Train one cell as one would by hand; seconds, steps and test accuracy."""
    torch.manual_seed(seed)
    X, y, _ = make_signal_noise_patches(20, d, signal, random_state=seed)
    X_test, y_test, _ = make_signal_noise_patches(1000, d, signal, random_state=seed + 1)
    patches, labels = torch.from_numpy(X).reshape(20, 2, d), torch.from_numpy(y)
    network = Network(d)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5 / max(signal**2, d))
    start = time.perf_counter()
    step = 0
    while step < max_iter:
        optimizer.zero_grad()
        loss = torch.nn.functional.softplus(-labels * network(patches)).mean()
        if loss.item() <= 0.01:
            break
        loss.backward()
        optimizer.step()
        step += 1
    seconds = time.perf_counter() - start
    with torch.no_grad():
        f = network(torch.from_numpy(X_test).reshape(1000, 2, d)).numpy()
    return seconds, step, np.mean(np.sign(f) == y_test)


def speed(n_trials=8, stride=4):
    """Time the map; time some of the dense cells, in the same run, and scale them up by number."""
    settings = {"signals": SIGNALS, "dims": DIMS, "n_samples": 20, "n_trials": n_trials}
    classifier = TwoLayerCNNClassifier(init_scale=0.01, max_iter=20_000)
    n_cells = n_trials * len(SIGNALS) * len(DIMS)
    start, busy = time.perf_counter(), time.process_time()
    found = phase_transition_map(
        classifier, make_signal_noise_patches, n_jobs=2, random_state=0, **settings
    )
    ours, ours_busy = time.perf_counter() - start, time.process_time() - busy
    print(f"map of {n_cells} networks: {ours:.1f} s, drawing, training and scoring; ", end="")
    print(f"{ours_busy:.1f} s of the processors")
    print(found.median.round(2))
    # Every fourth cell: all dimensions, and all signals.
    cells = [(signal, d) for d in DIMS for signal in SIGNALS][::stride]
    torch.set_num_threads(1)  # two only get in each other's way: steps of microseconds
    busy = time.process_time()
    timed = [dense(signal, d, seed=k) for k, (signal, d) in enumerate(cells)]
    busy = time.process_time() - busy
    print("dense cells, (signal, d), seconds, steps, microseconds a step:")
    for one, (seconds, steps, _) in zip(cells, timed, strict=True):
        print(f"  {one}: {seconds:.2f} s, {steps}, {1e6 * seconds / steps:.0f}")
    seconds, steps = sum(t[0] for t in timed), sum(t[1] for t in timed)
    theirs = n_cells * seconds / len(timed)
    print(
        f"mean of {len(timed)} cells {seconds / len(timed):.2f} s and {steps / len(timed):.0f} "
        f"steps: {theirs:.0f} s for {n_cells}, training alone; {theirs / ours:.0f}x ours"
    )
    theirs_busy = n_cells * busy / len(timed)
    print(f"of the processors: {theirs_busy:.0f} s, {theirs_busy / ours_busy:.0f}x ours")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("accuracy", "speed"):
        {"accuracy": accuracy, "speed": speed}[name]()
