"""Laws of the picture, and of what it may hold."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scenes import HOSTILE, hostile, maze, shipped, shipped_graph, walks

import graphgpo
from graphgpo.report import draw
from graphgpo.report.labels import as_text, names, shortened
from graphgpo.report.style import DARK, LIGHT
from graphgpo.report.svg import clean, sign

SVG = "{http://www.w3.org/2000/svg}"


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def with_class(picture: str, name: str) -> list[ElementTree.Element]:
    return [e for e in parsed(picture).iter() if name in e.get("class", "").split()]


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_state_and_every_transition_is_drawn_once() -> None:
    for environment in ("textworld", "sokoban"):
        graph = shipped_graph(environment)
        credit = shipped(environment).advantages("graphgpo")
        picture = draw(graph, credit, group=0)
        own = [i for i, g in enumerate(graph.node_groups) if g == 0]
        pairs = {
            (s, t)
            for s, t in zip(graph.edge_sources.tolist(), graph.edge_targets.tolist(), strict=True)
            if s in own
        }
        assert sorted(map(int, re.findall(r'data-node="(\d+)"', picture))) == list(range(len(own)))
        assert sorted(map(int, re.findall(r'data-edge="(\d+)"', picture))) == list(
            range(len(pairs))
        )


def test_the_same_input_draws_the_same_picture() -> None:
    graph, credit = shipped_graph("minigrid"), shipped("minigrid").advantages("gigpo")
    assert draw(graph, credit, group=1) == draw(graph, credit, group=1)


def test_the_sign_of_a_transition_is_that_of_its_mean_credit() -> None:
    rollouts = walks(2, 12, 5, 20)
    graph = rollouts.graph()
    for value, name in ((1.0, "plus"), (-1.0, "minus"), (0.0, "none"), (1e-7, "none")):
        picture = draw(graph, np.full(len(rollouts), value))
        edges = with_class(picture, "edge")
        assert edges
        assert {e.get("class") for e in edges} == {f"edge {name}"}


def test_unknown_credit_is_none() -> None:
    assert [sign(x) for x in (float("nan"), 0.5, -0.5)] == ["none", "plus", "minus"]


def test_a_picture_needs_nothing_else() -> None:
    picture = draw(shipped_graph("textworld"), group=0)
    assert "var(" not in picture
    assert "url(" not in picture
    assert not re.search(r"(href|src|@import)", picture)
    assert picture.count("http") == 1  # the name space


def test_strangers_text_stays_text() -> None:
    rollouts = hostile()
    picture = draw(rollouts.graph(), rollouts.advantages("grpo"))
    root = parsed(picture)
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        "svg",
        "style",
        "rect",
        "g",
        "text",
        "path",
        "circle",
        "title",
    }
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", picture)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_name_is_one_line_that_turns_nothing_around(text: str) -> None:
    name = shortened(text, 30)
    assert len(name) <= 30
    assert not re.search("[\u202a-\u202e\u2066-\u2069\n\t\x00\x1b]", name)


def test_what_no_xml_may_hold_is_replaced() -> None:
    assert clean("a\x00b\ud800c\ufffed\te") == "a\ufffdb\ufffdc\ufffdd\te"


def test_names_are_distinct_and_as_short_as_asked() -> None:
    found = names(["You see a door."] * 3 + ["You see a window of blue glass"], 12)
    assert found == ["door.", "door. (2)", "door. (3)", "window of b…"]


@pytest.mark.parametrize(
    ("value", "text"),
    [("hall", "hall"), (b"\xff", "\ufffd"), (np.int64(3), "3"), ((1, 2), "(1, 2)")],
)
def test_any_value_has_a_text(value: Any, text: str) -> None:
    assert as_text(value) == text


def test_larger_graphs_are_bounded_and_say_so() -> None:
    picture = draw(maze(641).graph())
    assert picture.count("data-node") == 500
    assert "500 states" in parsed(picture).get("aria-label", "")


def test_a_graph_of_several_tasks_asks_for_one() -> None:
    graph = shipped_graph("textworld")
    with pytest.raises(ValueError, match=r"^the graph has 4 tasks; name one: group=0$"):
        draw(graph)
    with pytest.raises(ValueError, match=r"^group is 9; the graph has 0, 1, 2, 3$"):
        draw(graph, group=9)


def test_credits_are_one_per_row() -> None:
    rollouts = walks(0, 5, 2, 5)
    with pytest.raises(
        ValueError, match=r"^credits has shape \(1,\); expected a number for each of"
    ):
        draw(rollouts.graph(), [0.5])
    with pytest.raises(ValueError, match=r"^theme is 'blue'; expected 'light' or 'dark'$"):
        draw(rollouts.graph(), theme="blue")  # type: ignore[arg-type]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_lines_stand_out_from_their_ground(colours: dict[str, str]) -> None:
    for ground in ("paper", "panel"):
        for text in ("ink", "muted", "plus", "minus"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert contrast(colours["focus"], colours[ground]) >= 3


def test_a_state_may_be_an_array() -> None:
    rollouts = graphgpo.Rollouts(
        np.arange(6).reshape(3, 2), group_ids=[0] * 3, trajectory_ids=[0] * 3, success=[True] * 3
    )
    assert draw(rollouts.graph(), rollouts.advantages("grpo")).count("data-node") == 4


def test_the_figures_of_the_documents_are_what_the_product_draws() -> None:
    images = Path(__file__).resolve().parents[2] / "docs" / "images"
    namespace = runpy.run_path(str(images / "make_report_svg.py"))
    for environment in namespace["FIGURES"]:
        drawn = (images / f"report_{environment}.svg").read_text(encoding="utf-8")
        assert drawn == namespace["figure"](environment)
