"""Everything in bench/results and bench/README.md that is timed from Python, by one command.

    python bench/run_all.py            # 6 minutes on a quiet machine
    python bench/run_all.py --quick    # does it all run? writes nothing
    python bench/run_all.py --tables   # only write the tables and the plot anew

Every report is a run of bench/end_to_end.py or of the script of its name; its JSON goes to
bench/results with command, commit and machine, the tables between the markers of both README.md,
the plot to docs/images.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
GLANCE = {"list_linked": "list of `str`", "arrow": "Arrow", "keys": "integer keys"}

# What bench/end_to_end.py is asked, by report.
REPORTS = {
    "small": "--workload webshop_like sokoban_boards sokoban_frames alfworld_like "
    "--kind list_linked list object arrow arrow_1col keys rows --repeat 11 "
    "--opponent vectorised_batch vectorised numba plain",
    "large": "--workload large million giant_group "
    "--kind list_linked list object arrow arrow_1col keys --repeat 3 "
    "--opponent vectorised_batch vectorised numba",
    "singletons": "--workload alfworld_like --singletons 0.05 0.9 --kind list_linked arrow keys "
    "--repeat 11 --opponent vectorised_batch vectorised numba",
    "containers": "--workload alfworld_like --kind list_shared string_dtype fixed_width "
    "arrow_large arrow_view arrow_dictionary polars --repeat 7 --opponent vectorised",
    "threads": "--workload alfworld_like large million --kind list_linked list arrow keys "
    "--threads 2 --repeat 5 --opponent",
    "memory": "--workload million giant_group --kind list arrow keys --memory --repeat 1 "
    "--opponent",
    "ten_million": "--workload million ten_million --kind keys --repeat 3 --opponent",
    "scaling": "--scaling --kind list --repeat 3",
}
QUICK = (
    "--workload tiny --kind list_linked list arrow string_dtype fixed_width polars --repeat 1",
    "--workload sokoban_frames --kind rows --repeat 1 --opponent vectorised",
    "--workload tiny --kind list --threads 2 --repeat 1 --opponent",
    "--workload tiny --kind list --memory --repeat 1 --opponent",
)


SCRIPTS = ("family", "trainers", "read_files", "record", "corpus")  # reports of bench/NAME.py


def run(script: str, *arguments: str) -> None:
    subprocess.run([sys.executable, script, *arguments], check=True, cwd=ROOT)


# --- tables -------------------------------------------------------------------------------------


def cell_ratio(row: dict[str, Any], name: str) -> str:
    cell = row["contenders"].get(name)
    if cell is None:
        return "-"
    low, high = cell["ratio_quartiles"]
    return f"{cell['ratio']:.1f} ({low:.1f}-{high:.1f})"


def cell_per_step(row: dict[str, Any], name: str) -> str:
    cell = row["contenders"].get(name)
    if cell is None:
        return "-"
    return f"{cell['ratio']:.2f} ({cell['median_ms'] / row['steps'] * 1e6:,.0f} ns)"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join(lines)


def calls(report: dict[str, Any]) -> str:
    names = [name for name in report["times"][0]["contenders"] if name != "graphgpo"]
    rows = []
    for row in report["times"]:
        own = row["contenders"]["graphgpo"]["median_ms"]
        above_floor = "-"
        if "floor" in row:
            above_floor = f"{row['floor']['ours_over_floor']:.1f}"
        elif "instructions_per_step" in row:
            above_floor = f"{row['instructions_per_step']:,.0f} instructions"
        rows.append(
            [row["workload"], f"{row['steps']:,}", f"{row['singleton_share']:.0%}", row["kind"]]
            + [f"{own:,.2f}", f"{own / row['steps'] * 1e6:,.0f}"]
            + [cell_ratio(row, name) for name in names]
            + [above_floor]
        )
    head = ["workload", "steps", "singletons", "states as", "ms", "ns per step"]
    return table(head + [f"x {name}" for name in names] + ["x floor"], rows)


def threads(report: dict[str, Any]) -> str:
    rows = [
        [row["workload"], row["kind"], cell_ratio(row, "graphgpo_one_thread")]
        for row in report["times"]
    ]
    return table(["workload", "states as", "speed-up of two threads"], rows)


def memory(report: dict[str, Any]) -> str:
    rows = []
    for row in report["memory"]:
        beyond_results = f"{row['bytes_per_step_beyond_results']:,.0f}"
        rows.append([row["workload"], row["kind"], row["contender"], beyond_results])
    return table(["workload", "states as", "who", "bytes per step beyond results"], rows)


def linear(report: dict[str, Any]) -> str:
    rows = []
    for row in report["times"]:
        own = row["contenders"]["graphgpo"]["median_ms"]
        rows.append([f"{row['steps']:,}", f"{own:,.0f}", f"{own / row['steps'] * 1e6:.0f}"])
    return table(["steps", "ms", "ns per step"], rows)


def family(report: dict[str, Any]) -> str:
    """Every estimator's time over GraphGPO's and per step, a column a batch; slowest last."""
    times = report["times"]
    names = sorted(
        times[0]["contenders"], key=lambda name: float(times[0]["contenders"][name]["ratio"])
    )
    rows = [[name, *(cell_per_step(row, name) for row in times)] for name in names]
    head = ["x graphgpo", *(f"{row['workload']}, {row['steps']:,} steps" for row in times)]
    return table(head, rows)


def trainers(report: dict[str, Any]) -> str:
    """Calls as trainers make them, a column a batch: milliseconds, and over what is plain."""
    times = report["times"]
    rows = []
    for name in times[0]["calls"]:
        cells = []
        for row in times:
            call = row["calls"].get(name)
            if call is None:
                cells.append("-")
                continue
            low, high = call["ratio_quartiles"]
            cells.append(f"{call['median_ms']:,.2f} ms: {call['ratio']:.2f} ({low:.2f}-{high:.2f})")
        rows.append([name, times[0]["calls"][name]["of"], *cells])
    head = ["call", "time over that of"]
    return table(head + [f"{row['workload']}, {row['steps']:,} steps" for row in times], rows)


MIB = 2**20


def read_files(report: dict[str, Any]) -> str:
    """Files read on one core; bytes of a Parquet file, which has each text once, say nothing."""
    rows = []
    for row in report["times"]:
        speed = "-" if row["file"] == "steps" else f"{row['mb_per_second']:,.0f}"
        steps = f"{row['steps_per_second']:,.0f}"
        ratio = f"{row['times_as_fast']:.1f} {row['opponent']}"
        rows.append([row["file"], f"{row['steps']:,}", speed, steps, ratio])
    return table(["file of", "steps", "MB/s", "steps/s", "times as fast as"], rows)


def record(report: dict[str, Any]) -> str:
    """What recording takes of a training step."""
    rows = []
    for row in report["times"]:
        times = [f"{row[name]:.1f} ms" for name in ("waits_ms", "beside_ms")]
        shortest = [f"{row[name]:.1f} s" for name in ("waits_alone_s", "with_beside_s")]
        rows.append([row["workload"], f"{row['steps']:,}", *times, *shortest])
    head = ["batch", "steps", "the trainer waits", "the thread, beside"]
    return table([*head, "2 % of a training step of", "both"], rows)


def corpus(report: dict[str, Any]) -> str:
    """A corpus credited, beside the core's call."""
    call = report["call"]
    seconds = [f"{call['wall']:.1f}", f"{call['cpu']:.1f}"]
    rows = [["the core's call in memory", *seconds, "1", "1", "-", "-", "-"]]
    for row in report["ways"]:
        times = [f"{row['wall_times_the_call']:.1f}", f"{row['cpu_times_the_call']:.1f}"]
        memory = [f"{row[name] / MIB:,.0f} MiB" for name in ("peak", "beyond")]
        seconds = [f"{row['wall']:.1f}", f"{row['cpu']:.1f}"]
        rows.append([row["way"], *seconds, *times, f"{row['partitions']}", *memory])
    head = ["", "s", "CPU s", "times the call", "in CPU", "partitions", "largest process"]
    return table([*head, "beyond the largest partition"], rows)


def losses(report: dict[str, Any]) -> str:
    """`policy_loss`, forward and backward, and `to_tokens`: our time over another's."""
    rows = []
    for loss, spread in zip(report["policy_loss"], report["to_tokens"], strict=True):
        case = loss["case"]
        cells = [
            f"{time['contenders'][name]['ours_over_it']:.2f}"
            for time, names in ((loss, ("hand_fused", "plain")), (spread, ("where", "product")))
            for name in names
        ]
        own = loss["contenders"]["graphgpo"]
        peak = f"{own['peak_tensors']:.1f}"
        kinds = [case["dtype"], case["mask"], "yes" if case["has_reference"] else "no"]
        shape = f"{case['rows']} x {case['width']}"
        rows.append([shape, *kinds, f"{own['median_ms']:.2f}", *cells[:2], peak, *cells[2:]])
    head = ["tokens", "dtype", "mask", "KL", "ms"]
    return table([*head, "of hand-fused", "of plain", "peak", "of where", "of product"], rows)


def origin_of_losses(report: dict[str, Any]) -> str:
    machine = report["machine"]
    return (
        f"`{report['command']}`, commit {report['commit']}, seed {report['seed']}; "
        f"{machine['threads']} thread of {machine['cpu']}, Python {machine['python']}, "
        f"torch {machine['torch']}."
    )


TABLES = {
    "small": calls,
    "large": calls,
    "singletons": calls,
    "containers": calls,
    "threads": threads,
    "memory": memory,
    "ten_million": linear,
}


def origin(report: dict[str, Any]) -> str:
    machine = report["machine"]
    seed = report["seed"] if "seed" in report else report["times"][0]["seed"]
    text = (
        f"`{report['command']}`, commit {report['commit']}, seed {seed}; {machine['cores']} cores "
        f"of {machine['cpu']}, Python {machine['python']}"
    )
    text += f", {machine['compiler']}." if "compiler" in machine else "."
    if "seconds_to_compile" in report:
        text += f" numba compiles for {report['seconds_to_compile']:.0f} s first, not counted."
    if "tiny" in report:
        call, beyond = report["tiny"]["call_us"], report["tiny"]["beyond_text_us"]
        text += f" A call on 8 x 10 steps: {call:.0f} us, {beyond:.0f} us beyond its text."
    return text


def at_a_glance(small: dict[str, Any], large: dict[str, Any]) -> str:
    """A few calls against the better of the two vectorised opponents, and numba."""
    rows = []
    for row in small["times"] + large["times"]:
        if row["workload"] not in ("alfworld_like", "million") or row["kind"] not in GLANCE:
            continue
        opponents = [row["contenders"][name] for name in ("vectorised", "vectorised_batch")]
        best = min(opponents, key=lambda cell: float(cell["median_ms"]))
        own, theirs = row["contenders"]["graphgpo"]["median_ms"], best["median_ms"]
        times = [f"{own:,.2f} ms", f"{theirs:,.2f} ms", f"{best['ratio']:.1f}x"]
        numba = row["contenders"].get("numba")
        times += (
            ["-", ""]
            if numba is None
            else [f"{numba['median_ms']:,.2f} ms", f"{numba['ratio']:.1f}x"]
        )
        rows.append([f"{row['steps']:,} steps", GLANCE[row["kind"]], *times])
    return table(["batch", "states as", "graphgpo", "vectorised Python", "", "by numba", ""], rows)


def fill(file: Path, name: str, text: str) -> None:
    """Put `text` between the markers of `name`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = file.read_text().partition(begin)
    _, _, after = rest.partition(end)
    if not after:
        raise SystemExit(f"{file} has no place for the table {name!r}")
    file.write_text(f"{before}{begin}\n{text}\n\n{end}{after}")


def write_tables() -> None:
    reports = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in TABLES}
    for name, make in TABLES.items():
        text = f"{make(reports[name])}\n\n{origin(reports[name])}"
        fill(ROOT / "bench" / "README.md", name, text)
    report = json.loads((RESULTS / "torch_loss.json").read_text())
    fill(ROOT / "bench" / "README.md", "losses", f"{losses(report)}\n\n{origin_of_losses(report)}")
    made_of = (family, trainers, read_files, record, corpus)
    for name, make in zip(SCRIPTS, made_of, strict=True):
        if (RESULTS / f"{name}.json").exists():
            report = json.loads((RESULTS / f"{name}.json").read_text())
            fill(ROOT / "bench" / "README.md", name, f"{make(report)}\n\n{origin(report)}")
    fill(ROOT / "README.md", "speed", at_a_glance(reports["small"], reports["large"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tables", action="store_true")
    parser.add_argument(
        "--report", nargs="+", choices=[*REPORTS, *SCRIPTS], default=[*REPORTS, *SCRIPTS]
    )
    options = parser.parse_args()
    if options.quick:
        for arguments in QUICK:
            run("bench/end_to_end.py", *arguments.split())
        for script in SCRIPTS:
            run(f"bench/{script}.py", "--quick")
        return
    if not options.tables:
        for name in options.report:
            target = f"bench/results/{name}.json"
            if name in SCRIPTS:
                run(f"bench/{name}.py", "--json", target)
            else:
                run("bench/end_to_end.py", *REPORTS[name].split(), "--json", target)
    write_tables()
    run("bench/plot.py", "bench/results/scaling.json", "docs/images/scaling.svg")


if __name__ == "__main__":
    main()
