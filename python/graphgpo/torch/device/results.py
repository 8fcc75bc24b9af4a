"""From steps back to rows, and the batch in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphgpo.blocks import Surprisal
from graphgpo.reference.plan import Credit
from graphgpo.reference.results import INERT, OF_MASKED, by_name
from graphgpo.result import StepAdvantages
from graphgpo.torch.device.modifiers import nobody_won
from graphgpo.torch.device.rollouts import Rollouts
from graphgpo.torch.device.scores import score, surprisals
from graphgpo.torch.device.segments import Segments, numbered, with_last


def by_row(rollouts: Rollouts, credit: Credit) -> StepAdvantages:
    """The credit of every row: masked rows have none, copies that of their step."""
    for part in (credit.advantages, credit.step_advantages, credit.episode_advantages):
        rollouts.refuse(~_seen(part).isfinite())
    rollouts.refuse(rollouts.outcomes.isinf())
    of_step = by_name(credit, *rollouts.distances, rollouts.source, rollouts.target)

    def rows(name: str, masked: np.generic) -> Any:
        values = of_step[name].to(torch.as_tensor(masked).dtype)
        return with_last(values, masked.item())[rollouts.step_of_row]

    rollouts.columns.refuse_what_is_wrong()
    arrays = {name: rows(name, masked) for name, masked in OF_MASKED.items()}
    return StepAdvantages(**arrays, metrics=_metrics(rollouts, credit))


def _metrics(rollouts: Rollouts, credit: Credit) -> dict[str, float]:
    """Flat `graphgpo/...` numbers, in one wait for the device."""
    parts = credit.step_advantages if credit.has_step_term else credit.episode_advantages
    seen = _seen(parts).abs()
    leaving, num_steps = rollouts.state.sizes, rollouts.num_steps
    found: dict[str, Any] = {
        "num_groups": rollouts.group.num,
        "num_trajectories": rollouts.trajectory.num,
        "num_steps": num_steps,
        "num_states": rollouts.num_nodes,
        "num_edges": rollouts.edge.num,
        **_of_outcomes(rollouts),
        "merge_ratio": 1 - _ratio((leaving > 0).sum(), num_steps) if num_steps else 0.0,
        "singleton_share": _share(leaving[rollouts.source] == 1),
        "reachable_share": _share(rollouts.distance[rollouts.target].isfinite()),
        "zero_advantage_share": _share(seen == 0),
        **_of_steps(rollouts, _seen(credit.advantages)),
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


def _share(holds: Tensor, of: Tensor | None = None) -> Tensor:
    """Of all, or of those of which the other holds; 0 of none."""
    of = torch.ones_like(holds) if of is None else of
    return _ratio((holds & of).sum(), of.sum())


def _ratio(total: Tensor | int, number: Tensor | int) -> Tensor:
    return total / torch.as_tensor(number, dtype=torch.float64).clamp(min=1)


def _mean(values: Tensor, known: Tensor | None = None) -> Tensor:
    """0 of none."""
    return Segments.of_all(values).mean(values, known)[0].nan_to_num(nan=0.0)


def _extremes(values: Tensor) -> tuple[Any, Any]:
    """The least and the largest; 0 of none."""
    return values.aminmax() if len(values) else (0, 0)


def _seen(credit: Tensor) -> Tensor:
    """What a trainer sees is float32."""
    return credit.to(torch.float32).to(credit.dtype)


def _of_outcomes(rollouts: Rollouts) -> dict[str, Any]:
    groups, num_groups = rollouts.trajectory_group, rollouts.group.num
    won, judged, outcome = rollouts.won, rollouts.judged, rollouts.outcomes
    sizes = groups.sizes[:-1]
    is_solved = groups.count(won)[:-1] == sizes
    fewest, most = _extremes(sizes)
    low, high = groups.bounds(outcome, judged)
    start = rollouts.source[rollouts.start]
    is_start = torch.zeros_like(rollouts.node_group, dtype=torch.bool).index_fill(0, start, True)
    ends_at_a_start = is_start[rollouts.target[rollouts.end]]
    return {
        "success_rate": _share(won, judged),
        "mean_return": _mean(outcome),
        "groups_solved": is_solved.sum(),
        "groups_mixed": (rollouts.has_goal & ~is_solved).sum(),
        "groups_without_success": (~rollouts.has_goal).sum(),
        "equal_outcome_groups": ((low == high) & (groups.count(judged) >= 2)).sum(),
        "rollouts_without_verdict": (~judged).sum(),
        "group_size_min": fewest,
        "group_size_mean": _ratio(rollouts.trajectory.num, num_groups),
        "group_size_max": most,
        "distinct_starts": _ratio(is_start.sum(), num_groups),
        "ends_at_a_start": (ends_at_a_start & judged & ~won).sum(),
    }


def _of_states(rollouts: Rollouts) -> dict[str, Any]:
    number = rollouts.state.sizes
    meetings = numbered(rollouts.source, rollouts.turn)
    num_positions = rollouts.state.only(meetings.first).sizes
    # Actions taken more than once in a state, of steps whose end is known.
    has_end = ~rollouts.is_last | rollouts.is_won | ~rollouts.is_null("next_states")
    steps = (has_end & ~rollouts.is_null("actions")).nonzero()[:, 0]
    done = rollouts.of("actions" if rollouts.has("actions") else "states")[steps]
    given = rollouts.of("given_states" if rollouts.has("given_states") else "states")[steps]
    actions = numbered(rollouts.source[steps], done)
    is_ambiguous = actions.is_mixed(rollouts.target[steps])
    return {
        "revisited_positions": _share(num_positions > 1, number > 1),
        "lone_state_share": _share(number == 1, number > 0),
        "ambiguous_actions": _share(is_ambiguous, actions.sizes > 1),
        "merge_conflicts": (is_ambiguous & actions.is_mixed(given)).sum(),
    }


def _of_spread(rollouts: Rollouts, block: Surprisal) -> dict[str, Any]:
    """Where the steps of groups that nobody won go."""
    is_lost = nobody_won(rollouts)[rollouts.group.ids]
    low, high = rollouts.state.bounds(score(block, rollouts), is_lost)
    entropy, noise = (
        _mean(surprisals(peers, rollouts), is_lost)
        for peers in (rollouts.state, rollouts.same_action)
    )
    return {
        "spread_share": _share((low < high)[rollouts.source] & is_lost),
        "successor_entropy": entropy,
        "successor_noise": torch.where(entropy == 0, 0.0, noise / entropy),
        "no_op_share": _share(rollouts.source == rollouts.target, is_lost),
    }


def _of_steps(rollouts: Rollouts, advantages: Tensor) -> dict[str, Any]:
    distance = rollouts.distance[rollouts.source]
    average = _mean(advantages)
    low, high = _extremes(advantages)
    return {
        "max_distance": _extremes(distance.nan_to_num(posinf=0.0))[1],
        "mean_distance": _mean(distance, distance.isfinite()),
        "adv_mean": average,
        "adv_std": _mean((advantages - average).square()).sqrt(),
        "adv_min": low,
        "adv_max": high,
    }


def _of_rows(rollouts: Rollouts) -> dict[str, Any]:
    before, after = rollouts.distances
    is_failed = rollouts.is_of_winners & ~rollouts.is_won
    num_masked = (rollouts.step_of_row == rollouts.num_steps).sum()
    # Masked rows between two steps of a trajectory: the edge over them was never taken. With step
    # ids or next states nobody goes by the order of rows.
    is_by_row = not (rollouts.has("step_ids") or rollouts.has("next_states"))
    is_same = rollouts.trajectory.ids.diff() == 0
    masked_inside = torch.where(is_same, rollouts.row.diff() - 1, 0).sum()
    return {
        "progress_in_failed": _share(after < before, is_failed),
        "no_progress_in_succeeded": _share(after >= before, rollouts.is_won),
        "masked_rows": num_masked,
        "masked_inside": masked_inside if is_by_row else 0,
        "duplicate_rows": rollouts.columns.num_rows - num_masked - rollouts.num_steps,
        "broken_links": rollouts.is_broken.sum(),
    }
