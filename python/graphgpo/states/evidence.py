"""Whether a switch takes noise away, or a difference that matters.

Looks at pairs of steps from different rollouts of a group whose states are one with all switches
on, and that took one action. Where a switch takes a value away (the clock, the number of a train),
noise shows in three ways, and a difference that matters in none:

- **The successors agree** whether the values agree or not. If they agree less where values differ,
  the value decides what happens.
- **What is done does not decide the value.** The next value is as good as independent of this one
  (a new advertisement every time), or every value belongs to one position or one rollout (a
  counter, a session), or this value alone decides the next (a counter that starts anew). A room's
  number does none of that: it comes again, and the way taken decides the next one.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from graphgpo.states.sample import Step
from graphgpo.states.switches import Switch, replaced

_PAIRS = 12  # of steps, for each step
_FEWEST_PAIRS = 8  # that a share of pairs says something
_WORSE = 0.1  # fewer successors may agree where values differ
_LEAST_AGREEMENT = 0.75  # where nothing is there to compare with


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the pairs say of one switch."""

    is_noise: bool
    agreement: float
    """Of the pairs that it merges, the share with one successor."""
    pairs: int
    """Those pairs."""


class Evidence:
    """The steps with the stretches of every switch found once; any choice of them composes."""

    def __init__(self, steps: Sequence[Step], switches: Sequence[Switch]) -> None:
        self.steps = steps
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
        return {switch: self._verdict(switch, pairs, coarse) for switch in switches}

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
        same, differ = _Share(), _Share()  # successors agree, by whether values do
        kept, renewed = _Share(), _Share()  # next values agree, successors and actions being one
        alone = _Share()  # next values agree where values do, whatever was done
        apart = _Share()  # equal values at two positions
        for a, b in pairs:
            is_same = self._value(a.state, switch) == self._value(b.state, switch)
            agrees = coarse.get(a.next_state, a.next_state) == coarse.get(
                b.next_state, b.next_state
            )
            (same if is_same else differ).add(agrees)
            if is_same:
                apart.add(a.position != b.position)
            next_a, next_b = self._value(a.next_state, switch), self._value(b.next_state, switch)
            if agrees and next_a and next_b:
                (kept if is_same else renewed).add(next_a == next_b)
        for a, b in self._of_one_value(switch):
            alone.add(self._value(a.next_state, switch) == self._value(b.next_state, switch))

        verdict = Verdict(is_noise=True, agreement=differ.share, pairs=differ.count)
        decides = differ.share < _LEAST_AGREEMENT
        if same.count >= _FEWEST_PAIRS:
            decides = differ.share < same.share - _WORSE
        if differ.count == 0 or (decides and self._knows_actions()):
            return Verdict(is_noise=False, agreement=differ.share, pairs=differ.count)
        is_new = kept.count < _FEWEST_PAIRS or kept.share <= renewed.share + _WORSE
        is_bound = apart.count < _FEWEST_PAIRS or apart.share < 0.05
        is_alone = alone.count >= _FEWEST_PAIRS and alone.share >= 0.98
        if is_new or is_bound or is_alone:
            return verdict
        return Verdict(is_noise=False, agreement=differ.share, pairs=differ.count)

    def _of_one_value(self, switch: Switch) -> Iterator[tuple[Step, Step]]:
        alike: dict[tuple[Any, ...], list[Step]] = defaultdict(list)
        for step in self.steps:
            value = self._value(step.state, switch)
            if value and self._value(step.next_state, switch):
                alike[step.group, value].append(step)
        rng = random.Random(0)
        for bucket in alike.values():
            for i, step in enumerate(bucket[1:], 1):
                other = bucket[rng.randrange(i)]
                if other.rollout != step.rollout:
                    yield other, step

    def _value(self, text: Any, switch: Switch) -> tuple[str, ...]:
        spans = self._spans.get(text, {}).get(switch, ())
        return tuple(text[begin:end] for begin, end in spans)

    def _knows_actions(self) -> bool:
        return any(step.action is not None for step in self.steps)


class _Share:
    def __init__(self) -> None:
        self.count = self._true = 0

    def add(self, is_true: bool) -> None:
        self.count += 1
        self._true += is_true

    @property
    def share(self) -> float:
        return self._true / self.count if self.count else 1.0
