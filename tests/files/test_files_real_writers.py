"""Files written by the code of those who write them, where it is installed."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from written import chat, states

from graphgpo.files import read_rows

STORED_APART = "0" * 32  # what Inspect calls a long text that it keeps beside the messages


def test_verifiers_writes_what_is_read(tmp_path: Path) -> None:
    episode = pytest.importorskip("verifiers.v1.episode", reason="verifiers 0.4 is not installed")
    agent = importlib.import_module("verifiers.v1.configs.agent")
    graph = importlib.import_module("verifiers.v1.graph")
    store = importlib.import_module("verifiers.v1.utils.trace_store")
    tasks = importlib.import_module("verifiers.v1.task")
    traces = importlib.import_module("verifiers.v1.trace")
    types = importlib.import_module("verifiers.v1.types")

    call = types.ToolCall(id="1", name="open", arguments='{"what": "door"}')
    parts = [types.TextContentPart(text=text) for text in ("a garden", "roses")]
    said = [
        (None, types.UserMessage(content="hall"), False),
        (0, types.AssistantMessage(content="So:", tool_calls=[call]), True),
        (1, types.ToolMessage(tool_call_id="1", content=parts), False),
        (2, types.AssistantMessage(content="smell"), True),
    ]
    data = tasks.WireTaskData(idx=0, prompt="hall")
    task = traces.TraceTask(type="T", data=data, key="k", hash="h")
    for score in (1.0, 0.0, None):
        nodes = [
            graph.MessageNode(message=m, parent=p, sampled=s, token_ids=[1, 2], mask=[s, s])
            for p, m, s in said
        ]
        trace = traces.Trace(
            task=task,
            agent=traces.AgentInfo(config=agent.WireAgentConfig()),
            nodes=nodes,
            ok=True,
            rewards={"won": None if score is None else traces.Reward(score=score)},
        )
        store.write_episode(tmp_path, episode.Episode(task=task, traces=[trace], ok=True))
    reader = read_rows(tmp_path)
    table = reader.table()
    assert reader.report.format == "verifiers"
    assert states(table) == [("hall", "a garden\nroses"), ("a garden\nroses", None)] * 2
    assert table["action"].to_pylist()[0] == 'So:\nopen({"what":"door"})'
    assert sum(reader.report.left_out.values()) == 1


@pytest.mark.parametrize("has_sample_ids", [True, False])
def test_inspect_writes_what_is_read(has_sample_ids: bool, tmp_path: Path) -> None:
    log = pytest.importorskip("inspect_ai.log", reason="inspect_ai is not installed")
    model = importlib.import_module("inspect_ai.model")
    scorer = importlib.import_module("inspect_ai.scorer")
    tool = importlib.import_module("inspect_ai.tool")

    def sample(epoch: int, value: Any, **more: Any) -> Any:
        call = tool.ToolCall(id="1", function="open", arguments={"what": "door"})
        messages = [
            model.ChatMessageSystem(content="rules"),
            model.ChatMessageUser(content="example"),
            model.ChatMessageAssistant(content="like so", source="input"),
            model.ChatMessageUser(content=f"attachment://{STORED_APART}"),
            model.ChatMessageAssistant(content="So:", tool_calls=[call], source="generate"),
            model.ChatMessageTool(content="a garden", tool_call_id="1", function="open"),
        ]
        scores = (
            {}
            if value is None
            else {"acc": scorer.Score(value=value), "other": scorer.Score(value="I")}
        )
        return log.EvalSample(
            id="door",
            epoch=epoch,
            input="",
            target="",
            attachments={STORED_APART: "hall"},
            messages=messages,
            scores=scores,
            uuid=f"u{epoch}",
            **more,
        )

    error = {"message": "boom", "traceback": "", "traceback_ansi": ""}
    values = ["C", "I", "P", True, 0.25, "0.75", float("nan"), None]
    samples = [sample(epoch, value) for epoch, value in enumerate(values, 1)]
    samples.append(sample(9, "C", error=error))
    dataset = log.EvalDataset(sample_ids=["door"] if has_sample_ids else None)
    spec = log.EvalSpec(
        created="2026-01-01T00:00:00+00:00",
        task="game",
        dataset=dataset,
        model="m",
        config=log.EvalConfig(epochs=9),
    )
    whole = log.EvalLog(version=2, status="success", eval=spec, samples=samples)
    log.write_eval_log(whole, str(tmp_path / "a.eval"))

    reader = read_rows(tmp_path)
    table = reader.table()
    assert reader.report.format == "inspect"
    assert set(states(table)) == {("hall", "a garden")}
    assert set(table["action"].to_pylist()) == {'So:\nopen({"what":"door"})'}
    outcomes = dict(
        zip(table["trajectory_id"].to_pylist(), table["outcome"].to_pylist(), strict=True)
    )
    assert outcomes == {"u1": 1.0, "u2": 0.0, "u3": 0.5, "u4": 1.0, "u5": 0.25, "u6": 0.75}
    assert set(table["group_id"].to_pylist()) == {"game|door"}
    assert dict(reader.report.left_out) == {"unscored (no outcome)": 2, "crashed": 1}
    assert set(read_rows(tmp_path, score="other").table()["outcome"].to_pylist()) == {0.0}
    with pytest.raises(ValueError, match="no score 'third'; there are acc, other"):
        read_rows(tmp_path, score="third").table()


def test_an_inspect_log_that_is_none_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("inspect_ai.log", reason="inspect_ai is not installed")
    (tmp_path / "a.eval").write_bytes(b"no zip file")
    with pytest.raises(ValueError, match=r"a\.eval: Inspect cannot read this log: "):
        read_rows(tmp_path).table()


def test_trl_writes_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trl = pytest.importorskip("trl", reason="trl is not installed")
    transformers = pytest.importorskip("transformers")
    (tmp_path / "completions").mkdir()
    monkeypatch.setattr(transformers.Trainer, "log", lambda *_: None)
    trainer = object.__new__(trl.GRPOTrainer)
    trainer.__dict__.update(
        model=SimpleNamespace(training=True),
        _metrics={"train": {}, "eval": {}},
        accelerator=SimpleNamespace(is_main_process=True),
        log_completions=True,
        num_completions_to_print=0,
        log_unique_prompts=False,
        args=SimpleNamespace(report_to=[], output_dir=str(tmp_path)),
        state=SimpleNamespace(global_step=7),
        _logs={
            "prompt": [[{"role": "user", "content": "hall"}]] * 2,
            "completion": [chat("", "walk", "door", "open")[1:]] * 2,
            "rewards": {"won": [1.0, 0.0]},
            "advantages": [0.7, -0.7],
            "extra": {},
            "images": [],
        },
    )
    trl.GRPOTrainer.log(trainer, {})
    reader = read_rows(tmp_path)
    table = reader.table()
    assert reader.report.format == "messages (TRL)"
    assert states(table) == [("hall", "door"), ("door", None)] * 2
    assert table["success"].to_pylist() == [True, True, False, False]


class _Words:
    """A tokenizer whose tokens are words."""

    pad_token_id = 0
    words = ("", "hall", "door", "cellar", "walk", "open", "fall")

    def decode(self, ids: Any, skip_special_tokens: bool) -> str:
        assert skip_special_tokens
        return " ".join(self.words[token] for token in ids.tolist() if token)


@pytest.mark.filterwarnings("ignore")
def test_verl_writes_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("verl", reason="verl is not installed")
    torch = pytest.importorskip("torch")
    trainer_base = importlib.import_module("verl.trainer.ppo.v1.trainer_base")
    outputs = [  # key, input, output, score
        ("a_b_1_0", "hall", "fall", 0.0),  # a uid may hold underscores
        ("a_b_0_1", "door", "open", 1.0),
        ("a_b_0_0", "hall", "walk", 0.0),
    ]
    tokens = {word: token for token, word in enumerate(_Words.words)}
    columns = {
        "uid": SimpleNamespace(tolist=lambda: ["a_b"] * 3),
        "prompts": torch.nested.nested_tensor([[tokens[row[1]]] for row in outputs]),
        "responses": torch.nested.nested_tensor([[tokens[row[2]]] for row in outputs]),
        "rm_scores": torch.tensor([[row[3]] for row in outputs]),
    }
    monkeypatch.setattr(trainer_base.tq, "kv_batch_get", lambda **_: columns)
    trainer = SimpleNamespace(
        tokenizer=_Words(),
        global_steps=3,
        _dump_generations=lambda **dumped: trainer_base.PPOTrainer._write_generations(
            **dumped, global_steps=3
        ),
    )
    batch = SimpleNamespace(keys=[row[0] for row in outputs], partition_id="train")
    trainer_base.PPOTrainer._log_rollout_data(trainer, batch, {}, str(tmp_path))
    reader = read_rows(tmp_path)
    table = reader.table()
    assert reader.report.format == "verl"
    assert states(table) == [("hall", "door"), ("door", None), ("hall", None)]
    assert table["action"].to_pylist() == ["walk", "open", "fall"]
    assert table["success"].to_pylist() == [True, True, False]
    assert set(table["group_id"].to_pylist()) == {"step=3|a_b"}


@pytest.mark.filterwarnings("ignore")
def test_art_writes_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # it looks for a newer one
    art = pytest.importorskip("art", reason="openpipe-art is not installed")
    logging = importlib.import_module("art.utils.trajectory_logging")
    completion = importlib.import_module("openai.types.chat.chat_completion")
    message = importlib.import_module("openai.types.chat.chat_completion_message")

    def said(text: str) -> Any:
        answer = message.ChatCompletionMessage(role="assistant", content=text)
        return completion.Choice(finish_reason="stop", index=0, message=answer)

    def trajectory(reward: float) -> Any:
        example = {"role": "assistant", "content": "like so"}  # not the policy's own
        turns = [
            {"role": "user", "content": "example"},
            example,
            {"role": "user", "content": "hall"},
            said("walk"),
            {"role": "user", "content": "door"},
            said("open"),
        ]
        return art.Trajectory(messages_and_choices=turns, reward=reward)

    groups = [art.TrajectoryGroup([trajectory(1.0), trajectory(0.0)]) for _ in range(2)]
    logging.write_trajectory_groups_parquet(groups, tmp_path / "0001.parquet")
    reader = read_rows(tmp_path)
    table = reader.table()
    assert reader.report.format == "messages (ART)"
    assert states(table) == [("hall", "door"), ("door", None)] * 4
    assert table["action"].to_pylist() == ["walk", "open"] * 4
    assert table["success"].to_pylist() == [True, True, False, False] * 2
    assert reader.report.num_groups == 2
