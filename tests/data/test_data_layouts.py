import json
import pickle
import shutil
import sys
import unicodedata
import warnings

import numpy as np
import pytest
from PIL import Image

from telephonegan.data.caption_files import read_caption_file
from telephonegan.data.folder import DataWarning
from telephonegan.data.layouts import LAYOUTS, SPLITS, open_data, read_data
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError, TelephoneganError


def paint(*paths):
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (number % 256, 90, 30)).save(path)


def say(path, *lines, encoding="utf-8", end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


NAMES = ("a.jpg", "b.jpg", "c.jpg")


@pytest.fixture
def three(tmp_path):
    """A folder with three pictures in images/."""
    paint(*(tmp_path / "images" / name for name in NAMES))
    return tmp_path


def say_splits(folder, pattern="{}.txt"):
    for split, name in zip(SPLITS, NAMES, strict=True):
        say(folder / pattern.format(split), name)


def all_names(folder, layout=None):
    return [name for split in SPLITS for name in read_data(folder, split, layout).names]


def opened(folder, layout=None):
    """The folder and its remarks, which are warnings too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data = open_data(folder, layout)
    assert len([each for each in caught if each.category is DataWarning]) == len(data.remarks) == len(caught)
    return data


def remark(data, words):
    return next(cases for what, cases in data.remarks.items() if words in what)


def strict(folder, layout=None):
    """The folder, where nothing may be remarked on."""
    data = opened(folder, layout)
    assert data.remarks == {}
    return data


# ---------------------------------------------------------------------------------------------- plain folders


@pytest.mark.parametrize("place", ["images", "Images", "."])
@pytest.mark.parametrize("table", ["captions.txt", "captions.csv"])
def test_a_plain_folder_is_read(tmp_path, place, table):
    paint(*(tmp_path / place / name for name in NAMES))
    say(tmp_path / table, "image,caption", *(f"{name},the letter {name[0]}" for name in NAMES))
    say_splits(tmp_path)
    photos = read_data(tmp_path, "dev")
    assert (photos.names, photos.captions) == (["b.jpg"], [[["the", "letter", "b"]]])
    assert photos.readable()[1] == []
    assert (photos.classes, photos.boxes) == (None, None)


def test_captions_may_name_the_folder_of_the_photographs(three):
    say(three / "captions.csv", *(f"images/{name},a letter" for name in NAMES))
    for split, name in zip(SPLITS, NAMES, strict=True):
        say(three / f"{split}.txt", f"images/{name}")
    assert read_data(three, "test").readable()[0].names == ["images/c.jpg"]


def make_unsplit(folder, count):
    names = [f"{number}.png" for number in range(count)]
    paint(*(folder / "images" / name for name in names))
    say(folder / "captions.txt", *(f"{name}\ta picture" for name in names))
    return names


def test_without_lists_the_photographs_are_divided_by_their_names(tmp_path):
    names = make_unsplit(tmp_path, 300)
    splits = {split: read_data(tmp_path, split).names for split in SPLITS}
    assert sorted(name for names in splits.values() for name in names) == sorted(names)
    assert 220 < len(splits["train"]) < 260
    assert 15 < len(splits["dev"]) < 45
    assert 15 < len(splits["test"]) < 45


def test_more_photographs_move_none_to_another_split(tmp_path):
    make_unsplit(tmp_path / "few", 60)
    make_unsplit(tmp_path / "many", 90)
    for split in SPLITS:
        assert set(read_data(tmp_path / "few", split).names) <= set(read_data(tmp_path / "many", split).names)


def test_without_lists_names_without_photograph_are_left_out_and_told(tmp_path):
    make_unsplit(tmp_path, 60)
    (tmp_path / "images" / "7.png").unlink()
    with pytest.warns(DataWarning, match=r"do not exist, left out: 1 \(7\.png\)"):
        assert "7.png" not in all_names(tmp_path)


def test_too_few_photographs_for_a_split_are_an_error(tmp_path):
    make_unsplit(tmp_path, 1)
    with pytest.raises(DataError, match=r"split.*is empty"):
        all_names(tmp_path)


def test_with_lists_a_photograph_that_is_not_there_is_told_by_readable(three):
    say(three / "captions.txt", *(f"{name}\ta letter" for name in (*NAMES, "lost.jpg")))
    say_splits(three)
    say(three / "train.txt", "a.jpg", "lost.jpg")
    kept, lost = read_data(three, "train").readable()
    assert (kept.names, [name for name, _ in lost]) == (["a.jpg"], ["lost.jpg"])


# ---------------------------------------------------------------------------------------------- Flickr8k and Flickr30k


@pytest.mark.parametrize(
    ("place", "text"), [("Flicker8k_Dataset", "."), ("Flickr8k_Dataset/Flicker8k_Dataset", "Flickr8k_text")]
)
def test_flickr8k_as_it_was_handed_out_is_read(tmp_path, place, text):
    paint(*(tmp_path / place / name for name in NAMES))
    say(
        tmp_path / text / "Flickr8k.token.txt",
        *(f"{name}#{i}\tletter {name[0]} {i} ." for name in (*NAMES, "x.jpg.1") for i in range(2)),
    )
    say_splits(tmp_path / text, "Flickr_8k.{}Images.txt")
    assert open_data(tmp_path).layout == "flickr"
    photos = read_data(tmp_path, "test")
    assert (photos.names, photos.captions) == (["c.jpg"], [[["letter", "c", "0"], ["letter", "c", "1"]]])
    assert photos.readable()[1] == []


@pytest.mark.parametrize(
    ("table", "place", "line"),
    [
        ("results_20130124.token", "flickr30k-images", "{}#0\ta dog ."),
        ("results.csv", "flickr30k_images/flickr30k_images", "{}| 0| a dog ."),
        ("flickr30k_images/results.csv", "flickr30k_images/flickr30k_images", "{}| 0| a dog ."),
    ],
)
def test_flickr30k_is_read(tmp_path, table, place, line):
    names = [f"{number}.jpg" for number in range(40)]
    paint(*(tmp_path / place / name for name in names))
    head = ["image_name| comment_number| comment"] if table.endswith("csv") else []
    say(tmp_path / table, *head, *(line.format(name) for name in names))
    assert open_data(tmp_path).layout == "flickr"
    assert sorted(all_names(tmp_path)) == sorted(names)
    assert read_data(tmp_path, "train").captions[0] == [["a", "dog"]]


# ---------------------------------------------------------------------------------------------- COCO


def coco(folder, *, annotations="annotations", places=("train2014", "val2014"), year=2014, count=40):
    for part, place in zip(("train", "val"), places, strict=True):
        names = [f"COCO_{part}_{number:03}.jpg" for number in range(count)]
        paint(*(folder / place / name for name in names))
        tables = {
            "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
            "annotations": [
                {"image_id": number, "id": number, "caption": f"A {part} photo, number {number}."}
                for number in reversed(range(count))
                for _ in range(2)
            ],
        }
        say(folder / annotations / f"captions_{part}{year}.json", json.dumps(tables))
    return folder


@pytest.mark.parametrize(
    "laid_out",
    [
        {},
        {"annotations": "."},
        {"places": ("images/train2014", "images/val2014")},
        {"places": ("images", "images")},
        {"year": 2017, "places": ("train2017", "val2017")},
    ],
)
def test_coco_is_read(tmp_path, laid_out):
    coco(tmp_path, **laid_out)
    place = laid_out.get("places", ("train2014", "val2014"))[1]
    assert open_data(tmp_path).layout == "coco"
    photos = read_data(tmp_path, "test")
    assert len(photos) == 40
    assert photos.names[7] == f"{place}/COCO_val_007.jpg"
    assert photos.captions[7] == [["a", "val", "photo", "number", "7"]] * 2
    assert photos.readable()[1] == []


def test_coco_keeps_val_whole_and_holds_a_part_of_train_out(tmp_path):
    coco(tmp_path, count=100)
    parts = {split: set(read_data(tmp_path, split).names) for split in SPLITS}
    assert len(parts["train"]) + len(parts["dev"]) == 100
    assert 2 <= len(parts["dev"]) <= 25
    assert not parts["train"] & parts["dev"]
    assert all("train" in name for name in parts["train"] | parts["dev"])


@pytest.mark.parametrize("lost", ["val2014", "annotations/captions_val2014.json"])
def test_half_of_coco_is_read_and_the_other_half_told(tmp_path, lost):
    coco(tmp_path)
    (shutil.rmtree if lost == "val2014" else type(tmp_path).unlink)(tmp_path / lost)
    assert len(read_data(tmp_path, "train")) > 20
    left = "val2014" if lost == "val2014" else r"captions_train2014\.json"
    with pytest.raises(DataError, match=rf"no test split: no.*{left}"):
        read_data(tmp_path, "test")


def test_coco_without_its_training_part_has_no_dev_split(tmp_path):
    shutil.rmtree(coco(tmp_path) / "train2014")
    assert len(read_data(tmp_path, "test")) == 40
    for split in ("train", "dev"):
        with pytest.raises(DataError, match=f"no {split} split.*train2014"):
            read_data(tmp_path, split)


def test_two_years_of_coco_are_refused(tmp_path):
    coco(tmp_path)
    coco(tmp_path, year=2017)
    with pytest.raises(DataError, match="years"):
        read_data(tmp_path, "train")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"images": []}', '{"images": [{"id": 1}], "annotations": []}', '{"images": 3}']
)
def test_other_json_is_no_coco(tmp_path, content):
    coco(tmp_path)
    say(tmp_path / "annotations" / "captions_train2014.json", content)
    with pytest.raises(DataError, match=r"captions_train2014\.json (is not|has no)"):
        read_data(tmp_path, "train")


# ---------------------------------------------------------------------------------------------- AttnGAN


WORDS = {0: "<end>", 1: "bird", 2: "red", 3: "blue", 4: "a"}
IDS = {word: index for index, word in WORDS.items()}


def dump(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol=2))


def attngan(folder, *, birds, count=(30, 5)):
    photos = folder / "CUB_200_2011" / "images" if birds else folder / "images"
    prefix = "001.Finch/" if birds else ""
    names = {
        split: [f"{prefix}{split}_{number}" for number in range(n)]
        for split, n in zip(("train", "test"), count, strict=True)
    }
    for split, listed in names.items():
        dump(folder / split / "filenames.pickle", listed)
        paint(*(photos / f"{name}.jpg" for name in listed))
    captions = [[[4, 2, 1] if row % 2 else [4, 3, 1], [1]] * 1 for row in range(max(count))]
    flat = [[caption for row in range(n) for caption in captions[row]] for n in count]
    dump(folder / "captions.pickle", [*flat, WORDS, {word: i for i, word in WORDS.items()}])
    if birds:
        everything = [f"{name}.jpg" for listed in names.values() for name in listed]
        say(folder / "CUB_200_2011/images.txt", *(f"{i} {name}" for i, name in enumerate(everything, 1)))
        say(folder / "CUB_200_2011/bounding_boxes.txt", *(f"{i} 10.0 5.0 16.0 8.7" for i in range(1, sum(count) + 1)))
        for split, listed in names.items():
            dump(folder / split / "class_info.pickle", list(range(1, len(listed) + 1)))
    return folder


@pytest.mark.parametrize("birds", [True, False])
def test_attngans_folder_is_read(tmp_path, birds):
    attngan(tmp_path, birds=birds)
    assert open_data(tmp_path).layout == "attngan"
    photos = read_data(tmp_path, "test")
    assert photos.names[3] == ("001.Finch/test_3.jpg" if birds else "test_3.jpg")
    assert photos.captions[2:4] == [[["a", "blue", "bird"], ["bird"]], [["a", "red", "bird"], ["bird"]]]
    assert photos.classes == ([1, 2, 3, 4, 5] if birds else None)
    assert photos.boxes == ([(10, 5, 16, 8)] * 5 if birds else None)
    assert photos.image(0).size == ((24, 21) if birds else (40, 30))
    assert photos.readable()[1] == []


def test_attngans_test_split_stays_whole_and_dev_is_held_out(tmp_path):
    attngan(tmp_path, birds=True, count=(60, 5))
    train, dev = read_data(tmp_path, "train"), read_data(tmp_path, "dev")
    assert len(train) + len(dev) == 60
    assert 1 <= len(dev) <= 15
    assert not set(train.names) & set(dev.names)
    assert [f"001.Finch/train_{number - 1}.jpg" for number in dev.classes] == dev.names


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("train/filenames.pickle", ["x"] * 7, "captions.pickle has 60 captions for the 7"),
        ("train/filenames.pickle", [], "60 captions for the 0"),
        ("captions.pickle", [[[9]] * 30, [[1]] * 5, WORDS, IDS], "word ids"),
        ("captions.pickle", [[["bird"]] * 30, [[1]] * 5, WORDS, IDS], "word ids"),
        ("train/class_info.pickle", [1, 2], "2 class numbers for 30"),
        ("captions.pickle", "other", "captions.pickle"),
        ("train/filenames.pickle", {"x": 1}, "filenames.pickle"),
    ],
)
def test_files_of_other_data_are_told(tmp_path, path, content, told):
    attngan(tmp_path, birds=True)
    dump(tmp_path / path, content)
    with pytest.raises(TelephoneganError, match=told):
        read_data(tmp_path, "train")


@pytest.mark.parametrize("lost", ["train/filenames.pickle", "CUB_200_2011/bounding_boxes.txt", "CUB_200_2011/images"])
def test_a_missing_file_of_attngan_is_named(tmp_path, lost):
    path = attngan(tmp_path, birds=True) / lost
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(TelephoneganError, match=lost):
        read_data(tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "told"),
    [("1 2 3", "id left top width height"), ("1 a b c d", "invalid line 1 a"), ("999 1 2 3 4", "invalid line 999")],
)
def test_a_line_that_is_no_box_is_shown(tmp_path, line, told):
    say(attngan(tmp_path, birds=True) / "CUB_200_2011/bounding_boxes.txt", line)
    with pytest.raises(DataError, match=told):
        read_data(tmp_path, "train")


def test_a_photograph_without_a_box_is_named(tmp_path):
    say(attngan(tmp_path, birds=True) / "CUB_200_2011/bounding_boxes.txt", "1 2 3 4 5")
    with pytest.raises(DataError, match=r"no box for 34 photographs, first 001.Finch/train_1\.jpg"):
        read_data(tmp_path, "train")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("with_suffix", [False, True])
@pytest.mark.parametrize("birds", [True, False])
def test_attngans_texts_are_read_before_its_captions_pickle_was_made(tmp_path, suffix, with_suffix, birds):
    photos = tmp_path / ("CUB_200_2011/images" if birds else "images")
    parts = {"train": TWELVE[:6], "val": TWELVE[6:8], "test": TWELVE[8:]}
    for split, names in parts.items():
        own = [f"001.Finch/{name[:-4]}" for name in names]
        dump(tmp_path / split / "filenames.pickle", [f"{name}{suffix}" for name in own] if with_suffix else own)
        dump(tmp_path / split / "class_info.pickle", np.full(len(own), 3) if with_suffix else [3] * len(own))
        for name in own:
            paint(photos / f"{name}{suffix}")
            say(tmp_path / "text" / f"{name}.txt", "this bird is red", "it has a short beak", "")
    if birds:
        say(tmp_path / "CUB_200_2011/images.txt", *(f"{i} 001.Finch/{name}" for i, name in enumerate(TWELVE)))
        say(tmp_path / "CUB_200_2011/bounding_boxes.txt", *(f"{i} 5 5 20 20" for i in range(12)))
    data = strict(tmp_path)
    assert data.layout == "attngan"
    assert data.splits["dev"] == [f"001.Finch/{name[:-4]}{suffix}" for name in parts["val"]]
    photos = data.split("test")
    assert photos.captions[0] == [["this", "bird", "is", "red"], ["it", "has", "a", "short", "beak"]]
    assert photos.classes == [3] * 4 and photos.boxes == ([(5, 5, 20, 20)] * 4 if birds else None)
    assert photos.readable()[1] == []


def test_a_text_that_attngan_lists_and_is_not_there_is_named(tmp_path):
    for split, names in (("train", TWELVE[:8]), ("test", TWELVE[8:])):
        dump(tmp_path / split / "filenames.pickle", [name[:-4] for name in names])
        for name in names:
            paint(tmp_path / "images" / name)
            say(tmp_path / "text" / f"{name[:-4]}.txt", "a bird")
    (tmp_path / "text" / "p09.txt").unlink()
    data = opened(tmp_path)
    assert remark(data, "without a caption") == ["p09.jpg"]
    with pytest.raises(DataError, match=r"1 photographs of the test split have no caption, first p09\.jpg"):
        data.split("test")


def test_attngans_dev_photographs_have_their_captions_in_text(tmp_path):
    attngan(tmp_path, birds=False)
    paint(tmp_path / "images" / "extra.jpg")
    dump(tmp_path / "val" / "filenames.pickle", ["extra"])
    say(tmp_path / "text" / "extra.txt", "a green bird")
    data = strict(tmp_path)
    assert data.splits["dev"] == ["extra.jpg"] and len(data.splits["train"]) == 30
    assert data.captions["extra.jpg"] == [["a", "green", "bird"]]


# ---------------------------------------------------------------------------------------------- splits of any origin


TWELVE = [f"p{number:02}.jpg" for number in range(12)]
THIRDS = {"train": TWELVE[::3], "dev": TWELVE[1::3], "test": TWELVE[2::3]}
WORD = {"train": "train", "dev": "val", "test": "test"}


@pytest.fixture
def twelve(tmp_path):
    """A folder with twelve pictures in images/."""
    paint(*(tmp_path / "images" / name for name in TWELVE))
    return tmp_path


def rows(template, word=WORD):
    """A line for every photograph of THIRDS."""
    split_of = {name: split for split, names in THIRDS.items() for name in names}
    return [template.format(name=name, split=word[split_of[name]]) for name in TWELVE]


@pytest.mark.parametrize(
    ("file", "lines"),
    [
        ("captions.csv", ["image,caption,split", *rows("{name},two dogs run,{split}")]),
        ("captions.csv", ["split;caption;file_name", *rows("{split};two dogs run;{name}")]),
        ("captions.txt", rows("{name}\t0\ttwo dogs run\t{split}")),
        ("anything.tsv", ["filename\tsentences\tset", *rows("{name}\ttwo dogs run\t{split}")]),
        ("metadata.csv", ["file_name,text,partition", *rows("{name},two dogs run,{split}")]),
        ("metadata.jsonl", rows('{{"file_name": "{name}", "text": "two dogs run", "split": "{split}"}}')),
        ("captions.json", ["[", ",".join(rows('["{name}", "two dogs run"]')), "]"]),
    ],
)
def test_splits_of_the_file_of_captions_are_used(twelve, file, lines):
    say(twelve / file, *lines)
    data = strict(twelve)
    assert data.layout == "plain" and data.captions == {name: [["two", "dogs", "run"]] for name in TWELVE}
    if file != "captions.json":
        assert data.splits == THIRDS and data.absent == {}


def test_without_a_dev_split_a_tenth_of_train_is_held_out(tmp_path):
    names = [f"{number}.jpg" for number in range(100)]
    paint(*(tmp_path / name for name in names))
    say(tmp_path / "c.csv", "image,caption,split", *(f"{n},a dog,{'test' if n < '3' else 'train'}" for n in names))
    data = strict(tmp_path)
    assert set(data.splits["test"]) == {name for name in names if name < "3"}
    assert 1 < len(data.splits["dev"]) < 20
    assert set(data.splits["train"]) | set(data.splits["dev"]) == {name for name in names if name >= "3"}


def test_a_split_that_the_file_does_not_name_is_told(twelve):
    say(
        twelve / "captions.csv",
        "image,caption,split",
        *(f"{n},a dog,{'val' if n < 'p03' else 'train'}" for n in TWELVE),
    )
    assert read_data(twelve, "dev").names == TWELVE[:3]
    with pytest.raises(DataError, match=r"no test split: no photograph of captions\.csv is marked as part of it"):
        read_data(twelve, "test")


def test_a_photograph_in_two_splits_stays_in_the_first(twelve):
    say(
        twelve / "captions.csv",
        "image,caption,split",
        "p00.jpg,a dog,train",
        "p00.jpg,a cat,test",
        "p01.jpg,a cow,test",
    )
    data = opened(twelve)
    assert "p00.jpg" not in data.splits["test"] and len(data.captions["p00.jpg"]) == 2
    assert remark(data, "two splits") == ["captions.csv, line 3: p00.jpg, train and test"]


@pytest.mark.parametrize("word", ["dev", "val", "valid", "validation"])
def test_lists_of_names_may_call_the_dev_split_otherwise(three, word):
    say(three / "captions.txt", *(f"{name}\ta letter" for name in NAMES))
    for split, name in zip(("train", word, "test"), ("A", "images\\b.jpg", "c.jpeg"), strict=True):
        say(three / f"{split}.txt", name)
    data = opened(three)
    assert data.splits == {"train": ["a.jpg"], "dev": ["b.jpg"], "test": ["c.jpg"]}
    assert len(remark(data, "differently from their photograph")) == 3


def test_lists_of_names_overrule_the_file_of_captions_and_say_so(three):
    say(three / "captions.csv", "image,caption,split", *(f"{name},a letter,train" for name in NAMES))
    say_splits(three)
    data = opened(three)
    assert data.splits["dev"] == ["b.jpg"]
    assert remark(data, "overrule") == ["b.jpg: train, not dev", "c.jpg: train, not test"]


@pytest.mark.parametrize("form", ["metadata.jsonl", "metadata.csv", "captions.txt", "sidecars", "one file"])
def test_folders_called_after_splits_are_splits(tmp_path, form):
    for split, names in THIRDS.items():
        folder = tmp_path / {"train": "train", "dev": "validation", "test": "test"}[split]
        paint(*(folder / name for name in names))
        if form == "sidecars":
            for name in names:
                say((folder / name).with_suffix(".txt"), "two dogs run")
        elif form != "one file":
            records = [json.dumps({"file_name": name, "text": "two dogs run"}) for name in names]
            header = ["file_name,text"] if form == "metadata.csv" else []
            tables = [f"{name}{',' if header else chr(9)}two dogs run" for name in names]
            say(folder / form, *(records if form == "metadata.jsonl" else header + tables))
    if form == "one file":
        folders = {name: "validation" if split == "dev" else split for split, part in THIRDS.items() for name in part}
        say(tmp_path / "captions.csv", *(f"{folders[name]}/{name},two dogs run" for name in TWELVE))
    data = strict(tmp_path)
    assert data.layout == ("sidecars" if form == "sidecars" else "plain")
    assert {split: [name.rpartition("/")[2] for name in names] for split, names in data.splits.items()} == THIRDS
    assert data.split("dev").readable()[1] == [] and data.split("dev").captions[0] == [["two", "dogs", "run"]]


@pytest.mark.parametrize("pattern", ["{}.csv", "captions_{}.csv", "{}_captions.csv", "annotations/{}.csv"])
def test_a_file_for_each_split_is_read(twelve, pattern):
    for split, names in THIRDS.items():
        say(twelve / pattern.format(WORD[split]), "image,caption", *(f"{name},a dog" for name in names))
    assert strict(twelve).splits == THIRDS


# ---------------------------------------------------------------------------------------------- choosing files


def test_several_files_of_captions_are_told_and_one_may_be_given(twelve):
    for language in ("english", "german"):
        say(twelve / f"{language}.csv", "image,caption", *(f"{name},{language} words" for name in TWELVE))
    with pytest.raises(DataError, match=r"several files of captions: english\.csv, german\.csv"):
        open_data(twelve)
    data = strict(twelve / "german.csv")
    assert data.folder == twelve and data.captions["p00.jpg"] == [["german", "words"]]
    say(twelve / "captions.txt", *(f"{name}\tmine" for name in TWELVE))
    data = opened(twelve)
    assert data.captions["p00.jpg"] == [["mine"]] and remark(data, "not read") == ["english.csv", "german.csv"]


def test_a_damaged_file_that_may_be_a_split_is_told(twelve):
    content = json.dumps([{"image": name, "caption": "a dog"} for name in TWELVE])
    say(twelve / "train.json", content)
    say(twelve / "val.json", content[:-9])
    assert remark(opened(twelve), "damaged") == ["val.json"]


def test_a_file_named_captions_that_holds_none_is_named(twelve):
    say(twelve / "captions.json", '{"version": 1}')
    with pytest.raises(DataError, match=r"captions\.json|none of the 1 photographs"):
        open_data(twelve)


def test_no_photograph_at_all_is_an_error_that_shows_both_sides(twelve):
    say(twelve / "captions.csv", "image,caption", "dog.jpg,a dog", "cat.jpg,a cat")
    with pytest.raises(DataError) as caught:
        open_data(twelve)
    for part in ("none of the 2 photographs", "first dog.jpg", "12 pictures, first images/p00.jpg", "CSV with header"):
        assert part in str(caught.value)


# ---------------------------------------------------------------------------------------------- names and languages


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_in_another_unicode_form_are_found_and_told(tmp_path, form):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    files = [unicodedata.normalize(form, f"café{i}.jpg") for i in range(40)]
    paint(*(tmp_path / "images" / name for name in files))
    say(tmp_path / "captions.txt", *(f"{unicodedata.normalize(other, name)}\ta dog" for name in files))
    data = opened(tmp_path)
    assert list(data.captions) == files and sorted(n for part in data.splits.values() for n in part) == sorted(files)
    assert len(remark(data, "differently from their photograph")) == 40
    assert all("(Unicode form)" in case for case in remark(data, "differently from their photograph"))


def test_captions_under_two_spellings_are_those_of_one_photograph(three):
    say(three / "captions.txt", "a.jpg\tone", "A.JPG\ttwo", "./a.jpg\tthree", "images/a.jpg\tfour", "b.jpg\tfive")
    assert opened(three).captions == {"a.jpg": [["one"], ["two"], ["three"], ["four"]], "b.jpg": [["five"]]}


def test_hindi_is_read_in_whole_words(three):
    say(three / "captions.txt", *(f"{name}\tलड़का पानी में खेल रहा है" for name in NAMES))
    assert strict(three).captions["a.jpg"] == [["लड़का", "पानी", "में", "खेल", "रहा", "है"]]


def test_chinese_is_refused_with_the_reason(three, monkeypatch):
    monkeypatch.setitem(sys.modules, "jieba", None)
    say(three / "captions.txt", *(f"{name}\t一只狗在草地上奔跑" for name in NAMES))
    with pytest.raises(DataError, match=r"no readable caption.*Chinese.*without spaces.*jieba"):
        open_data(three)
    say(three / "captions.txt", *(f"{name}\ta dog runs" for name in NAMES), "a.jpg\t一只狗在草地上奔跑")
    data = opened(three)
    assert remark(data, "without spaces") == ["captions.txt, line 4: 一只狗在草地上奔跑"]


def test_captions_without_a_word_are_left_out_and_told(three):
    say(three / "captions.txt", "a.jpg\t...", "a.jpg\ta dog", "b.jpg\t!", "c.jpg\ta cat")
    data = opened(three)
    assert data.captions == {"a.jpg": [["a", "dog"]], "c.jpg": [["a", "cat"]]}
    assert remark(data, "without words") == ["captions.txt, line 1: '...'", "captions.txt, line 3: '!'"]
    assert remark(data, "without a caption") == ["b.jpg"]
    with pytest.warns(DataWarning) as caught:
        read_data(three, "train")
    assert "without words, left out: 2 (captions.txt, line 1: '...'; captions.txt, line 3" in str(caught[0].message)


# ---------------------------------------------------------------------------------------------- Karpathy, COCO, texts


def test_karpathys_folder_is_read_with_its_splits(twelve):
    split_of = {name: WORD[split] for split, names in THIRDS.items() for name in names}
    images = [
        {"filename": name, "filepath": "val2014", "split": split_of[name], "sentences": [{"raw": "A dog."}] * 2}
        for name in TWELVE
    ]
    say(twelve / "dataset_flickr8k.json", json.dumps({"images": images, "dataset": "flickr8k"}))
    data = opened(twelve)
    assert data.layout == "karpathy" and data.splits == THIRDS
    assert data.captions["p03.jpg"] == [["a", "dog"]] * 2
    assert list(data.remarks) == ["names spelled differently from their photograph, matched"]


def roboflow(folder, splits=("train", "valid", "test")):
    for i, split in enumerate(splits):
        paint(folder / split / f"{i}.jpg")
        tables = {
            "images": [{"id": 0, "file_name": f"{i}.jpg"}],
            "annotations": [{"image_id": 0, "caption": f"number {i}"}],
        }
        say(folder / split / "_annotations.coco.json", json.dumps(tables))
    return folder


def test_coco_with_three_parts_has_them_as_splits(tmp_path):
    data = strict(roboflow(tmp_path))
    assert data.layout == "coco"
    assert data.splits == {"train": ["train/0.jpg"], "dev": ["valid/1.jpg"], "test": ["test/2.jpg"]}


def test_coco_in_one_file_is_divided_by_name_or_by_its_own_splits(twelve):
    tables = {
        "images": [{"id": str(i), "file_name": name} for i, name in enumerate(TWELVE)],
        "annotations": [{"image_id": i, "caption": None if i == 3 else "A dog."} for i in range(12)],
    }
    say(twelve / "mine.json", json.dumps(tables))
    data = opened(twelve)
    assert sorted(name for names in data.splits.values() for name in names) == [
        f"images/{name}" for name in TWELVE if name != "p03.jpg"
    ]
    assert remark(data, "null") == ["mine.json, annotation 3: None"]
    assert remark(data, "photographs without a caption") == ["images/p03.jpg"]
    for image in tables["images"]:
        image["split"] = "val" if image["file_name"] < "p06" else "test"
    say(twelve / "mine.json", json.dumps(tables))
    assert {split: len(names) for split, names in opened(twelve).splits.items()} == {"dev": 5, "test": 6}


@pytest.mark.parametrize(
    ("photo", "text"),
    [
        *(("{}.jpg", "{}.txt"), ("images/{}.JPG", "images/{}.txt"), ("images/{}.png", "text/{}.txt")),
        *(("images/cats/{}.jpg", "captions/cats/{}.txt"), ("{}.jpg", "captions/{}.txt"), ("x/{}.jpg", "x/{}.txt")),
    ],
)
def test_a_text_for_each_photograph_is_read(tmp_path, photo, text):
    for number in range(40):
        paint(tmp_path / photo.format(number))
        say(tmp_path / text.format(number), f"dog {number}", "", "it runs", end="\r\n")
    say(tmp_path / "README.md", "a dog")
    data = strict(tmp_path)
    assert data.layout == "sidecars"
    assert data.captions[photo.format(7)] == [["dog", "7"], ["it", "runs"]] and len(data.captions) == 40
    assert data.split("train").readable()[1] == []


def test_texts_and_photographs_without_the_other_are_told(three):
    for name in ("a", "b", "stray", "train"):
        say(three / "images" / f"{name}.txt", "a letter", encoding="utf-16" if name == "b" else "cp1252")
    data = opened(three)
    assert set(data.captions) == {"images/a.jpg", "images/b.jpg"}
    assert remark(data, "without a photograph") == ["images/stray.txt"]
    assert remark(data, "without a caption") == ["images/c.jpg"]


def test_boxes_beside_photographs_are_no_captions(three):
    for name in "abc":
        say(three / "images" / f"{name}.txt", "0 0.5 0.5 0.25 0.25")
    with pytest.raises(DataError, match="no known layout"):
        open_data(three)


def test_lists_divide_a_folder_of_texts(three):
    for name in "abc":
        say(three / "images" / f"{name}.txt", f"letter {name}")
    say_splits(three)
    assert opened(three).split("dev").captions == [[["letter", "b"]]]


# ---------------------------------------------------------------------------------------------- recognising


def test_an_unknown_folder_is_told_all_layouts_and_what_each_needs(tmp_path):
    with pytest.raises(DataError) as caught:
        read_data(tmp_path, "train")
    for name, layout in LAYOUTS.items():
        assert f"{name}: {layout.needs}" in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no folder .*nowhere"):
        read_data(tmp_path / "nowhere", "train")


def test_an_unknown_layout_is_told_those_there_are(three):
    with pytest.raises(DataError, match=r"'imagenet'.*attngan.*coco.*flickr.*plain"):
        read_data(three, "train", "imagenet")


def test_another_layout_than_the_one_asked_for_is_told_what_it_needs(tmp_path):
    write_world(tmp_path / "world", train=1, dev=1, test=1, size=8)
    with pytest.raises(DataError, match=r"coco layout.*captions_train2014\.json"):
        read_data(tmp_path / "world", "train", "coco")


def test_a_layout_asked_for_wins_over_the_one_recognised(three):
    say(three / "captions.txt", *(f"{name}\tplain" for name in NAMES))
    say(three / "Flickr8k.token.txt", *(f"{name}#0\tflickr" for name in NAMES))
    say_splits(three)
    assert opened(three).split("train").captions == [[["flickr"]]]
    assert opened(three, "plain").split("train").captions == [[["plain"]]]


def test_a_name_longer_than_any_file_has_is_a_missing_photograph(three):
    say(three / "captions.txt", *(f"{name}\ta letter" for name in NAMES), f"{'x' * 5000}.jpg\ta dog")
    [case] = remark(opened(three), "do not exist")
    assert case.startswith("xxx") and len(case) < 400


def test_a_file_that_holds_no_captions_is_refused_with_the_layouts(three):
    with pytest.raises(DataError, match=r"a\.jpg has no known layout.*pack: one file"):
        open_data(three / "images" / "a.jpg")


def test_class_numbers_of_a_table_of_labels_follow_the_photographs(three):
    say(three / "captions.txt", *(f"{name.upper()}\ta letter" for name in NAMES))
    say(three / "labels.csv", "image,class_id,class_name", *(f"{name},{i},x" for i, name in enumerate(NAMES)))
    say_splits(three)
    assert opened(three).split("test").classes == [2]
    say(three / "labels.csv", "image,class_id", "a.jpg,1")
    assert opened(three).classes is None
    say(three / "labels.csv", "image,class_id", *(f"{name},none" for name in NAMES))
    assert opened(three).classes is None


SUBSTITUTES = {
    "pointer of Git LFS": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
    "web page": "\ufeff\n<!DOCTYPE html><html><title>Sign in</title></html>",
}


@pytest.mark.parametrize("what", SUBSTITUTES)
@pytest.mark.parametrize(
    "name", ["captions.txt", "captions.csv", "mine.csv", "mine.json", "metadata.jsonl", "captions_train2017.json"]
)
def test_what_has_come_in_place_of_a_file_of_captions_is_named(tmp_path, name, what):
    (tmp_path / name).write_text(SUBSTITUTES[what], encoding="utf-8")
    for given in (tmp_path, tmp_path / name):
        with pytest.raises(DataError, match=rf"{name} does not hold its text: it is a {what}"):
            open_data(given)


def test_a_caption_that_begins_with_a_tag_or_the_word_version_is_a_caption(tmp_path):
    (tmp_path / "captions.txt").write_text("<html.jpg\t<b>a dog</b>\nversion.jpg\t<html>\n", encoding="utf-8")
    found = read_caption_file(tmp_path / "captions.txt").entries
    assert [(each.name, each.captions) for each in found] == [
        ("<html.jpg", ["<b>a dog</b>"]),
        ("version.jpg", ["<html>"]),
    ]
