"""verl: `algorithm.adv_estimator=graphgpo`, and the v1 trainer `trainer_mode=graphgpo_sync`.

An agent loop records the states it passes with a `StepRecorder` and puts them into the
`extra_fields` of its output. When advantages are due they are merged into one graph per prompt,
and every token of a step gets the step's advantage. `algorithm.graphgpo` holds the name of any
estimator of the family under "estimator", GraphGPO if it has none, and its options, with
`normalise`, `similar`, `node_history`, `record` and `memory` beside them.
`docs/integrations/verl.md` has a block to copy, `examples/verl_textworld` a complete recipe.

verl loads `graphgpo.integrations.verl_plugin` in each of its processes, which calls `register`.
Importing this module imports neither verl nor torch.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

import graphgpo
from graphgpo import estimators
from graphgpo.estimators import Estimator
from graphgpo.integrations._memory import keep, memory_of, tasks_of_steps
from graphgpo.integrations._record import step_record
from graphgpo.integrations._recording import (
    EXTRA_FIELD,
    StepRecorder,
    num_tokens_without_step,
    on_tokens,
    recorded_steps,
)
from graphgpo.integrations._wiring import (
    Advice,
    check_version,
    merging_apart,
    say_problems,
    told_elsewhere,
)

if TYPE_CHECKING:
    import torch

__all__ = [
    "ESTIMATOR",
    "EXTRA_FIELD",
    "TRAINER_MODE",
    "GraphGPOMixin",
    "RecordedRows",
    "StepRecorder",
    "compute_token_advantages",
    "graphgpo_advantage",
    "register",
]

logger = logging.getLogger(__name__)

ESTIMATOR = "graphgpo"
TRAINER_MODE = "graphgpo_sync"
TESTED_VERL = ((0, 9, 1), (0, 10))  # from, below

ADVICE = Advice(
    record_steps=(
        "In the agent loop, record the steps with graphgpo.integrations.verl.StepRecorder and "
        f"update AgentLoopOutput.extra_fields with its fields (key {EXTRA_FIELD!r}); see "
        "docs/integrations/verl.md"
    ),
    set_success="passed to StepRecorder",
    more_rollouts=(
        "Set actor_rollout_ref.rollout.n to 4 or more; if it is, the rollouts of a prompt do not "
        "share a uid"
    ),
    mark_invalid="Pass action_valid to StepRecorder.add",
)


@dataclass
class RecordedRows:
    """What the agent loops recorded for the rows of a batch, in order of the rows."""

    steps: Sequence[Any]
    """One dict of a `StepRecorder` for each row."""

    group_ids: Sequence[Any]
    """The prompt of each row."""

    trajectory_ids: Sequence[Any] | None = None
    """The rollout of each row; None: what the recorder says."""

    is_padding: Sequence[bool] | None = None
    """Rows the trainer made up to fill the batch."""

    training_step: int | None = None
    """For the record; None: the one after the last."""

    metrics: dict[str, float] = field(default_factory=dict)
    """Filled by `compute_token_advantages`."""


def compute_token_advantages(
    rows: RecordedRows,
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    estimator: Any = "graphgpo",
    record: str | None = None,
    memory: Any = None,
    **merging: Any,
) -> torch.Tensor:
    """Advantage of every response token, (B, T) float32, 0 where `response_mask` is.

    A rollout's outcome is the summed reward of the row with its last step. Rows that record the
    same steps of the same rollout are copies and count once. `record`: a folder, in which every
    training step leaves a Parquet file of its steps and their credit. `memory`: a
    `graphgpo.GraphMemory`, the path of its file, which is then read at first and written after
    every call, or a mapping of its arguments; `StepRecorder(task_id=...)` names the tasks.
    `merging`: normalise, similar and node_history, as `graphgpo.Rollouts` takes them.

    Raises
    ------
    ValueError
        If a row has no recorded steps, saying how to record them.
    """
    estimator = estimators.make(estimator)
    num_rows, _ = response_mask.shape
    is_padding = rows.is_padding or [False] * num_rows
    recorded = {
        row: steps
        for row, (steps, padding) in enumerate(zip(rows.steps, is_padding, strict=True))
        if not padding
    }
    steps = recorded_steps(recorded, ADVICE)
    step_rows = steps.rows.tolist()
    ids = _trajectory_ids(rows, recorded)
    outcomes = token_level_rewards.detach().sum(-1).double().cpu().tolist()
    last_steps: dict[tuple[Any, Any], tuple[int, float]] = {}
    for row, fields in recorded.items():
        last = (max(fields["step_ids"], default=-1), outcomes[row])
        last_steps[ids[row]] = max(last, last_steps.get(ids[row], last), key=lambda step: step[0])

    group_ids = [ids[row][0] for row in step_rows]
    trajectory_ids = [ids[row][1] for row in step_rows]
    episode_returns = np.array([last_steps[ids[row]][1] for row in step_rows])
    remembered = memory_of(memory)
    with told_elsewhere():
        result = graphgpo.compute_advantages(
            steps.states,
            steps.next_states,
            group_ids=group_ids,
            trajectory_ids=trajectory_ids,
            step_ids=steps.step_ids,
            success=steps.success,
            episode_returns=episode_returns,
            action_valid=steps.action_valid,
            actions=steps.actions,
            peer_keys=steps.peer_keys,
            rewards=steps.rewards,
            task_ids=None if remembered is None else tasks_of_steps(steps),
            memory=remembered,
            estimator=estimator,
            **merging,
        )
    keep(remembered)
    if record is not None:
        step_record(record).write(
            rows.training_step,
            result,
            estimator,
            group_ids=group_ids,
            trajectory_ids=trajectory_ids,
            step_ids=steps.step_ids.tolist(),
            states=steps.states,
            next_states=steps.next_states,
            actions=steps.actions,
            success=steps.success,
            outcomes=episode_returns,
            rewards=steps.rewards,
        )
    is_real = response_mask.new_zeros(num_rows)
    is_real[list(recorded)] = 1
    without_step = num_tokens_without_step(steps, response_mask * is_real[:, None])
    rows.metrics = {**result.metrics, "graphgpo/tokens_without_step": float(without_step)}
    say_problems(
        result,
        rows.metrics,
        ADVICE,
        estimator,
        num_rewarded=sum(outcome > 0 for _, outcome in last_steps.values()),
        knows_action_valid=steps.knows_action_valid,
    )
    return on_tokens(result, steps, response_mask)


def _trajectory_ids(
    rows: RecordedRows, recorded: Mapping[int, Mapping[str, Any]]
) -> dict[int, tuple[Any, Any]]:
    """(group id, trajectory id) of each row; a row is a rollout of its own if nobody says more."""
    given = rows.trajectory_ids
    return {
        row: (
            rows.group_ids[row],
            str(given[row]) if given is not None else str(steps.get("trajectory_id", row)),
        )
        for row, steps in recorded.items()
    }


# ---- inside verl ----------------------------------------------------------------------------

# An estimator of verl's registry is not given the batch, only rewards, mask and uid. The callers
# below, which do have it, leave the recorded steps here.
_rows_of_batch: ContextVar[RecordedRows | None] = ContextVar("graphgpo_rows", default=None)


@contextlib.contextmanager
def _recorded(rows: RecordedRows) -> Iterator[None]:
    token = _rows_of_batch.set(rows)
    try:
        yield
    finally:
        _rows_of_batch.reset(token)


def graphgpo_advantage(
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    config: Any = None,
    **_: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The estimator `graphgpo` of verl's registry: (advantages, returns), both (B, T) float32."""
    check_version("verl", *TESTED_VERL)
    rows = _rows_of_batch.get()
    if rows is None:
        raise RuntimeError(
            "adv_estimator=graphgpo was called by a trainer that does not pass recorded states on. "
            f"Use trainer.v1.trainer_mode={TRAINER_MODE}, or the legacy trainer "
            "(trainer.use_v1=False); other trainers need graphgpo.integrations.verl.GraphGPOMixin"
        )
    estimator, beside = _options(config)
    advantages = compute_token_advantages(
        rows, token_level_rewards, response_mask, estimator, **beside
    )
    return advantages, advantages


def _options(algorithm: Any) -> tuple[Estimator, dict[str, Any]]:
    """`algorithm.graphgpo` of a Hydra node, a dict or a dataclass; without it the defaults.

    The estimator, and what stands beside its options: record, memory, what counts as one state.
    """
    given = algorithm.get(ESTIMATOR, None) if hasattr(algorithm, "get") else None
    options, beside = merging_apart({} if given is None else given)
    if isinstance(options, Mapping):
        options = dict(options)
        beside |= {name: options.pop(name) for name in ("record", "memory") if name in options}
    return estimators.make(options), beside


class GraphGPOMixin:
    """Put before a v1 `PPOTrainer` class: `class Mine(GraphGPOMixin, PPOTrainerSync)`.

    `graphgpo_sync` is that over verl's "sync" trainer. Rows may be whole rollouts or single steps.
    """

    config: Any

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        tq = importlib.import_module("transfer_queue")

        estimator = self.config.algorithm.adv_estimator
        if estimator != ESTIMATOR:
            raise ValueError(
                f"trainer {type(self).__name__} needs algorithm.adv_estimator={ESTIMATOR}; it is "
                f"{estimator}, which would leave the recorded states unused"
            )
        data = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"]
        )
        # A row's key is {uid}_{session}_{output}, and the uid may hold underscores itself.
        names = [key.rsplit("_", 2) for key in batch.keys]
        rows = RecordedRows(
            steps=[_plain(fields).get(EXTRA_FIELD) for fields in data["extra_fields"]],
            group_ids=[uid for uid, _, _ in names],
            trajectory_ids=[session for _, session, _ in names],
            is_padding=[bool(tag.get("is_padding", False)) for tag in batch.tags],
            training_step=getattr(self, "global_steps", None),
        )
        with _recorded(rows):
            batch = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        metrics.update(rows.metrics)
        return batch


def _plain(fields: Any) -> dict[str, Any]:
    """A row's `extra_fields` as a dict, out of the wrapping a TensorDict puts around it."""
    fields = getattr(fields, "data", fields)
    return dict(fields.items()) if hasattr(fields, "items") else {}


def register() -> None:
    """Make `adv_estimator=graphgpo` and `trainer_mode=graphgpo_sync` known to verl.

    Cheap and idempotent: the trainers are prepared when verl imports them. A failure is logged,
    for verl itself swallows what a plugin raises.
    """
    try:
        core_algos = importlib.import_module("verl.trainer.ppo.core_algos")
        core_algos.register_adv_est(ESTIMATOR)(graphgpo_advantage)
        _after_import("verl.trainer.ppo.ray_trainer", _wrap_compute_advantage)
        _after_import("verl.trainer.ppo.v1", _register_trainer)
    except Exception:
        logger.exception(
            "graphgpo could not register with verl: adv_estimator=%s and trainer_mode=%s are not "
            "available",
            ESTIMATOR,
            TRAINER_MODE,
        )


def _register_trainer(v1: ModuleType) -> None:
    registry = importlib.import_module(f"{v1.__name__}.trainer_base").TRAINER_REGISTRY
    if TRAINER_MODE in registry:
        return

    class GraphGPOTrainerSync(GraphGPOMixin, v1.get_trainer_cls("sync")):  # type: ignore[misc]
        def __init__(self, config: Any) -> None:
            # The base class compares the mode with "sync" to choose its replay buffer and its
            # checkpoints; any other name would get those of the asynchronous trainers.
            config.trainer.v1.trainer_mode = "sync"
            super().__init__(config)

    v1.register_trainer(TRAINER_MODE)(GraphGPOTrainerSync)


def _wrap_compute_advantage(ray_trainer: ModuleType) -> None:
    """The legacy trainer: leave the recorded steps of its `DataProto` for the estimator."""
    original = ray_trainer.compute_advantage
    if hasattr(original, "graphgpo_original"):
        return

    def compute_advantage(data: Any, adv_estimator: Any, *args: Any, **kwargs: Any) -> Any:
        # The v1 trainer calls this too, and has left them already.
        if adv_estimator != ESTIMATOR or _rows_of_batch.get() is not None:
            return original(data, adv_estimator, *args, **kwargs)
        columns = data.non_tensor_batch
        rows = RecordedRows(
            steps=list(columns.get(EXTRA_FIELD, [None] * len(data))),
            group_ids=columns["uid"].tolist(),
            training_step=data.meta_info.get("global_steps"),
        )
        with _recorded(rows):
            data = original(data, adv_estimator, *args, **kwargs)
        data.meta_info["graphgpo_metrics"] = rows.metrics
        return data

    compute_advantage.__doc__ = original.__doc__
    compute_advantage.graphgpo_original = original  # type: ignore[attr-defined]
    ray_trainer.compute_advantage = compute_advantage  # type: ignore[attr-defined]


class _AfterImport(MetaPathFinder):
    """Runs an action on a module right after it was imported.

    The trainers take seconds to import and only one of verl's many processes needs them.
    """

    def __init__(self) -> None:
        self.actions: dict[str, Callable[[ModuleType], None]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        action = self.actions.pop(fullname, None)  # so that the others find it below
        if action is None:
            return None
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            _run_logged(action, module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_importer = _AfterImport()


def _after_import(name: str, action: Callable[[ModuleType], None]) -> None:
    module = sys.modules.get(name)
    if module is not None and not getattr(module.__spec__, "_initializing", False):
        action(module)
        return
    _importer.actions[name] = action
    if _importer not in sys.meta_path:
        sys.meta_path.insert(0, _importer)


def _run_logged(action: Callable[[ModuleType], None], module: ModuleType) -> None:
    try:
        action(module)
    except Exception:
        logger.exception("graphgpo could not prepare %s", module.__name__)
