"""Say what rollouts on disk are, and what keeps their states from merging.

The dry run: which format was taken, where columns come from, how success is decided, what is left
out, how much merges, and which switch of the states would mend it. Writes nothing.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from graphgpo.cli import _corpus, _states

if TYPE_CHECKING:
    from graphgpo.corpus.describe import Description
    from graphgpo.states.merging import Merging

_TEXT = 120  # characters of a state that are shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files."""
    _corpus.add_input_arguments(parser)
    _states.add_state_arguments(parser)


@_corpus.guarded
def run(arguments: argparse.Namespace) -> int:
    """Read, and say it."""
    from graphgpo.cli._output import write
    from graphgpo.corpus.describe import describe

    merging = _states.merging_of(arguments)
    reader = _corpus.reader_of(arguments)
    progress = _corpus.Progress(arguments)
    description = describe(reader, progress, merging=merging, strict=arguments.strict)
    if arguments.json or arguments.quiet:
        _corpus.say(arguments, description.as_dict(), "")
    else:
        _corpus.clear_line()
        write("\n".join(_lines(description, merging)) + "\n")
    return 0


def _lines(description: Description, merging: Merging) -> list[str]:
    from graphgpo.states.written import switched_on

    metrics = description.totals.metrics()
    part = "" if description.is_whole else f", of the first {metrics['num_steps']:,} steps"
    lines = [
        str(description.report),
        f"merging    {metrics['num_steps']:,} steps start from {metrics['num_states']:,} states "
        f"(ratio {metrics['merge_ratio']:.2f}); {metrics['singleton_share']:.0%} of them are alone "
        f"in theirs{part}",
        f"groups     {metrics['groups_mixed']} of {metrics['num_groups']} have successes and "
        f"failures{part}",
    ]
    if broken := metrics["broken_links"]:
        lines.append(f"links      {broken} steps do not start where the step before them ended")
    for finding in description.findings:
        lines.append(f"states     {finding.words}")
        if finding.switch:
            switches = switched_on(finding.switch, merging.normaliser)
            lines.append(f"           write: {_states.as_arguments(switches)}")
        lines += [f"           row {one.row}: {one.marked!r}" for one in finding.nearest or ()]
    lines.append("first step")
    for name, value in description.first.items():
        lines.append(f"  {name:<14} {_shown(value)}")
    return lines


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _TEXT else f"{text[: _TEXT - 3]}..."
