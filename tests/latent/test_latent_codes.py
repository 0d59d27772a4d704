"""Models of codes by name. Training, storing and loading one is tested with its recipe."""

from __future__ import annotations

import pytest
import torch

from telephonegan.errors import UnknownModelError
from telephonegan.latent import CodeDecoder, Sampler, codes, image_class
from tests.tiny import register_codes


def test_a_random_model_follows_its_seed():
    model, again, other = (codes.CodeModel.random(8, channels=2, seed=seed) for seed in (1, 1, 2))
    vector = torch.randn(2, model.code_width)
    assert model.paint(vector).shape == (2, 3, 8, 8) and model.size == 8
    assert torch.equal(model.paint(vector), again.paint(vector))
    assert not torch.equal(model.paint(vector), other.paint(vector))
    assert model.generator(100 * vector).abs().max() > 1 >= model.paint(100 * vector).abs().max()
    assert model.encode(torch.zeros(1, 3, 20, 20)).shape == (1, 1024)


def test_an_unknown_model_is_refused():
    with pytest.raises(UnknownModelError, match="No ppgn is called 'nobody'"):
        codes.load("nobody")


def test_a_model_with_pooled_codes_is_loaded_and_sampled_like_another(tiny):
    register_codes("pooled", code="pooled")
    decoder = CodeDecoder.load("pooled", "cpu")
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    assert decoder.model.encode(image).shape == (1, 1280)
    assert decoder.encode(image).shape == (1, 256) == (1, decoder.width)
    sampler = Sampler(decoder, image_class("junco", device="cpu"), prior=decoder.prior("dae"), n_iters=1)
    assert sampler.run([0], progress=False).last().vector.shape == (256,)
