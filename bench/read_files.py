"""How fast rollouts are read, on one core, beside the standard library on the same bytes.

    python bench/read_files.py [--megabytes 200] [--repeat 3] [--json FILE]

Four files, made here with a fixed seed: verifiers traces, verl dumps and lines that a mapping
reads, all mostly token ids, and a Parquet file of steps. Every reading is checked against the rows
the file was made from. The opponent of the JSON files is `json.loads` on every line and nothing
else, no rows made of it; of the Parquet file it is `pyarrow.parquet.read_table`. Turns alternate,
the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from graphgpo.files import read_rows, write_rows

sys.path.insert(0, str(Path(__file__).parent))
import reports

SEED = 20260
TURNS = 8  # of a rollout
TOKENS = 400  # of a message
VOCABULARY = 150_000
GROUP_SIZE = 8
MB = 1e6


@dataclass(frozen=True)
class Case:
    """A file, what it holds, and who else reads it."""

    name: str
    path: Path
    num_steps: int
    opponent: str
    opponent_reads: Callable[[Path], Any]
    reading: dict[str, Any] = field(default_factory=dict)
    """How `read_rows` is told to read it."""


def main() -> None:
    """Print a line per file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="does it run? files of 1 MB")
    parser.add_argument("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    if options.quick:
        options.megabytes, options.repeat = 1, 1
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    report: dict[str, Any] = {
        **reports.origin(["pyarrow", "msgspec"]),
        "seed": SEED,
        "times": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for make in (verifiers_traces, verl_dump, mapped_lines, steps_parquet):
            row = measure(make(Path(folder), options.megabytes * MB), options.repeat)
            report["times"].append(row)
            print(line(row), flush=True)
    reports.write(options.json, report)


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


def measure(case: Case, repeat: int) -> dict[str, Any]:
    """Time both readers in turn, and check the rows."""
    ours, theirs = [], []
    for _ in range(repeat):
        ours.append(seconds(lambda: check(case)))
        theirs.append(seconds(lambda: case.opponent_reads(case.path)))
    megabytes = case.path.stat().st_size / MB
    return {
        "file": case.name,
        "megabytes": megabytes,
        "steps": case.num_steps,
        "seconds": min(ours),
        "mb_per_second": megabytes / min(ours),
        "steps_per_second": case.num_steps / min(ours),
        "opponent": case.opponent,
        "opponent_seconds": min(theirs),
        "times_as_fast": min(theirs) / min(ours),
    }


def line(row: dict[str, Any]) -> str:
    """A file in words."""
    return (
        f"{row['file']:<10} {row['megabytes']:6.0f} MB {row['steps']:>9,} steps  "
        f"read_rows {row['mb_per_second']:6.0f} MB/s {row['steps_per_second']:>10,.0f} steps/s   "
        f"{row['opponent']} {row['megabytes'] / row['opponent_seconds']:6.0f} MB/s   "
        f"{row['times_as_fast']:5.2f} times as fast"
    )


def check(case: Case) -> None:
    """Read the file, and see that nothing is missing or wrong."""
    num_steps = last = 0
    for table in read_rows(case.path, **case.reading):
        num_steps += table.num_rows
        last += table["next_state"].null_count
    assert num_steps == case.num_steps
    assert last == num_steps // TURNS


def seconds(function: Callable[[], Any]) -> float:
    """CPU time: other processes may be on the core."""
    start = time.process_time()
    function()
    return time.process_time() - start


def state(group: int, step: int) -> str:
    """What the environment shows."""
    return f"Room {group % 97} of the house, step {step}. There is a door to the north and a key."


def verifiers_traces(folder: Path, size: float) -> Case:
    """`traces.jsonl` as verifiers 0.4 writes it, token ids, mask and logprobs on every node."""
    tokens = Tokens()

    def node(parent: int | None, role: str, text: str) -> dict[str, Any]:
        sampled = role == "assistant"
        return {
            **({} if parent is None else {"parent": parent}),
            "semantic_parents": [],
            "message": {"role": role, "content": text},
            "sampled": sampled,
            "timestamp": 0.0,
            "token_ids": tokens.ids(),
            "mask": [sampled] * TOKENS,
            "is_content": [True] * TOKENS,
            "logprobs": tokens.logprobs() if sampled else [],
        }

    def episode(number: int) -> dict[str, Any]:
        group = number // GROUP_SIZE
        said = [("user" if i % 2 == 0 else "assistant") for i in range(2 * TURNS)]
        nodes = [
            node(i - 1 if i else None, role, state(group, i // 2) if role == "user" else "north")
            for i, role in enumerate(said)
        ]
        trace = {
            "version": 1,
            "id": f"trace-{number}",
            "agent": {"config": {}, "name": "agent", "trainable": True},
            "nodes": nodes,
            "rewards": {"won": {"score": float(number % 2), "weight": 1.0}},
            "ok": True,
            "errors": [],
        }
        return {
            "id": f"episode-{number}",
            "task": {"type": "T", "data": {}, "key": f"task-{group}"},
            "ok": True,
            "errors": [],
            "traces": [trace],
        }

    path = folder / "traces.jsonl"
    count = write_lines(path, map(episode, range(10**9)), size)
    return Case("verifiers", path, count * TURNS, "json.loads", json_lines)


def verl_dump(folder: Path, size: float) -> Case:
    """`1.jsonl` as verl's v1 trainer writes it, with the response's token ids beside."""
    tokens = Tokens()

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(10**9):
            group, session = divmod(number, GROUP_SIZE)
            for step in range(TURNS):
                yield {
                    "input": state(group, step),
                    "output": "north",
                    "gts": None,
                    "score": float(number % 2),
                    "step": 1,
                    "uid": f"group-{group}_{session}_{step}",
                    "response_ids": tokens.ids(),
                    "rollout_log_probs": tokens.logprobs(),
                }

    path = folder / "1.jsonl"
    count = write_lines(path, rows(), size, multiple=TURNS)
    return Case("verl", path, count, "json.loads", json_lines)


def mapped_lines(folder: Path, size: float) -> Case:
    """A row a line under names of one's own, read by a mapping, with token ids beside."""
    tokens = Tokens()

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(10**9):
            for step in range(TURNS):
                yield {
                    "task": f"task-{number // GROUP_SIZE}",
                    "episode": number,
                    "obs": {"text": state(number // GROUP_SIZE, step)},
                    "did": "north",
                    "won": number % 2 == 1,
                    "token_ids": tokens.ids(),
                    "logprobs": tokens.logprobs(),
                }

    path = folder / "mapped.jsonl"
    count = write_lines(path, rows(), size, multiple=TURNS)
    columns = {
        "states": "obs.text",
        "actions": "did",
        "group_ids": "task",
        "trajectory_ids": "episode",
        "success": "won",
    }
    return Case("mapping", path, count, "json.loads", json_lines, {"columns": columns})


def steps_parquet(folder: Path, size: float) -> Case:
    """Canonical rows; few distinct texts, as Parquet stores them by dictionary."""
    num_rollouts = int(size / MB) * 1250  # ten thousand steps for a megabyte of the others
    groups = np.repeat(np.arange(num_rollouts) // GROUP_SIZE, TURNS)
    steps = np.tile(np.arange(TURNS), num_rollouts)
    names = pa.array([state(group, step) for group in range(97) for step in range(TURNS)])
    places = (groups % 97) * TURNS + steps
    following = pa.array(places + 1, mask=steps == TURNS - 1)
    rows = pa.table(
        {
            "group_id": groups,
            "trajectory_id": np.repeat(np.arange(num_rollouts), TURNS),
            "step_id": steps,
            "state": names.take(pa.array(places)),
            "next_state": names.take(following),
            "action": pa.array(["north"] * len(steps)),
            "success": np.repeat(np.arange(num_rollouts) % 2 == 1, TURNS),
        }
    )
    path = folder / "steps.parquet"
    write_rows(rows, path)
    return Case("steps", path, len(steps), "pq.read_table", pq.read_table)


class Tokens:
    """Token ids and logprobs of a message, from a fixed seed."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(SEED)

    def ids(self) -> list[int]:
        """Of a message."""
        return [int(token) for token in self._rng.integers(0, VOCABULARY, TOKENS)]

    def logprobs(self) -> list[float]:
        """Of a message, with the four decimals that verifiers keeps."""
        return [round(float(value), 4) for value in -self._rng.exponential(1.0, TOKENS)]


def write_lines(
    path: Path, records: Iterator[dict[str, Any]], size: float, *, multiple: int = 1
) -> int:
    """Write records until the file is of `size` bytes; returns how many."""
    count = 0
    with path.open("w") as file:
        for record in records:
            file.write(json.dumps(record, separators=(",", ":")) + "\n")
            count += 1
            if count % multiple == 0 and file.tell() >= size:
                return count
    return count


def json_lines(path: Path) -> None:
    """What a reader on the standard library does before it does anything."""
    with path.open("rb") as file:
        for line in file:
            json.loads(line)


if __name__ == "__main__":
    main()
