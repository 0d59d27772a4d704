import argparse
import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from telephonegan.cli.data import add_data
from telephonegan.cli.data import run as data
from telephonegan.data.checks import check
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("pristine") / "world", train=6, dev=3, test=3, size=32, seed=2)


@pytest.fixture
def world(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "world")


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_data(parser)
    return data(parser.parse_args(["check", *map(str, arguments)]))


def found(report):
    """Kinds of problems and remarks that are not empty, but for equal captions, which this small world has."""
    kinds = report["problems"] | report["reading"] | report["remarks"]
    return {kind: value for kind, value in kinds.items() if value and kind != "captions_across_splits"}


def photos(world, split):
    return sorted((world / "images").glob(f"{split}-*.png"))


def append(path, *lines):
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_a_drawn_world_has_nothing_wrong(pristine):
    report = check(pristine)
    assert report["usable"] and found(report) == {}
    assert report["layout"] == "plain"


def test_photographs_captions_and_words_are_counted(world):
    (world / "captions.txt").write_text(
        "".join(f"{path.name}\ta red circle\n" for path in photos(world, "*"))
        + "".join(f"{path.name}\tthe circle is red\n" for path in photos(world, "train")[:2])
    )
    assert check(world)["splits"]["train"] == {
        "photographs": 6,
        "captions": 8,
        "captions_per_photograph": {"min": 1, "mean": 1.33, "max": 2},
        "words": 6 * 3 + 2 * 4,
        "different_words": 5,
    }


def test_a_missing_photograph_is_a_problem(world):
    path = photos(world, "dev")[1]
    path.unlink()
    report = check(world)
    assert found(report) == {"missing": [f"dev/{path.name}"]} and not report["usable"]


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_damaged_photograph_is_a_problem(world, damage):
    path = photos(world, "test")[0]
    content = {"truncated": path.read_bytes()[:-40], "text": b"<html>not found</html>", "empty": b""}[damage]
    path.write_bytes(content)
    report = check(world)
    assert not report["usable"] and list(found(report)) == ["unreadable"]
    assert [line.partition(":")[0] for line in report["problems"]["unreadable"]] == [f"test/{path.name}"]


def test_a_listed_photograph_without_caption_is_a_problem(world):
    Image.new("RGB", (40, 40), "red").save(world / "images" / "silent.png")
    append(world / "train.txt", "silent.png")
    report = check(world)
    assert not report["usable"]
    assert found(report) == {
        "without_caption": ["train/silent.png"],
        "photographs_without_caption": ["silent.png"],
    }


@pytest.mark.parametrize("spoil", ["absent", "empty"])
def test_a_split_that_is_not_there_is_a_problem(world, spoil):
    if spoil == "absent":
        (world / "dev.txt").unlink()
    else:
        (world / "dev.txt").write_text("\n")
    report = check(world)
    assert not report["usable"] and [line[:4] for line in report["problems"]["absent_splits"]] == ["dev:"]


def test_the_same_file_in_two_splits_is_told_and_usable(world):
    one, other = photos(world, "train")[2], photos(world, "test")[1]
    shutil.copy(one, other)
    report = check(world)
    assert report["usable"]
    assert found(report) == {
        "duplicates_across_splits": [{"equal": "file", "photographs": [f"train/{one.name}", f"test/{other.name}"]}]
    }


def test_the_same_pixels_in_another_file_are_told(world):
    one, other = photos(world, "train")[:2]
    Image.open(one).save(other, compress_level=0)
    assert one.read_bytes() != other.read_bytes()
    assert found(check(world)) == {
        "duplicates_within_splits": [{"equal": "pixels", "photographs": [f"train/{one.name}", f"train/{other.name}"]}]
    }


def test_a_name_in_two_splits_is_a_duplicate(world):
    name = photos(world, "train")[0].name
    append(world / "test.txt", name)
    assert found(check(world)) == {
        "duplicates_across_splits": [{"equal": "file", "photographs": [f"train/{name}", f"test/{name}"]}]
    }


def test_pictures_of_equal_bytes_and_other_shape_are_no_duplicates(world):
    one, other = photos(world, "train")[:2]
    Image.new("RGB", (40, 60), "red").save(one)
    Image.new("RGB", (60, 40), "red").save(other)
    assert found(check(world)) == {}


def test_captions_in_two_splits_are_told(world):
    for split in ("train", "test"):
        append(world / "captions.txt", f"{photos(world, split)[0].name}\tWholly, new words!")
    append(world / "captions.txt", f"{photos(world, 'dev')[0].name}\tall others")
    shared = check(world)["remarks"]["captions_across_splits"]
    assert {"caption": "wholly new words", "splits": ["train", "test"]} in shared
    assert "all others" not in [each["caption"] for each in shared]


def test_captions_without_photograph_and_photographs_without_caption_are_told(world):
    append(world / "captions.txt", "gone.png\ta picture that is gone")
    Image.new("RGB", (40, 40), "red").save(world / "images" / "stray.jpeg")
    report = check(world)
    assert report["usable"]
    assert found(report) == {
        "captions_without_photograph": ["gone.png"],
        "photographs_without_caption": ["stray.jpeg"],
    }


@pytest.mark.parametrize(("size", "is_tiny"), [((1, 1), True), ((400, 31), True), ((32, 32), False)])
def test_tiny_photographs_are_told_and_usable(world, size, is_tiny):
    path = photos(world, "dev")[0]
    Image.new("RGB", size, "green").save(path)
    report = check(world)
    assert report["usable"]
    assert report["remarks"]["tiny"] == ([f"dev/{path.name}: {size[0]}×{size[1]}"] if is_tiny else [])


def test_what_the_reader_left_out_or_guessed_is_told_with_its_cases(world):
    name = photos(world, "dev")[0].name
    lines = [f"{name}\tun café", f'{name}\ta "red circle', f"{name}\t...", "# the end"]
    text = (world / "captions.txt").read_text() + "\n".join(lines)
    (world / "captions.txt").write_bytes(text.encode("cp1252"))
    reading = check(world)["reading"]
    assert [len(cases) for cases in reading.values()] == [1, 1, 1, 1]
    told = " ".join(f"{what}: {cases[0]}" for what, cases in reading.items())
    for part in ("odd number of quotes", "begin with #", "guessed", "without words", "line 62", "line 64", "cp1252"):
        assert part in told


def test_the_report_says_how_files_were_read_and_shows_three_captions(world, capsys):
    report = check(world)
    names = [each["photograph"] for each in report["samples"]]
    assert names == ["train-000000.png", "train-000005.png", "test-000011.png"]
    assert report["read_as"] == ["TSV without a header: photograph, caption; UTF-8 [captions.txt]"]
    assert all(each["caption"] == each["words"] for each in report["samples"])
    run(world)
    told = capsys.readouterr().out
    assert "read as: TSV without a header: photograph, caption; UTF-8 [captions.txt]" in told
    words = report["samples"][0]["words"]
    assert f"  train-000000.png  {words!r}\n    words: {words}\n" in told


def test_what_a_terminal_would_obey_is_written_out(world, capsys):
    append(world / "captions.txt", f'{photos(world, "dev")[0].name}\ta \x1b[2Jdog "')
    run(world)
    assert "\x1b" not in capsys.readouterr().out


def test_missing_photographs_are_listed_once(world):
    for split in ("train", "dev", "test"):
        (world / f"{split}.txt").unlink()
    photos(world, "train")[0].unlink()
    report = check(world)
    assert report["remarks"]["captions_without_photograph"] == ["train-000000.png"]
    assert report["reading"] == {}


def test_a_folder_of_no_layout_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no known layout"):
        run(tmp_path)


# ---------------------------------------------------------------------------------------------- the command


def test_a_usable_folder_answers_zero_in_words(pristine, capsys):
    assert run(pristine) == 0
    told = capsys.readouterr().out
    assert told.splitlines()[0] == f"{pristine}: plain layout"
    assert [line.split()[:3] for line in told.splitlines() if line.startswith("train ")] == [["train", "6", "30"]]
    assert told.splitlines()[-1] == "Usable."


def test_problems_answer_one_and_name_what_is_wrong(world, capsys):
    for path in photos(world, "train"):
        path.unlink()
    assert run(world) == 1
    told = capsys.readouterr().out
    assert "do not exist: 6\n  train/train-000000.png\n" in told
    assert "… and 1 more" in told
    assert "Usable." not in told


def test_duplicates_are_shown_side_by_side(world, capsys):
    one, other = photos(world, "train")[2], photos(world, "test")[1]
    shutil.copy(one, other)
    assert run(world) == 0
    assert f"train/{one.name} = test/{other.name} (equal file)" in capsys.readouterr().out


def test_json_tells_all_of_it_and_nothing_else(world, capsys):
    for path in photos(world, "train"):
        path.unlink()
    assert run(world, "--json") == 1
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(json.dumps(check(world)))
    assert len(report["problems"]["missing"]) == 6


def test_a_layout_may_be_given(pristine):
    with pytest.raises(DataError, match="coco layout"):
        run(pristine, "--layout", "coco")


def test_declaring_the_options_loads_no_network_library():
    code = "import sys, telephonegan.data.checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
