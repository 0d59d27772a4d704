"""Analysed experiments side by side: what is shown, and what damage is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from telephonegan.errors import DataError
from telephonegan.experiment.lab import LAB
from telephonegan.experiment.lab_comparison import compared, stored_bits

RESULTS = Path(__file__).resolve().parents[2] / "notebooks" / "results"


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


def test_nothing_is_shown_without_a_minus(analysed):
    def change(lab):
        lab["bits"]["sentences"]["bits"].update({end: [-0.004] * 41 for end in ("value", "low", "high")})

    (row,) = cells_of(compared([analysed("nothing", change)]))
    assert row[1] == "0.00 [0.00, 0.00]"
