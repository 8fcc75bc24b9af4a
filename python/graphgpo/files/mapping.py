"""The mapping language: which column of the rows is which path of a record.

    states=runs[].steps[].obs  group_ids=task  trajectory_ids=runs[].id  success=runs[].won

A path is keys joined by `.`; `[]` goes through a list. A row is an item of the deepest list, and
values from outside it repeat. `@file` and `@row` are where the record stands, `=text` is a
constant, and `messages=talk[]` a chat, read by the turn rule.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import FileError, listed, quoted

COLUMNS = {
    "states": "state",
    "next_states": "next_state",
    "group_ids": "group_id",
    "trajectory_ids": "trajectory_id",
    "step_ids": "step_id",
    "actions": "action",
    "success": "success",
    "episode_returns": "outcome",
    "rewards": "reward",
    "training_steps": "training_step",
    "messages": "messages",
}
"""Names a mapping uses, as in `compute_advantages`, and the columns of the rows they fill."""

_BY_EITHER_NAME = {**COLUMNS, **{column: column for column in COLUMNS.values()}}
_NULLABLE = frozenset({"next_state", "action", "success", "outcome", "reward"})
_ABSENT = object()
_MOST_PATHS = 2000  # of a record, looked at for the nearest one


@dataclass(frozen=True, slots=True)
class Path:
    """Where a column is in a record."""

    text: str
    hops: tuple[tuple[str, ...], ...]
    """Keys between two lists: one entry more than there are `[]`."""

    @property
    def depth(self) -> int:
        """How many lists it goes through."""
        return len(self.hops) - 1


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value for every row."""

    value: Any


@dataclass(frozen=True, slots=True)
class Place:
    """`@file` or `@row`."""

    name: str


Origin = Path | Constant | Place


def column_name(name: str) -> str:
    """The column of the rows that a mapping's name fills.

    Raises
    ------
    ValueError
        If there is none, with the nearest.

    >>> column_name("states")
    'state'
    """
    if name in _BY_EITHER_NAME:
        return _BY_EITHER_NAME[name]
    near = difflib.get_close_matches(name, _BY_EITHER_NAME, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"columns names {name!r}, expected one of {listed(COLUMNS)}{hint}")


def parse_origin(name: str, text: str) -> Origin:
    """What stands behind the `=` of a mapping.

    >>> parse_origin("states", "runs[].steps[].obs").depth
    2
    >>> parse_origin("success", "=true")
    Constant(value=True)

    Raises
    ------
    ValueError
        If it is no path, constant, `@file` or `@row`.
    """
    if text.startswith("="):
        try:
            return Constant(json.loads(text[1:]))
        except ValueError:
            return Constant(text[1:])
    if text.startswith("@"):
        if text not in ("@file", "@row"):
            raise ValueError(f"{name}={text} is neither @file nor @row")
        return Place(text)
    hops: list[list[str]] = [[]]
    for part in text.split("."):
        match = re.fullmatch(r"([^\[\]]*)((?:\[\])*)", part)
        if match is None or not part or (not match[1] and len(hops) == 1 and not hops[0]):
            raise ValueError(
                f"{name}={text} is not a path; expected keys joined by '.', with '[]' after a list"
            )
        if match[1]:
            hops[-1].append(match[1])
        hops.extend([] for _ in range(len(match[2]) // 2))
    return Path(text, tuple(tuple(hop) for hop in hops))


class Plan:
    """A mapping, ready to be applied to records."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        """`columns`: name to path, both as the user wrote them.

        Raises
        ------
        ValueError
            If a name or a path is none, a column is given twice, one is missing, or two paths go
            through lists of which neither lies within the other.
        """
        self.origins: dict[str, Origin] = {}
        self.texts: dict[str, str] = {}
        for name, text in columns.items():
            column = column_name(name)
            if column in self.origins:
                raise ValueError(f"columns gives {column!r} twice")
            self.origins[column] = parse_origin(name, text)
            self.texts[column] = text
        chat = self.origins.get("messages")
        if isinstance(chat, Path) and not chat.hops[-1]:
            # The list is the value itself: one rollout of it, not a row per message.
            self.origins["messages"] = Path(chat.text, chat.hops[:-1])
        self._check_columns()
        self._deepest = self._deepest_path()
        self._seen: set[str] = set()
        # Of a path its list and its last keys: looked up for every value otherwise.
        self._columns = [
            (column, origin, origin.depth, origin.hops[-1])
            if isinstance(origin, Path)
            else (column, origin, 0, ())
            for column, origin in self.origins.items()
        ]

    @property
    def has_messages(self) -> bool:
        """Whether steps come from a chat, by the turn rule."""
        return "messages" in self.origins

    @property
    def depth(self) -> int:
        """Lists between a record and a row."""
        return self._deepest.depth if self._deepest else 0

    def heads(self) -> list[str]:
        """Keys of a record that any path begins with, or is."""
        paths = [origin for origin in self.origins.values() if isinstance(origin, Path)]
        keys = {key for path in paths for key in (path.text, *path.hops[0][:1])}
        return sorted(keys)

    def _check_columns(self) -> None:
        given = self.origins
        if self.has_messages:
            clash = [name for name in ("state", "next_state", "action", "step_id") if name in given]
            if clash:
                raise ValueError(
                    f"columns has messages and {listed(clash)}; the turn rule makes these of the "
                    "messages"
                )
        elif "state" not in given:
            raise ValueError("columns has neither 'states' nor 'messages'")
        if "group_id" not in given:
            raise ValueError("columns has no 'group_ids': which rollouts share a task")
        if "success" not in given and "outcome" not in given:
            raise ValueError("columns has neither 'success' nor 'episode_returns'")

    def _deepest_path(self) -> Path | None:
        paths = [origin for origin in self.origins.values() if isinstance(origin, Path)]
        deepest = max(paths, key=lambda path: path.depth, default=None)
        for path in paths:
            if deepest and path.hops[: path.depth] != deepest.hops[: path.depth]:
                raise ValueError(
                    f"{path.text} and {deepest.text} go through two lists side by side; a row is "
                    "an item of one"
                )
        if (
            "trajectory_id" not in self.origins
            and not self.has_messages
            and not (deepest and deepest.depth)
        ):
            raise ValueError("columns has no 'trajectory_ids': which rows are one rollout")
        return deepest

    def rows(self, record: Any, file: str, row: int) -> Iterator[dict[str, Any]]:
        """One dict of columns per row of a record.

        Raises
        ------
        FileError
            If a path is not in the record, naming the nearest that is.
        """
        for items in self._walk(record, file, row) if self.depth else ([record],):
            yield {
                column: self._value(column, origin, items[depth], keys, items, file, row)
                for column, origin, depth, keys in self._columns
            }

    def _walk(self, record: Any, file: str, row: int) -> Iterator[Sequence[Any]]:
        """For each row: the record, and the item of every list on the way to it."""
        stack: list[list[Any]] = [[record]]
        for level in range(self.depth):
            assert self._deepest is not None
            keys, deeper = self._deepest.hops[level], []
            for items in stack:
                found = _get(items[-1], keys)
                if found is _ABSENT or not isinstance(found, list):
                    if found is None:
                        continue  # no list here: no rows
                    raise self._missing(self._deepest, record, file, row, found)
                deeper += [[*items, item] for item in found]
            stack = deeper
        return iter(stack)

    def _value(
        self,
        column: str,
        origin: Origin,
        item: Any,
        keys: Sequence[str],
        items: Sequence[Any],
        file: str,
        row: int,
    ) -> Any:
        if isinstance(origin, Constant):
            return origin.value
        if isinstance(origin, Place):
            return file if origin.name == "@file" else row
        value = _get(item, keys)
        if value is not _ABSENT:
            self._seen.add(column)
            return value
        literal = items[0].get(origin.text, _ABSENT) if isinstance(items[0], dict) else _ABSENT
        if literal is not _ABSENT:  # a flat column whose name has dots
            self._seen.add(column)
            return literal
        if column in _NULLABLE:
            return None
        raise self._missing(origin, items[0], file, row, value, column)

    def check_seen(self, record: Any, file: str) -> None:
        """After a file of which `record` is one.

        Raises
        ------
        FileError
            If a column that may be absent was absent from every record.
        """
        for column, origin in self.origins.items():
            if isinstance(origin, Path) and column in _NULLABLE and column not in self._seen:
                raise self.missing(column, origin, record, file)

    def missing(self, column: str, path: Path, record: Any, file: str) -> FileError:
        """The error for a column whose path is not in `record`."""
        return self._missing(path, record, file, None, _ABSENT, column)

    def _missing(
        self, path: Path, record: Any, file: str, row: int | None, found: Any, column: str = ""
    ) -> FileError:
        if found is not _ABSENT:
            return FileError(
                f"{path.text} goes through {quoted(found)}, which is no list", file, row
            )
        known = _paths(record)
        near = difflib.get_close_matches(path.text, known, 1, 0.0)
        hint = f"; the nearest path is {near[0]}" if near else ""
        what = f"{column} is to come from {path.text}, which" if column else f"{path.text}"
        return FileError(f"{what} is not there{hint}", file, row)


def _get(value: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return _ABSENT
        value = value[key]
    return value


def _paths(record: Any) -> list[str]:
    """Paths of a record, as a mapping would write them."""
    found: dict[str, None] = {}
    stack: list[tuple[str, Any]] = [("", record)]
    while stack and len(found) < _MOST_PATHS:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{path}.{key}" if path else str(key), item) for key, item in value.items()]
        elif isinstance(value, list) and value and isinstance(value[0], (dict, list)):
            stack.append((f"{path}[]", value[0]))
        elif isinstance(value, list):
            found[f"{path}[]"] = None
        if path:
            found[path] = None
    return list(found)
