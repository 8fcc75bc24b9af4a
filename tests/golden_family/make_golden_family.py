"""Pack what the family's published codes compute for the rollouts of ../golden into one .npz each.

    python tests/golden_family/make_golden_family.py FOLDER_OF_PARQUET_FILES

One array per column, in the rows of ../golden/NAME.npz; float32 values are kept as float32. Left
out are columns nobody can aim at: they depend on the order of rows (pass@k), on a success rate that
is not one (ProxMO's by rows), or on nothing of ours (GPG). Running it again changes nothing.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

LEFT_OUT = re.compile(
    r".*_id|step|.*passk.*|verl__gpg__.*|proxmo__joint.*|proxmo__.*__rows__.*"
    r"|rewardflow__official__(?!gamma0\.9__step__mean$).*"
)


def pack(source: Path, target: Path) -> None:
    table = pq.read_table(source)
    with np.load(target.parent.parent / "golden" / target.name) as rollouts:
        for name in ("group_id", "trajectory_id"):
            here = rollouts[name + "__texts"][rollouts[name]]
            assert here.tolist() == table[name].to_pylist(), "the same rows in the same order"
        assert rollouts["step"].tolist() == table["step"].to_pylist()
    arrays = {}
    for name in table.column_names:
        if not LEFT_OUT.fullmatch(name):
            column = np.array(table[name].to_pylist())
            narrow = column.astype(np.int32 if name.endswith("__cluster") else np.float32)
            arrays[name] = narrow if (narrow == column).all() else column
    np.savez_compressed(target, **arrays, allow_pickle=False)


if __name__ == "__main__":
    for parquet in sorted(Path(sys.argv[1]).glob("*.parquet")):
        pack(parquet, Path(__file__).with_name(parquet.stem + ".npz"))
