"""The training programs' shared module, on a corridor small enough for seconds."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import graphgpo
import ppo
from ppo import Options, Problem, Run, Scene


class Corridor:
    """Rooms in a row; the last one is the goal. With a hidden trap, the third wait ends it."""

    def __init__(self, length: int, hidden_trap: bool = False) -> None:
        self.length, self.hidden_trap = length, hidden_trap

    def reset(self) -> Scene:
        self.room = self.waits = 0
        return self.scene()

    def step(self, action: str) -> Scene:
        self.room = max(0, self.room + {"go on": 1, "go back": -1, "wait": 0}[action])
        self.waits += action == "wait"
        return self.scene()

    def scene(self) -> Scene:
        won = self.room == self.length
        over = won or (self.hidden_trap and self.waits == 3)
        actions = ("go back", "go on", "wait") if self.room else ("go on", "wait")
        return Scene(f"room {self.room} of {self.length}", () if over else actions, won)


@dataclass(frozen=True)
class CorridorTask:
    length: int
    hidden_trap: bool = False

    @property
    def name(self) -> str:
        return f"corridor{self.length}"

    def open(self) -> Corridor:
        return Corridor(self.length, self.hidden_trap)


CORRIDORS = Problem([CorridorTask(4), CorridorTask(6)], [CorridorTask(5)], ppo.words)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHGPO_EXAMPLES_CACHE", str(tmp_path / "cache"))


def trained(iterations: int, run: Run | None = None, **options: object) -> Run:
    run = run or Run(CORRIDORS, Options(max_steps=12, **options))  # type: ignore[arg-type]
    ppo.train(run, iterations, cache=True)
    return run


@pytest.mark.parametrize("estimator", ["graphgpo", "gigpo", "grpo"])
def test_success_rises_and_the_curve_repeats_bit_for_bit(estimator: str) -> None:
    run = trained(10, estimator=estimator)
    assert run.curve[0]["success"] < 0.7
    assert run.curve[-1]["success"] > 0.9
    assert repr(trained(10, estimator=estimator).curve) == repr(run.curve)


def test_a_run_that_goes_on_from_its_checkpoint_is_the_run_that_never_stopped(
    tmp_path: Path,
) -> None:
    options = Options(max_steps=12, kl_coef=0.1, dead_entropy=0.1)
    whole, first, second = (Run(CORRIDORS, options) for _ in range(3))
    ppo.train(whole, 5, cache=True)
    ppo.train(first, 2, cache=True)
    first.save(tmp_path / "checkpoint.pt")
    second.load(tmp_path / "checkpoint.pt")
    records = ppo.train(second, 5, cache=True)
    assert repr(second.curve) == repr(whole.curve)
    assert records == ppo.train(whole, 5, cache=True)
    for mine, theirs in zip(second.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_of_other_options_and_a_file_that_is_none_are_refused(tmp_path: Path) -> None:
    trained(1).save(tmp_path / "checkpoint.pt")
    with pytest.raises(ppo.Stop, match=r"\{'estimator_options': \{\}\}; choose another --log"):
        Run(CORRIDORS, Options(max_steps=12, estimator_options={"omega": 0.5})).load(
            tmp_path / "checkpoint.pt"
        )
    (tmp_path / "half.pt").write_bytes((tmp_path / "checkpoint.pt").read_bytes()[:1000])
    with pytest.raises(ppo.Stop, match=r"half.pt is not a checkpoint"):
        Run(CORRIDORS, Options()).load(tmp_path / "half.pt")


def test_estimators_and_their_options_are_the_library_s() -> None:
    parser = argparse.ArgumentParser()
    ppo.add_arguments(parser, max_steps=12, iterations=1)
    for name in graphgpo.estimators.names():
        assert parser.parse_args(["--estimator", name]).estimator == name
    given = parser.parse_args(
        ["--option", "omega=0.5", "--option", "epsilon-scale=absolute"]
    ).estimator_options
    assert given == {"omega": 0.5, "epsilon_scale": "absolute"}
    assert Options(estimator_options=given).credit() == graphgpo.estimators.make("graphgpo", given)
    assert parser.parse_args([]).estimator_options == {}


def test_an_option_without_a_value_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    ppo.add_arguments(parser, max_steps=12, iterations=1)
    with pytest.raises(SystemExit):
        parser.parse_args(["--option", "omega"])
    assert "--option is 'omega'; expected NAME=VALUE" in capsys.readouterr().err


def test_a_wrong_or_missing_option_and_a_column_no_game_has_stop_the_program() -> None:
    with pytest.raises(ppo.Stop, match="did you mean 'omega'"):
        Options(estimator_options={"omgea": 0.5}).credit()
    with pytest.raises(ppo.Stop, match=r"estimator 'ecpo' needs .*pass it as an option"):
        Options(estimator="ecpo").credit()
    with pytest.raises(ppo.Stop, match="peer_keys is None; estimator 'tree_grpo'"):
        Options(estimator="tree_grpo").credit()


def test_games_play_the_same_in_processes_as_from_their_transitions() -> None:
    tasks = [CorridorTask(4), CorridorTask(4), CorridorTask(6)]
    workers = ppo.WorkerEnvironments(tasks, 2)
    transitions = [ppo.cached_transitions(task, max_steps=12) for task in tasks]
    cached = ppo.LocalEnvironments([ppo.CachedEnvironment(known) for known in transitions])
    for _ in range(2):
        assert workers.reset() == cached.reset()
        for actions in ({0: "go on", 1: "wait", 2: "go on"}, {2: "go back"}, {}):
            assert workers.step(actions) == cached.step(actions)
    workers.close()


def test_an_error_in_a_worker_is_the_main_process_s() -> None:
    environments = ppo.WorkerEnvironments([CorridorTask(4)], 1)
    environments.reset()
    with pytest.raises(KeyError, match="fly"):
        environments.step({0: "fly"})
    environments.processes[0].kill()
    with pytest.raises(ppo.Stop, match="a worker process died"):
        environments.reset()
    environments.close()


def test_transitions_are_every_step_of_the_game_and_know_the_shortest_solution() -> None:
    transitions = ppo.cached_transitions(CorridorTask(4), max_steps=12)
    assert [scene.state for scene in transitions.scenes] == [f"room {i} of 4" for i in range(5)]
    assert transitions.shortest_solution() == 4
    [file] = (ppo.cache_folder() / "transitions").iterdir()
    assert file.name == "corridor4_12_steps.json"
    scenes, _ = json.loads(file.read_text())
    assert scenes[4] == ["room 4 of 4", [], True]
    unwinnable = ppo.explore(Corridor(4), max_steps=2)
    assert unwinnable.shortest_solution() == math.inf


def test_a_game_with_hidden_state_is_not_cached() -> None:
    with pytest.raises(ppo.Stop, match="no cache for it"):
        ppo.explore(Corridor(4, hidden_trap=True), max_steps=12)


def test_a_scene_s_distribution_does_not_depend_on_its_company() -> None:
    policy = Policy()
    few = Scene("a cellar", ("go east", "look"), won=False)
    many = Scene("a hall, well lit", ("go east", "go west", "look", "wait"), won=False)
    together = policy([few, many])
    assert together.shape == (2, 4)
    torch.testing.assert_close(together[0, :2], policy([few])[0])
    torch.testing.assert_close(together[1], policy([many])[0])
    torch.testing.assert_close(together.exp().sum(dim=-1), torch.ones(2))
    assert (together[0, 2:].exp() == 0).all()


def Policy() -> ppo.Policy:  # noqa: N802
    torch.manual_seed(0)
    return ppo.Policy(ppo.words)


def test_draws_follow_the_distribution() -> None:
    cumulative = np.array([0.25, 0.75, 1 - 1e-9, 1 - 1e-9])  # of .25, .5, .25 and 0
    drawn = [ppo.draw(cumulative, uniform) for uniform in (0.0, 0.24, 0.26, 0.74, 0.76, 1 - 1e-12)]
    assert drawn == [0, 0, 1, 1, 2, 2]


def test_dead_groups_are_those_no_rollout_won() -> None:
    rollouts = ppo.Rollouts(groups=[0, 0, 1, 1, 2], won=[False, True, False, False, True])
    assert rollouts.of_dead_groups().tolist() == [False, False, True, True, False]


def test_the_first_interrupt_asks_and_the_second_one_interrupts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # A shell's background jobs ignore interrupts from the start.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ppo.interrupt_asks_to_stop() as stopped:
            assert not stopped()
            os.kill(os.getpid(), signal.SIGINT)
            assert stopped()
            assert "stopping after this iteration" in capsys.readouterr().err
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)


def test_a_stopped_run_has_whole_iterations_only_and_is_not_judged() -> None:
    run = Run(CORRIDORS, Options(max_steps=12))
    assert ppo.train(run, 5, cache=True, stopped=lambda: len(run.curve) == 2) == {}
    assert repr(run.curve) == repr(trained(2).curve)


def test_the_log_has_curve_checkpoint_and_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run = Run(CORRIDORS, Options(max_steps=12))
    log = ppo.Log(tmp_path, run)
    ppo.train(run, 2, cache=True, after=lambda *_: log.iteration())
    log.close()
    assert (tmp_path / "curve.csv").read_text() == ppo.as_csv(trained(2).curve)
    assert list(tmp_path.glob("events.out.tfevents.*"))
    again = Run(CORRIDORS, Options(max_steps=12))
    ppo.Log(tmp_path, again).close()
    assert repr(again.curve) == repr(run.curve)


def test_what_stands_in_a_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ppo.write_atomically(tmp_path / "deep" / "file", b"first")

    def disk_full(self: Path, target: Path) -> Path:
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", disk_full)
    with pytest.raises(OSError, match="no space left"):
        ppo.write_atomically(tmp_path / "deep" / "file", b"second")
    assert [file.read_bytes() for file in (tmp_path / "deep").iterdir()] == [b"first"]
