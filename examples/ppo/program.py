"""A training program: its arguments, its progress bar, what it says at the end."""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import graphgpo
from ppo.log import Log
from ppo.run import Options, Problem, Run
from ppo.training import train


@contextlib.contextmanager
def interrupt_asks_to_stop() -> Iterator[Callable[[], bool]]:
    """Within it the first Ctrl-C only makes the function it gives true; the second one raises."""
    asked = []

    def ask(*_: object) -> None:
        asked.append(True)
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this iteration; Ctrl-C again: at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


class NamedValues(argparse.Action):
    """Collects NAME=VALUE, a value being a Python literal or else a text."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        name, equals, text = values.partition("=")
        if not (name and equals):
            parser.error(f"{option_string} is {values!r}; expected NAME=VALUE")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        given = {**getattr(namespace, self.dest), name.replace("-", "_"): value}
        setattr(namespace, self.dest, given)


def add_arguments(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """The flags every program has; `defaults` are this one's."""
    whole = dataclasses.asdict(Options()) | defaults
    credit = parser.add_argument_group("credit")
    credit.add_argument("--estimator", choices=graphgpo.estimators.names())
    credit.add_argument(
        "--option",
        dest="estimator_options",
        action=NamedValues,
        metavar="NAME=VALUE",
        help="of the estimator, such as omega=0.5; again for another one",
    )
    credit.add_argument(
        "--memory", action="store_true", help="credit knows what was done in earlier iterations"
    )
    ppo = parser.add_argument_group("training")
    ppo.add_argument("--seed", type=int)
    ppo.add_argument("--iterations", type=int)
    ppo.add_argument("--group-size", type=int, help="rollouts of a game per iteration")
    ppo.add_argument("--max-steps", type=int, help="after which a rollout has failed")
    ppo.add_argument("--entropy", type=float, help="weight of the entropy bonus")
    ppo.add_argument("--dead-entropy", type=float, help="the same for games no rollout won")
    ppo.add_argument("--entropy-smoothing", type=float, help="against leaps of the entropy")
    ppo.add_argument("--kl-coef", type=float, help="weight of KL(policy || policy at the start)")
    ppo.add_argument("--clip-low", type=float, help="the ratio of probabilities ends 1 - this")
    ppo.add_argument("--clip-high", type=float, help="and 1 + this")
    ppo.add_argument("--width", type=int, help="of the policy; 64 is 0.56 million parameters")
    ppo.add_argument("--learning-rate", type=float)
    ppo.add_argument("--epochs", type=int)
    ppo.add_argument("--minibatch", type=int, help="steps")
    ppo.add_argument("--max-grad-norm", type=float)
    parser.set_defaults(**whole)
    parser.add_argument("--log", type=Path, help="folder for TensorBoard, CSV and the checkpoint")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that play"
    )
    parser.add_argument(
        "--cache",
        action="store_true",
        help="explore the games once, then play from their transitions: same numbers, faster",
    )


def main(arguments: argparse.Namespace, problem: Problem) -> None:
    """Train with a progress bar, and say how it went."""
    names = [field.name for field in dataclasses.fields(Options)]
    run = Run(problem, Options(**{name: getattr(arguments, name) for name in names}))
    log = Log(arguments.log, run) if arguments.log else None
    if run.curve:
        print(f"going on after iteration {len(run.curve)}")
    start = time.perf_counter()
    with bar(run, arguments.iterations) as advance, interrupt_asks_to_stop() as stopped:

        def after(*_: object) -> None:
            if log:
                log.iteration()
            advance()

        try:
            records = train(
                run,
                arguments.iterations,
                cache=arguments.cache,
                workers=arguments.workers,
                after=after,
                stopped=stopped,
            )
        finally:
            if log:
                log.close()
    print(summary(run, records, time.perf_counter() - start))
    if log:
        print(f"everything is in {log.folder}; the same command goes on from there")


@contextlib.contextmanager
def bar(run: Run, iterations: int) -> Iterator[Callable[[], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("success {task.fields[success]:4.0%}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        success = run.curve[-1]["success"] if run.curve else 0.0
        bar = progress.add_task(
            run.options.estimator, total=iterations, completed=len(run.curve), success=success
        )
        yield lambda: progress.update(bar, advance=1, success=run.curve[-1]["success"])


def summary(run: Run, records: Mapping[str, Mapping[str, float]], wall: float) -> str:
    if not run.curve:
        return "stopped before the first iteration was done"
    last = run.curve[-1]
    lines = [f"training games: {_record(last)} in iteration {len(run.curve)}"]
    for name, record in records.items():
        lines.append(f"{name.replace('_', '-')} games: {_record(record)}")
    spent = {name: sum(row[name] for row in run.seconds) for name in run.seconds[0]}
    whole = sum(spent.values())
    shares = ", ".join(f"{name} {seconds / whole:.2%}" for name, seconds in spent.items())
    lines.append(f"{wall:.1f} s; of the iterations' {whole:.1f} s: {shares}")
    return "\n".join(lines)


def _record(record: Mapping[str, float]) -> str:
    return f"success {record['success']:.1%}, {record['solution_length']:.1f} steps to the goal"
