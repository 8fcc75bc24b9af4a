r"""Switches that might be what a batch's states need, and where each of them matches.

A switch is a class of `Normaliser`, or a regular expression found by comparing states that almost
are one: what differs, with the words in front of it. `step 3/14` against `step 4/14` is
`step \d+`; lines that begin alike and end differently are `^Sponsored: .*`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from difflib import SequenceMatcher

from graphgpo.states.patterns import CLASSES
from graphgpo.states.sample import Step

CLASS_WORDS = {
    "timestamps": "a clock",
    "uuids": "a uuid",
    "hex": "a hexadecimal id",
    "urls": "an address",
    "numbers": "a number",
}

_MAX_SWITCHES = 14
_PROBES = 32  # states compared with their neighbours
_CANDIDATES = 150  # states of the group each of them is compared with
_MAX_TOKENS = 800


@dataclass(frozen=True, slots=True)
class Switch:
    """One argument of `Normaliser`, or one expression of its `ignore`."""

    name: str
    """A class of `Normaliser`, or "ignore"."""
    expression: str
    width: int
    """How much it may take: 0 a class, 1 digits, 2 a word, 3 up to a blank, 4 the line."""

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where it matches, without empty matches."""
        matches = re.finditer(self.expression, text)
        return [match.span() for match in matches if match.end() > match.start()]

    @property
    def words(self) -> str:
        """What it is and how it is written."""
        if self.name != "ignore":
            return f"{CLASS_WORDS[self.name]} ({self.name}=True)"
        kind = {1: "a counter", 2: "a word", 3: "an id", 4: "a line"}[self.width]
        return f"{kind} (ignore=[r{self.expression!r}])".replace("\\\\", "\\")


def class_switch(name: str) -> Switch:
    return Switch(name=name, expression=CLASSES[name][1], width=0)


def found_switches(steps: list[Step]) -> list[Switch]:
    """Classes that match anywhere, then expressions from near states, the most frequent first."""
    texts = list({step.state for step in steps if isinstance(step.state, str)})
    classes = [class_switch(name) for name in ("timestamps", "uuids", "hex", "urls")]
    found = [switch for switch in classes if any(map(switch.spans, texts))]
    counts: Counter[Switch] = Counter()
    for a, b in near_states(steps, found):
        counts.update(set(_differences(a, b)))
    expressions = sorted(
        counts.items(), key=lambda item: (-item[1], item[0].width, item[0].expression)
    )
    return found + [switch for switch, count in expressions if count >= 2][:_MAX_SWITCHES]


def near_states(steps: list[Step], noise: list[Switch]) -> list[tuple[str, str]]:
    """Pairs of states of a group, each with the nearest ones, their `noise` taken out."""
    groups: dict[int, dict[str, None]] = defaultdict(dict)
    for step in steps:
        if isinstance(step.state, str):
            groups[step.group][step.state] = None
    pairs: list[tuple[str, str]] = []
    probes_left = _PROBES
    for states in groups.values():
        texts = list(dict.fromkeys(without(text, noise) for text in states))
        stride = max(1, len(texts) // max(1, _PROBES // len(groups)))
        bags = [Counter(_tokens(text)) for text in texts[:: max(1, len(texts) // _CANDIDATES)]]
        others = texts[:: max(1, len(texts) // _CANDIDATES)]
        for text in texts[::stride]:
            if probes_left == 0:
                return pairs
            probes_left -= 1
            bag = Counter(_tokens(text))
            by_distance = sorted(
                (_distance(bag, other_bag), i)
                for i, other_bag in enumerate(bags)
                if others[i] != text
            )
            pairs += [(text, others[i]) for _, i in by_distance[:3]]
    return pairs


def without(text: str, noise: list[Switch]) -> str:
    """The text with every stretch of `noise` as a mark no expression takes for a word."""
    return replaced(text, [switch.spans(text) for switch in noise])


MARK = "\0"


def replaced(text: str, spans: list[list[tuple[int, int]]]) -> str:
    """The text with overlapping stretches joined, each as a mark."""
    ordered = sorted(span for of_switch in spans for span in of_switch)
    pieces, at = [], 0
    for begin, end in ordered:
        if end <= at:
            continue
        if begin >= at:
            pieces += [text[at:begin], MARK]
        at = end
    return "".join([*pieces, text[at:]])


def _tokens(text: str) -> list[str]:
    return re.findall(r"\w+|\s+|[^\w\s]", text)[:_MAX_TOKENS]


def _distance(a: Counter[str], b: Counter[str]) -> int:
    return sum(abs(a[token] - b[token]) for token in a.keys() | b.keys())


def _differences(a: str, b: str) -> list[Switch]:
    tokens_a, tokens_b = _tokens(a), _tokens(b)
    found = []
    matcher = SequenceMatcher(None, tokens_a, tokens_b, autojunk=False)
    for kind, begin, end, begin_b, end_b in matcher.get_opcodes():
        if kind == "replace":
            left, right = "".join(tokens_a[:begin]), "".join(tokens_a[end:])
            mine, its = "".join(tokens_a[begin:end]), "".join(tokens_b[begin_b:end_b])
            found += _of_stretch(left, mine, its, right)
    lines_a, lines_b = a.splitlines(), b.splitlines()
    for kind, begin, end, begin_b, end_b in SequenceMatcher(
        None, lines_a, lines_b, autojunk=False
    ).get_opcodes():
        if kind == "replace" and end - begin == end_b - begin_b:
            for mine, its in zip(lines_a[begin:end], lines_b[begin_b:end_b], strict=True):
                found += _of_line(mine, its)
    return found


def _of_stretch(left: str, mine: str, its: str, right: str) -> list[Switch]:
    context = _context(left, right)
    if context is None:
        return []
    before, after = context
    found = []
    if mine.isdigit() and its.isdigit():
        found.append(Switch("ignore", f"{before}\\d+{after}", 1))
    if re.fullmatch(r"\w+", mine) and re.fullmatch(r"\w+", its):
        found.append(Switch("ignore", f"{before}\\w+{after}", 2))
    if not re.search(r"\s", mine + its) and MARK not in mine + its:
        found.append(Switch("ignore", f"{before}\\S+{after}", 3))
    return found


def _context(left: str, right: str) -> tuple[str, str] | None:
    """Expressions for what stands before a stretch in its line and, if nothing does, behind it."""
    line = left.rpartition("\n")[2].rpartition(MARK)[2]
    word = re.search(r"(?:[^\W\d]\w*)?[^\w\s]*[ \t]*$", line)
    if word and word[0].strip():
        return _escaped(word[0]), ""
    if not line.strip() and MARK not in left.rpartition("\n")[2]:
        follows = re.match(r"[ \t]*[^\w\s]*[ \t]*[^\W\d]+", right)
        if follows:
            return r"(?m:^)" + _escaped(line), f"(?={_escaped(follows[0])})"
    return None


def _of_line(mine: str, its: str) -> list[Switch]:
    size = next(
        (i for i, (x, y) in enumerate(zip(mine, its, strict=False)) if x != y),
        min(len(mine), len(its)),
    )
    begin = re.match(r"(?:.*[^\w])?", mine[:size], re.DOTALL)
    prefix = begin[0] if begin else ""
    if MARK in prefix or not re.search(r"[^\W\d]{2}", prefix):
        return []
    return [Switch("ignore", r"(?m:^)" + _escaped(prefix) + ".*", 4)]


def _escaped(text: str) -> str:
    return re.escape(text).replace("\\ ", " ")


def marked(a: str, b: str, *, context: int = 30) -> tuple[str, str]:
    """Both texts around what differs, which stands in « ».

    >>> marked("step 3: hall", "step 12: hall")
    ('step «3»: hall', 'step «12»: hall')
    """
    shortest = min(len(a), len(b))
    head = next((i for i in range(shortest) if a[i] != b[i]), shortest)
    tail = next((i for i in range(shortest - head) if a[-1 - i] != b[-1 - i]), shortest - head)

    def around(text: str) -> str:
        end = len(text) - tail
        before = ("…" if head > context else "") + text[max(0, head - context) : head]
        after = text[end : end + context] + ("…" if tail > context else "")
        stretch = text[head:end]
        if len(stretch) > 4 * context:
            stretch = stretch[: 2 * context] + "…" + stretch[-2 * context :]
        return f"{before}«{stretch}»{after}"

    return around(a), around(b)
