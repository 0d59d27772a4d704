"""Closed-form measures, and an extractor trained on labelled pictures."""

from __future__ import annotations

import csv

import pytest
import torch
from PIL import Image

from telephonegan.errors import DataError, SettingsError
from telephonegan.latent import Extractor, Features, train_extractor
from telephonegan.latent.features import MEASURES, Labels


def chessboard(size=8):
    return ((torch.arange(size)[:, None] + torch.arange(size)) % 2 * 2.0 - 1).expand(1, 3, size, size)


def framed(inner, outer):
    image = torch.full((1, 3, 16, 16), float(outer))
    image[:, :, 2:-2, 2:-2] = inner
    return image


def plain(red, green, blue):
    return torch.tensor([red, green, blue]).float()[None, :, None, None].expand(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("measure", "image", "value"),
    [
        ("brightness", plain(1, 1, 1), 1),
        ("brightness", plain(-1, 1, -1), 2 * 0.7152 - 1),
        ("warmth", plain(1, 0, -1), 1),
        ("warmth", plain(-0.5, 1, 0.5), -0.5),
        ("contrast", plain(0.3, 0.3, 0.3), -1),
        ("contrast", chessboard(), 1),
        ("sharpness", plain(0.3, 0.3, 0.3), -1),
        ("sharpness", chessboard(), 1),
        ("background", framed(1, -0.25), -0.25),
    ],
)
def test_a_measure_has_its_closed_form(measure, image, value):
    assert MEASURES[measure](image).item() == pytest.approx(value, abs=1e-5)


def test_each_picture_is_scored_by_itself():
    images = torch.rand(5, 3, 16, 16) * 2 - 1
    features = Features()
    torch.testing.assert_close(features(images)[2:3], features(images[2:3]))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Pictures whose colour is written down: red or blue, and how bright."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "images").mkdir()
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "light", "colour", "same"])
        for number in range(160):
            light, colour = 60 + number % 40 * 4, ("red", "blue")[number % 2]
            name = f"{number:03}.png"
            rgb = (light, 30, 30) if colour == "red" else (30, 30, light)
            Image.effect_noise((32, 32), 60).convert("RGB").point(lambda v: v // 8).save(folder / "images" / name)
            base = Image.open(folder / "images" / name)
            Image.blend(base, Image.new("RGB", (32, 32), rgb), 0.8).save(folder / "images" / name)
            writer.writerow([name, light, colour, "yes"])
    return folder


@pytest.fixture(scope="module")
def extractor(labelled, private_home, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    return train_extractor(labelled, columns=["light", "colour"], input_size=64, epochs=20, cache=cache, progress=False)


def test_labels_are_learned_and_measured_on_held_out_pictures(extractor):
    assert extractor.names == ("light", "colour")
    assert extractor.quality["accuracy_colour"] > 0.9 and extractor.quality["correlation_light"] > 0.6
    assert extractor.ends["colour"] == ("blue", "red")
    red, blue = (extractor(plain(*rgb).expand(1, 3, 8, 8))[0, 1] for rgb in ((0.5, -0.8, -0.8), (-0.8, -0.8, 0.5)))
    assert red > blue


def test_a_table_may_name_photographs_without_their_suffix(labelled, tmp_path):
    rows = (labelled / "labels.csv").read_text().replace(".png", "")
    (tmp_path / "ids.csv").write_text(rows)
    how = {"columns": ["colour"], "input_size": 64, "epochs": 1, "cache": tmp_path, "progress": False}
    found = train_extractor(labelled, table=str(tmp_path / "ids.csv"), **how)
    assert found.names == ("colour",)


def test_a_constant_answer_has_a_balanced_accuracy_of_one_half():
    labels, truth = Labels(["rare"]), torch.tensor([[1.0], [-1.0], [-1.0], [-1.0]])
    assert labels.quality(-torch.ones(4, 1), truth) == {"accuracy_rare": 0.75, "balanced_accuracy_rare": 0.5}


def test_an_extractor_survives_registration(extractor, tiny):
    extractor.register("of-a-test", replace=True)
    again = Extractor.load("of-a-test", "cpu")
    images = torch.rand(3, 3, 24, 24) * 2 - 1
    torch.testing.assert_close(again(images), extractor(images), atol=5e-3, rtol=0)
    assert (again.names, dict(again.ends), dict(again.quality)) == (
        *(extractor.names, dict(extractor.ends)),
        dict(extractor.quality),
    )
    both = Features(["colour", "warmth"], extractor=again)
    assert both.extractor == "of-a-test" and both(images).shape == (3, 2)


def test_gradients_go_through_an_extractor(extractor):
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    extractor(image).sum().backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ({"columns": ["lihgt"]}, SettingsError, "Did you mean light"),
        ({"columns": ["same"]}, SettingsError, "'yes'|Name what to learn|constant|too few"),
        ({}, SettingsError, "Name what to learn"),
        ({"columns": ["light"], "table": "lables.csv"}, DataError, "no .*lables.csv"),
        ({"words": ["red"]}, SettingsError, "too few"),
    ],
)
def test_what_cannot_be_learned_is_refused(labelled, tmp_path, how, error, said):
    with pytest.raises(error, match=said):
        train_extractor(labelled, cache=tmp_path, progress=False, **how)
