"""Texts compared by their words, for estimators whose peers are the similar. Needs NumPy alone."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_WORDS = 1024
LETTERS = re.compile(r"\w+")
# Of ASCII alone: letters in lower case, a blank for all else.
ASCII = bytes(ord(c.lower()) if c.isalnum() or c == "_" else 32 for c in map(chr, range(128)))
ASCII += bytes(128)


def similarity(texts: Sequence[str], counts: Sequence[int]) -> Floats:
    """Cosines of the TF-IDF vectors of texts, each of which was seen `counts` times: (N, N).

    Words have two or more letters, in lower case; of more than 1,024 the most frequent count. A
    word's weight is ln((1 + n) / (1 + df)) + 1, with n texts of which df hold it. A text without
    words is similar to none.
    """
    vectors, often = word_counts(texts, counts), np.array(counts, np.float64)
    n, df = often.sum(), often @ (vectors > 0).astype(np.float64)
    vectors *= np.log((1 + n) / (1 + df)) + 1
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    vectors /= np.where(lengths > 0, lengths, 1)
    cosines: Floats = vectors @ vectors.T
    return cosines


def word_counts(texts: Sequence[str], counts: Sequence[int]) -> Floats:
    """How often each text holds each word that counts, words in their order: (N, words)."""
    found = [_runs_of_letters(text) for text in texts]
    distinct = set(chain.from_iterable(found))
    place = dict.fromkeys(distinct, -1)
    place.update((word, i) for i, word in enumerate(sorted(w for w in distinct if len(w) > 1)))
    words = np.fromiter(map(place.__getitem__, chain.from_iterable(found)), np.int64)
    text_of = np.repeat(np.arange(len(texts)), [len(words) for words in found])
    words, text_of = words[words >= 0], text_of[words >= 0]
    num_words = int(words.max(initial=-1)) + 1
    if num_words > MOST_WORDS:
        totals = np.bincount(words, np.array(counts)[text_of])
        chosen = np.sort(np.argsort(-totals, kind="stable")[:MOST_WORDS])
        counts_in = np.isin(words, chosen)
        words, text_of = np.searchsorted(chosen, words[counts_in]), text_of[counts_in]
        num_words = MOST_WORDS
    cells = np.bincount(text_of * num_words + words, minlength=len(texts) * num_words)
    return cells.reshape(len(texts), num_words).astype(np.float64)


def _runs_of_letters(text: str) -> list[str]:
    if text.isascii():  # three times as fast
        return text.encode().translate(ASCII).decode().split()
    return LETTERS.findall(text.lower())


def soft_means(
    similarity: Floats, means: Floats, counts: Sequence[int], temperature: float
) -> Floats:
    """Of each text the mean over all, weighted by count * exp(similarity / temperature)."""
    with np.errstate(over="ignore"):  # a temperature near 0: exp(-inf), no weight
        colder = (similarity - similarity.max(axis=1, keepdims=True)) / temperature
    weights = np.exp(colder) * counts
    weighted: Floats = (weights * means).sum(axis=1) / weights.sum(axis=1)
    return weighted


def less_soft_means(rollouts: Any, scores: Floats, temperature: float) -> Floats:
    """Scores, one a row, less the soft mean over the steps of their task that have one: (N,).

    Steps are compared by the texts of their states. NaN on rows without a score, and on all but the
    first of several copies of a row. Cost: the square of the distinct texts of a task.
    """
    graph = rollouts.graph()
    starts = (a != b for a, b in pairwise(graph.node_groups))
    groups = np.cumsum([0, *starts])[graph.edge_sources]
    value_of = scores.tolist()
    rows_of: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    edges = (graph.edge_rows.tolist(), graph.edge_sources.tolist(), groups.tolist())
    for row, node, group in zip(*edges, strict=True):
        if not math.isnan(value_of[row]):
            rows_of[group][_text(graph.node_states[node], row)].append(row)
    result = np.full(len(scores), np.nan)
    for rows in rows_of.values():
        texts = sorted(rows)  # whatever the order of rows, the same sums
        counts = [len(rows[text]) for text in texts]
        sums = [math.fsum(map(value_of.__getitem__, rows[text])) for text in texts]
        means = np.array(sums) / counts
        baselines = soft_means(similarity(texts, counts), means, counts, temperature)
        of_texts = [*chain.from_iterable(rows[text] for text in texts)]
        result[of_texts] = scores[of_texts] - np.repeat(baselines, counts)
    return result


def _text(state: object, row: int) -> str:
    if not isinstance(state, str):
        raise TypeError(
            f"states[{row}] is a {type(state).__name__}; expected text: states are compared by "
            "their words"
        )
    return str(state)
