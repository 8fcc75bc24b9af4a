"""The merged graph itself, for plots, debugging and export."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core
from graphgpo.problems.problem import counted

if TYPE_CHECKING:
    import networkx

    from graphgpo.rollouts import Rollouts


class Terminal(enum.Enum):
    """What stands in `StateGraph.node_states` for a node that is no state of the input."""

    GOAL = "GOAL"
    """Where the winning steps of a group lead."""

    LEAF = "LEAF"
    """Where a failed trajectory ended without a known next state."""

    def __repr__(self) -> str:
        return self.value


# NodeKind of the core, in its order.
_STATE, _NEXT_STATE, _GOAL, _LEAF = range(4)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StateGraph:
    """All rollouts of a batch, merged: one graph per group, as arrays over nodes and edges.

    A node's position is its id, the one in `StepAdvantages.state_ids`. Every step is an edge, so
    repeated transitions are repeated edges; masked rows and copies of a row have none.
    """

    node_states: list[Any] = field(repr=False)
    """The state as it was given, `Terminal.GOAL` or `Terminal.LEAF`."""

    node_groups: list[Any] = field(repr=False)
    """The group id as it was given."""

    node_rows: NDArray[np.int64]
    """First row in which the node appears."""

    node_distances: NDArray[np.float64]
    """Least total cost to the goal; d_max + c_max where there is no way."""

    node_reached: NDArray[np.bool_]
    """Whether the goal can be reached from the node."""

    edge_rows: NDArray[np.int64]
    """Row of the step."""

    edge_sources: NDArray[np.int64]
    """Node the step starts from."""

    edge_targets: NDArray[np.int64]
    """Node the step leads to."""

    edge_costs: NDArray[np.float64]
    """Cost of the step."""

    def __repr__(self) -> str:
        return f"StateGraph({self._in_short()})"

    def _repr_html_(self) -> str:
        return f"<code>StateGraph</code> {escape(self._in_short())}"

    def _in_short(self) -> str:
        num_groups = sum(state is Terminal.GOAL for state in self.node_states)
        share = float(self.node_reached.mean()) if len(self.node_reached) else 0.0
        return (
            f"{counted(len(self.node_states), 'node')}, {counted(len(self.edge_rows), 'edge')}, "
            f"{counted(num_groups, 'goal')}; {share:.0%} of the nodes reach one"
        )

    def to_networkx(self) -> networkx.MultiDiGraph[Any]:
        """The graph as a `networkx.MultiDiGraph` (needs networkx).

        Nodes are ids with attributes `state`, `group`, `distance`, `reached`; edges have `row` and
        `cost`.
        """
        import networkx

        graph = networkx.MultiDiGraph()
        for node, (state, group, distance, reached) in enumerate(
            zip(
                self.node_states,
                self.node_groups,
                self.node_distances.tolist(),
                self.node_reached.tolist(),
                strict=True,
            )
        ):
            graph.add_node(node, state=state, group=group, distance=distance, reached=reached)
        for row, source, target, cost in zip(
            self.edge_rows.tolist(),
            self.edge_sources.tolist(),
            self.edge_targets.tolist(),
            self.edge_costs.tolist(),
            strict=True,
        ):
            graph.add_edge(source, target, row=row, cost=cost)
        return graph


def build_graph(states: Any, next_states: Any = None, **columns: Any) -> StateGraph:
    """The graph `compute_advantages` works on, from the same columns: `Rollouts(...).graph()`.

    >>> graph = build_graph(
    ...     ["hall", "kitchen", "hall"],
    ...     group_ids=["mug"] * 3,
    ...     trajectory_ids=[0, 0, 1],
    ...     success=[True, True, False],
    ... )
    >>> graph
    StateGraph(4 nodes, 3 edges, 1 goal; 75% of the nodes reach one)
    >>> graph.node_states
    ['hall', 'kitchen', GOAL, LEAF]
    >>> graph.node_distances
    array([2., 1., 0., 3.])
    >>> graph.to_networkx().number_of_edges()
    3
    """
    from graphgpo.rollouts import Rollouts

    return Rollouts(states, next_states, **columns).graph()


def graph_of(rollouts: Rollouts) -> StateGraph:
    """The graph of rollouts that were read."""
    arrays = rollouts.ask_core(_core.build_graph)
    columns = rollouts.columns
    kinds = arrays.pop("node_kinds").tolist()
    rows = arrays["node_rows"].tolist()
    node_states = [
        Terminal.GOAL
        if kind == _GOAL
        else Terminal.LEAF
        if kind == _LEAF
        else value_at(columns["next_states" if kind == _NEXT_STATE else "states"], row)
        for kind, row in zip(kinds, rows, strict=True)
    ]
    node_groups = [value_at(columns["group_ids"], row) for row in rows]
    return StateGraph(node_states=node_states, node_groups=node_groups, **arrays)


def value_at(column: Any, row: int) -> Any:
    """The caller's own value, as a Python object where the container has one."""
    if not hasattr(column, "__getitem__"):
        raise TypeError(
            f"a {type(column).__name__} cannot be read row by row; expected a column with "
            "column[i], for example a list"
        )
    # pandas looks integers up as labels, not as positions.
    value = column.iloc[row] if hasattr(column, "iloc") else column[row]
    return value.as_py() if hasattr(value, "as_py") else value
