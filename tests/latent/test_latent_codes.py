"""Models of codes by name. Training, storing and loading one is tested with its recipe."""

from __future__ import annotations

import pytest
import torch

from telephonegan.errors import UnknownModelError
from telephonegan.latent import codes


def test_a_random_model_follows_its_seed():
    model, again, other = (codes.CodeModel.random(8, channels=2, seed=seed) for seed in (1, 1, 2))
    vector = torch.randn(2, model.code_width)
    assert model.paint(vector).shape == (2, 3, 8, 8) and model.size == 8
    assert torch.equal(model.paint(vector), again.paint(vector))
    assert not torch.equal(model.paint(vector), other.paint(vector))
    assert model.encode(torch.zeros(1, 3, 20, 20)).shape == (1, 1024)


def test_an_unknown_model_is_refused():
    with pytest.raises(UnknownModelError, match="No ppgn is called 'nobody'"):
        codes.load("nobody")
