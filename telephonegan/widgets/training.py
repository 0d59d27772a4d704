"""Trainings while they run: curves, the pictures painted so far, and what the training said last."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import ipywidgets

from telephonegan.errors import SettingsError, printable
from telephonegan.files import png_bytes
from telephonegan.images import as_image, contact_sheet, to_tensor
from telephonegan.widgets.frames import DescribedImage, card_png
from telephonegan.widgets.messages import card_html, faint_html

_WIDTH, _HEIGHT = 1000, 280
_PAINTED = 320
_SECONDS = 1.0  # between two looks


class TrainingView(ipywidgets.VBox):
    """Runs `telephonegan train` in processes of their own and shows how they go.

    `folder` holds one run for each kind of `panels`, which gives the key of its log to draw and the title above it.
    `photographs`, best 32 of them, are shown until the first picture is painted. `train` returns when a training is
    over; interrupting it saves what there is, and calling it again goes on.

    >>> view = TrainingView("runs", {"captioner": ("CIDEr", "captioner: CIDEr")})  # doctest: +SKIP
    >>> view.train("captioner", "--data", "my-photographs")  # doctest: +SKIP
    """

    def __init__(
        self, folder: str | Path, panels: Mapping[str, tuple[str, str]], *, photographs: Sequence[Any] = ()
    ) -> None:
        self.folder, self._panels = Path(folder), dict(panels)
        self.status = ipywidgets.HTML()
        self.board, self.painted = DescribedImage(_WIDTH, _HEIGHT), DescribedImage(2 * _PAINTED, _PAINTED)
        self.board.layout.max_width, self.board.layout.height = "100%", "auto"
        self.painted.show(*_before_painting(photographs))
        super().__init__([self.status, self.board, self.painted])
        self.refresh()

    def train(self, kind: str, *options: str) -> None:
        """Train one network with these options of the command line; raises SettingsError with its words if it fails."""
        run, told = self.folder / kind, self.folder / f"{kind}.txt"
        command = [sys.executable, "-m", "telephonegan", "train", kind, "--run", str(run), *options]
        with open(told, "w", encoding="utf-8") as output:
            training = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                while training.poll() is None:
                    self.refresh(f"{kind}: {_last_line(told) or 'is starting'}")
                    time.sleep(_SECONDS)
            finally:
                if training.poll() is None:
                    training.send_signal(signal.SIGINT)  # it saves what it has, and ends
                    training.wait()
        if training.returncode:
            raise SettingsError(f"Training {kind} failed:\n{told.read_text(encoding='utf-8')[-2000:]}")
        self.refresh(f"{kind} is trained")

    def refresh(self, status: str = "") -> None:
        """Draw what the runs have logged by now."""
        self.status.value = card_html(faint_html(status or "Nothing is training."))
        lines = tuple(logged(self.folder / kind, key) for kind, (key, _) in self._panels.items())
        titles = tuple(title for _, title in self._panels.values())
        self.board.show(_curves(titles, lines), f"Curves over steps: {', '.join(titles)}")
        if grids := sorted(self.folder.glob("*/grid-*.png")):
            self.painted.show(grids[-1].read_bytes(), f"Pictures painted so far, {grids[-1].stem}")


def _before_painting(photographs: Sequence[Any]) -> tuple[bytes, str]:
    """A picture, and what it shows, while nothing has been painted."""
    if not photographs:
        return card_png("no picture is painted yet", _PAINTED), "No picture yet"
    small = to_tensor([as_image(each) for each in photographs], _PAINTED // 4)
    return png_bytes(contact_sheet(small)), "Photographs to learn from"


def logged(run: Path, key: str) -> tuple[tuple[int, float], ...]:
    """Steps, and one number at each of them, as far as the log of a run has it."""
    path = run / "log.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]  # the last line may be half written
    values = [(record["step"], record.get("evaluation", record).get(key)) for record in records]
    return tuple((step, value) for step, value in values if value is not None)


def _last_line(path: Path) -> str:
    """What a program said last; a progress bar goes back to the start of its line."""
    lines = path.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").split("\n")
    return printable(next((line.strip() for line in reversed(lines) if line.strip()), ""))[:160]


@lru_cache(maxsize=1)  # drawn again only where there is something new
def _curves(titles: Sequence[str], lines: Sequence[Sequence[tuple[int, float]]]) -> bytes:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), layout="constrained")
    for axes, title, line in zip(figure.subplots(1, len(titles), squeeze=False)[0], titles, lines, strict=True):
        axes.plot([step for step, _ in line], [value for _, value in line], marker="o", markersize=3)
        axes.set(title=title, xlabel="step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if not line:
            axes.set(xticks=[], yticks=[])
    png = BytesIO()
    figure.savefig(png, format="png", dpi=100)
    return png.getvalue()
