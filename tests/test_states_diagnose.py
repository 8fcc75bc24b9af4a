"""The diagnosis finds the switch a person would write, and none that merges true differences."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graphgpo
import worlds
from graphgpo.states import diagnose
from graphgpo.states.sample import MAX_STEPS, bounded, read_steps, shares
from graphgpo.states.switches import marked

GOLDEN = Path(__file__).parent / "golden"
SHOPS = [
    ("clock",),
    ("counter",),
    ("session",),
    ("clock", "counter"),
    ("counter", "session"),
    worlds.NOISES,
]


@pytest.mark.parametrize("noises", SHOPS, ids="+".join)
def test_the_shop_gets_the_merge_of_its_normaliser(noises: tuple[str, ...]) -> None:
    assert_mends(worlds.ticket_shop(*noises))


def test_advertisements_go_and_prices_stay() -> None:
    finding = assert_mends(worlds.web_page())
    assert finding.switch == {"ignore": (r"(?m:^)Sponsored: .*",)}


def test_a_shell_keeps_paths_and_exit_codes() -> None:
    finding = assert_mends(worlds.shell())
    assert finding.switch == {"timestamps": True, "ignore": (r"pid \d+",)}


@pytest.mark.parametrize(
    "make",
    [worlds.ticket_shop, worlds.board_game, worlds.numbered_rooms, worlds.trains],
    ids=lambda make: make.__name__,
)
@pytest.mark.parametrize("knows_actions", [True, False], ids=["actions", "no actions"])
def test_nothing_is_proposed_where_all_that_differs_matters(
    make: Callable[[], worlds.World], knows_actions: bool
) -> None:
    columns = make().columns
    if not knows_actions:
        del columns["actions"]
    assert diagnose(**columns) == []


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.npz")))
def test_nothing_is_proposed_for_real_rollouts(name: str) -> None:
    columns = golden(name)
    assert diagnose(**columns) == []
    del columns["actions"]
    assert diagnose(**columns) == []


@pytest.mark.parametrize("name", ["sokoban6x6_1box_gym_sokoban", "textworld_coin_collector_l105"])
def test_noise_before_real_states_is_found_and_nothing_else(name: str) -> None:
    columns = golden(name)
    rows = range(len(columns["states"]))
    steps = np.load(GOLDEN / f"{name}.npz")["step"].tolist()

    def noisy(state: str, row: int, step: int) -> str:
        clock = f"{row * 7 // 3600 % 24:02}:{row * 7 // 60 % 60:02}:{row * 7 % 60:02}"
        return f"[2026-11-28 {clock}] step {step} of 50\n{state}"

    states, next_states = columns["states"], columns["next_states"]
    columns["states"] = [noisy(states[row], row, steps[row]) for row in rows]
    columns["next_states"] = [noisy(next_states[row], row + 1, steps[row] + 1) for row in rows]
    (finding,) = diagnose(**columns)
    assert finding.normaliser is not None
    clean = {text: finding.normaliser(text) for text in columns["states"]}
    groups = columns["group_ids"].tolist()
    found = {(group, clean[text]) for group, text in zip(groups, columns["states"], strict=True)}
    assert len(found) == len(set(zip(groups, states, strict=True)))


def test_a_counter_alone_is_seen_though_states_merge() -> None:
    steps = read_steps(worlds.ticket_shop("counter").columns)
    clean = read_steps(worlds.ticket_shop().columns)
    assert shares(steps).states > 3 * shares(clean).states
    assert shares(steps).revisited_positions == 0
    assert shares(clean).revisited_positions > 0.9


def test_words_say_what_merges_how_many() -> None:
    (finding,) = diagnose(**worlds.ticket_shop("clock", "counter").columns)
    assert re.fullmatch(
        r"a clock \(timestamps=True\) and a counter \(ignore=\[r'step \\d\+'\]\) "
        r"together merge \d+ of 531 lone steps",
        finding.words,
    )
    assert (finding.kind, finding.of) == ("noise", 531)
    assert finding.merges > 0.9 * finding.of
    assert 0.9 < finding.certainty <= 1


def test_the_two_nearest_states_show_what_differs() -> None:
    shop = worlds.ticket_shop("counter")
    (finding,) = diagnose(**shop.columns)
    assert finding.nearest is not None
    for near in finding.nearest:
        assert shop.states[near.row] == near.text
        assert re.search(r"step «\d+»/14", near.marked)


def test_without_actions_less_is_certain() -> None:
    columns = worlds.ticket_shop("clock").columns
    (with_actions,) = diagnose(**columns)
    del columns["actions"]
    (without,) = diagnose(**columns)
    assert without.switch == with_actions.switch
    assert without.certainty < with_actions.certainty


def test_lone_steps_without_a_remedy_are_named() -> None:
    rng = random.Random(2)
    states = ["".join(rng.choices("abcdefgh", k=30)) for _ in range(40)]
    (finding,) = diagnose(states, group_ids=[0] * 40, trajectory_ids=[i // 10 for i in range(40)])
    assert (finding.kind, finding.switch, finding.normaliser) == ("lone", {}, None)
    assert finding.words.startswith("40 of 40 steps are alone in their state, and no switch")
    assert finding.nearest is not None


def test_states_that_are_no_texts_are_counted_and_have_no_switch() -> None:
    boards = np.arange(40).reshape(20, 2)
    (finding,) = diagnose(boards, group_ids=[0] * 20, trajectory_ids=[i // 5 for i in range(20)])
    assert (finding.kind, finding.of, finding.nearest) == ("lone", 20, None)


def test_masked_rows_and_empty_batches_have_nothing_to_say() -> None:
    assert diagnose([], group_ids=[], trajectory_ids=[]) == []
    assert diagnose(["a"], group_ids=[0], trajectory_ids=[0], mask=[False]) == []


def test_step_ids_decide_the_order() -> None:
    ids = {"group_ids": [0] * 3, "trajectory_ids": [0] * 3, "step_ids": [2, 0, 1]}
    steps = read_steps({"states": ["c", "a", "b"], **ids})
    assert [(step.state, step.next_state) for step in steps] == [
        ("a", "b"),
        ("b", "c"),
        ("c", None),
    ]


def test_a_large_batch_costs_what_a_sample_costs() -> None:
    shop = worlds.ticket_shop("clock")
    copies = 10
    columns: dict[str, Any] = {name: list(column) * copies for name, column in shop.columns.items()}
    columns["group_ids"] = [g + 100 * (i // 531) for i, g in enumerate(columns["group_ids"])]
    steps = read_steps(columns)
    sample = bounded(steps)
    assert MAX_STEPS <= len(sample) < MAX_STEPS + 14 < len(steps)
    (finding,) = diagnose(**columns)
    assert finding.words.endswith(f"lone steps, in a sample of {len(sample):,} steps")


def test_marks_stand_around_what_differs() -> None:
    assert marked("abc", "abc") == ("abc«»", "abc«»")
    assert marked("x" * 99 + "1", "x" * 99)[1] == "…" + "x" * 30 + "«»"
    assert marked("", "9" * 500 + "z")[1] == "«" + "9" * 60 + "…" + "9" * 59 + "z»"


def test_columns_are_of_one_length() -> None:
    with pytest.raises(ValueError, match=r"actions has 1 rows and states 2; expected as many"):
        diagnose(["a", "b"], group_ids=[0, 0], trajectory_ids=[0, 0], actions=["x"])


def assert_mends(world: worlds.World) -> Any:
    """The only finding, whose switch merges as the hand-written normaliser does, within 2 %."""
    (finding,) = diagnose(**world.columns)
    assert finding.normaliser is not None
    by_hand = world.num_nodes(world.clean)
    assert abs(world.num_nodes(finding.normaliser) - by_hand) <= 0.02 * by_hand
    return finding


def golden(name: str) -> dict[str, Any]:
    stored = np.load(GOLDEN / f"{name}.npz")

    def texts(column: str) -> list[str]:
        return list(stored[f"{column}__texts"][stored[column]].tolist())

    return {
        "states": texts("state"),
        "next_states": texts("next_state"),
        "actions": texts("action"),
        "group_ids": stored["group_id"],
        "trajectory_ids": stored["trajectory_id"],
    }


def test_rollouts_stand_for_their_columns_and_what_is_taken_out_already() -> None:
    columns = worlds.ticket_shop("clock", "counter").columns
    success = [False] * len(columns["states"])
    (finding,) = diagnose(graphgpo.Rollouts(**columns, success=success))
    assert finding == diagnose(**columns)[0]
    partly = graphgpo.Rollouts(**columns, success=success, normalise=True)
    assert diagnose(partly)[0].switch == {"ignore": (r"step \d+",)}
    mended = graphgpo.Rollouts(**columns, success=success, normalise=finding.normaliser)
    assert diagnose(mended) == []
    with pytest.raises(TypeError, match="trajectory_ids is None; expected a column, or Rollouts"):
        diagnose(columns["states"], group_ids=columns["group_ids"])


def test_a_finding_prints_what_to_write() -> None:
    (finding,) = diagnose(**worlds.ticket_shop("counter").columns)
    words, write, *rows = str(finding).splitlines()
    assert words == finding.words
    assert write == r"  write: normalise={'ignore': [r'step \d+']}"
    assert [row.split(":")[0] for row in rows] == [
        f"  row {near.row}" for near in finding.nearest or ()
    ]
