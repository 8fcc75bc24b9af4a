"""The statistics behind docs/does_it_help.md."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("matplotlib")

import report
from report import Estimate, Finished, Runs


def run(arm: str, seed: int, auc: float) -> Finished:
    return Finished("coin105", arm, seed, {}, {"auc": auc}, {}, 0.0)


RUNS = Runs(
    [run("grpo", seed, 0.5 + 0.01 * seed) for seed in range(8)]
    + [run("graphgpo", seed, 0.6 + 0.01 * seed) for seed in range(1, 10)]
)


def test_arms_are_compared_on_the_seeds_that_all_of_them_have() -> None:
    assert RUNS.shared_seeds("coin105", ["grpo", "graphgpo"]) == list(range(1, 8))
    assert RUNS.shared_seeds("coin105", ["grpo", "gigpo"]) == []
    assert RUNS.settings(["grpo", "graphgpo"]) == ["coin105"]


def test_a_page_wants_more_seeds_than_a_first_look() -> None:
    few = [run("grpo", seed, 0.5) for seed in range(3)]
    assert Runs(few).settings(["grpo"]) == []
    assert Runs(few, fewest_seeds=1).settings(["grpo"]) == ["coin105"]


def test_a_difference_is_taken_seed_by_seed() -> None:
    # Seeds differ by far more than arms do, and the interval does not show it.
    difference = RUNS.difference("coin105", "graphgpo", "grpo", "auc", range(1, 8))
    assert difference.mean == pytest.approx(0.1)
    assert difference.high - difference.low == pytest.approx(0, abs=1e-12)
    assert (difference.above, difference.below) == (7, 0)


def test_an_interval_covers_the_mean_of_most_samples() -> None:
    generator = np.random.default_rng(0)
    samples = [report.estimate(generator.normal(size=16)) for _ in range(200)]
    covered = sum(sample.low < 0 < sample.high for sample in samples) / len(samples)
    assert 0.85 < covered < 0.98  # bootstrap intervals of 16 values are a little narrow


def test_what_is_not_a_number_is_left_out_and_nothing_is_a_dash() -> None:
    assert report.estimate([1.0, math.nan, 3.0]).mean == 2
    nothing = report.estimate([math.nan])
    assert report.interval(nothing, 2) == report.signed(nothing, 2) == "-"


def test_numbers_are_written_as_in_the_tables() -> None:
    values = np.array([0.1, -0.02, 0.07, 0.0])
    assert report.signed(Estimate(0.0375, -0.0125, 0.1, values), 2) == "+.04 [-.01, .10], 2:1"
    assert report.interval(Estimate(10.04, 9.96, 10.1, values), 1) == "10.0 [10.0, 10.1]"
    assert report.label("gigpo") == "GiGPO"
    assert report.label("graphgpo omega=0.5 epsilon_scale=absolute") == (
        "GraphGPO, omega 0.5, epsilon scale absolute"
    )


def test_games_trained_apart_are_one_run_once_all_are_finished() -> None:
    def game(number: int, seed: int, final: float) -> Finished:
        curve = {"success": np.array([0.0, final])}
        return Finished(f"game{number}", "gigpo", seed, curve, {"final": final}, {}, 1.0)

    runs = [game(1, 0, 0.5), game(2, 0, 1.0), game(1, 1, 0.5)]
    [together] = report.games_alone(runs, "games", ["game1", "game2"])
    assert (together.setting, together.arm, together.seed) == ("games", "gigpo games=alone", 0)
    assert together.metrics == {"final": 0.75}
    assert together.curve["success"].tolist() == [0.0, 0.75]


def test_a_study_that_is_not_whole_shows_the_arms_that_were_begun() -> None:
    metrics = {"auc": 0.5, "final": 0.75, "dead_groups": 0.25, "length": 4.0}
    runs = [
        Finished("coin110", arm, seed, {}, metrics, {}, 0.0)
        for arm, seeds in (("grpo", (16, 17)), ("spread", (16,)))
        for seed in seeds
    ]
    table = report.study_table(Runs(runs, fewest_seeds=1), ["grpo", "gigpo", "spread"], ["coin110"])
    numbers = ".500 [.500, .500] | .75 [.75, .75] | .25 [.25, .25] | 4.0 [4.0, 4.0] |"
    assert table.splitlines()[2:] == [
        f"| Coin collector, 10 rooms away, 1 seeds | GRPO | {numbers}",
        f"|  | Spread | {numbers}",
    ]
