"""Draw docs/images/spread.svg: a group that nobody won, and its spread credits as computed.

python docs/images/make_spread_svg.py
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from pathlib import Path

import graphgpo

WALKS = (
    ("hall", "kitchen", "hall"),
    ("hall", "kitchen", "hall"),
    ("hall", "kitchen"),
    ("hall", "hall", "cellar"),
    ("hall", "cellar"),
    ("hall", "garden"),
)
PLACES = {"hall": (150, 180), "kitchen": (600, 70), "cellar": (600, 180), "garden": (600, 290)}
ABOVE, BELOW, NONE = "#1a7f37", "#cf222e", "#6e7781"
PATHS = {
    ("hall", "kitchen"): ("M200 165C330 90 430 55 542 62", (390, 62)),
    ("kitchen", "hall"): ("M542 84C450 88 340 115 203 175", (432, 137)),
    ("hall", "cellar"): ("M205 184H542", (390, 202)),
    ("hall", "garden"): ("M200 198C330 262 430 292 542 290", (390, 262)),
    ("hall", "hall"): ("M130 154C95 95 205 95 172 152", (150, 90)),
}


def credits() -> dict[tuple[str, str], list[float]]:
    """The step advantages of every edge."""
    steps = [(t, *step) for t, w in enumerate(WALKS) for step in itertools.pairwise(w)]
    result = graphgpo.compute_advantages(
        [source for _, source, _ in steps],
        [target for _, _, target in steps],
        group_ids=[0] * len(steps),
        trajectory_ids=[trajectory for trajectory, _, _ in steps],
        success=[False] * len(steps),
        estimator="spread",
    )
    found = defaultdict(list)
    for (_, source, target), credit in zip(steps, result.step_advantages.tolist(), strict=True):
        found[source, target].append(credit)
    return found


def edge(ends: tuple[str, str], of_steps: list[float]) -> str:
    path, (x, y) = PATHS[ends]
    credit, times = of_steps[0], len(of_steps)
    colour = NONE if credit == 0 else ABOVE if credit > 0 else BELOW
    shown = "0" if credit == 0 else f"{credit:+.3f}".replace("-", "\u2212")
    return (
        f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{1 + 1.5 * times}"/>'
        f'<text x="{x}" y="{y}" fill="{colour}"><tspan font-weight="bold">{shown}</tspan>'
        f" · {times}\u00d7</text>"
    )


def node(name: str) -> str:
    x, y = PLACES[name]
    return (
        f'<rect x="{x - 55}" y="{y - 26}" width="110" height="52" rx="10" fill="#f6f8fa" '
        f'stroke="#24292f" stroke-width="1.5"/><text x="{x}" y="{y + 5}" fill="#24292f" '
        f'font-weight="bold">{name}</text>'
    )


def main() -> None:
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 370" font-size="14" '
        'font-family="Helvetica, Arial, sans-serif" text-anchor="middle" role="img">',
        "<title>Six rollouts that all failed, and the spread credit of their steps</title>",
        '<rect width="760" height="370" rx="8" fill="#ffffff"/>',
        *(edge(ends, of_steps) for ends, of_steps in credits().items()),
        *(node(name) for name in PLACES),
        '<text x="380" y="30" font-size="16" fill="#24292f">Nobody won: where few went, credit is '
        "above 0</text>",
        '<text x="380" y="350" font-size="13" fill="#57606a">Garden and looking around were each '
        "tried once: together they are one target. From the kitchen there is one way: 0</text>",
        "</svg>",
    ]
    Path(__file__).with_name("spread.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
