"""The study of a transformer that TRL trains: its game, its runs, its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="trl is not installed: pip install 'graphgpo[trl]'")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")

import trl_rooms
import trl_study
from trl_rooms import FEWEST_MOVES, GROUP, MAX_STEPS, MOVES, WORDS, house_of

pytestmark = pytest.mark.filterwarnings("ignore")  # of TRL and its dependencies

PAGE = "".join(
    f"<!-- {name} -->\n<!-- end of {name} -->\n" for name in ("trl origin", "trl", "trl paired")
)


# ---- the game -------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_only_moves_move_and_never_out_of_the_house(seed: int) -> None:
    house = house_of(seed)
    for room in house.rooms:
        (x, y), reached = house.place(room), {word: house.walk(room, word) for word in WORDS}
        assert {reached[word] for word in WORDS if word not in MOVES} == {room}
        for word, (dx, dy) in MOVES.items():
            there = (x + dx, y + dy)
            is_inside = all(0 <= at < trl_rooms.SIDE for at in there)
            assert house.place(reached[word]) == (there if is_inside else (x, y))


@pytest.mark.parametrize("seed", range(16, 32))
def test_every_start_can_be_won_and_none_at_once(seed: int) -> None:
    house = house_of(seed)
    assert sorted(house.rooms) == sorted(trl_rooms.ROOMS)
    for start in house.starts:
        distance, rooms = 0, {start}
        while house.goal not in rooms:
            rooms |= {house.walk(room, word) for room in rooms for word in MOVES}
            distance += 1
        assert FEWEST_MOVES <= distance == house.moves_to_goal(start) <= MAX_STEPS


def test_a_house_is_its_seed_s() -> None:
    houses = [house_of(seed) for seed in range(32)]
    assert houses == [house_of(seed) for seed in range(32)]
    assert len({house.rooms for house in houses}) == 32
    assert len({house.rooms.index(house.goal) for house in houses}) > 8


def test_most_groups_are_dead_before_training_and_some_are_not() -> None:
    batches = [trl_rooms.untrained(seed, batches=2) for seed in range(4)]
    assert 0.7 < np.mean([batch["dead_groups"] for batch in batches]) < 0.95
    assert 0 < np.mean([batch["success"] for batch in batches]) < 0.05


def test_rollouts_end_at_the_goal_and_say_which_tokens_the_policy_wrote() -> None:
    player = trl_rooms.player_of(2)
    starts = [start for start in player.house.starts for _ in range(GROUP)]
    played = player.play(starts, trl_rooms.random_policy(2))
    won = 0
    for start, completion, mask, fields in zip(
        starts, played["completion_ids"], played["env_mask"], played["graphgpo"], strict=True
    ):
        words, rooms = completion[::2], [WORDS[number] for number in completion[1::2]]
        assert len(mask) == len(completion) <= 2 * MAX_STEPS
        assert mask == [1, 0] * len(words)
        assert fields["states"] == [start, *rooms[:-1]]
        assert fields["next_states"] == rooms
        for before, number, after in zip(fields["states"], words, rooms, strict=True):
            assert player.house.walk(before, WORDS[number]) == after
        assert fields["success"] == (rooms[-1] == player.house.goal)
        assert player.house.goal not in rooms[:-1]
        won += fields["success"]
    assert player.curve[0]["success"] == won / len(starts)


# ---- runs -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two updates of every arm."""
    folder = tmp_path_factory.mktemp("runs")
    assert trl_study.run_all([2], folder, processes=1, updates=2) == len(trl_study.ARMS)
    return folder


def curves(folder: Path) -> list[list[dict[str, float]]]:
    files = [trl_study.file_of(folder, arm, 2) for arm in trl_study.ARMS]
    return [json.loads(file.read_text())["curve"] for file in files]


def test_every_arm_trains_from_the_same_rollouts(folder: Path) -> None:
    found = curves(folder)
    assert {len(curve) for curve in found} == {2}
    assert len({json.dumps(curve[0]) for curve in found}) == 1
    assert found[0][0]["success"] > 0  # or no arm has anything to learn from


def test_what_is_finished_is_not_run_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[Any, ...]] = []

    def train(*given: Any) -> list[dict[str, float]]:
        trained.append(given)
        return [{"success": 0.5, "dead_groups": 0.5}]

    monkeypatch.setattr(trl_rooms, "train", train)
    before = curves(folder)
    assert trl_study.run_all([2], folder, processes=1, updates=2) == 0
    assert trained == []
    assert curves(folder) == before
    assert trl_study.run_all([3], tmp_path, processes=1, updates=2) == len(trl_study.ARMS)
    trl_study.file_of(tmp_path, trl_study.ARMS[4], 3).unlink()
    trained.clear()
    assert trl_study.run_all([3], tmp_path, processes=1, updates=7) == 1
    assert trained == [({"estimator": "spread"}, True, 3, 7)]


# ---- the report -----------------------------------------------------------------------------


def fake(folder: Path, arm: int, seed: int, success: Callable[[int], float]) -> None:
    """Twenty updates of which the first three have no group with a success."""
    trained = trl_study.ARMS[arm]
    result = {
        **{"arm": trained.name, "seed": seed, "commit": "abc1234", "machine": "1 core of wood"},
        **{"trl": "1", "transformers": "2", "torch": "3"},
        "curve": [
            {"success": success(update), "dead_groups": float(update < 3)} for update in range(20)
        ],
    }
    file = trl_study.file_of(folder, trained, seed)
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(result))


def test_the_report_says_what_the_runs_were(tmp_path: Path) -> None:
    page, results, runs = tmp_path / "page.md", tmp_path / "runs.csv", tmp_path / "runs"
    page.write_text(PAGE)
    runs.mkdir()
    fake(runs, arm=0, seed=16, success=lambda update: 0.25)
    fake(runs, arm=1, seed=16, success=lambda update: 0.5 if update < 18 else 1.0)
    trl_study.write_report(runs, results, page)
    text = page.read_text()
    assert "| GRPO | .250 [.250, .250] | .25 [.25, .25] | .60 [.60, .60] | - (0) |" in text
    assert "| GraphGPO | .550 [.550, .550] | 1.00 [1.00, 1.00] | .60 [.60, .60] | 19 (1) |" in text
    difference = "+.300 [.300, .300], 1:0 | +.75 [.75, .75], 1:0 | .00 [.00, .00], 0:0"
    assert f"| GraphGPO *minus* GRPO | {difference} |" in text
    assert "2 of the 96 runs" in text
    assert "2 with commit abc1234" in text
    assert "1 core of wood. Before training 100 % of the groups are dead." in text
    assert results.read_text().splitlines()[1].startswith("graphgpo,16,0.55,1,0.6,19,1,abc1234,")


def test_the_csv_file_is_enough_for_the_tables(tmp_path: Path) -> None:
    page, results, runs = tmp_path / "page.md", tmp_path / "runs.csv", tmp_path / "runs"
    page.write_text(PAGE)
    runs.mkdir()
    for seed in (16, 17):
        fake(runs, arm=1, seed=seed, success=lambda update: 0.05 * update)
        fake(runs, arm=2, seed=seed, success=lambda update: 0.04 * update)
    trl_study.write_report(runs, results, page)
    text, rows = page.read_text(), results.read_text()
    trl_study.write_report(tmp_path / "nowhere", results, page)
    assert page.read_text() == text
    assert results.read_text() == rows
    assert "0:2" in text  # spread below GraphGPO in both seeds


def test_the_page_shows_the_table_of_the_runs_on_record(tmp_path: Path) -> None:
    page = tmp_path / "spread.md"
    page.write_text(trl_study.PAGE.read_text("utf-8"), "utf-8")
    trl_study.write_report(tmp_path / "nowhere", page=page)
    assert page.read_text("utf-8") == trl_study.PAGE.read_text("utf-8")
