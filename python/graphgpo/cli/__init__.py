"""The `graphgpo` command. A file of this folder is a command of its name.

It has a docstring, whose first line is its help, `add_arguments(parser)` and `run(arguments)`,
which returns the exit status; what a user did wrong is a `ValueError` or `TypeError` with the words
for it. Files are imported on every call, so they import what takes time where they need it.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from graphgpo import __version__
from graphgpo.cli._output import OutputClosedError

INTERRUPTED = 130  # as shells have it: 128 and the number of the signal


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
        status: int = arguments.run(arguments)
    except (TypeError, ValueError) as error:
        arguments.parser.error(str(error))
    except OutputClosedError as error:
        print(f"graphgpo {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\ngraphgpo {arguments.command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def commands() -> dict[str, ModuleType]:
    """Every command by name."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return {
        name: importlib.import_module(f"{__name__}.{name}")
        for name in sorted(found)
        if not name.startswith("_")
    }


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
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in commands().items():
        summary, _, rest = (module.__doc__ or "").partition("\n")
        summary = summary.rstrip(".")
        command = subparsers.add_parser(
            name,
            help=summary[:1].lower() + summary[1:],
            description=f"{summary}. {' '.join(rest.split())}".rstrip(),
        )
        command.set_defaults(parser=command, run=module.run)
        module.add_arguments(command)
    return parser
