"""Random batches of rollouts, small enough to reach every branch often."""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
from hypothesis import strategies as st

from graphgpo import estimators
from graphgpo.blocks import Batch, Block, Live, NobodyWon, Term
from graphgpo.estimators import Estimator

STATES: list[list[Any]] = [
    ["a", "b", "c", "d"],
    [0, 1, 2],
    ["1", 1, 1.0, True, b"1", ("1",)],  # equal to nobody but themselves
    [(1, None), [1, 2], {"x": 1}, (1, 2, 3)],
]

ARRAYS = (
    "advantages",
    "step_advantages",
    "episode_advantages",
    "scores",
    "distances",
    "next_distances",
    "num_peers",
)

Columns = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """What a batch may hold."""

    has_next_states: bool | None = None  # None: drawn
    all_succeed: bool = False
    has_unit_costs: bool | None = None
    has_broken_links: bool = True
    has_verdicts: bool = False  # of every rollout
    is_text: bool = False


@st.composite
def rollouts(draw: st.DrawFn, shape: Shape = Shape()) -> Columns:
    """Columns of a batch: groups of walks over few states, in row order, without copies or masks.

    `step_ids` are given and start anywhere, and so are `actions` and `peer_keys`; `rewards`,
    `episode_returns`, `action_valid`, `next_states` and `edge_costs` may be None. Some rollouts
    have no verdict.
    """
    states = STATES[0] if shape.is_text else draw(st.sampled_from(STATES))
    state = st.sampled_from(states)
    cost = st.sampled_from([0.25, 0.5, 1.0, 2.0, 0.1])
    rows: list[Columns] = []
    for group in range(draw(st.integers(1, 3))):
        for trajectory in range(draw(st.integers(1, 4))):
            length = draw(st.integers(1, 6))
            visited = [draw(state) for _ in range(length)]
            succeeds = shape.all_succeed or draw(st.booleans())
            is_judged = shape.all_succeed or shape.has_verdicts or draw(st.integers(0, 7)) < 7
            is_flagged_throughout = draw(st.booleans())
            first_step = draw(st.integers(-2, 5))
            returns: list[Any] = [0.0, 0.5, 1.0] if is_judged else [None, math.nan, 1.0]
            episode_return = draw(st.sampled_from(returns))
            for i in range(length):
                is_last = i == length - 1
                following = draw(st.none() | state) if is_last else visited[i + 1]
                if shape.has_broken_links and draw(st.integers(0, 9)) == 9 and not is_last:
                    following = draw(state)
                rows.append(
                    {
                        "states": visited[i],
                        "next_states": following,
                        "group_ids": f"g{group}",
                        "trajectory_ids": trajectory,
                        "success": (succeeds and (is_last or is_flagged_throughout))
                        if is_judged
                        else None,
                        "step_ids": first_step + i,
                        "rewards": draw(st.sampled_from([0.0, 1.0, -0.5])),
                        "episode_returns": episode_return,
                        "edge_costs": draw(cost),
                        "action_valid": draw(st.booleans()),
                        "actions": draw(st.sampled_from(["go", "take"])),
                        "peer_keys": draw(st.integers(0, 1)),
                    }
                )
    columns: Columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name in ("rewards", "episode_returns", "action_valid"):
        if draw(st.booleans()):
            columns[name] = None
    if not _decide(draw, shape.has_next_states):
        columns["next_states"] = None
    if _decide(draw, shape.has_unit_costs):
        columns["edge_costs"] = None
    return columns


def _decide(draw: st.DrawFn, wanted: bool | None) -> bool:
    return draw(st.booleans()) if wanted is None else wanted


# --- estimators and their options -----------------------------------------------------------------

NUMBERS = [0.0, 0.1, 0.5, 0.9, 1.0, 2.0, 10.0]


def options_of(name: str) -> st.SearchStrategy[Columns]:
    """Options of an estimator, from its fields: those without a default are always drawn."""
    cls = estimators.load(name)
    hints = get_type_hints(cls)
    drawn = {field.name: _values(field, hints[field.name]) for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    required = {
        field.name: drawn.pop(field.name)
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING
    }
    named = {"estimator": st.just(name), **required}
    return st.fixed_dictionaries(named, optional=drawn)


def _values(field: dataclasses.Field[Any], hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if hint is bool:
        return st.booleans()
    allowed = field.metadata["allowed"]
    found = [int(x) if hint is int else x for x in NUMBERS if x <= 2 or hint is float]
    return st.sampled_from([x for x in found if allowed.allows(x)])


options: st.SearchStrategy[Columns] = st.sampled_from(estimators.names()).flatmap(options_of)


class Only(Estimator):
    """One term, whatever it is."""

    term: Any = None

    def terms(self) -> list[Term]:
        return [self.term]


def chosen_estimator(chosen: Columns) -> Estimator:
    """The estimator that options name."""
    return estimators.make({**chosen})


def blocks_of(block: object) -> list[Block]:
    """A block and all inside it."""
    if isinstance(block, (list, tuple)):
        return [inner for part in block for inner in blocks_of(part)]
    if not isinstance(block, Block):
        return []
    return [block, *blocks_of(list(vars(block).values()))]


def is_batch_wide(chosen: Columns) -> bool:
    """Whether the groups of a batch depend on each other."""
    return any(
        isinstance(block, (Batch, Live)) or (isinstance(block, NobodyWon) and block.times_share)
        for block in blocks_of(chosen_estimator(chosen).terms())
    )


@st.composite
def batches(draw: st.DrawFn, shape: Shape = Shape()) -> tuple[Columns, Columns]:
    """Columns, and an estimator with options that takes them."""
    chosen = draw(options)
    if chosen["estimator"] in TEXT_ONLY:
        shape = dataclasses.replace(shape, is_text=True)
    return draw(rollouts(shape)), chosen


TEXT_ONLY = ("proxmo",)
"""Estimators that compare states as texts."""


def without(columns: Columns, names: list[str], chosen: Columns) -> Columns:
    """The columns but for those of these names that the estimator does not need."""
    given = dict(columns)
    needs = chosen_estimator(chosen).needs
    for name in names:
        others = {**given, name: None}
        if all(any(others.get(n) is not None for n in any_of) for any_of in needs):
            given = others
    return given


# --- rows -----------------------------------------------------------------------------------------


def num_rows(columns: Columns) -> int:
    return len(columns["states"])


def take(columns: Columns, rows: Any) -> Columns:
    """These rows of every column that is given."""
    return {
        name: None if values is None else [values[row] for row in rows]
        for name, values in columns.items()
    }


def joined(*batches: Columns) -> Columns:
    """Rows of several batches with the same columns, one after the other."""
    return {
        name: None
        if batches[0][name] is None
        else list(itertools.chain.from_iterable(batch[name] for batch in batches))
        for name in batches[0]
    }


def with_padding(columns: Columns, copied_rows: list[int]) -> tuple[Columns, list[int]]:
    """Copies of some rows and masked rows full of garbage at the end; and every row's original.

    A masked row's original is -1.
    """
    rows = num_rows(columns)
    padded = take(columns, [*range(rows), *copied_rows])
    garbage: Columns = {name: float("nan") for name in padded} | {"states": None, "success": None}
    for name, values in padded.items():
        if values is not None:
            values.append(garbage[name])
    padded["mask"] = [True] * (rows + len(copied_rows)) + [False]
    return padded, [*range(rows), *copied_rows, -1]


def assert_same_bits(result: Any, expected: Any, rows: Any = None) -> None:
    """Advantages, scores and distances agree bit for bit; `rows` are those of `expected`."""
    for name in ARRAYS:
        values = getattr(expected, name)
        np.testing.assert_array_equal(
            getattr(result, name), values if rows is None else values[rows], err_msg=name
        )


def one_group(*walks: str, costs: list[float] | None = None, **options: Any) -> Columns:
    """Columns of one group from walks like "a b c".

    One that ends in "!" reached the goal, one that ends in "~" has no verdict.
    """
    columns: Columns = {"states": [], "next_states": [], "trajectory_ids": [], "success": []}
    for trajectory, walk in enumerate(walks):
        visited = walk.split()
        steps = len(visited) - 1
        columns["states"] += visited[:-1]
        columns["next_states"] += visited[1:]
        columns["trajectory_ids"] += [trajectory] * steps
        columns["success"] += [{"!": True, "~": None}.get(visited[-1], False)] * steps
    group_ids = [0] * len(columns["states"])
    return {**columns, "group_ids": group_ids, "edge_costs": costs, **options}


def random_walks(seed: int, *, num_groups: int = 3, has_unit_costs: bool = False) -> Columns:
    """A batch with every column, large enough to merge: walks over ten rooms, some to the goal.

    The first group has no success.
    """
    random = np.random.default_rng(seed)
    rows: list[Columns] = []
    for group in range(num_groups):
        for trajectory in range(6):
            rooms = random.integers(0, 10, random.integers(2, 15)).tolist()
            succeeds = group > 0 and bool(random.random() < 0.5)
            episode_return = float(random.integers(0, 3))
            for i in range(len(rooms) - 1):
                rows.append(
                    {
                        "states": f"room {rooms[i]}",
                        "next_states": f"room {rooms[i + 1]}",
                        "group_ids": group,
                        "trajectory_ids": trajectory,
                        "success": succeeds and i == len(rooms) - 2,
                        "step_ids": i,
                        "rewards": float(random.normal()),
                        "episode_returns": episode_return,
                        "edge_costs": 1.0 if has_unit_costs else float(random.uniform(0.1, 3)),
                        "action_valid": bool(random.random() < 0.8),
                        "actions": f"to room {rooms[i + 1]}",
                        "peer_keys": trajectory // 3,
                    }
                )
    return {name: [row[name] for row in rows] for name in rows[0]}
