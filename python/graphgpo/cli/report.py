"""Make a page that explains the credit of rollouts: graphs, steps, reasons, problems.

One HTML file that needs no network: open it in any browser, mail it, print it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphgpo.cli import _corpus, _states

if TYPE_CHECKING:
    from graphgpo.files import Report, RowReader
    from graphgpo.states.merging import Merging

# As graphgpo.report has them, which is imported late; a test holds them equal.
_ESTIMATORS = ("grpo", "gigpo", "graphgpo")
_TOP = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, which tasks, and where to."""
    _corpus.add_input_arguments(parser)
    _states.add_state_arguments(parser)
    showing = parser.add_argument_group("showing")
    showing.add_argument(
        "--estimators",
        nargs="+",
        action="extend",
        metavar="NAME[:OPTION=VALUE,...]",
        help=f"whose credit stands side by side (default: {' '.join(_ESTIMATORS)})",
    )
    showing.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="ID",
        help="show this task, again for another (default: those on whose steps the estimators "
        "disagree most)",
    )
    showing.add_argument(
        "--top",
        type=_corpus.count,
        default=_TOP,
        metavar="N",
        help="how many tasks, where none is named (default: %(default)s)",
    )
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="OUT",
        help="the page (default: %(default)s)",
    )
    writing.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    writing.add_argument(
        "--figures",
        metavar="DIR",
        help="also draw the graph of every task shown: SVG, and PNG by a browser if one is there",
    )


@_corpus.guarded
def run(arguments: argparse.Namespace) -> int:
    """Read, and write the page."""
    out = Path(arguments.output)
    if out.suffix.lower() not in (".html", ".htm"):
        raise _corpus.UsageError(f"-o {out} ends in {out.suffix!r}; expected .html")
    if out.exists() and not arguments.overwrite:
        raise _corpus.UsageError(f"{out} is there already; --overwrite replaces it")
    chosen = [_corpus.estimator_of(text) for text in arguments.estimators or _ESTIMATORS]
    merging = _states.merging_of(arguments)
    reader = _corpus.reader_of(arguments)
    page, figures = _made(arguments, reader, chosen, merging, out)
    _corpus.say(
        arguments,
        {
            **reader.report.as_dict(),
            "output": str(out),
            "bytes": len(page.encode()),
            "figures": [str(path) for path in figures],
        },
        "\n".join(
            [
                str(reader.report),
                f"wrote      {out}, {len(page.encode()) / 2**20:.1f} MiB: open it in a browser",
                *([f"wrote      {len(figures)} figures to {arguments.figures}"] if figures else []),
            ]
        ),
    )
    return 0


def _made(
    arguments: argparse.Namespace,
    reader: RowReader,
    chosen: list[Any],
    merging: Merging,
    out: Path,
) -> tuple[str, list[Path]]:
    """The page, which is written, and the figures."""
    from graphgpo import Rollouts, report
    from graphgpo.aside import written_aside
    from graphgpo.corpus.credit import placed
    from graphgpo.files import FileError
    from graphgpo.files.batch import columns_of
    from graphgpo.report.figures import write_figures

    table = reader.table()
    shown = {"tasks": arguments.task, "top": arguments.top}
    figures: list[Path] = []
    try:
        rollouts = Rollouts(**columns_of(table), **merging.options)
        _check_strict(arguments, reader, rollouts, chosen)
        page = report.page(
            rollouts, chosen, title=_title(reader), notes=_notes(reader.report), **shown
        )
        with written_aside(out) as aside:
            aside.write_text(page, encoding="utf-8")
        if arguments.figures:
            figures = write_figures(rollouts, arguments.figures, chosen, **shown)
    except (report.UnknownTaskError, FileError):
        raise
    except (ValueError, TypeError, RuntimeError) as error:  # the rows are not as they must be
        raise placed(error, table) from error
    return page, figures


def _check_strict(
    arguments: argparse.Namespace, reader: RowReader, rollouts: Any, chosen: list[Any]
) -> None:
    """What `--strict` makes an error."""
    from graphgpo.files import FileError

    if not arguments.strict:
        return
    left_out = sum(reader.report.left_out.values())
    if left_out:
        raise FileError(f"{left_out} rollouts were left out")
    for name, result in rollouts.compare(chosen).items():
        if broken := int(result.metrics["graphgpo/broken_links"]):
            raise FileError(f"{broken} steps do not start where the step before them ended")
        if result.metrics["graphgpo/inert"]:
            raise FileError(f"{name} gives no step any credit")


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
