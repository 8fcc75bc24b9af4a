"""The `graphgpo` command, as a user runs it."""

from __future__ import annotations

import builtins
import dataclasses
import importlib.metadata
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from graphgpo import estimators
from graphgpo.cli import commands, main
from graphgpo.demo import ENVIRONMENTS, credit_group, load_actions, load_rollouts

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "graphgpo", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        check=False,
    )


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the command line must not use the network")

    monkeypatch.setattr(socket, "socket", refuse)


def test_the_demo_runs_in_seconds() -> None:
    start = time.perf_counter()
    shown = run("demo", COLUMNS="100")
    seconds = time.perf_counter() - start
    assert shown.returncode == 0
    assert shown.stderr == ""
    for title in ("GRPO", "GiGPO", "GraphGPO", "Opposite signs"):
        assert title in shown.stdout
    assert "\x1b" not in shown.stdout  # not a terminal: no colour
    assert seconds < 10  # 2 on an idle machine; machines that run tests are not idle


@pytest.mark.parametrize("columns", ["80", "100", "120"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_line_is_wider_than_the_terminal(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: str,
    environment: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["demo", "--environment", environment]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= int(columns)
    assert len(lines) > 40


def test_colour_changes_nothing_but_colour(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["demo"])
    plain = capsys.readouterr().out
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    main(["demo"])
    coloured = capsys.readouterr().out
    assert "\x1b[" in coloured
    stripped = [line.rstrip() for line in ANSI.sub("", coloured).splitlines()]
    assert stripped == plain.splitlines()
    monkeypatch.setenv("NO_COLOR", "1")
    main(["demo"])
    assert capsys.readouterr().out == plain


def test_without_rich_it_is_plain_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["demo"])
    plain = capsys.readouterr().out
    real_import = builtins.__import__

    def without_rich(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "rich":
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    monkeypatch.setenv("FORCE_COLOR", "1")
    main(["demo"])
    assert capsys.readouterr().out == plain


def test_a_terminal_without_unicode_gets_ascii() -> None:
    shown = run("demo", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert shown.returncode == 0
    assert shown.stdout.isascii()


@pytest.mark.parametrize("group", range(4))
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_group_and_rollout_can_be_shown(
    capsys: pytest.CaptureFixture[str], environment: str, group: int
) -> None:
    assert main(["demo", "--environment", environment, "--group", str(group)]) == 0
    assert (
        main(["demo", "--environment", environment, "--group", str(group), "--trajectory", "0"])
        == 0
    )
    assert capsys.readouterr().out


def test_the_summary_counts_what_the_library_computes(capsys: pytest.CaptureFixture[str]) -> None:
    main(["demo", "--environment", "textworld", "--group", "0"])
    shown = " ".join(capsys.readouterr().out.split())
    credit = credit_group("textworld", 0)
    for one, other in (("GRPO", "GiGPO"), ("GRPO", "GraphGPO"), ("GiGPO", "GraphGPO")):
        assert f"{one} and {other} on {int(credit.disagree(one, other).sum())}" in shown


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["--version"])
    assert exited.value.code == 0
    assert capsys.readouterr().out == f"graphgpo {importlib.metadata.version('graphgpo')}\n"


def test_alone_it_helps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "graphgpo demo" in capsys.readouterr().out


def test_the_list_names_every_estimator_with_its_source(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["estimators"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if not line.startswith(" ")]
    assert [head.split()[0] for head in heads] == list(estimators.names())
    for head in heads:
        cls = estimators.load(head.split()[0])
        assert head.endswith(cls.source)
        assert f" {cls.mark} " in f"{head} "
    assert "    A = A_E + w A_S, A_S the edge return" in "\n".join(lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("name", estimators.names())
def test_an_estimator_shows_its_options(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["estimators", name]) == 0
    shown = capsys.readouterr().out
    for field in dataclasses.fields(estimators.load(name)):  # type: ignore[arg-type]
        assert f"  {field.name}  (" in shown
    assert len(shown.splitlines()) > 2


def test_a_command_is_a_file_with_a_help_line(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    shown = " ".join(capsys.readouterr().out.split())
    assert {"demo", "estimators"} <= set(commands())
    for name, module in commands().items():
        assert (module.__doc__ or "").partition(".")[0][1:] in shown
        assert name in shown


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed by a shell")
@pytest.mark.parametrize("command", ["demo", "estimators"])
@pytest.mark.parametrize(
    ("redirection", "told"),
    [
        (">&-", "standard output is closed; expected somewhere to write to"),
        (">/dev/full", "cannot write to standard output: No space left on device"),
    ],
)
def test_output_that_goes_nowhere_is_said_in_a_line(
    command: str, redirection: str, told: str
) -> None:
    if redirection == ">/dev/full" and not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    shell = f'"{sys.executable}" -m graphgpo {command} {redirection}'
    ended = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, f"graphgpo {command}: {told}\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    shell = f'"{sys.executable}" -m graphgpo demo | true'
    ended = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demos"], "invalid choice: 'demos'"),
        (["estimators", "demos"], "invalid choice: 'demos'"),
        (["demo", "--environment", "chess"], "invalid choice: 'chess'"),
        (["demo", "--group", "9"], "9"),
        (["demo", "--trajectory", "9"], "9"),
        (["demo", "--omega", "1.5"], "omega is 1.5; expected a number between 0 and 1, both"),
    ],
)
def test_a_wrong_argument_is_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_shipped_rollouts_are_a_batch_with_actions(environment: str) -> None:
    rollouts = load_rollouts(environment)
    assert len(rollouts["states"]) == len(load_actions(environment)) == len(rollouts["success"])
    with pytest.raises(ValueError, match="expected one of 'textworld'"):
        load_rollouts("chess")
