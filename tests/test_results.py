"""Captions and pictures in a notebook and on disk; strips."""

from __future__ import annotations

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from telephonegan import strips
from telephonegan.errors import OutputError, SettingsError
from telephonegan.results import Caption, Picture

EVIL = '<script>alert("x")</script>'


def red(size: tuple[int, int] = (16, 16)) -> Image.Image:
    return Image.new("RGB", size, "red")


@pytest.mark.parametrize("result", [
    Caption(EVIL, image=red()),
    Caption(EVIL, words=[EVIL], probabilities=[0.5], alternatives=[(EVIL, -1.0)]),
    Picture(red(), text=EVIL, dropped_words=[EVIL]),
])  # fmt: skip
def test_html_escapes_what_a_person_wrote(result):
    html = result._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_html_carries_its_picture_and_asks_no_network():
    html = Picture(red(), text="a red square")._repr_html_()
    [data] = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert Image.open(BytesIO(base64.b64decode(data))).getpixel((0, 0)) == (255, 0, 0)
    assert 'alt="a red square"' in html
    assert "http" not in html


def test_html_tells_what_was_left_out():
    html = Picture(red(), text="a zebra", dropped_words=["zebra"], truncated=3)._repr_html_()
    assert "not known here: zebra" in html and "3 words" in html


def test_small_pictures_are_shown_larger_and_large_ones_smaller():
    assert Image.open(BytesIO(Picture(red())._repr_png_())).size == (256, 256)
    assert Image.open(BytesIO(Picture(red((2000, 1000)))._repr_png_())).size == (512, 256)


def test_saving_never_overwrites(tmp_path):
    path = Picture(red()).save(tmp_path / "new" / "red.png")
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"red\.png"):
        Picture(Image.new("RGB", (16, 16), "blue")).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["red.png"]


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch):
    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OutputError, match="No space left"):
        Picture(red()).save(tmp_path / "red.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["text", "dropped_words", "truncated", "model"])
def test_whatever_a_picture_holds_is_escaped(field):
    """Types are compared where games are read; what is made by hand may still hold anything."""
    held = {field: [EVIL] if field == "dropped_words" else EVIL}
    assert "<script" not in Picture(red(), **held)._repr_html_()


@pytest.mark.parametrize("name", ["red", "red.txt", "red.exe"])
def test_a_name_that_is_no_picture_is_refused(tmp_path, name):
    with pytest.raises(OutputError, match=r"\.png"):
        Picture(red()).save(tmp_path / name)


def test_the_overlay_is_bright_where_the_network_looked():
    maps = np.zeros((2, 4, 4), dtype=np.float32)
    maps[0, 0, 0] = maps[1, 3, 3] = 1
    caption = Caption("red square", ["red", "square"], [0.9, 0.8], maps, image=Image.new("RGB", (64, 64), "white"))
    view = np.asarray(caption.overlay(1)).mean(2)
    assert view[-16:, -16:].mean() > 2 * view[:128, :128].mean()
    assert np.asarray(caption.overlay(0)).mean(2)[0, 0] == 255


@pytest.mark.parametrize("word", [2, -3])
def test_a_word_that_is_not_there_has_no_overlay(word):
    caption = Caption("a b", ["a", "b"], [1, 1], np.ones((2, 2, 2), dtype=np.float32), image=red())
    with pytest.raises(SettingsError, match="2 words"):
        caption.overlay(word)


def test_without_attention_there_is_no_overlay():
    with pytest.raises(SettingsError, match="attention"):
        Caption("a", ["a"], [1.0], image=red()).overlay(0)


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 3), (8, 4), (9, 3), (12, 4)])
def test_a_strip_fills_its_rows(count, columns):
    sheet = strips.strip([strips.Tile(red(), "red", str(i)) for i in range(count)])
    assert sheet.width == 2 * strips.MARGIN + columns * (strips.TILE + strips.GAP) - strips.GAP


@pytest.mark.parametrize("text", ["", "a dog", "dog " * 3000, "d" * 3000, "🐶\0\n\t", "блю воды"])
def test_text_never_leaves_its_tile(text):
    sheet = np.asarray(strips.strip([strips.Tile(red(), text, "0"), strips.Tile(None, text, "1")]))
    paper = np.array(Image.new("RGB", (1, 1), strips.PAPER))[0, 0]
    assert (sheet[:, : strips.MARGIN] == paper).all()
    assert (sheet[:, strips.MARGIN + strips.TILE : strips.MARGIN + strips.TILE + strips.GAP] == paper).all()
    assert (sheet[:, -strips.MARGIN :] == paper).all()
    assert (sheet[-strips.MARGIN :] == paper).all()


def test_a_photograph_keeps_its_aspect_in_the_strip():
    sheet = np.asarray(strips.strip([strips.Tile(red((400, 100)), "", "0")]))
    is_red = (sheet == (255, 0, 0)).all(2)
    assert is_red.any(0).sum() == strips.TILE
    assert is_red.any(1).sum() == strips.TILE // 4
