"""The run that waits for a GPU: its flow, with the CPU or with commands that only say yes."""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from graphgpo.torch import device

BENCH = Path(__file__).resolve().parents[2] / "bench"
NAMES = ("nvidia-smi", "nvcc", "g++", "cmake", "compute-sanitizer", "python3")

pytestmark = pytest.mark.skipif(not BENCH.exists(), reason="bench/ is not here")


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """The Python part, with these arguments."""
    monkeypatch.syspath_prepend(str(BENCH))
    module = importlib.import_module("gpu_proof")
    monkeypatch.setattr(module, "OUT", tmp_path)

    threads = torch.get_num_threads()

    def run(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["gpu_proof.py", *arguments])
        status: int = module.main()
        return status

    torch.set_num_threads(1)  # batches are tiny: a second one only waits
    yield run
    torch.set_num_threads(threads)


def test_with_the_cpu_for_a_device_every_check_passes(
    proof: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert proof("--device", "cpu", "--quick") == 0
    assert capsys.readouterr().out.endswith("no check failed\n")
    found = json.loads((tmp_path / "proof.json").read_text())
    assert {one["verdict"] for one in found} == {"PASS", "LOOK", "TIME"}
    assert {"same bits", "context", "memory", "kernel"} <= {one["check"] for one in found}


@pytest.mark.skipif(device.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_a_failure(
    proof: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert proof() == 1
    assert capsys.readouterr().out == "FAIL  no GPU: torch sees none\n"


@pytest.mark.parametrize(("broken", "failed"), [(None, 0), ("nvidia-smi", 1), ("python3", 2)])
def test_a_step_that_fails_stops_no_other_and_is_counted(
    tmp_path: Path, broken: str | None, failed: int
) -> None:
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    for name in NAMES:
        status = 3 if name == broken else 0
        (stand_ins / name).write_text(f"#!/bin/sh\necho {name} 9.0\nexit {status}\n")
        (stand_ins / name).chmod(0o755)
    done = subprocess.run(
        [str(BENCH / "gpu_proof.sh")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{stand_ins}:/usr/bin:/bin", "OUT": str(tmp_path / "out")},
    )
    assert done.returncode == failed
    lines = done.stdout.splitlines()
    steps = ["gpu", "compilers", "configure", "build", "proof", "tests"]
    steps += ["memcheck", "racecheck", "synccheck"]
    assert [line.split()[1].rstrip(":") for line in lines if line.startswith("::: ")] == [
        *steps,
        "again",
    ]
    assert sum(line.startswith("FAIL  step") for line in lines) == 2 * failed  # and once more
    said = f"{failed} steps failed" if failed else "every step succeeded"
    assert lines[-1] == said
