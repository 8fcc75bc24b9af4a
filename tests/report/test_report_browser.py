"""The page in a real browser: Chromium without a head, by Playwright.

Skipped where one of the two is missing: `apt-get install chromium`, `pip install playwright`.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from scenes import HOSTILE, hostile, maze, shipped

import graphgpo
from graphgpo.demo import ENVIRONMENTS
from graphgpo.report import draw, figures, page
from graphgpo.report.style import DARK, LIGHT

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, figures.BROWSERS)), None)
if CHROMIUM is None:
    pytest.skip("no Chromium on PATH", allow_module_level=True)

SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass
class Shown:
    """A page that is open, and what it asked for and said."""

    page: Any
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    session: Any = None

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())

    def focus(self) -> dict[str, Any]:
        """The element that has the focus: tag, id, its name in words, its node or step."""
        return dict(
            self.page.evaluate(
                """() => { const e = document.activeElement; return {
                    tag: e.tagName.toLowerCase(), id: e.id, label: e.getAttribute("aria-label"),
                    node: e.dataset.node ?? null, step: e.dataset.step ?? null }; }"""
            )
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as engine:
        running = engine.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield running
        running.close()


Open = Callable[..., Shown]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        def open_page(text: str, *, is_counted: bool = False, **options: Any) -> Shown:
            path = tmp_path / "report.html"
            path.write_text(text, encoding="utf-8")
            context = browser.new_context(**{"viewport": {"width": 1440, "height": 900}, **options})
            stack.callback(context.close)
            shown = Shown(context.new_page())
            shown.page.on("request", lambda request: shown.requests.append(request.url))
            shown.page.on("console", lambda message: shown.said.append(message.text))
            shown.page.on("pageerror", lambda error: shown.said.append(str(error)))
            if is_counted:
                shown.session = context.new_cdp_session(shown.page)
                shown.session.send("Performance.enable", {"timeDomain": "threadTicks"})
            shown.page.goto(path.as_uri())
            if options.get("java_script_enabled", True):
                shown.page.wait_for_selector("html[data-ready=yes]", timeout=20_000)
            return shown

        yield open_page


@pytest.fixture(scope="module")
def textworld() -> str:
    return page(shipped("textworld"), label=ENVIRONMENTS["textworld"].state_label)


def check_silent(shown: Shown) -> None:
    assert shown.said == []
    assert [url for url in shown.requests if not url.startswith("data:")] == [shown.page.url]


def test_every_task_opens_without_a_request_and_without_an_error(
    opened: Open, textworld: str
) -> None:
    shown = opened(textworld)
    tasks = shown.page.locator("#picker button")
    for i in range(tasks.count()):
        tasks.nth(i).click()
        assert tasks.nth(i).get_attribute("aria-current") == "true"
        assert shown.page.locator("#canvas .node").count() > 5
        assert shown.page.locator("#steps tbody tr").count() > 5
        assert shown.text("#why h3").startswith("Step ")
    check_silent(shown)


def test_the_policy_lets_no_other_script_run(opened: Open, textworld: str) -> None:
    shown = opened(textworld.replace("</body>", "<script>document.title='owned'</script></body>"))
    assert shown.page.title() == "Rollouts"
    assert any("Content Security Policy" in text for text in shown.said)


def test_strangers_text_is_shown_and_does_nothing(opened: Open) -> None:
    shown = opened(page(hostile(), title=HOSTILE[0]))
    assert shown.page.title() == HOSTILE[0]
    for i in range(shown.page.locator("#canvas .node").count()):
        shown.page.locator("#canvas .node").nth(i).dispatch_event("click")
    shown.page.locator("#steps tbody tr").nth(1).click()
    assert "</script>" in shown.page.locator("body").inner_text()
    assert shown.page.locator("img, #canvas script, #why script, #why b b").count() == 0
    assert shown.page.title() == HOSTILE[0]
    check_silent(shown)


def test_text_that_runs_the_other_way_stays_in_its_cell(opened: Open) -> None:
    rollouts = graphgpo.Rollouts(
        ["\u202eabc", "\u05e9\u05dc\u05d5\u05dd"],
        group_ids=[0, 0],
        trajectory_ids=[0, 1],
        success=[True, False],
        actions=["\u202e1 2 3", "\u05d0"],
    )
    shown = opened(page(rollouts, ["grpo"]))
    for cell in ("action", "state"):
        assert shown.page.locator(f"#steps td.{cell} > bdi").count() == 1
    assert shown.text("#steps td.action") == "1 2 3"
    assert shown.page.locator("#why pre").first.get_attribute("dir") == "auto"


def test_the_graph_is_walked_by_keys_along_transitions(opened: Open, textworld: str) -> None:
    shown = opened(textworld)
    nodes = shown.page.locator("#canvas .node")
    assert shown.page.locator("#canvas .node[tabindex='0']").count() == 1
    shown.page.locator("#canvas .node[tabindex='0']").focus()
    assert ", a start," in str(shown.focus()["label"])
    way = [shown.focus()["label"]]
    for _ in range(12):
        shown.page.keyboard.press("ArrowRight")
        if shown.focus()["label"] == way[-1]:
            break
        way.append(shown.focus()["label"])
    assert str(way[-1]).startswith("Goal, reached by")
    assert len(way) == 6  # one step nearer each
    shown.page.keyboard.press("ArrowLeft")
    assert "1 step from the goal" in str(shown.focus()["label"])
    shown.page.keyboard.press("Home")
    assert shown.focus()["label"] == way[0]
    shown.page.keyboard.press("Enter")
    assert shown.text("#why h3") == "Studio"
    assert "What was done here" in shown.text("#why")
    assert shown.text("#status").startswith("Studio: 5 steps from the goal, a start")
    shown.page.keyboard.press("End")
    assert shown.focus()["label"] == way[-1]
    assert nodes.count() == 11
    check_silent(shown)


def test_everything_is_reached_by_tab(opened: Open, textworld: str) -> None:
    shown = opened(textworld)
    seen = []
    for _ in range(60):
        shown.page.keyboard.press("Tab")
        focus = shown.focus()
        seen.append(focus["tag"] if focus["id"] == "" else focus["id"])
        if focus["step"] is not None:
            break
    kinds = list(dict.fromkeys(seen))
    assert kinds[0] == "a"  # skips to the tasks
    assert "button" in kinds
    assert "input" in kinds  # whose credit, and which part
    assert "least" in kinds
    assert "g" in kinds  # the graph, once
    assert seen.count("g") == 1
    assert kinds[-1] == "tr"


def test_steps_are_walked_by_keys_and_say_why(opened: Open, textworld: str) -> None:
    shown = opened(textworld)
    shown.page.locator("#steps tr[tabindex='0']").focus()
    first = int(str(shown.focus()["step"]))
    shown.page.keyboard.press("ArrowDown")
    assert int(str(shown.focus()["step"])) == first + 1
    shown.page.keyboard.press("End")
    shown.page.keyboard.press("Home")
    assert shown.text("#why h3").startswith("Step 0 of rollout")
    assert re.search(r"grpo \S+, gigpo \S+, graphgpo \S+", shown.text("#status"))
    shown.page.keyboard.press("Enter")
    assert shown.focus()["id"] == "why"
    for name in ("grpo", "gigpo", "graphgpo"):
        assert name in shown.text("#why")
    assert "among 8 rollouts of the task" in shown.text("#why")


def test_a_peer_leads_to_its_step(opened: Open, textworld: str) -> None:
    shown = opened(textworld)
    shown.page.locator("#why details summary", has_text="peers").first.click()
    link = shown.page.locator("#why details[open] button.link").last
    rollout, step = re.match(r"(\d+), step (\d+)", link.inner_text()).groups()  # type: ignore[union-attr]
    link.click()
    assert shown.text("#why h3") == f"Step {step} of rollout {rollout}"


def test_the_slider_hides_rare_paths_and_says_how_many(opened: Open, textworld: str) -> None:
    shown = opened(textworld)
    visible = "#canvas .edge:not(.rare)"
    before = shown.page.locator(visible).count()
    assert shown.text("#least-words") == "all: 11 states, 27 transitions"
    shown.page.locator("#least").focus()
    shown.page.keyboard.press("ArrowRight")
    shown.page.keyboard.press("ArrowRight")
    after = shown.page.locator(visible).count()
    assert after < before
    assert f"{after} transitions" in shown.text("#least-words")
    assert shown.page.locator("#least").get_attribute("aria-valuetext") == shown.text(
        "#least-words"
    )
    assert shown.page.locator("#canvas .node.goal.rare, #canvas .node.start.rare").count() == 0


def test_colours_follow_the_estimator_and_the_part(opened: Open, textworld: str) -> None:
    shown = opened(textworld)

    def counts() -> tuple[int, int, int]:
        plus, minus, none = (
            shown.page.locator(f"#canvas .edge.{kind}").count()
            for kind in ("plus", "minus", "none")
        )
        return plus, minus, none

    first = counts()
    shown.page.locator("input[value=grpo]").check()
    assert counts() != first
    shown.page.locator("input[name=part][value=step]").check()
    assert counts()[:2] == (0, 0)  # grpo has no step part


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_those_of_the_readers_scheme(opened: Open, textworld: str, scheme: str) -> None:
    shown = opened(textworld, color_scheme=scheme)
    colours = DARK if scheme == "dark" else LIGHT

    def rgb(colour: str) -> str:
        return f"rgb({', '.join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))})"

    style = (
        "(e) => { const s = getComputedStyle(e); return [s.backgroundColor, s.color, s.stroke]; }"
    )
    assert shown.page.locator("body").evaluate(style)[:2] == [
        rgb(colours["paper"]),
        rgb(colours["ink"]),
    ]
    edge = shown.page.locator("#canvas .edge.minus path.way").first
    assert edge.evaluate(style)[2] == rgb(colours["minus"])
    assert edge.evaluate("(e) => getComputedStyle(e).strokeDasharray") != "none"


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window(opened: Open, textworld: str, width: int) -> None:
    shown = opened(textworld, viewport={"width": width, "height": 800})
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= width


def test_print_is_on_light_paper_and_without_controls(opened: Open, textworld: str) -> None:
    shown = opened(textworld, color_scheme="dark")
    shown.page.emulate_media(media="print")
    background = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    for control in ("#picker", ".bar", "#rollouts", ".skip"):
        assert not shown.page.locator(control).first.is_visible()
    assert shown.page.locator("#canvas svg").is_visible()
    assert shown.page.pdf().startswith(b"%PDF")


def test_everything_that_acts_has_a_name(opened: Open, textworld: str) -> None:
    shown = opened(textworld)
    nameless = shown.page.evaluate(
        """() => [...document.querySelectorAll("button, input, [role=button], table, svg[role]")]
            .filter((e) => !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")
                || e.textContent.trim() || (e.labels && e.labels.length)
                || e.matches("table:has(th)"))).map((e) => e.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    ids = shown.page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len({*ids})


def test_without_scripts_the_page_says_so(opened: Open, textworld: str) -> None:
    shown = opened(textworld, java_script_enabled=False)
    assert "need JavaScript" in shown.page.locator("noscript").first.inner_text()
    assert "To know first" in shown.page.locator("body").inner_text()


def test_641_states_are_ready_in_a_second_and_a_half(opened: Open) -> None:
    text = page(maze(641))
    assert "The 500 most visited of 642 states are drawn." in text
    assert min(_busy_until_ready(opened(text, is_counted=True)) for _ in range(2)) < 1.5


def _busy_until_ready(shown: Shown) -> float:
    """Seconds of its own that the page's thread has worked, whatever else the machine does."""
    metrics = shown.session.send("Performance.getMetrics")["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))


def test_a_figure_becomes_a_png_of_twice_its_size(tmp_path: Path) -> None:
    assert CHROMIUM is not None
    picture = draw(shipped("textworld").graph(), group=0)
    path = tmp_path / "figure.svg"
    path.write_text(picture, encoding="utf-8")
    png = figures.to_png(path, picture, CHROMIUM).read_bytes()
    assert png.startswith(b"\x89PNG")
    width = round(float(re.search(r'width="([\d.]+)"', picture)[1]))  # type: ignore[index]
    assert int.from_bytes(png[16:20], "big") == 2 * width
