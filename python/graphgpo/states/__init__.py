"""What counts as one state: noise, near-duplicates, and what is wrong with states."""

from __future__ import annotations

from graphgpo.states.diagnose import Finding, NearState, diagnose
from graphgpo.states.normaliser import Normaliser, normalise
from graphgpo.states.similar import SimilarStates, similar_components

__all__ = [
    "Finding",
    "NearState",
    "Normaliser",
    "SimilarStates",
    "diagnose",
    "normalise",
    "similar_components",
]
