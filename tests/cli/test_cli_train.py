import argparse
import dataclasses
import json
import shlex
import types

import pytest
import torch

from telephonegan.captioning import Captioner
from telephonegan.cli import train as commands
from telephonegan.errors import DataError, SettingsError, WeightsError
from telephonegan.generation import Generator
from telephonegan.text import Vocabulary
from telephonegan.training import export as exporting
from telephonegan.training import loop, recipes, runs
from telephonegan.zoo import catalogue, store


@dataclasses.dataclass(frozen=True)
class Settings:
    size: int = 8
    rate: float = 0.5
    name: str = "lite0"
    mirrored: bool = True


# ------------------------------------------------------------------------------------------- settings


def test_texts_become_values_of_the_settings_own_types():
    found = recipes.changed(Settings(), ["size=12", "rate=1e-3", "name=lite2", "mirrored=False"])
    assert found == Settings(12, 0.001, "lite2", False)
    assert isinstance(found.size, int)


def test_no_assignment_changes_nothing_and_the_last_of_two_counts():
    assert recipes.changed(Settings(), []) == Settings()
    assert recipes.changed(Settings(), ["size=1", "size=2"]).size == 2


def test_a_value_may_hold_an_equals_sign():
    assert recipes.changed(Settings(), ["name=a=b"]).name == "a=b"


@pytest.mark.parametrize("assignment", ["colour=3", "size", "", "=3", "Size=3"])
def test_an_unknown_setting_lists_those_there_are(assignment):
    with pytest.raises(SettingsError, match="size, rate, name, mirrored"):
        recipes.changed(Settings(), [assignment])


@pytest.mark.parametrize("assignment", ["size=1.5", "size=big", "size=", "rate=fast", "mirrored=maybe"])
def test_a_value_of_another_type_is_named_with_the_type_wanted(assignment):
    key, _, value = assignment.partition("=")
    with pytest.raises(SettingsError, match=f"{key}.*{value!r}"):
        recipes.changed(Settings(), [assignment])


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_a_setting_is_a_finite_number(text):
    with pytest.raises(SettingsError, match="rate"):
        recipes.changed(Settings(), [f"rate={text}"])


def test_a_wrong_switch_is_told_what_can_be_written():
    with pytest.raises(SettingsError, match=r"true or false"):
        recipes.changed(Settings(), ["mirrored=yes"])


# ------------------------------------------------------------------------------------------- run folders


def recipe(words=("<pad>", "a"), **network):
    return types.SimpleNamespace(network=lambda: network, vocabulary=Vocabulary(words))


def test_a_run_remembers_what_export_needs(tmp_path):
    runs.describe(tmp_path / "run", "damsm", recipe(width=3), Settings())
    record = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert record["recipe"] == "damsm"
    assert record["settings"] == dataclasses.asdict(Settings())
    assert record["network"] == {"width": 3}
    assert record["vocabulary"] == ["<pad>", "a"]
    assert record["command"].startswith("telephonegan")
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


def test_the_command_can_be_pasted_into_a_shell(tmp_path, monkeypatch):
    given = ["train", "damsm", "--data", "/home/ann/my photos", "--set", "name=a;b"]
    monkeypatch.setattr("sys.argv", ["/usr/bin/telephonegan", *given])
    runs.describe(tmp_path, "damsm", recipe(), Settings())
    command = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))["command"]
    assert shlex.split(command) == ["telephonegan", *given]


def test_a_published_command_tells_no_places_of_this_machine():
    command = (
        "telephonegan train attngan --data '/home/ann/my photos/' --damsm=/home/ann/damsm --run runs/a --set x=/y/z"
    )
    assert shlex.split(runs.without_places(command)) == [
        "telephonegan",
        "train",
        "attngan",
        "--data",
        "my photos",
        "--damsm=damsm",
        "--run",
        "runs/a",
        "--set",
        "x=z",
    ]


@pytest.mark.parametrize("there", [(), ("run.json",), ("checkpoint.pt",)])
def test_a_folder_that_is_no_run_is_told_what_it_lacks(tmp_path, there):
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(DataError) as caught:
        runs.read_run(tmp_path)
    for name in {"run.json", "checkpoint.pt"} - set(there):
        assert f"no {name}" in str(caught.value)


# ------------------------------------------------------------------------------------------- the whole way

DAMSM = ("picture_size=32", "input_size=64", "views=2", "minimum_count=2", "word_width=8", "width=16", "batch_size=6")
ATTNGAN = (
    "base_size=8",
    "branches=2",
    "channels=4",
    "backbone_input=64",
    "head_width=4",
    "batch_size=4",
    "words_limit=8",
)
CAPTIONER = (
    "input_size=64",
    "stored_size=48",
    "small_size=16",
    "minimum_count=2",
    "words_limit=8",
    "embedding_width=8",
    "hidden_width=8",
    "photos_per_batch=3",
)


def parsed(declare, *arguments):
    parser = argparse.ArgumentParser()
    declare(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def start(name, drawings, cache, folder, *arguments, steps=2):
    commands.train(
        parsed(
            commands.add_train,
            name,
            "--data",
            drawings,
            "--run",
            folder,
            "--cache",
            cache,
            "--steps",
            steps,
            *arguments,
        )
    )


@pytest.fixture
def train(drawings, cache):
    return lambda name, folder, *arguments, **options: start(name, drawings, cache, folder, *arguments, **options)


@pytest.fixture
def export(tmp_path, no_shipped_models, monkeypatch):
    """Exports into a home of its own, with nothing shipped beside it."""
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    return lambda run, *arguments: exporting.export(parsed(exporting.add_export, run, *arguments))


@pytest.fixture(scope="module")
def damsm_run(drawings, cache, tmp_path_factory):
    """A finished DAMSM run without evaluations."""
    folder = tmp_path_factory.mktemp("runs") / "damsm"
    with pytest.MonkeyPatch.context() as patch:
        run = loop.run
        patch.setattr(loop, "run", lambda *given, **options: run(*given, **{**options, "evaluate_every": 0}))
        start("damsm", drawings, cache, folder, "--set", *DAMSM)
    return folder


@pytest.fixture(scope="module")
def captioner_run(drawings, cache, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "captioner"
    start("captioner", drawings, cache, folder, "--set", *CAPTIONER)
    return folder


def test_damsm_is_trained_measured_and_goes_on(train, tmp_path):
    train("damsm", tmp_path / "run", "--set", *DAMSM, steps=3)
    train("damsm", tmp_path / "run", "--set", *DAMSM, steps=3)
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 3
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "evaluation" in record] == [1, 2, 3]


def test_a_trained_generator_paints_after_export(train, export, damsm_run, tmp_path):
    run = tmp_path / "attngan"
    train("attngan", run, "--damsm", damsm_run, "--set", *ATTNGAN, steps=1)
    train("attngan", run, "--damsm", damsm_run, "--set", *ATTNGAN, steps=2)
    assert (run / "grid-000002.png").is_file()
    export(damsm_run, "--name", "shapes")
    export(run, "--name", "drawn", "--damsm-name", "shapes", "--licence", "MIT")
    entry = catalogue.find("generator", "drawn")
    assert (entry.licence, entry.settings["damsm"]) == ("MIT", "shapes")
    assert str(tmp_path) not in entry.command
    average = torch.load(run / "checkpoint.pt", weights_only=True)["average"]
    stored = store.read_tensors(entry)
    assert set(stored) == set(average)
    for name, tensor in average.items():
        torch.testing.assert_close(stored[name], tensor, rtol=1e-3, atol=1e-4)
    (picture,) = Generator.load("drawn", "cpu")(["a red circle"], seeds=[0])
    assert picture.image.size == (16, 16)
    assert picture.words == ["a", "red", "circle"]


def assert_speaks(name):
    captioner = Captioner.load(name, "cpu")
    (caption,) = captioner([torch.zeros(3, 64, 64)])
    assert set(caption.words) <= set(captioner.vocabulary.words)
    assert len(caption.words) <= 8


def test_a_trained_captioner_speaks_after_export(export, captioner_run):
    export(captioner_run, "--name", "drawn", "--quality", '{"CIDEr-D": 0.1}')
    assert catalogue.find("captioner", "drawn").quality == {"CIDEr-D": 0.1}
    assert_speaks("drawn")


def test_a_trained_captioner_without_attention_speaks_after_export(export, train, tmp_path):
    train("captioner", tmp_path / "run", "--set", *CAPTIONER, "attention=False", steps=1)
    export(tmp_path / "run", "--name", "plain")
    assert_speaks("plain")


def test_an_exported_damsm_run_holds_both_encoders_and_may_be_a_judge(export, damsm_run):
    export(damsm_run, "--name", "eye", "--kind", "judge")
    entry = catalogue.find("judge", "eye")
    matcher = runs.load_matcher(damsm_run)
    stored = store.read_tensors(entry)
    for part, net in (("text_encoder", matcher.text), ("image_encoder", matcher.image)):
        own = {name.removeprefix(f"{part}."): tensor for name, tensor in stored.items() if name.startswith(part)}
        for name, tensor in store.load_strict(net, own).state_dict().items():
            torch.testing.assert_close(tensor, own[name])
    assert store.read_vocabulary(entry).words == matcher.vocabulary.words
    assert (entry.settings["backbone"], entry.settings["picture_size"], entry.settings["input_size"]) == (
        "lite0",
        32,
        64,
    )


def test_a_matcher_comes_back_frozen_and_in_eval_mode(damsm_run):
    matcher = runs.load_matcher(damsm_run)
    for net in (matcher.text, matcher.image):
        assert not net.training
        assert not any(p.requires_grad for p in net.parameters())


def test_only_a_damsm_run_can_guide_a_generator(tmp_path):
    record = {"recipe": "captioner", "settings": {}, "network": {}, "vocabulary": [], "command": ""}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    torch.save({"step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="captioner"):
        runs.load_matcher(tmp_path)


def test_runs_that_began_alike_can_be_exported_as_the_mean_of_their_weights(export, train, captioner_run, tmp_path):
    train("captioner", tmp_path / "on", "--from", captioner_run, "--set", *CAPTIONER)
    export(captioner_run, "--with", tmp_path / "on", "--name", "mean")
    entry = catalogue.find("captioner", "mean")
    runs_of = [
        torch.load(run / "checkpoint.pt", weights_only=True)["average"] for run in (captioner_run, tmp_path / "on")
    ]
    stored = store.read_tensors(entry)["decoder.linear.bias"]
    one, other = (average["decoder.linear.bias"] for average in runs_of)
    torch.testing.assert_close(stored, (one + other) / 2, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    assert "; " in entry.command
    assert_speaks("mean")


def test_strangers_and_twins_are_not_averaged(export, train, captioner_run, tmp_path):
    train("captioner", tmp_path / "stranger", "--seed", 9, "--set", *CAPTIONER)
    with pytest.raises(SettingsError, match="do not share their beginning"):
        export(captioner_run, "--with", tmp_path / "stranger", "--name", "mean")
    with pytest.raises(SettingsError, match="twice"):
        export(captioner_run, "--with", captioner_run, "--name", "mean")


def test_runs_of_different_networks_are_not_averaged(export, captioner_run, damsm_run):
    with pytest.raises(SettingsError, match="recipe"):
        export(captioner_run, "--with", damsm_run, "--name", "mean")


def test_only_a_damsm_run_can_become_a_judge(export, captioner_run):
    with pytest.raises(SettingsError, match="judge"):
        export(captioner_run, "--name", "eye", "--kind", "judge")


def test_a_generator_needs_a_damsm_run(train, tmp_path):
    with pytest.raises(SettingsError, match="--damsm"):
        train("attngan", tmp_path / "run", "--set", *ATTNGAN)
    assert not (tmp_path / "run").exists()


def test_going_on_with_other_settings_is_refused_before_anything_is_computed(train, damsm_run, monkeypatch):
    monkeypatch.setattr("telephonegan.training.damsm.FeatureBank", lambda *given, **named: pytest.fail("computed"))
    with pytest.raises(SettingsError, match="width"):
        train("damsm", damsm_run, "--set", *DAMSM, "width=32")


@pytest.mark.parametrize("steps", [0, -1])
def test_a_number_of_steps_below_one_is_an_error(train, tmp_path, monkeypatch, steps):
    monkeypatch.setattr(loop, "run", lambda *given, **options: pytest.fail(f"trains {options['steps']} steps"))
    with pytest.raises(SettingsError, match=str(steps)):
        train("captioner", tmp_path / "run", "--set", *CAPTIONER, steps=steps)


def test_the_seed_decides_the_run(train, captioner_run, tmp_path):
    weights_of = {}
    for name, folder, seed in (
        ("one", captioner_run, 0),
        ("again", tmp_path / "again", 0),
        ("other", tmp_path / "other", 2),
    ):
        if folder is not captioner_run:
            train("captioner", folder, "--seed", seed, "--set", *CAPTIONER)
        weights_of[name] = torch.load(folder / "checkpoint.pt", weights_only=True)["model"]
    one = weights_of["one"]
    assert all(torch.equal(one[key], weights_of["again"][key]) for key in one)
    assert not all(torch.equal(one[key], weights_of["other"][key]) for key in one)


def test_going_on_with_another_seed_is_refused(train, captioner_run):
    with pytest.raises(SettingsError, match="seed"):
        train("captioner", captioner_run, "--seed", 5, "--set", *CAPTIONER)


def test_going_on_with_another_data_folder_is_refused(captioner_run, own_drawings, cache):
    (own_drawings / "images" / "train-red-bar.png").write_bytes(
        (own_drawings / "images" / "train-red-circle.png").read_bytes()
    )
    with pytest.raises(SettingsError, match="data"):
        start("captioner", own_drawings, cache, captioner_run, "--set", *CAPTIONER)


@pytest.mark.parametrize("content", ["{bad", "[]", "{}", '{"recipe": "damsm"}'])
def test_a_damaged_run_json_is_explained(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(DataError, match=r"run\.json"):
        runs.read_run(tmp_path)
    with pytest.raises(DataError, match=r"run\.json"):
        runs.refuse_other(tmp_path, {"recipe": "damsm", "settings": {}})


@pytest.mark.parametrize("option", ["--threads=-1", "--threads=0", "--seed=-1"])
def test_numbers_out_of_range_are_refused_before_anything_is_read(train, tmp_path, option):
    with pytest.raises(SettingsError, match=option[2:].partition("=")[0]):
        train("damsm", tmp_path, option)
