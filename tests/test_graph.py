"""The merged graph itself: what it holds, and that its distances are shortest paths."""

from __future__ import annotations

from typing import Any

import networkx
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from batches import Columns, rollouts, take, with_padding
from graphgpo import Terminal
from test_worked_example import ROLLOUTS

COLUMNS: dict[str, Any] = {
    k: v for k, v in ROLLOUTS.items() if k not in ("omega", "success_reward")
}


def test_the_worked_example_has_six_nodes_and_twelve_edges() -> None:
    graph = graphgpo.build_graph(**COLUMNS)
    assert graph.node_states == [
        "hall",
        "kitchen",
        "kitchen, mug",
        Terminal.GOAL,
        "bedroom",
        "fridge open",
    ]
    assert graph.node_distances.tolist() == [3, 2, 1, 0, 4, 3]
    assert graph.node_reached.all()
    assert graph.node_rows.tolist() == [0, 1, 2, 2, 4, 9]
    assert set(graph.node_groups) == {"put the mug in the sink"}
    assert graph.edge_rows.tolist() == list(range(12))
    assert graph.edge_costs.tolist() == [1] * 12
    assert repr(graph.node_states[3]) == "GOAL"


def test_a_state_only_led_to_is_shown_as_it_was_given() -> None:
    graph = graphgpo.build_graph(
        ["a", "a"], ["b", None], group_ids=[7, 7], trajectory_ids=[0, 1], success=[False, False]
    )
    assert graph.node_states == ["a", "b", Terminal.LEAF]
    assert graph.node_groups == [7, 7, 7]
    assert not graph.node_reached.any()


@pytest.mark.parametrize("make", [list, np.array, pa.array, pl.Series, pd.Series])
def test_values_come_back_as_python_would_have_them(make: Any) -> None:
    graph = graphgpo.build_graph(
        make(["a", "b"]),
        group_ids=make([3, 3]),
        trajectory_ids=[0, 0],
        success=[True, True],
    )
    assert graph.node_states == ["a", "b", Terminal.GOAL]
    assert graph.node_groups == [3, 3, 3]


@given(data=st.data(), columns=rollouts())
def test_nodes_and_edges_are_those_of_the_advantages(data: st.DataObject, columns: Columns) -> None:
    rows = len(columns["states"])
    padded, _ = with_padding(columns, data.draw(st.lists(st.integers(0, rows - 1), max_size=3)))
    padded = take(padded, data.draw(st.permutations(range(len(padded["states"])))))
    graph = graphgpo.build_graph(**padded)
    result = graphgpo.compute_advantages(**padded)
    assert len(graph.edge_rows) == result.metrics["graphgpo/num_steps"]
    assert len(graph.node_states) == result.metrics["graphgpo/num_states"]
    np.testing.assert_array_equal(graph.edge_sources, result.state_ids[graph.edge_rows])
    np.testing.assert_array_equal(graph.edge_targets, result.next_state_ids[graph.edge_rows])
    np.testing.assert_array_equal(
        graph.node_distances[graph.edge_sources], result.distances[graph.edge_rows]
    )
    for row, source in zip(graph.edge_rows, graph.edge_sources, strict=True):
        assert graph.node_states[source] == padded["states"][row]
        assert graph.node_groups[source] == padded["group_ids"][row]
    if padded["edge_costs"] is not None:
        assert graph.edge_costs.tolist() == [padded["edge_costs"][row] for row in graph.edge_rows]


@given(columns=rollouts())
def test_distances_are_shortest_paths_to_the_groups_goal(columns: Columns) -> None:
    graph = graphgpo.build_graph(**columns)
    network = graph.to_networkx()
    assert network.number_of_nodes() == len(graph.node_states)
    assert network.number_of_edges() == len(graph.edge_rows)
    goals = [node for node, state in network.nodes(data="state") if state is Terminal.GOAL]
    found: dict[int, float] = {}
    for goal in goals:
        found |= networkx.single_source_dijkstra_path_length(network.reverse(), goal, weight="cost")
    for node, attributes in network.nodes(data=True):
        assert attributes["reached"] == (node in found)
        if node in found:
            assert attributes["distance"] == pytest.approx(found[node])


def test_an_empty_batch_has_an_empty_graph() -> None:
    graph = graphgpo.build_graph([], group_ids=[], trajectory_ids=[], success=[])
    assert graph.node_states == graph.node_groups == []
    assert graph.to_networkx().number_of_nodes() == 0
