"""Make a page that explains the credit of rollouts: graphs, steps, reasons, problems.

One HTML file that needs no network: open it in any browser, mail it, print it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphgpo.cli._output import write

if TYPE_CHECKING:
    from graphgpo.files import Report, RowReader

BAD_DATA = 1
# As graphgpo.report has them, which is imported late; a test holds them equal.
_ESTIMATORS = ("grpo", "gigpo", "graphgpo")
_TOP = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, which tasks, and where to."""
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help="files, folders, globs, or - for JSON Lines"
    )
    parser.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="OUT",
        help="the page (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    parser.add_argument(
        "--estimators",
        nargs="+",
        action="extend",
        metavar="NAME[:OPTION=VALUE,...]",
        help=f"whose credit stands side by side (default: {' '.join(_ESTIMATORS)})",
    )
    parser.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="ID",
        help="show this task, again for another (default: those on whose steps the estimators "
        "disagree most)",
    )
    parser.add_argument(
        "--top",
        type=_count,
        default=_TOP,
        metavar="N",
        help="how many tasks, where none is named (default: %(default)s)",
    )
    parser.add_argument(
        "--figures",
        metavar="DIR",
        help="also draw the graph of every task shown: SVG, and PNG by a browser if one is there",
    )
    _add_reading_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Read, and write the page."""
    out = Path(arguments.output)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"-o {out} ends in {out.suffix!r}; expected .html")
    if out.exists() and not arguments.overwrite:
        raise ValueError(f"{out} is there already; --overwrite replaces it")
    try:
        import graphgpo.files  # noqa: F401
    except ImportError as error:
        raise ValueError(str(error)) from None
    from graphgpo.files import FileError
    from graphgpo.report import UnknownTaskError

    chosen = [_estimator(text) for text in arguments.estimators or _ESTIMATORS]
    try:
        reader = _reader(arguments)
    except FileError as error:
        return _failed(str(error))
    try:
        return _made(arguments, reader, chosen, out)
    except UnknownTaskError:
        raise
    except (ValueError, TypeError, RuntimeError) as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _made(arguments: argparse.Namespace, reader: RowReader, chosen: list[Any], out: Path) -> int:
    from graphgpo import Rollouts, report
    from graphgpo.aside import written_aside
    from graphgpo.report.figures import write_figures

    table = reader.table()
    rollouts = Rollouts(**_columns(table))
    page = report.page(
        rollouts,
        chosen,
        title=_title(reader),
        tasks=arguments.task,
        top=arguments.top,
        notes=_notes(reader.report),
    )
    with written_aside(out) as aside:
        aside.write_text(page, encoding="utf-8")
    figures = []
    if arguments.figures:
        figures = write_figures(
            rollouts, arguments.figures, chosen, tasks=arguments.task, top=arguments.top
        )
    size = len(page.encode())
    _say(
        arguments,
        {
            **reader.report.as_dict(),
            "output": str(out),
            "bytes": size,
            "figures": [str(path) for path in figures],
        },
        "\n".join(
            [
                str(reader.report),
                f"wrote      {out}, {size / 2**20:.1f} MiB: open it in a browser",
                *([f"wrote      {len(figures)} figures to {arguments.figures}"] if figures else []),
            ]
        ),
    )
    return 0


def _title(reader: RowReader) -> str:
    names = reader.files
    if len(names) == 1:
        return "standard input" if names[0] == "-" else Path(names[0]).name
    parents = {Path(name).parent.name for name in names}
    place = f" in {parents.pop()}" if len(parents) == 1 else ""
    return f"{len(names)} files{place}"


def _notes(read: Report) -> list[str]:
    """What the reading left out or warns of, in sentences."""
    left_out = [f"{count} rollouts were left out: {why}." for why, count in read.left_out.items()]
    warnings = [f"{text[:1].upper()}{text[1:]}." for text in read.warnings]
    return [f"Success: {read.success_rule}.", *left_out, *warnings]


def _estimator(text: str) -> Any:
    from graphgpo import estimators

    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for option in filter(None, rest.split(",")):
        key, equals, value = option.partition("=")
        if not equals:
            raise ValueError(f"--estimators {text!r}: {option!r} is not OPTION=VALUE")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return estimators.make(name, options)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number >= 1")
    return number


# --- reading ------------------------------------------------------------------------------------


def _add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--format",
        metavar="NAME",
        help="steps, messages, verl, rllm, verifiers, inspect or atif (default: found out)",
    )
    reading.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        metavar="NAME=PATH",
        help="where the columns of compute_advantages are in a record: states=obs.text "
        "group_ids=task trajectory_ids=episode success=won",
    )
    reading.add_argument(
        "--extract",
        nargs="+",
        action="extend",
        metavar="NAME=REGEX",
        help="keep the first group of a regular expression: 'states=Observation: (.*?)\\n'",
    )
    reading.add_argument(
        "--success-at",
        type=float,
        default=1.0,
        metavar="X",
        help="outcomes from here on are a success (default: %(default)g)",
    )
    reading.add_argument(
        "--score", metavar="NAME", help="which of several scores or rewards is the outcome"
    )
    parser.add_argument("--json", action="store_true", help="print the summary as a JSON object")
    parser.add_argument("--quiet", action="store_true", help="no summary")


def _reader(arguments: argparse.Namespace) -> RowReader:
    from graphgpo.files import read_rows

    return read_rows(
        arguments.inputs,
        format=arguments.format,
        columns=_pairs("--columns", arguments.columns),
        extract=_pairs("--extract", arguments.extract),
        success_at=arguments.success_at,
        score=arguments.score,
    )


def _pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    if texts is None:
        return None
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{option} {text!r} is not NAME=VALUE; give the files before {option}")
        found[name] = value
    return found


def _columns(table: Any) -> dict[str, Any]:
    from graphgpo.files.batch import columns_of

    return columns_of(table)


def _failed(words: str) -> int:
    print(f"graphgpo report: {' '.join(words.splitlines())}", file=sys.stderr)
    return BAD_DATA


def _say(arguments: argparse.Namespace, plain: dict[str, Any], words: str) -> None:
    if arguments.json:
        write(json.dumps(plain, ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        print(words, file=sys.stderr)
