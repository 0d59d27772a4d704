import dataclasses
import math

import pytest
import torch
from easydict import EasyDict
from PIL import Image
from torch import nn

from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos, unit_range
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.images import contact_sheet
from telephonegan.matcher import Matcher
from telephonegan.networks import inception
from telephonegan.networks.attngan import Discriminator, Generator
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.damsm import ImageEncoder, TextEncoder, damsm_loss, matching_features
from telephonegan.networks.inception import InceptionEncoder
from telephonegan.text import PAD, Vocabulary, padding_mask
from telephonegan.training import loop, published_damsm
from telephonegan.training.averaging import follow
from telephonegan.training.objective import adversarial_loss, discriminator_loss, kl_divergence
from telephonegan.training.published_attngan import (
    PRESETS,
    PublishedGanRecipe,
    PublishedGanSettings,
    looker,
    settings_from_config,
)
from telephonegan.zoo.attngan_config import read_config

SETTINGS = PublishedGanSettings(
    branches=1,
    generator_channels=2,
    discriminator_channels=2,
    residual_blocks=1,
    noise_width=4,
    condition_width=4,
    words_limit=4,
    batch_size=4,
    epochs=2,
    bfloat16=False,
    workers=2,
)


@pytest.fixture(scope="module", autouse=True)
def small_inception():
    """Inception sees 75 pixels, the fewest it can, in place of 299: the same layers in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "INPUT_SIZE", 75)
        yield


@pytest.fixture(scope="module")
def splits(drawings):
    return read_data(drawings, "train", "plain"), read_data(drawings, "test", "plain")


@pytest.fixture(scope="module")
def lite(splits):
    """Encoders over EfficientNet-Lite0, which are quick."""
    torch.manual_seed(0)
    captions = [caption for photo in splits[0].captions for caption in photo]
    vocabulary = Vocabulary.build(captions, specials=(PAD,))
    text = TextEncoder(len(vocabulary), word_width=8, width=16)
    return Matcher(text, ImageEncoder(width=16), vocabulary, input_size=64)


@pytest.fixture
def make(splits, lite, cache):
    def build(train=splits[0], matching=lite, **changes):
        torch.manual_seed(0)
        settings = dataclasses.replace(SETTINGS, **changes)
        return PublishedGanRecipe(train, splits[1], matching, settings, cache)

    return build


def run(recipe, steps):
    losses = []
    for step in steps:
        loop.seed_step(0, step)
        losses.append(recipe.step(step))
    return losses


def copies(net):
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def changed(net, before):
    return {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}


def parameters(net):
    return {name for name, _ in net.named_parameters()}


# ------------------------------------------------------------------------------------------- the step


def test_every_network_learns_finitely_and_the_encoders_do_not(make, lite):
    recipe = make()
    nets = {"generator": recipe.generator, "discriminator": recipe.discriminators[64]}
    before = {name: copies(net) for name, net in nets.items()}
    frozen = {net: copies(net) for net in (lite.text, lite.image)}
    losses = run(recipe, range(3))
    names = {"discriminator64", "adversarial64", "word_loss", "sentence_loss", "kl"}
    assert all(set(each) == names for each in losses)
    assert all(math.isfinite(value) for each in losses for value in each.values())
    assert losses[0] != losses[1] != losses[2]
    for name, net in nets.items():
        assert changed(net, before[name]) == set(before[name]), name
    assert all(changed(net, held) == set() for net, held in frozen.items())


def test_the_losses_are_those_of_the_published_objective(make):
    recipe, twin = make(), make()
    settings = recipe.settings
    loop.seed_step(0, 0)
    batch = twin.batches.take(0, 0)
    noise, eps = torch.randn(4, 4), torch.randn(4, 4)
    words, sentences = twin.text(batch.ids, batch.lengths)
    mask = padding_mask(batch.lengths, words.shape[2])
    images, _, mu, logvar = twin.generator(noise, sentences, words, mask, eps)
    judge = twin.discriminators[64]
    judged = discriminator_loss(judge, unit_range(batch.pixels[0]), images[0], sentences)
    optimiser = torch.optim.Adam(judge.parameters(), 2e-4, (0.5, 0.999))
    judged.backward()
    optimiser.step()
    adversarial = adversarial_loss(judge, images[0], sentences)
    word_loss, sentence_loss = damsm_loss(*twin.look(images[0]), words, sentences, batch.lengths)
    kl = kl_divergence(mu, logvar)
    twin.generator.zero_grad()
    (adversarial + settings.matching_weight * (word_loss + sentence_loss) + kl).backward()
    torch.optim.Adam(twin.generator.parameters(), 2e-4, (0.5, 0.999)).step()

    (found,) = run(recipe, [0])
    expected = {
        "discriminator64": judged,
        "adversarial64": adversarial,
        "word_loss": word_loss,
        "sentence_loss": sentence_loss,
        "kl": kl,
    }
    assert found == {name: pytest.approx(value.item(), rel=1e-4) for name, value in expected.items()}
    for net, other in ((recipe.generator, twin.generator), (recipe.discriminators[64], judge)):
        for one, two in zip(net.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-5)


def test_the_discriminators_step_does_not_touch_the_generator(make):
    recipe = make()
    before, judge = copies(recipe.generator), copies(recipe.discriminators[64])
    pictures = torch.rand(4, 3, 64, 64) * 2 - 1
    recipe._discriminator_step(64, pictures, -pictures, torch.rand(4, 16))
    assert changed(recipe.generator, before) == set()
    assert all(p.grad is None for p in recipe.generator.parameters())
    assert parameters(recipe.discriminators[64]) <= changed(recipe.discriminators[64], judge)


def test_the_generators_step_does_not_touch_the_discriminators(make):
    recipe = make()
    seen = {}
    step, descend = recipe.discriminator_optimisers[64].step, recipe.generator_optimiser.step

    def after_its_own():
        step()
        seen["weights"] = [p.clone() for p in recipe.discriminators[64].parameters()]
        seen["gradients"] = [p.grad.clone() for p in recipe.discriminators[64].parameters()]

    recipe.discriminator_optimisers[64].step = after_its_own
    recipe.generator_optimiser.step = lambda: seen.update(generator=True) or descend()
    run(recipe, [0])
    assert seen["generator"]
    for p, weight, gradient in zip(recipe.discriminators[64].parameters(), *list(seen.values())[:2], strict=True):
        assert torch.equal(p, weight)
        assert torch.equal(p.grad, gradient)
        assert p.requires_grad


@pytest.mark.parametrize("part", ["adversarial64", "matching", "kl"])
def test_each_part_of_the_loss_moves_the_generator(make, part, monkeypatch):
    if part != "adversarial64":
        nothing = lambda net, fake, sentences: 0 * fake.sum()  # noqa: E731
        monkeypatch.setattr("telephonegan.training.published_attngan.adversarial_loss", nothing)
    recipe = make(matching_weight=float(part == "matching"), kl_weight=float(part == "kl"))
    run(recipe, [0])
    last, first = recipe.generator.img_net1.img[0].weight, recipe.generator.ca_net.fc.weight
    assert (last.grad.abs().max() > 0) == (part != "kl")
    assert first.grad.abs().max() > 0


def test_each_size_has_its_own_discriminator(make):
    recipe = make(branches=2)
    before = {size: copies(net) for size, net in recipe.discriminators.items()}
    (losses,) = run(recipe, [0])
    assert {"discriminator64", "discriminator128", "adversarial64", "adversarial128"} <= set(losses)
    assert set(before) == {64, 128}
    for size, net in recipe.discriminators.items():
        assert parameters(net) <= changed(net, before[size])


def test_the_average_follows_the_parameters_and_takes_over_the_statistics(make):
    recipe = make(average_keep=0.75)
    before = copies(recipe.average)
    run(recipe, [0])
    now = recipe.generator.state_dict()
    for name, mean in recipe.average.state_dict().items():
        if name in parameters(recipe.average):
            torch.testing.assert_close(mean, 0.75 * before[name] + 0.25 * now[name])
        else:
            assert torch.equal(mean, now[name]), name
    assert not recipe.average.training


def test_an_average_with_statistics_averages_them():
    net, mean = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    net.running_mean.fill_(1.0)
    follow(mean, net, 0.75)
    assert mean.running_mean.tolist() == [0.25, 0.25]
    follow(mean, net, 0.75, statistics=False)
    assert mean.running_mean.tolist() == [1.0, 1.0]


def test_photographs_of_one_class_are_not_told_apart(make, splits):
    train = splits[0]
    alike = CaptionedPhotos(train.folder, train.names, train.captions, classes=[7] * 12)
    (losses,) = run(make(train=alike), [0])
    assert losses["word_loss"] == losses["sentence_loss"] == 0.0


def test_the_gradient_may_be_clipped(make):
    free, clipped = make(), make(gradient_clip=1e-3)
    for recipe in (free, clipped):
        run(recipe, [0])

    def norm(recipe):
        return torch.stack([p.grad.norm() for p in recipe.generator.parameters()]).norm().item()

    assert norm(clipped) == pytest.approx(1e-3, rel=0.01)
    assert norm(free) > 1e-2


def test_under_bfloat16_a_sure_discriminator_still_has_a_gradient(make):
    recipe = make(bfloat16=True)
    assert all(math.isfinite(value) for value in run(recipe, [0])[0].values())
    head = recipe.discriminators[64].UNCOND_DNET
    with torch.no_grad():
        head.outlogits[0].weight.zero_(), head.outlogits[0].bias.fill_(9.0)
    with torch.autocast("cpu", torch.bfloat16):
        probability = head(torch.ones(1, 16, 4, 4))
    assert probability.dtype == torch.float32
    assert probability.item() == pytest.approx(torch.sigmoid(torch.tensor(9.0)).item(), abs=1e-6)
    assert probability.item() < 1


def test_words_beyond_the_limit_are_not_painted(make):
    recipe = make(words_limit=2)
    seen = {}
    recipe.generator.register_forward_pre_hook(lambda _, inputs: seen.update(mask=inputs[3]))
    run(recipe, [0])
    assert seen["mask"].shape == (4, 2)


# ------------------------------------------------------------------------------------------- the run


def test_a_resumed_run_equals_an_uninterrupted_one(make, tmp_path):
    def trained(folder, steps):
        recipe = make()
        loop.run(recipe, tmp_path / folder, steps=steps)
        return {name: part.state_dict() for name, part in recipe.state().items()}

    whole = trained("whole", 4)
    trained("parts", 2)
    resumed = trained("parts", 4)
    assert set(whole) == {
        *("generator", "average", "discriminator64", "generator_optimiser", "discriminator64_optimiser"),
    }
    for name in ("generator", "average", "discriminator64"):
        assert [key for key in whole[name] if not torch.equal(whole[name][key], resumed[name][key])] == [], name
    for name in ("generator_optimiser", "discriminator64_optimiser"):
        for index, state in whole[name]["state"].items():
            assert all(torch.equal(value, resumed[name]["state"][index][key]) for key, value in state.items())


def test_epochs_over_the_photographs_make_the_steps(make):
    assert make().steps == 2 * 3


def test_attndcgan_paints_once_and_has_one_discriminator(make, tmp_path):
    recipe = make(branches=2, previews=False)
    assert list(recipe.discriminators) == [128]
    assert recipe.discriminators[128].UNCOND_DNET is None
    assert recipe.generator.state_dict()["img_net.img.0.weight"].shape[1] == 2
    (losses,) = run(recipe, [0])
    assert set(losses) == {"discriminator128", "adversarial128", "word_loss", "sentence_loss", "kl"}
    assert all(math.isfinite(value) for value in losses.values())
    recipe.evaluate(1, tmp_path)
    assert Image.open(tmp_path / "grid-000001.png").size == (8 * 128, 2 * 128)


def test_the_generator_can_be_built_again_from_what_is_told_of_it(make):
    for changes in ({}, {"branches": 2, "previews": False, "residual_blocks": 0}):
        recipe = make(**changes)
        Generator(**recipe.network()).load_state_dict(recipe.average.state_dict())


def test_all_networks_start_as_published(make):
    recipe = make()
    weight = recipe.discriminators[64].img_code_s16[2].weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-5, rtol=0)
    weight = recipe.generator.ca_net.fc.weight
    torch.testing.assert_close(weight @ weight.T, torch.eye(len(weight)), atol=1e-5, rtol=0)
    assert changed(recipe.average, copies(recipe.generator)) == set()


def test_a_run_begins_from_another(make, tmp_path):
    first = make()
    run(first, range(2))
    loop.save_checkpoint(first, tmp_path, 2)
    second = make(generator_learning_rate=1e-3)
    second.warm_start(loop.read_checkpoint(tmp_path / "checkpoint.pt"))
    for name, net in first._nets().items():
        assert changed(second._nets()[name], copies(net)) == set(), name
    assert not second.generator_optimiser.state


def test_a_published_generator_alone_will_do_and_the_average_begins_there(make):
    first, second = make(), make()
    run(first, range(2))
    old = {name: t for name, t in copies(first.generator).items() if not name.endswith("num_batches_tracked")}
    judge = copies(second.discriminators[64])
    second.warm_start({"generator": old})
    for net in (second.generator, second.average):
        assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in old.items())
    assert changed(second.discriminators[64], judge) == set()


def test_a_generator_of_another_size_is_not_begun_from(make):
    with pytest.raises(WeightsError, match="generator"):
        make().warm_start({"generator": copies(make(generator_channels=4).generator)})
    with pytest.raises(WeightsError, match="lacks generator"):
        make().warm_start({"model": {}})


# ------------------------------------------------------------------------------------------- the encoders


def test_pictures_are_seen_by_lite_at_the_size_of_its_training(lite):
    images = torch.rand(2, 3, 48, 48) * 2 - 1
    regions, codes = looker(lite, torch.device("cpu"))(images)
    expected = lite.image(*matching_features(Backbone("lite0"), images, 64))
    assert regions.shape == (2, 16, 4, 4)
    torch.testing.assert_close((regions, codes), expected, rtol=1e-3, atol=1e-4)


def test_inception_guides_a_generator_as_it_is(make, lite):
    torch.manual_seed(0)
    image = InceptionEncoder(16)
    recipe = make(matching=Matcher(lite.text, image, lite.vocabulary), matching_weight=5.0)
    before = copies(image)
    run(recipe, range(2))
    assert changed(image, before) == set()
    assert all(p.grad is None for p in image.parameters())
    assert not image.training


def test_encoders_over_another_backbone_are_refused(lite, make):
    with pytest.raises(SettingsError, match="lite0"):
        make(matching=Matcher(lite.text, ImageEncoder(8, 8, 16), lite.vocabulary, input_size=64))


# ------------------------------------------------------------------------------------------- measuring


def test_evaluating_paints_the_shown_captions_with_the_average_and_fixed_noise(make, splits, tmp_path):
    recipe = make()
    run(recipe, range(2))
    before = {net: copies(net) for net in (recipe.generator, recipe.average)}
    first = recipe.evaluate(2, tmp_path)
    grid = Image.open(tmp_path / "grid-000002.png").tobytes()
    torch.manual_seed(99)
    assert recipe.evaluate(2, tmp_path) == first
    assert Image.open(tmp_path / "grid-000002.png").tobytes() == grid
    assert all(changed(net, held) == set() for net, held in before.items())
    assert set(first) == {"contrast", "word_loss", "sentence_loss"}
    ids = [recipe.vocabulary.ids[word] for word in splits[1].captions[11][0][:4]]
    words, sentence = recipe.text(torch.tensor([ids]), torch.tensor([4]))
    noise = torch.randn(12, 4, generator=torch.Generator().manual_seed(0))[11:]
    with torch.no_grad():
        (painted,), *_ = recipe.average(noise, sentence, words, torch.zeros(1, 4, dtype=torch.bool), torch.zeros(1, 4))
    shown = Image.open(tmp_path / "grid-000002.png").crop((3 * 64, 64, 4 * 64, 128))
    expected = contact_sheet(painted, columns=1)
    difference = max(abs(a - b) for a, b in zip(shown.tobytes(), expected.tobytes(), strict=True))
    assert difference <= 1


@pytest.mark.parametrize(
    ("means", "dead"),
    [
        ({"discriminator64": 1e-4, "adversarial64": 80.0, "discriminator128": 1e-6, "adversarial128": 99.0}, True),
        ({"discriminator64": 1e-4, "adversarial64": 12.0, "discriminator128": 1e-6, "adversarial128": 99.0}, False),
        ({"discriminator64": 0.4, "adversarial64": 80.0, "discriminator128": 1e-6, "adversarial128": 99.0}, False),
        ({"discriminator64": 0.3, "adversarial64": 4.0, "discriminator128": 0.02, "adversarial128": 9.0}, False),
    ],
)
def test_a_run_is_dead_when_every_discriminator_always_wins(make, means, dead):
    found = make(branches=2).collapse(means)
    assert (found is not None) == dead
    assert not dead or ("always win" in found and "80" in found)


def test_one_head_of_attndcgan_is_dead_at_half_the_loss(make):
    recipe = make(previews=False)
    assert recipe.collapse({"discriminator64": 1e-4, "adversarial64": 30.0})
    assert make().collapse({"discriminator64": 1e-4, "adversarial64": 30.0}) is None


# ------------------------------------------------------------------------------------------- settings


def test_the_presets_are_the_published_settings():
    birds, dcgan, coco = PRESETS["birds"], PRESETS["birds-dcgan"], PRESETS["coco"]
    columns = ("batch_size", "epochs", "generator_channels", "discriminator_channels", "residual_blocks")
    table = {name: [getattr(settings, column) for column in columns] for name, settings in PRESETS.items()}
    assert table == {
        "birds": [20, 600, 32, 64, 2],
        "birds-dcgan": [30, 400, 32, 64, 0],
        "coco": [14, 120, 48, 96, 3],
    }
    assert (birds.matching_weight, dcgan.matching_weight, coco.matching_weight) == (5.0, 1.0, 50.0)
    assert (birds.words_limit, dcgan.words_limit, coco.words_limit) == (18, 18, 12)
    assert (birds.previews, dcgan.previews, coco.previews) == (True, False, True)
    assert (birds.sizes, dcgan.sizes) == ((64, 128, 256), (256,))


def test_the_published_networks_have_the_published_numbers_of_weights():
    def count(net):
        return sum(p.numel() for p in net.parameters())

    birds = PRESETS["birds"]
    with torch.device("meta"):
        generator = Generator(channels=32, residual_blocks=2)
        judges = [Discriminator(size, channels=birds.discriminator_channels) for size in birds.sizes]
    assert count(generator) == 7_084_592
    assert sum(map(count, judges)) == 97_596_678


TRAINING = """
CONFIG_NAME: '{name}'
DATASET_NAME: 'birds'
DATA_DIR: '../data/birds'
WORKERS: 4
TREE:
    BRANCH_NUM: {branches}
{size}
TRAIN:
    FLAG: {flag}
    BATCH_SIZE: {batch}
    MAX_EPOCH: {epochs}
    SNAPSHOT_INTERVAL: 50
{rates}
    SMOOTH:
        GAMMA1: 4.0
        GAMMA2: 5.0
        GAMMA3: 10.0
        LAMBDA: {weight}
GAN:
    DF_DIM: {df}
    GF_DIM: {gf}
    Z_DIM: 100
    R_NUM: {residual}
    B_DCGAN: {dcgan}
TEXT:
    EMBEDDING_DIM: 256
    CAPTIONS_PER_IMAGE: 10
{words}
"""
_GAN = {
    "name": "attn2",
    "branches": 3,
    "size": "",
    "flag": True,
    "rates": "    DISCRIMINATOR_LR: 0.0002\n    GENERATOR_LR: 0.0002",
    "dcgan": False,
    "words": "",
}
_BIRDS = {**_GAN, "batch": 20, "epochs": 600, "weight": 5.0, "df": 64, "gf": 32, "residual": 2}
_DCGAN = {**_BIRDS, "batch": 30, "epochs": 400, "weight": 1.0, "residual": 0, "dcgan": True}
_COCO = {
    **_GAN,
    "batch": 14,
    "epochs": 120,
    "weight": 50.0,
    "df": 96,
    "gf": 48,
    "residual": 3,
    "words": "    WORDS_NUM: 12",
}
_DAMSM = {
    **_BIRDS,
    "name": "DAMSM",
    "branches": 1,
    "size": "    BASE_SIZE: 299",
    "batch": 48,
    "weight": 1.0,
    "rates": "    ENCODER_LR: 0.002\n    RNN_GRAD_CLIP: 0.25",
}


@pytest.fixture
def config(tmp_path):
    def write(**values):
        (tmp_path / "settings.yml").write_text(TRAINING.format(**values))
        return read_config(tmp_path / "settings.yml")

    return write


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (_BIRDS, PRESETS["birds"]),
        (_DCGAN, PRESETS["birds-dcgan"]),
        (_COCO, PRESETS["coco"]),
        (_DAMSM, published_damsm.PRESETS["birds"]),
        ({**_DAMSM, "words": "    WORDS_NUM: 15"}, published_damsm.PRESETS["coco"]),
    ],
)
def test_a_published_training_file_means_the_preset_of_its_name(config, values, expected):
    assert settings_from_config(config(**values)) == expected


def test_every_value_of_a_file_is_heard(config):
    values = {**_BIRDS, "rates": "    DISCRIMINATOR_LR: 0.0004\n    GENERATOR_LR: 0.0001", "branches": 2}
    found = settings_from_config(config(**values))
    assert (found.discriminator_learning_rate, found.generator_learning_rate) == (4e-4, 1e-4)
    assert found.sizes == (64, 128)
    encoders = settings_from_config(config(**{**_DAMSM, "rates": "    ENCODER_LR: 0.01\n    RNN_GRAD_CLIP: 0.5"}))
    assert (encoders.learning_rate, encoders.last_learning_rate) == (0.01, pytest.approx(0.001))
    assert encoders.text_gradient_clip == 0.5
    recurrent = EasyDict({**config(**_DAMSM), "RNN_TYPE": "GRU"})
    assert settings_from_config(recurrent).cell == "GRU"


def test_a_file_for_painting_is_refused(config):
    with pytest.raises(SettingsError, match=r"TRAIN\.FLAG is False"):
        settings_from_config(config(**{**_BIRDS, "flag": False}))


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"epochs": 0}, {"words_limit": 0}, {"average_keep": 1.0}])
def test_impossible_settings_are_named(change):
    (name,) = change
    with pytest.raises(SettingsError, match=name):
        dataclasses.replace(SETTINGS, **change)


@pytest.mark.parametrize("change", [{"branches": 4}, {"base_size": 32}])
def test_a_size_that_no_discriminator_sees_is_named(make, change):
    with pytest.raises(SettingsError, match="must be 64, 128 or 256"):
        make(**change)
