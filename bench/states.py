"""Normalising and near-duplicates against what one would write in Python, answers equal.

    python bench/states.py [--json FILE]

- texts: observations with clocks, ids, prices and tables, normalised by `Normaliser()`, against one
  `re.sub` with the same expressions;
- similar: near-duplicates of `alfworld_like` at 0.95, against rapidfuzz's `cdist` and SciPy's
  connected components, group by group (both on one thread);
- pages: 512 web pages of 6,000 characters in one group, at 0.95: unrelated ones, and versions of 16
  with a few words changed.

Processor time of one thread, which neighbours on the machine hardly change: median of several
rounds, opponents in turn.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import workloads
from graphgpo.states import Normaliser, similar_components
from graphgpo.states.patterns import normalise_with_re

THRESHOLD = 0.95
DEFAULT_CLASSES = ("timestamps", "uuids", "hex", "whitespace")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, help="write the numbers here")
    results: dict[str, Any] = {"python": platform.python_version()}
    arguments = parser.parse_args()
    results["texts"] = texts()
    results["similar"] = similar()
    results["pages"] = pages()
    print(json.dumps(results, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def seconds(rounds: int, *calls: Callable[[], object]) -> list[float]:
    """Median processor seconds of each call; rounds in turn."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, taken, strict=True):
            start = time.thread_time()
            call()
            times.append(time.thread_time() - start)
    return [statistics.median(times) for times in taken]


def texts() -> dict[str, float]:
    observations = noisy_observations(4_000)
    size = sum(len(text.encode()) for text in observations)
    normaliser = Normaliser()

    def by_re() -> list[str]:
        return [normalise_with_re(text, DEFAULT_CLASSES) for text in observations]

    assert normaliser.texts(observations) == by_re()
    ours, theirs = seconds(5, lambda: normaliser.texts(observations), by_re)
    return {
        "megabytes": size / 1e6,
        "megabytes_per_second": size / 1e6 / ours,
        "re_megabytes_per_second": size / 1e6 / theirs,
    }


def similar() -> dict[str, float]:
    workload = workloads.alfworld_like()
    codes = np.concatenate([workload.sources, workload.targets])
    groups = np.concatenate([workload.group_ids, workload.group_ids])
    states = workloads.shared_strings(workload.values, codes)

    def ours() -> NDArray[np.int32]:
        return similar_components(states, THRESHOLD, group_ids=groups).components

    assert same_partition(ours(), by_cdist(states, groups))
    own, theirs = seconds(5, ours, lambda: by_cdist(states, groups))
    return {"steps": len(workload.sources), "ms": own * 1e3, "cdist_ms": theirs * 1e3}


def pages() -> dict[str, float]:
    rng = np.random.default_rng(workloads.SEED)
    unrelated = workloads.page_texts(rng, np.zeros(512, np.int64), 6000, 6000)
    versions = [_with_words_changed(rng, unrelated[i % 16], 12) for i in range(512)]
    results: dict[str, float] = {}
    for name, group in (("unrelated", unrelated), ("versions", versions)):
        (taken,) = seconds(3, lambda group=group: similar_components(group, THRESHOLD))
        results[f"{name}_ms"] = taken * 1e3
        results[f"{name}_merged"] = similar_components(group, THRESHOLD).merged
    return results


def by_cdist(states: list[str], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    from rapidfuzz.distance import Indel
    from rapidfuzz.process import cdist
    from scipy.sparse.csgraph import connected_components

    components = np.zeros(len(states), np.int64)
    num_components = 0
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        distinct = {text: i for i, text in enumerate(dict.fromkeys(states[row] for row in rows))}
        texts = list(distinct)
        ratios = cdist(
            texts,
            texts,  # the same list: half of the pairs
            scorer=Indel.normalized_similarity,
            score_cutoff=THRESHOLD,
            workers=1,
        )
        number, labels = connected_components(ratios >= THRESHOLD, directed=False)
        components[rows] = num_components + labels[[distinct[states[row]] for row in rows]]
        num_components += number
    return components


def same_partition(a: NDArray[Any], b: NDArray[Any]) -> bool:
    pairs = len(set(zip(a.tolist(), b.tolist(), strict=True)))
    return pairs == len(set(a.tolist())) == len(set(b.tolist()))


def noisy_observations(count: int) -> list[str]:
    """Texts of 200 to 900 characters, each with a log's head and an id."""
    rng = np.random.default_rng(workloads.SEED)
    seen = workloads.english_texts(rng, np.zeros(count, np.int64), 200, 900)
    return [
        f"[2026-11-28 {i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}] step {i % 14}/14 "
        f"session={rng.integers(1 << 62):016x}\n{text}\ntotal: {i % 97}.{i % 100:02} \n"
        for i, text in enumerate(seen)
    ]


def _with_words_changed(rng: np.random.Generator, page: str, number: int) -> str:
    words = page.split(" ")
    for at in rng.integers(0, len(words), number):
        words[at] = str(rng.integers(1000))
    return " ".join(words)


if __name__ == "__main__":
    main()
