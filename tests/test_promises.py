"""The table of promises in docs/limits.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LIMITS = TESTS.parent / "docs" / "limits.md"
ROW = re.compile(r"^\| (\d+) \| (.+) \| `([\w/]+\.py)::(\w+)` \|$", re.MULTILINE)


def promises() -> list[tuple[str, str, str, str]]:
    return ROW.findall(LIMITS.read_text("utf-8"))


def test_every_line_of_the_table_is_read() -> None:
    table = LIMITS.read_text("utf-8").split("the test that holds it\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(lines) - 1 == len(promises())  # the head
    assert [int(number) for number, *_ in promises()] == list(range(1, len(promises()) + 1))


@pytest.mark.parametrize("promise", promises(), ids=lambda promise: promise[0])
def test_a_promise_has_its_test(promise: tuple[str, str, str, str]) -> None:
    _, _, file, name = promise
    assert f"\ndef {name}(" in (TESTS / file).read_text("utf-8")


def test_the_oldest_numpy_that_is_supported_is_tested() -> None:
    script = TESTS.parent / ".ci" / "run"
    if not script.exists():
        pytest.skip("a source distribution has no .ci")
    project = (TESTS.parent / "pyproject.toml").read_text("utf-8")
    oldest = re.search(r'dependencies = \["numpy>=([\d.]+)"\]', project)
    assert oldest is not None
    assert f"oldest_numpy={oldest[1]}." in script.read_text("utf-8")
