import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from telephonegan import interpolate
from telephonegan.cli.main import main
from telephonegan.errors import OutputError, SettingsError
from telephonegan.generation import Generator
from telephonegan.interpolation import slerp
from telephonegan.zoo import catalogue
from tests.tiny import NAME, register_gan_cls, register_tiny

ONE, OTHER = "a red dog", "two people on the beach"


@pytest.fixture(params=[f"{NAME}-cls", NAME])
def generator(request, tmp_path, no_shipped_models, monkeypatch):
    """A GAN-CLS, and an AttnGAN."""
    monkeypatch.setattr(catalogue, "SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))
    register_gan_cls()
    register_tiny()
    return Generator.load(request.param, "cpu")


def pixels(picture):
    return np.asarray(picture.image).astype(int)


def test_the_ends_are_the_pictures_of_both_sentences(generator):
    found = interpolate(ONE, OTHER, seed=3, steps=5, generator=generator)
    first, last = generator([ONE, OTHER], seeds=[3, 3])
    assert np.abs(pixels(found[0]) - pixels(first)).max() <= 1
    assert np.abs(pixels(found[-1]) - pixels(last)).max() <= 1
    assert found.places == [0, 0.25, 0.5, 0.75, 1]
    assert any((pixels(found[i]) != pixels(found[i + 1])).any() for i in range(4))


def test_the_ends_are_the_pictures_of_both_seeds(generator):
    found = interpolate(ONE, seed=3, to_seed=8, steps=3, generator=generator)
    first, last = generator([ONE, ONE], seeds=[3, 8])
    assert np.abs(pixels(found[0]) - pixels(first)).max() <= 1
    assert np.abs(pixels(found[-1]) - pixels(last)).max() <= 1


def test_noise_between_keeps_a_likely_length():
    one, other = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    middle = slerp(one, other, 0.5)
    assert float(middle.norm()) == pytest.approx(float((one.norm() + other.norm()) / 2), rel=0.1)
    assert torch.allclose(slerp(one, 2 * one, 0.5), 1.5 * one)
    assert torch.allclose(slerp(one, other, 1.0), other, atol=1e-5)


def test_ends_that_are_the_same_are_an_error(generator):
    with pytest.raises(SettingsError, match="Both ends are the same"):
        interpolate(ONE, generator=generator)


@pytest.mark.parametrize("steps", [1, 257, 2.5])
def test_one_picture_is_not_a_way(generator, steps):
    with pytest.raises(SettingsError, match="steps"):
        interpolate(ONE, OTHER, steps=steps, generator=generator)


def test_the_animation_goes_there_and_back_and_replaces_no_file(generator, tmp_path):
    found = interpolate(ONE, OTHER, steps=4, generator=generator)
    path = found.animate(tmp_path / "way.gif")
    # Equal pictures become one frame that lasts longer.
    assert sum(frame.info["duration"] for frame in ImageSequence.Iterator(Image.open(path))) == 6 * 120
    with pytest.raises(OutputError):
        found.animate(path)


def test_the_command_writes_pictures_strip_and_animation(generator, tmp_path, capsys):
    typed = ["interpolate", ONE, OTHER, "--generator", generator.name, "--steps", "3", "--gif", "--device", "cpu"]
    assert main([*typed, "--out", str(tmp_path / "way")]) == 0
    assert {path.name for path in (tmp_path / "way").iterdir()} == {
        *("000.png", "001.png", "002.png", "strip.png", "pictures.json", "way.gif")
    }
