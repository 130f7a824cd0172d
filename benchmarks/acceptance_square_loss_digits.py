"""The square loss on handwritten digits and on many classes: prints the tables to judge it by.

    python benchmarks/acceptance_square_loss_digits.py [losses] [classes] [calibration]

- losses: test accuracy of square loss and cross-entropy over learning rates, five seeds;
- classes: 100 and 1000 classes with k and M given and chosen;
- calibration: expected calibration error, log loss and Brier score by temperature.

Nothing but scikit-learn's bundled digits and generated data is needed.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skoverparam import SquareLossNetClassifier


def halves_of_digits(seed):
    """Stratified halves of the digits, the training mean subtracted."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(
        X / 16, y, test_size=0.5, stratify=y, random_state=seed
    )
    mean = X.mean(0)
    return (X - mean).astype(np.float32), y, (X_test - mean).astype(np.float32), y_test


def clusters(n_classes, n_train, n_test, noise, seed):
    """Classes of two Gaussian clusters each in 64 dimensions, centers of length about 1.5."""
    rng = np.random.RandomState(seed)
    centers = 1.5 * rng.normal(size=(n_classes, 2, 64)) / 8

    def draw(n):
        y = np.repeat(np.arange(n_classes), n)
        which = rng.randint(2, size=len(y))
        X = centers[y, which] + noise * rng.normal(size=(len(y), 64))
        return X.astype(np.float32), y

    return *draw(n_train), *draw(n_test)


def expected_calibration_error(p, y, n_bins=15):
    """Mean distance of confidence and accuracy, over bins of confidence."""
    confidence, right = p.max(1), p.argmax(1) == y
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = [
        np.abs(confidence[bins == b].mean() - right[bins == b].mean()) * np.mean(bins == b)
        for b in np.unique(bins)
    ]
    return float(np.sum(gaps))


def score(data, **parameters):
    """Test accuracy, or NaN where training diverged or all units died."""
    X, y, X_test, y_test = data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return SquareLossNetClassifier(**parameters).fit(X, y).score(X_test, y_test)
        except FloatingPointError:
            return np.nan


def losses(n_seeds=5):
    rows = [
        ("cross-entropy, SGD 0.3", {"loss": "cross-entropy"}, 0.3),
        ("cross-entropy, SGD 0.1", {"loss": "cross-entropy"}, 0.1),
        ("cross-entropy, SGD 0.03", {"loss": "cross-entropy"}, 0.03),
        ("square, mean, SGD 1", {}, 1.0),
        ("square, mean, SGD 0.3", {}, 0.3),
        ("square, mean, SGD 0.1", {}, 0.1),
        ("square, mean, SGD 0.03", {}, 0.03),
        ("square, sum, SGD 0.03", {"class_reduction": "sum"}, 0.03),
        ("squentropy, SGD 0.1", {"loss": "squentropy"}, 0.1),
    ]
    rows = [
        (name, {"optimizer": "sgd", "learning_rate": rate, **more}) for name, more, rate in rows
    ]
    rows += [
        ("cross-entropy, Adam", {"loss": "cross-entropy"}),
        ("square, Adam", {}),
        ("squentropy, Adam", {"loss": "squentropy"}),
    ]
    print("digits, 64-256-256-10, 60 epochs of batches of 64: test accuracy")
    data = [halves_of_digits(seed) for seed in range(n_seeds)]
    for name, parameters in rows:
        scores = [score(d, random_state=i, **parameters) for i, d in enumerate(data)]
        each = " ".join(f"{value:.4f}" for value in scores)
        print(f"{name:26s} {np.mean(scores):.4f} +- {np.std(scores, ddof=1):.4f}   {each}")


def classes():
    few = clusters(100, 40, 40, 0.1925, 0)
    many = clusters(1000, 12, 6, 0.14, 0)
    sgd = {"optimizer": "sgd"}
    entropy = {"loss": "cross-entropy"}
    rows = [
        (few, 40, "cross-entropy", {"learning_rate": 0.1} | sgd | entropy),
        *((few, 40, "k=M=1", {"learning_rate": rate, "M": 1} | sgd) for rate in (0.1, 0.3, 1, 3)),
        (few, 40, "auto (1, 15)", {"learning_rate": 0.1} | sgd),
        (few, 40, "k=15, M=1", {"learning_rate": 0.3, "k": 15, "M": 1} | sgd),
        (few, 20, "cross-entropy", entropy),
        (few, 20, "k=M=1", {"k": 1}),
        (few, 20, "auto (15, 1)", {}),
        (few, 20, "k=1, M=15", {"k": 1, "M": 15}),
        (many, 12, "cross-entropy", {"learning_rate": 0.1} | sgd | entropy),
        (many, 12, "k=M=1", {"learning_rate": 1, "k": 1, "M": 1} | sgd),
        (many, 12, "auto (15, 30)", {"learning_rate": 0.1} | sgd),
        (many, 12, "cross-entropy", entropy),
        (many, 12, "k=M=1", {"k": 1}),
        (many, 12, "auto (15, 1)", {}),
        (many, 12, "k=15, M=30", {"k": 15, "M": 30}),
    ]
    print("clusters in 64 dimensions, 64-256-256-C: accuracy on training and test samples")
    for data, epochs, name, parameters in rows:
        optimizer = f"SGD {parameters['learning_rate']}" if "optimizer" in parameters else "Adam"
        begun = time.perf_counter()
        network = SquareLossNetClassifier(max_iter=epochs, random_state=0, **parameters)
        X, y, X_test, y_test = data
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                network.fit(X, y)
                train, test = network.score(X, y), network.score(X_test, y_test)
            except FloatingPointError:
                train = test = np.nan
        seconds = time.perf_counter() - begun
        print(
            f"{y.max() + 1:5d} classes, {optimizer:8s} {name:15s} {train:.3f} {test:.3f}"
            f"   {seconds:.0f} s"
        )


def calibration(n_seeds=5):
    print(
        "digits, Adam, 20 epochs, 900 train, 300 held out, the rest test: ECE, log loss, Brier, "
        "accuracy, temperature"
    )
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    for noise in (0.0, 0.2):
        for name, parameters in [
            ("cross-entropy", {"loss": "cross-entropy"}),
            ("squentropy", {"loss": "squentropy"}),
            ("square", {}),
            ("square, k=15", {"k": 15}),
            ("square, M=15", {"M": 15}),
        ]:
            for held_out in (True, False):
                figures = []
                for seed in range(n_seeds):
                    rng = np.random.RandomState(seed)
                    labels = np.where(rng.rand(len(y)) < noise, rng.randint(10, size=len(y)), y)
                    A, B, a, b = train_test_split(
                        X, labels, train_size=1200, stratify=labels, random_state=seed
                    )
                    network = SquareLossNetClassifier(
                        early_stopping=held_out,
                        validation_fraction=0.25,
                        n_iter_no_change=20,
                        max_iter=20,
                        random_state=seed,
                        **parameters,
                    ).fit(A, a)
                    p = network.predict_proba(B)
                    p = p.astype(float) / p.sum(1, keepdims=True, dtype=float)
                    figures.append(
                        (
                            expected_calibration_error(p, b),
                            log_loss(b, p),
                            np.mean(((p - np.eye(10)[b]) ** 2).sum(1)),
                            network.score(B, b),
                            network.temperature_,
                        )
                    )
                shown = " ".join(f"{value:.3f}" for value in np.mean(figures, axis=0))
                how = "fitted temperature" if held_out else "fixed temperature"
                print(f"labels replaced {noise:.1f}  {name:14s} {how:18s} {shown}")


TABLES = {"losses": losses, "classes": classes, "calibration": calibration}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("tables", nargs="*", default=list(TABLES))
    for table in parser.parse_args().tables:
        TABLES[table]()
        print()
