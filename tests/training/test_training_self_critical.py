import copy
import dataclasses

import pytest
import torch

from telephonegan.data.layouts import read_data
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.captioner import AttentionDecoder, CaptionModel, LSTMDecoder
from telephonegan.networks.decoding import Markers, beam, greedy
from telephonegan.training import loop
from telephonegan.training.captioner import CaptionerRecipe
from telephonegan.training.self_critical import (
    SelfCriticalRecipe,
    SelfCriticalSettings,
    log_policy,
    sample_captions,
)

MARKERS = Markers(start=1, end=2, never=(0, 1, 3))


@pytest.fixture(scope="module")
def splits(drawings):
    return read_data(drawings, "train", "plain"), read_data(drawings, "dev", "plain")


SETTINGS = SelfCriticalSettings(
    input_size=64,
    stored_size=48,
    small_size=16,
    minimum_count=2,
    words_limit=8,
    embedding_width=8,
    hidden_width=8,
    dropout=0.0,
    weight_decay=0.0,
    photos_per_batch=6,
    samples=3,
    steps=4,
)


@pytest.fixture(scope="module", params=[True, False], ids=["attending", "plain"])
def attention(request):
    return request.param


@pytest.fixture(scope="module")
def untouched(splits, attention, cache):
    torch.manual_seed(0)
    return SelfCriticalRecipe(*splits, dataclasses.replace(SETTINGS, attention=attention), cache)


@pytest.fixture
def make(untouched):
    """Recipes that begin alike, with some settings changed that the network does not depend on."""

    def copied(**changes):
        recipe = copy.deepcopy(untouched)
        recipe.settings = dataclasses.replace(recipe.settings, **changes)
        recipe.model.eval()
        return recipe

    return copied


@pytest.fixture
def recipe(make):
    return make()


def decoder(attention, *, seed=0):
    torch.manual_seed(seed)
    if attention:
        net = AttentionDecoder(12, feature_width=5, embedding_width=8, hidden_width=8, value_width=8, attention_width=4)
    else:
        net = LSTMDecoder(12, embedding_width=8, hidden_width=8)
    for parameter in net.parameters():
        parameter.data.mul_(3)
    return net.eval()


def features(attention, pictures):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(pictures, *((6, 5) if attention else (8,)), generator=generator)


# ----------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "change",
    [
        {"baseline": "critic"},
        {"samples": 1},
        {"samples": 0, "baseline": "greedy"},
        {"temperature": 0.0},
        {"average_decay": 1.0},
        {"input_size": 100},
        {"words_limit": 0},
        {"photos_per_batch": 0},
    ],
)
def test_settings_that_cannot_work_are_refused(change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        SelfCriticalSettings(**change)


def test_one_sample_suffices_where_the_greedy_caption_is_the_baseline():
    assert SelfCriticalSettings(samples=1, baseline="greedy").samples == 1


# ----------------------------------------------------------------------------------------- sampling


def test_a_caption_does_not_depend_on_the_others_of_its_batch(attention):
    net, pictures = decoder(attention), features(attention, 4)
    draws = torch.rand(12, 6, generator=torch.Generator().manual_seed(3))
    together = sample_captions(net, pictures, MARKERS, draws)
    alone = [sample_captions(net, pictures[k // 3 : k // 3 + 1], MARKERS, draws[k : k + 1])[0] for k in range(12)]
    assert together == alone
    assert len(set(map(len, together))) > 1  # some ended early


def test_captions_are_framed_and_the_limit_cuts_them_without_an_end(attention):
    net, pictures = decoder(attention), features(attention, 20)
    captions = sample_captions(net, pictures, MARKERS, torch.rand(100, 5))
    assert all(caption[0] == MARKERS.start for caption in captions)
    assert not {i for caption in captions for i in caption[1:]} & set(MARKERS.never)
    assert all(MARKERS.end not in caption[:-1] for caption in captions)
    assert {len(caption) for caption in captions if caption[-1] != MARKERS.end} == {6}
    assert any(caption[-1] == MARKERS.end for caption in captions)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_first_words_come_as_often_as_the_policy_says(temperature):
    net, pictures = decoder(True), features(True, 1)
    draws = (torch.arange(1000) + 0.5)[:, None] / 1000
    words = torch.tensor([c[1] for c in sample_captions(net, pictures, MARKERS, draws, temperature=temperature)])
    with torch.no_grad():
        logits, _, _ = net.step(torch.tensor([MARKERS.start]), net.start(pictures))
    expected = log_policy(logits, MARKERS, temperature).exp()[0]
    torch.testing.assert_close(words.bincount(minlength=12) / 1000, expected, rtol=0, atol=1.5e-3)


def test_a_cold_policy_says_the_greedy_caption(attention):
    net, pictures = decoder(attention), features(attention, 3)
    (first, second, third) = sample_captions(net, pictures, MARKERS, torch.rand(3, 6), temperature=1e-3)
    said = greedy(net, pictures, MARKERS, limit=6)
    for caption, sentence in zip((first, second, third), said, strict=True):
        assert [i for i in caption[1:] if i != MARKERS.end] == sentence.ids


# ------------------------------------------------------------------------------------------ rewards


def ids(recipe, sentence):
    return [recipe.vocabulary.ids[word] for word in ("<start>", *sentence.split(), "<end>")]


def test_a_photographs_own_caption_earns_more_than_any_other(recipe, splits):
    photo = splits[0].names.index("train-red-circle.png")
    said = ["one red circle", "one green circle", "one circle", "red", "one red circle circle circle", "a bar"]
    earned = recipe.rewards([ids(recipe, sentence) for sentence in said], [photo])
    assert earned.shape == (1, 6)
    assert (earned[0, 0] > earned[0, 1:]).all()


def test_breaking_off_costs(recipe, splits):
    photo = splits[0].names.index("train-red-circle.png")
    whole = ids(recipe, "the circle is red")
    ended, cut = recipe.rewards([whole, whole[:-1]], [photo])[0]
    assert ended > cut


def test_rewards_lie_beside_their_photographs(recipe, splits):
    photos = [splits[0].names.index(f"train-{colour}-square.png") for colour in ("red", "blue")]
    red, blue = ids(recipe, "one red square"), ids(recipe, "one blue square")
    earned = recipe.rewards([red, blue, red, blue], photos)
    assert earned[0, 0] > earned[0, 1]
    assert earned[1, 1] > earned[1, 0]


def test_the_baseline_of_a_sample_is_the_mean_of_the_others(recipe):
    earned = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])
    expected = torch.tensor([[4.0, 3.5, 1.5], [1.5, 1.5, 0.0]])
    torch.testing.assert_close(recipe.baselines(earned, torch.empty(0), [0, 1]), expected)


def test_the_greedy_baseline_is_what_the_greedy_caption_earns(make):
    recipe = make(baseline="greedy")
    recipe.rewards = lambda captions, photos: captions
    features = recipe.model.features(recipe.sight.bank[torch.zeros(2, dtype=torch.long), torch.arange(2)])
    said = greedy(recipe.model.decoder, features, recipe.markers, limit=8)
    captions = recipe.baselines(torch.zeros(2, 3), features, [0, 1])
    start, end = recipe.markers.start, recipe.markers.end
    assert captions == [[start, *s.ids, *([end] if len(s.ids) < 8 else [])] for s in said]


# --------------------------------------------------------------------------------------- the policy


def drawn(recipe, photos=(0, 1), each=2):
    """Cells of some photographs, and captions of different lengths for them."""
    cells = recipe.sight.bank[torch.zeros(len(photos), dtype=torch.long), torch.tensor(photos)]
    words = torch.arange(4, 12).tolist()
    return cells, [[1, *words[: 1 + k], 2] for k in range(len(photos) * each)]


def log_probabilities(recipe, cells, captions):
    """Of each whole caption, from the loss that rewards it alone."""
    words = sum(len(caption) - 1 for caption in captions)
    with torch.no_grad():
        return [-words * recipe.policy_loss(cells, captions, only).item() for only in torch.eye(len(captions))]


def test_log_probabilities_are_those_of_beam_decoding(recipe):
    cells, _ = drawn(recipe)
    best = [rows[0] for rows in beam(recipe.model.decoder, recipe.model.features(cells), recipe.markers, limit=5)]
    captions = [[1, *sentence.ids, *([2] if len(sentence.ids) < 5 else [])] for sentence in best]
    expected = [sentence.log_probability for sentence in best]
    assert log_probabilities(recipe, cells, captions) == pytest.approx(expected, rel=0.02)


def test_the_loss_is_the_mean_over_words_of_teacher_forced_log_probabilities(recipe):
    cells, captions = drawn(recipe)
    advantages = torch.tensor([1.0, -2.0, 0.5, 3.0])
    expected = words = 0.0
    for k, caption in enumerate(captions):
        with torch.no_grad():
            logits, _ = recipe.model(cells[k // 2, None], torch.tensor([caption[:-1]]))
        said = log_policy(logits[0], recipe.markers).gather(1, torch.tensor(caption[1:])[:, None])
        expected -= advantages[k].item() * said.sum().item()
        words += len(caption) - 1
    assert recipe.policy_loss(cells, captions, advantages).item() == pytest.approx(expected / words, rel=0.02)


def test_a_rewarded_caption_grows_likelier_and_a_punished_one_rarer(make):
    recipe = make(learning_rate=1e-3, steps=1000)
    cells, _ = drawn(recipe, photos=(0,))
    captions = [[1, 4, 5, 2], [1, 6, 7, 2], [1, 8, 9, 10, 2]]
    before = log_probabilities(recipe, cells, captions)
    recipe.update(recipe.policy_loss(cells, captions, torch.tensor([1.0, -1.0, 0.0])), step=100)
    after = log_probabilities(recipe, cells, captions)
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_captions_no_better_than_their_baseline_change_nothing(recipe):
    recipe.rewards = lambda captions, photos: torch.ones(len(photos), len(captions) // len(photos))
    before = {name: p.clone() for name, p in recipe.model.named_parameters()}
    recipe.step(0)
    assert [name for name, p in recipe.model.named_parameters() if not torch.equal(p, before[name])] == []


def test_peoples_captions_may_be_mixed_in(make):
    recipe = make(likelihood_weight=0.5)
    recipe.rewards = lambda captions, photos: torch.ones(len(photos), len(captions) // len(photos))
    mixed = []
    recipe.cross_entropy = lambda *given: mixed.append(CaptionerRecipe.cross_entropy(recipe, *given)) or mixed[-1]
    loop.seed_step(0, 0)
    assert recipe.step(0)["loss"] == pytest.approx(0.5 * mixed[0].item())


def test_training_raises_the_reward(make):
    """A word that is all that earns is soon said all the time."""
    recipe = make(learning_rate=0.02, steps=10_000)
    wanted = recipe.vocabulary.ids["circle"]

    def share(captions, photos):
        return torch.tensor([c.count(wanted) / len(c) for c in captions]).view(len(photos), -1)

    recipe.rewards = share
    earned = []
    for step in range(100, 130):
        loop.seed_step(0, step)
        earned.append(recipe.step(step)["reward"])
    assert sum(earned[-5:]) > 3 * sum(earned[:5])


# ------------------------------------------------------------------------------------------ the run


def test_a_run_starts_from_the_averaged_weights_of_a_captioner(splits, recipe, captioner_settings, cache, tmp_path):
    torch.manual_seed(1)
    settings = dataclasses.replace(captioner_settings, attention=recipe.settings.attention)
    captioner = CaptionerRecipe(*splits, settings, cache)
    loop.run(captioner, tmp_path, steps=4)
    recipe.warm_start(loop.read_checkpoint(tmp_path / "checkpoint.pt"))
    for name, value in captioner.average.state_dict().items():
        assert torch.equal(recipe.model.state_dict()[name], value)
        assert torch.equal(recipe.average.state_dict()[name], value)


def test_another_networks_checkpoint_is_refused(recipe):
    wider = CaptionModel(len(recipe.vocabulary), attention=recipe.settings.attention, hidden_width=16)
    with pytest.raises(WeightsError, match="do not fit"):
        recipe.warm_start({"average": wider.state_dict()})
    with pytest.raises(WeightsError, match="generator"):
        recipe.warm_start({"generator": {}})


@pytest.mark.parametrize("baseline", ["samples", "greedy"])
def test_a_resumed_run_equals_an_uninterrupted_one(make, tmp_path, baseline):
    whole = make(baseline=baseline)
    loop.run(whole, tmp_path / "whole", steps=4)
    loop.run(make(baseline=baseline), tmp_path / "parts", steps=2)
    resumed = make(baseline=baseline)
    loop.run(resumed, tmp_path / "parts", steps=4)
    for part in ("model", "average"):
        ours, theirs = whole.state()[part].state_dict(), resumed.state()[part].state_dict()
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
        assert not all(torch.equal(value, theirs[name]) for name, value in make().state()[part].state_dict().items())


def test_scores_are_measured_and_captions_written_as_the_captioners_are(recipe, splits, tmp_path):
    assert {"BLEU-4", "CIDEr-D"} <= set(recipe.evaluate(3, tmp_path))
    assert len((tmp_path / "captions-000003.txt").read_text(encoding="utf-8").splitlines()) == len(splits[1])


def test_a_step_moves_the_model_and_the_average_a_little(recipe):
    before = {name: value.clone() for name, value in recipe.average.state_dict().items()}
    numbers = recipe.step(0)
    assert set(numbers) == {"loss", "reward", "advantage", "length"}
    moved = [
        ((mean - before[name]).norm(), (recipe.model.state_dict()[name] - before[name]).norm())
        for name, mean in recipe.average.state_dict().items()
        if "num_batches" not in name and "running" not in name
    ]
    assert 0 < sum(near for near, _ in moved) < 0.1 * sum(far for _, far in moved)


def test_batch_norm_keeps_the_statistics_the_captions_were_drawn_with(make):
    recipe = make(likelihood_weight=0.5)
    before = {name: value.clone() for name, value in recipe.model.named_buffers()}
    recipe.step(0)
    assert recipe.model.training
    assert all(torch.equal(value, before[name]) for name, value in recipe.model.named_buffers())


def test_a_policy_that_earns_nothing_is_reported(recipe):
    assert "--from" in recipe.collapse({"reward": 0.0})
    assert recipe.collapse({"reward": 0.3}) is None
