"""verl-agent: the functions of its GraphGPO recipe, under their own names and signatures.

A trainer that imports them from `recipe.GraphGPO.core_graph` changes that one line to

    from graphgpo.integrations.verl_agent import (
        ComplexGraph, compute_graph_path_returns, compute_graphgpo_outcome_advantage,
    )

and gets the recipe's numbers without its quadratic loops; `corrected=True` turns its deviations
from the paper off (`docs/differences.md` lists them). `compute_advantages` is all of it in one
call, with every estimator of the family. Batches are verl-agent's `DataProto`s: one row per
step, ids and observations in `non_tensor_batch`. Nothing of verl-agent is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

import graphgpo
from graphgpo import estimators
from graphgpo.blocks import Given, Mean, MeanStd, SameState, Task, Term
from graphgpo.estimators import Estimator
from graphgpo.ingest import flag_column, real_column
from graphgpo.integrations._memory import keep, memory_of
from graphgpo.integrations._record import step_record
from graphgpo.integrations._wiring import Advice, say_problems, told_elsewhere
from graphgpo.states.similar import check_threshold
from graphgpo.torch import to_tokens

GOAL_TEXT = "success"
"""What the recipe's rollout loop writes into `next_obs` of the last step of a successful rollout,
and what its graph takes for the goal."""

Mode = Literal["mean_std_norm", "mean_norm"]
_ADVICE = Advice(
    record_steps=(
        "anchor_obs and next_obs must be what the environment shows before and after the step"
    ),
    set_success="shown by episode_rewards, which must be above 0 for it",
    more_rollouts=(
        "Set env.rollout.n to 4 or more; if it is, the rollouts of a task do not share a uid"
    ),
    mark_invalid="Put is_action_valid into non_tensor_batch",
)
_ADVICE_BY_TEXT = replace(
    _ADVICE,
    set_success=(
        "written down: use the rollout loop of the GraphGPO recipe, or write next_obs = "
        f"{GOAL_TEXT!r} into the last step of every success"
    ),
)


class ComplexGraph:
    """The graph of one task, for code that builds graphs first and asks for returns later.

    Holds no distances: `compute_graph_path_returns` reads them off the batch it is given, so the
    rows may be permuted, repeated or dropped in between.
    """

    def __init__(self, uid: Any, rows: NDArray[np.intp], similar: float | None = None) -> None:
        self.uid = uid
        self.similar = similar
        """The share of characters from which on states are one; None: equal ones only."""
        self.rows = rows
        """Rows of the batch that are steps of this task."""

    @classmethod
    def from_data(
        cls, data: Any, enable_similarity: bool = False, similarity_thresh: float = 0.95
    ) -> dict[Any, ComplexGraph]:
        """One graph for each `uid` of a batch.

        With `enable_similarity` near-duplicate states of a task are one, as `similar` of
        `graphgpo.Rollouts` has it: exactly, and whatever the order of rows. The recipe takes the
        first state that fits, by `difflib`'s ratio, which is never above the one used here.
        """
        similar = similarity_thresh if enable_similarity else None
        if similar is not None:
            check_threshold("similarity_thresh", similar)
        uids = _column(data, "uid")
        order: dict[Any, list[int]] = {}
        for row, uid in enumerate(uids.tolist()):
            order.setdefault(uid, []).append(row)
        return {uid: cls(uid, np.array(rows), similar) for uid, rows in order.items()}

    @staticmethod
    def Calculate_all_shortest_path(Gs: Mapping[Any, ComplexGraph]) -> None:  # noqa: N802, N803
        """Nothing is left to do here; there so that the recipe's trainer runs as it is."""


def compute_graph_path_returns(
    batch: Any,
    Gs: Mapping[Any, ComplexGraph],  # noqa: N803
    gamma: float,
    normalize_distance: bool,
) -> torch.Tensor:
    """Return of every step: 10 * gamma ** d(next_obs), d counted in steps to the goal.

    Parameters
    ----------
    batch
        A `DataProto`, one row per step, in any order. Read from `non_tensor_batch`: `uid`,
        `traj_uid`, `anchor_obs`, `next_obs`, and if there `active_masks`, `episode_rewards`.
    Gs
        What `ComplexGraph.from_data` returned: whether near-duplicates are one.
    gamma
        `omega` elsewhere in this library, 0 < gamma < 1.
    normalize_distance
        True: 10 * gamma ** (d(next_obs) - d(anchor_obs) + 1).

    Returns
    -------
    (bs,) float32 on the device of `input_ids`. Rows whose `next_obs` is `GOAL_TEXT` lead to the
    goal; states from which it was never reached count as one step beyond the farthest.
    """
    _check_active(batch)
    is_goal = _goal_rows(batch)
    exponent = "progress" if normalize_distance else "recipe"
    estimator = estimators.make("graphgpo", {"omega": gamma, "exponent": exponent})
    # Every row a rollout of its own: with next_obs given the graph is the same, and neither the
    # order of the rows nor repeated ones can change it.
    similar = next((graph.similar for graph in Gs.values()), None)
    with told_elsewhere():
        result = graphgpo.compute_advantages(
            *_states(batch, is_goal),
            group_ids=_column(batch, "uid"),
            trajectory_ids=np.arange(len(is_goal)),
            success=is_goal,
            estimator=estimator,
            similar=similar,
        )
    # Every row is a rollout of its own here, so every step back to a start would count as an end,
    # and every state would stand at the first position only.
    unknown = {"graphgpo/ends_at_a_start": 0.0, "graphgpo/revisited_positions": 1.0}
    metrics = {**result.metrics, **unknown}
    _say_problems(batch, None, metrics, _ADVICE_BY_TEXT, estimator)
    return torch.as_tensor(result.scores, dtype=torch.float32, device=_device(batch))


class _GivenReturns(Estimator):
    """Returns that are given, one a row, compared among peers: each step's, or each rollout's."""

    returns: Any = None
    peers: Any = None
    how: Any = None
    is_of_rollout: bool = False

    def terms(self) -> list[Term]:
        """The one term."""
        unit: Any = "trajectories" if self.is_of_rollout else "steps"
        return [Term(self.returns, peers=self.peers, normaliser=self.how, unit=unit)]


def compute_graphgpo_outcome_advantage(
    token_level_rewards: torch.Tensor,
    step_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    anchor_obs: Any,
    index: Any,
    traj_index: Any,
    epsilon: float = 1e-6,
    step_advantage_w: float = 1.0,
    episode_advantage_w: float = 1.0,
    mode: Mode = "mean_std_norm",
    *,
    corrected: bool = False,
    similar: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Joint advantage of every token, from returns of `compute_graph_path_returns`.

    Parameters
    ----------
    token_level_rewards, response_mask
        (bs, T). A row's outcome is the sum of its rewards.
    step_rewards
        (bs,) returns, penalised by the trainer or not.
    anchor_obs, index, traj_index
        (bs,) state before the step, task and rollout.
    epsilon, step_advantage_w, episode_advantage_w, mode
        As in the recipe.
    corrected
        False: the recipe's numbers, except that advantages it invents from float32 rounding (a
        state all of whose returns are equal) and the raw score it gives the only step of a task
        are 0. True: the returns of a state are scaled by their largest, so that credit does not
        fade with distance, and episode statistics count each rollout once (its largest outcome,
        as the trainer may have penalised some of its rows).
    similar
        The threshold that `ComplexGraph.from_data` was given, for the states that are compared to
        be those of the graph; None: equal ones only.

    Returns
    -------
    (advantages, advantages), (bs, T) float32, 0 outside `response_mask`.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode is {mode!r}; expected 'mean_std_norm' or 'mean_norm'")
    outcomes = token_level_rewards.detach().sum(-1).double().cpu().numpy()
    returns = step_rewards.detach().double().cpu().numpy()
    is_row = np.arange(len(returns))
    states = _as_states(anchor_obs)
    if corrected:
        returns = returns / _largest_of_state(returns, states, index, similar)
        outcomes = _largest_of_trajectory(outcomes, index, traj_index)
    how = Mean() if mode == "mean_norm" else MeanStd(epsilon=epsilon)
    rollouts = graphgpo.Rollouts(
        states,
        group_ids=index,
        trajectory_ids=traj_index if corrected else is_row,
        success=None,
        similar=similar,
    )
    step = _GivenReturns(returns=Given(returns), peers=SameState(), how=how)
    episode = _GivenReturns(returns=Given(outcomes), peers=Task(), how=how, is_of_rollout=corrected)
    with told_elsewhere():
        of_steps, of_episodes = (rollouts.advantages(one) for one in (step, episode))
    advantages = step_advantage_w * of_steps.step_advantages.astype(np.float64)
    advantages += episode_advantage_w * of_episodes.step_advantages
    tokens = to_tokens(advantages, response_mask)
    return tokens, tokens


def compute_advantages(
    batch: Any,
    estimator: Any = "graphgpo",
    *,
    record: str | None = None,
    training_step: int | None = None,
    memory: Any = None,
    normalise: Any = None,
    similar: float | None = None,
    node_history: int = 1,
    **options: Any,
) -> dict[str, float]:
    """All of it in one call: fills `advantages` and `returns` of a batch, returns the metrics.

    Takes the place of graph construction, returns and advantages in the trainer. The numbers are
    those of `graphgpo.compute_advantages` with the same options, so there is no horizon.
    `graphgpo.GraphGPO.recipe()` as `estimator` gives the recipe's.

    Parameters
    ----------
    batch
        A `DataProto`, one row per step, in any order. `non_tensor_batch` needs `uid`, `traj_uid`,
        `anchor_obs`, `next_obs` and `episode_rewards` (> 0: the rollout succeeded); `step_ids`, if
        there, makes rows repeated by the trainer count once, and is needed where no `next_obs` of a
        successful rollout is `GOAL_TEXT`; `is_action_valid` is read with an
        `invalid_action_penalty`, `rewards`, `actions` and `peer_keys` of the
        steps by the estimators that use them. `batch` needs `response_mask`.
    estimator, normalise, similar, node_history, options
        As for `graphgpo.compute_advantages`. `enable_similarity=True` of the recipe is
        `similar=0.95`.
    record, training_step
        A folder, in which every training step leaves a Parquet file of its steps and their credit
        (with the extra `graphgpo[files]`); which step this is. None: the batch's
        `meta_info["global_steps"]`, else the one after the last.
    memory
        A `graphgpo.GraphMemory`, the path of its file, which is then read at first and written
        after every call, or a mapping of its arguments. `non_tensor_batch` needs `task_ids`: what
        names a row's task in every batch, as `uid` does not.
    """
    estimator = estimators.make(estimator, options)
    remembered = memory_of(memory)
    _check_active(batch)
    is_goal = _goal_rows(batch)
    states, next_states = _states(batch, is_goal)
    trajectories = _rollout_columns(batch)
    episode_returns = _outcomes(batch)
    won = episode_returns > 0
    step_ids = batch.non_tensor_batch.get("step_ids")
    if step_ids is None:
        _check_last_steps(is_goal, won, list(zip(*trajectories, strict=True)))
        step_ids = _order_with_goal_last(is_goal)
    with told_elsewhere():
        result = graphgpo.compute_advantages(
            states,
            next_states,
            group_ids=trajectories[0],
            trajectory_ids=trajectories[1],
            step_ids=step_ids,
            success=won,
            episode_returns=episode_returns,
            action_valid=batch.non_tensor_batch.get("is_action_valid"),
            rewards=batch.non_tensor_batch.get("rewards"),
            actions=batch.non_tensor_batch.get("actions"),
            peer_keys=batch.non_tensor_batch.get("peer_keys"),
            task_ids=None if remembered is None else _task_ids(batch),
            memory=remembered,
            estimator=estimator,
            normalise=normalise,
            similar=similar,
            node_history=node_history,
        )
    keep(remembered)
    if record is not None:
        if training_step is None:
            training_step = getattr(batch, "meta_info", {}).get("global_steps")
        step_record(record).write(
            training_step,
            result,
            estimator,
            group_ids=trajectories[0],
            trajectory_ids=trajectories[1],
            step_ids=np.asarray(step_ids, dtype=np.int64).tolist(),
            states=states,
            next_states=next_states,
            actions=batch.non_tensor_batch.get("actions"),
            success=won,
            outcomes=episode_returns,
            rewards=batch.non_tensor_batch.get("rewards"),
        )
    _say_problems(batch, result, result.metrics, _ADVICE, estimator)
    tokens = to_tokens(result, batch.batch["response_mask"])
    batch.batch["advantages"] = tokens
    batch.batch["returns"] = tokens
    return result.metrics


def _column(batch: Any, name: str) -> NDArray[Any]:
    if name not in batch.non_tensor_batch:
        raise KeyError(
            f"the batch has no {name!r} in non_tensor_batch (it has "
            f"{', '.join(sorted(batch.non_tensor_batch)) or 'nothing'}); it takes the rollout loop "
            "of the GraphGPO recipe, which records the observation before and after every step"
        )
    column: Any = batch.non_tensor_batch[name]
    if not isinstance(column, np.ndarray) or column.ndim == 0:
        raise TypeError(
            f"{name} in non_tensor_batch is a {type(column).__name__}; expected a NumPy array, an "
            "entry per row, as a DataProto holds them"
        )
    return column


def _outcomes(batch: Any) -> NDArray[np.float64]:
    return real_column("episode_rewards", _column(batch, "episode_rewards"), None)


def _task_ids(batch: Any) -> list[Any]:
    if "task_ids" not in batch.non_tensor_batch:
        raise KeyError(
            "the batch has no 'task_ids' in non_tensor_batch, and a memory needs them: what names "
            "a row's task in every batch, such as the game's seed, as uid does not"
        )
    named: list[Any] = _column(batch, "task_ids").tolist()
    return named


def _check_active(batch: Any) -> None:
    if batch.non_tensor_batch.get("active_masks") is None:
        return
    active = _column(batch, "active_masks")
    inactive = np.flatnonzero(~flag_column("active_masks", active, None))
    if len(inactive):
        raise ValueError(
            f"active_masks[{inactive[0]}] is {active[inactive[0]]!r}; expected active steps only, "
            "as the rollout loop gathers them"
        )


def _goal_rows(batch: Any) -> NDArray[np.bool_]:
    column = _column(batch, "next_obs")
    return np.array([isinstance(state, str) and state == GOAL_TEXT for state in column], dtype=bool)


def _say_problems(
    batch: Any,
    result: graphgpo.StepAdvantages | None,
    metrics: Mapping[str, float],
    advice: Advice,
    estimator: Estimator,
) -> None:
    has_outcomes = "episode_rewards" in batch.non_tensor_batch
    won = _outcomes(batch) > 0 if has_outcomes else np.zeros(len(_column(batch, "uid")), np.bool_)
    names = list(zip(*_rollout_columns(batch), strict=True))
    say_problems(
        result,
        {**metrics, "graphgpo/num_trajectories": float(len(set(names)))},
        advice,
        estimator,
        num_rewarded=len({names[row] for row in np.flatnonzero(won)}),
        knows_action_valid="is_action_valid" in batch.non_tensor_batch,
    )


def _rollout_columns(batch: Any) -> tuple[list[Any], list[Any]]:
    return _column(batch, "uid").tolist(), _column(batch, "traj_uid").tolist()


def _states(batch: Any, is_goal: NDArray[np.bool_]) -> tuple[list[Any], list[Any]]:
    columns = {name: _as_states(_column(batch, name)) for name in ("anchor_obs", "next_obs")}
    for name, column in columns.items():
        missing = [row for row, state in enumerate(column) if state is None]
        if missing:
            raise ValueError(
                f"{name} is None in {len(missing)} of {len(column)} rows (the first is row "
                f"{missing[0]}), so GraphGPO has no graph to work on. {_ADVICE.record_steps}"
            )
    states, targets = columns.values()
    return states, [None if won else target for won, target in zip(is_goal, targets, strict=True)]


def _as_states(column: Any) -> list[Any]:
    """Array states as nested lists: stacked by NumPy or not, they are equal by their values."""
    return [state.tolist() if isinstance(state, np.ndarray) else state for state in column]


def _check_last_steps(
    is_goal: NDArray[np.bool_], won: NDArray[np.bool_], names: list[tuple[Any, Any]]
) -> None:
    """The order of rows says nothing: the trainer balances batches by permuting them."""
    reached = {names[row] for row in np.flatnonzero(is_goal)}
    for row in np.flatnonzero(won):
        if names[row] not in reached:
            raise ValueError(
                f"row {row} belongs to a rollout with episode_rewards > 0 (uid {names[row][0]!r}, "
                f"traj_uid {names[row][1]!r}), but no next_obs of that rollout is {GOAL_TEXT!r} "
                "and the batch has no step_ids, so its last step is unknown; expected either: the "
                "recipe's rollout loop writes the one, step_ids in non_tensor_batch are the other"
            )


def _order_with_goal_last(is_goal: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Row order as step order, but for the step that reached the goal: that one was the last.

    With next_obs given, the order of the other steps enters no advantage.
    """
    return np.where(is_goal, len(is_goal), np.arange(len(is_goal)))


def _largest_of_state(
    returns: NDArray[np.float64], states: Any, index: Any, similar: float | None
) -> NDArray[np.float64]:
    rollouts = graphgpo.Rollouts(
        states,
        group_ids=index,
        trajectory_ids=np.arange(len(returns)),
        success=None,
        similar=similar,
    )
    nodes, _ = rollouts.node_ids()
    largest = np.zeros(nodes.max(initial=-1) + 1)
    np.maximum.at(largest, nodes, np.abs(returns))
    largest[largest == 0] = 1.0
    return largest[nodes]


def _largest_of_trajectory(
    outcomes: NDArray[np.float64], index: Any, traj_index: Any
) -> NDArray[np.float64]:
    largest: dict[tuple[Any, Any], float] = {}
    names = list(zip(list(index), list(traj_index), strict=True))
    for name, outcome in zip(names, outcomes.tolist(), strict=True):
        largest[name] = max(outcome, largest.get(name, outcome))
    return np.array([largest[name] for name in names])


def _device(batch: Any) -> torch.device:
    tensors = batch.batch
    for name in ("input_ids", "response_mask"):
        if name in tensors.keys():  # noqa: SIM118  (a TensorDict is no mapping)
            device: torch.device = tensors[name].device
            return device
    return torch.device("cpu")
