"""atif: trials of Harbor, `*/result.json` beside `agent/trajectory.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ..errors import FileError, listed
from ..jsonl import document
from ..paths import Source
from ..rows import Rollout, group_key
from ..turns import Message
from .chats import rollout_of
from .context import CRASHED, UNSCORED, Context

MAPPING = {
    "group_id": "task_name",
    "trajectory_id": "trial_name",
    "step_id": "steps of source agent",
    "state": "user messages and observations since the last agent step",
    "next_state": "state of the following step; last: its own observation",
    "action": "message and tool calls",
    "outcome": "verifier_result.rewards.reward",
}

TRAJECTORY = Path("agent", "trajectory.json")


class Verdict(msgspec.Struct):
    """What the verifier said."""

    rewards: dict[str, float | None] | None = None


class ModelInfo(msgspec.Struct):
    """The model behind an agent."""

    name: str | None = None


class AgentInfo(msgspec.Struct):
    """Who tried."""

    name: str | None = None
    model_info: ModelInfo | None = None


class Trial(msgspec.Struct):
    """`result.json`."""

    task_name: str
    trial_name: str
    verifier_result: Verdict | None = None
    exception_info: Any = None
    agent_info: AgentInfo | None = None


class Result(msgspec.Struct):
    """One result of an observation."""

    content: Any = None


class Observation(msgspec.Struct):
    """What came back."""

    results: list[Result] = []


class Step(msgspec.Struct):
    """One step of a trajectory."""

    source: str
    message: Any = None
    tool_calls: Any = None
    observation: Observation | None = None
    is_copied_context: bool | None = None
    llm_call_count: int | None = None


class Trajectory(msgspec.Struct):
    """`trajectory.json`."""

    schema_version: str
    steps: list[Step] = []
    continued_trajectory_ref: str | None = None


def read(source: Source, context: Context) -> Iterator[Rollout]:
    """The rollout of one trial, of which `source` is `result.json`.

    Raises
    ------
    FileError
        If a trajectory is of another version, or goes on in a file that is not beside it.
    """
    trial = document(source, Trial)
    assert source.path is not None
    first = source.path.parent / TRAJECTORY
    outcome = _reward(trial, source.name, context)
    if outcome is None:
        context.leave_out(CRASHED if trial.exception_info else UNSCORED)
    elif not first.exists():
        context.leave_out(f"no {TRAJECTORY.as_posix()}")
    else:
        rollout = rollout_of(
            [message for step in _steps(first) for message in _messages(step)],
            outcome,
            group_id=group_key(trial.task_name, training_step=source.training_step),
            trajectory_id=trial.trial_name,
            row=0,
            context=context,
        )
        if rollout is not None:
            agent = trial.agent_info or AgentInfo()
            model = agent.model_info.name if agent.model_info else None
            context.saw_policy(f"{agent.name} {model}")
            yield rollout


def _reward(trial: Trial, file: str, context: Context) -> float | None:
    rewards = (trial.verifier_result.rewards if trial.verifier_result else None) or {}
    if context.score is not None:
        if rewards and context.score not in rewards:
            raise FileError(f"no reward {context.score!r}; there are {listed(rewards)}", file)
        return rewards.get(context.score)
    if "reward" in rewards or not rewards:
        return rewards.get("reward")
    if len(rewards) > 1:
        raise FileError(
            f"there are several rewards, {listed(rewards)}; say which is the outcome (score=...)",
            file,
        )
    return next(iter(rewards.values()))


def _steps(path: Path) -> Iterator[Step]:
    """Steps of a trajectory and of what it goes on in, without those copied from before."""
    read = set()
    following: Path | None = path
    while following is not None:
        name = str(following)
        if not following.exists():
            raise FileError("the trajectory goes on in this file, which is not there", name)
        read.add(following.resolve())
        trajectory = document(Source(name, following), Trajectory)
        if not trajectory.schema_version.startswith("ATIF-v1."):
            raise FileError(
                f"schema_version is {trajectory.schema_version!r}, expected ATIF-v1.x", name
            )
        yield from (step for step in trajectory.steps if not step.is_copied_context)
        reference = trajectory.continued_trajectory_ref
        following = path.parent / Path(reference).name if reference else None
        if following is not None and following.resolve() in read:
            raise FileError(f"the trajectory goes on in itself: {reference}", name)


def _messages(step: Step) -> Iterator[Message]:
    """A step as messages: what was said, then what came back."""
    role = "assistant" if step.source == "agent" else step.source
    # An agent's step without a call of the model is its program's, not the policy's.
    by_program = role == "assistant" and step.llm_call_count == 0
    yield Message(
        role=role,
        content=step.message,
        tool_calls=step.tool_calls,
        sampled=False if by_program else None,
    )
    for result in step.observation.results if step.observation else ():
        yield Message(role="tool", content=result.content)
