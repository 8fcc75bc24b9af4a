"""Real rollouts: the official recipe's numbers where it is right, and exactly 0 where it is not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

import graphgpo
from conftest import Compute, back_end
from goldens import NAMES, Golden, ReadOnce
from graphgpo.estimators.graphgpo import GraphGPO

OUTPUT = re.compile(
    r"adv__omega(?P<omega>[\d.]+)_(?P<exponent>goal|progress)_(?P<norm>mean|mean_std)_norm"
    r"_episode(?P<episode>[01])(?P<penalty>_penalty0\.1)?"
)


@pytest.fixture(scope="module")
def compute(request: pytest.FixtureRequest) -> Compute:
    return ReadOnce() if request.param == "reference" else back_end(request.param)


@pytest.fixture(scope="module", params=NAMES)
def rollouts(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def has_equal_scores(
    result: graphgpo.StepAdvantages, penalties: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Rows whose state has one score, return less penalty, on all its out-edges."""
    states, scores = result.state_ids, result.scores - penalties
    smallest = np.full(states.max() + 1, np.inf)
    largest = np.full(states.max() + 1, -np.inf)
    np.minimum.at(smallest, states, scores)
    np.maximum.at(largest, states, scores)
    is_flat: NDArray[np.bool_] = (smallest == largest)[states]
    return is_flat


def test_the_files_are_there() -> None:
    assert len(NAMES) == 3


def test_distances_are_the_recipes(compute: Compute, rollouts: Golden) -> None:
    result = compute(**rollouts.batch)
    np.testing.assert_array_equal(result.distances, rollouts.columns["distance"])
    np.testing.assert_array_equal(result.next_distances, rollouts.columns["next_distance"])


def test_edge_returns_are_the_recipes(compute: Compute, rollouts: Golden) -> None:
    for name, expected in rollouts.returns.items():
        match = re.fullmatch(r"return__omega([\d.]+)_(goal|progress)", name)
        assert match
        result = compute(
            **rollouts.batch,
            estimator=GraphGPO.recipe(
                omega=float(match[1]), exponent={"goal": "recipe"}.get(match[2], "progress")
            ),
        )
        np.testing.assert_allclose(result.scores, expected, rtol=1e-6)


def test_advantages_are_the_recipes_but_for_its_phantoms(
    compute: Compute, rollouts: Golden
) -> None:
    assert len(rollouts.outputs) == 26
    for name, expected in rollouts.outputs.items():
        match = OUTPUT.fullmatch(name)
        assert match, name
        penalty = 0.1 if match["penalty"] else 0.0
        result = compute(
            **rollouts.batch,
            estimator=GraphGPO.recipe(
                omega=float(match["omega"]),
                exponent={"goal": "recipe"}.get(match["exponent"], "progress"),
                normalization=match["norm"],
                episode_weight=float(match["episode"]),
                invalid_action_penalty=penalty,
            ),
        )
        is_flat = has_equal_scores(result, penalty * ~rollouts.batch["action_valid"])
        assert is_flat.any()
        assert not is_flat.all()
        np.testing.assert_array_equal(result.step_advantages[is_flat], 0, err_msg=name)
        # Its mean of equal returns may be an ulp off: nothing, until it is divided by epsilon.
        is_right = ~is_flat | (match["norm"] == "mean")
        # float32 loses digits when 0.1 is taken from tiny returns.
        tolerance = 1e-4 if penalty else 2e-6
        np.testing.assert_allclose(
            result.advantages[is_right], expected[is_right], rtol=0, atol=tolerance, err_msg=name
        )


def test_scale_free_credit_reaches_rows_the_recipe_silences() -> None:
    rollouts = Golden(NAMES[0])  # MiniGrid: far from the goal
    scale_free = graphgpo.compute_advantages(**rollouts.batch, episode_weight=0.0)
    recipe = rollouts.outputs["adv__omega0.1_goal_mean_std_norm_episode0"]
    is_clear = np.abs(scale_free.advantages) > 0.3
    is_silenced = is_clear & (np.abs(recipe) < 0.1)
    assert is_silenced.sum() > 0.5 * is_clear.sum()


def test_keys_instead_of_texts_change_nothing(rollouts: Golden) -> None:
    expected = graphgpo.compute_advantages(**rollouts.batch)
    keys = {
        **rollouts.batch,
        "states": graphgpo.state_keys(rollouts.batch["states"]),
        "next_states": graphgpo.state_keys(rollouts.batch["next_states"].tolist()),
    }
    result = graphgpo.compute_advantages(**keys)
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    np.testing.assert_array_equal(result.state_ids, expected.state_ids)
