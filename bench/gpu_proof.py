"""What the CPU cannot show of plans on a GPU, in one run: answers, bits, streams, memory, times.

    python bench/gpu_proof.py                        # on a GPU; without one that is a failure
    python bench/gpu_proof.py --device cpu --quick   # the run itself, with the CPU for a device

A line a check, "PASS", "FAIL", "LOOK" (for people) or "TIME"; all of it in $OUT/proof.json. Exits
with the number of checks that failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import graphgpo
from device import batch, check, measure
from graphgpo import estimators
from graphgpo.torch import device as on_device
from graphgpo.torch.device.distances import cuda_kernel

OUT = Path(os.environ.get("OUT", "."))
SHAPES: dict[str, dict[str, int]] = {
    "llm": {"rows": 15_000},
    "tiny": {"rows": 32, "steps": 4, "states": 4},
    "simulator": {"rows": 1_000_000, "steps": 128, "states": 200},
    "deep": {"rows": 256_000, "trajectories": 4, "steps": 1000, "states": 4000},
    "one giant group": {"rows": 100_000, "trajectories": 100, "steps": 1000, "states": 4000},
    "one state": {"rows": 32_000, "trajectories": 64, "states": 1},
}
ROWS = [240, 4_000, 15_000, 60_000, 250_000, 1_000_000, 4_000_000]
QUICK = {"tiny": SHAPES["tiny"], "llm": {"rows": 480}}


class Proof:
    """The checks, on one device, and what they found."""

    def __init__(self, where: torch.device, *, is_quick: bool) -> None:
        self.where = where
        self.is_gpu = where.type == "cuda"
        self.shapes = QUICK if is_quick else SHAPES
        self.rows = (
            [480] if is_quick else [200, 4_000, 15_000, 60_000, 250_000, 1_000_000, 4_000_000]
        )
        self.found: list[dict[str, Any]] = []

    def report(self, verdict: str, name: str, **facts: Any) -> None:
        self.found.append({"check": name, "verdict": verdict, **facts})
        told = ", ".join(f"{key}={value}" for key, value in facts.items())
        print(f"{verdict:5} {name}: {told}", flush=True)
        (OUT / "proof.json").write_text(json.dumps(self.found, indent=1, default=str) + "\n")

    def tensors(self, columns: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {name: torch.from_numpy(v).to(self.where) for name, v in columns.items()}

    def credit(self, tensors: dict[str, Any], name: str = "graphgpo") -> Any:
        return on_device.compute_advantages(
            **tensors, device=self.where, estimator=estimators.make(name)
        )

    def answers(self) -> None:
        """Every shape by several estimators, unit costs and others, as the core."""
        for shape, sizes in self.shapes.items():
            columns = batch(**sizes)
            for has_costs in (False, True):
                if has_costs:
                    columns["edge_costs"] = 0.1 * (1 + columns["states"] % 12)
                for name in ("graphgpo", "gigpo", "hgpo", "graft"):
                    called = f"answers, {shape}, {name}"
                    core = graphgpo.compute_advantages(**columns, estimator=name)
                    try:
                        worst = check(self.credit(self.tensors(columns), name), core)
                    except AssertionError as error:
                        said = " ".join(str(error).split())[:200]
                        self.report("FAIL", called, costs=has_costs, said=said)
                    else:
                        self.report("PASS", called, costs=has_costs, worst=worst)

    def keys(self) -> None:
        """State keys of boards, as on the host."""
        for dtype in (torch.bool, torch.uint8, torch.int32, torch.float16, torch.float64):
            boards = (torch.arange(1200) % 7).reshape(40, 30).to(dtype)
            same = torch.equal(
                on_device.state_keys(boards.to(self.where)).cpu(),
                torch.from_numpy(graphgpo.state_keys(boards)),
            )
            self.report("PASS" if same else "FAIL", f"state keys, {dtype}")

    def bits(self) -> None:
        """20 calls, and 4 threads on streams of their own, have the same bits."""
        tensors = self.tensors(batch(**next(reversed(self.shapes.values()))))
        expected = self.credit(tensors).advantages.cpu()
        same: list[bool] = []

        def work(calls: int) -> None:
            stream = torch.cuda.Stream(self.where) if self.is_gpu else None
            with torch.cuda.stream(stream):
                if stream is not None:
                    stream.wait_stream(torch.cuda.default_stream(self.where))
                same.extend(
                    torch.equal(self.credit(tensors).advantages.cpu(), expected)
                    for _ in range(calls)
                )

        threads = [threading.Thread(target=work, args=(5,)) for _ in range(4)]
        work(20)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        is_good = all(same) and len(same) == 40
        self.report("PASS" if is_good else "FAIL", "same bits", calls=len(same), same=sum(same))

    def kernel(self) -> None:
        """The kernel finds what the sweeps find."""
        if not self.is_gpu or cuda_kernel() is None:
            self.report("LOOK", "kernel", said="graphgpo._cuda is not here; sweeps were checked")
            return
        from graphgpo.torch.device import distances

        for shape, sizes in self.shapes.items():
            tensors = self.tensors(batch(**sizes))
            searched = self.credit(tensors)
            known, distances.cuda_kernel = distances.cuda_kernel, lambda: None
            swept = self.credit(tensors)
            distances.cuda_kernel = known
            is_same = torch.equal(searched.distances, swept.distances)
            self.report("PASS" if is_same else "FAIL", f"kernel, {shape}")

    def capture(self) -> None:
        """A call during a capture is refused, and the capture goes on."""
        if not self.is_gpu:
            self.report("LOOK", "capture", said="no CUDA graphs here")
            return
        tensors, said = self.tensors(batch(480)), "nothing"
        ones, graph = torch.ones(3, device=self.where), torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            twice = ones * 2
            try:
                self.credit(tensors)
            except RuntimeError as error:
                said = str(error)
        graph.replay()
        is_good = "while a CUDA graph is captured" in said and float(twice.sum()) == 6
        self.report("PASS" if is_good else "FAIL", "capture", said=said)

    def memory(self) -> None:
        """100 calls keep no memory."""
        tensors = self.tensors(batch(15_000 if self.is_gpu else 480))
        self.credit(tensors)
        before = torch.cuda.memory_allocated(self.where) if self.is_gpu else 0
        for _ in range(100 if self.is_gpu else 3):
            self.credit(tensors)
        kept = (torch.cuda.memory_allocated(self.where) if self.is_gpu else 0) - before
        self.report("PASS" if kept == 0 else "FAIL", "memory", kept=kept)

    def context(self) -> None:
        """Asking for a device leaves a process that can still fork."""
        if not self.is_gpu:
            self.report("LOOK", "context", said="no device to ask for")
            return
        code = (
            "import os, torch\nfrom graphgpo.torch import device\n"
            "print(device.is_available(), torch.cuda.is_initialized(), flush=True)\n"
            "if os.fork() == 0:\n"
            "    torch.zeros(1, device='cuda')\n"
            "    os._exit(0)\n"
            "print(os.wait()[1])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
        )
        is_good = done.stdout.split() == ["True", "False", "0"]
        said = (done.stdout + done.stderr[-200:]).replace("\n", " | ")
        self.report("PASS" if is_good else "FAIL", "context", said=said)

    def times(self) -> None:
        """The call beside copy, core on all cores, copy back."""
        for rows in self.rows:
            one = measure("graphgpo", batch(rows), self.where, 5)
            self.report("TIME", f"{one.pop('rows')} rows", **one)

    def profile(self) -> None:
        """How many operations a call is, and which take longest."""
        activities = [torch.profiler.ProfilerActivity.CPU]
        if self.is_gpu:
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        tensors = self.tensors(batch(self.rows[-1]))
        self.credit(tensors)
        with torch.profiler.profile(activities=activities) as profile:
            self.credit(tensors)
        kind = "self_device_time_total" if self.is_gpu else "self_cpu_time_total"
        events = sorted(profile.key_averages(), key=lambda event: -getattr(event, kind))
        self.report("TIME", "operations", number=sum(event.count for event in events))
        for event in events[:12]:
            print(f"      {getattr(event, kind):10.1f} us {event.count:5} x {event.key[:80]}")

    def run(self) -> int:
        """Every check; one that raises has failed and stops no other. The number that failed."""
        checks: list[Callable[[], None]] = [
            self.context,
            self.answers,
            self.keys,
            self.bits,
            self.kernel,
            self.capture,
            self.memory,
            self.times,
            self.profile,
        ]
        for one in checks:
            start = time.perf_counter()
            try:
                one()
            except Exception as error:
                said = f"{type(error).__name__}: {error}"[:300]
                self.report("FAIL", one.__name__, said=said)
            print(f"      ({time.perf_counter() - start:.1f} s)", flush=True)
        failed = [one["check"] for one in self.found if one["verdict"] == "FAIL"]
        print(f"FAIL  {'; '.join(failed)}" if failed else "no check failed", flush=True)
        return len(failed)


def main() -> int:
    """Find the device, and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small batches: does it run?")
    chosen = parser.parse_args()
    where = torch.device(chosen.device)
    if where.type == "cuda" and not on_device.is_available():
        print("FAIL  no GPU: torch sees none", flush=True)
        return 1
    proof = Proof(where, is_quick=chosen.quick)
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "the CPU stands in for it"
    proof.report("LOOK", "device", torch=torch.__version__, device=name, kernel=bool(cuda_kernel()))
    return proof.run()


if __name__ == "__main__":
    raise SystemExit(main())
