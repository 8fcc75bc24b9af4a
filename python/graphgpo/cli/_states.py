"""`--normalise`, `--similar`, `--node-history`: what counts as one state, for every command."""

from __future__ import annotations

import argparse
import difflib
import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from graphgpo.cli._corpus import UsageError, count

if TYPE_CHECKING:
    from graphgpo.states.merging import Merging

_LISTS = ("ignore", "keep")
_FLAGS = {"true": True, "false": False}


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """What counts as one state."""
    states = parser.add_argument_group("states")
    states.add_argument(
        "--normalise",
        nargs="*",
        action="extend",
        metavar="SWITCH",
        help="take noise out of states: alone timestamps, uuids and hex; with switches of "
        r"graphgpo.states.Normaliser these too: numbers hex=false 'ignore=step \d+'",
    )
    states.add_argument(
        "--similar",
        type=float,
        metavar="X",
        help="states of a task with at least this share of their characters in common are one",
    )
    states.add_argument(
        "--node-history",
        type=count,
        default=1,
        metavar="N",
        help="a node is the last N states of the rollout (default: %(default)s)",
    )


def state_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What of the arguments says what counts as one state."""
    return {name: getattr(arguments, name) for name in ("normalise", "similar", "node_history")}


def merging_of(arguments: argparse.Namespace) -> Merging:
    """What counts as one state, by the arguments.

    Raises
    ------
    UsageError
        If a switch is none.
    ValueError
        If a value is out of range, or an expression is none.
    """
    from graphgpo.states.merging import Merging

    switches = None if arguments.normalise is None else _switches(arguments.normalise)
    return Merging.of(switches, arguments.similar, arguments.node_history)


def as_arguments(switches: Mapping[str, Any]) -> str:
    r"""Switches of a `Normaliser` as one types them.

    >>> print(as_arguments({"numbers": True, "hex": False, "ignore": (r"step \d+",)}))
    --normalise numbers hex=false 'ignore=step \d+'
    """
    from graphgpo.states.written import expression_of

    texts = []
    for name, value in switches.items():
        if name in _LISTS:
            texts += [f"{name}={expression_of(one)}" for one in value]
        else:
            texts.append(name if value is True else f"{name}={str(value).lower()}")
    return shlex.join(["--normalise", *texts])


def _switches(texts: list[str]) -> dict[str, Any]:
    from graphgpo.states import Normaliser

    known = [field.name for field in fields(Normaliser)]
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"--normalise names {name!r}, expected some of {', '.join(known)}{hint}; give the "
                "files before --normalise"
            )
        if name in _LISTS:
            found[name] = [*found.get(name, ()), value]
        elif equals and value.lower() not in _FLAGS:
            raise UsageError(f"--normalise {text!r} is neither {name}=true nor {name}=false")
        else:
            found[name] = _FLAGS[value.lower()] if equals else True
    return found
