"""Run folders: what run.json keeps, what is refused, and what is read from them."""

import dataclasses
import json
import types

import pytest
import torch

from telephonegan.errors import DataError, SettingsError, TelephoneganError, WeightsError
from telephonegan.provenance import without_places
from telephonegan.text import Vocabulary
from telephonegan.training import runs
from tests.mutations import TIMES, Mutations


@dataclasses.dataclass(frozen=True)
class Settings:
    size: int = 8
    rate: float = 0.5


def recipe(words=("<pad>", "a"), **network):
    return types.SimpleNamespace(network=lambda: network, vocabulary=Vocabulary(words))


def test_a_run_remembers_what_export_needs(tmp_path):
    runs.describe(tmp_path / "run", "damsm", recipe(width=3), Settings(), command="telephonegan train")
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["recipe"] == "damsm"
    assert record["settings"] == dataclasses.asdict(Settings())
    assert record["network"] == {"width": 3}
    assert record["vocabulary"] == ["<pad>", "a"]
    assert record["command"] == "telephonegan train"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_the_same_settings_may_go_on(tmp_path):
    runs.describe(tmp_path, "damsm", recipe(), Settings())
    before = (tmp_path / "run.json").read_bytes()
    runs.describe(tmp_path, "damsm", recipe(), Settings())
    assert (tmp_path / "run.json").read_bytes() == before


def test_other_settings_are_refused_by_name_and_the_run_is_kept(tmp_path):
    runs.describe(tmp_path, "damsm", recipe(), Settings())
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(SettingsError, match=r"size, rate"):
        runs.describe(tmp_path, "damsm", recipe(), Settings(size=9, rate=1.0))
    assert (tmp_path / "run.json").read_bytes() == before


def test_another_recipe_is_refused_by_name(tmp_path):
    runs.describe(tmp_path, "damsm", recipe(), Settings())
    with pytest.raises(SettingsError, match="damsm") as caught:
        runs.describe(tmp_path, "captioner", recipe(), Settings())
    assert "()" not in str(caught.value)


def test_other_words_are_refused(tmp_path):
    runs.describe(tmp_path, "damsm", recipe(("<pad>", "a", "dog")), Settings())
    with pytest.raises(SettingsError, match=r"vocabulary|words"):
        runs.describe(tmp_path, "damsm", recipe(("<pad>", "dog", "a")), Settings())


ORIGIN = {"seed": 0, "data": "0123abcd", "damsm": "4567cdef"}


@pytest.mark.parametrize("key", ORIGIN)
def test_another_origin_is_refused_by_name(tmp_path, key):
    runs.describe(tmp_path, "attngan", recipe(), Settings(), **ORIGIN)
    runs.describe(tmp_path, "attngan", recipe(), Settings(), **ORIGIN)
    with pytest.raises(SettingsError, match=key):
        runs.describe(tmp_path, "attngan", recipe(), Settings(), **{**ORIGIN, key: "other"})


def test_a_run_that_does_not_tell_its_origin_goes_on(tmp_path):
    runs.describe(tmp_path, "attngan", recipe(), Settings())
    before = (tmp_path / "run.json").read_bytes()
    runs.describe(tmp_path, "attngan", recipe(), Settings(), **ORIGIN)
    assert (tmp_path / "run.json").read_bytes() == before


@pytest.mark.parametrize("there", [(), ("run.json",), ("checkpoint.pt",)])
def test_a_folder_that_is_no_run_is_told_what_it_lacks(tmp_path, there):
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(DataError) as caught:
        runs.read_run(tmp_path)
    for name in {"run.json", "checkpoint.pt"} - set(there):
        assert name in str(caught.value).partition("lacks")[2]


def test_a_folder_of_data_may_have_the_name_of_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers").mkdir()  # as in `train gan-cls --data flowers --embedding flowers`
    assert not runs.means_folder("flowers")
    assert runs.load_matcher("flowers", "embedding").name == "embedding/flowers"
    (tmp_path / "flowers" / "run.json").touch()
    assert runs.means_folder("flowers")


@pytest.mark.parametrize("content", ["{bad", "[]", "{}", '{"recipe": "damsm"}'])
def test_a_damaged_run_json_is_explained(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(DataError, match=r"run\.json"):
        runs.read_run(tmp_path)
    with pytest.raises(DataError, match=r"run\.json"):
        runs.refuse_other(tmp_path, {"recipe": "damsm", "settings": {}})


def test_only_a_damsm_run_can_guide_a_generator(tmp_path):
    record = {"recipe": "captioner", "settings": {}, "network": {}, "vocabulary": [], "command": ""}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    torch.save({"step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="captioner"):
        runs.load_matcher(tmp_path)


# ------------------------------------------------------------------------------------------- whatever it holds

RECORD = {
    "recipe": "captioner",
    "settings": {"input_size": 64, "length_power": 0.7, "words_limit": 20, "rate": 0.1, "crop": True, "note": None},
    "network": {"width": 8, "nested": {"a": [1]}},
    "vocabulary": ["<pad>", "a", "dog"],
    "command": "telephonegan train captioner --data 'my photos'",
    "seed": 3,
    "data": "f00",
    "options": {"recipe": "captioner", "data": "/photos", "seed": 3, "steps": None, "set": ["a=1"]},
}


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps(RECORD))
    torch.save({"step": 3, "average": {"w": torch.ones(1)}}, tmp_path / "checkpoint.pt")
    return tmp_path


def test_a_whole_run_is_read(run):
    record, checkpoint = runs.read_exportable(run)
    assert record == RECORD and checkpoint["step"] == 3


def test_mutated_records_are_refused_or_used(run):
    mutate, refused = Mutations(2), 0
    for _ in range(TIMES):
        (run / "run.json").write_bytes(mutate(RECORD))
        try:
            runs.refuse_other(run, RECORD)
            record, _ = runs.read_exportable(run)
        except TelephoneganError:
            refused += 1
            continue
        assert without_places(record["command"]) or not record["command"]
        assert isinstance(record["settings"]["input_size"], int)
    assert TIMES / 3 < refused < TIMES


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"recipe": "painter"}, "gan-cls or ppgn; 'painter' was found"),
        ({"command": "telephonegan 'half"}, "shell command"),
        ({"vocabulary": ["a", 3]}, r"vocabulary\[1\] must be text; 3 was found"),
        ({"settings": {"rate": {}}}, r"settings\.rate"),
        ({"options": {"recipe": "captioner", "data": "x", "seed": "x"}}, r"options\.seed must be a whole number"),
        ({"options": {"recipe": "captioner"}}, r"options\.data is missing"),
        ({"settings": {"length_power": 1, "words_limit": 3}}, "settings: input_size is missing"),
        ({"recipe": "damsm"}, "lacks text_encoder and image_encoder"),
    ],
)
def test_what_is_wrong_is_named(run, changes, told):
    (run / "run.json").write_text(json.dumps(RECORD | changes))
    with pytest.raises(DataError, match=told):
        runs.read_exportable(run)
