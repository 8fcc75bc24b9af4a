"""The `graphgpo` command."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from graphgpo import __version__
from graphgpo.demo import ENVIRONMENTS
from graphgpo.demo_page import ASCII_SYMBOLS, Line, Symbols, demo_page
from graphgpo.estimators.graphgpo import GraphGPO


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (None: this process's); returns the exit status.

    Usage errors leave through `SystemExit(2)`, as argparse has it.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        page = demo_page(
            arguments.environment,
            arguments.group,
            arguments.trajectory,
            omega=arguments.omega,
            width=shutil.get_terminal_size().columns,
            symbols=Symbols() if _is_unicode(sys.stdout) else ASCII_SYMBOLS,
        )
    except ValueError as error:
        arguments.parser.error(str(error))
    _write(_rendered(page, sys.stdout), sys.stdout)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="graphgpo",
        description="Step-level credit for LLM agents trained with reinforcement learning.",
        epilog="Start here: graphgpo demo",
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"graphgpo {__version__}",
        help="show the installed version and exit",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser(
        "demo",
        help="show, step by step, the credit GRPO, GiGPO and GraphGPO give real rollouts",
        description="Run GRPO, GiGPO and GraphGPO on real rollouts that ship with the package and "
        "show the credit each gives, step by step. No network, no GPU, no model.",
    )
    command.set_defaults(parser=command)
    command.add_argument(
        "--environment",
        choices=list(ENVIRONMENTS),
        default="textworld",
        help="whose rollouts: %(choices)s (default: %(default)s)",
        metavar="NAME",
    )
    command.add_argument(
        "--group",
        type=int,
        metavar="N",
        help="which of the environment's four tasks, from 0 (default: the first one solved)",
    )
    command.add_argument(
        "--trajectory",
        type=int,
        metavar="N",
        help="show this one of the group's eight rollouts, from 0, every step of it "
        "(default: a failure and a success, shortened)",
    )
    command.add_argument(
        "--omega",
        type=float,
        metavar="X",
        help="GraphGPO's decay per step of distance, between 0 and 1 (default: "
        f"{GraphGPO().omega})",
    )
    return parser


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


def _write(text: str, stream: TextIO) -> None:
    encoding = stream.encoding or "utf-8"
    try:
        # States may hold characters that the page's own symbols do not.
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError:
        # The reader has seen enough. Python flushes stdout once more on exit: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
