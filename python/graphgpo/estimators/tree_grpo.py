"""Tree-GRPO."""

from __future__ import annotations

from dataclasses import replace

from graphgpo.blocks import PeerKeys, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator
from graphgpo.estimators._parts import episode_term, normaliser


class TreeGRPO(Estimator):
    """A = outcomes compared within the task, plus within the tree; `peer_keys` name the trees."""

    name = "tree_grpo"
    source = "arXiv 2509.21240"
    mark = "C"

    normalization: opt.Normalization = opt.normalization("mean_std")
    epsilon: float = opt.epsilon(1e-6)
    episode_weight: float = opt.episode_weight(1.0)
    episode_weighting: opt.EpisodeWeighting = opt.episode_weighting("trajectory")

    def terms(self) -> list[Term]:
        """Two episode terms."""
        task = episode_term(normaliser(self.normalization, self.epsilon), self.episode_weighting)
        return [task, replace(task, peers=PeerKeys())]
