"""A task's graph as SVG: one drawer for the page, for figures and for `draw`.

The look is in classes (`style`): `plus`, `minus` and `none` on transitions, `goal`, `start`, `lost`
and `leaf` on nodes. `data-node` and `data-edge` count as `Traffic` does, so that a page can give
the same picture another estimator's credit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

from graphgpo.report.labels import shortened
from graphgpo.report.layout import Band, Layout, arc_height, is_detour
from graphgpo.report.traffic import Floats, Kind, Traffic

NO_CREDIT = 1e-6
"""Credit up to here is none, as in `graphgpo/inert`."""

MIN_WIDTH, MAX_WIDTH = 1.2, 6.0
_ORDER = {"none": 0, "minus": 1, "plus": 2}


def sign(credit: float) -> str:
    """The class of a credit: plus, minus or none."""
    if abs(credit) <= NO_CREDIT or math.isnan(credit):
        return "none"
    return "plus" if credit > 0 else "minus"


def graph_svg(
    traffic: Traffic,
    layout: Layout,
    credit: Floats | None,
    names: Sequence[str],
    *,
    title: str,
    style: str = "",
    is_figure: bool = True,
) -> str:
    """The picture.

    `credit`: (E,) of each transition; None: no colours. `names`: (S,) of the nodes. `style`: CSS
    that goes into the picture. `is_figure`: for a reader, not for a page that adds keys to it.
    """
    width, height = _number(layout.width), _number(layout.height)
    role = 'role="img"' if is_figure else 'role="group"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="graph" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" {role} aria-label={attribute(title)}>'
    ]
    if style:
        parts.append(f"<style>{style}</style>")
    if is_figure:
        parts.append(f'<rect class="backdrop" width="{width}" height="{height}"/>')
    parts += [_band(band, layout) for band in layout.bands]
    credits = [0.0] * len(traffic.sources) if credit is None else credit.tolist()
    drawn = sorted(range(len(credits)), key=lambda e: (_ORDER[sign(credits[e])], e))
    parts.append('<g class="edges">')
    parts += [_edge(traffic, layout, edge, credits[edge]) for edge in drawn]
    parts.append('</g><g class="nodes">')
    parts += [
        _node(traffic, layout, node, names[node], is_figure=is_figure)
        for node in range(len(traffic.nodes))
    ]
    parts.append("</g></svg>")
    return "\n".join(parts)


def described(traffic: Traffic, node: int, name: str) -> str:
    """A node in words, for screen readers and for whoever points at it."""
    kind = traffic.kinds[node]
    visits = int(traffic.visits[node])
    if kind is Kind.GOAL:
        return f"Goal, reached by {visits} {_plural('step', visits)}"
    distance = traffic.distances[node]
    way = (
        f"{distance:g} {_plural('step', distance)} from the goal"
        if traffic.reached[node]
        else "no way to the goal seen"
    )
    if kind is Kind.LEAF:
        return f"End of a failed rollout, {way}"
    start = ", a start" if traffic.is_start[node] else ""
    return f"{name}: {way}{start}, {visits} {_plural('visit', visits)}"


def attribute(text: str) -> str:
    """The text as a quoted attribute; characters no XML may hold are replaced."""
    return quoteattr(clean(text), {"\n": " ", "\t": " "})


def escaped(text: str) -> str:
    """The text between tags."""
    return clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """Without lone surrogates and control characters."""
    allowed = (c if _is_xml(ord(c)) else "\ufffd" for c in text)
    return "".join(allowed)


def _is_xml(code: int) -> bool:
    return (
        code in (9, 10, 13)
        or 32 <= code < 0xD800
        or (
            code >= 0xE000
            and code
            not in (
                0xFFFE,
                0xFFFF,
            )
        )
    )


def _plural(word: str, count: float) -> str:
    return word if count == 1 else f"{word}s"


def _number(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


# --- bands ----------------------------------------------------------------------------------------


def _band(band: Band, layout: Layout) -> str:
    height = band.bottom - band.top
    lanes = []
    half = _half_column(band)
    for i, column in enumerate(sorted(band.columns, key=lambda c: c.x)):
        if i % 2 == 0:
            lanes.append(
                f'<rect class="lane" x="{_number(column.x - half)}" y="{_number(band.top + 26)}" '
                f'width="{_number(2 * half)}" height="{_number(height - 26)}" rx="4"/>'
            )
        lanes.append(
            f'<text class="mark" x="{_number(column.x)}" y="{_number(band.top + 40)}">'
            f"{escaped(column.label)}</text>"
        )
    leads_right = band.title.endswith("goal")
    x = layout.width - 12 if leads_right else 12
    anchor = "end" if leads_right else "start"
    heading = (
        f'<text class="heading" x="{_number(x)}" y="{_number(band.top + 16)}" '
        f'text-anchor="{anchor}">{escaped(band.title)}{" →" if leads_right else ""}</text>'
    )
    return f'<g class="band" aria-hidden="true">{"".join(lanes)}{heading}</g>'


def _half_column(band: Band) -> float:
    xs = sorted(column.x for column in band.columns)
    return (xs[1] - xs[0]) / 2 if len(xs) > 1 else 34.0


# --- transitions ----------------------------------------------------------------------------------


def _edge(traffic: Traffic, layout: Layout, edge: int, credit: float) -> str:
    source, target = int(traffic.sources[edge]), int(traffic.targets[edge])
    count = int(traffic.counts[edge])
    opening = f'<g class="edge {sign(credit)}" data-edge="{edge}">'
    if source == target:
        return f"{opening}{_loop(layout, source, count)}</g>"
    most = int(traffic.counts.max())
    width = MIN_WIDTH + (MAX_WIDTH - MIN_WIDTH) * math.sqrt((count - 1) / max(most - 1, 1))
    way, tip = _way(traffic, layout, source, target, width)
    return f'{opening}<path class="way" d="{way}" stroke-width="{_number(width)}"/>{tip}</g>'


def _loop(layout: Layout, node: int, count: int) -> str:
    """A badge: how often the state did not change."""
    reach = layout.radius[node] * 0.75 + 3.0
    x, y, r = layout.x[node] + reach, layout.y[node] - reach, 3.6
    arc = f"M{_number(x - r)} {_number(y)}A{r:g} {r:g} 0 1 1 {_number(x)} {_number(y + r)}"
    return (
        f'<path class="way" d="{arc}" stroke-width="1.6"/>'
        f'<text x="{_number(x + 6)}" y="{_number(y + 1)}">{count}</text>'
    )


def _way(
    traffic: Traffic, layout: Layout, source: int, target: int, width: float
) -> tuple[str, str]:
    """The line of a transition and its tip."""
    x1, y1, r1 = layout.x[source], layout.y[source], layout.radius[source]
    x2, y2, r2 = layout.x[target], layout.y[target], layout.radius[target] + 1
    size = _tip_size(width)
    from_column, to_column = layout.column[source], layout.column[target]
    if traffic.reached[source] != traffic.reached[target]:  # down into the other band
        bend = max(40.0, (y2 - y1) * 0.5)
        start, end, angle = (x1, y1 + r1), (x2, y2 - r2 - size), math.pi / 2
        first, second = (start[0], start[1] + bend), (end[0], end[1] - bend)
    elif from_column == to_column:  # beside the column
        down = 1 if y2 > y1 else -1
        bulge = 16 + 0.1 * abs(y2 - y1)
        angle = math.pi * (1 - 0.2 * down)
        start = (x1 + r1 * 0.8, y1 + down * r1 * 0.6)
        reach = r2 + size
        end = (x2 + reach * 0.81, y2 - down * reach * 0.59)
        first, second = (start[0] + bulge, start[1]), (end[0] + bulge, end[1] - down * bulge * 0.7)
    elif is_detour(traffic, source, from_column, to_column):  # an arc above
        rise = arc_height(abs(from_column - to_column))
        start, reach = (x1 - r1 * 0.5, y1 - r1 * 0.85), r2 + size
        end, angle = (x2 + reach * 0.5, y2 - reach * 0.87), math.pi * 2 / 3
        first = (start[0] - rise * 0.55, start[1] - rise)
        second = (end[0] + rise * 0.55, end[1] - rise)
    else:
        start, end, angle = (x1 + r1, y1), (x2 - r2 - size, y2), 0.0
        bend = max(12.0, (end[0] - start[0]) * 0.45)
        first, second = (start[0] + bend, start[1]), (end[0] - bend, end[1])
    points = [f"{_number(x)} {_number(y)}" for x, y in (start, first, second, end)]
    tip = _tip(end[0] + size * math.cos(angle), end[1] + size * math.sin(angle), angle, width)
    return f"M{points[0]}C{points[1]} {points[2]} {points[3]}", tip


def _tip_size(width: float) -> float:
    return 4.5 + 0.9 * width


def _tip(x: float, y: float, angle: float, width: float) -> str:
    """An arrow head that ends at a point."""
    size, half = _tip_size(width), _tip_size(width) * 0.5
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(0.0, 0.0), (-size, half), (-size, -half)]
    points = [
        f"{_number(x + a * cos - b * sin)} {_number(y + a * sin + b * cos)}" for a, b in corners
    ]
    return f'<path class="tip" d="M{points[0]}L{points[1]}L{points[2]}Z"/>'


# --- nodes ----------------------------------------------------------------------------------------


def _node(traffic: Traffic, layout: Layout, node: int, name: str, *, is_figure: bool) -> str:
    kind, x, y, r = traffic.kinds[node], layout.x[node], layout.y[node], layout.radius[node]
    classes = ["node", kind.value]
    if not traffic.reached[node]:
        classes.append("lost")
    if traffic.is_start[node] and kind is Kind.STATE:
        classes.append("start")
    at = f'cx="{_number(x)}" cy="{_number(y)}"'
    if kind is Kind.LEAF:
        w = 2 * r
        cross = f"M{_number(x - r)} {_number(y - r)}l{w:g} {w:g}m0 {-w:g}l{-w:g} {w:g}"
        shape = f'<path class="body" d="{cross}"/>'
    else:
        shape = f'<circle class="body" {at} r="{_number(r)}"/>'
    if kind is Kind.GOAL:
        shape += f'<circle class="core" {at} r="{_number(r * 0.5)}"/>'
    elif "start" in classes:
        h = max(2.5, r * 0.42)
        shape += (
            f'<path class="core" d="M{_number(x - h * 0.7)} {_number(y - h)}'
            f'l{_number(h * 1.8)} {_number(h)}l{_number(-h * 1.8)} {_number(h)}Z"/>'
        )
    words = described(traffic, node, shortened(name, 80))
    keys = "" if is_figure else f' tabindex="-1" role="button" aria-label={attribute(words)}'
    text = ""
    if layout.has_names and kind is Kind.STATE:
        text = (
            f'<text x="{_number(x)}" y="{_number(y + r + 13)}" aria-hidden="true">'
            f"{escaped(shortened(name, 18))}</text>"
        )
    return (
        f'<g class="{" ".join(classes)}" data-node="{node}"{keys}>'
        f"<title>{escaped(words)}</title>{shape}{text}</g>"
    )
