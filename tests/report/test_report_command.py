"""`graphgpo report` and `graphgpo demo --report`, as a user runs them."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from graphgpo.cli import main, report
from graphgpo.demo import ENVIRONMENTS
from graphgpo.report import document, figures

CORPORA = Path(__file__).resolve().parents[1] / "corpora"


def made(*arguments: str) -> int:
    return main(["report", *arguments])


@pytest.fixture
def no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "BROWSERS", ())


@pytest.mark.parametrize("sample", ["verl", "steps", "agentgym", "rllm", "verifiers", "atif"])
def test_every_format_makes_a_report(
    sample: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "report.html"
    assert made(str(CORPORA / sample), "-o", str(out)) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert f"wrote      {out}, 0.1 MiB: open it in a browser" in said.err
    assert out.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert list(out.parent.iterdir()) == [out]  # nothing beside it


def test_defaults_are_those_of_the_library() -> None:
    assert report._ESTIMATORS == document.ESTIMATORS
    assert report._TOP == document.TOP


def test_estimators_tasks_and_their_number_are_chosen(tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    verl = str(CORPORA / "verl")
    chosen = ["--estimators", "rloo", "graphgpo:omega=0.5", "--estimators", "hgpo:history=3"]
    assert made(verl, "-o", str(out), "--quiet", "--top", "1", *chosen) == 0
    text = out.read_text(encoding="utf-8")
    assert '"estimators":["rloo","graphgpo","hgpo"]' in text
    assert 'id="task-0"' in text
    assert 'id="task-1"' not in text


def test_the_summary_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.html"
    assert made(str(CORPORA / "verl"), "-o", str(out), "--json") == 0
    said = capsys.readouterr()
    assert said.err == ""
    summary = json.loads(said.out)
    assert summary["bytes"] == out.stat().st_size
    assert (summary["output"], summary["format"], summary["figures"]) == (str(out), "verl", [])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "a.pdf"], "-o a.pdf ends in '.pdf'; expected .html"),
        (["-o", "there.html"], "there.html is there already; --overwrite replaces it"),
        (["--task", "cup"], "no task 'cup' among the 2; the nearest: "),
        (["--estimators", "grop"], "grop"),
        (
            ["--estimators", "hgpo:history"],
            "'hgpo:history': 'history' is not OPTION=VALUE",
        ),
        (["--top", "0"], "0 is not a number >= 1"),
        (["--columns", "states"], "--columns 'states' is not NAME=VALUE"),
    ],
)
def test_usage_errors_end_with_2_and_write_nothing(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.html").touch()
    with pytest.raises(SystemExit) as stopped:
        made(str(CORPORA / "verl"), *arguments)
    assert stopped.value.code == 2
    assert words in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["there.html"]
    assert Path("there.html").stat().st_size == 0


def test_bad_data_ends_with_1_names_its_place_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "1.jsonl"
    shutil.copy(CORPORA / "verl" / "1.jsonl", torn)
    torn.write_text("{broken\n" + torn.read_text())
    out = tmp_path / "a.html"
    assert made(str(torn), "-o", str(out)) == 1
    said = capsys.readouterr().err
    assert said.startswith("graphgpo report: ")
    assert "1.jsonl, line 1: " in said
    assert not out.exists()
    assert made(str(tmp_path / "none.jsonl"), "-o", str(out)) == 1


def test_figures_are_drawn_light_and_dark(
    tmp_path: Path, no_browser: None, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "figures"
    arguments = ["-o", str(tmp_path / "a.html"), "--figures", str(folder), "--top", "1"]
    assert made(str(CORPORA / "steps"), *arguments, "--estimators", "gigpo", "graphgpo") == 0
    names = sorted(path.name for path in folder.iterdir())
    stem = names[0].removesuffix("-gigpo-dark.svg")
    assert names == [
        f"{stem}-{name}{theme}.svg" for name in ("gigpo", "graphgpo") for theme in ("-dark", "")
    ]
    assert "4 figures" in capsys.readouterr().err


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_demo_makes_a_report(
    environment: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo.html"
    arguments = ["demo", "--environment", environment, "--group", "1", "--report", str(out)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"{out}: open it in a browser\n"
    assert ENVIRONMENTS[environment].title in out.read_text(encoding="utf-8")
    with pytest.raises(SystemExit):
        main(arguments)
    assert "is there already" in capsys.readouterr().err


def rows(folder: Path, *groups: str) -> str:
    """A file of two rollouts a group, of which one wins."""
    records = [
        {
            "group_id": group,
            "trajectory_id": f"{group}-a-long-name_{rollout}",
            "step_id": 0,
            "state": "hall",
            "next_state": ("kitchen", "attic")[rollout],
            "action": "go",
            "success": rollout == 0,
        }
        for group in groups
        for rollout in range(2)
    ]
    path = folder / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return str(path)


def test_strict_makes_an_error_of_what_is_only_said_otherwise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.html"
    records = Path(rows(tmp_path, "mug")).read_text().replace("true", "false")
    (tmp_path / "lost.jsonl").write_text(records)
    assert made(str(tmp_path / "lost.jsonl"), "-o", str(out), "--strict") == 1
    assert "grpo gives no step any credit" in capsys.readouterr().err
    assert not out.exists()
    assert made(str(tmp_path / "lost.jsonl"), "-o", str(out)) == 0


def test_every_task_has_figures_of_its_own(tmp_path: Path, no_browser: None) -> None:
    source = rows(tmp_path, "a/b", "a b", "../../etc")
    folder = tmp_path / "figures"
    arguments = ["-o", str(tmp_path / "a.html"), "--figures", str(folder), "--quiet"]
    assert made(source, *arguments, "--estimators", "grpo") == 0
    names = sorted(path.name for path in folder.iterdir() if "dark" not in path.name)
    assert names == ["a-b-1-grpo.svg", "a-b-grpo.svg", "etc-grpo.svg"]


def test_a_browser_that_draws_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"true drew nothing for .*figure\.png: "):
        figures.to_png(tmp_path / "figure.svg", "<svg/>", shutil.which("true") or "true")
    assert list(tmp_path.iterdir()) == []


def test_rollouts_are_called_by_what_tells_them_apart(tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    assert made(rows(tmp_path, "mug"), "-o", str(out), "--quiet") == 0
    text = out.read_text(encoding="utf-8")
    assert '"name":"\\u2026_0"' in text
    assert "rows.jsonl" in text


def test_the_demos_report_needs_numpy_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("pyarrow", "msgspec", "graphgpo.files", "rich", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["demo", "--report", str(tmp_path / "a.html"), "--group", "0"]) == 0
    with pytest.raises(SystemExit) as stopped:
        made("rows.parquet", "-o", str(tmp_path / "b.html"))
    assert stopped.value.code == 2
    assert "graphgpo.files" in capsys.readouterr().err
