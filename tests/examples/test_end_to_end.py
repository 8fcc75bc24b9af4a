"""The programs as a user runs them, on one real game for a few iterations."""

from __future__ import annotations

import csv
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ONE_GAME = ("train_textworld.py", "--level", "103", "--games", "1", "--held-out", "1")

for module in ("textworld", "gym_sokoban", "tensorboard"):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    program, *flags = arguments
    return subprocess.Popen(
        [sys.executable, str(EXAMPLES / program), *flags],
        env={**os.environ, "GRAPHGPO_EXAMPLES_CACHE": str(folder / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> str:
    process = command(folder, *arguments)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out


def success(log: Path) -> list[float]:
    with (log / "curve.csv").open() as file:
        return [float(row["success"]) for row in csv.DictReader(file)]


def test_success_rises_the_same_way_when_resumed_or_cached(folder: Path) -> None:
    whole = folder / "whole"
    out = run(folder, *ONE_GAME, "--iterations", "6", "--log", str(whole), "--workers", "2")
    assert "held-out games: success" in out
    assert ", advantages 0." in out  # per cent of the time
    assert success(whole)[-1] > success(whole)[0]

    resumed = folder / "resumed"
    for iterations in ("2", "6"):
        run(folder, *ONE_GAME, "--iterations", iterations, "--log", str(resumed), "--workers", "1")
    assert (resumed / "curve.csv").read_bytes() == (whole / "curve.csv").read_bytes()

    cached = folder / "cached"
    run(folder, *ONE_GAME, "--iterations", "6", "--log", str(cached), "--cache")
    assert (cached / "curve.csv").read_bytes() == (whole / "curve.csv").read_bytes()


def test_ctrl_c_leaves_whole_iterations_and_a_checkpoint(folder: Path) -> None:
    log = folder / "interrupted"
    process = command(folder, *ONE_GAME, "--cache", "--iterations", "100000", "--log", str(log))
    until = time.monotonic() + 120
    while not (log / "curve.csv").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "stopping after this iteration" in err
    assert "the same command goes on from there" in out
    done = len(success(log))
    again = run(folder, *ONE_GAME, "--cache", "--iterations", str(done + 1), "--log", str(log))
    assert f"going on after iteration {done}" in again
    assert len(success(log)) == done + 1


def test_sokoban_trains(folder: Path) -> None:
    log = folder / "sokoban"
    rooms = ("--rooms", "2", "--held-out", "0", "--min-solution", "2", "--iterations", "8")
    run(folder, "train_sokoban.py", *rooms, "--log", str(log), "--workers", "1")
    assert success(log)[-1] > success(log)[0]
