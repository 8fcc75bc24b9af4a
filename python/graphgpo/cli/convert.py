"""Convert rollouts on disk to canonical rows.

Trainers' dumps, evaluation logs and published sets become a row per step: group, trajectory, step,
state, next state, action, success, outcome, reward, and where it came from.
"""

from __future__ import annotations

import argparse

from graphgpo.cli import _corpus, _making


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which files, and where to."""
    _corpus.add_input_arguments(parser)
    _corpus.add_output_arguments(parser)


@_corpus.guarded
def run(arguments: argparse.Namespace) -> int:
    """Read and write."""
    return _making.make(arguments, {"command": "convert"})
