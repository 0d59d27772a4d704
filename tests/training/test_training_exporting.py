"""From a run to a model: what it holds, what the manifest tells, and which runs can be averaged."""

import pytest
import torch

from telephonegan import training
from telephonegan.captioning import Captioner
from telephonegan.errors import SettingsError, TelephoneganError
from telephonegan.generation import Generator
from telephonegan.training import runs
from telephonegan.zoo import catalogue, store


@pytest.fixture(autouse=True)
def home(tmp_path, no_shipped_models, monkeypatch):
    """A home of its own, with nothing shipped beside it."""
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))


def average(run):
    return torch.load(run / "checkpoint.pt", weights_only=True)["average"]


def test_a_trained_generator_paints(train, damsm_run, tmp_path):
    run = tmp_path / "attngan"
    train("attngan", run, damsm=damsm_run, steps=1)
    train("attngan", run, damsm=damsm_run, steps=2)
    assert (run / "grid-000002.png").is_file()
    training.export(damsm_run, name="shapes")
    exported = training.export(run, name="drawn", damsm_name="shapes", licence="MIT")
    assert (exported.entry, exported.step) == (catalogue.find("generator", "drawn"), 2)
    assert (exported.entry.licence, exported.entry.settings["damsm"]) == ("MIT", "shapes")
    stored, expected = store.read_tensors(exported.entry), average(run)
    assert set(stored) == set(expected)
    for name, tensor in expected.items():
        torch.testing.assert_close(stored[name], tensor, rtol=1e-3, atol=1e-4)
    (picture,) = Generator.load("drawn", "cpu")(["a red circle"], seeds=[0])
    assert picture.image.size == (16, 16)
    assert picture.words == ["a", "red", "circle"]


def assert_speaks(name):
    captioner = Captioner.load(name, "cpu")
    (caption,) = captioner([torch.zeros(3, 64, 64)])
    assert set(caption.words) <= set(captioner.vocabulary.words)
    assert len(caption.words) <= 8


def test_a_trained_captioner_speaks(captioner_run):
    exported = training.export(captioner_run, name="drawn", quality={"CIDEr-D": 0.1})
    assert exported.entry.quality == {"CIDEr-D": 0.1}
    assert_speaks("drawn")


def test_a_trained_captioner_without_attention_speaks(train, tmp_path):
    train("captioner", tmp_path / "run", settings={"attention": False}, steps=1)
    training.export(tmp_path / "run", name="plain")
    assert_speaks("plain")


def test_a_damsm_run_holds_both_encoders_and_may_be_a_judge(damsm_run):
    entry, _ = training.export(damsm_run, name="eye", as_judge=True)
    assert entry == catalogue.find("judge", "eye")
    matcher = runs.load_matcher(damsm_run)
    stored = store.read_tensors(entry)
    for part, net in (("text_encoder", matcher.text), ("image_encoder", matcher.image)):
        own = {name.removeprefix(f"{part}."): tensor for name, tensor in stored.items() if name.startswith(part)}
        for name, tensor in store.load_strict(net, own).state_dict().items():
            torch.testing.assert_close(tensor, own[name])
    assert store.read_vocabulary(entry).words == matcher.vocabulary.words
    sizes = [entry.settings[key] for key in ("backbone", "picture_size", "input_size")]
    assert sizes == ["lite0", 32, 64]


def test_the_command_is_published_without_places(train, tmp_path):
    train("captioner", tmp_path / "run", steps=1, command=f"telephonegan train captioner --data {tmp_path}/drawings")
    entry, _ = training.export(tmp_path / "run", name="drawn")
    assert entry.command == "telephonegan train captioner --data drawings"


def test_runs_that_began_alike_give_the_mean_of_their_weights(train, captioner_run, tmp_path):
    train("captioner", tmp_path / "on", origin=captioner_run, command="telephonegan train captioner")
    entry, _ = training.export(captioner_run, others=[tmp_path / "on"], name="mean")
    stored = store.read_tensors(entry)["decoder.linear.bias"]
    one, other = (average(run)["decoder.linear.bias"] for run in (captioner_run, tmp_path / "on"))
    torch.testing.assert_close(stored, (one + other) / 2, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    assert entry.command == "telephonegan train captioner"
    assert_speaks("mean")


def test_a_run_may_start_from_a_model_by_name(train, captioner_run, tmp_path):
    training.export(captioner_run, name="first")
    starts = {"named": "first", "folder": captioner_run, "fresh": None}
    for run, origin in starts.items():
        train("captioner", tmp_path / run, steps=1, seed=9, origin=origin)
    named, folder, fresh = (average(tmp_path / run)["decoder.linear.weight"] for run in starts)
    torch.testing.assert_close(named, folder, rtol=1e-2, atol=1e-2)
    assert not torch.allclose(named, fresh, rtol=1e-2, atol=1e-2)


def test_an_origin_that_is_neither_run_nor_model_is_named(train, tmp_path):
    with pytest.raises(TelephoneganError, match="nobody"):
        train("captioner", tmp_path / "run", steps=1, origin="nobody")


def test_strangers_and_twins_are_not_averaged(train, captioner_run, tmp_path):
    train("captioner", tmp_path / "stranger", seed=9)
    with pytest.raises(SettingsError, match="do not share their start"):
        training.export(captioner_run, others=[tmp_path / "stranger"], name="mean")
    with pytest.raises(SettingsError, match="twice"):
        training.export(captioner_run, others=[captioner_run], name="mean")


def test_runs_of_different_networks_are_not_averaged(captioner_run, damsm_run):
    with pytest.raises(SettingsError, match="recipe"):
        training.export(captioner_run, others=[damsm_run], name="mean")


def test_only_a_damsm_run_can_become_a_judge(captioner_run):
    with pytest.raises(SettingsError, match="judge"):
        training.export(captioner_run, name="eye", as_judge=True)
