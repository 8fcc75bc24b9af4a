"""verl-agent's recipe functions: its numbers on real rollouts, and the corrected ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import graphgpo
from arguments import VALUES, Target, is_taken_or_refused_in_words
from graphgpo.integrations import _wiring, verl_agent
from graphgpo.integrations.verl_agent import (
    ComplexGraph,
    compute_graph_path_returns,
    compute_graphgpo_outcome_advantage,
)

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.npz"))
WIDTH = 3


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> None:
    _wiring._said.clear()


class Golden:
    """One file of real rollouts as the batch verl-agent makes of them."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.arrays = {name: file[name] for name in file.files}
        states, next_states = self.text("state"), self.text("next_state")
        won = self.arrays["success"].astype(bool)
        trajectories = np.stack([self.column("group_id"), self.column("trajectory_id")])
        is_last = np.append((trajectories[:, 1:] != trajectories[:, :-1]).any(axis=0), True)
        next_states[won & is_last] = "success"
        self.uid = np.array([f"task {g}" for g in self.column("group_id")], dtype=object)
        self.traj_uid = np.array([f"{g} {t}" for g, t in trajectories.T.tolist()], dtype=object)
        self.columns: dict[str, NDArray[Any]] = {
            "uid": self.uid,
            "traj_uid": self.traj_uid,
            "anchor_obs": states,
            "next_obs": next_states,
            "text_actions": np.full(len(states), "go", dtype=object),
            "rewards": np.zeros(len(states), dtype=object),
            "active_masks": np.ones(len(states), dtype=object),
            "episode_rewards": self.arrays["episode_return"].astype(np.float32),
            "is_action_valid": self.arrays["action_valid"],
        }

    def column(self, name: str) -> NDArray[Any]:
        return self.text(name) if name + "__texts" in self.arrays else self.arrays[name]

    def text(self, name: str) -> NDArray[np.object_]:
        texts: NDArray[np.object_] = self.arrays[name + "__texts"].astype(object)
        column: NDArray[np.object_] = texts[self.arrays[name]]
        return column

    def batch(self, rows: NDArray[np.intp] | None = None) -> Any:
        rows = np.arange(len(self.uid)) if rows is None else rows
        columns = {name: column[rows] for name, column in self.columns.items()}
        rewards = torch.zeros(len(rows), WIDTH)
        rewards[:, 1] = torch.from_numpy(columns["episode_rewards"])
        mask = torch.ones(len(rows), WIDTH)
        mask[:, -1] = 0
        tensors = {
            "input_ids": torch.zeros(len(rows), WIDTH, dtype=torch.int64),
            "response_mask": mask,
            "token_level_rewards": rewards,
        }
        return SimpleNamespace(batch=tensors, non_tensor_batch=columns)


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def step_returns(batch: Any, omega: float, normalize_distance: bool = False) -> torch.Tensor:
    graphs = ComplexGraph.from_data(batch)
    ComplexGraph.Calculate_all_shortest_path(graphs)
    return compute_graph_path_returns(batch, graphs, omega, normalize_distance)


def advantages(batch: Any, returns: torch.Tensor, **options: Any) -> NDArray[np.float32]:
    tokens, same = compute_graphgpo_outcome_advantage(
        token_level_rewards=batch.batch["token_level_rewards"],
        step_rewards=returns,
        response_mask=batch.batch["response_mask"],
        anchor_obs=batch.non_tensor_batch["anchor_obs"],
        index=batch.non_tensor_batch["uid"],
        traj_index=batch.non_tensor_batch["traj_uid"],
        **options,
    )
    assert same is tokens
    assert tokens.dtype == torch.float32
    assert not tokens[:, -1].any()
    assert torch.equal(tokens[:, 0], tokens[:, 1])
    values: NDArray[np.float32] = tokens[:, 0].numpy()
    return values


def has_equal_returns(batch: Any, returns: NDArray[np.float32]) -> NDArray[np.bool_]:
    keys = list(
        zip(batch.non_tensor_batch["uid"], batch.non_tensor_batch["anchor_obs"], strict=True)
    )
    seen: dict[Any, set[float]] = {}
    for key, value in zip(keys, returns.tolist(), strict=True):
        seen.setdefault(key, set()).add(value)
    return np.array([len(seen[key]) == 1 for key in keys])


@pytest.mark.parametrize("omega", [0.1, 0.2, 0.8])
@pytest.mark.parametrize("score", ["goal", "progress"])
def test_returns_are_the_recipes(golden: Golden, omega: float, score: str) -> None:
    returns = step_returns(golden.batch(), omega, score == "progress")
    assert returns.dtype == torch.float32
    expected = golden.arrays[f"return__omega{omega}_{score}"]
    np.testing.assert_allclose(returns.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("mode", ["mean_std_norm", "mean_norm"])
@pytest.mark.parametrize("score", ["goal", "progress"])
@pytest.mark.parametrize("episode", [0.0, 1.0])
def test_advantages_are_the_recipes_but_for_its_rounding(
    golden: Golden, mode: str, score: str, episode: float
) -> None:
    for omega in (0.1, 0.2, 0.8):
        batch = golden.batch()
        returns = step_returns(batch, omega, score == "progress")
        result = advantages(batch, returns, mode=mode, episode_advantage_w=episode)
        expected = golden.arrays[f"adv__omega{omega}_{score}_{mode}_episode{episode:.0f}"]
        is_right = ~has_equal_returns(batch, returns.numpy()) | (mode == "mean_norm")
        np.testing.assert_allclose(result[is_right], expected[is_right], rtol=0, atol=2e-6)


def test_a_penalty_the_trainer_takes_in_between_counts(golden: Golden) -> None:
    batch = golden.batch()
    invalid = torch.from_numpy(~batch.non_tensor_batch["is_action_valid"].astype(bool))
    returns = step_returns(batch, 0.1) - 0.1 * invalid
    batch.batch["token_level_rewards"][:, 0] -= 0.1 * invalid
    expected = golden.arrays["adv__omega0.1_goal_mean_std_norm_episode1_penalty0.1"]
    is_right = ~has_equal_returns(batch, returns.numpy())
    result = advantages(batch, returns)
    # float32 loses digits when 0.1 is taken from tiny returns.
    np.testing.assert_allclose(result[is_right], expected[is_right], rtol=0, atol=1e-4)


def test_the_corrected_numbers_are_those_of_compute_advantages(golden: Golden) -> None:
    batch = golden.batch()
    expected = graphgpo.compute_advantages(
        batch.non_tensor_batch["anchor_obs"],
        batch.non_tensor_batch["next_obs"],
        group_ids=golden.uid,
        trajectory_ids=golden.traj_uid,
        success=golden.arrays["success"],
        episode_returns=golden.arrays["episode_return"],
    )
    one_switch = advantages(batch, step_returns(batch, 0.1), corrected=True)
    # The returns went through float32.
    np.testing.assert_allclose(one_switch, expected.advantages, rtol=0, atol=2e-6)

    metrics = verl_agent.compute_advantages(batch)
    np.testing.assert_array_equal(batch.batch["advantages"][:, 0].numpy(), expected.advantages)
    assert batch.batch["returns"] is batch.batch["advantages"]
    assert metrics == expected.metrics


def test_one_call_gives_the_recipes_numbers_too(golden: Golden) -> None:
    batch = golden.batch()
    estimator = graphgpo.GraphGPO.recipe(invalid_action_penalty=0.0)
    verl_agent.compute_advantages(batch, estimator)
    expected = golden.arrays["adv__omega0.1_goal_mean_std_norm_episode1"]
    is_right = ~has_equal_returns(batch, step_returns(batch, 0.1).numpy())
    np.testing.assert_allclose(
        batch.batch["advantages"][:, 0].numpy()[is_right], expected[is_right], rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("corrected", [False, True])
def test_permuting_rows_permutes_the_advantages(golden: Golden, corrected: bool) -> None:
    rows = np.random.default_rng(0).permutation(len(golden.uid))
    batch, permuted = golden.batch(), golden.batch(rows)
    expected = advantages(batch, step_returns(batch, 0.1), corrected=corrected)
    result = advantages(permuted, step_returns(permuted, 0.1), corrected=corrected)
    np.testing.assert_array_equal(result, expected[rows])

    verl_agent.compute_advantages(batch)
    verl_agent.compute_advantages(permuted)
    assert torch.equal(permuted.batch["advantages"], batch.batch["advantages"][rows])


def test_repeated_rows_count_once_where_steps_are_numbered(golden: Golden) -> None:
    golden.columns["step_ids"] = golden.column("step")
    rows = np.concatenate([np.arange(len(golden.uid)), np.arange(0, len(golden.uid), 7)])
    batch, padded = golden.batch(), golden.batch(rows)
    verl_agent.compute_advantages(batch)
    metrics = verl_agent.compute_advantages(padded)
    assert torch.equal(padded.batch["advantages"], batch.batch["advantages"][rows])
    assert metrics["graphgpo/duplicate_rows"] == len(rows) - len(golden.uid)


def test_repeated_rows_do_not_move_distances(golden: Golden) -> None:
    rows = np.concatenate([np.arange(len(golden.uid)), np.arange(len(golden.uid))[::-1]])
    batch, padded = golden.batch(), golden.batch(rows)
    assert torch.equal(step_returns(padded, 0.1), step_returns(batch, 0.1)[rows])
    verl_agent.compute_advantages(padded)  # also the winning step twice


def test_an_observation_may_be_an_array() -> None:
    boards = np.arange(12).reshape(3, 2, 2)
    for states in (boards, boards.astype(object)):
        next_states = np.empty(3, dtype=object)
        next_states[:] = [states[1].tolist(), "success", states[2].tolist()]
        batch = tiny_batch(states, next_states)
        assert torch.allclose(step_returns(batch, 0.1), torch.tensor([1.0, 10.0, 0.01]))


def tiny_batch(states: Any, next_states: Any, **columns: Any) -> Any:
    """A rollout of two steps that won and one of one step that lost."""
    return SimpleNamespace(
        batch={"response_mask": torch.ones(3, 2)},
        non_tensor_batch={
            "uid": np.array(["task"] * 3, dtype=object),
            "traj_uid": np.array(["a", "a", "b"], dtype=object),
            "anchor_obs": np.asarray(states),
            "next_obs": np.asarray(next_states),
            "episode_rewards": np.array([10.0, 10.0, 0.0]),
            **columns,
        },
    )


HALL = np.array(["hall", "kitchen", "hall"], dtype=object)


def test_graphs_are_one_per_task() -> None:
    graphs = ComplexGraph.from_data(tiny_batch(HALL, HALL))
    assert list(graphs) == ["task"]
    assert graphs["task"].uid == "task"
    np.testing.assert_array_equal(graphs["task"].rows, [0, 1, 2])


def test_similar_states_are_merged_whatever_the_order_of_rows() -> None:
    seen = ["A mug is here.", "Nothing.", "A mug is there."]
    batch = tiny_batch(seen, ["Nothing.", "success", "A mug is where."])
    apart = compute_graph_path_returns(batch, ComplexGraph.from_data(batch), 0.1, False)
    graphs = ComplexGraph.from_data(batch, enable_similarity=True, similarity_thresh=0.85)
    assert {graph.similar for graph in graphs.values()} == {0.85}
    merged = compute_graph_path_returns(batch, graphs, 0.1, False)
    torch.testing.assert_close(apart, torch.tensor([1.0, 10.0, 0.01]))
    torch.testing.assert_close(merged, torch.tensor([1.0, 10.0, 0.1]))
    with pytest.raises(ValueError, match=r"similarity_thresh is 2; expected a number in \(0, 1\]"):
        ComplexGraph.from_data(batch, enable_similarity=True, similarity_thresh=2)


def test_peers_are_similar_where_the_graph_was() -> None:
    mask = torch.ones(2, 1)
    columns: dict[str, Any] = {
        "token_level_rewards": torch.zeros(2, 1),
        "step_rewards": torch.tensor([10.0, 0.1]),
        "response_mask": mask,
        "anchor_obs": np.array(["A mug is here.", "A mug is where."], dtype=object),
        "index": np.array(["task"] * 2, dtype=object),
        "traj_index": np.array(["a", "b"], dtype=object),
    }
    for corrected in (False, True):
        apart, _ = compute_graphgpo_outcome_advantage(**columns, corrected=corrected)
        assert not apart.any()
        peers, _ = compute_graphgpo_outcome_advantage(**columns, corrected=corrected, similar=0.85)
        torch.testing.assert_close(peers[:, 0], torch.tensor([0.7071, -0.7071]), atol=1e-3, rtol=0)


def test_a_missing_column_is_named() -> None:
    batch = tiny_batch(HALL, HALL)
    del batch.non_tensor_batch["next_obs"]
    with pytest.raises(KeyError, match="no 'next_obs' in non_tensor_batch"):
        compute_graph_path_returns(batch, {}, 0.1, False)


def test_an_inactive_step_is_refused() -> None:
    batch = tiny_batch(HALL, HALL, active_masks=np.array([1.0, 0.0, 1.0]))
    with pytest.raises(ValueError, match=r"active_masks\[1\] is .*0\.0.*; expected active steps"):
        compute_graph_path_returns(batch, {}, 0.1, False)


def test_an_unknown_mode_is_refused() -> None:
    batch = tiny_batch(HALL, HALL)
    batch.batch["token_level_rewards"] = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="mode is 'median'; expected 'mean_std_norm' or"):
        advantages(batch, torch.zeros(3), mode="median")


# ---- wrong wiring ---------------------------------------------------------------------------


def dropped_in(batch: Any) -> None:
    step_returns(batch, 0.1)


def in_one_call(batch: Any) -> None:
    verl_agent.compute_advantages(batch)


both_ways = pytest.mark.parametrize("compute", [dropped_in, in_one_call])


@both_ways
def test_good_wiring_is_silent(
    golden: Golden, compute: Any, caplog: pytest.LogCaptureFixture
) -> None:
    compute(golden.batch())
    assert caplog.text == ""


@both_ways
def test_groups_of_one_rollout_are_reported(
    golden: Golden, compute: Any, caplog: pytest.LogCaptureFixture
) -> None:
    golden.columns["uid"] = golden.traj_uid
    compute(golden.batch())
    compute(golden.batch())
    num_rollouts = len(set(golden.traj_uid))
    assert caplog.text.count(f"each of the {num_rollouts} prompts has one rollout") == 1
    assert "Set env.rollout.n to 4 or more; if it is, the rollouts of a task do not" in caplog.text


@both_ways
def test_success_that_is_never_set_is_reported(
    golden: Golden, compute: Any, caplog: pytest.LogCaptureFixture
) -> None:
    golden.columns["next_obs"] = golden.text("next_state")
    golden.columns["episode_rewards"] = np.zeros(len(golden.uid))
    compute(golden.batch())
    assert f"none of the {len(set(golden.traj_uid))} rollouts succeeded" in caplog.text
    assert "If the policy does solve tasks, success is never" in caplog.text


def test_a_success_no_step_leads_to_is_reported(
    golden: Golden, caplog: pytest.LogCaptureFixture
) -> None:
    golden.columns["next_obs"] = golden.text("next_state")
    dropped_in(golden.batch())
    num_won = len(set(golden.traj_uid[golden.columns["episode_rewards"] > 0]))
    assert f"{num_won} of them have a reward above 0, so success is probably never" in caplog.text
    assert "write next_obs = 'success' into the last step of every success" in caplog.text


@both_ways
@pytest.mark.parametrize("name", ["anchor_obs", "next_obs"])
def test_missing_states_are_named(golden: Golden, compute: Any, name: str) -> None:
    golden.columns[name][[2, 5]] = None
    message = (
        f"{name} is None in 2 of {len(golden.uid)} rows .* row 2.*anchor_obs and next_obs must"
    )
    with pytest.raises(ValueError, match=message):
        compute(golden.batch())


@both_ways
def test_states_that_are_all_the_same_are_reported(
    golden: Golden, compute: Any, caplog: pytest.LogCaptureFixture
) -> None:
    golden.columns["anchor_obs"][:] = ""
    compute(golden.batch())
    assert "all steps of a prompt start in the same state" in caplog.text


def test_a_penalty_needs_to_know_which_actions_were_valid(
    golden: Golden, caplog: pytest.LogCaptureFixture
) -> None:
    verl_agent.compute_advantages(golden.batch(), invalid_action_penalty=0.5)
    assert caplog.text == ""
    del golden.columns["is_action_valid"]
    verl_agent.compute_advantages(golden.batch(), invalid_action_penalty=0.5)
    assert "invalid_action_penalty is 0.5, but no step says whether its action" in caplog.text
    assert "Put is_action_valid into non_tensor_batch" in caplog.text


def test_the_success_is_found_without_the_text_where_steps_are_numbered() -> None:
    next_states = np.array(["kitchen", "sink", "bedroom"], dtype=object)
    batch = tiny_batch(HALL, next_states, step_ids=np.array([0, 1, 0]))
    metrics = verl_agent.compute_advantages(batch, episode_weight=0.0)
    assert metrics["graphgpo/inert"] == 0.0
    np.testing.assert_allclose(batch.batch["advantages"][:, 0], [0.7071, 0.0, -0.7071], atol=1e-4)


def test_a_success_whose_last_step_is_unknown_is_refused() -> None:
    batch = tiny_batch(HALL, np.array(["kitchen", "sink", "bedroom"], dtype=object))
    with pytest.raises(ValueError, match=r"row 0 .*'a'\), but no next_obs .* has no step_ids"):
        verl_agent.compute_advantages(batch)


def test_rewards_of_steps_reach_the_estimators_that_use_them() -> None:
    next_states = np.array(["kitchen", "success", "bedroom"], dtype=object)
    for rewards in ([0.0, 0.0, 1.0], [1.0, 0.0, 0.0]):
        batch = tiny_batch(HALL, next_states, rewards=np.array(rewards, dtype=object))
        verl_agent.compute_advantages(batch, "gigpo", episode_weight=0.0)
        sign = 1 if rewards[0] else -1
        found = batch.batch["advantages"][:, 0]
        np.testing.assert_allclose(found, [sign * 0.7071, 0.0, -sign * 0.7071], atol=1e-4)


def test_actions_reach_the_estimators_that_compare_them() -> None:
    next_states = np.array(["kitchen", "success", "bedroom"], dtype=object)
    batch = tiny_batch(HALL, next_states)
    with pytest.raises(ValueError, match="actions is None; estimator 'rtmc' needs it"):
        verl_agent.compute_advantages(batch, "rtmc")
    batch = tiny_batch(HALL, next_states, actions=np.array(["go", "take", "wait"], dtype=object))
    verl_agent.compute_advantages(batch, "rtmc")
    assert batch.batch["advantages"].any()


COLUMNS = (
    *("uid", "traj_uid", "anchor_obs", "next_obs", "episode_rewards", "step_ids", "active_masks"),
    *("is_action_valid", "rewards", "actions", "peer_keys"),
)


@pytest.mark.parametrize("name", COLUMNS)
def test_whatever_a_column_is_it_is_taken_or_refused_in_words(name: str) -> None:
    def in_place_of_it(column: Any) -> None:
        batch = tiny_batch(HALL, np.array(["kitchen", verl_agent.GOAL_TEXT, "bath"], dtype=object))
        batch.non_tensor_batch |= {"step_ids": np.array([0, 1, 0]), name: column}
        verl_agent.compute_advantages(batch)

    known = Target(in_place_of_it, {}, ["column"])
    for value in VALUES:
        assert is_taken_or_refused_in_words(known, {"column": value()}), value()
        cells = np.array([None, "task", 1], dtype=object)
        cells[0] = value()
        assert is_taken_or_refused_in_words(known, {"column": cells}), cells


def test_a_column_that_is_none_is_named() -> None:
    batch = tiny_batch(HALL, HALL, step_ids=np.array([0, 1, 0]), anchor_obs=3)
    text = "^anchor_obs in non_tensor_batch is a int; expected a NumPy array, an entry per row"
    with pytest.raises(TypeError, match=text):
        verl_agent.compute_advantages(batch)
    batch = tiny_batch(HALL, HALL, episode_rewards=np.array([1.0, "won", 0.0], dtype=object))
    with pytest.raises(TypeError, match=r"^episode_rewards\[1\] is 'won'"):
        verl_agent.compute_advantages(batch)
