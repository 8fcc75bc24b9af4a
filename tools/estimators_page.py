#!/usr/bin/env python3
"""Write the tables of docs/estimators.md from the estimators themselves.

`--check`: write nothing, and exit with 1 if the page is not what they say.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path

from graphgpo import estimators
from graphgpo.columns import COLUMNS
from graphgpo.estimators import Estimator

PAGE = Path(__file__).resolve().parents[1] / "docs" / "estimators.md"
BLOCK = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end of \2 -->)", re.DOTALL)


def first_paragraph(cls: type[Estimator]) -> str:
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def needs(cls: type[Estimator]) -> str:
    required = {
        field.name: 0.5
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING
    }
    alternatives = sorted(cls(**required).needs, key=lambda names: (len(names), names))
    return ", ".join(" or ".join(f"`{n}`" for n in names) for names in alternatives) or "nothing"


def family_table() -> str:
    lines = ["| name | advantage | needs | source | checked |", "|---|---|---|---|---|"]
    for name in estimators.names():
        cls = estimators.load(name)
        lines.append(
            f"| `{name}` | {escaped(first_paragraph(cls))} | {needs(cls)} | {cls.source or '-'} "
            f"| {cls.mark or '-'} |"
        )
    return "\n".join(lines)


def option_tables() -> str:
    parts = []
    for name in estimators.names():
        cls = estimators.load(name)
        lines = [f"### {name}", "", "| option | default | meaning |", "|---|---|---|"]
        for field in dataclasses.fields(cls):  # type: ignore[arg-type]
            default = "required" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
            meaning = field.metadata.get("meaning", "")
            if allowed := field.metadata.get("allowed"):
                meaning += f" {allowed.words[0].upper()}{allowed.words[1:]}."
            lines.append(f"| `{field.name}` | {default} | {escaped(meaning)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def column_table() -> str:
    lines = ["| column | kind | meaning |", "|---|---|---|"]
    for column in COLUMNS.values():
        required = " **Required.**" if column.is_required else ""
        lines.append(f"| `{column.name}` | {column.kind} | {escaped(column.meaning)}{required} |")
    return "\n".join(lines)


def escaped(text: str) -> str:
    return text.replace("|", "\\|")


TABLES = {"family": family_table, "options": option_tables, "columns": column_table}


def page(text: str) -> str:
    def fill(match: re.Match[str]) -> str:
        return f"{match[1]}\n{TABLES[match[2]]()}\n\n{match[3]}"

    return BLOCK.sub(fill, text)


def main() -> int:
    before = PAGE.read_text()
    after = page(before)
    if "--check" in sys.argv[1:]:
        return int(before != after)
    PAGE.write_text(after)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
