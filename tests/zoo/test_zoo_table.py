"""The table of models: all that is known of each, and as wide as the terminal."""

from __future__ import annotations

import re

import pytest

from telephonegan.zoo.catalogue import Entry, entries
from telephonegan.zoo.table import ModelTable


def test_the_table_names_each_model(tiny):
    table = ModelTable(entries("captioner"))
    assert "tiny" in [entry.name for entry in table]
    assert re.search(r"tiny +captioner +\d\.\d MB +random words\n +BLEU-4 0.1\n +MIT", repr(table))
    assert "<td>tiny</td>" in table._repr_html_()
    assert repr(ModelTable([])) == "There are no models here yet."


@pytest.mark.parametrize(("columns", "most"), [("80", 80), ("100", 100), ("400", 120), ("10", 60)])
def test_the_table_is_no_wider_than_the_terminal(columns, most, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    words = "an AttnGAN of 128 pixels, for clothes and shoes on white, asked for in attributes: " * 3
    place = {"file": "a.safetensors", "path": tmp_path, "sha256": "0", "size": 0}
    entry = Entry(name="a", kind="generator", **place, description=words, licence=words, quality={"KID": 0.1})
    lines = repr(ModelTable([entry])).splitlines()
    assert most - 12 < max(map(len, lines)) <= most
    assert " ".join(" ".join(lines).split()).count(words.strip()) == 2
