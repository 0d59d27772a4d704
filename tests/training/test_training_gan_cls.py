"""GAN-CLS over drawn shapes: what its losses are made of, and both recipes as runs that become models."""

import dataclasses

import pytest
import torch

from telephonegan import training
from telephonegan.data.layouts import read_data
from telephonegan.data.photos import CaptionedPhotos
from telephonegan.data.shapes import write_world
from telephonegan.errors import DataError, SettingsError
from telephonegan.generation import Generator
from telephonegan.training import loop, runs
from telephonegan.training.gan_cls import PRESETS, GanClsRecipe, OtherClasses, interpolated
from telephonegan.training.gan_cls_projected import ProjectedGanClsRecipe, ProjectedGanClsSettings
from telephonegan.zoo import catalogue

SMALL = {"size": 16, "channels": 4, "discriminator_channels": 4, "batch_size": 6, "text_width": 4, "noise_width": 3}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes") / "world"
    return write_world(folder, train=48, dev=12, test=8, size=32, classes=True)


@pytest.fixture(scope="module")
def embedding_run(world, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "embedding"
    small = {"channels": 8, "components": 6, "picture_size": 32, "input_size": 64, "views": 1, "batch_size": 5}
    training.train("embedding", data=world, run=run, settings=small, steps=2, device="cpu")
    return run


@pytest.fixture
def recipe(world, embedding_run, tmp_path):
    matcher = runs.load_matcher(embedding_run, "embedding")

    def make(preset: str = "cpu", **changes) -> GanClsRecipe:
        settings = dataclasses.replace(PRESETS[preset], **SMALL | changes)
        torch.manual_seed(0)
        return GanClsRecipe(read_data(world, "train"), read_data(world, "test"), matcher, settings, tmp_path / "cache")

    return make


def test_a_wrong_photograph_is_always_of_another_class_and_may_be_any():
    classes = [5, 1, 5, 5, 2, 1, 9]
    photos = CaptionedPhotos(None, [str(i) for i in range(7)], [[["a"]]] * 7, classes=classes)
    torch.manual_seed(0)
    rows = torch.arange(7).repeat(300)
    wrong = OtherClasses(photos).draw(rows)
    numbers = torch.tensor(classes)
    assert (numbers[wrong] != numbers[rows]).all()
    for row in range(7):
        allowed = {other for other in range(7) if classes[other] != classes[row]}
        assert set(wrong[rows == row].tolist()) == allowed


def test_without_class_numbers_a_wrong_photograph_is_another_one():
    rows = torch.arange(4).repeat(100)
    wrong = OtherClasses(CaptionedPhotos(None, list("abcd"), [[["a"]]] * 4)).draw(rows)
    assert (wrong != rows).all() and set(wrong.tolist()) == {0, 1, 2, 3}


def test_photographs_of_one_class_are_refused():
    with pytest.raises(DataError, match="one class"):
        OtherClasses(CaptionedPhotos(None, ["a", "b"], [[["x"]]] * 2, classes=[3, 3]))


def test_sentences_between_are_half_as_many_again():
    sentences = torch.arange(8.0).view(4, 2)
    assert torch.equal(interpolated(sentences), torch.tensor([[2.0, 3.0], [4.0, 5.0]]))
    beyond = torch.cat([interpolated(sentences, extrapolate=True) for _ in range(100)])
    assert beyond.min() < 0 and (beyond[:, 1] - beyond[:, 0] == 1).all()


def test_gan_int_paints_one_and_a_half_batches_and_judges_only_photographs_of_the_data(recipe, monkeypatch):
    made, painted, judged = recipe("int"), [], []
    made.generator.register_forward_hook(lambda module, given, found: painted.append(len(found)))
    made.discriminator.register_forward_hook(lambda module, given, found: judged.append(len(given[0])))
    loop.seed_step(0, 0)
    losses = made.step(0)
    assert painted == [9]
    assert judged == [6, 6, 6, 9]
    assert set(losses) == {"discriminator", "adversarial", "interpolation"}


def test_one_sided_smoothing_changes_only_the_target_of_photographs(recipe):
    plain, smooth = recipe(real_target=1.0), recipe(real_target=0.9)
    real, wrong, painted = torch.randn(3, 6, 3, 16, 16).unbind()
    sentences = torch.randn(6, 6)
    logits = plain.discriminator(real, sentences)[0].float()
    difference = 0.1 * logits.mean()  # of cross-entropy at 0.9 from that at 1
    losses = [made._discriminator_step(real, wrong, painted, sentences) for made in (plain, smooth)]
    assert float(losses[1] - losses[0]) == pytest.approx(difference.item(), abs=1e-4)


def test_feature_matching_and_l1_are_added_and_l1_fades(recipe):
    made = recipe("matching", steps=100)
    real, sentences = torch.rand(6, 3, 16, 16) * 2 - 1, torch.randn(6, 6)
    painted = torch.zeros(6, 3, 16, 16)
    first, half = (made._generator_losses(step, real, painted, sentences) for step in (0, 50))
    assert set(first) == {"adversarial", "features", "l1"}
    assert float(first["l1"]) == pytest.approx(50 * float(real.abs().mean()), rel=1e-5)
    assert float(half["l1"]) == pytest.approx(float(first["l1"]) / 2, rel=1e-5)
    constant = recipe("matching", steps=100, l1_annealed=False)
    assert float(constant._generator_losses(50, real, painted, sentences)["l1"]) == pytest.approx(
        float(first["l1"]), rel=1e-5
    )


@pytest.mark.parametrize("preset", ["cpu", "int", "matching"])
def test_a_step_moves_both_networks_and_its_losses_are_finite(recipe, preset):
    made = recipe(preset)
    before = [parameter.clone() for net in (made.generator, made.discriminator) for parameter in net.parameters()]
    loop.seed_step(0, 0)
    losses = made.step(0)
    assert all(torch.tensor(value).isfinite() for value in losses.values())
    after = [parameter for net in (made.generator, made.discriminator) for parameter in net.parameters()]
    assert [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if torch.equal(old, new)] == []


def test_the_learning_rate_is_halved_as_published(recipe):
    made = recipe(halved_every=1)  # epochs of 48 photographs, 8 steps of 6
    rates = []
    for step in (0, 7, 8, 16):
        made._set_learning_rate(step)
        rates.append(made.generator_optimiser.param_groups[0]["lr"])
    assert rates == [2e-4, 2e-4, 1e-4, 5e-5]


def stop_before_step(patch, step):
    seen = iter(range(step + 1))
    patch.setattr(loop, "_is_past", lambda deadline: next(seen) == step)


PROJECTED = {
    **{"size": 16, "channels": 4, "backbone_input": 64, "largest_input": 0, "head_width": 4, "thumbnail": 8},
    **{"batch_size": 4, "moment_queue": 8, "text_width": 4, "noise_width": 3},
}


def test_twins_have_one_sentence_and_are_pushed_apart(world, embedding_run, tmp_path):
    settings = ProjectedGanClsSettings(**PROJECTED, twins=0.5, moment_weight=0.0)
    photos, matcher = read_data(world, "train"), runs.load_matcher(embedding_run, "embedding")
    made = ProjectedGanClsRecipe(photos, photos, matcher, settings, tmp_path / "cache")
    asked = []
    paint = made.paint
    made.paint = lambda noise, sentences: asked.append((noise, sentences)) or paint(noise, sentences)
    loop.seed_step(0, 0)
    assert made.step(0)["sameness"] > 0
    ((noise, sentences),) = asked
    assert torch.equal(sentences[:2], sentences[2:]) and not torch.equal(noise[:2], noise[2:])


@pytest.mark.parametrize(("preset", "settings"), [("cpu", SMALL), ("projected", PROJECTED)])
def test_a_run_resumes_exactly_and_becomes_a_generator(
    world, embedding_run, tmp_path, monkeypatch, no_shipped_models, preset, settings
):
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    how = {"data": world, "embedding": embedding_run, "preset": preset, "device": "cpu", "cache": tmp_path / "cache"}
    how["settings"] = settings | {"steps": 4}
    assert training.train("gan-cls", run=tmp_path / "whole", **how)
    with monkeypatch.context() as patch:
        stop_before_step(patch, 2)
        assert not training.train("gan-cls", run=tmp_path / "parts", **how)
    assert training.resume(tmp_path / "parts", device="cpu")
    whole, parts = (loop.read_checkpoint(tmp_path / run / "checkpoint.pt") for run in ("whole", "parts"))
    assert all(torch.equal(value, parts["generator"][name]) for name, value in whole["generator"].items())
    assert (tmp_path / "whole" / "grid-000004.png").is_file()
    training.export(embedding_run, name="shapes")
    training.export(tmp_path / "whole", name="drawn", damsm_name="shapes")
    pictures = Generator.load("drawn", "cpu")(["a red circle"] * 2, seeds=[0, 1])
    assert pictures[0].image.size == (16, 16) and pictures[0].words == ["a", "red", "circle"]
    alone = Generator.load("drawn", "cpu")(["a red circle"], seeds=[1])
    assert alone[0].image.tobytes() == pictures[1].image.tobytes()


def test_gan_cls_needs_an_embedding(world, tmp_path):
    with pytest.raises(SettingsError, match="--embedding"):
        training.train("gan-cls", data=world, run=tmp_path / "run", device="cpu")
