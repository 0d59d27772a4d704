"""Studies: what a file may say, how they are played, and the table of doses."""

from __future__ import annotations

from pathlib import Path

import pytest

from telephonegan.errors import DataError, SettingsError
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.study import Study, dose_response, dose_table, open_study, play_study

PLANS = Path(__file__).resolve().parents[2] / "notebooks" / "plans"


@pytest.fixture
def values(plan_of, texts):
    base = plan_of(texts, rounds=2, seeds=[0]).record()
    return {"primary": "words kept", "base": base, "runs": {"plain": {}}, "doses": {"truncation": [0.0, 1.0]}}


@pytest.mark.parametrize("path", sorted(PLANS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_studies_declare_one_primary_measure(path):
    study = Study.read(path)
    assert study.primary and study.exploratory and study.question
    assert all(plan.split == "test" for plan in study.experiments().values())


def test_the_lab_plays_forty_rounds_of_two_hundred_photographs():
    study = Study.read(PLANS / "drift_lab.yaml")
    assert study.rounds() == 48_000 * 5
    assert {plan.rounds for plan in study.runs.values()} == {40}
    assert any(plan.captioner != plan.generator for plan in study.runs.values())


def test_a_dose_that_is_the_plan_is_not_played_twice(values):
    assert list(Study.of(values).experiments()) == ["plain", "plain/truncation=0.0"]
    assert Study.of(Study.of(values).record()) == Study.of(values)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"primary": "beauty"}, "primary must be one of bits left"),
        ({"runs": {}}, "needs runs"),
        ({"runs": {"x": {"round": 3}}}, "The run x: .*Did you mean rounds"),
        ({"doses": {"beam": [1, 2]}}, "Did you mean beam_width"),
        ({"doses": {"candidates": [1, 900]}}, "x/candidates=900"),
        ({"doses": {"candidates": 3}}, "list of two values"),
        ({"dose": {}}, "Did you mean doses"),
        ({"exploratory": "all"}, "list of texts"),
    ],
)
def test_mistakes_in_a_study_are_named(values, changes, told):
    if "runs" not in changes:
        values["runs"] = {"x": {}}
    with pytest.raises(SettingsError, match=told):
        Study.of(values | changes)


def test_missing_sources_are_named_before_anything_is_made(values, tmp_path):
    study = Study.of(values | {"base": {**values["base"], "sources": "nowhere"}})
    with pytest.raises(DataError, match=f"a relative path starts at {tmp_path}"):
        play_study(study, tmp_path / "out", base=tmp_path, device="cpu", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_study_is_played_once_and_goes_on(values, tmp_path):
    study, names = Study.of(values), []
    out = play_study(study, tmp_path / "out", device="cpu", progress=False, on_run=names.append)
    assert names == ["plain", "plain/truncation=0.0"]
    lines = (out / "plain" / "as-planned" / "rounds.jsonl").read_bytes()
    (out / "plain" / "truncation=0.0" / "rounds.jsonl").unlink()
    (out / "plain" / "truncation=0.0" / "manifest.json").unlink()
    for left in sorted((out / "plain" / "truncation=0.0").rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()
    (out / "plain" / "truncation=0.0").rmdir()
    play_study(study, out, device="cpu", progress=False)
    assert (out / "plain" / "as-planned" / "rounds.jsonl").read_bytes() == lines
    assert Experiment.open(out / "plain" / "truncation=0.0").plan.truncation == 0
    assert open_study(out) == study
    with pytest.raises(DataError, match="another study"):
        play_study(Study.of(values | {"question": "why?"}), out, device="cpu", progress=False)


def test_the_table_of_doses_has_every_dose_and_the_photograph_shown_again(values, tmp_path):
    out = play_study(Study.of(values), tmp_path / "out", device="cpu", progress=False)
    found = dose_response(out, resamples=20)
    again = "photograph shown again every"
    assert [(each.setting, each.value) for each in found] == [
        ("as planned", ""),
        (again, 2),
        ("truncation", 0.0),
        ("truncation", 1.0),
    ]
    plain, shown, _, same = found
    assert same.change.value == 0 and same.kept[1].value == plain.kept[1].value
    assert shown.kept[1].value == 1, "in round 2 the photograph is seen again, and described as at first"
    assert shown.mean.value == pytest.approx((plain.kept[0].value + 1) / 2)
    assert dose_table(found).count("\n") == 1 + len(found)


def test_nothing_complete_is_refused(values, tmp_path):
    (tmp_path / "study.json").write_text('{"primary": "words kept", "runs": {"x": {"sources": "samples"}}}')
    with pytest.raises(DataError, match="No experiment of"):
        dose_response(tmp_path)
    with pytest.raises(DataError, match="Name the folder of a study"):
        open_study(tmp_path / "none")
