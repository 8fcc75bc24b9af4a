"""What a run leaves in a folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppo.files import write_atomically
from ppo.run import Run
from ppo.stop import Stop


class Log:
    """What a run leaves in a folder: TensorBoard events, two CSV files, a checkpoint.

    `curve.csv` is the same byte for byte whenever the run is repeated; `seconds.csv` is not.
    """

    def __init__(self, folder: Path, run: Run) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Stop("--log needs TensorBoard: pip install 'graphgpo[examples]'") from error
        self.folder, self.run = folder, run
        if self.checkpoint.exists():
            run.load(self.checkpoint)
        folder.mkdir(parents=True, exist_ok=True)
        self.writer: Any = SummaryWriter(str(folder), purge_step=len(run.curve) + 1)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint.pt"

    def iteration(self) -> None:
        curve, seconds = self.run.curve, self.run.seconds
        for name, value in {**curve[-1], **seconds[-1]}.items():
            self.writer.add_scalar(name, value, curve[-1]["iteration"])
        for name, rows in (("curve", curve), ("seconds", seconds)):
            write_atomically(self.folder / f"{name}.csv", as_csv(rows).encode())
        self.run.save(self.checkpoint)

    def close(self) -> None:
        self.writer.close()


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Floats in the fewest digits that read back as the same number."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
