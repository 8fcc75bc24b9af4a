"""TRL: `GraphGPOTrainer`, a `GRPOTrainer` whose advantages are those of steps.

States come from a `rollout_func`, which records the steps of each rollout with a `StepRecorder`, or
from the environments of an `environment_factory`, which have a `state` and a `success`. The groups
of all ranks are merged into graphs, and every token of a step gets the step's advantage.
`docs/integrations/trl.md` has a block to copy, `examples/trl_house.py` a complete program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from accelerate.utils import gather_object
from numpy.typing import NDArray
from trl import GRPOTrainer

from graphgpo import estimators
from graphgpo.advantages import compute_advantages
from graphgpo.integrations import _fields
from graphgpo.integrations._memory import keep, memory_of, tasks_of_steps
from graphgpo.integrations._record import step_record
from graphgpo.integrations._recording import (
    EXTRA_FIELD,
    StepRecorder,
    num_tokens_without_step,
    on_tokens,
    recorded_steps,
)
from graphgpo.integrations._wiring import Advice, check_version, say_problems, told_elsewhere
from graphgpo.keys import state_key
from graphgpo.states.merging import Merging
from graphgpo.torch.distributed import compute_advantages_across_ranks

__all__ = ["EXTRA_FIELD", "GraphGPOMixin", "GraphGPOTrainer", "StepRecorder"]

T = TypeVar("T")

TESTED_TRL = ((1, 16), (1, 17))  # from, below

ADVICE = Advice(
    record_steps=(
        "Record the steps of each rollout with graphgpo.integrations.trl.StepRecorder and return "
        f"its fields from rollout_func (key {EXTRA_FIELD!r}, one entry for each completion), or "
        "use an environment_factory; see docs/integrations/trl.md"
    ),
    set_success="passed to StepRecorder (with environments: their `success` is never True)",
    more_rollouts="Set num_generations to 4 or more; if it is, most rollouts record no step",
    mark_invalid="Pass action_valid to StepRecorder.add (with environments: leave it at 0)",
)


class GraphGPOMixin:
    """Put before a `GRPOTrainer` class: `class Mine(GraphGPOMixin, MyGRPOTrainer)`.

    Takes six keywords more than that class. `estimator`: a name, a mapping of options with the
    name under "estimator", or an `Estimator`. `record`: a folder, in which every training step
    leaves a Parquet file of its steps and their credit (with the extra `graphgpo[files]`).
    `memory`: a `graphgpo.GraphMemory`, the path of its file, which is then read at first and
    written after every training step, or a mapping of its arguments; tasks are named by
    `StepRecorder(task_id=...)`, or by a column `task_id` of the data set.
    `normalise`, `similar` and `node_history` say what counts as one state, as in
    `graphgpo.Rollouts`; `similar` needs one process.

    The rewards become the outcome of a rollout, summed with TRL's `reward_weights`; every
    normalisation is the estimator's. All ranks compute the same from the steps of all ranks, and
    each keeps its own rows.

    Raises
    ------
    ValueError
        If `args` ask for a normalisation of TRL's, which would have no effect.
    """

    accelerator: Any
    args: Any
    environments: list[Any] | None
    model: Any
    num_generations: int
    num_generations_eval: int
    reward_weights: torch.Tensor
    rollout_func: Callable[[list[Any], Any], dict[str, Any]] | None
    state: Any
    _metrics: dict[str, dict[str, list[float]]]

    def __init__(
        self,
        *args: Any,
        estimator: Any = "graphgpo",
        record: str | None = None,
        memory: Any = None,
        normalise: Any = None,
        similar: float | None = None,
        node_history: int = 1,
        **kwargs: Any,
    ) -> None:
        check_version("trl", *TESTED_TRL)
        self.estimator = estimators.make(estimator)
        self.record = record
        self.memory = memory_of(memory)
        # Refused here, not after the first rollout.
        self.merging = Merging.of(normalise, similar, node_history).options
        self._generation = _Generation()
        super().__init__(*args, **kwargs)
        _check_normalisation(self.args)
        rollout_func = self.rollout_func
        if rollout_func is not None:
            self.rollout_func = lambda prompts, trainer: _on_every_rank(
                lambda: rollout_func(prompts, trainer)
            )

    def environment_state(self, environment: Any) -> Any:
        """What two rollouts must share to be in the same situation. Override it at will."""
        return _attribute(environment, "state")

    def environment_success(self, environment: Any) -> bool:
        """Whether the rollout has reached the goal by now. Override it at will."""
        success: bool = _attribute(environment, "success")
        return success

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        generation = self._generation = _Generation()
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        response_mask = output["completion_mask"] * output.get("tool_mask", 1)
        rows = generation.rows
        if rows is None:  # TRL has put what rollout_func returned into the inputs
            rows = [row.get(EXTRA_FIELD) for row in inputs]

        steps = _on_every_rank(lambda: recorded_steps(dict(enumerate(rows)), ADVICE))
        without_step = num_tokens_without_step(steps, response_mask)
        ranks: list[tuple[int, int]] = gather_object([(len(rows), without_step)])
        rows_before = sum(num_rows for num_rows, _ in ranks[: self.accelerator.process_index])
        rollouts = rows_before + steps.rows  # numbered over all ranks
        is_training = self.model.training
        group_size = self.num_generations if is_training else self.num_generations_eval
        outcomes = _outcomes(generation.rewards, self.reward_weights)
        compute = compute_advantages_across_ranks if len(ranks) > 1 else compute_advantages
        memory = self.memory if is_training else None  # which learns from training alone
        task_ids = None
        if memory is not None:
            of_row = [row.get("task_id") for row in inputs]
            task_ids = _on_every_rank(lambda: tasks_of_steps(steps, of_row))
        with told_elsewhere():
            result = compute(
                steps.states,
                steps.next_states,
                group_ids=rollouts // group_size,
                trajectory_ids=rollouts,
                step_ids=steps.step_ids,
                success=steps.success,
                episode_returns=outcomes[rollouts],
                action_valid=steps.action_valid,
                actions=steps.actions,
                peer_keys=steps.peer_keys,
                rewards=steps.rewards,
                # A rollout that no reward function scored is left out, as TRL does.
                mask=~np.isnan(outcomes[rollouts]),
                task_ids=task_ids,
                memory=memory,
                estimator=self.estimator,
                **self.merging,
            )
        if self.accelerator.is_main_process:  # all ranks remember the same
            keep(memory)
        output["advantages"] = on_tokens(result, steps, response_mask)
        if self.record is not None and is_training:
            is_unscored = np.isnan(outcomes[rollouts])  # left out by whoever reads it, too
            step_record(self.record, _rank_of(self.accelerator, len(ranks))).write(
                self.state.global_step,
                result,
                self.estimator,
                group_ids=(rollouts // group_size).tolist(),
                trajectory_ids=rollouts.tolist(),
                step_ids=steps.step_ids.tolist(),
                states=steps.states,
                next_states=steps.next_states,
                actions=steps.actions,
                success=[
                    None if unscored else won
                    for unscored, won in zip(is_unscored, steps.success.tolist(), strict=True)
                ],
                outcomes=outcomes[rollouts],
                rewards=steps.rewards,
            )

        num_without_step = sum(without_step for _, without_step in ranks)
        metrics = {**result.metrics, "graphgpo/tokens_without_step": float(num_without_step)}
        for name, value in metrics.items():
            self._metrics["train" if is_training else "eval"][name].append(value)
        if is_training and self.accelerator.is_main_process:
            say_problems(
                result,
                metrics,
                ADVICE,
                self.estimator,
                num_rewarded=int((outcomes > 0).sum()),
                knows_action_valid=steps.knows_action_valid,
            )
        return output

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        rewards: torch.Tensor = super()._calculate_rewards(*args, **kwargs)  # type: ignore[misc]
        self._generation.rewards = rewards  # of the rows of all ranks
        return rewards

    def _generate(self, prompts: list[Any]) -> Any:
        generated = super()._generate(prompts)  # type: ignore[misc]
        if self._plays_environments():
            self._look_at_environments()
            _, completion_ids, tool_mask, *_ = generated
            masks = tool_mask or [[1] * len(ids) for ids in completion_ids]
            looks = self._generation.looks
            self._generation.rows = _on_every_rank(lambda: _turns_as_steps(looks, masks))
        return generated

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        if self._plays_environments():
            self._look_at_environments()
        return super()._generate_single_turn(*args, **kwargs)  # type: ignore[misc]

    def _plays_environments(self) -> bool:
        return bool(self.environments) and self.rollout_func is None

    def _look_at_environments(self) -> None:
        # Ranks take different numbers of turns, so an error has to wait until they meet again.
        look: list[_Situation] | Exception
        try:
            look = [
                _Situation(
                    _unchanging(self.environment_state(environment)),
                    bool(_success(environment, self.environment_success(environment))),
                )
                for environment in self.environments or []
            ]
        except Exception as error:
            look = error
        self._generation.looks.append(look)


class GraphGPOTrainer(GraphGPOMixin, GRPOTrainer):  # type: ignore[misc]
    """TRL's `GRPOTrainer` with GraphGPO's advantages; see `GraphGPOMixin`."""


class _Situation(NamedTuple):
    """Where the environment of one rollout is."""

    state: Any
    """A text, or a key of what may change in place."""
    success: bool


@dataclass
class _Generation:
    """What was seen on the way through one `_generate_and_score_completions`."""

    looks: list[list[_Situation] | Exception] = field(default_factory=list)
    """All environments before each turn, and once after the last."""

    rows: list[Any] | None = None
    """Recorded steps of each row, if they come from environments."""

    rewards: torch.Tensor = field(default_factory=lambda: torch.empty(0, 0))
    """(rows of all ranks, reward functions)."""


def _rank_of(accelerator: Any, num_ranks: int) -> int | None:
    """None: there is one only."""
    return int(accelerator.process_index) if num_ranks > 1 else None


def _unchanging(state: Any) -> Any:
    return state if isinstance(state, str) else state_key(state)


def _outcomes(rewards: torch.Tensor, weights: torch.Tensor) -> NDArray[np.float64]:
    """Weighted sum of a row's rewards, as TRL forms it; NaN where no function gave one."""
    weighted = (rewards * weights.to(rewards.device)).nansum(dim=1)
    weighted[torch.isnan(rewards).all(dim=1)] = torch.nan
    return weighted.double().cpu().numpy()


def _turns_as_steps(
    looks: Sequence[list[_Situation] | Exception], masks: Sequence[Sequence[int]]
) -> list[dict[str, Any]]:
    """Recorded steps of each row: a turn of the policy, a run of 1s in its mask, is a step.

    A turn without a tool call, or with one that fails, is a step that stays where it is. The
    rollout ends with the turn that reaches the goal, to which what is written after it belongs.
    """
    return [
        _steps_of_rollout([_seen(look)[row] for look in looks], mask)
        for row, mask in enumerate(masks)
    ]


def _seen(look: list[_Situation] | Exception) -> list[_Situation]:
    if isinstance(look, Exception):
        raise look
    return look


def _steps_of_rollout(situations: Sequence[_Situation], mask: Sequence[int]) -> dict[str, Any]:
    starts = np.flatnonzero(np.diff(mask, prepend=0) == 1).tolist()
    # A rollout that is over stays as it is while others go on: what follows its last turn is final.
    wins = [turn for turn in range(len(starts)) if situations[turn + 1].success]
    num_steps = wins[0] + 1 if wins else len(starts)
    steps = StepRecorder()
    for turn in range(num_steps):
        is_last = turn == num_steps - 1
        steps.add(
            situations[turn].state,
            start=starts[turn],
            stop=None if is_last else starts[turn + 1],
        )
    fields: dict[str, Any] = steps.rollout_fields(
        success=bool(wins), final_state=situations[num_steps].state
    )[EXTRA_FIELD]
    return fields


def _on_every_rank(work: Callable[[], T]) -> T:
    """`work()`; if it fails on one rank, all ranks raise instead of waiting for that one."""
    error: Exception | None = None
    try:
        done = work()
    except Exception as failure:
        error = failure
    failures = gather_object([None if error is None else f"{type(error).__name__}: {error}"])
    if error is not None:
        raise error
    for rank, message in enumerate(failures):
        if message is not None:
            raise RuntimeError(f"rank {rank} failed, so this one stops too: {message}")
    return done


def _success(environment: Any, given: Any) -> bool | None:
    """As a `success` column takes it; what is not known has not happened by now."""
    name = f"the success of environment {type(environment).__name__}"
    return _fields.flag(name, given, unknown="not known yet")


def _attribute(environment: Any, name: str) -> Any:
    value = getattr(environment, name, None)
    if value is None or callable(value):
        what = "no" if value is None else "a method"
        raise TypeError(
            f"environment {type(environment).__name__} has {what} {name!r}; expected an attribute "
            "or a property: `state`, what rollouts share that are in the same situation, and "
            "`success`, whether the goal is reached. Or override environment_state and "
            "environment_success of the trainer"
        )
    return value


def _check_normalisation(args: Any) -> None:
    if args.scale_rewards != "group":
        raise ValueError(
            f"scale_rewards is {args.scale_rewards!r}, which would have no effect: GraphGPO "
            "normalises by itself. Leave it at 'group'; the estimator's option "
            "normalization='mean' drops the standard deviation"
        )
    if args.multi_objective_aggregation != "sum_then_normalize":
        raise ValueError(
            f"multi_objective_aggregation is {args.multi_objective_aggregation!r}, which would "
            "have no effect: an outcome is the weighted sum of the rewards. Leave it at "
            "'sum_then_normalize'"
        )
