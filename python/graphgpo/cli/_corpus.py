"""What the commands over rollouts on disk share: arguments, exit codes, progress, summaries."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphgpo.corpus import Summary, Workers
    from graphgpo.estimators import Estimator
    from graphgpo.files import RowReader

BAD_DATA, USAGE = 1, 2


class UsageError(ValueError):
    """The command line asks for what cannot be."""


def add_input_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, and how they are read."""
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help="files, folders, globs, or - for JSON Lines"
    )
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
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    parser.add_argument(
        "--strict",
        action="store_true",
        help="rollouts left out, broken links and estimators that credit no step are errors",
    )


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and on what."""
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help=".parquet, .arrow, .csv or .jsonl, - for JSON Lines, or a folder, a file a partition",
    )
    there = writing.add_mutually_exclusive_group()
    there.add_argument("--overwrite", action="store_true", help="replace OUT if it is there")
    there.add_argument(
        "--resume",
        action="store_true",
        help="go on where an interrupted run of this very command stopped; nothing to do if OUT "
        "is there",
    )
    size = parser.add_argument_group("size")
    size.add_argument(
        "--jobs", type=_up_to_most, default=1, metavar="N", help="processes (default: 1)"
    )
    size.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run on Ray: an address, or local to start it here; all nodes see the files",
    )
    size.add_argument(
        "--partitions",
        type=_up_to_most,
        metavar="N",
        help="credit groups in this many parts (default: of 64 or 256 MiB of rows each)",
    )


def count(text: str, most: int | None = None) -> int:
    """A number from 1 on, as an argument."""
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= (most or number):
        allowed = f"between 1 and {most}" if most else "a number >= 1"
        raise argparse.ArgumentTypeError(f"{text} is not {allowed}")
    return number


def _up_to_most(text: str) -> int:
    from graphgpo.corpus.partitions import MOST_PARTITIONS

    return count(text, MOST_PARTITIONS)


def reader_of(arguments: argparse.Namespace) -> RowReader:
    """The reading that the arguments ask for."""
    from graphgpo.files import read_rows

    return read_rows(
        arguments.inputs,
        format=arguments.format,
        columns=_pairs("--columns", arguments.columns),
        extract=_pairs("--extract", arguments.extract),
        success_at=arguments.success_at,
        score=arguments.score,
    )


def estimator_of(text: str) -> Estimator:
    """The estimator of `NAME:OPTION=VALUE,...`."""
    from graphgpo import estimators

    name, _, rest = text.partition(":")
    options: dict[str, Any] = {}
    for option in filter(None, rest.split(",")):
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"--estimator {text!r}: {option!r} is not OPTION=VALUE")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    return estimators.make(name, options)


def reading_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What of the arguments enters the rows."""
    names = ("format", "columns", "extract", "success_at", "score")
    return {name: getattr(arguments, name) for name in names}


def _pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    if texts is None:
        return None
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{option} {text!r} is not NAME=VALUE; give the files before {option}")
        if name in found:
            raise UsageError(f"{option} gives {name!r} twice")
        found[name] = value
    return found


def guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """`run`, with a sentence and exit code 1 for bad data."""

    def guarded_run(arguments: argparse.Namespace) -> int:
        _check_extra()
        try:
            return run(arguments)
        except OSError as error:
            return _failed(arguments, _words_of(error))
        except (ValueError, RuntimeError, MemoryError) as error:
            if not _is_about_data(error):
                raise
            return _failed(arguments, str(error) or "out of memory")

    return guarded_run


def _check_extra() -> None:
    try:
        import graphgpo.files  # noqa: F401
    except ImportError as error:
        raise UsageError(str(error)) from None


def _is_about_data(error: Exception) -> bool:
    from graphgpo.corpus.job import StrictError
    from graphgpo.corpus.workers import WorkerDiedError
    from graphgpo.corpus.workspace import BusyError
    from graphgpo.files import FileError

    kinds = (FileError, StrictError, WorkerDiedError, BusyError, MemoryError)
    return isinstance(error, kinds)


def _failed(arguments: argparse.Namespace, words: str) -> int:
    clear_line()
    print(f"graphgpo {arguments.command}: {' '.join(words.splitlines())}", file=sys.stderr)
    return BAD_DATA


def _words_of(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}".replace("overwrite=True", "--overwrite")


def output_path(arguments: argparse.Namespace) -> Path:
    """OUT, if it may be written.

    Raises
    ------
    UsageError
        If it is there, of a suffix that cannot be written, or does not go with other options.
    """
    from graphgpo.files.writer import SUFFIXES, WITH_METADATA

    out = Path(arguments.output)
    if arguments.output == "-":
        if arguments.json:
            raise UsageError("-o - and --json both write to standard output; expected one of them")
        if arguments.resume:
            raise UsageError("--resume needs an OUT that stays: a file or a folder, not -")
        return out
    is_folder = not out.suffix or out.is_dir() or arguments.output.endswith(os.sep)
    if not is_folder and out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"-o {out} ends in {out.suffix!r}, expected one of {', '.join(SUFFIXES)}, - or a folder"
        )
    if arguments.resume:
        if "-" in arguments.inputs:
            raise UsageError("--resume needs inputs that stay; standard input can be read once")
        if not is_folder and out.suffix.lower() not in WITH_METADATA:
            raise UsageError(
                f"--resume needs an OUT that says what it was made of: {', '.join(WITH_METADATA)} "
                f"or a folder, not {out.suffix}"
            )
    elif out.exists() and not arguments.overwrite:
        raise UsageError(f"{out} is there already; --overwrite replaces it")
    if is_folder and out.exists():
        _check_ours(out)
    return out


def _check_ours(folder: Path) -> None:
    strange = [
        entry.name
        for entry in (folder.iterdir() if folder.is_dir() else [folder])
        if not (entry.name.startswith("part-") and entry.suffix == ".parquet")
    ]
    if strange:
        raise UsageError(
            f"{folder} holds {strange[0]}, which this command has not written; expected a folder "
            "of its own, or none"
        )


def workers_of(arguments: argparse.Namespace) -> Workers:
    """Who does the work."""
    from graphgpo.corpus import Processes, RayTasks, Serial

    if arguments.ray:
        try:
            count = arguments.jobs if arguments.jobs > 1 else None
            return RayTasks(arguments.ray, count)
        except ImportError as error:
            raise UsageError(str(error)) from None
        except ConnectionError as error:
            raise UsageError(f"--ray {arguments.ray}: {error}") from None
    return Processes(arguments.jobs) if arguments.jobs > 1 else Serial()


class Progress:
    """A line on a terminal, redrawn: the pass, a bar, and the time left."""

    _EVERY = 0.1  # seconds
    _WIDTH = 24

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._is_shown = not arguments.quiet and _is_terminal()
        self._pass, self._start, self._drawn = "", time.monotonic(), 0.0

    def __call__(self, name: str, share: float) -> None:
        """Draw how much of a pass is done."""
        now = time.monotonic()
        if name != self._pass:
            self._pass, self._start, self._drawn = name, now, 0.0
        if not self._is_shown or now - self._drawn < self._EVERY:
            return
        self._drawn = now
        filled = round(share * self._WIDTH)
        bar = "#" * filled + "." * (self._WIDTH - filled)
        left = _duration((now - self._start) * (1 - share) / share) if share > 0 else "?"
        sys.stderr.write(f"\r\x1b[K{name:<9} [{bar}] {share:4.0%}  {left} left")
        sys.stderr.flush()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def clear_line() -> None:
    """Away with the progress."""
    if _is_terminal():
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def say(arguments: argparse.Namespace, plain: Mapping[str, Any], words: str) -> None:
    """The summary: an object on standard output, or words on standard error."""
    from graphgpo.cli._output import write

    clear_line()
    if arguments.json:
        write(json.dumps(plain, ensure_ascii=False) + "\n")
    elif not arguments.quiet:
        print(words, file=sys.stderr)


def plain_summary(
    summary: Summary, arguments: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    """A run as plain values."""
    plain = {
        **summary.report.as_dict(),
        "output": arguments.output,
        "rows_written": summary.num_rows,
        "partitions": summary.num_partitions,
        "seconds": round(seconds, 3),
    }
    if summary.totals.credits:
        plain["metrics"] = summary.totals.metrics()
        plain["credits"] = {
            name: {key: value for key, value in vars(credit).items() if key != "has_step_credit"}
            for name, credit in summary.totals.credits.items()
        }
    return plain


def summary_words(summary: Summary, arguments: argparse.Namespace, seconds: float) -> str:
    """A run in words."""
    from graphgpo.problems.batch import MANY_LONE

    lines = [str(summary.report)]
    totals = summary.totals
    if totals.credits:
        metrics = totals.metrics()
        lone = metrics["singleton_share"]
        lines.append(
            f"merged     {metrics['num_steps']:,} steps from {metrics['num_states']:,} states; "
            f"{lone:.0%} of the steps are alone in theirs"
            f"{': graphgpo describe says why' if lone >= MANY_LONE else ''}"
        )
    for name, credit in totals.credits.items():
        lines.append(
            f"credited   {name}: {credit.raised:,} steps up, {credit.lowered:,} down, "
            f"{credit.none:,} none"
        )
    lines.append(f"wrote      {arguments.output}: {summary.num_rows:,} rows in {seconds:.1f} s")
    return "\n".join(lines)
