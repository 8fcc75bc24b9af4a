"""The whole method in plain Python: documentation that runs, and the oracle of the tests.

Read it from `compute_advantages` down. It takes lists, tuples and NumPy arrays, refuses what
`graphgpo.compute_advantages` refuses but for numbers that outgrow a float64 on the way, and is some
hundred times slower; its results are the same.

    columns -> steps -> graph -> potential (distances) -> score -> peers -> joint advantage

Equations are those of GraphGPO (arXiv 2605.26684) and GiGPO (arXiv 2505.10978).
"""

from __future__ import annotations

import heapq
import itertools
import math
import sys
import uuid
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphgpo.config import DEFAULT_GIGPO_GAMMA, GraphGPOConfig, resolved_config
from graphgpo.result import StepAdvantages


@dataclass(eq=False)
class Step:
    """One step of one trajectory: a row, and the rows that repeat it."""

    row: int
    copies: list[int]
    trajectory: Hashable
    order: int
    state: Hashable
    next_state: Hashable | None  # None: not given, or unknown
    is_success: bool
    reward: float | None
    episode_return: float | None
    cost: float
    is_valid: bool

    following: Step | None = None
    succeeded: bool = False  # its trajectory did
    source: int = -1
    target: int = -1
    edge_return: float = math.nan
    step_advantage: float = 0.0
    episode_advantage: float = 0.0
    advantage: float = 0.0


@dataclass
class Group:
    """All trajectories of one task, and the graph they make."""

    steps: list[Step] = field(default_factory=list)  # in row order
    trajectories: list[list[Step]] = field(default_factory=list)  # each in its order
    num_nodes: int = 0
    goal: int | None = None
    distances: dict[int, float] = field(default_factory=dict)  # of the nodes that reach the goal
    unreachable: float = 0.0

    def distance(self, node: int) -> float:
        return self.distances.get(node, self.unreachable)


def compute_advantages(
    states: Any,
    next_states: Any = None,
    *,
    group_ids: Any,
    trajectory_ids: Any,
    success: Any,
    step_ids: Any = None,
    rewards: Any = None,
    episode_returns: Any = None,
    edge_costs: Any = None,
    action_valid: Any = None,
    mask: Any = None,
    config: GraphGPOConfig | Mapping[str, Any] | None = None,
    **options: Any,
) -> StepAdvantages:
    """What `graphgpo.compute_advantages` computes, row by row.

    >>> result = compute_advantages(
    ...     ["hall", "kitchen", "hall"],
    ...     ["kitchen", "sink", "bedroom"],
    ...     group_ids=[0, 0, 0],
    ...     trajectory_ids=[0, 0, 1],
    ...     success=[False, True, False],
    ... )
    >>> result.distances
    array([2., 1., 2.])
    """
    config = resolved_config(config, options)
    if success is None and not (
        config.estimator == "grpo" and (rewards is not None or episode_returns is not None)
    ):
        raise ValueError("success is None; expected one bool per step")
    check_columns(
        states=states,
        next_states=next_states,
        group_ids=group_ids,
        trajectory_ids=trajectory_ids,
        success=success,
        step_ids=step_ids,
        rewards=rewards,
        episode_returns=episode_returns,
        edge_costs=edge_costs,
        action_valid=action_valid,
        mask=mask,
    )

    num_rows = len(states)
    groups: dict[Hashable, Group] = {}
    by_order: dict[tuple[Hashable, Hashable, int], Step] = {}
    masked_rows = 0
    for row in range(num_rows):
        if mask is not None and not _flag("mask", mask, row):
            masked_rows += 1
            continue
        group_id = _identifier("group_ids", group_ids, row)
        trajectory = _identifier("trajectory_ids", trajectory_ids, row)
        step = Step(
            row=row,
            copies=[],
            trajectory=trajectory,
            order=row if step_ids is None else _integer("step_ids", step_ids, row),
            state=_state("states", states, row),
            next_state=None if next_states is None else _state("next_states", next_states, row),
            is_success=success is not None and _flag("success", success, row),
            reward=None if rewards is None else _real("rewards", rewards, row),
            episode_return=None
            if episode_returns is None
            else _real("episode_returns", episode_returns, row),
            cost=1.0 if edge_costs is None else _real("edge_costs", edge_costs, row),
            is_valid=action_valid is None or _flag("action_valid", action_valid, row),
        )
        if step.state is None:
            raise ValueError(f"states[{row}] is None; expected a value")
        if step.cost <= 0:
            raise ValueError(f"edge_costs[{row}] is {step.cost!r}; expected a finite number > 0")
        first = by_order.setdefault((group_id, trajectory, step.order), step)
        if first is step:
            groups.setdefault(group_id, Group()).steps.append(step)
        else:
            check_copy(first, step)
            first.copies.append(row)
    if next_states is not None:
        check_kinds(states, next_states, by_order.values())

    for group in groups.values():
        arrange_trajectories(
            group,
            has_next_states=next_states is not None,
            has_step_ids=step_ids is not None,
        )
        merge_states(group)
        measure_distances(group)
        score_steps(group, config, is_penalised=action_valid is not None)
        score_episodes(group, config, is_penalised=action_valid is not None)
        for step in group.steps:
            step.advantage = (
                config.step_weight * step.step_advantage
                + config.episode_weight * step.episode_advantage
            )
    return _by_row(list(groups.values()), num_rows, masked_rows)


# --- states -------------------------------------------------------------------------------------


def canonical(value: Any, depth: int = 0) -> Hashable | None:
    """A hashable form in which two states are equal by type and value; None for None.

    >>> canonical([1, "a"]) == canonical((np.int64(1), np.str_("a")))
    True
    >>> len({canonical(state) for state in (1, 1.0, True, "1", b"1")})
    5
    """
    value = _plain(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int):
        return ("int", int(value))
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("holds NaN; expected a number: NaN equals nothing")
        return ("float", value)  # -0.0 equals 0.0
    if isinstance(value, str):
        return ("str", str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ("bytes", bytes(value))
    if isinstance(value, (list, tuple, dict)) and depth == 100:
        raise ValueError("is nested deeper than 100 levels (or contains itself)")
    if isinstance(value, (list, tuple)):
        return ("sequence", tuple(canonical(element, depth + 1) for element in value))
    if isinstance(value, dict):
        entries = (
            (canonical(key, depth + 1), canonical(entry, depth + 1)) for key, entry in value.items()
        )
        return ("mapping", frozenset(entries))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise ValueError("holds NaN; expected numbers: NaN equals nothing")
        native = value.astype(value.dtype.newbyteorder("="))
        if value.dtype.kind == "f":
            native = native + np.zeros((), native.dtype)  # -0.0 is 0.0
        return ("array", native.dtype.str, native.shape, native.tobytes())
    raise TypeError(
        f"holds a {type(value).__name__}; expected str, bytes, int, float, bool, a numeric array, "
        "or a list, tuple or dict of these"
    )


def _plain(value: Any) -> Any:
    """The Python value of a NumPy scalar that has one, anything else as it is."""
    is_scalar = isinstance(value, np.generic) and value.dtype.kind in "biufUS"
    return value.item() if is_scalar else value


# --- columns ------------------------------------------------------------------------------------


def check_columns(**columns: Any) -> None:
    """Every column is one, of as many rows as `states`; what is in them is read row by row."""
    for name, values in columns.items():
        if values is None and name not in ("states", "group_ids", "trajectory_ids"):
            continue
        is_array = isinstance(values, np.ndarray) and values.ndim > 0
        if not is_array and not isinstance(values, (list, tuple)):
            raise TypeError(
                f"{name} is a {type(values).__name__}; expected a list, a tuple or a NumPy array, "
                "one value per step"
            )
        if len(values) != len(columns["states"]):
            raise ValueError(
                f"states has {len(columns['states'])} rows but {name} has {len(values)}; "
                "every column needs one value per step"
            )
        may_have_rows = name in ("states", "next_states") and _is_numeric(values)
        if is_array and values.ndim > 1 and not may_have_rows:
            raise ValueError(f"{name} has shape {values.shape}; expected (N,), one value per step")


def check_kinds(states: Any, next_states: Any, steps: Iterable[Step]) -> None:
    """Both columns hold states of a kind, so that a state of one can be a state of the other."""
    columns = (states, next_states)
    kinds: tuple[set[Any], set[Any]] = (set(), set())
    for step in steps:
        for found, form in zip(kinds, (step.state, step.next_state), strict=True):
            if isinstance(form, tuple):  # not None
                found.add(form[0])
    if sorted(kinds, key=sorted) == [{"int"}, {"str"}]:
        raise TypeError("one of states and next_states holds integers, the other text")
    if not any(kinds):
        return  # there is no row to read

    if all(_is_numeric(column) for column in columns):
        if _row_type(states) != _row_type(next_states):
            raise ValueError("the rows of states and next_states differ in dtype or shape")
        return
    for column, others in zip(columns, reversed(kinds), strict=True):
        if _is_numeric(column) and column.ndim > 1 and others and "array" not in others:
            raise TypeError("only one of states and next_states holds arrays")


def _is_numeric(column: Any) -> bool:
    return isinstance(column, np.ndarray) and column.dtype.kind in "biuf"


def _row_type(column: Any) -> Hashable:
    if column.ndim == 1:  # Python's bool, int or float, whatever its width
        return "i" if column.dtype.kind == "u" else column.dtype.kind
    return (column.dtype.newbyteorder("="), column.shape[1:])


def _state(name: str, column: Any, row: int) -> Hashable | None:
    try:
        return canonical(column[row])
    except (TypeError, ValueError) as problem:
        raise type(problem)(f"{name}[{row}] {problem}") from None


def _identifier(name: str, column: Any, row: int) -> Hashable:
    value = _plain(column[row])
    if value is None:
        raise ValueError(f"{name}[{row}] is None; expected a value")
    if isinstance(value, uuid.UUID):
        return ("uuid", value.bytes)
    if isinstance(value, bool) or not isinstance(value, (int, str, bytes, bytearray, memoryview)):
        raise _misfit(TypeError, name, row, value, "int, str, bytes or UUID")
    return canonical(value)


def _flag(name: str, column: Any, row: int) -> bool:
    value = _plain(column[row])
    if not isinstance(value, (bool, int, float)):
        raise _misfit(TypeError, name, row, value, "a bool, or exactly 0 or 1")
    if value not in (0, 1):
        raise _misfit(ValueError, name, row, value, "a bool, or exactly 0 or 1")
    return bool(value)


def _integer(name: str, column: Any, row: int) -> int:
    value = _plain(column[row])
    if isinstance(value, bool) or not isinstance(value, int):
        raise _misfit(TypeError, name, row, value, "an int")
    if not -(2**63) <= value < 2**63:
        raise _misfit(ValueError, name, row, value, "an int an int64 can hold")
    return value


def _real(name: str, column: Any, row: int) -> float:
    value = _plain(column[row])
    if not isinstance(value, (int, float)):
        raise _misfit(TypeError, name, row, value, "a number")
    if not abs(value) <= sys.float_info.max:
        raise _misfit(ValueError, name, row, value, "a finite number")
    return float(value)


def _misfit(error: type[Exception], name: str, row: int, value: object, expected: str) -> Exception:
    return error(f"{name}[{row}] is {value!r} ({type(value).__name__}); expected {expected}")


# --- rows to steps ------------------------------------------------------------------------------


def check_copy(step: Step, copy: Step) -> None:
    """Rows of one step agree in every column."""
    for column, name in (
        ("states", "state"),
        ("next_states", "next_state"),
        ("success", "is_success"),
        ("rewards", "reward"),
        ("episode_returns", "episode_return"),
        ("edge_costs", "cost"),
        ("action_valid", "is_valid"),
    ):
        if getattr(step, name) != getattr(copy, name):
            raise ValueError(
                f"{column}[{copy.row}] differs from that of row {step.row}; rows with the same "
                "group, trajectory and step id are copies of one step"
            )


def arrange_trajectories(group: Group, has_next_states: bool, has_step_ids: bool) -> None:
    """Order every trajectory, link its steps and find out whether it succeeded."""
    trajectories: dict[Hashable, list[Step]] = defaultdict(list)
    for step in group.steps:
        trajectories[step.trajectory].append(step)
    group.trajectories = [sorted(steps, key=lambda s: s.order) for steps in trajectories.values()]

    for steps in group.trajectories:
        last = steps[-1]
        for step, following in itertools.pairwise(steps):
            step.following = following
            if has_next_states and step.next_state is None:
                raise ValueError(
                    f"next_states[{step.row}] is None; expected a value, because its trajectory "
                    f"goes on at row {following.row}"
                )
            if not has_next_states and has_step_ids and following.order != step.order + 1:
                raise ValueError(
                    f"step_ids[{following.row}] is {following.order}, after {step.order} in row "
                    f"{step.row}; expected no gap, because there are no next_states"
                )
        for step in steps:
            if step.is_success and not last.is_success:
                raise ValueError(
                    f"success[{step.row}] is True but the last step of its trajectory (row "
                    f"{last.row}) is False; expected the flag on the last step or on every step"
                )
            if step.episode_return != steps[0].episode_return:
                raise ValueError(
                    f"episode_returns[{step.row}] is {step.episode_return} but row {steps[0].row} "
                    f"has {steps[0].episode_return}; expected one value per trajectory"
                )
            step.succeeded = last.is_success


# --- graph --------------------------------------------------------------------------------------


def merge_states(group: Group) -> None:
    """Number the nodes by first appearance; GOAL and leaves have no state."""
    nodes: dict[Hashable, int] = {}

    def new_node() -> int:
        group.num_nodes += 1
        return group.num_nodes - 1

    def node_of(state: Hashable) -> int:
        if state not in nodes:
            nodes[state] = new_node()
        return nodes[state]

    for step in group.steps:
        step.source = node_of(step.state)
        if step.following is None and step.succeeded:
            if group.goal is None:
                group.goal = new_node()
            step.target = group.goal
        elif step.next_state is not None:
            step.target = node_of(step.next_state)
        elif step.following is not None:
            step.target = node_of(step.following.state)
        else:
            step.target = new_node()  # a leaf of its own


def measure_distances(group: Group) -> None:
    """The potential of GraphGPO: least total cost to GOAL (Dijkstra, against the edges)."""
    if group.goal is not None:
        incoming: dict[int, list[Step]] = defaultdict(list)
        for step in group.steps:
            incoming[step.target].append(step)
        queue = [(0.0, group.goal)]
        while queue:
            distance, node = heapq.heappop(queue)
            if node in group.distances:
                continue
            group.distances[node] = distance
            for step in incoming[node]:
                heapq.heappush(queue, (distance + step.cost, step.source))
    largest = max(group.distances.values(), default=0.0)
    group.unreachable = largest + max(step.cost for step in group.steps)


# --- credit -------------------------------------------------------------------------------------


def score_steps(group: Group, config: GraphGPOConfig, is_penalised: bool) -> None:
    """The step advantage: a score, compared with those of all steps from the same state."""
    if config.estimator == "gigpo":
        score_by_discounted_return(group, config)
    else:
        score_by_edge_return(group, config)
    penalty = config.invalid_action_penalty if is_penalised else 0.0

    if config.estimator == "grpo":
        return  # the outcome alone; distances and returns are only reported
    is_relative = config.estimator == "graphgpo" and config.epsilon_scale == "relative"
    if config.estimator == "graphgpo" and group.goal is None and (is_relative or penalty == 0):
        return  # a group without success teaches nothing about single steps

    for peers in from_the_same_state(group.steps):
        returns = (
            relative_edge_returns(peers, group, config)
            if is_relative
            else [step.edge_return for step in peers]
        )
        scores = [
            score - (0.0 if step.is_valid else penalty)
            for score, step in zip(returns, peers, strict=True)
        ]
        for step, standing in zip(peers, compare(scores, config), strict=True):
            step.step_advantage = standing


def from_the_same_state(steps: Sequence[Step]) -> list[list[Step]]:
    """The peers a step's score is normalised against."""
    peers: dict[int, list[Step]] = defaultdict(list)
    for step in steps:
        peers[step.source].append(step)
    return list(peers.values())


def score_by_edge_return(group: Group, config: GraphGPOConfig) -> None:
    """R = success_reward * omega ** e (Eq. 4)."""
    for step in group.steps:
        exponent = group.distance(step.target) + step.cost
        if config.exponent == "recipe":
            exponent -= 1
        elif config.exponent == "progress":
            exponent -= group.distance(step.source)
        step.edge_return = config.success_reward * config.omega**exponent


def relative_edge_returns(
    peers: Sequence[Step], group: Group, config: GraphGPOConfig
) -> list[float]:
    """R of each peer over the largest of them, which neither under- nor overflows.

    The kinds of exponent differ by a constant per source state, which cancels.
    """
    exponents = [group.distance(step.target) + step.cost for step in peers]
    smallest = min(exponents)
    return [config.omega ** (exponent - smallest) for exponent in exponents]


def score_by_discounted_return(group: Group, config: GraphGPOConfig) -> None:
    """R_t = r_t + gamma * R_(t+1), GiGPO's."""
    gamma = DEFAULT_GIGPO_GAMMA if config.gamma is None else config.gamma
    for steps in group.trajectories:
        to_go = 0.0
        for step in reversed(steps):
            is_win = step.following is None and step.succeeded
            default = config.success_reward if is_win else 0.0
            to_go = (default if step.reward is None else step.reward) + gamma * to_go
            step.edge_return = to_go


def score_episodes(group: Group, config: GraphGPOConfig, is_penalised: bool) -> None:
    """The episode advantage, GRPO's: the trajectory's return compared with its group's."""
    returns = {id(steps): _episode_return(steps) for steps in group.trajectories}
    if config.episode_weighting == "trajectory":
        standings = compare([returns[id(steps)] for steps in group.trajectories], config)
        for steps, standing in zip(group.trajectories, standings, strict=True):
            for step in steps:
                step.episode_advantage = standing
        return
    penalty = config.invalid_action_penalty if is_penalised else 0.0
    all_steps = [(step, steps) for steps in group.trajectories for step in steps]
    scores = [returns[id(steps)] - (0.0 if step.is_valid else penalty) for step, steps in all_steps]
    for (step, _), standing in zip(all_steps, compare(scores, config), strict=True):
        step.episode_advantage = standing


def _episode_return(steps: Sequence[Step]) -> float:
    if steps[0].episode_return is not None:
        return steps[0].episode_return
    if steps[0].reward is not None:
        return math.fsum(step.reward for step in steps if step.reward is not None)
    return float(steps[0].succeeded)


def compare(values: Sequence[float], config: GraphGPOConfig) -> list[float]:
    """(x - mean) / (std + epsilon), std with ddof=1; exactly 0 where all values are equal.

    The sums are exact before they are rounded, so the order of the values does not matter.
    """
    if min(values) == max(values):
        return [0.0] * len(values)
    mean = math.fsum(values) / len(values)
    deviations = [value - mean for value in values]
    if config.normalization == "mean":
        return deviations
    std = math.sqrt(math.fsum(d * d for d in deviations) / (len(values) - 1))
    return [d / (std + config.epsilon) for d in deviations]


# --- results ------------------------------------------------------------------------------------


def _by_row(groups: Sequence[Group], num_rows: int, masked_rows: int) -> StepAdvantages:
    result = StepAdvantages(
        advantages=np.zeros(num_rows, np.float32),
        step_advantages=np.zeros(num_rows, np.float32),
        episode_advantages=np.zeros(num_rows, np.float32),
        edge_returns=np.full(num_rows, np.nan),
        distances=np.full(num_rows, np.nan),
        next_distances=np.full(num_rows, np.nan),
        state_ids=np.full(num_rows, -1, np.int64),
        next_state_ids=np.full(num_rows, -1, np.int64),
        metrics=_metrics(groups, masked_rows),
    )
    first_node = 0
    for group in groups:
        for step in group.steps:
            for row in [step.row, *step.copies]:
                result.advantages[row] = step.advantage
                result.step_advantages[row] = step.step_advantage
                result.episode_advantages[row] = step.episode_advantage
                result.edge_returns[row] = step.edge_return
                result.distances[row] = group.distance(step.source)
                result.next_distances[row] = group.distance(step.target)
                result.state_ids[row] = first_node + step.source
                result.next_state_ids[row] = first_node + step.target
        first_node += group.num_nodes
    return result


def _metrics(groups: Sequence[Group], masked_rows: int) -> dict[str, float]:
    pairs = [(group, step) for group in groups for step in group.steps]
    num_out_edges: dict[tuple[int, int], int] = defaultdict(int)
    for group, step in pairs:
        num_out_edges[id(group), step.source] += 1

    def share(values: Sequence[bool]) -> float:
        return sum(values) / len(values) if values else 0.0

    def lowers(group: Group, step: Step) -> bool:
        return group.distance(step.target) < group.distance(step.source)

    finite = [group.distances[s.source] for group, s in pairs if s.source in group.distances]
    advantages = [step.advantage for _, step in pairs]
    # What a trainer sees is float32: a smaller credit than that holds is none.
    is_zero = [np.float32(step.step_advantage) == 0 for _, step in pairs]
    mean = math.fsum(advantages) / len(advantages) if advantages else 0.0
    variance = math.fsum((a - mean) ** 2 for a in advantages) / max(len(advantages), 1)
    metrics = {
        "num_groups": len(groups),
        "num_trajectories": sum(len(group.trajectories) for group in groups),
        "num_steps": len(pairs),
        "num_states": sum(group.num_nodes for group in groups),
        "num_edges": len({(id(group), s.source, s.target) for group, s in pairs}),
        "groups_without_success": sum(group.goal is None for group in groups),
        "merge_ratio": 1 - len(num_out_edges) / len(pairs) if pairs else 0.0,
        "singleton_share": share([num_out_edges[id(g), s.source] == 1 for g, s in pairs]),
        "reachable_share": share([s.target in group.distances for group, s in pairs]),
        "zero_advantage_share": share(is_zero),
        "max_distance": max(finite, default=0.0),
        "mean_distance": math.fsum(finite) / len(finite) if finite else 0.0,
        "adv_mean": mean,
        "adv_std": math.sqrt(variance),
        "adv_min": min(advantages, default=0.0),
        "adv_max": max(advantages, default=0.0),
        "progress_in_failed": share(
            [lowers(g, s) for g, s in pairs if g.goal is not None and not s.succeeded]
        ),
        "no_progress_in_succeeded": share([not lowers(g, s) for g, s in pairs if s.succeeded]),
        "masked_rows": masked_rows,
        "duplicate_rows": sum(len(step.copies) for _, step in pairs),
        "broken_links": sum(
            step.following is not None
            and step.next_state is not None
            and step.next_state != step.following.state
            for _, step in pairs
        ),
        "inert": bool(pairs) and all(is_zero),
    }
    return {f"graphgpo/{name}": float(value) for name, value in metrics.items()}
