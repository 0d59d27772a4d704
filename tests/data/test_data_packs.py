import json
import shutil
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.cli.main import main
from telephonegan.data.checks import check
from telephonegan.data.layouts import SPLITS, open_data, read_data
from telephonegan.data.packs import open_pack, write_pack
from telephonegan.data.photos import pack_photos
from telephonegan.data.preparing import BY_MODEL, caption_photographs, join
from telephonegan.errors import DataError, OutputError, SettingsError
from telephonegan.results import Caption

LONELY = ("lonely-1.png", "lonely-2.png")


@pytest.fixture
def folder(own_drawings):
    """The drawings, two pictures that nobody described, and a class number for each picture."""
    for shade, name in enumerate(LONELY):
        Image.new("RGB", (50, 40), (shade, 120, 120)).save(own_drawings / "images" / name)
    names = sorted(path.name for path in (own_drawings / "images").iterdir())
    rows = [f"{name},{7 if 'red' in name else 8}" for name in names]
    (own_drawings / "labels.csv").write_text("\n".join(["image,class_id", *rows]) + "\n")
    return own_drawings


@pytest.fixture
def packed(folder, tmp_path):
    return write_pack(open_data(folder), tmp_path / "drawings.pack", size=32, encoding="png")


def test_a_pack_gives_what_its_folder_gives(folder, packed):
    for split in SPLITS:
        mine, theirs = read_data(packed, split), read_data(folder, split)
        assert [name.removesuffix(".png") for name in mine.names] == theirs.names
        assert (mine.captions, mine.classes) == (theirs.captions, theirs.classes)
        expected = theirs.image(3).resize((32, 32), Image.Resampling.LANCZOS)
        assert np.array_equal(np.asarray(mine.image(3)), np.asarray(expected))
    assert [name.removesuffix(".png") for name in open_data(packed).uncaptioned()] == list(LONELY)


def test_a_pack_unpacks_to_a_plain_folder(packed, tmp_path):
    zipfile.ZipFile(packed).extractall(tmp_path / "unpacked")
    assert read_data(tmp_path / "unpacked", "dev").captions == read_data(packed, "dev").captions


def test_the_same_photographs_make_the_same_bytes(folder, tmp_path):
    packs = [write_pack(open_data(folder), tmp_path / f"{i}.pack", size=24).read_bytes() for i in range(2)]
    assert packs[0] == packs[1]


def test_photographs_are_reduced_and_never_enlarged(folder, tmp_path):
    pack = write_pack(open_data(folder), tmp_path / "p.pack", size=48, splits=("train", "test"))
    assert read_data(pack, "train").image(0).size == (40, 40)
    assert read_data(pack, "test").image(0).size == (48, 48)


def test_splits_and_classes_can_be_left_out(folder, tmp_path):
    pack = write_pack(open_data(folder), tmp_path / "p.pack", splits=("train",), without={7})
    assert len(read_data(pack, "train")) == 9
    assert not any("red" in name for name in read_data(pack, "train").names)
    with pytest.raises(DataError, match="no dev split"):
        read_data(pack, "dev")


def test_a_pack_is_made_smaller_without_encoding_it_anew(packed, tmp_path):
    small = write_pack(open_data(packed), tmp_path / "small.pack", splits=("dev",), without={7})
    mine, theirs = read_data(small, "dev"), read_data(packed, "dev")
    assert len(mine) == 9
    assert mine.content(0) == theirs.content(theirs.names.index(mine.names[0]))


def test_nothing_is_overwritten(folder, packed):
    before = packed.read_bytes()
    with pytest.raises(OutputError, match="refusing to overwrite"):
        write_pack(open_data(folder), packed)
    assert packed.read_bytes() == before


@pytest.mark.parametrize(
    ("wanted", "told"), [({"size": 4}, "size"), ({"encoding": "gif"}, "webp"), ({"quality": 101}, "quality")]
)
def test_settings_out_of_range_are_named(folder, tmp_path, wanted, told):
    with pytest.raises(SettingsError, match=told):
        write_pack(open_data(folder), tmp_path / "p.pack", **wanted)


def test_unknown_and_empty_wishes_are_explained(folder, drawings, tmp_path):
    with pytest.raises(DataError, match="no split 'training'"):
        write_pack(open_data(folder), tmp_path / "p.pack", splits=["training"])
    with pytest.raises(DataError, match="no class number for every"):
        write_pack(open_data(drawings), tmp_path / "p.pack", without={1})


def test_what_is_no_pack_is_a_data_error(packed, tmp_path):
    text = tmp_path / "a.pack"
    text.write_text("hello")
    half = tmp_path / "half.pack"
    half.write_bytes(packed.read_bytes()[:4000])
    other = tmp_path / "other.pack"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("readme.txt", "something else")
    for path in (text, half, other):
        with pytest.raises(DataError, match="pack"):
            open_data(path)


def test_a_damaged_photograph_is_named(packed):
    content = bytearray(packed.read_bytes())
    content[content.rindex(b"IDAT") + 10] ^= 255
    packed.write_bytes(content)
    photos = open_data(packed).rows(open_data(packed).uncaptioned())
    with pytest.raises(DataError, match=r"damaged at images/lonely-2\.png"):
        photos.image(1)


def test_a_newer_pack_is_refused(packed, tmp_path):
    newer = tmp_path / "newer.pack"
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(newer, "w") as new:
        for member in old.namelist():
            new.writestr(member, json.dumps({"format": 2}) if member == "pack.json" else old.read(member))
    with pytest.raises(DataError, match="format"):
        open_pack(newer)


def test_a_pack_is_packed_checked_and_joined_like_a_folder(folder, packed, tmp_path):
    photos = read_data(packed, "train")
    assert pack_photos(photos, 16, tmp_path / "cache").shape == (12, 3, 16, 16)
    assert photos.fingerprint() != read_data(folder, "train").fingerprint()
    report = check(packed)
    assert report["usable"] and len(report["remarks"]["photographs_without_caption"]) == 2
    assert report["layout"] == "pack" and len(report["samples"]) == 3 and "32 pixels" in report["read_as"][0]
    both = join([packed, folder], tmp_path / "both")
    assert len(read_data(both, "train")) == 24


def test_the_command_tells_size_and_checksum(folder, tmp_path, capsys):
    out = tmp_path / "c.pack"
    assert main(["data", "pack", str(folder), str(out), "--size", "16", "--splits", "train", "dev"]) == 0
    assert "sha256" in capsys.readouterr().out
    assert main(["data", "pack", str(folder), str(out)]) == 2
    assert "refusing to overwrite" in capsys.readouterr().err


# ------------------------------------------------------------------------------------- captions by a captioner


def says(images):
    return [
        Caption(
            *("a grey picture", ["a", "grey", "picture"], [], None, [("a picture", -1.0)], -0.5),
            *("stub", None, image),
        )
        for image in images
    ]


@pytest.mark.parametrize("form", ["folder", "pack"])
def test_photographs_nobody_described_are_described_and_listed(folder, packed, tmp_path, form):
    source = folder if form == "folder" else packed
    out = caption_photographs(open_data(source), says, tmp_path / "told")
    before, after = open_data(source), open_data(out)
    told = after.split("train").names[12:]
    assert len(told) == 2
    assert after.captions[told[0]] == [["a", "grey", "picture"], ["a", "picture"]]
    for split in ("dev", "test"):
        assert after.split(split).captions == before.split(split).captions
    listed = (
        (out / BY_MODEL).read_text() if form == "folder" else zipfile.ZipFile(out).read(BY_MODEL).decode()
    ).split()
    assert listed == told
    assert not after.uncaptioned()
    assert after.split("train").image(12).size == before.rows(before.uncaptioned()).image(0).size


def test_where_all_are_described_there_is_nothing_to_do(drawings, tmp_path):
    with pytest.raises(DataError, match="already has a caption"):
        caption_photographs(open_data(drawings), says, tmp_path / "told")


def test_labels_that_leave_a_photograph_out_are_no_classes(folder):
    assert set(open_data(folder).classes.values()) == {7, 8}
    shutil.copy(folder / "labels.csv", folder / "whole.csv")
    (folder / "labels.csv").write_text("image,class_id\nlonely-1.png,3\n")
    assert open_data(folder).classes is None
    assert torch.is_tensor(pack_photos(read_data(folder, "dev"), 8, folder / "cache"))
