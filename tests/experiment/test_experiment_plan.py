"""Plans: what is allowed, and what is told of a slip."""

import json

import numpy as np
import pytest

from telephonegan.errors import DataError, SettingsError
from telephonegan.experiment import Plan


def test_a_plan_is_read_from_yaml_and_back_from_its_record(tmp_path):
    (tmp_path / "plan.yaml").write_text("sources: photos\nseeds: [3, 1]\nmethod: sample\ntemperature: 1.5\n")
    plan = Plan.read(tmp_path / "plan.yaml")
    assert (plan.sources, plan.seeds, plan.rounds) == ("photos", (3, 1), 10)
    assert plan.settings.temperature == 1.5
    assert Plan.of(plan.record()) == plan


def test_numbers_of_numpy_are_recorded_as_json_has_them():
    numbers = {"rounds": np.int64(2), "seeds": [np.int32(1)], "limit": np.int8(3), "truncation": np.float32(0.5)}
    plan = Plan(sources="x", beam_width=np.int64(2), **numbers)
    same = Plan(sources="x", beam_width=2, rounds=2, seeds=[1], limit=3, truncation=0.5)
    assert json.dumps(plan.record()) == json.dumps(same.record())


def test_candidates_are_recorded_where_there_are_several():
    assert "candidates" not in Plan(sources="x").record()
    plan = Plan(sources="x", candidates=2)
    assert plan.settings.candidates == 2
    assert Plan.of(plan.record()) == plan


@pytest.mark.parametrize(
    "values, told",
    [
        ({"sources": "x", "seed_polcy": "fixed"}, "Did you mean seed_policy"),
        ({"sources": "x", "qqq": 1}, "Allowed: sources"),
        ({"rounds": 3}, "needs sources"),
        ({"sources": 3}, "sources must be a text"),
        ({"sources": "x", "rounds": 0}, "rounds"),
        ({"sources": "x", "rounds": "3"}, "rounds"),
        ({"sources": "x", "seeds": 3}, "list"),
        ({"sources": "x", "seeds": []}, "list"),
        ({"sources": "x", "seeds": [1, 1]}, "differ"),
        ({"sources": "x", "seeds": [-1]}, "seed"),
        ({"sources": "x", "seed_policy": "none"}, "fresh, fixed"),
        ({"sources": "x", "pictures": "some"}, "all, ends, none"),
        ({"sources": "x", "pictures": ["all"]}, "all, ends, none"),
        ({"sources": "x", "split": "val"}, "train, dev, test"),
        ({"sources": "samples", "split": "test"}, "no split"),
        ({"sources": "x", "block": 33}, "block"),
        ({"sources": "x", "limit": 0}, "limit"),
        ({"sources": "x", "temperature": 2.0}, "sample"),
        ({"sources": "x", "truncation": 3}, "truncation"),
    ],
)
def test_what_is_not_allowed_is_told(values, told):
    with pytest.raises(SettingsError, match=told):
        Plan.of(values)


@pytest.mark.parametrize("content", [b"", b"- a", b"a: [", b"\xff\xfe", b"[" * 5000])
def test_a_file_that_is_no_plan_is_told_by_name(tmp_path, content):
    (tmp_path / "plan.yaml").write_bytes(content)
    with pytest.raises((DataError, SettingsError), match=r"plan\.yaml"):
        Plan.read(tmp_path / "plan.yaml")


def test_a_missing_plan_is_told(tmp_path):
    with pytest.raises(DataError, match="Check the path"):
        Plan.read(tmp_path / "plan.yaml")
