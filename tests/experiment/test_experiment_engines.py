"""Engines: whatever runs the shares of an experiment, and however often it is killed, the results are the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

import telephonegan
from telephonegan.errors import SettingsError
from telephonegan.experiment import Engine, records, resume, run

ROOT = Path(telephonegan.__file__).parents[1]
QUIET = {"progress": False, "device": "cpu"}
ENGINES = {
    "local": {"workers": 2},
    "submitit": {"cluster": "local", "timeout_min": 10},
    "ray": {"workers": 2, "address": "local"},
}


@pytest.fixture
def own_models(no_shipped_models, monkeypatch):
    """The processes of engines see the tiny models, which are in the home that they inherit."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *sys.path]))


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_makes_what_one_process_makes(texts, plan_of, tmp_path, contents, own_models, name):
    if name != "local":
        pytest.importorskip(name, reason=f"the engine {name} is not installed")
    whole = run(plan_of(texts), tmp_path / "whole", **QUIET)
    shared = run(plan_of(texts), tmp_path / "shared", engine=Engine(name, 2, ENGINES[name]), **QUIET)
    assert contents(whole) == contents(shared)
    shards = {json.loads(line)["shard"] for line in (shared / "log.jsonl").read_text().splitlines()}
    assert shards == {0, 1}


def started(plan, folder, *options):
    """The command that plays a plan in two shares, as a process of a group of its own."""
    path = folder.with_name("plan.yaml")
    path.write_text(json.dumps(plan.record()), encoding="utf-8")
    command = ["run", path, "--out", folder, "--device", "cpu", "--shards", 2, *options]
    return subprocess.Popen(
        [sys.executable, "-m", "telephonegan", "experiment", *map(str, command)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def wait_until_played(process, folder, lines=20):
    """Until the second share has played some of its rounds."""
    part = records.part(folder, 1)
    while process.poll() is None and not (part.exists() and part.read_bytes().count(b"\n") > lines):
        time.sleep(0.005)


def process_writing(path):
    """The process that has a file open, wherever an engine began it."""
    for opened in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if opened.resolve() == path:
                return int(opened.parts[2])
        except OSError:  # it ended meanwhile, or belongs to another user
            continue
    raise LookupError(f"no process writes {path}")


def test_an_experiment_whose_shares_were_killed_ends_as_if_they_had_not(texts, plan_of, tmp_path, contents, own_models):
    plan, broken = plan_of(texts, rounds=40), tmp_path / "broken"
    whole = run(plan, tmp_path / "whole", **QUIET)
    with started(plan, broken) as process:
        wait_until_played(process, broken)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    resume(broken, engine=Engine("local", 2), **QUIET)
    assert contents(whole) == contents(broken)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says who writes a file")
@pytest.mark.parametrize("name", ENGINES)
def test_a_share_that_was_killed_is_told_and_played_again(texts, plan_of, tmp_path, contents, own_models, name):
    if name != "local":
        pytest.importorskip(name, reason=f"the engine {name} is not installed")
    plan, broken = plan_of(texts, rounds=40), tmp_path / "broken"
    whole = run(plan, tmp_path / "whole", **QUIET)
    set_options = [f"{option}={value}" for option, value in ENGINES[name].items()]
    with started(plan, broken, "--engine", name, "--set", *set_options) as process:
        wait_until_played(process, broken)
        os.kill(process_writing(records.part(broken, 1)), signal.SIGKILL)
        told = process.communicate()[1]
    assert process.returncode == 2 and "played a share was killed" in told and "experiment resume" in told
    assert not (broken / records.ROUNDS).exists()
    resume(broken, engine=Engine(name, 2, ENGINES[name]), **QUIET)
    assert contents(whole) == contents(broken)


def test_what_a_share_raises_is_raised(tmp_path):
    tasks = [partial(divmod, 1, 1), partial(divmod, 1, 0)]
    with pytest.raises(ZeroDivisionError):
        Engine("local", 2, {"workers": 1}).play(tasks, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Engine("slurm"), "no engine 'slurm'. Choose one of local, submitit, ray"),
        (lambda: Engine("local", 0), "shards must be a whole number from 1"),
        (lambda: Engine("local", 2, {"nodes": 3}).play([print] * 2, Path(), progress=False), "no option 'nodes'"),
        (lambda: Engine("local", 2, {"workers": 0}).play([print] * 2, Path(), progress=False), "workers must be"),
    ],
)
def test_what_an_engine_cannot_do_is_explained(made, told):
    with pytest.raises(SettingsError, match=told):
        made()


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"pip install 'telephonegan\[ray\]'"):
        Engine("ray")
