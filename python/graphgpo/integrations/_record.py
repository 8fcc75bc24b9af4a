"""`record="runs/x"`: what a training step credited, as a Parquet file that readers know.

Needs the extra `graphgpo[files]`. Rows are made while the trainer waits, which is quick; the file
is written beside it, by one thread. A run that dies leaves every file before the last one whole.
"""

from __future__ import annotations

import functools
import json
import logging
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphgpo import __version__
from graphgpo.estimators import Estimator
from graphgpo.keys import state_key

if TYPE_CHECKING:
    import pyarrow as pa

    from graphgpo.result import StepAdvantages

logger = logging.getLogger(__name__)

_STEP = re.compile(r"step_(\d+)\.parquet")


class StepRecord:
    """The files of one run: `step_000003.parquet`, a row per step with its credit.

    Parameters
    ----------
    folder : path
        Where to. Made with the first file.
    rank : int, optional
        Of several that write: a folder `rank_1` each.
    """

    def __init__(self, folder: str, rank: int | None = None) -> None:
        from graphgpo.files import StepWriter

        self.folder = Path(folder) if rank is None else Path(folder) / f"rank_{rank}"
        self._writer = StepWriter(self.folder, metadata={"graphgpo": __version__})
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="graphgpo-record")
        self._writing: Future[Path] | None = None
        self._step = max(_steps_there(self.folder), default=-1)
        self._rows: list[pa.Table] = []
        self._has_failed = False

    def write(
        self,
        training_step: int | None,
        result: StepAdvantages,
        estimator: Estimator,
        *,
        group_ids: Sequence[Any],
        trajectory_ids: Sequence[Any],
        step_ids: Sequence[int],
        states: Sequence[Any],
        next_states: Sequence[Any],
        actions: Sequence[Any] | None,
        success: Iterable[bool | None],
        outcomes: Iterable[float],
        rewards: Iterable[float] | None = None,
    ) -> None:
        """Leave the steps of one batch to the thread; what cannot be written is logged, once.

        `training_step` None: the one after the last. A second batch of one step is kept beside the
        first, as groups of their own.
        """
        import pyarrow as pa

        if training_step is None:
            training_step = self._step + 1
        self._rows = self._rows if training_step == self._step else []
        self._step = training_step
        batch = len(self._rows)
        prefix = f"{batch}/" if batch else ""
        count = len(states)
        columns = {
            "group_id": pa.array([f"{prefix}{_text(group)}" for group in group_ids], pa.string()),
            "trajectory_id": pa.array([_text(one) for one in trajectory_ids], pa.string()),
            "step_id": pa.array(step_ids, pa.int64()),
            **_state_columns(states, next_states),
            "action": pa.nulls(count, pa.string()) if actions is None else _texts(actions),
            "success": pa.array(_plain(success), pa.bool_()),
            "outcome": pa.array(_plain(outcomes), pa.float64(), from_pandas=True),
            "reward": pa.nulls(count, pa.float64()) if rewards is None else _numbers(rewards),
            f"advantage_{estimator.name}": pa.array(result.advantages, pa.float32()),
        }
        self._rows.append(pa.table(columns))
        self._submit(training_step, pa.concat_tables(self._rows))

    def wait(self) -> None:
        """Until the last file is there. The end of the interpreter waits too."""
        if self._writing is not None:
            self._writing.exception()

    def _say_failure(self, writing: Future[Path]) -> None:
        error = writing.exception()
        if error is not None and not self._has_failed:
            self._has_failed = True
            logger.warning(
                "graphgpo: a training step could not be recorded in %s: %s (said once)",
                self.folder,
                error,
            )

    def _submit(self, training_step: int, rows: pa.Table) -> None:
        self.wait()  # or a slow disk would let them pile up
        self._writing = self._thread.submit(self._writer.write, training_step, rows)
        self._writing.add_done_callback(self._say_failure)


@functools.cache
def step_record(folder: str, rank: int | None = None) -> StepRecord:
    """The one record of a folder in this process."""
    return StepRecord(folder, rank)


def _steps_there(folder: Path) -> list[int]:
    names = (path.name for path in folder.glob("step_*.parquet"))
    return [int(match[1]) for match in map(_STEP.fullmatch, names) if match]


def _plain(values: Iterable[Any]) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _numbers(values: Iterable[float]) -> pa.Array:
    import pyarrow as pa

    return pa.array(_plain(values), pa.float64())


def _state_columns(states: Sequence[Any], next_states: Sequence[Any]) -> dict[str, pa.Array]:
    """Both in one form, in which equal states have equal texts and others have others."""
    both = _texts([*states, *next_states])
    return {"state": both[: len(states)], "next_state": both[len(states) :]}


def _texts(values: Sequence[Any]) -> pa.Array:
    """Texts as they are, if all are; else all of them as JSON or, what JSON cannot say, by key."""
    import pyarrow as pa

    if all(value is None or isinstance(value, str) for value in values):
        return pa.array(values, pa.string())
    return pa.array([None if value is None else _json(value) for value in values], pa.string())


def _json(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    except (TypeError, ValueError):
        return f"state {state_key(value) & (2**64 - 1):016x}"
