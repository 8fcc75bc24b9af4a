"""A small policy that reads texts: of any scene, over whatever actions it has."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ppo.environments import Scene


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
