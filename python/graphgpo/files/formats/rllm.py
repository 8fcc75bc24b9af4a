"""rllm: `*_step_N_epoch_N/episode_*.json` of its episode logger, a file an episode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from ..errors import FileError
from ..jsonl import document
from ..paths import Source
from ..rows import Rollout, group_key
from ..turns import POLICY, Message, turns
from ..values import as_text
from .context import CRASHED, EMPTY, UNSCORED, Context

MAPPING = {
    "group_id": "training_step, task_hash, trajectories[].name",
    "trajectory_id": "episode_id, trajectories[].uid",
    "step_id": "position in trajectories[].steps",
    "state": "observation (all null: the last one in chat_completions)",
    "next_state": "that of the following step",
    "action": "action (null: model_response)",
    "outcome": "is_correct",
    "reward": "reward of the step",
}


class Step(msgspec.Struct):
    """One step."""

    observation: Any = None
    action: Any = None
    reward: float | None = None
    model_response: Any = None
    chat_completions: list[Message] | None = None


class Trajectory(msgspec.Struct):
    """One agent's steps."""

    name: str | None = None
    uid: str | None = None
    steps: list[Step] | None = None


class Episode(msgspec.Struct):
    """One file."""

    episode_id: str | None
    task_hash: str | None = None
    training_step: int | None = None
    is_correct: bool | float | None = None
    termination_reason: str | None = None
    trajectories: list[Trajectory] | None = None


def read(source: Source, context: Context) -> Iterator[Rollout]:
    """Rollouts of one episode: one per agent.

    Raises
    ------
    FileError
        If a step has neither an observation nor a chat that shows one.
    """
    episode = document(source, Episode)
    step = source.training_step if episode.training_step is None else episode.training_step
    trajectories = episode.trajectories or []
    if not trajectories:
        context.leave_out(EMPTY)
    for place, trajectory in enumerate(trajectories):
        steps = trajectory.steps or []
        if episode.termination_reason == "error":
            context.leave_out(CRASHED)
        elif not steps:
            context.leave_out(EMPTY)
        elif episode.is_correct is None:
            context.leave_out(UNSCORED)
        else:
            yield Rollout(
                group_id=group_key(episode.task_hash, trajectory.name or "", training_step=step),
                trajectory_id=f"{episode.episode_id}/{trajectory.uid or place}",
                states=_states(steps, source.name),
                last_state=None,
                actions=[_action(step) for step in steps],
                outcome=episode.is_correct,
                source_row=0,
                rewards=[step.reward for step in steps],
            )


def _states(steps: list[Step], file: str) -> list[str]:
    if all(step.observation is not None for step in steps):
        return [as_text(step.observation) for step in steps]
    # Observations and texts of chats are not the same kind of thing: never some of each.
    return [_shown(step, place, file) for place, step in enumerate(steps)]


def _shown(step: Step, place: int, file: str) -> str:
    """What the chat of a step shows last: what the policy answers, or has answered."""
    chat = step.chat_completions or []
    if chat and chat[-1].speaker not in POLICY:
        chat = [*chat, Message(role="assistant", content="")]
    states = turns(chat).states
    if not states:
        raise FileError(
            f"step {place} has neither an observation nor chat_completions that show one", file
        )
    return states[-1]


def _action(step: Step) -> str | None:
    for said in (step.action, step.model_response):
        if said is not None:
            return as_text(said)
    actions = turns(step.chat_completions or ()).actions
    return actions[-1] if actions else None
