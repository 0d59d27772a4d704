"""Training a generator of codes on several folders: one step, resuming, growing, export, and its reconstructions."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan.data.joined import join_photographs
from telephonegan.errors import SettingsError, WeightsError
from telephonegan.evaluation import reconstruction_scores
from telephonegan.latent import codes
from telephonegan.training import export, loop, resume, train
from telephonegan.training.ppgn import PRESETS, PpgnRecipe, PpgnSettings, RecentCodes

SETTINGS = dataclasses.replace(
    PRESETS["tiny"],
    **{"batch_size": 2, "channels": 2, "head_width": 4, "fitted_on": 4, "autoencoder_batch": 4, "adversarial_after": 1},
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    """Two folders of pictures without captions."""
    made = []
    for name in ("first", "second"):
        made.append(tmp_path_factory.mktemp(name))
        for number in range(16):
            Image.effect_noise((20, 20), 80 + number).convert("RGB").save(made[-1] / f"{name}{number:02}.png")
    return made


@pytest.fixture
def make(folders, tmp_path):
    photographs = join_photographs(folders, "train")

    def build(settings=SETTINGS):
        torch.manual_seed(0)
        return PpgnRecipe(photographs, photographs, settings, tmp_path / "cache")

    return build


def test_a_step_trains_all_networks_but_the_encoder(make):
    recipe = make()
    trained = (recipe.generator, recipe.discriminator, recipe.autoencoder)
    before = [parameter.clone() for net in trained for parameter in net.parameters()]
    codes_before = {name: buffer.clone() for name, buffer in recipe.encoder.state_dict().items()}
    for step in range(3):
        loop.seed_step(0, step)
        numbers = recipe.step(step)
    after = [parameter for net in trained for parameter in net.parameters()]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert sum(moved) > 0.8 * len(moved)
    assert all(torch.equal(codes_before[name], now) for name, now in recipe.encoder.state_dict().items())
    assert all(map(np.isfinite, numbers.values()))


@pytest.mark.parametrize("how", [{"code": "pooled"}, {"discriminator": "plain"}])
def test_other_codes_and_the_plain_discriminator_are_trained_too(make, how):
    recipe = make(dataclasses.replace(SETTINGS, **how, adversarial_after=0))
    before = [parameter.clone() for parameter in recipe.discriminator.parameters()]
    numbers = [recipe.step(step) for step in range(2)][-1]
    assert {"discriminator", "adversarial", "features"} <= numbers.keys() and all(map(np.isfinite, numbers.values()))
    after = recipe.discriminator.parameters()
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_discriminator_begins_when_it_should(make):
    recipe = make()
    assert set(recipe.step(0)) == {"image", "features", "autoencoder"}
    assert set(recipe.step(1)) == {"image", "features", "autoencoder", "discriminator", "adversarial"}


def test_moments_are_matched_on_request(make):
    recipe = make(dataclasses.replace(SETTINGS, moment_weight=1.0))
    assert "moments" in recipe.step(0) and "moments" in recipe.state()


def test_the_features_of_a_photograph_itself_cost_nothing(make):
    recipe = make()
    pyramid = recipe.features(torch.rand(2, 3, 16, 16), recipe.settings.backbone_input)
    assert recipe._feature_loss(pyramid, pyramid) == 0
    assert recipe._feature_loss(pyramid, {stride: f + 1 for stride, f in pyramid.items()}) > 0


def test_photographs_are_painted_from_their_own_codes(make):
    how = {"channels": 8, "feature_weight": 0.0, "adversarial_after": 1000, "generator_learning_rate": 5e-3}
    recipe = make(dataclasses.replace(SETTINGS, **how))
    recipe.photos = torch.stack([torch.full((3, 128, 128), grey, dtype=torch.uint8) for grey in (30, 220)])
    recipe.encoder.fit(recipe._encoded(recipe.photos / 127.5 - 1)[1])
    for step in range(20):
        loop.seed_step(0, step)
        recipe.step(step)
    dark, bright = recipe.generator(recipe._encoded(recipe.photos / 127.5 - 1)[0]).mean((1, 2, 3))
    assert dark < -0.2 and bright > 0.2


def test_a_run_cannot_start_from_codes_of_another_kind_or_from_ones_without_axes(make):
    made, other = make(), make(dataclasses.replace(SETTINGS, code="pooled"))
    found = {name: part.state_dict() for name, part in made.state().items()}
    with pytest.raises(WeightsError, match=r"codes are of another kind.*code=pooled"):
        other.warm_start(found)
    found["encoder"] = {name: part for name, part in found["encoder"].items() if not name.startswith("axes.")}
    with pytest.raises(WeightsError, match=r"2 missing: axes.rows, axes.largest"):
        made.warm_start(found)


def test_only_codes_that_were_added_are_drawn():
    recent = RecentCodes(8, 2)
    recent.add(torch.ones(3, 2))
    assert recent.draw(20).min() == 1
    for _ in range(3):
        recent.add(torch.full((3, 2), 2.0))
    assert set(recent.codes[:, 0].tolist()) == {2.0} and int(recent.seen) == 12


@pytest.mark.parametrize("bad", [{"image_weight": -1.0}, {"fitted_on": 0}, {"generator_learning_rate": 0.0}])
def test_bad_settings_are_refused(bad):
    with pytest.raises(SettingsError):
        PpgnSettings(**bad)


@pytest.mark.parametrize("named", [{"code": "fc6"}, {"discriminator": "large"}])
def test_another_code_or_discriminator_is_refused_with_a_list(named):
    with pytest.raises(SettingsError, match="is one of"):
        PpgnSettings(**named)


def test_other_recipes_refuse_several_folders(folders, tmp_path):
    with pytest.raises(SettingsError, match="takes one data folder; 2 were given"):
        train("free", data=folders, run=tmp_path / "run", preset="tiny")


def test_a_run_is_trained_resumed_grown_exported_and_measured(folders, tiny, tmp_path):
    how = {"data": folders, "preset": "tiny", "cache": tmp_path / "cache", "evaluate_every": 3}
    settings = dataclasses.asdict(SETTINGS)
    whole, halves, grown = (tmp_path / name for name in ("whole", "halves", "grown"))
    assert train("ppgn", run=whole, settings=settings | {"steps": 3}, **how)
    train("ppgn", run=halves, settings=settings | {"steps": 2}, **how)
    assert resume(halves, steps=3, evaluate_every=9)
    one, other = (torch.load(run / "checkpoint.pt", weights_only=True) for run in (whole, halves))
    for part in ("average", "autoencoder", "encoder"):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])

    assert Image.open(whole / "grid-000003.png").width == 8 * 16
    larger = settings | {"steps": 1, "size": 32, "fitted_on": 2}
    assert train("ppgn", run=grown, settings=larger, origin=whole, **how)
    assert torch.equal(
        torch.load(grown / "checkpoint.pt", weights_only=True)["encoder"]["mean"], one["encoder"]["mean"]
    )

    other_kind = larger | {"discriminator": "plain"}
    with pytest.raises(SettingsError, match=r"no discriminator of this kind.*discriminator_alone=200"):
        train("ppgn", run=tmp_path / "refused", settings=other_kind, origin=whole, **how)
    assert train("ppgn", run=tmp_path / "plain", settings=other_kind | {"discriminator_alone": 1}, origin=whole, **how)

    entry = export(grown, name="of-a-test", replace=True).entry
    assert (entry.kind, entry.architecture) == ("ppgn", "ppgn")
    model = codes.load("of-a-test")
    image = torch.rand(2, 3, 32, 32) * 2 - 1
    assert model.paint(model.encode(image)).shape == (2, 3, 32, 32) and model.size == 32
    torch.testing.assert_close(model.axes.bound, one["encoder"]["axes.largest"].item(), atol=0.01, rtol=1e-3)

    assert train("ppgn", run=tmp_path / "on", settings=larger | {"discriminator_alone": 1}, origin="of-a-test", **how)
    began, ended = (torch.load(run / "checkpoint.pt", weights_only=True) for run in (tmp_path / "on", grown))
    for own, part, name in (("generator", "average", "residual.conv.weight"), ("encoder", "encoder", "axes.rows")):
        torch.testing.assert_close(
            began[own][name], ended[part][name], atol=2e-3, rtol=2e-3
        )  # the discriminator alone moved

    found = reconstruction_scores("of-a-test", folders, split="train", grid=tmp_path / "grid.png")
    assert found["n"] == found["n_train"] == len(join_photographs(folders, "train"))
    assert found["lite2_cosine_nearest"] > 0.999 > found["lite2_cosine"]  # each is its own neighbour
    assert found["psnr_nearest"] > 50 > found["psnr"] and (tmp_path / "grid.png").exists()
