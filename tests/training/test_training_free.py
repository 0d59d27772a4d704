"""Training a generator without text: one step, a short run, export, and sampling from it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

import telephonegan as tg
from telephonegan.data.layouts import open_photographs
from telephonegan.errors import DataError, SettingsError
from telephonegan.training import export, loop, resume, train
from telephonegan.training.free import PRESETS, FreeRecipe, FreeSettings

SETTINGS = dataclasses.replace(PRESETS["tiny"], batch_size=4, channels=4, moment_queue=8, head_width=4)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Pictures without captions, in a sub-folder."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "images").mkdir()
    for number in range(60):
        Image.effect_noise((20, 20), 80 + number).convert("RGB").save(folder / "images" / f"{number:02}.png")
    (folder / "labels.csv").write_text("image,age\n")
    return folder


@pytest.fixture
def make(photographs, tmp_path):
    folder = open_photographs(photographs)
    train = folder.rows(folder.splits["train"])

    def build(settings=SETTINGS):
        torch.manual_seed(0)
        return FreeRecipe(train, train[:4], settings, tmp_path / "cache")

    return build


def test_photographs_need_no_captions_and_are_split_by_name(photographs):
    folder = open_photographs(photographs)
    names = [name for split in folder.splits.values() for name in split]
    assert len(names) == len(set(names)) == 60 and len(folder.splits["train"]) > 40
    assert folder.rows(names).image(0).size == (20, 20)


def test_a_folder_without_pictures_is_refused(tmp_path):
    with pytest.raises(DataError, match="no picture in"):
        open_photographs(tmp_path)


def test_a_captioned_folder_keeps_its_splits(drawings):
    from telephonegan.data.layouts import open_data

    assert open_photographs(drawings).splits == open_data(drawings).splits


def test_a_step_trains_both_networks_and_the_average_follows(make):
    recipe = make()
    before = [p.clone() for p in (*recipe.generator.parameters(), *recipe.trained_heads)]
    for step in range(3):
        loop.seed_step(0, step)
        numbers = recipe.step(step)
    after = [*recipe.generator.parameters(), *recipe.trained_heads]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(moved) > 0.9 * len(moved)
    assert set(numbers) == {"discriminator", "adversarial", "moments"} and all(map(np.isfinite, numbers.values()))
    assert not any(p.requires_grad for p in recipe.average.parameters())


def test_the_discriminator_judges_without_sentences(make):
    recipe = make()
    assert all(head.sentence is None and head.conditional is None for head in recipe.discriminator.heads.values())


def test_without_moment_matching_none_is_kept(make):
    recipe = make(dataclasses.replace(SETTINGS, moment_weight=0.0))
    assert "moments" not in recipe.step(0) and "moments" not in recipe.state()


@pytest.mark.parametrize("bad", [{"size": 0}, {"noise_width": 0}, {"backbone_input": 48}, {"largest_input": 512}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(SettingsError):
        FreeSettings(**bad)


def test_a_run_is_trained_resumed_exported_and_sampled(photographs, tiny, tmp_path):
    how = {"data": photographs, "preset": "tiny", "settings": dataclasses.asdict(SETTINGS) | {"steps": 3}}
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert train("free", run=whole, cache=tmp_path / "cache", **how)
    train("free", run=halves, cache=tmp_path / "cache", **how | {"settings": how["settings"] | {"steps": 2}})
    assert resume(halves, steps=3)
    one, other = (torch.load(run / "checkpoint.pt", weights_only=True)["average"] for run in (whole, halves))
    assert all(torch.equal(one[name], other[name]) for name in one)
    entry = export(whole, name="noise-of-a-test", replace=True).entry
    assert (entry.kind, entry.architecture) == ("generator", "free")
    first, second = tg.sample("noise-of-a-test", seed=3, n=2)
    assert first.image.size == (16, 16) and (first.seed, second.seed) == (3, 4)
    again = tg.sample("noise-of-a-test", latents=first.latents)
    assert again.image.tobytes() == first.image.tobytes() != second.image.tobytes()
