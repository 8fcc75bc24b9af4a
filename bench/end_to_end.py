"""How long the whole call takes, Python objects in and all results out, against opponents.

    python bench/end_to_end.py --workload large million --kind list arrow --opponent vectorised
    python bench/end_to_end.py --threads 2 --workload large million --kind list arrow --opponent

Every round calls graphgpo and each opponent in turn, on inputs of their own made just before, with
Python's collector off; a ratio is that of two calls in one round. Every opponent's answer is
compared with ours before it is timed. bench/README.md has the commands behind bench/results.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

# Polars reads it once, when it is imported.
_THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else "1"
os.environ["POLARS_MAX_THREADS"] = _THREADS

import graphgpo  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
import floor  # noqa: E402
import opponents  # noqa: E402
import reports  # noqa: E402
import workloads  # noqa: E402

OURS = "graphgpo"
ONE_THREAD = "graphgpo_one_thread"
DEFAULT_WORKLOADS = [name for name in workloads.WORKLOADS if name != "ten_million"]
MOST_BATCHES = 16
SCALING_GROUPS = [4, 16, 64, 256, 1024, 3600]  # of 8 rollouts, some 290 steps each
DEFAULT_KINDS = ["list_linked", "list", "list_1col", "arrow", "arrow_1col", "keys", "rows"]
MAX_STEPS = {"plain": 2_000_000, "recipe": 10_000}  # beyond: more than 20 s, or 10 s

Contender = Callable[..., Any]


def contenders(names: Iterable[str], threads: int) -> dict[str, Contender]:
    """With several threads, graphgpo on one of them is an opponent too."""
    calls: dict[str, Contender] = {OURS: partial(graphgpo.compute_advantages, num_threads=threads)}
    if threads > 1:
        calls[ONE_THREAD] = partial(graphgpo.compute_advantages, num_threads=1)
    return calls | {name: opponents.OPPONENTS[name] for name in names}


def is_remade(kind: str) -> bool:
    """Python caches hash and UTF-8 form in a str: every call gets objects of its own."""
    return kind.startswith(("list", "object"))


def calls_in_one_timing(num_steps: int) -> int:
    """More than one where a call takes microseconds."""
    return max(1, min(100, 20_000 // num_steps))


def batches(name: str, repeat: int, **options: Any) -> list[workloads.Workload]:
    """The workload, and where it is small, others like it, to be taken in turn.

    A processor knows the branches of 4,608 steps by heart when it has seen them a few times, and
    no trainer gives the same batch twice.
    """
    make = workloads.WORKLOADS[name]
    first = make(**options)
    inner = calls_in_one_timing(len(first))
    further = 0 if inner == 1 else min(MOST_BATCHES, repeat * inner) - 1
    return [first] + [make(seed=first.seed + 1 + i, **options) for i in range(further)]


def rounds(
    given: list[workloads.Workload],
    kind: str,
    calls: dict[str, Contender],
    repeat: int,
    clock: Callable[[], float],
) -> dict[str, list[float]]:
    """Seconds of every call, by contender. `given`: batches, taken in turn."""
    first = given[0]
    columns = first.columns(kind)
    ours = calls[OURS](**columns)
    for name, call in calls.items():
        if name != OURS and (wrong := opponents.differences(call(**columns), ours)):
            raise AssertionError(f"{name} differs in {wrong} on {first.name} as {kind}")
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    inner = calls_in_one_timing(len(first))
    is_made_anew = len(given) > 1 or is_remade(kind)
    for which in range(repeat):
        taken = [given[(which * inner + i) % len(given)] for i in range(inner)]
        for name, call in calls.items():
            gc.collect()  # before the inputs are made: it leaves the caches cold
            gc.disable()
            inputs = [batch.columns(kind) if is_made_anew else columns for batch in taken]
            start = clock()
            for each in inputs:
                call(**each)
            seconds[name].append((clock() - start) / inner)
            del each, inputs  # here, or the next contender pays for letting go of them
            gc.enable()
    return seconds


def measure(
    given: list[workloads.Workload], kind: str, names: Iterable[str], options: argparse.Namespace
) -> dict[str, Any]:
    """One row of the report, of `batches`."""
    workload = given[0]
    clock = time.process_time if options.cpu_time else time.perf_counter
    kept = [name for name in names if len(workload) <= MAX_STEPS.get(name, len(workload))]
    for name in set(names) - set(kept):
        print(f"  skipped: {name} on {len(workload):,} steps would take too long")
    kept = [name for name in kept if opponents.is_installed(name)]
    seconds = rounds(given, kind, contenders(kept, options.threads), options.repeat, clock)
    row: dict[str, Any] = {
        "workload": workload.name,
        "kind": kind,
        "steps": len(workload),
        "singleton_share": round(workload.singleton_share, 3),
        "seed": workload.seed,
        "threads": options.threads,
        "rounds": options.repeat,
        "clock": clock.__name__,
        "contenders": {},
    }
    for name, values in seconds.items():
        ratios = [value / own for value, own in zip(values, seconds[OURS], strict=True)]
        row["contenders"][name] = {
            "median_ms": median(values) * 1e3,
            "min_ms": min(values) * 1e3,
            "steps_per_second": len(workload) / median(values),
            "ratio": median(ratios),
            "ratio_quartiles": quantiles(ratios, n=4)[::2]
            if options.repeat > 1
            else [ratios[0]] * 2,
        }
    if floor.applies_to(kind):
        row["floor"] = floor.of(workload, kind)
        row["floor"]["ours_over_floor"] = (
            row["contenders"][OURS]["median_ms"] / row["floor"]["total_ms"]
        )
    elif kind.startswith("keys"):
        row["instructions_per_step"] = floor.instructions_of_keys()
    return row


def line(row: dict[str, Any]) -> str:
    cells = []
    for name, cell in row["contenders"].items():
        text = f"{name} {cell['median_ms']:.2f} ms (min {cell['min_ms']:.2f})"
        if name != OURS:
            low, high = cell["ratio_quartiles"]
            text += f" x{cell['ratio']:.2f} [{low:.2f}, {high:.2f}]"
        cells.append(text)
    if "floor" in row:
        own = row["floor"]
        cells.append(f"floor {own['total_ms']:.2f} ms, ours / floor {own['ours_over_floor']:.2f}")
    head = (
        f"{row['workload']:15} {row['kind']:12} {row['steps']:>9,} steps, {row['threads']} threads"
    )
    return head + ": " + " | ".join(cells)


# --- memory -------------------------------------------------------------------------------------


def peak_memory(
    name: str, workload_name: str, kind: str, threads: int, groups: int | None
) -> dict[str, Any]:
    """Peak of a call beyond its inputs, in a process of its own."""
    command = [sys.executable, __file__, "--threads", str(threads), "--peak-of", name]
    command += ["--workload", workload_name, "--kind", kind]
    if groups:
        command += ["--groups", str(groups)]
    # Arrow's own pool lets go of what building the inputs left over only during the call, which
    # then seems to free memory; malloc_trim empties the system's pool before.
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def own_peak(name: str, workload: workloads.Workload, kind: str, threads: int) -> dict[str, Any]:
    """What the call adds to the resident memory of this process at its peak (Linux)."""
    call = contenders([name] if name != OURS else [], threads)[name]
    call(**workloads.tiny().columns("list" if kind == "rows" else kind))  # imports, thread pools
    columns = workload.columns(kind)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what was freed before must not hide what is allocated now
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again
    result = call(**columns)
    peak = _status("VmHWM") - before
    del result
    beyond_results = peak - floor.RESULT_BYTES * len(workload)
    return {
        "contender": name,
        "workload": workload.name,
        "kind": kind,
        "steps": len(workload),
        "threads": threads,
        "peak_bytes": peak,
        "bytes_per_step_beyond_results": beyond_results / len(workload),
    }


def _status(field: str) -> int:
    for entry in Path("/proc/self/status").read_text().splitlines():
        if entry.startswith(field + ":"):
            return int(entry.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


# --- a small call -------------------------------------------------------------------------------


def beyond_its_text(repeat: int = 2000) -> dict[str, Any]:
    """A call on 8 x 10 steps, less what `state_keys` takes for the same two lists.

    `state_keys` walks the lists and hashes every text as the call does; what is left is the graph,
    the results and Python's share of both.
    """
    columns = workloads.tiny().columns("list")
    states, next_states = columns["states"], columns["next_states"]
    whole, text = [], []
    for _ in range(repeat):
        start = time.perf_counter()
        graphgpo.compute_advantages(**columns, num_threads=1)
        middle = time.perf_counter()
        graphgpo.state_keys(states)
        graphgpo.state_keys(next_states)
        stop = time.perf_counter()
        whole.append(middle - start)
        text.append(stop - middle)
    answer = {"call_us": median(whole) * 1e6, "text_us": median(text) * 1e6}
    return answer | {"beyond_text_us": answer["call_us"] - answer["text_us"]}


# --- the report ---------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    packages = ["numpy", "scipy", "pandas", "polars", "pyarrow"]
    packages += ["numba"] if opponents.is_installed("numba") else []
    compiler = re.search(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", _core_bytes())
    return {
        **reports.machine(packages),
        "compiler": compiler[0].decode() if compiler else "unknown",
        "measured": {key: round(value, 3) for key, value in floor.machine().items()},
    }


def _core_bytes() -> bytes:
    return Path(graphgpo._core.__file__).read_bytes()  # a compiler leaves its name there


def scaling(options: argparse.Namespace) -> dict[str, Any]:
    """ALFWorld-like batches of about 1k to 1M steps, as the first kind: times, and peaks."""
    kind = options.kind[0]
    report: dict[str, Any] = {"times": [], "memory": []}
    for groups in SCALING_GROUPS:
        given = batches("alfworld_like", options.repeat, groups=groups)
        report["times"].append(measure(given, kind, options.opponent, options))
        print(line(report["times"][-1]), flush=True)
        for name in (OURS, "vectorised", "vectorised_batch"):
            report["memory"].append(
                peak_memory(name, "alfworld_like", kind, options.threads, groups)
            )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--workload", nargs="+", choices=workloads.WORKLOADS, default=DEFAULT_WORKLOADS)
    add("--kind", nargs="+", default=DEFAULT_KINDS, help="kinds of workloads.kinds")
    add("--opponent", nargs="*", choices=opponents.OPPONENTS, default=list(opponents.OPPONENTS))
    add("--singletons", nargs="+", type=float, default=[0.3], help="shares of singleton steps")
    add("--repeat", type=int, default=7, help="rounds")
    add("--threads", type=int, default=1)
    add("--cpu-time", action="store_true", help="CPU instead of wall time, for a busy machine")
    add("--memory", action="store_true", help="peaks too, each in a process of its own (Linux)")
    add("--scaling", action="store_true", help="only alfworld_like from 1k to 1M steps, and peaks")
    add("--json", type=Path, help="where to write the report")
    add("--peak-of", help=argparse.SUPPRESS)
    add("--groups", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()

    if options.peak_of:
        sizes = {"groups": options.groups} if options.groups else {}
        workload = workloads.WORKLOADS[options.workload[0]](**sizes)
        print(json.dumps(own_peak(options.peak_of, workload, options.kind[0], options.threads)))
        return

    for name in options.opponent:
        if not opponents.is_installed(name):
            print(f"skipped: {name} is not installed: pip install '.[bench]'")
    report: dict[str, Any] = {
        **reports.origin(),
        "machine": machine(),
        "times": [],
        "memory": [],
    }
    if "numba" in options.opponent and opponents.is_installed("numba"):
        report["seconds_to_compile"] = opponents.seconds_to_compile()
        print(
            f"numba has compiled for {report['seconds_to_compile']:.1f} s, which counts as nothing"
        )
    if options.scaling:
        report |= scaling(options)
    else:
        for name in options.workload:
            for share in options.singletons:
                given = batches(name, options.repeat, singleton_share=share)
                for kind in options.kind:
                    if kind not in workloads.kinds(given[0]):
                        continue
                    row = measure(given, kind, options.opponent, options)
                    report["times"].append(row)
                    print(line(row), flush=True)
                    if options.memory:
                        for each in (OURS, "vectorised"):
                            peak = peak_memory(each, name, kind, options.threads, None)
                            report["memory"].append(peak)
                            per_step = peak["bytes_per_step_beyond_results"]
                            print(f"  peak of {each}: {per_step:.0f} bytes per step beyond results")
        report["tiny"] = beyond_its_text()
        print("8 x 10 steps: " + ", ".join(f"{k} {v:.1f}" for k, v in report["tiny"].items()))
    reports.write(options.json, report)


if __name__ == "__main__":
    main()
