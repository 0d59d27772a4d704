"""All analyses at once, on planted games and on the shipped ones."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from telephonegan.errors import DataError, SettingsError
from telephonegan.experiment.lab import LAB, analyse, analyse_folder, in_words
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
