"""Noise in texts becomes tags, exactly as the expressions in `patterns` say."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphgpo.states import Normaliser, normalise
from graphgpo.states.normaliser import CLASS_NAMES
from graphgpo.states.patterns import CLASSES, normalise_with_re

# Pieces that make and break each class where they meet.
PIECES = (
    *("2026-11-28", "2026/11/28", "T", "10:03:17", "9:03", ":", "Z", " UTC", "+01:00", " -0500"),
    *("Nov", "Nov 28 10:03", "Sat", "Sat, ", "28", "28/Nov/2026:10:03:17", "2026", "20261128"),
    *("T100317", "1795860197", ".123", "000", "am", " PM", "deadbeef", "9f3ade12", "0x", "0X1f"),
    *("550e8400-e29b-41d4-a716-446655440000", "-", "abcd", "http://", "https://x.y/z?q", ").", "'"),
    *(" ", "  ", "\t", "\n", "\r\n", "\r", "a", "g", "7", "é", "靴", "👟", "\ud800", ",", "/", "_"),
)
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.text(max_size=30))
CHOICES = st.sets(st.sampled_from(sorted(CLASS_NAMES)))
NOTHING: dict[str, Any] = dict.fromkeys(CLASS_NAMES, False)


def only(*classes: str, **others: Any) -> Normaliser:
    return Normaliser(**NOTHING | dict.fromkeys(classes, True) | others)


@given(st.lists(TEXTS, max_size=8), CHOICES)
def test_the_scanner_means_what_the_expressions_say(texts: list[str], classes: set[str]) -> None:
    expected = [normalise_with_re(text, classes) for text in texts]
    assert only(*classes).texts(texts) == expected


@given(TEXTS, CHOICES, st.sampled_from([r"\d+", "a|é", r"[^ ]+ ", "👟", ":"]))
def test_what_overlaps_a_kept_stretch_stays(text: str, classes: set[str], keep: str) -> None:
    kept = [match.span() for match in re.finditer(keep, text)]
    expected = normalise_with_re(text, classes, kept)
    assert only(*classes, keep=[keep])(text) == expected


@given(TEXTS)
def test_normalising_twice_is_normalising_once(text: str) -> None:
    once = normalise([text], urls=True)
    assert normalise(once, urls=True) == once


def test_every_switch_is_a_class_and_every_class_a_switch() -> None:
    assert set(CLASSES) == set(CLASS_NAMES)


@pytest.mark.parametrize(
    ("switch", "text", "expected"),
    [
        ("timestamps", "[2026-11-28 10:03:17,123] open", "[<time>] open"),
        ("timestamps", "at 10:03, ratio 1:2", "at 10:03, ratio 1:2"),
        ("uuids", "id=550E8400-e29b-41d4-a716-446655440000;", "id=<uuid>;"),
        ("hex", "session=9f3ade12, 0x7f, deadbeef", "session=<hex>, <hex>, deadbeef"),
        ("urls", "see (https://a.b/c?d=1).", "see (<url>)."),
        ("numbers", "train 2, v1.10", "train <num>, v<num>.<num>"),
        ("whitespace", "a  b \r\n c\t\n\n ", "a  b\n c"),
    ],
)
def test_each_switch_is_for_its_class_alone(switch: str, text: str, expected: str) -> None:
    assert only(switch)(text) == expected
    assert only(*set(CLASS_NAMES) - {switch})(text) != expected or text == expected


def test_boards_drawn_with_blanks_stay_apart() -> None:
    boards = ["#  @ #\n#    #", "# @  #\n#    #", "#    #\n#  @ #"]
    assert len(set(normalise(boards))) == 3


def test_ignore_reads_the_text_as_it_is() -> None:
    normaliser = Normaliser(ignore=[r"^\[.*?\] ", r"x*", "ad: .*"], keep=["ad: keep"])
    assert normaliser("[10:03:17] hall\nad: shoes") == "<ignored>hall\n<ignored>"
    assert normaliser("ad: keep 10:03:17") == "ad: keep <time>"


def test_a_compiled_expression_keeps_its_flags() -> None:
    normaliser = Normaliser(ignore=[re.compile("ADVERT.*", re.IGNORECASE)])
    assert normaliser("hall advert 3") == "hall <ignored>"


def test_a_normaliser_is_a_value() -> None:
    assert Normaliser(ignore=["a"]) == Normaliser(ignore=("a",))
    assert hash(Normaliser(keep=["b"])) == hash(Normaliser(keep=("b",)))
    with pytest.raises(FrozenInstanceError):
        Normaliser().hex = False  # type: ignore[misc]


TEXT_COLUMN = ["10:03:17 hall", "bath", "10:03:17 hall", "靴 0x1f"]
CLEAN_COLUMN = ["<time> hall", "bath", "<time> hall", "靴 <hex>"]


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        lambda values: np.array(values, object),
        lambda values: np.array(values, np.dtypes.StringDType()),
        pa.array,
        lambda values: pa.array(values, pa.large_string()),
        lambda values: pa.array(values).dictionary_encode(),
        lambda values: pa.chunked_array([values[:1], values[1:]]),
        pl.Series,
        pd.Series,
    ],
    ids=[
        "list",
        "tuple",
        "fixed",
        "object",
        "string_dtype",
        "arrow",
        "large",
        "dictionary",
        "chunked",
        "polars",
        "pandas",
    ],
)
def test_every_kind_of_text_column_gives_the_same_list(make: Any) -> None:
    assert normalise(make(TEXT_COLUMN)) == CLEAN_COLUMN


def test_equal_texts_share_one_object_and_unchanged_ones_are_passed_on() -> None:
    column = ["10:03:17 hall", "".join(["10:03:17", " hall"]), "bath"]
    first, second, third = normalise(column)
    assert first is second
    assert third is column[2]


def test_what_is_no_text_passes() -> None:
    board = np.zeros((3, 2, 2))
    assert normalise(["0x1f", None, 5, (1, "0x1f")]) == ["<hex>", None, 5, (1, "0x1f")]
    assert normalise(board) is board
    assert normalise(pa.array(["0x1f", None])) == ["<hex>", None]
    assert normalise([]) == []


def test_a_normaliser_and_a_switch_go_together() -> None:
    assert normalise(["0x1f 7"], Normaliser(numbers=True), hex=False) == ["<num>x<num>f <num>"]


@pytest.mark.parametrize(
    ("error", "message", "switches"),
    [
        (TypeError, r"normalise has no switch 'digits'; expected one of timestamps", {"digits": 1}),
        (TypeError, r"hex is 1; expected True or False", {"hex": 1}),
        (TypeError, r"ignore is one expression; .*: ignore=\['a'\]", {"ignore": "a"}),
        (TypeError, r"keep\[1\] is 5 \(int\); expected a regular", {"keep": ["a", 5]}),
        (TypeError, r"keep\[0\] is re.compile\(b'a'\) \(Pattern\)", {"keep": [re.compile(b"a")]}),
        (ValueError, r"ignore\[0\] is '\(': missing \), .*; expected a", {"ignore": ["("]}),
    ],
)
def test_errors_say_what_was_expected(
    error: type[Exception], message: str, switches: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        normalise(["hall"], **switches)


def test_texts_have_one_axis() -> None:
    with pytest.raises(ValueError, match=r"states has shape \(1, 2\); expected \(N,\)"):
        normalise(np.array([["a", "b"]]))
