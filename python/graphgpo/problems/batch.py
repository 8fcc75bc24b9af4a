"""Problems that the metrics of a batch show: wrong wiring, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphgpo.estimators import Estimator
from graphgpo.problems.problem import Advice, Problem

FEWEST_RECURRING = 10
"""States that recur, from which on where they do says something."""

FEW_REVISITED = 0.05
"""Of the states that recur, at more than one position. With a step counter it is 0; rollouts of
games have .98 and more; a lucky meeting of two noises lifts it to a few percent."""

MANY_LONE = 0.9
"""Of the steps, alone in their state: then nine of ten have nothing to be compared with."""

MUCH_NOISE = 0.5
"""Of the entropy of successors: then what the policy does decides less than what it does not."""


def batch_problems(
    metrics: Mapping[str, float],
    advice: Advice,
    estimator: Estimator,
    *,
    num_rewarded: int = 0,
    knows_action_valid: bool = False,
) -> Iterator[Problem]:
    """What looks wrongly connected about a batch.

    `metrics` of `graphgpo.compute_advantages` with `estimator`; `num_rewarded`: rollouts with an
    outcome above 0; `knows_action_valid`: steps say whether their action was valid.
    """
    m = {name.removeprefix("graphgpo/"): value for name, value in metrics.items()}
    is_single = 0 < m["num_trajectories"] == m["num_groups"]
    if is_single:
        yield Problem(
            name="single rollouts",
            words=f"each of the {m['num_groups']:.0f} prompts has one rollout, so there is nothing "
            f"to compare and every advantage is 0. {advice.more_rollouts}",
            certainty=1.0,
        )
    if gives_step_credit(estimator):
        yield from _step_problems(metrics, advice, estimator, num_rewarded, is_single)
    penalty = estimator.options().get("invalid_action_penalty", 0.0)
    if penalty > 0.0 and not knows_action_valid:
        yield Problem(
            name="no flags",
            words=f"invalid_action_penalty is {penalty:g}, but no step says whether its action was "
            f"valid, so none is penalised. {advice.mark_invalid}",
            certainty=1.0,
        )
    noise = m.get("successor_noise", 0.0)
    if noise > MUCH_NOISE and not estimator.options().get("spread_actions", True):
        yield Problem(
            name="spread of noise",
            words=f"in groups without success {noise:.0%} of the entropy of where steps lead is "
            "not explained by their actions, so spread_weight credits steps that do nothing for "
            "noise in the observation (a clock?). Take it out of the states, or pass "
            "spread_actions=True",
            certainty=0.9,
        )
    if m["masked_inside"]:
        yield Problem(
            name="masked inside",
            words=f"{m['masked_inside']:.0f} masked rows lie between unmasked rows of a "
            "trajectory. Without next_states the step before them leads to the state after them, "
            "which nobody took: leave them unmasked, or give next_states or step_ids",
            certainty=0.95,
        )
    num_restarted, num_failed = m["ends_at_a_start"], _num_failed(m)
    if num_restarted >= 4 and num_restarted > 0.75 * num_failed:  # some walk back by themselves
        yield Problem(
            name="ends at a start",
            words=f"the last step of {num_restarted:.0f} of {num_failed:.0f} failed rollouts leads "
            "to a state that rollouts of its prompt start from. An environment that resets itself "
            "shows the next episode there: record what it showed before the reset (its final "
            "observation), or None",
            certainty=0.8,
        )
    if m.get("tokens_without_step"):
        yield Problem(
            name="tokens without step",
            words=f"{m['tokens_without_step']:.0f} tokens the policy wrote are in no step's "
            "start..stop and get advantage 0; positions count from the first response token",
            certainty=1.0,
        )


def _step_problems(
    metrics: Mapping[str, float],
    advice: Advice,
    estimator: Estimator,
    num_rewarded: int,
    is_single: bool,
) -> Iterator[Problem]:
    m = {name.removeprefix("graphgpo/"): value for name, value in metrics.items()}
    is_inert, num_groups = m["inert"] == 1.0, m["num_groups"]
    has_no_success = num_groups > 0 and m["groups_without_success"] == num_groups
    num_states_left = round(m["num_steps"] * (1.0 - m["merge_ratio"]))
    if is_inert and has_no_success and _reads_success(estimator):
        yield Problem(
            name="no success",
            words=f"none of the {m['num_trajectories']:.0f} rollouts succeeded, so no step earns "
            "credit. "
            + (
                f"{num_rewarded} of them have a reward above 0, so success is probably never "
                f"{advice.set_success}"
                if num_rewarded
                else f"If the policy does solve tasks, success is never {advice.set_success}"
            ),
            certainty=0.99 if num_rewarded else 0.5,
        )
    elif is_inert and not is_single and num_states_left != num_groups:
        yield Problem(
            name="no choice",
            words=f"no step advantage differs from 0: {m['singleton_share']:.0%} of the steps start"
            " in a state seen once. If that is most of them, states that should be equal probably "
            "differ, by a step counter, a timestamp or the history; if not, no state has a better "
            "and a worse way on, as when all rollouts are the same",
            certainty=0.9 if m["singleton_share"] >= MANY_LONE else 0.5,
        )
    if m["num_steps"] > m["num_trajectories"] and num_states_left == num_groups:
        yield Problem(
            name="one state",
            words="all steps of a prompt start in the same state, so there is no way to go: states "
            f"are probably empty or constant, or merged into one. {advice.record_steps}",
            certainty=0.97,
        )
    if has_few_positions(metrics):
        yield Problem(
            name="one position",
            words=f"of the states that recur, {m['revisited_positions']:.0%} occur at more than one"
            " position of a rollout, so rollouts meet at the same turn and nowhere else: states "
            "hold a step counter, the history or what is left of a budget. All is well only where "
            "no state can be come back to",
            certainty=0.5,
        )


def gives_step_credit(estimator: Estimator) -> bool:
    """Whether it credits single steps: estimators of whole rollouts are right to give none."""
    return not all(term.is_episodic for term in estimator.terms())


def has_few_positions(metrics: Mapping[str, float]) -> bool:
    """Whether states recur, but at one position of a rollout only."""
    if metrics["graphgpo/revisited_positions"] > FEW_REVISITED:
        return False
    num_steps = metrics["graphgpo/num_steps"]
    share_recurring = 1.0 - metrics["graphgpo/merge_ratio"] - metrics["graphgpo/singleton_share"]
    return (
        num_steps >= 3 * metrics["graphgpo/num_trajectories"]
        and round(num_steps * share_recurring) >= FEWEST_RECURRING
    )


def _num_failed(m: Mapping[str, float]) -> int:
    with_verdict = m["num_trajectories"] - m["rollouts_without_verdict"]
    return round(with_verdict * (1.0 - m["success_rate"]))


def _reads_success(estimator: Estimator) -> bool:
    """Whether success can be what steps get credit from: alone, or where no rewards are given."""
    return any("success" in names for names in estimator.needs)
