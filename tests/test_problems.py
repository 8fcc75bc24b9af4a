"""What the library says of wrong states: what it saw, what mends it, and that it mends it."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphgpo
import worlds
from graphgpo import problems
from graphgpo.problems.pages import PAGES, page
from graphgpo.problems.problem import Problem, Problems

Columns = dict[str, Any]


def shop(*noises: str) -> Columns:
    return worlds.with_success(worlds.ticket_shop(*noises), lambda state: "Paid" in state)


def page_of_a_shop() -> Columns:
    return worlds.with_success(worlds.web_page(), lambda state: "within the budget" in state)


def shell() -> Columns:
    return worlds.with_success(worlds.shell(), lambda state: "job running" in state)


def credit(given: Columns, **options: Any) -> graphgpo.StepAdvantages:
    return graphgpo.compute_advantages(**given, **options)


NOISY: dict[str, tuple[Columns, Callable[[str], str]]] = {
    "counter": (shop("counter"), worlds.ticket_shop().clean),
    "clock and counter": (shop("clock", "counter"), worlds.ticket_shop().clean),
    "all noises": (shop(*worlds.NOISES), worlds.ticket_shop().clean),
    "web page": (page_of_a_shop(), worlds.web_page().clean),
    "shell": (shell(), worlds.shell().clean),
}


@pytest.mark.parametrize("name", NOISY)
def test_the_remedy_gives_the_credit_of_a_normaliser_written_by_hand(name: str) -> None:
    given, clean = NOISY[name]
    said = credit(given).problems().named("noise")
    mended = credit(given, **said.switch).metrics
    by_hand = {**given, "states": [*map(clean, given["states"])]}
    by_hand["next_states"] = [*map(clean, given["next_states"])]
    wanted = credit(by_hand).metrics
    for metric in ("num_states", "zero_advantage_share"):
        got, best = mended[f"graphgpo/{metric}"], wanted[f"graphgpo/{metric}"]
        assert got == pytest.approx(best, rel=0.02), metric
    ambiguous = "graphgpo/ambiguous_actions"
    assert mended[ambiguous] == pytest.approx(wanted[ambiguous])


def test_a_step_counter_alone_sets_off_an_alarm() -> None:
    result = credit(shop("counter"))
    assert result.metrics["graphgpo/inert"] == 0
    assert result.metrics["graphgpo/revisited_positions"] == 0
    assert result.problems().names == ["noise", "one position"]
    noise = result.problems().named("noise")
    assert noise.remedy == r"normalise={'ignore': [r'step \d+']}"
    assert "a counter" in noise.words
    assert noise.nearest is not None
    assert all("step «" in near.marked for near in noise.nearest)


def test_no_problem_hides_another() -> None:
    given = shop("clock", "counter") | {"success": [False] * 531}
    found = credit(given, estimator="gigpo", invalid_action_penalty=0.5).problems()
    assert {"noise", "no success", "no flags"} <= {*found.names}
    certainties = [problem.certainty for problem in found]
    assert certainties == sorted(certainties, reverse=True)


RIGHT: dict[str, Columns] = {
    "ticket shop": shop(),
    "board game": worlds.with_success(worlds.board_game(), lambda state: "keys: 2" in state),
    "rooms": worlds.with_success(worlds.numbered_rooms(), lambda state: "room 4" in state),
    "trains": worlds.with_success(worlds.trains(), lambda state: "Bern" in state),
}


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_said_of_states_that_are_right(name: str) -> None:
    found = credit(RIGHT[name]).problems()
    # In a small world many end where they began, and which train stands there is chance.
    assert {*found.names} <= {"ends at a start", "several outcomes"}
    assert ("several outcomes" in found.names) == (name == "trains")


@pytest.mark.parametrize(
    ("name", "options", "remedy"),
    [
        ("trains", {"normalise": {"numbers": True}}, "normalise=True"),
        ("rooms", {"normalise": {"numbers": True, "urls": True}}, "normalise={'urls': True}"),
        ("rooms", {"normalise": {"ignore": [r"room \d"]}}, "normalise=True"),
        ("trains", {"similar": 0.9}, "similar=None"),
        ("trains", {"similar": 0.9, "normalise": {"ignore": [r"Platform \d"]}}, "similar=None"),
        ("board game", {"similar": 0.9}, "similar=None"),
    ],
)
def test_states_merged_by_mistake_are_told_with_what_did_it(
    name: str, options: Columns, remedy: str
) -> None:
    mistake = credit(RIGHT[name], **options).problems().named("merged differences")
    assert mistake.remedy == remedy
    assert mistake.certainty >= 0.5
    assert mistake.nearest is not None
    a, b = mistake.nearest
    assert a.text != b.text
    repaired = credit(RIGHT[name], **{**options, **mistake.switch})
    assert "merged differences" not in repaired.problems().names


MAZE: Columns = {
    "states": ["hall", "corridor", "bath", "corridor"],
    "next_states": ["corridor", "garden", "corridor", "cellar"],
    "actions": ["walk"] * 4,
    "group_ids": [0] * 4,
    "trajectory_ids": [0, 0, 1, 1],
    "success": [False] * 4,
}


def test_a_hidden_part_of_the_state_is_told_from_chance() -> None:
    hidden = credit(MAZE).problems().named("several outcomes")
    assert hidden.switch == {"node_history": 2}
    assert "100% of the actions that were taken more than once" in hidden.words
    assert "of the last 2 states it is 0%" in hidden.words
    assert "several outcomes" not in credit(MAZE, **hidden.switch).problems().names
    chance = MAZE | {"states": ["hall", "corridor"] * 2}
    told = credit(chance).problems().named("several outcomes")
    assert (told.switch, told.certainty) == ({}, 0.4)


def test_what_is_switched_on_stays_on_in_a_remedy() -> None:
    result = credit(shop("clock", "counter"), normalise={"urls": True, "timestamps": True})
    assert result.problems().named("noise").switch == {
        "normalise": {"urls": True, "ignore": (r"step \d+",)}
    }


# ---- in a plain loop -----------------------------------------------------------------------------


@pytest.mark.usefixtures("fresh_process")
def test_a_plain_loop_is_warned_once_that_credit_is_lost() -> None:
    given = shop("counter")
    with pytest.warns(graphgpo.LostCreditWarning, match=r"write: normalise=\{'ignore'") as said:
        credit(given)
    assert len(said) == 1
    assert said[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        credit(given)


@pytest.mark.usefixtures("fresh_process")
def test_the_warning_can_be_turned_off_and_comes_of_nothing_small_or_right() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        credit({name: column[:60] for name, column in shop("counter").items()})
        for given in RIGHT.values():
            credit(given)
        credit(shop("clock"), estimator="grpo")
        repr(graphgpo.Rollouts(**shop("counter")))
        warnings.filterwarnings("ignore", category=graphgpo.LostCreditWarning)
        credit(shop("counter"))


# ---- how it is told ------------------------------------------------------------------------------


def test_problems_print_readably() -> None:
    text = credit(shop("counter")).problems().text()
    first, *rest = text.splitlines()
    assert first.startswith("noise (")
    assert r"  write: normalise={'ignore': [r'step \d+']}" in rest
    assert "  more: python -m graphgpo.problems noise" in rest
    assert str(credit(shop()).problems()) == "no problems found"


def test_the_link_works_where_only_the_package_is_installed() -> None:
    for problem in credit(shop("counter")).problems():
        _, *command = problem.link.split()
        run = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=True)
        assert run.stdout.startswith(problem.name)


def test_a_name_nobody_knows_is_refused_with_those_that_are_known() -> None:
    command = [sys.executable, "-m", "graphgpo.problems", "noize"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "no problem is called 'noize'; expected one of noise, one-position" in run.stderr
    with pytest.raises(KeyError, match="no problem is called 'noize'"):
        page("noize")


def test_every_problem_has_a_page() -> None:
    from pathlib import Path

    found = set()
    for file in Path(problems.__file__).parent.glob("*.py"):
        for line in file.read_text("utf-8").splitlines():
            name = line.strip().removeprefix('name="')
            if name != line.strip():
                found.add(name.rstrip('",'))
    assert found == set(PAGES)


def test_the_most_certain_comes_first() -> None:
    made = Problems(Problem(name=str(c), words="", certainty=c) for c in (0.2, 0.9, 0.5))
    assert made.names == ["0.9", "0.5", "0.2"]


def test_a_result_is_one_line_and_counts_its_problems() -> None:
    wrong = credit(shop("counter"))
    assert repr(wrong) == (
        "StepAdvantages(531 steps, 48 rollouts, 6 groups; 29% of the steps with credit, "
        "merge_ratio 0.31; 1 problem, see problems())"
    )
    assert "problem" not in repr(credit(shop()))
    html = wrong._repr_html_()
    assert "531 steps" in html
    assert len(html) < 300


def test_a_result_travels_without_its_batch() -> None:
    result = credit(shop())
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(copy.advantages, result.advantages)
    assert copy.metrics == result.metrics
    assert copy.problems() == ()
