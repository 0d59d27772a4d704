"""How well photographs are inverted, against random pictures."""

from __future__ import annotations

import json

import pytest

from telephonegan.cli.main import main
from telephonegan.errors import DataError
from telephonegan.evaluation import inversion_scores
from telephonegan.generation import Generator

QUICK = {"limit": 2, "starts": 1, "steps": 15}


@pytest.fixture
def painted(free: Generator, tmp_path):
    """A folder of pictures that the generator can paint."""
    for number, picture in enumerate(free([""] * 40, seeds=range(900, 940))):
        picture.save(tmp_path / f"{number:03}.png")
    return tmp_path


def test_pictures_that_can_be_painted_are_nearer_than_random_ones(free, painted):
    found = inversion_scores("free", painted, **QUICK)
    assert found["n"] == 2 and found["painted_each"] == 256 + 15 and found["sha256"] == free.sha256
    assert 0 < found["rmse"] < found["rmse_nearest"] < 1 and found["poor"] == 0
    assert found["lite2_cosine"] <= 1


def test_the_command_prints_one_line(free, painted, capsys):
    how = ["--data", str(painted), "--limit=1", "--starts=1", "--steps=1"]
    assert main(["evaluate", "inversion", "free", *how]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["what"], record["name"], record["n"]) == ("inversion", "free", 1)


def test_an_unknown_split_is_refused(free, painted):
    with pytest.raises(DataError, match=r"no photograph in its split 'tset'\. It has train"):
        inversion_scores("free", painted, split="tset", **QUICK)
