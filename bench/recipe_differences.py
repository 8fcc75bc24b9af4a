"""How far the official recipe's credit is from the equations, on real rollouts.

    python bench/recipe_differences.py

The recipe's numbers are its own outputs in float32, stored in tests/golden; the equations' are the
library's. Deterministic: no seed, no timing, the same on every machine. docs/differences.md shows
the table this prints, and a test compares the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import graphgpo

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden"
ENVIRONMENTS = {
    "TextWorld": "textworld_coin_collector_l105",
    "Sokoban": "sokoban6x6_1box_gym_sokoban",
    "MiniGrid": "minigrid_doorkey5x5",
}


def load(name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A golden file's batch, and all its arrays."""
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    batch = {
        "states": arrays["state__texts"][arrays["state"]],
        "next_states": arrays["next_state__texts"][arrays["next_state"]],
        "group_ids": arrays["group_id"],
        "trajectory_ids": arrays["trajectory_id"],
        "step_ids": arrays["step"],
        "success": arrays["success"],
    }
    return batch, arrays


def has_one_distance(result: graphgpo.StepAdvantages) -> NDArray[np.bool_]:
    """Rows whose state has equally distant targets only: no action was better than another."""
    nearest = np.full(result.state_ids.max() + 1, np.inf)
    farthest = -nearest
    np.minimum.at(nearest, result.state_ids, result.next_distances)
    np.maximum.at(farthest, result.state_ids, result.next_distances)
    is_flat: NDArray[np.bool_] = (nearest == farthest)[result.state_ids]
    return is_flat


def differences(name: str) -> list[str]:
    """The cells of one environment's row."""
    batch, arrays = load(name)
    step_only = graphgpo.compute_advantages(**batch, omega=0.1, episode_weight=0.0)
    recipe = arrays["adv__omega0.1_goal_mean_std_norm_episode0"]
    is_clear = np.abs(step_only.advantages) > 0.3
    is_silenced = is_clear & (np.abs(recipe) < 0.1)

    is_flat = has_one_distance(step_only)
    phantom = np.abs(arrays["adv__omega0.8_goal_mean_std_norm_episode0"][is_flat])

    by_trajectory = graphgpo.compute_advantages(**batch, estimator="grpo").advantages
    by_step = graphgpo.compute_advantages(
        **batch, estimator="grpo", episode_weighting="step"
    ).advantages
    shift = np.abs(by_step - by_trajectory)
    return [
        f"{len(recipe):,}",
        f"{is_silenced.sum():,} of {is_clear.sum():,}",
        f"{(phantom > 1e-6).sum():,} of {is_flat.sum():,}, up to {phantom.max():.3f}",
        f"{shift.max():.2f}, mean {shift.mean():.2f}",
    ]


def table() -> str:
    """All environments as a Markdown table."""
    lines = [
        "| rollouts | steps | silenced | phantoms | episode advantage moved by |",
        "|---|---|---|---|---|",
    ]
    for title, name in ENVIRONMENTS.items():
        lines.append("| " + " | ".join([title, *differences(name)]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
