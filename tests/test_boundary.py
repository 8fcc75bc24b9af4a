"""Bad input: every error names the argument, the row, the value and what was expected."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import graphgpo
from examples_of import an_example
from graphgpo import estimators
from graphgpo.columns import COLUMNS


def good() -> dict[str, Any]:
    """Two rollouts; every test spoils one thing."""
    return {
        "states": ["a", "b", "a"],
        "next_states": ["b", "won", "c"],
        "group_ids": [0, 0, 0],
        "trajectory_ids": [0, 0, 1],
        "success": [False, True, False],
        "step_ids": [0, 1, 0],
    }


class Opaque:
    """A value without an equality."""

    def __repr__(self) -> str:
        return "Opaque()"


class Unprintable:
    """A value whose own repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError


@dataclass
class OnDevice:
    """What a CUDA tensor looks like to the library."""

    device: Any = field(default_factory=lambda: torch.device("cuda:0"))
    dtype: Any = torch.int64

    def detach(self) -> OnDevice:
        raise AssertionError

    def numpy(self) -> Any:
        raise AssertionError


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


def cycle() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


STATE = "str, bytes, int, float, bool, a numeric array, or a list, tuple or dict of these"
NAN = "NaN equals nothing, not even itself"
COPIES = (
    "rows with the same group, trajectory and step id are copies of one step and must agree in "
    "every column"
)

#           what is spoiled, the error, its whole text
CASES: list[tuple[dict[str, Any], type[Exception], str]] = [
    # lengths and containers
    (
        {"group_ids": [0, 0]},
        ValueError,
        "states has 3 rows but group_ids has 2; every column needs one value per step",
    ),
    (
        {"mask": [True]},
        ValueError,
        "states has 3 rows but mask has 1; every column needs one value per step",
    ),
    (
        {"next_states": pa.array(["b"])},
        ValueError,
        "states has 3 rows but next_states has 1; every column needs one value per step",
    ),
    (
        {"states": "abc"},
        TypeError,
        "states is a str; expected a column, one value per step: a list, a NumPy array, an Arrow "
        "column or a CPU tensor",
    ),
    (
        {"rewards": 1.0},
        TypeError,
        "rewards is a float; expected a column, one value per step: a list, a NumPy array, an "
        "Arrow column or a CPU tensor",
    ),
    (
        {"states": {"a": 1}},
        TypeError,
        "states is a dict; expected a column, one value per step: a list, a NumPy array, an Arrow "
        "column or a CPU tensor",
    ),
    (
        {"success": np.array(True)},
        TypeError,
        "success is a 0-d array; expected a column, one value per step",
    ),
    (
        {"rewards": np.zeros((3, 1))},
        ValueError,
        "rewards has shape (3, 1); expected (N,), one value per step",
    ),
    (
        {"group_ids": np.zeros((3, 1), int)},
        ValueError,
        "group_ids has shape (3, 1); expected (N,), one value per step",
    ),
    (
        {"states": np.array([["a"], ["b"], ["c"]])},
        ValueError,
        "states has shape (3, 1); expected (N,), one value per step",
    ),
    (
        {"next_states": OnDevice()},
        TypeError,
        "next_states is a tensor on cuda:0; expected a CPU tensor: call .cpu()",
    ),
    (
        {"group_ids": None},
        TypeError,
        "group_ids is a NoneType; expected a column, one value per step: a list, a NumPy array, "
        "an Arrow column or a CPU tensor",
    ),
    # states
    ({"states": ["a", None, "a"]}, ValueError, "states[1] is null; expected a value"),
    (
        {"states": ["a", {1, 2}, "a"]},
        TypeError,
        f"states[1] is {{1, 2}} (set); expected {STATE}",
    ),
    (
        {"states": ["a", "b", Opaque()]},
        TypeError,
        f"states[2] is Opaque() (Opaque); expected {STATE}",
    ),
    (
        {"states": ["a", "b", Unprintable()]},
        TypeError,
        f"states[2] is a Unprintable; expected {STATE}",
    ),
    (
        {"states": ["a", "b", ["x", (1, {2})]]},
        TypeError,
        f"states[2] contains {{2}} (set); expected {STATE}",
    ),
    (
        {"states": ["a", "b", 1j]},
        TypeError,
        f"states[2] is 1j (complex); expected {STATE}",
    ),
    (
        {"states": ["a", float("nan"), "a"]},
        ValueError,
        f"states[1] is nan (float); expected a number: {NAN}",
    ),
    (
        {"states": ["a", [{"x": float("nan")}], "a"]},
        ValueError,
        f"states[1] contains nan (float); expected a number: {NAN}",
    ),
    (
        {"states": ["a", np.array([np.nan]), "a"]},
        ValueError,
        f"states[1] is array([nan]) (ndarray); expected numbers: {NAN}",
    ),
    (
        {"states": np.array([[1.0], [np.nan], [2.0]])},
        ValueError,
        f"states[1] holds a NaN; expected numbers: {NAN}",
    ),
    (
        {"states": np.array([1.0, 2.0, np.nan])},
        ValueError,
        f"states[2] holds a NaN; expected numbers: {NAN}",
    ),
    (
        {"states": pa.array([1.0, 2.0, float("nan")])},
        ValueError,
        f"states[2] is nan; expected a number: {NAN}",
    ),
    (
        {"states": ["a", np.array(["x"]), "a"]},
        TypeError,
        "states[1] is array(['x'], dtype='<U1') (ndarray); expected a numeric array (bool, int, "
        "uint or float of at most 64 bits)",
    ),
    (
        {"states": ["a", nested(101), "a"]},
        ValueError,
        "states[1] is nested deeper than 100 levels (or contains itself)",
    ),
    (
        {"states": ["a", "b", cycle()]},
        ValueError,
        "states[2] is nested deeper than 100 levels (or contains itself)",
    ),
    (
        {"states": np.array([1j, 2j, 3j])},
        TypeError,
        "states is an array of dtype complex128; expected strings, bytes, bool, ints, floats of "
        "at most 64 bits, or objects",
    ),
    (
        {"states": np.zeros((3, 2), np.longdouble)},
        TypeError,
        f"states is an array of dtype {np.dtype(np.longdouble)}; expected rows of bool, int, uint "
        "or float of at most 64 bits",
    ),
    (
        {"states": np.zeros(3, "M8[s]")},
        TypeError,
        "states is an array of dtype datetime64[s]; expected strings, bytes, bool, ints, floats "
        "of at most 64 bits, or objects",
    ),
    (
        {"states": pa.array([0, 1, 2], pa.date32())},
        TypeError,
        "states is an Arrow column of format 'tdD'; expected strings, binary, integers, "
        "booleans, floats, or dictionaries, lists or structs of these",
    ),
    ({"states": pa.array(["a", None, "b"])}, ValueError, "states[1] is null; expected a value"),
    (
        {"states": pl.Series(["a", None, "b"])},
        ValueError,
        "states[1] is null; expected a value",
    ),
    # pairs of columns
    (
        {"states": [1, 2, 1]},
        TypeError,
        "states holds integers but next_states text; expected states of one kind (keys on one "
        "side only?)",
    ),
    (
        {"next_states": np.array([1, 2, 3])},
        TypeError,
        "states holds text but next_states integers; expected states of one kind (keys on one "
        "side only?)",
    ),
    (
        {"states": np.zeros((3, 2)), "next_states": np.zeros((3, 2), np.float32)},
        ValueError,
        "states and next_states are numeric arrays whose rows differ in dtype or shape; expected "
        "the same of both, or no row of one could equal one of the other",
    ),
    (
        {"states": np.zeros((3, 2)), "next_states": np.zeros((3, 2, 1))},
        ValueError,
        "states and next_states are numeric arrays whose rows differ in dtype or shape; expected "
        "the same of both, or no row of one could equal one of the other",
    ),
    (
        {"next_states": [None, "won", "c"]},
        ValueError,
        "next_states[0] is null but its trajectory goes on at row 1; only the last step of a "
        "trajectory may have no next state",
    ),
    # ids
    (
        {"group_ids": np.zeros(3)},
        TypeError,
        "group_ids is an array of dtype float64; expected ints or strings",
    ),
    (
        {"trajectory_ids": torch.zeros(3)},
        TypeError,
        "trajectory_ids is an array of dtype float32; expected ints or strings",
    ),
    (
        {"group_ids": [0, 1.0, 0]},
        TypeError,
        "group_ids[1] is 1.0 (float); expected int, str, bytes, UUID or a tuple of these",
    ),
    (
        {"group_ids": [0, True, 0]},
        TypeError,
        "group_ids[1] is True (bool); expected int, str, bytes, UUID or a tuple of these",
    ),
    (
        {"trajectory_ids": [0, (1,), 0]},
        TypeError,
        "trajectory_ids[1] is (1,) (tuple) but trajectory_ids[0] is 0 (int); expected ids of one "
        "kind",
    ),
    (
        {"group_ids": [0, "0", 0]},
        TypeError,
        "group_ids[1] is '0' (str) but group_ids[0] is 0 (int); expected ids of one kind",
    ),
    (
        {"trajectory_ids": [(0, 1), (0, 1.5), (0, 1)]},
        TypeError,
        "trajectory_ids[1] is 1.5 (float); expected int, str, bytes, UUID or a tuple of these",
    ),
    (
        {"trajectory_ids": [0, None, 0]},
        ValueError,
        "trajectory_ids[1] is null; expected a value",
    ),
    (
        {"group_ids": pa.array([0, None, 0])},
        ValueError,
        "group_ids[1] is null; expected a value",
    ),
    (
        {"group_ids": pa.array([0.0, 1.0, 0.0])},
        TypeError,
        "group_ids is an Arrow column of format 'g'; expected integers, strings or binary",
    ),
    # order
    (
        {"step_ids": [0, 1.0, 0]},
        TypeError,
        "step_ids[1] is 1.0 (float); expected an int",
    ),
    (
        {"step_ids": np.array([0.0, 1.0, 0.0])},
        TypeError,
        "step_ids[0] is 0.0 (float); expected an int",
    ),
    ({"step_ids": [0, True, 0]}, TypeError, "step_ids[1] is True (bool); expected an int"),
    (
        {"step_ids": [0, 2**63, 0]},
        ValueError,
        "step_ids[1] is 9223372036854775808 (int); expected an int an int64 can hold",
    ),
    (
        {"step_ids": np.array([0, 2**63, 0], np.uint64)},
        ValueError,
        "step_ids[1] is 9223372036854775808 (int); expected an int an int64 can hold",
    ),
    ({"step_ids": pa.array([0, None, 0])}, ValueError, "step_ids[1] is null; expected an int"),
    (
        {"step_ids": pa.array([0.0, 1.0, 0.0])},
        TypeError,
        "step_ids is an Arrow column of format 'g'; expected an int",
    ),
    (
        {"step_ids": np.array(["0", "1", "0"])},
        TypeError,
        "step_ids is an array of dtype <U1; expected ints",
    ),
    (
        {"next_states": None, "step_ids": [0, 2, 0]},
        ValueError,
        "step_ids[1] is 2 but the step before it in its trajectory (row 0) is 0; expected no gap, "
        "because without next_states a step leads to the state of the following step",
    ),
    # copies
    (
        {"step_ids": [0, 0, 0], "success": [True, True, False]},
        ValueError,
        f"states[1] is 'b' but row 0 has 'a'; {COPIES}",
    ),
    *[
        (
            {"states": [text, text + "!", "c"], "next_states": None, "step_ids": [0, 0, 0]},
            ValueError,
            f"states[1] is '{shown}' but row 0 has '{shown}'; {COPIES}",
        )
        # Forty bytes of UTF-8, whatever units Python holds the text in.
        for text, shown in (
            ("plain " * 20, "plain plain plain plain plain plain plai..."),
            ("Küche " * 20, "Küche Küche Küche Küche Küche Küch..."),
            ("厨房" * 20, "厨房" * 6 + "厨..."),
            ("x🍵" * 20, "x🍵" * 8 + "..."),
            ("\ud800" * 20, "\ud800" * 13 + "..."),
        )
    ],
    (
        {"states": ["a", "a", "a"], "next_states": None, "step_ids": [0, 0, 0]},
        ValueError,
        f"success[1] is True but row 0 has False; {COPIES}",
    ),
    # success
    (
        {"success": None},
        ValueError,
        "success is None; estimator 'graphgpo' needs it: one value per step",
    ),
    (
        {"success": None, "estimator": "grpo"},
        ValueError,
        "episode_returns, rewards, success are None; estimator 'grpo' needs one of them: one value "
        "per step",
    ),
    (
        {"estimator": "rtmc"},
        ValueError,
        "actions is None; estimator 'rtmc' needs it: one value per step",
    ),
    (
        {"estimator": "tree_grpo"},
        ValueError,
        "peer_keys is None; estimator 'tree_grpo' needs it: one value per step",
    ),
    (
        {"estimator": "rtmc", "actions": ["a", None, "b"]},
        ValueError,
        "actions[1] is null; expected a value",
    ),
    (
        {"estimator": "tree_grpo", "peer_keys": [0, 0, None]},
        ValueError,
        "peer_keys[2] is null; expected a value",
    ),
    (
        {"actions": ["a", "b"]},
        ValueError,
        "states has 3 rows but actions has 2; every column needs one value per step",
    ),
    (
        {"actions": ["go", "go", Opaque()]},
        TypeError,
        f"actions[2] is Opaque() (Opaque); expected {STATE}",
    ),
    (
        {"peer_keys": [0, float("nan"), 0]},
        ValueError,
        f"peer_keys[1] is nan (float); expected a number: {NAN}",
    ),
    (
        {"success": [True, False, False]},
        ValueError,
        "success[0] is True but the last step of its trajectory (row 1) is False; expected the "
        "flag on the last step or on every step: mask the rows after a win",
    ),
    (
        {"success": [0, 2, 0]},
        ValueError,
        "success[1] is 2 (int); expected a bool, exactly 0 or 1, or None for no verdict",
    ),
    (
        {"success": [0, "yes", 0]},
        TypeError,
        "success[1] is 'yes' (str); expected a bool, exactly 0 or 1, or None for no verdict",
    ),
    (
        {"success": np.array([0, 1, -1])},
        ValueError,
        "success[2] is -1 (int); expected a bool, or exactly 0 or 1",
    ),
    (
        {"success": [False, None, False]},
        ValueError,
        "success[0] is False but row 1 of its trajectory has None; expected None on every row of "
        "a rollout without a verdict, or on none",
    ),
    (
        {"success": pa.array([False, None, False])},
        ValueError,
        "success[0] is False but row 1 of its trajectory has None; expected None on every row of "
        "a rollout without a verdict, or on none",
    ),
    (
        {"success": [None, True, False]},
        ValueError,
        "success[0] is None but row 1 of its trajectory has True; expected None on every row of "
        "a rollout without a verdict, or on none",
    ),
    (
        {"action_valid": [True, None, True]},
        TypeError,
        "action_valid[1] is None (NoneType); expected a bool, or exactly 0 or 1",
    ),
    (
        {"episode_returns": [1, 1, None]},
        ValueError,
        "episode_returns[2] is null or NaN; expected a finite number, or success None on every row "
        "of its trajectory",
    ),
    (
        {"action_valid": pa.array([0, 3, 1])},
        ValueError,
        "action_valid[1] is 3; expected a bool, or exactly 0 or 1",
    ),
    (
        {"mask": [1, float("nan"), 1]},
        ValueError,
        "mask[1] is nan (float); expected a bool, or exactly 0 or 1",
    ),
    # numbers
    (
        {"rewards": [0, "1", 0]},
        TypeError,
        "rewards[1] is '1' (str); expected a number",
    ),
    ({"rewards": [0, 1j, 0]}, TypeError, "rewards[1] is 1j (complex); expected a number"),
    (
        {"rewards": [0, 10**400, 0]},
        ValueError,
        f"rewards[1] is {str(10**400)[:60]}... (int); expected a number a float64 can hold",
    ),
    (
        {"rewards": np.array(["0", "1", "0"])},
        TypeError,
        "rewards is an array of dtype <U1; expected numbers",
    ),
    (
        {"rewards": [0, float("nan"), 0]},
        ValueError,
        "rewards[1] is nan; expected a finite number",
    ),
    (
        {"rewards": pa.array([0.0, None, 1.0])},
        ValueError,
        "rewards[1] is null; expected a number",
    ),
    (
        {"episode_returns": [1, 1, float("inf")]},
        ValueError,
        "episode_returns[2] is inf; expected a finite number",
    ),
    (
        {"episode_returns": [1, 2, 1]},
        ValueError,
        "episode_returns[1] is 2 but row 0 of the same trajectory has 1; expected one value per "
        "trajectory",
    ),
    ({"edge_costs": [1, 0, 1]}, ValueError, "edge_costs[1] is 0; expected a finite number > 0"),
    (
        {"edge_costs": [1, 1, -0.5]},
        ValueError,
        "edge_costs[2] is -0.5; expected a finite number > 0",
    ),
    (
        {"edge_costs": [1e308, 1e308, 1e308]},
        ValueError,
        "the group of row 0: edge_costs add up to more than a float64 holds",
    ),
    (
        {"rewards": [1e308, 1e308, 0]},
        ValueError,
        "the group of row 0: rewards of one trajectory add up to more than a float64 holds",
    ),
    (
        {"rewards": [1e308, 0, -1e308]},
        ValueError,
        "the group of row 0: returns differ so much that their variance is more than a float64 "
        "holds",
    ),
    (
        {"step_weight": 1e300},
        ValueError,
        "the group of row 0: an advantage is more than a float32 holds; expected smaller weights "
        "or returns",
    ),
    (
        {"omega": 1e-300, "exponent": "recipe", "edge_costs": [0.1] * 3, "success_reward": 1e200},
        ValueError,
        "the group of row 0: success_reward * omega ** exponent is more than a float64 holds; "
        "expected edge costs of at least 1, or an omega that is not so small, with exponent "
        "'recipe'",
    ),
    # options
    ({"omega": 1.0}, ValueError, "omega is 1.0; expected a number between 0 and 1, both excluded"),
    (
        {"omega": float("nan")},
        ValueError,
        "omega is nan; expected a number between 0 and 1, both excluded",
    ),
    (
        {"omega": "0.1"},
        TypeError,
        "omega is '0.1' (str); expected a number between 0 and 1, both excluded",
    ),
    (
        {"omega": True},
        TypeError,
        "omega is True (bool); expected a number between 0 and 1, both excluded",
    ),
    ({"success_reward": 0}, ValueError, "success_reward is 0; expected a finite number > 0"),
    ({"epsilon": 0.0}, ValueError, "epsilon is 0.0; expected a finite number > 0"),
    (
        {"step_weight": float("inf")},
        ValueError,
        "step_weight is inf; expected a finite number",
    ),
    (
        {"invalid_action_penalty": -0.1},
        ValueError,
        "invalid_action_penalty is -0.1; expected a finite number >= 0",
    ),
    ({"estimator": "ppo"}, ValueError, "estimator is 'ppo'; did you mean 'pgpo'?"),
    (
        {"estimator": "xyzzy"},
        ValueError,
        f"estimator is 'xyzzy'; expected one of {', '.join(map(repr, estimators.names()))}",
    ),
    (
        {"exponent": None},
        ValueError,
        "exponent is None; expected one of 'paper', 'recipe', 'progress'",
    ),
    (
        {"gamma": 0.9},
        TypeError,
        "unknown option 'gamma' of estimator 'graphgpo'; it has no discount (the official recipe's "
        "`algorithm.gamma` is `omega` here)",
    ),
    (
        {"estimator": "gigpo", "gamma": 1.5},
        ValueError,
        "gamma is 1.5; expected a number in [0, 1]",
    ),
    (
        {"omgea": 0.1},
        TypeError,
        "unknown option 'omgea' of estimator 'graphgpo'; did you mean 'omega'?",
    ),
    (
        {"reward": [0, 0, 1]},
        TypeError,
        "unknown option 'reward' of estimator 'graphgpo'; did you mean 'rewards'?",
    ),
    (
        {"xyzzy": 1},
        TypeError,
        "unknown option 'xyzzy' of estimator 'graphgpo'; its options are "
        f"{', '.join(field.name for field in fields(graphgpo.GraphGPO))}",
    ),
    (
        {"estimator": 3},
        TypeError,
        "estimator is a int; expected a name, a mapping of option names to values, or an Estimator",
    ),
    (
        {"estimator": {"omgea": 1}},
        TypeError,
        "unknown option 'omgea' of estimator 'graphgpo'; did you mean 'omega'?",
    ),
    (
        {"estimator": "ecpo", "tau": 1.0},
        TypeError,
        "estimator 'ecpo' needs 'step_weight', which has no default: pass it as an option",
    ),
    ({"num_threads": 0}, ValueError, "num_threads is 0; expected an int >= 1, or None"),
    ({"num_threads": 1.5}, ValueError, "num_threads is 1.5; expected an int >= 1, or None"),
    ({"num_threads": True}, ValueError, "num_threads is True; expected an int >= 1, or None"),
]


@pytest.mark.parametrize(
    ("spoiled", "error", "text"),
    CASES,
    ids=[f"{i}-{next(iter(c[0]))}" for i, c in enumerate(CASES)],
)
def test_the_error_says_what_is_wrong(
    spoiled: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments = good()
    graphgpo.compute_advantages(**arguments)
    with pytest.raises(error) as caught:
        graphgpo.compute_advantages(**{**arguments, **spoiled})
    assert str(caught.value) == text
    assert type(caught.value) is error
    # And the next call works.
    assert len(graphgpo.compute_advantages(**arguments)) == 3


def test_without_success_the_graph_has_no_goal() -> None:
    graph = graphgpo.build_graph(**{**good(), "success": None})
    assert graphgpo.Terminal.GOAL not in graph.node_states
    assert not graph.node_reached.any()


def test_a_column_without_rows_to_read_cannot_be_shown_in_a_graph() -> None:
    class Capsules:
        def __arrow_c_array__(self, requested_schema: object = None) -> Any:
            return pa.array(["a", "b", "a"]).__arrow_c_array__(requested_schema)

    with pytest.raises(TypeError, match="a Capsules cannot be read row by row"):
        graphgpo.build_graph(**{**good(), "states": Capsules()})


def test_an_arrow_stream_that_fails_is_named() -> None:
    def batches() -> Any:
        yield pa.record_batch({"x": ["a"]})
        raise OSError("disk on fire")

    reader = pa.RecordBatchReader.from_batches(pa.schema({"x": pa.string()}), batches())
    with pytest.raises((ValueError, TypeError), match="states is an Arrow"):
        graphgpo.compute_advantages(**{**good(), "states": reader})


@pytest.mark.parametrize(
    "column", [pa.nulls(2**31 - 1), np.broadcast_to(np.int8(0), 2**31 - 1)], ids=["Arrow", "NumPy"]
)
def test_more_rows_than_ids_can_number_are_refused_before_memory_is_taken(column: Any) -> None:
    for name in ("states", "group_ids", "rewards", "mask"):
        with pytest.raises(ValueError, match=rf"{name} has 2147483647 rows; expected at most") as e:
            graphgpo.compute_advantages(**{**good(), name: column})
        assert str(e.value).endswith("2147483646 (2**31 - 2)")


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.complex_numbers()
    | st.dates()
    | st.builds(Opaque)
    | st.sampled_from([np.float32(1), np.datetime64("2020-01-01")]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=2) | st.integers(), inner, max_size=3)
        | st.sets(st.integers(), max_size=2)
    ),
    max_leaves=8,
)
columns = (
    st.lists(anything, max_size=4)
    | anything
    | st.lists(st.sampled_from(["a", "b", 0, 1, True, None]), min_size=3, max_size=3)
    | st.sampled_from(
        [
            np.zeros(3),
            np.zeros((3, 2)),
            np.zeros(3, "V4"),
            np.zeros((3, 0), ">f2"),
            pa.array([1, None, 3]),
            pa.array([{"x": 1}] * 3),
            pa.nulls(3),
            pl.Series([[1], [2], [3]]),
            torch.zeros(3, dtype=torch.complex64),
            torch.zeros(3, 1),
        ]
    )
)


@given(
    spoiled=st.dictionaries(st.sampled_from([*COLUMNS]), columns, min_size=1, max_size=4),
    function=st.sampled_from(
        [graphgpo.build_graph]
        + [partial(graphgpo.compute_advantages, **an_example(name)) for name in estimators.names()]
    ),
)
def test_no_input_does_worse_than_a_type_or_value_error(
    spoiled: dict[str, Any], function: Any
) -> None:
    with contextlib.suppress(TypeError, ValueError):
        result = function(**{**good(), **spoiled})
        if isinstance(result, graphgpo.StepAdvantages):
            assert np.isfinite(result.advantages).all()
