"""What a reading took and what it left out: format, mapping, counts, the success rule, warnings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphgpo.keys import state_key

from .errors import FileError
from .rows import keys_of_runs, run_starts

FAILED, PARTIAL, SOLVED = range(3)
"""How a rollout counts, worst first. Partial: its outcome lies between 0 and the rule's; it counts
as failed."""

_TALLY = np.dtype(
    [("rollout", np.uint64), ("group", np.uint64), ("verdict", np.uint8), ("worst", np.uint8)]
)
_PACK_EVERY = 1 << 14
_MERGE_EVERY = 1 << 20  # or as many as are merged already: sorting stays O(log n) a rollout

Keys: TypeAlias = NDArray[np.uint64]
_Entries: TypeAlias = NDArray[np.void]


class Tally:
    """The distinct rollouts seen, 18 bytes each, in whatever order and however often they come.

    Ids are kept as stable 64-bit keys. Of a rollout that comes with several verdicts, as one whose
    last step alone says that it won, the best counts; the worst is kept to say so.
    """

    def __init__(self) -> None:
        self._merged = np.empty(0, _TALLY)
        self._packed: list[_Entries] = []
        self._num_packed = 0
        self._new: list[tuple[int, int, int]] = []
        self._last_group = ("", state_key(""))
        self._group_sizes: NDArray[np.int64] | None = None

    def add(self, group_id: str, trajectory_id: str, verdict: int) -> None:
        """Count a rollout, once."""
        if group_id != self._last_group[0]:  # rollouts of a group come together, mostly
            self._last_group = (group_id, state_key(group_id))
        self._new.append((self._last_group[1], state_key(trajectory_id), verdict))
        if len(self._new) >= _PACK_EVERY:
            self._pack_new()

    def add_rows(self, group_ids: Any, trajectory_ids: Any, verdicts: NDArray[np.uint8]) -> None:
        """Count the rollouts of columns of rows."""
        if len(verdicts):
            self._pack(_entries(keys_of_runs(group_ids), keys_of_runs(trajectory_ids), verdicts))

    def update(self, other: Tally) -> None:
        """Count what `other` has counted."""
        self._pack(other.rollouts)

    @property
    def rollouts(self) -> _Entries:
        """One entry per distinct rollout."""
        self._pack_new()
        if self._packed:
            self._merge()
        return self._merged

    @property
    def group_sizes(self) -> NDArray[np.int64]:
        """How many rollouts each group has."""
        rollouts = self.rollouts
        if self._group_sizes is None:
            groups = np.sort(rollouts["group"])
            self._group_sizes = np.diff(run_starts(groups), append=len(groups))
        return self._group_sizes

    def _pack_new(self) -> None:
        if self._new:
            groups, trajectories, verdicts = np.array(self._new, np.int64).T
            self._new = []
            self._pack(_entries(groups, trajectories, verdicts.astype(np.uint8)))

    def _pack(self, entries: _Entries) -> None:
        self._packed.append(entries)
        self._num_packed += len(entries)
        if self._num_packed >= max(_MERGE_EVERY, len(self._merged)):
            self._merge()

    def _merge(self) -> None:
        every = np.concatenate([self._merged, *self._packed])
        # By `take`: indexing copies records field by field, six times as slow.
        every = every.take(np.argsort(every["rollout"]))
        starts = run_starts(every["rollout"])
        self._merged = every.take(starts)
        self._merged["verdict"] = np.maximum.reduceat(every["verdict"], starts)
        self._merged["worst"] = np.minimum.reduceat(every["worst"], starts)
        self._packed, self._num_packed, self._group_sizes = [], 0, None


def _entries(
    groups: NDArray[np.int64], trajectories: NDArray[np.int64], verdicts: NDArray[np.uint8]
) -> _Entries:
    """An entry per run of rows of one rollout."""
    group_keys = groups.astype(np.uint64)
    rollouts = mixed(group_keys, trajectories.astype(np.uint64))
    starts = run_starts(rollouts)
    entries = np.empty(len(starts), _TALLY)
    entries["rollout"] = rollouts[starts]
    entries["group"] = group_keys[starts]
    entries["verdict"] = np.maximum.reduceat(verdicts, starts)
    entries["worst"] = np.minimum.reduceat(verdicts, starts)
    return entries


def mixed(first: Keys, second: Keys) -> Keys:
    """A key of two keys, in this order: the finaliser of SplitMix64 over one and the other."""
    key = first + np.uint64(0x9E3779B97F4A7C15)
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9) ^ second
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return key ^ (key >> np.uint64(31))


@dataclass
class Report:
    """What was read. Complete once every table has been taken."""

    success_at: float = 1.0
    format: str = ""
    """The format taken, with its preset in brackets."""

    mapping: dict[str, str] = field(default_factory=dict)
    """Where each column came from."""

    num_files: int = 0
    num_rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Rollouts left out, by reason."""

    counts: Counter[str] = field(default_factory=Counter)
    """What else a format counts, such as side branches."""

    lacks_next_states: bool = False
    """Whether a file had no next states, so that they are those of the following steps."""

    warnings: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally, repr=False)

    def warn(self, sentence: str) -> None:
        """Note something the reader of the report should know, once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def verdict(self, outcome: bool | float) -> int:
        """How a rollout of this outcome counts."""
        if isinstance(outcome, bool):
            return SOLVED if outcome else FAILED
        if outcome >= self.success_at:
            return SOLVED
        return PARTIAL if outcome > 0 else FAILED

    @property
    def num_rollouts(self) -> int:
        """Distinct rollouts taken."""
        return len(self.tally.rollouts)

    @property
    def num_groups(self) -> int:
        """Distinct groups of them."""
        return len(self.tally.group_sizes)

    @property
    def num_solved(self) -> int:
        """Rollouts that reached the goal, by the rule."""
        return int((self.tally.rollouts["verdict"] == SOLVED).sum())

    @property
    def num_partial(self) -> int:
        """Rollouts whose outcome lies between 0 and the rule's."""
        return int((self.tally.rollouts["verdict"] == PARTIAL).sum())

    @property
    def num_single(self) -> int:
        """Groups of one rollout: nothing to compare it with."""
        return int((self.tally.group_sizes == 1).sum())

    @property
    def num_split(self) -> int:
        """Rollouts that are solved by some of their rows only."""
        found = self.tally.rollouts
        return int(((found["verdict"] == SOLVED) & (found["worst"] != SOLVED)).sum())

    @property
    def of_whole_rollouts(self) -> tuple[str, ...]:
        """Columns that `graphgpo.files.rows.completed` must make, once rollouts are whole."""
        next_states = ("next_state",) if self.lacks_next_states else ()
        return (*next_states, "success", "outcome") if self.num_split else next_states

    @property
    def success_rule(self) -> str:
        """The rule in words."""
        return f"a bool as it is, else outcome >= {self.success_at:g}"

    def check(self) -> None:
        """Add the warnings that only the whole corpus shows.

        Raises
        ------
        FileError
            If no rollout is left, or no group has two.
        """
        if not self.num_rollouts:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items())
            raise FileError(f"no rollout is left to read: {reasons or 'the files have no records'}")
        if self.num_single == self.num_groups:
            every = f"each of the {self.num_groups} groups"
            raise FileError(
                f"{every if self.num_groups > 1 else 'the only group'} has one rollout: there is "
                "nothing to compare it with; sample every task several times, or name the column "
                "that says which rollouts share a task (group_ids=...)"
            )
        if self.num_single:
            self.warn(
                f"{self.num_single} of {self.num_groups} groups have one rollout: nothing to "
                "compare it with"
            )
        if self.num_split:
            self.warn(
                f"{self.num_split} of {self.num_rollouts} rollouts are solved by some of their "
                "rows only, such as the last; they count as solved, by their best outcome"
            )
        if self.num_partial:
            self.warn(
                f"{self.num_partial} of {self.num_rollouts} outcomes lie between 0 and "
                f"{self.success_at:g} and count as failed; success_at sets the limit"
            )

    def update(self, other: Report) -> None:
        """Add what another process read of the same corpus."""
        self.format = self.format or other.format
        self.mapping = self.mapping or other.mapping
        self.num_files += other.num_files
        self.num_rows += other.num_rows
        self.left_out.update(other.left_out)
        self.counts.update(other.counts)
        self.lacks_next_states |= other.lacks_next_states
        for sentence in other.warnings:
            self.warn(sentence)
        self.tally.update(other.tally)

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "format": self.format,
            "mapping": dict(self.mapping),
            "files": self.num_files,
            "steps": self.num_rows,
            "rollouts": self.num_rollouts,
            "groups": self.num_groups,
            "groups_of_one": self.num_single,
            "success_rule": self.success_rule,
            "solved": self.num_solved,
            "failed": self.num_rollouts - self.num_solved,
            "partial": self.num_partial,
            "left_out": dict(self.left_out),
            "counts": dict(self.counts),
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterable[str]:
        yield f"format     {self.format}"
        for name, origin in self.mapping.items():
            yield f"  {name:<14} {origin}"
        yield (
            f"read       {self.num_files} files, {self.num_groups} groups, "
            f"{self.num_rollouts} rollouts, {self.num_rows} steps"
        )
        yield (
            f"success    {self.success_rule}: {self.num_solved} solved, "
            f"{self.num_rollouts - self.num_solved} failed"
        )
        for reason, count in self.left_out.items():
            yield f"left out   {count} rollouts: {reason}"
        for what, count in self.counts.items():
            yield f"counted    {count} {what}"
        for sentence in self.warnings:
            yield f"warning    {sentence}"
