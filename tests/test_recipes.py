"""The pages about trainers: what is marked as run is run, and the rest at least is Python."""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = sorted((REPOSITORY / "docs" / "integrations").glob("*.md"))


def blocks(page: str) -> list[str]:
    text = (REPOSITORY / "docs" / "integrations" / page).read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)


def test_the_plain_loop_learns_to_reach_the_goal() -> None:
    program, parts, *_ = blocks("other_trainers.md")
    assert "optimizer.step()" in program
    assert "num_tokens=" in parts
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(program + parts, "other_trainers.md", "exec"), {})
    reached, rollouts = map(int, re.findall(r"\d+", printed.getvalue()))
    assert reached >= rollouts - 2


def test_the_program_across_ranks_prints_what_it_says(tmp_path: Path) -> None:
    program = blocks("distributed.md")[0]
    (tmp_path / "across_ranks.py").write_text(program)
    run = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "across_ranks.py"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    promised = re.findall(r"^# (rank .*)$", program, re.M)
    # Two processes write here, and one's line may end after the other's has begun.
    assert sorted(re.findall(r"rank \d: \[[^]]*\]", run.stdout)) == promised
    assert len(promised) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_are_python(page: Path) -> None:
    for block in blocks(page.name):
        ast.parse(block, page.name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link
