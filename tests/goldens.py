"""The golden files: real rollouts, and what published codes compute for them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
