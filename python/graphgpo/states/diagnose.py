"""What is wrong with the states of a batch, and which switch mends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphgpo.states.evidence import Evidence, Verdict
from graphgpo.states.normaliser import Normaliser
from graphgpo.states.sample import Shares, Step, bounded, read_steps, shares
from graphgpo.states.switches import (
    Switch,
    class_switch,
    found_switches,
    marked,
    near_states,
)
from graphgpo.states.written import written

_LEAST_GAIN = 0.05
"""Of the states, that must merge for a switch to be worth words."""

_MANY_LONE = 0.5
"""Share of lone steps from which on they are worth words though no switch is known to help."""


@dataclass(frozen=True, slots=True)
class NearState:
    """One of two states that are almost one."""

    row: int
    """Where it first stands in the batch."""
    text: str
    marked: str
    """A line of it: what differs from the other stands in « »."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with the states."""

    kind: str
    """"noise": a switch mends it. "lone": most steps are alone and no switch is known to help."""
    words: str
    switch: dict[str, Any] = field(default_factory=dict)
    """Arguments of `Normaliser` that mend it; empty: none is known."""
    merges: int = 0
    """Lone steps that get company or, where few are lone, states that vanish ..."""
    of: int = 0
    """... of how many."""
    nearest: tuple[NearState, NearState] | None = None
    certainty: float = 0.0
    """0 to 1: how well the steps of the batch bear it out."""

    @property
    def normaliser(self) -> Normaliser | None:
        """The `Normaliser` that mends it."""
        return Normaliser(**self.switch) if self.switch else None

    def __str__(self) -> str:
        """What is wrong, what to write, and two states of the batch."""
        lines = [self.words]
        if self.switch:
            lines.append(f"  write: normalise={written(self.switch)}")
        lines += [f"  row {near.row}: {near.marked!r}" for near in self.nearest or ()]
        return "\n".join(lines)


def diagnose(
    states: Any,
    next_states: Any = None,
    *,
    group_ids: Any = None,
    trajectory_ids: Any = None,
    step_ids: Any = None,
    actions: Any = None,
    mask: Any = None,
) -> list[Finding]:
    r"""What keeps states from merging: clocks, ids, counters, whatever else differs.

    Compares states that are almost one, and proposes switches of `Normaliser` for what differs. A
    switch is proposed only where the steps bear it out: steps whose states it merges went on alike
    after the same action, and no value that it takes away is a part of the state, such as the
    number of a room (see `graphgpo.states.evidence`). Pass `actions`: without them less can be told
    apart, and `certainty` says so.

    Looks at 3,000 steps, whole groups, whatever the size of the batch; counts are of these.

    Parameters
    ----------
    states, next_states, group_ids, trajectory_ids, step_ids, actions, mask
        (N,) columns, as `compute_advantages` takes them; or `graphgpo.Rollouts` alone, whose noise
        that is taken out already is not looked for again.

    Returns
    -------
    Findings, the most certain first; none if nothing is found to be wrong. They print readably.

    Raises
    ------
    ValueError
        For columns of different lengths.
    TypeError
        Without group ids or trajectory ids.

    Examples
    --------
    >>> rooms = ["hall", "kitchen", "bath", "hall", "bath", "kitchen"] * 4
    >>> findings = diagnose(
    ...     [f"10:03:{i:02} {room}" for i, room in enumerate(rooms)],
    ...     group_ids=[0] * 24,
    ...     trajectory_ids=[i // 6 for i in range(24)],
    ... )
    >>> findings[0].words
    'a clock (timestamps=True) merges 24 of 24 lone steps'
    >>> findings[0].switch
    {'timestamps': True}
    """
    columns: Mapping[str, Any] = {
        "states": states,
        "next_states": next_states,
        "group_ids": group_ids,
        "trajectory_ids": trajectory_ids,
        "step_ids": step_ids,
        "actions": actions,
        "mask": mask,
    }
    if hasattr(states, "coarse_columns"):  # Rollouts, which import this module
        columns = states.coarse_columns
    for name in ("group_ids", "trajectory_ids"):
        if columns.get(name) is None:
            raise TypeError(f"{name} is None; expected a column, or Rollouts in place of states")
    every_step = read_steps(columns)
    steps = bounded(every_step)
    before = shares(steps)
    if before.steps == 0:
        return []
    where = "" if len(steps) == len(every_step) else f", in a sample of {len(steps):,} steps"

    found = found_switches(steps)
    chosen, verdicts = _chosen(steps, found)
    evidence = Evidence(steps, chosen)
    after = shares(steps, evidence.states(chosen))
    if chosen and _is_worth_it(before, after):
        return [_noise(steps, chosen, verdicts, before, after, where)]
    if before.lone_steps >= _MANY_LONE * before.steps:
        return [_lone(steps, before, where)]
    return []


def _chosen(
    steps: list[Step], switches: list[Switch]
) -> tuple[list[Switch], dict[Switch, Verdict]]:
    """The switches that are noise, without those that merge nothing the others leave."""
    evidence = Evidence(steps, [*switches, class_switch("numbers")])
    active = _without_differences(evidence, switches)
    active = _without_idle(evidence, active)
    numbers = class_switch("numbers")
    if not active and evidence.count([numbers]) < (1 - _LEAST_GAIN) * evidence.count([]):
        active = _without_differences(evidence, [numbers])
    return active, evidence.verdicts(active)


def _without_differences(evidence: Evidence, switches: Sequence[Switch]) -> list[Switch]:
    # Each that goes makes states finer, and the others may look better: of those that only seem
    # to decide what happens, one at a time.
    active = list(switches)
    while active:
        verdicts = evidence.verdicts(active)
        decided = [switch for switch in active if verdicts[switch].is_decided]
        guilty = [switch for switch in active if not verdicts[switch].is_noise]
        if decided:
            active = [switch for switch in active if switch not in decided]
        elif guilty:
            active.remove(max(guilty, key=lambda one: (one.width, -verdicts[one].agreement)))
        else:
            break
    return active


def _without_idle(evidence: Evidence, switches: Sequence[Switch]) -> list[Switch]:
    active = list(switches)
    for switch in sorted(switches, key=lambda one: -one.width):
        others = [other for other in active if other != switch]
        if evidence.count(others) <= evidence.count(active):
            active = others
    return active


def _is_worth_it(before: Shares, after: Shares) -> bool:
    return before.states - after.states >= max(2, _LEAST_GAIN * before.states)


def _noise(
    steps: list[Step],
    chosen: list[Switch],
    verdicts: dict[Switch, Verdict],
    before: Shares,
    after: Shares,
    where: str,
) -> Finding:
    switch: dict[str, Any] = {one.name: True for one in chosen if one.name != "ignore"}
    ignored = tuple(one.expression for one in chosen if one.name == "ignore")
    if ignored:
        switch["ignore"] = ignored
    parts = " and ".join(one.words for one in chosen)
    verb = "merges" if len(chosen) == 1 else "together merge"
    if before.lone_steps >= 0.2 * before.steps:
        merges, of, unit = before.lone_steps - after.lone_steps, before.lone_steps, "lone steps"
    else:
        merges, of, unit = before.states - after.states, before.states, "states"
    agreement = min(verdicts[one].agreement for one in chosen)
    pairs = min(verdicts[one].pairs for one in chosen)
    knows_actions = any(step.action is not None for step in steps)
    return Finding(
        kind="noise",
        words=f"{parts} {verb} {merges:,} of {of:,} {unit}{where}",
        switch=switch,
        merges=merges,
        of=of,
        nearest=_nearest(steps, chosen),
        certainty=(agreement * pairs + 1) / (pairs + 2) * (1.0 if knows_actions else 0.8),
    )


def _lone(steps: list[Step], before: Shares, where: str) -> Finding:
    return Finding(
        kind="lone",
        words=f"{before.lone_steps:,} of {before.steps:,} steps{where} are alone in their state, "
        "and no switch is known to merge them without merging true differences"
        + (
            "" if any(step.action is not None for step in steps) else "; with actions more is known"
        ),
        of=before.lone_steps,
        nearest=_nearest(steps, []),
        certainty=before.lone_steps / before.steps,
    )


def _nearest(steps: list[Step], chosen: list[Switch]) -> tuple[NearState, NearState] | None:
    """Two states that `chosen` makes one or, without it, the nearest ones."""
    evidence = Evidence(steps, chosen)
    firsts: dict[tuple[int, Any], Step] = {}
    for step, state in zip(steps, evidence.states(chosen), strict=True):
        first = firsts.setdefault((step.group, state), step)
        if first.state != step.state:
            return _pair(first, step)
    rows = {step.state: step for step in reversed(steps)}
    for a, b in near_states(steps, []):
        return _pair(rows[a], rows[b])
    return None


def _pair(a: Step, b: Step) -> tuple[NearState, NearState]:
    mark_a, mark_b = marked(a.state, b.state)
    return NearState(a.row, a.state, mark_a), NearState(b.row, b.state, mark_b)
