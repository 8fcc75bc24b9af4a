"""Texts compared by their words: the vectorised way against the plain one."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphgpo.estimators import _tfidf

WORDS = ["a", "b1", "Red", "red", "x_y", "ß", "Straße", "ΣΑΣ", "σας", "İz", "٣٤", "e\u0301t"]
APART = [" ", "\n", "-", "'", "\0", "\x1c", "\u2028", "", "."]
texts = st.lists(
    st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(APART)), max_size=12).map(
        lambda parts: "".join(word + apart for word, apart in parts)
    ),
    min_size=1,
    max_size=6,
)


def plain_similarity(texts: list[str], counts: list[int]) -> Any:
    """By dictionaries, with the words of scikit-learn's `token_pattern`."""
    found = [Counter(re.findall(r"\b\w\w+\b", text.lower())) for text in texts]
    totals: Counter[str] = Counter()
    for words, count in zip(found, counts, strict=True):
        totals.update({word: count * often for word, often in words.items()})
    chosen = sorted(sorted(totals, key=lambda word: (-totals[word], word))[: _tfidf.MOST_WORDS])
    vectors = np.array([[float(words[word]) for word in chosen] for words in found])
    n, df = sum(counts), np.array(counts) @ (vectors > 0)
    vectors *= np.log((1 + n) / (1 + df)) + 1
    lengths = np.sqrt((vectors**2).sum(axis=1))
    lengths[lengths == 0] = 1
    return vectors @ vectors.T / np.outer(lengths, lengths)


@given(texts=texts, data=st.data())
def test_fast_and_plain_agree(texts: list[str], data: st.DataObject) -> None:
    size = len(texts)
    counts = data.draw(st.lists(st.integers(1, 4), min_size=size, max_size=size))
    found = _tfidf.similarity(texts, counts)
    np.testing.assert_allclose(found, plain_similarity(texts, counts), rtol=0, atol=1e-12)


def test_of_more_than_1024_words_the_most_frequent_count_and_of_equals_the_first() -> None:
    often = " ".join(f"often{i}" for i in range(1000))
    seldom = [f"seldom{i:02}" for i in range(60)]
    texts = [often, f"{often} {' '.join(seldom)}"]
    assert _tfidf.word_counts(texts, [1, 1]).sum(axis=1).tolist() == [1000, 1024]
    found = _tfidf.similarity(texts, [1, 1])
    np.testing.assert_allclose(found, plain_similarity(texts, [1, 1]), rtol=0, atol=1e-12)
    # A text that was seen twice brings its words before those of one that was seen once.
    texts = [" ".join(seldom), " ".join(f"a{i}" for i in range(1020))]
    assert _tfidf.word_counts(texts, [2, 1]).sum(axis=1).tolist() == [60, 964]


def test_a_text_without_words_is_similar_to_none() -> None:
    found = _tfidf.similarity(["a - b", "", "two words"], [1, 1, 1])
    np.testing.assert_allclose(found, np.diag([0.0, 0.0, 1.0]), rtol=0, atol=1e-15)
    assert _tfidf.similarity(["", "!"], [1, 1]).tolist() == [[0, 0], [0, 0]]
