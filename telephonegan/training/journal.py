"""Logging of a training run: a progress bar, log.jsonl, and TensorBoard if it is installed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

from telephonegan.files import append_line


class Journal:
    """Writes the numbers of one run. Of several processes only one writes; the others have `write=False`."""

    def __init__(self, folder: Path, batch_size: int, *, write: bool = True) -> None:
        self.folder, self.batch_size, self.write = folder, batch_size, write
        self.started, self.bar = time.monotonic(), None
        self.board = _board(folder) if write else None

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.board is not None:
            self.board.close()

    def watched(self, steps: range) -> Iterator[int]:
        """Iterate over the steps with a progress bar that shows pictures per second."""
        pictures = self.batch_size
        with tqdm(
            total=steps.stop * pictures,
            initial=steps.start * pictures,
            unit="img",
            mininterval=2,
            disable=not self.write,
        ) as self.bar:
            for step in steps:
                yield step
                self.bar.update(pictures)

    def say(self, text: str) -> None:
        if self.write:
            tqdm.write(text)

    def scalars(self, step: int, means: Mapping[str, float]) -> None:
        """Log the mean losses since the last call."""
        seconds = round(time.monotonic() - self.started, 1)
        self._append({"step": step, "images": step * self.batch_size, "seconds": seconds, **means})
        self._draw(step, means, "train")
        if self.bar is not None:
            self.bar.set_postfix({key: f"{value:.3g}" for key, value in list(means.items())[:3]}, refresh=False)

    def evaluation(self, step: int, scores: Mapping[str, float]) -> None:
        """Log the scores of an evaluation, and the grid of pictures if there is one in the folder."""
        self._append({"step": step, "evaluation": dict(scores)})
        self._draw(step, scores, "evaluation")
        grid = self.folder / f"grid-{step:06d}.png"
        if self.board is not None and grid.exists():
            import numpy as np
            from PIL import Image

            self.board.add_image("grid", np.asarray(Image.open(grid).convert("RGB")), step, dataformats="HWC")

    def _draw(self, step: int, numbers: Mapping[str, float], group: str) -> None:
        if self.board is not None:
            for name, value in numbers.items():
                self.board.add_scalar(f"{group}/{name}", value, step)

    def _append(self, record: dict[str, Any]) -> None:
        if self.write:
            append_line(self.folder / "log.jsonl", record)


def _board(folder: Path) -> Any:
    """A TensorBoard writer, or None if TensorBoard is not installed; log.jsonl has the same numbers."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
