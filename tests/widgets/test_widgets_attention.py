"""Word by word: maps of captions and paintings, side by side."""

from __future__ import annotations

import numpy as np
import pytest

from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture
from telephonegan.widgets import AttentionViewer
from tests.games import caption, maps, picture


def painted(attention: np.ndarray | None) -> Picture:
    return Picture(picture(0), text="red dog", words=["red", "dog"], attention=attention)


def test_maps_of_both_stages_are_sent_by_name():
    viewer = AttentionViewer(painted(None), maps={"stage 2": maps(2), "stage 3": maps(2)[:, ::-1]})
    assert [each["name"] for each in viewer.data["maps"]] == ["stage 2", "stage 3"]
    assert viewer.data["maps"][0]["levels"] != viewer.data["maps"][1]["levels"]


def test_the_words_of_a_painting_share_its_pixels_and_those_of_a_caption_do_not():
    assert AttentionViewer(painted(maps(2))).data["maps"][0]["shares"]
    assert not AttentionViewer(caption("a dog")).data["maps"][0]["shares"]


@pytest.mark.parametrize("result", [caption("a dog"), painted(maps(2))])
def test_the_still_has_the_words(result):
    image, words = AttentionViewer(result).still()
    assert image.width == 512 and "dog" in words


@pytest.mark.parametrize("result", [caption("a dog"), painted(maps(2))])
def test_maps_are_kept_as_pictures_and_for_print(result):
    made = {each.file: each.make()[:4] for each in AttentionViewer(result).keepsakes()}
    assert made == {"attention.png": b"\x89PNG", "attention.pdf": b"%PDF", "attention.svg": b"<?xm"}


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
