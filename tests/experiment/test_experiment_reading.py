"""Reading what was played, whole or handed on in part."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest

from telephonegan import drift
from telephonegan.errors import DataError, ImageError, SettingsError, TelephoneganError
from telephonegan.experiment import Experiment, resume, run
from telephonegan.experiment.folder import place_of_sources
from telephonegan.experiment.records import line
from telephonegan.experiment.summary import summarise, write_summary
from telephonegan.figures.experiment import draw
from telephonegan.files import json_bytes
from tests.mutations import TIMES, Mutations

QUIET = {"device": "cpu", "progress": False}


def test_results_handed_on_without_their_pictures_are_read_and_drawn(photos, plan_of, tmp_path):
    folder = run(plan_of(photos), tmp_path / "out", **QUIET)
    write_summary(folder, ["content_f1", "ssim"], resamples=5, device="cpu")
    words = [track.turns[-1].words for track in Experiment.open(folder).tracks()]
    shutil.rmtree(folder / "pictures")
    tracks = Experiment.open(folder).tracks()
    assert [track.turns[-1].words for track in tracks] == words
    assert {turn.picture for track in tracks for turn in track.turns} == {None}
    names = {path.stem for path in draw(folder, suffix="svg").iterdir()}
    assert {"similarity-ssim", "film-strip", "attractors"} <= names
    assert "image-grid" not in names


def test_one_picture_that_is_gone_is_told(photos, plan_of, tmp_path):
    folder = run(plan_of(photos), tmp_path / "out", **QUIET)
    (folder / "pictures" / "0000-0.png").unlink()
    with pytest.raises(ImageError, match="no file"):
        Experiment.open(folder).tracks()


@pytest.mark.parametrize("damaged", ["manifest.json", "rounds.jsonl", "references.json", "place.json"])
def test_mutated_files_are_refused_or_read(texts, plan_of, tmp_path, damaged):
    folder = run(plan_of(texts, rounds=2), tmp_path / "out", **QUIET)
    mutate, refused = Mutations(5), 0
    if damaged == "references.json":
        (folder / damaged).write_text(
            '{"0000-a-red-dog-runs": [["a", "dog"], ["a", "red", "ball"]], "0001-two-people-on-the-beach": []}'
        )
    good = (
        [json.loads(line) for line in (folder / damaged).read_text().splitlines()]
        if "jsonl" in damaged
        else [json.loads((folder / damaged).read_text())]
    )
    for number in range(TIMES):
        changed = number % len(good)
        lines = [mutate(each) if i == changed else json.dumps(each).encode() for i, each in enumerate(good)]
        (folder / damaged).write_bytes(b"\n".join([*lines, b""]))
        try:
            place_of_sources(folder)
            played = Experiment.open(folder)
            rows = drift.similarities(played.tracks(), ["content_f1"])
        except TelephoneganError:
            refused += 1
            continue
        assert all(isinstance(row["value"], float) for row in rows)
    assert TIMES / 10 < refused < TIMES


def test_rounds_of_another_experiment_are_named(texts, plan_of, tmp_path):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    other = (folder / "rounds.jsonl").read_text().replace('"source":"0000-a-red-dog-runs"', '"source":"s0099"')
    (folder / "rounds.jsonl").write_text(other)
    with pytest.raises(DataError, match="'s0099'"):
        Experiment.open(folder)


@pytest.mark.parametrize("number", [99, -1])
def test_a_share_with_a_round_beyond_the_plan_is_refused(texts, plan_of, tmp_path, number):
    folder = run(plan_of(texts, rounds=2), tmp_path / "out", **QUIET)
    records = [json.loads(each) for each in (folder / "rounds.jsonl").read_text().splitlines()]
    (folder / "rounds.jsonl").unlink()
    records[2]["round"] = number
    (folder / "rounds-00000.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    with pytest.raises(DataError):
        Experiment.open(folder)


def test_a_summary_holds_no_lines(texts, plan_of, tmp_path, monkeypatch):
    monkeypatch.setattr("telephonegan.records._JSON_BYTES", 1_000_000)  # which are taken to read a file
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    manifest, rounds = json.loads((folder / "manifest.json").read_text()), folder / "rounds.jsonl"
    lines = [each for each in map(json.loads, rounds.read_text().splitlines()) if each["seed"] == 0]
    seeds = range(200)
    manifest["plan"]["seeds"], manifest["chains"] = list(seeds), 5 * len(seeds)
    (folder / "manifest.json").write_bytes(json_bytes(manifest))
    with rounds.open("wb") as file:
        for seed in seeds:
            changes = ({"seed": seed, "chain": f"{each['source']}-seed{seed}", "picture": None} for each in lines)
            file.writelines(line(each | changed) for each, changed in zip(lines, changes, strict=True))
    summarise(Experiment.open(folder).tracks()[:9], ["content_f1"], resamples=5)  # what is imported and cached
    tracemalloc.start()
    tracks = Experiment.open(folder).tracks()
    told, held = summarise(tracks, ["content_f1"], resamples=5), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(told["chains"]) == len(tracks) == 1000
    assert held < 1000 * len(tracks) * len(tracks[0].turns)  # lines as dictionaries take 2 kB each


def test_figures_are_not_drawn_from_a_summary_made_before_the_end(photos, plan_of, tmp_path):
    folder = run(plan_of(photos), tmp_path / "out", **QUIET)
    summary = write_summary(folder, ["content_f1"], resamples=5, device="cpu")
    summary["experiment"]["complete"] = False
    (folder / "summary.json").write_bytes(json_bytes(summary))
    with pytest.raises(DataError, match="more rounds than its summary"):
        draw(folder)


def test_only_a_plan_is_played(tmp_path):
    with pytest.raises(SettingsError, match="Plan"):
        run({"sources": "samples"}, tmp_path / "out")


def test_an_experiment_written_before_is_still_read():
    played = Experiment.open(Path(__file__).parents[1] / "fixtures" / "experiment")
    assert played.is_complete and played.plan.seeds == (0,)
    first, second = played.tracks()
    assert [" ".join(turn.words) for turn in first.turns] == [
        "a red dog runs",
        "man man man jumps jumps man",
        "man man man man man man",
    ]
    assert [turn.picture and turn.picture.size for turn in second.turns] == [None, (16, 16), (16, 16)]


@pytest.mark.parametrize("name", ["../photos", "/tmp/x", "", "A", "x" * 99])
def test_a_source_whose_pictures_would_lie_elsewhere_is_refused(texts, plan_of, tmp_path, name):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    manifest = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(manifest.replace('"0000-a-red-dog-runs"', json.dumps(name)))
    with pytest.raises(DataError, match=r"sources\[0\]\.id must be text that is letters a-z"):
        resume(folder, **QUIET)
