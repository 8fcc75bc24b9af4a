"""The least time a call could take on this machine, computed from what it cannot avoid.

    floor = the time of reading all texts
          + 2 N table lookups x their measured time
          + 52 N bytes of results / write bandwidth

Reading: every byte of every text, in each column, once, because equal texts are known only when
both have been read. A str lies anywhere, and ends anywhere: where numba is installed, reading is
measured on the very objects, made just before as a call's are, in a compiled loop that touches
each from head to end. Otherwise, and for Arrow, it is bytes over bandwidth: characters, the head
of a str and the pointer to it, or the offset of an Arrow text. 17 bytes of ids and success per
step. A str that several rows share counts once. Lookups: a random one, independent of the others,
in a table of the mean group's states, 16 bytes each. One column: N texts and N lookups. Everything
else (the graph, distances, statistics) is counted as free. So keys have no floor of this kind: they
are bound by instructions, which bench/results/instructions.json has.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import workloads

MIB = 2**20
STR_HEADER_BYTES = 40
POINTER_BYTES = 8
ID_BYTES = 17  # two int64 and a bool
RESULT_BYTES = 56  # three float32, three float64, two int64, an int32
ENTRY_BYTES = 16
TABLE_SIZES = [2**power for power in range(6, 25, 2)]


@cache
def machine() -> dict[str, float]:
    """GB/s of reading, writing and copying; ns of a lookup by table size. Best of several."""
    source = np.ones(128 * MIB // 8, np.int64)
    target = np.zeros_like(source)
    gigabytes = source.nbytes / 1e9
    answer = {
        "read_gb_per_s": gigabytes / _best(lambda: source.max()),
        "write_gb_per_s": gigabytes / _best(lambda: target.fill(1)),
        "copy_gb_per_s": gigabytes / _best(lambda: np.copyto(target, source)),
    }
    rng = np.random.default_rng(0)
    found = np.empty(1_000_000, np.complex128)  # 16 bytes, as an entry
    for size in TABLE_SIZES:
        look_up = partial(
            np.zeros(size, np.complex128).take,
            rng.integers(0, size, len(found)),
            out=found,
            mode="wrap",
        )
        seconds = _best(look_up)
        answer[f"lookup_ns_{size}"] = seconds / len(found) * 1e9
    return answer


def _best(call: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def instructions_of_keys() -> float:
    """Per step of the core on integer keys in groups like `alfworld_like`'s, Python not counted."""
    record = json.loads((Path(__file__).parent / "results" / "instructions.json").read_text())
    per_step: dict[str, float] = record["instructions_per_step"]
    return per_step["integer_small_groups"]


def applies_to(kind: str) -> bool:
    return kind.startswith(("list", "arrow", "polars"))


def text_bytes(workload: workloads.Workload) -> NDArray[np.int64]:
    """Bytes of each distinct text."""
    return np.array([len(text.encode()) for text in workload.values])


def of(workload: workloads.Workload, kind: str) -> dict[str, float]:
    """The terms, in ms."""
    known = machine()
    sizes = text_bytes(workload)
    columns = [workload.sources]
    if kind == "list_linked":
        columns.append(workload.targets[~workload.is_linked])
    elif not kind.endswith("_1col"):
        columns.append(workload.targets)
    num_texts = sum(len(column) for column in columns)
    if kind.startswith("list_shared"):
        used = np.unique(np.concatenate(columns))
        read = int(sizes[used].sum()) + len(used) * STR_HEADER_BYTES + num_texts * POINTER_BYTES
    else:
        read = sum(int(sizes[column].sum()) for column in columns)
        read += num_texts * (STR_HEADER_BYTES + POINTER_BYTES if kind.startswith("list") else 4)
    read += len(workload) * ID_BYTES

    states_per_group = len(np.unique(workload.sources)) / (int(workload.group_ids[-1]) + 1)
    lookup_ns = float(
        np.interp(
            np.log2(max(states_per_group, 1)),
            np.log2(TABLE_SIZES),
            [known[f"lookup_ns_{size}"] for size in TABLE_SIZES],
        )
    )
    read_ms = read / known["read_gb_per_s"] / 1e6
    if kind in ("list", "list_linked", "list_1col") and find_spec("numba") is not None:
        read_ms = seconds_of_reading(workload, kind) * 1e3
        read_ms += len(workload) * ID_BYTES / known["read_gb_per_s"] / 1e6
    terms = {
        "read_ms": read_ms,
        "lookup_ms": num_texts * lookup_ns / 1e6,
        "write_ms": len(workload) * RESULT_BYTES / known["write_gb_per_s"] / 1e6,
    }
    return terms | {"total_ms": sum(terms.values())}


def seconds_of_reading(workload: workloads.Workload, kind: str) -> float:
    """Reading the objects of a call's columns, every one once; least of several."""
    from compiled import read_memory

    read_memory(np.empty(0, np.int64), np.empty(0, np.int64))  # compiled now
    seconds = []
    for _ in range(5):
        columns = workload.columns(kind)
        objects = {id(text): text for text in columns["states"]}  # in the order of rows
        objects |= {id(text): text for text in columns["next_states"] or ()}
        addresses = np.fromiter(objects, np.int64, len(objects))
        sizes = np.array([sys.getsizeof(text) for text in objects.values()])
        start = time.perf_counter()
        read_memory(addresses, sizes)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
