"""What adapters tell their users: wrong wiring in plain words, and a version nobody has tried."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import graphgpo
from graphgpo.config import GraphGPOConfig

logger = logging.getLogger(__name__)

Version = tuple[int, ...]


@dataclass(frozen=True)
class Advice:
    """What to do in one trainer; each ends a sentence of `wiring_problems` or of an error."""

    record_steps: str
    set_success: str
    more_rollouts: str
    mark_invalid: str


def wiring_problems(
    metrics: Mapping[str, float],
    advice: Advice,
    config: GraphGPOConfig,
    *,
    num_rewarded: int = 0,
    knows_action_valid: bool = False,
) -> dict[str, str]:
    """What looks wrongly connected about a batch, in plain words by a short name.

    `metrics` of `graphgpo.compute_advantages` with `config`; `num_rewarded`: rollouts with an
    outcome above 0; `knows_action_valid`: steps say whether their action was valid.
    """
    problems = {}
    num_groups, num_rollouts = metrics["graphgpo/num_groups"], metrics["graphgpo/num_trajectories"]
    num_steps = metrics["graphgpo/num_steps"]
    num_states_left = round(num_steps * (1.0 - metrics["graphgpo/merge_ratio"]))
    if num_rollouts and num_rollouts == num_groups:
        problems["single rollouts"] = (
            f"each of the {num_groups:.0f} prompts has one rollout, so there is nothing to compare "
            f"and every advantage is 0. {advice.more_rollouts}"
        )
    if config.estimator == "grpo":
        pass  # it credits whole rollouts, so no step advantage is right
    elif num_groups and metrics["graphgpo/groups_without_success"] == num_groups:
        problems["no success"] = (
            f"none of the {num_rollouts:.0f} rollouts succeeded, so no step earns credit. "
            + (
                f"{num_rewarded} of them have a reward above 0, so success is probably never "
                f"{advice.set_success}"
                if num_rewarded
                else f"If the policy does solve tasks, success is never {advice.set_success}"
            )
        )
    elif num_steps > num_rollouts and num_states_left == num_groups:
        problems["one state"] = (
            "all steps of a prompt start in the same state, so there is no way to go: states are "
            f"probably empty or constant. {advice.record_steps}"
        )
    elif metrics["graphgpo/inert"] == 1.0 and "single rollouts" not in problems:
        problems["no choice"] = (
            "no step advantage differs from 0 although rollouts succeeded: "
            f"{metrics['graphgpo/singleton_share']:.0%} of the steps start in a state seen once. "
            "If that is most of them, states that should be equal probably differ, by a step "
            "counter, a timestamp or the history (see docs/state_key.md); if not, no state has a "
            "better and a worse way on, as when all rollouts are the same"
        )
    if config.invalid_action_penalty > 0.0 and not knows_action_valid:
        problems["no flags"] = (
            f"invalid_action_penalty is {config.invalid_action_penalty:g}, but no step says "
            f"whether its action was valid, so none is penalised. {advice.mark_invalid}"
        )
    if metrics.get("graphgpo/tokens_without_step"):
        problems["tokens without step"] = (
            f"{metrics['graphgpo/tokens_without_step']:.0f} tokens the policy wrote are in no "
            "step's start..stop and get advantage 0; positions count from the first response token"
        )
    return problems


_said: set[str] = set()


def say_once(problems: Mapping[str, str]) -> None:
    """Log each problem as a warning, the first time in this process that it is met."""
    for name, text in problems.items():
        if name not in _said:
            _said.add(name)
            logger.warning("graphgpo: %s (said once per process)", text)


def check_version(package: str, oldest: Version, beyond: Version) -> None:
    """Warn, once per process, unless oldest <= the installed version < beyond."""
    if f"version of {package}" in _said:
        return
    _said.add(f"version of {package}")
    version = importlib.metadata.version(package)
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if not oldest <= numbers < beyond:
        warnings.warn(
            f"graphgpo {graphgpo.__version__} is tested with {package} >={_dotted(oldest)},"
            f"<{_dotted(beyond)}; this is {package} {version}",
            stacklevel=3,
        )


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))
