"""Texts as rows of token ids."""

from __future__ import annotations

import numpy as np
from sklearn.base import TransformerMixin, clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.utils.validation import check_is_fitted

from skoverparam._params import check_integer
from skoverparam.estimators._base import DocumentedEstimator, all_or_nothing


class TokenIdVectorizer(TransformerMixin, DocumentedEstimator):
    r"""Turn texts into rows of token ids, in the order of the text.

    One of scikit-learn's vectorizers finds the tokens and their vocabulary. It would count them;
    here their order is kept, as networks for sequences need it.

    Parameters
    ----------
    vectorizer : CountVectorizer, TfidfVectorizer or None, default=None
        Decides what a token is and which ones are known, by its parameters such as ``analyzer``,
        ``token_pattern``, ``lowercase`` and ``min_df``. None: ``CountVectorizer()``, which leaves
        out punctuation and words of one letter; ``CountVectorizer(token_pattern=r"\S+")`` takes
        all between spaces, and ``CountVectorizer(analyzer="char")`` makes tokens of characters.

    max_length : int, default=None
        Longer texts lose their end. None: the length of the longest text in ``fit``.

    Attributes
    ----------
    vectorizer_ : estimator
        The fitted vectorizer.

    vocabulary_ : dict
        The id of every known token, from 0.

    n_tokens_ : int
        Number of ids: known tokens, and one id, the last, for all others.

    length_ : int
        Length of a row.

    See Also
    --------
    SquareLossNetClassifier : With ``input_shape="tokens"`` it classifies such rows.
    sklearn.preprocessing.OrdinalEncoder : Ids for categories, column by column.

    Examples
    --------
    >>> from skoverparam import TokenIdVectorizer
    >>> vectorizer = TokenIdVectorizer().fit(["the cat sat", "on the mat the cat"])
    >>> vectorizer.vocabulary_
    {'the': 4, 'cat': 0, 'sat': 3, 'on': 2, 'mat': 1}
    >>> vectorizer.transform(["the dog sat on the cat", "cat"])
    array([[ 4,  5,  3,  2,  4],
           [ 0, -1, -1, -1, -1]])
    """

    def __init__(self, vectorizer=None, *, max_length=None):
        self.vectorizer = vectorizer
        self.max_length = max_length

    @all_or_nothing()
    def fit(self, raw_documents, y=None):
        """Learn the vocabulary and the length of a row.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts.

        y : object
            Ignored.

        Returns
        -------
        self : TokenIdVectorizer
            The fitted transformer.
        """
        check_integer(self.max_length, "max_length", low=1, none=True)
        documents = _documents(raw_documents)
        vectorizer = CountVectorizer() if self.vectorizer is None else clone(self.vectorizer)
        vectorizer.fit(documents)
        if not hasattr(vectorizer, "vocabulary_"):
            raise ValueError(
                "vectorizer must learn a vocabulary, as CountVectorizer and TfidfVectorizer do; "
                f"got {self.vectorizer!r}."
            )
        analyze = vectorizer.build_analyzer()
        longest = max(1, *(len(analyze(document)) for document in documents))
        self.vectorizer_ = vectorizer
        self.vocabulary_ = {token: int(i) for token, i in vectorizer.vocabulary_.items()}
        self.n_tokens_ = len(self.vocabulary_) + 1
        self.length_ = longest if self.max_length is None else min(longest, self.max_length)
        return self

    def fit_transform(self, raw_documents, y=None):
        """Learn the vocabulary, and look up the tokens of the same texts.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts; they are gone through once.

        y : object
            Ignored.

        Returns
        -------
        ids : ndarray of int of shape (n_samples, `length_`)
            The ids of each text's tokens, then -1.
        """
        documents = _documents(raw_documents)
        return self.fit(documents).transform(documents)

    def transform(self, raw_documents):
        """Look up the tokens of texts.

        Parameters
        ----------
        raw_documents : iterable of str
            Texts.

        Returns
        -------
        ids : ndarray of int of shape (n_samples, `length_`)
            The ids of each text's tokens, then -1.
        """
        check_is_fitted(self)
        analyze, unknown = self.vectorizer_.build_analyzer(), self.n_tokens_ - 1
        documents = _documents(raw_documents)
        ids = np.full((len(documents), self.length_), -1)
        for row, document in zip(ids, documents, strict=True):
            tokens = analyze(document)[: self.length_]
            row[: len(tokens)] = [self.vocabulary_.get(token, unknown) for token in tokens]
        return ids

    def get_feature_names_out(self, input_features=None):
        """Name the columns.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        names : ndarray of str of shape (`length_`,)
            ``"token0"``, ``"token1"``, and so on.
        """
        check_is_fitted(self)
        return np.asarray([f"token{i}" for i in range(self.length_)], dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags


def _documents(raw_documents):
    if isinstance(raw_documents, (str, bytes)):
        raise ValueError(
            f"raw_documents must be several texts, got one of type {type(raw_documents).__name__}."
        )
    return list(raw_documents)
