"""The pictures of a sampling under a slider, and the knobs that sample again."""

from __future__ import annotations

import numpy as np
import pytest
from ipywidgets.widgets.widget import _instances as living
from PIL import Image

from telephonegan.errors import SettingsError
from telephonegan.latent.sampler import Sampler
from telephonegan.widgets import ChainPlayer
from tests.toys import ToyDecoder, toy_class


def sampler(**how):
    return Sampler(ToyDecoder(), toy_class(), **({"n_iters": 6, "save_every": 2, "lr": 0.1, "threshold": -1} | how))


def player(**how):
    own = sampler(**how)
    return ChainPlayer(own.run([3, 4], progress=False), own)


def test_every_kept_picture_is_sent_with_its_step_and_probability():
    shown = player()
    frames = shown.sampling.of(3)
    data = shown.view.data
    assert [each["step"] for each in data["frames"]] == [0, 2, 4, 6]
    assert data["curves"][0]["values"] == [frame.probability for frame in frames]
    assert data["frames"][1]["text"].startswith(f"class 2 {frames[1].probability:.0%} · looks like")


def test_the_last_picture_is_shown_though_only_others_were_kept():
    assert [each["step"] for each in player(save_every=4).view.data["frames"]] == [0, 4, 6]


def test_the_knobs_have_the_values_of_the_sampler_and_sample_again_with_theirs():
    shown = player(epsilon1=1e-3)
    assert shown.knobs["epsilon1"].value == pytest.approx(1e-3) and shown.knobs["noise_rel"].value == 0
    before = shown.view.data["curves"][0]["values"]
    shown.knobs["lr"].value, shown.knobs["n_iters"].value = 1.0, 4
    shown.sample()
    after = shown.view.data["curves"][0]["values"]
    assert len(after) == 3 and after[0] == pytest.approx(before[0]) and after[1] != before[1]
    expected = sampler(epsilon1=1e-3, lr=1.0, n_iters=4).run([3], progress=False)
    np.testing.assert_array_equal(shown.sampling.last(3).vector, expected.last(3).vector)
    assert "after 4 steps" in shown.status.value and not shown.button.disabled


def test_what_fails_is_said_and_the_pictures_stay():
    shown = player()
    before = shown.view.data, shown.view.frames()
    shown.sampler.decoder.matrix = shown.sampler.decoder.matrix * float("nan")
    with pytest.warns(UserWarning, match="ended early"):
        shown.sample()
    assert "That did not work" in shown.status.value and (shown.view.data, shown.view.frames()) == before


def test_the_button_samples_tells_how_far_it_is_and_stops():
    shown = player()
    shown.knobs["n_iters"].value = 10_000
    told = []
    shown.status.observe(lambda change: told.append(change["new"]), "value")
    shown.button.click()
    while not any("of 10001" in each for each in told):
        shown.wait(0.05)
    assert shown.button.description == "Stop" and shown.knobs["lr"].disabled
    shown.button.click()
    shown.wait(60)
    assert 0 < shown.sampling.last(3).step < 10_000 and "stopped" in shown.status.value
    assert shown.button.description == "Sample again" and not shown.knobs["lr"].disabled


def test_an_animation_can_be_kept_although_only_the_last_picture_was():
    shown = player(save_every=0)
    (animation,) = (each.make() for each in shown.view.keepsakes() if each.label == "GIF")
    assert animation.startswith(b"GIF8")


def test_an_animation_a_strip_and_figures_can_be_kept(tmp_path):
    made = {each.file: each.make() for each in player().view.keepsakes()}
    assert [content[:4] for content in made.values()] == [b"GIF8", b"\x89PNG", b"%PDF", b"<?xm"]
    (tmp_path / "a.gif").write_bytes(made["sampling-seed3.gif"])
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.info["duration"] == 50


def test_without_a_sampler_there_are_no_knobs():
    shown = ChainPlayer(sampler().run([0], progress=False))
    assert not shown.knobs and len(shown.children) == 1


def test_another_seed_can_be_shown_and_one_without_pictures_not():
    sampling = sampler().run([3, 4], progress=False)
    assert ChainPlayer(sampling, seed=4).view.data != ChainPlayer(sampling, seed=3).view.data
    with pytest.raises(SettingsError, match="No picture of seed 9"):
        ChainPlayer(sampling, seed=9)


def test_the_still_shows_the_way():
    image, words = player().still()
    assert image.width > 3 * 256 and "step 6: class 2" in words


def test_closing_leaves_no_widget_behind():
    before = set(living)
    player().close()
    assert set(living) == before
