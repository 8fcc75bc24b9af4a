"""The main call: rollouts in, credit for every step out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphgpo.result import StepAdvantages
from graphgpo.rollouts import Rollouts

if TYPE_CHECKING:
    from graphgpo.memory import GraphMemory


def compute_advantages(
    states: Any,
    next_states: Any = None,
    *,
    group_ids: Any,
    trajectory_ids: Any,
    success: Any,
    step_ids: Any = None,
    actions: Any = None,
    rewards: Any = None,
    episode_returns: Any = None,
    edge_costs: Any = None,
    action_valid: Any = None,
    mask: Any = None,
    peer_keys: Any = None,
    normalise: Any = None,
    similar: float | None = None,
    node_history: int = 1,
    task_ids: Any = None,
    memory: GraphMemory | None = None,
    estimator: Any = "graphgpo",
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
        are equal by type and value, so 1, 1.0 and "1" are three states.
    next_states
        (N,) state after each step, of any of these kinds. None on a trajectory's last step means
        unknown. Without it a step leads to the state of the step that follows it.
    group_ids, trajectory_ids
        (N,) task and rollout of the row: int, str, bytes, UUID or tuples of these, of one kind in a
        column. Trajectory ids need to be unique within their group only.
    success
        (N,) bool: True on the last step, or on every step, of a rollout that reached the goal; None
        on every row of a rollout without a verdict (cut off, crashed): its steps get credit, its
        outcome enters no mean. The column may be None for estimators that need only `rewards` or
        `episode_returns`.
    step_ids
        (N,) int order within the trajectory. Rows with the same group, trajectory and step id are
        copies of one step. Without it row order is the order of steps, and there are no copies.
    actions
        (N,) what was done, of any kind a state may be: for estimators that need it.
    rewards, episode_returns
        (N,) float environment reward of the step; outcome of the row's trajectory. The episode
        advantage compares `episode_returns`, else summed `rewards`, else success as 1 and 0.
    edge_costs
        (N,) float > 0, cost of the step; 1 if not given.
    action_valid
        (N,) bool; False takes `invalid_action_penalty`.
    mask
        (N,) bool; False: padding, whose values are never looked at.
    peer_keys
        (N,) a key per step, for estimators whose peers the user defines.
    normalise, similar, node_history
        What counts as one state, as in `graphgpo.Rollouts`: noise to take out of texts, the share
        of characters from which on near-duplicates are one, how many states back a node looks.
    task_ids, memory
        (N,) name of the row's task in every batch, an id; and a `graphgpo.GraphMemory` of what was
        ever done in it, which this batch is added to. None: a batch is all there is.
    estimator
        A name (`graphgpo.estimators.names()`), a mapping of options with the name under
        "estimator", or an `Estimator`, yours too.
    num_threads
        Upper limit, >= 1; None: all cores this process may use. The result has the same bits for
        any value.
    **options
        Options of that estimator.

    Returns
    -------
    StepAdvantages
        (N,) arrays in input order and a dict of metrics.

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
    rollouts = Rollouts(
        states,
        next_states,
        group_ids=group_ids,
        trajectory_ids=trajectory_ids,
        success=success,
        step_ids=step_ids,
        actions=actions,
        rewards=rewards,
        episode_returns=episode_returns,
        edge_costs=edge_costs,
        action_valid=action_valid,
        mask=mask,
        peer_keys=peer_keys,
        normalise=normalise,
        similar=similar,
        node_history=node_history,
        task_ids=task_ids,
        memory=memory,
        num_threads=num_threads,
    )
    return rollouts.advantages(estimator, **options)
