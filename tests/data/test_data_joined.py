"""Photographs of several folders as one set."""

from __future__ import annotations

import pytest
from PIL import Image

from telephonegan.data.folder import split_by_name
from telephonegan.data.joined import join_photographs
from telephonegan.errors import DataError


@pytest.fixture
def plain(tmp_path):
    """Twenty photographs without captions, each of its own grey."""
    folder = tmp_path / "plain"
    folder.mkdir()
    for number in range(20):
        Image.new("L", (4, 4), number).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def captioned(tmp_path):
    """Two captioned photographs to train on, one for tests, and twenty without captions."""
    folder = tmp_path / "captioned"
    (folder / "images").mkdir(parents=True)
    for number in range(23):
        Image.new("L", (4, 4), 100 + number).save(folder / "images" / f"{number:02}.png")
    (folder / "captions.txt").write_text("".join(f"{number:02}.png#0\ta dog\n" for number in (0, 1, 2)))
    for split, numbers in (("train", (0, 1)), ("test", (2,))):
        (folder / f"{split}.txt").write_text("".join(f"{number:02}.png\n" for number in numbers))
    return folder


def test_every_photograph_is_in_one_split_and_those_without_captions_are_divided_by_name(plain, captioned):
    names = {
        split: [name for part in join_photographs([plain, captioned], split).parts for name in part.names]
        for split in ("train", "test")
    }
    assert {"00.png", "01.png"} <= {*names["train"]} and "02.png" in names["test"]
    uncaptioned = [f"{number:02}.png" for number in range(3, 23)]
    assert all(names["train"].count(name) == 2 for name in uncaptioned[:17] if split_by_name(name) == "train")
    assert not any(name in names["test"] for name in uncaptioned if split_by_name(name) != "test")


def test_rows_count_through_all_folders(plain, captioned, tmp_path):
    joined = join_photographs([plain, captioned], "train")
    pixels = joined.pixels(4, tmp_path / "cache")
    assert pixels.shape == (len(joined), 3, 4, 4)
    greys = [joined.image(row).getpixel((0, 0))[0] for row in range(len(joined))]
    assert greys == pixels[:, 0, 0, 0].tolist() and max(greys) >= 100 > min(greys)


def test_other_photographs_have_another_fingerprint(plain, captioned):
    both, one = join_photographs([plain, captioned], "train"), join_photographs([plain], "train")
    assert both.fingerprint() == join_photographs([plain, captioned], "train").fingerprint() != one.fingerprint()


def test_a_split_without_photographs_is_refused(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "only.png")
    empty = next(split for split in ("dev", "test") if split != split_by_name("only.png"))
    with pytest.raises(DataError, match=f"no {empty} photographs"):
        join_photographs([tmp_path], empty)
