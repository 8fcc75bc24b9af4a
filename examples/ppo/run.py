"""What to copy for a loop of your own: rollouts, credit, PPO update, checkpoint."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import graphgpo
from graphgpo.torch import policy_loss, to_tokens
from ppo.environments import Environments, Task
from ppo.files import write_atomically
from ppo.policy import Policy
from ppo.rollouts import Rollouts, collect
from ppo.stop import Stop

ENTROPY_BAND = 0.2

CURVE_METRICS = (
    "num_steps",
    "singleton_share",
    "zero_advantage_share",
    "reachable_share",
    "merge_ratio",
    "progress_in_failed",
    "no_progress_in_succeeded",
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run's numbers depend on."""

    estimator: str = "graphgpo"
    """A name, or one's own as module:Class."""
    estimator_options: Mapping[str, Any] = field(default_factory=dict)
    """Those not given: the library's defaults."""
    seed: int = 0
    group_size: int = 8
    max_steps: int = 25
    entropy: float = 0.02
    dead_entropy: float | None = None
    entropy_smoothing: float = 0.0
    """Weight of how far a step's entropy is outside 0.8 to 1.2 times the mean of all iterations so
    far: a hinge in place of EPO's indicator (arXiv 2509.22576), which has no gradient."""
    kl_coef: float = 0.0
    clip_low: float = 0.2
    clip_high: float = 0.2
    width: int = 64
    """Of the policy: 0.56 million parameters at 64."""
    learning_rate: float = 1e-3
    epochs: int = 3
    minibatch: int = 256
    max_grad_norm: float = 1.0
    memory: bool = False
    """Whether credit knows what was done in a game in earlier iterations."""

    def credit(self) -> graphgpo.estimators.Estimator:
        """The estimator; refused if it needs columns that these games do not have."""
        module, _, name = self.estimator.rpartition(":")
        try:
            chosen = getattr(importlib.import_module(module), name) if module else name
            estimator = graphgpo.estimators.make(chosen, self.estimator_options)
            graphgpo.estimators.check_needs(estimator, Rollouts().columns())
        except (TypeError, ValueError, ImportError, AttributeError) as error:
            raise Stop(str(error)) from error
        return estimator


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
        self.estimator = options.credit()
        torch.set_num_threads(1)  # the policy is small, and sums keep their order
        torch.manual_seed(options.seed)
        self.policy = Policy(problem.state_words, options.width)
        self.start = copy.deepcopy(self.policy).requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.policy.parameters(), lr=options.learning_rate, fused=True
        )
        self.memory = graphgpo.GraphMemory() if options.memory else None
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
        task_ids = [self.problem.tasks[group].name for group in rollouts.groups]
        result = graphgpo.compute_advantages(
            **rollouts.columns(),
            task_ids=None if self.memory is None else task_ids,
            memory=self.memory,
            estimator=self.estimator,
        )
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

        usual_entropy = float(np.mean([row["entropy"] for row in self.curve or [{"entropy": 0.0}]]))
        smoothing = self.options.entropy_smoothing if self.curve else 0.0

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
                    clip_low=self.options.clip_low,
                    clip_high=self.options.clip_high,
                    ref_log_probs=ref_log_probs,
                    kl_coef=self.options.kl_coef,
                )
                objective = loss - (entropy_weight[rows] * entropy).mean()
                if smoothing > 0:
                    outside = (entropy - usual_entropy).abs() - ENTROPY_BAND * usual_entropy
                    objective = objective + smoothing * outside.clamp(min=0).mean()
                self.optimizer.zero_grad()
                objective.backward()
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
        if self.memory is not None:
            content["memory"] = {
                name: torch.as_tensor(values) for name, values in self.memory.state_dict().items()
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
        if self.memory is not None:
            self.memory.load_state_dict(content["memory"])
