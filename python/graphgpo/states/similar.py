"""Near-duplicates: texts of a group that are almost the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core
from graphgpo.ingest import key_column, plain_column
from graphgpo.states.column import element_list, elements


@dataclass(frozen=True, slots=True)
class SimilarStates:
    """Which texts count as one."""

    components: NDArray[np.int32]
    """(N,) the component of each text: one number for texts that count as one. Those of one group
    follow those of another, numbered by their first text."""

    merged: int
    """Distinct texts that vanish: those of every group, less its components."""

    largest: int
    """Distinct texts of the largest component; components chain, so this is worth a look."""


def similar_components(texts: Any, threshold: Any, *, group_ids: Any = None) -> SimilarStates:
    """Connected components of near-duplicates, group by group.

    Two texts a and b are neighbours if ``2 * LCS(a, b) / (len(a) + len(b)) >= threshold``, where
    LCS is the length of their longest common subsequence; two empty texts are. A component is
    whatever neighbours lead to. The answer is exact, depends on no order and is decided in
    integers; `threshold` is the exact fraction its float is. The ratio is never below that of
    `difflib.SequenceMatcher`, which takes a common subsequence that need not be the longest.

    Off by default everywhere, because it merges true differences: at 0.95 the 162 boards of a
    Sokoban group become 5. Normalise first.

    Parameters
    ----------
    texts
        (N,) texts; pass states and next states as one column, so that both get the same numbers.
    threshold
        In (0, 1]; 1 merges equal texts only.
    group_ids
        (N,) group of each text; None: one group.

    Raises
    ------
    TypeError
        Where a value is no text.
    ValueError
        For a threshold outside (0, 1], or columns of two lengths.

    Examples
    --------
    >>> similar_components(["A mug is here.", "A mug is there.", "Nothing."], 0.9)
    SimilarStates(components=array([0, 0, 1], dtype=int32), merged=1, largest=2)
    """
    column = elements("texts", texts)
    if column is None:
        raise TypeError("texts holds no texts; expected a column of str")
    for row, text in enumerate(column):
        if not isinstance(text, str):
            raise TypeError(f"texts[{row}] is {text!r} ({type(text).__name__}); expected a str")
    check_threshold("threshold", threshold)
    groups = np.zeros(len(column), np.int32)
    if group_ids is not None:
        ids = element_list("group_ids", group_ids)
        if len(ids) != len(column):
            raise ValueError(
                f"group_ids has {len(ids)} rows and texts {len(column)}; expected as many"
            )
        key_column("group_ids", plain_column("group_ids", group_ids), None, is_id=True)  # checked
        numbers: dict[Any, int] = {}
        groups[:] = [numbers.setdefault(value, len(numbers)) for value in ids]
    return SimilarStates(
        *_core.similar_components(texts=list(column), groups=groups, threshold=float(threshold))
    )


def check_threshold(name: str, value: Any) -> None:
    """A share of the characters that two texts have in common."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 1:
        raise ValueError(f"{name} is {value!r}; expected a number in (0, 1], like 0.95")
