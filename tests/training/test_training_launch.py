"""Training from Python: runs that begin, go on, start from others, and stop together."""

import json
import shutil
import signal

import pytest
import torch

from telephonegan import training
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError, SettingsError
from telephonegan.training import launch, loop
from telephonegan.training.damsm import DamsmRecipe


def step_of(run):
    return torch.load(run / "checkpoint.pt", weights_only=True)["step"]


def test_damsm_is_trained_measured_and_goes_on(train, tmp_path):
    assert train("damsm", tmp_path / "run", steps=3) is True
    assert train("damsm", tmp_path / "run", steps=3) is True
    assert step_of(tmp_path / "run") == 3
    records = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in records if "evaluation" in record] == [1, 2, 3]


def test_the_command_is_kept_as_it_was_typed(train, tmp_path):
    train("captioner", tmp_path / "typed", steps=1, command="telephonegan train captioner")
    train("captioner", tmp_path / "called", steps=1)
    kept = [json.loads((tmp_path / run / "run.json").read_text())["command"] for run in ("typed", "called")]
    assert kept == ["telephonegan train captioner", ""]


def test_settings_may_be_a_dictionary_or_texts(train, damsm_run, drawings, cache):
    texts = ["picture_size=32", "input_size=64", "views=2", "minimum_count=2", "word_width=8", "width=16"]
    common = {"data": drawings, "run": damsm_run, "cache": cache, "steps": 2, "device": "cpu"}
    assert training.train("damsm", settings=[*texts, "batch_size=6"], **common)
    with pytest.raises(SettingsError, match="batch_size"):
        training.train("damsm", settings=[*texts, "batch_size=5"], **common)


def test_a_generator_needs_a_damsm_run(train, tmp_path):
    with pytest.raises(SettingsError, match="--damsm"):
        train("attngan", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_classes_are_left_out_of_training_and_measuring(drawings, cache, tmp_path, monkeypatch):
    tiny = {"preset": "tiny", "device": "cpu", "cache": cache}
    data = tmp_path / "data"
    shutil.copytree(drawings, data)
    names = sorted(path.name for path in (data / "images").iterdir())
    rows = "".join(f"{name},{number % 4}\n" for number, name in enumerate(names))
    (data / "labels.csv").write_text(f"image,class_id\n{rows}")
    whole = launch._sources("captioner", data, None, cache, [])
    some = launch._sources("captioner", data, None, cache, [1, 3])
    for before, after in ((whole.train, some.train), (whole.measured, some.measured)):
        assert {*before.classes} == {0, 1, 2, 3}
        assert {*after.classes} == {0, 2}
        assert {*after.names} < {*before.names}
    assert whole.fingerprints() != some.fingerprints()
    training.train("captioner", data=data, run=tmp_path / "run", without=[3, 1], steps=1, **tiny)
    monkeypatch.setattr(launch, "train", lambda **arguments: arguments["without"])
    assert training.resume(tmp_path / "run") == [1, 3]
    with pytest.raises(DataError, match="class number"):
        launch._sources("captioner", drawings, None, cache, [1])


def test_an_unknown_recipe_lists_those_there_are(drawings, tmp_path):
    with pytest.raises(SettingsError, match=r"'vqgan'.*damsm"):
        training.train("vqgan", data=drawings, run=tmp_path / "run")


def test_going_on_with_other_settings_is_refused_before_anything_is_computed(train, damsm_run, monkeypatch):
    monkeypatch.setattr("telephonegan.training.damsm.FeatureBank", lambda *given, **named: pytest.fail("computed"))
    with pytest.raises(SettingsError, match="width"):
        train("damsm", damsm_run, settings={"width": 32})


@pytest.mark.parametrize("steps", [0, -1])
def test_a_number_of_steps_below_one_is_an_error(train, tmp_path, monkeypatch, steps):
    monkeypatch.setattr(loop, "run", lambda *given, **options: pytest.fail(f"trains {options['steps']} steps"))
    with pytest.raises(SettingsError, match=str(steps)):
        train("captioner", tmp_path / "run", steps=steps)


def test_the_seed_decides_the_run(train, captioner_run, tmp_path):
    train("captioner", tmp_path / "again")
    train("captioner", tmp_path / "other", seed=2)
    one, again, other = (
        torch.load(run / "checkpoint.pt", weights_only=True)["model"]
        for run in (captioner_run, tmp_path / "again", tmp_path / "other")
    )
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


def test_going_on_with_another_seed_is_refused(train, captioner_run):
    with pytest.raises(SettingsError, match="seed"):
        train("captioner", captioner_run, seed=5)


def test_going_on_with_another_data_folder_is_refused(train, captioner_run, own_drawings):
    (own_drawings / "images" / "train-red-bar.png").write_bytes(
        (own_drawings / "images" / "train-red-circle.png").read_bytes()
    )
    with pytest.raises(SettingsError, match="data"):
        train("captioner", captioner_run, data=own_drawings)


@pytest.mark.parametrize(
    "given",
    [{"threads": -1}, {"threads": 0}, {"seed": -1}, {"minutes": -1}, {"checkpoint_minutes": -1}, {"evaluate_every": 0}],
)
def test_numbers_out_of_range_are_refused_before_anything_is_read(train, tmp_path, given):
    with pytest.raises(SettingsError, match=next(iter(given))):
        train("damsm", tmp_path, data="nowhere", **given)


# ------------------------------------------------------------------------------------------- going on


def test_resume_needs_only_the_folder(train, tmp_path, monkeypatch):
    train("damsm", tmp_path / "run", seed=3, steps=4)
    before = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["text_encoder"]
    (tmp_path / "run" / "checkpoint.pt").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert training.resume("../run", device="cpu") is True
    after = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["text_encoder"]
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_end_of_the_time_stops_a_run_and_it_goes_on(train, tmp_path):
    assert train("damsm", tmp_path / "run", steps=3, minutes=0) is False
    assert step_of(tmp_path / "run") == 0
    assert train("damsm", tmp_path / "run", steps=3, minutes=60) is True
    assert step_of(tmp_path / "run") == 3


def test_a_generator_may_be_resumed_for_longer(train, damsm_run, tmp_path):
    train("attngan", tmp_path / "run", damsm=damsm_run, steps=1)
    training.resume(tmp_path / "run", steps=3, device="cpu")
    assert step_of(tmp_path / "run") == 3


def test_a_run_that_does_not_tell_how_it_was_begun_cannot_be_resumed(captioner_run, tmp_path):
    record = json.loads((captioner_run / "run.json").read_text())
    del record["options"]
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(SettingsError, match="does not record how it was started"):
        training.resume(tmp_path)
    with pytest.raises(DataError, match="nowhere"):
        training.resume("nowhere")


# ------------------------------------------------------------------------------------------- all three

SMALL = {"train": 12, "dev": 4, "test": 4}


@pytest.fixture
def world(tmp_path):
    return write_world(tmp_path / "world", **SMALL, size=48)


@pytest.fixture
def started(monkeypatch):
    """What `train_all` starts; a recipe named in `stopped` is one that Ctrl-C stopped."""
    calls, stopped = [], set()

    def train(recipe, **given):
        calls.append((recipe, given))
        return recipe not in stopped

    monkeypatch.setattr(launch, "train", train)
    return calls, stopped


def test_all_three_share_a_cache_and_learn_from_one_damsm(started, tmp_path):
    calls, _ = started
    assert training.train_all(tmp_path, data="photos", steps=3) is True
    assert [recipe for recipe, _ in calls] == ["damsm", "attngan", "captioner"]
    for recipe, given in calls:
        assert given["run"] == tmp_path / recipe
        assert (given["data"], given["steps"], given["cache"]) == ("photos", 3, tmp_path / "cache")
        assert given["damsm"] == tmp_path / "damsm"


@pytest.mark.parametrize("recipe", launch.ORDER)
def test_one_that_is_stopped_stops_those_after_it(started, tmp_path, recipe):
    calls, stopped = started
    stopped.add(recipe)
    assert training.train_all(tmp_path, data="photos") is False
    assert [name for name, _ in calls] == [*launch.ORDER[: launch.ORDER.index(recipe) + 1]]


def test_the_time_is_for_all_three_together(started, tmp_path, monkeypatch):
    calls, _ = started
    now = iter((0, 0, 60, 240))
    monkeypatch.setattr(launch.time, "monotonic", lambda: next(now))
    training.train_all(tmp_path, data="photos", minutes=3)
    assert [given["minutes"] for _, given in calls] == [3, 2, 0]


@pytest.mark.parametrize("at", [1, 3])  # the last step too: what came to its end was stopped all the same
def test_ctrl_c_stops_the_whole_sequence(world, tmp_path, monkeypatch, at, capsys):
    step = DamsmRecipe.step

    def interrupted(self, number):
        if number + 1 == at:
            signal.raise_signal(signal.SIGINT)
        return step(self, number)

    monkeypatch.setattr(DamsmRecipe, "step", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        assert training.train_all(tmp_path / "run", data=world, preset="tiny", steps=3, device="cpu") is False
    finally:
        signal.signal(signal.SIGINT, before)
    assert step_of(tmp_path / "run" / "damsm") == at
    assert not (tmp_path / "run" / "attngan").exists()
    assert not (tmp_path / "run" / "captioner").exists()
    assert f"Stopped at step {at}" in capsys.readouterr().out


def test_without_data_only_the_tiny_preset_has_something_to_learn_from(started, tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match="--data"):
        training.train_all(tmp_path / "run")
    monkeypatch.setattr(launch, "_WORLD", SMALL)
    training.train_all(tmp_path / "run", preset="tiny")
    assert {given["data"] for _, given in started[0]} == {tmp_path / "run" / "world"}
    assert (tmp_path / "run" / "world").is_dir()
