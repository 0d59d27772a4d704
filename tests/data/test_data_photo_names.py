import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephonegan.data.photo_names import locate, pictures_below, spelled, without_suffix

PLACES = ("images", "Images", ".")


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_names_as_they_are_need_no_remark(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/b/c.png")
    found = locate(tmp_path, ["a.jpg", "b/c.png", "lost.jpg"], PLACES)
    assert found.photos == tmp_path / "images"
    assert found.names == {"a.jpg": "a.jpg", "b/c.png": "b/c.png"}
    assert found.differing == found.ambiguous == []


@pytest.mark.parametrize(
    ("name", "file", "way"),
    [
        (unicodedata.normalize("NFC", "café.jpg"), unicodedata.normalize("NFD", "café.jpg"), "Unicode form"),
        (unicodedata.normalize("NFD", "café.jpg"), unicodedata.normalize("NFC", "café.jpg"), "Unicode form"),
        ("A.jpg", "a.jpg", "case"),
        ("a.JPG", "a.jpg", "case"),
        ("straße.jpg", "STRASSE.jpg", "case"),
        ("a", "a.jpg", "suffix"),
        ("a.jpeg", "a.png", "suffix"),
        ("b\\a.jpg", "b/a.jpg", "separators"),
        (".\\a.jpg", "a.jpg", "separators"),
        ("Images\\A.JPEG", "a.jpg", "case, suffix, folder"),
        ("images/a.jpg", "a.jpg", "folder"),
        ("/home/me/data/images/a.jpg", "a.jpg", "folder"),
        ("C:\\data\\images\\a.jpg", "a.jpg", "folder"),
        ("/elsewhere/b/a.jpg", "b/a.jpg", "folder"),
        ("https://host/path/a.jpg?size=200", "a.jpg", "folder"),
        ("file:///elsewhere/my%20dog.jpg", "my dog.jpg", "folder"),
        ("my%20dog.jpg", "my dog.jpg", "escapes"),
        ("a.jpg", "deep/er/a.jpg", "folder"),
    ],
)
def test_names_that_are_written_in_another_way_are_matched_and_told(tmp_path, name, file, way):
    touch(tmp_path, f"images/{file}", "images/other.jpg")
    found = locate(tmp_path, [name, "other.jpg"], PLACES)
    assert found.names == {name: file, "other.jpg": "other.jpg"}
    assert found.differing == [f"{name} → {file} ({way})"]


def test_the_folder_itself_leads_to_absolute_names_and_file_addresses(tmp_path):
    touch(tmp_path, "images/a b.jpg")
    for name in (str(tmp_path / "images" / "a b.jpg"), f"file://{tmp_path}/images/a%20b.jpg"):
        assert locate(tmp_path, [name], PLACES).names == {name: "a b.jpg"}


def test_a_photograph_elsewhere_keeps_its_absolute_name(tmp_path):
    touch(tmp_path, "data/images/a.jpg", "store/b.jpg")
    name = str(tmp_path / "store" / "b.jpg")
    assert locate(tmp_path / "data", ["a.jpg", name], PLACES).names == {"a.jpg": "a.jpg", name: name}


def test_a_leading_dot_makes_no_second_photograph(tmp_path):
    touch(tmp_path, "images/a.jpg")
    assert locate(tmp_path, ["./a.jpg", "a.jpg"], PLACES).names == {"./a.jpg": "a.jpg", "a.jpg": "a.jpg"}


def test_a_name_that_several_files_fit_is_left_and_told(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/a.png", "images/x/b.jpg", "images/y/b.jpg", "images/C.jpg", "images/c.JPG")
    found = locate(tmp_path, ["a", "b.jpg", "c.jpg"], PLACES)
    assert found.names == {}
    assert [line.partition(":")[0] for line in found.ambiguous] == ["a", "b.jpg", "c.jpg"]
    assert "images/a.jpg or images/a.png" in found.ambiguous[0]


def test_a_missing_photograph_is_not_taken_for_its_namesake_in_another_folder(tmp_path):
    touch(tmp_path, "images/dogs/001.jpg")
    assert locate(tmp_path, ["dogs/001.jpg", "cats/001.jpg", "/home/cats/001.jpg"], PLACES).names == {
        "dogs/001.jpg": "dogs/001.jpg"
    }


def test_two_names_are_not_given_one_photograph(tmp_path):
    touch(tmp_path, "images/001.jpg")
    found = locate(tmp_path, ["dogs/001.jpg", "cats/001.jpg"], PLACES)
    assert found.names == {} and len(found.ambiguous) == 2
    found = locate(tmp_path, ["001.jpg", "cats/001.jpg"], PLACES)
    assert found.names == {"001.jpg": "001.jpg"} and len(found.ambiguous) == 1


def test_two_spellings_of_one_name_are_one_photograph(tmp_path):
    touch(tmp_path, "images/a.jpg")
    names = ["a.jpg", "A.JPG", "a", "images/a.jpg", "images\\a.png"]
    assert set(locate(tmp_path, names, PLACES).names.items()) == {(name, "a.jpg") for name in names}


def test_a_name_may_leave_out_folders_that_another_one_mentions(tmp_path):
    touch(tmp_path, "pics/a.jpg", "pics/b.jpg")
    names = ["pics/a.jpg", "a.jpg", "A", "pics/b.jpg"]
    assert list(locate(tmp_path, names, PLACES).names.values()) == ["pics/a.jpg"] * 3 + ["pics/b.jpg"]


def test_photographs_in_a_folder_of_any_name_are_found(tmp_path):
    touch(tmp_path, "pics/a.jpg", "pics/more/b.jpg")
    found = locate(tmp_path, ["a.jpg", "b.jpg"], PLACES)
    assert (found.photos, found.names) == (tmp_path, {"a.jpg": "pics/a.jpg", "b.jpg": "pics/more/b.jpg"})


def test_the_place_that_holds_most_is_taken_and_the_others_are_told(tmp_path):
    touch(tmp_path, "images/a.jpg", "Images/b.jpg", "Images/c.jpg")
    found = locate(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], PLACES)
    assert found.names == {"a.jpg": "images/a.jpg", "b.jpg": "Images/b.jpg", "c.jpg": "Images/c.jpg"}


@pytest.mark.parametrize("name", ["", "a\0b.jpg", "\ud800.jpg", "x" * 5000, "..", "/", "images", "https://"])
def test_names_that_no_file_has_are_not_found(tmp_path, name):
    touch(tmp_path, "images/a.jpg")
    assert locate(tmp_path, [name], PLACES).names == {}


def test_hidden_files_and_links_in_a_circle_are_passed_over(tmp_path):
    touch(tmp_path, "images/a.jpg", "images/.b.jpg", ".cache/c.jpg", "images/notes.txt")
    os.symlink(tmp_path, tmp_path / "images" / "round")
    assert list(pictures_below(tmp_path)) == ["images/a.jpg"]


def test_linked_folders_and_files_are_read(tmp_path):
    touch(tmp_path, "store/a.jpg", "data/captions.txt")
    os.symlink(tmp_path / "store", tmp_path / "data" / "images")
    assert locate(tmp_path / "data", ["A.jpg"], PLACES).names == {"A.jpg": "a.jpg"}


@given(st.text(alphabet="aAéßİ./\\% ", max_size=20))
def test_spelling_a_name_twice_changes_nothing(name):
    assert spelled(spelled(name)) == spelled(name)


def test_a_suffix_is_that_of_a_picture_alone():
    assert without_suffix("a/b.v2.JPG") == "a/b.v2" and without_suffix("b.v2") == "b.v2"
