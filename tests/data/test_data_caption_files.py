import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephonegan.data.caption_files import form_of, read_caption_file, split_of_file, split_of_word
from telephonegan.errors import DataError

NAMES = [f"p{number:02}.jpg" for number in range(12)]
SPLITS = ["train", "val", "test"]


def say(path, *lines, encoding="utf-8", end="\n"):
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def read(path):
    """(name, caption, split) of every caption, and what was remarked, by its first words."""
    found = read_caption_file(path)
    told = [(entry.name, caption, entry.split) for entry in found.entries for caption in entry.captions]
    return told, {what: cases for what, cases in found.remarks.items() if cases}


def captions(path):
    return [(name, caption) for name, caption, _ in read(path)[0]]


def remark(path, words):
    return next(cases for what, cases in read(path)[1].items() if words in what)


# ---------------------------------------------------------------------------------------------- columns by header


def test_a_column_behind_the_caption_is_no_part_of_it_and_a_split_is_used(tmp_path):
    lines = [f"{name},two dogs run,{SPLITS[i % 3]}" for i, name in enumerate(NAMES)]
    told, remarks = read(say(tmp_path / "captions.csv", "image,caption,split", *lines))
    assert told == [(name, "two dogs run", ("train", "dev", "test")[i % 3]) for i, name in enumerate(NAMES)]
    assert remarks == {}
    assert read_caption_file(tmp_path / "captions.csv").read_as == "CSV with header image, caption, split; UTF-8"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("caption,image,split", "two dogs run,{},val"),
        ("split,caption,image", "val,two dogs run,{}"),
        ("image;caption;split", "{};two dogs run;val"),
        ("image\tcaption\tsplit", "{}\ttwo dogs run\tval"),
        ("image | caption | split", "{} | two dogs run | val"),
        ("File Name,Text,Partition", '"{}","two dogs run","val"'),
        ("id,image,width,caption,set,licence", "7,{},640,two dogs run,val,CC BY 4.0"),
        (",image,caption,split", "0,{},two dogs run,val"),
        ("image,caption,split", "{},two dogs run,Validation,,"),
        ("image,captions,split", "{},\"['two dogs run']\",valid"),
        ("image,captions,split", '{},"[""two dogs run""]",valid'),
        ("image,caption,phase", "{},two dogs run,val"),
        ("image,comment_number,comment,split", "{},0,two dogs run,val"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_are_found_by_their_titles_in_any_order(tmp_path, header, row, end):
    path = say(tmp_path / "captions.csv", header, *(row.replace("{}", name) for name in NAMES), end=end)
    assert read(path)[0] == [(name, "two dogs run", "dev") for name in NAMES]


def test_columns_that_are_not_read_are_told(tmp_path):
    path = say(tmp_path / "c.csv", "image,score,caption", "a.jpg,0.5,a dog")
    assert "not read: score" in read_caption_file(path).read_as


def test_the_file_name_is_preferred_to_an_id_and_the_caption_to_other_texts(tmp_path):
    path = say(tmp_path / "c.csv", "image_id,comment,caption,file_name", "7,nice,a dog,a.jpg", "8,wow,a cat,b.jpg")
    assert captions(path) == [("a.jpg", "a dog"), ("b.jpg", "a cat")]
    path = say(tmp_path / "d.csv", "file_name,image,caption", "1,a.jpg,a dog")
    assert captions(path) == [("a.jpg", "a dog")]


def test_several_columns_of_captions_are_all_read(tmp_path):
    path = say(tmp_path / "c.csv", "caption_1,image,caption_2", "a dog,a.jpg,it runs", "a cat,b.jpg,")
    assert captions(path) == [("a.jpg", "a dog"), ("a.jpg", "it runs"), ("b.jpg", "a cat"), ("b.jpg", "")]


def test_unknown_titles_are_told_and_the_columns_found_by_their_values(tmp_path):
    path = say(tmp_path / "c.csv", "nummer,bild,satz", *(f"{i},{name},ein Hund rennt" for i, name in enumerate(NAMES)))
    assert captions(path) == [(name, "ein Hund rennt") for name in NAMES]
    assert "nummer, bild, satz" in remark(path, "header")[0]


def test_commas_in_a_caption_outside_quotes_stay_in_it_and_are_told(tmp_path):
    path = say(tmp_path / "c.csv", "image,caption,split", "a.jpg,a dog, a cat, a cow,train", "b.jpg,a dog,test")
    assert read(path)[0] == [("a.jpg", "a dog,a cat,a cow", "train"), ("b.jpg", "a dog", "test")]
    assert remark(path, "delimiter outside quotes") == ["c.csv, line 2: a.jpg,a dog,a cat,a cow,train"]


def test_single_quotes_hold_no_delimiters_and_nothing_is_lost(tmp_path):
    path = say(tmp_path / "c.csv", "image,caption,split", *(f"{name},'two dogs, a cat',val" for name in NAMES))
    assert read(path)[0] == [(name, "'two dogs,a cat'", "dev") for name in NAMES]


def test_a_line_with_more_cells_than_can_be_understood_is_an_error(tmp_path):
    path = say(tmp_path / "c.csv", "image,caption,split", "a.jpg,a dog,train", "b.jpg,a cat,train,red")
    with pytest.raises(DataError, match=r"line 3, has 4 cells and its header 3"):
        read_caption_file(path)


def test_a_column_called_split_that_names_no_split_is_told(tmp_path):
    path = say(tmp_path / "c.csv", "image,caption,split", *(f"{name},a dog,{i % 5}" for i, name in enumerate(NAMES)))
    assert read(path)[0] == [(name, "a dog", None) for name in NAMES]
    assert remark(path, "columns called split") == ["c.csv, split: 0, 1, 2, 3, 4"]


def test_lines_of_no_split_are_told(tmp_path):
    path = say(tmp_path / "c.csv", "image,caption,split", "a.jpg,a dog,train", "b.jpg,a cat,", "c.jpg,a cow,unused")
    assert [split for *_, split in read(path)[0]] == ["train", None, None]
    assert remark(path, "unknown split") == ["c.csv, line 3: ''", "c.csv, line 4: 'unused'"]


def test_a_header_that_names_no_caption_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"image, width.*has no caption column.*`caption`"):
        read_caption_file(say(tmp_path / "c.csv", "image,width", "a.jpg,640", "b.jpg,480"))


# ---------------------------------------------------------------------------------------------- columns by values


@pytest.mark.parametrize(
    "row",
    [
        *(
            "{}\t0\ttwo dogs run",
            "{},3,two dogs run",
            "0\t{}\ttwo dogs run",
            "{}\ttwo dogs run\t0.93",
            "{}#0\ttwo dogs run",
        ),
        *("two dogs run\t{}", "two dogs run,{}", "{}|4|two dogs run", "{};two dogs run", "{} two dogs run"),
        *("{},train,two dogs run", "{},two dogs run,train", "{}\t1\ttwo dogs run\ttrain", '"{}","two dogs run"'),
    ],
)
def test_without_a_header_numbers_and_splits_are_known_by_their_values(tmp_path, row):
    path = say(tmp_path / "captions.txt", *(row.replace("{}", name) for name in NAMES))
    split = "train" if "train" in row else None
    assert read(path)[0] == [(name, "two dogs run", split) for name in NAMES]


def test_a_number_column_is_told(tmp_path):
    path = say(tmp_path / "captions.txt", *(f"{name}\t0\ttwo dogs run" for name in NAMES))
    assert read_caption_file(path).read_as == "TSV without a header: photograph, number, caption; UTF-8"


def test_captions_that_are_numbers_are_captions(tmp_path):
    assert captions(say(tmp_path / "c.csv", "a.jpg,5", "b.jpg,7")) == [("a.jpg", "5"), ("b.jpg", "7")]
    assert captions(say(tmp_path / "c.csv", "a.jpg,0,5", "b.jpg,0,7")) == [("a.jpg", "5"), ("b.jpg", "7")]
    assert captions(say(tmp_path / "c.csv", "image,caption", "a.jpg,5")) == [("a.jpg", "5")]


def test_a_caption_that_begins_with_a_number_keeps_it(tmp_path):
    path = say(tmp_path / "c.csv", "a.jpg,2 dogs, running", "b.jpg,3 cats")
    assert captions(path) == [("a.jpg", "2 dogs,running"), ("b.jpg", "3 cats")]


def test_a_word_where_all_others_have_a_number_is_an_error(tmp_path):
    lines = [f"{i}.jpg\t{i % 5}\ta dog" for i in range(100)]
    lines[41] = "41.jpg\ta dog\truns"
    with pytest.raises(DataError, match=r"line 42, has 'a dog' where the others have a number"):
        read_caption_file(say(tmp_path / "c.txt", *lines))


def test_two_columns_of_text_without_a_header_are_refused(tmp_path):
    path = say(tmp_path / "c.txt", "a.jpg\ta dog\tein Hund", "b.jpg\ta cat\teine Katze")
    with pytest.raises(DataError, match=r"3 columns and no header.*image\\tcaption"):
        read_caption_file(path)


def test_names_without_a_suffix_are_names(tmp_path):
    assert captions(say(tmp_path / "c.txt", "12_ab\ta dog", "13_cd\ta cat")) == [("12_ab", "a dog"), ("13_cd", "a cat")]
    assert captions(say(tmp_path / "c.txt", "0\t12_ab\ta dog", "1\t13_cd\ta cat")) == [
        ("12_ab", "a dog"),
        ("13_cd", "a cat"),
    ]


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (["dog#2.jpg#1\ta dog"], "dog#2.jpg"),
        (["dog#2\ta dog", "cat\ta cat"], "dog#2"),
        (["dog#2\ta dog", "cat#0\ta cat"], "dog"),
    ],
)
def test_the_number_of_a_caption_is_no_part_of_the_name(tmp_path, lines, name):
    assert captions(say(tmp_path / "c.txt", *lines))[0] == (name, "a dog")


# ---------------------------------------------------------------------------------------------- quotes and lines


def test_a_stray_quote_loses_no_line_and_is_told(tmp_path):
    lines = [f"{name},a dog runs" for name in NAMES]
    lines[3], lines[8] = f'{NAMES[3]},"a dog runs', f'{NAMES[8]},a dog runs"'
    path = say(tmp_path / "captions.csv", "image,caption", *lines)
    assert [name for name, _ in captions(path)] == NAMES
    assert {caption.strip('"') for _, caption in captions(path)} == {"a dog runs"}
    assert [case.partition(":")[0] for case in remark(path, "odd number of quotes")] == [
        "captions.csv, line 5",
        "captions.csv, line 10",
    ]


@pytest.mark.parametrize("quotes", [1, 3, 5])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_stray_quotes_lose_nothing_between_any_delimiters(tmp_path, quotes, delimiter):
    lines = [f"{name}{delimiter}a dog runs" for name in NAMES]
    for row in (2, 3, 7):
        lines[row] += '"' * quotes
    assert [name for name, _ in captions(say(tmp_path / "c.txt", *lines))] == NAMES


def test_a_caption_that_goes_on_in_the_next_line_is_an_error_that_names_the_quote(tmp_path):
    path = say(tmp_path / "c.csv", "image,caption", "a.jpg,a cow", 'b.jpg,"a dog', 'runs"', "c.jpg,a cat")
    with pytest.raises(DataError, match=r"line 4, has no caption.*Line 4 has an odd number of quotes"):
        read_caption_file(path)
    path = say(tmp_path / "d.csv", "image,caption", 'b.jpg,"a dog', "runs", 'and runs"')
    with pytest.raises(DataError, match=r"line 3, has no caption: 'runs'.*Line 2 has an odd number of quotes"):
        read_caption_file(path)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (("a.jpg\ta dog", "b.jpg"), "line 2, has no caption: 'b.jpg'"),
        (("a.jpg,a dog", "", "b.jpg"), "line 3, has no caption"),
        (("a.jpg\ta dog", "\tno name"), "line 2, has a caption but no photograph"),
        (("image,caption", "a.jpg,a dog", ",a cat"), "line 3, has a caption but no photograph"),
        (("image,split,caption", "a.jpg,train,a dog", "b.jpg,a cat"), "line 3, has no caption"),
        (("image,caption",), "no caption"),
        ((" ",), "no caption"),
        (("a dog runs", "a cat sleeps"), "line 1, has no caption"),
        (("caption_1,caption_2,image", "a,b,a.jpg,c"), "line 2, has 4 cells"),
    ],
)
def test_a_line_that_is_no_caption_is_named(tmp_path, lines, told):
    with pytest.raises(DataError, match=told):
        read_caption_file(say(tmp_path / "captions.csv", *lines))


def test_comments_and_lines_that_stand_twice_are_told(tmp_path):
    path = say(tmp_path / "c.txt", "# from 2020", "a.jpg\ta dog", "a.jpg\ta dog", "b.jpg\ta dog")
    assert captions(path) == [("a.jpg", "a dog"), ("a.jpg", "a dog"), ("b.jpg", "a dog")]
    assert remark(path, "begin with #") == ["c.txt, line 1: # from 2020"]
    assert remark(path, "twice") == ["c.txt, line 3: a.jpg"]


def test_flickr30k_with_a_lost_bar_is_read(tmp_path):
    path = say(tmp_path / "c.csv", "image_name| comment_number| comment", "a.jpg| 0| A dog .", "b.jpg| 4   Two cats")
    assert captions(path) == [("a.jpg", "A dog ."), ("b.jpg", "Two cats")]


@pytest.mark.parametrize(
    ("encoding", "guess"), [("utf-8", ""), ("utf-8-sig", ""), ("utf-16", ""), ("cp1252", "cp1252"), ("utf-16-le", "16")]
)
@pytest.mark.parametrize("name", ["c.csv", "c.jsonl"])
def test_every_encoding_is_read_and_a_guess_is_told(tmp_path, encoding, guess, name):
    lines = ["image,caption", "café.jpg,un café naïf"]
    if name == "c.jsonl":
        lines = [json.dumps({"file_name": "café.jpg", "text": "un café naïf"}, ensure_ascii=False)] * 2
    told, remarks = read(say(tmp_path / name, *lines, encoding=encoding))
    assert told[0] == ("café.jpg", "un café naïf", None)
    guesses = [case for what, cases in remarks.items() if "guessed" in what for case in cases]
    assert bool(guesses) == bool(guess) and all(guess in case for case in guesses)


# ---------------------------------------------------------------------------------------------- JSON

RECORDS = [{"image": "a.jpg", "caption": "a dog"}, {"image": "b.jpg", "caption": ["a cat", "it sleeps"]}]
BOTH = [("a.jpg", "a dog"), ("b.jpg", "a cat"), ("b.jpg", "it sleeps")]


@pytest.mark.parametrize(
    "content",
    [
        RECORDS,
        {"data": RECORDS, "version": 1},
        {"annotations": RECORDS, "licences": []},
        {"a.jpg": "a dog", "b.jpg": ["a cat", "it sleeps"]},
        {"a.jpg": ["a dog"], "b.jpg": [{"raw": "a cat", "sentid": 1}, {"tokens": ["it", "sleeps"]}]},
        [["a.jpg", "a dog"], ["b.jpg", "a cat", "it sleeps"]],
        [["a.jpg", ["a dog"]], ["b.jpg", ["a cat", "it sleeps"]]],
        [{"image": {"path": "a.jpg", "bytes": None}, "text": "a dog"}, {"file_name": "b.jpg", "sentences": BOTH[1:]}],
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_json_of_many_shapes_is_read(tmp_path, content, indent):
    if "sentences" in str(content):
        content[1]["sentences"] = ["a cat", "it sleeps"]
    (tmp_path / "c.json").write_text(json.dumps(content, indent=indent))
    assert captions(tmp_path / "c.json") == BOTH
    assert form_of(tmp_path / "c.json") == "json"


@pytest.mark.parametrize("name", ["metadata.jsonl", "c.ndjson", "c.json", "c.txt"])
def test_json_lines_are_read_under_any_name(tmp_path, name):
    say(tmp_path / name, *map(json.dumps, RECORDS), "")
    assert captions(tmp_path / name) == BOTH
    assert read_caption_file(tmp_path / name).read_as == "JSON lines with image, caption; UTF-8"


def test_one_record_alone_is_read(tmp_path):
    say(tmp_path / "metadata.jsonl", json.dumps({"file_name": "a.jpg", "text": "a dog"}))
    assert captions(tmp_path / "metadata.jsonl") == [("a.jpg", "a dog")]


@pytest.mark.parametrize("word", ["val", "valid", "Validation", "dev"])
def test_splits_in_json_are_used(tmp_path, word):
    (tmp_path / "c.json").write_text(json.dumps([{"image": "a.jpg", "caption": "a dog", "split": word}]))
    (tmp_path / "d.json").write_text(json.dumps({"train": {"a.jpg": "a dog"}, word: [RECORDS[1]]}))
    assert read(tmp_path / "c.json")[0] == [("a.jpg", "a dog", "dev")]
    assert [(name, split) for name, _, split in read(tmp_path / "d.json")[0]] == [
        *(("a.jpg", "train"), ("b.jpg", "dev"), ("b.jpg", "dev"))
    ]


def test_captions_that_are_no_text_are_left_out_and_told(tmp_path):
    content = [{"image": "a.jpg", "caption": value} for value in (None, ["a dog", None], 42, True, {"x": 1}, [[]])]
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert captions(tmp_path / "c.json") == [("a.jpg", "a dog"), ("a.jpg", "42")]
    assert [case.partition(":")[0] for case in remark(tmp_path / "c.json", "null or not text")] == [
        f"c.json, entry {number}" for number in (0, 1, 3, 4)
    ]
    assert remark(tmp_path / "c.json", "numbers") == ["c.json, entry 2: 42"]


def test_records_without_a_name_are_told(tmp_path):
    (tmp_path / "c.json").write_text(json.dumps([*RECORDS, {"caption": "a cow"}, 3, {"image": None, "caption": "x"}]))
    assert captions(tmp_path / "c.json") == BOTH
    assert len(remark(tmp_path / "c.json", "without a photograph")) == 3


def test_a_name_that_stands_twice_keeps_the_captions_of_both(tmp_path):
    (tmp_path / "c.json").write_text('{"a.jpg": "a dog", "b.jpg": "a cat", "a.jpg": ["it runs"]}')
    assert sorted(captions(tmp_path / "c.json")) == [("a.jpg", "a dog"), ("a.jpg", "it runs"), ("b.jpg", "a cat")]


@pytest.mark.parametrize("content", ["{", "[" * 100_000, '{"a": 1}x', "", "nul"])
def test_damaged_json_is_an_error(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(DataError, match=r"c\.json"):
        read_caption_file(tmp_path / "c.json")


def test_a_damaged_line_of_json_lines_is_named(tmp_path):
    say(tmp_path / "c.jsonl", json.dumps(RECORDS[0]), "", '{"image": "b.jpg"')
    with pytest.raises(DataError, match="line 3, is not JSON"):
        read_caption_file(tmp_path / "c.jsonl")


def test_karpathys_file_is_read_with_its_splits(tmp_path):
    images = [
        {
            "filename": name,
            "filepath": "val2014",
            "imgid": i,
            "split": ("train", "restval", "val", "test")[i % 4],
            "sentences": [{"tokens": ["a", "dog"], "raw": "A dog.", "sentid": i}],
        }
        for i, name in enumerate(NAMES)
    ]
    (tmp_path / "dataset_coco.json").write_text(json.dumps({"dataset": "coco", "images": images}))
    assert form_of(tmp_path / "dataset_coco.json") == "karpathy"
    assert read(tmp_path / "dataset_coco.json")[0] == [
        (f"val2014/{name}", "A dog.", ("train", "train", "dev", "test")[i % 4]) for i, name in enumerate(NAMES)
    ]


def coco(ids=int, **changes):
    return {
        "images": [{"id": ids(i), "file_name": name} for i, name in enumerate(NAMES)],
        "annotations": [{"id": i, "image_id": i, "caption": "A dog."} for i in range(12)],
    } | changes


@pytest.mark.parametrize("ids", [int, str, lambda i: f"img-{i}"])
@pytest.mark.parametrize("name", ["captions_train2017.json", "anything.json", "_annotations.coco.json"])
def test_coco_is_read_with_ids_of_any_kind_and_under_any_name(tmp_path, ids, name):
    content = coco(ids)
    if ids not in (int, str):
        content["annotations"] = [each | {"image_id": f"img-{each['image_id']}"} for each in content["annotations"]]
    (tmp_path / name).write_text(json.dumps(content))
    assert form_of(tmp_path / name) == "coco"
    assert captions(tmp_path / name) == [(each, "A dog.") for each in NAMES]


def test_null_captions_and_stray_annotations_of_coco_are_left_out_and_told(tmp_path):
    notes = [
        *coco()["annotations"],
        {"id": 99, "image_id": 3, "caption": None},
        {"id": 98, "image_id": 77, "caption": "x"},
    ]
    (tmp_path / "c.json").write_text(json.dumps(coco(annotations=notes)))
    assert captions(tmp_path / "c.json") == [(each, "A dog.") for each in NAMES]
    assert remark(tmp_path / "c.json", "null") == ["c.json, annotation 12: None"]
    assert "annotation 13" in remark(tmp_path / "c.json", "unlisted images")[0]


def test_ids_that_a_tool_has_made_floats_or_texts_are_the_same_ids(tmp_path):
    for number, form in enumerate((float, str, int)):
        images = [{**each, "id": form(each["id"])} for each in coco()["images"]]
        (tmp_path / f"{number}.json").write_text(json.dumps(coco(images=images)))
        assert captions(tmp_path / f"{number}.json") == [(each, "A dog.") for each in NAMES]


def test_an_id_of_two_images_is_an_error(tmp_path):
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": "1", "file_name": "b.jpg"}]
    (tmp_path / "c.json").write_text(json.dumps(coco(images=images)))
    with pytest.raises(DataError, match=r"id 1 for two images, a\.jpg and b\.jpg"):
        read_caption_file(tmp_path / "c.json")


# --------------------------------------------------------------------------------------------- which files are captions


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "image,age,sex\na.jpg,100,female\n"),
        ("labels.csv", "image,class_id,sentences\na.jpg,7,10\n"),
        ("labels.txt", "a.jpg 3\nb.jpg 4\n"),
        ("train.txt", "a.jpg\nb.jpg\n"),
        ("README.txt", "Photographs of dogs, and their captions.\nSee a.jpg for one.\n"),
        ("products.csv", "id,title,colour\n7,Blue Shirt,Blue\n"),
        ("empty.txt", ""),
        ("empty.json", ""),
        ("package.json", '{"name": "x", "version": "1.0"}'),
        (
            "instances.json",
            '{"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "bbox": []}]}',
        ),
        ("picture.txt", "\0\1\2"),
        ("metadata.csv", "file_name,width\na.jpg,640\n"),
        ("package.json", '{"name": "x", "description": "reads many kinds of files"}'),
    ],
)
def test_other_files_are_no_files_of_captions(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert form_of(tmp_path / name) is None


@pytest.mark.parametrize("content", ["image,caption\nx,y\n", "a.jpg\ta dog runs\n", "name;text;split\n1;a dog;test\n"])
def test_tables_of_captions_are_known_under_any_name(tmp_path, content):
    (tmp_path / "anything.txt").write_text(content)
    assert form_of(tmp_path / "anything.txt") == "table"


def test_metadata_may_call_its_captions_as_it_likes(tmp_path):
    path = say(
        tmp_path / "metadata.csv", "file_name,width,additional_feature", "a.jpg,640,a dog runs", "b.jpg,48,a cat"
    )
    assert form_of(path) == "table" and captions(path) == [("a.jpg", "a dog runs"), ("b.jpg", "a cat")]


def test_json_records_may_name_photographs_without_a_suffix(tmp_path):
    path = say(tmp_path / "mine.json", json.dumps([{"image_id": each, "caption": "a dog runs"} for each in ("7", "8")]))
    assert form_of(path) == "json" and captions(path) == [("7", "a dog runs"), ("8", "a dog runs")]


def test_damaged_json_is_known_as_such(tmp_path):
    (tmp_path / "val.json").write_text('{"a.jpg": "a dog"')
    assert form_of(tmp_path / "val.json") == "damaged"


@pytest.mark.parametrize(
    ("path", "split"),
    [
        *(("captions_train2014.json", "train"), ("val.csv", "dev"), ("my-test_captions.txt", "test")),
        *(("validation/metadata.csv", "dev"), ("captions.txt", None), ("contest.csv", None), ("trains.txt", None)),
    ],
)
def test_the_split_of_a_file_is_a_word_of_its_name(path, split):
    assert split_of_file(Path(path)) == split


def test_words_for_splits():
    assert [split_of_word(word) for word in ("Train", " restval ", "VAL", "valid", "dev", "testing", "other", "")] == [
        *("train", "train", "dev", "dev", "dev", "test", None, None)
    ]


# ---------------------------------------------------------------------------------------------- what goes in comes out

letters = st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), exclude_characters="\u2028\u2029\x85")
texts = st.text(letters, min_size=1, max_size=40).map(lambda text: " ".join(text.split())).filter(bool)
names = st.text("abcdé -_,;.#", min_size=1, max_size=12).map(lambda text: f"x{text.strip()}y.jpg")
rows = st.lists(st.tuples(names, texts), min_size=1, max_size=8)


@given(rows, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.booleans())
def test_captions_written_as_csv_come_back(tmp_path_factory, rows, delimiter, encoding, all_quoted):
    path = tmp_path_factory.mktemp("csv") / "captions.csv"
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL)
    writer.writerow(["image", "caption", "split"])
    writer.writerows([(name, caption, "val") for name, caption in rows])
    path.write_bytes(buffer.getvalue().encode(encoding))
    assert [(n, c) for n, c, s in read(path)[0] if s == "dev"] == rows


@given(rows)
def test_captions_written_with_tabs_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("tsv") / "captions.txt"
    plain = [(name, caption.replace('"', "'")) for name, caption in rows]
    path.write_text("".join(f"{name}#{i}\t{caption}\n" for i, (name, caption) in enumerate(plain)), encoding="utf-8")
    assert captions(path) == plain


@given(st.lists(st.tuples(names, st.lists(texts, min_size=1, max_size=3)), min_size=1, max_size=6), st.booleans())
def test_captions_written_as_json_come_back(tmp_path_factory, rows, as_lines):
    folder = tmp_path_factory.mktemp("json")
    records = [{"file_name": name, "text": told} for name, told in rows]
    if as_lines:
        path = say(folder / "metadata.jsonl", *map(json.dumps, records))
    else:
        path = say(folder / "captions.json", json.dumps(records))
    assert captions(path) == [(name, each) for name, told in rows for each in told]


@given(
    st.lists(st.tuples(st.integers(0, 99), st.text("ab\"', ", min_size=1, max_size=20)), min_size=1, max_size=12),
    st.sampled_from([",", ";", "\t", "|"]),
    st.booleans(),
)
def test_no_line_is_lost_or_joined_whatever_its_quotes(tmp_path_factory, rows, delimiter, with_header):
    """Lines as people write them, quotes anywhere: every photograph has as many captions as lines."""
    path = tmp_path_factory.mktemp("quotes") / "captions.csv"
    lines = [f"{number}.jpg{delimiter}x{caption}y" for number, caption in rows]
    say(path, *([f"image{delimiter}caption"] if with_header else []), *lines)
    assert [name for name, _ in captions(path)] == [f"{number}.jpg" for number, _ in rows]
    for (_, told), (_, caption) in zip(captions(path), rows, strict=True):
        assert "".join(filter(str.isalpha, told)) == "x" + "".join(filter(str.isalpha, caption)) + "y"


@given(
    st.lists(st.text("ab1.jpg,;|\t\"'# \u00e9", max_size=25), max_size=10),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["", "image,caption", "caption;image;split", "a.jpg\t0\tx"]),
)
def test_every_line_of_any_text_comes_out_or_is_listed_or_all_is_refused(tmp_path_factory, lines, encoding, first):
    path = say(tmp_path_factory.mktemp("any") / "captions.txt", first, *lines, encoding=encoding)
    try:
        found = read_caption_file(path)
    except DataError:
        return
    kept = [line for line in [first, *lines] if line.strip()]
    listed = sum(len(cases) for what, cases in found.remarks.items() if "repeat the header" in what)
    header = " with header " in found.read_as
    assert len(found.entries) + listed + header == len(kept)
