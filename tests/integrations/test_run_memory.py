"""A memory in trainers: one option, one file, the same credit as the plain call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from recorded import Recorded
from test_verl_agent import GOLDEN, Golden

import graphgpo
from graphgpo.integrations import _memory, _wiring
from graphgpo.integrations._memory import memory_of
from graphgpo.integrations._recording import StepRecorder
from graphgpo.integrations.verl import ADVICE, RecordedRows, _options, compute_token_advantages
from graphgpo.integrations.verl_agent import compute_advantages


@pytest.fixture(autouse=True)
def _nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "_open", {})
    _wiring._said.clear()


def named(recorded: Recorded, rollout: int) -> dict[str, Any]:
    fields: dict[str, Any] = recorded.fields(rollout)["graphgpo"]
    return {**fields, "task_id": f"seed of {recorded.uids[rollout]}"}


def token_advantages(recorded: Recorded, memory: Any, *, names: bool = True) -> Any:
    tensors, (columns, _) = recorded.batch(None)
    steps = columns["graphgpo"].tolist()
    if names:
        steps = [named(recorded, row) for row in range(len(recorded))]
    rows = RecordedRows(steps=steps, group_ids=columns["uid"].tolist())
    return compute_token_advantages(
        rows, tensors["token_level_rewards"], tensors["response_mask"], memory=memory
    )


def test_verl_gives_what_the_plain_call_gives_with_a_memory(tmp_path: Path) -> None:
    recorded = Recorded(num_rollouts=8)
    ours = [token_advantages(recorded, tmp_path / "run" / "m.parquet") for _ in range(2)]
    memory = graphgpo.GraphMemory()
    for tokens in ours:
        expected = graphgpo.compute_advantages(
            **recorded.rollouts,
            task_ids=[f"seed of task_{group}" for group in recorded.rollouts["group_ids"]],
            memory=memory,
        ).advantages
        np.testing.assert_array_equal(recorded.of_steps(tokens), expected)
    assert graphgpo.GraphMemory(path=tmp_path / "run" / "m.parquet").num_edges == memory.num_edges


def test_a_run_goes_on_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded, file = Recorded(num_rollouts=8), str(tmp_path / "m.parquet")
    token_advantages(recorded, file)
    without_a_break = token_advantages(recorded, file)
    (tmp_path / "m.parquet").unlink()
    monkeypatch.setattr(_memory, "_open", {})
    token_advantages(recorded, file)
    monkeypatch.setattr(_memory, "_open", {})  # as in a new process
    assert (token_advantages(recorded, file) == without_a_break).all()


def test_verl_agent_takes_task_ids_beside_the_rows(tmp_path: Path) -> None:
    golden = Golden(GOLDEN[0])
    batch = golden.batch()
    with pytest.raises(KeyError, match=r"no 'task_ids' in non_tensor_batch, and a memory needs"):
        compute_advantages(batch, memory=tmp_path / "m.parquet")
    batch.non_tensor_batch["task_ids"] = golden.uid
    before = compute_advantages(batch)
    first, second = (compute_advantages(batch, memory=tmp_path / "m.parquet") for _ in range(2))
    assert first == second  # the same edges again
    assert first.keys() == before.keys()
    assert graphgpo.GraphMemory(path=tmp_path / "m.parquet").num_batches == 2


def test_a_task_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"row 0 has no task_id, and a memory needs one: .*seed"):
        token_advantages(Recorded(num_rollouts=2), tmp_path / "m.parquet", names=False)
    with pytest.raises(TypeError, match=r"task_id is 1\.5 \(float\); expected an int, str"):
        StepRecorder(task_id=1.5)


def test_the_data_set_may_name_tasks_where_the_recorder_does_not() -> None:
    first, second = StepRecorder(task_id=7), StepRecorder()
    for recorder in (first, second):
        recorder.add("hall")
        recorder.add("kitchen")
    fields = [recorder.rollout_fields(success=True)["graphgpo"] for recorder in (first, second)]
    steps = _memory_steps(fields)
    assert _memory.tasks_of_steps(steps, ["a", "b"]) == [7, 7, "b", "b"]


def _memory_steps(fields: list[dict[str, Any]]) -> Any:
    from graphgpo.integrations._recording import recorded_steps

    return recorded_steps(dict(enumerate(fields)), ADVICE)


def test_an_option_is_a_file_its_arguments_or_a_memory(tmp_path: Path) -> None:
    file = tmp_path / "m.parquet"
    bounded = memory_of({"path": file, "max_states_per_task": 9})
    assert bounded is not None
    assert bounded.max_states_per_task == 9
    assert memory_of(str(file)) is bounded
    assert memory_of(bounded) is bounded
    assert memory_of(None) is None
    with pytest.raises(ValueError, match="memory has no path; expected one"):
        memory_of({"max_age": 3})
    with pytest.raises(TypeError, match="memory is a int; expected a path, a mapping"):
        memory_of(3)
    _, beside = _options({"graphgpo": {"estimator": "spread", "memory": str(file), "record": "r"}})
    assert beside == {"memory": str(file), "record": "r"}
