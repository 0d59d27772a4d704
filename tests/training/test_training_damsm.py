import dataclasses

import pytest
import torch

from telephonegan.data.layouts import read_data
from telephonegan.data.photos import pack_photos, unit_range
from telephonegan.errors import SettingsError
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.damsm import damsm_loss
from telephonegan.text import pad
from telephonegan.training import loop
from telephonegan.training.damsm import (
    DamsmRecipe,
    DamsmSettings,
    FeatureBank,
    cosine_decay,
    flat_features,
    matching_features,
)


@pytest.fixture(scope="module")
def splits(drawings):
    return read_data(drawings, "train", "plain"), read_data(drawings, "dev", "plain")


@pytest.fixture
def recipe(splits, damsm_settings, cache):
    torch.manual_seed(0)
    return DamsmRecipe(*splits, damsm_settings, cache)


def test_losses_are_finite_and_every_trained_weight_moves(recipe):
    before = {name: p.clone() for part in (recipe.text, recipe.image) for name, p in part.named_parameters()}
    for step in range(2):
        loop.seed_step(0, step)
        losses = recipe.step(step)
    assert set(losses) == {"word_loss", "sentence_loss"}
    assert all(0 < value < 50 for value in losses.values())
    after = {name: p for part in (recipe.text, recipe.image) for name, p in part.named_parameters()}
    assert [name for name in before if torch.equal(before[name], after[name])] == []


def test_the_encoders_learn_to_match_drawings_to_their_captions(splits, damsm_settings, cache):
    torch.manual_seed(0)
    recipe = DamsmRecipe(
        *splits, dataclasses.replace(damsm_settings, learning_rate=0.01, batch_size=12, steps=10_000), cache
    )
    losses = []
    for step in range(100, 160):  # after the warm-up
        loop.seed_step(0, step)
        losses.append(sum(recipe.step(step).values()))
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_a_resumed_run_equals_an_uninterrupted_one(splits, damsm_settings, cache, tmp_path):
    def run(folder, steps):
        torch.manual_seed(0)
        recipe = DamsmRecipe(*splits, damsm_settings, cache)
        loop.run(recipe, tmp_path / folder, steps=steps)
        return {**recipe.text.state_dict(), **recipe.image.state_dict()}

    whole = run("whole", 4)
    run("parts", 2)
    resumed = run("parts", 4)
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())


def test_evaluating_measures_every_drawing_of_the_small_split(recipe, splits, tmp_path):
    found = recipe.evaluate(0, tmp_path)
    assert 0 <= found["r_precision"] <= 1
    regions, pooled = recipe.dev_bank[torch.zeros(12, dtype=torch.long), torch.arange(12)]
    ids, lengths = pad(recipe.dev_ids)
    with torch.no_grad():
        words, sentences = recipe.text(ids, lengths)
        expected = damsm_loss(*recipe.image(regions, pooled), words, sentences, lengths)
    assert found["word_loss"] == pytest.approx(expected[0].item(), rel=1e-4)
    assert found["sentence_loss"] == pytest.approx(expected[1].item(), rel=1e-4)


def test_training_after_evaluating_uses_dropout_again(recipe, tmp_path):
    recipe.text.eval()
    recipe.step(0)
    assert recipe.text.training


def test_the_vocabulary_is_that_of_the_training_captions(recipe):
    assert recipe.vocabulary.words[0] == "<pad>"
    assert {"red", "circle", "bar", "white"} < set(recipe.vocabulary.words)
    assert recipe.vocabulary.words[1] == "a"
    assert [recipe.vocabulary.words[i] for i in recipe.dev_ids[0]] == ["a", "red", "circle", "on", "white"]


def test_the_first_view_is_the_whole_picture_and_the_others_are_crops(splits, damsm_settings, cache):
    bank = FeatureBank(splits[1], damsm_settings, cache, views=2)
    rows = torch.arange(12)
    whole, pooled = bank[torch.zeros(12, dtype=torch.long), rows]
    assert whole.shape == (12, 432, 4, 4)
    assert pooled.shape == (12, 1280)
    backbone = Backbone("lite0").to(memory_format=torch.channels_last)
    images = unit_range(pack_photos(splits[1], damsm_settings.picture_size, cache))
    expected = flat_features(backbone, images, 64).half().float()
    torch.testing.assert_close(torch.cat([whole.flatten(1), pooled], 1), expected, rtol=0.05, atol=0.05)
    exact = matching_features(backbone, images, 64)[0]
    assert (exact - whole).pow(2).mean() < 0.02 * exact.pow(2).mean()
    assert not torch.allclose(bank[torch.ones(12, dtype=torch.long), rows][0], whole, atol=0.1)


def test_a_photograph_and_a_view_are_looked_up_together(splits, damsm_settings, cache):
    bank = FeatureBank(splits[1], damsm_settings, cache, views=2)
    regions, pooled = bank[torch.tensor([1, 0]), torch.tensor([3, 5])]
    for row, (view, photo) in enumerate(((1, 3), (0, 5))):
        alone = bank[torch.tensor([view]), torch.tensor([photo])]
        assert torch.equal(regions[row], alone[0][0])
        assert torch.equal(pooled[row], alone[1][0])


@pytest.mark.parametrize("change", [{"picture_size": 24}, {"input_size": 96}])
def test_other_sizes_never_meet_the_features_of_these(splits, damsm_settings, cache, change):
    ours = FeatureBank(splits[1], damsm_settings, cache, views=1)
    theirs = FeatureBank(splits[1], dataclasses.replace(damsm_settings, **change), cache, views=1)
    first = torch.zeros(1, dtype=torch.long)
    assert not torch.equal(ours[first, first][1], theirs[first, first][1])


def test_features_do_not_change_the_random_stream_of_the_training(splits, damsm_settings, tmp_path):
    drawn = []
    for _ in range(2):  # the first time the features are computed, the second time read
        torch.manual_seed(0)
        FeatureBank(splits[1], damsm_settings, tmp_path, views=2)
        drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[1]


def test_the_learning_rate_warms_up_and_falls_to_its_floor():
    assert cosine_decay(0, 1000) == pytest.approx(0.01)
    assert cosine_decay(99, 1000) == cosine_decay(100, 1000) == 1.0
    assert cosine_decay(550, 1000) == pytest.approx(0.51)
    assert cosine_decay(1000, 1000) == cosine_decay(5000, 1000) == pytest.approx(0.02)
    falling = [cosine_decay(step, 1000) for step in range(100, 1001, 50)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("steps", [1, 5, 50, 100, 400])
def test_a_short_run_reaches_the_full_learning_rate_and_falls_to_the_floor(steps):
    factors = [cosine_decay(step, steps) for step in range(steps + 1)]
    assert max(factors) == pytest.approx(1)
    assert factors[-1] == pytest.approx(0.02)


@pytest.mark.parametrize("size", [0, 16, 100])
def test_the_backbone_sees_multiples_of_32_pixels(size):
    with pytest.raises(SettingsError, match=f"32.*{size}"):
        DamsmSettings(input_size=size)


def test_few_development_photographs_are_enough_to_measure(splits, damsm_settings, cache, tmp_path):
    recipe = DamsmRecipe(splits[0], splits[1][:3], damsm_settings, cache)
    assert 0 <= recipe.evaluate(0, tmp_path)["r_precision"] <= 1
