"""What estimators are made of: potentials, scores, peers, normalisers, modifiers, and their terms.

An estimator names its terms; a term says which *score* a step has, with which *peers* it is
compared, and how (*normaliser*). Scores may read a *potential*, a number per node of the merged
graph; *modifiers* scale what came out. Words: a step leads from state u to v = target, at turn t of
a trajectory of T steps, with reward r. Every block is a frozen dataclass, so that plans can be
compared, cached, and handed to whatever interprets them: the native core, `graphgpo.reference` (the
same in plain Python) or a device.

    distance -> potential V(u) -> score of a step -> standing among peers -> modifiers -> sum

Two rules hold everywhere: a step without a peer but itself has 0, and so have steps whose peers all
score the same, both exactly. A score may be unknown (the return of a rollout without a verdict): it
enters no statistics, and its step has 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphgpo.field_types import check_fields

Needs: TypeAlias = "frozenset[tuple[str, ...]]"
"""Columns a block needs: of each tuple one, the first that is given."""

_OUTCOME: Needs = frozenset({("episode_returns", "rewards", "success")})
_REWARDS: Needs = frozenset({("rewards", "success")})
_SUCCESS: Needs = frozenset({("success",)})
_ACTIONS: Needs = frozenset({("actions",)})


@dataclass(frozen=True)
class Block:
    """One part of an estimator."""

    own_needs: ClassVar[Needs] = frozenset()

    def __post_init__(self) -> None:
        """Every field is what its annotation says.

        Raises
        ------
        TypeError, ValueError
            Naming the block, its field, the value and what was expected.
        """
        check_fields(self)

    @property
    def needs(self) -> Needs:
        """The columns this block and those inside it need."""
        needs = self.own_needs
        for value in vars(self).values():
            for block in value if isinstance(value, tuple) else (value,):
                if isinstance(block, Block):
                    needs |= block.needs
        return needs


@dataclass(frozen=True, eq=False)
class Given(Block):
    """Numbers of the user's own, computed elsewhere.

    As a score: (N,) floats, one a row. As a potential: one a node, in the order of
    `Rollouts.graph()`. NaN means unknown.
    """

    values: Any
    """An array of floats, or a function of the `graphgpo.Rollouts` that makes one."""

    # Each equals itself alone: arrays have no equality, and that of `Block` sees no fields.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def resolved(self, rollouts: Any) -> Any:
        """The array."""
        values: Any = self.values
        return values(rollouts) if isinstance(values, Callable) else values  # type: ignore[arg-type]

    def numbers(self, rollouts: Any, length: int, how_many: str) -> NDArray[np.float64]:
        """The array as (length,) float64, checked."""
        given = np.asarray(self.resolved(rollouts))
        if given.dtype.kind not in "biufO":
            raise TypeError(f"values of a Given are {given.dtype}; expected numbers")
        if given.shape != (length,):
            raise ValueError(
                f"values of a Given have shape {given.shape}; expected ({length},), {how_many}"
            )
        return np.ascontiguousarray(given, dtype=np.float64)


# --- potentials: a number per node of the group's graph -------------------------------------------


@dataclass(frozen=True)
class ReachValue(Block):
    """V(u) = success_reward * gamma ** d(u), 0 where the goal cannot be reached.

    d is the least total cost to GOAL. The fixed point of V(u) = max over edges of gamma V(v), so it
    is one more reading of the distances and no second search (RewardFlow).
    """

    gamma: float
    success_reward: float
    own_needs: ClassVar[Needs] = _SUCCESS


@dataclass(frozen=True)
class MeanReturn(Block):
    """V(u) = mean over the steps that leave u of their return.

    `of` "rewards": the return-to-go sum_k gamma^(k-t) r_k; "outcome": gamma^(T-t) times the
    episode's return, so that the last step counts gamma. A step leads to what its trajectory's next
    step starts from; after the last one stands `end`: 0, the episode's "outcome", or success_reward
    after a "success" and 0 after a failure. `penalty` is taken from the return of steps whose
    action was invalid.
    """

    gamma: float
    success_reward: float
    of: Literal["rewards", "outcome"] = "rewards"
    end: Literal["zero", "outcome", "success"] = "zero"
    penalty: float = 0.0

    @property
    def needs(self) -> Needs:
        """Rewards or an outcome, and whether it was a success if the end says so."""
        needs = _REWARDS if self.of == "rewards" else _OUTCOME
        return needs | {"zero": frozenset(), "outcome": _OUTCOME, "success": _SUCCESS}[self.end]


@dataclass(frozen=True)
class BellmanMean(Block):
    """V(u) = mean over the steps that leave u of gamma V(v); V(GOAL) = 1, 0 without a way on.

    Repeated steps count each time, so this is the mean over actions of the mean over their
    outcomes: the value of the policy that made the rollouts. Unique for 0 < gamma < 1 on any graph;
    exact to 1e-9. `failed_end` "leaf": a failed trajectory's last step leads nowhere (value 0);
    "state": to its real next state. `boundary`: values in [0, 1], one a row, that stand after the
    last step of each trajectory instead of 1 and 0; rows of one trajectory agree.
    """

    gamma: float
    failed_end: Literal["leaf", "state"] = "leaf"
    boundary: Given | None = None

    @property
    def needs(self) -> Needs:
        """Whether rollouts succeeded, unless boundary values say it."""
        return _SUCCESS if self.boundary is None else frozenset()


@dataclass(frozen=True)
class Log(Block):
    """log max(V, floor)."""

    potential: Potential
    floor: float


# --- scores: a number per step --------------------------------------------------------------------


@dataclass(frozen=True)
class EdgeReturn(Block):
    """R = success_reward * omega ** e: GraphGPO's edge return (arXiv 2605.26684, Eq. 4).

    e = d(v) + c ("paper"), d(v) + c - 1 ("recipe") or d(v) - d(u) + c ("progress"), with c the cost
    of the step. A group that nobody won teaches nothing: 0.
    """

    omega: float
    success_reward: float
    exponent: Literal["paper", "recipe", "progress"] = "paper"
    own_needs: ClassVar[Needs] = _SUCCESS


@dataclass(frozen=True)
class Target(Block):
    """gamma V(v): what the step leads to is worth."""

    potential: Potential
    gamma: float = 1.0


@dataclass(frozen=True)
class Difference(Block):
    """r + gamma V(v) - V(u), r only if `rewards`. Among peers of a state, `Target` is the same."""

    potential: Potential
    gamma: float = 1.0
    rewards: bool = False
    success_reward: float = 1.0

    @property
    def needs(self) -> Needs:
        """Those of the potential, and rewards."""
        return self.potential.needs | (_REWARDS if self.rewards else frozenset())


@dataclass(frozen=True)
class Trace(Block):
    """sum_l (gamma lam)^l difference_(t+l) along the step's own trajectory (GAE)."""

    difference: Difference
    lam: float


@dataclass(frozen=True)
class ReturnToGo(Block):
    """sum_{k >= t} gamma^(k-t) r_k; without rewards r is success_reward on a winning last step."""

    gamma: float
    success_reward: float
    own_needs: ClassVar[Needs] = _REWARDS


@dataclass(frozen=True)
class Outcome(Block):
    """The episode's return: `episode_returns`, else the sum of `rewards`, else success as 1, 0."""

    own_needs: ClassVar[Needs] = _OUTCOME


@dataclass(frozen=True)
class NewStates(Block):
    """The share of a trajectory's steps that lead to a state new to it, its start being seen."""


@dataclass(frozen=True)
class Surprisal(Block):
    """ln(n(s) / n(s, c)): n(s) steps leave the state, n(s, c) of them to the step's target.

    Targets that one step alone takes from s count together as one target, or whatever never recurs
    would look rare. `actions`: less the same among the steps with this state and action, which
    makes it the pointwise mutual information of action and target.
    """

    actions: bool = False

    @property
    def needs(self) -> Needs:
        """Actions, if they are looked at."""
        return _ACTIONS if self.actions else frozenset()


@dataclass(frozen=True)
class ActionMean(Block):
    """A score's mean q over the steps with one state and action, (n q + kappa m) / (n + kappa).

    m is the mean over the state, n the number of such steps. `unknown` "target": without a column
    of actions the target stands for the action; "refuse": that is an error.
    """

    score: Score
    kappa: float = 0.0
    unknown: Literal["refuse", "target"] = "refuse"

    @property
    def needs(self) -> Needs:
        """Those of the score, and actions."""
        return self.score.needs | (_ACTIONS if self.unknown == "refuse" else frozenset())


@dataclass(frozen=True)
class Standing(Block):
    """A score as it stands among other peers, itself to be compared with further ones."""

    score: Score
    peers: Peers
    normaliser: Normaliser
    unit: Unit = "steps"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_together(self.score, (self.peers,), self.normaliser)


# --- peers: a key per step; steps with one key are compared ---------------------------------------


@dataclass(frozen=True)
class SameState(Block):
    """All steps of the group from the same state."""


@dataclass(frozen=True)
class LastStates(Block):
    """Steps whose last `count` states agree; a step with fewer before it has no peers here."""

    count: int


@dataclass(frozen=True)
class Task(Block):
    """All steps of the group."""


@dataclass(frozen=True)
class Turn(Block):
    """Steps of the group at the same turn of their trajectories."""


@dataclass(frozen=True)
class Batch(Block):
    """All steps of the batch. Then a batch is not its groups apart, and ranks must share it."""


@dataclass(frozen=True)
class PeerKeys(Block):
    """Steps of the group with one value in the column `peer_keys`."""

    own_needs: ClassVar[Needs] = frozenset({("peer_keys",)})


@dataclass(frozen=True)
class SameTransition(Block):
    """Steps with equal (state, action, target), and (action, target) of the `history` before."""

    history: int = 0
    own_needs: ClassVar[Needs] = _ACTIONS


# --- normalisers: x among its peers to (x - mean) / s ---------------------------------------------


@dataclass(frozen=True)
class Raw(Block):
    """x as it is: compared with nothing."""


@dataclass(frozen=True)
class Mean(Block):
    """x - mean."""

    scale: Scale = "absolute"


@dataclass(frozen=True)
class MeanStd(Block):
    """(x - mean) / (std + epsilon), or sqrt(var + epsilon) with `inside`.

    `scale` "relative": all x are divided by the largest |x| of the peers first, so that epsilon is
    no horizon. Peers whose std is below `off_below` have 0.
    """

    ddof: Literal[0, 1] = 1
    epsilon: float = 1e-6
    inside: bool = False
    scale: Scale = "absolute"
    off_below: float = 0.0


@dataclass(frozen=True)
class LeaveOneOut(Block):
    """x minus the mean of the others, n / (n - 1) (x - mean)."""


@dataclass(frozen=True)
class FlooredStd(Block):
    """(x - mean) / max(std, floor)."""

    floor: float
    ddof: Literal[0, 1] = 0


# --- modifiers: a factor per step -----------------------------------------------------------------


@dataclass(frozen=True)
class FailureRate(Block):
    """beta (1 - p)^alpha, p the share of the group's trajectories with an outcome above 0."""

    alpha: float
    beta: float = 1.0
    own_needs: ClassVar[Needs] = _OUTCOME


@dataclass(frozen=True)
class Polarised(Block):
    """1 + b (s((1-p)^alpha) - 1/2) for a success, 1 + b (s(-p^alpha) - 1/2) for a failure.

    s is the logistic function, b = span / (s(1) - 1/2), p the share of successes (ProxMO).
    """

    alpha: float
    span: float
    own_needs: ClassVar[Needs] = _OUTCOME


@dataclass(frozen=True)
class Seen(Block):
    """1 where at least `at_least` distinct actions (or targets) were seen from the state, else 0.

    Without a column of actions the target stands for the action.
    """

    what: Literal["actions", "targets"]
    at_least: int = 2


@dataclass(frozen=True)
class ActionEvidence(Block):
    """tanh(n / tau) B / (B + W + epsilon): how much of the score's variance actions explain.

    Over the n steps from the state, with q the mean score of their action and m that of all: B the
    mean of (q - m)^2, W the mean of (score - q)^2 (ECPO).
    """

    score: Score
    tau: float
    epsilon: float = 1e-6

    @property
    def needs(self) -> Needs:
        """Those of the score, and actions."""
        return self.score.needs | _ACTIONS


@dataclass(frozen=True)
class NobodyWon(Block):
    """1 in groups without a success, else 0; times the share of such groups in the batch if so."""

    times_share: bool = False
    own_needs: ClassVar[Needs] = _OUTCOME


@dataclass(frozen=True)
class Live(Block):
    """(L + 1) / (G + 1), L groups with a success of the G in the batch, which ranks must share."""

    own_needs: ClassVar[Needs] = _OUTCOME


Potential: TypeAlias = ReachValue | MeanReturn | BellmanMean | Log | Given
Score: TypeAlias = (
    EdgeReturn
    | Target
    | Difference
    | Trace
    | ReturnToGo
    | Outcome
    | NewStates
    | Surprisal
    | ActionMean
    | Standing
    | Given
)
Peers: TypeAlias = SameState | LastStates | Task | Turn | Batch | PeerKeys | SameTransition
Normaliser: TypeAlias = Raw | Mean | MeanStd | LeaveOneOut | FlooredStd
Modifier: TypeAlias = FailureRate | Polarised | Seen | ActionEvidence | NobodyWon | Live
Unit: TypeAlias = Literal["steps", "trajectories"]
Scale: TypeAlias = Literal["absolute", "relative"]


@dataclass(frozen=True)
class Term(Block):
    """One summand of an estimator: a score, compared with peers, times modifiers and a weight.

    With several `peers` (levels) the weighted mean over them: of a step's levels those are left out
    where it has no peer or all its peers score the same; no level left: 0. `base` is one more
    level, before them.

    A term that is one number per trajectory (an outcome, compared within the task, the batch or by
    key) is part of the episode advantage, all others of the step advantage.
    """

    score: Score
    peers: Peers | tuple[Peers, ...] = SameState()
    normaliser: Normaliser = MeanStd()
    unit: Unit = "steps"
    """What counts once in the statistics. "trajectories" for scores that are constant on them."""
    penalty: float = 0.0
    """Taken from the score of steps whose action was invalid, before the comparison."""
    peer_weights: tuple[float, ...] = (1.0,)
    """One a level, the base's first."""
    base: Term | None = None
    average: Peers | None = None
    """If given, replace the standing by its mean over the steps with this key."""
    modifiers: tuple[Modifier, ...] = ()
    weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("peers", "peer_weights", "modifiers"):
            value = getattr(self, name)
            if isinstance(value, Sequence) and not isinstance(value, (tuple, str)):
                object.__setattr__(self, name, tuple(value))
        super().__post_init__()
        if not self.levels:
            raise ValueError("peers is empty; expected at least one")
        if len(self.peer_weights) != len(self.levels) + (self.base is not None):
            raise ValueError(
                f"peer_weights has {len(self.peer_weights)} entries; expected one for each of "
                f"{len(self.levels)} peers{', and one for the base' if self.base else ''}"
            )

        if len(self.levels) > 1 and any(isinstance(peers, Batch) for peers in self.levels):
            raise ValueError("Batch peers are one of several; expected them alone")
        base = self.base
        if base and (
            len(base.levels) > 1 or base.base or base.average or base.modifiers or base.weight != 1
        ):
            raise ValueError(
                "the base of a term has levels, a base, an average, modifiers or a weight of its "
                "own; expected one score compared with one kind of peers"
            )
        _check_together(self.score, self.levels, self.normaliser)

    @property
    def levels(self) -> tuple[Peers, ...]:
        """The peers, as a tuple."""
        return self.peers if isinstance(self.peers, tuple) else (self.peers,)

    @property
    def is_episodic(self) -> bool:
        """Whether it is one number per trajectory."""
        score: Score = self.score
        levels = self.levels
        if isinstance(score, Standing):
            levels = (*levels, score.peers)
            score = score.score
        return (
            isinstance(score, (Outcome, NewStates))
            and self.average is None
            and all(isinstance(peers, (Task, Batch, PeerKeys)) for peers in levels)
            and not any(isinstance(m, (Seen, ActionEvidence)) for m in self.modifiers)
        )


def _check_together(score: Score, levels: tuple[Peers, ...], normaliser: Normaliser) -> None:
    """Refuse edge returns at relative scale, distances from one state, among other peers."""
    is_relative = getattr(normaliser, "scale", "absolute") == "relative"
    if isinstance(score, EdgeReturn) and is_relative and levels != (SameState(),):
        raise ValueError(
            "EdgeReturn at relative scale is compared with other peers than SameState; "
            "expected SameState"
        )
