"""The repository, as the tools beside this file see it. Needs Python 3.11 and no package."""

from __future__ import annotations

import subprocess
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"].rstrip("/")

PRODUCTS = {"build", "dist", "__pycache__"}


def files() -> list[Path]:
    """What git knows and what it does not ignore; in a copy without git, all but products."""
    if not (ROOT / ".git").exists():
        found = (file for file in ROOT.rglob("*") if file.is_file())
        return sorted(file for file in found if not is_product(file.relative_to(ROOT)))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    named = (ROOT / name for name in listed.stdout.split("\0") if name)
    return sorted(file for file in named if file.is_file())


def is_product(path: Path) -> bool:
    hidden = path.parts[0].startswith(".") and path.parts[0] not in {".ci", ".github"}
    return (
        path.suffix in {".so", ".pyc"}
        or bool(PRODUCTS & set(path.parts))
        or (hidden and len(path.parts) > 1)
    )
