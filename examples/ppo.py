"""What the training programs share: a small text policy, rollouts, PPO, logs and checkpoints.

An environment is anything with `reset` and `step` that shows scenes (`Scene`); train_textworld.py
and train_sokoban.py have one each and call `main`. What to copy for a loop of your own is in `Run`:
`iterate` calls `graphgpo.compute_advantages` once, `update` calls `graphgpo.torch.policy_loss`.

A run is a function of its options alone: every iteration draws from a generator of its own, made of
seed and iteration, and rollouts advance in lockstep. So the same command gives the same numbers bit
for bit, with any number of worker processes, and a checkpoint needs no generator's state.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import csv
import dataclasses
import functools
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

import graphgpo
from graphgpo.torch import policy_loss, to_tokens

NUM_CHECKING_WALKS = 8
SPAWN = multiprocessing.get_context("spawn")  # no thread of torch is forked
EVALUATION = 2**32 - 1  # in place of an iteration where a generator is made
CURVE_METRICS = (
    "num_steps",
    "singleton_share",
    "zero_advantage_share",
    "reachable_share",
    "merge_ratio",
    "progress_in_failed",
    "no_progress_in_succeeded",
)


class Stop(SystemExit):
    """Ends a program with a message a user can act on."""


# --- environments ---------------------------------------------------------------------------------


class Scene(NamedTuple):
    """What an environment shows before a step."""

    state: str
    """Equal texts are the same situation."""
    actions: tuple[str, ...]
    """What can be done here; empty once the game is over."""
    won: bool


class Environment(Protocol):
    def reset(self) -> Scene: ...
    def step(self, action: str) -> Scene: ...


class Task(Protocol):
    """One game, sent to worker processes and opened there."""

    @property
    def name(self) -> str:
        """Names its file in the cache of transitions."""

    def open(self) -> Environment: ...


class LocalEnvironments:
    """One environment per rollout, in this process."""

    def __init__(self, environments: Sequence[Environment]) -> None:
        self.environments = environments

    def reset(self) -> list[Scene]:
        return [environment.reset() for environment in self.environments]

    def step(self, actions: Mapping[int, str]) -> dict[int, Scene]:
        """The next scene of every rollout that acts."""
        return {i: self.environments[i].step(action) for i, action in actions.items()}

    def close(self) -> None:
        pass


class WorkerEnvironments:
    """One environment per rollout, spread over processes. Rollout i lives in process i % n."""

    def __init__(self, tasks: Sequence[Task], num_workers: int) -> None:
        self.num_rollouts = len(tasks)
        self.pipes: list[Connection] = []
        self.processes = []
        for worker in range(num_workers):
            ours, theirs = SPAWN.Pipe()
            process = SPAWN.Process(
                target=_work, args=(theirs, list(tasks[worker::num_workers])), daemon=True
            )
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)

    def reset(self) -> list[Scene]:
        scenes = self._ask([None] * len(self.pipes))
        return [scenes[i] for i in range(self.num_rollouts)]

    def step(self, actions: Mapping[int, str]) -> dict[int, Scene]:
        n = len(self.pipes)
        shares: list[dict[int, str] | None] = [
            {i // n: action for i, action in actions.items() if i % n == worker}
            for worker in range(n)
        ]
        return self._ask(shares)

    def _ask(self, shares: Sequence[dict[int, str] | None]) -> dict[int, Scene]:
        n = len(self.pipes)
        try:
            for pipe, share in zip(self.pipes, shares, strict=True):
                pipe.send(share)
            answers = [pipe.recv() for pipe in self.pipes]
        except (EOFError, BrokenPipeError, ConnectionResetError) as error:
            raise Stop("a worker process died; its own message is above, if it left one") from error
        scenes: dict[int, Scene] = {}
        for worker, answer in enumerate(answers):
            if isinstance(answer, BaseException):
                raise answer
            scenes |= {i * n + worker: scene for i, scene in answer.items()}
        return scenes

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.join(timeout=5)
            process.kill()


def _work(pipe: Connection, tasks: Sequence[Task]) -> None:
    """A worker's life: open the games, answer until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    environments: LocalEnvironments | None = None
    while True:
        try:
            actions = pipe.recv()
        except EOFError:
            return
        try:
            if environments is None:
                environments = LocalEnvironments([task.open() for task in tasks])
            if actions is None:
                pipe.send(dict(enumerate(environments.reset())))
            else:
                pipe.send(environments.step(actions))
        except (Exception, Stop) as error:
            pipe.send(error)


Environments = LocalEnvironments | WorkerEnvironments


# --- cache of transitions -------------------------------------------------------------------------


@dataclass(frozen=True)
class Transitions:
    """Every transition of a game whose scenes say everything: exact, and a thousand times faster.

    Stands in for the game in sweeps (`--cache`).
    """

    scenes: list[Scene]
    """The first is the start."""
    targets: list[list[int]]
    """Scene that each action of a scene leads to; none where no rollout has a step left."""

    @property
    def start(self) -> Scene:
        return self.scenes[0]

    @functools.cached_property
    def next_scene(self) -> dict[tuple[Scene, str], Scene]:
        return {
            (scene, action): self.scenes[target]
            for scene, row in zip(self.scenes, self.targets, strict=True)
            for action, target in zip(scene.actions, row, strict=False)
        }

    def shortest_solution(self) -> float:
        """Fewest steps from start to a won scene; infinity if there is none."""
        depth, seen = {0: 0}, [0]
        for scene in seen:  # grows as scenes are found
            if self.scenes[scene].won:
                return depth[scene]
            for target in self.targets[scene]:
                if target not in depth:
                    depth[target] = depth[scene] + 1
                    seen.append(target)
        return float("inf")


class CachedEnvironment:
    """Plays a game from its transitions."""

    def __init__(self, transitions: Transitions) -> None:
        self.transitions = transitions
        self.scene = transitions.start

    def reset(self) -> Scene:
        self.scene = self.transitions.start
        return self.scene

    def step(self, action: str) -> Scene:
        self.scene = self.transitions.next_scene[self.scene, action]
        return self.scene


def explore(environment: Environment, max_steps: int) -> Transitions:
    """Try every action of every scene within `max_steps` of the start, breadth first.

    A scene is reached from the start again for each action, and must look the same every time;
    random walks through the game are then compared with the transitions. So a game with hidden
    state is refused.
    """

    def reach(path: Sequence[str]) -> Scene:
        scene = environment.reset()
        for action in path:
            scene = environment.step(action)
        return scene

    scenes = [reach([])]
    index = {scenes[0]: 0}
    paths: list[list[str]] = [[]]
    targets: list[list[int]] = []
    for here, scene in enumerate(scenes):  # grows as scenes are found
        targets.append([])
        for action in scene.actions if len(paths[here]) < max_steps else ():
            if reach(paths[here]) != scene:
                raise Stop(
                    f"{paths[here]} does not always lead to {scene.state!r}: no cache for it"
                )
            target = environment.step(action)
            if target not in index:
                index[target] = len(scenes)
                scenes.append(target)
                paths.append([*paths[here], action])
            targets[here].append(index[target])
    transitions = Transitions(scenes, targets)

    generator = np.random.default_rng(0)
    cached = CachedEnvironment(transitions)
    for _ in range(NUM_CHECKING_WALKS):
        real, known = environment.reset(), cached.reset()
        for _ in range(max_steps):
            if real != known:
                raise Stop(f"{real.state!r} differs from its cached transition: no cache for it")
            if not real.actions:
                break
            action = real.actions[generator.integers(len(real.actions))]
            real, known = environment.step(action), cached.step(action)
    return transitions


def cached_transitions(task: Task, max_steps: int) -> Transitions:
    """From the cache, or explored now and written there."""
    file = cache_folder() / "transitions" / f"{task.name}_{max_steps}_steps.json"
    if not file.exists():
        transitions = explore(task.open(), max_steps)
        write_atomically(file, json.dumps([transitions.scenes, transitions.targets]).encode())
    scenes, targets = json.loads(file.read_text())
    return Transitions([Scene(s, tuple(a), won) for s, a, won in scenes], targets)


def write_atomically(file: Path, content: bytes) -> None:
    """Either the whole content stands there or nothing does, whenever the program is stopped."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f"{file.name}.") as beside:
        (Path(beside) / file.name).write_bytes(content)
        (Path(beside) / file.name).replace(file)


def cache_folder() -> Path:
    """Where games are kept: $GRAPHGPO_EXAMPLES_CACHE, else the user's cache folder."""
    chosen = os.environ.get("GRAPHGPO_EXAMPLES_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "graphgpo-examples"


# --- policy ---------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    """Of prose, without punctuation; one empty word if there is none."""
    return re.findall(r"[a-z0-9'-]+", text.lower()) or [""]


class TextEncoder(nn.Module):
    """Texts to vectors: a mean of embeddings of their words and pairs of words, and an MLP."""

    def __init__(
        self, words: Callable[[str], list[str]], buckets: int = 4096, width: int = 64
    ) -> None:
        super().__init__()
        self.words, self.buckets = words, buckets
        self.bag = nn.EmbeddingBag(buckets, width, mode="mean")
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.tokens: dict[str, NDArray[np.int64]] = {}

    def tokenise(self, text: str) -> NDArray[np.int64]:
        if text not in self.tokens:
            words = self.words(text)
            pairs = [f"{first} {second}" for first, second in itertools.pairwise(words)]
            hashes = [zlib.crc32(token.encode()) % self.buckets for token in words + pairs]
            self.tokens[text] = np.array(hashes, dtype=np.int64)
        return self.tokens[text]

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """(N, width)."""
        bags = [self.tokenise(text) for text in texts]
        offsets = np.cumsum([0] + [len(bag) for bag in bags[:-1]])
        tokens = torch.from_numpy(np.concatenate(bags))
        vectors: torch.Tensor = self.mlp(self.bag(tokens, torch.from_numpy(offsets)))
        return vectors


class Policy(nn.Module):
    """A distribution over the actions of a scene, whatever they are: 0.56 million parameters.

    An action's score is an MLP of state, action and their product. Its first layer is applied to
    the three apart, so that states and actions go through it once, not once for every pair.
    """

    def __init__(self, state_words: Callable[[str], list[str]], width: int = 64) -> None:
        super().__init__()
        self.states = TextEncoder(state_words, width=width)
        self.actions = TextEncoder(words, width=width)
        self.of_state, self.of_action, self.of_pair = (
            nn.Linear(width, 2 * width) for _ in range(3)
        )
        self.score = nn.Sequential(nn.ReLU(), nn.Linear(2 * width, 1))

    def forward(self, scenes: Sequence[Scene]) -> torch.Tensor:
        """(N, most actions) log-probabilities, -1e9 beyond a scene's actions."""
        index: dict[str, int] = {}  # every distinct text is encoded once
        rows = [[index.setdefault(a, len(index)) for a in scene.actions] for scene in scenes]
        most = max(map(len, rows))
        padded = torch.tensor([row + [-1] * (most - len(row)) for row in rows])
        chosen = padded.clamp(min=0)

        s = self.states([scene.state for scene in scenes])
        a = self.actions(list(index))
        pairs = s[:, None] * nn.functional.embedding(chosen, a)
        hidden = self.of_pair(pairs) + self.of_state(s)[:, None]
        hidden = hidden + nn.functional.embedding(chosen, self.of_action(a))
        scores: torch.Tensor = self.score(hidden).squeeze(-1)
        return scores.masked_fill(padded < 0, -1e9).log_softmax(dim=-1)


# --- rollouts -------------------------------------------------------------------------------------


@dataclass
class Rollouts:
    """One row per step, in the order in which the steps were taken."""

    scenes: list[Scene] = field(default_factory=list)
    choices: list[int] = field(default_factory=list)
    """Position of the action among the scene's actions."""
    log_probs: list[float] = field(default_factory=list)
    next_states: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    trajectories: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    won: list[bool] = field(default_factory=list)
    """Whether the step won the game."""

    def columns(self) -> dict[str, Any]:
        """The arguments of `graphgpo.compute_advantages`."""
        return {
            "states": [scene.state for scene in self.scenes],
            "next_states": self.next_states,
            "group_ids": self.groups,
            "trajectory_ids": self.trajectories,
            "step_ids": self.steps,
            "success": self.won,
        }

    def of_dead_groups(self) -> NDArray[np.bool_]:
        """(N,) whether no rollout of the step's group won."""
        groups = np.array(self.groups)
        return ~np.isin(groups, groups[np.array(self.won)])

    def surprise(self, rows: NDArray[np.bool_]) -> float:
        """Mean of -log p over the actions taken in these rows: the policy's entropy there."""
        return float(-np.array(self.log_probs)[rows].mean()) if rows.any() else float("nan")

    def success(self) -> float:
        """Share of rollouts that won."""
        return sum(self.won) / self.steps.count(0)

    def solution_length(self) -> float:
        """Mean number of steps of the rollouts that won, NaN without one."""
        lengths = [step + 1 for step, won in zip(self.steps, self.won, strict=True) if won]
        return float(np.mean(lengths)) if lengths else float("nan")


def collect(
    policy: Policy,
    environments: Environments,
    group_size: int,
    max_steps: int,
    generator: np.random.Generator,
) -> Rollouts:
    """Play one rollout in every environment, all in lockstep; i // group_size is the i-th's group.

    The policy is fixed meanwhile, so a scene met again costs no second forward pass.
    """
    scenes = dict(enumerate(environments.reset()))
    draws = generator.random((max_steps, len(scenes)))
    log_probs: dict[Scene, NDArray[np.float32]] = {}
    cumulative: dict[Scene, NDArray[np.float64]] = {}
    rollouts = Rollouts()
    for step in range(max_steps):
        live = [i for i, scene in scenes.items() if scene.actions]
        if not live:
            break
        new = list(dict.fromkeys(scenes[i] for i in live if scenes[i] not in log_probs))
        if new:
            with torch.no_grad():
                fresh = policy(new).numpy()
            log_probs.update(zip(new, fresh, strict=True))
            cumulative.update(zip(new, np.exp(fresh).cumsum(axis=1, dtype=float), strict=True))
        choices = {i: draw(cumulative[scenes[i]], draws[step, i]) for i in live}
        reached = environments.step({i: scenes[i].actions[choices[i]] for i in live})
        for i in live:
            rollouts.scenes.append(scenes[i])
            rollouts.choices.append(choices[i])
            rollouts.log_probs.append(float(log_probs[scenes[i]][choices[i]]))
            rollouts.next_states.append(reached[i].state)
            rollouts.groups.append(i // group_size)
            rollouts.trajectories.append(i % group_size)
            rollouts.steps.append(step)
            rollouts.won.append(reached[i].won)
        scenes |= reached
    return rollouts


def draw(cumulative: NDArray[np.float64], uniform: float) -> int:
    """The action at this quantile of the distribution, whose total may be a rounding off 1."""
    return int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))


# --- training -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run's numbers depend on. None: the library's default."""

    estimator: str = "graphgpo"
    seed: int = 0
    group_size: int = 8
    max_steps: int = 25
    omega: float | None = None
    epsilon_scale: str | None = None
    step_weight: float | None = None
    episode_weight: float | None = None
    entropy: float = 0.02
    dead_entropy: float | None = None
    kl_coef: float = 0.0
    learning_rate: float = 1e-3
    epochs: int = 3
    minibatch: int = 256
    max_grad_norm: float = 1.0

    def credit(self) -> dict[str, Any]:
        """Options of `graphgpo.compute_advantages`."""
        names = ("estimator", "omega", "epsilon_scale", "step_weight", "episode_weight")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Problem:
    """Games to train on and games to be judged by alone."""

    tasks: Sequence[Task]
    held_out: Sequence[Task]
    state_words: Callable[[str], list[str]]
    """What the policy reads of a state."""


class Run:
    """Everything that changes while a policy is trained."""

    def __init__(self, problem: Problem, options: Options) -> None:
        self.problem, self.options = problem, options
        torch.set_num_threads(1)  # the policy is small, and sums keep their order
        torch.manual_seed(options.seed)
        self.policy = Policy(problem.state_words)
        self.start = copy.deepcopy(self.policy).requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.policy.parameters(), lr=options.learning_rate, fused=True
        )
        self.curve: list[dict[str, float]] = []
        """One row per iteration; the same for the same options."""
        self.seconds: list[dict[str, float]] = []

    def identity(self) -> dict[str, Any]:
        tasks = [task.name for task in self.problem.tasks]
        return {**dataclasses.asdict(self.options), "tasks": tasks}

    def iterate(self, environments: Environments) -> tuple[Rollouts, graphgpo.StepAdvantages]:
        """Rollouts, credit, update."""
        options = self.options
        generator = np.random.default_rng([options.seed, len(self.curve)])
        clock = [time.perf_counter()]

        rollouts = collect(
            self.policy, environments, options.group_size, options.max_steps, generator
        )
        clock.append(time.perf_counter())
        result = graphgpo.compute_advantages(**rollouts.columns(), **options.credit())
        clock.append(time.perf_counter())
        losses = self.update(rollouts, result, generator)
        clock.append(time.perf_counter())

        metrics = {name.removeprefix("graphgpo/"): x for name, x in result.metrics.items()}
        self.curve.append(
            {
                "iteration": len(self.curve) + 1,
                "success": rollouts.success(),
                "solution_length": rollouts.solution_length(),
                "dead_groups": metrics["groups_without_success"] / metrics["num_groups"],
                "surprise": rollouts.surprise(np.ones(len(result), dtype=bool)),
                "surprise_dead_groups": rollouts.surprise(rollouts.of_dead_groups()),
                **{name: metrics[name] for name in CURVE_METRICS},
                **losses,
            }
        )
        rollout, advantages, update = np.diff(clock).tolist()
        self.seconds.append({"rollout": rollout, "advantages": advantages, "update": update})
        return rollouts, result

    def update(
        self, rollouts: Rollouts, result: graphgpo.StepAdvantages, generator: np.random.Generator
    ) -> dict[str, float]:
        """PPO on one batch. An action is one token here: every tensor of tokens is (steps, 1)."""
        scenes = list(dict.fromkeys(rollouts.scenes))
        position = {scene: i for i, scene in enumerate(scenes)}
        scene_of_step = torch.tensor([position[scene] for scene in rollouts.scenes])
        choices = torch.tensor(rollouts.choices)[:, None]
        old_log_probs = torch.tensor(rollouts.log_probs)[:, None]
        response_mask = torch.ones(len(result), 1)
        advantages = to_tokens(result, response_mask)

        entropy_weight = torch.full((len(result),), self.options.entropy)
        if self.options.dead_entropy is not None:
            entropy_weight[torch.from_numpy(rollouts.of_dead_groups())] = self.options.dead_entropy

        totals: dict[str, float] = {}
        num_minibatches = 0
        for _ in range(self.options.epochs):
            order = torch.from_numpy(generator.permutation(len(result)))
            for rows in torch.split(order, self.options.minibatch):
                # A scene that several steps share goes through the policy once.
                distinct, of_row = torch.unique(scene_of_step[rows], return_inverse=True)
                seen = [scenes[i] for i in distinct.tolist()]
                all_log_probs = self.policy(seen)
                entropy = -(all_log_probs.exp() * all_log_probs).sum(dim=-1)[of_row]
                ref_log_probs = None
                if self.options.kl_coef > 0:
                    with torch.no_grad():
                        ref_log_probs = self.start(seen)[of_row].gather(1, choices[rows])

                loss, metrics = policy_loss(
                    all_log_probs[of_row].gather(1, choices[rows]),
                    old_log_probs[rows],
                    advantages[rows],
                    response_mask[rows],
                    ref_log_probs=ref_log_probs,
                    kl_coef=self.options.kl_coef,
                )
                self.optimizer.zero_grad()
                (loss - (entropy_weight[rows] * entropy).mean()).backward()
                nn.utils.clip_grad_norm_(self.policy.parameters(), self.options.max_grad_norm)
                self.optimizer.step()

                num_minibatches += 1
                for name, value in {"loss": loss, "entropy": entropy.mean(), **metrics}.items():
                    totals[name] = totals.get(name, 0.0) + value.item()
        names = ("loss", "entropy", "clip_fraction", "approx_kl", "kl_ref")
        return {name: totals[name] / num_minibatches for name in names}

    def save(self, file: Path) -> None:
        buffer = io.BytesIO()
        content = {
            "identity": self.identity(),
            "policy": self.policy.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "curve": self.curve,
            "seconds": self.seconds,
        }
        torch.save(content, buffer)
        write_atomically(file, buffer.getvalue())

    def load(self, file: Path) -> None:
        """Go on where `save` was called, bit for bit."""
        try:
            content = torch.load(file, weights_only=True)
        except Exception as error:
            raise Stop(f"{file} is not a checkpoint of this program: {error}") from error
        theirs, ours = content["identity"], self.identity()
        if theirs != ours:
            other = {name: theirs.get(name) for name in ours if ours[name] != theirs.get(name)}
            raise Stop(f"{file} is of a run with other options, {other}; choose another --log")
        self.policy.load_state_dict(content["policy"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.curve, self.seconds = content["curve"], content["seconds"]


def environments_of(
    tasks: Sequence[Task], group_size: int, *, cache: bool, max_steps: int, workers: int
) -> Environments:
    """`group_size` environments of every task, next to each other."""
    if not cache:
        return WorkerEnvironments([task for task in tasks for _ in range(group_size)], workers)
    known = [cached_transitions(task, max_steps) for task in tasks]
    return LocalEnvironments([CachedEnvironment(t) for t in known for _ in range(group_size)])


def evaluate(policy: Policy, environments: Environments, options: Options) -> dict[str, float]:
    """Success and solution length of the policy as it is, drawing its actions."""
    generator = np.random.default_rng([options.seed, EVALUATION])
    rollouts = collect(policy, environments, options.group_size, options.max_steps, generator)
    return {"success": rollouts.success(), "solution_length": rollouts.solution_length()}


def train(
    run: Run,
    iterations: int,
    *,
    cache: bool = False,
    workers: int = 1,
    after: Callable[[Run, Rollouts, graphgpo.StepAdvantages], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, dict[str, float]]:
    """Iterate until `iterations` are done or `stopped()`; then how it does on held-out games.

    "held_out" is the trained policy's record, "untrained" that of the policy it started as; both
    are absent if the run was stopped.
    """

    def opened(tasks: Sequence[Task]) -> contextlib.closing[Environments]:
        options = run.options
        return contextlib.closing(
            environments_of(
                tasks,
                options.group_size,
                cache=cache,
                max_steps=options.max_steps,
                workers=workers,
            )
        )

    if len(run.curve) < iterations:
        with opened(run.problem.tasks) as environments:
            while len(run.curve) < iterations and not stopped():
                rollouts, result = run.iterate(environments)
                if after:
                    after(run, rollouts, result)
    if len(run.curve) < iterations or not run.problem.held_out:
        return {}
    with opened(run.problem.held_out) as environments:
        return {
            "held_out": evaluate(run.policy, environments, run.options),
            "untrained": evaluate(run.start, environments, run.options),
        }


# --- command line ---------------------------------------------------------------------------------


class Log:
    """What a run leaves in a folder: TensorBoard events, two CSV files, a checkpoint.

    `curve.csv` is the same byte for byte whenever the run is repeated; `seconds.csv` is not.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Stop("--log needs TensorBoard: pip install 'graphgpo[examples]'") from error
        self.folder, self.run = folder, run
        if self.checkpoint.exists():
            run.load(self.checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
        self.writer: Any = SummaryWriter(str(folder), purge_step=len(run.curve) + 1)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def iteration(self) -> None:
        curve, seconds = self.run.curve, self.run.seconds
        for name, value in {**curve[-1], **seconds[-1]}.items():
            self.writer.add_scalar(name, value, curve[-1]["iteration"])
        for name, rows in (("curve", curve), ("seconds", seconds)):
            write_atomically(self.folder / f"{name}.csv", as_csv(rows).encode())
        self.run.save(self.checkpoint)

    def close(self) -> None:
        self.writer.close()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Floats in the fewest digits that read back as the same number."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def interrupt_asks_to_stop() -> Iterator[Callable[[], bool]]:
    """Within it the first Ctrl-C only makes the function it gives true; the second one raises."""
    asked = []

    def ask(*_: object) -> None:
        asked.append(True)
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this iteration; Ctrl-C again: at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def add_arguments(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """The flags every program has; `defaults` are this one's."""
    whole = {field.name: field.default for field in dataclasses.fields(Options)} | defaults
    credit = parser.add_argument_group("credit (not given: graphgpo's defaults)")
    credit.add_argument("--estimator", choices=["graphgpo", "gigpo", "grpo"])
    credit.add_argument("--omega", type=float, help="decay of credit per step from the goal")
    credit.add_argument("--epsilon-scale", choices=["relative", "absolute"])
    credit.add_argument("--step-weight", type=float)
    credit.add_argument("--episode-weight", type=float)
    ppo = parser.add_argument_group("training")
    ppo.add_argument("--seed", type=int)
    ppo.add_argument("--iterations", type=int)
    ppo.add_argument("--group-size", type=int, help="rollouts of a game per iteration")
    ppo.add_argument("--max-steps", type=int, help="after which a rollout has failed")
    ppo.add_argument("--entropy", type=float, help="weight of the entropy bonus")
    ppo.add_argument("--dead-entropy", type=float, help="the same for games no rollout won")
    ppo.add_argument("--kl-coef", type=float, help="weight of KL(policy || policy at the start)")
    ppo.add_argument("--learning-rate", type=float)
    ppo.add_argument("--epochs", type=int)
    ppo.add_argument("--minibatch", type=int, help="steps")
    ppo.add_argument("--max-grad-norm", type=float)
    parser.set_defaults(**whole)
    parser.add_argument("--log", type=Path, help="folder for TensorBoard, CSV and the checkpoint")
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that play"
    )
    parser.add_argument(
        "--cache",
        action="store_true",
        help="explore the games once, then play from their transitions: same numbers, faster",
    )


def main(arguments: argparse.Namespace, problem: Problem) -> None:
    """Train with a progress bar, and say how it went."""
    names = [field.name for field in dataclasses.fields(Options)]
    run = Run(problem, Options(**{name: getattr(arguments, name) for name in names}))
    log = Log(arguments.log, run) if arguments.log else None
    if run.curve:
        print(f"going on after iteration {len(run.curve)}")
    start = time.perf_counter()
    with bar(run, arguments.iterations) as advance, interrupt_asks_to_stop() as stopped:

        def after(*_: object) -> None:
            if log:
                log.iteration()
            advance()

        try:
            records = train(
                run,
                arguments.iterations,
                cache=arguments.cache,
                workers=arguments.workers,
                after=after,
                stopped=stopped,
            )
        finally:
            if log:
                log.close()
    print(summary(run, records, time.perf_counter() - start))
    if log:
        print(f"everything is in {log.folder}; the same command goes on from there")


@contextlib.contextmanager
def bar(run: Run, iterations: int) -> Iterator[Callable[[], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("success {task.fields[success]:4.0%}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress:
        success = run.curve[-1]["success"] if run.curve else 0.0
        bar = progress.add_task(
            run.options.estimator, total=iterations, completed=len(run.curve), success=success
        )
        yield lambda: progress.update(bar, advance=1, success=run.curve[-1]["success"])


def summary(run: Run, records: Mapping[str, Mapping[str, float]], wall: float) -> str:
    if not run.curve:
        return "stopped before the first iteration was done"
    last = run.curve[-1]
    lines = [f"training games: {_record(last)} in iteration {len(run.curve)}"]
    for name, record in records.items():
        lines.append(f"{name.replace('_', '-')} games: {_record(record)}")
    spent = {name: sum(row[name] for row in run.seconds) for name in run.seconds[0]}
    whole = sum(spent.values())
    shares = ", ".join(f"{name} {seconds / whole:.2%}" for name, seconds in spent.items())
    lines.append(f"{wall:.1f} s; of the iterations' {whole:.1f} s: {shares}")
    return "\n".join(lines)


def _record(record: Mapping[str, float]) -> str:
    return f"success {record['success']:.1%}, {record['solution_length']:.1f} steps to the goal"
