"""verl: the estimator on a DataProto, the v1 trainer on a real TransferQueue, and the plugin.

What needs verl is skipped, aloud, where it is not installed; the rest needs torch only.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import logging
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from recorded import GAP, TOKENS, Recorded
from tiny import byte_tokenizer

import graphgpo
from graphgpo import GraphGPO, estimators
from graphgpo.blocks import BellmanMean, Target, Term
from graphgpo.demo import load_rollouts
from graphgpo.integrations import _wiring, verl_agent
from graphgpo.integrations import verl as integration
from graphgpo.integrations.verl import RecordedRows, StepRecorder, compute_token_advantages
from graphgpo.problems import problems_of

needs_verl = pytest.mark.skipif(
    importlib.util.find_spec("verl") is None, reason="verl is not installed: pip install verl"
)
HAS_PLUGIN = any(
    entry.value.startswith("graphgpo.")
    for entry in importlib.metadata.entry_points(group="verl.plugins")
)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    _wiring._said.clear()


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return Recorded()


def token_advantages(recorded: Recorded, rows: NDArray[np.intp] | None = None) -> Any:
    tensors, (columns, expected) = recorded.batch(rows)
    batch = RecordedRows(steps=columns["graphgpo"].tolist(), group_ids=columns["uid"].tolist())
    result = compute_token_advantages(
        batch, tensors["token_level_rewards"], tensors["response_mask"]
    )
    return result, expected, batch


# ---- without verl ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["textworld", "sokoban", "minigrid"])
def test_every_token_gets_the_advantage_of_its_step(name: str) -> None:
    recorded = Recorded(name)
    result, expected, batch = token_advantages(recorded)
    assert result.dtype == torch.float32
    assert torch.equal(result, expected)
    assert batch.metrics.pop("graphgpo/tokens_without_step") == 0.0
    assert batch.metrics == recorded.expected.metrics


def test_permuting_rows_permutes_the_advantages(recorded: Recorded) -> None:
    result, expected, _ = token_advantages(
        recorded, np.random.default_rng(0).permutation(len(recorded))
    )
    assert torch.equal(result, expected)


def test_repeated_rows_change_nothing(recorded: Recorded) -> None:
    rows = np.array([*range(len(recorded)), 0, 3, 3])
    result, expected, batch = token_advantages(recorded, rows)
    assert torch.equal(result, expected)
    assert batch.metrics["graphgpo/duplicate_rows"] == sum(
        len(recorded.recorders[row]) for row in (0, 3, 3)
    )


def test_rows_made_up_by_the_trainer_change_nothing(recorded: Recorded) -> None:
    tensors, (columns, expected) = recorded.batch(np.array([*range(len(recorded)), 0]))
    columns["uid"][-1] = "pad"
    batch = RecordedRows(
        columns["graphgpo"].tolist(),
        columns["uid"].tolist(),
        is_padding=[False] * len(recorded) + [True],
    )
    result = compute_token_advantages(
        batch, tensors["token_level_rewards"], tensors["response_mask"]
    )
    assert torch.equal(result[:-1], expected[:-1])
    assert not result[-1].any()
    assert batch.metrics["graphgpo/num_trajectories"] == len(recorded)


def test_one_row_per_step_gives_the_same(recorded: Recorded) -> None:
    fields = [f["graphgpo"] for row in range(len(recorded)) for f in recorded.step_fields(row)]
    lengths = [len(recorder) for recorder in recorded.recorders]
    rewards = torch.zeros(len(fields), 4)
    rewards[:, -1] = torch.tensor(recorded.success).repeat_interleave(torch.tensor(lengths))
    mask = torch.tensor([1, 1, 1, 0]).repeat(len(fields), 1)
    group_ids = [uid for uid, n in zip(recorded.uids, lengths, strict=True) for _ in range(n)]
    order = np.random.default_rng(0).permutation(len(fields))
    result = compute_token_advantages(
        RecordedRows([fields[row] for row in order], [group_ids[row] for row in order]),
        rewards[order],
        mask[order],
    )
    expected = torch.from_numpy(np.concatenate(recorded.values)[order])
    assert torch.equal(result, expected[:, None] * mask[order])


def test_a_truncated_response_keeps_the_steps_it_still_has(recorded: Recorded) -> None:
    tensors, (columns, expected) = recorded.batch()
    width = 7  # one step and a half
    rewards = torch.zeros(len(recorded), width)
    rewards[:, -1] = torch.tensor(recorded.success).float()
    result = compute_token_advantages(
        RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist()),
        rewards,
        tensors["response_mask"][:, :width],
    )
    assert torch.equal(result, expected[:, :width])


def test_the_last_step_may_begin_beyond_a_truncated_response() -> None:
    steps = StepRecorder()
    steps.add("hall", start=0, stop=2)
    steps.add("kitchen", start=5)
    rows = RecordedRows([steps.rollout_fields(success=True)["graphgpo"]], ["task"])
    result = compute_token_advantages(rows, torch.ones(1, 3), torch.tensor([[1, 1, 0]]))
    assert not result.any()
    assert rows.metrics["graphgpo/num_steps"] == 2.0
    assert rows.metrics["graphgpo/tokens_without_step"] == 0.0


def test_the_outcome_is_the_reward_of_the_row_with_the_last_step() -> None:
    won, lost = StepRecorder(), StepRecorder()
    for recorder, states in ((won, ["hall", "kitchen"]), (lost, ["hall"])):
        for state in states:
            recorder.add(state)
    fields = [*won.step_fields(success=True), *lost.step_fields(success=False)]
    rows = [field["graphgpo"] for field in fields]
    rewards = torch.tensor([[-0.3], [1.0], [0.0]])  # a KL penalty differs from row to row
    result = compute_token_advantages(
        RecordedRows(rows, ["task"] * 3),
        rewards,
        torch.ones(3, 1),
        {"step_weight": 0.0},
    )
    np.testing.assert_allclose(result[:, 0], [2**-0.5, 2**-0.5, -(2**-0.5)], atol=1e-5)


def test_missing_states_are_reported_with_the_way_to_record_them(recorded: Recorded) -> None:
    tensors, (columns, _) = recorded.batch()
    columns["graphgpo"][[2, 5]] = None
    batch = RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist())
    message = r"2 of 32 rows have no recorded states \(the first is row 2\).*StepRecorder"
    with pytest.raises(ValueError, match=message):
        compute_token_advantages(batch, tensors["token_level_rewards"], tensors["response_mask"])


def test_steps_recorded_by_hand_are_checked() -> None:
    good = StepRecorder()
    good.add("hall")
    fields = good.rollout_fields(success=False)["graphgpo"]

    def compute(**changes: Any) -> None:
        steps = {name: value for name, value in {**fields, **changes}.items() if value != "absent"}
        compute_token_advantages(
            RecordedRows([steps], ["task"]), torch.ones(1, 1), torch.ones(1, 1)
        )

    with pytest.raises(ValueError, match="the steps recorded in row 0 have no 'success'"):
        compute(success="absent")
    with pytest.raises(ValueError, match="row 0 have columns of different lengths"):
        compute(states=["hall", "kitchen"])


def test_a_step_without_a_state_is_named() -> None:
    steps = StepRecorder()
    steps.add("hall")
    with pytest.raises(ValueError, match=r"^state is None"):
        steps.add(None)
    fields = steps.rollout_fields(success=False)["graphgpo"] | {"states": [None]}
    rows = RecordedRows([fields], ["task"])
    with pytest.raises(ValueError, match="step 0 recorded in row 0 has None for a state"):
        compute_token_advantages(rows, torch.ones(1, 1), torch.ones(1, 1))


def test_rewards_of_steps_reach_the_estimators_that_use_them() -> None:
    def tokens(*rewards: float) -> list[list[float]]:
        rows = []
        for reward in rewards:
            steps = StepRecorder()
            steps.add("hall", reward=reward)
            rows.append(steps.rollout_fields(success=False)["graphgpo"])
        batch = RecordedRows(rows, ["task"] * 2)
        config = {"estimator": "gigpo", "episode_weight": 0.0}
        found: list[list[float]] = compute_token_advantages(
            batch, torch.zeros(2, 1), torch.ones(2, 1), config
        ).tolist()
        return found

    np.testing.assert_allclose(tokens(1.0, 0.0), [[2**-0.5], [-(2**-0.5)]], atol=1e-5)
    np.testing.assert_allclose(tokens(0.0, 3.0), [[-(2**-0.5)], [2**-0.5]], atol=1e-5)


def test_invalid_actions_are_penalised(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    tensors, (columns, _) = recorded.batch()
    penalty = {"invalid_action_penalty": 0.5}
    result = compute_token_advantages(
        RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist()),
        tensors["token_level_rewards"],
        tensors["response_mask"],
        penalty,
    )
    expected = graphgpo.compute_advantages(
        **recorded.rollouts, action_valid=recorded.action_valid, estimator=penalty
    ).advantages
    assert not np.array_equal(expected, recorded.expected.advantages)
    np.testing.assert_array_equal(recorded.of_steps(result), expected)
    assert caplog.text == ""


def test_a_penalty_needs_to_know_which_actions_were_valid(
    caplog: pytest.LogCaptureFixture,
) -> None:
    steps = StepRecorder()
    steps.add("hall")
    rows = RecordedRows(
        [steps.rollout_fields(success=True)["graphgpo"]] * 2, ["task"] * 2, ["a", "b"]
    )
    compute_token_advantages(
        rows, torch.ones(2, 1), torch.ones(2, 1), {"invalid_action_penalty": 0.5}
    )
    assert "invalid_action_penalty is 0.5, but no step says whether its action" in caplog.text
    assert "Pass action_valid to StepRecorder.add" in caplog.text


def problems(recorded: Recorded, caplog: pytest.LogCaptureFixture, **changes: Any) -> str:
    tensors, (columns, _) = recorded.batch()
    steps = [{**fields, **changes} for fields in columns["graphgpo"]]
    with caplog.at_level(logging.WARNING):
        compute_token_advantages(
            RecordedRows(steps, changes.get("group_ids", columns["uid"].tolist())),
            tensors["token_level_rewards"],
            tensors["response_mask"],
        )
    return caplog.text


def test_good_wiring_is_silent(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    assert problems(recorded, caplog) == ""


def test_success_that_is_never_set_is_reported_once(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    text = problems(recorded, caplog, success=False)
    won = sum(recorded.success)
    assert "none of the 32 rollouts succeeded" in text
    assert f"{won} of them have a reward above 0, so success is probably never passed" in text
    assert problems(recorded, caplog, success=False).count("none of the 32") == 1


def test_states_that_are_all_the_same_are_reported(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    tensors, (columns, _) = recorded.batch()
    for fields in columns["graphgpo"]:
        fields["states"] = [""] * len(fields["states"])
    compute_token_advantages(
        RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist()),
        tensors["token_level_rewards"],
        tensors["response_mask"],
    )
    assert "all steps of a prompt start in the same state" in caplog.text


def test_what_counts_as_one_state_stands_beside_the_estimator() -> None:
    noisy = Recorded()
    for number, recorder in enumerate(noisy.recorders):
        recorder._states = [f"{number}.{s} {x}" for s, x in enumerate(recorder._states)]
        recorder._states = [f"turn {text}" for text in recorder._states]
    tensors, (columns, _) = noisy.batch()
    rows = RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist())
    arguments = rows, tensors["token_level_rewards"], tensors["response_mask"]
    compute_token_advantages(*arguments)
    assert rows.metrics["graphgpo/singleton_share"] == 1
    merging = {"normalise": {"ignore": [r"turn \d+\.\d+ "]}, "node_history": 2}
    _, asked = integration._options({"graphgpo": {"omega": 0.5, **merging}})
    assert asked == merging
    compute_token_advantages(*arguments, **asked)
    assert rows.metrics["graphgpo/singleton_share"] < 0.5


def test_groups_of_one_rollout_are_reported(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    text = problems(recorded, caplog, group_ids=list(range(len(recorded))))
    assert "each of the 32 prompts has one rollout" in text
    assert "actor_rollout_ref.rollout.n" in text


def test_states_that_never_meet_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    recorded = Recorded()
    for number, recorder in enumerate(recorded.recorders):
        recorder._states = [f"{number}.{s} {x}" for s, x in enumerate(recorder._states)]
    assert "start in a state seen once" in problems(recorded, caplog)


def test_tokens_outside_every_step_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    recorded = Recorded()
    for recorder in recorded.recorders:
        recorder._starts = [start + 1 for start in recorder._starts]
    text = problems(recorded, caplog)
    num_steps = sum(len(recorder) for recorder in recorded.recorders)
    assert f"{num_steps} tokens the policy wrote are in no step's start..stop" in text


def test_a_reward_free_failure_is_not_called_a_mistake() -> None:
    lost = graphgpo.compute_advantages(
        ["hall", "hall"], group_ids=[0, 0], trajectory_ids=[0, 1], success=[False, False]
    )
    problems = problems_of(lost.metrics, GraphGPO(), advice=integration.ADVICE)
    assert problems.names == ["no success"]
    assert "If the policy does solve tasks" in problems[0].words


def test_an_estimator_of_whole_rollouts_may_leave_steps_alone(
    recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    tensors, (columns, _) = recorded.batch()
    rows = RecordedRows(columns["graphgpo"].tolist(), columns["uid"].tolist())
    compute_token_advantages(
        rows, tensors["token_level_rewards"], tensors["response_mask"], {"estimator": "grpo"}
    )
    assert rows.metrics["graphgpo/inert"] == 0.0
    assert caplog.text == ""


class FromTheTarget(graphgpo.Estimator):
    """An estimator of the user's own."""

    def terms(self) -> list[Any]:
        return [Term(Target(BellmanMean(0.9)))]


@pytest.mark.parametrize("name", [*estimators.names(), "of the user's own"])
def test_every_estimator_of_the_family_credits_what_was_recorded(name: str) -> None:
    required = {"ecpo": {"tau": 2.0, "step_weight": 1.0}, "gagpo": {"gamma": 0.9, "lam": 0.9}}
    chosen: Any = {"estimator": name, **required.get(name, {})}
    if name not in estimators.names():
        chosen = FromTheTarget()
    rollouts = (("ab", "xy", True), ("aa", "yx", False), ("a", "x", False))
    rows, columns = [], []
    for trajectory, (states, actions, won) in enumerate(rollouts):
        steps = StepRecorder()
        for place, (state, action) in enumerate(zip(states, actions, strict=True)):
            steps.add(state, start=place, stop=place + 1, action=action, peer_key=place)
            columns.append((state, [*states[1:], "c"][place], trajectory, action, place, won))
        fields = steps.rollout_fields(success=won, final_state="c")
        rows.append(fields["graphgpo"])
    tokens = compute_token_advantages(
        RecordedRows(rows, ["task"] * 3),
        torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]),
        torch.tensor([[1, 1], [1, 1], [1, 0]]),
        chosen,
    )
    before, after, trajectories, done, places, success = zip(*columns, strict=True)
    expected = graphgpo.compute_advantages(
        before,
        after,
        group_ids=[0] * 5,
        trajectory_ids=trajectories,
        actions=done,
        peer_keys=places,
        success=success,
        episode_returns=[float(won) for won in success],
        estimator=chosen,
    )
    np.testing.assert_array_equal(tokens[[0, 0, 1, 1, 2], [0, 1, 0, 1, 0]], expected.advantages)
    assert expected.advantages.any()


def test_the_verl_agent_functions_give_the_same(recorded: Recorded) -> None:
    rollouts = load_rollouts("textworld")
    won = np.asarray(rollouts["success"]).astype(np.float64)
    batch = SimpleNamespace(
        batch={"response_mask": torch.ones(len(won), 1)},
        non_tensor_batch={
            "uid": rollouts["group_ids"],
            "traj_uid": rollouts["trajectory_ids"],
            "step_ids": rollouts["step_ids"],
            "anchor_obs": np.array(rollouts["states"], dtype=object),
            "next_obs": np.array(rollouts["next_states"], dtype=object),
            "episode_rewards": won,
        },
    )
    verl_agent.compute_advantages(batch)
    np.testing.assert_array_equal(
        batch.batch["advantages"][:, 0].numpy(), recorded.expected.advantages
    )


def test_importing_the_integration_imports_no_trainer() -> None:
    program = (
        "import sys, graphgpo.integrations.verl;"
        "others = {'verl', 'trl', 'torch', 'transformers', 'ray', 'transfer_queue'};"
        "print(others & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("set()\n", "")


# ---- with verl ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ray_trainer() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # verl's, about engines that are not installed
        integration.register()
        from verl.trainer.ppo import ray_trainer

        module: ModuleType = ray_trainer
        return module


def data_proto(recorded: Recorded, rows: NDArray[np.intp] | None = None) -> tuple[Any, Any]:
    from verl import DataProto

    tensors, (columns, expected) = recorded.batch(rows)
    return DataProto.from_dict(tensors=tensors, non_tensors=columns), expected


def legacy_advantages(ray_trainer: ModuleType, data: Any, options: Any = None) -> Any:
    from omegaconf import OmegaConf

    config = OmegaConf.create({"adv_estimator": "graphgpo", "graphgpo": options})
    return ray_trainer.compute_advantage(data, adv_estimator="graphgpo", config=config)


@needs_verl
def test_the_estimator_works_on_a_data_proto(ray_trainer: ModuleType, recorded: Recorded) -> None:
    data, expected = data_proto(recorded)
    result = legacy_advantages(ray_trainer, data)
    assert torch.equal(result.batch["advantages"], expected)
    assert torch.equal(result.batch["returns"], expected)
    assert result.meta_info["graphgpo_metrics"]["graphgpo/inert"] == 0.0


@needs_verl
def test_permuted_and_repeated_rows_of_a_data_proto(
    ray_trainer: ModuleType, recorded: Recorded
) -> None:
    rows = np.random.default_rng(0).permutation(np.array([*range(len(recorded)), 1, 1]))
    data, expected = data_proto(recorded, rows)
    assert torch.equal(legacy_advantages(ray_trainer, data).batch["advantages"], expected)


@needs_verl
def test_options_come_from_the_algorithm_node(ray_trainer: ModuleType, recorded: Recorded) -> None:
    rollouts = load_rollouts("textworld")
    options = {"estimator": "grpo", "episode_weight": 2.0}
    values = graphgpo.compute_advantages(**rollouts, estimator=options).advantages
    data, _ = data_proto(recorded)
    result = legacy_advantages(ray_trainer, data, options).batch["advantages"]
    np.testing.assert_array_equal(np.unique(result[result != 0]), np.unique(values[values != 0]))

    data, _ = data_proto(recorded)
    with pytest.raises(
        TypeError, match="unknown option 'omgea' of estimator 'graphgpo'; did you mean 'omega'"
    ):
        legacy_advantages(ray_trainer, data, {"omgea": 0.5})


@needs_verl
def test_a_data_proto_without_states_is_refused(
    ray_trainer: ModuleType, recorded: Recorded
) -> None:
    data, _ = data_proto(recorded)
    del data.non_tensor_batch["graphgpo"]
    with pytest.raises(ValueError, match="32 of 32 rows have no recorded states"):
        legacy_advantages(ray_trainer, data)


@needs_verl
def test_other_estimators_are_left_alone(ray_trainer: ModuleType, recorded: Recorded) -> None:
    data, _ = data_proto(recorded)
    result = ray_trainer.compute_advantage(data, adv_estimator="grpo")
    original = ray_trainer.compute_advantage.graphgpo_original
    data, _ = data_proto(recorded)
    expected = original(data, adv_estimator="grpo")
    assert torch.equal(result.batch["advantages"], expected.batch["advantages"])


@needs_verl
def test_a_trainer_that_passes_no_states_is_told_so(ray_trainer: ModuleType) -> None:
    estimator = ray_trainer.core_algos.get_adv_estimator_fn("graphgpo")
    with pytest.raises(RuntimeError, match=r"trainer\.v1\.trainer_mode=graphgpo_sync"):
        estimator(token_level_rewards=torch.zeros(1, 1), response_mask=torch.ones(1, 1))


@needs_verl
def test_registering_twice_is_registering_once(ray_trainer: ModuleType) -> None:
    before = ray_trainer.compute_advantage
    integration.register()
    assert ray_trainer.compute_advantage is before


@needs_verl
def test_a_failed_registration_is_logged(
    ray_trainer: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = ray_trainer.core_algos.ADV_ESTIMATOR_REGISTRY
    monkeypatch.setitem(registry, "graphgpo", lambda: None)
    integration.register()
    assert "graphgpo could not register with verl: adv_estimator=graphgpo" in caplog.text
    assert "has already been registered" in caplog.text


@needs_verl
@pytest.mark.parametrize("version", ["0.8.5", "0.10.0", "1.0.0.dev0"])
def test_an_untested_verl_is_named(
    ray_trainer: ModuleType, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    message = f"tested with verl >=0.9.1,<0.10; this is verl {version}"
    with pytest.warns(UserWarning, match=message):
        legacy_advantages(ray_trainer, data_proto(recorded)[0])


@needs_verl
def test_the_v1_trainer_is_verls_sync_trainer(
    ray_trainer: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from omegaconf import OmegaConf
    from verl.trainer.ppo.v1 import PPOTrainerSync, get_trainer_cls

    trainer = get_trainer_cls("graphgpo_sync")
    assert issubclass(trainer, PPOTrainerSync)
    # verl compares the mode with "sync" for its replay buffer and checkpoints.
    config = OmegaConf.create({"trainer": {"v1": {"trainer_mode": "graphgpo_sync"}}})
    seen = []
    monkeypatch.setattr(PPOTrainerSync, "__init__", lambda self, config: seen.append(config))
    trainer(config=config)
    assert seen == [{"trainer": {"v1": {"trainer_mode": "sync"}}}]


@needs_verl
def test_the_v1_trainer_needs_its_estimator(ray_trainer: ModuleType) -> None:
    from verl.trainer.ppo.v1 import get_trainer_cls

    trainer = object.__new__(get_trainer_cls("graphgpo_sync"))
    trainer.config = SimpleNamespace(algorithm=SimpleNamespace(adv_estimator="grpo"))
    message = "GraphGPOTrainerSync needs algorithm.adv_estimator=graphgpo; it is grpo"
    with pytest.raises(ValueError, match=message):
        trainer._compute_advantage(None, {})


@needs_verl
def test_verl_loads_the_plugin_with_plugins_off_where_it_is_named_as_a_module() -> None:
    program = """
        import verl, sys
        heavy = [name for name in sys.modules if name.startswith("verl.trainer.ppo.ray_trainer")]
        from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
        from verl.trainer.ppo.v1.trainer_base import TRAINER_REGISTRY
        print(heavy, "graphgpo" in ADV_ESTIMATOR_REGISTRY, "graphgpo_sync" in TRAINER_REGISTRY)
    """
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        env={
            **os.environ,
            "VERL_USE_EXTERNAL_PLUGINS": "none",
            "VERL_USE_EXTERNAL_MODULES": "graphgpo.integrations.verl_plugin",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout.splitlines()[-1:] == ["[] True True"], run.stderr


# ---- the recipe in examples/verl_textworld --------------------------------------------------

EXAMPLE = REPOSITORY / "examples" / "verl_textworld"


class ScriptedPolicy:
    """In place of the language model: answers with one of the commands it was shown."""

    def __init__(self, tokenizer: Any, seed: int) -> None:
        self.tokenizer = tokenizer
        self.random = np.random.default_rng(seed)

    async def generate(self, request_id: str, prompt_ids: list[int], sampling_params: Any) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        shown = self.tokenizer.decode(prompt_ids).rpartition("Commands:\n")[2]
        commands = shown.split("<|im_end|>")[0].strip().splitlines()
        commands = [text for text in commands if text.startswith(("go", "take"))]
        reply = f"I try. <command>{self.random.choice(commands)}</command><|im_end|>"
        tokens = self.tokenizer.encode(reply)
        return TokenOutput(token_ids=tokens, log_probs=[-1.0] * len(tokens))


@pytest.fixture(scope="module")
def recipe_config() -> Any:
    from hydra import compose, initialize_config_dir

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with initialize_config_dir(str(EXAMPLE), version_base=None):
            return compose("config")


@needs_verl
def test_the_recipes_config_composes(ray_trainer: ModuleType, recipe_config: Any) -> None:
    from verl.trainer.ppo.v1 import get_trainer_cls

    assert recipe_config.algorithm.adv_estimator == "graphgpo"
    assert integration._options(recipe_config.algorithm) == (graphgpo.GraphGPO(), {})
    assert get_trainer_cls(recipe_config.trainer.v1.trainer_mode)
    assert recipe_config.actor_rollout_ref.rollout.n == 8
    assert (EXAMPLE / recipe_config.actor_rollout_ref.rollout.agent.agent_loop_config_path).exists()


@needs_verl
@pytest.mark.skipif(
    importlib.util.find_spec("textworld") is None, reason="textworld is not installed"
)
@pytest.mark.filterwarnings("ignore")  # of TextWorld and its dependencies
def test_the_recipes_agent_loop_leads_to_advantages(
    ray_trainer: ModuleType, recipe_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    make_data = importlib.import_module("make_data")
    monkeypatch.setattr(make_data, "FOLDER", tmp_path)
    (tmp_path / "games").mkdir()
    data = make_data.row(0, make_data.make_game(seed=1, level=3))

    outputs = [play(recipe_config, data, seed) for seed in range(8)]
    for output in outputs:
        assert len(output.response_ids) == len(output.response_mask) > 0
        assert len(output.response_logprobs) == len(output.response_mask)
        # Every token the policy wrote is in exactly one step.
        steps = output.extra_fields["graphgpo"]
        written = [
            position
            for start, stop in zip(steps["starts"], steps["stops"], strict=True)
            for position in range(start, stop)
            if output.response_mask[position]
        ]
        assert written == list(np.flatnonzero(output.response_mask))
    won = {bool(output.reward_score) for output in outputs}
    assert won == {True, False}

    pad = functools.partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
    mask = pad([torch.tensor(output.response_mask) for output in outputs])
    rewards = torch.zeros(mask.shape)
    rewards[:, -1] = torch.tensor([output.reward_score for output in outputs])
    rows = RecordedRows([output.extra_fields["graphgpo"] for output in outputs], ["game"] * 8)
    advantages = compute_token_advantages(rows, rewards, mask, {"episode_weight": 0.0})
    assert advantages.any()
    assert rows.metrics["graphgpo/inert"] == 0.0
    assert rows.metrics["graphgpo/tokens_without_step"] == 0.0
    assert _wiring._said == set()


def play(config: Any, data: dict[str, Any], seed: int) -> Any:
    import asyncio

    from verl.experimental.agent_loop.agent_loop import DictConfigWrap
    from verl.utils.dataset.rl_dataset import RLHFDataset

    async def rollout() -> Any:
        agent = importlib.import_module("textworld_agent")
        tokenizer = byte_tokenizer()
        loop = agent.TextWorldAgentLoop(
            trainer_config=DictConfigWrap(config),
            server_manager=ScriptedPolicy(tokenizer, seed),
            tokenizer=tokenizer,
            processor=None,
            dataset_cls=RLHFDataset,
            data_config=DictConfigWrap(config.data),
            max_steps=5,
        )
        return await loop.run({}, raw_prompt=data["prompt"], extra_info=data["extra_info"])

    return asyncio.run(rollout())


# The v1 trainer with Ray and a TransferQueue, in a process of its own: it can hang.


@pytest.fixture(scope="module")
def v1_reports() -> dict[str, Any]:
    """What the v1 trainer made of each layout of rows; verl has found the plugin by itself."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-3000:]
    reports: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return reports


@needs_verl
@pytest.mark.skipif(
    importlib.util.find_spec("transfer_queue") is None, reason="TransferQueue is not installed"
)
@pytest.mark.skipif(not HAS_PLUGIN, reason="this graphgpo is installed without its entry point")
@pytest.mark.parametrize("layout", ["rollouts", "steps"])
def test_the_v1_trainer_works_on_a_transfer_queue(v1_reports: Any, layout: str) -> None:
    report = v1_reports[layout]
    assert report["rows"] == report["right"] > 0
    assert report["padding"] == 3
    assert report["metrics"]["graphgpo/num_trajectories"] == 32.0
    assert report["metrics"]["graphgpo/tokens_without_step"] == 0.0


def run_v1_trainer() -> dict[str, Any]:
    import ray
    import transfer_queue as tq
    from omegaconf import OmegaConf

    ray.init(num_cpus=4, include_dashboard=False)  # TransferQueue waits for ever with too few
    tq.init(
        OmegaConf.create(
            {
                "backend": {
                    "storage_backend": "SimpleStorage",
                    "SimpleStorage": {"total_storage_size": 10000, "num_data_storage_units": 1},
                }
            }
        )
    )
    reports = {layout: advantages_in_queue(layout) for layout in ("rollouts", "steps")}
    tq.close()
    ray.shutdown()
    return reports


def advantages_in_queue(layout: str) -> dict[str, Any]:
    """Write rollouts the way verl's agent loop worker does, compute advantages, read them back."""
    import transfer_queue as tq
    from omegaconf import OmegaConf
    from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
    from verl.trainer.ppo.padding_utils import upsample_batch_to_divisible_size
    from verl.trainer.ppo.v1 import get_trainer_cls
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    recorded = Recorded()
    outputs, keys, expected = [], [], {}
    for row in range(len(recorded)):
        masks, fields, tokens = [recorded.mask(row)], [recorded.fields(row)], [recorded.tokens(row)]
        if layout == "steps":
            fields = recorded.step_fields(row)
            masks, tokens = (list(torch.split(x[0], TOKENS + GAP)) for x in (masks, tokens))
        for index, (mask, extra, token) in enumerate(zip(masks, fields, tokens, strict=True)):
            output = AgentLoopOutput(
                prompt_ids=[1, 2],
                response_ids=[3] * len(mask),
                response_mask=mask.tolist(),
                reward_score=float(recorded.success[row]),
                num_turns=2,
                metrics={},
                extra_fields={"turn_scores": [], **extra},
            )
            field = output.as_dict()
            field["uid"] = recorded.uids[row]
            field["input_ids"] = torch.cat([field["prompts"], field["responses"]])
            field["position_ids"] = torch.arange(len(field["input_ids"]))
            outputs.append(field)
            keys.append(f"{recorded.uids[row]}_{row % 8}_{index}")
            expected[keys[-1]] = token
    tq.kv_batch_put(
        keys=keys,
        fields=list_of_dict_to_tensordict(outputs),
        tags=[{"seq_len": len(field["input_ids"])} for field in outputs],
        partition_id=layout,
    )
    batch = tq.KVBatchMeta(keys=keys, tags=[{} for _ in keys], partition_id=layout)
    batch = upsample_batch_to_divisible_size(batch, len(keys) + 3, eos_token_id=0)
    batch.reorder(np.random.default_rng(0).permutation(len(batch)).tolist())

    trainer = object.__new__(get_trainer_cls("graphgpo_sync"))  # __init__ wants GPUs
    algorithm = {"adv_estimator": "graphgpo", "gamma": 1.0, "lam": 1.0, "use_kl_in_reward": False}
    trainer.config = OmegaConf.create(
        {"algorithm": algorithm, "actor_rollout_ref": {"rollout": {"n": 8}}}
    )
    metrics: dict[str, Any] = {}
    batch = trainer._compute_advantage(batch, metrics)
    data = tq.kv_batch_get(
        keys=batch.keys, partition_id=layout, select_fields=["advantages", "returns"]
    )
    right = padding = 0
    for key, row, returns in zip(batch.keys, data["advantages"], data["returns"], strict=True):
        if key.startswith("pad"):
            padding += not row.any()
        else:
            right += torch.equal(row, expected[key]) and torch.equal(returns, row)
    return {"rows": len(keys), "right": right, "padding": padding, "metrics": metrics}


if __name__ == "__main__":
    print(json.dumps(run_v1_trainer()))
