"""Show, step by step, the credit GRPO, GiGPO and GraphGPO give real rollouts.

The rollouts ship with the package. No network, no GPU, no model.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
from pathlib import Path
from typing import TextIO

from graphgpo import estimators
from graphgpo.cli._output import output, write
from graphgpo.demo import ENVIRONMENTS
from graphgpo.demo_page import ASCII_SYMBOLS, Line, Symbols, demo_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which rollouts, and how they are credited."""
    parser.add_argument(
        "--environment",
        choices=list(ENVIRONMENTS),
        default="textworld",
        help="whose rollouts: %(choices)s (default: %(default)s)",
        metavar="NAME",
    )
    parser.add_argument(
        "--group",
        type=int,
        metavar="N",
        help="which of the environment's four tasks, from 0 (default: the first one solved)",
    )
    parser.add_argument(
        "--trajectory",
        type=int,
        metavar="N",
        help="show this one of the group's eight rollouts, from 0, every step of it "
        "(default: a failure and a success, shortened)",
    )
    parser.add_argument(
        "--omega",
        type=float,
        metavar="X",
        help="GraphGPO's decay per step of distance, between 0 and 1 (default: "
        f"{estimators.make('graphgpo').options()['omega']})",
    )
    parser.add_argument(
        "--report",
        nargs="?",
        const="report.html",
        metavar="FILE",
        help="write the report of the environment's rollouts, as graphgpo report does, and nothing "
        "else (default: %(const)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the page, or write the report."""
    if arguments.report is not None:
        return _write_report(arguments)
    stream = output()
    page = demo_page(
        arguments.environment,
        arguments.group,
        arguments.trajectory,
        omega=arguments.omega,
        width=shutil.get_terminal_size().columns,
        symbols=Symbols() if _is_unicode(stream) else ASCII_SYMBOLS,
    )
    write(_rendered(page, stream))
    return 0


def _write_report(arguments: argparse.Namespace) -> int:
    import graphgpo
    from graphgpo.aside import written_aside
    from graphgpo.demo import load_actions, load_rollouts
    from graphgpo.report import page

    out = Path(arguments.report)
    if out.exists():
        raise ValueError(f"{out} is there already; name another file: --report FILE")
    name = arguments.environment
    options = {} if arguments.omega is None else {"omega": arguments.omega}
    text = page(
        graphgpo.Rollouts(**load_rollouts(name), actions=load_actions(name)),
        ["grpo", "gigpo", {"estimator": "graphgpo", **options}],
        title=ENVIRONMENTS[name].title,
        tasks=[] if arguments.group is None else [str(arguments.group)],
        label=ENVIRONMENTS[name].state_label,
    )
    with written_aside(out) as aside:
        aside.write_text(text, encoding="utf-8")
    write(f"{out}: open it in a browser\n")
    return 0


def _is_unicode(stream: TextIO) -> bool:
    """Whether the stream's encoding has every symbol of the page."""
    try:
        "".join(dataclasses.astuple(Symbols())).encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _rendered(page: list[Line], stream: TextIO) -> str:
    """The page as one string, coloured where `rich` is installed and the stream shows colour."""
    plain = "".join("".join(span.text for span in line).rstrip() + "\n" for line in page)
    if os.environ.get("NO_COLOR"):
        return plain
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return plain
    console = Console(file=stream)
    if console.color_system is None or console.legacy_windows:
        return plain
    with console.capture() as capture:
        for line in page:
            console.print(Text.assemble(*line), soft_wrap=True)
    return capture.get()
