"""A batch of rollouts, read once, that answers many questions."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core, estimators
from graphgpo.counts import at_least_one
from graphgpo.estimators import Estimator, check_needs
from graphgpo.ingest import (
    IN_HOST_MEMORY,
    is_on_a_device,
    key_column,
    plain_columns,
    read_batch,
)
from graphgpo.plan import plan_of
from graphgpo.problems.problem import counted
from graphgpo.problems.warning import told_elsewhere, warn_of_lost_credit
from graphgpo.result import StepAdvantages
from graphgpo.states.merging import AS_GIVEN, Merged, Merging, merged, with_history

if TYPE_CHECKING:
    from graphgpo.explain import Explanation
    from graphgpo.graph import StateGraph
    from graphgpo.memory import GraphMemory
    from graphgpo.torch.device import DeviceBatch


MOST_THREADS = 1024
"""More are not started, whatever the limit: no machine has as many cores for one process."""


class Rollouts:
    """Row columns, read, checked and numbered once.

    The columns are those of `graphgpo.compute_advantages`, which is `Rollouts(...).advantages(...)`
    for one question. States are lent: they must not change while the object lives. Of tensors on a
    device, advantages are computed there (`graphgpo.torch.device`); graphs and explanations of a
    copy in host memory.

    Parameters
    ----------
    states, next_states, group_ids, ..., peer_keys
        As in `graphgpo.compute_advantages`.
    normalise
        What is noise in a state's text: a `graphgpo.states.Normaliser`, a mapping of its switches,
        or True for the default one. States are merged without it.
    similar
        Near-duplicates count as one state: texts of a group that have at least this share of their
        characters in common (`graphgpo.states.similar_components`), after `normalise`. Off by
        default: at 0.95 most boards of a game are one.
    node_history
        A node is the last so many states of the rollout, >= 1: for observations that hide a part
        of the true state. Fewer states merge.
    task_ids, memory
        As there. Every call of `advantages` and `compare` is a batch to the memory; `graph`
        looks at these rollouts alone, and `explain` refuses a memory.
    num_threads
        Upper limit for reading and for every answer, >= 1; None: all cores this process may use.

    Raises
    ------
    TypeError, ValueError
        For columns that cannot be read, naming column, first offending row, value and expectation.
        What must hold between rows is checked when the first question is asked.

    >>> rollouts = Rollouts(
    ...     states=["hall", "kitchen", "hall"],
    ...     next_states=["kitchen", "sink", "bedroom"],
    ...     group_ids=[0, 0, 0],
    ...     trajectory_ids=[0, 0, 1],
    ...     success=[False, True, False],
    ... )
    >>> rollouts
    Rollouts(3 steps, 2 rollouts, 1 group, merge_ratio 0.33; next_states, success)
    >>> rollouts.advantages("graphgpo", omega=0.5).step_advantages.round(2).tolist()
    [0.7099999785423279, 0.0, -0.7099999785423279]
    >>> {name: len(credit) for name, credit in rollouts.compare(["grpo", "gigpo"]).items()}
    {'grpo': 3, 'gigpo': 3}
    """

    def __init__(
        self,
        states: Any,
        next_states: Any = None,
        *,
        group_ids: Any,
        trajectory_ids: Any,
        success: Any,
        step_ids: Any = None,
        actions: Any = None,
        rewards: Any = None,
        episode_returns: Any = None,
        edge_costs: Any = None,
        action_valid: Any = None,
        mask: Any = None,
        peer_keys: Any = None,
        normalise: Any = None,
        similar: float | None = None,
        node_history: int = 1,
        task_ids: Any = None,
        memory: GraphMemory | None = None,
        num_threads: int | None = None,
    ) -> None:
        self._num_threads = thread_limit(num_threads)
        self._merging = Merging.of(normalise, similar, node_history)
        check_tasks_are_read(task_ids, memory)
        given = {
            "states": states,
            "next_states": next_states,
            "group_ids": group_ids,
            "trajectory_ids": trajectory_ids,
            "success": success,
            "step_ids": step_ids,
            "actions": actions,
            "rewards": rewards,
            "episode_returns": episode_returns,
            "edge_costs": edge_costs,
            "action_valid": action_valid,
            "mask": mask,
            "peer_keys": peer_keys,
        }
        self._remembers = memory is not None
        self._remembering: dict[str, Any] | None = None
        self._plain: Mapping[str, Any]
        self._coarse: Mapping[str, Any]
        self._on_device: DeviceBatch | None = None
        elsewhere = [
            v for v in given.values() if type(v) not in IN_HOST_MEMORY and is_on_a_device(v)
        ]
        if elsewhere:
            from graphgpo.torch.device import DeviceBatch

            if memory is not None:
                raise ValueError("a memory is in host memory; expected columns on the CPU for it")
            if self._merging != AS_GIVEN:
                raise ValueError(
                    "normalise, similar and node_history read texts, and there are none on a "
                    "device; expected columns on the CPU for them"
                )
            self._on_device = DeviceBatch(given, elsewhere[0].device)
            self._plain = self._coarse = self._on_device.given
            self._merged = Merged(self._plain)
            return
        self._plain = plain_columns(given)
        self._merged = merged(self._plain, self._merging)
        self._coarse = self._merged.columns
        self._read = self._read_batch(self._num_threads)
        if self._merging.node_history > 1:
            columns = with_history(
                self._merged.columns, *self.node_ids(), self._merging.node_history
            )
            self._merged = self._merged._replace(columns=columns)
            self._read = self._read_batch(self._num_threads)
        if memory is not None:
            from graphgpo.memory import check_memory, in_words_of

            check_memory(memory, self._plain, task_ids, self._merging)
            self._remembering = in_words_of(memory, self._read, task_ids)

    def _read_batch(self, num_threads: int | None) -> dict[str, Any]:
        columns = read_batch(self._merged.columns, num_threads, stable=self._remembers)
        if self._merging.is_coarser and "actions" in self._plain:
            columns["given_states"] = key_column(
                "states", self._plain["states"], columns["mask"], in_place=True
            )
        return columns

    @classmethod
    def read(
        cls,
        paths: Any,
        *,
        normalise: Any = None,
        similar: float | None = None,
        node_history: int = 1,
        num_threads: int | None = None,
        **reading: Any,
    ) -> Rollouts:
        """Rollouts that lie on disk, or in a data frame: `graphgpo.files.read_rows`, all at once.

        Parameters
        ----------
        paths
            Files, folders, globs, or a polars, pandas or Arrow table.
        normalise, similar, node_history, num_threads
            As `Rollouts` takes them.
        **reading
            As `graphgpo.files.read_rows` takes them: format, columns, success_at, extract, score.

        Needs the extra `graphgpo[files]`. Raises `graphgpo.files.FileError` for what cannot be
        read.
        """
        from graphgpo.files import read_rows
        from graphgpo.files.batch import columns_of

        return cls(
            **columns_of(read_rows(paths, **reading).table()),
            normalise=normalise,
            similar=similar,
            node_history=node_history,
            num_threads=num_threads,
        )

    def remembering(self, words: dict[str, Any]) -> Rollouts:
        """The same object, which from now on asks a memory, in whose words the batch is given."""
        self._remembering = words
        return self

    @property
    def columns(self) -> Mapping[str, Any]:
        """The columns that were given, by name, in the containers they are read from."""
        return self._plain

    @property
    def merged_columns(self) -> Mapping[str, Any]:
        """The same with states that are equal where they count as one: noise taken out, ..."""
        return self._merged.columns

    @property
    def coarse_columns(self) -> Mapping[str, Any]:
        """The same before histories take the place of states."""
        return self._coarse

    @property
    def merging(self) -> Merging:
        """What counts as one state."""
        return self._merging

    @property
    def merging_metrics(self) -> dict[str, float]:
        """What near-duplicates did to the states."""
        return self._merged.metrics

    def __len__(self) -> int:
        return len(self._plain["states"] if self._on_device else self._read["states"])

    def __repr__(self) -> str:
        return f"Rollouts({self._in_short()})"

    def _repr_html_(self) -> str:
        return f"<code>Rollouts</code> {escape(self._in_short())}"

    def _in_short(self) -> str:
        try:
            m = self.graph_metrics()
        except (TypeError, ValueError) as problem:
            sizes = f"{counted(len(self), 'row')}, which no estimator takes: {problem}"
        else:
            sizes = (
                f"{counted(m['graphgpo/num_steps'], 'step')}, "
                f"{counted(m['graphgpo/num_trajectories'], 'rollout')}, "
                f"{counted(m['graphgpo/num_groups'], 'group')}, "
                f"merge_ratio {m['graphgpo/merge_ratio']:.2f}"
            )
        required = ("states", "group_ids", "trajectory_ids")
        further = [name for name in self._plain if name not in required]
        merging = {
            "normalise": self._merging.normaliser is not None,
            f"similar={self._merging.similar}": self._merging.similar is not None,
            f"node_history={self._merging.node_history}": self._merging.node_history > 1,
        }
        further += [name for name, is_on in merging.items() if is_on]
        return f"{sizes}; {', '.join(further) or 'no further columns'}"

    def advantages(
        self, estimator: Any = "graphgpo", *, num_threads: int | None = None, **options: Any
    ) -> StepAdvantages:
        """Credit for every step by one estimator: a name, a mapping, or an `Estimator`."""
        chosen = estimators.make(estimator, options)
        return self._credit([chosen], num_threads)[0]

    def compare(
        self, chosen: Iterable[Any], *, num_threads: int | None = None
    ) -> dict[str, StepAdvantages]:
        """Credit by several estimators, from one merge of the rollouts, by name.

        Of two with one name, the second is called "name 2", and so on.
        """
        made = estimators.several("chosen", chosen)
        names: list[str] = []
        for estimator in made:
            count = sum(other.name == estimator.name for other in made[: len(names)])
            names.append(estimator.name if count == 0 else f"{estimator.name} {count + 1}")
        return dict(zip(names, self._credit(made, num_threads), strict=True))

    def graph(self) -> StateGraph:
        """The merged graph of every group: nodes, edges, `to_networkx()`."""
        from graphgpo.graph import graph_of

        return graph_of(self.in_host_memory())

    def explain(self, row: int, estimator: Any = "graphgpo", **options: Any) -> Explanation:
        """Why the step of a row has its credit: state, action, distances, peers, every term."""
        from graphgpo.explain import explain

        self.check_alone("explain")
        return explain(self.in_host_memory(), row, estimators.make(estimator, options))

    def with_history(self, node_history: int) -> Rollouts:
        """The same columns and options, but nodes of so many states."""
        options = {**self._merging.options, "node_history": node_history}
        return Rollouts(**self._plain, **options, num_threads=self._num_threads)

    def in_host_memory(self) -> Rollouts:
        """Itself, or of columns on a device a copy, made once."""
        return self._on_device.copy.in_host_memory() if self._on_device else self

    def check_alone(self, who: str) -> None:
        """Refuse a memory, on behalf of `who`.

        Raises
        ------
        ValueError
            If the rollouts have one.
        """
        if self._remembering is not None:
            raise ValueError(
                f"the rollouts have a memory, and {who} looks at a batch alone; make Rollouts "
                "without it"
            )

    def graph_metrics(self) -> dict[str, float]:
        """The metrics of the batch and its graph, without any credit."""
        return self._graph_alone().metrics

    def node_ids(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(N,) nodes each row's step leaves and leads to, in the order of `graph()`; masked: -1."""
        nodes = self._graph_alone()
        return nodes.state_ids, nodes.next_state_ids

    def _graph_alone(self) -> StepAdvantages:
        with told_elsewhere():  # nobody asked for credit, so none is lost
            return self.advantages(_GraphAlone())

    def _credit(self, chosen: list[Estimator], num_threads: int | None) -> list[StepAdvantages]:
        if self._on_device:
            return self._on_device.credit(chosen)
        for estimator in chosen:
            check_needs(estimator, self._plain)
        limit = self._num_threads if num_threads is None else thread_limit(num_threads)
        plans = [plan_of(estimator, self) for estimator in chosen]
        remembering = self._remembering
        if remembering is not None and any(isinstance(one, _GraphAlone) for one in chosen):
            remembering = None  # the graph of these rollouts alone
        answers = self.ask_core(
            _core.compute_advantages,
            plans=plans,
            num_threads=limit,
            remembering=remembering,
        )
        of_merging = self._merged.metrics
        results = []
        for answer, estimator in zip(answers, chosen, strict=True):
            answer["metrics"].update(of_merging)
            results.append(StepAdvantages(**answer).answering(self, estimator))
            warn_of_lost_credit(answer["metrics"], estimator, self)
        return results

    def ask_core(self, function: Any, **arguments: Any) -> Any:
        """A function of the core on these columns."""
        arguments.setdefault("num_threads", self._num_threads)
        try:
            return function(columns=self._read, **arguments)
        except ValueError:
            if not self._read["states"].is_numbered:
                raise
        # A message may quote states, and numbers do not know theirs: once more with keys. Not
        # inside `except`, where the first message would be shown too.
        return function(columns=self._read_batch(None), **arguments)


class _GraphAlone(Estimator):
    """Terms that need no column: for whoever asks for the graph alone."""

    def terms(self) -> list[Any]:
        from graphgpo.blocks import NewStates, Raw, Term

        return [Term(NewStates(), normaliser=Raw())]


def check_tasks_are_read(task_ids: Any, memory: GraphMemory | None) -> None:
    """Refuse what nobody would look at."""
    if task_ids is not None and memory is None:
        raise ValueError(
            "task_ids are given without a memory, which alone reads them; pass "
            "memory=graphgpo.GraphMemory() too, or leave them out"
        )


def thread_limit(num_threads: int | None) -> int:
    """`num_threads`, or the number of cores this process may use."""
    if num_threads is None:
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    return min(at_least_one("num_threads", num_threads, instead=", or None"), MOST_THREADS)
