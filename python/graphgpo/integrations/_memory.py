"""`memory="runs/x/memory.parquet"`: what was ever done in a task, in one file beside a run.

Needs the extra `graphgpo[files]`. The file is read when the run begins and written, as a whole or
not at all, after every training step. It belongs to no checkpoint: a memory is a set of edges ever
seen, so one that is a few steps ahead of the policy it is resumed with is right all the same.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graphgpo.integrations._recording import RecordedSteps
from graphgpo.memory import GraphMemory

_open: dict[Path, GraphMemory] = {}


def memory_of(given: Any) -> GraphMemory | None:
    """The memory of a run, from a trainer's option.

    None; a `graphgpo.GraphMemory`; the path of its file; or a mapping of its arguments, "path"
    among them. One file is one memory in this process, whoever asks for it.
    """
    if given is None or isinstance(given, GraphMemory):
        return given
    if isinstance(given, Mapping):
        arguments = {str(name): value for name, value in given.items()}
        if arguments.get("path") is None:
            raise ValueError("memory has no path; expected one: its file, which a run goes on from")
    elif isinstance(given, (str, os.PathLike)):
        arguments = {"path": given}
    else:
        raise TypeError(
            f"memory is a {type(given).__name__}; expected a path, a mapping of the arguments of "
            "graphgpo.GraphMemory, or one"
        )
    file = Path(arguments["path"]).absolute()
    if file not in _open:
        _open[file] = GraphMemory(**arguments)
    return _open[file]


def keep(memory: GraphMemory | None) -> None:
    """Write its file, if it has one."""
    if memory is not None and memory.path is not None:
        memory.path.parent.mkdir(parents=True, exist_ok=True)
        memory.save()


def tasks_of_steps(steps: RecordedSteps, of_row: Sequence[Any] | None = None) -> list[Any]:
    """The task of every step: what its recorder says, else what the trainer's data says.

    Raises
    ------
    ValueError
        If neither does, saying how to name it.
    """
    tasks = []
    for row, task in zip(steps.rows.tolist(), steps.task_ids, strict=True):
        if task is None and of_row is not None:
            task = of_row[row]
        if task is None:
            raise ValueError(
                f"row {row} has no task_id, and a memory needs one: what names the task in every "
                "batch, such as the game's seed. Give it to StepRecorder(task_id=...), or as the "
                "column task_id of the data set where the trainer passes that on"
            )
        tasks.append(task)
    return tasks
