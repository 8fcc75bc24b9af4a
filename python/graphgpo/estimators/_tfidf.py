"""Texts compared by their words, for estimators whose peers are the similar. Needs NumPy alone."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST_WORDS = 1024
WORD = re.compile(r"\b\w\w+\b")


def similarity(texts: Sequence[str], counts: Sequence[int]) -> Floats:
    """Cosines of the TF-IDF vectors of texts, each of which was seen `counts` times: (N, N).

    Words have two or more letters, in lower case; of more than 1,024 the most frequent count. A
    word's weight is ln((1 + n) / (1 + df)) + 1, with n texts of which df hold it. A text without
    words is similar to none.
    """
    found = [Counter(WORD.findall(text.lower())) for text in texts]
    totals: Counter[str] = Counter()
    for words, count in zip(found, counts, strict=True):
        totals.update({word: count * often for word, often in words.items()})
    chosen = sorted(totals, key=lambda word: (-totals[word], word))[:MOST_WORDS]
    place = {word: i for i, word in enumerate(sorted(chosen))}
    vectors = np.zeros((len(texts), len(place)))
    for vector, words in zip(vectors, found, strict=True):
        for word in words.keys() & place.keys():
            vector[place[word]] = words[word]
    n, df = sum(counts), np.array(counts) @ (vectors > 0)
    vectors *= np.log((1 + n) / (1 + df)) + 1
    lengths = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    vectors /= np.where(lengths > 0, lengths, 1)
    cosines: Floats = vectors @ vectors.T
    return cosines


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
    result = np.full(len(scores), np.nan)
    rows_of: dict[int, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row, node, group in zip(graph.edge_rows, graph.edge_sources, groups, strict=True):
        if not math.isnan(scores[row]):
            rows_of[group][_text(graph.node_states[node], row)].append(row)
    for rows in rows_of.values():
        texts = sorted(rows)  # whatever the order of rows, the same sums
        counts = [len(rows[text]) for text in texts]
        means = np.array([math.fsum(scores[rows[text]]) / len(rows[text]) for text in texts])
        baselines = soft_means(similarity(texts, counts), means, counts, temperature)
        for text, baseline in zip(texts, baselines, strict=True):
            result[rows[text]] = scores[rows[text]] - baseline
    return result


def _text(state: object, row: int) -> str:
    if not isinstance(state, str):
        raise TypeError(
            f"states[{row}] is a {type(state).__name__}; expected text: states are compared by "
            "their words"
        )
    return str(state)
