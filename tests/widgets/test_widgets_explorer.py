"""Views of games: what they give the browser, and what can be kept of them. tests/browser has what is then seen."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ipywidgets.widgets.widget import _instances as living
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.drift import Drift, Track
from telephonegan.errors import SettingsError
from telephonegan.viewer import games_data
from telephonegan.widgets import ChainExplorer, Comparison
from telephonegan.widgets.view import View
from tests.games import SENTENCES, chain, chain_from_text


def sent_by(view: View) -> list[tuple[dict[str, Any], list[bytes]]]:
    """What a view sends the browser from here on."""
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    view.send = lambda message, buffers=(): sent.append((message, list(buffers)))
    return sent


def asked(view: View, label: str) -> tuple[dict[str, Any], list[bytes]]:
    """What the browser gets when this button is pressed."""
    sent = sent_by(view)
    [file] = [file for file, shown, _ in view.data["keep"] if shown == label]
    view._heard(view, {"keep": file}, [])
    [told] = sent
    return told


def test_the_browser_gets_the_game_and_what_can_be_kept():
    played = chain()
    view = ChainExplorer(played)
    assert view.data["games"] == games_data([played])["games"]
    assert [label for _, label, _ in view.data["keep"]] == ["Save folder", "PNG", "GIF", "HTML", "PDF", "SVG"]


def test_curves_are_those_of_the_drift_that_is_given():
    played = chain()
    drift = Drift.of(Track.of(played), ["ssim"])
    assert [curve["name"] for curve in ChainExplorer(played, drift=drift).data["games"][0]["drift"]] == ["SSIM"]


def test_two_to_four_games_stand_side_by_side():
    view = Comparison([chain(seed=0), chain(seed=1)])
    assert [game["title"] for game in view.data["games"]] == ["seed 0", "seed 1"]
    for wrong in ([chain()], [chain()] * 5, chain()):
        with pytest.raises(SettingsError, match="2 to 4"):
            Comparison(wrong)


def test_a_game_without_rounds_is_refused():
    with pytest.raises(SettingsError, match="no round yet"):
        ChainExplorer(Chain("a dog"))


@pytest.mark.parametrize(("label", "starts"), [
    ("PNG", b"\x89PNG"),
    ("GIF", b"GIF89a"),
    ("HTML", b"<!DOCTYPE html>"),
    ("PDF", b"%PDF"),
    ("SVG", b"<?xml"),
])  # fmt: skip
@pytest.mark.parametrize("view", [ChainExplorer(chain()), Comparison([chain(), chain(SENTENCES[:2], seed=1)])])
def test_files_are_sent_to_the_browser(view, label, starts):
    message, [content] = asked(view, label)
    assert content.startswith(starts)
    assert message["kept"].startswith("game-seed0") and message["kept"].endswith(label.lower())


def test_games_side_by_side_move_together_in_a_gif():
    _, [content] = asked(Comparison([chain(), chain(SENTENCES[:2], seed=1)]), "GIF")
    animation = Image.open(BytesIO(content))
    assert animation.n_frames == 3 and animation.width == 2 * chain().frames()[0].width


def test_a_folder_is_saved_where_the_kernel_runs_and_its_name_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message, _ = asked(ChainExplorer(chain()), "Save folder")
    folder = Path(message["said"].removeprefix("Saved in "))
    assert Chain.load(folder)[2].caption.text == SENTENCES[2]
    message, _ = asked(Comparison([chain(), chain(seed=1)]), "Save folder")
    both = Path(message["said"].removeprefix("Saved in "))
    assert sorted(each.name for each in both.iterdir()) == ["1-seed0", "2-seed1"]


def test_what_cannot_be_kept_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("out").write_text("in the way")
    message, buffers = asked(ChainExplorer(chain()), "Save folder")
    assert message["failed"] and "out" in message["said"] and buffers == []


def test_a_still_stands_in_for_the_view_where_no_kernel_runs():
    data, metadata = ChainExplorer(chain())._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "image/jpeg"} <= set(data)
    assert SENTENCES[1] in metadata["image/jpeg"]["alt"]


def test_a_game_from_a_text_has_a_view_too():
    view = ChainExplorer(chain_from_text("a small dog"))
    assert view.data["games"][0]["rounds"][0]["picture"] is None
    assert view.still()[0].width > 256


def test_closing_leaves_no_widget_behind():
    before = set(living)
    ChainExplorer(chain()).close()
    assert set(living) == before
