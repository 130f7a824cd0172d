"""
=========================================
Texts: the order of words, and characters
=========================================

Two tasks on text that is made here, from raw strings, with the square loss and with
cross-entropy: one label for a sentence, and one label for every character.
"""

# %%
# Sentences
# ---------
# Guests write about a restaurant. "Not" turns a word into its opposite, and the clause after
# "but" is what counts in the end. One label in ten is wrong.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skoverparam import SquareLossNetClassifier, TokenIdVectorizer

THINGS = ["soup", "service", "wine", "music", "bread", "waiter", "garden", "fish", "bill", "view"]
GOOD = ["good", "lovely", "fresh", "charming", "splendid"]
BAD = ["bad", "awful", "stale", "rude", "poor"]


def clause(rng):
    positive, negated = rng.random(2) < 0.5
    word = rng.choice(GOOD if positive != negated else BAD)
    return f"the {rng.choice(THINGS)} was {'not ' if negated else ''}{word}", positive


def sentences(n, rng, n_clauses=2):
    texts, labels = [], []
    for _ in range(n):
        parts, signs = zip(*(clause(rng) for _ in range(n_clauses)), strict=True)
        texts.append(" but ".join(parts))
        labels.append("happy" if signs[-1] else "unhappy")
    return texts, np.array(labels)


rng = np.random.default_rng(0)
texts, labels = sentences(1000, rng)
texts_test, labels_test = sentences(1000, rng)
wrong = rng.random(len(labels)) < 0.1
noisy = np.where(wrong, np.where(labels == "happy", "unhappy", "happy"), labels)
for text, label in zip(texts[:3], noisy[:3], strict=True):
    print(f"{label:8} {text}")

# %%
# :class:`~skoverparam.TokenIdVectorizer` keeps the order that a bag of words loses.


def pipeline(loss, seed, architecture):
    return make_pipeline(
        TokenIdVectorizer(CountVectorizer()),
        SquareLossNetClassifier(
            architecture=architecture,
            architecture_options={"width": 32},
            input_shape="tokens",
            loss=loss,
            learning_rate=0.004,
            schedule="cosine",
            max_iter=12,
            random_state=seed,
        ),
    )


bag = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, noisy)
print(f"bag of words: {bag.score(texts_test, labels_test):.3f}")
scores = {
    (architecture, loss): [
        pipeline(loss, seed, architecture).fit(texts, noisy).score(texts_test, labels_test)
        for seed in range(3)
    ]
    for architecture in ["tcnn", "lstm", "transformer"]
    for loss in ["square", "cross-entropy"]
}
for (architecture, loss), values in scores.items():
    print(f"{architecture:11} {loss:13} {np.mean(values):.3f}  {np.round(values, 3)}")

# %%
# Characters
# ----------
# The same sentences without spaces: which characters begin a word? ``y`` has a label for every
# position; rows are as long as the longest text, and what is beyond its end counts nowhere.


def without_spaces(texts):
    words = [text.split() for text in texts]
    starts = [[i == 0 for word in sentence for i in range(len(word))] for sentence in words]
    y = np.full((len(texts), max(map(len, starts))), -1)
    for row, start in zip(y, starts, strict=True):
        row[: len(start)] = start
    return ["".join(sentence) for sentence in words], y


strings, starts = without_spaces(texts[:200])
characters = TokenIdVectorizer(CountVectorizer(analyzer="char")).fit(strings)
nets = {
    loss: SquareLossNetClassifier(
        architecture="tcnn",
        architecture_options={"width": 32, "n_blocks": 3},
        input_shape="tokens",
        loss=loss,
        learning_rate=0.004,
        schedule="cosine",
        max_iter=10,
        random_state=0,
    ).fit(characters.transform(strings), starts)
    for loss in ["square", "cross-entropy"]
}
strings_test, starts_test = without_spaces(texts_test)
ids = characters.transform(strings_test)
for loss, net in nets.items():
    print(f"{loss:13} {net.score(ids, starts_test[:, : ids.shape[1]]):.4f} of all characters")

# %%
# The outputs of the square loss are estimates of probabilities as they are, position by position.

shown = max(range(50), key=lambda i: len(strings_test[i]))
string = strings_test[shown]
outputs = nets["square"].transform(ids[shown : shown + 1], layer="head")
outputs = outputs.reshape(-1, 2)[: len(string), 1]

figure, (above, below) = plt.subplots(2, 1, figsize=(9, 5.5), layout="constrained")
for column, ((_, loss), values) in enumerate(scores.items()):
    color = "C0" if loss == "square" else "C3"
    above.plot([column] * 3, values, "o", color=color, label=loss if column < 2 else None)
above.axhline(bag.score(texts_test, labels_test), color="0.6", ls="--", label="bag of words")
above.set(
    xticks=[0.5, 2.5, 4.5],
    xticklabels=["tcnn", "lstm", "transformer"],
    ylabel="test accuracy",
    title="Sentences, a tenth of the training labels wrong",
)
above.legend()
below.bar(
    range(len(string)), outputs, color=np.where(starts_test[shown][: len(string)], "C0", "0.7")
)
below.set(
    xticks=range(len(string)),
    xticklabels=list(string),
    ylabel="output",
    title="Does a word begin here? Raw outputs; colored where one does",
)
plt.show()
