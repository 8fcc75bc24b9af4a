"""Dumps of trainers and evaluations: verl, rllm, verifiers, atif."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from written import chat, document, lines, states

from graphgpo.files import FileError, RowReader, read_rows
from graphgpo.files.formats.context import CRASHED, EMPTY, UNSCORED


def read(where: Any, **options: Any) -> tuple[RowReader, Any]:
    reader = read_rows(where, **options)
    return reader, reader.table()


def test_long_states_make_short_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphgpo.files.rows.TARGET_CHARACTERS", 1000)
    records = [verl(f"a_{session}_0", input="x" * 400) for session in range(10)]
    tables = list(read_rows(lines(tmp_path / "1.jsonl", records)))
    assert [table.num_rows for table in tables] == [3, 3, 3, 1]


# verl


def verl(uid: str, **more: Any) -> dict[str, Any]:
    return {"input": "hall", "output": "walk", "score": 1.0, "step": 1, "uid": uid, **more}


def test_verl_steps_are_put_in_order_and_the_last_score_counts(tmp_path: Path) -> None:
    records = [
        verl("a_b_0_10", input="garden", score=0.0),
        verl("a_b_1_0"),
        verl("a_b_0_9", input="door", score=1.0),
    ]
    _, table = read(lines(tmp_path / "1.jsonl", records))
    rows = {row["step_id"]: row for row in table.to_pylist()}
    assert rows[9]["next_state"] == "garden"
    assert (rows[9]["success"], rows[10]["outcome"]) == (False, 0.0)
    assert (rows[9]["source_row"], rows[10]["source_row"]) == (2, 0)


def test_the_same_uid_at_two_steps_is_two_groups(tmp_path: Path) -> None:
    records = [verl(f"a_{session}_0", step=step) for step in (1, 2) for session in (0, 1)]
    assert read(lines(tmp_path / "1.jsonl", records))[0].report.num_groups == 2


def test_without_a_step_the_name_of_the_file_says_it(tmp_path: Path) -> None:
    for name in ("1", "2"):
        lines(tmp_path / f"{name}.jsonl", [verl(f"a_{i}_0", step=None) for i in (0, 1)])
    assert read(tmp_path)[0].report.num_groups == 2


def test_a_named_format_passes_over_other_files_of_a_folder(tmp_path: Path) -> None:
    lines(tmp_path / "1.jsonl", [verl("a_0_0"), verl("a_1_0")])
    lines(tmp_path / "metrics.jsonl", [{"loss": 1.0}])
    assert read(tmp_path, format="verl")[0].report.num_files == 1


@pytest.mark.parametrize("score", [None, float("nan")])
def test_verl_without_score_is_unscored(score: Any, tmp_path: Path) -> None:
    records = [verl("a_0_0"), verl("a_1_0"), verl("a_2_0", score=score)]
    reader, _ = read(lines(tmp_path / "1.jsonl", records))
    assert dict(reader.report.left_out) == {UNSCORED: 1}


@pytest.mark.parametrize("uid", ["a", "a_0", "a_0_x"])
def test_a_uid_that_is_none_is_an_error(uid: str, tmp_path: Path) -> None:
    path = lines(tmp_path / "1.jsonl", [verl("a_0_0"), verl(uid)])
    with pytest.raises(FileError) as error:
        read(path)
    assert str(error.value) == (
        f"{path}, line 2: uid is {uid!r}, expected '{{group}}_{{session}}_{{index}}' as the v1 "
        "trainer writes it"
    )


def test_the_same_step_twice_is_an_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "1.jsonl", [verl("a_0_0"), verl("a_1_0"), verl("a_0_0")])
    with pytest.raises(FileError) as error:
        read(path)
    expected = "the same step of the same rollout as on line 1"
    assert str(error.value) == f"{path}, line 3: {expected}"


def test_a_later_line_without_uid_is_refused_too(tmp_path: Path) -> None:
    path = lines(tmp_path / "1.jsonl", [verl("a_0_0"), {**verl(""), "uid": None}])
    with pytest.raises(FileError, match=f"{path}, line 2: this is a dump of verl's legacy trainer"):
        read(path)


def test_verl_agent_is_read_once_its_ids_are_dumped(tmp_path: Path) -> None:
    records = [
        verl("task", traj_uid="a", anchor_obs="hall"),
        verl("task", traj_uid="b", anchor_obs="hall", score=0.0),
        verl("task", traj_uid="a", anchor_obs="door"),
    ]
    reader, table = read(lines(tmp_path / "1.jsonl", records))
    assert states(table) == [("hall", "door"), ("door", None), ("hall", None)]
    assert reader.report.warnings[0].startswith("no step_id: the steps of a rollout are taken")
    for index, record in enumerate(records):
        record["step_id"] = 5 - index
    reader, table = read(lines(tmp_path / "1.jsonl", records))
    assert states(table) == [("door", "hall"), ("hall", None), ("hall", None)]
    assert not reader.report.warnings


# rllm


def episode(observations: list[Any], **more: Any) -> dict[str, Any]:
    made = []
    talk: list[Any] = [{"role": "system", "content": "rules"}]
    for place, observation in enumerate(observations):
        talk = [*talk, *chat(f"seen {place}", f"did {place}")]
        made.append(
            {"observation": observation, "action": None, "reward": 0.5, "chat_completions": talk}
        )
    return {
        "training_step": 3,
        "episode_id": "e:0",
        "task_hash": "abc",
        "is_correct": True,
        "termination_reason": "env_done",
        "trajectories": [{"name": "player", "uid": "u", "steps": made}],
        **more,
    }


def episodes(folder: Path, *contents: dict[str, Any]) -> Path:
    for place, content in enumerate(contents):
        document(folder / "train_step_3_epoch_0" / f"episode_{place}.json", content)
    document(folder / "train_step_3_epoch_0" / "batch_summary.json", {"training_step": 3})
    return folder


def lost(**more: Any) -> dict[str, Any]:
    return episode(["hall"], episode_id="e:1", is_correct=False, **more)


def test_without_observations_the_chat_shows_the_states(tmp_path: Path) -> None:
    reader, table = read(episodes(tmp_path, episode([None, None]), lost()))
    assert states(table)[:2] == [("seen 0", "seen 1"), ("seen 1", None)]
    assert table["action"].to_pylist()[:2] == ["did 0", "did 1"]
    assert reader.report.num_files == 2


def test_a_chat_may_end_before_the_answer(tmp_path: Path) -> None:
    content = episode([None])
    content["trajectories"][0]["steps"][0]["chat_completions"].pop()
    assert states(read(episodes(tmp_path, content, lost()))[1])[0] == ("seen 0", None)


def test_an_observation_may_be_more_than_a_text(tmp_path: Path) -> None:
    table = read(episodes(tmp_path, episode([{"b": 1, "a": [2]}]), lost()))[1]
    assert table["state"].to_pylist()[0] == '{"a":[2],"b":1}'


def test_agents_of_one_episode_are_groups_of_their_own(tmp_path: Path) -> None:
    two = [episode(["hall"], episode_id=f"e:{i}") for i in (0, 1)]
    for content in two:
        content["trajectories"].append({**content["trajectories"][0], "name": "judge", "uid": "v"})
    reader, table = read(episodes(tmp_path, *two))
    assert set(table["group_id"].to_pylist()) == {"step=3|abc|player", "step=3|abc|judge"}
    assert reader.report.num_rollouts == 4


def test_crashed_empty_and_unscored_episodes_are_counted_apart(tmp_path: Path) -> None:
    reader, _ = read(
        episodes(
            tmp_path,
            episode(["hall"]),
            lost(),
            episode(["hall"], termination_reason="error", is_correct=False),
            episode([]),
            episode(["hall"], is_correct=None),
            episode(["hall"], trajectories=[]),
        )
    )
    assert dict(reader.report.left_out) == {CRASHED: 1, EMPTY: 2, UNSCORED: 1}


# verifiers


def node(
    parent: int | None, role: str, content: str, sampled: bool = False, **more: Any
) -> dict[str, Any]:
    message = {"role": role, "content": content, **more}
    return {"parent": parent, "message": message, "sampled": sampled, "token_ids": [1, 2]}


PATH = [
    node(None, "user", "hall"),
    node(0, "assistant", "walk", sampled=True),
    node(1, "user", "door"),
    node(2, "assistant", "open", sampled=True),
]


def trace(number: int, nodes: list[Any] = PATH, **more: Any) -> dict[str, Any]:
    rewards = {"won": {"score": float(number == 0), "weight": 1.0}}
    return {
        "id": f"t{number}",
        "nodes": nodes,
        "rewards": rewards,
        "ok": True,
        "errors": [],
        **more,
    }


def episode_of(*traces: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"task": {"key": "k", "hash": "h"}, "traces": list(traces), "ok": True, **more}


def test_side_branches_are_counted_and_not_read(tmp_path: Path) -> None:
    side = [
        *PATH[:2],
        node(1, "user", "cellar"),
        node(2, "assistant", "cry", sampled=True),
        node(1, "user", "door"),
        node(4, "assistant", "open", sampled=True),
        node(5, "user", "garden"),
    ]
    path = lines(tmp_path / "traces.jsonl", [episode_of(trace(0, side)), episode_of(trace(1))])
    reader, table = read(path)
    assert states(table)[:2] == [("hall", "door"), ("door", None)]
    assert dict(reader.report.counts) == {"side branches of traces, not read": 1}


def test_rewards_are_summed_by_weight_without_those_that_were_not_given(tmp_path: Path) -> None:
    rewards = {"a": {"score": 1.0, "weight": 0.5}, "b": {"score": 2.0}, "c": None}
    path = lines(
        tmp_path / "traces.jsonl",
        [
            episode_of(trace(0, rewards=rewards)),
            episode_of(trace(1, rewards={"a": None})),
            episode_of(trace(2, rewards={})),
            episode_of(trace(3)),
        ],
    )
    reader, table = read(path)
    assert set(table["outcome"].to_pylist()) == {2.5, 0.0}
    assert dict(reader.report.left_out) == {UNSCORED: 2}


def test_crashed_empty_and_other_agents_traces_are_left_out(tmp_path: Path) -> None:
    judge = {"name": "judge", "trainable": False}
    path = lines(
        tmp_path / "traces.jsonl",
        [
            episode_of(trace(0), trace(4, agent=judge)),
            episode_of(trace(1)),
            episode_of(trace(2, ok=False, errors=[{"type": "Boom", "message": ""}])),
            episode_of(trace(3, PATH[:1])),
            episode_of(ok=False, errors=[{"type": "Boom", "message": ""}]),
        ],
    )
    reader, _ = read(path)
    assert dict(reader.report.left_out) == {
        "agent judge is not the policy (trainable: false)": 1,
        CRASHED: 2,
        EMPTY: 1,
    }


def test_prefilled_answers_are_not_its_own_words(tmp_path: Path) -> None:
    nodes = [
        node(None, "user", "example"),
        node(0, "assistant", "like so"),
        node(1, "user", "hall"),
    ]
    nodes.append(node(2, "assistant", "walk", sampled=True))
    path = lines(tmp_path / "traces.jsonl", [episode_of(trace(i, nodes)) for i in (0, 1)])
    assert states(read(path)[1]) == [("hall", None)] * 2


@pytest.mark.parametrize(
    ("more", "group"),
    [
        ({"group": {"id": "g"}}, "g|agent"),
        ({}, "k|agent"),
        ({"task": {"hash": "h"}}, "h|agent"),
        ({"env": {"id": "game"}}, "game|k|agent"),
        ({"run": {"type": "train", "work": {"type": "train", "step": 7}}}, "step=7|k|agent"),
    ],
)
def test_a_group_is_of_one_task_environment_agent_and_step(
    more: dict[str, Any], group: str, tmp_path: Path
) -> None:
    path = lines(tmp_path / "traces.jsonl", [episode_of(trace(i), **more) for i in (0, 1)])
    assert set(read(path)[1]["group_id"].to_pylist()) == {group}


def test_effective_traces_are_not_read_beside_all(tmp_path: Path) -> None:
    for name in ("all", "effective"):
        folder = tmp_path / "step_4" / "train" / name
        lines(folder / "traces.jsonl", [episode_of(trace(i)) for i in (0, 1)])
    reader, table = read(tmp_path)
    assert table.num_rows == 4
    assert reader.report.warnings == [
        "1 files of effective traces were not read: all/ has them too"
    ]


def test_a_trace_on_its_own_is_an_episode_of_one(tmp_path: Path) -> None:
    records = [{**trace(i), "task": {"key": "k"}} for i in (0, 1)]
    assert read(lines(tmp_path / "traces.jsonl", records))[1].num_rows == 4


def test_a_graph_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "traces.jsonl", [episode_of(trace(0, [node(0, "user", "hall")]))])
    with pytest.raises(FileError) as error:
        read(path)
    expected = "trace t0: parent of node 0 is 0, expected an earlier node"
    assert str(error.value) == f"{path}, line 1: {expected}"


def test_a_task_without_a_name_is_an_error(tmp_path: Path) -> None:
    path = lines(tmp_path / "traces.jsonl", [episode_of(trace(0), task={})])
    with pytest.raises(FileError, match=r"line 1: no group\.id, task\.key or task\.hash"):
        read(path)


# atif


def agent(message: str, *seen: str, **more: Any) -> dict[str, Any]:
    step = {"source": "agent", "message": message, **more}
    return {**step, "observation": {"results": [{"content": text} for text in seen]}}


def user(message: str) -> dict[str, Any]:
    return {"source": "user", "message": message}


WALK = [user("hall"), agent("walk", "door"), agent("open", "garden")]


def trial(
    folder: Path, name: str, said: list[Any] | None = None, reward: float | None = 1.0, **more: Any
) -> Path:
    rewards = None if reward is None else {"rewards": {"reward": reward}}
    content = {"task_name": "task", "trial_name": name, "verifier_result": rewards, **more}
    document(folder / name / "result.json", content)
    trajectory = {"schema_version": "ATIF-v1.5", "steps": WALK if said is None else said}
    return document(folder / name / "agent" / "trajectory.json", trajectory)


def test_the_last_observation_is_the_last_next_state(tmp_path: Path) -> None:
    trial(tmp_path, "a")
    trial(tmp_path, "b", [user("hall"), agent("fall")], 0.0)
    document(tmp_path / "result.json", {"stats": {}, "n_total_trials": 2})  # the job's own
    reader, table = read(tmp_path)
    assert states(table) == [("hall", "door"), ("door", "garden"), ("hall", None)]
    assert reader.report.num_files == 2


def test_copied_context_is_skipped_and_continuations_are_followed(tmp_path: Path) -> None:
    path = trial(tmp_path, "a")
    first = json.loads(path.read_text())
    document(path, {**first, "continued_trajectory_ref": "trajectory.cont-1.json"})
    copied = [{**step, "is_copied_context": True} for step in WALK]
    document(
        path.with_name("trajectory.cont-1.json"),
        {"schema_version": "ATIF-v1.5", "steps": [*copied, agent("smell", "roses")]},
    )
    trial(tmp_path, "b", reward=0.0)
    table = read(tmp_path)[1]
    assert states(table)[:3] == [("hall", "door"), ("door", "garden"), ("garden", "roses")]


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("trajectory.cont-1.json", "trajectory.cont-1.json: the trajectory goes on in this file"),
        ("trajectory.json", "trajectory.json: the trajectory goes on in itself"),
        ("../../../secret.json", "agent/secret.json: the trajectory goes on in this file"),
    ],
)
def test_a_continuation_that_is_not_beside_it_is_an_error(
    reference: str, said: str, tmp_path: Path
) -> None:
    path = trial(tmp_path, "a")
    document(path, {**json.loads(path.read_text()), "continued_trajectory_ref": reference})
    with pytest.raises(FileError) as error:
        read(tmp_path)
    assert said in str(error.value)


def test_what_a_program_dispatched_is_no_step_of_the_policy(tmp_path: Path) -> None:
    trial(tmp_path, "a", [user("hall"), agent("setup", "ready", llm_call_count=0), agent("walk")])
    trial(tmp_path, "b", reward=0.0)
    assert states(read(tmp_path)[1])[0] == ("ready", None)


def test_trials_without_verdict_or_trajectory_are_left_out(tmp_path: Path) -> None:
    trial(tmp_path, "a")
    trial(tmp_path, "b", reward=0.0)
    trial(tmp_path, "c", reward=None)
    trial(tmp_path, "d", reward=None, exception_info={"exception_type": "Boom"})
    trial(tmp_path, "e").unlink()
    trial(tmp_path, "f", [user("hall")])
    reader, _ = read(tmp_path)
    assert dict(reader.report.left_out) == {
        UNSCORED: 1,
        CRASHED: 1,
        "no agent/trajectory.json": 1,
        EMPTY: 1,
    }


def test_several_rewards_of_a_trial_are_a_question(tmp_path: Path) -> None:
    for name, speed in (("a", 1.0), ("b", 0.5)):
        trial(tmp_path, name, verifier_result={"rewards": {"tests": 0.0, "speed": speed}})
    with pytest.raises(FileError, match="there are several rewards, tests, speed; say which"):
        read(tmp_path)
    assert set(read(tmp_path, score="speed")[1]["outcome"].to_pylist()) == {1.0, 0.5}
    with pytest.raises(FileError, match="no reward 'style'; there are tests, speed"):
        read(tmp_path, score="style")


def test_another_version_is_an_error(tmp_path: Path) -> None:
    path = trial(tmp_path, "a")
    document(path, {"schema_version": "ATIF-v2.0", "steps": []})
    with pytest.raises(FileError, match=r"schema_version is 'ATIF-v2.0', expected ATIF-v1\.x"):
        read(tmp_path)


def test_a_shell_agent_is_told_what_its_observations_are_not(tmp_path: Path) -> None:
    call = {"function_name": "bash_command", "arguments": {"keystrokes": "ls"}}
    for name in ("a", "b"):
        trial(tmp_path, name, [user("$"), agent("", "files", tool_calls=[call])])
    assert read(tmp_path)[0].report.warnings[0].startswith("shell agents:")


def test_policies_that_are_mixed_are_named(tmp_path: Path) -> None:
    for name, model in (("a", "big"), ("b", "small")):
        trial(tmp_path, name, agent_info={"name": "terminus", "model_info": {"name": model}})
    reader, _ = read(tmp_path)
    assert reader.report.warnings == [
        "rollouts of several policies (terminus big, terminus small) are compared with one "
        "another; read those of one policy at a time"
    ]


def test_a_job_of_a_training_step_is_that_steps(tmp_path: Path) -> None:
    for step in (1, 2):
        for name in ("a", "b"):
            trial(tmp_path / f"step_{step}", f"{name}{step}")
    assert read(tmp_path)[0].report.num_groups == 2
