"""Options that several estimators share: what they may be and mean, once."""

from __future__ import annotations

from functools import partial
from typing import Literal, TypeAlias

from graphgpo.estimators._base import (
    FINITE,
    HISTORY,
    NOT_NEGATIVE,
    OPEN_UNIT,
    POSITIVE,
    UNIT,
    option,
)

Normalization: TypeAlias = Literal["mean_std", "mean"]
EpsilonScale: TypeAlias = Literal["relative", "absolute"]
EpisodeWeighting: TypeAlias = Literal["trajectory", "step"]
FailedEnd: TypeAlias = Literal["leaf", "state"]
SpreadScale: TypeAlias = Literal["plain", "live"]

gamma = partial(option, allowed=UNIT, meaning="Discount of the return-to-go, or of the potential.")
discount = partial(option, allowed=OPEN_UNIT, meaning="Discount of the potential, below 1.")
omega = partial(
    option,
    allowed=OPEN_UNIT,
    meaning="Decay of the edge return per unit of distance. Published: ALFWorld 0.1, WebShop 0.2, "
    "Sokoban 0.8.",
)
success_reward = partial(
    option, allowed=POSITIVE, meaning="Reward of reaching the goal, where no rewards are given."
)
normalization = partial(
    option,
    allowed=None,
    meaning='"mean_std" divides by the standard deviation of the peers; "mean" only subtracts the '
    "mean.",
)
epsilon = partial(
    option, allowed=POSITIVE, meaning="Added to every standard deviation before dividing."
)
epsilon_scale = partial(
    option,
    allowed=None,
    meaning='"relative" divides the scores of a state by their largest before normalising, so that '
    'credit does not fade with distance; with "absolute" epsilon is a horizon.',
)
step_weight = partial(option, allowed=FINITE, meaning="Weight of the step advantage in the sum.")
episode_weight = partial(
    option, allowed=FINITE, meaning="Weight of the episode advantage in the sum."
)
episode_weighting = partial(
    option,
    allowed=None,
    meaning='Episode statistics count each "trajectory" once (GRPO\'s equation) or each "step" '
    "once (what the recipes of verl-agent compute).",
)
invalid_action_penalty = partial(
    option,
    allowed=NOT_NEGATIVE,
    meaning="Taken from the score of steps whose action was invalid. Needs `action_valid`.",
)
failed_end = partial(
    option,
    allowed=None,
    meaning='A failed trajectory\'s last step leads to a "leaf" of its own (a time limit is a '
    'failure), or to its real next "state".',
)
history = partial(
    option, allowed=HISTORY, meaning="How many states before the present one are compared."
)
alpha = partial(option, allowed=NOT_NEGATIVE)
beta = partial(option, allowed=FINITE)
kappa = partial(
    option,
    allowed=NOT_NEGATIVE,
    meaning="How many steps' worth an action's mean is drawn to the state's.",
)
tau = partial(option, allowed=POSITIVE)
floor = partial(option, allowed=POSITIVE)
lam = partial(option, allowed=UNIT, meaning="Decay of the trace (GAE's lambda).")

spread_weight = partial(
    option,
    allowed=NOT_NEGATIVE,
    meaning="Weight of spread credit, which stands beside the step term in groups that nobody won: "
    "a step is credited for going where its peers rarely go.",
)
spread_actions = partial(
    option,
    allowed=None,
    meaning="Whether spread credit counts only what actions cause. Needs `actions`. For "
    "observations with noise that recurs (a clock of few texts): without it, steps that do nothing "
    "are credited for the noise.",
)
spread_scale = partial(
    option,
    allowed=None,
    meaning='"live" weighs spread credit by (L + 1) / (G + 1), L groups with a success of the G in '
    'the batch, where most tasks may be hopeless; "plain" does not.',
)
