"""`telephonegan sample`: what is typed, and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from telephonegan.cli.main import main


@pytest.fixture
def captions(tiny, tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("a dog\nthe red ball\n")
    return "lines.txt"


def sample(captions, *arguments):
    return main(["sample", f"--captions={captions}", "--generator=tiny", "--device=cpu", *arguments])


def test_the_new_folder_is_printed(captions, capsys):
    assert sample(captions, "-n", "1", "--out=out", "--no-attention") == 0
    assert capsys.readouterr().out == "out\n"
    assert sorted(path.name for path in Path("out").iterdir()) == [f"0_s_{s}_g{k}.png" for s in (0, 1) for k in (0, 1)]


def test_a_generator_and_a_cfg_exclude_each_other(captions, capsys):
    with pytest.raises(SystemExit):
        sample(captions, "--cfg=x.yml")
    assert "not allowed with" in capsys.readouterr().err


def test_ctrl_c_tells_how_many_pictures_there_are(captions, capsys, monkeypatch):
    from telephonegan import sampling

    painted = sampling.painted

    def interrupted(generator, sentences, seeds):
        if len(list(Path("out").glob("*_g*.png"))) == 4:
            raise KeyboardInterrupt
        return painted(generator, sentences, seeds)

    monkeypatch.setattr(sampling, "_BATCH", 1)
    monkeypatch.setattr(sampling, "painted", interrupted)
    assert sample(captions, "--out=out") == 130
    assert "4 pictures are in out" in capsys.readouterr().err
