"""Random cases by the ten thousand: the core against the reference, and containers against lists.

    python tests/heavy_cases.py differential --cases 100000 --seed 1
    python tests/heavy_cases.py containers --cases 10000 --seed 1
    python tests/heavy_cases.py arrow --cases 10000 --seed 1
    python tests/heavy_cases.py arguments --cases 10000 --seed 1

Case n of seed s is the same on every machine; a fault is printed with both, and the program goes on
to the next case. Exits with 1 if there was one. `.ci/heavy` runs it, under sanitizers too.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import sys
import traceback
import uuid
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

import graphgpo
from batches import ARRAYS, NUMBERS, STATES, TEXT_ONLY, Columns, take, with_padding, without
from graphgpo import estimators
from graphgpo.columns import COLUMNS, of_kind

# --- a batch and an estimator -------------------------------------------------------------------


def random_columns(rng: random.Random, *, is_text: bool) -> Columns:
    """Walks over few states, in any order, with gaps, copies and masked rows full of garbage."""
    states = STATES[0] if is_text else rng.choice([*STATES, [0.5, 1.5, -0.0], [b"a", b"", b"\0"]])
    rows: list[Columns] = []
    for group in range(rng.randint(1, 3)):
        for trajectory in range(rng.randint(1, 5)):
            length = rng.randint(1, 8)
            visited = [rng.choice(states) for _ in range(length)]
            verdict = rng.choice([True, True, False, False, False, None])
            everywhere = rng.random() < 0.5
            outcome = rng.choice([0.0, 1.0, 0.1, 1e9] if verdict is not None else [None, 1.0])
            for i in range(length):
                is_last = i == length - 1
                following = rng.choice([None, *states]) if is_last else visited[i + 1]
                if not is_last and rng.random() < 0.05:
                    following = rng.choice(states)
                rows.append(
                    {
                        "states": visited[i],
                        "next_states": following,
                        "group_ids": f"g{group}",
                        "trajectory_ids": trajectory,
                        "success": verdict and (is_last or everywhere),
                        "step_ids": 3 * group + i,
                        "rewards": rng.choice([0.0, 1.0, 0.1, 0.2, -0.5]),
                        "episode_returns": outcome,
                        "edge_costs": rng.choice([1.0, 1.0, 0.5, 0.1, 3.0]),
                        "action_valid": rng.random() < 0.8,
                        "actions": rng.choice(["go", "take", "look"]),
                        "peer_keys": rng.randint(0, 2),
                    }
                )
    columns: Columns = {name: [row[name] for row in rows] for name in rows[0]}
    copied = [rng.randrange(len(rows)) for _ in range(rng.randint(0, 3))]
    padded, _ = with_padding(columns, copied)
    order = list(range(len(padded["states"])))
    rng.shuffle(order)
    return take(padded, order)


def random_options(rng: random.Random) -> Columns:
    """An estimator and some of its options."""
    name = rng.choice(estimators.names())
    cls: Any = estimators.load(name)
    hints = get_type_hints(cls)
    chosen: Columns = {"estimator": name}
    for field in dataclasses.fields(cls):
        if field.default is not dataclasses.MISSING and rng.random() < 0.6:
            continue
        hint = hints[field.name]
        if get_origin(hint) is Literal:
            values: Any = get_args(hint)
        elif hint is bool:
            values = [False, True]
        else:
            found = [int(x) if hint is int else x for x in NUMBERS if hint is float or x <= 2]
            values = [x for x in found if field.metadata["allowed"].allows(x)]
        chosen[field.name] = rng.choice(values)
    return chosen


def random_case(rng: random.Random) -> tuple[Columns, Columns]:
    chosen = random_options(rng)
    columns = random_columns(rng, is_text=chosen["estimator"] in TEXT_ONLY)
    optional = [name for name, column in COLUMNS.items() if not column.is_required]
    dropped = [name for name in optional if name != "mask" and rng.random() < 0.3]
    if None in columns["success"]:
        dropped = [name for name in dropped if name != "success"]
    return without(columns, dropped, chosen), chosen


# --- what is checked ----------------------------------------------------------------------------


def outcome_of(call: Callable[[], Any]) -> Any:
    """The result, or the type of the error it is refused with."""
    try:
        return call()
    except (TypeError, ValueError) as error:
        return type(error)


def check_differential(rng: random.Random) -> None:
    from test_reference import assert_agree

    columns, chosen = random_case(rng)
    fast = outcome_of(lambda: graphgpo.compute_advantages(**columns, **chosen))
    if isinstance(fast, type):
        from graphgpo import reference

        plain = outcome_of(lambda: reference.compute_advantages(**columns, **chosen))
        assert plain is fast, f"the core says {fast}, the reference {plain}"
        return
    assert_agree(columns, chosen)


def as_arrow(values: list[Any], rng: random.Random) -> Any:
    import pyarrow as pa

    array = pa.array(values)
    kind = rng.randrange(5)
    if kind == 0:
        return array
    if kind == 1 and not pa.types.is_nested(array.type) and not pa.types.is_boolean(array.type):
        return array.dictionary_encode()
    cut = rng.randint(0, len(values))
    if kind == 2:
        return pa.chunked_array([array[:cut], array[cut:cut], array[cut:]])
    if kind == 3:
        return pa.concat_arrays([array, array])[: len(values)]
    if pa.types.is_string(array.type):
        return array.cast(rng.choice([pa.large_string(), pa.string_view()]))
    return pa.concat_arrays([array, array])[len(values) :]


def as_numpy(values: list[Any], rng: random.Random) -> Any:
    array = np.array(values)
    if array.dtype.kind in ("O", "T") or array.ndim != 1:
        raise ValueError("not one type")
    if array.dtype.kind == "U" and any(value.endswith("\0") for value in values):
        raise ValueError("NumPy drops a NUL at the end")
    if array.dtype.kind == "S" and any(value.endswith(b"\0") for value in values):
        raise ValueError("NumPy drops a NUL at the end")
    if rng.random() < 0.3:
        return np.repeat(array, 2)[::2]
    if rng.random() < 0.3:
        return array.astype(array.dtype.newbyteorder(">"))
    return array


def as_objects(values: list[Any], rng: random.Random) -> Any:
    array = np.empty(len(values), object)
    array[:] = values
    return array if rng.random() < 0.5 else array[::-1].copy()[::-1]


def as_pandas(values: list[Any], rng: random.Random) -> Any:
    import pandas as pd

    dtype = rng.choice([object, "category"])
    return pd.Series(values, dtype=dtype, index=range(5, 5 + len(values)))


def as_polars(values: list[Any], rng: random.Random) -> Any:
    import polars as pl

    column = pl.Series(values, strict=True)
    return (
        column.cast(pl.Categorical) if column.dtype == pl.String and rng.random() < 0.3 else column
    )


def as_torch(values: list[Any], _: random.Random) -> Any:
    import torch

    if any(isinstance(value, (list, tuple)) for value in values):
        raise ValueError("rows of a tensor are arrays, not lists")
    if any(isinstance(value, float) for value in values):
        return torch.tensor(values, dtype=torch.float64)
    return torch.tensor(values)


def as_tuple(values: list[Any], _: random.Random) -> Any:
    return tuple(values)


CONTAINERS = (as_arrow, as_numpy, as_objects, as_pandas, as_polars, as_torch, as_tuple)


def one_type(values: list[Any]) -> bool:
    return len({type(value) for value in values if value is not None}) == 1


def contained(name: str, values: list[Any], rng: random.Random) -> Any:
    """A column's values in some container, as they are in it."""
    make = rng.choice(CONTAINERS)
    is_plain = make in (as_objects, as_tuple)
    if not is_plain and (not one_type(values) or any(isinstance(x, uuid.UUID) for x in values)):
        return values
    if make in (as_pandas, as_objects) and any(isinstance(x, (list, dict)) for x in values):
        return values
    try:
        column = make(values, rng)
    except Exception:  # the library that owns the container has no place for these values
        return values
    # Numbers in an Arrow dictionary are refused, in words.
    is_encoded = type(column).__name__ == "DictionaryArray"
    return values if is_encoded and name not in of_kind("state", "id", "key") else column


def check_containers(rng: random.Random) -> None:
    columns, chosen = random_case(rng)
    rows = [row for row, exists in enumerate(columns["mask"]) if exists]
    columns = {**take(columns, rows), "mask": None}
    expected = outcome_of(lambda: graphgpo.compute_advantages(**columns, **chosen))
    given: Columns = {
        name: values if values is None else contained(name, values, rng)
        for name, values in columns.items()
    }
    kinds = {name: type(values).__name__ for name, values in given.items() if values is not None}
    result = outcome_of(lambda: graphgpo.compute_advantages(**given, **chosen))
    if isinstance(expected, type) or isinstance(result, type):
        both = isinstance(expected, type) and isinstance(result, type)
        assert both, f"lists: {expected}, containers {kinds}: {result}"
        return
    for name in ARRAYS:
        np.testing.assert_array_equal(
            getattr(result, name), getattr(expected, name), err_msg=f"{name} of {kinds}"
        )


def check_arrow(rng: random.Random) -> None:
    """Buffers with random bytes in them, in every layout: refused, or read as something."""
    import pyarrow as pa

    rows = rng.randint(1, 12)
    data = rng.randbytes(rng.randint(0, 64))
    texts = [rng.choice(["", "a", "hall", "kitchen " * 3]) for _ in range(rows)]
    kind = rng.choice(
        [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.list_(pa.int16())]
    )
    array = pa.array([[len(t)] * len(t) for t in texts] if pa.types.is_list(kind) else texts, kind)
    buffers = [None if b is None else bytearray(b.to_pybytes()) for b in array.buffers()]
    own = 3 if not pa.types.is_list(kind) else 2
    # Made while they are whole, as pyarrow wants it; it views what is broken afterwards.
    held = [None if b is None else pa.py_buffer(b) for b in buffers]
    children = [array.values] if pa.types.is_list(kind) else None
    broken = pa.Array.from_buffers(kind, rows, held[:own] if children else held, children=children)
    for buffer in buffers[1:own]:
        if buffer is None:
            continue
        # Sizes stay as they are: that is all the interface says of them.
        last = {pa.string(): 4, pa.binary(): 4, pa.large_string(): 8}.get(kind, 4)
        end = len(buffer) if kind == pa.string_view() or buffer is buffers[-1] else rows * last
        for _ in range(rng.randint(0, 4) if buffer and end else 0):
            at = rng.randrange(min(end, len(buffer)))
            buffer[at] = rng.choice([0, 1, 255, 128, rng.randrange(256), *data[:1]])
    columns: Columns = {
        "states": broken if rng.random() < 0.8 else texts,
        "next_states": broken if rng.random() < 0.5 else None,
        "group_ids": [0] * rows,
        "trajectory_ids": list(range(rows)),
        "success": [True] * rows,
    }
    outcome_of(lambda: graphgpo.compute_advantages(**columns))


def check_arguments(rng: random.Random) -> None:
    """A public function with some wrong arguments."""
    from arguments import is_taken_or_refused_in_words, some_wrong, targets

    known = targets()
    name = rng.choice(sorted(known))
    wrong = some_wrong(rng, known[name])
    assert is_taken_or_refused_in_words(known[name], wrong), f"{name}, {[*wrong]}"


CHECKS: dict[str, Callable[[random.Random], None]] = {
    "differential": check_differential,
    "containers": check_containers,
    "arrow": check_arrow,
    "arguments": check_arguments,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("check", choices=CHECKS)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="of the cases, to repeat one")
    arguments = parser.parse_args()
    faults = 0
    for case in range(arguments.first, arguments.first + arguments.cases):
        try:
            CHECKS[arguments.check](random.Random(f"{arguments.seed} {case}"))
        except Exception:
            faults += 1
            print(f"FAULT: {arguments.check} --seed {arguments.seed} --first {case} --cases 1")
            traceback.print_exc(file=sys.stdout)
    print(f"{arguments.check}: {arguments.cases} cases of seed {arguments.seed}, {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
