"""What the training programs say and do when games or tools are missing or broken."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import train_sokoban
import train_textworld
from ppo import Stop
from train_textworld import CoinCollectorTask

TASK = CoinCollectorTask(level=101, seed=1)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHGPO_EXAMPLES_CACHE", str(tmp_path))
    monkeypatch.setattr(train_textworld, "games_folder", lambda: tmp_path)


def test_a_half_written_game_is_named(tmp_path: Path) -> None:
    folder = tmp_path / TASK.name
    folder.mkdir()
    (folder / "game.z8").write_bytes(b"half")
    with pytest.raises(Stop, match=rf"{TASK.name} holds a game that is not whole; delete"):
        train_textworld.game(TASK)
    (folder / "SHA256SUMS").write_text("0000  game.z8\n")
    with pytest.raises(Stop, match="not whole"):
        train_textworld.game(TASK)


def test_missing_tools_are_named_with_the_command_that_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(Stop, match=r"tw-make.*pip install 'graphgpo\[examples\]'"):
        train_textworld.game(TASK)
    monkeypatch.setitem(sys.modules, "textworld", None)
    with pytest.raises(Stop, match="TextWorld is not installed: pip install"):
        train_textworld.textworld()
    monkeypatch.setitem(sys.modules, "gym_sokoban", None)
    with pytest.raises(Stop, match=r"gym-sokoban is not installed \(.*\): pip install"):
        train_sokoban.sokoban_environment()


def test_a_game_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: "/bin/false")
    with pytest.raises(Stop, match=r"tw-coin_collector --level 101 --seed 1 failed"):
        train_textworld.game(TASK)
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_a_board_are_its_cells_with_the_player_first() -> None:
    assert train_sokoban.board_words("#####\n#_O##\n#XP##\n#####") == [
        "P2.2",
        "X2.1",
        "O1.2",
        "_1.1",
    ]
