"""Experiments: the same results whatever happens on the way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

import telephonegan
from telephonegan.errors import DataError, OutputError, SettingsError
from telephonegan.experiment import Engine, Experiment, records, resume, run
from telephonegan.experiment.folder import _git
from telephonegan.experiment.runner import _Opened, begin, play_shard
from telephonegan.experiment.shards import Shard
from telephonegan.files import slug
from telephonegan.telephone import Telephone
from tests.locking import holding
from tests.small_experiments import TEXTS

ROOT = Path(telephonegan.__file__).parents[1]
QUIET = {"progress": False, "device": "cpu"}


def lines(folder):
    return list(records.read(folder / "rounds.jsonl"))


def command(*arguments):
    return [sys.executable, "-m", "telephonegan", "experiment", *map(str, arguments)]


def one_of_two(plan, out):
    """An experiment of which the first of two shares has been played."""
    folder = begin(plan, out, **QUIET)
    play_shard(folder, Shard(0, 2), device="cpu")
    return folder


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def written(plan, path):
    path.write_text(json.dumps(plan.record()), encoding="utf-8")  # JSON is YAML
    return path


# ------------------------------------------------------------------------------------------------- the rounds


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "greedy"},
        {"beam_width": 2, "truncation": 0.0},
        {"method": "sample", "temperature": 1.5, "top_p": 0.9, "truncation": 1.5},
    ],
)
def test_every_chain_is_the_one_a_telephone_plays(photos, plan_of, phone, tmp_path, settings):
    folder = run(plan_of(photos, block=1, **settings), tmp_path / "out", **QUIET)
    for number, path in enumerate(sorted(photos.iterdir())):
        source = f"{number:04}-{path.stem}"
        for seed in (0, 7):
            chain = phone.play(image=path, rounds=3, seed=seed, number=number, progress=False, **settings)
            for step in chain:
                name = f"{source}-seed{seed}/{step.index:04}.png" if step.index else f"{source}.png"
                assert Image.open(folder / "pictures" / name).tobytes() == step.picture.image.tobytes()
            kept = [each for each in lines(folder) if each["chain"] == f"{source}-seed{seed}"]
            assert [each["caption"] for each in kept] == [caption.text for caption in chain.captions]
            assert [each["log_probability"] for each in kept] == [said.log_probability for said in chain.captions]


def test_a_line_tells_of_its_round(texts, plan_of, tmp_path):
    folder = run(plan_of(texts, rounds=1, seeds=[4]), tmp_path / "out", **QUIET)
    first, second = lines(folder)[:2]
    assert (first["caption"], first["words"], first["round"]) == ("a red dog runs", ["a", "red", "dog", "runs"], 0)
    assert (first["picture"], first["log_probability"]) == (None, None)
    assert (second["source"], second["seed"], second["round"]) == ("0000-a-red-dog-runs", 4, 1)
    assert second["log_probability"] < 0
    assert (folder / second["picture"]).is_file()
    assert [each["source"] for each in lines(folder)] == [
        f"{n:04}-{slug(text)}" for n, text in enumerate(TEXTS) for _ in range(2)
    ]


@pytest.mark.parametrize("kept", ["all", "ends", "none"])
def test_pictures_are_kept_as_the_plan_says(photos, plan_of, tmp_path, kept):
    folder = run(plan_of(photos, pictures=kept), tmp_path / "out", **QUIET)
    last = {each["chain"]: each["round"] for each in lines(folder)}
    wanted = {
        each["picture"]
        for each in lines(folder)
        if kept == "all" or (kept == "ends" and each["round"] in (0, last[each["chain"]]))
    }
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.png")}
    assert found == wanted
    assert {each["picture"] for each in lines(folder)} - {None} == wanted
    assert len(wanted) >= {"all": 3 + 6 + 1, "ends": 3 + 1, "none": 0}[kept]


def test_with_fixed_seeds_a_round_is_a_function_of_the_caption_before(texts, plan_of, tmp_path):
    plan = plan_of(texts, rounds=12, seed_policy="fixed", method="sample", block=1, seeds=[1])
    folder = run(plan, tmp_path / "out", **QUIET)
    followers: dict = {}
    for track in Experiment.open(folder).tracks():
        for turn, following in zip(track.turns, track.turns[1:], strict=False):
            assert followers.setdefault((track.chain, turn.words), following.words) == following.words
    assert len(followers) < 5 * 12  # some captions did come back


def test_with_fixed_seeds_what_was_said_before_is_not_painted_again(texts, plan_of, tmp_path, monkeypatch):
    """The lines are those of an experiment that keeps all its pictures, and so paints all its rounds."""
    settings = {"rounds": 12, "seed_policy": "fixed", "method": "sample", "block": 1, "seeds": [1]}
    painted, repaint = [], Telephone._repaint
    monkeypatch.setattr(Telephone, "_repaint", lambda *given: (painted.extend(given[1]), repaint(*given))[1])
    found, calls = {}, {}
    for kept in ("all", "ends", "none"):
        painted.clear()
        folder = run(plan_of(texts, pictures=kept, **settings), tmp_path / kept, **QUIET)
        found[kept] = [{**each, "picture": None} for each in lines(folder)]
        calls[kept] = len(painted)
    assert found["all"] == found["ends"] == found["none"]
    assert calls["none"] < calls["ends"] <= calls["none"] + 5 < calls["all"]


def test_a_chain_that_falls_silent_ends_early(texts, plan_of, tmp_path, monkeypatch):
    from telephonegan.generation import Generator

    monkeypatch.setattr(Generator, "knows", lambda self, text: text != "the man")
    folder = run(plan_of(texts, pictures="ends"), tmp_path / "out", **QUIET)
    counts = {each["chain"]: each["round"] for each in lines(folder)}
    assert {chain for chain, last in counts.items() if last == 0} == {"0003-the-man-seed0", "0003-the-man-seed7"}
    assert max(counts.values()) == 3
    assert Experiment.open(folder).is_complete


def test_a_gan_cls_plays_too_and_the_manifest_names_its_embedding(texts, plan_of, tmp_path):
    from tests.tiny import register_gan_cls

    register_gan_cls("written")
    folder = run(plan_of(texts, rounds=1, seeds=[0], generator="written-cls"), tmp_path / "out", **QUIET)
    told = json.loads((folder / "manifest.json").read_text())["models"]
    assert told["text_encoder"]["name"] == "written" and told["generator"]["name"] == "written-cls"


def test_bad_sources_are_skipped_and_listed(photos, plan_of, tmp_path, capsys):
    (photos / "bad.png").write_bytes(b"no picture")
    folder = run(plan_of(photos), tmp_path / "out", **QUIET)
    told = json.loads((folder / "manifest.json").read_text())
    assert [each["name"] for each in told["skipped"]] == ["bad.png"]
    assert (len(told["sources"]), told["chains"]) == (3, 6)
    assert "bad.png" in capsys.readouterr().err


def test_the_bar_of_sources_ends_at_their_limit(texts, plan_of, tmp_path, capsys):
    run(plan_of(texts, limit=2, rounds=1), tmp_path / "out", device="cpu")
    assert "2/2" in capsys.readouterr().err.partition("rounds")[0]


def test_without_one_good_source_nothing_is_left_behind(tmp_path, plan_of):
    (tmp_path / "texts.txt").write_text("qqq\nwww\n")
    with pytest.raises(DataError, match="None of the 2 sources"):
        run(plan_of(tmp_path / "texts.txt"), tmp_path / "out", **QUIET)
    assert not (tmp_path / "out").exists()


def test_the_threads_of_the_caller_are_given_back(texts, plan_of, tmp_path):
    before = torch.get_num_threads()
    run(plan_of(texts, threads=before + 1, rounds=1, limit=1), tmp_path / "out", **QUIET)
    assert torch.get_num_threads() == before


# ------------------------------------------------------------------------------- the same, whatever happens


def test_two_runs_of_a_plan_agree_to_the_last_byte(photos, plan_of, tmp_path, contents):
    one, other = (run(plan_of(photos, method="sample"), tmp_path / name, **QUIET) for name in "ab")
    assert contents(one) == contents(other)
    assert {"manifest.json", "rounds.jsonl", "pictures/0000-0.png"} < contents(one).keys()


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_batch_size_changes_nothing(photos, plan_of, tmp_path, contents, batch_size):
    whole = run(plan_of(photos), tmp_path / "whole", **QUIET)
    other = run(plan_of(photos), tmp_path / "other", batch_size=batch_size, **QUIET)
    assert contents(whole) == contents(other)


def test_shares_make_what_one_process_makes_in_any_order(photos, plan_of, tmp_path, contents):
    whole = run(plan_of(photos), tmp_path / "whole", **QUIET)
    shared = begin(plan_of(photos), tmp_path / "shared", **QUIET)
    for number in (1, 0, 1):
        assert not (shared / "rounds.jsonl").exists()
        play_shard(shared, Shard(number, 2), device="cpu")
    resume(shared, **QUIET)
    assert contents(whole) == contents(shared)


def test_one_process_can_finish_what_two_began(photos, plan_of, tmp_path, contents):
    whole = run(plan_of(photos), tmp_path / "whole", **QUIET)
    shared = one_of_two(plan_of(photos), tmp_path / "shared")
    assert not Experiment.open(shared).is_complete
    resume(shared, **QUIET)
    assert contents(whole) == contents(shared)


@pytest.mark.parametrize(
    "settings, written_lines",
    [
        *(({}, written) for written in range(0, 24, 5)),
        *(({"rounds": 9, "seed_policy": "fixed", "pictures": "ends"}, written) for written in (31, 52)),
    ],
)
def test_a_run_that_died_while_it_wrote_ends_as_if_it_had_not(
    photos, plan_of, tmp_path, contents, monkeypatch, settings, written_lines
):
    whole = run(plan_of(photos, **settings), tmp_path / "whole", **QUIET)
    append = records.RoundsFile.append
    left = written_lines

    def dying(self, fresh):
        nonlocal left
        fresh = list(fresh)
        if left < len(fresh):
            self.file.write(b"".join(map(records.line, fresh))[: left * 200 + 17])
            self.file.flush()
            raise KeyboardInterrupt
        left -= len(fresh)
        append(self, fresh)

    with monkeypatch.context() as patch:
        patch.setattr(records.RoundsFile, "append", dying)
        with pytest.raises(KeyboardInterrupt):
            run(plan_of(photos, **settings), tmp_path / "broken", **QUIET)
    resume(tmp_path / "broken", **QUIET)
    assert contents(whole) == contents(tmp_path / "broken")


def test_a_killed_process_can_be_resumed(photos, plan_of, tmp_path, contents):
    plan = plan_of(photos, rounds=40)
    whole = run(plan, tmp_path / "whole", **QUIET)
    broken = tmp_path / "broken"
    process = subprocess.Popen(
        command("run", written(plan, tmp_path / "plan.yaml"), "--out", broken, "--device", "cpu"),
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    part, enough = records.part(broken, 0), random.Random().randrange(60)
    while process.poll() is None and not (part.exists() and part.read_bytes().count(b"\n") > enough):
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    resume(broken, **QUIET)
    assert contents(whole) == contents(broken)


# ---------------------------------------------------------------------------------------------- what is refused


def test_nothing_is_overwritten(texts, plan_of, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        run(plan_of(texts), tmp_path / "out", **QUIET)


def test_a_complete_experiment_is_left_as_it_is(texts, plan_of, tmp_path, contents):
    folder = run(plan_of(texts), tmp_path / "out", **QUIET)
    before, log = contents(folder), (folder / "log.jsonl").read_bytes()
    resume(folder, **QUIET)
    assert contents(folder) == before
    assert (folder / "log.jsonl").read_bytes() == log


def test_a_folder_in_which_a_process_is_at_work_is_refused(texts, plan_of, tmp_path):
    folder = one_of_two(plan_of(texts), tmp_path / "out")
    with holding(folder / ".rounds-00000-of-00001.lock"), pytest.raises(OutputError, match="Another process"):
        resume(folder, **QUIET)
    with holding(folder / ".rounds-00001-of-00002.lock"), pytest.raises(OutputError, match="Another process"):
        resume(folder, **QUIET)  # this process would play everything, the other one half


def test_other_models_than_at_the_beginning_are_refused(texts, plan_of, tmp_path):
    folder = one_of_two(plan_of(texts), tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["models"]["captioner"]["sha256"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(SettingsError, match="Use those models"):
        resume(folder, **QUIET)


def test_another_machine_than_at_the_beginning_is_told(texts, plan_of, tmp_path, capsys):
    folder = one_of_two(plan_of(texts), tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["packages"]["torch"] = "0.0.1"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "This machine differs" not in capsys.readouterr().err
    resume(folder, **QUIET)
    assert "torch 0.0.1" in capsys.readouterr().err


def test_a_folder_that_is_no_experiment_is_told(tmp_path):
    with pytest.raises(DataError, match="not the folder of an experiment"):
        resume(tmp_path, **QUIET)
    (tmp_path / "manifest.json").write_text('{"format": 1}')
    with pytest.raises(DataError, match="plan is missing"):
        resume(tmp_path, **QUIET)


def test_torchrun_is_for_training(texts, plan_of, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="--shards N instead"):
        run(plan_of(texts), tmp_path / "out", **QUIET)
    assert not (tmp_path / "out").exists()


def test_lines_that_are_lost_after_their_share_was_done_are_played_again(texts, plan_of, tmp_path, contents):
    whole = run(plan_of(texts), tmp_path / "whole", **QUIET)
    folder = one_of_two(plan_of(texts), tmp_path / "shared")
    part = records.part(folder, 0)
    part.write_bytes(part.read_bytes()[:-100])
    resume(folder, engine=Engine("local", 2, {"workers": 1}), **QUIET)
    assert contents(whole) == contents(folder)


def test_rounds_that_nobody_played_are_not_left_out(texts, plan_of, tmp_path):
    folder = one_of_two(plan_of(texts), tmp_path / "out")
    with pytest.raises(DataError, match="lacks rounds of"):
        records.merge(folder, _Opened.of(folder, "cpu").chains, 3, lambda caption: True)
    assert not (folder / "rounds.jsonl").exists()


def test_asking_git_for_changes_leaves_the_checkout_alone(tmp_path):
    """A process killed while git writes its index would leave a lock, and every later commit would be refused."""
    for arguments in (["init", "-q"], ["add", "."]):
        (tmp_path / "file.py").write_text("")
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    os.utime(tmp_path / "file.py", (0, 0))  # git would note this in its index
    before = (tmp_path / ".git" / "index").read_bytes()
    assert "file.py" in _git(tmp_path, "status", "--porcelain", ".")
    assert (tmp_path / ".git" / "index").read_bytes() == before
