"""Which arms meet on which games, with which seeds; and what is compared with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import report

ESTIMATORS = ("grpo", "gigpo", "graphgpo")
ABLATED = ("coin105", "coin110", "sokoban")


@dataclass(frozen=True)
class Arm:
    """An estimator, and the options that are not the defaults."""

    estimator: str
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return " ".join([self.estimator, *(f"{name}={value}" for name, value in self.options)])


def arm(estimator: str, **options: Any) -> Arm:
    return Arm(estimator, tuple(options.items()))


@dataclass(frozen=True)
class Experiment:
    settings: tuple[str, ...]
    arms: tuple[Arm, ...]
    seeds: int
    first_seed: int = 0


def three(**options: Any) -> tuple[Arm, ...]:
    return tuple(arm(estimator, **options) for estimator in ESTIMATORS)


ALONE = tuple(f"coin110_game{game}" for game in range(1, 9))  # the games of coin110, one by one

EXPERIMENTS = {
    "estimators": Experiment(("coin103", "coin105", "coin110", "sokoban"), three(), 8),
    "alone": Experiment(ALONE, three(), 8),
    "own_games": Experiment(("coin105_own_games",), three(), 8),
    "scale": Experiment(
        ABLATED,
        tuple(
            arm("graphgpo", omega=omega, epsilon_scale=scale)
            for omega in (0.1, 0.5, 0.8)
            for scale in ("relative", "absolute")
            if (omega, scale) != (0.1, "relative")  # the default
        ),
        8,
    ),
    "step_only": Experiment(
        ABLATED,
        (arm("gigpo", episode_weight=0.0), arm("graphgpo", episode_weight=0.0)),
        8,
    ),
    "kl": Experiment(ABLATED, three(kl_coef=0.05), 8),
    "group_size": Experiment(ABLATED, three(group_size=4) + three(group_size=16), 8),
    "entropy": Experiment(
        ("coin110",),
        (*three(dead_entropy=0.1), arm("graphgpo", entropy=0.05)),
        8,
    ),
}

# Frozen before any of its runs: what docs/spread.md says of these seeds was not chosen by them.
STUDY = Experiment(
    ("coin110", "coin105", "coin108", "sokoban", "sokoban_other_rooms"),
    (*three(), arm("spread"), arm("gigpo", spread_weight=1.0)),
    seeds=16,
    first_seed=16,
)
STUDY_CONTRASTS = [
    ("spread", "graphgpo"),
    ("spread", "gigpo"),
    ("spread", "grpo"),
    ("gigpo spread_weight=1.0", "gigpo"),
    ("spread memory=True", "spread"),
    ("graphgpo memory=True", "graphgpo"),
    ("spread memory=True", "graphgpo memory=True"),
]
EXPERIMENTS["spread"] = STUDY
MEMORY = Experiment(STUDY.settings, (arm("spread", memory=True),), STUDY.seeds, STUDY.first_seed)
EXPERIMENTS["spread_memory"] = MEMORY

# The rest of that study, frozen likewise.
LAKES = ("lake", "lake_slip")
LAKE = Experiment(LAKES, (*STUDY.arms, *MEMORY.arms), STUDY.seeds, STUDY.first_seed)
FAMILY = Experiment(
    ("coin110", "sokoban"),
    (
        *(*three(), arm("spread")),
        *(arm("hgpo"), arm("g2po"), arm("rewardflow"), arm("graft"), arm("crbc"), arm("progress")),
    ),
    seeds=8,
    first_seed=16,
)
RIVALS = Experiment(
    ("coin110", "sokoban"),
    (
        arm("graphgpo"),
        arm("spread"),
        *(arm("graphgpo", entropy=weight) for weight in (0.05, 0.1, 0.2)),
        *(arm("graphgpo", dead_entropy=weight) for weight in (0.1, 0.2)),
        *(arm("graphgpo", entropy_smoothing=weight) for weight in (0.1, 1.0)),
        arm("rivals:NGRPO", clip_low=0.16, clip_high=0.24),
        arm("rivals:GraphNGRPO"),
        arm("progress"),
    ),
    seeds=8,
    first_seed=16,
)
NOISE = Experiment(
    ("coin110_noise", "coin110_noise12", "coin110_noise_read", "coin110_noise12_read"),
    (arm("graphgpo"), arm("spread"), arm("spread", spread_actions=True)),
    seeds=8,
    first_seed=16,
)
HOPELESS = Experiment(
    ("coin105_hopeless2", "coin105_hopeless6", "coin110_hopeless2"),
    (*three(), arm("spread"), arm("spread", spread_scale="live")),
    seeds=8,
    first_seed=16,
)
# Added when all of these were known, to tell the memory's part from that of spread credit.
MEMORY_ALONE = Experiment(
    (*LAKES, "coin110", "sokoban"), (arm("graphgpo", memory=True),), STUDY.seeds, STUDY.first_seed
)
EXPERIMENTS["spread_memory_alone"] = MEMORY_ALONE
GAMES = Experiment(("coin110_16games", "coin110_32games"), (*three(), arm("spread")), 4, 16)
OPTIONS = Experiment(
    ("coin110", "sokoban"),
    tuple(
        arm(estimator, **{name: value})
        for name, values in {"group_size": (4, 16), "width": (32, 128)}.items()
        for value in values
        for estimator in ("grpo", "graphgpo", "spread")
    ),
    seeds=8,
    first_seed=16,
)
ATTACKS = {
    "spread_lake": LAKE,
    "spread_family": FAMILY,
    "spread_rivals": RIVALS,
    "spread_noise": NOISE,
    "spread_hopeless": HOPELESS,
    "spread_options": OPTIONS,
    "spread_games": GAMES,
}
EXPERIMENTS |= ATTACKS

CONTRASTS = {
    "paired": (
        [("gigpo", "grpo"), ("graphgpo", "grpo"), ("graphgpo", "gigpo")],
        tuple(report.TITLES),
    ),
    "scale": (
        [
            ("graphgpo", "graphgpo omega=0.1 epsilon_scale=absolute"),
            (
                "graphgpo omega=0.5 epsilon_scale=relative",
                "graphgpo omega=0.5 epsilon_scale=absolute",
            ),
            (
                "graphgpo omega=0.8 epsilon_scale=relative",
                "graphgpo omega=0.8 epsilon_scale=absolute",
            ),
            ("graphgpo omega=0.5 epsilon_scale=relative", "graphgpo"),
            ("graphgpo omega=0.8 epsilon_scale=relative", "graphgpo"),
        ],
        ABLATED,
    ),
    "step_only": (
        [("gigpo episode_weight=0.0", "gigpo"), ("graphgpo episode_weight=0.0", "graphgpo")],
        ABLATED,
    ),
    "kl": (
        [
            ("grpo kl_coef=0.05", "grpo"),
            ("gigpo kl_coef=0.05", "gigpo"),
            ("graphgpo kl_coef=0.05", "graphgpo"),
            ("graphgpo kl_coef=0.05", "gigpo kl_coef=0.05"),
        ],
        ABLATED,
    ),
    "group_size": (
        [
            (f"{better} group_size={size}", f"{worse} group_size={size}")
            for size in (4, 16)
            for better, worse in (("graphgpo", "gigpo"), ("graphgpo", "grpo"))
        ],
        ABLATED,
    ),
    "remedies": (
        [
            ("graphgpo dead_entropy=0.1", "graphgpo"),
            ("graphgpo entropy=0.05", "graphgpo"),
            ("graphgpo kl_coef=0.05", "graphgpo"),
            ("graphgpo kl_coef=0.05", "grpo"),
            ("gigpo dead_entropy=0.1", "gigpo"),
            ("grpo dead_entropy=0.1", "grpo"),
        ],
        ("coin110",),
    ),
}
