"""Class statistics of streamed features, beside two passes of NumPy."""

import numpy as np
import pytest

from skoverparam.inspection import ClassStatistics, neural_collapse

N_CLASSES, WIDTH, BATCH, N_BATCHES = 10, 512, 10_000, 100


def batches():
    """A million features in float32; four batches again and again, so that memory is ours."""
    rng = np.random.default_rng(0)
    some = []
    for _ in range(4):
        y = rng.integers(N_CLASSES, size=BATCH)
        H = rng.standard_normal((BATCH, WIDTH)).astype(np.float32)
        H += 3 * np.eye(N_CLASSES, WIDTH, dtype=np.float32)[y]
        some.append((H, y))
    return [some[i % 4] for i in range(N_BATCHES)]


def ours(stream):
    statistics = ClassStatistics(range(N_CLASSES), scatter="none")
    for H, y in stream:
        statistics.update(H, y)
    return neural_collapse(statistics).nc1_ratio


def two_passes(stream):
    sums, counts = np.zeros((N_CLASSES, WIDTH)), np.zeros(N_CLASSES)
    for H, y in stream:
        H = H.astype(np.float64)
        for label in range(N_CLASSES):
            sums[label] += H[y == label].sum(0)
        counts += np.bincount(y, minlength=N_CLASSES)
    means = sums / counts[:, None]
    squares = np.zeros(N_CLASSES)
    for H, y in stream:
        R = H.astype(np.float64) - means[y]
        squares += np.bincount(y, np.einsum("ij,ij->i", R, R), minlength=N_CLASSES)
    between = ((means - means.mean(0)) ** 2).sum(1).mean()
    return (squares / counts).mean() / between


CONTENDERS = {"ours": ours, "NumPy, two passes": two_passes}


@pytest.mark.parametrize("contender", CONTENDERS)
def test_a_million_features(measure, contender):
    task = "a million features of dimension 512, streamed: traces and means"
    measure(task, contender, CONTENDERS[contender], batches())
    measure.note(nc1_ratio=CONTENDERS[contender](batches()[:4]))
