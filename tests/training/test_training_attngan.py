import copy
import dataclasses
import functools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from telephonegan.data.layouts import read_data
from telephonegan.errors import SettingsError, TelephoneganError
from telephonegan.images import contact_sheet
from telephonegan.matcher import Matcher
from telephonegan.networks.backbone import STRIDES
from telephonegan.networks.damsm import ImageEncoder, TextEncoder
from telephonegan.text import PAD, Vocabulary
from telephonegan.training import loop
from telephonegan.training.attngan import (
    PRESETS,
    GanRecipe,
    GanSettings,
    SentenceBank,
)
from telephonegan.training.projected import THUMBNAIL

SETTINGS = GanSettings(
    base_size=8,
    branches=2,
    channels=4,
    residual_blocks=1,
    backbone_input=64,
    head_width=4,
    words_limit=8,
    batch_size=4,
    ema_half_life=8,
)


@pytest.fixture(scope="module")
def splits(drawings):
    return read_data(drawings, "train", "plain"), read_data(drawings, "test", "plain")


@pytest.fixture(scope="module")
def matching(splits):
    torch.manual_seed(0)
    captions = [caption for photo in splits[0].captions for caption in photo]
    vocabulary = Vocabulary.build(captions, specials=(PAD,))
    text = TextEncoder(len(vocabulary), word_width=8, width=16)
    return Matcher(text, ImageEncoder(width=16), vocabulary)


@pytest.fixture
def make(splits, matching, cache):
    def build(settings=SETTINGS, matching=matching):
        torch.manual_seed(0)
        return GanRecipe(*splits, matching, settings, cache)

    return build


@pytest.fixture
def recipe(make):
    return make()


def copies(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def unchanged(module, before):
    return [name for name, tensor in module.state_dict().items() if torch.equal(tensor, before[name])]


# ------------------------------------------------------------------------------------------- the step


def test_twins_are_one_caption_and_photograph_painted_with_two_noises(make):
    recipe = make(dataclasses.replace(SETTINGS, twins=0.5))
    seen = {}
    recipe.generator.register_forward_pre_hook(lambda _, inputs: seen.update(inputs=inputs))
    loop.seed_step(0, 0)
    recipe.step(0)
    noise, sentences, words, mask, eps = seen["inputs"]
    for part in (sentences, words, mask):
        assert torch.equal(part[2:], part[:2])
    assert not torch.equal(noise[2:], noise[:2]) and not torch.equal(eps[2:], eps[:2])


def test_twins_are_pushed_apart(make):
    def distance(weight):
        recipe = make(
            dataclasses.replace(SETTINGS, twins=0.5, twin_weight=weight, twin_distance=1.0, learning_rate=3e-3)
        )
        measured = []
        for step in range(20):
            loop.seed_step(0, step)
            measured.append(recipe.step(step)["distance"])
        return sum(measured[-10:])

    assert distance(100.0) > distance(0.0) + 0.5


def test_the_crowd_of_pictures_is_compared_with_photographs_where_it_has_a_weight(make):
    recipe = make(dataclasses.replace(SETTINGS, moment_weight=1.0, moment_queue=4))
    found = []
    for step in range(3):
        loop.seed_step(0, step)
        found.append(recipe.step(step)["moments"])
    assert found[0] == 0 and found[1] != 0 and found[2] != 0
    assert int(recipe.state()["moments"].seen) == 12


def test_a_run_that_compares_crowds_resumes_exactly(make, tmp_path):
    settings = dataclasses.replace(SETTINGS, moment_weight=1.0, moment_queue=4)
    whole, parted, again = make(settings), make(settings), make(settings)
    loop.run(whole, tmp_path / "whole", steps=4)
    loop.run(parted, tmp_path / "parted", steps=2)
    loop.run(again, tmp_path / "parted", steps=4)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(again.average.state_dict()[name], value)


def test_a_compiled_generator_learns_what_a_plain_one_learns(make, monkeypatch):
    # Traced but not turned into machine code, which takes minutes: padding and weights are what could differ.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    plain, compiled = make(), make(dataclasses.replace(SETTINGS, compile=True))
    assert compiled.text.take(torch.tensor([0]))[0].shape[2] == SETTINGS.words_limit
    for recipe in (plain, compiled):
        loop.seed_step(0, 0)
        recipe.step(0)
    for name, value in plain.generator.named_parameters():
        assert torch.allclose(dict(compiled.generator.named_parameters())[name], value, atol=5e-4)


def test_losses_are_finite_and_named(recipe):
    for step in range(2):
        loop.seed_step(0, step)
        losses = recipe.step(step)
        assert set(losses) == {
            "discriminator",
            "adversarial",
            "word_loss",
            "sentence_loss",
            "kl",
            "preview",
            "distance",
        }
        assert all(np.isfinite(value) for value in losses.values())


def test_generator_and_heads_learn_and_nothing_else_does(recipe):
    frozen = {"backbone": recipe.backbone, "image encoder": recipe.image_encoder}
    before = {name: copies(module) for name, module in frozen.items()}
    generator, discriminator = copies(recipe.generator), copies(recipe.discriminator)
    loop.seed_step(0, 0)
    recipe.step(0)
    assert unchanged(recipe.generator, generator) == []
    heads = {name for name, _ in recipe.discriminator.named_parameters()} & set(
        unchanged(recipe.discriminator, discriminator)
    )
    # While no logit has left the hinge's margin, the gradients of real and painted towards a last bias cancel.
    heads = {name for name in heads if not name.endswith("unconditional.bias")}
    assert heads == {f"heads.{stride}.mixing.weight" for stride in (THUMBNAIL, *STRIDES)}
    for name, module in frozen.items():
        assert len(unchanged(module, before[name])) == len(before[name]), name


def test_the_heads_get_no_gradient_in_the_generators_step(recipe):
    seen = {}
    step = recipe.discriminator_optimiser.step

    def noting(*given, **named):
        seen["heads"] = [p.grad.clone() for p in recipe.trained_heads]
        seen["generator"] = [p.grad for p in recipe.generator.parameters()]
        return step(*given, **named)

    recipe.discriminator_optimiser.step = noting
    recipe.step(0)
    assert all(gradient is None for gradient in seen["generator"])
    assert any(gradient.abs().max() > 0 for gradient in seen["heads"])
    for parameter, gradient in zip(recipe.trained_heads, seen["heads"], strict=True):
        assert torch.equal(parameter.grad, gradient)
        assert parameter.requires_grad


def test_the_adversarial_gradient_reaches_the_generator_through_the_frozen_backbone(make):
    recipe = make(dataclasses.replace(SETTINGS, damsm_weight=0.0, kl_weight=0.0, preview_weight=0.0))
    recipe.step(0)
    assert recipe.generator.img_net2.img[0].weight.grad.abs().max() > 0
    assert recipe.generator.h_net1.fc[0].weight.grad.abs().max() > 0


def test_the_matching_gradient_reaches_the_generator(make):
    gradients = []
    for weight in (0.0, 1.0):
        recipe = make(dataclasses.replace(SETTINGS, damsm_weight=weight))
        loop.seed_step(0, 0)
        recipe.step(0)
        gradients.append(recipe.generator.img_net2.img[0].weight.grad.clone())
    assert not torch.allclose(*gradients)


def test_the_discriminators_loss_is_the_hinge_over_matching_painted_and_mismatched_pairs(recipe):
    class Stub(nn.Module):
        """Constant logits; the features tell real from painted."""

        def __init__(self):
            super().__init__()
            self.shift, self.heard = nn.Parameter(torch.zeros(())), []

        def forward(self, pyramid, *sentences):
            self.heard.append(sentences)
            logits = (0.4, 0.3) if len(sentences) == 2 else (-0.2,)
            return [torch.full((4, 2), value) + self.shift for value in logits]

    recipe.discriminator = stub = Stub()
    recipe.settings = dataclasses.replace(SETTINGS, mismatched_weight=0.25)
    sentences = torch.randn(4, 16)
    others = sentences.roll(1, 0)
    loss = recipe.discriminator_step({4: torch.zeros(1)}, {4: torch.zeros(1)}, sentences, others)
    assert loss.item() == pytest.approx((1 - 0.4) + 0.75 * (1 - 0.2) + 0.25 * (1 + 0.3))
    (own, other), (painted,) = stub.heard
    assert torch.equal(own, sentences)
    assert torch.equal(painted, sentences)
    assert torch.equal(other, others)


def test_photographs_are_mismatched_with_the_sentence_of_a_neighbour(recipe, monkeypatch):
    given = []
    train = recipe.discriminator_step
    monkeypatch.setattr(recipe, "discriminator_step", lambda *seen: given.append(seen[2:]) or train(*seen))
    recipe.step(0)
    [(own, other)] = given
    assert torch.equal(other, own[[3, 0, 1, 2]])


def test_one_stage_can_be_trained_alone(make):
    losses = make(dataclasses.replace(SETTINGS, branches=1, base_size=16)).step(0)
    assert losses["preview"] == 0
    assert all(np.isfinite(value) for value in losses.values())


def test_a_matching_model_over_another_backbone_is_refused(make, matching):
    other = Matcher(matching.text, ImageEncoder(120 + 352, 1280, 16), matching.vocabulary)
    with pytest.raises(TelephoneganError, match=r"lite0|backbone"):
        make(matching=other)


def test_matching_looks_at_the_size_it_was_trained_at(make, matching):
    seen = []
    for size, matched in ((64, 64), (96, 64)):
        recipe = make(
            dataclasses.replace(SETTINGS, backbone_input=size),
            Matcher(matching.text, matching.image, matching.vocabulary, input_size=matched),
        )
        recipe.backbone.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
        assert all(np.isfinite(value) for value in recipe.step(0).values())
    # Painted pictures and photographs; one more pass where the sizes differ.
    assert seen == [64, 64, 96, 96, 64]


def test_the_heads_take_sizes_that_are_no_power_of_two(make):
    recipe = make(dataclasses.replace(SETTINGS, backbone_input=192))
    pictures = torch.zeros(2, 3, 16, 16)
    (logits,) = recipe.discriminator(recipe.pyramid(pictures, 192), torch.randn(2, 16))
    assert logits.shape == (2, 4 * 36 + 16)


def test_the_device_is_asked_once_for_the_numbers(make, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: asked.append(len(tensor)) or [0.5] * len(tensor))
    recipe = make(dataclasses.replace(SETTINGS, moment_weight=1.0, moment_queue=4))
    monkeypatch.setattr(recipe.moments, "_count", 0)
    losses = recipe.step(0)
    assert asked == [len(losses)]


def test_the_backbone_sees_multiples_of_32_pixels():
    with pytest.raises(SettingsError, match="100"):
        GanSettings(backbone_input=100)


def test_steps_take_the_input_sizes_in_turn_and_each_size_has_moments_of_its_own(make):
    seen = []
    recipe = make(dataclasses.replace(SETTINGS, largest_input=96, moment_weight=1.0, moment_queue=4))
    recipe.backbone.stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    for step in range(3):
        assert all(np.isfinite(value) for value in recipe.step(step).values())
    assert seen == [64, 64, 96, 96, 64, 64]
    assert {size: int(moments.seen) for size, moments in recipe.moments.items()} == {"64": 8, "96": 4}


def test_matching_is_asked_at_its_own_size_only_and_counts_for_all_steps(make):
    settings = dataclasses.replace(SETTINGS, largest_input=96, damsm_weight=0.05)
    recipe = make(settings)
    recipe.matching_input = 64
    assert ["word_loss" in recipe.step(step) for step in range(4)] == [True, False, True, False]
    assert (recipe.matching_weight(64), recipe.matching_weight(96)) == (0.1, 0.0)
    recipe.matching_input = 32  # never the size of a step: a look of its own in each
    assert (recipe.matching_weight(64), recipe.matching_weight(96)) == (0.05, 0.05)
    assert "word_loss" in recipe.step(1)


@pytest.mark.parametrize("largest", [32, 80, 128])
def test_a_largest_input_that_the_heads_would_halve_more_often_is_refused(largest):
    with pytest.raises(SettingsError, match=r"largest_input must be 0, 64, 96 .*" + str(largest)):
        dataclasses.replace(SETTINGS, largest_input=largest)


def test_a_run_may_start_from_a_model_while_the_new_discriminator_learns_alone(make):
    origin = copies(make().generator)
    recipe = make(dataclasses.replace(SETTINGS, discriminator_alone=2))
    recipe.warm_start({"generator": origin, "average": origin})
    heads = copies(recipe.discriminator)
    for step in range(2):
        assert list(recipe.step(step)) == ["discriminator"]
    parameters = {name for name, _ in recipe.generator.named_parameters()}
    assert parameters <= set(unchanged(recipe.generator, origin))
    assert unchanged(recipe.average, origin) == list(origin)
    assert set(unchanged(recipe.discriminator, heads)) < set(heads)
    recipe.step(2)
    assert not parameters <= set(unchanged(recipe.generator, origin))


def test_a_model_without_discriminator_would_be_spoilt_by_an_untrained_one(make):
    origin = copies(make().generator)
    with pytest.raises(SettingsError, match="discriminator_alone=200"):
        make().warm_start({"generator": origin, "average": origin})


# ------------------------------------------------------------------------------------------- the average


def test_the_average_moves_with_every_step(recipe):
    before = copies(recipe.average)
    for step in range(2):
        recipe.step(step)
    assert unchanged(recipe.average, before) == []
    assert not any(p.requires_grad for p in recipe.average.parameters())
    assert not recipe.average.training


def test_the_average_has_moved_half_way_after_its_half_life(recipe):
    for module, value in ((recipe.average, 0.0), (recipe.generator, 1.0)):
        for tensor in module.state_dict().values():
            tensor.fill_(value)
    for step in (1000, 1001):  # 8 pictures in batches of 4, long after the start
        recipe.update_average(step)
    for name, tensor in recipe.average.state_dict().items():
        expected = 1.0 if name.endswith("num_batches_tracked") else 0.5
        assert tensor.float().mean().item() == pytest.approx(expected, abs=1e-5), name


def test_the_first_step_forgets_the_untrained_network(recipe):
    recipe.step(0)
    for mean, now in zip(recipe.average.parameters(), recipe.generator.parameters(), strict=True):
        torch.testing.assert_close(mean, now, rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------- going on, looking


def test_a_resumed_run_equals_an_uninterrupted_one(make, tmp_path):
    whole = make()
    loop.run(whole, tmp_path / "whole", steps=3)
    loop.run(make(), tmp_path / "parts", steps=1)
    resumed = make()
    loop.run(resumed, tmp_path / "parts", steps=3)
    for part in ("generator", "average", "discriminator"):
        theirs = copies(resumed.state()[part])
        assert len(unchanged(whole.state()[part], theirs)) == len(theirs), part


def test_evaluating_paints_one_picture_per_shown_caption_and_changes_nothing(recipe, tmp_path):
    before = copy.deepcopy({name: part.state_dict() for name, part in recipe.state().items() if name != "average"})
    first = recipe.evaluate(3, tmp_path)
    assert first == recipe.evaluate(3, tmp_path)
    assert first["contrast"] > 0
    assert Image.open(tmp_path / "grid-000003.png").size == (8 * 16, 2 * 16)
    after = {name: part.state_dict() for name, part in recipe.state().items() if name != "average"}
    assert str(before) == str(after)
    assert recipe.generator.training


def test_a_contact_sheet_is_read_row_by_row():
    levels = torch.linspace(-1, 1, 5)
    sheet = np.asarray(contact_sheet(levels[:, None, None, None].expand(5, 3, 4, 4), columns=3))
    assert sheet.shape == (8, 12, 3)
    corners = sheet[::4, ::4, 0].tolist()
    assert corners == [[0, 64, 128], [191, 255, 255]]
    assert (sheet[:4, 4:8] == 64).all()


def test_the_presets_paint_32_64_and_128_pixels():
    assert {name: settings.size for name, settings in PRESETS.items()} == {
        "cpu": 64,
        "tiny": 32,
        "gpu": 128,
        "world": 128,
    }


# ------------------------------------------------------------------------------------------- the sentences


@pytest.fixture
def bank(splits, matching):
    return SentenceBank(splits[0].captions, matching, 8)


def encoded(matching, caption):
    ids = torch.tensor([[matching.vocabulary.ids[word] for word in caption]])
    words, sentence = matching.text(ids, torch.tensor([ids.shape[1]]))
    return words[0], sentence[0]


def test_a_stored_sentence_is_what_the_encoder_says_of_it_alone(bank, splits, matching):
    rows = torch.tensor([0, 7, 24])
    words, sentences, lengths = bank.take(rows)
    for i, row in enumerate(rows.tolist()):
        caption = splits[0].captions[row // 5][row % 5]
        own_words, own_sentence = encoded(matching, caption)
        assert lengths[i] == len(caption)
        torch.testing.assert_close(words[i, :, : len(caption)], own_words, rtol=1e-2, atol=1e-3)
        assert words[i, :, len(caption) :].abs().sum() == 0
        torch.testing.assert_close(sentences[i], own_sentence, rtol=1e-4, atol=1e-5)
    assert words.shape[2] == lengths.max()


def test_drawn_sentences_belong_to_their_photograph_and_all_are_drawn(bank):
    torch.manual_seed(0)
    photos = torch.arange(12).repeat(30)
    _, sentences, _ = bank.draw(photos)
    for photo in range(12):
        own = bank.sentences[5 * photo : 5 * photo + 5]
        nearest = torch.cdist(sentences[photos == photo], own)
        assert nearest.min(1).values.max() < 1e-3
        assert set(nearest.argmin(1).tolist()) == set(range(5))


def test_photographs_may_have_different_numbers_of_captions(matching):
    bank = SentenceBank([[["red"]], [["a", "bar"], ["blue"], ["the", "circle"]]], matching, 8)
    assert bank.first.tolist() == [0, 1, 4]
    _, sentences, _ = bank.draw(torch.zeros(10, dtype=torch.long))
    torch.testing.assert_close(sentences, bank.sentences[:1].expand(10, -1))


def test_long_captions_are_cut_and_unknown_words_left_out(matching):
    bank = SentenceBank([[["a", "zebra", "red", "circle", "on", "white"]]], matching, 3)
    torch.testing.assert_close(bank.sentences[0], encoded(matching, ["a", "red", "circle"])[1], rtol=1e-4, atol=1e-5)
    assert bank.lengths.tolist() == [3]


def test_a_caption_without_a_known_word_is_padding_alone(matching):
    bank = SentenceBank([[["zebra"], ["red"]]], matching, 3)
    assert bank.lengths.tolist() == [1, 1]
    torch.testing.assert_close(bank.sentences[0], encoded(matching, [PAD])[1], rtol=1e-4, atol=1e-5)
