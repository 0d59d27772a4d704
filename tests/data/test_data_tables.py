import pytest
from hypothesis import given
from hypothesis import strategies as st

from telephonegan.data.tables import BLANK, is_picture, parsed_table, read_table, role
from telephonegan.errors import DataError


def table(*lines, end="\n"):
    return parsed_table(end.join(lines) + end, None)


def cells(found):
    return [row.cells for row in found.rows]


@pytest.mark.parametrize(
    ("line", "delimiter"),
    [
        ("a.jpg\ta dog, a cat; a cow | a hen", "\t"),
        ("a.jpg,a dog; a cat | a cow", ","),
        ("a.jpg;a dog, a cat | a cow", ";"),
        ("a.jpg | a dog, a cat; a cow", "|"),
        ("a.jpg a dog, a cat", BLANK),
        ("x, y.jpg\ta dog", "\t"),
        ("my photo.jpg,a dog", ","),
        ("a dog, and a cat;a.jpg", ";"),
        ("1234_abc\ta dog, a cat", "\t"),
        ("1234_abc,a dog; a cat", ","),
        ("https://host/a.jpg?size=2,a dog", ","),
    ],
)
def test_the_delimiter_is_the_one_that_leaves_the_name_alone(line, delimiter):
    found = table(line, line)
    assert found.delimiter == delimiter
    assert found.titles is None and len(found.rows[0].cells) >= 2


@pytest.mark.parametrize(
    "header",
    [
        *(
            "image,caption",
            "Image,Caption",
            "file_name,text",
            "captions,File Name",
            "filename,sentences",
            "id,description",
        ),
        *("#image,caption", '"image","caption"', "image_id,comment", "path,raw", "caption_1,caption_2,photo"),
    ],
)
def test_known_titles_are_a_header(header):
    assert table(header, "a.jpg,b.jpg,c.jpg").titles == [
        title.strip('"') for title in header.removeprefix("#").split(",")
    ]


@pytest.mark.parametrize("header", ["bild,beschreibung", "foto,leyenda de foto", "image,utterance", ",utterance"])
def test_unknown_titles_are_a_header_when_the_rows_below_name_pictures(header):
    assert table(header, "a.jpg,ein Hund", "b.jpg,eine Katze").titles is not None


@pytest.mark.parametrize(
    "line", ["a.jpg,caption", "x.jpg.1,a dog", "1234,a dog", "a, dog runs on the wide green beach"]
)
def test_other_first_lines_are_no_header(line):
    assert table(line, "b.jpg,a cat", "c.jpg,a cow").titles is None


def test_quotes_hold_delimiters_and_doubled_quotes():
    found = table("image,caption", 'a.jpg,"a ""big"", brown dog"', '"b, c.jpg",a cat', '"d.jpg,a cow"', 'e.jpg, "a, b"')
    assert cells(found) == [
        ["a.jpg", 'a "big", brown dog'],
        ["b, c.jpg", "a cat"],
        ["d.jpg", "a cow"],
        ["e.jpg", "a, b"],
    ]
    assert found.quoted == 4 and not found.unbalanced


def test_a_line_with_an_odd_number_of_quotes_is_plain_text_and_joins_no_other():
    found = table("image,caption", 'a.jpg,"a dog', "b.jpg,a cat", 'c.jpg,a 12" pipe', 'd.jpg,"a, b" and "c')
    assert cells(found)[:3] == [["a.jpg", '"a dog'], ["b.jpg", "a cat"], ["c.jpg", 'a 12" pipe']]
    assert [row.line for row in found.unbalanced] == [2, 4, 5]


def test_blank_lines_and_comments_are_no_rows_and_lines_keep_their_numbers():
    found = table("# photographs of 2020", "", "image,caption", "a.jpg,a dog", "  ", "# more", "#b.jpg,a cat")
    assert [(row.line, row.cells) for row in found.rows] == [(4, ["a.jpg", "a dog"]), (7, ["#b.jpg", "a cat"])]
    assert [row.line for row in found.left_out] == [1, 6]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems_are_read(end):
    assert cells(table("a.jpg,a dog", "b.jpg,a cat", end=end)) == [["a.jpg", "a dog"], ["b.jpg", "a cat"]]


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c"])
def test_other_separators_of_unicode_end_no_line(mark):
    assert len(table(f"a.jpg,a dog{mark}runs", "b.jpg,a cat").rows) == 2


def test_a_very_long_field_in_quotes_is_read():
    assert len(cells(table("image,caption", f'a.jpg,"{"word " * 60_000}"'))[0][1]) > 200_000


@pytest.mark.parametrize("mark", [";", ",", "\t", "^"])
def test_a_first_line_of_excel_names_the_delimiter(mark):
    found = table(f"sep={mark}", f"image{mark}caption", f"a.jpg{mark}a dog")
    assert (found.delimiter, found.titles, cells(found)) == (mark, ["image", "caption"], [["a.jpg", "a dog"]])


def test_empty_cells_at_the_end_and_repeated_headers_are_left_out():
    found = table("image,caption,,", "a.jpg,a dog,,", "image,caption,,", "b.jpg,,")
    assert found.titles == ["image", "caption"] and cells(found) == [["a.jpg", "a dog"], ["b.jpg", ""]]
    assert [row.line for row in found.left_out] == [3]


def test_an_empty_file_has_no_rows(tmp_path):
    (tmp_path / "empty.csv").write_text("\n\n")
    assert read_table(tmp_path / "empty.csv").rows == []


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv cannot be read"):
        read_table(tmp_path / "absent.csv")


def test_titles_are_known_by_what_they_head():
    assert (
        role("Captions") == ("caption", 1) and role("CAPTION 3") == ("caption", 0) and role("partition")[0] == "split"
    )
    assert role("score") is None and role("") is None


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("a.JPG", True), ("a.webp#3", True), ("x/y.png?w=1", True), ("a dog", False), (".jpg", False)],
)
def test_names_of_pictures_are_known_by_their_suffix(cell, expected):
    assert is_picture(cell) is expected


@given(st.text(alphabet='ab,"; \t|#\n\r', max_size=200))
def test_every_line_is_a_row_a_header_or_a_comment(text):
    found = parsed_table(text, None)
    lines = [line for line in text.replace("\r", "\n").split("\n") if line.strip()]
    assert len(found.rows) + len(found.left_out) + (found.titles is not None) == len(lines)
