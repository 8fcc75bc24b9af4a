"""Real rollouts as rollout loops would record them, and what the library says about them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import graphgpo
from graphgpo.demo import load_rollouts
from graphgpo.integrations._recording import StepRecorder

TOKENS, GAP = 3, 2  # a step writes 3 tokens, then the environment 2


class Recorded:
    """Real rollouts as rollout loops would record them, and what the library says about them."""

    def __init__(self, name: str = "textworld", num_rollouts: int | None = None) -> None:
        rollouts: Any = load_rollouts(name)
        keys = list(zip(rollouts["group_ids"], rollouts["trajectory_ids"], strict=True))
        kept = list(dict.fromkeys(keys))[:num_rollouts]
        self.rollouts: Any = {
            column: np.array(values, dtype=object if isinstance(values, list) else None)[
                [key in kept for key in keys]
            ]
            for column, values in rollouts.items()
        }
        rollouts = self.rollouts
        keys = [key for key in keys if key in kept]
        self.expected = graphgpo.compute_advantages(**rollouts)
        self.action_valid = np.random.default_rng(0).random(len(keys)) < 0.8
        self.uids: list[str] = []
        self.success: list[bool] = []
        self.recorders: list[StepRecorder] = []
        self.final_states: list[str] = []
        self.values: list[NDArray[np.float32]] = []
        for key in kept:
            rows = [row for row, other in enumerate(keys) if other == key]
            recorder = StepRecorder()
            for step, row in enumerate(rows):
                start = step * (TOKENS + GAP)
                recorder.add(
                    rollouts["states"][row],
                    start=start,
                    stop=start + TOKENS,
                    action_valid=bool(self.action_valid[row]),
                )
            self.recorders.append(recorder)
            self.uids.append(f"task_{key[0]}")
            self.success.append(bool(rollouts["success"][rows].any()))
            self.final_states.append(rollouts["next_states"][rows[-1]])
            self.values.append(self.expected.advantages[rows])

    def __len__(self) -> int:
        return len(self.uids)

    def fields(self, rollout: int) -> dict[str, Any]:
        return self.recorders[rollout].rollout_fields(
            success=self.success[rollout], final_state=self.final_states[rollout]
        )

    def step_fields(self, rollout: int) -> list[dict[str, Any]]:
        return self.recorders[rollout].step_fields(
            success=self.success[rollout], final_state=self.final_states[rollout]
        )

    def mask(self, rollout: int) -> torch.Tensor:
        one = torch.tensor([1] * TOKENS + [0] * GAP)
        return one.repeat(len(self.recorders[rollout]))

    def tokens(self, rollout: int) -> torch.Tensor:
        """The advantages the rollout's tokens must get."""
        values = torch.from_numpy(self.values[rollout]).repeat_interleave(TOKENS + GAP)
        return values * self.mask(rollout)

    def of_steps(self, tokens: torch.Tensor) -> NDArray[np.float32]:
        """The other way: the value of each step, from (rollouts, T)."""
        firsts: list[NDArray[np.float32]] = [
            row[:: TOKENS + GAP][: len(recorder)].numpy()
            for row, recorder in zip(tokens, self.recorders, strict=True)
        ]
        return np.concatenate(firsts)

    def batch(self, rows: NDArray[np.intp] | None = None) -> tuple[dict[str, torch.Tensor], Any]:
        """Tensors and object columns, one row per rollout, and the expected (B, T)."""
        rows = np.arange(len(self)) if rows is None else rows
        pad = functools.partial(torch.nn.utils.rnn.pad_sequence, batch_first=True)
        mask = pad([self.mask(row) for row in rows])
        rewards = torch.zeros(mask.shape)
        rewards[torch.arange(len(rows)), -1] = torch.tensor(
            [float(self.success[row]) for row in rows]
        )
        columns = {"uid": np.array([self.uids[row] for row in rows], dtype=object)}
        columns["graphgpo"] = np.array([self.fields(row)["graphgpo"] for row in rows], dtype=object)
        tensors = {"response_mask": mask, "token_level_rewards": rewards}
        return tensors, (columns, pad([self.tokens(row) for row in rows]))
