"""What a memory costs: a call with it and without, at a given number of remembered edges.

    python bench/memory.py                  # 1,000,000 edges in the tasks of the batch
    python bench/memory.py --edges 100000 --json

A batch is walks of 64 tasks through rooms of their own, named by texts. The memory is filled with
earlier batches until it has so many edges; then calls alternate, on one thread, and medians are
compared. That the memory grew by no more than the bound is checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np

import graphgpo

TASKS, ROLLOUTS, STEPS = 64, 8, 50


def batch(seed: int, rooms: int) -> dict[str, Any]:
    """Walks that jump: most edges of a fresh batch are new."""
    random = np.random.default_rng(seed)
    visited = random.integers(0, rooms, (TASKS, ROLLOUTS, STEPS))
    won = random.random((TASKS, ROLLOUTS)) < 0.1
    task, rollout, _ = np.indices(visited.shape)
    return {
        "states": [f"room {room} of a house with a long description" for room in visited.ravel()],
        "group_ids": task.ravel(),
        "trajectory_ids": rollout.ravel(),
        "success": np.repeat(won.ravel(), STEPS),
    }


def filled(edges: int, rooms: int) -> graphgpo.GraphMemory:
    memory = graphgpo.GraphMemory(max_states_per_task=2 * rooms)
    seed = 1
    while memory.num_edges < edges:
        columns = batch(seed, rooms)
        graphgpo.compute_advantages(**columns, task_ids=columns["group_ids"], memory=memory)
        seed += 1
    return memory


def seconds(columns: dict[str, Any], **more: Any) -> float:
    start = time.perf_counter()
    graphgpo.compute_advantages(**columns, num_threads=1, **more)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--rooms", type=int, default=4000, help="of each task")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    memory = filled(arguments.edges, arguments.rooms)
    before = memory.num_edges
    columns = batch(0, arguments.rooms)
    remembering = {"task_ids": columns["group_ids"], "memory": memory}
    without, beside = [], []
    for _ in range(arguments.repeats):
        without.append(seconds(columns))
        beside.append(seconds(columns, **remembering))
    assert memory.num_states <= TASKS * 2 * arguments.rooms
    found = {
        "steps": len(columns["states"]),
        "remembered_edges": before,
        "without_ms": 1e3 * statistics.median(without),
        "with_ms": 1e3 * statistics.median(beside),
        "first_with_ms": 1e3 * beside[0],
        "ratio": statistics.median(beside) / statistics.median(without),
    }
    print(json.dumps(found) if arguments.json else "\n".join(f"{k}: {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
