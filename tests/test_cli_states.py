"""`--normalise`, `--similar` and `--node-history`: one meaning on every command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphgpo import Rollouts
from graphgpo.cli import _states, main
from graphgpo.report import page
from graphgpo.states import Normaliser
from graphgpo.states.written import different_switches, switched_on

MERGINGS: list[tuple[list[str], dict[str, Any]]] = [
    (["--normalise"], {"normalise": True}),
    (["--normalise", "numbers", "hex=FALSE"], {"normalise": {"numbers": True, "hex": False}}),
    (
        ["--normalise", r"ignore=turn \d+", "--normalise", "ignore=a=b"],
        {"normalise": {"ignore": [r"turn \d+", "a=b"]}},
    ),
    (["--similar", "0.9"], {"similar": 0.9}),
    (["--node-history", "2"], {"node_history": 2}),
]


def corpus(folder: Path) -> str:
    """Walks through rooms whose texts have a clock and a counter in them."""
    rows: list[dict[str, object]] = []
    for group in range(6):
        for rollout in range(4):
            for step in range(6):
                second = len(rows)
                room = "abc"[(step * (1 + rollout % 2) + rollout // 2) % 3]
                rows.append(
                    {
                        "group_id": f"task {group}",
                        "trajectory_id": rollout,
                        "state": f"{second // 60:02}:00:{second % 60:02} room {room}, turn {step}",
                        "success": rollout % 2 == 0,
                    }
                )
    folder.mkdir(exist_ok=True)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize(("arguments", "options"), MERGINGS)
def test_states_merge_as_the_library_merges_them(
    arguments: list[str], options: dict[str, Any], tmp_path: Path
) -> None:
    path, out = corpus(tmp_path), tmp_path / "out.parquet"
    expected = Rollouts.read(path, **options).advantages().advantages
    for further in ([], ["--partitions", "3"]):
        command = ["credit", path, "-o", str(out), "--overwrite", "--quiet", *further]
        assert main([*command, *arguments]) == 0
        found = pq.read_table(out)["advantage_graphgpo"].to_numpy()
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(("arguments", "options"), MERGINGS)
def test_a_report_is_of_the_states_that_are_merged(
    arguments: list[str], options: dict[str, Any], tmp_path: Path
) -> None:
    path, out = corpus(tmp_path), tmp_path / "out.html"
    assert main(["report", path, "-o", str(out), "--quiet", *arguments]) == 0
    notes = ["Success: a bool as it is, else outcome >= 1."]
    assert out.read_text() == page(Rollouts.read(path, **options), title="rows.jsonl", notes=notes)


def test_what_describe_proposes_can_be_typed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = corpus(tmp_path)
    arguments: list[str] = []
    for _ in range(3):  # one finding may hide another
        assert main(["describe", path, *arguments]) == 0
        proposed = [line for line in capsys.readouterr().out.splitlines() if "write: " in line]
        if not proposed:
            break
        arguments = shlex.split(proposed[0].partition("write: ")[2])
    assert arguments[:2] == ["--normalise", "timestamps"]
    assert not proposed
    assert main(["describe", path, "--json", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["singleton_share"] == 0


def test_credit_says_where_states_are_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = "of the steps are alone in theirs: graphgpo describe says why"
    for arguments, is_said in (([], True), (["--normalise"], False)):
        command = ["credit", corpus(tmp_path), "-o", str(tmp_path / "out.csv"), "--overwrite"]
        assert main([*command, *arguments]) == 0
        assert (said in capsys.readouterr().err) == is_said


@pytest.mark.parametrize("command", ["describe", "credit", "report"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--normalise", "number"],
            "--normalise names 'number', expected some of timestamps, uuids, hex, urls, numbers, "
            "whitespace, ignore, keep; did you mean 'numbers'?; give the files before --normalise",
        ),
        (["--normalise", "hex=no"], "--normalise 'hex=no' is neither hex=true nor hex=false"),
        (["--normalise", "ignore=("], "ignore[0] is '('"),
        (["--similar", "2"], "similar is 2.0; expected a number in (0, 1]"),
        (["--node-history", "0"], "0 is not a number >= 1"),
        (["--node-history", "two"], "two is not a number >= 1"),
    ],
)
def test_what_cannot_be_merged_by_is_wrong_usage(
    command: str,
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = [] if command == "describe" else ["-o", str(tmp_path / "out.html")]
    out = ["-o", str(tmp_path / "out.parquet")] if command == "credit" else out
    path = corpus(tmp_path / "in")
    with pytest.raises(SystemExit) as stopped:
        main([command, path, *out, *arguments])
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]


def test_other_states_are_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["credit", corpus(tmp_path), "-o", str(tmp_path / "out.parquet"), "--resume"]
    assert main([*command, "--normalise"]) == 0
    with pytest.raises(SystemExit):
        main(command)
    assert "made of other inputs or options" in capsys.readouterr().err


flags = st.dictionaries(st.sampled_from(["numbers", "urls", "hex", "timestamps"]), st.booleans())
expressions = st.lists(st.text("a b'=\"$\\d", max_size=4).map(lambda text: text.replace("\\", "")))


@given(flags, expressions)
def test_switches_are_read_as_they_are_written(on: dict[str, bool], ignore: list[str]) -> None:
    switches: dict[str, Any] = on | ({"ignore": ignore} if ignore else {})
    typed = shlex.split(_states.as_arguments(switches))
    assert typed[0] == "--normalise"
    assert Normaliser(**_states._switches(typed[1:])) == Normaliser(**switches)


def test_what_is_switched_on_stays_on() -> None:
    before = Normaliser(urls=True, ignore=["x"])
    more = switched_on({"numbers": True, "ignore": ["y"]}, before)
    assert more == {"urls": True, "numbers": True, "ignore": ("x", "y")}
    assert switched_on({"timestamps": True}, None) == {"timestamps": True}
    assert different_switches(Normaliser(**more)) == more
