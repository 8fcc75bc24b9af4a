"""All problems of a batch: those its metrics show, and those its states show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from graphgpo.estimators import Estimator
from graphgpo.problems.batch import batch_problems, gives_step_credit
from graphgpo.problems.outcomes import several_outcomes
from graphgpo.problems.problem import Advice, Problem, Problems
from graphgpo.problems.states import state_problems

if TYPE_CHECKING:
    from graphgpo.rollouts import Rollouts


def problems_of(
    metrics: Mapping[str, float],
    estimator: Estimator,
    rollouts: Rollouts | None = None,
    *,
    advice: Advice | None = None,
    num_rewarded: int | None = None,
    knows_action_valid: bool | None = None,
) -> Problems:
    """What is probably wrong with a batch, the most certain first; none hides another.

    Parameters
    ----------
    metrics
        Of `graphgpo.compute_advantages` with `estimator`, and a trainer's `tokens_without_step`.
    rollouts
        What they are of; None: only what metrics show.
    advice
        What to do in this trainer.
    num_rewarded, knows_action_valid
        How many rollouts have an outcome above 0, and whether any step says if its action was
        valid; None: as the columns of `rollouts` say.
    """
    columns: Mapping[str, Any] = {} if rollouts is None else rollouts.columns
    if knows_action_valid is None:
        knows_action_valid = "action_valid" in columns
    if num_rewarded is None:
        num_rewarded = 0 if rollouts is None else _num_rewarded(rollouts)
    found: list[Problem] = list(
        batch_problems(
            metrics,
            advice or Advice(),
            estimator,
            num_rewarded=num_rewarded,
            knows_action_valid=knows_action_valid,
        )
    )
    if rollouts is not None and gives_step_credit(estimator):
        found += state_problems(rollouts)
        found += several_outcomes(rollouts, metrics)
    return Problems(found)


def _num_rewarded(rollouts: Rollouts) -> int:
    """Rollouts with an episode return, or any reward, above 0."""
    from graphgpo.states.column import element_list

    given = rollouts.columns
    name = next((name for name in ("episode_returns", "rewards") if name in given), None)
    if name is None:
        return 0
    columns = (given[each] for each in (name, "group_ids", "trajectory_ids"))
    rows = zip(*(element_list(name, column) for column in columns), strict=True)
    is_row = element_list("mask", given["mask"]) if "mask" in given else None
    return len(
        {
            (group, trajectory)
            for row, (value, group, trajectory) in enumerate(rows)
            if (is_row is None or is_row[row]) and value is not None and value > 0
        }
    )
