"""Calls from Python whose instructions .ci/instructions counts.

    python bench/counted_calls.py             a line per call: name, steps of all its repetitions
    python bench/counted_calls.py --run       every call once
    python bench/counted_calls.py --run NAME  the same, and one of them some more

What the last two differ by under valgrind is what a call takes, Python's share included. With
PYTHONHASHSEED=0 little else differs.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import graphgpo
import workloads

REPETITIONS = 20

CALLS: dict[str, Callable[[workloads.Workload], dict[str, Any]]] = {
    "python_list": lambda workload: workload.columns("list"),
    "python_list_uuid_ids": lambda workload: workload.columns_of_trainer("list"),
    "python_object_array": lambda workload: workload.columns("object"),
    "python_object_array_uuid_ids": lambda workload: workload.columns_of_trainer("object"),
    "python_keys": lambda workload: workload.columns("keys"),
}


def main() -> None:
    workload = workloads.alfworld_like(groups=4)
    arguments = sys.argv[1:]
    if not arguments:
        for name in CALLS:
            print(name, REPETITIONS * len(workload))
        return
    if arguments[0] != "--run" or not CALLS.keys() >= set(arguments[1:]):
        raise SystemExit(__doc__)
    gc.disable()
    columns = {name: make(workload) for name, make in CALLS.items()}
    for name, given in columns.items():
        for _ in range(1 + REPETITIONS * arguments[1:].count(name)):
            graphgpo.compute_advantages(**given, num_threads=1)


if __name__ == "__main__":
    main()
