"""What counts as one state: noise, near-duplicates, and what is wrong with the states of a batch."""

from __future__ import annotations

from graphgpo.states.normaliser import Normaliser, normalise
from graphgpo.states.similar import SimilarStates, similar_components

__all__ = ["Normaliser", "SimilarStates", "normalise", "similar_components"]
