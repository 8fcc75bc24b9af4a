"""Noise, hopeless games and games of chance, on a corridor and on gymnasium's lake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from test_ppo import CORRIDORS, Corridor, CorridorTask

import experiments
import graphgpo
import harder
import ppo
import rivals
import settings


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHGPO_EXAMPLES_CACHE", str(tmp_path))


def shown(game: ppo.Environment, actions: str) -> list[str]:
    """States, from the start on; w is "wait", + "go on", - "go back"."""
    names = {"w": "wait", "+": "go on", "-": "go back"}
    return [game.reset().state, *(game.step(names[action]).state for action in actions)]


def test_noise_follows_what_changed_nothing_and_nothing_else() -> None:
    noisy = harder.NoisyTask(CorridorTask(4), texts=None, max_steps=8)
    states = shown(noisy.open_seeded((16, 0)), "w+w-")
    plain = [state.partition(harder.NOISE)[0] for state in states]
    assert plain == shown(Corridor(4), "w+w-")
    assert [harder.NOISE in state for state in states] == [False, True, False, True, False]
    assert shown(noisy.open_seeded((16, 1)), "w")[1] != states[1]


def test_noise_of_few_texts_comes_again() -> None:
    game = harder.NoisyTask(CorridorTask(4), texts=3, max_steps=8).open_seeded((16, 0))
    assert len(set(shown(game, "w" * 40))) == 1 + 3


def test_a_policy_reads_noise_only_where_it_is_to() -> None:
    state = f"room 1 of 4{harder.NOISE}7"
    for read, words in (
        (True, ["room", "1", "of", "4", "noise", "7"]),
        (False, ["room", "1", "of", "4"]),
    ):
        problem = harder.noisy(CORRIDORS, 12, read=read, max_steps=8)
        assert problem.state_words(state) == words


def test_a_hopeless_game_is_never_won_and_otherwise_the_same() -> None:
    game = harder.HopelessTask(CorridorTask(2)).open()
    assert shown(game, "+++-+") == [f"room {i} of 2" for i in (0, 1, 1, 1, 0, 1)]
    assert ppo.cached_transitions(
        harder.HopelessTask(CorridorTask(2)), 8
    ).shortest_solution() == float("inf")
    problem = harder.hopeless(CORRIDORS, 1)
    assert [task.name for task in problem.tasks] == ["corridor4", "corridor6_hopeless"]


def test_rollouts_of_a_task_of_chance_draw_for_themselves_and_again_the_same() -> None:
    problem = harder.noisy(CORRIDORS, None, read=True, max_steps=8)
    runs = [
        ppo.Run(problem, ppo.Options(seed=seed, group_size=2, max_steps=8)) for seed in (1, 1, 2)
    ]
    for run in runs:
        ppo.train(run, 2, cache=True)
    first, again, other = (str(run.curve) for run in runs)  # a text: NaN equals itself
    assert first == again != other


def test_frozen_lake_is_gymnasiums() -> None:
    pytest.importorskip("gymnasium")
    import train_frozenlake

    lake = train_frozenlake.LakeTask(1).open()  # SFFFFH HHFFFF HFHFFF FFFFFF FFFFFF HFHFFG
    start = lake.reset()
    assert start.state.split("\n")[0] == "P____O"
    assert lake.step("down") == ppo.Scene(
        start.state.replace("P", "_").replace("\nOO", "\nPO"), (), False
    )
    lake.reset()
    steps = ["right"] * 3 + ["down"] * 4 + ["right"] * 2 + ["down"]
    assert [lake.step(action).won for action in steps] == [False] * 9 + [True]
    assert train_frozenlake.lake_words("P_\nOG") == ["P0.0", "G1.1", "O1.0", "_0.1"]


def test_a_slippery_lake_draws_from_its_seed() -> None:
    pytest.importorskip("gymnasium")
    import train_frozenlake

    def walk(seed: tuple[int, ...]) -> list[str]:
        lake = train_frozenlake.SlipperyLakeTask(1, slip=0.5).open_seeded(seed)
        states = []
        for _ in range(8):
            states.append(lake.reset().state)
            states.append(lake.step("right").state)
        return states

    assert walk((16, 0)) == walk((16, 0)) != walk((16, 1))


def test_a_virtual_best_sample_makes_failures_equally_bad() -> None:
    columns: dict[str, Any] = {
        "states": ["a"] * 5,
        "group_ids": [0, 0, 0, 1, 1],
        "trajectory_ids": [0, 0, 1, 0, 1],
        "success": [False, True, False, False, False],
    }
    credit = graphgpo.Rollouts(**columns).advantages(rivals.NGRPO()).advantages
    # Outcomes 1, 0 and a virtual 1: mean 2/3, std 1/sqrt(3); 0, 0 and a virtual 1: mean 1/3.
    assert credit == pytest.approx(np.sqrt(3) * np.array([1, 1, -2, -1, -1]) / 3, rel=1e-5)


def test_every_experiment_names_settings_and_arms_that_exist() -> None:
    for experiment in experiments.ATTACKS.values():
        for each in experiment.arms:
            options = {name: value for name, value in each.options if name.startswith("spread_")}
            ppo.Options(estimator=each.estimator, estimator_options=options).credit()
    with pytest.raises(ValueError, match="no setting coin110_dark"):
        settings.setting("coin110_dark", 0)
    with pytest.raises(ppo.Stop, match="no_such_module"):
        ppo.Options(estimator="no_such_module:Mine").credit()
