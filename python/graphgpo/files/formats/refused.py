"""What cannot be read, why, and what to do instead."""

from __future__ import annotations

from ..errors import FileError

_RECORD = (
    "Best: let graphgpo's integrations record the rows themselves (record=..., a Parquet file a "
    "training step)"
)

REASONS = {
    "verl without ids": (
        "this is a dump of verl's legacy trainer or of verl-agent: no line says which task, "
        "rollout and step it is. Add uid, traj_uid and anchor_obs (and step_id) to the dumped "
        f"dict, or use verl's v1 trainer, whose dump has a uid. {_RECORD}"
    ),
    "slime": (
        "slime's .pt files are pickles, which can run any code when opened, so they are never "
        "read. Write the samples as JSON Lines in your rollout function (group, rollout, "
        f"messages, reward) and name the columns. {_RECORD}"
    ),
    "skyrl": (
        "SkyRL's .pkl files are pickles, which can run any code when opened, so they are never "
        "read. Write the trajectories as JSON Lines in your generator (group, rollout, messages, "
        f"reward) and name the columns. {_RECORD}"
    ),
    "areal": (
        "AReaL's dump joins all turns of a rollout to one prompt and one completion, so its steps "
        "are lost. Write the messages as JSON Lines in your workflow (group, rollout, messages, "
        f"reward) and name the columns. {_RECORD}"
    ),
    "roll": (
        "ROLL's dump joins all turns of a rollout to one text, so its steps are lost. Write the "
        "messages as JSON Lines in your environment manager (group, rollout, messages, reward) "
        f"and name the columns. {_RECORD}"
    ),
    "swe-agent": (
        "SWE-agent's .traj files do not say whether the task was resolved: that lies in the "
        "evaluation's own report. Join the two to JSON Lines (instance_id, traj_id, messages, "
        "resolved)"
    ),
}
"""By the name of what is refused."""

SUFFIXES = {
    ".pt": "slime",
    ".pth": "slime",
    ".pkl": "skyrl",
    ".pickle": "skyrl",
    ".traj": "swe-agent",
}
"""Suffixes that are refused unopened."""


_OF_ROLL = frozenset({"save_content", "trajectory_data", "trajectory_json"})


def error(what: str, file: str, row: int | None = None) -> FileError:
    """The refusal of `what`, a name in `REASONS`."""
    return FileError(REASONS[what], file, row)


def by_keys(keys: set[str]) -> str | None:
    """What is refused by the keys of its records; None: not refused."""
    if {"head_version", "tail_version", "completion"} <= keys:
        return "areal"
    if {"input", "output", "score"} <= keys and "uid" not in keys:
        return "verl without ids"
    if "global_step" in keys and (_OF_ROLL & keys or {"responses", "scores"} <= keys):
        return "roll"
    return None
