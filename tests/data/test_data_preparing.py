import argparse
import random

import pytest
from PIL import Image

from telephonegan.cli.data import add_data
from telephonegan.cli.data import run as data
from telephonegan.data import preparing
from telephonegan.data.layouts import open_data
from telephonegan.data.preparing import (
    Captioned,
    join,
    name_photographs,
    product_sentences,
    things_by_class,
    write_folder,
    write_products,
)
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError, OutputError, SettingsError
from telephonegan.samples import samples

ROW = {
    "id": "7",
    "title": "Turtle Check Men Navy Blue Shirt",
    "gender": "Men",
    "articleType": "Shirts",
    "baseColour": "Navy Blue",
    "season": "Fall",
    "usage": "Casual",
}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("worlds")
    return [write_world(folder / name, train=4, dev=2, test=2, size=32, seed=k) for k, name in enumerate("ab")]


def run(*arguments):
    parser = argparse.ArgumentParser()
    add_data(parser)
    return data(parser.parse_args([*map(str, arguments)]))


def test_joining_adds_training_photographs_and_keeps_what_is_measured_on(worlds, tmp_path):
    both, first, second = (open_data(folder) for folder in (join(worlds, tmp_path / "both"), *worlds))
    assert len(both.split("train")) == 8
    for split in ("dev", "test"):
        assert both.split(split).captions == first.split(split).captions
    assert both.split("train").captions == first.split("train").captions + second.split("train").captions


def test_a_folder_joined_twice_counts_twice(worlds, tmp_path):
    assert len(open_data(join([worlds[0], worlds[1], worlds[1]], tmp_path / "three")).split("train")) == 12


def test_joined_photographs_can_be_read(worlds, tmp_path):
    kept, lost = open_data(join(worlds, tmp_path / "both")).split("train").readable()
    assert len(kept) == 8 and lost == []


def test_one_folder_alone_is_refused(worlds, tmp_path):
    with pytest.raises(DataError, match="two"):
        join(worlds[:1], tmp_path / "one")


def test_a_folder_that_is_there_is_not_written_over(worlds, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputError):
        join(worlds, tmp_path / "mine")


def test_a_failed_writing_leaves_nothing(tmp_path):
    broken = Captioned(tmp_path / "a.png", "a/b.png", ["a dog"], "train")  # its sub-folder is not there
    with pytest.raises(OutputError):
        write_folder(tmp_path / "out", [broken])
    assert not (tmp_path / "out").exists()


def test_two_photographs_of_one_name_are_refused(tmp_path):
    twice = [Captioned(tmp_path / "a.png", "a.png", ["a dog"], "train")] * 2
    with pytest.raises(DataError, match=r"a\.png"):
        write_folder(tmp_path / "out", twice)


def test_line_breaks_inside_a_sentence_do_not_break_the_table(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    write_folder(tmp_path / "out", [Captioned(tmp_path / "a.png", "a.png", ["a dog\nruns\tfast"], "train")])
    assert open_data(tmp_path / "out").captions == {"a.png": [["a", "dog", "runs", "fast"]]}


# ------------------------------------------------------------------------------------------------ naming what is shown


def test_every_thing_is_a_class_of_imagenet():
    things = things_by_class()
    assert set(preparing._THINGS) <= set(things.values())
    assert things[281] == "cat" and things[207] == "dog" and things[340] == "zebra" and 0 not in things


def test_a_photograph_gets_sentences_that_name_what_it_shows(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "pet.jpg").symlink_to(samples()["chelsea"])
    (tmp_path / "photos" / "nothing.png").write_bytes(b"")
    Image.new("RGB", (64, 64), "white").save(tmp_path / "photos" / "white.png")
    lines = [f"{k}\tThe cat number {k} sleeps." for k in range(9)] + [f"{k}\tA category {k}" for k in range(9)]
    random.Random(0).shuffle(lines)
    (tmp_path / "sentences.tsv").write_text("\n".join(lines))
    folder = name_photographs(
        tmp_path / "photos", tmp_path / "sentences.tsv", tmp_path / "out", without=["nothing.png"], confidence=0.3
    )
    found = open_data(folder).captions
    assert list(found) == ["pet.jpg"] and len(found["pet.jpg"]) == 5
    assert all("cat" in words for words in found["pet.jpg"])


def test_a_confidence_that_is_none_and_a_missing_folder_are_told(tmp_path):
    with pytest.raises(SettingsError, match="confidence"):
        name_photographs(tmp_path, tmp_path / "x.tsv", tmp_path / "out", confidence=2)
    with pytest.raises(DataError, match="photos"):
        name_photographs(tmp_path / "photos", tmp_path / "x.tsv", tmp_path / "out")


# ------------------------------------------------------------------------------------------------------------- products


def test_every_sentence_on_a_product_names_it_and_its_colour():
    for sentence in product_sentences(ROW):
        assert "navy blue" in sentence and "shirt" in sentence
    assert product_sentences(ROW)[0] == "a navy blue checked shirt"
    assert len(set(product_sentences(ROW))) == 5


def test_pairs_and_vowels_are_put_into_words():
    shoes = product_sentences({**ROW, "articleType": "Casual Shoes", "baseColour": "Orange", "title": "Puma"})
    assert shoes[0] == "a pair of orange casual shoes" and shoes[4] == "the casual shoes are orange"
    assert product_sentences({**ROW, "baseColour": "Orange", "title": ""})[0] == "an orange shirt"


def test_products_without_a_colour_or_of_another_kind_are_left_out(tmp_path):
    (tmp_path / "images").mkdir()
    rows = [ROW, {**ROW, "id": "8", "baseColour": "NA"}, {**ROW, "id": "9", "articleType": "Perfume"}]
    for row in rows:
        Image.new("RGB", (40, 40)).save(tmp_path / "images" / f"{row['id']}.jpg")
    lines = [",".join(ROW), *(",".join(row.values()) for row in rows)]
    (tmp_path / "products.csv").write_text("\n".join(lines))
    assert list(open_data(write_products(tmp_path, tmp_path / "out")).captions) == ["7.jpg"]


def test_the_commands_print_the_new_folder(worlds, tmp_path, capsys):
    assert run("join", tmp_path / "both", *worlds) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "both")
