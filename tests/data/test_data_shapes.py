from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from telephonegan.data.layouts import read_data
from telephonegan.data.shapes import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIZES,
    attributes_of,
    draw,
    drawing,
    measure,
    write_world,
)
from telephonegan.errors import OutputError, SettingsError
from telephonegan.images import to_tensor


@pytest.fixture(scope="module")
def drawings():
    return draw(400, 48)


def measurable(scene):
    return {what: value for what, value in asdict(scene).items() if what != "shape"}


def test_every_caption_tells_the_truth(drawings):
    for each in drawings:
        for caption in each.captions:
            said = attributes_of(caption)
            assert said.items() <= asdict(each.scene).items(), caption
            assert {"shape", "colour"} <= said.keys(), caption


def test_the_first_caption_names_size_colour_shape_and_background(drawings):
    for each in drawings:
        assert attributes_of(each.captions[0]).keys() == {"size", "colour", "shape", "background"}


def test_articles_fit():
    captions = [caption for each in draw(200, 16) for caption in each.captions]
    assert any("an orange" in caption for caption in captions)
    assert not any("a orange" in caption or "an red" in caption for caption in captions)


def test_five_different_captions_belong_to_each_picture(drawings):
    assert {len(set(each.captions)) for each in drawings} == {5}


def test_the_world_holds_everything_it_can(drawings):
    seen = {what: Counter(asdict(each.scene)[what] for each in drawings) for what in asdict(drawings[0].scene)}
    assert set(seen["shape"]) == set(SHAPES)
    assert set(seen["colour"]) == set(COLOURS)
    assert set(seen["background"]) == set(BACKGROUNDS)
    assert set(seen["size"]) == set(SIZES)
    assert set(seen["position"]) == set(PLACES)
    assert min(min(counts.values()) for counts in seen.values()) >= 40


@pytest.mark.parametrize("size", [32, 48, 64])
def test_what_is_measured_is_what_was_drawn(size):
    for each in draw(300, size):
        assert measure(each.picture) == measurable(each.scene)


def test_a_generated_tensor_is_measured_too(drawings):
    picture = drawings[0]
    assert measure(to_tensor([picture.picture], 48)[0]) == measurable(picture.scene)


def test_measuring_survives_noise(drawings):
    noise = np.random.default_rng(0)
    for each in drawings[:50]:
        noisy = np.asarray(each.picture) + noise.normal(0, 12, (48, 48, 3))
        found = measure(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
        assert (found["colour"], found["background"]) == (each.scene.colour, each.scene.background)


def test_an_empty_picture_shows_a_background_only():
    assert measure(Image.new("RGB", (32, 32), "black")) == {"background": "black"}


def test_a_picture_of_another_colour_is_found_out():
    assert measure(Image.new("RGB", (32, 32), "red")) == {}


def test_pictures_are_drawn_with_soft_edges():
    each = next(d for d in draw(50, 64) if d.scene.shape == "circle" and d.scene.background == "black")
    levels = np.unique(np.asarray(each.picture).reshape(-1, 3), axis=0)
    assert len(levels) > 10  # two colours alone would be a staircase


def test_a_picture_depends_on_seed_and_index_alone():
    first, again = draw(5, 32, seed=3)[4], drawing(4, 32, seed=3)
    assert first.picture.tobytes() == again.picture.tobytes()
    assert (first.scene, first.captions) == (again.scene, again.captions)
    assert drawing(4, 64, seed=3).scene == first.scene
    scenes = {seed: [d.scene for d in draw(8, 16, seed)] for seed in (0, 1)}
    assert scenes[0] != scenes[1]


def test_no_picture_is_drawn_twice():
    assert len({each.picture.tobytes() for each in draw(1500, 32)}) == 1500


def test_shapes_differ():
    by_shape = {}
    for each in draw(400, 32):
        if (each.scene.size, each.scene.position) == ("large", "middle"):
            by_shape.setdefault(each.scene.shape, each)
    figures = {}
    for shape, each in by_shape.items():
        pixels = np.asarray(each.picture).astype(int)
        figures[shape] = (np.abs(pixels - pixels[0, 0]).sum(2) > 60).mean()
    assert figures["circle"] > figures["square"] > figures["star"] > figures["triangle"] > 0.05


@pytest.mark.parametrize("given", [{"size": 4}, {"size": 2.5}, {"seed": -1}, {"index": -1}])
def test_impossible_settings_are_explained(given):
    with pytest.raises(SettingsError, match=next(iter(given))):
        drawing(**{"index": 0, "size": 16, **given})


def test_attributes_of_a_caption_come_from_its_words():
    assert attributes_of("A LARGE star, at the top") == {"size": "large", "shape": "star", "position": "top"}
    assert attributes_of("a red circle beside a blue one")["colour"] == "red"
    assert attributes_of("two dogs on a reddish beach") == {}


# ---------------------------------------------------------------------------------------------- folders


def test_a_written_world_is_read_as_it_was_drawn(tmp_path):
    folder = write_world(tmp_path / "world", train=4, dev=2, test=3, size=32, seed=5)
    drawn = draw(9, 32, seed=5)
    for split, part in (("train", drawn[:4]), ("dev", drawn[4:6]), ("test", drawn[6:])):
        photos = read_data(folder, split)
        assert len(photos) == len(part)
        for row, each in enumerate(part):
            assert photos.image(row).tobytes() == each.picture.tobytes()
            assert [" ".join(words) for words in photos.captions[row]] == each.captions


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "world").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        write_world(tmp_path / "world", train=1, dev=1, test=1, size=8)
    assert list((tmp_path / "world").iterdir()) == []


def test_a_world_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    calls = []

    def full(path, content):
        calls.append(path)
        if len(calls) == 3:
            raise OutputError("disk full")
        path.write_bytes(content)

    monkeypatch.setattr("telephonegan.data.shapes.replace", full)
    with pytest.raises(OutputError):
        write_world(tmp_path / "world", train=4, dev=2, test=3, size=8)
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{"train": 0}, {"dev": 0}, {"size": 0}, {"seed": -1}])
def test_impossible_worlds_are_refused_before_anything_is_written(tmp_path, given):
    with pytest.raises(SettingsError, match=next(iter(given))):
        write_world(tmp_path / "world", **given)
    assert list(tmp_path.iterdir()) == []
