"""Rooms that are hard to find, and a tiny transformer that TRL trains to find them.

The game is that of trl_house.py, but sparse: five by five rooms, in which a random Llama, which
knows neither words nor map, mostly writes words that move nobody. Model, optimiser and learning
rate are those of trl_house.py, too; nothing was tuned. What was chosen, MAX_STEPS and FEWEST_MOVES,
was chosen by how many groups the untrained policy leaves without success, with seeds 0 to 3.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import GRPOConfig

import graphgpo
from graphgpo.integrations.trl import GraphGPOTrainer, StepRecorder

# Frozen before any run of the study.
FLOORS = (
    ("attic", "bakery", "balcony", "bathroom", "bedroom"),
    ("cellar", "chapel", "closet", "corridor", "den"),
    ("foyer", "garage", "garden", "gym", "hall"),
    ("kitchen", "larder", "library", "nursery", "office"),
    ("pantry", "parlour", "porch", "stable", "study"),
)
ROOMS = [room for rooms in FLOORS for room in rooms]
MOVES = {"north": (0, -1), "south": (0, 1), "west": (-1, 0), "east": (1, 0)}
WORDS = ["<pad>", "<eos>", *ROOMS, *MOVES]
SIDE, MAX_STEPS, NUM_STARTS, FEWEST_MOVES, GROUP = 5, 20, 8, 3, 16


# --- the game -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class House:
    """Rooms row by row, where rollouts start and where they should end; all up to the seed."""

    rooms: tuple[str, ...]
    goal: str
    starts: tuple[str, ...]

    def walk(self, room: str, word: str) -> str:
        dx, dy = MOVES.get(word, (0, 0))  # any other word: stay
        x, y = self.place(room)
        inside = 0 <= x + dx < SIDE and 0 <= y + dy < SIDE
        return self.rooms[SIDE * (y + dy) + x + dx] if inside else room

    def place(self, room: str) -> tuple[int, int]:
        y, x = divmod(self.rooms.index(room), SIDE)
        return x, y

    def moves_to_goal(self, room: str) -> int:
        (x, y), (to_x, to_y) = self.place(room), self.place(self.goal)
        return abs(x - to_x) + abs(y - to_y)


def house_of(seed: int) -> House:
    chance = random.Random(seed)
    rooms = tuple(chance.sample(ROOMS, len(ROOMS)))
    empty = House(rooms, chance.choice(rooms), ())
    far = [room for room in rooms if empty.moves_to_goal(room) >= FEWEST_MOVES]
    return House(rooms, empty.goal, tuple(chance.sample(far, NUM_STARTS)))


# --- the policy -----------------------------------------------------------------------------------


def tokenizer_of_words() -> Any:
    backend = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


def random_policy(seed: int) -> Any:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=64,
        )
    )


@dataclass
class Player:
    """Plays batches of rollouts in a house, and notes how they went."""

    house: House
    chance: torch.Generator
    curve: list[dict[str, float]] = field(default_factory=list)

    def play(self, starts: Sequence[str], policy: Any) -> dict[str, Any]:
        """One rollout for each start: room, word, room, word, ..."""
        rooms = list(starts)
        texts = [[room] for room in rooms]
        recorders = [StepRecorder(task_id=room) for room in rooms]
        cache = None
        for turn in range(MAX_STEPS):
            unread = torch.tensor([ids_of(text[-2:]) for text in texts])
            with torch.no_grad():
                read = policy(unread, past_key_values=cache, use_cache=True)
            cache = read.past_key_values
            chances = read.logits[:, -1].softmax(dim=-1)
            # Those that have arrived draw, too: chance is the same for the rest of the batch.
            drawn = torch.multinomial(chances, 1, generator=self.chance)[:, 0].tolist()
            for row, word in enumerate(WORDS[number] for number in drawn):
                if rooms[row] != self.house.goal:
                    recorders[row].add(rooms[row], start=2 * turn, stop=2 * turn + 1)
                    rooms[row] = self.house.walk(rooms[row], word)
                texts[row] += [word, rooms[row]]
        won = [room == self.house.goal for room in rooms]
        self.note(won)
        return rollout_fields(texts, recorders, won, rooms)

    def note(self, won: Sequence[bool]) -> None:
        dead = ~np.reshape(won, (-1, GROUP)).any(axis=1)
        self.curve.append({"success": float(np.mean(won)), "dead_groups": float(dead.mean())})


def ids_of(words: Iterable[str]) -> list[int]:
    return [WORDS.index(word) for word in words]


def rollout_fields(
    texts: Sequence[Sequence[str]],
    recorders: Sequence[StepRecorder],
    won: Sequence[bool],
    rooms: Sequence[str],
) -> dict[str, Any]:
    """As TRL takes them: the room to start in, and what came after it until the goal."""
    ends = [1 + 2 * len(recorder) for recorder in recorders]
    return {
        "prompt_ids": [ids_of(text[:1]) for text in texts],
        "completion_ids": [ids_of(text[1:end]) for text, end in zip(texts, ends, strict=True)],
        "env_mask": [[1, 0] * len(recorder) for recorder in recorders],  # 0: the game's words
        "logprobs": None,
        "graphgpo": [
            recorder.rollout_fields(success=success, final_state=room)["graphgpo"]
            for recorder, success, room in zip(recorders, won, rooms, strict=True)
        ],
    }


def player_of(seed: int) -> Player:
    return Player(house_of(seed), torch.Generator().manual_seed(seed))


def untrained(seed: int, batches: int) -> dict[str, float]:
    """How batches go, in the mean, that the policy plays before it has learned anything."""
    player, policy = player_of(seed), random_policy(seed)
    for _ in range(batches):
        player.play([start for start in player.house.starts for _ in range(GROUP)], policy)
    names = ("success", "dead_groups")
    return {name: float(np.mean([batch[name] for batch in player.curve])) for name in names}


# --- training -------------------------------------------------------------------------------------


def reached(graphgpo: Sequence[dict[str, Any]], **_: Any) -> list[float]:
    return [float(rollout["success"]) for rollout in graphgpo]


def train(
    estimator: dict[str, Any], memory: bool, seed: int, updates: int
) -> list[dict[str, float]]:
    """Success and dead groups of each batch, every one of which has all the starts."""
    player = player_of(seed)
    with tempfile.TemporaryDirectory() as nothing_is_kept:
        GraphGPOTrainer(
            model=random_policy(seed),
            processing_class=tokenizer_of_words(),
            rollout_func=lambda prompts, trainer: player.play(
                prompts, trainer.accelerator.unwrap_model(trainer.model)
            ),
            reward_funcs=reached,
            train_dataset=Dataset.from_dict({"prompt": list(player.house.starts)}),
            estimator=estimator,
            memory=graphgpo.GraphMemory() if memory else None,
            args=GRPOConfig(
                output_dir=nothing_is_kept,
                seed=seed,
                num_generations=GROUP,
                per_device_train_batch_size=GROUP * NUM_STARTS,
                max_steps=updates,
                learning_rate=3e-3,
                gradient_checkpointing=False,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
                bf16=False,
            ),
        ).train()
    return player.curve
