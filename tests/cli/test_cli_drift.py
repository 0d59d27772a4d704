"""`telephonegan drift`: what is typed, and what is told."""

from __future__ import annotations

import json

import pytest

from telephonegan.cli.main import main


@pytest.fixture
def study(texts, plan_of):
    base = plan_of(texts.name, rounds=2, seeds=[0]).record()
    path = texts.with_name("study.yaml")
    plan = {"primary": "words kept", "base": base, "runs": {"plain": {}}, "doses": {"truncation": [0.0, 1.0]}}
    path.write_text(json.dumps(plan), encoding="utf-8")
    return path


def test_a_study_is_played_analysed_and_its_doses_drawn(study, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["drift", "play", str(study), "--out", str(out), "--device", "cpu"]) == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(out) and "plain/truncation=0.0" in told.err
    folder = str(out / "plain" / "as-planned")
    figures = str(tmp_path / "figures")
    assert main(["drift", "analyse", folder, "--words-only", "--resamples", "10", "--figures", figures]) == 0
    told = capsys.readouterr()
    assert "Bits left, by words" in told.out and "needs 20 sources" in told.out and "exploratory" in told.out
    assert (tmp_path / "figures" / "bits-left.pdf").exists()
    assert json.loads((out / "plain" / "as-planned" / "lab.json").read_text())["format"] == 1
    assert main(["drift", "compare", str(out), "--by", "words"]) == 0
    assert "| plain | " in capsys.readouterr().out
    drawn = tmp_path / "bits.png"
    assert main(["drift", "compare", str(out), "--by", "words", "--figure", str(drawn)]) == 0 and drawn.exists()
    capsys.readouterr()
    assert main(["drift", "compare", str(out)]) == 2
    assert "does not compare captions by sentences" in capsys.readouterr().err
    assert main(["drift", "compare", str(tmp_path / "figures")]) == 2
    assert "telephonegan drift analyse" in capsys.readouterr().err
    doses = str(tmp_path / "doses")
    assert main(["drift", "doses", str(out), "--resamples", "10", "--figures", doses, "--format", "svg"]) == 0
    assert "| plain | truncation | 0.0 |" in capsys.readouterr().out
    assert (tmp_path / "doses" / "truncation.svg").exists()


def test_a_slip_in_a_study_is_explained(study, capsys):
    study.write_text("primary: bits left\nrun: {}\n")
    assert main(["drift", "play", str(study), "--out", "x"]) == 2
    assert "Did you mean runs" in capsys.readouterr().err


def test_an_experiment_of_nothing_is_explained(tmp_path, capsys):
    assert main(["drift", "analyse", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
