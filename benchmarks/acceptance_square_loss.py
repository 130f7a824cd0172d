"""The square loss against cross-entropy on real data: prints the table to judge it by.

    SKOVERPARAM_DATA=FOLDER python benchmarks/acceptance_square_loss.py [mnist] [trec] [sst2] \
        [words] [cifar] [--validate RATE ...] [--seeds N]

Both losses get the same architecture, data, number of epochs, batch size, schedule, dropout and
seeds; only the learning rate is each loss's own. It was chosen beforehand among the same rates
for both, with one seed, on a part of the training data (``--validate`` prints those accuracies):
a fifth of the samples, the published development set of SST-2, and voices 25 to 29 of the spoken
words. No test sample had a part in it.

- mnist: 10000 of the 60000 training images, drawn by the seed; all test images;
- trec: types of questions, six classes, words as token ids;
- sst2: sentiment of sentences, two classes, from scratch, without pre-trained vectors;
- words: 20 spoken words; frames of 40 log-mel energies, padded; voices 30 to 39 are the test;
- cifar: 8000 + 2000 images of CIFAR-10 that went through JPEG: not comparable with published
  figures.

A seed draws weights, order and dropout (for MNIST the subset, too); the square loss and
cross-entropy of one seed are a pair. Standard errors are over seeds.
"""

import argparse
import gzip
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import train_test_split

from skoverparam import SquareLossNetClassifier, TokenIdVectorizer

FOLDER = Path(os.environ.get("SKOVERPARAM_DATA", "."))
LOSSES = ("square", "cross-entropy")


class Task(NamedTuple):
    """Training, validation and test data, and what both losses are given."""

    parts: object  # maps a seed to (X, y) of the training, and of the test data
    validation: object  # gives (X, y) of a part of the training data, and of what is held out
    network: dict
    rates: dict


# ---- data ---------------------------------------------------------------------------------


def images(name, n_train=None):
    """Pixels with the mean and scale of the training images taken out."""
    file = np.load(FOLDER / "vision" / name)
    X, X_test = (file[key].astype(np.float32) / 255 for key in ("X_train", "X_test"))
    y, y_test = file["y_train"].astype(int), file["y_test"].astype(int)
    mean, scale = X.mean((0, 1, 2)), X.std((0, 1, 2))
    X, X_test = (X - mean) / scale, (X_test - mean) / scale

    def parts(seed):
        if n_train is None:
            return (X, y), (X_test, y_test)
        chosen, _ = train_test_split(
            np.arange(len(X)), train_size=n_train, stratify=y, random_state=seed
        )
        return (X[chosen], y[chosen]), (X_test, y_test)

    return parts, lambda: a_fifth_held_out(*parts(0)[0])


def a_fifth_held_out(X, y):
    """Split off a fifth for validation; X may be a list of texts."""
    kept, held = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=0)
    if isinstance(X, list):
        return ([X[i] for i in kept], y[kept]), ([X[i] for i in held], y[held])
    return (X[kept], y[kept]), (X[held], y[held])


def sentences(name):
    """Lines of a label and a sentence."""
    with gzip.open(FOLDER / "text" / name, "rt", encoding="utf-8", errors="replace") as file:
        labels, texts = zip(*(line.rstrip("\n").split(" ", 1) for line in file), strict=True)
    return list(texts), np.array(labels, dtype=int)


def with_ids(train, test):
    """Turn the texts of a split into token ids; the vocabulary is that of the training part."""
    vectorizer = TokenIdVectorizer(CountVectorizer(token_pattern=r"\S+"))
    X = vectorizer.fit_transform(train[0])
    return (X, train[1]), (vectorizer.transform(test[0]), test[1])


def trec():
    """Questions; the published test set."""
    train, test = sentences("TREC.train.all.gz"), sentences("TREC.test.all.gz")
    return lambda seed: with_ids(train, test), lambda: with_ids(*a_fifth_held_out(*train))


def sst2():
    """Sentences of films' reviews; the published development and test sets."""
    train, dev, test = (sentences(f"stsa.binary.{part}.gz") for part in ("train", "dev", "test"))
    return lambda seed: with_ids(train, test), lambda: with_ids(train, dev)


def words():
    """Frames of spoken words less the mean of each recording, and padded with NaN.

    The mean over a recording tells of voice and channel, not of the word. Scales are those of the
    training voices.
    """
    file = np.load(FOLDER / "speech" / "spoken_words.npz")
    frames, lengths = file["frames"].astype(np.float32), file["lengths"]
    y, speaker = file["y"].astype(int), file["speaker"]
    recording = np.repeat(np.arange(len(y)), lengths)
    sums = np.zeros((len(y), frames.shape[1]))
    np.add.at(sums, recording, frames)
    frames -= (sums / lengths[:, None])[recording]
    frames /= frames[speaker[recording] < 30].std(0)
    X = np.full((len(y), lengths.max(), frames.shape[1]), np.nan, dtype=np.float32)
    X[np.arange(lengths.max()) < lengths[:, None]] = frames

    def split(first_held, last):
        train, test = speaker < first_held, (first_held <= speaker) & (speaker < last)
        return (X[train], y[train]), (X[test], y[test])

    return lambda seed: split(30, 40), lambda: split(25, 30)


# ---- what both losses are given -----------------------------------------------------------


def tasks():
    """Make the tasks, their data read only when they are asked for."""
    resnet = {"architecture": "resnet", "schedule": "cosine"}
    return {
        "mnist": lambda: Task(
            *images("mnist.npz", 10_000),
            network=resnet | {"max_iter": 8},
            rates={"square": 2e-3, "cross-entropy": 2e-3},
        ),
        "trec": lambda: Task(
            *trec(),
            network={
                "architecture": "lstm",
                "input_shape": "tokens",
                "architecture_options": {"dropout": 0.5},
                "schedule": "cosine",
                "max_iter": 8,
            },
            rates={"square": 8e-3, "cross-entropy": 1.6e-2},
        ),
        "sst2": lambda: Task(
            *sst2(),
            network={
                "architecture": "lstm",
                "input_shape": "tokens",
                "architecture_options": {"dropout": 0.5},
                "schedule": "cosine",
                "max_iter": 4,
            },
            rates={"square": 1.6e-2, "cross-entropy": 1.6e-2},
        ),
        "words": lambda: Task(
            *words(),
            network={
                "architecture": "tcnn",
                "architecture_options": {"n_blocks": 4},
                "schedule": "cosine",
                "max_iter": 15,
            },
            rates={"square": 8e-3, "cross-entropy": 8e-3},
        ),
        "cifar": lambda: Task(
            *images("cifar10_jpeg_8k.npz"),
            network=resnet | {"max_iter": 15, "batch_size": 32},
            rates={"square": 4e-3, "cross-entropy": 4e-3},
        ),
    }


def accuracy(task, loss, rate, seed, train, test):
    """Train once; return accuracy and seconds."""
    start = time.perf_counter()
    classifier = SquareLossNetClassifier(
        loss=loss, learning_rate=rate, random_state=seed, **task.network
    ).fit(*train)
    return classifier.score(*test), time.perf_counter() - start


def validate(name, task, rates):
    """Print the accuracies by which a learning rate is chosen."""
    train, held = task.validation()
    for loss in LOSSES:
        for rate in rates:
            score, seconds = accuracy(task, loss, rate, 0, train, held)
            print(
                f"{name:6} {loss:14} {rate:7g} validation {score:.4f} {seconds:5.0f} s", flush=True
            )


def compare(name, task, n_seeds):
    """Print the accuracies of all seeds, and a row of the table."""
    scores = {loss: [] for loss in LOSSES}
    for seed in range(n_seeds):
        train, test = task.parts(seed)
        for loss in LOSSES:
            score, seconds = accuracy(task, loss, task.rates[loss], seed, train, test)
            scores[loss].append(score)
            print(f"# {name} seed {seed} {loss:14} {score:.4f} {seconds:5.0f} s", flush=True)
    square, entropy = (np.array(scores[loss]) for loss in LOSSES)
    cells = [
        f"{values.mean():+.4f} ± {values.std(ddof=1) / np.sqrt(n_seeds):.4f}"
        for values in (square, entropy, square - entropy)
    ]
    options = task.network["architecture"], task.network["max_iter"]
    rates = " / ".join(f"{task.rates[loss]:g}" for loss in LOSSES)
    row = [name, *map(str, options), rates, cells[0][1:], cells[1][1:], cells[2]]
    print("| " + " | ".join(row) + " |", flush=True)


def main():
    """Run the tasks that are named."""
    known = tasks()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="*", choices=[*known, []], default=list(known))
    parser.add_argument("--validate", nargs="+", type=float, metavar="RATE")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    if not arguments.validate:
        print("| task | network | epochs | rates | square | cross-entropy | difference |")
        print("|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.task:
        task = known[name]()
        if arguments.validate:
            validate(name, task, arguments.validate)
        else:
            compare(name, task, arguments.seeds)


if __name__ == "__main__":
    main()
