"""From steps back to rows, and the batch in numbers."""

from __future__ import annotations

import math
from typing import Any

import torch

from graphgpo.blocks import Surprisal
from graphgpo.reference.results import INERT
from graphgpo.result import StepAdvantages
from graphgpo.torch.device.modifiers import nobody_won
from graphgpo.torch.device.plan import Credit
from graphgpo.torch.device.potentials import outcomes
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.scores import score, surprisals, surprisals_given_action
from graphgpo.torch.device.segments import Segments, exact_sum, numbered

Tensor = torch.Tensor


def by_row(rollouts: Rollouts, credit: Credit) -> StepAdvantages:
    """The credit of every row: masked rows have none, copies that of their step."""

    def rows(of_step: Tensor, masked: float, dtype: torch.dtype) -> Any:
        padded = torch.cat([of_step.to(dtype), torch.tensor([masked], device=device).to(dtype)])
        return padded[rollouts.step_of_row]

    device = rollouts.row.device
    return StepAdvantages(
        advantages=rows(credit.advantages, 0, torch.float32),
        step_advantages=rows(credit.step_advantages, 0, torch.float32),
        episode_advantages=rows(credit.episode_advantages, 0, torch.float32),
        scores=rows(credit.scores, math.nan, torch.float64),
        distances=rows(rollouts.distances_at(rollouts.source), math.nan, torch.float64),
        next_distances=rows(rollouts.distances_at(rollouts.target), math.nan, torch.float64),
        state_ids=rows(rollouts.source, -1, torch.int64),
        next_state_ids=rows(rollouts.target, -1, torch.int64),
        num_peers=rows(credit.num_peers, 0, torch.int32),
        metrics=_metrics(rollouts, credit),
    )


def _metrics(rollouts: Rollouts, credit: Credit) -> dict[str, float]:
    """Flat `graphgpo/...` numbers, in one wait for the device."""
    parts = credit.step_advantages if credit.has_step_term else credit.episode_advantages
    seen = _seen(parts).abs()
    found: dict[str, Any] = {
        **_of_sizes(rollouts),
        **_of_outcomes(rollouts),
        **_of_graph(rollouts),
        "zero_advantage_share": _share(seen == 0),
        **_of_distances(rollouts),
        **_of_advantages(_seen(credit.advantages)),
        **_of_progress(rollouts),
        **_of_rows(rollouts),
        "inert": (seen <= INERT).all() if len(seen) else False,
        **_of_states(rollouts),
        **({} if credit.surprisal is None else _of_spread(rollouts, credit.surprisal)),
    }
    device = rollouts.row.device
    values = torch.stack(
        [torch.as_tensor(value, dtype=torch.float64, device=device) for value in found.values()]
    )
    return dict(zip((f"graphgpo/{name}" for name in found), values.tolist(), strict=True))


def _share(holds: Tensor) -> Tensor:
    return holds.sum().to(torch.float64) / max(len(holds), 1)


def _share_of(holds: Tensor, of: Tensor) -> Tensor:
    return (holds & of).sum() / of.sum().clamp(min=1).to(torch.float64)


def _seen(credit: Tensor) -> Tensor:
    """What a trainer sees is float32."""
    return credit.to(torch.float32).to(credit.dtype)


def _of_sizes(rollouts: Rollouts) -> dict[str, Any]:
    return {
        "num_groups": rollouts.group.num,
        "num_trajectories": rollouts.trajectory.num,
        "num_steps": rollouts.num_steps,
        "num_states": rollouts.num_nodes,
        "num_edges": numbered(rollouts.source, rollouts.target, by_appearance=False).num,
    }


def _of_outcomes(rollouts: Rollouts) -> dict[str, Any]:
    groups = Segments(rollouts.trajectory_group, rollouts.group.num)
    sizes = groups.count(torch.ones_like(rollouts.won))[:-1]
    won, judged, outcome = rollouts.won, rollouts.judged, outcomes(rollouts)
    solved = groups.count(won)[:-1] == sizes
    low = groups.smallest(torch.where(judged, outcome, math.inf))
    high = groups.largest(torch.where(judged, outcome, -math.inf))
    num_judged = judged.sum().clamp(min=1)
    start = rollouts.per_trajectory(rollouts.source)
    is_start = torch.zeros(rollouts.num_nodes, dtype=torch.bool, device=start.device)
    is_start[start] = True
    is_failed = rollouts.is_judged & ~rollouts.is_won & rollouts.is_last
    has_trajectories = rollouts.trajectory.num > 0
    one = Segments(torch.zeros_like(start), 1)
    mean = one.mean(outcome, judged)[0].nan_to_num(nan=0.0)
    return {
        "success_rate": (won & judged).sum() / num_judged.to(torch.float64),
        "mean_return": mean,
        "groups_solved": solved.sum(),
        "groups_mixed": (rollouts.has_goal & ~solved).sum(),
        "groups_without_success": (~rollouts.has_goal).sum(),
        "equal_outcome_groups": ((low == high) & (groups.count(judged) >= 2)).sum(),
        "rollouts_without_verdict": (~judged).sum(),
        "group_size_min": sizes.min() if has_trajectories else 0,
        "group_size_mean": rollouts.trajectory.num / max(rollouts.group.num, 1),
        "group_size_max": sizes.max() if has_trajectories else 0,
        "distinct_starts": is_start.sum().to(torch.float64) / max(rollouts.group.num, 1),
        "ends_at_a_start": (is_start[rollouts.target] & is_failed).sum(),
    }


def _of_graph(rollouts: Rollouts) -> dict[str, Any]:
    leaving = Segments(rollouts.source, rollouts.num_nodes)
    number = leaving.count(torch.ones_like(rollouts.is_last))
    num_sources = (number > 0).sum().to(torch.float64)
    return {
        "merge_ratio": 1 - num_sources / rollouts.num_steps if rollouts.num_steps else 0.0,
        "singleton_share": _share(number[rollouts.source] == 1),
        "reachable_share": _share(rollouts.distance[rollouts.target].isfinite()),
    }


def _of_states(rollouts: Rollouts) -> dict[str, Any]:
    leaving = Segments(rollouts.source, rollouts.num_nodes)
    number = leaving.count(torch.ones_like(rollouts.is_last))
    meetings = numbered(rollouts.source, rollouts.turn, by_appearance=False).first
    at = Segments(rollouts.source[meetings], rollouts.num_nodes).count(torch.ones_like(meetings))
    recurs = number > 1
    found: dict[str, Any] = {
        "revisited_positions": _share_of(at > 1, recurs),
        "lone_state_share": _share_of(number == 1, number > 0),
        "ambiguous_actions": 0.0,
        "merge_conflicts": 0.0,
    }
    if not rollouts.has("actions"):
        return found
    is_told = ~_is_null("actions", rollouts)
    no_next = torch.ones_like(is_told)
    if rollouts.has("next_states"):
        no_next = _is_null("next_states", rollouts)
    steps = (is_told & ~(rollouts.is_last & ~rollouts.is_won & no_next)).nonzero()[:, 0]
    if len(steps) == 0:
        return found
    pairs = numbered(rollouts.source[steps], rollouts.of("actions")[steps], by_appearance=False)
    actions, target = Segments(pairs.ids, pairs.num), rollouts.target[steps]
    is_ambiguous = actions.smallest(target, 1 << 62) < actions.largest(target, -1)
    recurs = actions.count(torch.ones_like(steps)) > 1
    found["ambiguous_actions"] = _share_of(is_ambiguous, recurs)
    if rollouts.has("given_states"):  # some that differ are one now
        states = numbered(rollouts.of("given_states")[steps], by_appearance=False).ids
        differ = actions.smallest(states, 1 << 62) < actions.largest(states, -1)
        found["merge_conflicts"] = (is_ambiguous & differ).sum()
    return found


def _is_null(name: str, rollouts: Rollouts) -> Tensor:
    is_null = rollouts.columns.is_null.get(name)
    return torch.zeros_like(rollouts.is_last) if is_null is None else is_null[rollouts.row]


def _of_spread(rollouts: Rollouts, block: Surprisal) -> dict[str, Any]:
    """Where the steps of groups that nobody won go."""
    is_lost = nobody_won(rollouts)[rollouts.group.ids]
    states = Segments(rollouts.source, rollouts.num_nodes)
    scores = score(block, rollouts)
    low = states.smallest(torch.where(is_lost, scores, math.inf))
    high = states.largest(torch.where(is_lost, scores, -math.inf))
    entropy = exact_sum(torch.where(is_lost, surprisals(rollouts), 0.0))
    noise = torch.zeros_like(entropy)
    if rollouts.has("actions"):
        noise = exact_sum(torch.where(is_lost, surprisals_given_action(rollouts), 0.0))
    return {
        "spread_share": _share((low < high)[rollouts.source] & is_lost),
        "successor_entropy": entropy / is_lost.sum().clamp(min=1),
        "successor_noise": torch.where(entropy == 0, 0.0, noise / entropy),
        "no_op_share": _share_of(rollouts.source == rollouts.target, is_lost),
    }


def _of_distances(rollouts: Rollouts) -> dict[str, Any]:
    distance = rollouts.distance[rollouts.source]
    finite = distance.isfinite()
    distance = torch.where(finite, distance, 0.0)
    return {
        "max_distance": distance.max() if len(distance) else 0.0,
        "mean_distance": exact_sum(distance) / finite.sum().clamp(min=1),
    }


def _of_advantages(advantages: Tensor) -> dict[str, Any]:
    number = max(len(advantages), 1)
    average = exact_sum(advantages) / number
    apart = advantages - average
    return {
        "adv_mean": average,
        "adv_std": (exact_sum(apart * apart) / number).sqrt(),
        "adv_min": advantages.min() if len(advantages) else 0.0,
        "adv_max": advantages.max() if len(advantages) else 0.0,
    }


def _of_progress(rollouts: Rollouts) -> dict[str, Any]:
    before = rollouts.distances_at(rollouts.source)
    lowers = rollouts.distances_at(rollouts.target) < before
    succeeded = rollouts.is_won
    failed = rollouts.has_goal[rollouts.group.ids] & ~succeeded

    return {
        "progress_in_failed": _share_of(lowers, failed),
        "no_progress_in_succeeded": _share_of(~lowers, succeeded),
    }


def _of_rows(rollouts: Rollouts) -> dict[str, Any]:
    masked = rollouts.step_of_row == rollouts.num_steps
    num_masked = masked.sum()
    return {
        "masked_rows": num_masked,
        "masked_inside": _masked_inside(rollouts),
        "duplicate_rows": len(masked) - num_masked - rollouts.num_steps,
        "broken_links": _broken_links(rollouts),
    }


def _masked_inside(rollouts: Rollouts) -> Any:
    """Masked rows between two steps of a trajectory: the edge over them was never taken.

    With step ids or next states nobody goes by the order of rows.
    """
    if rollouts.has("step_ids") or rollouts.has("next_states"):
        return 0
    of_trajectory = rollouts.trajectory.ids
    is_same = of_trajectory[1:] == of_trajectory[:-1]
    return torch.where(is_same, rollouts.row[1:] - rollouts.row[:-1] - 1, 0).sum()


def _broken_links(rollouts: Rollouts) -> Any:
    """Steps whose next state is not the one their trajectory goes on from."""
    if not rollouts.has("next_states"):
        return 0
    own, after = rollouts.of("states"), rollouts.of("next_states")
    goes_on = ~rollouts.is_last
    return (after[goes_on] != own[rollouts.following[goes_on]]).sum()
