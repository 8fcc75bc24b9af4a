"""Rows as such: next states that follow, ids that never meet, tallies that add up."""

from __future__ import annotations

import pickle
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from graphgpo.files import ROW_SCHEMA, Report, fill_next_states, read_rows
from graphgpo.files.rows import group_key

steps = st.tuples(
    st.sampled_from("ab"),  # group
    st.sampled_from("xyz"),  # rollout
    st.integers(0, 5),
    st.sampled_from([None, "given"]),
)


def table_of(rows: list[tuple[str, str, int, str | None]]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "group_id": [group for group, *_ in rows],
        "trajectory_id": [rollout for _, rollout, *_ in rows],
        "step_id": [step for *_, step, _ in rows],
        "state": [f"{group}{rollout}{step}" for group, rollout, step, _ in rows],
        "next_state": [following for *_, following in rows],
        "success": [True] * len(rows),
        "outcome": [1.0] * len(rows),
        "source_file": ["f"] * len(rows),
        "source_row": list(range(len(rows))),
    }
    nulls = {name: [None] * len(rows) for name in ROW_SCHEMA.names if name not in columns}
    return pa.table({**columns, **nulls}).select(ROW_SCHEMA.names).cast(ROW_SCHEMA)


@given(st.lists(steps, unique_by=lambda row: row[:3]))
def test_a_null_next_state_is_the_state_of_the_following_step(
    rows: list[tuple[str, str, int, str | None]],
) -> None:
    filled = fill_next_states(table_of(rows))
    for (group, rollout, step, given_state), found in zip(
        rows, filled["next_state"].to_pylist(), strict=True
    ):
        later = [s for g, r, s, _ in rows if (g, r) == (group, rollout) and s > step]
        following = f"{group}{rollout}{min(later)}" if later else None
        assert found == (given_state or following)
    assert filled.drop_columns("next_state").equals(table_of(rows).drop_columns("next_state"))


names = st.text("a|%=3", max_size=2) | st.sampled_from(["step=3", "step%3D3", "step=3|a"])
parts = st.lists(names, min_size=1, max_size=3)
training_steps = st.sampled_from([None, 3])


@given(parts, training_steps, parts, training_steps)
def test_two_groups_never_share_a_key(
    one: list[str], one_step: int | None, other: list[str], other_step: int | None
) -> None:
    keys_meet = group_key(*one, training_step=one_step) == group_key(
        *other, training_step=other_step
    )
    assert keys_meet == ((one, one_step) == (other, other_step))


rollouts = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), max_size=40)


@given(rollouts, rollouts)
def test_rollouts_count_once_in_whatever_process_they_are_seen(
    here: list[tuple[str, str]], there: list[tuple[str, str]]
) -> None:
    reports = [Report(), Report()]
    for report, seen in zip(reports, (here, there), strict=True):
        for group, rollout in seen:
            report.tally.add(group, rollout, report.verdict(rollout == "x"))
    reports[0].update(pickle.loads(pickle.dumps(reports[1])))
    distinct = set(here) | set(there)
    groups = [group for group, _ in distinct]
    assert reports[0].num_rollouts == len(distinct)
    assert reports[0].num_groups == len(set(groups))
    assert reports[0].num_single == sum(groups.count(group) == 1 for group in set(groups))
    assert reports[0].num_solved == sum(rollout == "x" for _, rollout in distinct)


@given(
    runs=st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(1, 9)), min_size=1, max_size=20
    ),
    skipped=st.integers(0, 12),
)
def test_ids_of_integers_are_their_texts_in_runs_or_not(
    runs: list[tuple[int, int]], skipped: int
) -> None:
    ids = [number for number, count in runs for _ in range(count)]
    ids = [*ids[skipped:], -1, -2]
    columns = {
        "group_id": pa.array([7] * (1 + len(ids)), pa.int8()),
        "trajectory_id": pa.array([0, *ids], pa.int64()),
        "state": pa.array(["hall"] * (1 + len(ids)), pa.string()),
        "success": pa.array([True] * (1 + len(ids)), pa.bool_()),
    }
    read = read_rows(pa.table(columns).slice(1)).table()
    assert read["group_id"].to_pylist() == ["7"] * len(ids)
    assert read["trajectory_id"].to_pylist() == [str(number) for number in ids]
