"""Summaries: what must come out of chains whose drift is known, and of an experiment's folder."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from telephonegan.cli.main import main
from telephonegan.drift import Track, Turn
from telephonegan.drift import tracks as tracks_module
from telephonegan.drift.measures import Measure
from telephonegan.errors import DataError, OutputError
from telephonegan.experiment import run
from telephonegan.experiment.summary import estimate, in_words, read_summary, summarise, write_summary

QUIET = {"progress": False, "device": "cpu"}
WORDS = ["content_f1", "tfidf_cosine"]


def track(source, captions, *, seed=0, references=(), picture=None):
    turns = tuple(Turn(t, tuple(text.split()), picture) for t, text in enumerate(captions))
    return Track(f"{source}-seed{seed}", source, seed, turns, tuple(tuple(text.split()) for text in references))


def test_chains_that_repeat_themselves_lose_nothing():
    tracks = [
        track("a", ["red dog"] * 5, references=["red dog"]),
        track("b", ["blue cat"] * 5, references=["blue cat"]),
    ]
    told = summarise(tracks, WORDS, resamples=20)
    for measure in told["measures"].values():
        assert measure["start"]["value"] == measure["start"]["low"] == [1.0] * 4
        assert (measure["floor"], measure["ceiling"], measure["gc_at_t"]["value"]) == ([0.0] * 4, 1.0, 1.0)
        assert measure["fraction"]["value"] == [1.0] * 4
        assert measure["half_life"]["rounds"] is None and "does not fall" in measure["half_life"]["reason"]
    assert told["survival"]["all"]["share"]["value"] == [1.0] * 5
    assert set(told["survival"]) == {"all", "colour", "object"}
    assert told["repetition"] == {"chains": 2, "with_a_fixed_point": 2, "periods": {"1": 2}, "different_ends": 2}


def test_chains_that_become_one_motif_lie_on_the_floor():
    tracks = [track(name, [start, "the sea", "the sea"]) for name, start in (("a", "red dog"), ("b", "blue cat"))]
    told = summarise(tracks, WORDS, resamples=20)
    assert told["measures"]["content_f1"]["start"]["value"] == [0.0, 0.0]
    assert told["measures"]["content_f1"]["previous"]["value"] == [0.0, 1.0]
    assert [(each["unique"], each["distance"]) for each in told["diversity"]] == [(2, 1.0), (1, 0.0), (1, 0.0)]
    assert told["attractors"] == [{"captions": ["the sea"], "chains": 2}]
    assert told["measures"]["content_f1"]["fraction"] is None
    assert "human captions" in told["measures"]["content_f1"]["half_life"]["reason"]


def test_a_fraction_lies_between_unrelated_chains_and_other_captions():
    tracks = [
        track("a", ["red dog", "red ball", "blue ball", "green ball"], references=["red dog"]),
        track("b", ["old man", "old boat", "tall boat", "wide boat"], references=["old man"]),
    ]
    told = summarise(tracks, ["content_f1"], resamples=20)["measures"]["content_f1"]
    assert (told["start"]["value"], told["floor"], told["ceiling"]) == ([0.5, 0.0, 0.0], [0.0] * 3, 1.0)
    assert told["fraction"]["value"] == [0.5, 0.0, 0.0]


def test_there_is_no_fraction_where_the_ceiling_is_not_surely_above_the_floor():
    starts = ("red dog", "old man", "tall tree", "wide boat", "blue cat")
    tracks = [track(start, [start, start, start, "sea"], references=["grey stone"]) for start in starts]
    told = summarise(tracks, ["content_f1"], resamples=50)["measures"]["content_f1"]
    assert (told["floor"], told["ceiling"], told["fraction"]) == ([0.0] * 3, 0.0, None)
    assert "not surely above" in told["half_life"]["reason"]


def test_a_poorer_summary_does_not_replace_a_richer_one(photos, plan_of, tmp_path):
    folder = run(plan_of(photos), tmp_path / "out", **QUIET)
    write_summary(folder, ["content_f1", "ssim"], resamples=5, device="cpu")
    rich = (folder / "summary.json").read_bytes()
    with pytest.raises(OutputError, match="ssim"):
        write_summary(folder, ["content_f1"], resamples=5, device="cpu")
    shutil.rmtree(folder / "pictures")
    with pytest.raises(OutputError, match="ssim"):
        write_summary(folder, None, resamples=5, device="cpu")
    assert (folder / "summary.json").read_bytes() == rich


def test_pictures_have_the_other_seeds_painting_as_their_ceiling():
    black, white = (Image.new("RGB", (8, 8), colour) for colour in ("black", "white"))
    tracks = [
        track(name, ["red dog"] * 3, seed=seed, picture=p)
        for name, p in (("a", black), ("b", white))
        for seed in (0, 1)
    ]
    told = summarise(tracks, ["ssim"], resamples=20)["measures"]["ssim"]
    assert (told["ceiling_of"], told["ceiling"]) == ("other paintings", 1.0)
    assert told["start"]["value"] == [1.0, 1.0]


@pytest.fixture
def looks(monkeypatch):
    """Lite2 as a network to which pictures of one width are the same, and others have nothing in common."""
    seen = []

    def observed(pictures, judge):
        seen.extend(pictures)
        return SimpleNamespace(lite2=torch.eye(9)[[picture.width for picture in pictures]])

    monkeypatch.setattr(Measure, "is_available", True)
    monkeypatch.setattr(tracks_module.Material, "_matcher", lambda material, name: name)
    monkeypatch.setattr(tracks_module, "observed", observed)
    return seen


def shown(source, *widths):
    turns = (Turn(t, ("sea",), Image.new("RGB", (w, 8)) if w else None) for t, w in enumerate(widths))
    return Track(f"{source}-seed0", source, 0, tuple(turns))


def test_pictures_of_a_round_are_as_far_apart_as_their_features_and_are_looked_at_once(looks):
    tracks = [shown("a", 1, 4, 7), shown("b", 2, 4, 7), shown("c", 3, 5, 7), shown("silent", 8)]
    told = summarise(tracks, ["lite2_cosine"], resamples=5)
    assert told["picture_diversity"] == [
        {"round": 0, "pictures": 4, "distance": 1.0},
        {"round": 1, "pictures": 3, "distance": 0.666667},
        {"round": 2, "pictures": 3, "distance": 0.0},
    ]
    assert len(looks) == 10
    counts = {"sources": 4, "skipped": 0, "rounds_wanted": 2, "complete": True}
    assert "1 - Lite2 cosine: 1.00 in round 0, 0.67 in round 1, 0.00 in round 2\n" in in_words(
        {"experiment": counts, **told}
    )


def test_without_pictures_or_their_features_nothing_is_told_of_their_diversity(looks):
    assert summarise([shown("a", 0, 0), shown("b", 0, 0)], resamples=5)["picture_diversity"] is None
    told = summarise([shown("a", 1, 2), shown("b", 1, 2)], ["content_f1"], resamples=5)
    assert told["picture_diversity"] is None and looks == []
    counts = {"sources": 2, "skipped": 0, "rounds_wanted": 1, "complete": True}
    assert "Lite2" not in in_words({"experiment": counts, **told})


def test_the_teachers_opinion_is_marked_as_such(looks, monkeypatch):
    monkeypatch.setattr(tracks_module, "picture_codes", lambda pictures, _: torch.ones(len(pictures), 2).numpy())
    monkeypatch.setattr(tracks_module, "caption_codes", lambda captions, _: torch.ones(len(captions), 2).numpy())
    tracks = [shown("a", 1, 2), shown("b", 1, 2)]
    counts = {"sources": 2, "skipped": 0, "rounds_wanted": 1, "complete": True}
    for measure in ("damsm_text_to_image", "content_f1"):
        told = in_words({"experiment": counts, **summarise(tracks, [measure], resamples=5)})
        assert ("teacher's own opinion" in told) == measure.startswith("damsm")


def test_where_ends_alone_were_kept_their_pictures_are_compared(looks):
    told = summarise([shown("a", 1, 0, 2), shown("b", 3, 0, 2)], ["lite2_cosine"], resamples=5)
    assert [(each["round"], each["distance"]) for each in told["picture_diversity"]] == [(0, 1.0), (2, 0.0)]


def test_one_source_has_no_floor_and_no_interval():
    told = summarise([track("a", ["red dog", "red cat"])], ["content_f1"], resamples=5)["measures"]["content_f1"]
    assert (told["start"], told["floor"]) == ({"value": [0.5], "low": [None], "high": [None]}, None)
    assert "other sources" in told["half_life"]["reason"]


def test_without_a_second_round_there_is_nothing_to_tell():
    with pytest.raises(DataError, match="Play on"):
        summarise([track("a", ["red dog"])], WORDS)


def test_chains_of_different_lengths_stand_together():
    tracks = [track("a", ["red dog", "red dog", "red dog"]), track("b", ["blue cat", "blue cat"]), track("c", ["sea"])]
    told = summarise(tracks, WORDS, resamples=20)
    assert told["measures"]["content_f1"]["start"]["value"] == [1.0, 1.0]
    assert [each["last_round"] for each in told["chains"]] == [2, 1, 0]
    assert told["chains"][2]["last_to_start"] == {}


def test_a_folder_is_summarised_again_to_the_same_bytes(texts, plan_of, tmp_path):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    told = write_summary(folder, WORDS, resamples=20, device="cpu")
    before = (folder / "summary.json").read_bytes()
    assert read_summary(folder) == told
    write_summary(folder, WORDS, resamples=20, device="cpu")
    assert (folder / "summary.json").read_bytes() == before
    assert "content_f1" in in_words(told)
    assert told["experiment"]["complete"] is True


def test_references_come_from_the_data_folder(photos, plan_of, tmp_path):
    (photos / "captions.txt").write_text("".join(f"{n}.png\tA dog\n{n}.png\ttwo dogs\n" for n in range(3)))
    for split, names in (("train", "0.png"), ("dev", "0.png"), ("test", "1.png\n2.png")):
        (photos / f"{split}.txt").write_text(names)
    folder = run(plan_of(photos, split="test"), tmp_path / "out", **QUIET)
    told = write_summary(folder, ["content_f1"], resamples=5, device="cpu")["measures"]["content_f1"]
    assert told["ceiling"] is not None and told["ceiling_of"] == "other captions"
    assert "dog" not in (folder / "manifest.json").read_text()


def test_a_line_that_names_a_file_elsewhere_is_refused(photos, plan_of, tmp_path):
    folder = run(plan_of(photos), tmp_path / "out", **QUIET)
    lines = (folder / "rounds.jsonl").read_text()
    (folder / "rounds.jsonl").write_text(lines.replace("pictures/s0000.png", "../photos/0.png"))
    with pytest.raises(DataError, match="not inside"):
        write_summary(folder, WORDS, device="cpu")


@pytest.mark.parametrize("kept", ["all", "none"])
def test_figures_and_table_are_drawn_once(photos, plan_of, tmp_path, capsys, kept):
    folder = run(plan_of(photos, pictures=kept), tmp_path / "out", **QUIET)
    assert main(["experiment", "figures", str(folder)]) == 2
    assert "telephonegan experiment summary" in capsys.readouterr().err
    names = [*WORDS, *(["ssim"] if kept == "all" else [])]
    arguments = ["--resamples", "20", "--device", "cpu", "--json"]
    assert main(["experiment", "summary", str(folder), "--measures", *names, *arguments]) == 0
    assert set(json.loads(capsys.readouterr().out)["measures"]) == set(names)
    assert main(["experiment", "figures", str(folder), "--format", "svg"]) == 0
    found = {path.name for path in (folder / "figures").iterdir()}
    assert {"similarity-content-f1.svg", "survival.svg", "attractors.svg", "film-strip.svg", "summary.tex"} <= found
    assert {"image-grid.svg", "meaning-and-looks-ssim.svg", "fractions.svg"} & found == (
        {"image-grid.svg", "meaning-and-looks-ssim.svg"} if kept == "all" else set()
    )
    assert main(["experiment", "figures", str(folder)]) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize("kept", ["all", "ends"])
def test_games_from_texts_and_games_of_which_ends_were_kept_have_summary_and_figures(
    request, plan_of, tmp_path, kept, capsys
):
    sources = request.getfixturevalue("texts" if kept == "all" else "photos")
    folder = run(plan_of(sources, pictures=kept), tmp_path / "out", **QUIET)
    names = ["content_f1", "ssim"]
    assert (
        main(["experiment", "summary", str(folder), "--measures", *names, "--resamples", "9", "--device", "cpu"]) == 0
    )
    assert "ssim" in capsys.readouterr().out
    told = read_summary(folder)["measures"]
    assert all(measure["rounds"] == [1, 2, 3] for measure in told.values())
    known = [value is not None for value in told["ssim"]["start"]["value"]]
    if kept == "all":  # pictures are there from round 1 on, so each can be compared with the one before
        assert known == [False] * 3
        assert [value is not None for value in told["ssim"]["previous"]["value"]] == [False, True, True]
        assert "pictures to begin with" in told["ssim"]["half_life"]["reason"]
    else:
        assert known[-1] and told["ssim"]["gc_at_t"]["value"] is None
        assert not any(told["ssim"]["previous"]["value"])
    assert main(["experiment", "figures", str(folder), "--format", "svg"]) == 0
    found = {path.stem for path in (folder / "figures").iterdir()}
    assert {"similarity-ssim", "meaning-and-looks-ssim"} & found == (
        set() if kept == "all" else {"similarity-ssim", "meaning-and-looks-ssim"}
    )


def test_a_half_life_that_may_have_no_end_is_told_as_infinite():
    falling = [1, 0.5, 0.25, 0.125]
    captions = [" ".join(f"w{i}" for i in range(round(8 * share))) for share in falling]
    tracks = [
        track("a", captions, references=[captions[0]]),
        track("b", [text.replace("w", "v") for text in captions], references=[captions[0].replace("w", "v")]),
        track("c", [captions[0].replace("w", "u")] * 4, references=[captions[0].replace("w", "u")]),
    ]
    told = summarise(tracks, ["content_f1"], resamples=50)
    rounds = told["measures"]["content_f1"]["half_life"]["rounds"]
    assert rounds["high"] == "Infinity" and estimate(rounds).high == float("inf")
    counts = {"sources": 3, "skipped": 0, "rounds_wanted": 3, "complete": True}
    assert ", ∞]" in in_words({"experiment": counts, **told})


def test_a_chain_that_is_not_there_is_told(texts, plan_of, tmp_path, capsys):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    write_summary(folder, WORDS, resamples=5, device="cpu")
    assert main(["experiment", "figures", str(folder), "--chain", "s9999-seed0"]) == 2
    assert "s0000-seed0" in capsys.readouterr().err
    assert not (folder / "figures").exists()
