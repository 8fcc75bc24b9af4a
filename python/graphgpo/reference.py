"""The whole method in plain Python: documentation that runs, and the oracle of the tests.

Read it from `compute_advantages` down. It takes lists, tuples and NumPy arrays, checks less than
`graphgpo.compute_advantages` does, and is some hundred times slower; its numbers are the same.

    rows -> steps -> graph -> potential (distances) -> score -> peers -> joint advantage

Equations are those of GraphGPO (arXiv 2605.26684) and GiGPO (arXiv 2505.10978).
"""

from __future__ import annotations

import heapq
import itertools
import math
import uuid
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphgpo.config import DEFAULT_GIGPO_GAMMA, GraphGPOConfig, with_options
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
    if config is None:
        config = GraphGPOConfig()
    elif not isinstance(config, GraphGPOConfig):
        config = GraphGPOConfig.from_mapping(config)
    config = with_options(config, options)
    if success is None and not (
        config.estimator == "grpo" and (rewards is not None or episode_returns is not None)
    ):
        raise ValueError("success is None; expected one bool per step")

    num_rows = len(states)
    groups: dict[Hashable, Group] = {}
    by_order: dict[tuple[Hashable, Hashable, int], Step] = {}
    masked_rows = 0
    for row in range(num_rows):
        if mask is not None and not mask[row]:
            masked_rows += 1
            continue
        group_id = canonical(group_ids[row])
        trajectory = canonical(trajectory_ids[row])
        step = Step(
            row=row,
            copies=[],
            trajectory=trajectory,
            order=row if step_ids is None else int(step_ids[row]),
            state=_state(states, row),
            next_state=None if next_states is None else _state(next_states, row),
            is_success=success is not None and bool(success[row]),
            reward=None if rewards is None else float(rewards[row]),
            episode_return=None if episode_returns is None else float(episode_returns[row]),
            cost=1.0 if edge_costs is None else float(edge_costs[row]),
            is_valid=action_valid is None or bool(action_valid[row]),
        )
        if step.state is None:
            raise ValueError(f"states[{row}] is None; expected a value")
        first = by_order.setdefault((group_id, trajectory, step.order), step)
        if first is step:
            groups.setdefault(group_id, Group()).steps.append(step)
        else:
            _check_copy(first, step)
            first.copies.append(row)

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
    """A hashable form in which two states are equal by type and value; None for None."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return None
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, int):
        return ("int", int(value))
    if isinstance(value, float):
        if math.isnan(value):
            raise ValueError("a state holds NaN, which equals nothing")
        return ("float", value + 0.0)  # -0.0 is 0.0
    if isinstance(value, str):
        return ("str", str(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        return ("bytes", bytes(value))
    if isinstance(value, uuid.UUID):
        return ("uuid", value.bytes)
    if isinstance(value, (list, tuple, dict)) and depth == 100:
        raise ValueError("a state is nested deeper than 100 levels")
    if isinstance(value, (list, tuple)):
        return ("sequence", tuple(canonical(element, depth + 1) for element in value))
    if isinstance(value, dict):
        entries = (
            (canonical(key, depth + 1), canonical(entry, depth + 1)) for key, entry in value.items()
        )
        return ("mapping", frozenset(entries))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise ValueError("a state holds NaN, which equals nothing")
        native = value.astype(value.dtype.newbyteorder("="))
        if value.dtype.kind == "f":
            native = native + np.zeros((), native.dtype)  # -0.0 is 0.0
        return ("array", native.dtype.str, native.shape, native.tobytes())
    raise TypeError(f"a state is a {type(value).__name__}, which has no equality here")


def _state(column: Any, row: int) -> Hashable | None:
    return canonical(column[row])


# --- rows to steps ------------------------------------------------------------------------------


def _check_copy(step: Step, copy: Step) -> None:
    for name in (
        "state",
        "next_state",
        "is_success",
        "reward",
        "episode_return",
        "cost",
        "is_valid",
    ):
        if getattr(step, name) != getattr(copy, name):
            raise ValueError(
                f"rows {step.row} and {copy.row} are copies of one step but differ in {name}"
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
                raise ValueError(f"next_states[{step.row}] is None before the last step")
            if not has_next_states and has_step_ids and following.order != step.order + 1:
                raise ValueError(f"step_ids[{following.row}] leaves a gap after row {step.row}")
        for step in steps:
            if step.is_success and not last.is_success:
                raise ValueError(f"success[{step.row}] is True but the last step is False")
            if step.episode_return != steps[0].episode_return:
                raise ValueError(f"episode_returns[{step.row}] differs within its trajectory")
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
        return
    is_relative = config.estimator == "graphgpo" and config.epsilon_scale == "relative"
    if config.estimator == "graphgpo" and group.goal is None and (is_relative or penalty == 0):
        return  # a group without success teaches nothing about single steps

    peers: dict[int, list[Step]] = defaultdict(list)
    for step in group.steps:
        peers[step.source].append(step)
    for steps in peers.values():
        if is_relative:
            # R / max R over the peers; a constant per source cancels, so every exponent agrees.
            exponents = [group.distance(step.target) + step.cost for step in steps]
            scores = [config.omega ** (e - min(exponents)) for e in exponents]
        else:
            scores = [step.edge_return for step in steps]
        for i, step in enumerate(steps):
            scores[i] -= 0.0 if step.is_valid else penalty
        for step, standing in zip(steps, compare(scores, config), strict=True):
            step.step_advantage = standing


def score_by_edge_return(group: Group, config: GraphGPOConfig) -> None:
    """R = success_reward * omega ** e (Eq. 4)."""
    for step in group.steps:
        exponent = group.distance(step.target) + step.cost
        if config.exponent == "recipe":
            exponent -= 1
        elif config.exponent == "progress":
            exponent -= group.distance(step.source)
        step.edge_return = config.success_reward * config.omega**exponent


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
        return sum(step.reward for step in steps if step.reward is not None)
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
