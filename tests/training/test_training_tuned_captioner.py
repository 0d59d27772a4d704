import dataclasses

import pytest
import torch

from telephonegan.data.layouts import read_data
from telephonegan.errors import SettingsError
from telephonegan.networks.backbone import Backbone
from telephonegan.training import loop
from telephonegan.training.captioner import CaptionerRecipe, CaptionerSettings
from telephonegan.training.self_critical import SelfCriticalRecipe, SelfCriticalSettings


@pytest.fixture(scope="module")
def splits(drawings):
    return read_data(drawings, "train", "plain"), read_data(drawings, "dev", "plain")


@pytest.fixture(params=[True, False], ids=["attending", "plain"])
def make(request, splits, captioner_settings, cache):
    shared = {**dataclasses.asdict(captioner_settings), "attention": request.param, "tuned_stages": 2}

    def build(**changed):
        torch.manual_seed(0)
        return CaptionerRecipe(*splits, CaptionerSettings(**{**shared, **changed}), cache)

    return build


def test_the_tail_begins_as_the_backbone_and_learns(make):
    recipe = make()
    own = recipe.sight.backbone.tail(2).state_dict()
    for name, value in recipe.model.tail.state_dict().items():
        assert torch.equal(value, own[name])
    loop.seed_step(0, 0)
    recipe.step(0)
    moved = [name for name, value in recipe.model.tail.state_dict().items() if not torch.equal(value, own[name])]
    assert len(moved) == len(own)
    assert all(torch.equal(value, own[name]) for name, value in recipe.sight.backbone.tail(2).state_dict().items())


def test_the_backbone_has_its_own_rate(make):
    recipe = make(learning_rate=1e-3, backbone_rate=1e-9)
    before = recipe.model.state_dict()["tail.0.0.conv_pw.weight"].clone()
    loop.seed_step(0, 0)
    recipe.step(0)
    assert (recipe.model.state_dict()["tail.0.0.conv_pw.weight"] - before).abs().max() < 1e-6


def test_a_run_begins_with_a_captioner_of_another_vocabulary_word_by_word(make, splits, captioner_settings, cache):
    recipe = make()
    settings = dataclasses.replace(captioner_settings, attention=recipe.settings.attention)
    other = CaptionerRecipe(*splits, settings, cache)
    words = [*reversed(recipe.vocabulary.words[:-2]), "zebra"]  # another order, one word more, two fewer
    other.vocabulary = type(recipe.vocabulary)(words)
    theirs = other.new_model().state_dict()
    own = {name: value.clone() for name, value in recipe.model.state_dict().items()}
    recipe.warm_start({"average": theirs, "vocabulary": words})
    now = recipe.model.state_dict()
    for name in ("decoder.embed.weight", "decoder.linear.bias"):
        for row, word in enumerate(recipe.vocabulary.words):
            expected = theirs[name][words.index(word)] if word in words else own[name][row]
            assert torch.equal(now[name][row], expected)
    assert torch.equal(now["tail.0.0.conv_pw.weight"], own["tail.0.0.conv_pw.weight"])


def test_a_resumed_run_equals_an_uninterrupted_one(make, tmp_path):
    whole, parted = make(), make()
    loop.run(whole, tmp_path / "whole", steps=4)
    loop.run(parted, tmp_path / "parted", steps=2)
    again = make()
    loop.run(again, tmp_path / "parted", steps=4)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(again.average.state_dict()[name], value)


def test_self_critical_training_goes_on_with_a_tuned_captioner(make, splits, captioner_settings, cache):
    tuned = make()
    kept = {"input_size", "stored_size", "small_size", "minimum_count", "words_limit", "embedding_width"}
    kept |= {"hidden_width", "photos_per_batch", "attention", "tuned_stages"}
    values = {name: value for name, value in dataclasses.asdict(tuned.settings).items() if name in kept}
    recipe = SelfCriticalRecipe(*splits, SelfCriticalSettings(**values, steps=4), cache)
    recipe.warm_start({"average": tuned.average.state_dict()})
    before = recipe.model.state_dict()["tail.0.0.conv_pw.weight"].clone()
    loop.seed_step(0, 0)
    recipe.step(0)
    assert not torch.equal(recipe.model.state_dict()["tail.0.0.conv_pw.weight"], before)


def test_views_keep_range_and_number(make):
    recipe = make(disturbed=1.0, small=1.0)
    for seed in range(4):
        torch.manual_seed(seed)
        seen = recipe.sight.disturb(torch.rand(3, 3, 48, 48) * 2 - 1)
        assert seen.shape == (3, 3, 16, 16) and seen.abs().max() <= 1


def test_front_and_tail_are_the_whole_backbone():
    backbone, image = Backbone("lite0"), torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        for stages in (1, 2, 3):
            assert torch.allclose(backbone.tail(stages)(backbone.front(image, stages)), backbone.grid(image), atol=1e-5)


def test_four_stages_are_refused():
    with pytest.raises(SettingsError, match="1 to 3"):
        Backbone("lite0", pretrained=False).tail(4)
