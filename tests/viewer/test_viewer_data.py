"""Results as plain data: what the page and the widgets get to draw."""

from __future__ import annotations

import base64
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.drift import Drift, Track
from telephonegan.errors import SettingsError
from telephonegan.results import Caption, Picture, Round
from telephonegan.viewer.data import REFERENCES, described, gallery_data, games_data, packed, picture_url, result_data
from tests.games import SENTENCES, caption, chain, chain_from_text, maps, picture

RESULTS = Path(__file__).resolve().parents[2] / "notebooks" / "results" / "fresh" / "summary.json"


def opened(url: str) -> Image.Image:
    return Image.open(BytesIO(base64.b64decode(url.partition(",")[2])))


def unpacked(told: dict) -> np.ndarray:
    levels = np.frombuffer(base64.b64decode(told["levels"]), dtype=np.uint8)
    shaped = levels.reshape(len(told["peaks"]), told["height"], told["width"])
    return shaped / 255 * np.array(told["peaks"])[:, None, None]


# games


def test_rounds_tell_which_words_were_kept_lost_and_gained():
    [game] = games_data([chain()])["games"]
    first, second, third = game["rounds"]
    assert (second["kept"], second["lost"], second["gained"]) == (["man", "coat"], ["red"], ["blue"])
    assert second["left"] == [["man", True], ["red", False], ["coat", True]]
    assert third["kept"] == [] and [word for word, _ in third["left"]] == ["man", "red", "coat"]
    assert first["lost"] == first["gained"] == []


def test_data_are_json_without_numbers_json_does_not_have():
    json.dumps(games_data([chain(), chain_from_text("a dog <runs>")]), allow_nan=False)


def test_curves_begin_at_one_and_leave_out_what_was_not_measured():
    played = chain()
    [game] = games_data([played])["games"]
    assert [curve["name"] for curve in game["drift"]] == ["tf-idf cosine", "content-word F1"]
    assert all(curve["values"][0] == 1 and len(curve["values"]) == len(played) for curve in game["drift"])
    drift = Drift.of(Track.of(played), ["ssim", "content_f1"])
    names = [curve["name"] for curve in games_data([played], drift=drift)["games"][0]["drift"]]
    assert sorted(names) == ["SSIM", "content-word F1"]


def test_references_are_those_that_the_shipped_study_measured():
    measures = json.loads(RESULTS.read_text())["measures"]
    for name, references in REFERENCES.items():
        chance = np.mean(measures[name]["chance"]["value"])
        people = measures[name]["references"]["person against person"]["value"]
        assert references == {"chance": pytest.approx(chance, abs=6e-4), "two people": pytest.approx(people, abs=6e-4)}


def test_references_belong_to_the_models_they_were_measured_with():
    assert games_data([chain()])["games"][0]["drift"][0]["references"] == []
    played = chain()
    played.models = {kind: {"name": "flickr8k", "sha256": "0"} for kind in ("captioner", "generator")}
    told = games_data([played])["games"][0]["drift"][0]["references"]
    assert [each["name"] for each in told] == ["chance", "two people"]


def test_a_game_from_a_text_has_no_picture_and_no_maps_in_round_0():
    first, second = games_data([chain_from_text("a dog runs")])["games"][0]["rounds"]
    assert first["picture"] is None and first["seen"] is None and first["text"] == "a dog runs"
    assert second["picture"]


def test_a_chain_without_rounds_is_refused():
    with pytest.raises(SettingsError, match="no round yet"):
        games_data([Chain("a dog")])


def test_words_find_their_place_among_the_painted_ones():
    painted = Picture(picture(1), words=["a", "red", "dog"], attention=np.ones((3, 4, 4)) / 3, text="a zyx red dog")
    first = Round(0, Caption("a zyx red dog", ["a", "zyx", "red", "dog"]), None)
    played = Chain("a zyx red dog", wanted=1, rounds=[first, Round(1, caption("a dog"), painted)])
    assert games_data([played])["games"][0]["rounds"][1]["painted"]["places"] == [0, -1, 1, 2]


@pytest.mark.parametrize("index", range(3))
def test_every_round_is_described_in_words(index):
    assert SENTENCES[index] in described(chain()[index])


# pictures and maps


def test_pictures_keep_their_looks_and_shape():
    noise = picture(3, (64, 32)).resize((256, 128))
    shown = opened(picture_url(noise))
    assert shown.size == noise.size
    assert np.abs(np.asarray(shown, dtype=float) - np.asarray(noise)).mean() < 4
    assert max(opened(picture_url(noise.resize((2000, 1000)))).size) == 512


def test_maps_survive_packing():
    seen = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    told = packed(seen)
    assert (told["height"], told["width"]) == (8, 8)
    np.testing.assert_allclose(unpacked(told), seen, atol=1 / 255)


def test_large_maps_become_means_of_blocks():
    seen = np.zeros((1, 64, 64), dtype=np.float32)
    seen[0, :2, :2] = 1
    told = packed(seen)
    assert (told["height"], told["width"]) == (32, 32)
    assert unpacked(told)[0, 0, 0] == 1 and unpacked(told)[0].sum() == 1


def test_a_result_begins_with_its_first_word_of_meaning():
    told = result_data(caption("a man in a red coat"), {"attention": maps(6)})
    assert told["words"][told["chosen"]] == "man" and told["maps"][0]["name"] == "attention"
    assert not told["maps"][0]["shares"]


def test_pictures_of_a_gallery_are_labelled_by_their_seeds():
    told = gallery_data([Picture(picture(i), text="a dog", seed=10 + i) for i in range(2)])
    assert [each["label"] for each in told["pictures"]] == ["seed 10", "seed 11"]


def test_pictures_of_a_gallery_that_share_a_seed_are_numbered():
    told = gallery_data([Picture(picture(i), text=text, seed=0) for i, text in enumerate(("a dog", "a cat"))])
    assert [each["label"] for each in told["pictures"]] == ["1", "2"]
    assert told["pictures"][1]["note"] == "2 of 2 · seed 0"
    assert gallery_data([caption("a dog")])["pictures"][0]["label"] == "1"
