"""TokenIdVectorizer against the vectorizers whose tokens it keeps in order."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.feature_extraction.text import (
    CountVectorizer,
    HashingVectorizer,
    TfidfVectorizer,
)
from sklearn.utils.estimator_checks import (
    check_do_not_raise_errors_in_init_or_set_params,
    check_estimator_cloneable,
    check_estimator_repr,
    check_estimator_tags_renamed,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
)

from skoverparam import TokenIdVectorizer

TEXTS = ["The cat sat on the mat.", "A dog; the dog!", "", "cat cat cat"]

# What scikit-learn's common checks ask of any estimator without passing numbers to it.
CHECKS = [
    check_do_not_raise_errors_in_init_or_set_params,
    check_estimator_cloneable,
    check_estimator_repr,
    check_estimator_tags_renamed,
    check_get_params_invariance,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
    check_valid_tag_types,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_common_checks(check):
    check("TokenIdVectorizer", TokenIdVectorizer())


@pytest.mark.parametrize(
    "vectorizer",
    [
        CountVectorizer(),
        CountVectorizer(token_pattern=r"\S+", lowercase=False),
        CountVectorizer(analyzer="char"),
        CountVectorizer(ngram_range=(1, 2)),
        TfidfVectorizer(min_df=2),
    ],
)
def test_counts_of_ids_are_those_of_the_vectorizer(vectorizer):
    ids = TokenIdVectorizer(vectorizer).fit(TEXTS)
    rows = ids.transform(TEXTS)
    n_known = len(ids.vocabulary_)
    counted = np.array([np.bincount(row[row >= 0], minlength=n_known + 1) for row in rows])
    fitted = clone(vectorizer).fit(TEXTS)
    assert ids.vocabulary_ == fitted.vocabulary_
    counts = CountVectorizer.transform(fitted, TEXTS).toarray()
    assert np.array_equal(counted[:, :n_known], counts)
    assert ids.n_tokens_ == n_known + 1


def test_order_is_kept_and_padding_follows():
    vectorizer = TokenIdVectorizer().fit(TEXTS)
    names = {i: token for token, i in vectorizer.vocabulary_.items()}
    row = vectorizer.transform(["on the dog"])[0]
    assert [names[i] for i in row[:3]] == ["on", "the", "dog"]
    assert (row[3:] == -1).all()
    assert vectorizer.transform([""]).tolist() == [[-1] * vectorizer.length_]


def test_long_texts_lose_their_end():
    assert TokenIdVectorizer().fit(TEXTS).length_ == 6
    short = TokenIdVectorizer(max_length=2).fit(TEXTS)
    assert short.transform(TEXTS).shape == (4, 2)
    assert TokenIdVectorizer(max_length=50).fit(TEXTS).length_ == 6
    longer = TokenIdVectorizer().fit(["one word"]).transform(["one word and one more"])
    assert longer.shape == (1, 2)


def test_unknown_tokens_have_the_last_id():
    vectorizer = TokenIdVectorizer(CountVectorizer(min_df=2)).fit(TEXTS)
    assert vectorizer.vocabulary_.keys() == {"cat", "the"}
    assert vectorizer.transform(["the zebra"])[0, :2].tolist() == [1, 2]


def test_a_generator_of_texts_is_read_once():
    rows = TokenIdVectorizer().fit_transform(text for text in TEXTS)
    assert np.array_equal(rows, TokenIdVectorizer().fit(TEXTS).transform(iter(TEXTS)))


def test_names_pickles_and_frames():
    vectorizer = TokenIdVectorizer().fit(TEXTS)
    assert vectorizer.get_feature_names_out()[-1] == "token5"
    loaded = pickle.loads(pickle.dumps(vectorizer))
    assert np.array_equal(loaded.transform(TEXTS), vectorizer.transform(TEXTS))
    frame = clone(vectorizer).set_output(transform="pandas").fit_transform(TEXTS)
    assert frame.columns[0] == "token0"


def test_errors():
    with pytest.raises(ValueError, match="several texts, got one of type str"):
        TokenIdVectorizer().fit("the cat")
    with pytest.raises(ValueError, match="several texts, got one of type str"):
        TokenIdVectorizer().fit(TEXTS).transform("the cat")
    with pytest.raises(ValueError, match="must learn a vocabulary"):
        TokenIdVectorizer(HashingVectorizer()).fit(TEXTS)
    with pytest.raises(ValueError, match="max_length"):
        TokenIdVectorizer(max_length=0).fit(TEXTS)
