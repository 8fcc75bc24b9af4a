"""Write the rollouts that ship with the package from the golden files.

    python tests/golden/make_demo_rollouts.py

Running it again changes nothing: same rows, same bytes. python/graphgpo/data/README.md says what
the columns hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

GOLDEN_FILES = {
    "textworld": "textworld_coin_collector_l105.npz",
    "sokoban": "sokoban6x6_1box_gym_sokoban.npz",
    "minigrid": "minigrid_doorkey5x5.npz",
}
GOLDEN = Path(__file__).resolve().parent
DATA = GOLDEN.parents[1] / "python" / "graphgpo" / "data"


def demo_arrays(golden_file: Path) -> dict[str, Any]:
    """The arrays of one .npz file: ids renumbered from 0, every distinct text stored once."""
    with np.load(golden_file, allow_pickle=False) as golden:

        def texts(name: str) -> list[str]:
            listed: list[str] = golden[name + "__texts"][golden[name]].tolist()
            return listed

        text_ids: dict[str, int] = {}
        state = [text_ids.setdefault(text, len(text_ids)) for text in texts("state")]
        next_state = [text_ids.setdefault(text, len(text_ids)) for text in texts("next_state")]
        action_ids: dict[str, int] = {}
        action = [action_ids.setdefault(text, len(action_ids)) for text in texts("action")]
        group_ids: dict[str, int] = {}
        group = [group_ids.setdefault(name, len(group_ids)) for name in texts("group_id")]
        trajectory = [int(name.rsplit("-", 1)[1]) for name in texts("trajectory_id")]
        return {
            "texts": np.array(list(text_ids)),
            "state": np.array(state, dtype=np.int16),
            "next_state": np.array(next_state, dtype=np.int16),
            "action_names": np.array(list(action_ids)),
            "action": np.array(action, dtype=np.int16),
            "group_id": np.array(group, dtype=np.int16),
            "trajectory_id": np.array(trajectory, dtype=np.int16),
            "step_id": np.array(golden["step"], dtype=np.int16),
            "success": np.array(golden["success"], dtype=np.bool_),
        }


if __name__ == "__main__":
    for environment, golden_name in GOLDEN_FILES.items():
        np.savez_compressed(DATA / f"{environment}.npz", **demo_arrays(GOLDEN / golden_name))
