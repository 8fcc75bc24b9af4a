"""Draws report_textworld.svg and report_minigrid.svg: python docs/images/make_report_svg.py."""

from __future__ import annotations

from pathlib import Path

import graphgpo
from graphgpo.demo import ENVIRONMENTS, load_rollouts
from graphgpo.report import draw

FIGURES = {"textworld": 0, "minigrid": 1}
"""Task that is drawn, by environment."""


def figure(environment: str) -> str:
    """A task of the shipped rollouts, coloured by GraphGPO's step credit."""
    rollouts = graphgpo.Rollouts(**load_rollouts(environment))
    return draw(
        rollouts.graph(),
        rollouts.advantages("graphgpo").step_advantages,
        group=FIGURES[environment],
        labels=ENVIRONMENTS[environment].state_label,
    )


if __name__ == "__main__":
    for name in FIGURES:
        Path(__file__).with_name(f"report_{name}.svg").write_text(figure(name), encoding="utf-8")
