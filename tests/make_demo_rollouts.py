"""Write the rollouts that ship with the package from the golden files.

    python tests/make_demo_rollouts.py [GOLDEN_FOLDER]

Running it again changes nothing: same rows, same bytes. python/graphgpo/data/README.md says what
the columns hold.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

GOLDEN_FILES = {
    "textworld": "textworld_coin_collector_l105.parquet",
    "sokoban": "sokoban6x6_1box_gym_sokoban.parquet",
    "minigrid": "minigrid_doorkey5x5.parquet",
}
REPOSITORY = Path(__file__).resolve().parents[1]


def demo_arrays(golden_file: Path) -> dict[str, Any]:
    """The arrays of one .npz file: ids renumbered from 0, every distinct text stored once."""
    table = pq.read_table(
        golden_file,
        columns=["group_id", "trajectory_id", "step", "state", "action", "next_state", "success"],
    ).to_pydict()
    text_ids: dict[str, int] = {}
    state = [text_ids.setdefault(text, len(text_ids)) for text in table["state"]]
    next_state = [text_ids.setdefault(text, len(text_ids)) for text in table["next_state"]]
    action_ids: dict[str, int] = {}
    action = [action_ids.setdefault(text, len(action_ids)) for text in table["action"]]
    group_ids: dict[str, int] = {}
    group = [group_ids.setdefault(name, len(group_ids)) for name in table["group_id"]]
    trajectory = [int(name.rsplit("-", 1)[1]) for name in table["trajectory_id"]]
    return {
        "texts": np.array(list(text_ids)),
        "state": np.array(state, dtype=np.int16),
        "next_state": np.array(next_state, dtype=np.int16),
        "action_names": np.array(list(action_ids)),
        "action": np.array(action, dtype=np.int16),
        "group_id": np.array(group, dtype=np.int16),
        "trajectory_id": np.array(trajectory, dtype=np.int16),
        "step_id": np.array(table["step"], dtype=np.int16),
        "success": np.array(table["success"], dtype=np.bool_),
    }


def main() -> None:
    golden_folder = Path(sys.argv[1]) if len(sys.argv) > 1 else REPOSITORY / "tests" / "golden"
    data_folder = REPOSITORY / "python" / "graphgpo" / "data"
    data_folder.mkdir(exist_ok=True)
    for environment, golden_name in GOLDEN_FILES.items():
        np.savez_compressed(
            data_folder / f"{environment}.npz",
            **demo_arrays(golden_folder / golden_name),
        )


if __name__ == "__main__":
    main()
