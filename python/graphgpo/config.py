"""Every option of the method, declared once: name, type, default, meaning, allowed range."""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Estimator = Literal["graphgpo", "gigpo", "grpo"]
Exponent = Literal["paper", "recipe", "progress"]
Normalization = Literal["mean_std", "mean"]
EpsilonScale = Literal["relative", "absolute"]
EpisodeWeighting = Literal["trajectory", "step"]

DEFAULT_GIGPO_GAMMA = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphGPOConfig:
    """Options of `compute_advantages`. The defaults are the paper's equations.

    Raises `ValueError` or `TypeError` for a value out of range, naming the option, the value and
    what was expected.

    >>> GraphGPOConfig(omega=0.5).omega
    0.5
    """

    estimator: Estimator = "graphgpo"
    """Where a step's credit comes from: "graphgpo" (distance to the goal in the merged graph),
    "gigpo" (discounted return, compared within the same state; arXiv 2505.10978) or
    "grpo" (the episode's outcome alone)."""

    omega: float = 0.1
    """Decay of the edge return per unit of distance, 0 < omega < 1 (Eq. 4). Published: ALFWorld
    0.1, WebShop 0.2, Sokoban 0.8."""

    success_reward: float = 10.0
    """Return of a step that reaches the goal at distance 0, > 0 (Eq. 4)."""

    exponent: Exponent = "paper"
    """Exponent of omega: "paper" d(target) + c, "recipe" d(target) + c - 1, "progress"
    d(target) - d(source) + c. Under relative epsilon scale it changes edge_returns only."""

    normalization: Normalization = "mean_std"
    """"mean_std" divides by the standard deviation of the peers; "mean" only subtracts the mean."""

    epsilon: float = 1e-6
    """Added to every standard deviation before dividing, > 0."""

    epsilon_scale: EpsilonScale = "relative"
    """"relative" scales the returns of a state by their largest before normalising, so credit does
    not fade with distance; "absolute" is the official recipe, whose epsilon is a horizon."""

    step_weight: float = 1.0
    """Weight of the step advantage in the joint advantage."""

    episode_weight: float = 1.0
    """Weight of the episode advantage in the joint advantage."""

    episode_weighting: EpisodeWeighting = "trajectory"
    """Episode statistics count each "trajectory" once (GRPO's equation) or each "step" once (what
    the official recipe computes)."""

    invalid_action_penalty: float = 0.0
    """Subtracted from the return of steps whose action was invalid, >= 0. Needs `action_valid`."""

    gamma: float | None = None
    """Discount of the return-to-go, 0 <= gamma <= 1. "gigpo" only; None means 0.95 there."""

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        for name, (is_allowed, expected) in _RANGES.items():
            value = getattr(self, name)
            if name == "gamma" and value is None:
                continue
            object.__setattr__(self, name, _check_number(name, value, is_allowed, expected))
        if self.gamma is not None and self.estimator != "gigpo":
            raise ValueError(
                f"gamma is {self.gamma!r} but estimator is {self.estimator!r}, which has no "
                "discount; gamma belongs to 'gigpo' (the official recipe's `algorithm.gamma` is "
                "`omega` here)"
            )

    @classmethod
    def recipe(cls, **changes: Any) -> GraphGPOConfig:
        """The official recipe term by term (verl-agent `recipe/GraphGPO`), with `changes` on top.

        Exponent "recipe", absolute epsilon, "step" episode weighting, invalid action penalty 0.1.

        >>> GraphGPOConfig.recipe(omega=0.2).exponent
        'recipe'
        """
        recipe: dict[str, Any] = {
            "exponent": "recipe",
            "epsilon_scale": "absolute",
            "episode_weighting": "step",
            "invalid_action_penalty": 0.1,
        }
        return with_options(cls(), {**recipe, **changes})

    @classmethod
    def from_mapping(cls, mapping: object) -> GraphGPOConfig:
        """A config from a dict, an OmegaConf node or a dataclass; unknown keys are refused.

        >>> GraphGPOConfig.from_mapping({"omega": 0.8, "estimator": "graphgpo"}).omega
        0.8
        >>> GraphGPOConfig.from_mapping({"omgea": 0.8})
        Traceback (most recent call last):
        ...
        TypeError: unknown option 'omgea'; did you mean 'omega'?
        """
        return with_options(cls(), _as_options(mapping))


_FIELDS: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(GraphGPOConfig))

_CHOICES: dict[str, tuple[str, ...]] = {
    "estimator": get_args(Estimator),
    "exponent": get_args(Exponent),
    "normalization": get_args(Normalization),
    "epsilon_scale": get_args(EpsilonScale),
    "episode_weighting": get_args(EpisodeWeighting),
}

_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "omega": (lambda x: 0.0 < x < 1.0, "a number with 0 < omega < 1"),
    "success_reward": (lambda x: 0.0 < x < math.inf, "a finite number > 0"),
    "epsilon": (lambda x: 0.0 < x < math.inf, "a finite number > 0"),
    "step_weight": (math.isfinite, "a finite number"),
    "episode_weight": (math.isfinite, "a finite number"),
    "invalid_action_penalty": (lambda x: 0.0 <= x < math.inf, "a finite number >= 0"),
    "gamma": (lambda x: 0.0 <= x <= 1.0, "a number in [0, 1], or None"),
}


def with_options(config: GraphGPOConfig, options: Mapping[str, Any]) -> GraphGPOConfig:
    """`config` with the fields named in `options` replaced; an unknown name is a `TypeError`."""
    for name in options:
        if name not in _FIELDS:
            raise TypeError(f"unknown option {name!r}; {_suggestion(name)}")
    return dataclasses.replace(config, **options) if options else config


def resolved_config(
    config: GraphGPOConfig | Mapping[str, Any] | None, options: Mapping[str, Any]
) -> GraphGPOConfig:
    """`config` as one, with `options` on top."""
    if config is None:
        config = _DEFAULTS
    elif not isinstance(config, GraphGPOConfig):
        config = GraphGPOConfig.from_mapping(config)
    return with_options(config, options)


def core_options(config: GraphGPOConfig) -> dict[str, Any]:
    """The options by field name, as the native modules take them."""
    fields = {name: getattr(config, name) for name in _FIELDS}
    if config.gamma is None:
        fields["gamma"] = DEFAULT_GIGPO_GAMMA
    return fields


def _suggestion(name: object) -> str:
    close = difflib.get_close_matches(str(name), _FIELDS, n=1)
    return f"did you mean {close[0]!r}?" if close else f"the options are {', '.join(_FIELDS)}"


def _as_options(mapping: object) -> dict[str, Any]:
    if dataclasses.is_dataclass(mapping) and not isinstance(mapping, type):
        return {f.name: getattr(mapping, f.name) for f in dataclasses.fields(mapping)}
    if isinstance(mapping, Mapping):
        return dict(mapping)
    raise TypeError(
        f"config is a {type(mapping).__name__}; expected a GraphGPOConfig, a mapping of option "
        "names to values, or a dataclass instance"
    )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def _check_number(
    name: str, value: object, is_allowed: Callable[[float], bool], expected: str
) -> float:
    # bool is an int in Python; an option that is True is a mistake, not 1.0.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}); expected {expected}")
    number = float(value)
    if not is_allowed(number):
        raise ValueError(f"{name} is {value!r}; expected {expected}")
    return number


_DEFAULTS = GraphGPOConfig()  # made once: checking it is a quarter of the time of a small call
