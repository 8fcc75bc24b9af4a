"""Real rollouts: what the published codes of the family compute, and where ours differs on purpose.

For estimators without published code there is nothing to compare with: see `test_family.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import Compute, back_end
from goldens import NAMES, Golden, ReadOnce
from graphgpo import estimators
from graphgpo.blocks import (
    Difference,
    MeanReturn,
    MeanStd,
    PeerKeys,
    Raw,
    ReachValue,
    ReturnToGo,
    Target,
    Term,
)
from graphgpo.estimators import Estimator, _tfidf

NORMALIZATIONS = ("mean_std", "mean")


class Value(Estimator):
    """-V(u) of the mean return, G2PO's."""

    def terms(self) -> list[Term]:
        value = MeanReturn(0.95, 10.0, of="outcome", end="success")
        return [Term(Difference(value, gamma=0.0), normaliser=Raw())]


class NextValue(Estimator):
    """V(v) of the reach value, RewardFlow's."""

    gamma: float = 0.9

    def terms(self) -> list[Term]:
        return [Term(Target(ReachValue(self.gamma, 10.0)), normaliser=Raw())]


class ClusteredGiGPO(Estimator):
    """GiGPO's step term among clusters of states, which the caller finds."""

    def terms(self) -> list[Term]:
        return [Term(ReturnToGo(0.95, 10.0), peers=PeerKeys(), normaliser=MeanStd())]


@dataclass(frozen=True)
class Case:
    """A column of the golden files, and how to compute it."""

    column: str
    estimator: Any
    options: dict[str, Any]
    field: str = "advantages"
    tolerance: float = 1e-5
    keys: str | None = None
    """The column of peer keys."""
    sign: float = 1.0


def _cases() -> list[Case]:
    cases = [
        Case("discounted_return__gamma0.95", "gigpo", {}, "scores"),
        Case("g2po__value", Value(), {}, "scores", sign=-1.0),
        Case("reinforce_plus_plus__rows", "reinforce_pp", {}),
        Case("verl__opo__trajectory_steps_as_length", "opo", {}),
        Case("verl__grpo__mean_std__trajectory", "grpo", {}),
        Case("verl__grpo__mean__trajectory", "dr_grpo", {}),
        Case("verl__rloo__trajectory", "rloo", {}),
        Case("verl__rloo_vectorized__trajectory", "rloo", {}),
        Case(
            "verl__reinforce_plus_plus_baseline__trajectory",
            "reinforce_pp_baseline",
            {"whitening": "trajectory"},
        ),
        Case("verl__reinforce_plus_plus_baseline__steps_as_tokens", "reinforce_pp_baseline", {}),
    ]
    for gamma in (1.0, 0.95):
        column = f"verl__reinforce_plus_plus__steps_as_tokens__gamma{gamma}"
        cases.append(Case(column, "reinforce_pp", {"gamma": gamma}))
    for rows, weighting in (("rows", "step"), ("trajectory", "trajectory")):
        options: dict[str, Any] = {"episode_weighting": weighting}
        cases += [
            Case(f"grpo__mean_std__{rows}", "grpo", options),
            Case(f"grpo__mean__{rows}", "dr_grpo", options),
            Case(f"rloo__{rows}", "rloo", options),
            Case(f"reinforce_plus_plus_baseline__{rows}", "reinforce_pp_baseline", options),
        ]
    for kind, estimator in (("mean_std", "grpo"), ("mean", "dr_grpo")):
        options = {"episode_weighting": "step", "invalid_action_penalty": 0.1}
        cases.append(Case(f"grpo__{kind}__rows__penalty0.1", estimator, options, tolerance=1e-4))
    for kind in NORMALIZATIONS:
        for suffix, penalty in (("", 0.0), ("__penalty0.1", 0.1)):
            options = {"normalization": kind, "invalid_action_penalty": penalty}
            by_rows = {**options, "episode_weighting": "step"}
            joint = 1e-4 if penalty else 1e-5
            for name in ("gigpo", "g2po"):
                step, both = (f"{name}__{part}__{kind}{suffix}" for part in ("step", "joint"))
                cases.append(Case(step, name, options, "step_advantages"))
                cases.append(Case(both, name, by_rows, tolerance=joint))
            for history in (2, 4):
                for alpha, base in ((1, ""), (1, "__base"), (0, "")):
                    if alpha == 0 and penalty:
                        continue
                    chosen: dict[str, Any] = {
                        "history": history,
                        "alpha": alpha,
                        "exponent": "recipe",
                    }
                    column = f"hgpo__K{history}__{kind}__alpha{alpha}{base}{suffix}"
                    chosen |= {"base": base != "", **options}
                    cases.append(Case(column, "hgpo", chosen, tolerance=joint if base else 1e-5))
    for gamma in (0.9, 0.95):
        prefix, flow = f"rewardflow__complete__gamma{gamma}", {"gamma": gamma}
        cases += [
            Case(f"{prefix}__reward", "rewardflow", flow, "scores", 1e-14),
            Case(f"{prefix}__value_next", NextValue(gamma=gamma), {}, "scores", 1e-14),
            Case(f"{prefix}__joint__mean", "rewardflow", {**flow, "episode_weighting": "step"}),
        ]
        for kind in NORMALIZATIONS:
            column, options = f"{prefix}__step__{kind}", {**flow, "normalization": kind}
            cases.append(Case(column, "rewardflow", options, "step_advantages"))
    for threshold in ("0.95", "0.9"):
        prefix = f"gigpo_similarity{threshold}"
        column, keys = f"{prefix}__step__mean_std", f"{prefix}__cluster"
        cases.append(Case(column, ClusteredGiGPO(), {}, keys=keys))
    return cases


CASES = _cases()
DELIBERATE = {  # ours differs on purpose: the tests below say how
    "grpo__mean_std__trajectory__penalty0.1",
    "grpo__mean__trajectory__penalty0.1",
    "rewardflow__official__gamma0.9__step__mean",
    "proxmo__step_soft",
    "proxmo__episode_psc__trajectory__reward10",
    "proxmo__episode_psc__trajectory__reward1",
}


@pytest.fixture(scope="module")
def compute(request: pytest.FixtureRequest) -> Compute:
    return ReadOnce() if request.param == "reference" else back_end(request.param)


@pytest.fixture(scope="module", params=NAMES)
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.column)
def test_credit_is_what_the_published_code_computes(
    compute: Compute, golden: Golden, case: Case
) -> None:
    keys = {} if case.keys is None else {"peer_keys": golden.family[case.keys]}
    result = compute(**golden.batch, **keys, estimator=case.estimator, **case.options)
    np.testing.assert_allclose(
        case.sign * getattr(result, case.field),
        golden.family[case.column],
        rtol=0,
        atol=case.tolerance,
    )


def test_every_golden_column_is_compared_with(golden: Golden) -> None:
    clusters = {case.keys for case in CASES if case.keys}
    assert {case.column for case in CASES} | clusters | DELIBERATE == set(golden.family)


def test_every_estimator_with_published_code_is_compared() -> None:
    compared = {case.estimator for case in CASES if isinstance(case.estimator, str)}
    elsewhere = {"graphgpo", "proxmo", "spread"}  # test_golden.py; below; test_spread.py
    read_only = {"tree_grpo"}  # its code was read; there are no outputs of it
    marked = {name for name in estimators.names() if estimators.load(name).mark == "C"}
    assert compared | elsewhere | read_only == marked


# --- deliberate differences -----------------------------------------------------------------------


def largest(values: NDArray[Any]) -> float:
    return float(np.abs(values).max())


def test_a_penalty_never_makes_an_episode_advantage_of_100000(
    compute: Compute, golden: Golden
) -> None:
    # Their trajectory mode takes the penalty of each trajectory's first row; where all outcomes are
    # equal, 0.1 is divided by 1e-6.
    options = {"estimator": "grpo", "invalid_action_penalty": 0.1}
    theirs = golden.family["grpo__mean_std__trajectory__penalty0.1"]
    has_equal_outcomes = not golden.name.startswith("sokoban")
    assert largest(theirs) > (90_000 if has_equal_outcomes else 2)
    result = compute(**golden.batch, **options)
    without = compute(**golden.batch, estimator="grpo")
    assert largest(result.advantages) < 3
    np.testing.assert_array_equal(result.advantages, without.advantages)


def test_under_trajectory_weighting_no_penalty_touches_the_outcome(
    compute: Compute, golden: Golden
) -> None:
    theirs = golden.family["grpo__mean__trajectory__penalty0.1"]
    ours = compute(**golden.batch, estimator="dr_grpo", invalid_action_penalty=0.1).advantages
    np.testing.assert_allclose(ours, golden.family["grpo__mean__trajectory"], rtol=0, atol=1e-5)
    assert 0.05 < largest(theirs - ours) < 0.11


def test_hgpo_weighs_level_k_by_k_and_its_code_by_k_plus_1(
    compute: Compute, golden: Golden
) -> None:
    theirs = golden.family["hgpo__K2__mean_std__alpha1"]
    paper = compute(**golden.batch, estimator="hgpo").advantages
    recipe = compute(**golden.batch, estimator="hgpo", exponent="recipe").advantages
    assert largest(recipe - theirs) < 1e-5
    assert 0.05 < largest(paper - theirs) < 0.34


def test_rewardflow_keeps_the_last_edge_of_the_longest_trajectories(
    compute: Compute, golden: Golden
) -> None:
    theirs = golden.family["rewardflow__official__gamma0.9__step__mean"]
    ours = compute(**golden.batch, estimator="rewardflow").step_advantages
    complete = golden.family["rewardflow__complete__gamma0.9__step__mean"]
    np.testing.assert_allclose(ours, complete, rtol=0, atol=1e-5)
    assert largest(theirs - ours) > 0.3


def test_proxmo_stresses_rare_outcomes_as_its_code_does_with_a_reward_of_1(
    compute: Compute, golden: Golden
) -> None:
    # Their success rate is a mean of rewards clamped to 1: a reward of 10 makes it 1 too soon.
    batch = {**golden.batch, "episode_returns": golden.batch["episode_returns"] / 10}
    ours = compute(**batch, estimator="proxmo").episode_advantages
    of_one = golden.family["proxmo__episode_psc__trajectory__reward1"]
    np.testing.assert_allclose(ours, of_one, rtol=0, atol=1e-5)
    of_ten = golden.family["proxmo__episode_psc__trajectory__reward10"]
    ours_of_ten = compute(**golden.batch, estimator="proxmo").episode_advantages
    np.testing.assert_allclose(ours_of_ten, 10 * ours, rtol=1e-6, atol=1e-6)
    assert largest(of_ten - ours_of_ten) > 0.01


def test_proxmo_weighs_words_by_the_texts_of_the_task_and_its_code_by_those_of_the_batch(
    compute: Compute, golden: Golden
) -> None:
    theirs = golden.family["proxmo__step_soft"]
    returns = golden.family["discounted_return__gamma0.95"].astype(float)
    texts, tasks = golden.batch["states"].tolist(), golden.batch["group_ids"]
    cosines = _tfidf.similarity(texts, [1] * len(texts))  # one vocabulary for all tasks
    expected = np.zeros(len(texts))
    for task in set(tasks):
        rows = np.flatnonzero(tasks == task)
        ones = [1] * len(rows)
        means = _tfidf.soft_means(cosines[np.ix_(rows, rows)], returns[rows], ones, 0.1)
        expected[rows] = returns[rows] - means
    np.testing.assert_allclose(expected, theirs, rtol=0, atol=1e-5)

    ours = compute(**golden.batch, estimator="proxmo").step_advantages
    assert 0.1 < largest(ours - theirs) < 1.0


def test_alone_in_a_group_an_episode_is_worth_nothing_and_not_its_score(compute: Compute) -> None:
    # grpo, dr_grpo, reinforce_pp_baseline and tree_grpo of verl and verl-agent: the raw score.
    alone = {
        "states": ["a"],
        "group_ids": [0],
        "trajectory_ids": [0],
        "success": [True],
        "peer_keys": [0],
    }
    for name in ("grpo", "dr_grpo", "rloo", "opo", "reinforce_pp_baseline", "tree_grpo", "g2po"):
        assert compute(**alone, estimator=name).advantages.tolist() == [0.0]
        assert not math.isnan(compute(**alone, estimator=name).metrics["graphgpo/adv_std"])
