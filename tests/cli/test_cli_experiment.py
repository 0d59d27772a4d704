"""`telephonegan experiment`: what is typed, and what is told."""

from __future__ import annotations

import json
import shlex

import pytest

from telephonegan.cli.main import main
from telephonegan.experiment import records


@pytest.fixture
def plan(texts, plan_of):
    path = texts.with_name("plan.yaml")
    path.write_text(json.dumps(plan_of("texts.txt", rounds=2).record()), encoding="utf-8")
    return path


def test_a_plan_is_run_with_its_sources_beside_it(plan, tmp_path, capsys):
    assert main(["experiment", "run", str(plan), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    count = len((tmp_path / "out" / "rounds.jsonl").read_bytes().splitlines())
    told, folder = capsys.readouterr().out.splitlines()
    assert told.startswith(f"{count} rounds of 10 chains from 5 sources; 0 sources were skipped")
    assert folder == str(tmp_path / "out")
    command = json.loads((tmp_path / "out" / "place.json").read_text())["command"]
    assert shlex.split(command)[:4] == ["telephonegan", "experiment", "run", str(plan)]


def test_what_was_played_is_told_as_json(plan, tmp_path, capsys):
    with (tmp_path / "texts.txt").open("a") as file:
        file.write("\nqqq\n")
    assert main(["experiment", "run", str(plan), "--out", str(tmp_path / "out"), "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    last = {each["chain"]: each["round"] for each in records.read(tmp_path / "out" / "rounds.jsonl")}
    assert (told["rounds"], told["chains"], told["complete"]) == (sum(last.values()) + 10, 10, True)
    assert told["silent"] == sum(number < 2 for number in last.values())
    assert [each["name"] for each in told["skipped"]] == ["line 6"]


def test_ctrl_c_tells_how_to_go_on(plan, tmp_path, capsys, monkeypatch):
    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records.Keeper, "__call__", interrupted)
        assert main(["experiment", "run", str(plan), "--out", str(tmp_path / "out"), "--device", "cpu"]) == 130
    assert f"telephonegan experiment resume {tmp_path / 'out'}" in capsys.readouterr().err
    assert main(["experiment", "resume", str(tmp_path / "out"), "--device", "cpu"]) == 0
    assert "of 10 chains" in capsys.readouterr().out


def test_shares_and_options_of_the_engine_are_typed(plan, tmp_path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("telephonegan.experiment.runner.run", lambda plan, out, engine, **_: seen.append(engine) or out)
    monkeypatch.setattr("telephonegan.cli.experiment._tell", lambda folder, as_json: 0)
    assert main(["experiment", "run", str(plan), "--shards", "4", "--set", "workers=2", "address=here"]) == 0
    assert (seen[0].name, seen[0].shards, seen[0].options) == ("local", 4, {"workers": 2, "address": "here"})
    assert main(["experiment", "run", str(plan), "--set", "workers"]) == 2
    assert "'workers' is not NAME=VALUE" in capsys.readouterr().err


def test_a_slip_in_the_plan_is_explained(plan, capsys):
    plan.write_text("sources: texts.txt\nround: 3\n")
    assert main(["experiment", "run", str(plan)]) == 2
    assert "Did you mean rounds" in capsys.readouterr().err


def test_threads_typed_replace_those_of_the_plan(plan, tmp_path, capsys):
    plan.write_text(plan.read_text().replace('"threads": 1', '"threads": 2'), encoding="utf-8")
    assert main(["experiment", "run", str(plan), "--out", str(tmp_path / "out"), "--device=cpu", "--threads=1"]) == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["plan"]["threads"] == 1
    assert main(["experiment", "run", str(plan), "--out", str(tmp_path / "no"), "--threads=0"]) == 2
    assert "threads must be" in capsys.readouterr().err
