"""Seeded batches of rollouts: what the benchmarks time, and what the tests check them on.

A group is a task. Its rollouts walk a small graph of states from one start; one that gets to the
last level has reached the goal and stops there. Some steps leave the graph, into a state of their
own: `singleton_share` is the share of steps that start in a state no other step starts in.

    workload = alfworld_like(singleton_share=0.3)
    graphgpo.compute_advantages(**workload.columns("arrow"))

Rows come as a trainer gathers them: group by group, each rollout in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

import graphgpo

Codes: TypeAlias = NDArray[np.int64]
Values: TypeAlias = "list[str] | NDArray[np.uint8]"

SEED = 20260
ARROW_CHUNK_ROWS = 2_000_000  # the 32-bit offsets of an Arrow string chunk end at 2 GiB


@dataclass(frozen=True)
class Workload:
    """N steps. A state is a number into `values`, the distinct states, made once."""

    name: str
    seed: int
    values: Values
    sources: Codes  # (N,) state before each step
    targets: Codes  # (N,) and after it
    group_ids: Codes  # (N,) 0, 1, ... in order of rows
    trajectory_ids: Codes  # (N,) likewise, over the whole batch
    success: NDArray[np.bool_]  # (N,) the same on every step of a rollout

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def singleton_share(self) -> float:
        """Share of steps whose state no other step starts from."""
        return float((np.bincount(self.sources)[self.sources] == 1).mean())

    def columns(self, kind: str = "list") -> dict[str, Any]:
        """Arguments of `graphgpo.compute_advantages`, states as `kind`: one of `kinds(self)`.

        Every call makes new columns. "list" has a str of its own for every step and column, as
        after pickling or a trip through Arrow: nothing can be told from object identity, and no str
        carries a hash that Python cached. In "list_linked" the next state of a step is the very str
        that the following step starts from, as a rollout loop in this process leaves it.
        "list_shared" has one str per distinct state. A kind that ends in "_1col" has no
        next_states: they are derived.
        """
        if kind == "list_linked":
            return self._linked()
        as_column = CONVERTERS[kind.removesuffix("_1col")]
        values = _fresh(self.values) if kind.startswith(("list", "object")) else self.values
        return {
            "states": as_column(values, self.sources),
            "next_states": None if kind.endswith("_1col") else as_column(values, self.targets),
            "group_ids": self.group_ids,
            "trajectory_ids": self.trajectory_ids,
            "success": self.success,
        }

    def columns_of_trainer(self, kind: str = "list") -> dict[str, Any]:
        """The same, but ids are UUIDs as text, as verl has them: an object for every group and
        every rollout, which all of its rows share. Seeded; in the container of the states.
        """
        columns = self.columns(kind)
        rng = np.random.default_rng(self.seed)
        for name in ("group_ids", "trajectory_ids"):
            codes = getattr(self, name)
            names = np.empty(int(codes.max()) + 1, object)
            names[:] = [str(UUID(bytes=rng.bytes(16))) for _ in names]
            columns[name] = names[codes] if kind == "object" else names[codes].tolist()
        return columns

    @property
    def is_linked(self) -> NDArray[np.bool_]:
        """(N,) whether the following row goes on where a step has led."""
        linked = np.zeros(len(self), np.bool_)
        linked[:-1] = self.trajectory_ids[1:] == self.trajectory_ids[:-1]
        linked[:-1] &= self.targets[:-1] == self.sources[1:]
        return linked

    def _linked(self) -> dict[str, Any]:
        columns = self.columns("list_1col")
        states = columns["states"]
        own = iter(own_strings(self.values, self.targets[~self.is_linked]))
        columns["next_states"] = [
            states[row + 1] if linked else next(own)
            for row, linked in enumerate(self.is_linked.tolist())
        ]
        return columns

    def head(self, num_steps: int) -> Workload:
        """The first rows; a rollout that is cut has failed."""
        if num_steps >= len(self):
            return self
        rows = {
            name: getattr(self, name)[:num_steps]
            for name in ("sources", "targets", "group_ids", "trajectory_ids")
        }
        success = self.success[:num_steps].copy()
        if self.trajectory_ids[num_steps] == self.trajectory_ids[num_steps - 1]:
            success[rows["trajectory_ids"] == rows["trajectory_ids"][-1]] = False
        return replace(self, success=success, **rows)


# --- the workloads ------------------------------------------------------------------------------


def alfworld_like(
    *, singleton_share: float = 0.3, groups: int = 16, rollouts: int = 8, seed: int = SEED
) -> Workload:
    """16 groups x 8 rollouts of at most 50 steps, about 4.6k steps, texts of 200-900 chars."""
    return _texts(
        "alfworld_like", seed, groups, rollouts, singleton_share, english_texts, (200, 900)
    )


def webshop_like(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """16 groups x 8 rollouts of at most 15 steps, about 1.6k steps, non-ASCII pages, 2-6k chars."""
    return _texts(
        "webshop_like",
        seed,
        16,
        8,
        singleton_share,
        page_texts,
        (2000, 6000),
        max_steps=15,
        num_levels=6,
    )


def sokoban_boards(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """16 groups x 8 rollouts of at most 30 steps, about 3.3k steps, boards of 71 chars."""
    return _texts(
        "sokoban_boards",
        seed,
        16,
        8,
        singleton_share,
        board_texts,
        (8, 8),
        max_steps=30,
        num_levels=11,
    )


def sokoban_frames(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """The walks of `sokoban_boards`, states as 48 x 48 x 3 pictures of uint8."""
    boards = sokoban_boards(singleton_share=singleton_share, seed=seed)
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (len(boards.values), 48, 48, 3), dtype=np.uint8)
    return replace(boards, name="sokoban_frames", values=frames)


def large(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """512 groups x 32 rollouts, 764k steps, texts of 200-900 chars."""
    walked = _texts(
        "large", seed, 512, 32, singleton_share, english_texts, (200, 900), num_levels=22
    )
    return walked.head(764_000)


def million(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """1M steps in groups of 16 rollouts, texts of 400 chars."""
    walked = _texts("million", seed, 1_820, 16, singleton_share, english_texts, (400, 400))
    return walked.head(1_000_000)


def ten_million(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """`million` ten times over: 10M steps. A column of them is 4.5 GB."""
    walked = _texts("ten_million", seed, 18_200, 16, singleton_share, english_texts, (400, 400))
    return walked.head(10_000_000)


def giant_group(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """1.06M steps in one group of rollouts of at most 512 steps, texts of 200-900 chars."""
    walked = _texts(
        "giant_group",
        seed,
        1,
        2_600,
        singleton_share,
        english_texts,
        (200, 900),
        max_steps=512,
        num_levels=130,
    )
    return walked.head(1_060_000)


def tiny(*, singleton_share: float = 0.3, seed: int = SEED) -> Workload:
    """One group of 8 rollouts of exactly 10 steps, 4 of them successful, texts of 200-900 chars."""
    walked = _texts(
        "tiny",
        seed,
        1,
        8,
        singleton_share,
        english_texts,
        (200, 900),
        max_steps=10,
        num_levels=11,
        steps_per_state=20,
    )
    return replace(walked, success=walked.trajectory_ids < 4)


WORKLOADS: dict[str, Callable[..., Workload]] = {
    make.__name__: make
    for make in (
        tiny,
        webshop_like,
        sokoban_boards,
        sokoban_frames,
        alfworld_like,
        large,
        million,
        giant_group,
        ten_million,
    )
}


# --- walks --------------------------------------------------------------------------------------


def _texts(
    name: str,
    seed: int,
    groups: int,
    rollouts: int,
    singleton_share: float,
    make_texts: Callable[[np.random.Generator, Codes, int, int], list[str]],
    num_chars: tuple[int, int],
    *,
    max_steps: int = 50,
    num_levels: int = 13,
    steps_per_state: int = 12,
) -> Workload:
    """A workload; graph states are visited `steps_per_state` times on average."""
    rng = np.random.default_rng(seed)
    num_lanes = max(1, round(rollouts * max_steps / (num_levels * steps_per_state)))
    visits, lengths, won = _walks(rng, groups, rollouts, max_steps, num_levels, num_lanes)

    takes_step = np.arange(max_steps) < lengths[:, None]  # (rollouts of all groups, max_steps)
    sources, targets = visits[:, :-1][takes_step], visits[:, 1:][takes_step]
    trajectory_ids = np.repeat(np.arange(len(lengths)), lengths)
    group_ids = trajectory_ids // rollouts

    num_states = groups * (num_levels * num_lanes + 1)
    apart = _steps_off_the_graph(rng, sources, singleton_share)
    sources[apart] = num_states + np.arange(len(apart))
    has_previous = apart[(apart > 0) & (trajectory_ids[apart] == trajectory_ids[apart - 1])]
    targets[has_previous - 1] = sources[has_previous]

    group_of_state = np.concatenate(
        [np.repeat(np.arange(groups), num_states // groups), group_ids[apart]]
    )
    return Workload(
        name=name,
        seed=seed,
        values=make_texts(rng, group_of_state, *num_chars),
        sources=sources,
        targets=targets,
        group_ids=group_ids,
        trajectory_ids=trajectory_ids,
        success=won[trajectory_ids],
    )


def _walks(
    rng: np.random.Generator,
    groups: int,
    rollouts: int,
    max_steps: int,
    num_levels: int,
    num_lanes: int,
) -> tuple[Codes, NDArray[np.int64], NDArray[np.bool_]]:
    """States visited (R, max_steps + 1), steps taken (R,), and who reached the goal (R,).

    A state is a (level, lane) of its group. A step goes a level on, stays or goes back, and
    may change lanes; how often it goes on is the task's, so that some tasks are hard.
    """
    total = groups * rollouts
    goes_on = np.repeat(rng.uniform(0.4, 0.7, groups), rollouts).astype(np.float32)
    first_state = np.repeat(np.arange(groups) * (num_levels * num_lanes + 1), rollouts)
    level = np.zeros(total, np.int64)
    lane = np.zeros(total, np.int64)
    lengths = np.full(total, max_steps)
    won = np.zeros(total, np.bool_)
    visits = np.empty((total, max_steps + 1), np.int64)
    visits[:, 0] = first_state
    for step in range(max_steps):
        chance = rng.random(total, np.float32)
        level += np.where(chance < goes_on, 1, np.where(chance > 0.8, -1, 0))
        np.maximum(level, 0, out=level)
        lane = np.where(chance % 0.1 < 0.03, rng.integers(0, num_lanes, total), lane)
        arrives = ~won & (level >= num_levels)
        lengths[arrives] = step + 1
        won |= arrives
        inside = np.minimum(level, num_levels)
        visits[:, step + 1] = first_state + inside * num_lanes + np.where(arrives, 0, lane)
    return visits, lengths, won


def _steps_off_the_graph(rng: np.random.Generator, sources: Codes, share: float) -> Codes:
    """Rows to give a state of their own, so that `share` of all states is started from once."""
    order = rng.permutation(len(sources))
    shuffled = sources[order]
    fewest, most = 0, len(sources)  # the share grows with their number: bisect it
    while fewest < most:
        number = (fewest + most) // 2
        singletons = number + np.count_nonzero(np.bincount(shuffled[number:]) == 1)
        if singletons < share * len(sources):
            fewest = number + 1
        else:
            most = number
    return np.sort(order[:fewest])


# --- states -------------------------------------------------------------------------------------

_WORDS = (
    "you are in the middle of a room looking quickly around you see cabinet drawer fridge "
    "countertop microwave sinkbasin toaster garbagecan shelf and on it an apple a mug two plates "
    "one knife nothing happens it is closed open carrying clean heat cool put take go to examine"
)
_PAGE_WORDS = (
    "Größe Farbe naïve café crème 12,99 € | Buy Now [button] Back to Search [SEP] women's running "
    "shoes 靴 カラー 黒 price rating ★★★★☆ description features reviews größte Auswahl "
    "machine wash, size: x-large color: blå material: 100% cotton B07XYZ1234 "
)


def english_texts(
    rng: np.random.Generator, groups: Codes, shortest: int, longest: int
) -> list[str]:
    """One text per entry of `groups`: the task, what is seen, and a last word that is unique."""
    corpus = " ".join(rng.choice(_WORDS.split(), 40_000))
    return _slices(rng, corpus, groups, shortest, longest)


def page_texts(rng: np.random.Generator, groups: Codes, shortest: int, longest: int) -> list[str]:
    """Web pages: long, with characters of one to four UTF-8 bytes."""
    words = [*_PAGE_WORDS.split() * 20, "👟"]
    corpus = " ".join(rng.choice(words, 40_000))
    return _slices(rng, corpus, groups, shortest, longest)


def _slices(
    rng: np.random.Generator, corpus: str, groups: Codes, shortest: int, longest: int
) -> list[str]:
    tasks = [f"Your task is to: put object {g} in place {g % 7}. " for g in range(groups.max() + 1)]
    starts = rng.integers(0, len(corpus) - longest, len(groups)).tolist()
    lengths = rng.integers(shortest, longest + 1, len(groups)).tolist()
    texts = []
    for state, (group, start, length) in enumerate(
        zip(groups.tolist(), starts, lengths, strict=True)
    ):
        task, unique = tasks[group], f" {state}."
        seen = corpus[start : start + length - len(task) - len(unique)]
        texts.append(task + seen + unique)
    return texts


def board_texts(rng: np.random.Generator, groups: Codes, height: int, width: int) -> list[str]:
    """Sokoban boards: walls around random cells."""
    boards = np.full((len(groups), height, width + 1), ord("#"), np.uint8)
    boards[:, :, -1] = ord("\n")
    cells = np.frombuffer(b"______#XO.P", np.uint8)
    boards[:, 1:-1, 1:-2] = rng.choice(cells, (len(groups), height - 2, width - 2))
    return [board.tobytes()[:-1].decode() for board in boards]


# --- kinds of columns ---------------------------------------------------------------------------


def kinds(workload: Workload) -> list[str]:
    """The kinds of columns a workload can come as."""
    if isinstance(workload.values, np.ndarray):
        return ["rows", "keys"]
    return [kind for kind in CONVERTERS if kind != "rows"] + [
        "list_linked",
        "list_1col",
        "arrow_1col",
        "keys_1col",
    ]


def _fresh(values: Values) -> list[str]:
    return [text.encode().decode() for text in _as_texts(values)]


def _as_texts(values: Values) -> list[str]:
    if isinstance(values, np.ndarray):
        raise TypeError("this workload has arrays as states; expected texts")
    return values


def own_strings(values: Values, codes: Codes) -> list[str]:
    """A str per row."""
    encoded = [text.encode() for text in _as_texts(values)]
    return [encoded[code].decode() for code in codes.tolist()]


def shared_strings(values: Values, codes: Codes) -> list[str]:
    """A str per distinct state."""
    texts = _as_texts(values)
    return [texts[code] for code in codes.tolist()]


def object_array(values: Values, codes: Codes) -> NDArray[np.object_]:
    column = np.empty(len(codes), object)
    column[:] = own_strings(values, codes)
    return column


def string_dtype_array(values: Values, codes: Codes) -> Any:
    return np.array(_as_texts(values), np.dtypes.StringDType())[codes]


def fixed_width_array(values: Values, codes: Codes) -> NDArray[np.str_]:
    return np.array(_as_texts(values))[codes]


def arrow_column(type_name: str) -> Callable[[Values, Codes], Any]:
    def as_column(values: Values, codes: Codes) -> Any:
        import pyarrow as pa

        # Gathered as string, because views and dictionaries would go on sharing their texts.
        distinct = pa.array(_as_texts(values), pa.string())
        chunks = [
            distinct.take(pa.array(codes[start : start + ARROW_CHUNK_ROWS]))
            for start in range(0, len(codes), ARROW_CHUNK_ROWS)
        ]
        if type_name == "dictionary":
            chunks = [chunk.dictionary_encode() for chunk in chunks]
        elif type_name != "string":
            chunks = [chunk.cast(type_name) for chunk in chunks]
        return chunks[0] if len(chunks) == 1 else pa.chunked_array(chunks)

    return as_column


def polars_series(values: Values, codes: Codes) -> Any:
    import polars as pl

    return pl.Series(arrow_column("string")(values, codes))


def integer_keys(values: Values, codes: Codes) -> NDArray[np.int64]:
    """`graphgpo.state_keys`: spread over all of int64."""
    return graphgpo.state_keys(values)[codes]


def array_rows(values: Values, codes: Codes) -> NDArray[np.uint8]:
    if not isinstance(values, np.ndarray):
        raise TypeError("this workload has texts as states; expected arrays")
    return values[codes]


CONVERTERS: dict[str, Callable[[Values, Codes], Any]] = {
    "list": own_strings,
    "list_shared": shared_strings,
    "object": object_array,
    "string_dtype": string_dtype_array,
    "fixed_width": fixed_width_array,
    "arrow": arrow_column("string"),
    "arrow_large": arrow_column("large_string"),
    "arrow_view": arrow_column("string_view"),
    "arrow_dictionary": arrow_column("dictionary"),
    "polars": polars_series,
    "keys": integer_keys,
    "rows": array_rows,
}
