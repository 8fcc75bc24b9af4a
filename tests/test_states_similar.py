"""Near-duplicates: the components a plain table of common lengths would give."""

from __future__ import annotations

import functools
import random
from difflib import SequenceMatcher
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphgpo.states import similar_components


@functools.cache
def longest_common(a: str, b: str) -> int:
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def oracle(texts: list[str], threshold: float) -> list[int]:
    """Components by definition, numbered by their first text."""
    parents = list(range(len(texts)))

    def root(i: int) -> int:
        return i if parents[i] == i else root(parents[i])

    for i, a in enumerate(texts):
        for j in range(i):
            b = texts[j]
            common = 2 * longest_common(a, b)
            if a == b or common >= Fraction(threshold) * (len(a) + len(b)):
                high, low = sorted([root(i), root(j)], reverse=True)
                parents[high] = low
    numbers: dict[int, int] = {}
    return [numbers.setdefault(root(i), len(numbers)) for i in range(len(texts))]


def edited(rng: random.Random, text: str, edits: int, alphabet: str) -> str:
    letters = list(text)
    for _ in range(edits):
        at = rng.randrange(len(letters) + 1)
        if rng.random() < 0.5:
            letters.insert(at, rng.choice(alphabet))
        else:
            del letters[at : at + 1]
    return "".join(letters)


THRESHOLDS = st.sampled_from([0.1, 0.5, 0.75, 0.8, 0.9, 0.95, 1.0, 2 / 3, 5e-324])


@given(st.lists(st.text("ab👟\ud800é", max_size=12), max_size=9), THRESHOLDS)
def test_small_texts_are_joined_by_definition(texts: list[str], threshold: float) -> None:
    assert similar_components(texts, threshold).components.tolist() == oracle(texts, threshold)


@given(st.integers(0, 10**6), THRESHOLDS, st.sampled_from(["a", "ab", "abcdefgh ", "é靴👟\ud800"]))
def test_edited_texts_are_joined_by_definition(seed: int, threshold: float, alphabet: str) -> None:
    rng = random.Random(seed)
    base = "".join(rng.choice(alphabet) for _ in range(rng.randrange(150)))
    texts = [edited(rng, base, rng.randrange(30), alphabet) for _ in range(6)]
    assert similar_components(texts, threshold).components.tolist() == oracle(texts, threshold)


def adversaries() -> dict[str, list[str]]:
    rng = random.Random(4)
    words = [f"word{i} " for i in range(30)]
    prefix = "the same long beginning, " * 6
    return {
        "long shared prefixes": [prefix + "x" * i for i in range(0, 60, 5)],
        "permutations": ["".join(rng.sample(words, 30)) for _ in range(12)],
        "rotations": [("".join(words)[i:] + "".join(words)[:i]) for i in range(0, 60, 6)],
        "one character, repeated": ["a" * n for n in range(0, 600, 50)],
        "counts beyond a byte": ["ab" * 260 + "c" * i for i in range(0, 80, 16)],
        "other planes": ["👟" * 40 + chr(0x1F600 + i) * (i % 5) for i in range(12)],
        "all symbols distinct": [
            "".join(chr(0x4E00 + i) for i in range(k, k + 90)) for k in range(9)
        ],
        "swapped halves": ["a" * 64 + "b" * 64, "b" * 64 + "a" * 64, "ab" * 64],
    }


@pytest.mark.parametrize("name", list(adversaries()))
@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.95])
def test_adversaries_are_joined_by_definition(name: str, threshold: float) -> None:
    texts = adversaries()[name]
    assert similar_components(texts, threshold).components.tolist() == oracle(texts, threshold)


@given(st.lists(st.text("abc", max_size=15), max_size=10), st.randoms(use_true_random=False))
def test_order_changes_nothing(texts: list[str], rng: random.Random) -> None:
    order = list(range(len(texts)))
    rng.shuffle(order)
    plain = similar_components(texts, 0.8)
    shuffled = similar_components([texts[i] for i in order], 0.8)
    pairs = set(zip(plain.components[order].tolist(), shuffled.components.tolist(), strict=True))
    assert len(pairs) == len(set(plain.components.tolist()))
    assert (plain.merged, plain.largest) == (shuffled.merged, shuffled.largest)


@given(st.text("abc ", max_size=40), st.text("abc ", max_size=40))
def test_whatever_difflib_joins_is_joined(a: str, b: str) -> None:
    ratio = SequenceMatcher(None, a, b, autojunk=False).ratio()
    if ratio > 0:
        assert similar_components([a, b], ratio * (1 - 1e-15)).components.tolist() == [0, 0]


def test_groups_are_apart_and_numbered_one_after_the_other() -> None:
    texts = ["a mug", "a mug!", "a mug", "a jug"]
    found = similar_components(texts, 0.9, group_ids=["x", "y", "x", "y"])
    assert found.components.tolist() == [0, 1, 0, 2]
    assert (found.merged, found.largest) == (0, 1)


def test_counts_are_of_distinct_texts() -> None:
    found = similar_components(["abcd", "abce", "abcd", "xyz"], 0.75)
    assert (found.merged, found.largest) == (1, 2)
    empty = similar_components([], 0.75)
    assert (len(empty.components), empty.merged, empty.largest) == (0, 0, 0)


def test_columns_of_arrow_and_numpy_are_texts_too() -> None:
    texts = ["a mug is here", "a mug is there", "nothing"]
    for column in (np.array(texts), pa.array(texts), tuple(texts)):
        assert similar_components(column, 0.9).components.tolist() == [0, 0, 1]


@pytest.mark.parametrize(
    ("error", "message", "arguments", "options"),
    [
        (ValueError, r"threshold is 1.5; expected a number in \(0, 1\]", (["a"], 1.5), {}),
        (ValueError, r"threshold is 0; expected", (["a"], 0), {}),
        (ValueError, r"threshold is nan; expected", (["a"], float("nan")), {}),
        (ValueError, r"threshold is 'x'; expected", (["a"], "x"), {}),
        (TypeError, r"texts\[1\] is 5 \(int\); expected a str", (["a", 5], 0.9), {}),
        (TypeError, r"texts holds no texts; expected", (np.zeros(3), 0.9), {}),
        (ValueError, r"group_ids has 2 rows and texts 1", (["a"], 0.9), {"group_ids": [0, 0]}),
    ],
)
def test_errors_say_what_was_expected(
    error: type[Exception], message: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        similar_components(*arguments, **options)
