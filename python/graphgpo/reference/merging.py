"""What counts as one state: noise taken out, near-duplicates made one, histories in their place."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from graphgpo.reference.columns import read
from graphgpo.states.merging import Merging
from graphgpo.states.normaliser import Normaliser
from graphgpo.states.patterns import normalise_with_re

if TYPE_CHECKING:
    from graphgpo.reference.rollouts import Trajectory

Place = tuple[str, int]  # column, row


def merged(
    columns: Mapping[str, Any], merging: Merging, rows: list[int]
) -> tuple[dict[str, Any], int, int]:
    """Columns with states that are equal where they are one; texts that vanish; the most as one."""
    found = dict(columns)
    names = [name for name in ("states", "next_states") if columns[name] is not None]
    for name in names if merging.is_coarser else ():
        found[name] = list(columns[name])
    if merging.normaliser is not None:
        for name, row in itertools.product(names, rows):
            if isinstance(found[name][row], str):
                found[name][row] = without_noise(found[name][row], merging.normaliser)
    if merging.similar is None:
        return found, 0, 0

    groups: dict[Hashable, dict[str, list[Place]]] = defaultdict(lambda: defaultdict(list))
    for name, row in itertools.product(names, rows):
        text = found[name][row]
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name}[{row}] is a {type(text).__name__}; expected a str")
        if text is not None:
            group = read("group_ids", columns["group_ids"], row)
            groups[group][text].append((name, row))
    num_merged = largest = 0
    for places in groups.values():
        for component in components(list(places), Fraction(merging.similar)):
            num_merged += len(component) - 1
            largest = max(largest, len(component))
            for name, row in itertools.chain.from_iterable(places[text] for text in component):
                found[name][row] = component[0]
    return found, num_merged, largest


def without_noise(text: str, normaliser: Normaliser) -> str:
    """The text with every stretch of noise as its tag."""
    text = normaliser.without_ignored(text)
    return normalise_with_re(text, normaliser.classes, normaliser.kept(text))


def components(texts: list[str], threshold: Fraction) -> list[list[str]]:
    """Texts that neighbours lead to, neighbours having 2 * LCS >= threshold * both lengths."""
    left, found = list(texts), []
    while left:
        component = [left.pop(0)]
        for text in component:  # grows while it is read
            near = [t for t in left if 2 * lcs(text, t) >= threshold * (len(text) + len(t))]
            component += near
            left = [t for t in left if t not in near]
        found.append(component)
    return found


def lcs(a: str, b: str) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for x in a:
        diagonal = 0
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], diagonal + 1 if x == y else max(row[j], row[j - 1])
    return row[-1]


def remember(trajectory: Trajectory, length: int) -> None:
    """Put the last `length` states of the rollout in place of each state of its steps."""
    states = [step.values["states"] for step in trajectory.steps]
    for turn, step in enumerate(trajectory.steps):
        passed = states[max(0, turn + 1 - length) : turn + 1]
        step.values["states"] = ("history", *passed)
        if step.values["next_states"] is not None:
            step.values["next_states"] = (
                "history",
                *[*passed, step.values["next_states"]][-length:],
            )
