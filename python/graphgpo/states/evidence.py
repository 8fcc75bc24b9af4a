"""Whether a switch takes noise away, or a difference that matters.

A switch takes a value away: the clock, the number of a train. Looks at pairs of steps from
different rollouts of a group whose states are one with all switches on. A value matters

- if **it decides what happens**: after the same action, successors agree less where values differ;
- if **what is done decides it**: from one state with one value, the next value is the same after
  the same action and another after another. So it is with a room's number and a piece on a board,
  but not with a counter (the next one, whatever is done), an advertisement (any) or a session
  (none comes twice).

Where too few actions come twice for the second question, a value is noise only if the next one is
as good as independent of it, or if every value belongs to one position or one rollout; where none
is known, only the latter will do for all but clocks and ids.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphgpo.states.sample import Step
from graphgpo.states.switches import Switch, replaced

_PAIRS = 4  # of steps, for each step
_FEWEST_PAIRS = 8  # that a share of pairs says something
_WORSE = 0.1  # fewer successors may agree where values differ
_LEAST_AGREEMENT = 0.75  # where nothing is there to compare with


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the pairs say of one switch."""

    is_noise: bool
    is_decided: bool
    """What is done decides the value, as far as the steps show."""
    agreement: float
    """Of the pairs that it merges, the share with one successor."""
    pairs: int
    """Those pairs."""


class Evidence:
    """The steps with the stretches of every switch found once; any choice of them composes."""

    def __init__(self, steps: Sequence[Step], switches: Sequence[Switch]) -> None:
        self.steps = steps
        self._knows_actions = any(step.action is not None for step in steps)
        self._values: dict[Switch, dict[Any, tuple[str, ...]]] = {}
        self._spans: dict[str, dict[Switch, list[tuple[int, int]]]] = {}
        for step in steps:
            for text in (step.state, step.next_state):
                if isinstance(text, str) and text not in self._spans:
                    self._spans[text] = {switch: switch.spans(text) for switch in switches}

    def states(self, switches: Sequence[Switch]) -> list[Any]:
        """The state of every step without the stretches of `switches`."""
        coarse = self._coarse(switches)
        return [coarse.get(step.state, step.state) for step in self.steps]

    def count(self, switches: Sequence[Switch]) -> int:
        """Distinct states, each group's its own."""
        states = self.states(switches)
        return len({(step.group, state) for step, state in zip(self.steps, states, strict=True)})

    def verdicts(self, switches: Sequence[Switch]) -> dict[Switch, Verdict]:
        """Of each of the switches, all of them on."""
        coarse = self._coarse(switches)
        pairs = list(self._pairs(coarse))
        self._values = {switch: self._values_of(switch, switches) for switch in switches}
        return {switch: self._verdict(switch, pairs, coarse) for switch in switches}

    def _values_of(self, switch: Switch, switches: Sequence[Switch]) -> dict[Any, tuple[str, ...]]:
        """What it takes out of each text, less what narrower ones of `switches` would take."""
        narrower = [other for other in switches if other.width < switch.width]

        def value(text: str, begin: int, end: int) -> str:
            inner = [
                [
                    (max(first, begin) - begin, min(last, end) - begin)
                    for first, last in self._spans[text][other]
                    if first < end and last > begin
                ]
                for other in narrower
            ]
            return replaced(text[begin:end], inner)

        return {
            text: tuple(value(text, begin, end) for begin, end in spans[switch])
            for text, spans in self._spans.items()
            if spans[switch]
        }

    def _coarse(self, switches: Sequence[Switch]) -> dict[Any, str]:
        return {
            text: replaced(text, [spans[switch] for switch in switches])
            for text, spans in self._spans.items()
        }

    def _pairs(self, coarse: dict[Any, str]) -> Iterator[tuple[Step, Step]]:
        """Of steps with one state, one action and a known successor, of two rollouts."""
        alike: dict[tuple[Any, ...], list[Step]] = defaultdict(list)
        for step in self.steps:
            if step.next_state is not None and isinstance(step.state, str):
                alike[step.group, coarse[step.state], step.action].append(step)
        rng = random.Random(0)
        for bucket in alike.values():
            for i, step in enumerate(bucket):
                others = bucket[:i]
                for other in others if i <= _PAIRS else rng.sample(others, _PAIRS):
                    if other.rollout != step.rollout:
                        yield other, step

    def _verdict(
        self, switch: Switch, pairs: list[tuple[Step, Step]], coarse: dict[Any, str]
    ) -> Verdict:
        same, differ = Share(), Share()  # successors agree, by whether values do
        for a, b in pairs:
            value = self._value(a.state, switch)
            is_same = value == self._value(b.state, switch)
            if value or not is_same:
                (same if is_same else differ).add(_successor(a, coarse) == _successor(b, coarse))
        decides = self._knows_actions and differ.share < _LEAST_AGREEMENT
        if same.count >= _FEWEST_PAIRS:
            decides = differ.share < same.share - _WORSE
        is_decided = self._is_decided_by_actions(switch, coarse)
        if is_decided is None:
            is_decided = self._is_decided_somehow(switch, pairs, coarse)
        return Verdict(
            is_noise=differ.count > 0 and not is_decided and not decides,
            is_decided=is_decided,
            agreement=differ.share,
            pairs=differ.count,
        )

    def _is_decided_by_actions(self, switch: Switch, coarse: dict[Any, str]) -> bool | None:
        """Whether what is done decides the next value; None where too little is known."""
        if not self._knows_actions:
            return None
        alike: dict[tuple[Any, ...], list[tuple[Step, Any]]] = defaultdict(list)
        for step in self.steps:
            next_value = self._value(step.next_state, switch)
            if isinstance(step.state, str) and isinstance(step.next_state, str):
                value = self._value(step.state, switch)
                alike[step.group, coarse[step.state], value].append((step, next_value))
        num_known = num_deciding = 0
        rng = random.Random(0)
        for bucket in alike.values():
            by_same, by_other = Share(), Share()  # action: next values agree
            for i, (step, next_value) in enumerate(bucket):
                for other, other_value in bucket[:i] if i <= 8 else rng.sample(bucket[:i], 8):
                    if other.rollout == step.rollout or not (next_value or other_value):
                        continue
                    # A page without the stretch is another page, or it is one where the other has
                    # a word that belongs to it: then both are one without it.
                    is_one = _successor(step, coarse) == _successor(other, coarse)
                    if is_one or (next_value and other_value):
                        is_same = other.action == step.action
                        (by_same if is_same else by_other).add(next_value == other_value)
            if by_same.count >= 3 and by_other.count >= 3:
                num_known += 1
                num_deciding += by_same.share >= 0.9 and by_other.share <= 0.8
        if num_known == 0:
            return None
        fewest = 1 if switch.width > 1 else 2
        return num_deciding >= max(fewest, 0.02 * num_known)

    def _is_decided_somehow(
        self, switch: Switch, pairs: list[tuple[Step, Step]], coarse: dict[Any, str]
    ) -> bool:
        """Whether values look like a part of the state, actions unknown."""
        kept, renewed = Share(), Share()  # next values agree, successors being one
        apart = Share()  # equal values at two positions
        for a, b in pairs:
            is_same = self._value(a.state, switch) == self._value(b.state, switch)
            if is_same:
                apart.add(a.position != b.position)
            next_a, next_b = self._value(a.next_state, switch), self._value(b.next_state, switch)
            if next_a and next_b and _successor(a, coarse) == _successor(b, coarse):
                (kept if is_same else renewed).add(next_a == next_b)
        fewest = 1 if switch.width > 1 else _FEWEST_PAIRS  # what takes more has to show more
        is_new = kept.count < fewest or kept.share <= renewed.share + _WORSE
        is_bound = apart.count < _FEWEST_PAIRS or apart.share < 0.05
        if not self._knows_actions and (switch.width > 0 or switch.name == "numbers"):
            return not is_bound  # an exit code may look as new as an advertisement
        return not (is_new or is_bound)

    def _value(self, text: Any, switch: Switch) -> tuple[str, ...]:
        return self._values[switch].get(text, ())


def _successor(step: Step, coarse: dict[Any, str]) -> Any:
    return coarse.get(step.next_state, step.next_state)


class Share:
    """Of some pairs, the share of which something holds; `of_none`: where there are no pairs."""

    def __init__(self, of_none: float = 1.0) -> None:
        self.count = self._true = 0
        self._of_none = of_none

    def add(self, is_true: bool) -> None:
        self.count += 1
        self._true += is_true

    @property
    def share(self) -> float:
        return self._true / self.count if self.count else self._of_none
