"""The explorer and the comparison: what a slider, a word and a button change, and how often anything is drawn."""

from __future__ import annotations

import ipywidgets
import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances as living
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.drift import Drift, Track
from telephonegan.errors import SettingsError
from telephonegan.widgets import ChainExplorer, Comparison
from telephonegan.widgets.frames import SIDE, DriftCurve
from tests.games import SENTENCES, chain, chain_from_text, picture, shown


def everything(explorer: ChainExplorer) -> list[bytes]:
    """What the browser has after each round, and after each word of it."""
    seen = []
    for index in range(len(SENTENCES)):
        explorer.rounds.slider.value = index
        for word in range(len(explorer.words.options)):
            explorer.words.index = word
            seen.append((bytes(explorer.picture.value), bytes(explorer.overlay.value), bytes(explorer.curve.value)))
    return seen


def mean_colour(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=float).mean((0, 1))


def test_the_slider_changes_picture_caption_overlay_and_curve():
    explorer = ChainExplorer(chain())
    states = []
    for index in range(len(SENTENCES)):
        explorer.rounds.slider.value = index
        states.append([bytes(w.value) for w in (explorer.picture, explorer.overlay, explorer.curve)])
        assert SENTENCES[index].split()[1] in explorer.caption.value
    for values in zip(*states, strict=True):
        assert len(set(values)) == len(SENTENCES)


def test_the_picture_shown_is_the_one_of_the_round():
    explorer = ChainExplorer(chain([SENTENCES[0]] * 3))
    explorer.rounds.slider.value = 2
    assert np.abs(mean_colour(shown(explorer.picture)) - mean_colour(picture(2))).max() < 2
    assert shown(explorer.picture).size == (SIDE, SIDE)


def test_every_state_is_drawn_once(rendered):
    explorer = ChainExplorer(chain())
    first = everything(explorer)
    explorer.rounds.slider.value = 0
    words = sum(len(sentence.split()) for sentence in SENTENCES)
    assert len(rendered) == 2 * len(SENTENCES) + words
    assert everything(explorer) == first
    assert len(rendered) == 2 * len(SENTENCES) + words


def test_a_round_sends_no_overlay_of_a_word_that_is_not_chosen():
    explorer = ChainExplorer(chain())
    sent = []
    explorer.overlay.observe(lambda change: sent.append(change["new"]), "value")
    explorer.rounds.slider.value = 2
    assert len(sent) == 1


def test_a_chosen_word_lights_its_own_place():
    explorer = ChainExplorer(chain())
    explorer.words.index = 0
    light = np.asarray(shown(explorer.overlay).convert("L"), dtype=float)
    assert light[:60, :60].mean() > 2 * light[150:, 150:].mean()
    assert "“a”" in explorer.overlay.tooltip


def test_a_chosen_word_stays_chosen_where_the_next_caption_has_it():
    explorer = ChainExplorer(chain())
    assert explorer.words.label == "man"
    explorer.words.index = SENTENCES[0].split().index("coat")
    explorer.rounds.slider.value = 1
    assert explorer.words.label == "coat"
    explorer.rounds.slider.value = 2
    assert explorer.words.label == "dog"


def test_words_that_are_said_twice_can_both_be_chosen():
    explorer = ChainExplorer(chain())
    assert list(explorer.words.options) == ["a", "man", "in", "a (2)", "red", "coat"]
    explorer.words.index = 0
    first = bytes(explorer.overlay.value)
    explorer.words.index = 3
    assert bytes(explorer.overlay.value) != first


def test_without_attention_there_are_no_words_and_a_note_instead():
    explorer = ChainExplorer(chain(attention=False))
    explorer.rounds.slider.value = 1
    assert list(explorer.words.options) == [] and explorer.words.index is None
    assert "nothing is known" in explorer.overlay.tooltip
    assert shown(explorer.overlay).size == (SIDE, SIDE)


def test_a_game_that_began_with_a_text_shows_it_in_place_of_a_picture():
    explorer = ChainExplorer(chain_from_text("a small dog"))
    assert explorer.picture.tooltip == "Round 0: the text that was given, “a small dog”"
    note = bytes(explorer.picture.value)
    explorer.rounds.slider.value = 1
    assert bytes(explorer.picture.value) != note
    explorer.rounds.slider.value = 0
    assert explorer.words.index is None


def test_play_and_slider_are_linked_in_the_browser():
    explorer = ChainExplorer(chain())
    link = explorer.rounds.link
    assert isinstance(link, ipywidgets.widgets.widget_link.Link)
    assert link.source == (explorer.rounds.play, "value") and link.target == (explorer.rounds.slider, "value")
    assert (explorer.rounds.play.max, explorer.rounds.slider.max) == (2, 2)


def test_one_round_alone_can_be_seen_and_not_slid():
    explorer = ChainExplorer(chain(SENTENCES[:1]))
    assert explorer.rounds.slider.disabled and explorer.rounds.play.disabled
    # A slider of the browser fails where its least and greatest value are one.
    assert explorer.rounds.slider.min < explorer.rounds.slider.max
    explorer.rounds.slider.value = 1
    assert "Round 0" in explorer.caption.value


def test_a_chain_without_rounds_is_refused():
    with pytest.raises(SettingsError, match="no round"):
        ChainExplorer(Chain("a dog"))


def test_nothing_moves_when_the_round_changes():
    explorer = ChainExplorer(chain())
    parts = [explorer.picture, explorer.overlay, explorer.curve, explorer.caption, explorer.words]
    heights = [part.layout.height for part in parts]
    explorer.rounds.slider.value = 2
    assert [part.layout.height for part in parts] == heights and all(heights)


def test_pictures_describe_themselves_in_words():
    explorer = ChainExplorer(chain())
    assert explorer.picture.tooltip == f"Round 0: the picture that was given, captioned “{SENTENCES[0]}”"
    explorer.rounds.slider.value = 1
    assert explorer.picture.tooltip == f"Round 1: painted from “{SENTENCES[0]}”, captioned “{SENTENCES[1]}”"
    assert "content f1 0.67" in explorer.curve.tooltip
    # Without an empty description in its state, the browser's code for tooltips fails on an image.
    assert explorer.picture.get_state()["description"] == ""


def test_a_drift_that_is_given_is_the_one_drawn():
    played = chain()
    explorer = ChainExplorer(played, drift=Drift.of(Track.of(played), ["bleu", "ssim"]))
    explorer.rounds.slider.value = 1
    assert "bleu" in explorer.curve.tooltip and "ssim" in explorer.curve.tooltip
    assert "content" not in explorer.curve.tooltip


def test_the_marker_goes_along_the_curve():
    curve = DriftCurve(Drift.of(Track.of(chain()), ["content_f1"]))
    sheets = [np.asarray(shown_png(curve.png(t)), dtype=int) for t in range(3)]
    bare = np.median(sheets, axis=0)
    columns = [np.abs(sheet - bare).sum(2).any(0).nonzero()[0].mean() for sheet in sheets]
    assert columns[0] < columns[1] < columns[2]
    assert columns[1] - columns[0] == pytest.approx(columns[2] - columns[1], abs=3)


def shown_png(png: bytes) -> Image.Image:
    return shown(ipywidgets.Image(value=png))


def test_closing_leaves_no_widget_behind():
    before = set(living)
    explorer = ChainExplorer(chain())
    comparison = Comparison([chain(), chain(seed=1)])
    assert len(living) > len(before)
    explorer.close()
    comparison.close()
    explorer.close()
    assert set(living) == before


# ----------------------------------------------------------------------------------------------------- the still


def displayed(view, monkeypatch) -> list:
    outputs = []
    monkeypatch.setattr("telephonegan.widgets.view.display", lambda data, **_: outputs.append(data))
    view._ipython_display_()
    return outputs


@pytest.mark.parametrize("make", [lambda: ChainExplorer(chain()), lambda: Comparison([chain(), chain(seed=1)])])
def test_beneath_the_view_stands_a_picture_of_all_rounds(make, monkeypatch):
    view = make()
    bundle, still = displayed(view, monkeypatch)
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == view.model_id
    data, metadata = still._repr_mimebundle_()
    assert "image/png" in data
    assert all(sentence in metadata["image/png"]["alt"] for sentence in SENTENCES)
    assert view.still()[0].width > 3 * 256


def test_a_closed_view_still_has_its_picture(monkeypatch):
    explorer = ChainExplorer(chain())
    explorer.close()
    assert len(displayed(explorer, monkeypatch)) == 1


# ------------------------------------------------------------------------------------------------------- comparison


def test_one_slider_moves_two_chains_and_the_shorter_one_waits():
    short, long = chain(SENTENCES[:2], seed=1), chain()
    comparison = Comparison([short, long])
    assert comparison.rounds.slider.max == 2
    comparison.rounds.slider.value = 1
    before = [bytes(panel.picture.value) for panel in comparison.panels]
    comparison.rounds.slider.value = 2
    after = [bytes(panel.picture.value) for panel in comparison.panels]
    assert after[0] == before[0] and after[1] != before[1]
    assert "seed 1" in comparison.panels[0].caption.value and "Round 1" in comparison.panels[0].caption.value
    assert "seed 0" in comparison.panels[1].caption.value and "Round 2" in comparison.panels[1].caption.value


@pytest.mark.parametrize("count", [0, 1, 3])
def test_only_two_chains_can_be_compared(count):
    with pytest.raises(SettingsError, match=f"{count} chains"):
        Comparison([chain()] * count)


def test_a_caption_without_words_can_be_shown():
    silent = chain(["a dog", ""])
    explorer = ChainExplorer(silent)
    explorer.rounds.slider.value = 1
    assert "(no word)" in explorer.caption.value


def test_one_chain_is_not_mistaken_for_several():
    with pytest.raises(SettingsError, match="1 chains were given"):
        Comparison(chain())
