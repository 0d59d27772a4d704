"""Axes, inversion, guides and the sampler on a GPU that only pretends to be one: the results are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest

from telephonegan.captioning import Captioner
from telephonegan.generation import Generator
from telephonegan.latent import Sampler, Walk, find_axes, guide, image_class, invert, measure
from telephonegan.latent.decoders import CodeDecoder
from telephonegan.latent.text_conditions import CaptionCondition
from telephonegan.zoo import catalogue
from tests.pretended_gpu import pretended_gpu

QUIET = {"progress": False}


@pytest.fixture
def gpu(monkeypatch):
    with pretended_gpu(monkeypatch) as device:
        yield device


@pytest.fixture
def on_gpu(gpu, tiny):
    """A generator by name on the pretended GPU."""
    return lambda name=tiny: Generator.of(catalogue.find("generator", name), gpu)


def grey_levels_apart(one, other) -> int:
    return np.abs(np.asarray(one.image).astype(int) - np.asarray(other.image)).max()


def test_axes(phone, free, on_gpu):
    texts = ["a red dog", "two people on the beach"]
    for there, here, how in ((on_gpu(), phone.generator, {"texts": texts}), (on_gpu("free"), free, {})):
        found = [find_axes(each, ["brightness", "warmth"], n=60, **how, **QUIET) for each in (there, here)]
        np.testing.assert_allclose(found[0].axes, found[1].axes, atol=1e-3)
    slopes = [measure(found[1], each, n=4, **QUIET).measured["warmth"].slope for each in (there, here)]
    assert slopes[0] == pytest.approx(slopes[1], abs=1e-3)


def test_walks_and_inversions(free, on_gpu):
    axes = find_axes(free, ["brightness", "warmth"], n=60, **QUIET)
    walks = [Walk(generator, axes, seed=3) for generator in (on_gpu("free"), free)]
    for walk in walks:
        walk.lock("warmth")
        walk.set("brightness", 2)
    assert grey_levels_apart(*(walk.picture() for walk in walks)) <= 1
    found = [invert(walk.generator, walk.picture().image, starts=2, steps=2, **QUIET) for walk in walks]
    assert found[0].error == pytest.approx(found[1].error, rel=1e-2)


def test_guides(tiny, phone, on_gpu, gpu):
    captioner = Captioner.of(catalogue.find("captioner", tiny), gpu)
    for toward, there in (
        ("volcano", "volcano"),
        (CaptionCondition("a red dog", captioner=phone.captioner), CaptionCondition("a red dog", captioner=captioner)),
    ):
        how = {"steps": 2, **QUIET}
        one = guide(phone.generate("a red dog", seed=3), toward, generator=phone.generator, **how)
        other = guide(phone.generate("a red dog", seed=3), there, generator=on_gpu(), **how)
        assert grey_levels_apart(one.picture, other.picture) <= 1


def test_the_sampler(codes, gpu):
    found = []
    for device in ("cpu", gpu):
        decoder, condition = CodeDecoder.load(codes, device), image_class("junco", device=device)
        sampler = Sampler(decoder, condition, prior=decoder.prior("joint"), n_iters=2)
        found.append(sampler.run(seeds=[0, 1], **QUIET))
    assert grey_levels_apart(found[0].last(1), found[1].last(1)) <= 1
