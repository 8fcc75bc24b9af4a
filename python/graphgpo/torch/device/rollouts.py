"""Rows to steps, steps to trajectories and groups, and the merged graph, as tensors over steps.

A step is the first of the rows that repeat it; steps stand in the order of their rows. Groups and
nodes are numbered by first appearance, the nodes of a group one after the other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphgpo.torch.device.columns import NO_VERDICT, Columns, RefusedError
from graphgpo.torch.device.distances import distances_to_goals
from graphgpo.torch.device.segments import Numbering, Segments, inverse_of, numbered, with_last


class Rollouts:
    """A batch that is read, checked and merged. (S,) tensors over steps unless said otherwise.

    `group`, `trajectory`, `state`, `edge` and `same_action` are segments: the steps of one. A step
    that is asked for and does not exist, as the one after the last, is S.
    """

    def __init__(self, columns: Columns, host: Callable[[], Any]) -> None:
        """Raises `RefusedError` for what the core refuses.

        `host` gives the `graphgpo.Rollouts` of the same columns in host memory, for functions in a
        `Given`.
        """
        self.columns = columns
        self.host = host
        self.known: dict[Any, Any] = {}  # what blocks made of it
        self._merge_copies()
        self._order_steps()
        self._read_verdicts()
        columns.refuse_what_is_wrong()
        self._connect()

    def _merge_copies(self) -> None:
        """Of rows that repeat a step the first is the step."""
        columns, num_rows = self.columns, self.columns.num_rows
        rows = torch.arange(num_rows, device=columns.device)
        if "mask" in columns:
            rows = rows[columns["mask"]]
        groups = numbered(columns["group_ids"][rows], by_appearance=True)
        trajectories = numbered(groups.ids, columns["trajectory_ids"][rows])
        first = step = torch.arange(len(rows), device=columns.device)
        if "step_ids" in columns:
            steps = numbered(trajectories.ids, columns["step_ids"][rows], by_appearance=True)
            first, step = steps.first, steps.ids
            columns.refuse_rows_that_differ(rows, rows[first[step]])
        self.row = rows[first]
        self.num_steps = len(first)
        self.step_of_row = torch.full((num_rows,), self.num_steps, device=columns.device)
        self.step_of_row[rows] = step  # (N,)
        self.group = groups.only(first)
        self.trajectory = trajectories.only(first)
        self.trajectory_group = groups.only(trajectories.first)  # over trajectories

    def _order_steps(self) -> None:
        """Step by step of each trajectory; `start` and `end`, its first and last, by trajectory."""
        by = self.of("step_ids") if self.has("step_ids") else self.row
        ordered = numbered(self.trajectory.ids, by)
        length = self.trajectory.sizes[:-1]
        stop = length.cumsum(0)
        self.length = length[self.trajectory.ids]  # of its trajectory
        self.turn = ordered.ids - (stop - length)[self.trajectory.ids]
        self.is_last = self.turn == self.length - 1
        before, after = (ordered.first.roll(by)[ordered.ids] for by in (1, -1))
        self.previous = torch.where(self.turn == 0, self.num_steps, before)
        self.following = torch.where(self.is_last, self.num_steps, after)
        self.start, self.end = ordered.first[stop - length], ordered.first[stop - 1]
        if self.has("next_states"):
            self.refuse(self.is_null("next_states") & ~self.is_last)
        elif self.has("step_ids"):  # the state after a step is that of the next id
            self.refuse((with_last(by, 0)[self.following] != by + 1) & ~self.is_last)

    def _read_verdicts(self) -> None:
        """`won` and `judged`, whether it succeeded and whether that is known, by trajectory."""
        success = self.of("success") if self.has("success") else torch.zeros_like(self.turn)
        self.won, self.judged = success[self.end] == 1, success[self.end] != NO_VERDICT
        self.is_won = self.won[self.trajectory.ids]
        self.is_judged = self.judged[self.trajectory.ids]
        self.refuse((success != NO_VERDICT) != self.is_judged)
        self.refuse((success == 1) & ~self.is_won)
        if self.has("episode_returns"):
            returns = self.of("episode_returns")
            low, high = self.trajectory.bounds(returns, ~returns.isnan())
            self.refuse(low < high)

    def _connect(self) -> None:
        """Nodes a step leaves and leads to, which are a group's states, its goal, and leaves."""
        own = self.of("states")
        after = goes_on_from = with_last(own, 0)[self.following]
        if self.has("next_states"):
            after = self.of("next_states")
        self.is_broken = (after != goes_on_from) & ~self.is_last
        states = numbered(torch.cat([own, after]))
        sources, targets = states.ids.reshape(2, -1)
        wins, is_leaf = self.is_last & self.is_won, self.is_null("next_states") & self.is_last
        leaves = torch.arange(self.num_steps, device=own.device) + states.num + 1
        targets = torch.where(wins, states.num, torch.where(is_leaf, leaves, targets))
        kinds = torch.stack([sources, targets], 1).reshape(-1)  # as they appear
        group = self.group.ids.repeat_interleave(2)
        nodes = numbered(group, kinds, by_appearance=True)
        by_group = torch.argsort(group[nodes.first], stable=True)
        self.source, self.target = inverse_of(by_group)[nodes.ids].reshape(-1, 2).unbind(1)
        self.node_group, self.num_nodes = group[nodes.first][by_group], nodes.num
        self.state = Segments(self.source, self.num_nodes)
        ones = torch.ones_like(own, dtype=torch.float64)
        self.cost = self.of("edge_costs") if self.has("edge_costs") else ones
        goals = own.new_full((self.group.num,), -1)
        goals[self.group.ids[wins]] = self.target[wins]  # of a group always the same node
        self.has_goal = goals >= 0  # (groups,)
        self.is_of_winners = self.has_goal[self.group.ids]  # somebody in its group won
        source, target = self.source[self.edge.first], self.target[self.edge.first]
        cost = self.edge.smallest(self.cost)[:-1]
        self.distance = distances_to_goals(source, target, cost, goals, self.node_group)  # (nodes,)

    def refuse(self, is_wrong: Tensor) -> None:
        """What the core refuses, when `columns.refuse_what_is_wrong` is called next."""
        self.columns.wrong.append(is_wrong.any())

    # --- columns by step --------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        return name in self.columns

    def of(self, name: str) -> Tensor:
        return self.columns[name][self.row]

    def is_null(self, name: str) -> Tensor:
        """Where there is no value; everywhere without the column."""
        none = torch.full_like(self.row, not self.has(name), dtype=torch.bool)
        return self.columns.nulls[name][self.row] if name in self.columns.nulls else none

    def keys(self, name: str) -> Tensor:
        """A column every step must have a value in."""
        if bool(self.is_null(name).any()):
            raise RefusedError
        return self.of(name)

    @functools.cached_property
    def actions(self) -> Tensor:
        """What was done at each step; without the column the target stands for it."""
        return self.keys("actions") if self.has("actions") else self.target

    @property
    def is_invalid(self) -> Tensor:
        none = torch.zeros_like(self.is_last)
        return ~self.of("action_valid") if self.has("action_valid") else none

    # --- what was earned --------------------------------------------------------------------------

    def rewards(self, success_reward: float) -> Tensor:
        """What every step receives: its reward, else success_reward on the winning last step.

        Unknown without either, where there is no verdict.
        """
        if self.has("rewards"):
            return self.of("rewards")
        return self.at_success(success_reward, self.is_last)

    def at_success(self, reward: float, holds: Tensor) -> Tensor:
        """The reward where it holds in a success, else 0; unknown where there is no verdict."""
        received = reward * (holds & self.is_won).to(torch.float64)
        return torch.where(self.is_judged, received, math.nan)

    @functools.cached_property
    def outcomes(self) -> Tensor:
        """(trajectories,) episode returns, else summed rewards, else success; NaN: unknown."""
        if self.has("episode_returns"):
            found = self.of("episode_returns")[self.start]
        elif self.has("rewards"):
            found = self.trajectory.sum(self.of("rewards"))[:-1]
        else:
            found = self.won.to(torch.float64)
        return torch.where(self.judged, found, math.nan)

    # --- what several blocks need, found once a batch ---------------------------------------------

    @functools.cached_property
    def edge(self) -> Numbering:
        """Steps from one node to one node."""
        return numbered(self.source, self.target)

    @functools.cached_property
    def same_action(self) -> Numbering:
        """Steps with one state and action."""
        return numbered(self.source, self.actions)

    @functools.cached_property
    def distances(self) -> tuple[Tensor, Tensor]:
        """Before each step and after it: d_max + c_max where there is no way."""
        is_far = self.distance.isinf()
        within = torch.where(is_far, 0.0, self.distance)
        farthest = Segments(self.node_group, self.group.num).largest(within, 0.0)
        most = self.group.largest(self.cost, 0.0)
        beyond = farthest + most
        self.refuse((beyond + most).isinf())  # one edge further has to be finite too
        found = torch.where(is_far, beyond[self.node_group], self.distance)
        return found[self.source], found[self.target]

    def backwards(self, received: Tensor, decay: float) -> Tensor:
        """x_t + decay * (the same of the following step): turn by turn, from the last."""
        total = with_last(received, 0.0)
        sizes = torch.bincount(self.turn).tolist()
        turns = torch.argsort(self.turn, stable=True).split_with_sizes(sizes)
        for steps in reversed(turns):
            total[steps] += decay * total[self.following[steps]]
        return total[:-1]
