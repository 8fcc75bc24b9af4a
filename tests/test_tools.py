"""What tools/ promises: dead links are found, PyPI's README stands alone, no half-done release."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1] / "tools"
PYPROJECT = """
[project]
name = "graphgpo"
version = "1.2.3"
[project.urls]
Repository = "{address}"
"""

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="tools/ need Python 3.11")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of its own: the tools, a page with a heading, a picture, an empty README."""
    shutil.copytree(TOOLS, tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/page.md").write_text(
        "# Limits\n\n## It does *nothing*?\n\n## Twice\n\n## Twice\n"
    )
    (tmp_path / "docs/picture.svg").write_text("<svg/>")
    (tmp_path / "pyproject.toml").write_text(
        PYPROJECT.format(address="https://code.example/graphgpo")
    )
    (tmp_path / "CHANGELOG.md").write_text("## [1.2.3] - 2026-12-01\n")
    return tmp_path


def run(repository: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(repository / "tools" / tool), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=repository)


@pytest.mark.parametrize(
    "text",
    [
        "[page](docs/page.md)",
        "[folder](docs/)",
        "[heading](docs/page.md#it-does-nothing) and [the second](docs/page.md#twice-1)",
        "[![picture](docs/picture.svg)](docs/page.md)",
        "[page]\n\n[page]: docs/page.md",
        '<img src="docs/picture.svg">',
    ],
)
def test_a_link_that_leads_somewhere_is_counted(repository: Path, text: str) -> None:
    (repository / "README.md").write_text(text)
    checked = run(repository, "check_links")
    assert checked.returncode == 0
    assert checked.stdout == f"{text.count('docs/')} links, 0 dead\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\n\n[page](docs/pages.md)", "README.md:3: docs/pages.md: no such file in the repository"),
        ("[x](docs/page.md#nothing)", "docs/page.md#nothing: docs/page.md has no such heading"),
        ("[x](docs/page.md#twice-2)", "docs/page.md#twice-2: docs/page.md has no such heading"),
        ("[x](#here)", "README.md:1: #here: README.md has no such heading"),
        ("![x](docs/none.png)", "docs/none.png: no such file in the repository"),
        ("[x][x]\n\n[x]: none.md", "README.md:3: none.md: no such file in the repository"),
        ("[x](../outside.md)", "../outside.md: no such file in the repository"),
    ],
)
def test_a_dead_link_is_named_with_its_line(repository: Path, text: str, why: str) -> None:
    (repository / "README.md").write_text(text)
    checked = run(repository, "check_links")
    assert checked.returncode == 1
    assert why in checked.stdout


@pytest.mark.parametrize(
    "code", ["`[x](none.md)`", "```\n[x](none.md)\n```", "~~~md\n[x](none.md)\n~~~"]
)
def test_code_has_no_links(repository: Path, code: str) -> None:
    (repository / "README.md").write_text(f"[page](docs/page.md)\n\n{code}\n")
    assert run(repository, "check_links").stdout == "1 links, 0 dead\n"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ('<a href="none.html">', "index.html: none.html: no such file in the site"),
        ('<a href="#none">', "index.html: #none: no such anchor"),
        (
            '<script src="https://cdn.example/x.js">',
            "loads https://cdn.example/x.js from elsewhere",
        ),
        (
            '<link rel="stylesheet" href="//cdn.example/x.css">',
            "loads //cdn.example/x.css from else",
        ),
    ],
)
def test_a_site_that_lacks_or_fetches_something_is_refused(
    repository: Path, page: str, why: str
) -> None:
    site = repository / "site"
    site.mkdir()
    (site / "index.html").write_text('<h1 id="top"></h1><a href="#top"></a>')
    assert run(repository, "check_links", "--site", str(site)).returncode == 0
    (site / "index.html").write_text('<a href="index.html"></a>' + page)
    checked = run(repository, "check_links", "--site", str(site))
    assert checked.returncode == 1
    assert why in checked.stdout


def test_the_readme_of_pypi_links_to_the_versions_tag_and_is_else_the_same(
    repository: Path,
) -> None:
    readme = repository / "README.md"
    readme.write_text(
        "[page](docs/page.md#twice) ![picture](docs/picture.svg) [folder](docs/)\n"
        "[arXiv](https://arxiv.org) [below](#below) `[code](docs/page.md)`\n"
    )
    assert run(repository, "pypi_readme", str(readme)).returncode == 0
    assert readme.read_text() == (
        "[page](https://code.example/graphgpo/blob/v1.2.3/docs/page.md#twice) "
        "![picture](https://code.example/graphgpo/raw/v1.2.3/docs/picture.svg) "
        "[folder](https://code.example/graphgpo/tree/v1.2.3/docs/)\n"
        "[arXiv](https://arxiv.org) [below](#below) `[code](docs/page.md)`\n"
    )


def test_a_release_needs_the_versions_tag(repository: Path) -> None:
    refused = run(repository, "wheels", "--release", "v1.2.4")
    assert refused.returncode == 1
    assert "the tag is v1.2.4, but pyproject.toml has version 1.2.3" in refused.stderr


def test_a_release_needs_an_address(repository: Path) -> None:
    text = PYPROJECT.format(address="https://code.graphgpo.invalid/graphgpo")
    (repository / "pyproject.toml").write_text(text)
    refused = run(repository, "wheels", "--release", "v1.2.3")
    assert refused.returncode == 1
    assert "placeholders" in refused.stderr
    assert "Repository" in refused.stderr


def test_a_release_needs_a_date_in_the_changelog(repository: Path) -> None:
    (repository / "CHANGELOG.md").write_text("## [1.2.3] - Unreleased\n")
    refused = run(repository, "wheels", "--release", "v1.2.3")
    assert refused.returncode == 1
    assert "CHANGELOG.md calls 1.2.3 unreleased: write its date" in refused.stderr
