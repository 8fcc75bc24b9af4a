"""verl: `algorithm.adv_estimator=graphgpo`, and the v1 trainer `trainer_mode=graphgpo_sync`.

An agent loop records the states it passes with a `StepRecorder` and puts them into the
`extra_fields` of its output. When advantages are due they are merged into one graph per prompt,
and every token of a step gets the step's advantage. Options are read from `algorithm.graphgpo`.
`docs/integrations/verl.md` has a block to copy, `examples/verl_textworld` a complete recipe.

verl loads `graphgpo.integrations.verl_plugin` in each of its processes, which calls `register`.
Importing this module imports neither verl nor torch.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import re
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

import graphgpo
from graphgpo.config import GraphGPOConfig

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)

ESTIMATOR = "graphgpo"
TRAINER_MODE = "graphgpo_sync"
EXTRA_FIELD = "graphgpo"
"""Key in `AgentLoopOutput.extra_fields` under which a `StepRecorder` leaves its steps."""

TESTED_VERL = ((0, 9, 1), (0, 10))  # from, below

HOW_TO_RECORD = (
    "In the agent loop, record the steps with graphgpo.integrations.verl.StepRecorder and update "
    f"AgentLoopOutput.extra_fields with its fields (key {EXTRA_FIELD!r}); see "
    "docs/integrations/verl.md"
)


class StepRecorder:
    """Collects the steps of one rollout inside an agent loop.

    One `AgentLoopOutput` for the whole rollout: give every step the tokens it wrote, as positions
    in the response, and take `rollout_fields`.

    >>> steps = StepRecorder()
    >>> steps.add("hall", start=0, stop=5)
    >>> steps.add("kitchen", start=9, stop=12)  # 5..8 is what the environment said
    >>> fields = steps.rollout_fields(success=True, final_state="sink")
    >>> fields["graphgpo"]["states"], fields["graphgpo"]["next_states"]
    (['hall', 'kitchen'], ['kitchen', 'sink'])

    One `AgentLoopOutput` per step: no positions, and `step_fields` gives one dict for each.

    >>> steps = StepRecorder()
    >>> steps.add("hall")
    >>> steps.add("kitchen")
    >>> [fields["graphgpo"]["states"] for fields in steps.step_fields(success=False)]
    [['hall'], ['kitchen']]
    """

    def __init__(self) -> None:
        self.trajectory_id = uuid.uuid4().hex
        self._states: list[Any] = []
        self._starts: list[int] = []
        self._stops: list[int | None] = []

    def __len__(self) -> int:
        return len(self._states)

    def add(self, state: Any, *, start: int = 0, stop: int | None = None) -> None:
        """A step from `state`, written as response tokens start..stop-1 (None: all that follow).

        A state is anything `graphgpo.compute_advantages` takes as one, as the environment shows it
        before the step: what two rollouts must share to be in the same situation, so no step
        counter and no history.
        """
        self._states.append(state)
        self._starts.append(start)
        self._stops.append(stop)

    def rollout_fields(self, *, success: bool, final_state: Any = None) -> dict[str, Any]:
        """Fields of the one output of the rollout.

        `success`: the rollout reached the goal. `final_state`: what the last step led to; a
        rollout that failed can still have got close, so give it.
        """
        return {EXTRA_FIELD: self._steps(0, len(self), success, final_state)}

    def step_fields(self, *, success: bool, final_state: Any = None) -> list[dict[str, Any]]:
        """The same for one output per step, in order of the steps; each owns all its tokens."""
        whole_row = {"starts": [0], "stops": [None]}
        return [
            {EXTRA_FIELD: {**self._steps(step, step + 1, success, final_state), **whole_row}}
            for step in range(len(self))
        ]

    def _steps(self, first: int, stop: int, success: bool, final_state: Any) -> dict[str, Any]:
        next_states = [*self._states[1:], final_state]
        return {
            "trajectory_id": self.trajectory_id,
            "success": bool(success),
            "step_ids": list(range(first, stop)),
            "states": self._states[first:stop],
            "next_states": next_states[first:stop],
            "starts": self._starts[first:stop],
            "stops": self._stops[first:stop],
        }


_STEP_COLUMNS = ("step_ids", "states", "next_states", "starts", "stops")


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

    metrics: dict[str, float] = field(default_factory=dict)
    """Filled by `compute_token_advantages`."""


def compute_token_advantages(
    rows: RecordedRows,
    token_level_rewards: torch.Tensor,
    response_mask: torch.Tensor,
    config: GraphGPOConfig | Mapping[str, Any] | None = None,
) -> torch.Tensor:
    """Advantage of every response token, (B, T) float32, 0 where `response_mask` is.

    A rollout's outcome is the summed reward of the row with its last step. Rows that record the
    same steps of the same rollout are copies and count once.

    Raises
    ------
    ValueError
        If a row has no recorded steps, saying how to record them.
    """
    from graphgpo.torch import spans_to_tokens

    num_rows, width = response_mask.shape
    recorded = _recorded_steps(rows, num_rows)
    columns: dict[str, list[Any]] = {name: [] for name in _STEP_COLUMNS}
    step_rows: list[int] = []
    for row, steps in recorded.items():
        for name in _STEP_COLUMNS:
            columns[name].extend(steps[name])
        step_rows.extend([row] * len(steps["states"]))

    outcomes = token_level_rewards.detach().sum(-1).double().cpu().tolist()
    ids = _trajectory_ids(rows, recorded)
    last_steps: dict[tuple[Any, Any], tuple[int, float]] = {}
    for row, steps in recorded.items():
        last = (max(steps["step_ids"], default=-1), outcomes[row])
        last_steps[ids[row]] = max(last, last_steps.get(ids[row], last), key=lambda step: step[0])

    result = graphgpo.compute_advantages(
        columns["states"],
        columns["next_states"],
        group_ids=[ids[row][0] for row in step_rows],
        trajectory_ids=[ids[row][1] for row in step_rows],
        step_ids=np.array(columns["step_ids"], dtype=np.int64),
        success=np.array([recorded[row]["success"] for row in step_rows], dtype=bool),
        episode_returns=np.array([last_steps[ids[row]][1] for row in step_rows]),
        config=config,
    )
    spans = {
        "rows": np.array(step_rows, dtype=np.int64),
        "starts": np.array(columns["starts"], dtype=np.int64),
        # A step may begin beyond the end of a truncated response.
        "stops": np.array(
            [
                max(start, width) if stop is None else stop
                for start, stop in zip(columns["starts"], columns["stops"], strict=True)
            ],
            dtype=np.int64,
        ),
    }
    is_token = response_mask != 0
    tokens = spans_to_tokens(result, **spans, shape=(num_rows, width), device=response_mask.device)
    in_step = spans_to_tokens(
        np.ones(len(result)), **spans, shape=(num_rows, width), device=response_mask.device
    )
    is_real = is_token.new_zeros(num_rows)
    is_real[list(recorded)] = True
    rows.metrics = {
        **result.metrics,
        "graphgpo/tokens_without_step": float(
            (is_token & is_real[:, None] & (in_step == 0)).sum().item()
        ),
    }
    _say_once(wiring_problems(rows.metrics, num_rewarded=_num_rewarded(last_steps)))
    advantages: torch.Tensor = tokens * is_token
    return advantages


def _recorded_steps(rows: RecordedRows, num_rows: int) -> dict[int, Mapping[str, Any]]:
    """The steps of each row that is no padding."""
    is_padding = rows.is_padding or [False] * num_rows
    recorded = {
        row: steps
        for row, (steps, padding) in enumerate(zip(rows.steps, is_padding, strict=True))
        if not padding
    }
    missing = [row for row, steps in recorded.items() if not isinstance(steps, Mapping)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(recorded)} rows have no recorded states (the first is row "
            f"{missing[0]}), so GraphGPO has no graph to work on. {HOW_TO_RECORD}"
        )
    for row, steps in recorded.items():
        _check_steps(row, steps)
    return recorded


def _check_steps(row: int, steps: Mapping[str, Any]) -> None:
    absent = [name for name in (*_STEP_COLUMNS, "success") if name not in steps]
    if absent:
        raise ValueError(
            f"the steps recorded in row {row} have no {', '.join(map(repr, absent))}. "
            f"{HOW_TO_RECORD}"
        )
    lengths = {name: len(steps[name]) for name in _STEP_COLUMNS}
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"the steps recorded in row {row} have columns of different lengths: {lengths}"
        )


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


def _num_rewarded(last_steps: Mapping[tuple[Any, Any], tuple[int, float]]) -> int:
    return sum(outcome > 0 for _, outcome in last_steps.values())


def wiring_problems(metrics: Mapping[str, float], *, num_rewarded: int = 0) -> dict[str, str]:
    """What looks wrongly connected about a batch, in plain words by a short name.

    `metrics` of `graphgpo.compute_advantages`; `num_rewarded`: rollouts with an outcome above 0.
    """
    problems = {}
    num_groups, num_rollouts = metrics["graphgpo/num_groups"], metrics["graphgpo/num_trajectories"]
    if num_rollouts and num_rollouts == num_groups:
        problems["single rollouts"] = (
            f"each of the {num_groups:.0f} prompts has one rollout, so there is nothing to compare "
            "and every advantage is 0. Set actor_rollout_ref.rollout.n to 4 or more; if it is, the "
            "rollouts of a prompt do not share a uid"
        )
    if num_groups and metrics["graphgpo/groups_without_success"] == num_groups:
        problems["no success"] = (
            f"none of the {num_rollouts:.0f} rollouts succeeded, so no step earns credit. "
            + (
                f"{num_rewarded} of them have a reward above 0, so success is probably never "
                "passed to StepRecorder"
                if num_rewarded
                else "If the policy does solve tasks, success is never passed to StepRecorder"
            )
        )
    elif metrics["graphgpo/inert"] == 1.0 and "single rollouts" not in problems:
        problems["no choice"] = (
            "no step advantage differs from 0 although rollouts succeeded: "
            f"{metrics['graphgpo/singleton_share']:.0%} of the steps start in a state seen once. "
            "States that should be equal probably differ, by a step counter, a timestamp or the "
            "history; see docs/state_key.md"
        )
    if metrics.get("graphgpo/tokens_without_step"):
        problems["tokens without step"] = (
            f"{metrics['graphgpo/tokens_without_step']:.0f} tokens the policy wrote are in no "
            "step's start..stop and get advantage 0; positions count from the first response token"
        )
    return problems


_said: set[str] = set()


def _say_once(problems: Mapping[str, str]) -> None:
    for name, text in problems.items():
        if name not in _said:
            _said.add(name)
            logger.warning("graphgpo: %s (said once per process)", text)


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
    _check_version()
    rows = _rows_of_batch.get()
    if rows is None:
        raise RuntimeError(
            "adv_estimator=graphgpo was called by a trainer that does not pass recorded states on. "
            f"Use trainer.v1.trainer_mode={TRAINER_MODE}, or the legacy trainer "
            "(trainer.use_v1=False); other trainers need graphgpo.integrations.verl.GraphGPOMixin"
        )
    advantages = compute_token_advantages(
        rows, token_level_rewards, response_mask, _options(config)
    )
    return advantages, advantages


def _options(algorithm: Any) -> GraphGPOConfig:
    """`algorithm.graphgpo` of a Hydra node, a dict or a dataclass; without it the defaults."""
    options = algorithm.get(ESTIMATOR, None) if hasattr(algorithm, "get") else None
    return GraphGPOConfig() if options is None else GraphGPOConfig.from_mapping(options)


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


def _check_version() -> None:
    """Warn, once per process, outside the versions of verl this was tested with."""
    if "version" in _said:
        return
    _said.add("version")
    version = importlib.metadata.version("verl")
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    oldest, beyond = TESTED_VERL
    if not oldest <= numbers < beyond:
        warnings.warn(
            f"graphgpo {graphgpo.__version__} is tested with verl >={_dotted(oldest)},"
            f"<{_dotted(beyond)}; this is verl {version}",
            stacklevel=2,
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
