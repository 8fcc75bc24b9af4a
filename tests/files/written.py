"""Small files of every format, and rows in a form that can be compared."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

CORPORA = Path(__file__).parent.parent / "corpora"

Rows = list[dict[str, Any]]


def lines(path: Path, records: Iterable[Any]) -> Path:
    """A JSON Lines file; a record that is a str is a line as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = (record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def document(path: Path, content: Any) -> Path:
    """A JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2))
    return path


def steps(*, training_step: int | None = None) -> Rows:
    """One task, a rollout that wins in two steps and one that loses in one."""
    extra = {} if training_step is None else {"training_step": training_step}
    ids = {"group_id": "task", **extra}
    won = {**ids, "trajectory_id": "won", "success": True}
    lost = {**ids, "trajectory_id": "lost", "success": False}
    return [
        {**won, "step_id": 0, "state": "hall", "next_state": "door", "action": "walk"},
        {**won, "step_id": 1, "state": "door", "next_state": "garden", "action": "open"},
        {**lost, "step_id": 0, "state": "hall", "next_state": "cellar", "action": "fall"},
    ]


def chat(*texts: str, role: str = "role", content: str = "content") -> list[dict[str, str]]:
    """Texts of the environment and the policy in turn, the environment first."""
    speakers = ("user", "assistant")
    return [{role: speakers[i % 2], content: text} for i, text in enumerate(texts)]


def chats(key: str, ids: Mapping[str, Any], outcome: str) -> Rows:
    """The same two rollouts as records that hold a chat."""
    won = {**ids, key: chat("hall", "walk", "door", "open", "garden"), outcome: 1.0}
    lost = {**ids, key: chat("hall", "fall"), outcome: 0.0}
    return [won, lost]


def seen(rows: pa.Table | Rows) -> list[Any]:
    """Rows without the names of their ids: groups of rollouts of steps, sorted."""
    groups: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    for row in rows.to_pylist() if isinstance(rows, pa.Table) else rows:
        groups[row["group_id"]][row["trajectory_id"]].append(row)
    named = ("step_id", "state", "next_state", "action", "success", "outcome", "reward")
    return sorted(
        (
            sorted(
                (
                    [tuple(row[name] for name in named) for row in sorted_steps(rollout)]
                    for rollout in group.values()
                ),
                key=repr,
            )
            for group in groups.values()
        ),
        key=repr,
    )


def sorted_steps(rows: Rows) -> Rows:
    """Rows of one rollout in the order of their steps."""
    return sorted(rows, key=lambda row: row["step_id"])


def states(rows: pa.Table) -> list[tuple[str, str | None]]:
    """State and next state of every row."""
    return list(zip(rows["state"].to_pylist(), rows["next_state"].to_pylist(), strict=True))
