"""Worlds: found where all four models are, described by a manifest, and named where they know a word."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import telephonegan as tg
from telephonegan.errors import UnknownModelError, WeightsError
from telephonegan.zoo import catalogue, store
from telephonegan.zoo.worlds import World, explained, find_world, worlds

TOLD = {"knows": "things that fly", "examples": ["a red bird"]}


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty shipped folder and an empty home for every test."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "manifest.json").write_text('{"format": 1, "models": {}}')
    monkeypatch.setattr(catalogue, "SHIPPED", shipped)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))


def register(name: str, *words: str, kinds: tuple[str, ...] = catalogue.KINDS) -> None:
    for kind in kinds:
        settings = {"damsm": name} if kind == "generator" else {}
        vocabulary = ["<pad>", *words] if kind == "damsm" else None
        store.register(kind, name, {"w": torch.ones(1)}, settings=settings, vocabulary=vocabulary, replace=True)


def describe(**told: object) -> Path:
    path = catalogue.home() / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"worlds": told}))
    return path


def test_a_world_has_a_model_of_every_kind():
    register("birds", "bird")
    register("half", "bird", kinds=("captioner", "generator"))
    assert worlds() == [World("birds")]
    with pytest.raises(UnknownModelError, match="captioner and a generator of that name, but no damsm and no judge"):
        find_world("half")
    with pytest.raises(UnknownModelError, match=r"called 'brids'\. Did you mean 'birds'\? The worlds are birds\."):
        find_world("brids")


def test_a_manifest_describes_its_worlds_and_their_order():
    register("birds", "bird")
    register("apples", "apple")
    describe(zebras=TOLD, birds=TOLD)  # a world whose models are not there is not one
    assert worlds() == [World("birds", "things that fly", ("a red bird",)), World("apples")]
    table = tg.models()
    assert [world.name for world in table.worlds] == ["birds", "apples"]
    assert "things that fly" in repr(table) and "“a red bird”" in repr(table)
    assert "things that fly" in table._repr_html_()
    assert not tg.models("generator").worlds


def test_a_description_outlives_the_registration_of_models():
    register("birds", "bird")
    describe(birds=TOLD)
    register("birds", "owl")
    register("apples", "apple")
    assert find_world("birds").examples == ("a red bird",)


@pytest.mark.parametrize("told", [[], {"birds": []}, {"birds": {"knows": 3}}, {"birds": {"examples": "a bird"}}])
def test_a_damaged_description_is_explained(told):
    register("birds", "bird")
    path = catalogue.home() / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"worlds": told}))
    with pytest.raises(WeightsError, match="world"):
        worlds()
    assert explained(["bird"], "flickr8k") == "bird"


def test_a_word_is_sent_to_the_worlds_that_know_it():
    register("birds", "penguin", "owl")
    register("zoo", "penguin", "dog")
    register("sea", "penguin")
    told = "owl (birds knows it), dog, penguin (birds and sea know it), <pad>"
    assert explained(["owl", "dog", "penguin", "<pad>"], "zoo") == told


def test_a_generator_without_a_damsm_knows_no_words():
    register("birds", "penguin")
    store.register("generator", "birds", {"w": torch.ones(1)}, replace=True)
    assert explained(["penguin"], "zoo") == "penguin"
