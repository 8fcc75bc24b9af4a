"""The same action in the same state, and several states after it: chance, or a hidden part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from graphgpo.problems.problem import Problem

if TYPE_CHECKING:
    from graphgpo.rollouts import Rollouts

MANY_AMBIGUOUS = 0.1
"""Of the (state, action) pairs taken more than once. In a deterministic world it is 0, but where a
rollout that is over ends at GOAL and another one goes on from there."""

MOST_STEPS = 100_000
"""For which the batch is merged once more, to see whether memory helps."""


def several_outcomes(rollouts: Rollouts, metrics: Mapping[str, float]) -> Iterator[Problem]:
    """Where what follows is not decided by state and action, and nothing was merged by option."""
    share = metrics["graphgpo/ambiguous_actions"]
    if share <= MANY_AMBIGUOUS or rollouts.merging.is_coarser:
        return
    words = (
        f"{share:.0%} of the actions that were taken more than once in a state led to several "
        "states. An edge is credited with the best that followed, so luck looks like skill"
    )
    longer = rollouts.merging.node_history + 1
    remembered = None
    if metrics["graphgpo/num_steps"] <= MOST_STEPS:
        remembered = rollouts.with_history(longer).graph_metrics()["graphgpo/ambiguous_actions"]
    if remembered is None or remembered > share / 2:
        yield Problem(
            name="several outcomes",
            words=f"{words}. If that is not chance, the observation hides what decides: put it "
            "into the state",
            certainty=0.4,
        )
        return
    yield Problem(
        name="several outcomes",
        words=f"{words}. The observation hides what decides: of the last {longer} states it is "
        f"{remembered:.0%}",
        certainty=0.6,
        remedy=f"node_history={longer}",
        switch={"node_history": longer},
    )
