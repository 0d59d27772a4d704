"""Training steps on a GPU that only pretends to be one: nothing mixes devices, and losses are those of the CPU."""

from __future__ import annotations

import json

import pytest

from telephonegan.data.shapes import write_world
from telephonegan.training import devices
from tests.pretended_gpu import pretended_gpu

_PROJECTED = {"batch_size": 4, "channels": 4, "head_width": 4}
_GAN_CLS = {"size": 16, "channels": 4, "discriminator_channels": 4, "batch_size": 6, "text_width": 4, "noise_width": 3}
_EMBEDDING = {"channels": 8, "components": 6, "picture_size": 32, "input_size": 64, "views": 1, "batch_size": 5}
_PPGN = {"batch_size": 2, "channels": 2, "head_width": 4, "fitted_on": 4, "autoencoder_batch": 4}

# Recipes and presets that the small settings of all tests are not about.
WITH_CLASSES = {
    "self-critical": ("captioner", {"preset": "cider", "settings": {"samples": 2}}),
    "free": ("free", {"preset": "tiny", "settings": {**_PROJECTED, "moment_queue": 8}}),
    "embedding": ("embedding", {"settings": _EMBEDDING}),
    "embedding-gru": ("embedding", {"preset": "gru", "settings": _EMBEDDING}),
    "gan-cls": ("gan-cls", {"preset": "tiny", "settings": _GAN_CLS}),
    "gan-cls-matching": ("gan-cls", {"preset": "matching", "settings": _GAN_CLS}),
    "gan-cls-projected": ("gan-cls", {"preset": "projected-tiny", "settings": {**_PROJECTED, "twins": 0.2}}),
    "ppgn": ("ppgn", {"preset": "tiny", "settings": {**_PPGN, "adversarial_after": 1}}),
    "ppgn-plain": ("ppgn", {"preset": "tiny", "settings": {**_PPGN, "adversarial_after": 0, "discriminator": "plain"}}),
}


@pytest.fixture
def losses(train, tmp_path, damsm_run, monkeypatch):
    """The logged numbers of two steps on a device, in float32 on both."""
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: False)

    def of(recipe: str, device: str, **how: object) -> list[dict[str, float]]:
        folder = tmp_path / f"{recipe}-{device}"
        own = {"damsm": str(damsm_run)} if recipe == "attngan" else {}
        train(recipe, folder, device=device, **own, **how)
        return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]

    return of


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Drawn shapes with captions and classes."""
    return write_world(tmp_path_factory.mktemp("shapes") / "world", train=24, dev=8, test=8, size=32, classes=True)


@pytest.fixture(scope="module")
def embedding_run(train, shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "embedding"
    train("embedding", folder, data=shapes, settings=_EMBEDDING)
    return folder


def assert_alike(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        shared = {name for name, value in other.items() if isinstance(value, float) and "second" not in name}
        assert {name: one[name] for name in shared} == pytest.approx({name: other[name] for name in shared}, rel=1e-3)


@pytest.mark.parametrize("recipe", ["damsm", "attngan", "captioner"])
def test_steps_and_evaluations_are_those_of_the_cpu(losses, recipe, monkeypatch):
    expected = losses(recipe, "cpu")
    with pretended_gpu(monkeypatch):
        assert_alike(losses(recipe, "cuda"), expected)


@pytest.mark.parametrize("name", WITH_CLASSES)
def test_so_are_those_of_all_other_recipes(losses, name, shapes, embedding_run, monkeypatch):
    recipe, how = WITH_CLASSES[name]
    how = {"data": shapes, **how} | ({"embedding": str(embedding_run)} if recipe == "gan-cls" else {})
    expected = losses(recipe, "cpu", **how)
    with pretended_gpu(monkeypatch):
        assert_alike(losses(recipe, "cuda", **how), expected)


def test_noise_that_stays_on_the_host_is_found(losses, monkeypatch):
    """The test above can fail: such a mistake raises, as it would on a GPU."""
    monkeypatch.setattr("telephonegan.training.attngan.sent", lambda tensor, device: tensor)
    with pretended_gpu(monkeypatch), pytest.raises(RuntimeError, match="cuda:0 and cpu"):
        losses("attngan", "cuda")
