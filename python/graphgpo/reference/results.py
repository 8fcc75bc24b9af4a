"""From steps back to rows, and the batch in numbers."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from graphgpo.blocks import Surprisal
from graphgpo.reference.modifiers import nobody_won
from graphgpo.reference.plan import Credit
from graphgpo.reference.rollouts import Group, Rollouts, Step
from graphgpo.reference.scores import score, surprisals, surprisals_given_action
from graphgpo.reference.sums import mean
from graphgpo.result import StepAdvantages

INERT = 1e-6
"""The largest credit that is none."""

OF_MASKED: Mapping[str, np.generic] = {
    "advantages": np.float32(0),
    "step_advantages": np.float32(0),
    "episode_advantages": np.float32(0),
    "scores": np.float64(np.nan),
    "distances": np.float64(np.nan),
    "next_distances": np.float64(np.nan),
    "state_ids": np.int64(-1),
    "next_state_ids": np.int64(-1),
    "num_peers": np.int32(0),
}
"""What a result's arrays hold at masked rows, in the dtype of each."""


def by_row(rollouts: Rollouts, credit: Credit) -> StepAdvantages:
    """The credit of every row: masked rows have none, copies that of their step."""
    steps = rollouts.steps
    of_step = by_name(
        credit,
        [rollouts.distance(step.group, step.source) for step in steps],
        [rollouts.distance(step.group, step.target) for step in steps],
        [step.source for step in steps],
        [step.target for step in steps],
    )
    arrays: dict[str, Any] = {
        name: np.full(rollouts.num_rows, masked) for name, masked in OF_MASKED.items()
    }
    for step in steps:
        for row in [step.row, *step.copies]:
            for name, array in arrays.items():
                array[row] = of_step[name][step.index]
    return StepAdvantages(**arrays, metrics=metrics(rollouts, credit))


def by_name(credit: Credit, before: Any, after: Any, source: Any, target: Any) -> dict[str, Any]:
    """The arrays of a result, by step: its credit, and from and to which distance and node."""
    return {
        "advantages": credit.advantages,
        "step_advantages": credit.step_advantages,
        "episode_advantages": credit.episode_advantages,
        "scores": credit.first.scores,
        "distances": before,
        "next_distances": after,
        "state_ids": source,
        "next_state_ids": target,
        "num_peers": credit.first.num_peers,
    }


def metrics(rollouts: Rollouts, credit: Credit) -> dict[str, float]:
    """Flat `graphgpo/...` numbers."""
    parts = _seen(credit.step_advantages if credit.has_step_term else credit.episode_advantages)
    sizes = [abs(part) for part in parts]
    found = {
        **_of_sizes(rollouts),
        **_of_outcomes(rollouts),
        **_of_graph(rollouts),
        "zero_advantage_share": _share([size == 0 for size in sizes]),
        **_of_distances(rollouts),
        **_of_advantages(_seen(credit.advantages)),
        **_of_progress(rollouts),
        **_of_rows(rollouts),
        "inert": bool(sizes) and max(sizes) <= INERT,
        **_of_states(rollouts),
        **({} if credit.surprisal is None else _of_spread(rollouts, credit.surprisal)),
        **_of_merging(rollouts),
    }
    return {f"graphgpo/{name}": float(value) for name, value in found.items()}


def _seen(credit: Sequence[float]) -> list[float]:
    """What a trainer sees is float32: a smaller credit than that holds is none."""
    return [float(np.float32(value)) for value in credit]


def _of_sizes(rollouts: Rollouts) -> dict[str, float]:
    return {
        "num_groups": len(rollouts.groups),
        "num_trajectories": len(rollouts.trajectories),
        "num_steps": len(rollouts.steps),
        "num_states": rollouts.num_nodes,
        "num_edges": len({(step.source, step.target) for step in rollouts.steps}),
    }


def _of_graph(rollouts: Rollouts) -> dict[str, float]:
    steps = rollouts.steps
    num_out_edges = Counter(step.source for step in steps)
    return {
        "merge_ratio": 1 - len(num_out_edges) / len(steps) if steps else 0.0,
        "singleton_share": _share([num_out_edges[step.source] == 1 for step in steps]),
        "reachable_share": _share([step.target in rollouts.distances for step in steps]),
    }


def _of_states(rollouts: Rollouts) -> dict[str, float]:
    turns: dict[int, list[int]] = defaultdict(list)  # at which each state was left
    pairs: dict[Hashable, list[Step]] = defaultdict(list)
    for step in rollouts.steps:
        turns[step.source].append(step.turn)
        if step.values["actions"] is not None and not _is_end_unknown(step):
            pairs[step.source, step.values["actions"]].append(step)
    recurring = [steps for steps in pairs.values() if len(steps) > 1]
    ambiguous = [steps for steps in recurring if len({step.target for step in steps}) > 1]
    return {
        "revisited_positions": _share([len(set(at)) > 1 for at in turns.values() if len(at) > 1]),
        "lone_state_share": _share([len(at) == 1 for at in turns.values()]),
        "ambiguous_actions": len(ambiguous) / len(recurring) if recurring else 0.0,
        "merge_conflicts": sum(len({step.given for step in steps}) > 1 for steps in ambiguous),
    }


def _of_merging(rollouts: Rollouts) -> dict[str, float]:
    num_merged, largest = rollouts.similar
    return {"similar_merged": num_merged, "similar_largest": largest}


def _is_end_unknown(step: Step) -> bool:
    return step.following is None and not step.wins and step.values["next_states"] is None


def _of_distances(rollouts: Rollouts) -> dict[str, float]:
    distances = rollouts.distances
    finite = [distances[step.source] for step in rollouts.steps if step.source in distances]
    return {
        "max_distance": max(finite, default=0.0),
        "mean_distance": math.fsum(finite) / len(finite) if finite else 0.0,
    }


def _of_advantages(advantages: Sequence[float]) -> dict[str, float]:
    average = math.fsum(advantages) / len(advantages) if advantages else 0.0
    variance = math.fsum((a - average) ** 2 for a in advantages) / max(len(advantages), 1)
    return {
        "adv_mean": average,
        "adv_std": math.sqrt(variance),
        "adv_min": min(advantages, default=0.0),
        "adv_max": max(advantages, default=0.0),
    }


def _of_progress(rollouts: Rollouts) -> dict[str, float]:
    def lowers(step: Step) -> bool:
        before, after = (rollouts.distance(step.group, n) for n in (step.source, step.target))
        return after < before

    steps = rollouts.steps
    failed = [s for s in steps if s.group.goal is not None and not s.trajectory.succeeded]
    succeeded = [step for step in steps if step.trajectory.succeeded]
    return {
        "progress_in_failed": _share([lowers(step) for step in failed]),
        "no_progress_in_succeeded": _share([not lowers(step) for step in succeeded]),
    }


def _of_rows(rollouts: Rollouts) -> dict[str, float]:
    return {
        "masked_rows": len(rollouts.masked),
        "masked_inside": _masked_inside(rollouts),
        "duplicate_rows": sum(len(step.copies) for step in rollouts.steps),
        "broken_links": sum(_is_broken(step) for step in rollouts.steps),
    }


def _share(holds: Sequence[bool]) -> float:
    return sum(holds) / len(holds) if holds else 0.0


def _is_broken(step: Step) -> bool:
    """Whether a step's next state is not the one its trajectory goes on from."""
    after = step.values["next_states"]
    return (
        step.following is not None
        and after is not None
        and after != step.following.values["states"]
    )


def _of_outcomes(rollouts: Rollouts) -> dict[str, float]:
    groups, trajectories = rollouts.groups, rollouts.trajectories
    known = [t.outcome for t in trajectories if t.has_verdict]
    solved = [all(t.succeeded for t in group.trajectories.values()) for group in groups]
    mixed = [g.goal is not None and not s for g, s in zip(groups, solved, strict=True)]
    sizes = [len(group.trajectories) for group in groups]
    return {
        "success_rate": _share([t.succeeded for t in trajectories if t.has_verdict]),
        "mean_return": mean(known) if known else 0.0,
        "groups_solved": sum(solved),
        "groups_mixed": sum(mixed),
        "groups_without_success": sum(group.goal is None for group in groups),
        "equal_outcome_groups": sum(_has_equal_outcomes(group) for group in groups),
        "rollouts_without_verdict": sum(not t.has_verdict for t in trajectories),
        "group_size_min": min(sizes, default=0),
        "group_size_mean": sum(sizes) / len(sizes) if sizes else 0.0,
        "group_size_max": max(sizes, default=0),
        "distinct_starts": sum(len(_starts(g)) for g in groups) / max(len(groups), 1),
        "ends_at_a_start": sum(_ends_at_a_start(group) for group in groups),
    }


def _has_equal_outcomes(group: Group) -> bool:
    known = [t.outcome for t in group.trajectories.values() if t.has_verdict]
    return len(known) >= 2 and min(known) == max(known)


def _starts(group: Group) -> set[int]:
    return {trajectory.steps[0].source for trajectory in group.trajectories.values()}


def _ends_at_a_start(group: Group) -> int:
    """Failed rollouts whose last next state is one that a rollout of the task starts from."""
    lasts = [t.steps[-1] for t in group.trajectories.values() if t.has_verdict and not t.succeeded]
    return sum(last.target in _starts(group) for last in lasts)


def _of_spread(rollouts: Rollouts, block: Surprisal) -> dict[str, float]:
    """Where the steps of groups that nobody won go."""
    steps = [step for step in rollouts.steps if nobody_won(step.group, rollouts)]
    scores, found = score(block, rollouts), surprisals(rollouts)
    left = surprisals_given_action(rollouts) if rollouts.has("actions") else [0.0] * len(found)
    kinds: dict[int, set[float]] = defaultdict(set)
    for step in steps:
        kinds[step.source].add(scores[step.index])
    entropy = math.fsum(found[step.index] for step in steps)
    credited = sum(len(kinds[step.source]) > 1 for step in steps)
    return {
        "spread_share": credited / max(len(rollouts.steps), 1),
        "successor_entropy": entropy / max(len(steps), 1),
        "successor_noise": math.fsum(left[s.index] for s in steps) / entropy if entropy else 0.0,
        "no_op_share": _share([step.source == step.target for step in steps]),
    }


def _masked_inside(rollouts: Rollouts) -> int:
    """Masked rows between two steps of a trajectory: the edge over them was never taken.

    With step ids or next states nobody goes by the order of rows.
    """
    if rollouts.has("step_ids") or rollouts.has("next_states"):
        return 0
    by_row = {step.row: step for step in rollouts.steps}
    pairs = itertools.pairwise(sorted(by_row))
    return sum(
        after - before - 1
        for before, after in pairs
        if by_row[before].trajectory is by_row[after].trajectory
    )
