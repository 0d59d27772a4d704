import json
import pickle
import shutil
import warnings

import pytest
from PIL import Image

from telephonegan.data.layouts import LAYOUTS, SPLITS, open_data, read_captions, read_data, read_text
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


# ---------------------------------------------------------------------------------------------- caption files


A_DOG, TWO_CATS = ["a", "dog", "runs"], ["two", "cats"]


@pytest.mark.parametrize(
    "lines",
    [
        ("a.jpg\tA dog runs .", "b.jpg\tTwo cats"),
        ("a.jpg#0\tA dog runs .", "b.jpg#0\tTwo cats"),
        ("image\tcaption", "a.jpg\tA dog runs .", "b.jpg\tTwo cats"),
        ("image,caption", "a.jpg,A dog runs .", "b.jpg,Two cats"),
        ("a.jpg,A dog runs .", "b.jpg,Two cats"),
        ("a.jpg,A dog, runs", "b.jpg,Two cats"),
        ("image,caption", 'a.jpg,"A ""dog"", runs"', "b.jpg,Two cats"),
        ("image_name,comment_number,comment", "a.jpg,0,A dog, runs", "b.jpg,0,Two cats"),
        ("image_name| comment_number| comment", "a.jpg| 0| A dog runs .", "b.jpg| 0| Two cats"),
        ("image_name| comment_number| comment", "a.jpg| 0| A dog runs .", "b.jpg| 4   Two cats"),
        ("", "a.jpg\tA dog runs", "", "b.jpg\tTwo cats", ""),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_of_captions_is_read(tmp_path, lines, end):
    found = read_captions(say(tmp_path / "captions.txt", *lines, end=end))
    assert found == {"a.jpg": [A_DOG], "b.jpg": [TWO_CATS]}


def test_captions_of_a_photograph_keep_their_order(tmp_path):
    found = read_captions(say(tmp_path / "captions.txt", "a.jpg\tone", "b.jpg\ttwo", "a.jpg\tthree"))
    assert found == {"a.jpg": [["one"], ["three"]], "b.jpg": [["two"]]}


def test_marks_in_a_caption_part_no_columns(tmp_path):
    assert read_captions(say(tmp_path / "c.csv", "a.jpg,a dog | a cat")) == {"a.jpg": [["a", "dog", "a", "cat"]]}
    assert read_captions(say(tmp_path / "c.txt", 'x, y.jpg\t"a dog')) == {"x, y.jpg": [["a", "dog"]]}


def test_a_hash_within_a_name_belongs_to_it(tmp_path):
    assert list(read_captions(say(tmp_path / "c.txt", "dog#2.jpg#1\ta dog"))) == ["dog#2.jpg"]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("a.jpg\ta dog", "b.jpg"), "line 2"),
        (("a.jpg,a dog", "b.jpg"), "line 2"),
        (("a.jpg\ta dog", "\tno name"), "line 2"),
        (("image,caption", 'a.jpg,"a dog', "b.jpg,a cat"), "no CSV"),
        (("image,caption", 'a.jpg,"a" dog'), "line 2"),
        (("image,caption",), "no caption"),
        ((" ",), "no caption"),
    ],
)
def test_a_line_that_is_no_caption_is_named(tmp_path, lines, told):
    with pytest.raises(DataError, match=told):
        read_captions(say(tmp_path / "captions.csv", *lines))


def test_captions_without_a_word_are_left_out_and_told(tmp_path):
    path = say(tmp_path / "captions.txt", "a.jpg\t...", "a.jpg\ta dog", "b.jpg\t!")
    with pytest.warns(UserWarning, match="2 captions without a word"):
        assert read_captions(path) == {"a.jpg": [["a", "dog"]]}


# ---------------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_unicode_is_read_without_a_word(tmp_path, encoding):
    path = say(tmp_path / "captions.txt", "a.jpg\tun café naïf", encoding=encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_captions(path) == {"a.jpg": [["un", "café", "naïf"]]}


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [("a café – “yes”".encode("cp1252"), "cp1252", "a café – “yes”"), (b"caf\xe9 \x81", "latin-1", "café \x81")],
)
def test_a_western_encoding_is_read_with_a_warning(tmp_path, content, encoding, text):
    path = tmp_path / "captions.txt"
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=f"captions.txt is not UTF-8.*{encoding}"):
        assert read_text(path) == text


@pytest.mark.parametrize("content", ["a dog".encode("utf-16-le"), b"\x00\x01", b"\xff\xfea\x00\x00\xd8x"])
def test_what_is_no_text_is_refused(tmp_path, content):
    path = tmp_path / "captions.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"captions\.txt.*UTF-8"):
        read_text(path)


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
    with pytest.warns(UserWarning, match=r"1 photographs.*7\.png"):
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
    with pytest.raises(DataError, match=r"no test split.*val2014"):
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
    with pytest.raises(DataError, match=r"captions_train2014\.json is no caption file of COCO"):
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
    [("1 2 3", "id left top width height"), ("1 a b c d", "no box in 1 a"), ("999 1 2 3 4", "no box in 999")],
)
def test_a_line_that_is_no_box_is_shown(tmp_path, line, told):
    say(attngan(tmp_path, birds=True) / "CUB_200_2011/bounding_boxes.txt", line)
    with pytest.raises(DataError, match=told):
        read_data(tmp_path, "train")


def test_a_photograph_without_a_box_is_named(tmp_path):
    say(attngan(tmp_path, birds=True) / "CUB_200_2011/bounding_boxes.txt", "1 2 3 4 5")
    with pytest.raises(DataError, match=r"no box of 34 photographs, first 001.Finch/train_1\.jpg"):
        read_data(tmp_path, "train")


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
    assert read_data(three, "train").captions == [[["flickr"]]]
    assert read_data(three, "train", "plain").captions == [[["plain"]]]
