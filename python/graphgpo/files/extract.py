"""`extract`: a part of a column's text in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from .errors import FileError, quoted
from .mapping import column_name
from .rows import ROW_SCHEMA

_TEXTS = ("state", "next_state", "action")


class Extract:
    """Patterns whose first group replaces the text of a column. `.` matches newlines too."""

    def __init__(self, patterns: Mapping[str, str] | None) -> None:
        """`patterns`: column name, as in a mapping, to regular expression.

        States and next states are one kind of thing: the pattern of the one serves the other too,
        unless that has its own.

        Raises
        ------
        ValueError
            If a column has no text, or a pattern is none or has no group.
        """
        self._patterns: dict[str, re.Pattern[str]] = {}
        for name, pattern in (patterns or {}).items():
            column = column_name(name)
            if column not in _TEXTS:
                raise ValueError(f"extract names {name!r}, which has no text to search")
            self._patterns[column] = _compiled(name, pattern)
        if "state" in self._patterns:
            self._patterns.setdefault("next_state", self._patterns["state"])

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def apply(self, table: pa.Table) -> pa.Table:
        """`table` with the parts in place of the texts.

        Raises
        ------
        FileError
            If a text does not match.
        """
        for name, pattern in self._patterns.items():
            index = table.schema.get_field_index(name)
            table = table.set_column(index, ROW_SCHEMA.field(name), _parts(table, name, pattern))
        return table


def _parts(table: pa.Table, name: str, pattern: re.Pattern[str]) -> Any:
    encoded = table[name].combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    parts = []
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        match = pattern.search(text)
        if match is None or match[1] is None:
            row = encoded.indices.index(pa.scalar(code, encoded.indices.type)).as_py()
            raise FileError(
                f"{name} {quoted(text, 200)} does not match {pattern.pattern!r}",
                table["source_file"][row].as_py(),
                table["source_row"][row].as_py(),
            )
        parts.append(match[1])
    return pa.array(parts, pa.string()).take(encoded.indices)


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"extract {name}={pattern} is not a regular expression: {error}") from None
    if not compiled.groups:
        raise ValueError(f"extract {name}={pattern} has no group (...) to keep")
    return compiled
