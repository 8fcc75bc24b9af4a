"""Problems that the states of a batch show: too fine, too coarse, or merged by mistake."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from graphgpo.problems.problem import Problem
from graphgpo.states.diagnose import Finding, NearState, diagnose
from graphgpo.states.evidence import Share
from graphgpo.states.normaliser import Normaliser, normalise
from graphgpo.states.patterns import CLASSES
from graphgpo.states.sample import Step, bounded, read_steps
from graphgpo.states.switches import CLASS_WORDS, Switch, class_switch, marked, replaced
from graphgpo.states.written import different_switches, expression_of, switched_on, written

if TYPE_CHECKING:
    from graphgpo.rollouts import Rollouts

_FEWEST_PAIRS = 8  # of steps, that a share of them says something
_WORSE = 0.1  # more pairs may part where given states differ than where they are equal

Pair = tuple[Step, Step, bool]
"""Two steps of one state and action, as they came, and whether they lead to two states."""


def state_problems(rollouts: Rollouts) -> Iterator[Problem]:
    """What keeps states from merging, and what merges that should not."""
    for finding in diagnose(rollouts):
        yield _of_finding(finding, rollouts.merging.normaliser)
    if rollouts.merging.is_coarser and "actions" in rollouts.columns:
        yield from _merged_by_mistake(rollouts)


def _of_finding(finding: Finding, normaliser: Normaliser | None) -> Problem:
    if finding.kind == "lone":
        return Problem(
            name="lone states",
            words=f"{finding.words}. Take out what no two rollouts share, or say what a state is",
            certainty=0.5 * finding.certainty,
            nearest=finding.nearest,
        )
    switch = switched_on(finding.switch, normaliser)
    return Problem(
        name="noise",
        words=f"states differ by what does not matter: {finding.words}",
        certainty=finding.certainty,
        remedy=f"normalise={written(switch)}",
        switch={"normalise": switch},
        nearest=finding.nearest,
    )


# --- states that were merged and should not be ----------------------------------------------------


def _merged_by_mistake(rollouts: Rollouts) -> Iterator[Problem]:
    given = {step.row: step for step in read_steps(rollouts.columns)}
    steps = bounded(read_steps(rollouts.coarse_columns))
    differing: list[Pair] = []  # of steps that were merged, and came as different states
    equal = Share(0.0)
    for first, second in _same_action(steps):
        a, b = given[first.row], given[second.row]
        is_parted = first.next_state != second.next_state
        if a.state == b.state:
            equal.add(is_parted)
        else:
            differing.append((a, b, is_parted))
    by_chance = equal.share if equal.count >= _FEWEST_PAIRS else 0.0
    if len(differing) < _FEWEST_PAIRS:
        return
    words, remedy, switch = _blame(rollouts, differing)
    parted = [pair for pair in differing if pair[2]]
    share = len(parted) / len(differing)
    if share <= by_chance + _WORSE:
        moves = _moves_inside(rollouts, steps)
        if moves is not None:
            yield Problem(
                name="merged differences",
                words=f"{words} makes one state of states that differ: what is done decides which "
                "of them comes next",
                certainty=0.9,
                remedy=remedy,
                switch=switch,
                nearest=_near(*moves),
            )
        return
    yield Problem(
        name="merged differences",
        words=f"{words} makes one state of states that differ: in {share:.0%} of "
        f"{len(differing):,} pairs of them the same action leads to two states"
        + (f", and in {by_chance:.0%} where they are equal" if by_chance else ""),
        certainty=min(0.99, 0.5 + (share - by_chance) / 2),
        remedy=remedy,
        switch=switch,
        nearest=_near(*parted[0][:2]),
    )


def _moves_inside(rollouts: Rollouts, steps: list[Step]) -> tuple[Step, Step] | None:
    """Steps from one state by two actions to two states that were made one, if that is the rule.

    It is, where the same action leads to the same and another to another; so it is with pieces on a
    board and numbers of rooms, but not with what comes and goes by itself.
    """
    fine = {step.row: step for step in read_steps(rollouts.columns)}
    if rollouts.merging.similar is not None and rollouts.merging.normaliser is not None:
        texts = normalise(rollouts.columns["states"], rollouts.merging.normaliser)
        fine = {row: replace(step, state=texts[row]) for row, step in fine.items()}
    alike: dict[tuple[Any, ...], list[Step]] = defaultdict(list)
    for step in steps:
        if step.action is not None and step.next_state is not None:
            before = fine[step.row]
            alike[step.group, before.state, step.next_state].append(before)
    num_known = num_deciding = 0
    found: tuple[Step, Step] | None = None
    for bucket in alike.values():
        by_same, by_other = Share(0.0), Share(0.0)  # action: the states they lead to are equal
        for i, step in enumerate(bucket):
            for other in bucket[max(0, i - 8) : i]:
                is_equal = step.next_state == other.next_state
                (by_same if step.action == other.action else by_other).add(is_equal)
                if step.action != other.action and not is_equal and found is None:
                    found = (other, step)
        if by_same.count >= 3 and by_other.count >= 3:
            num_known += 1
            num_deciding += by_same.share >= 0.9 and by_other.share <= 0.8
    if num_deciding < max(2, 0.02 * num_known) or found is None:
        return None
    return replace(found[0], state=found[0].next_state), replace(
        found[1], state=found[1].next_state
    )


def _same_action(steps: list[Step], most: int = 4) -> Iterator[tuple[Step, Step]]:
    """Steps of one state and action, each with a few before it, whose successors are known."""
    alike: dict[tuple[Any, ...], list[Step]] = defaultdict(list)
    for step in steps:
        if step.action is None or step.next_state is None:
            continue
        before = alike[step.group, step.state, step.action]
        for other in before[-most:]:
            yield other, step
        before.append(step)


def _blame(rollouts: Rollouts, differing: list[Pair]) -> tuple[str, str, dict[str, Any]]:
    """What makes them one: its words, and what to write instead."""
    merging, normaliser = rollouts.merging, rollouts.merging.normaliser
    similar = f"similar={merging.similar}", "similar=None", {"similar": None}
    if normaliser is None or (merging.similar is not None and _differ_still(normaliser, differing)):
        return similar
    switches = [
        *(Switch("ignore", expression_of(one), 1) for one in normaliser.ignore),
        *(
            class_switch(name)
            for name in CLASSES
            if name in CLASS_WORDS and name in normaliser.classes
        ),
    ]
    values = {step.row: _values(step.state, switches) for a, b, _ in differing for step in (a, b)}
    guilt = [
        _guilt([(values[a.row][i] != values[b.row][i], is_parted) for a, b, is_parted in differing])
        for i in range(len(switches))
    ]
    if not guilt or max(guilt) <= 0:  # nothing parts them: what takes most differences away
        guilt = [
            float(sum(values[a.row][i] != values[b.row][i] for a, b, _ in differing))
            for i in range(len(switches))
        ]
    if not any(guilt):
        by_normaliser = "the normaliser", "normalise=None", {"normalise": None}
        return by_normaliser if merging.similar is None else similar
    guilty = switches[guilt.index(max(guilt))]
    switch = different_switches(_without_switch(normaliser, guilty))
    remedy = f"normalise={written(switch)}" if switch else "normalise=True"
    return guilty.words, remedy, {"normalise": switch or True}


def _differ_still(normaliser: Normaliser, differing: list[Pair]) -> bool:
    """Whether most of those that part, or of all if none does, differ without their noise too."""
    pairs = [pair for pair in differing if pair[2]] or differing
    texts = list(
        {step.state for a, b, _ in pairs for step in (a, b) if isinstance(step.state, str)}
    )
    clean = dict(zip(texts, normaliser.texts(texts), strict=True))
    num_differing = sum(
        clean.get(a.state, a.state) != clean.get(b.state, b.state) for a, b, _ in pairs
    )
    return bool(2 * num_differing >= len(pairs))


def _values(state: Any, switches: Sequence[Switch]) -> list[tuple[str, ...]]:
    """What each takes out of the text, of what those before it leave."""
    values = []
    for switch in switches:
        spans = switch.spans(state) if isinstance(state, str) else []
        values.append(tuple(state[begin:end] for begin, end in spans))
        state = replaced(state, [spans]) if spans else state
    return values


def _guilt(pairs: list[tuple[bool, bool]]) -> float:
    """How much more pairs part where their values differ. In every pair they may: half of it."""
    differ, same = Share(0.0), Share(0.0)
    for is_different, is_parted in pairs:
        (differ if is_different else same).add(is_parted)
    if differ.count == 0:
        return 0.0
    return differ.share - same.share if same.count else differ.share / 2


def _without_switch(normaliser: Normaliser, guilty: Switch) -> Normaliser:
    switches = {each.name: getattr(normaliser, each.name) for each in fields(Normaliser)}
    if guilty.name == "ignore":
        left = [one for one in normaliser.ignore if expression_of(one) != guilty.expression]
        return Normaliser(**{**switches, "ignore": left})
    return Normaliser(**{**switches, guilty.name: False})


def _near(a: Step, b: Step) -> tuple[NearState, NearState]:
    mark_a, mark_b = marked(str(a.state), str(b.state))
    return NearState(a.row, str(a.state), mark_a), NearState(b.row, str(b.state), mark_b)
