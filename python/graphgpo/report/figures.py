"""Figures of the tasks of a report, as files: SVG, and PNG where a browser is at hand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphgpo.aside import written_aside
from graphgpo.report.batch import Batch, credited, named, task_name, telling
from graphgpo.report.document import ESTIMATORS, TOP
from graphgpo.report.figure import draw
from graphgpo.report.labels import as_text

if TYPE_CHECKING:
    from graphgpo.rollouts import Rollouts

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PNG_SCALE = 2
_PNG_SECONDS = 60


def write_figures(
    rollouts: Rollouts,
    folder: str | os.PathLike[str],
    estimators: Sequence[Any] = ESTIMATORS,
    *,
    tasks: Iterable[str] = (),
    top: int = TOP,
    label: Any = None,
) -> list[Path]:
    """A figure of every task that `page` would show and every estimator; returns the files.

    `TASK-ESTIMATOR.svg`, for a light ground and, with `-dark`, for a dark one, and a PNG of each
    where one of chromium, google-chrome or chrome is on PATH. Files of these names are replaced.
    """
    batch = credited(rollouts, estimators)
    wanted = list(tasks)
    positions = named(batch, wanted) if wanted else telling(batch, top)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    written = []
    for stem, group in _stems(batch, positions):
        for title, result in batch.results.items():
            for theme, suffix in (("light", ""), ("dark", "-dark")):
                picture = draw(
                    batch.graph,
                    result,
                    group=group,
                    labels=label,
                    theme="dark" if theme == "dark" else "light",
                )
                path = Path(folder) / f"{stem}-{_slug(title)}{suffix}.svg"
                with written_aside(path) as aside:
                    aside.write_text(picture, encoding="utf-8")
                written.append(path)
                if browser is not None:
                    written.append(to_png(path, picture, browser))
    return written


def to_png(path: Path, picture: str, browser: str) -> Path:
    """The picture beside `path` as PNG, drawn by a browser.

    Raises
    ------
    RuntimeError
        If the browser draws nothing.
    """
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', picture)
    width, height = (round(float(x)) for x in size.groups()) if size else (1200, 800)
    png = path.with_suffix(".png")
    with tempfile.TemporaryDirectory() as folder, written_aside(png) as aside:
        source, target = Path(folder) / "figure.svg", Path(folder) / "figure.png"
        source.write_text(picture, encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder}/profile",
            f"--force-device-scale-factor={PNG_SCALE}",
            f"--window-size={width},{height}",
            f"--screenshot={target}",
            source.as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # it refuses to start as root otherwise
        try:
            run = subprocess.run(command, capture_output=True, check=False, timeout=_PNG_SECONDS)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{browser} took longer than {_PNG_SECONDS} s for {png}") from None
        if not target.exists():
            said = run.stderr.decode("utf-8", "replace").strip().splitlines()
            raise RuntimeError(f"{browser} drew nothing for {png}: {said[-1:] or run.returncode}")
        aside.write_bytes(target.read_bytes())
    return png


def _stems(batch: Batch, positions: Sequence[int]) -> list[tuple[str, Any]]:
    """A name of a file for every task, each its own."""
    groups = list(batch.nodes)
    found: dict[str, Any] = {}
    for position in positions:
        group = groups[position]
        name, step = task_name(group)
        stem = _slug(name if step is None else f"step{step}-{name}") or "task"
        if stem in found:
            stem = f"{stem}-{position}"
        found[stem] = group
    return list(found.items())


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", as_text(text)).strip("-.")[:60]
