"""Colours and the look of a graph, for the page and for a picture alone.

Blue and orange stay apart for every kind of colour vision; sign shows in the stroke too: credit
above 0 is a solid line, below 0 a dashed one, none a thin grey one.
"""

from __future__ import annotations

from collections.abc import Mapping

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "panel": "#f7f8fa",
    "ink": "#1b2330",
    "muted": "#586274",
    "line": "#e2e6ec",
    "quiet": "#b9c1cd",
    "plus": "#1f6fc4",
    "minus": "#b04a06",
    "plus-soft": "#e3eefa",
    "minus-soft": "#fbe9dc",
    "focus": "#7a3fd1",
}
DARK: Mapping[str, str] = {
    "paper": "#12161d",
    "panel": "#191f28",
    "ink": "#e6eaf0",
    "muted": "#9aa6b6",
    "line": "#29313d",
    "quiet": "#4d5869",
    "plus": "#68b0ff",
    "minus": "#ff9e57",
    "plus-soft": "#1a2c44",
    "minus-soft": "#402a1b",
    "focus": "#c39bff",
}

FONT = (
    "ui-sans-serif, system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', "
    "'Helvetica Neue', Arial, sans-serif"
)

_GRAPH = """
.graph text { font-family: %(font)s; fill: var(--ink); }
.graph .backdrop { fill: var(--paper); }
.graph .lane { fill: var(--panel); }
.graph .heading { font-size: 11px; fill: var(--muted); letter-spacing: .02em; }
.graph .mark { font-size: 11px; fill: var(--muted); text-anchor: middle; }
.graph .edge path.way { fill: none; stroke: var(--quiet); stroke-linecap: round; opacity: .75; }
.graph .edge path.tip { fill: var(--quiet); stroke: none; }
.graph .edge text { font-size: 9.5px; fill: var(--muted); }
.graph .edge.plus path.way { stroke: var(--plus); opacity: .9; }
.graph .edge.plus path.tip { fill: var(--plus); }
.graph .edge.minus path.way { stroke: var(--minus); stroke-dasharray: 5 4; opacity: .9; }
.graph .edge.minus path.tip { fill: var(--minus); }
.graph .node .body { fill: var(--paper); stroke: var(--ink); stroke-width: 1.5; }
.graph .node.lost .body { stroke: var(--muted); }
.graph .node.leaf .body { fill: none; stroke: var(--muted); }
.graph .node.goal .body { stroke-width: 2; }
.graph .node.goal .core, .graph .node.start .core { fill: var(--ink); stroke: none; }
.graph .node text { font-size: 10.5px; text-anchor: middle; paint-order: stroke;
  stroke: var(--paper); stroke-width: 3.5px; stroke-linejoin: round; }
.graph .node.lost text { fill: var(--muted); }
"""


def graph_rules() -> str:
    """CSS of graphs, in terms of the colours' names."""
    return _GRAPH % {"font": FONT}


def variables(colours: Mapping[str, str]) -> str:
    """The colours as CSS variables."""
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def resolved(rules: str, colours: Mapping[str, str]) -> str:
    """The rules with the colours in place: few programs that draw SVG know CSS variables."""
    for name, colour in colours.items():
        rules = rules.replace(f"var(--{name})", colour)
    return rules
