"""On a GPU that only pretends to be one: nothing mixes devices, and the results are those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from telephonegan.captioning import Captioner
from telephonegan.errors import SettingsError
from telephonegan.generation import Generator
from telephonegan.matcher import Matcher
from telephonegan.saliency import saliency
from telephonegan.samples import sample
from telephonegan.telephone import Telephone, load
from telephonegan.zoo import catalogue
from tests.pretended_gpu import pretended_gpu

TEXTS = ["a red dog", "two people on the beach"]


@pytest.fixture
def gpu(monkeypatch):
    with pretended_gpu(monkeypatch) as device:
        yield device


@pytest.fixture
def on_gpu(tiny, gpu) -> Telephone:
    """A telephone of the tiny models on the pretended GPU."""
    return Telephone(
        Captioner.of(catalogue.find("captioner", tiny), gpu), Generator.of(catalogue.find("generator", tiny), gpu)
    )


def test_the_pretended_gpu_refuses_what_a_gpu_refuses(gpu):
    here, there = torch.ones(2), torch.ones(2, device="cuda")
    assert there.is_cuda and (there + 1).is_cuda and not here.is_cuda
    assert (there.cpu() + here).tolist() == [2.0, 2.0]
    assert (there + torch.tensor(1.0)).tolist() == [2.0, 2.0]  # single numbers may be anywhere
    for mistake in (lambda: here + there, lambda: torch.cat([here, there]), lambda: there.add_(here)):
        with pytest.raises(RuntimeError, match="cuda:0 and cpu"):
            mistake()
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


def test_models_lie_on_the_gpu(on_gpu):
    vision, painter = on_gpu.captioner.vision, on_gpu.generator.painter
    for network in (vision.front, vision.tail, vision.decoder, painter.network, painter.matcher.text):
        assert all(parameter.is_cuda for parameter in network.parameters())


@pytest.mark.parametrize("how", [{}, {"method": "greedy"}, {"method": "sample", "temperature": 2.0}])
def test_captions_are_those_of_the_cpu(phone, on_gpu, how):
    pictures = [sample("coffee"), sample("chelsea")]
    for one, other in zip(on_gpu.caption(pictures, **how), phone.caption(pictures, **how), strict=True):
        assert one.text == other.text
        np.testing.assert_allclose(one.attention, other.attention, atol=1e-5)


@pytest.mark.parametrize("how", [{}, {"truncation": 0.5}, {"candidates": 3}, {"latents": [{"noise": [0.5] * 8}, None]}])
def test_pictures_are_those_of_the_cpu(phone, on_gpu, how):
    for one, other in zip(on_gpu.generate(TEXTS, **how), phone.generate(TEXTS, **how), strict=True):
        assert one.seed == other.seed
        assert np.abs(np.asarray(one.image).astype(int) - np.asarray(other.image)).max() <= 1


def test_the_game_is_that_of_the_cpu(phone, on_gpu):
    one, other = (each.play(image=sample("coffee"), rounds=2, progress=False) for each in (on_gpu, phone))
    assert [caption.text for caption in one.captions] == [caption.text for caption in other.captions]


def test_saliency_is_that_of_the_cpu(phone, on_gpu):
    caption = phone.caption(sample("coffee"))
    np.testing.assert_allclose(saliency(on_gpu.captioner, caption), saliency(phone.captioner, caption), atol=1e-4)


def test_texts_and_pictures_are_matched_on_the_gpu(tiny, gpu):
    entry = catalogue.find("damsm", tiny)
    pictures = torch.rand(2, 3, 64, 64) * 2 - 1
    ours, theirs = (Matcher.of(entry, device).score(pictures, [["a", "dog"], ["snow"]]) for device in (gpu, "cpu"))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


# ---------------------------------------------------------------------------------------------------- arithmetic


def test_a_gpu_computes_in_float32_and_the_setting_is_given_back(on_gpu, monkeypatch):
    seen = []
    for part, name in ((on_gpu.generator.painter, "paint"), (on_gpu.captioner.vision, "features")):
        work = getattr(part, name)
        monkeypatch.setattr(
            part, name, lambda *given, work=work: (seen.append(torch.backends.cudnn.allow_tf32), work(*given))[1]
        )
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True
    try:
        on_gpu.generate("a red dog")
        on_gpu.caption(sample("coffee"))
        assert seen == [False, False] and torch.backends.cudnn.allow_tf32 is True
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_bf16_is_refused_where_it_would_be_slower(tiny, monkeypatch):
    monkeypatch.setattr("telephonegan.inference.has_bfloat16", lambda device: False)
    with pytest.raises(SettingsError, match="CPU has no fast instructions for bfloat16"):
        load(tiny, tiny, "cpu", precision="bf16")
    with pytest.raises(SettingsError, match="float32, bf16; 'half' was given"):
        load(tiny, tiny, "cpu", precision="half")


def test_bf16_changes_pictures_a_little_and_float32_not_at_all(tiny, phone, monkeypatch):
    monkeypatch.setattr("telephonegan.inference.has_bfloat16", lambda device: True)
    before = [np.asarray(each.image, dtype=int) for each in phone.generate(TEXTS, seed=3)]
    coarse = load(tiny, tiny, "cpu", precision="bf16")
    there = [np.asarray(each.image, dtype=int) for each in coarse.generate(TEXTS, seed=3)]
    assert 0 < np.mean([np.abs(one - other).mean() for one, other in zip(before, there, strict=True)]) < 10
    assert coarse.caption(sample("coffee")).words
    after = [np.asarray(each.image, dtype=int) for each in phone.generate(TEXTS, seed=3)]
    assert all((one == other).all() for one, other in zip(before, after, strict=True))
