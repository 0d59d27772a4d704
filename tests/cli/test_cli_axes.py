"""`telephonegan axes`, `invert`, and `sample` without captions."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from PIL import Image

import telephonegan as tg
from telephonegan.cli.main import main
from telephonegan.latent import AxisSet
from tests.tiny import register_axes


@pytest.fixture
def found(free, tmp_path):
    path = tmp_path / "found"
    features = ("--features", "warmth", "brightness")
    assert main(["axes", "find", "free", *features, "-n", "100", "--out", str(path)]) == 0
    return str(path)


def test_axes_are_found_saved_and_listed(found, capsys):
    assert AxisSet.load(found).names == ("warmth", "brightness")
    capsys.readouterr()
    assert main(["axes", "show", found]) == 0
    out = capsys.readouterr().out
    assert "R²" in out and "warmth" in out and "–" in out


def test_axes_are_measured_and_kept(found, tmp_path, capsys):
    out = str(tmp_path / "measured")
    assert main(["axes", "show", found, "--measure", "-n", "4", "--out", out]) == 0
    assert set(AxisSet.load(out).measured) == {"warmth", "brightness"}
    assert "–" not in capsys.readouterr().out


def test_axes_of_a_generator_with_text_are_measured_on_captions(tiny, tmp_path, capsys):
    captions = tmp_path / "captions.txt"
    captions.write_text("a dog runs\n\na red dog\n")
    register_axes("of-text", tiny)
    out = str(tmp_path / "measured")
    assert main(["axes", "show", "of-text", "--measure", "-n", "2", f"--captions={captions}", "--out", out]) == 0
    assert set(AxisSet.load(out).measured) == set(AxisSet.load("of-text").names)
    assert main(["axes", "show", "of-text", "--measure", "-n", "2"]) == 2
    assert "contains no word" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["sefa", "ganspace"])
def test_axes_are_found_without_features(free, tmp_path, method):
    arguments = ["axes", "find", "free", "--method", method, "-k", "2", "-n", "100", "--out", str(tmp_path / "a")]
    assert main(arguments) == 0
    assert AxisSet.load(tmp_path / "a").names == (f"{method} 1", f"{method} 2")


def test_a_grid_is_drawn(found, tmp_path, capsys):
    assert main(["axes", "grid", found, "--steps", "-2", "0", "2", "--out", str(tmp_path / "grid")]) == 0
    assert Image.open(capsys.readouterr().out.split()[-1]).width > 500


def test_an_edit_is_painted_and_can_be_shared(found, tmp_path, capsys):
    edit = ["axes", "edit", found, "--seed", "3", "--out", str(tmp_path / "edit")]
    assert main([*edit, "--lock", "brightness", "--set", "warmth=2"]) == 0
    share = json.loads((tmp_path / "edit" / "edit.json").read_text())["share"]
    assert share in capsys.readouterr().out
    again = ["axes", "edit", found, "--share", share, "--out", str(tmp_path / "again")]
    assert main(again) == 0
    one, other = ((tmp_path / folder / "picture.png").read_bytes() for folder in ("edit", "again"))
    assert one == other != (tmp_path / "edit" / "start.png").read_bytes()


def test_a_photograph_is_inverted_and_edited(found, tmp_path, capsys):
    tg.sample("free", seed=5).save(tmp_path / "me.png")
    out = tmp_path / "me"
    how = ["--starts", "1", "--steps", "3", "--out", str(out)]
    assert main(["invert", "free", str(tmp_path / "me.png"), *how]) == 0
    assert "pixel error" in capsys.readouterr().out
    assert "distance" in json.loads((out / "inversion.json").read_text())
    edit = ["axes", "edit", found, "--latents", str(out / "latents.npz"), "--set", "warmth=1"]
    assert main([*edit, "--out", str(tmp_path / "edited")]) == 0
    assert "noise=" in capsys.readouterr().out


def test_axes_of_tlgan_are_imported(free, tmp_path, capsys):
    path = tmp_path / "feature_direction_1.pkl"
    path.write_bytes(pickle.dumps({"direction": np.eye(16)[:, :2], "name": ["Smiling", "Young"]}))
    assert main(["axes", "import", str(path), "--generator", "free", "--out", str(tmp_path / "axes")]) == 0
    assert AxisSet.load(tmp_path / "axes").sha256 and "Smiling" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["axes", "find", "free"], "Say where the axes go"),
        (["axes", "find", "free", "--features", "smile", "--out", "x"], "no setting 'smile'"),
        (["axes", "find", "free", "--method", "sefa", "--extractor", "faces", "--out", "x"], "takes no features"),
        (["axes", "show", "nothing"], "No axes is called 'nothing'"),
        (["axes", "learn", "nowhere", "--columns", "a", "--name", "b"], "nowhere"),
        (["invert", "free", "nothing.png"], "nothing.png"),
    ],
)
def test_mistakes_are_explained(free, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("move", ["warmth", "warmth=", "=2", "warmth=much"])
def test_a_move_without_a_number_is_explained(found, capsys, move):
    assert main(["axes", "edit", found, "--set", move]) == 2
    assert "NAME=NUMBER" in capsys.readouterr().err


def test_a_generator_without_text_is_sampled_without_captions(free, tmp_path):
    out = tmp_path / "samples"
    assert main(["sample", "--generator", "free", "-n", "3", "--seed", "7", "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["grid.png", "seed-7.png", "seed-8.png", "seed-9.png"]
    assert Image.open(out / "seed-8.png").tobytes() == tg.sample("free", seed=8).image.tobytes()
