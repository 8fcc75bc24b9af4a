"""The page `graphgpo demo` prints, as lines of styled text; writing them is the caller's."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphgpo.demo import (
    ENVIRONMENTS,
    ESTIMATORS,
    CreditedGroup,
    credit_group,
    load_rollouts,
    telling_trajectories,
)


class Span(NamedTuple):
    """Text in one style, in the words `rich` has for styles; "" is none."""

    text: str
    style: str = ""


Line = list[Span]


@dataclass(frozen=True)
class Symbols:
    """Every character of the page that is not ASCII (states aside), or its stand-in."""

    to: str = "→"
    closer: str = "↓"
    farther: str = "↑"
    rule: str = "─"
    ellipsis: str = "…"
    dot: str = "·"
    disagree: str = "≠"


ASCII_SYMBOLS = Symbols(
    to="->", closer="v", farther="^", rule="-", ellipsis="...", dot="-", disagree="*"
)

MIN_WIDTH = 60
STEP_TERM_WIDTH = 104
"""From this width on the step terms stand beside the joint advantages."""

STEP_TERMS = {"GiGPO step": "GiGPO", "GraphGPO step": "GraphGPO"}
"""Titles of their columns; GRPO has no step term."""

MAX_LINES = 14
"""Table lines for one trajectory, unless it is asked for by number."""


def demo_page(
    environment: str = "textworld",
    group: int | None = None,
    trajectory: int | None = None,
    *,
    omega: float | None = None,
    width: int = 80,
    symbols: Symbols | None = None,
) -> list[Line]:
    """The whole page for one group, at least MIN_WIDTH wide.

    `group` None is the first with a success. `trajectory` shows that one alone and in full; None a
    failure and a success, shortened. An environment, group, trajectory or omega that does not exist
    is a `ValueError`.

    >>> "".join(span.text for span in demo_page("sokoban", symbols=ASCII_SYMBOLS)[0])
    'Who gets the credit? - Sokoban 6x6, group 0'
    """
    rollouts = load_rollouts(environment)
    groups = np.unique(rollouts["group_ids"])
    if group is None:
        group = int(rollouts["group_ids"][rollouts["success"]].min())
    elif group not in groups:
        raise ValueError(f"group is {group}; {environment} has {_listing(groups.tolist())}")
    credited = credit_group(environment, group, omega=omega)
    if trajectory is not None and trajectory not in credited.trajectories:
        has = _listing(credited.trajectories)
        raise ValueError(f"trajectory is {trajectory}; group {group} of {environment} has {has}")
    page = _Page(environment, credited, max(width, MIN_WIDTH), symbols or Symbols())
    shown = telling_trajectories(credited) if trajectory is None else [trajectory]
    return [
        *page.opening(),
        *(line for t in shown for line in page.rollout(t, in_full=trajectory is not None)),
        *page.legend(),
        *page.summary(),
        *page.closing(len(rollouts["states"])),
    ]


def _listing(numbers: Sequence[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


class _Page:
    """One group laid out at one width.

    A table line is a lead (step, state, action, distance), a credit per estimator, room for a mark
    and, where there is width for it, the step terms. The summary puts its own words in the lead, so
    that its counts stand under the credits.
    """

    def __init__(self, name: str, group: CreditedGroup, width: int, symbols: Symbols) -> None:
        self.name = name
        self.environment = ENVIRONMENTS[name]
        self.group = group
        self.symbols = symbols
        self.gap = " " * (2 if width >= 76 else 1)
        self.step_terms = STEP_TERMS if width >= STEP_TERM_WIDTH else {}

        digits = len(f"{max(group.distances.max(), group.next_distances.max()):.0f}")
        distance_width = max(len("distance"), 2 * digits + len(f" {symbols.to}  ="))
        action_width = max(map(len, ["action", *group.actions]))
        credits_width = sum(len(text) for text, _ in self._credit_titles())
        state_width = width - credits_width - 4 - action_width - distance_width - 3 * len(self.gap)
        longest_label = max(map(len, map(self.environment.state_label, group.rollouts["states"])))
        self.lead_widths = [4, min(state_width, longest_label), action_width, distance_width]
        self.lead_width = sum(self.lead_widths) + 3 * len(self.gap)
        self.width = self.lead_width + credits_width

    # Parts of the page, from top to bottom

    def opening(self) -> list[Line]:
        trajectories = self.group.trajectories
        wins = sum(map(self.group.succeeded, trajectories))
        outcome = {0: "never made it", 1: "made it once", 2: "made it twice"}.get(
            wins, f"made it {wins} times"
        )
        title = f" {self.symbols.dot} {self.environment.title}, group {self.group.number}"
        return [
            [Span("Who gets the credit?", "bold"), Span(title, "cyan")],
            [],
            *self._paragraph(
                f"The task: {self.environment.task}. A random policy tried {len(trajectories)} "
                f"times and {outcome}. Training makes a step with credit above 0 more likely, one "
                "below 0 less likely. GRPO gives credit by how the rollout ended, GiGPO by what "
                "rollouts earned from the same state on, GraphGPO by how near to the goal the "
                "step leads."
            ),
            [],
            *self._first_state(),
            [],
        ]

    def rollout(self, trajectory: int, *, in_full: bool) -> list[Line]:
        rows = self.group.rows_of(trajectory)
        parts = _singles(range(len(rows))) if in_full else self._shortened(rows)
        lines = [
            self._step(int(rows[part.start]))
            if len(part) == 1
            else self._left_out(rows[part.start : part.stop])
            for part in parts
        ]
        return [self._rollout_title(trajectory, rows), *self._table_head(), *lines, []]

    def legend(self) -> list[Line]:
        to, closer, farther = self.symbols.to, self.symbols.closer, self.symbols.farther
        step_columns = " The step columns have the step term alone." if self.step_terms else ""
        return [
            *self._paragraph(
                f"State: {self.environment.state_note}. Distance: steps to the goal, before {to} "
                f"after, in the graph merged from all rollouts of the group; {closer} closer, "
                f"{farther} farther, = neither, ? no rollout shows a way from there. Credit: the "
                "joint advantage, which every token of the step's response gets: episode term + "
                "step term. GRPO has only the first, one number per rollout."
                f"{step_columns} {self.symbols.disagree} the signs of the three differ.",
                "dim",
            ),
            [],
        ]

    def summary(self) -> list[Line]:
        if not self.group.has_success:
            return [
                [Span("No rollout of this group reached the goal", "bold yellow")],
                *self._paragraph(
                    "There is nothing to compare, so every credit is 0 with all three: such a "
                    "group teaches nothing until the policy succeeds once."
                ),
                [],
            ]
        title = f" {self.symbols.dot} all {len(self.group.actions)} steps of the group"
        return [
            [Span("Credit against progress", "bold"), Span(title)],
            *self._counts(),
            [],
            *self._paragraph(self._verdict()),
            [],
        ]

    def closing(self, num_rows: int) -> list[Line]:
        return [
            [Span("The same in code", "bold")],
            [Span("  import graphgpo", "cyan")],
            [Span("  from graphgpo.demo import load_rollouts", "cyan")],
            [
                Span(f'  rollouts = load_rollouts("{self.name}")', "cyan"),
                Span("  # or yours", "dim"),
            ],
            [Span("  result = graphgpo.compute_advantages(**rollouts)", "cyan")],
            [Span("  result.advantages", "cyan"), Span(f"  # ({num_rows},), one per step", "dim")],
            [],
            [Span("Other rollouts and options: graphgpo demo --help", "dim")],
        ]

    # What the parts are made of

    def _paragraph(self, text: str, style: str = "") -> list[Line]:
        return [[Span(line, style)] for line in textwrap.wrap(text, self.width)]

    def _first_state(self) -> list[Line]:
        first_row = int(self.group.rows_of(self.group.trajectories[0])[0])
        state = self.group.rollouts["states"][first_row].replace(" | ", "\n")
        label, indent = "Start  ", "       "
        lines = [
            [Span(indent), Span(part, "dim")]
            for row in state.split("\n")
            for part in textwrap.wrap(row, self.width - len(indent))
        ]
        lines[0][0] = Span(label, "bold")
        return lines

    def _rollout_title(self, trajectory: int, rows: NDArray[np.intp]) -> Line:
        group = self.group
        closer = int(group.closer[rows].sum())
        if group.succeeded(trajectory):
            verdict, best = Span("succeeded", "bold green"), group.distances[rows[0]]
            story = f": {closer} of {len(rows)} steps get closer, {best:.0f} would do"
        elif group.has_success:
            verdict, nearest = Span("failed", "bold red"), group.next_distances[rows].min()
            story = f": {closer} of {len(rows)} steps get closer, to {nearest:.0f} at best"
        else:
            verdict, story = Span("failed", "bold red"), f" after {len(rows)} steps"
        return [Span(f"Rollout {trajectory} ", "bold"), verdict, Span(story)]

    def _table_head(self) -> list[Line]:
        names = [Span(name, "dim") for name in ("step", "state", "action", "distance")]
        return [[*self._lead(names), *self._credit_titles()], self._rule()]

    def _credit_titles(self) -> Line:
        return [
            *self._columns(ESTIMATORS, [Span(title, "bold") for title in ESTIMATORS]),
            Span("  "),
            *self._columns(self.step_terms, [Span(title, "bold") for title in self.step_terms]),
        ]

    def _rule(self) -> Line:
        return [Span(self.symbols.rule * self.width, "dim")]

    def _step(self, row: int) -> Line:
        group = self.group
        joint = [float(group.results[title].advantages[row]) for title in ESTIMATORS]
        terms = [group.results[title].step_advantages[row] for title in self.step_terms.values()]
        mark = self.symbols.disagree if min(joint) < 0 < max(joint) else " "
        return [
            *self._lead(
                [
                    Span(str(group.rollouts["step_ids"][row]), "dim"),
                    Span(self.environment.state_label(group.rollouts["states"][row])),
                    Span(group.actions[row], "bold"),
                    self._distance(row),
                ]
            ),
            *self._columns(ESTIMATORS, [_credit(value) for value in joint]),
            Span(f" {mark}", "yellow"),
            *self._columns(self.step_terms, [_credit(float(value)) for value in terms]),
        ]

    def _distance(self, row: int) -> Span:
        before, after = float(self.group.distances[row]), float(self.group.next_distances[row])
        known = self.group.max_known_distance
        source, target = (f"{d:.0f}" if d <= known else "?" for d in (before, after))
        trend, style = "=", "dim"
        if after < before:
            trend, style = self.symbols.closer, "green"
        elif after > before:
            trend, style = self.symbols.farther, "red"
        return Span(f"{source} {self.symbols.to} {target} {trend}", style)

    def _shortened(self, rows: NDArray[np.intp]) -> list[range]:
        """Parts of a trajectory, at most MAX_LINES: ranges of one are shown, longer ones left out.

        What stays in place goes first, all but the first step of it; then the middle.
        """
        if len(rows) <= MAX_LINES:
            return _singles(range(len(rows)))
        stays = self.group.distances[rows] == self.group.next_distances[rows]
        parts: list[range] = []
        start = 0
        while start < len(rows):
            stop = start + 1
            while stop < len(rows) and stays[start] and stays[stop]:
                stop += 1
            rest = range(start + 1, stop)
            parts += [
                *_singles(range(start, start + 1)),
                *([rest] if len(rest) > 1 else _singles(rest)),
            ]
            start = stop
        if len(parts) <= MAX_LINES:
            return parts
        # The cut swallows what is already left out on either side of it.
        head = parts[: MAX_LINES - 7]
        tail = parts[-6:]
        while len(head[-1]) > 1:
            head.pop()
        while len(tail[0]) > 1:
            tail.pop(0)
        return [*head, range(head[-1].stop, tail[0].start), *tail]

    def _left_out(self, rows: NDArray[np.intp]) -> Line:
        stays = (self.group.distances[rows] == self.group.next_distances[rows]).all()
        where = ", distance unchanged" if stays else ""
        text = f"{self.symbols.ellipsis} {len(rows)} more steps{where}"
        return [Span(" " * (4 + len(self.gap))), Span(text, "dim")]

    def _counts(self) -> list[Line]:
        group = self.group
        credits = {title: result.advantages for title, result in group.results.items()}
        terms = {title: group.results[title].step_advantages for title in STEP_TERMS.values()}
        titles = [Span(title, "bold") for title in ESTIMATORS]
        return [
            [Span(" " * self.lead_width), *self._columns(ESTIMATORS, titles)],
            self._rule(),
            self._count_line("closer, credit below 0", np.less, credits, group.closer),
            self._count_line("  its step term below 0", np.less, terms, group.closer),
            self._count_line("no closer, credit above 0", np.greater, credits, ~group.closer),
            self._count_line("  its step term above 0", np.greater, terms, ~group.closer),
        ]

    def _count_line(
        self,
        label: str,
        side_of_zero: np.ufunc,
        credits: dict[str, NDArray[np.float32]],
        steps: NDArray[np.bool_],
    ) -> Line:
        of = f"of {steps.sum()}"
        counts = [
            str(side_of_zero(credits[title][steps], 0).sum()) if title in credits else ""
            for title in ESTIMATORS
        ]
        return [
            Span(f"{label:{self.lead_width - len(of)}}"),
            Span(of, "dim"),
            *self._columns(
                ESTIMATORS, [Span(n, "dim" if n == "0" else "bold red") for n in counts]
            ),
        ]

    def _verdict(self) -> str:
        group = self.group
        closer = group.closer
        grpo = group.results["GRPO"].advantages
        graphgpo_result = group.results["GraphGPO"]
        outweighed = (
            (~closer) & (graphgpo_result.advantages > 0) & (graphgpo_result.step_advantages <= 0)
        )
        pairs = [("GRPO", "GiGPO"), ("GRPO", "GraphGPO"), ("GiGPO", "GraphGPO")]
        differ = ", ".join(f"{a} and {b} on {group.disagree(a, b).sum()}" for a, b in pairs)
        text = (
            f"GRPO punishes {(grpo < 0)[closer].sum()} steps that get closer to the goal (in "
            f"failed rollouts) and rewards {(grpo > 0)[~closer].sum()} that do not (in successful "
            f"ones). Opposite signs: {differ} steps."
        )
        if outweighed.any():
            text += (
                f" {outweighed.sum()} steps that get no closer stay above 0 with GraphGPO because "
                "a success's episode term outweighs their step term."
            )
        return text

    def _lead(self, spans: Sequence[Span]) -> Line:
        cells = []
        for (text, style), width, align in zip(spans, self.lead_widths, "><<<", strict=True):
            if len(text) > width:
                text = text[: width - len(self.symbols.ellipsis)] + self.symbols.ellipsis
            cells += [Span(f"{text:{align}{width}}", style), Span(self.gap)]
        return cells[:-1]

    def _columns(self, titles: Iterable[str], spans: Iterable[Span]) -> Line:
        return [
            Span(f"{self.gap}{text:>{max(len(title), len('+10.00'))}}", style)
            for title, (text, style) in zip(titles, spans, strict=True)
        ]


def _singles(positions: range) -> list[range]:
    return [range(position, position + 1) for position in positions]


def _credit(value: float) -> Span:
    """Green above 0, red below, the brighter the farther from it."""
    if abs(value) < 0.005:
        return Span("0.00", "dim")
    weight = "bold " if abs(value) >= 2.5 else "dim " if abs(value) < 0.5 else ""
    return Span(f"{value:+.2f}", weight + ("green" if value > 0 else "red"))
