"""Why a step has its credit: its peers, what they scored, and how that becomes a number.

Computed by the reference on the rows of the step's group (of the whole batch for estimators that
compare across it), so an explanation is also a check of the fast path. For people, not for loops:
it costs what the reference costs.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphgpo.blocks import Batch, Block, Live, NobodyWon
from graphgpo.columns import COLUMNS, is_null
from graphgpo.estimators import Estimator, check_needs
from graphgpo.graph import value_at

if TYPE_CHECKING:
    from graphgpo import reference
    from graphgpo.reference.plan import Compared, Level
    from graphgpo.reference.rollouts import Step
    from graphgpo.rollouts import Rollouts


@dataclass(frozen=True)
class Peer:
    """A step that was compared with the explained one."""

    row: int
    trajectory: Any
    action: Any
    next_state: Any
    score: float
    standing: float


@dataclass(frozen=True)
class Comparison:
    """One level of a term."""

    score: str
    peers_by: str
    normaliser: str
    unit: str
    own_score: float
    standing: float
    is_void: bool
    """Whether it says nothing: no peer, an unknown score, or all scores equal."""
    num_peers: int
    mean: float
    std: float
    """Of the scores, ddof 1."""
    peers: tuple[Peer, ...]
    """The explained step first, the others by falling score; one of each trajectory where those
    are compared."""


@dataclass(frozen=True)
class TermValue:
    """A summand of the advantage."""

    is_episodic: bool
    weight: float
    value: float
    """After levels, averages and modifiers, before the weight."""
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Explanation:
    """Why the step of a row has its credit. Prints readably; `as_dict()` for machines."""

    row: int
    estimator: str
    group: Any
    trajectory: Any
    turn: int
    state: Any
    action: Any
    next_state: Any
    distance: float
    next_distance: float
    advantage: float
    step_advantage: float
    episode_advantage: float
    terms: tuple[TermValue, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything as dicts, tuples and numbers."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        lines = [
            f"row {self.row}: turn {self.turn} of rollout {self.trajectory!r}, "
            f"group {self.group!r}",
            f"  {_short(self.state)} --{_short(self.action)}--> {_short(self.next_state)}",
            f"  distance {self.distance:g} -> {self.next_distance:g}",
            f"  {self.estimator}: advantage {self.advantage:+.4f} = "
            f"step {self.step_advantage:+.4f}, episode {self.episode_advantage:+.4f} "
            "(each times its weight)",
        ]
        for term in self.terms:
            part = "episode" if term.is_episodic else "step"
            lines.append(f"  {part} term {term.value:+.4f}, weight {term.weight:g}")
            for compared in term.comparisons:
                lines += _described(compared)
        return "\n".join(lines)


def _described(compared: Comparison, most: int = 8) -> list[str]:
    lines = [
        f"    {compared.score} {compared.own_score:.6g} among {compared.num_peers} "
        f"{compared.unit} by {compared.peers_by}, {compared.normaliser}: "
        + ("says nothing" if compared.is_void else f"{compared.standing:+.4f}")
        + f" (mean {compared.mean:.6g}, std {compared.std:.6g})"
    ]
    for peer in compared.peers[:most]:
        lines.append(
            f"      row {peer.row}, rollout {peer.trajectory!r}: {_short(peer.action, 24)} -> "
            f"{_short(peer.next_state, 24)}, {peer.score:.6g}, {peer.standing:+.4f}"
        )
    if len(compared.peers) > most:
        lines.append(f"      and {len(compared.peers) - most} more")
    return lines


def _short(value: Any, most: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def explain(rollouts: Rollouts, row: int, estimator: Estimator) -> Explanation:
    """See `Rollouts.explain`."""
    from graphgpo import reference

    try:
        row = operator.index(row)
    except TypeError:
        raise TypeError(f"row is {row!r} ({type(row).__name__}); expected an int") from None
    if not 0 <= row < len(rollouts):
        raise IndexError(f"row is {row}; expected one of the {len(rollouts)} rows")
    columns = rollouts.columns
    rows = _rows_needed(rollouts, row, estimator)
    plain: dict[str, Any] = {
        name: [value_at(column, r) for r in rows]
        for name, column in rollouts.merged_columns.items()
    }
    read = reference.read({**dict.fromkeys(COLUMNS), **plain})
    check_needs(estimator, columns)
    step = next((s for s in read.steps if row in (rows[r] for r in (s.row, *s.copies))), None)
    if step is None:
        raise ValueError(f"row {row} is masked: it is no step, and has no credit")
    return _explained(rollouts, row, estimator, read, step, rows)


def _rows_needed(rollouts: Rollouts, row: int, estimator: Estimator) -> list[int]:
    """Those of the row's group; all, where the estimator looks at the whole batch."""
    everything = list(range(len(rollouts)))
    if any(is_batch_wide(term) for term in estimator.terms()):
        return everything
    groups = rollouts.columns["group_ids"]
    own = value_at(groups, row)
    return [r for r in everything if value_at(groups, r) == own]


def is_batch_wide(block: Block) -> bool:
    """Whether a block looks beyond the task of a step."""
    if isinstance(block, (Batch, Live)) or (isinstance(block, NobodyWon) and block.times_share):
        return True
    for value in vars(block).values():
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Block) and is_batch_wide(inner):
                return True
    return False


def _explained(
    rollouts: Rollouts,
    row: int,
    estimator: Estimator,
    read: reference.Rollouts,
    step: Step,
    rows: list[int],
) -> Explanation:
    from graphgpo.reference.plan import compare, interpret, levels_of, standings

    def value(name: str, at: Step) -> Any:
        column = rollouts.columns.get(name)
        return None if column is None else value_at(column, rows[at.row])

    def target(at: Step) -> Any:
        if at.wins:
            return "GOAL"
        given = value("next_states", at)
        if is_null("next_states", given):
            given = None
        if given is None and at.following is not None:
            return value("states", at.following)
        return given

    def compared(level: Level) -> Comparison:
        return _comparison(level, compare(level, read), step, read, value, target, rows)

    credit = interpret(estimator, read)
    terms = []
    for term in estimator.terms():
        levels = levels_of(term)
        found = [compare(level, read) for level in levels]
        terms.append(
            TermValue(
                is_episodic=term.is_episodic,
                weight=term.weight,
                value=standings(term, found, read)[step.index],
                comparisons=tuple(compared(level) for level in levels),
            )
        )
    return Explanation(
        row=row,
        estimator=estimator.name,
        group=value("group_ids", step),
        trajectory=value("trajectory_ids", step),
        turn=step.turn,
        state=value("states", step),
        action=value("actions", step),
        next_state=target(step),
        distance=read.distance(step.group, step.source),
        next_distance=read.distance(step.group, step.target),
        advantage=float(credit.advantages[step.index]),
        step_advantage=float(credit.step_advantages[step.index]),
        episode_advantage=float(credit.episode_advantages[step.index]),
        terms=tuple(terms),
    )


def _comparison(
    level: Level,
    found: Compared,
    step: Step,
    read: reference.Rollouts,
    value: Any,
    target: Any,
    rows: list[int],
) -> Comparison:
    from graphgpo.reference.peers import peer_keys

    keys = peer_keys(level.peers, read)
    own = keys[step.index]
    peers = [s for s in read.steps if s is step or (own is not None and keys[s.index] == own)]
    if level.unit == "trajectories":  # each counts once: by the explained step, or its first
        once = {step.trajectory: step}
        for peer in sorted(peers, key=lambda s: s.turn):
            once.setdefault(peer.trajectory, peer)
        peers = list(once.values())
    known = [found.scores[s.index] for s in peers if not math.isnan(found.scores[s.index])]
    mean = math.fsum(known) / len(known) if known else math.nan
    spread = math.fsum((x - mean) ** 2 for x in known)
    peers.sort(key=lambda s: (s is not step, -found.scores[s.index], s.row))
    return Comparison(
        score=type(level.score).__name__,
        peers_by=type(level.peers).__name__,
        normaliser=type(level.normaliser).__name__,
        unit=level.unit,
        own_score=found.scores[step.index],
        standing=found.standings[step.index],
        is_void=found.is_void[step.index],
        num_peers=found.num_peers[step.index],
        mean=mean,
        std=math.sqrt(spread / (len(known) - 1)) if len(known) > 1 else 0.0,
        peers=tuple(
            Peer(
                row=rows[s.row],
                trajectory=value("trajectory_ids", s),
                action=value("actions", s),
                next_state=target(s),
                score=found.scores[s.index],
                standing=found.standings[s.index],
            )
            for s in peers
        ),
    )
