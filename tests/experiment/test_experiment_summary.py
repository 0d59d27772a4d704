"""Summaries: what must come out of chains whose drift is known, and of an experiment's folder."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from telephonegan.cli import main
from telephonegan.drift import Track, Turn
from telephonegan.errors import DataError
from telephonegan.experiment import run
from telephonegan.experiment.summary import in_words, read_summary, summarise, write_summary

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
    with pytest.raises(DataError, match="outside"):
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
    assert "nothing is overwritten" in capsys.readouterr().err


def test_a_chain_that_is_not_there_is_told(texts, plan_of, tmp_path, capsys):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    write_summary(folder, WORDS, resamples=5, device="cpu")
    assert main(["experiment", "figures", str(folder), "--chain", "s9999-seed0"]) == 2
    assert "s0000-seed0" in capsys.readouterr().err
    assert not (folder / "figures").exists()
