"""What is read from files: types and ranges at the door, limits of size and depth, one error that says where."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from telephonegan.errors import DataError, SettingsError
from telephonegan.records import (
    Count,
    FileName,
    Probability,
    Seed,
    Sha256,
    checked,
    inside,
    read_arrays,
    read_json,
    read_yaml,
    record_of,
)
from tests.mutations import TIMES, Mutations, damaged


@dataclass
class Inner:
    count: Count = 0
    share: Probability | None = None
    pairs: list[tuple[str, float]] = field(default_factory=list)
    names: FileName | list[str] | None = None


@dataclass
class Outer:
    seed: Seed
    parts: list[Inner]
    digests: dict[str, Sha256] = field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------- types


def test_what_fits_becomes_the_dataclass_and_other_fields_are_left_out():
    given = {"seed": 3, "parts": [{"pairs": [["a", 1]], "names": ["x"]}], "later": True}
    assert checked(given, Outer, "x") == Outer(3, [Inner(pairs=[("a", 1.0)], names=["x"])])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"parts": []}, "seed is missing; it must be a whole number from 0 to 4294967295"),
        ({"seed": 2**32, "parts": []}, "seed must be a whole number from 0 to 4294967295; 4294967296 was found"),
        ({"seed": True, "parts": []}, "seed must be a whole number .* True was found"),
        ({"seed": 1.0, "parts": []}, "seed must be a whole number"),
        ({"seed": 1, "parts": {}}, r"parts must be a list; \{\} was found"),
        (
            {"seed": 1, "parts": [{}, {"count": "<img src=x>"}]},
            r"parts\[1\]\.count must be .*; '<img src=x>' was found",
        ),
        ({"seed": 1, "parts": [{"share": 2}]}, r"parts\[0\]\.share must be a number from 0 to .* or null; 2 was found"),
        ({"seed": 1, "parts": [{"share": float("nan")}]}, r"parts\[0\]\.share"),
        ({"seed": 1, "parts": [{"share": 10**400}]}, r"parts\[0\]\.share"),
        ({"seed": 1, "parts": [{"pairs": [["a"]]}]}, r"parts\[0\]\.pairs\[0\] must be a list of 2"),
        ({"seed": 1, "parts": [{"pairs": [["a", "b"]]}]}, r"parts\[0\]\.pairs\[0\]\[1\] must be a number"),
        ({"seed": 1, "parts": [{"names": ["a", None]}]}, r"parts\[0\]\.names\[1\] must be text"),
        ({"seed": 1, "parts": [], "digests": {"a": "0"}}, r"digests\.a must be text that is 64 hexadecimal digits"),
        ([], "it must be a table of values by name"),
        (None, "it must be a table of values by name"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place_and_what_is_allowed(given, told):
    with pytest.raises(SettingsError, match=rf"^chain\.json: {told}.* Get another\.$"):
        checked(given, Outer, "chain.json", SettingsError, "Get another.")


@pytest.mark.parametrize(
    "name", ["a\0", "a\x7f", "a\n", "\x1b[2J", "a\x9b", "\udcff", "\ud800", "", "x" * 1001, 3, None]
)
def test_names_of_files_hold_no_control_characters_and_no_halves_of_letters(name):
    with pytest.raises(DataError, match="file name"):
        checked(name, FileName, "x")


def test_a_record_has_the_fields_of_its_dataclass_but_those_left_out():
    kind = record_of(Outer, "digests")
    assert vars(checked({"seed": 1, "parts": [], "digests": 3}, kind, "x")) == {"seed": 1, "parts": []}


def test_what_a_dataclass_refuses_is_told_with_the_place():
    @dataclass
    class Even:
        number: int

        def __post_init__(self) -> None:
            if self.number % 2:
                raise SettingsError(f"number must be even; {self.number} was given.")

    with pytest.raises(DataError, match=r"^plan: number must be even; 3 was given\."):
        checked({"number": 3}, Even, "plan")


@pytest.mark.parametrize("name", ["../x", "/etc/hostname", ".", "link", "link/x", "circle", "a\0"])
def test_a_record_cannot_name_a_file_outside_its_folder(name, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    with pytest.raises(DataError, match="not inside"):
        inside(folder, name, "chain.json")
    assert inside(folder, "a/b.png", "chain.json") == folder / "a" / "b.png"


# ---------------------------------------------------------------------------------------------------- JSON


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
    return path


@pytest.mark.parametrize(
    "content",
    ["", "{", b"\xff\xfe\xfd", "[" * 100_000, "[" * 40 + "]" * 40, "9" * 5000, "9" * 25, "NaN", "1e999", "[-Infinity]"],
)
def test_json_that_is_damaged_too_deep_or_beyond_numbers_is_refused(content, tmp_path):
    with pytest.raises(DataError, match=r"x\.json is damaged or incomplete: .*\. Get another\.$"):
        read_json(written(tmp_path / "x.json", content), remedy="Get another.")


def test_json_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("telephonegan.records._JSON_BYTES", 10)
    assert read_json(written(tmp_path / "x.json", "[1,2,3,45]")) == [1, 2, 3, 45]
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read_json(written(tmp_path / "x.json", "[1,2,3,456]"))


def test_a_missing_file_is_told_in_the_callers_words(tmp_path):
    with pytest.raises(DataError, match="is missing"):
        read_json(tmp_path / "x.json")
    with pytest.raises(SettingsError, match=r"^No game\.$"):
        read_json(tmp_path / "x.json", error=SettingsError, missing="No game.")


def test_mutated_records_are_refused_or_fit_and_nothing_else(tmp_path):
    good = {"seed": 3, "parts": [{"count": 1, "share": 0.5, "pairs": [["a", 1.5]], "names": "x.png"}], "digests": {}}
    mutate = Mutations(7)
    for _ in range(TIMES):
        try:
            read = read_json(written(tmp_path / "x.json", mutate(good)), Outer)
        except DataError:
            continue
        assert isinstance(read.seed, int) and all(isinstance(part.count, int) for part in read.parts)


# ---------------------------------------------------------------------------------------------------- YAML


def test_settings_are_numbers_texts_lists_and_tables(tmp_path):
    content = "rounds: 4\nseeds: [0, 1]\nrate: 0.5\nname: on the beach\non: 2\nday: 2020-01-01\nsection:\n  A: true\n"
    with pytest.raises(DataError, match="True is not a name"):
        read_yaml(written(tmp_path / "x.yml", content))
    assert read_yaml(written(tmp_path / "x.yml", content.replace("\non:", '\n"on":'))) == {
        **{"rounds": 4, "seeds": [0, 1], "rate": 0.5, "name": "on the beach", "on": 2, "day": "2020-01-01"},
        **{"section": {"A": True}},
    }
    assert read_yaml(written(tmp_path / "x.yml", "# nothing\n")) == {}


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (LAUGHS, r"line 2 has an alias \(\*\)"),
        ("a: &a [*a]", "alias"),
        ("a: !!timestamp abc", r"line 1 has a tag \(!\)"),
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("a: !!binary x", "tag"),
        ("a: " + "9" * 10_001, "more than 10,000 characters"),
        ("a: " + "9" * 9_000, "digits"),
        ("a: 0x" + "f" * 9_000, "more than 19 digits"),
        ("a: " + "1:" * 4_000 + "1", "more than 19 digits"),
        ("a: .inf", "not finite"),
        ("a: " + "[" * 50 + "]" * 50, "more than 32 levels"),
        ("a: " + "[" * 200_000, "nest"),
        ("".join(" " * i + "a:\n" for i in range(100)), "more than 32 levels"),
        ("a: b\n" * 200_000, "larger than 500,000 bytes"),
        ('a: "x\\0y"', "zero character"),
        ("1: 2", "1 is not a name"),
        ("? [a]\n: 2", "unhashable"),
        ("a: [1, 2", "line 1"),
        (b"\xff\xfe\x00", "not a YAML file"),
        ("- 1", "holds no settings"),
        ("just words", "holds no settings"),
    ],
)
def test_yaml_that_no_settings_need_is_refused_with_its_place(content, told, tmp_path):
    with pytest.raises(DataError, match=rf"x\.yml .*{told}.*Write lines such as `rounds: 4`\.$"):
        read_yaml(written(tmp_path / "x.yml", content), example="rounds: 4")


def test_a_missing_yaml_file_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"x\.yml cannot be read: No such file"):
        read_yaml(tmp_path / "x.yml", SettingsError)


# ---------------------------------------------------------------------------------------------------- arrays


def packed(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


GOOD = {
    "seen": np.random.default_rng(0).random((3, 4, 5), dtype=np.float32),
    "painted": np.random.default_rng(1).random((3, 4)).astype(np.float16).T,
    "none": np.zeros((0, 3, 3)),
}


def test_arrays_come_back_as_numpy_reads_them(tmp_path):
    path = written(tmp_path / "x.npz", packed(**GOOD))
    with np.load(path) as numpys:
        read = read_arrays(path)
        assert read.keys() == set(numpys.files)
        assert all(np.array_equal(read[name], numpys[name].astype(np.float32)) for name in read)
    assert read_arrays(tmp_path / "none.npz") == {}


def test_damaged_arrays_are_read_or_refused_and_nothing_else(tmp_path):
    noise, good, refused = random.Random(3), packed(**GOOD), 0
    for _ in range(TIMES):
        try:
            read_arrays(written(tmp_path / "x.npz", damaged(good, noise)))
        except DataError:
            refused += 1
    assert refused > TIMES / 2


@pytest.mark.parametrize("declared", [None, 1000])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(declared, tmp_path, monkeypatch):
    monkeypatch.setattr("telephonegan.records._ARRAY_BYTES", 1_000_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"\0" * 30_000_000)
    content = bytearray(buffer.getvalue())
    if declared is not None:  # it says that it is small
        for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
            struct.pack_into("<I", content, content.find(signature) + offset, declared)
    path = written(tmp_path / "x.npz", bytes(content))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="is damaged"):
            read_arrays(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "array",
    [
        np.array([np.nan]),
        np.array([np.inf]),
        np.array([1e300]),
        np.array([1]),
        np.array([1j]),
        np.array(["a"]),
        np.array([True]),
    ],
)
def test_arrays_that_are_not_finite_fractions_are_refused(array, tmp_path):
    with pytest.raises(DataError, match="is damaged"):
        read_arrays(written(tmp_path / "x.npz", packed(a=array)))


def test_nothing_is_unpickled(tmp_path):
    with pytest.raises(DataError, match="is damaged"):
        read_arrays(written(tmp_path / "x.npz", packed(a=np.array([{}, None], dtype=object))))
