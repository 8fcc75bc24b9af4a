"""Plans in torch operations beside the core: the same batch of integer keys, checked, then timed.

    python bench/device.py                      # 1M rows on the CPU: torch beside the core
    python bench/device.py --device cuda        # on a GPU: beside copy + all cores + copy back
    python bench/device.py --rows 20000 --repeat 3 --json bench/results/device.json

Answers are compared first: integers equal, floats within 1e-6. Times are medians of `--repeat`
calls, in milliseconds, of the whole call with the batch at hand as tensors.
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
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import graphgpo
from graphgpo import estimators
from graphgpo.torch import device as on_device

ESTIMATORS = ("graphgpo", "gigpo", "grpo", "hgpo", "graft")
INTEGERS = ("state_ids", "next_state_ids", "num_peers")
FLOATS = (
    "advantages",
    "step_advantages",
    "episode_advantages",
    "scores",
    "distances",
    "next_distances",
)


def batch(rows: int, *, trajectories: int = 8, steps: int = 30, states: int = 40) -> dict[str, Any]:
    """Groups of walks along a line of states; half of the trajectories succeed."""
    groups = max(rows // (trajectories * steps), 1)
    random = np.random.default_rng(0)
    number = groups * trajectories * steps
    row = np.arange(number)
    walks = random.integers(-1, 3, number).reshape(-1, steps).cumsum(1).clip(0, states - 1)
    won = random.random(groups * trajectories) < 0.5
    return {
        "states": walks.ravel(),
        "group_ids": row // (trajectories * steps),
        "trajectory_ids": row // steps,
        "step_ids": row % steps,
        "success": (row % steps == steps - 1) & won.repeat(steps),
    }


def check(result: Any, core: Any) -> float:
    """The largest difference between floats; integers must be equal."""
    result = on_device.to_host(result)
    for name in INTEGERS:
        np.testing.assert_array_equal(getattr(result, name), getattr(core, name), err_msg=name)
    worst = 0.0
    for name in FLOATS:
        found, expected = getattr(result, name).astype(float), getattr(core, name).astype(float)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=name)
        worst = max(worst, float(np.nanmax(np.abs(found - expected), initial=0.0)))
    return worst


class Counted(TorchDispatchMode):
    """Counts operations that a device would have to be told of: not those that only make views."""

    VIEWS = ("view", "slice", "select", "as_strided", "detach", "expand", "alias", "unbind")

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.number += not any(view in str(function) for view in self.VIEWS)
        return function(*args, **(kwargs or {}))


def median_ms(call: Callable[[], Any], repeat: int) -> float:
    """Of a call that was made before."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(
    name: str, columns: dict[str, Any], device: torch.device, repeat: int
) -> dict[str, Any]:
    """One estimator's times and the largest difference."""
    estimator = estimators.make(name)
    tensors = {key: torch.from_numpy(values).to(device) for key, values in columns.items()}

    def in_torch() -> Any:
        result = on_device.compute_advantages(**tensors, device=device, estimator=estimator)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return result

    def in_the_core() -> Any:
        copied = {key: values.cpu() for key, values in tensors.items()}
        result = graphgpo.compute_advantages(**copied, estimator=estimator)
        if device.type == "cuda":
            for field in (*FLOATS, *INTEGERS):
                torch.from_numpy(getattr(result, field)).to(device)
            torch.cuda.synchronize(device)
        return result

    with Counted() as counted:
        worst = check(in_torch(), in_the_core())
    return {
        "estimator": name,
        "rows": len(columns["states"]),
        "torch_ms": median_ms(in_torch, repeat),
        "core_ms": median_ms(in_the_core, repeat),
        "operations": counted.number,
        "largest_difference": worst,
    }


def main() -> None:
    """Print the table; `--json` writes it too."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    device = torch.device(chosen.device)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {device} {where}")
    print("| rows | estimator | torch ms | core ms | torch / core | operations | difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found = []
    for rows in chosen.rows:
        columns = batch(rows)
        for name in ESTIMATORS:
            one = measure(name, columns, device, chosen.repeat)
            found.append(one)
            print(
                f"| {one['rows']:,} | {name} | {one['torch_ms']:,.1f} | {one['core_ms']:,.1f} | "
                f"{one['torch_ms'] / one['core_ms']:.1f} | {one['operations']:,} | "
                f"{one['largest_difference']:.1e} |",
                flush=True,
            )
    if chosen.json:
        machine = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        machine |= {"device": str(device), "machine": where, "python": platform.python_version()}
        chosen.json.write_text(json.dumps({"seed": 0, **machine, "times": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
