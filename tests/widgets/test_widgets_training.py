"""Trainings that are watched: curves from logs that are being written, pictures, and how a training ends."""

from __future__ import annotations

import json
import subprocess
import sys
from io import BytesIO

import pytest
from PIL import Image

from telephonegan.errors import SettingsError
from telephonegan.widgets import TrainingView
from telephonegan.widgets.training import _curves, logged

PANELS = {"damsm": ("r_precision", "DAMSM ↑"), "attngan": ("word_loss", "generator ↓")}


@pytest.fixture
def view(tmp_path):
    return TrainingView(tmp_path, PANELS)


@pytest.fixture
def training(monkeypatch):
    """Instead of `telephonegan train` another program runs, which gets the same words."""
    begun = subprocess.Popen
    monkeypatch.setattr("telephonegan.widgets.training._SECONDS", 0.02)

    def of(code: str) -> list[list[str]]:
        commands: list[list[str]] = []

        def start(command: list[str], **options):
            commands.append(command)
            return begun([sys.executable, "-c", code, *command[1:]], **options)

        monkeypatch.setattr("telephonegan.widgets.training.subprocess.Popen", start)
        return commands

    return of


def log(folder, kind, *records, unfinished=""):
    (folder / kind).mkdir(exist_ok=True)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / kind / "log.jsonl").write_text(lines + unfinished, encoding="utf-8")


def test_before_anything_is_trained_there_are_empty_axes_and_a_card(view):
    assert view.board.value[:4] == view.painted.value[:4] == b"\x89PNG"
    assert "Nothing is training" in view.status.value and "DAMSM ↑" in view.board.tooltip


def test_before_anything_is_painted_the_photographs_are_shown(tmp_path):
    photographs = [Image.new("RGB", (30, 20), (8 * number, 0, 0)) for number in range(32)]
    view = TrainingView(tmp_path, PANELS, photographs=photographs)
    shown = Image.open(BytesIO(view.painted.value))
    assert view.painted.tooltip == "Photographs to learn from"
    assert shown.width / shown.height == pytest.approx(2, abs=0.1), "as wide as what replaces it"


def test_numbers_are_read_from_lines_of_both_kinds_and_a_half_written_one_waits(tmp_path):
    evaluated = {"step": 2, "evaluation": {"CIDEr": 0.5}}
    log(tmp_path, "run", {"step": 1, "loss": 3.0}, evaluated, unfinished='{"step": 3, "l')
    assert logged(tmp_path / "run", "loss") == ((1, 3.0),)
    assert logged(tmp_path / "run", "CIDEr") == ((2, 0.5),)
    assert logged(tmp_path / "nowhere", "loss") == ()


def test_what_is_logged_is_drawn_once(view, tmp_path):
    before = view.board.value
    log(tmp_path, "damsm", {"step": 10, "evaluation": {"r_precision": 0.2}})
    view.refresh()
    assert view.board.value != before
    drawn = _curves.cache_info().misses
    view.refresh()
    assert _curves.cache_info().misses == drawn


def test_the_newest_grid_is_shown(view, tmp_path):
    (tmp_path / "attngan").mkdir()
    for step in (2, 10):
        Image.new("RGB", (8, 8), (step, 0, 0)).save(tmp_path / "attngan" / f"grid-{step:06}.png")
    view.refresh()
    assert view.painted.value == (tmp_path / "attngan" / "grid-000010.png").read_bytes()
    assert "grid-000010" in view.painted.tooltip


def test_a_training_is_told_what_to_do_and_its_last_words_are_shown(view, tmp_path, training, monkeypatch):
    seen = []
    monkeypatch.setattr(view, "refresh", seen.append)
    commands = training("import time; print('step 1\\rstep 2', end='', flush=True); time.sleep(1)")
    view.train("damsm", "--data", "photos")
    assert commands[0][1:] == [
        *("-m", "telephonegan", "train", "damsm", "--run", str(tmp_path / "damsm"), "--data", "photos")
    ]
    assert "damsm: is starting" in seen[0] and "damsm: step 2" in seen and seen[-1] == "damsm is trained"


def test_a_training_that_fails_is_explained_in_its_own_words(view, training):
    training("import sys; sys.exit('there is no data folder')")
    with pytest.raises(SettingsError, match="Training damsm failed:\nthere is no data folder"):
        view.train("damsm")


def test_stop_lets_the_training_save_what_it_has(view, tmp_path, training, monkeypatch):
    training(
        "import pathlib, signal, sys, time\n"
        "def save(*_): pathlib.Path(sys.argv[6], 'saved').touch(); sys.exit(130)\n"
        "signal.signal(signal.SIGINT, save); pathlib.Path(sys.argv[6]).mkdir(); time.sleep(60)"
    )

    def stopped(_: float) -> None:
        if (tmp_path / "damsm").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr("telephonegan.widgets.training.time.sleep", stopped)
    with pytest.raises(KeyboardInterrupt):
        view.train("damsm")
    assert (tmp_path / "damsm" / "saved").exists()
