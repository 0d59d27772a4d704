"""One matcher by name, from a run, or to read alone: what it reads and sees, its scores and their gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from telephonegan.errors import UnknownModelError, WeightsError
from telephonegan.inference import Settings
from telephonegan.matcher import Matcher
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.inception import InceptionEncoder
from telephonegan.zoo import catalogue, store
from tests.tiny import NAME

CAPTIONS = [["a", "dog"], ["two", "people", "in", "the", "snow"], ["zebra"]]


@pytest.fixture
def matcher(tiny: str) -> Matcher:
    return Matcher.load(f"damsm/{tiny}")


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_plain_name_is_that_of_a_judge_and_another_kind_is_named(judge):
    plain = Matcher.load(NAME)
    assert (plain.name, plain.backbone_name) == (f"judge/{NAME}", "lite2")
    assert Matcher.load(f"damsm/{NAME}").backbone_name == "lite0"
    assert plain.sha256 == catalogue.find("judge", NAME).sha256
    with pytest.raises(UnknownModelError, match=NAME):
        Matcher.load("nobody")


def test_the_parts_of_a_run_make_the_same_matcher_as_its_export(matcher, pictures):
    entry = catalogue.find("damsm", NAME)
    settings = Settings("in run.json", entry.settings | {"learning_rate": 1e-3})
    of_run = Matcher.of_parts(matcher.vocabulary, settings, store.read_tensors(entry), name="runs/damsm")
    assert torch.equal(of_run.read(CAPTIONS), matcher.read(CAPTIONS))
    assert torch.equal(of_run.look([pictures]), matcher.look([pictures]))


def test_without_its_image_side_it_reads_the_same(matcher):
    alone = Matcher.of(catalogue.find("damsm", NAME), image=False)
    assert alone.image is None
    assert torch.equal(alone.read(CAPTIONS), matcher.read(CAPTIONS))


def test_scores_are_cosines_of_codes_and_sentences(matcher, pictures):
    each = matcher.score(pictures, CAPTIONS)
    torch.testing.assert_close(each, F.cosine_similarity(matcher.look([pictures]), matcher.read(CAPTIONS)))
    for_all = matcher.score(pictures, CAPTIONS[:1])
    assert for_all.shape == (3,) and for_all[0] == pytest.approx(each[0].item(), abs=1e-6)


def test_gradients_of_a_score_reach_the_picture_and_nothing_else(matcher, pictures):
    pictures.requires_grad_()
    matcher.score(pictures, CAPTIONS).sum().backward()
    assert pictures.grad.isfinite().all() and (pictures.grad.abs().amax((1, 2, 3)) > 0).all()
    assert all(p.grad is None for net in (matcher.text, matcher.image) for p in net.parameters())


def test_without_gradients_no_graph_is_kept(matcher, pictures):
    assert matcher.score(pictures, CAPTIONS).grad_fn is None
    with torch.no_grad():
        assert matcher.score(pictures.requires_grad_(), CAPTIONS).grad_fn is None


@pytest.mark.parametrize("missing", ["backbone", "picture_size", "input_size", "text", "image"])
def test_settings_that_looking_needs_are_missed_at_once(matcher, missing):
    entry = catalogue.find("damsm", NAME)
    poorer = dataclasses.replace(entry, settings={k: v for k, v in entry.settings.items() if k != missing})
    with pytest.raises(WeightsError, match=missing):
        Matcher.of(poorer)


def test_captions_are_read_up_to_the_limit(judge):
    matcher = Matcher.load(f"judge/{NAME}")
    words = ["a", "red", "ball", "on", "the", "grass", "in", "the", "snow"]
    assert [len(ids) for ids in matcher.known_ids([words, ["xyz"]])] == [8, 1]
    both = matcher.read([words, ["a", "dog"]])
    assert both.shape == (2, 8)
    torch.testing.assert_close(both[1:], matcher.read([["a", "dog"]]))


def test_large_and_small_pictures_are_seen_at_one_size(judge):
    matcher = Matcher.load(NAME)
    small = torch.rand(3, 3, 16, 16) * 2 - 1
    large = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    torch.testing.assert_close(matcher.look([small]), matcher.look([large]))


def test_a_published_damsm_looks_through_its_inception(tiny):
    text = {"word_width": 8, "width": 8, "dropout": 0.0}
    torch.manual_seed(0)
    networks = nn.ModuleDict({"text_encoder": TextEncoder(3, **text), "image_encoder": InceptionEncoder(8)})
    settings = {"text": text, "image": {"width": 8, "backbone": "inception"}}
    store.register(
        "damsm",
        "published",
        networks.state_dict(),
        architecture="damsm",
        settings=settings,
        vocabulary=["<end>", "a", "dog"],
        full_precision=("*",),
        replace=True,
    )
    matcher = Matcher.load("damsm/published")
    seen = matcher.see(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert (matcher.name, matcher.backbone_name, matcher.picture_size) == ("damsm/published", "inception", 256)
    assert (seen.regions.shape, seen.codes.shape, seen.pooled) == ((1, 8, 17, 17), (1, 8), None)
    assert matcher.known_ids([["a"] * 30]) == [[1] * 30]


def test_a_damsm_without_an_image_encoder_reads_and_cannot_look(tiny):
    text = {"word_width": 8, "width": 8, "dropout": 0.0}
    reader = nn.ModuleDict({"text_encoder": TextEncoder(2, **text)})
    store.register(
        "damsm",
        "reader",
        reader.state_dict(),
        architecture="damsm",
        settings={"text": text},
        vocabulary=["<end>", "a"],
        replace=True,
    )
    with pytest.raises(WeightsError, match="--image-encoder"):
        Matcher.load("damsm/reader")
    alone = Matcher.of(catalogue.find("damsm", "reader"), image=False)
    assert alone.read([["a"], ["a", "dog"]]).shape == (2, 8)
    with pytest.raises(WeightsError, match="cannot encode pictures"):
        alone.see(torch.zeros(1, 3, 8, 8))
