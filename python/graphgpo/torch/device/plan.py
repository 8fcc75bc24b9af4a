"""An estimator's terms, interpreted: every step compared with its peers, and summed up."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphgpo.blocks import Term
from graphgpo.estimators import Estimator
from graphgpo.reference.plan import Credit, summed
from graphgpo.torch.device.comparison import Compared, compare
from graphgpo.torch.device.modifiers import factors
from graphgpo.torch.device.peers import peers_of
from graphgpo.torch.device.rollouts import Rollouts


def interpret(estimator: Estimator, rollouts: Rollouts) -> Credit:
    """What an estimator makes of a batch, by step."""
    return summed(
        estimator,
        lambda level: compare(level, rollouts),
        lambda term, levels: _standings(term, levels, rollouts),
        torch.zeros_like(rollouts.cost),
    )


def _standings(term: Term, levels: Sequence[Compared], rollouts: Rollouts) -> Tensor:
    """A term, without its weight: the weighted mean of its levels, averaged and modified."""
    weighted = total = torch.zeros_like(rollouts.cost)
    for weight, level in zip(term.peer_weights, levels, strict=True):
        spoken = weight * (~level.is_void).to(torch.float64)
        weighted, total = weighted + spoken * level.standings, total + spoken
    result = torch.where(total == 0, 0.0, weighted / total)
    if term.average is not None:
        peers = peers_of(term.average, rollouts)
        average = peers.mean(result, torch.ones_like(rollouts.is_last))[peers.ids]
        result = torch.where(peers.is_in_one, average, result)
    for modifier in term.modifiers:
        result = result * factors(modifier, rollouts)
    return result
