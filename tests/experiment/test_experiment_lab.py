"""All analyses at once, on planted games and on the shipped ones."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from telephonegan.errors import DataError, SettingsError
from telephonegan.experiment.lab import LAB, analyse, analyse_folder, compared, in_words, stored_bits
from telephonegan.experiment.reading import Experiment
from tests.planted import tracks

RESULTS = Path(__file__).resolve().parents[2] / "notebooks" / "results"
WORDS = ["dog", "man", "boy", "sea", "snow", "car", "tree", "ball"]


def wandering(sources: int = 24, seeds: int = 3, rounds: int = 10):
    """Games that go from word to word, and people who name the first one."""
    rng = np.random.default_rng(0)
    games = []
    for source in range(sources):
        for _ in range(seeds):
            captions = [[WORDS[source % 8], "red" if source % 3 else "blue"]]
            for _ in range(rounds):
                captions.append(captions[-1] if rng.random() < 0.7 else [WORDS[int(rng.integers(8))], "red"])
            games.append(captions)
    people = [[[WORDS[source % 8]], [WORDS[source % 8], "red"]] for source in range(sources)]
    return tracks(games, seeds=seeds, references=people)


@pytest.fixture(scope="module")
def lab():
    prior = [[word] for word in WORDS] * 100
    return analyse(wandering(), prior=prior, resamples=50, permutations=50, sentences=False)


def test_everything_is_analysed_where_there_is_enough(lab):
    assert lab.left_out == {}
    assert set(lab.bits) == set(lab.laws) == {"words"}
    assert list(lab.survival) == ["all", "colour", "object"]
    assert lab.truth.people.value == pytest.approx(2 / 3)
    assert {test.what for test in lab.memory["captions"]} == {"order 0", "order 1", "time", "photograph"}
    assert set(lab.diversity.numbers) == {"people", "round 0", "round 1", "round 5", "round 10"}
    assert lab.prior is not None and lab.model.names[0] == "twice as frequent"


def test_its_record_is_json_and_its_words_name_the_multiplicity(lab):
    told = json.loads(json.dumps(lab.record(), allow_nan=False))
    assert told["format"] == 1 and "exploratory" in told["note"]
    assert told["bits"]["words"]["bits"]["value"][0] == pytest.approx(lab.bits["words"].bits.value[0], abs=1e-5)
    assert told["graphs"]["captions"]["states"][0] == " ".join(lab.graphs["captions"].states[0])
    text = in_words(lab)
    assert "exploratory" in text and "Left out" not in text and "neither other weights" in text


def test_what_too_few_chains_allow_is_left_out_and_says_what_it_needs():
    found = analyse(wandering(sources=2, seeds=1, rounds=2), resamples=10, permutations=10, sentences=False)
    assert "needs 4 sources" in found.left_out["bits of words"]
    assert "needs values in 8 rounds" in found.left_out["laws of words"]
    assert "needs 20 sources" in found.left_out["memory of captions"]
    assert "--data" in found.left_out["prior"]
    assert "Left out: bits of words. Bits left needs 4 sources" in in_words(found)
    with pytest.raises(DataError, match="needs 1 rounds"):
        analyse(wandering(rounds=0))


def test_a_folder_is_analysed_and_its_lines_may_be_packed(tmp_path):
    folder = tmp_path / "fresh"
    folder.mkdir()
    shutil.copy(RESULTS / "fresh" / "manifest.json", folder)
    lines = (RESULTS / "fresh" / "rounds.jsonl").read_bytes()
    (folder / "rounds.jsonl.gz").write_bytes(gzip.compress(lines))
    assert Experiment.open(folder).chains == Experiment.open(RESULTS / "fresh").chains
    assert Experiment.open(folder).is_complete
    found = analyse_folder(folder, resamples=20, permutations=20, sentences=False)
    assert json.loads((folder / LAB).read_text())["chains"] == found.chains == 600


def test_an_analysis_with_people_is_not_replaced_by_one_without(tmp_path):
    folder = tmp_path / "fresh"
    shutil.copytree(RESULTS / "lab" / "flickr8k-fresh", folder)
    before = (folder / LAB).read_bytes()
    assert json.loads(before)["truth"] is not None
    with pytest.raises(SettingsError, match="--data"):
        analyse_folder(folder, resamples=20, permutations=20, sentences=False)
    assert (folder / LAB).read_bytes() == before


def test_damaged_packed_lines_are_refused(tmp_path):
    shutil.copy(RESULTS / "fresh" / "manifest.json", tmp_path)
    for content in (b"no gzip", gzip.compress(b"{}\n" * 50)[:-9]):
        (tmp_path / "rounds.jsonl.gz").write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            Experiment.open(tmp_path)


# ------------------------------------------------------------------------------------------------ a table of several


@pytest.fixture
def analysed(tmp_path):
    """A function that writes a shipped analysis, perhaps changed, into a new folder of that name."""
    record = json.loads((RESULTS / "lab" / "birds-fixed" / LAB).read_text(encoding="utf-8"))

    def write(name: str, change=lambda record: None) -> Path:
        changed = json.loads(json.dumps(record))
        change(changed)
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / LAB).write_text(json.dumps(changed), encoding="utf-8")
        return folder

    return write


def cells_of(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table.splitlines()[2:]]


@pytest.mark.parametrize(
    "change, told",
    [
        (lambda lab: lab.pop("bits"), "bits is missing"),
        (lambda lab: lab.pop("format"), "not of format 1"),
        (lambda lab: lab.update(format=2), "not of format 1"),
        (lambda lab: lab.update(curves="sentences"), "curves must be a table"),
        (lambda lab: lab.update(laws=None), "laws must be a table"),
        (lambda lab: lab["survival"].update(all=[]), "survival.all must be"),
        (lambda lab: lab["laws"]["sentences"].update(best=["linear"]), "best must be"),
        (lambda lab: lab["bits"]["sentences"].update(sources=0), "sources must be"),
        (lambda lab: lab["bits"]["sentences"]["bits"].update(value=["Infinity"]), "bits.value"),
        (lambda lab: lab["bits"]["sentences"]["bits"].update(value=[1.0]), "lists of the same length"),
        (lambda lab: lab["bits"]["sentences"].update(top1={"value": [], "low": [], "high": []}), "not empty"),
    ],
)
def test_a_damaged_analysis_is_not_compared_but_named(analysed, change, told):
    folder = analysed("damaged", change)
    with pytest.raises(DataError, match=told) as error:
        compared([folder])
    assert str(folder / LAB) in str(error.value) and "Analyse it again." in str(error.value)


def test_values_and_intervals_that_are_unknown_are_left_out_of_the_comparison(analysed):
    def change(lab):
        bits, said = lab["bits"]["sentences"], lab["survival"]["all"]
        bits["bits"]["low"][0] = bits["bits"]["high"][0] = bits["bits"]["value"][1] = bits["top1"]["value"][-1] = None
        said["by_chance"][-1] = None
        lab["laws"]["sentences"] = None

    (row,) = cells_of(compared([analysed("unknown", change)]))
    assert row[:3] == ["unknown", "4.17", ""] and row[6:8] == ["", ""] and row[9] == ""


def test_every_compared_experiment_is_one_row_with_a_name_of_its_own(analysed, tmp_path, monkeypatch):
    for name in ("study/one/as-planned", "study/one/truncation=0.5", "study/two/truncation=0.5", "a|b\n\x1b[31mred"):
        analysed(name)
    study = tmp_path / "study"
    table = compared([study, study / "one" / "as-planned", study / "one" / ".." / "two", tmp_path / "a|b\n\x1b[31mred"])
    assert [row[0] for row in cells_of(table)] == [
        "one",
        "one/truncation=0.5",
        "two/truncation=0.5",
        r"a\|b \x1b[31mred",
    ]
    monkeypatch.chdir(study / "one" / "as-planned")
    assert cells_of(compared(["."]))[0][0] == "one"


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        compared([tmp_path / ("n" * 300)])


def test_experiments_of_one_name_keep_their_curves_apart(analysed):
    def unknown(lab):
        lab["bits"]["sentences"]["bits"]["low"][0] = None

    folders = [analysed("a/same"), analysed("b/same", unknown)]
    found = stored_bits([*folders, folders[0]])
    assert list(found) == ["same", str(folders[1])]
    assert np.isnan(found[str(folders[1])].bits.low[0]) and found["same"].bits.value[0] == pytest.approx(4.17, abs=0.01)
    with pytest.raises(DataError, match="bits is missing"):
        stored_bits([analysed("damaged", lambda lab: lab.pop("bits"))])
