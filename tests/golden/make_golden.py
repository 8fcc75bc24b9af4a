"""Pack rollouts with the official recipe's outputs into one .npz each.

    python tests/golden/make_golden.py FOLDER_OF_PARQUET_FILES

Texts are stored once and referred to by position; float32 values, which the recipe computes in,
are kept as float32. Running it again changes nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq


def pack(source: Path, target: Path) -> None:
    table = pq.read_table(source)
    arrays = {}
    for name in table.column_names:
        values = table[name].to_pylist()
        if isinstance(values[0], str):
            arrays[name + "__texts"], arrays[name] = np.unique(values, return_inverse=True)
            arrays[name] = arrays[name].astype(np.int32)
        else:
            column = np.array(values)
            narrow = column.astype(np.float32) if column.dtype == np.float64 else column
            arrays[name] = narrow if (narrow == column).all() else column
    np.savez_compressed(target, **arrays, allow_pickle=False)


if __name__ == "__main__":
    for parquet in sorted(Path(sys.argv[1]).glob("*.parquet")):
        pack(parquet, Path(__file__).with_name(parquet.stem + ".npz"))
