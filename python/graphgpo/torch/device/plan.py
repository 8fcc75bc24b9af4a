"""An estimator's terms, interpreted: every step compared with its peers, and summed up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphgpo.blocks import Surprisal, Term
from graphgpo.estimators import Estimator
from graphgpo.reference.plan import levels_of
from graphgpo.torch.device.comparison import Compared, compare
from graphgpo.torch.device.modifiers import factors
from graphgpo.torch.device.peers import peers_of
from graphgpo.torch.device.rollouts import Rollouts


@dataclass(frozen=True, eq=False)
class Credit:
    """What an estimator makes of a batch, by step."""

    advantages: Tensor
    step_advantages: Tensor
    episode_advantages: Tensor
    first: Compared
    """The first term's own level, or the first of them."""
    has_step_term: bool
    surprisal: Surprisal | None
    """What the first term that credits where steps go is made of."""


def interpret(estimator: Estimator, rollouts: Rollouts) -> Credit:
    """A = step_weight * S + episode_weight * E, the sums of the terms that differ along a
    trajectory and of those that do not.
    """
    terms = estimator.terms()
    compared = [[compare(level, rollouts) for level in levels_of(term)] for term in terms]
    sums = {False: torch.zeros_like(rollouts.cost), True: torch.zeros_like(rollouts.cost)}
    for term, levels in zip(terms, compared, strict=True):
        sums[term.is_episodic] += term.weight * _standings(term, levels, rollouts)
    return Credit(
        advantages=estimator.step_weight * sums[False] + estimator.episode_weight * sums[True],
        step_advantages=sums[False],
        episode_advantages=sums[True],
        first=compared[0][1 if terms[0].base else 0],
        has_step_term=not all(term.is_episodic for term in terms),
        surprisal=next((t.score for t in terms if isinstance(t.score, Surprisal)), None),
    )


def _standings(term: Term, levels: Sequence[Compared], rollouts: Rollouts) -> Tensor:
    """A term, without its weight: the weighted mean of its levels, averaged and modified."""
    weighted, total = torch.zeros_like(rollouts.cost), torch.zeros_like(rollouts.cost)
    for weight, level in zip(term.peer_weights, levels, strict=True):
        spoken = torch.where(level.is_void, 0.0, torch.full_like(weighted, weight))
        weighted = weighted + spoken * level.standings
        total = total + spoken
    result = torch.where(total == 0, 0.0, weighted / total)
    if term.average is not None:
        peers = peers_of(term.average, rollouts)
        average = peers.mean(result, torch.ones_like(rollouts.is_last))[peers.ids]
        result = torch.where(peers.is_in_one, average, result)
    for modifier in term.modifiers:
        result = result * factors(modifier, rollouts)
    return result
