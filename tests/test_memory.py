"""A graph that remembers, against a set of edges in plain Python; its bounds, files and errors."""

from __future__ import annotations

import copy
import math
import os
import pickle
import re
import subprocess
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from batches import Columns, assert_same_bits, num_rows, one_group, random_walks, rollouts, take
from goldens import NAMES, Golden
from graphgpo import GraphMemory
from graphgpo.memory_file import write_edges

GOAL = "GOAL"


def credit(memory: GraphMemory, columns: Columns, **options: Any) -> graphgpo.StepAdvantages:
    chosen = {"estimator": "graphgpo", **options}
    task_ids = columns.get("task_ids", columns["group_ids"])
    given = {name: values for name, values in columns.items() if name != "task_ids"}
    return graphgpo.compute_advantages(**given, task_ids=task_ids, memory=memory, **chosen)


# --- a set of edges -------------------------------------------------------------------------------


class Remembered:
    """What a memory without bounds is, for one task."""

    def __init__(self) -> None:
        self.edges: set[tuple[Any, Any]] = set()

    def distances(self) -> dict[Any, int]:
        found, frontier = {GOAL: 0}, [GOAL]
        for node in frontier:  # grows
            for source, target in self.edges:
                if target == node and source not in found:
                    found[source] = found[node] + 1
                    frontier.append(source)
        return found

    def credit(self, steps: list[tuple[Any, Any]], omega: float) -> tuple[list[float], list[float]]:
        """Distances after every step, and its standing beside a step along the best edge."""
        self.edges |= {step for step in steps if step[1] is not None}
        known = self.distances()
        far = max(known.values()) + 1
        values, peers = [], defaultdict(list)
        for source, target in steps:
            best = known[source] - 1 if source in known else far
            values.append(omega ** (known.get(target, far) - best))
            peers[source].append(values[-1])
        standings = []
        for (source, _), value in zip(steps, values, strict=True):
            among = [*peers[source], 1.0]
            mean = math.fsum(among) / len(among)
            variance = math.fsum((x - mean) ** 2 for x in among) / (len(among) - 1)
            is_void = min(among) == max(among)
            standings.append(0.0 if is_void else (value - mean) / (math.sqrt(variance) + 1e-6))
        return [float(known.get(target, far)) for _, target in steps], standings


def steps_of(columns: Columns, group: Any) -> tuple[list[int], list[tuple[Any, Any]]]:
    """Rows of a group, and their steps; an unknown end is None."""
    alone = {n: v for n, v in columns.items() if n != "task_ids"}
    bare = graphgpo.compute_advantages(**alone)
    states = dict(zip(bare.state_ids.tolist(), map(repr, columns["states"]), strict=True))
    ends = dict(zip(bare.next_state_ids.tolist(), columns["next_states"] or [], strict=False))
    rows = [row for row, g in enumerate(columns["group_ids"]) if g == group]
    last = {columns["trajectory_ids"][row]: row for row in rows}
    found: list[tuple[Any, Any]] = []
    for row in rows:
        target = int(bare.next_state_ids[row])
        trajectory = columns["trajectory_ids"][row]
        if last[trajectory] == row and columns["success"][row]:
            found.append((repr(columns["states"][row]), GOAL))
        elif target in states:
            found.append((repr(columns["states"][row]), states[target]))
        else:
            end = ends.get(target)
            found.append((repr(columns["states"][row]), None if end is None else repr(end)))
    return rows, found


@given(batches=st.lists(rollouts(), min_size=1, max_size=4))
def test_a_memory_is_a_set_of_edges(batches: list[Columns]) -> None:
    memory = GraphMemory()
    tasks: dict[Any, Remembered] = defaultdict(Remembered)
    for columns in batches:
        columns = {**columns, "edge_costs": None, "episode_returns": None, "rewards": None}
        result = credit(memory, columns, omega=0.5)
        for group in dict.fromkeys(columns["group_ids"]):
            rows, steps = steps_of(columns, group)
            distances, standings = tasks[group].credit(steps, 0.5)
            np.testing.assert_array_equal(result.next_distances[rows], distances)
            np.testing.assert_allclose(result.step_advantages[rows], standings, 1e-5, 2e-6)
    assert memory.num_edges == sum(len(task.edges) for task in tasks.values())
    assert memory.num_batches == len(batches)


@pytest.mark.parametrize("name", NAMES)
def test_real_rollouts_have_the_credit_of_the_study(name: str) -> None:
    golden, memory = Golden(name), GraphMemory()
    batch: dict[str, Any] = {**golden.batch, "action_valid": None}
    for half in (0, 1):
        rows = np.flatnonzero(golden.spread["batch"] == half)
        part = {n: None if values is None else values[rows] for n, values in batch.items()}
        found = credit(memory, part, estimator="spread").step_advantages
        np.testing.assert_allclose(found, golden.spread["N_pool"][rows], rtol=1e-5, atol=2e-5)


# --- by hand --------------------------------------------------------------------------------------


def test_a_win_that_is_remembered_tells_a_lost_batch_what_is_better() -> None:
    memory = GraphMemory()
    won, lost = one_group("s a !"), one_group("s a", "s b")
    credit(memory, won)
    found = credit(memory, lost)
    assert found.next_distances.tolist() == [1, 3]
    # Beside 1 along the remembered edge stand 1 and omega^2.
    values = np.array([1.0, 0.01])
    mean, std = np.mean([1, *values]), np.std([1, *values], ddof=1)
    np.testing.assert_allclose(found.step_advantages, (values - mean) / std, rtol=1e-5)
    assert found.num_peers.tolist() == [3, 3]
    assert not graphgpo.compute_advantages(**lost).step_advantages.any()


def test_a_collapsed_policy_is_pushed_off_a_worse_edge() -> None:
    memory = GraphMemory()
    credit(memory, one_group("s a !"))
    # All took the detour, and won: without a memory all are alike.
    detour = one_group("s b a !", "s b a !")
    assert not graphgpo.compute_advantages(**detour).step_advantages.any()
    found = credit(memory, detour).step_advantages
    assert (found[[0, 3]] < 0).all()
    assert not found[[1, 2, 4, 5]].any()


@pytest.mark.parametrize("exponent", ["paper", "recipe", "progress"])
def test_at_absolute_scale_the_remembered_peer_has_the_return_of_its_edge(exponent: str) -> None:
    memory = GraphMemory()
    credit(memory, one_group("s a !"))
    options = {"epsilon_scale": "absolute", "exponent": exponent, "normalization": "mean"}
    found = credit(memory, one_group("s b", "s s"), omega=0.5, success_reward=8.0, **options)
    shift = {"paper": 0, "recipe": 1, "progress": 2}[exponent]
    best, to_b, to_s = (8 * 0.5 ** (e - shift) for e in (2, 4, 3))
    mean = (best + to_b + to_s) / 3
    np.testing.assert_allclose(found.step_advantages, [to_b - mean, to_s - mean], rtol=1e-6)


def test_a_task_that_nobody_ever_won_has_no_credit_of_its_memory() -> None:
    memory = GraphMemory()
    credit(memory, one_group("s a b", "s c"))
    assert not credit(memory, one_group("s a", "s c")).step_advantages.any()


def test_shares_and_outcomes_are_those_of_the_batch() -> None:
    memory = GraphMemory()
    lost = one_group("s a", "s a", "s b", "s c", "s d")
    alone = graphgpo.compute_advantages(**lost, estimator="spread")
    for _ in range(2):
        found = credit(memory, lost, estimator="spread")
        np.testing.assert_array_equal(found.advantages, alone.advantages)
    won = one_group("s !", "s a")
    expected = graphgpo.compute_advantages(**won).episode_advantages
    np.testing.assert_array_equal(credit(memory, won).episode_advantages, expected)


def test_masked_rows_are_not_remembered() -> None:
    memory = GraphMemory()
    columns = {**one_group("s a", "s b"), "mask": [True, False], "states": ["s", None]}
    credit(memory, {**columns, "task_ids": ["t", "t"]})
    assert (memory.num_edges, memory.num_states) == (1, 2)


# --- laws -----------------------------------------------------------------------------------------


@given(data=st.data(), batches=st.lists(rollouts(), min_size=1, max_size=3))
def test_any_order_of_rows_and_number_of_threads_is_the_same(
    data: st.DataObject, batches: list[Columns]
) -> None:
    one, other = GraphMemory(max_states_per_task=2), GraphMemory(max_states_per_task=2)
    for columns in batches:
        columns = {**columns, "edge_costs": None}
        order = data.draw(st.permutations(range(num_rows(columns))))
        expected = credit(one, columns, estimator="spread", num_threads=1)
        found = credit(other, take(columns, order), estimator="spread", num_threads=3)
        assert_same_bits(found, expected, order)
        for name, values in one.state_dict().items():
            np.testing.assert_array_equal(other.state_dict()[name], values)


@given(columns=rollouts())
def test_a_first_batch_has_the_distances_of_a_batch_alone(columns: Columns) -> None:
    columns = {**columns, "edge_costs": None}
    alone = graphgpo.compute_advantages(**columns, estimator="gigpo")
    found = credit(GraphMemory(), columns, estimator="gigpo")
    assert_same_bits(found, alone)
    assert found.metrics == alone.metrics


@pytest.mark.parametrize("normalization", ["mean_std", "mean"])
def test_a_lone_step_has_the_credit_of_one_among_equals(normalization: str) -> None:
    """Whoever stands beside the remembered edge alone has a standing from a table."""
    memory = GraphMemory()
    credit(memory, one_group("s a b c !"))
    options = {"normalization": normalization, "omega": 0.5}
    steps = [f"{state} {target}" for state in "sab" for target in "sabcx"]
    for step in steps:
        before = copy.deepcopy(memory)
        one = credit(memory, one_group(step), **options)
        two = credit(before, one_group(step, step), **options)
        assert one.num_peers.tolist() == [2]
        assert two.num_peers.tolist() == [3, 3]
        np.testing.assert_array_equal(
            np.sign(one.step_advantages), np.sign(two.step_advantages[:1])
        )
        value = 0.5 ** (
            one.next_distances[0] + 1 - min(one.distances[0], one.next_distances[0] + 1)
        )
        deviation = (value - 1) / 2
        scale = abs(deviation) * math.sqrt(2) + 1e-6 if normalization == "mean_std" else 1
        np.testing.assert_allclose(one.step_advantages, deviation / scale, rtol=1e-5, atol=1e-7)


def test_threads_share_a_memory() -> None:
    memory = GraphMemory()
    batches = [{**random_walks(seed), "edge_costs": None} for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda columns: credit(memory, columns), batches))
    expected = GraphMemory()
    for columns in batches:
        credit(expected, columns)
    names = ("task", "source", "target", "is_goal", "num_batches")
    for name in names:
        np.testing.assert_array_equal(memory.state_dict()[name], expected.state_dict()[name])


# --- bounds ---------------------------------------------------------------------------------------


# A handler runs every few milliseconds until one finds its memory in the middle of a call.
ASKED_BY_A_HANDLER = """
import signal
import numpy as np
import graphgpo

rng, rows = np.random.default_rng(0), 300_000
columns = {name: rng.integers(0, rows, rows) for name in ("states", "next_states")}
columns["group_ids"] = columns["trajectory_ids"] = np.zeros(rows, int)
columns["success"] = np.ones(rows, bool)
memory = graphgpo.GraphMemory(max_states_per_task=rows)
credit = graphgpo.compute_advantages
step = {name: [0] for name in ("states", "group_ids", "trajectory_ids", "success", "task_ids")}
credit(**step, memory=memory)  # imports what it needs

def ask(*_):
    ASKED
    signal.setitimer(signal.ITIMER_REAL, 0.01)  # once more

signal.signal(signal.SIGALRM, ask)
signal.setitimer(signal.ITIMER_REAL, 0.01)
try:
    while True:
        credit(**columns, task_ids=columns["group_ids"], memory=memory, num_threads=THREADS)
except RuntimeError as error:
    print(error)
assert memory.num_tasks <= 1  # whoever asks later is answered
"""


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize(
    "asked",
    ["memory.num_edges", "memory.state_dict()", "credit(**step, memory=memory)"],
)
def test_a_handler_in_the_middle_of_a_call_is_refused(asked: str, num_threads: int) -> None:
    program = ASKED_BY_A_HANDLER.replace("ASKED", asked).replace("THREADS", str(num_threads))
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert ran.stdout == (
        "the memory is in the middle of a call of this thread, which a signal's handler has "
        "interrupted; ask it when the call has returned\n"
    )


def test_what_was_seen_long_ago_goes_first_and_the_way_to_the_goal_last() -> None:
    memory = GraphMemory(max_states_per_task=16)
    credit(memory, one_group("s a b !"))
    for batch in range(40):
        credit(memory, one_group(f"s x{batch} y{batch}"))
        assert memory.num_states <= 16
    found = credit(memory, one_group("s a", "s x39", "s z"))
    assert found.distances[0] == 3
    assert found.next_distances.tolist() == [2, 4, 4]
    sources = set(memory.state_dict()["source"].tolist())
    assert graphgpo.state_key("x39") in sources
    assert graphgpo.state_key("x0") not in sources


def test_a_way_that_is_longer_than_the_bound_is_kept_from_the_goal_on() -> None:
    memory = GraphMemory(max_states_per_task=8)
    walk = [f"room {i}" for i in range(20)]
    columns = {"states": walk, "group_ids": [0] * 20, "trajectory_ids": [0] * 20}
    credit(memory, {**columns, "success": [True] * 20})
    assert memory.num_states == 7
    found = credit(memory, one_group("x y"))
    assert found.next_distances.tolist() == [8]


def test_edges_age() -> None:
    memory = GraphMemory(max_age=2)
    credit(memory, one_group("s a !", group_ids=["t"] * 2))
    other = one_group("s b", group_ids=["other"])
    credit(memory, other)
    assert credit(memory, one_group("s a", group_ids=["t"])).distances[0] == 2
    credit(memory, other)  # the last that remembers a to GOAL has passed
    assert credit(memory, one_group("s a", group_ids=["t"])).next_distances[0] == 1
    assert memory.num_tasks == 2
    for _ in range(4):
        credit(memory, other)
    assert (memory.num_tasks, memory.num_edges) == (1, 1)


CHURN = """
import sys
import numpy as np, graphgpo
path, batches, kill = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
memory = graphgpo.GraphMemory(max_states_per_task=30, max_age=50, path=path)
for batch in range(memory.num_batches, batches):
    random = np.random.default_rng(batch)
    states = random.integers(0, 200, 60).tolist()
    tasks = np.repeat(random.choice(20, 3, replace=False), 20).tolist()
    success = np.repeat(random.random(6) < .2, 10).tolist()
    result = graphgpo.compute_advantages(
        states, group_ids=tasks, trajectory_ids=np.repeat(range(6), 10).tolist(),
        success=success, task_ids=tasks, memory=memory, estimator="spread")
    assert np.isfinite(result.advantages).all()
    assert memory.num_states <= 20 * 30, memory
    if batch % 10 == 9:
        memory.save()
    if batch == kill:
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
memory.save()
print(float(np.abs(result.advantages).sum()))
"""


@pytest.mark.parametrize("batches", [200, pytest.param(10_000, marks=pytest.mark.heavy)])
def test_churn_under_a_bound_killed_and_reloaded_is_as_if_uninterrupted(
    tmp_path: Path, batches: int
) -> None:
    def run(file: str, kill: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CHURN, str(tmp_path / file), str(batches), str(kill)]
        path = os.pathsep.join(filter(None, sys.path))
        return subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
        )

    pytest.importorskip("pyarrow")
    whole = run("whole", -1)
    assert whole.returncode == 0, whole.stderr
    kills = np.random.default_rng(0).integers(0, batches, 2 if batches < 1000 else 10)
    for kill in sorted(kills.tolist()):
        assert run("killed", kill).returncode == -9
    assert run("killed", -1).stdout == whole.stdout
    left, right = (GraphMemory(path=tmp_path / name).state_dict() for name in ("whole", "killed"))
    for name, values in left.items():
        np.testing.assert_array_equal(values, right[name])


# --- keeping it -----------------------------------------------------------------------------------


def a_memory(seed: int = 0) -> GraphMemory:
    memory = GraphMemory()
    credit(memory, {**random_walks(seed), "edge_costs": None})
    return memory


def assert_equal(one: GraphMemory, other: GraphMemory) -> None:
    assert repr(one) == repr(other)
    for name, values in one.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], values)


def test_a_memory_is_copied_pickled_and_checkpointed_whole() -> None:
    memory = a_memory()
    assert_equal(copy.deepcopy(memory), memory)
    assert_equal(pickle.loads(pickle.dumps(memory)), memory)
    other = a_memory(1)
    other.load_state_dict(memory.state_dict())
    assert_equal(other, memory)
    columns = {**random_walks(2), "edge_costs": None}
    assert_same_bits(credit(other, columns), credit(memory, columns))
    with pytest.raises(ValueError, match=r"source is not in the state; expected what state_dict"):
        other.load_state_dict({"num_batches": 1, "task": []})


def edges_of(**more: Any) -> dict[str, Any]:
    """Two edges of a task, the second to GOAL, as the first two batches left them."""
    return {
        "num_batches": 2,
        "task": np.array([7, 7]),
        "source": np.array([1, 2]),
        "target": np.array([2, 0]),
        "is_goal": np.array([False, True]),
        "last_seen": np.array([1, 2]),
        **more,
    }


HOSTILE_EDGES = [
    ({"num_batches": -1}, "num_batches of ORIGIN is -1; expected an int in [0, 2**62)"),
    ({"num_batches": 2**62}, "num_batches of ORIGIN is 4611686018427387904; expected an int in"),
    ({"last_seen": np.array([1, 3])}, "last_seen[1] of ORIGIN is 3; expected a batch in [0, 2]"),
    ({"last_seen": np.array([-1, 2])}, "last_seen[0] of ORIGIN is -1; expected a batch in [0, 2]"),
    ({"source": np.array([1.0, math.nan])}, "source of ORIGIN is float64 of shape (2,); expected"),
    ({"target": np.array(["a", "b"])}, "target of ORIGIN is "),
    ({"is_goal": np.array([0, 2])}, "is_goal of ORIGIN is int64 of shape (2,); expected bool, one"),
]


@pytest.mark.parametrize(("more", "error"), HOSTILE_EDGES)
def test_edges_that_no_memory_gave_are_refused(
    more: dict[str, Any], error: str, tmp_path: Path
) -> None:
    memory = a_memory()
    before = copy.deepcopy(memory)
    with pytest.raises(ValueError, match=re.escape(error.replace("ORIGIN", "the state"))):
        memory.load_state_dict(edges_of(**more))
    assert_equal(memory, before)
    path = tmp_path / "memory.parquet"
    write_edges(path, edges_of(**more))
    with pytest.raises(ValueError, match=re.escape(error.replace("ORIGIN", str(path)))):
        GraphMemory(path=path)


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"num_batches": 2.5}, "num_batches of the state is 2.5; expected an int in [0, 2**62)"),
        ({"num_batches": "2"}, "num_batches of the state is '2'; expected an int in [0, 2**62)"),
        ({"task": np.array([[7], [7]])}, "task of the state is int64 of shape (2, 1); expected"),
        ({"source": np.array([1])}, "source of the state is int64 of shape (1,); expected int64, "),
        ({"task": 7}, "task of the state is int64 of shape (); expected int64, one for every edge"),
    ],
)
def test_a_state_that_is_none_is_refused(more: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        GraphMemory().load_state_dict(edges_of(**more))


def test_a_file_with_holes_or_without_a_column_is_refused(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "memory.parquet"
    write_edges(path, edges_of())
    assert GraphMemory(path=path).num_edges == 2
    table = parquet.read_table(path)
    holes = table.set_column(1, "source", pyarrow.array([None, 2], pyarrow.int64()))
    parquet.write_table(holes, path)
    with pytest.raises(
        ValueError, match=r"source of .* is float64 of shape \(2,\); expected int64"
    ):
        GraphMemory(path=path)
    parquet.write_table(table.drop_columns(["is_goal"]), path)
    with pytest.raises(ValueError, match=r"is_goal is not in .*; expected what state_dict"):
        GraphMemory(path=path)
    for batches, shown in [(b"", "''"), (b"-3", "-3"), (b"\xff", "'\ufffd'")]:
        metadata = {**table.schema.metadata, b"graphgpo.memory.num_batches": batches}
        parquet.write_table(table.replace_schema_metadata(metadata), path)
        with pytest.raises(ValueError, match=f"num_batches of .* is {shown}; expected an int"):
            GraphMemory(path=path)


def test_merged_memories_know_what_either_knew() -> None:
    one, other = GraphMemory(), GraphMemory()
    credit(one, one_group("s a"))
    credit(other, one_group("a !"))
    one.merge(other)
    assert one.num_edges == 2
    assert credit(one, one_group("s a", "s b")).distances.tolist() == [2, 2]
    with pytest.raises(TypeError, match="other is a dict; expected a GraphMemory"):
        one.merge({})  # type: ignore[arg-type]


def test_merging_in_any_order_is_the_same() -> None:
    memories = [a_memory(seed) for seed in range(3)]
    merged = []
    for order in ((0, 1, 2), (2, 1, 0)):
        merged.append(GraphMemory())
        for i in order:
            merged[-1].merge(memories[i])
    assert_equal(*merged)


def test_a_task_is_forgotten_alone() -> None:
    memory = a_memory()
    tasks = memory.num_tasks
    assert memory.forget(0)
    assert not memory.forget(0)
    assert not memory.forget("0")
    assert memory.num_tasks == tasks - 1


def test_a_file_is_read_back_whole(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    memory, path = a_memory(), tmp_path / "folder" / "memory.parquet"
    memory.save(path)
    assert_equal(GraphMemory(path=path), memory)
    assert [file.name for file in path.parent.iterdir()] == ["memory.parquet"]
    with pytest.raises(ValueError, match="path is None; expected one here or where the memory"):
        memory.save()


def test_a_torn_file_is_refused_and_so_is_one_with_a_changed_byte(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "memory"
    a_memory().save(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"memory is no whole Parquet file \(.*\); restore it"):
            GraphMemory(path=path)
    changed = bytearray(whole)
    changed[200] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ValueError, match="is no whole Parquet file"):
        GraphMemory(path=path)


def test_another_version_and_another_table_are_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "memory"
    table = pyarrow.table({"task": [1]})
    parquet.write_table(table, path)
    with pytest.raises(ValueError, match="is a Parquet file but no memory; expected what save"):
        GraphMemory(path=path)
    parquet.write_table(table.replace_schema_metadata({"graphgpo.memory": "2"}), path)
    with pytest.raises(ValueError, match="is of version 2; expected 1, which this graphgpo writes"):
        GraphMemory(path=path)


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_states_per_task", "max_age"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many"])
def test_a_bound_is_a_positive_int(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}; expected an int >= 1")):
        GraphMemory(**{name: value})


def test_a_memory_needs_tasks_and_a_task_one_group() -> None:
    columns = {**one_group("s a", "s b"), "group_ids": [0, 1]}
    memory = GraphMemory()
    for more, text in (
        ({}, "task_ids is None; a memory needs them: an id per row that names its task in every"),
        ({"task_ids": [0]}, "states has 2 rows but task_ids has 1; every column needs one value"),
        (
            {"task_ids": ["t", "t"]},
            "task_ids[1] is that of row 0 of another group; expected one group for a task: give "
            "rollouts of one task one group id",
        ),
        (
            {"task_ids": ["t", "u"], "group_ids": [0, 0]},
            "task_ids[1] differs from that of row 0 of its group; expected one task for a group",
        ),
        (
            {"task_ids": [0, 1], "edge_costs": [1.0, 1.0]},
            "edge_costs are given, but in a memory every step costs 1; leave one out",
        ),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            graphgpo.compute_advantages(**{**columns, **more}, memory=memory)
    with pytest.raises(TypeError, match=r"memory is a dict; expected a graphgpo\.GraphMemory"):
        graphgpo.compute_advantages(**columns, memory={}, task_ids=[0, 1])  # type: ignore[arg-type]
    assert memory.num_edges == 0


def test_tasks_without_a_memory_are_refused() -> None:
    columns = one_group("s a", "s !")
    error = (
        "task_ids are given without a memory, which alone reads them; pass "
        "memory=graphgpo.GraphMemory() too, or leave them out"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        graphgpo.compute_advantages(**columns, task_ids=[0, 0])
    with pytest.raises(ValueError, match=f"^{re.escape(error)}$"):
        graphgpo.Rollouts(**columns, task_ids=[0, 0])


def test_explain_looks_at_a_batch_alone() -> None:
    rollouts = graphgpo.Rollouts(**one_group("s a", "s !"), task_ids=[0, 0], memory=GraphMemory())
    assert rollouts.advantages().advantages.any()
    assert len(rollouts.graph().node_states) == 3
    with pytest.raises(ValueError, match="the rollouts have a memory, and explain looks at a"):
        rollouts.explain(0)
