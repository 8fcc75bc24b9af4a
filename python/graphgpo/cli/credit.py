"""Credit every step of rollouts on disk.

Writes ids, where a row came from, and a column advantage_NAME per estimator, in the order of the
input.
"""

from __future__ import annotations

import argparse

from graphgpo.cli import _corpus, _making, _states


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, by whom, and where to."""
    _corpus.add_input_arguments(parser)
    crediting = parser.add_argument_group("crediting")
    crediting.add_argument(
        "--estimator",
        action="append",
        metavar="NAME[:OPTION=VALUE,...]",
        help="an estimator of graphgpo estimators, again for another: hgpo:history=4 "
        "(default: graphgpo)",
    )
    crediting.add_argument(
        "--keep",
        metavar="NAME,...",
        help="columns of the rows to keep beside the credits: state, next_state, action, success, "
        "outcome, reward",
    )
    _states.add_state_arguments(parser)
    _corpus.add_output_arguments(parser)


@_corpus.guarded
def run(arguments: argparse.Namespace) -> int:
    """Read, credit and write."""
    chosen = [_corpus.estimator_of(text) for text in arguments.estimator or ["graphgpo"]]
    keep = _kept(arguments.keep)
    options = {
        "command": "credit",
        "estimators": [{"estimator": one.name, **one.options()} for one in chosen],
        "keep": keep,
        **_states.state_options(arguments),
    }
    merging = _states.merging_of(arguments)
    return _making.make(arguments, options, estimators=chosen, keep=keep, merging=merging)


def _kept(text: str | None) -> list[str]:
    from graphgpo.files import ROW_SCHEMA

    names = [name.strip() for name in (text or "").split(",") if name.strip()]
    for name in names:
        if name not in ROW_SCHEMA.names:
            raise _corpus.UsageError(
                f"--keep names {name!r}, expected some of {', '.join(ROW_SCHEMA.names)}"
            )
    return list(dict.fromkeys(names))
