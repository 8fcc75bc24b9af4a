"""Objects, buffers and interpreters that do what nobody expects: an error, never a crash."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import graphgpo
from graphgpo import reference

Columns = dict[str, Any]

SLOWDOWN = 5 if "san" in os.environ.get("LD_PRELOAD", "") else 1  # of a sanitizer


def batch(rows: int = 3, /, **others: Any) -> Columns:
    """One rollout that wins."""
    return {
        "states": [f"room {row}" for row in range(rows)],
        "group_ids": [0] * rows,
        "trajectory_ids": [0] * rows,
        "success": [True] * rows,
        **others,
    }


# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", ["float8_e5m2", "float8_e4m3fn", "bfloat16", "int4", "uint4", "float4_e2m1fn"]
)
@pytest.mark.parametrize("column", ["states", "rewards", "success", "step_ids", "group_ids"])
@pytest.mark.parametrize("axes", [1, 2])
def test_dtypes_of_other_libraries_are_refused_or_read_as_what_they_are(
    dtype: str, column: str, axes: int
) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    if not hasattr(ml_dtypes, dtype):
        pytest.skip(f"this ml_dtypes has no {dtype}")
    values = np.ones((3, 5) if axes == 2 else 3, getattr(ml_dtypes, dtype))
    if dtype == "float8_e5m2" and axes == 1 and column in ("rewards", "success"):
        # The one of them that NumPy counts among its floats: every element converts itself.
        credit = graphgpo.compute_advantages(**batch(**{column: values}))
        expected = graphgpo.compute_advantages(**batch(**{column: np.ones(3)}))
        np.testing.assert_array_equal(credit.advantages, expected.advantages)
        return
    with pytest.raises((TypeError, ValueError), match=column):
        graphgpo.compute_advantages(**batch(**{column: values}))


@pytest.mark.parametrize("dtype", ["M8[s]", "m8[D]", "c16", "V4", "g"])
@pytest.mark.parametrize("column", ["states", "rewards", "success", "step_ids", "group_ids"])
def test_dtypes_that_are_no_column_are_refused_by_name(dtype: str, column: str) -> None:
    if dtype == "g" and column in ("rewards", "success"):
        pytest.skip("a long double is a number")
    with pytest.raises(TypeError, match=column):
        graphgpo.compute_advantages(**batch(**{column: np.zeros(3, dtype)}))


def test_nothing_half_made_is_seen_by_the_collector() -> None:
    seen: list[int] = []

    class Spy:
        """A tensor that looks at every object there is while it is read."""

        device = type("Device", (), {"type": "cpu"})()

        def detach(self) -> Spy:
            return self

        def numpy(self) -> Any:
            for found in gc.get_objects():
                if type(found) is tuple:
                    seen.append(len(repr(found)) if len(found) == 1009 else 0)
            return np.zeros(2)

    states: list[Any] = ["a"] * 1009
    states[1000] = Spy()
    graphgpo.compute_advantages(**batch(1009, states=states))
    assert seen


@pytest.mark.parametrize("column", ["states", "next_states", "actions", "rewards", "success"])
def test_a_tensor_whose_numpy_is_itself_is_refused(column: str) -> None:
    class Endless:
        device = type("Device", (), {"type": "cpu"})()
        dtype = "endless"

        def detach(self) -> Endless:
            return self

        def numpy(self) -> Endless:
            return self

        def __len__(self) -> int:
            return 3

    with pytest.raises(TypeError, match=column):
        graphgpo.compute_advantages(**batch(**{column: Endless()}), estimator="rtmc")
    if column in ("states", "next_states"):
        with pytest.raises(TypeError, match=rf"{column}\[0\]"):
            graphgpo.compute_advantages(**batch(**{column: [Endless()] * 3}))


def misaligned(values: Any) -> Any:
    raw = bytes(1) + values.tobytes()
    moved = np.frombuffer(raw, np.uint8)[1:].view(values.dtype)
    assert values.itemsize == 1 or not moved.flags.aligned
    return moved


@pytest.mark.parametrize("dtype", ["i2", "i4", "i8", "u4", "f2", "f4", "f8", "U3", ">i8", ">f4"])
def test_columns_that_are_not_aligned_are_read_as_if_they_were(dtype: str) -> None:
    values = np.array([1, 2, 1], dtype)
    columns: Columns = {"states": values, "next_states": values}
    if dtype != "U3":
        columns |= {"rewards": values, "edge_costs": values, "episode_returns": np.ones(3, dtype)}
    if "i" in dtype:
        columns |= {"group_ids": values * 0, "step_ids": np.arange(3).astype(dtype)}
    expected = graphgpo.compute_advantages(**batch(**columns))
    moved = {name: misaligned(column) for name, column in columns.items()}
    result = graphgpo.compute_advantages(**batch(**moved))
    np.testing.assert_array_equal(result.advantages, expected.advantages)
    np.testing.assert_array_equal(result.state_ids, expected.state_ids)


class OwnError(Exception):
    """Nobody else's."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OwnError, SystemExit])
@pytest.mark.parametrize(
    "column", ["rewards", "edge_costs", "episode_returns", "success", "action_valid", "step_ids"]
)
def test_what_a_callers_number_raises_passes_through(
    column: str, error: type[BaseException]
) -> None:
    class Raises:
        def __float__(self) -> float:
            raise error("mine")

        def __index__(self) -> int:
            raise error("mine")

    with pytest.raises(error, match="mine"):
        graphgpo.compute_advantages(**batch(**{column: [1, Raises(), 1]}))


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OwnError])
@pytest.mark.parametrize("column", ["states", "next_states", "group_ids", "actions"])
def test_what_a_callers_state_raises_passes_through(
    column: str, error: type[BaseException]
) -> None:
    class Raises:
        dtype = "none"
        device = type("Device", (), {"type": "cpu"})()

        def detach(self) -> Any:
            raise error("mine")

        numpy = detach

    values = [*batch()["states"][:2], Raises()]
    with pytest.raises(error, match="mine"):
        graphgpo.compute_advantages(**batch(**{column: values}))


@pytest.mark.parametrize("make", [lambda x: [x, x], lambda x: {"a": x, "b": x}, lambda x: (x, x)])
@pytest.mark.parametrize(
    "call", [graphgpo.state_key, lambda x: graphgpo.Rollouts(**batch(1, states=[x]))]
)
def test_states_that_share_nested_parts_are_bounded(
    make: Callable[[Any], Any], call: Callable[[Any], Any]
) -> None:
    state: Any = "x" * 40
    for _ in range(60):
        state = make(state)
    start = time.perf_counter()
    with pytest.raises(ValueError, match="larger than 64 MiB"):
        call(state)
    assert time.perf_counter() - start < 20 * SLOWDOWN


def test_the_order_of_rewards_is_no_credit() -> None:
    columns = batch(6, trajectory_ids=[0] * 3 + [1] * 3, rewards=[0.1, 0.2, 0.3, 0.3, 0.2, 0.1])
    for compute in (graphgpo.compute_advantages, reference.compute_advantages):
        for estimator in ("grpo", "rloo", "dr_grpo", "gigpo"):
            credit = compute(**columns, estimator=estimator)
            assert not credit.episode_advantages.any(), estimator
        assert credit.metrics["graphgpo/mean_return"] == math.fsum([0.1, 0.2, 0.3])


def test_progress_is_added_up_in_one_order() -> None:
    costs = [0.1, 0.2, 0.3, 0.7, 0.9, 0.1]
    columns = batch(6, states=list("abcabd"), trajectory_ids=[0] * 3 + [1] * 3, edge_costs=costs)
    columns["success"] = [True] * 3 + [False] * 3
    fast = graphgpo.compute_advantages(**columns, exponent="progress", epsilon_scale="absolute")
    plain = reference.compute_advantages(**columns, exponent="progress", epsilon_scale="absolute")
    assert fast.scores.tolist() == plain.scores.tolist()


def test_state_keys_are_the_same_in_every_process() -> None:
    program = "import graphgpo; print(graphgpo.state_key('a'), hash('a'))"
    printed = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert printed[0][0] == printed[1][0] == str(graphgpo.state_key("a"))
    assert printed[0][1] != printed[1][1]


def test_a_message_shows_what_lies_behind_a_nul() -> None:
    with pytest.raises(TypeError, match="a\\\\x00b"):
        graphgpo.compute_advantages(**batch(states=["a", {"a\0b"}, "c"]))


def test_the_float_of_a_subclass_is_its_value() -> None:
    class Odd(float):
        def __float__(self) -> Any:
            return "no number"

        def __eq__(self, other: object) -> bool:
            raise OwnError

        __hash__ = float.__hash__

    columns = batch(rewards=[Odd(1.0), Odd(0.0), Odd(2.0)])
    assert graphgpo.compute_advantages(**columns).metrics["graphgpo/mean_return"] == 3.0


# --- interpreters -------------------------------------------------------------------------------

CALLS = {
    "advantages": "graphgpo.compute_advantages(ids, group_ids=zeros, trajectory_ids=trajectories, "
    "success=wins, edge_costs=costs)",
    "lists": "graphgpo.compute_advantages(texts, group_ids=zeros, trajectory_ids=trajectories, "
    "success=wins)",
    "compare": "graphgpo.Rollouts(ids, group_ids=zeros, trajectory_ids=trajectories, "
    "success=wins).compare(['graphgpo', 'hgpo'])",
    "graph": "graphgpo.Rollouts(ids, group_ids=zeros, trajectory_ids=trajectories, "
    "success=wins, edge_costs=costs).graph()",
    "keys": "graphgpo.keys.state_keys(texts)",
    "normalise": "normalise(texts, numbers=True)",
    "similar": "_core.similar_components(texts=near, groups=np.zeros(len(near), np.int32), "
    "threshold=0.9)",
}

THREAD = """
import threading, time
import numpy as np
import graphgpo
from graphgpo import _core
from graphgpo.states import normalise

rows = 60_000
ids = np.arange(rows) * 7919 % 20_011
texts = [f"room {i} of a house at 12:0{i % 10}" for i in ids.tolist()]
near = [text + chr(65 + i % 26) * (i % 40) for i, text in enumerate(texts[:4000])]
zeros, trajectories, wins = np.zeros(rows, np.int64), np.arange(rows) // 30, np.ones(rows, bool)
costs = np.linspace(0.5, 1.5, rows)

def work(name=None):
    while True:
        {call}

for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.6)
"""


def run(program: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", program], capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("call", CALLS)
def test_a_daemon_thread_inside_a_call_does_not_keep_the_interpreter_from_ending(call: str) -> None:
    done = run(THREAD.replace("{call}", CALLS[call]))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


SUB_INTERPRETER = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    name = interpreters.create("legacy")
else:
    import _xxsubinterpreters as interpreters
    name = interpreters.create(isolated=False)
interpreters.run_string(name, "import importlib.util, os, sys\\n"
    "folder = os.path.dirname(importlib.util.find_spec('graphgpo').origin)\\n"
    "file = [f for f in os.listdir(folder) if f.startswith('_core.') and f.endswith('.so')][0]\\n"
    "spec = importlib.util.spec_from_file_location('_core', os.path.join(folder, file))\\n"
    "try:\\n"
    "    importlib.util.module_from_spec(spec)\\n"
    "except ImportError as error:\\n"
    "    print(error, flush=True)\\n")
interpreters.destroy(name)
"""


def test_a_sub_interpreter_is_told_that_it_is_none() -> None:
    # The extension alone: whether NumPy is imported there is NumPy's affair.
    done = run(SUB_INTERPRETER)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "graphgpo does not support sub-interpreters; import it in the main one\n"


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python cannot do without a GIL"
)
def test_a_free_threaded_python_switches_the_gil_on() -> None:
    done = run("import sys, graphgpo; print(sys._is_gil_enabled())", "-Wignore")
    assert done.stdout == "True\n", done.stderr
