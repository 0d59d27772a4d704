"""`telephonegan train` and `export`: what is typed, what is told, and how Ctrl-C ends it."""

from __future__ import annotations

import contextlib
import shlex
import signal

import pytest
import torch

from telephonegan import training
from telephonegan.cli.main import main
from telephonegan.data.shapes import write_world
from telephonegan.training import loop
from telephonegan.training.damsm import DamsmRecipe
from telephonegan.zoo import catalogue


@pytest.fixture
def world(tmp_path):
    return write_world(tmp_path / "world", train=12, dev=4, test=4, size=48)


def train(*arguments):
    return main(["train", *map(str, arguments)])


@pytest.fixture
def asked(monkeypatch):
    """What the command line asks of the library, which trains nothing and says that Ctrl-C was pressed."""
    calls = []
    for name in ("train", "resume", "train_all", "train_world"):
        monkeypatch.setattr(training, name, lambda *given, name=name, **more: calls.append((name, given, more)))
    return calls


def test_what_is_typed_becomes_arguments(asked, tmp_path, monkeypatch):
    threads = []
    monkeypatch.setattr("telephonegan.inference.use_threads", threads.append)
    typed = ("attngan", "--data", "d", "--run", tmp_path / "r", "--damsm", "m", "--from", "o", "--cache", "c")
    typed += ("--embedding", "e")
    typed += ("--preset", "gpu", "--config", "x.yml", "--steps", 7, "--seed", 3, "--device", "cpu", "--threads", 2)
    (tmp_path / "some.txt").write_text("7\n3\n")
    typed += ("--without-classes", tmp_path / "some.txt")
    typed += ("--checkpoint-minutes", 1, "--minutes", 2, "--evaluate-every", 5, "--set", "a=1", "b=2")
    assert train(*typed) == 0
    [(name, given, more)] = asked
    assert (name, given) == ("train", ("attngan",))
    assert shlex.split(more.pop("command")) == ["telephonegan", "train", *map(str, typed)]
    assert more.pop("settings") == ["a=1", "b=2"]
    assert {key: str(value) for key, value in more.items()} == {
        **{"data": "d", "run": str(tmp_path / "r"), "damsm": "m", "origin": "o", "cache": "c", "preset": "gpu"},
        **{"embedding": "e", "config": "x.yml", "steps": "7", "seed": "3", "device": "cpu"},
        **{"checkpoint_minutes": "1.0", "minutes": "2.0", "evaluate_every": "5", "without": "[7, 3]"},
    }
    assert threads == [2]


def test_resume_leaves_to_the_run_what_it_began_with(asked):
    assert train("--resume", "runs/a", "--steps", 9, "--seed", 4, "--device", "cpu") == 0
    [(name, given, more)] = asked
    assert (name, [str(each) for each in given], more["steps"], more["device"]) == ("resume", ["runs/a"], 9, "cpu")
    assert not more.keys() & {"seed", "preset", "settings", "data"}


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def stopped(request, monkeypatch):
    """The library saves and returns after this signal, as its loop does."""

    def stop(*given, **more):
        with loop.interrupts_deferred():
            signal.raise_signal(request.param)

    def returns(*given, **more):
        with contextlib.suppress(KeyboardInterrupt):
            stop()
        return False

    for name in ("train", "resume", "train_all", "train_world"):
        monkeypatch.setattr(training, name, returns)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    yield request.param
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("typed", [
    ("damsm", "--data", "d"),
    ("all", "--preset", "tiny"),
    ("world", "birds", "--data", "d"),
])  # fmt: skip
def test_a_signal_decides_the_exit_code_of_what_it_stopped(stopped, typed, capsys):
    assert train(*typed, "--run", "runs/a b") == 128 + stopped
    said = capsys.readouterr()
    assert said.err.endswith("telephonegan: stopped.\n") and "register" not in said.out
    assert ("train --resume 'runs/a b'" in said.err) == (typed[0] == "damsm")


def test_a_signal_stops_a_resumed_run_likewise(stopped, capsys):
    assert train("--resume", "runs/a") == 128 + stopped
    assert "train --resume runs/a\n" in capsys.readouterr().err


@pytest.mark.parametrize("typed", [("damsm", "--data", "d"), ("all", "--preset", "tiny")])
def test_the_end_of_the_minutes_is_no_failure_and_gives_nothing_a_name(asked, typed, capsys):
    assert train(*typed, "--run", "runs/a", "--minutes", 1) == 0
    assert "export" not in capsys.readouterr().out


def test_minutes_and_signals_end_a_real_run(world, tmp_path, capsys, monkeypatch):
    typed = ("damsm", "--data", world, "--run", tmp_path / "a", "--preset", "tiny", "--steps", 2, "--set", *SMALL)
    assert train(*typed, "--minutes", 0) == 0
    assert "train --resume" in capsys.readouterr().err
    step = DamsmRecipe.step

    def interrupted(self, number):
        signal.raise_signal(signal.SIGTERM)
        return step(self, number)

    monkeypatch.setattr(DamsmRecipe, "step", interrupted)
    assert train("--resume", tmp_path / "a") == 143
    assert torch.load(tmp_path / "a" / "checkpoint.pt", weights_only=True)["step"] == 1
    monkeypatch.setattr(DamsmRecipe, "step", step)
    assert train("--resume", tmp_path / "a") == 0


def test_all_that_is_done_tells_how_to_play(monkeypatch, capsys):
    monkeypatch.setattr(training, "train_all", lambda *given, **more: True)
    assert train("all", "--run", "runs/A", "--data", "d") == 0
    assert "telephonegan export runs/A/attngan --name a\n" in capsys.readouterr().out


def test_all_takes_a_preset_as_it_is(asked, capsys):
    assert train("all", "--preset", "tiny", "--run", "r", "--set", "steps=1") == 2
    assert "--set" in capsys.readouterr().err
    assert asked == []


def test_a_world_is_asked_for_by_name(asked):
    typed = ("--data", "d", "--run", "r", "--parts", "damsm", "judge", "--pieces", "--minutes", 60)
    assert train("world", "birds", *typed, "--set", "damsm.steps=1") == 0
    [(name, given, more)] = asked
    assert (name, given, more["preset"], more["settings"]) == ("train_world", ("birds",), "world", ["damsm.steps=1"])
    assert (more["parts"], more["pieces"], more["minutes"]) == (["damsm", "judge"], True, 60)
    assert "steps" not in more


def test_a_run_is_exported_and_told_with_its_step(world, tmp_path, capsys, monkeypatch, no_shipped_models):
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    run = tmp_path / "run"
    assert train("damsm", "--data", world, "--run", run, "--preset", "tiny", "--steps", 2, "--set", *SMALL) == 0
    capsys.readouterr()
    told = ("--kind", "judge", "--licence", "MIT", "--description", "an eye", "--data", "shapes")
    assert main(["export", str(run), "--name", "eye", *told, "--quality", '{"r": 0.5}']) == 0
    entry = catalogue.find("judge", "eye")
    assert capsys.readouterr().out == f"judge/eye: {entry.path} ({entry.size / 1e6:.1f} MB, step 2)\n"
    assert (entry.licence, entry.description, entry.data, entry.quality) == ("MIT", "an eye", "shapes", {"r": 0.5})
    assert shlex.split(entry.command)[:5] == ["telephonegan", "train", "damsm", "--data", "world"]
    assert main(["export", str(run), "--name", "eye", "--kind", "judge"]) == 2
    assert main(["export", str(run), "--name", "eye", "--kind", "judge", "--replace"]) == 0


SMALL = ("batch_size=4", "views=1", "width=16", "word_width=8")


def test_resume_goes_on_as_the_run_was_begun(world, tmp_path, monkeypatch):
    begun = ("damsm", "--data", world, "--run", tmp_path / "a", "--preset", "tiny", "--seed", 3, "--set", *SMALL)
    assert train(*begun, "--steps", 4) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "a" / "log.jsonl").unlink()
    (tmp_path / "a" / "checkpoint.pt").unlink()
    assert train("--resume", "../a") == 0
    assert '"step": 4' in (tmp_path / "a" / "log.jsonl").read_text()


def test_a_run_starts_from_the_weights_of_another(world, tmp_path):
    common = ("--data", world, "--preset", "tiny", "--cache", tmp_path / "cache")
    assert train("damsm", *common, "--run", tmp_path / "d", "--steps", 1, "--set", *SMALL) == 0
    small = ("batch_size=4", "channels=4", "head_width=4")
    gan = ("attngan", *common, "--damsm", tmp_path / "d", "--steps", 1)
    assert train(*gan, "--run", tmp_path / "two", "--set", *small) == 0
    assert train(*gan, "--run", tmp_path / "three", "--from", tmp_path / "two", "--set", *small, "branches=3",
                 "learning_rate=1e-12") == 0  # fmt: skip
    two, three = (torch.load(tmp_path / n / "checkpoint.pt", weights_only=True)["generator"] for n in ("two", "three"))
    for key in ("ca_net.fc.weight", "h_net2.upsample.1.weight"):
        torch.testing.assert_close(three[key], two[key])
    torch.testing.assert_close(three["h_net3.upsample.1.weight"], two["h_net2.upsample.1.weight"])


def test_broken_photographs_are_told_and_skipped(world, tmp_path, capsys):
    pictures = sorted((world / "images").glob("train*"))
    pictures[0].write_bytes(b"no picture")
    pictures[1].unlink()
    arguments = ("damsm", "--data", world, "--run", tmp_path / "run", "--preset", "tiny", "--steps", 1, "--set", *SMALL)
    assert train(*arguments) == 0
    said = "".join(capsys.readouterr())
    assert pictures[0].name in said and pictures[1].name in said and "2 of 12" in said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("damsm", "--run", "r"), "--data"),
        (("damsm", "--data", "nowhere", "--run", "r"), "nowhere"),
        ((), "--run"),
        (("--resume", "nowhere"), "nowhere"),
        (("attngan", "--data", "WORLD", "--run", "r"), "--damsm"),
        (("attngan", "--data", "WORLD", "--run", "r", "--damsm", "unknown"), "unknown"),
    ],
)
def test_what_is_missing_is_named(arguments, told, world, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert train(*(world if a == "WORLD" else a for a in arguments)) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [
        *(("damsm", s) for s in ("batch_size=0", "batch_size=-1", "learning_rate=-1", "learning_rate=0", "width=0")),
        *(("damsm", s) for s in ("views=0", "dropout=2", "picture_size=0", "words_limit=0")),
        *(("attngan", s) for s in ("batch_size=1", "branches=9", "learning_rate=1e6", "twins=0.6")),
        *(("captioner", s) for s in ("photos_per_batch=0", "dropout=-1", "learning_rate=0")),
    ],
)
def test_a_setting_outside_its_range_is_refused_and_nothing_is_written(recipe, setting, world, tmp_path, capsys):
    more = ("--damsm", "flickr8k") if recipe == "attngan" else ()
    assert train(recipe, "--data", world, "--run", tmp_path / "run", "--preset", "tiny", *more, "--set", setting) == 2
    assert f"{setting.partition('=')[0]} must be" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
