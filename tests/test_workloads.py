"""The benchmarks' workloads are what they say, and what is timed gives the same answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphgpo
import opponents
import workloads

SMALL = ("tiny", "webshop_like", "sokoban_boards", "sokoban_frames", "alfworld_like")
SHARES = (0.05, 0.3, 0.9)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_seed_makes_the_same_batch(name: str) -> None:
    make = workloads.WORKLOADS[name]
    one, same, other = make(seed=1), make(seed=1), make(seed=2)
    for field in ("values", "sources", "targets", "group_ids", "trajectory_ids", "success"):
        assert np.array_equal(getattr(one, field), getattr(same, field))
    assert not np.array_equal(one.values, other.values)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", SMALL)
def test_as_many_steps_start_in_a_singleton_state_as_asked(name: str, share: float) -> None:
    workload = workloads.WORKLOADS[name](singleton_share=share)
    kind = workloads.kinds(workload)[0]
    result = graphgpo.compute_advantages(**workload.columns(kind))
    assert workload.singleton_share == pytest.approx(share, abs=0.02)
    assert result.metrics["graphgpo/singleton_share"] == workload.singleton_share


@pytest.mark.parametrize(
    ("name", "steps", "groups", "trajectories"),
    [
        ("tiny", 80, 1, 8),
        ("webshop_like", 1_600, 16, 128),
        ("sokoban_boards", 3_300, 16, 128),
        ("sokoban_frames", 3_300, 16, 128),
        ("alfworld_like", 4_600, 16, 128),
    ],
)
def test_sizes_are_as_promised(name: str, steps: int, groups: int, trajectories: int) -> None:
    workload = workloads.WORKLOADS[name]()
    assert len(workload) == pytest.approx(steps, rel=0.02)
    assert len(set(workload.group_ids.tolist())) == groups
    assert len(set(workload.trajectory_ids.tolist())) == trajectories


@pytest.mark.parametrize(
    ("name", "shortest", "longest"),
    [("alfworld_like", 200, 900), ("webshop_like", 2000, 6000), ("sokoban_boards", 71, 71)],
)
def test_texts_are_distinct_and_as_long_as_promised(name: str, shortest: int, longest: int) -> None:
    texts = workloads.WORKLOADS[name]().values
    assert len(set(texts)) == len(texts)
    assert shortest <= min(map(len, texts)) <= max(map(len, texts)) <= longest


def test_pages_are_not_ascii() -> None:
    assert not any(page.isascii() for page in workloads.webshop_like().values)


def test_every_row_of_a_list_has_a_str_of_its_own() -> None:
    columns = workloads.tiny().columns("list")
    assert len({id(text) for name in ("states", "next_states") for text in columns[name]}) == 160


def test_a_shared_list_has_one_str_per_state() -> None:
    columns = workloads.tiny().columns("list_shared")
    assert len({id(text) for text in columns["states"]}) == len(set(columns["states"]))


@pytest.mark.parametrize("name", SMALL)
def test_a_step_leads_to_the_state_the_next_one_starts_in(name: str) -> None:
    workload = workloads.WORKLOADS[name]()
    goes_on = workload.trajectory_ids[1:] == workload.trajectory_ids[:-1]
    assert np.array_equal(workload.targets[:-1][goes_on], workload.sources[1:][goes_on])


def test_a_rollout_that_is_cut_has_failed() -> None:
    tiny = workloads.tiny()
    assert tiny.success[:40].all()
    assert tiny.head(15).success.tolist() == [True] * 10 + [False] * 5
    assert tiny.head(20).success.all()
    assert tiny.head(80) is tiny


@pytest.mark.parametrize("name", SMALL)
def test_every_kind_of_column_gives_the_same_answer(name: str) -> None:
    workload = workloads.WORKLOADS[name]()
    kinds = [kind for kind in workloads.kinds(workload) if not kind.endswith("_1col")]
    results = [graphgpo.compute_advantages(**workload.columns(kind)) for kind in kinds]
    for result in results[1:]:
        assert np.array_equal(result.advantages, results[0].advantages)
        assert np.array_equal(result.state_ids, results[0].state_ids)
        assert np.array_equal(result.next_state_ids, results[0].next_state_ids)


@pytest.mark.parametrize("opponent", opponents.OPPONENTS)
@pytest.mark.parametrize("name", SMALL)
def test_every_opponent_gives_our_answer(name: str, opponent: str) -> None:
    if not opponents.is_installed(opponent):
        pytest.skip(f"{opponent} is not installed")
    workload = workloads.WORKLOADS[name]().head(1_000)
    for kind in workloads.kinds(workload):
        columns = workload.columns(kind)
        answer = opponents.OPPONENTS[opponent](**columns)
        assert opponents.differences(answer, graphgpo.compute_advantages(**columns)) == []


def test_integers_are_interned_alike_group_by_group_and_at_once() -> None:
    columns = workloads.alfworld_like().columns("keys")
    arguments = columns["states"], columns["next_states"], columns["group_ids"]
    assert_same_partition(
        opponents.integers_by_group(*arguments), opponents.intern_by_batch(*arguments)
    )


def assert_same_partition(one: Any, other: Any) -> None:
    pairs = set(zip(np.concatenate(one[:2]), np.concatenate(other[:2]), strict=True))
    assert len(pairs) == one[2] == other[2]


@pytest.mark.parametrize("field", ["advantages", "distances", "state_ids"])
def test_a_wrong_answer_is_noticed(field: str) -> None:
    columns = workloads.tiny().columns("list")
    answer = opponents.vectorised(**columns)
    answer[field] = answer[field].copy()
    answer[field][3] += 1
    assert opponents.differences(answer, graphgpo.compute_advantages(**columns)) == [field]
