import dataclasses
import math

import pytest
import torch
from torchvision.models.inception import inception_v3

from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos, unit_range
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks import inception
from telephonegan.networks.damsm import TextEncoder, damsm_loss
from telephonegan.networks.inception import InceptionEncoder
from telephonegan.training import loop, runs
from telephonegan.training.published_damsm import (
    PRESETS,
    PublishedDamsmRecipe,
    PublishedDamsmSettings,
    learning_rate,
    load_inception,
)

SETTINGS = PublishedDamsmSettings(
    picture_size=48,
    words_limit=4,
    word_width=8,
    width=16,
    batch_size=4,
    epochs=2,
    learning_rate=0.01,
    bfloat16=False,
    workers=2,
)

pytestmark = pytest.mark.filterwarnings("ignore:Inception-v3 has RANDOM")


@pytest.fixture(scope="module", autouse=True)
def small_inception():
    """Inception sees 75 pixels, the fewest it can, in place of 299: the same layers in a tenth of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inception, "INPUT_SIZE", 75)
        yield


@pytest.fixture(scope="module")
def splits(drawings):
    return read_data(drawings, "train", "plain"), read_data(drawings, "dev", "plain")


@pytest.fixture
def make(splits, cache):
    def build(train=splits[0], dev=splits[1], **changes):
        torch.manual_seed(0)
        return PublishedDamsmRecipe(train, dev, dataclasses.replace(SETTINGS, **changes), cache)

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


# ------------------------------------------------------------------------------------------- the step


def test_text_and_the_two_embeddings_learn_and_inceptions_weights_do_not(make):
    recipe = make()
    text, image = copies(recipe.text), copies(recipe.image)
    losses = run(recipe, range(2))
    assert all(math.isfinite(value) and value > 0 for each in losses for value in each.values())
    assert losses[0] != losses[1]
    assert changed(recipe.text, text) == set(text)
    parameters = {name for name, _ in recipe.image.named_parameters()}
    moved = changed(recipe.image, image)
    assert moved & parameters == {"emb_features.weight", "emb_cnn_code.weight", "emb_cnn_code.bias"}
    assert moved - parameters == {name for name in image if "running" in name or "num_batches" in name}


def test_the_losses_are_those_of_the_batch(make):
    recipe = make(dropout=0.0)
    loop.seed_step(0, 0)
    batch = recipe.batches.take(0, 0)
    recipe.text.train(), recipe.image.train()
    with torch.no_grad():
        words, sentences = recipe.text(batch.ids, batch.lengths)
        regions, codes = recipe.image(unit_range(batch.pixels[0]))
        expected = damsm_loss(regions, codes, words, sentences, batch.lengths, gammas=(4.0, 5.0, 10.0))
    (found,) = run(make(dropout=0.0), [0])
    assert found["word_loss"] == pytest.approx(expected[0].item(), rel=1e-3)
    assert found["sentence_loss"] == pytest.approx(expected[1].item(), rel=1e-3)


def test_the_gammas_are_heard(make):
    (plain,), (sharper,) = run(make(), [0]), run(make(gamma3=20.0), [0])
    assert plain != sharper


def test_photographs_of_one_class_are_not_told_apart(make, splits):
    train = splits[0]
    alike = CaptionedPhotos(train.folder, train.names, train.captions, classes=[7] * 12)
    (losses,) = run(make(train=alike), [0])
    assert losses == {"word_loss": 0.0, "sentence_loss": 0.0}


def test_the_encoders_learn_to_match_drawings_to_their_captions(make):
    recipe = make(batch_size=12, words_limit=8, picture_size=64, restart_optimiser=False, last_learning_rate=0.01)
    losses = [sum(each.values()) for each in run(recipe, range(24))]
    assert sum(losses[-6:]) < 0.85 * sum(losses[:6])


def test_only_the_text_encoders_gradient_is_clipped(make):
    recipe = make(text_gradient_clip=1e-4)
    run(recipe, [0])

    def norm(parameters):
        return torch.stack([p.grad.norm() for p in parameters if p.grad is not None]).norm().item()

    assert norm(recipe.text.parameters()) == pytest.approx(1e-4, rel=0.01)
    assert norm(recipe.image.parameters()) > 1e-3


def test_bfloat16_is_for_arithmetic_and_not_for_weights(make, monkeypatch):
    monkeypatch.setattr("telephonegan.training.devices.has_bfloat16", lambda device: True)
    recipe = make(dropout=0.0, bfloat16=True)
    (rounded,), (exact,) = run(recipe, [0]), run(make(dropout=0.0), [0])
    assert rounded != exact
    assert all(math.isfinite(value) for value in rounded.values())
    assert {p.dtype for net in (recipe.text, recipe.image) for p in net.parameters()} == {torch.float32}
    for name, value in exact.items():
        assert rounded[name] == pytest.approx(value, rel=0.4)


# ------------------------------------------------------------------------------------------- epochs


def test_the_rate_falls_by_a_fiftieth_each_epoch_to_a_tenth_and_stays():
    settings = PublishedDamsmSettings()
    rates = [learning_rate(settings, epoch) for epoch in range(200)]
    assert rates[0] == 0.002
    assert rates[10] == pytest.approx(0.002 * 0.98**10)
    last = 0.002 * 0.98**114  # the first at most 0.0002
    assert 0.98 * 0.0002 < last <= 0.0002
    assert rates[113] > 0.0002
    assert rates[114:] == [pytest.approx(last)] * 86


def test_an_epoch_begins_with_its_rate_and_a_fresh_optimiser(make):
    recipe = make(learning_rate_decay=0.5)  # three steps each
    seen = []
    for step in range(4):
        run(recipe, [step])
        (group,) = recipe.optimiser.param_groups
        counts = {int(state["step"]) for state in recipe.optimiser.state.values()}
        seen.append((group["lr"], counts))
    assert seen == [(0.01, {1}), (0.01, {2}), (0.01, {3}), (0.005, {1})]


def test_the_optimiser_may_remember(make):
    recipe = make(restart_optimiser=False)
    run(recipe, range(4))
    assert {int(state["step"]) for state in recipe.optimiser.state.values()} == {4}


def test_epochs_over_the_photographs_make_the_steps(make):
    assert make().steps == 2 * 3
    assert make(batch_size=5, epochs=7).steps == 7 * 2


def test_a_run_stopped_within_and_between_epochs_equals_an_uninterrupted_one(make, tmp_path):
    def trained(folder, steps):
        recipe = make()
        loop.run(recipe, tmp_path / folder, steps=steps)
        return {**copies(recipe.text), **copies(recipe.image)}

    whole = trained("whole", 5)
    trained("parts", 2)
    trained("parts", 3)
    resumed = trained("parts", 5)
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


# ------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(("cell", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_the_cell_is_the_one_asked_for(make, cell, gates):
    recipe = make(cell=cell)
    assert recipe.text.rnn.weight_hh_l0.shape == (gates * 8, 8)
    run(recipe, [0])


@pytest.mark.parametrize("name", ["linear", "rdc_text"])
def test_the_layer_behind_the_embeddings_learns_under_its_name(make, name):
    recipe = make(fc_width=6, fc_name=name, fc_dropout=0.25, dropout=0.75)
    before = copies(recipe.text)
    run(recipe, [0])
    assert {f"{name}.weight", f"{name}.bias"} <= changed(recipe.text, before)
    assert recipe.text.state_dict()[f"{name}.weight"].shape == (6, 8)
    assert recipe.text.drop.p == 0.25


def test_both_encoders_can_be_built_again_from_what_is_told_of_them(make):
    for changes in ({}, {"fc_width": 6}, {"cell": "GRU"}):
        recipe = make(**changes)
        network = recipe.network()
        TextEncoder(len(recipe.vocabulary), **network["text"]).load_state_dict(recipe.text.state_dict())
        assert network["image"].pop("backbone") == "inception"
        InceptionEncoder(**network["image"]).load_state_dict(recipe.image.state_dict())


def test_a_trained_run_guides_a_generator(make, tmp_path):
    recipe = make()
    loop.run(recipe, tmp_path, steps=1)
    runs.describe(tmp_path, "damsm", recipe, recipe.settings)
    matching = runs.load_matcher(tmp_path)
    assert matching.vocabulary.words == recipe.vocabulary.words
    pictures = torch.zeros(1, 3, 48, 48)
    with torch.no_grad():
        expected = recipe.image.eval()(pictures)[1]
        torch.testing.assert_close(matching.image(pictures)[1], expected, rtol=1e-4, atol=1e-5)


def test_the_vocabulary_is_every_word_of_the_training_captions(make, splits):
    words = {word for captions in splits[0].captions for caption in captions for word in caption}
    assert make().vocabulary.words[0] == "<pad>"
    assert set(make().vocabulary.words[1:]) == words


@pytest.mark.filterwarnings("error")
def test_inception_starts_from_torchvisions_weights(make, tmp_path):
    torch.manual_seed(5)
    state = {
        name: torch.rand_like(t) if t.is_floating_point() else t
        for name, t in inception_v3(weights=None, init_weights=False).state_dict().items()
    }
    torch.save(state, tmp_path / "inception.pth")
    image = make(inception_weights=str(tmp_path / "inception.pth")).image
    for name, tensor in image.state_dict().items():
        if not name.startswith("emb_"):
            assert torch.equal(tensor, state[name]), name
    assert {name.split(".")[0] for name in state} - {name.split(".")[0] for name in image.state_dict()} == {
        "AuxLogits",
        "fc",
    }


def test_without_a_file_it_warns_loudly(make):
    with pytest.warns(UserWarning, match="RANDOM.*inception_weights="):
        make()


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save({"layer.weight": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"other\.pth.*inception_v3.*Conv2d_1a_3x3"):
        load_inception(InceptionEncoder(16), tmp_path / "other.pth")


def test_a_run_begins_from_the_encoders_of_another(make, tmp_path):
    first = make()
    run(first, [0])
    loop.save_checkpoint(first, tmp_path, 1)
    second = make(learning_rate=0.5)
    second.warm_start(loop.read_checkpoint(tmp_path / "checkpoint.pt"))
    assert changed(second.text, copies(first.text)) == changed(second.image, copies(first.image)) == set()
    assert not second.optimiser.state


def test_a_run_of_other_sizes_is_not_begun_from(make, tmp_path):
    loop.save_checkpoint(make(), tmp_path, 1)
    checkpoint = loop.read_checkpoint(tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match="text_encoder"):
        make(width=8).warm_start(checkpoint)
    with pytest.raises(WeightsError, match="lacks image_encoder"):
        make().warm_start({"text_encoder": checkpoint["text_encoder"]})


# ------------------------------------------------------------------------------------------- measuring


def test_evaluating_measures_full_batches_and_all_photographs(make, splits, tmp_path):
    recipe = make(batch_size=5, words_limit=3)
    found = recipe.evaluate(0, tmp_path)
    losses = []
    for start in (0, 5):
        pixels = recipe.dev_crops.centres(range(start, start + 5))[0]
        ids = torch.tensor(
            [[recipe.vocabulary.ids[w] for w in c[0][:3]] for c in splits[1].captions[start : start + 5]]
        )
        with torch.no_grad():
            words, sentences = recipe.text(ids, torch.full((5,), 3))
            losses.append(damsm_loss(*recipe.image(unit_range(pixels)), words, sentences, torch.full((5,), 3)))
    expected = torch.tensor(losses).mean(0).tolist()
    assert [found["word_loss"], found["sentence_loss"]] == pytest.approx(expected, rel=1e-4)
    assert 0 <= found["r_precision"] <= 1


def test_evaluating_changes_nothing(make, tmp_path):
    recipe = make()
    before = copies(recipe.text) | copies(recipe.image)
    assert recipe.evaluate(0, tmp_path) == recipe.evaluate(0, tmp_path)
    assert changed(recipe.text, before) == changed(recipe.image, before) == set()
    run(recipe, [0])
    assert recipe.text.training and recipe.image.training


@pytest.mark.parametrize("classes", [[0] * 12, [row % 4 for row in range(12)], list(range(12))])
def test_r_precision_takes_its_mismatches_from_other_classes(make, splits, tmp_path, classes):
    dev = splits[1]
    recipe = make(dev=CaptionedPhotos(dev.folder, dev.names, dev.captions, classes=classes))
    assert 0 <= recipe.evaluate(0, tmp_path)["r_precision"] <= 1


# ------------------------------------------------------------------------------------------- settings


def test_the_presets_are_the_published_settings():
    birds, coco = PRESETS["birds"], PRESETS["coco"]
    assert (birds.batch_size, birds.epochs, birds.learning_rate, birds.words_limit) == (48, 600, 0.002, 18)
    assert (birds.picture_size, birds.word_width, birds.width, birds.text_gradient_clip) == (299, 300, 256, 0.25)
    assert birds.gammas == (4.0, 5.0, 10.0)
    assert dataclasses.replace(coco, words_limit=18) == birds
    assert coco.words_limit == 15


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"epochs": 0}, {"words_limit": 0}])
def test_impossible_settings_are_named(change):
    (name,) = change
    with pytest.raises(SettingsError, match=name):
        dataclasses.replace(SETTINGS, **change)
