"""What is wrong with a batch, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphgpo.report.batch import Batch


@dataclass(frozen=True)
class Problem:
    """A sentence, what to do about it, and what shows it."""

    words: str
    remedy: str = ""
    evidence: tuple[str, ...] = ()


def problems_of(batch: Batch) -> list[Problem]:
    """Problems of states, of outcomes and of links, worst first."""
    return [*_of_metrics(batch), *_of_states(batch)]


def _of_metrics(batch: Batch) -> list[Problem]:
    found = []
    metrics = {k.removeprefix("graphgpo/"): v for k, v in batch.first.metrics.items()}
    num_groups = int(metrics["num_groups"])
    silent = [
        title for title, result in batch.results.items() if result.metrics["graphgpo/inert"] == 1
    ]
    if silent:
        found.append(Problem(f"{_listed(silent)} gives no step any credit."))
    if metrics["groups_without_success"]:
        count = int(metrics["groups_without_success"])
        found.append(
            Problem(
                f"{count} of {num_groups} tasks: no rollout reached the goal.",
                "Nothing can be learned from outcomes there; easier tasks or more rollouts help.",
            )
        )
    if metrics["broken_links"]:
        found.append(
            Problem(
                f"{int(metrics['broken_links'])} steps lead to a state that is not the next "
                "step's.",
                "Check next_states and the order of steps.",
            )
        )
    if metrics["ends_at_a_start"]:
        found.append(
            Problem(
                f"{int(metrics['ends_at_a_start'])} failed rollouts end at a start of their task.",
                "The environment may have been reset before the last state was read.",
            )
        )
    if metrics["masked_inside"]:
        found.append(
            Problem(
                f"{int(metrics['masked_inside'])} masked rows lie inside a rollout.",
                "Pass step_ids, or the step over them is taken for one.",
            )
        )
    return found


def _of_states(batch: Batch) -> list[Problem]:
    from graphgpo.states import diagnose

    columns = batch.rollouts.columns
    known = {
        name: columns[name]
        for name in ("next_states", "step_ids", "actions", "mask")
        if name in columns
    }
    found = diagnose(
        columns["states"],
        group_ids=columns["group_ids"],
        trajectory_ids=columns["trajectory_ids"],
        **known,
    )
    return [
        Problem(
            f"{finding.words[:1].upper()}{finding.words[1:]}.",
            f"normalise={finding.switch!r} makes them one." if finding.switch else "",
            tuple(near.marked for near in finding.nearest) if finding.nearest else (),
        )
        for finding in found
    ]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
