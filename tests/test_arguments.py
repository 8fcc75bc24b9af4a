"""Public functions under values that nobody should give them."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest

import graphgpo
from arguments import is_taken_or_refused_in_words, some_wrong, targets
from graphgpo import blocks, estimators, report, states


@pytest.mark.parametrize("name", sorted(targets()))
def test_whatever_is_given_is_taken_or_refused_in_words(name: str) -> None:
    known = targets()[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in range(40):
            wrong = some_wrong(random.Random(f"{name} {case}"), known)
            assert is_taken_or_refused_in_words(known, wrong), (case, wrong)


OUTCOME = blocks.Outcome()


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"score": 3}, TypeError, "score of Term is 3; expected EdgeReturn or Target or "),
        ({"peers": "task"}, TypeError, "peers of Term is 'task'; expected SameState or "),
        ({"normaliser": blocks.Mean}, TypeError, "normaliser of Term is a type; expected Raw or "),
        ({"modifiers": (3,)}, TypeError, "modifiers of Term is a tuple with 3; expected "),
        ({"unit": "step"}, ValueError, "unit of Term is 'step'; expected one of 'steps', "),
        ({"weight": None}, TypeError, "weight of Term is None; expected a number"),
        ({"weight": True}, TypeError, "weight of Term is True; expected a number"),
        ({"peer_weights": ("a",)}, TypeError, "peer_weights of Term is a tuple with 'a'; expected"),
        ({"base": OUTCOME}, TypeError, "base of Term is a Outcome; expected Term or None"),
    ],
)
def test_a_block_names_the_field_that_is_wrong(
    fields: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        blocks.Term(**{"score": OUTCOME, **fields})
    assert str(caught.value).startswith(text)


ROLLOUTS = graphgpo.Rollouts(["a"], group_ids=[0], trajectory_ids=[0], success=[True])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: estimators.make("grpo", [1]),  # type: ignore[arg-type]
            "options is a list; expected a mapping of names to values",
        ),
        (
            lambda: estimators.load(3),  # type: ignore[arg-type]
            "estimator is a int; expected a name",
        ),
        (
            lambda: graphgpo.Rollouts.read(3),
            "paths is a int; expected a path, a glob, '-', several of them, or a data frame",
        ),
        (
            lambda: graphgpo.Rollouts.read(["a.jsonl", 3]),
            "paths hold a int; expected a path, a glob, '-', several of them, or a data frame",
        ),
        (
            lambda: states.normalise(["a"], "clock"),  # type: ignore[arg-type]
            "normaliser is a str; expected a graphgpo.states.Normaliser",
        ),
        (
            lambda: states.Normaliser(ignore=3),  # type: ignore[arg-type]
            "ignore is a int; expected a list of regular expressions",
        ),
        (
            lambda: report.draw(ROLLOUTS),  # type: ignore[arg-type]
            "graph is a Rollouts; expected that of Rollouts.graph()",
        ),
        (
            lambda: report.draw(ROLLOUTS.graph(), "gigpo"),
            "credits is a str; expected a number for each of the rows",
        ),
        (
            lambda: report.draw(ROLLOUTS.graph(), labels="first line"),
            "labels is a str; expected a function of a state",
        ),
        (
            lambda: report.draw(ROLLOUTS.graph(), group=0.5),
            "group is a float; expected the id of a task",
        ),
        (
            lambda: report.page(["a"]),  # type: ignore[arg-type]
            "rollouts is a list; expected graphgpo.Rollouts",
        ),
        (
            lambda: report.page(ROLLOUTS, title=3),  # type: ignore[arg-type]
            "title is a int; expected text",
        ),
        (
            lambda: report.page(ROLLOUTS, tasks="mugs"),
            "tasks is a str; expected a list of texts",
        ),
        (
            lambda: report.page(ROLLOUTS, notes=[3]),  # type: ignore[list-item]
            "notes hold a int; expected a list of texts",
        ),
    ],
)
def test_a_wrong_argument_is_named(call: Any, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == text
