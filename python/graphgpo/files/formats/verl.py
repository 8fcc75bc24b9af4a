"""verl: `{step}.jsonl` of `trainer.rollout_data_dir`, a line per output of an agent loop.

The v1 trainer's uid is `{group}_{session}_{index}`. verl-agent's dumps have it all in columns of
their own, once uid, traj_uid and anchor_obs are among what is dumped.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import msgspec

from ..errors import FileError, quoted
from ..jsonl import records
from ..paths import Source
from ..rows import Rollout, group_key
from ..values import as_text
from . import refused
from .context import UNSCORED, Context

MAPPING = {
    "group_id": "step, uid before _{session}_{index}",
    "trajectory_id": "uid before _{index}",
    "step_id": "index, the end of uid",
    "state": "input",
    "next_state": "input of the following index",
    "action": "output",
    "outcome": "score of the last index",
}


class Record(msgspec.Struct):
    """A line; token ids and the like are skipped unread."""

    uid: str | None = None
    input: str | None = None
    output: str | None = None
    score: float | None = None
    step: int | None = None
    traj_uid: str | None = None
    anchor_obs: Any = None
    step_id: int | None = None


class _Step(msgspec.Struct):
    index: int
    row: int
    state: str
    action: str | None
    score: float | None


def read(source: Source, context: Context) -> Iterator[Rollout]:
    """Rollouts of one file, held in memory: the trainer has shuffled its lines.

    Raises
    ------
    FileError
        If a line has no input, or a uid that does not say which rollout and index it is.
    """
    sessions: dict[tuple[str, str], list[_Step]] = {}
    for row, record in records(source, Record, context.report):
        if record.uid is None:
            raise refused.error("verl without ids", source.name, row)
        if record.traj_uid is not None:
            group, session, index = _of_verl_agent(record, sessions, source, context)
        else:
            group, session, index = _of_uid(record.uid, source.name, row)
        key = (_group_key(group, record, source), session)
        state = record.input if record.anchor_obs is None else as_text(record.anchor_obs)
        if state is None:
            raise FileError("there is no input, which is the state", source.name, row)
        step = _Step(index, row, state, record.output, record.score)
        sessions.setdefault(key, []).append(step)
    for (group, session), steps in sessions.items():
        steps.sort(key=lambda step: step.index)
        score = steps[-1].score
        if score is None:
            context.leave_out(UNSCORED)
            continue
        _check_indices(steps, source.name)
        yield Rollout(
            group_id=group,
            trajectory_id=session,
            states=[step.state for step in steps],
            last_state=None,
            actions=[step.action for step in steps],
            outcome=score,
            source_row=[step.row for step in steps],
            step_ids=[step.index for step in steps],
        )


def _group_key(group: str, record: Record, source: Source) -> str:
    named = source.stem if source.stem.isdecimal() else None  # {step}.jsonl
    return group_key(group, training_step=named if record.step is None else record.step)


def _of_uid(uid: str, file: str, row: int) -> tuple[str, str, int]:
    parts = uid.rsplit("_", 2)
    if len(parts) != 3 or not parts[2].isdecimal():
        raise FileError(
            f"uid is {quoted(uid)}, expected '{{group}}_{{session}}_{{index}}' as the v1 trainer "
            "writes it",
            file,
            row,
        )
    return parts[0], f"{parts[0]}_{parts[1]}", int(parts[2])


def _of_verl_agent(
    record: Record,
    sessions: dict[tuple[str, str], list[_Step]],
    source: Source,
    context: Context,
) -> tuple[str, str, int]:
    assert record.uid is not None
    assert record.traj_uid is not None
    if record.step_id is not None:
        return record.uid, record.traj_uid, record.step_id
    context.report.warn(
        "no step_id: the steps of a rollout are taken in the order of their lines, which trainers "
        "that balance their batches change; dump step_id too"
    )
    key = (_group_key(record.uid, record, source), record.traj_uid)
    return record.uid, record.traj_uid, len(sessions.get(key, ()))


def _check_indices(steps: list[_Step], file: str) -> None:
    for one, following in pairwise(steps):
        if one.index == following.index:
            raise FileError(
                f"the same step of the same rollout as on line {one.row + 1}", file, following.row
            )
