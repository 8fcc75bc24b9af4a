"""TRL: its GRPOTrainer on a CPU, with recorded rollouts, with environments, on two ranks."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import graphgpo
from graphgpo.integrations import _wiring, verl_agent
from graphgpo.integrations import verl as verl_integration
from graphgpo.problems import problems_of

pytest.importorskip("trl", reason="trl is not installed: pip install 'graphgpo[trl]'")
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from datasets import Dataset
from recorded import TOKENS, Recorded
from tiny import byte_tokenizer, random_llama
from trl import GRPOConfig, GRPOTrainer

from graphgpo.integrations.trl import GraphGPOMixin, GraphGPOTrainer, StepRecorder

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL and its dependencies

REPOSITORY = Path(__file__).parents[2]
GROUP, NUM_ROLLOUTS = 8, 24  # two ranks hold 12 each: the second group is on both


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    _wiring._said.clear()


class Seen:
    """What a trainer's `_generate_and_score_completions` returned, each time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.seen: list[dict[str, Any]] = []
        super().__init__(*args, **kwargs)

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        output = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        self.seen.append(output)
        return output


class SeenTrainer(Seen, GraphGPOTrainer):
    pass


def reached(graphgpo: list[dict[str, Any]], **_: Any) -> list[float]:
    return [float(fields["success"]) for fields in graphgpo]


class Playback:
    """A rollout_func that plays recorded rollouts back instead of generating."""

    def __init__(self, recorded: Recorded, *, order: Any = None, width: int | None = None) -> None:
        self.recorded = recorded
        self.order = range(NUM_ROLLOUTS) if order is None else order
        self.width = width  # completions are cut here

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        first = trainer.accelerator.process_index * len(prompts)
        rollouts = [self.order[first + row] for row in range(len(prompts))]
        masks = [self.recorded.mask(rollout)[: self.width].tolist() for rollout in rollouts]
        return {
            "prompt_ids": [[1, 2, 3] for _ in rollouts],
            "completion_ids": [[5] * len(mask) for mask in masks],
            "logprobs": None,
            "env_mask": masks,
            "graphgpo": [self.recorded.fields(rollout)["graphgpo"] for rollout in rollouts],
        }

    def expected(self) -> torch.Tensor:
        rows = [self.recorded.tokens(rollout)[: self.width] for rollout in self.order]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def grpo_config(folder: Path, **options: Any) -> GRPOConfig:
    return GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_steps=1,
        **options,
    )


def make_trainer(
    folder: Path,
    rollout_func: Callable[..., Any] | None,
    *,
    trainer: Callable[..., Any] = SeenTrainer,
    num_processes: int = 1,
    estimator: Any = "graphgpo",
    reward_funcs: Any = reached,
    merging: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    torch.manual_seed(0)
    tokenizer = byte_tokenizer()
    args: dict[str, Any] = {
        "max_steps": 2,
        "learning_rate": 1e-2,
        "num_generations": GROUP,
        "per_device_train_batch_size": NUM_ROLLOUTS // num_processes,
        "max_completion_length": 16,
        "shuffle_dataset": False,
    }
    prompts = [f"task {task}" for task in range(NUM_ROLLOUTS // GROUP)]
    return trainer(
        model=random_llama(len(tokenizer)),
        processing_class=tokenizer,
        reward_funcs=reward_funcs,
        args=grpo_config(folder, **{**args, **options}),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        rollout_func=rollout_func,
        estimator=estimator,
        **(merging or {}),
    )


def test_a_memory_names_tasks_by_a_column_of_the_data(tmp_path: Path, recorded: Recorded) -> None:
    trainer = make_trainer(tmp_path, Playback(recorded), merging={"memory": tmp_path / "m.parquet"})
    named = [f"seed {task}" for task in range(NUM_ROLLOUTS // GROUP)]
    trainer.train_dataset = trainer.train_dataset.add_column("task_id", named)
    trainer.train()
    memory = graphgpo.GraphMemory()
    tasks = [f"seed {group}" for group in recorded.rollouts["group_ids"]]
    for output in trainer.seen:
        expected = graphgpo.compute_advantages(**recorded.rollouts, task_ids=tasks, memory=memory)
        np.testing.assert_array_equal(recorded.of_steps(output["advantages"]), expected.advantages)
    assert graphgpo.GraphMemory(path=tmp_path / "m.parquet").num_edges == memory.num_edges


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded("sokoban", num_rollouts=NUM_ROLLOUTS)


def advantages(tmp_path: Path, rollout_func: Callable[..., Any], **options: Any) -> torch.Tensor:
    """Of the first generation, without the training step."""
    trainer = make_trainer(tmp_path, rollout_func, **options)
    trainer.model.train()
    prompts = next(iter(trainer.get_train_dataloader()))
    result: torch.Tensor = trainer._generate_and_score_completions(prompts)["advantages"]
    return result


# ---- rollout_func ---------------------------------------------------------------------------


def test_every_token_gets_the_advantage_of_its_step(tmp_path: Path, recorded: Recorded) -> None:
    play = Playback(recorded)
    trainer = make_trainer(tmp_path, play)
    trainer.train()
    assert len(trainer.seen) == 2
    for output in trainer.seen:
        assert output["advantages"].dtype == torch.float32
        assert torch.equal(output["advantages"], play.expected())
    logs = [log for log in trainer.state.log_history if "grad_norm" in log]
    assert len(logs) == 2
    for log in logs:
        assert 0 < log["grad_norm"] < np.inf
        assert log["graphgpo/tokens_without_step"] == 0.0
        for name, value in recorded.expected.metrics.items():
            assert log[name] == value


def test_the_rows_of_a_group_may_come_in_any_order(tmp_path: Path, recorded: Recorded) -> None:
    groups = np.random.default_rng(0).permutation(NUM_ROLLOUTS // GROUP)
    order = [
        group * GROUP + rollout
        for group in groups.tolist()
        for rollout in np.random.default_rng(group).permutation(GROUP).tolist()
    ]
    play = Playback(recorded, order=order)
    assert torch.equal(advantages(tmp_path, play), play.expected())


def test_every_adapter_gives_the_same(tmp_path: Path, recorded: Recorded) -> None:
    result = advantages(tmp_path, Playback(recorded))
    tensors, (columns, _) = recorded.batch()
    rows = verl_integration.RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist())
    mask = tensors["response_mask"]
    assert torch.equal(
        result,
        verl_integration.compute_token_advantages(rows, tensors["token_level_rewards"], mask),
    )
    steps = recorded.rollouts
    batch = SimpleNamespace(
        batch={"response_mask": torch.ones(len(steps["states"]), 1)},
        non_tensor_batch={
            "uid": steps["group_ids"],
            "traj_uid": steps["trajectory_ids"],
            "step_ids": steps["step_ids"],
            "anchor_obs": np.array(steps["states"], dtype=object),
            "next_obs": np.array(steps["next_states"], dtype=object),
            "episode_rewards": np.asarray(steps["success"]).astype(np.float64),
        },
    )
    verl_agent.compute_advantages(batch)
    np.testing.assert_array_equal(
        recorded.of_steps(result), batch.batch["advantages"][:, 0].numpy()
    )


def test_options_are_those_of_the_library(tmp_path: Path, recorded: Recorded) -> None:
    play = Playback(recorded)
    options = {"omega": 0.5, "invalid_action_penalty": 0.5}
    result = advantages(tmp_path, play, estimator=options)
    expected = graphgpo.compute_advantages(
        **recorded.rollouts, action_valid=recorded.action_valid, estimator=options
    ).advantages
    np.testing.assert_array_equal(recorded.of_steps(result), expected)
    with pytest.raises(
        TypeError, match="unknown option 'omgea' of estimator 'graphgpo'; did you mean 'omega'"
    ):
        make_trainer(tmp_path, play, estimator={"omgea": 0.5})


def test_what_counts_as_one_state_is_said_beside_the_estimator(
    tmp_path: Path, recorded: Recorded
) -> None:
    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = Playback(recorded)(prompts, trainer)
        for fields in output["graphgpo"]:
            for name in ("states", "next_states"):
                fields[name] = [f"turn {i}: {state}" for i, state in enumerate(fields[name])]
        return output

    expected = Playback(recorded).expected()
    assert not torch.equal(advantages(tmp_path, play), expected)
    merging = {"normalise": {"ignore": [r"turn \d+"]}}
    assert torch.equal(advantages(tmp_path, play, merging=merging), expected)
    with pytest.raises(ValueError, match="node_history is 0; expected an int >= 1"):
        make_trainer(tmp_path, play, merging={"node_history": 0})


def test_a_truncated_completion_keeps_the_steps_it_still_has(
    tmp_path: Path, recorded: Recorded
) -> None:
    play = Playback(recorded, width=7)  # one step and a half
    assert torch.equal(advantages(tmp_path, play), play.expected())


def test_masked_truncated_completions_count_in_the_graph_but_get_no_credit(
    tmp_path: Path, recorded: Recorded
) -> None:
    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = Playback(recorded)(prompts, trainer)
        for row in range(0, NUM_ROLLOUTS, 2):  # the others end with the end-of-sequence token
            output["completion_ids"][row][-1] = trainer._tokenizer.eos_token_id
        return output

    result = advantages(tmp_path, play, mask_truncated_completions=True)
    expected = Playback(recorded).expected()
    assert not result[1::2].any()
    assert torch.equal(result[::2], expected[::2])


def test_the_last_state_need_not_be_known(tmp_path: Path, recorded: Recorded) -> None:
    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = Playback(recorded)(prompts, trainer)
        for fields in output["graphgpo"]:
            fields["next_states"][-1] = None
        return output

    steps = dict(recorded.rollouts)
    is_last = np.append(np.diff(steps["trajectory_ids"]) != 0, True)
    steps["next_states"] = np.where(is_last, None, steps["next_states"])
    expected = graphgpo.compute_advantages(**steps).advantages
    assert not np.array_equal(expected, recorded.expected.advantages)
    np.testing.assert_array_equal(recorded.of_steps(advantages(tmp_path, play)), expected)


def test_a_rollout_may_have_no_step(
    tmp_path: Path, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    def empty(rows: range) -> torch.Tensor:
        def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
            output = Playback(recorded)(prompts, trainer)
            for row in rows:
                output["graphgpo"][row] = StepRecorder().rollout_fields(success=False)["graphgpo"]
            return output

        return advantages(tmp_path, play)

    assert not empty(range(NUM_ROLLOUTS)).any()
    tokens = empty(range(1))
    assert not tokens[0].any()
    assert tokens[1].any()
    assert torch.equal(tokens[GROUP:], Playback(recorded).expected()[GROUP:])
    assert "tokens the policy wrote are in no step's start..stop" in caplog.text


def test_rollouts_nobody_scored_are_left_out(tmp_path: Path, recorded: Recorded) -> None:
    def unsure(graphgpo: list[dict[str, Any]], **_: Any) -> list[float | None]:
        return [None if row == 3 else float(g["success"]) for row, g in enumerate(graphgpo)]

    result = advantages(tmp_path, Playback(recorded), reward_funcs=unsure)
    lengths = [len(recorder) for recorder in recorded.recorders]
    mask = np.repeat(np.arange(NUM_ROLLOUTS) != 3, lengths)
    expected = graphgpo.compute_advantages(**recorded.rollouts, mask=mask).advantages
    assert not result[3].any()
    np.testing.assert_array_equal(result[result != 0], np.repeat(expected[expected != 0], TOKENS))


@pytest.mark.parametrize("loss_type", ["dapo", "cispo", "sapo"])
def test_losses_train_on_advantages_of_tokens(
    tmp_path: Path, recorded: Recorded, loss_type: str
) -> None:
    trainer = make_trainer(
        tmp_path,
        Playback(recorded, width=30),
        loss_type=loss_type,
        per_device_train_batch_size=NUM_ROLLOUTS // 2,
        steps_per_generation=2,
        num_iterations=2,
        max_steps=4,
    )
    trainer.train()
    assert len(trainer.seen) == 1
    norms = [log["grad_norm"] for log in trainer.state.log_history if "grad_norm" in log]
    assert len(norms) == 4
    assert all(0 < norm < np.inf for norm in norms)


def test_evaluation_has_metrics_of_its_own(tmp_path: Path, recorded: Recorded) -> None:
    trainer = make_trainer(
        tmp_path, Playback(recorded), per_device_eval_batch_size=NUM_ROLLOUTS, max_steps=1
    )
    trainer.evaluate(trainer.train_dataset)
    (log,) = trainer.state.log_history
    assert log["eval_graphgpo/num_trajectories"] == NUM_ROLLOUTS
    assert torch.equal(trainer.seen[0]["advantages"], Playback(recorded).expected())


# ---- wrong wiring ---------------------------------------------------------------------------


def changed(play: Playback, **changes: Any) -> Callable[..., Any]:
    def rollout_func(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = play(prompts, trainer)
        output["graphgpo"] = [{**fields, **changes} for fields in output["graphgpo"]]
        return output

    return rollout_func


def test_missing_states_are_reported_with_the_way_to_record_them(
    tmp_path: Path, recorded: Recorded
) -> None:
    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = Playback(recorded)(prompts, trainer)
        output["graphgpo"][5] = None
        return output

    def forgetful(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = Playback(recorded)(prompts, trainer)
        del output["graphgpo"]
        return output

    def one(completions: list[str], **_: Any) -> list[float]:
        return [1.0] * len(completions)

    message = r"1 of 24 rows have no recorded states \(the first is row 5\).*StepRecorder"
    with pytest.raises(ValueError, match=message):
        advantages(tmp_path, play, reward_funcs=one)
    with pytest.raises(ValueError, match=r"24 of 24 rows.*return its fields from rollout_func"):
        advantages(tmp_path, forgetful, reward_funcs=one)


def test_good_wiring_is_silent(
    tmp_path: Path, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    advantages(tmp_path, Playback(recorded))
    assert "graphgpo" not in caplog.text


def test_success_that_is_never_set_is_reported_once(
    tmp_path: Path, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    def won(graphgpo: Any, **_: Any) -> list[float]:
        return [float(won) for won in recorded.success]

    play = changed(Playback(recorded), success=False)
    make_trainer(tmp_path, play, reward_funcs=won).train()
    num_won = sum(recorded.success)
    assert caplog.text.count("none of the 24 rollouts succeeded") == 1
    assert f"{num_won} of them have a reward above 0, so success is probably never" in caplog.text


def test_states_that_never_meet_are_reported(
    tmp_path: Path, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = Playback(recorded)(prompts, trainer)
        for row, fields in enumerate(output["graphgpo"]):
            states = [f"{row}.{step}" for step in range(len(fields["states"]) + 1)]
            fields.update(states=states[:-1], next_states=states[1:])
        return output

    assert not (advantages(tmp_path, play, estimator={"episode_weight": 0.0})).any()
    assert "100% of the steps start in a state seen once" in caplog.text


def test_tokens_outside_every_step_are_reported(
    tmp_path: Path, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    def play(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = Playback(recorded)(prompts, trainer)
        for fields in output["graphgpo"]:
            fields["starts"] = [start + 1 for start in fields["starts"]]
        return output

    advantages(tmp_path, play)
    num_steps = len(recorded.expected)
    assert f"{num_steps} tokens the policy wrote are in no step's start..stop" in caplog.text


def test_groups_of_one_rollout_are_reported_with_trls_words() -> None:
    from graphgpo.integrations.trl import ADVICE

    alone = graphgpo.compute_advantages(
        ["a", "b"], group_ids=[0, 1], trajectory_ids=[0, 1], success=[True, False]
    )
    problems = problems_of(alone.metrics, graphgpo.GraphGPO(), advice=ADVICE)
    assert "each of the 2 prompts has one rollout" in problems.named("single rollouts").words
    assert "Set num_generations to 4 or more" in problems.named("single rollouts").words


@pytest.mark.parametrize(
    ("name", "value"),
    [("scale_rewards", "batch"), ("multi_objective_aggregation", "normalize_then_sum")],
)
def test_a_normalisation_of_trls_is_refused(
    tmp_path: Path, recorded: Recorded, name: str, value: str
) -> None:
    message = f"{name} is '{value}', which would have no effect"
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, Playback(recorded), **{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("version", ["1.15.2", "1.17.0", "2.0.0.dev0"])
def test_an_untested_trl_is_named(
    tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    installed = importlib.metadata.version
    monkeypatch.setattr(
        "importlib.metadata.version",
        lambda package: version if package == "trl" else installed(package),
    )
    message = re.escape(f"tested with trl >=1.16,<1.17; this is trl {version}")
    with pytest.warns(UserWarning, match=message):
        make_trainer(tmp_path, Playback(recorded))


# ---- environments ---------------------------------------------------------------------------

LAST_ROOM = 3


class Corridor:
    """Rooms in a row; the last one is the goal."""

    number = 0

    def reset(self, **_: Any) -> str:
        self.room = 0
        return f" [rollout {self.number}]"

    def go(self, direction: str) -> str:
        """
        Go to the next room.

        Args:
            direction: left or right.
        """
        if direction not in ("left", "right"):
            raise ValueError("left or right?")
        self.room = max(0, self.room - 1) if direction == "left" else self.room + 1
        return f"room {self.room}"

    @property
    def state(self) -> dict[str, int]:
        return {"room": self.room}

    @property
    def success(self) -> bool:
        return self.room >= LAST_ROOM


def call(*directions: str) -> str:
    return "".join(
        f'<tool_call>\n{{"name": "go", "arguments": {{"direction": "{direction}"}}}}\n</tool_call>'
        for direction in directions
    )


SCRIPTS = [
    [call("right"), call("right"), call("right"), "I am there."],
    [call("right"), call("left"), call("up"), "I give up."],
    [call("right", "right"), call("right"), "Done."],
    ["No idea."],
]
# A step for each turn, up to the goal: (from, to).
STEPS = [
    [(0, 1), (1, 2), (2, 3)],
    [(0, 1), (1, 0), (0, 0), (0, 0)],
    [(0, 2), (2, 3)],
    [(0, 0)],
]


class ScriptedGeneration(GRPOTrainer):  # type: ignore[misc]
    """Says what the script of the rollout wants said next, in place of the model."""

    scripts = SCRIPTS

    def _generate(self, prompts: Any) -> Any:
        self.turns = [0] * len(self.scripts)
        return super()._generate(prompts)

    def _generate_single_turn(self, prompt_ids: Any, *_: Any, **__: Any) -> Any:
        completions = []
        for ids in prompt_ids:
            (rollout,) = re.findall(r"\[rollout (\d+)\]", self._tokenizer.decode(ids))
            text = self.scripts[int(rollout)][self.turns[int(rollout)]]
            self.turns[int(rollout)] += 1
            completions.append(self._tokenizer.encode(text + "<|im_end|>"))
        return completions, None


class ScriptedTrainer(Seen, GraphGPOMixin, ScriptedGeneration):
    pass


def environment_trainer(
    folder: Path, *, environment: type = Corridor, trainer: type = ScriptedTrainer, **options: Any
) -> Any:
    from trl.chat_template_utils import qwen3_chat_template

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = qwen3_chat_template
    tokenizer.add_tokens(["<tool_call>", "</tool_call>", "<think>", "</think>"])
    numbers = iter(range(len(SCRIPTS)))

    def factory() -> Any:
        made = environment()
        made.number = next(numbers)
        return made

    args: dict[str, Any] = {
        "max_steps": 1,
        "num_generations": len(SCRIPTS),
        "per_device_train_batch_size": len(SCRIPTS),
        "max_completion_length": 2000,
    }
    prompt = [{"role": "user", "content": "Find the last room."}]
    return trainer(
        model=random_llama(len(tokenizer)),
        processing_class=tokenizer,
        reward_funcs=lambda environments, **_: [float(env.success) for env in environments],
        args=grpo_config(folder, **{**args, **options}),
        train_dataset=Dataset.from_list([{"prompt": prompt}]),
        environment_factory=factory,
    )


def turn_advantages(output: Mapping[str, torch.Tensor], row: int) -> list[float]:
    """The advantage of each turn of the policy; all tokens of a turn must have the same."""
    mask = (output["completion_mask"] * output["tool_mask"])[row].numpy()
    bounds = np.flatnonzero(np.diff(mask, prepend=0, append=0)).reshape(-1, 2)
    turns = [output["advantages"][row, start:stop] for start, stop in bounds]
    assert all(torch.equal(turn, turn[:1].expand_as(turn)) for turn in turns)
    assert sum(map(len, turns)) == mask.sum()
    assert not output["advantages"][row][mask == 0].any()
    return [float(turn[0]) for turn in turns]


def advantages_of(steps: list[list[tuple[int, int]]]) -> list[list[float]]:
    flat = [(row, *step) for row, rollout in enumerate(steps) for step in rollout]
    won = [rollout[-1][1] >= LAST_ROOM for rollout in steps]
    values = iter(
        graphgpo.compute_advantages(
            [start for _, start, _ in flat],
            [end for _, _, end in flat],
            group_ids=[0] * len(flat),
            trajectory_ids=[row for row, *_ in flat],
            success=[won[row] for row, *_ in flat],
        ).advantages.tolist()
    )
    return [[next(values) for _ in rollout] for rollout in steps]


def test_turns_in_environments_are_steps(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = environment_trainer(tmp_path, max_steps=2)
    trainer.train()
    expected = advantages_of(STEPS)
    # What is written after the goal belongs to the turn that reached it.
    expected[0].append(expected[0][-1])
    expected[2].append(expected[2][-1])
    assert len(trainer.seen) == 2
    for output in trainer.seen:
        assert [turn_advantages(output, row) for row in range(len(SCRIPTS))] == expected
    log = next(log for log in trainer.state.log_history if "grad_norm" in log)
    assert 0 < log["grad_norm"] < np.inf
    assert log["graphgpo/tokens_without_step"] == 0.0
    assert log["graphgpo/num_steps"] == sum(map(len, STEPS))
    assert "graphgpo" not in caplog.text


def test_a_tool_result_that_does_not_fit_leaves_the_step_its_state(tmp_path: Path) -> None:
    trainer = environment_trainer(tmp_path)
    trainer.scripts = [[call("right")] * 3, [call("right"), "."], [call("left")] * 3, ["."]]
    answer = {"role": "tool", "name": "go", "content": "room 1"}
    two_calls = 2 * len(trainer._tokenizer.encode(call("right") + "<|im_end|>"))
    trainer.max_completion_length = two_calls + len(trainer._get_tool_suffix_ids([answer])) + 1
    trainer.train()
    (output,) = trainer.seen
    assert [len(turn_advantages(output, row)) for row in range(4)] == [2, 2, 2, 1]
    final_states = [fields["next_states"][-1] for fields in trainer._generation.rows]
    assert final_states == [graphgpo.state_key({"room": room}) for room in (2, 1, 0, 0)]


def test_an_environment_that_does_not_say_where_it_is_is_named(tmp_path: Path) -> None:
    class Silent(Corridor):
        state = None  # type: ignore[assignment]

    class Callable_(Corridor):  # noqa: N801
        def success(self) -> bool:  # type: ignore[override]
            """Whether the last room is reached."""
            return True

    with pytest.raises(TypeError, match="environment Silent has no 'state'; expected an attribute"):
        environment_trainer(tmp_path, environment=Silent).train()
    with pytest.raises(TypeError, match="environment Callable_ has a method 'success'"):
        environment_trainer(tmp_path, environment=Callable_).train()


def test_a_trainer_may_read_environments_its_own_way(tmp_path: Path) -> None:
    class Foreign(Corridor):
        state = success = None  # type: ignore[assignment]

    class Reading(ScriptedTrainer):
        def environment_state(self, environment: Any) -> Any:
            return environment.room

        def environment_success(self, environment: Any) -> bool:
            return bool(environment.room >= LAST_ROOM)

    trainer = environment_trainer(tmp_path, environment=Foreign, trainer=Reading)
    trainer.reward_funcs[0] = lambda environments, **_: [
        float(env.room >= LAST_ROOM) for env in environments
    ]
    trainer.train()
    assert turn_advantages(trainer.seen[0], 1) == advantages_of(STEPS)[1]


# ---- the documentation ----------------------------------------------------------------------

PROGRAM, ENVIRONMENT, *SNIPPETS = re.findall(
    r"```python\n(.*?)```",
    (REPOSITORY / "docs" / "integrations" / "trl.md").read_text("utf-8"),
    flags=re.DOTALL,
)


def test_the_documented_program_is_the_example() -> None:
    assert (REPOSITORY / "examples" / "trl_house.py").read_text("utf-8") == PROGRAM


def test_the_documented_program_learns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(PROGRAM, "trl.md", "exec"), names)
    *logs, _ = names["trainer"].state.log_history
    assert logs[0]["graphgpo/inert"] == 0.0
    assert logs[0]["reward"] < 0.5
    assert logs[-1]["reward"] > 0.8


def test_the_documented_environment_trains(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    exec(compile(ENVIRONMENT, "trl.md", "exec"), names)

    class Numbered(names["Corridor"]):  # type: ignore[misc, valid-type]
        def reset(self, **inputs: Any) -> str:
            return f"{super().reset(**inputs)} [rollout {self.number}]"

    trainer = environment_trainer(tmp_path, environment=Numbered)
    trainer.train()
    assert turn_advantages(trainer.seen[0], 1) == pytest.approx(advantages_of(STEPS)[1])
    log = trainer.state.log_history[0]
    assert log["rewards/Numbered/mean"] == 0.5


def test_the_other_documented_blocks_are_python() -> None:
    assert len(SNIPPETS) == 2
    for block in SNIPPETS:
        compile(block, "trl.md", "exec")


# ---- two ranks ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each rank has to report after this file ran under torchrun."""
    folder = tmp_path_factory.mktemp("ranks")
    run = subprocess.run(
        [
            *(sys.executable, "-W", "ignore", "-m", "torch.distributed.run"),
            *("--nproc_per_node", "2", "--standalone", __file__, str(folder)),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


def test_two_ranks_get_what_one_rank_gets(
    tmp_path: Path, recorded: Recorded, two_ranks: list[Any]
) -> None:
    play = Playback(recorded)
    trainer = make_trainer(tmp_path, play)
    trainer.train()
    alone = graphgpo_metrics(trainer)
    expected = play.expected()
    half = NUM_ROLLOUTS // 2
    for rank, report in enumerate(two_ranks):
        assert report["metrics"] == alone
        assert len(report["advantages"]) == 2
        for rows in map(torch.tensor, report["advantages"]):
            mine = expected[rank * half : (rank + 1) * half]
            assert torch.equal(rows, mine[:, : rows.shape[1]])
            assert not mine[:, rows.shape[1] :].any()  # each rank pads for itself


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("rollout", "ZeroDivisionError: the game is broken"),
        ("states", "ValueError: 1 of 12 rows have no recorded states (the first is row 3)"),
    ],
)
def test_a_failure_of_one_rank_stops_all(two_ranks: list[Any], failure: str, message: str) -> None:
    first, second = (report[failure] for report in two_ranks)
    assert first.startswith(f"RuntimeError: rank 1 failed, so this one stops too: {message}")
    assert second.startswith(message)


def graphgpo_metrics(trainer: Any) -> dict[str, float]:
    log = trainer.state.log_history[0]
    return {name: value for name, value in log.items() if name.startswith("graphgpo/")}


def run_rank(folder: Path) -> dict[str, Any]:
    play = Playback(Recorded("sokoban", num_rollouts=NUM_ROLLOUTS))

    def broken(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        if trainer.accelerator.process_index == 1:
            raise ZeroDivisionError("the game is broken")
        return play(prompts, trainer)

    def forgetful(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        output = play(prompts, trainer)
        if trainer.accelerator.process_index == 1:
            output["graphgpo"][3] = None
        return output

    def one(completions: list[str], **_: Any) -> list[float]:
        return [1.0] * len(completions)

    trainer = make_trainer(folder, play, num_processes=2)
    trainer.train()
    report = {
        "advantages": [output["advantages"].tolist() for output in trainer.seen],
        "metrics": graphgpo_metrics(trainer),
    }
    for failure, rollout_func in (("rollout", broken), ("states", forgetful)):
        trainer = make_trainer(folder, rollout_func, num_processes=2, reward_funcs=one)
        try:
            trainer.train()
        except Exception as error:
            report[failure] = f"{type(error).__name__}: {error}"
    return report


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    report = json.dumps(run_rank(folder))
    (folder / f"rank{os.environ['RANK']}.json").write_text(report)
    torch.distributed.destroy_process_group()
