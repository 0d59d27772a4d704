"""Summaries: what must come out of chains whose drift is known, and of an experiment's folder."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.cli.main import main
from telephonegan.drift import Track, Turn
from telephonegan.drift import tracks as tracks_module
from telephonegan.drift.measures import Measure
from telephonegan.errors import DataError, OutputError
from telephonegan.experiment import run
from telephonegan.experiment.summary import read_summary, summarise, write_summary
from telephonegan.experiment.wording import in_words

QUIET = {"progress": False, "device": "cpu"}
WORDS = ["content_f1", "tfidf_cosine"]
OLD = Path(__file__).parent / "summary_of_format_1.json"
PERSON = "captioner against person"


def track(source, captions, *, seed=0, references=(), picture=None):
    turns = tuple(Turn(t, tuple(text.split()), picture) for t, text in enumerate(captions))
    return Track(f"{source}-seed{seed}", source, seed, turns, tuple(tuple(text.split()) for text in references))


def counts(tracks, **more):
    return {"sources": len({t.source for t in tracks}), "skipped": 0, "rounds_wanted": 4, "complete": True, **more}


def test_chains_that_repeat_themselves_lose_nothing():
    tracks = [
        track("a", ["red dog"] * 5, references=["red dog"]),
        track("b", ["blue cat"] * 5, references=["blue cat"]),
    ]
    told = summarise(tracks, WORDS, resamples=20)
    for measure in told["measures"].values():
        assert measure["start"]["value"] == measure["start"]["low"] == [1.0] * 4
        assert (measure["chance"]["value"], measure["pairs"], measure["gc_at_t"]["value"]) == ([0.0] * 4, 2, 1.0)
        assert measure["above_chance"]["value"] == [1.0] * 4
        assert measure["half_life"]["rounds"] is None and "6 are needed" in measure["half_life"]["reason"]
    for kinds in (told["survival"], told["survival_of_lemmas"]):
        assert kinds["all"]["share"]["value"] == kinds["all"]["excess"]["value"] == [1.0] * 5
        assert kinds["all"]["chance"]["value"] == [0.0] * 5 and kinds["all"]["sources"] == 2
        assert set(kinds) == {"all", "colour", "object"}
    ends = told["repetition"]
    assert (ends["repeat"], ends["repeat_at_end"], ends["left"], ends["different_ends"]) == (2, 2, 0, 2)
    assert ends["cycles"] is None and ends["in_a_cycle"] is None


def test_chains_that_become_one_motif_have_no_more_than_chance():
    tracks = [track(name, [start, "the sea", "the sea"]) for name, start in (("a", "red dog"), ("b", "blue cat"))]
    told = summarise(tracks, WORDS, resamples=20)
    assert told["measures"]["content_f1"]["start"]["value"] == [0.0, 0.0]
    assert told["measures"]["content_f1"]["previous"]["value"] == [0.0, 1.0]
    assert [each["unique"] for each in told["diversity"]] == [2, 1, 1]
    assert told["distances"]["captions"]["value"] == [1.0, 0.0, 0.0]
    assert told["distances"]["captions_change"]["value"] == -1.0
    assert told["distances"]["same_caption"]["value"] == [0.0, 1.0, 1.0]
    assert told["ends"] == [{"caption": "the sea", "chains": 2, "settled": 0}]
    assert told["measures"]["content_f1"]["above_chance"]["value"] == [0.0, 0.0]
    assert "effective number – → 1 [–, –] (1 / P" in in_words({"experiment": counts(tracks), **told})


def test_chance_is_the_mean_over_all_pairs_of_sources():
    tracks = [track("a", ["red dog", "red ball"]), track("b", ["old dog", "red dog"]), track("c", ["sea", "dog"])]
    told = summarise(tracks, ["content_f1"], resamples=20)["measures"]["content_f1"]
    of_pairs = [1.0, 2 / 3, 0.0, 2 / 3, 0.0, 0.0]  # a with b and c, b with a and c, c with a and b
    assert told["chance"]["value"] == [pytest.approx(np.mean(of_pairs), abs=1e-6)] and told["pairs"] == 6
    start = np.mean([0.5, 0.5, 0.0])
    assert told["above_chance"]["value"][0] == pytest.approx(
        (start - np.mean(of_pairs)) / (1 - np.mean(of_pairs)), abs=1e-5
    )


def test_references_are_named_for_what_they_compare_and_stand_beside_the_curve():
    captions = ["red dog", "red cat", "old man"]
    tracks = [
        track("a", ["red dog", "red dog", "sea"], references=captions),
        track("b", ["blue cat", "blue cat", "sea"], references=["blue cat"]),
    ]
    told = summarise(tracks, ["content_f1"], resamples=20)["measures"]["content_f1"]
    assert set(told["references"]) == {PERSON, "person against person"}
    person, people = told["references"].values()
    assert (person["value"], person["sources"]) == (0.75, 2)  # of 1, 0.5 and 0 for a, and 1 for b
    assert person["difference"]["value"] == [0.25, -0.75]
    assert (people["value"], people["sources"]) == (pytest.approx(1 / 6, abs=1e-6), 1)
    assert people["difference"]["value"] == [pytest.approx(5 / 6, abs=1e-6), pytest.approx(-1 / 6, abs=1e-6)]
    assert "ceiling" not in json.dumps(told)


def test_nothing_lies_above_the_same():
    tracks = [track(f"{i}", ["red dog", "red dog", "dog"], references=["sea"]) for i in range(3)]
    tracks.append(track("other", ["blue cat", "blue cat", "cat"], references=["sea"]))
    told = summarise(tracks, WORDS, resamples=20)["measures"]
    assert max(max(each["above_chance"]["value"]) for each in told.values()) == 1.0
    assert all(each["references"][PERSON]["value"] == 0 for each in told.values())


def test_where_chance_leaves_no_room_nothing_is_said_and_the_resamples_are_counted():
    tracks = [track(name, ["red dog", "red dog"]) for name in "ab"]
    tracks.append(track("c", ["blue cat", "blue cat"]))
    told = summarise(tracks, ["content_f1"], resamples=60)["measures"]["content_f1"]["above_chance"]
    assert told["value"] == [1.0] and told["low"] == [None]
    assert 3 < told["unknown"][0] < 60
    assert "NaN" not in json.dumps(told)


def test_a_planted_decay_has_its_half_life_in_the_summary():
    def chain(name, shares):
        words = [f"{name}{i}" for i in range(200)]
        return track(name, [" ".join(words), *(" ".join(words[: round(200 * share)]) or "sea" for share in shares)])

    rounds = np.arange(1, 9)
    shares = 0.2 + 0.7 * 2.0 ** (-(rounds - 1) / 1.5)
    f1 = shares / (2 - shares)  # so that 2·common / (all + common) falls as planted
    told = summarise([chain(name, f1) for name in "abcdef"], ["content_f1"], resamples=40)
    law = told["measures"]["content_f1"]["half_life"]
    assert law["reason"] == "" and law["best"] == "exponential"
    assert law["rounds"]["value"] == pytest.approx(1.5, rel=0.05)
    assert law["plateau"]["value"] == pytest.approx(0.2, abs=0.02)
    assert f"half-life {law['rounds']['value']:.2f} [" in in_words({"experiment": counts([], sources=6), **told})


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


def test_pictures_stand_beside_the_other_seeds_painting():
    black, white = (Image.new("RGB", (8, 8), colour) for colour in ("black", "white"))
    tracks = [
        track(name, ["red dog"] * 3, seed=seed, picture=p)
        for name, p in (("a", black), ("b", white))
        for seed in (0, 1)
    ]
    told = summarise(tracks, ["ssim"], resamples=20)["measures"]["ssim"]
    assert told["references"]["two paintings of one caption"]["value"] == 1.0 and told["pairs"] == 2
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
    assert told["distances"]["pictures"]["value"] == [1.0, 0.666667, 0.0]
    assert told["distances"]["pictures_change"]["value"] == -0.666667  # since the first painted round
    assert len(looks) == 10
    words = in_words({"experiment": counts(tracks), **told})
    assert "1 - Lite2 cosine: 1.00 in round 0, 0.67 in round 1, 0.00 in round 2\n" in words


def test_without_pictures_or_their_features_nothing_is_told_of_their_diversity(looks):
    assert summarise([shown("a", 0, 0), shown("b", 0, 0)], resamples=5)["distances"]["pictures"] is None
    tracks = [shown("a", 1, 2), shown("b", 1, 2)]
    told = summarise(tracks, ["content_f1"], resamples=5)
    assert told["distances"]["pictures"] is None and looks == []
    assert "Lite2" not in in_words({"experiment": counts(tracks), **told})


def test_the_teachers_opinion_is_marked_as_such(looks, monkeypatch):
    monkeypatch.setattr(tracks_module, "picture_codes", lambda pictures, _: torch.ones(len(pictures), 2).numpy())
    monkeypatch.setattr(tracks_module, "caption_codes", lambda captions, _: torch.ones(len(captions), 2).numpy())
    tracks = [shown("a", 1, 2), shown("b", 1, 2)]
    for measure in ("damsm_text_to_image", "content_f1"):
        told = in_words({"experiment": counts(tracks), **summarise(tracks, [measure], resamples=5)})
        assert ("damsm is biased" in told) == measure.startswith("damsm")


def test_where_ends_alone_were_kept_their_pictures_are_compared(looks):
    told = summarise([shown("a", 1, 0, 2), shown("b", 3, 0, 2)], ["lite2_cosine"], resamples=5)
    assert told["distances"]["pictures"]["value"] == [1.0, None, 0.0]


def test_one_source_has_no_chance_and_no_interval():
    told = summarise([track("a", ["red dog", "red cat"])], ["content_f1"], resamples=5)["measures"]["content_f1"]
    assert (told["start"], told["chance"]) == ({"value": [0.5], "low": [None], "high": [None]}, None)
    assert "other sources" in told["half_life"]["reason"]


def test_without_a_second_round_there_is_nothing_to_tell():
    with pytest.raises(DataError, match="Play more rounds"):
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
    table = (folder / "similarities.csv").read_bytes()
    write_summary(folder, WORDS, resamples=20, device="cpu")
    assert (folder / "summary.json").read_bytes() == before and (folder / "similarities.csv").read_bytes() == table
    assert "content_f1" in in_words(told)
    assert told["experiment"]["complete"] is True


def test_the_table_holds_every_round_of_every_chain(texts, plan_of, tmp_path):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    told = write_summary(folder, WORDS, resamples=20, device="cpu")
    with (folder / "similarities.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(each["last_round"] for each in told["chains"])
    assert set(rows[0]) == {"chain", "source", "seed", "round", *WORDS}
    first = [float(row["content_f1"]) for row in rows if row["round"] == "1"]
    assert np.mean(first) == pytest.approx(told["measures"]["content_f1"]["start"]["value"][0], abs=1e-4)


@pytest.mark.parametrize("policy", ["fresh", "fixed"])
def test_cycles_are_counted_where_the_noise_is_the_same(texts, plan_of, tmp_path, policy):
    folder = run(plan_of(texts, seed_policy=policy, rounds=8), tmp_path / "out", **QUIET)
    told = write_summary(folder, ["content_f1"], resamples=5, device="cpu")
    ends, found = told["repetition"], [each["period"] for each in told["chains"]]
    assert ends["same_noise"] is (policy == "fixed")
    if policy == "fresh":
        assert ends["cycles"] is None and set(found) == {None}
        assert "caught in a cycle" not in in_words(told)
    else:
        assert ends["in_a_cycle"] == sum(ends["cycles"].values()) == sum(each is not None for each in found) > 0
        assert f"caught in a cycle, since an earlier caption came back: {ends['in_a_cycle']}" in in_words(told)


def test_repetitions_that_are_left_again_and_those_that_settle_are_counted():
    tracks = [
        track("a", ["dog", "dog", "cat", "sea", "sea"]),
        track("b", ["cat", "sea", "sea", "sea", "sea"]),
        track("c", ["sea", "dog", "cat", "sea", "sea"]),
    ]
    told = summarise(tracks, ["content_f1"], resamples=5)
    ends = told["repetition"]
    assert (ends["repeat"], ends["repeat_before_last"], ends["left"], ends["repeat_at_end"]) == (3, 2, 1, 3)
    assert (ends["repeated_rounds"], ends["repeated_rounds_left"]) == (3, 1)
    assert told["ends"] == [{"caption": "sea", "chains": 3, "settled": 1}] and ends["different_ends"] == 1


def test_a_summary_of_an_older_version_can_be_read_told_and_drawn(texts, plan_of, tmp_path, capsys):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    shutil.copy(OLD, folder / "summary.json")
    told = read_summary(folder)
    old = json.loads(OLD.read_text())
    assert told["measures"]["content_f1"]["start"] == old["measures"]["content_f1"]["start"]
    assert told["measures"]["content_f1"]["chance"]["value"] == old["measures"]["content_f1"]["floor"]
    assert told["measures"]["content_f1"]["references"][PERSON]["value"] == old["measures"]["content_f1"]["ceiling"]
    assert {each["half_life"]["rounds"] for each in told["measures"].values()} == {None}
    words = in_words(told)
    assert "older version" in words and "content_f1" in words and "1 - Lite2 cosine: 0.60 in round 0" in words
    assert main(["experiment", "figures", str(folder), "--format", "svg"]) == 0
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    assert {"similarity-ssim", "survival", "meaning-and-looks-ssim", "summary"} <= drawn


def test_a_damaged_summary_of_an_older_version_is_refused(texts, plan_of, tmp_path):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    old = json.loads(OLD.read_text())
    del old["repetition"]
    (folder / "summary.json").write_text(json.dumps(old))
    with pytest.raises(DataError, match="damaged"):
        read_summary(folder)


def test_references_come_from_the_data_folder(photos, plan_of, tmp_path):
    (photos / "captions.txt").write_text("".join(f"{n}.png\tA dog\n{n}.png\ttwo dogs\n" for n in range(3)))
    for split, names in (("train", "0.png"), ("dev", "0.png"), ("test", "1.png\n2.png")):
        (photos / f"{split}.txt").write_text(names)
    folder = run(plan_of(photos, split="test"), tmp_path / "out", **QUIET)
    told = write_summary(folder, ["content_f1"], resamples=5, device="cpu")["measures"]["content_f1"]
    assert told["references"][PERSON]["sources"] == 2
    assert "dog" not in (folder / "manifest.json").read_text()


def test_a_line_that_names_a_file_elsewhere_is_refused(photos, plan_of, tmp_path):
    folder = run(plan_of(photos), tmp_path / "out", **QUIET)
    lines = (folder / "rounds.jsonl").read_text()
    (folder / "rounds.jsonl").write_text(lines.replace("pictures/0000-0.png", "../photos/0.png"))
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
    assert {"image-grid.svg", "meaning-and-looks-ssim.svg", "above-chance.svg"} & found == (
        {"image-grid.svg", "meaning-and-looks-ssim.svg", "above-chance.svg"} if kept == "all" else {"above-chance.svg"}
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


def test_a_chain_that_is_not_there_is_told(texts, plan_of, tmp_path, capsys):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    write_summary(folder, WORDS, resamples=5, device="cpu")
    assert main(["experiment", "figures", str(folder), "--chain", "s9999-seed0"]) == 2
    assert "0000-a-red-dog-runs-seed0" in capsys.readouterr().err
    assert not (folder / "figures").exists()


SHIPPED = Path(__file__).resolve().parents[2] / "notebooks" / "results" / "fixed" / "summary.json"
WRONG = [
    ("measures.bleu.start.low", None, "must be a list"),
    ("measures.bleu.start.value", [0.5], "one value for each of its rounds"),
    ("measures.bleu.start.high.3", "<img src=x>", "Infinity or -Infinity"),
    ("measures.semantic_cosine.half_life.laws", [], "lacks its plateau or its laws|lacks the laws"),
    ("measures.bleu.rounds.0", 10**30, "19 digits"),
    ("measures.vibes", {}, "is missing"),
    ("survival", {"colour": None}, "must be a table"),
    ("distances.captions.value.0", [], "must be a number"),
    ("repetition.cycles", None, "lacks its cycles"),
    ("ends", [], "must not be empty"),
    ("chains.0.last_to_start", 3, "must be a table"),
    ("experiment", [], "must be a table"),
]


@pytest.mark.parametrize(("place", "value", "told"), WRONG, ids=[place for place, *_ in WRONG])
def test_a_summary_that_is_wrong_somewhere_is_refused_when_it_is_read(tmp_path, place, value, told):
    summary = json.loads(SHIPPED.read_text(encoding="utf-8"))
    part, names = summary, place.split(".")
    for name in names[:-1]:
        part = part[int(name) if isinstance(part, list) else name]
    part[int(names[-1]) if isinstance(part, list) else names[-1]] = value
    (tmp_path / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    with pytest.raises(DataError, match=rf"summary\.json.*({told})"):
        read_summary(tmp_path)
