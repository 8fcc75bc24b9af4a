"""The golden files: real rollouts, and what published codes compute for them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphgpo import StepAdvantages, estimators, reference
from graphgpo.columns import COLUMNS

NAMES = sorted(path.stem for path in (Path(__file__).parent / "golden").glob("*.npz"))


class Golden:
    """Rollouts of one environment: the columns of a batch, and outputs by name."""

    def __init__(self, name: str) -> None:
        self.name = name
        arrays = _arrays("golden", name)
        self.columns: dict[str, NDArray[Any]] = {
            name: arrays[name + "__texts"][values] if name + "__texts" in arrays else values
            for name, values in arrays.items()
            if "__" not in name
        }
        self.outputs = {name: values for name, values in arrays.items() if name.startswith("adv__")}
        self.returns = {
            name: values for name, values in arrays.items() if name.startswith("return")
        }
        self.batch: dict[str, Any] = {
            "states": self.columns["state"],
            "next_states": self.columns["next_state"],
            "group_ids": self.columns["group_id"],
            "trajectory_ids": self.columns["trajectory_id"],
            "step_ids": self.columns["step"],
            "success": self.columns["success"],
            "episode_returns": self.columns["episode_return"],
            "action_valid": self.columns["action_valid"],
        }

    @cached_property
    def family(self) -> dict[str, NDArray[Any]]:
        """Outputs of the codes of other estimators, by column."""
        return _arrays("golden_family", self.name)

    @cached_property
    def spread(self) -> dict[str, NDArray[Any]]:
        """Spread credit as the study behind it computed it, by column."""
        return _arrays("golden_spread", self.name)


def _arrays(folder: str, name: str) -> dict[str, NDArray[Any]]:
    with np.load(Path(__file__).parent / folder / f"{name}.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


class ReadOnce:
    """The reference on batches whose columns are asked of many times and never change.

    Reading thousands of real rows as plain objects takes it several times as long as any estimator.
    """

    def __init__(self) -> None:
        # The columns are kept, so that no other object can have their id.
        self._read: dict[tuple[int, ...], tuple[dict[str, Any], reference.Rollouts]] = {}

    def __call__(self, **given: Any) -> StepAdvantages:
        columns = {name: given.pop(name, None) for name in COLUMNS}
        chosen = estimators.make(given.pop("estimator", "graphgpo"), given)
        key = tuple(map(id, columns.values()))
        if key not in self._read:
            self._read[key] = columns, reference.read(columns)
        return reference.credit(chosen, self._read[key][1])
