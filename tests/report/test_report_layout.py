"""Laws of where nodes stand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import drawn, maze, shipped_traffics, walks

import graphgpo
from graphgpo.report.layout import GOAL_RADIUS, MAX_RADIUS, Layout, place
from graphgpo.report.ordering import Link, crossings, heights, ordered, spread
from graphgpo.report.traffic import Kind, Traffic, most_visited, traffic_of

SHIPPED = shipped_traffics()
BATCHES = st.builds(
    walks,
    seed=st.integers(0, 10_000),
    num_states=st.integers(1, 40),
    num_rollouts=st.integers(1, 6),
    length=st.integers(1, 30),
)


def check(traffic: Traffic, layout: Layout) -> None:
    stand_apart(layout)
    columns_are_distances(traffic, layout)
    lie_inside(layout)


def stand_apart(layout: Layout) -> None:
    for a, b in itertools.combinations(range(len(layout.x)), 2):
        apart = np.hypot(layout.x[a] - layout.x[b], layout.y[a] - layout.y[b])
        assert apart > layout.radius[a] + layout.radius[b], (a, b)


def columns_are_distances(traffic: Traffic, layout: Layout) -> None:
    for is_reached in (True, False):
        own = [n for n in range(len(layout.x)) if traffic.reached[n] == is_reached]
        for a, b in itertools.combinations(own, 2):
            column_a, column_b = layout.column[a], layout.column[b]
            assert (layout.x[a] == layout.x[b]) == (column_a == column_b)
            if is_reached:
                assert (traffic.distances[a] == traffic.distances[b]) == (column_a == column_b)
                assert (layout.x[a] > layout.x[b]) == (traffic.distances[a] < traffic.distances[b])
            else:
                assert (layout.x[a] > layout.x[b]) == (column_a > column_b)


def lie_inside(layout: Layout) -> None:
    for x, y, r in zip(layout.x, layout.y, layout.radius, strict=True):
        assert r <= x <= layout.width - r
        assert r <= y <= layout.height - r
    tops = [edge for band in layout.bands for edge in (band.top, band.bottom)]
    assert tops == sorted(tops)


@pytest.mark.parametrize("traffic", SHIPPED, ids=range(len(SHIPPED)))
def test_the_laws_hold_for_real_rollouts(traffic: Traffic) -> None:
    check(traffic, place(traffic))


@given(BATCHES)
def test_the_laws_hold_for_any_rollouts(rollouts: graphgpo.Rollouts) -> None:
    traffic = traffic_of(rollouts.graph())
    check(traffic, place(traffic))


def test_a_layout_is_the_same_every_time() -> None:
    traffic = traffic_of(walks(3, 60, 8, 40).graph())
    assert place(traffic) == place(traffic)


def test_the_goal_stands_on_the_right() -> None:
    for traffic in SHIPPED:
        layout = place(traffic)
        for node, kind in enumerate(traffic.kinds):
            if kind is Kind.GOAL:
                assert layout.x[node] == max(layout.x)
                assert layout.radius[node] == GOAL_RADIUS


def test_states_without_a_way_stand_below_all_others() -> None:
    for traffic in SHIPPED:
        layout = place(traffic)
        above = [y for y, reached in zip(layout.y, traffic.reached, strict=True) if reached]
        below = [y for y, reached in zip(layout.y, traffic.reached, strict=True) if not reached]
        assert not above or not below or max(above) < min(below)


def test_a_progress_step_leads_one_column_to_the_right() -> None:
    for traffic in SHIPPED:
        layout = place(traffic)
        for source, target in zip(traffic.sources, traffic.targets, strict=True):
            if traffic.distances[target] < traffic.distances[source]:
                assert layout.column[source] - layout.column[target] == 1


def test_where_costs_are_no_numbers_of_steps_columns_are_their_ranks() -> None:
    graph = graphgpo.build_graph(
        ["a", "b", "c"],
        group_ids=[0] * 3,
        trajectory_ids=[0] * 3,
        success=[True] * 3,
        edge_costs=[0.5, 0.25, 3.5],
    )
    traffic = traffic_of(graph)
    layout = place(traffic)
    assert sorted(layout.column) == [0, 1, 2, 3]
    assert [column.label for column in layout.bands[0].columns] == ["goal", "3.5", "3.75", "4.25"]
    assert layout.bands[0].title == "cost to the goal"


def test_without_a_success_there_is_one_band() -> None:
    graph = graphgpo.build_graph(
        ["a", "b"], ["b", "c"], group_ids=[0, 0], trajectory_ids=[0, 0], success=[False, False]
    )
    layout = place(traffic_of(graph))
    assert [band.title for band in layout.bands] == [
        "no way to the goal seen: steps from the start"
    ]
    assert list(layout.column) == [0, 1, 2]


def test_a_large_graph_keeps_its_most_visited_states() -> None:
    traffic = traffic_of(maze(641).graph())
    assert len(traffic.nodes) == 641 + 1  # and the goal
    kept = most_visited(traffic, 500)
    assert len(kept.nodes) == 500
    assert Kind.GOAL in kept.kinds
    left = set(traffic.nodes.tolist()) - set(kept.nodes.tolist())
    assert max(traffic.visits[np.isin(traffic.nodes, [*left])]) <= min(
        visits
        for visits, kind, start in zip(kept.visits, kept.kinds, kept.is_start, strict=True)
        if kind is Kind.STATE and not start
    )
    check(kept, place(kept))


def test_counts_of_transitions_are_those_of_the_steps() -> None:
    rollouts = walks(1, 20, 6, 30)
    traffic = traffic_of(rollouts.graph())
    assert traffic.counts.sum() == len(rollouts)
    credit = np.arange(len(rollouts), dtype=float)
    means = traffic.mean_per_edge(credit)
    assert np.isclose((means * traffic.counts).sum(), credit.sum())


def test_the_starts_that_rollouts_begin_with_are_marked() -> None:
    assert drawn(walks(0, 30, 4, 20).graph()).is_start.tolist()[0]


@given(st.lists(st.floats(-100, 100), max_size=20), st.floats(0.1, 50))
def test_heights_are_the_nearest_that_keep_the_gap(wanted: list[float], gap: float) -> None:
    found = spread(wanted, gap)
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(found))
    if all(b - a >= gap for a, b in itertools.pairwise(wanted)):
        assert np.allclose(found, wanted)
    assert np.isclose(sum(found), sum(wanted), atol=1e-6)  # a mean is kept by every merge


def test_two_links_that_cross_are_counted_and_uncrossed() -> None:
    columns = [[0, 1], [2, 3]]
    links = [Link(0, 3, 1.0), Link(1, 2, 1.0)]
    assert crossings(columns, links) == 1
    assert crossings(ordered(columns, links), links) == 0


@given(
    st.sets(st.tuples(st.integers(0, 5), st.integers(6, 11)), max_size=20),
)
def test_sweeps_never_make_it_worse(pairs: set[tuple[int, int]]) -> None:
    columns = [list(range(6)), list(range(6, 12))]
    links = [Link(left, right, 1.0) for left, right in sorted(pairs)]
    assert crossings(ordered(columns, links), links) <= crossings(columns, links)


def test_a_chain_is_straight() -> None:
    links = [Link(i, i + 1, 1.0) for i in range(4)]
    found = heights([[0], [1], [2], [3], [4]], links, [10.0] * 5)
    assert len(set(found.values())) == 1


def test_area_is_traffic() -> None:
    traffic = SHIPPED[0]
    layout = place(traffic)
    most = int(np.argmax(traffic.visits))
    assert layout.radius[most] == MAX_RADIUS or traffic.kinds[most] is Kind.GOAL
