"""What every report says of itself: command, commit and machine; and how it is written."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def origin(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Command, commit and machine, with the versions of `packages`."""
    return {
        "command": f"python bench/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".rstrip(),
        "commit": commit(),
        "machine": machine(packages),
    }


def machine(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Processor, cores, system, Python."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
    }


def commit() -> str:
    """The commit, with a + if the tree has changes."""
    git = ["git", "-C", str(ROOT)]
    done = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    status = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True)
    return (done.stdout.strip() or "unknown") + ("+" if status.stdout.strip() else "")


def write(path: Path | None, report: Mapping[str, Any]) -> None:
    """The report as JSON, where a path is given."""
    if path is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(report, indent=1) + "\n")
