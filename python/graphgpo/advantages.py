"""The main call: rollouts in, credit for every step out."""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Mapping
from typing import Any, cast

from graphgpo import _core
from graphgpo.config import GraphGPOConfig, core_options, resolved_config
from graphgpo.ingest import call_core
from graphgpo.result import StepAdvantages


def compute_advantages(
    states: Any,
    next_states: Any = None,
    *,
    group_ids: Any,
    trajectory_ids: Any,
    success: Any,
    step_ids: Any = None,
    rewards: Any = None,
    episode_returns: Any = None,
    edge_costs: Any = None,
    action_valid: Any = None,
    mask: Any = None,
    config: GraphGPOConfig | Mapping[str, Any] | None = None,
    num_threads: int | None = None,
    **options: Any,
) -> StepAdvantages:
    """Credit every step of a batch of rollouts by how much closer it gets to the goal.

    All rollouts of a group are merged into one graph of states. A step's return decays with the
    distance that is left after it, and its advantage compares it with every other step the group
    took from the same state (GraphGPO, arXiv 2605.26684, Eq. 4; `docs/concepts.md` has an example
    to check by hand). Rows are steps, in any order; nothing is shared between groups.

    Parameters
    ----------
    states
        (N,) state before each step: lists, tuples or arrays of str, bytes, int or anything nested
        of them, NumPy strings, (N, ...) numeric arrays, Arrow columns, torch CPU tensors. States
        are equal by type and value, so 1, 1.0 and "1" are three states. Integer keys in the memory
        of a GPU (torch CUDA tensors, CuPy) are left there, if all other columns are there too:
        see `graphgpo.cuda.compute_advantages`.
    next_states
        (N,) state after each step, of any of these kinds. None on a trajectory's last step means
        unknown. Without it a step leads to the state of the step that follows it.
    group_ids, trajectory_ids
        (N,) task and rollout of the row: int, str, bytes or UUID. Trajectory ids need to be unique
        within their group only.
    success
        (N,) bool: True on the last step, or on every step, of a rollout that reached the goal. None
        is allowed with estimator "grpo" if `rewards` or `episode_returns` are given.
    step_ids
        (N,) int order within the trajectory. Rows with the same group, trajectory and step id are
        copies of one step. Without it row order is the order of steps, and there are no copies.
    rewards, episode_returns
        (N,) float environment reward of the step; outcome of the row's trajectory. The episode
        advantage compares `episode_returns`, else summed `rewards`, else success as 1 and 0.
    edge_costs
        (N,) float > 0, cost of the step; 1 if not given.
    action_valid
        (N,) bool; False takes `invalid_action_penalty`.
    mask
        (N,) bool; False: padding, whose values are never looked at.
    config
        A `GraphGPOConfig` or a mapping of its fields.
    num_threads
        Upper limit, >= 1; None: all cores this process may use. The result has the same bits for
        any value.
    **options
        Fields of `GraphGPOConfig`, overriding `config`.

    Returns
    -------
    StepAdvantages
        (N,) arrays in input order and a dict of metrics. For keys on a GPU a
        `graphgpo.cuda.DeviceAdvantages`, the same on the device.

    Raises
    ------
    TypeError, ValueError
        For input the method is not defined for, naming the argument, the first row to blame, its
        value and what was expected.

    >>> result = compute_advantages(
    ...     ["hall", "kitchen", "hall"],
    ...     ["kitchen", "sink", "bedroom"],
    ...     group_ids=[0, 0, 0],
    ...     trajectory_ids=[0, 0, 1],
    ...     success=[False, True, False],
    ... )
    >>> result.step_advantages
    array([ 0.70710576,  0.        , -0.70710576], dtype=float32)
    >>> result.distances
    array([2., 1., 2.])
    """
    if cuda.is_device_array(states):
        on_device = cuda.credit(
            states,
            next_states,
            group_ids=group_ids,
            trajectory_ids=trajectory_ids,
            success=success,
            step_ids=step_ids,
            rewards=rewards,
            episode_returns=episode_returns,
            edge_costs=edge_costs,
            action_valid=action_valid,
            mask=mask,
            config=config,
            **options,
        )
        return cast(StepAdvantages, on_device)
    native_options = _native_options(resolved_config(config, options))
    given = {
        "states": states,
        "next_states": next_states,
        "group_ids": group_ids,
        "trajectory_ids": trajectory_ids,
        "success": success,
        "step_ids": step_ids,
        "rewards": rewards,
        "episode_returns": episode_returns,
        "edge_costs": edge_costs,
        "action_valid": action_valid,
        "mask": mask,
    }
    limit = thread_limit(num_threads)
    credit = call_core(_core.compute_advantages, given, num_threads=limit, options=native_options)
    return StepAdvantages(**credit)


@functools.lru_cache(maxsize=16)
def _native_options(config: GraphGPOConfig) -> _core.Options:
    """Most calls of a process share one config, and reading it anew is a tenth of a small call."""
    return _core.Options(**core_options(config))


def thread_limit(num_threads: int | None) -> int:
    """`num_threads`, or the number of cores this process may use."""
    if num_threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    try:
        limit = operator.index(num_threads)
    except TypeError:
        limit = 0
    if limit < 1 or isinstance(num_threads, bool):
        raise ValueError(f"num_threads is {num_threads!r}; expected an int >= 1, or None")
    return limit
