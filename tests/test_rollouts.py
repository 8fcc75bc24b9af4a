"""Rollouts: read once, many answers, each as if it were asked alone."""

from __future__ import annotations

import re
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from batches import Columns, Shape, assert_same_bits, batches, random_walks, rollouts
from examples_of import an_estimator
from graphgpo import GraphGPO, Rollouts, _core, estimators, ingest
from graphgpo import rollouts as rollouts_module
from graphgpo.blocks import Given, Raw, Term
from graphgpo.columns import COLUMNS
from graphgpo.estimators import Estimator
from test_worked_example import COLUMNS as WORKED_EXAMPLE

NAMES = estimators.names()


class Scores(Estimator):
    """Numbers of a test."""

    values: Any = None

    def terms(self) -> list[Term]:
        """One term."""
        return [Term(Given(self.values), normaliser=Raw())]


@given(data=st.data(), columns=rollouts(Shape(is_text=True)))
def test_answers_side_by_side_are_each_alone_bit_for_bit(
    data: st.DataObject, columns: Columns
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    together = Rollouts(**columns).compare([an_estimator(name) for name in chosen])
    assert list(together) == chosen
    for name in chosen:
        alone = graphgpo.compute_advantages(**columns, estimator=an_estimator(name))
        assert_same_bits(together[name], alone)
        np.testing.assert_array_equal(together[name].state_ids, alone.state_ids)
        np.testing.assert_array_equal(together[name].next_state_ids, alone.next_state_ids)
        assert together[name].metrics == alone.metrics


def test_all_estimators_answer_from_one_merge() -> None:
    columns = random_walks(3)
    together = Rollouts(**columns).compare(map(an_estimator, NAMES))
    assert list(together) == list(NAMES)
    for name in NAMES:
        alone = graphgpo.compute_advantages(**columns, estimator=an_estimator(name))
        assert_same_bits(together[name], alone)
        assert together[name].metrics == alone.metrics


@given(batch=batches())
def test_one_question_is_compute_advantages(batch: tuple[Columns, Columns]) -> None:
    columns, chosen = batch
    options = dict(chosen)
    read = Rollouts(**columns)
    expected = graphgpo.compute_advantages(**columns, **chosen)
    assert_same_bits(read.advantages(options.pop("estimator"), **options), expected)
    assert_same_bits(read.advantages(chosen), expected)  # a second time, as a mapping
    assert read.advantages(chosen).metrics == expected.metrics


def test_columns_are_read_once() -> None:
    with (
        patch.object(rollouts_module, "read_batch", wraps=ingest.read_batch) as read,
        patch.object(_core, "compute_advantages", wraps=_core.compute_advantages) as asked,
    ):
        questions = Rollouts(**random_walks(3))
        questions.advantages()
        questions.compare(["grpo", "gigpo", "graphgpo"])
        questions.graph()
        assert read.call_count == 1
        assert asked.call_count == 2


def test_answers_do_not_share_credit_but_may_share_the_graph() -> None:
    one, other = Rollouts(**random_walks(3)).compare(["grpo", "graphgpo"]).values()
    for name in ("advantages", "step_advantages", "episode_advantages", "scores", "num_peers"):
        assert not np.shares_memory(getattr(one, name), getattr(other, name))


def test_of_two_estimators_with_one_name_the_second_is_numbered() -> None:
    read = Rollouts(**WORKED_EXAMPLE)
    found = read.compare(["grpo", GraphGPO(omega=0.5), GraphGPO(omega=0.9), {"omega": 0.1}])
    assert list(found) == ["grpo", "graphgpo", "graphgpo 2", "graphgpo 3"]
    for name, omega in (("graphgpo", 0.5), ("graphgpo 2", 0.9), ("graphgpo 3", 0.1)):
        assert_same_bits(found[name], read.advantages(omega=omega))


def test_nobody_to_compare_is_no_answer() -> None:
    assert Rollouts(**WORKED_EXAMPLE).compare([]) == {}


def test_every_estimator_is_checked_before_any_is_asked() -> None:
    read = Rollouts(**WORKED_EXAMPLE)
    with pytest.raises(ValueError, match="actions is None; estimator 'rtmc' needs it"):
        read.compare(["grpo", "rtmc"])
    with pytest.raises(ValueError, match="estimator is 'gppo'"):
        read.compare(["grpo", "gppo"])


def test_columns_are_those_that_were_given() -> None:
    read = Rollouts(**WORKED_EXAMPLE)
    assert {*read.columns} == {*WORKED_EXAMPLE}
    assert read.columns["states"] is WORKED_EXAMPLE["states"]
    assert set(Rollouts(**random_walks(1)).columns) == {*COLUMNS} - {"mask"}


def test_a_length_and_a_line_of_text() -> None:
    read = Rollouts(**WORKED_EXAMPLE)
    assert len(read) == 12
    assert repr(read) == (
        "Rollouts(12 steps, 3 rollouts, 1 group, merge_ratio 0.58; next_states, success)"
    )
    bare = Rollouts(["a"], group_ids=[0], trajectory_ids=[0], success=None)
    assert (
        repr(bare) == "Rollouts(1 step, 1 rollout, 1 group, merge_ratio 0.00; no further columns)"
    )
    empty = Rollouts([], group_ids=[], trajectory_ids=[], success=[])
    assert len(empty) == len(empty.advantages()) == 0
    assert empty.node_ids()[0].tolist() == []
    assert repr(empty).startswith("Rollouts(0 steps, 0 rollouts, 0 groups")
    assert "12 steps" in read._repr_html_()
    merged = Rollouts(**WORKED_EXAMPLE, normalise=True, similar=0.9, node_history=2)
    assert repr(merged).endswith("; next_states, success, normalise, similar=0.9, node_history=2)")


def test_a_line_of_text_of_rollouts_that_contradict_themselves_says_so() -> None:
    wrong = Rollouts(["a", "b"], group_ids=[0, 0], trajectory_ids=[0, 0], success=[True, False])
    assert repr(wrong).startswith("Rollouts(2 rows, which no estimator takes: success[0] is True")


def test_a_graph_is_one_line_of_text() -> None:
    graph = Rollouts(**WORKED_EXAMPLE).graph()
    assert repr(graph).startswith(f"StateGraph({len(graph.node_states)} nodes, 12 edges, 1 goal; ")
    assert "12 edges" in graph._repr_html_()


@given(columns=rollouts(Shape()))
def test_node_ids_are_the_graphs(columns: Columns) -> None:
    masked = {
        **columns,
        "mask": [True] * (len(columns["states"]) - 1) + [False],
    }
    for given_columns in (columns, masked):
        read = Rollouts(**given_columns)
        graph = read.graph()
        sources, targets = read.node_ids()
        np.testing.assert_array_equal(graph.edge_sources, sources[graph.edge_rows])
        np.testing.assert_array_equal(graph.edge_targets, targets[graph.edge_rows])
        credit = read.advantages("gigpo") if columns["success"] else None
        if credit is not None:
            np.testing.assert_array_equal(sources, credit.state_ids)
            np.testing.assert_array_equal(targets, credit.next_state_ids)
    assert (sources[-1], targets[-1]) == (-1, -1)


def test_the_graph_needs_no_column_of_an_estimator() -> None:
    read = Rollouts(["a", "b"], group_ids=[0, 0], trajectory_ids=[0, 0], success=None)
    assert read.graph().node_states == ["a", "b", graphgpo.Terminal.LEAF]
    assert [ids.tolist() for ids in read.node_ids()] == [[0, 1], [1, 2]]


def test_build_graph_is_the_graph_of_rollouts() -> None:
    graph, expected = graphgpo.build_graph(**WORKED_EXAMPLE), Rollouts(**WORKED_EXAMPLE).graph()
    assert graph.node_states == expected.node_states
    np.testing.assert_array_equal(graph.edge_targets, expected.edge_targets)


def test_bad_columns_are_refused_when_read_and_bad_rows_when_asked() -> None:
    with pytest.raises(TypeError, match=r"states\[1\] is \{1\} \(set\)"):
        Rollouts(["a", {1}], group_ids=[0, 0], trajectory_ids=[0, 0], success=[True, True])
    disagree = Rollouts(
        ["a", "b"], group_ids=[0, 0], trajectory_ids=[0, 0], success=[1, 1], step_ids=[0, 0]
    )
    for _ in range(2):
        with pytest.raises(ValueError, match=r"states\[1\] is 'b' but row 0 has 'a'"):
            disagree.advantages()
        with pytest.raises(ValueError, match=r"states\[1\] is 'b' but row 0 has 'a'"):
            disagree.graph()


@pytest.mark.parametrize("num_threads", [0, -1, 1.5, True, "2"])
def test_a_number_of_threads_is_a_positive_int(num_threads: Any) -> None:
    expected = f"num_threads is {num_threads!r}; expected an int >= 1, or None"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Rollouts(**WORKED_EXAMPLE, num_threads=num_threads)
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Rollouts(**WORKED_EXAMPLE).advantages(num_threads=num_threads)


def test_any_number_of_threads_reads_and_answers_alike() -> None:
    expected = Rollouts(**random_walks(4, num_groups=20)).advantages("hgpo")
    for reading in (1, 3):
        read = Rollouts(**random_walks(4, num_groups=20), num_threads=reading)
        for answering in (None, 1, 8):
            assert_same_bits(read.advantages("hgpo", num_threads=answering), expected)


def test_numbers_of_one_batch_are_not_those_of_another() -> None:
    # Plans are kept by estimator; those that hold numbers of rollouts must not be.
    def half_of_rows(read: Rollouts) -> Any:
        return np.arange(len(read)) / 2

    chosen = Scores(values=half_of_rows)
    one = Rollouts(**WORKED_EXAMPLE)
    fewer = Rollouts(**{name: values[:7] for name, values in WORKED_EXAMPLE.items()})
    assert one.advantages(chosen).scores.tolist() == [row / 2 for row in range(12)]
    assert fewer.advantages(chosen).scores.tolist() == [row / 2 for row in range(7)]


def test_arrow_columns_stay_what_they_are() -> None:
    columns = {name: pa.array(values) for name, values in WORKED_EXAMPLE.items()}
    read = Rollouts(**columns)
    assert read.columns["states"] is columns["states"]
    assert_same_bits(read.advantages(), Rollouts(**WORKED_EXAMPLE).advantages())
