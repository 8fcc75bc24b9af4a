"""The columns of a batch: one list, and whatever repeats it is held equal to it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

import graphgpo
from batches import random_walks
from graphgpo import Rollouts, ingest, reference
from graphgpo.columns import COLUMNS, of_kind
from test_estimators import FILES, HOME, REPOSITORY, texts_beside_each_other

OPTIONAL = [name for name, column in COLUMNS.items() if not column.is_required]


def test_the_columns_are_these() -> None:
    assert {name: column.kind for name, column in COLUMNS.items()} == {
        "states": "state",
        "next_states": "state",
        "group_ids": "id",
        "trajectory_ids": "id",
        "success": "verdict",
        "step_ids": "integer",
        "actions": "key",
        "rewards": "real",
        "episode_returns": "real",
        "edge_costs": "real",
        "action_valid": "flag",
        "mask": "flag",
        "peer_keys": "key",
    }
    assert all(column.meaning.endswith(".") for column in COLUMNS.values())
    required = [name for name in COLUMNS if name not in OPTIONAL]
    assert required == ["states", "group_ids", "trajectory_ids"]
    assert of_kind("key") == ("actions", "peer_keys")
    assert of_kind("flag", "verdict") == ("success", "action_valid", "mask")


@pytest.mark.parametrize(
    "function", [graphgpo.compute_advantages, Rollouts, Rollouts.__init__], ids=str
)
def test_a_signature_has_every_column_in_order(function: Any) -> None:
    parameters = inspect.signature(function).parameters
    states = ("normalise", "similar", "node_history")
    others = ("self", *states, "task_ids", "memory", "estimator", "num_threads", "options")
    assert [name for name in parameters if name not in others] == [*COLUMNS]
    for name in COLUMNS:
        parameter = parameters[name]
        has_default = parameter.default is not inspect.Parameter.empty
        # Whoever leaves success out by mistake would train on failures alone.
        assert has_default == (not COLUMNS[name].is_required and name != "success")
        is_positional = parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        assert is_positional == (COLUMNS[name].kind == "state")


@pytest.mark.parametrize("function", [graphgpo.compute_advantages, reference.compute_advantages])
def test_the_docstring_or_the_list_tells_of_every_column(function: Any) -> None:
    documented = inspect.getdoc(graphgpo.compute_advantages) or ""
    parameters, _, _ = documented.partition("Returns\n")
    assert [name for name in COLUMNS if name not in parameters] == []
    assert inspect.getdoc(function)


def test_there_is_a_reader_for_every_kind() -> None:
    assert {*ingest._READERS} == {column.kind for column in COLUMNS.values()}


@pytest.mark.parametrize("name", COLUMNS)
def test_every_column_is_read_by_both_back_ends(name: str) -> None:
    columns = {**random_walks(1), "mask": [True] * len(random_walks(1)["states"])}
    assert {*columns} == {*COLUMNS}
    for compute in (graphgpo.compute_advantages, reference.compute_advantages):
        with pytest.raises((TypeError, ValueError), match=name):
            compute(**{**columns, name: columns[name][:-1]})


@pytest.mark.parametrize("path", FILES, ids=str)
def test_nobody_has_a_list_of_columns_of_their_own(path: Path) -> None:
    if path in ALLOWED:
        return
    for texts in texts_beside_each_other(ast.parse((REPOSITORY / path).read_text("utf-8"))):
        assert len(texts & {*COLUMNS}) < len(COLUMNS) - 2, texts


# The signature's arguments become a mapping there, and the test above holds it to the list.
ALLOWED = {HOME / "rollouts.py", HOME / "columns.py"}
