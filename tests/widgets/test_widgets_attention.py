"""Word by word: maps of captions and paintings, side by side."""

from __future__ import annotations

import numpy as np
import pytest

from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.widgets import AttentionViewer
from tests.games import caption, maps, picture, shown


def painted(attention: np.ndarray | None) -> Picture:
    return Picture(picture(0), text="red dog", words=["red", "dog"], attention=attention)


def light(widget) -> np.ndarray:
    return np.asarray(shown(widget).convert("L"), dtype=float)


def test_a_word_of_a_caption_lights_its_place():
    viewer = AttentionViewer(caption("a dog in snow"))
    assert viewer.words.label == "dog"
    viewer.words.index = 3
    seen = light(viewer.overlays["attention"])
    assert seen[:60, 230:].mean() > 2 * seen[150:, :140].mean()


def test_the_shares_of_a_painting_are_stretched_and_told():
    halves = np.full((2, 4, 4), 0.5, dtype=np.float32)
    halves[0, :, :2], halves[1, :, :2] = 0.52, 0.48
    viewer = AttentionViewer(painted(halves))
    left, right = (light(viewer.overlays["attention"])[:, side].mean() for side in (slice(0, 100), slice(-100, None)))
    assert left > 2 * right
    assert "50.0% to 52.0%" in viewer.notes["attention"].value
    viewer.words.index = 1
    assert "48.0% to 50.0%" in viewer.notes["attention"].value


def test_maps_of_both_stages_stand_side_by_side():
    stages = {"stage 1": maps(2), "stage 2": maps(2)[:, ::-1]}
    viewer = AttentionViewer(painted(None), maps=stages)
    assert list(viewer.overlays) == ["stage 1", "stage 2"]
    assert bytes(viewer.overlays["stage 1"].value) != bytes(viewer.overlays["stage 2"].value)
    viewer.words.index = 1
    assert all("“dog”" in overlay.tooltip for overlay in viewer.overlays.values())


def test_every_word_is_drawn_once(rendered):
    viewer = AttentionViewer(caption("a dog in snow"))
    for word in (0, 1, 2, 3, 0, 1, 2, 3):
        viewer.words.index = word
    assert len(rendered) == 1 + 4


@pytest.mark.parametrize("result", [caption("a dog"), painted(maps(2))])
def test_the_still_has_the_words(result):
    image, words = AttentionViewer(result).still()
    assert image.width > 400 and "dog" in words


@pytest.mark.parametrize(("result", "given", "told"), [
    (caption("a dog", attention=False), None, "saliency"),
    (Caption("a dog", ["a", "dog"]), None, "no picture"),
    (Caption("", image=picture(0)), None, "no word"),
    (painted(maps(2)), {}, "no attention"),
    (painted(maps(2)), {"x": maps(3)}, r"2 words need maps \(2,H,W\)"),
    (painted(maps(2)), {"x": maps(2)[0]}, r"2 words need maps \(2,H,W\)"),
])  # fmt: skip
def test_what_cannot_be_shown_is_refused(result, given, told):
    with pytest.raises(SettingsError, match=told):
        AttentionViewer(result, maps=given)
