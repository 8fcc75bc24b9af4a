"""verifiers and prime-rl: `traces.jsonl`, a line an episode.

A trace is a graph of messages, each linked to its parent. The rollout is the path to the last
message the policy was sampled for; what branches off is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..errors import FileError
from ..jsonl import records
from ..paths import Source
from ..rows import Rollout, group_key
from ..turns import Message
from .chats import rollout_of
from .context import CRASHED, EMPTY, Context

MAPPING = {
    "group_id": "training step, env, group.id (else task.key, task.hash), agent.name",
    "trajectory_id": "traces[].id",
    "step_id": "position on the path to the last sampled node",
    "state": "messages since the previous sampled one",
    "next_state": "state of the following step",
    "action": "the sampled message and its tool calls",
    "outcome": "sum of score * weight of rewards",
}


class Node(msgspec.Struct):
    """One message; its token ids are skipped unread."""

    message: Message
    parent: int | None = None
    sampled: bool = False


class Reward(msgspec.Struct):
    """One reward."""

    score: float | None = None
    weight: float = 1.0


class Agent(msgspec.Struct):
    """Who wrote a trace."""

    name: str = "agent"
    trainable: bool = True


class Task(msgspec.Struct):
    """What the episode is about."""

    key: Any = None
    hash: Any = None


class Named(msgspec.Struct):
    """Something with an id, a name, or both."""

    id: Any = None
    name: Any = None


class Work(msgspec.Struct):
    """What a run did the episode for."""

    step: int | None = None


class Run(msgspec.Struct):
    """The run."""

    work: Work | None = None
    step: int | None = None


class Trace(msgspec.Struct):
    """One agent's messages."""

    id: str
    nodes: list[Node] = []
    rewards: dict[str, Reward | float | None] = {}
    agent: Agent | None = None
    task: Task | None = None
    ok: bool | None = None
    errors: list[Any] = []


class Episode(msgspec.Struct):
    """One line; or a trace alone, as older versions wrote it."""

    traces: list[Trace] | None = None
    task: Task | None = None
    group: Named | None = None
    env: Named | None = None
    run: Run | None = None
    id: str | None = None
    nodes: list[Node] | None = None
    rewards: dict[str, Reward | float | None] = {}
    agent: Agent | None = None
    ok: bool | None = None
    errors: list[Any] = []


def read(source: Source, context: Context) -> Iterator[Rollout]:
    """Rollouts of one file: one per trace of a trained agent.

    Raises
    ------
    FileError
        If a node's parent does not come before it.
    """
    for row, episode in records(source, Episode, context.report):
        traces = _traces(episode, source, row)
        if not traces:
            context.leave_out(CRASHED if episode.errors else EMPTY)
        for trace in traces:
            agent = trace.agent or Agent()
            if not agent.trainable:
                context.leave_out(f"agent {agent.name} is not the policy (trainable: false)")
            elif trace.errors and not trace.ok:
                context.leave_out(CRASHED)
            else:
                rollout = _rollout(trace, episode, agent, source, row, context)
                if rollout is not None:
                    yield rollout


def _traces(episode: Episode, source: Source, row: int) -> list[Trace]:
    if episode.traces is not None:
        return episode.traces
    if episode.nodes is None or episode.id is None:
        raise FileError("there are neither traces nor nodes", source.name, row)
    alone = {name: getattr(episode, name) for name in Trace.__struct_fields__}
    return [Trace(**alone)]


def _rollout(
    trace: Trace, episode: Episode, agent: Agent, source: Source, row: int, context: Context
) -> Rollout | None:
    path, num_branches = _path(trace, source.name, row)
    if num_branches:
        context.report.counts["side branches of traces, not read"] += num_branches
    given = (reward for reward in trace.rewards.values() if reward is not None)
    rewards = [value for reward in given if (value := _value(reward)) is not None]
    return rollout_of(
        path,
        sum(rewards) if rewards else None,
        group_id=_group(trace, episode, agent, source, row),
        trajectory_id=trace.id,
        row=row,
        context=context,
    )


def _value(reward: Reward | float) -> float | None:
    if not isinstance(reward, Reward):
        return float(reward)
    return None if reward.score is None else reward.score * reward.weight


def _group(trace: Trace, episode: Episode, agent: Agent, source: Source, row: int) -> str:
    run = episode.run or Run()
    step = run.work.step if run.work else run.step
    env = episode.env or Named()
    task = episode.task or trace.task or Task()
    group = episode.group.id if episode.group else None
    name = next((name for name in (group, task.key, task.hash) if name is not None), None)
    if name is None:
        raise FileError(
            "no group.id, task.key or task.hash says which task it is", source.name, row
        )
    named = env.name or env.id
    return group_key(
        *([named] if named else []),
        name,
        agent.name,
        training_step=source.training_step if step is None else step,
    )


def _path(trace: Trace, file: str, row: int) -> tuple[list[Message], int]:
    """Messages from the root to the last sampled one, and how many leaves lie elsewhere."""
    nodes = trace.nodes
    for place, node in enumerate(nodes):
        if node.parent is not None and not 0 <= node.parent < place:
            raise FileError(
                f"trace {trace.id}: parent of node {place} is {node.parent}, expected an earlier "
                "node",
                file,
                row,
            )
    at = next((place for place in reversed(range(len(nodes))) if nodes[place].sampled), None)
    path: list[int] = []
    while at is not None:
        path.append(at)
        at = nodes[at].parent
    on_path = set(path)
    parents = {node.parent for node in nodes}
    num_branches = sum(
        place not in parents and place not in on_path and not _hangs_off_end(place, nodes, path)
        for place in range(len(nodes))
    )
    messages = []
    for place in reversed(path):
        message = nodes[place].message
        message.sampled = nodes[place].sampled
        messages.append(message)
    return messages, num_branches


def _hangs_off_end(place: int, nodes: list[Node], path: list[int]) -> bool:
    """Whether a node only follows the last sampled one: the end of the path, not a branch of it."""
    at: int | None = place
    while at is not None:
        if path and at == path[0]:
            return True
        at = nodes[at].parent
    return False
