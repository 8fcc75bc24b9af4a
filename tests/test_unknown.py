"""Unknown next states, as every container writes them. pandas shifts a column to make next states,
and writes NaN, NA or NaT where there is no following row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import graphgpo
from graphgpo import reference

STATES = ["hall", "kitchen", "hall", "bath"]
GROUPS = [0, 0, 0, 0]
ROLLOUTS = [0, 0, 1, 1]
SUCCESS = [True, True, False, False]
FOLLOWING: list[Any] = ["kitchen", None, "bath", None]

Columns = dict[str, Any]


def columns(next_states: Any, states: Any = STATES) -> Columns:
    return {
        "states": states,
        "next_states": next_states,
        "group_ids": GROUPS,
        "trajectory_ids": ROLLOUTS,
        "success": SUCCESS,
    }


def numbers_of(credit: graphgpo.StepAdvantages) -> list[list[float]]:
    return [credit.step_advantages.tolist(), credit.next_distances.tolist()]


EXPECTED = numbers_of(graphgpo.compute_advantages(**columns(FOLLOWING)))


def with_unknown(unknown: Any) -> list[Any]:
    return [unknown if state is None else state for state in FOLLOWING]


def shifted(dtype: str) -> Any:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"state": pd.Series(STATES, dtype=dtype), "rollout": ROLLOUTS})
    return frame.groupby("rollout")["state"].shift(-1)


def polars_shifted(dtype: str) -> Any:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"state": STATES, "rollout": ROLLOUTS})
    frame = frame.with_columns(pl.col("state").cast(getattr(pl, dtype)))
    return frame.select(pl.col("state").shift(-1).over("rollout"))["state"]


def arrow_column(dictionary: bool) -> Any:
    pa = pytest.importorskip("pyarrow")
    column = pa.array(FOLLOWING)
    return column.dictionary_encode() if dictionary else column


def pandas_null(name: str) -> Any:
    return getattr(pytest.importorskip("pandas"), name)


CONTAINERS: dict[str, Any] = {
    "list of None": lambda: FOLLOWING,
    "tuple of NaN": lambda: tuple(with_unknown(float("nan"))),
    "list of NumPy NaN": lambda: with_unknown(np.float32("nan")),
    "object array of NaN": lambda: np.array(with_unknown(float("nan")), object),
    "list of pandas NA": lambda: with_unknown(pandas_null("NA")),
    "list of NaT": lambda: with_unknown(pandas_null("NaT")),
    "object array of NA": lambda: np.array(with_unknown(pandas_null("NA")), object),
    **{
        f"pandas {dtype}": (lambda dtype=dtype: shifted(dtype))
        for dtype in ("object", "category", "str", "string", "string[pyarrow]")
    },
    "polars String": lambda: polars_shifted("String"),
    "polars Categorical": lambda: polars_shifted("Categorical"),
    "Arrow": lambda: arrow_column(dictionary=False),
    "Arrow dictionary": lambda: arrow_column(dictionary=True),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_unknown_next_states_are_the_same_in_every_container(container: str) -> None:
    given = columns(CONTAINERS[container]())
    assert numbers_of(graphgpo.compute_advantages(**given)) == EXPECTED
    rollouts = graphgpo.Rollouts(**given)
    assert rollouts.explain(3).next_state is None
    assert rollouts.graph().node_states.count(graphgpo.Terminal.LEAF) == 1
    credit = rollouts.compare(["graphgpo", "gigpo"])["graphgpo"]
    assert numbers_of(credit) == EXPECTED


@pytest.mark.parametrize(
    "container", [name for name in CONTAINERS if "array" in name or "of" in name]
)
def test_the_reference_reads_them_too(container: str) -> None:
    given = columns(CONTAINERS[container]())
    assert numbers_of(reference.compute_advantages(**given)) == EXPECTED


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize(
    "options", [{"normalise": True}, {"similar": 0.95}, {"node_history": 2}], ids=str
)
def test_they_stay_unknown_when_states_are_merged(container: str, options: Columns) -> None:
    expected = graphgpo.compute_advantages(**columns(FOLLOWING), **options)
    credit = graphgpo.compute_advantages(**columns(CONTAINERS[container]()), **options)
    assert numbers_of(credit) == numbers_of(expected)


def number_columns() -> dict[str, Any]:
    """Next states of numbers; what they follow."""
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    pa = pytest.importorskip("pyarrow")
    torch = pytest.importorskip("torch")
    floats, nan = [0.5, 1.5, 0.5, 2.5], float("nan")
    following = [1.5, nan, 2.5, nan]
    ints = pd.DataFrame({"state": [3, 4, 3, 5], "rollout": ROLLOUTS})
    category = ints.astype({"state": "category"})
    nullable = ints.astype({"state": "Int64"})
    return {
        "list": (floats, following),
        "NumPy": (np.array(floats), np.array(following)),
        "NumPy float32": (np.array(floats, np.float32), np.array(following, np.float32)),
        "torch": (torch.tensor(floats), torch.tensor(following)),
        "pandas": (pd.Series(floats), pd.Series(following)),
        "polars": (pl.Series(floats), pl.Series(following)),
        "Arrow": (pa.array(floats), pa.array(following)),
        "Arrow dictionary": (pa.array(floats), pa.array(following).dictionary_encode()),
        "pandas ints, nullable": (
            nullable["state"],
            nullable.groupby("rollout")["state"].shift(-1),
        ),
        "pandas ints as categories": (
            category["state"],
            category.groupby("rollout")["state"].shift(-1),
        ),
    }


@pytest.mark.parametrize("container", number_columns())
def test_a_nan_among_numbers_is_unknown_too(container: str) -> None:
    states, following = number_columns()[container]
    assert numbers_of(graphgpo.compute_advantages(**columns(following, states))) == EXPECTED


def test_shifted_ints_are_floats_and_no_states_of_theirs() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"state": [3, 4, 3, 5], "rollout": ROLLOUTS})
    following = frame.groupby("rollout")["state"].shift(-1)
    with pytest.raises(ValueError, match="rows differ in dtype or shape"):
        graphgpo.compute_advantages(**columns(following, frame["state"]))


@pytest.mark.parametrize("compute", [graphgpo.compute_advantages, reference.compute_advantages])
def test_unknown_before_the_end_of_a_rollout_is_an_error(compute: Any) -> None:
    nan = float("nan")
    with pytest.raises(
        ValueError, match=r"next_states\[0\] is (null|None).* its trajectory goes on"
    ):
        compute(**columns([nan, nan, "bath", nan]))


@pytest.mark.parametrize("unknown", ["None", "NaN", "NA", "NaT"])
@pytest.mark.parametrize("column", ["states", "group_ids", "trajectory_ids", "peer_keys"])
def test_unknown_elsewhere_is_refused(column: str, unknown: str) -> None:
    value = {"None": None, "NaN": float("nan")}.get(unknown, ...)
    if value is ...:
        value = pandas_null(unknown)
    given = {**columns(FOLLOWING), "peer_keys": [0, 1, 0, 1]}
    given[column] = [*given[column][:3], value]
    with pytest.raises((ValueError, TypeError), match=rf"{column}\[3\] is (null|nan)"):
        graphgpo.compute_advantages(**given, estimator="tree_grpo")


def test_inside_a_state_a_nan_is_no_state() -> None:
    with pytest.raises(ValueError, match=r"next_states\[3\] contains nan"):
        graphgpo.compute_advantages(**columns([(1, 2), None, (3, 4), (1, float("nan"))]))
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [1.0, np.nan]])
    with pytest.raises(ValueError, match=r"next_states\[3\] holds a NaN"):
        graphgpo.compute_advantages(**columns(rows, np.zeros((4, 2))))
