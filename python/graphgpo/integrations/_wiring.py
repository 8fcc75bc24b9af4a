"""What adapters tell their users: wrong wiring in plain words, and a version nobody has tried."""

from __future__ import annotations

import importlib.metadata
import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import graphgpo
from graphgpo.estimators import Estimator

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
    estimator: Estimator,
    *,
    num_rewarded: int = 0,
    knows_action_valid: bool = False,
) -> dict[str, str]:
    """What looks wrongly connected about a batch, in plain words by a short name.

    `metrics` of `graphgpo.compute_advantages` with `estimator`; `num_rewarded`: rollouts with an
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
    is_inert = metrics["graphgpo/inert"] == 1.0
    without_success = metrics["graphgpo/groups_without_success"]
    if all(term.is_episodic for term in estimator.terms()):
        pass  # it credits whole rollouts, so no step advantage is right
    elif is_inert and num_groups and without_success == num_groups and _reads_success(estimator):
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
    elif is_inert and "single rollouts" not in problems:
        problems["no choice"] = (
            "no step advantage differs from 0: "
            f"{metrics['graphgpo/singleton_share']:.0%} of the steps start in a state seen once. "
            "If that is most of them, states that should be equal probably differ, by a step "
            "counter, a timestamp or the history (see docs/state_key.md); if not, no state has a "
            "better and a worse way on, as when all rollouts are the same"
        )
    penalty = estimator.options().get("invalid_action_penalty", 0.0)
    if penalty > 0.0 and not knows_action_valid:
        problems["no flags"] = (
            f"invalid_action_penalty is {penalty:g}, but no step says whether its action was "
            f"valid, so none is penalised. {advice.mark_invalid}"
        )
    noise = metrics.get("graphgpo/successor_noise", 0.0)
    if noise > 0.5 and not estimator.options().get("spread_actions", True):
        problems["spread of noise"] = (
            f"in groups without success {noise:.0%} of the entropy of where steps lead is not "
            "explained by their actions, so spread_weight credits steps that do nothing for noise "
            "in the observation (a clock?). Take it out of the states, or pass spread_actions=True"
        )
    if num_hidden := metrics["graphgpo/masked_inside"]:
        problems["masked inside"] = (
            f"{num_hidden:.0f} masked rows lie between unmasked rows of a trajectory. Without "
            "next_states the step before them leads to the state after them, which nobody took: "
            "leave them unmasked, or give next_states or step_ids"
        )
    num_restarted, num_failed = metrics["graphgpo/ends_at_a_start"], _num_failed(metrics)
    if num_restarted >= 4 and num_restarted > 0.75 * num_failed:  # some walk back by themselves
        problems["ends at a start"] = (
            f"the last step of {num_restarted:.0f} of {num_failed:.0f} failed rollouts leads to a "
            "state that rollouts of its prompt start from. An environment that resets itself shows "
            "the next episode there: record what it showed before the reset (its final "
            "observation), or None"
        )
    if metrics.get("graphgpo/tokens_without_step"):
        problems["tokens without step"] = (
            f"{metrics['graphgpo/tokens_without_step']:.0f} tokens the policy wrote are in no "
            "step's start..stop and get advantage 0; positions count from the first response token"
        )
    return problems


def _num_failed(metrics: Mapping[str, float]) -> int:
    with_verdict = (
        metrics["graphgpo/num_trajectories"] - metrics["graphgpo/rollouts_without_verdict"]
    )
    return round(with_verdict * (1.0 - metrics["graphgpo/success_rate"]))


def _reads_success(estimator: Estimator) -> bool:
    """Whether success can be what steps get credit from: alone, or where no rewards are given."""
    return any("success" in names for names in estimator.needs)


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
