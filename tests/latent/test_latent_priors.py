"""Priors over codes."""

from __future__ import annotations

import torch

from telephonegan.latent.priors import AutoencoderPrior, GaussianPrior, JointPrior, LengthPrior, NoPrior
from tests.toys import ToyDecoder

CODES = torch.tensor([[1.0, -2.0, 0.5, 0, 0, 3]])
NOTHING = torch.zeros(1, 3, 8, 8)


def test_without_a_prior_no_code_is_likelier():
    assert not NoPrior()(CODES, NOTHING).any()


def test_the_gaussian_prior_is_the_gradient_of_its_log_density():
    codes = CODES.clone().requires_grad_()
    density = torch.distributions.Normal(0.5, 2.0).log_prob(codes).sum()
    (expected,) = torch.autograd.grad(density, codes)
    torch.testing.assert_close(GaussianPrior(0.5, 2.0)(CODES, NOTHING), expected)


def test_the_length_prior_is_the_gradient_of_the_density_of_lengths():
    codes = CODES.clone().requires_grad_()
    length = codes.norm()
    (expected,) = torch.autograd.grad(5 * length.log() - length**2 / 2, codes)  # chi with six degrees of freedom
    torch.testing.assert_close(LengthPrior()(CODES, NOTHING), expected)
    assert torch.isfinite(LengthPrior()(torch.zeros(1, 6), NOTHING)).all()


def test_the_l2_prior_of_ppgn_shrinks_the_code():
    torch.testing.assert_close(GaussianPrior(name="l2")(CODES, NOTHING), -CODES)


def test_an_autoencoder_gives_what_it_changes():
    torch.testing.assert_close(AutoencoderPrior(lambda codes: 0.9 * codes + 1)(CODES, NOTHING), 1 - 0.1 * CODES)


def test_the_joint_prior_encodes_the_picture_again():
    decoder = ToyDecoder()
    found = JointPrior(decoder.encode)(CODES, decoder(CODES))
    torch.testing.assert_close(found, decoder.encode(decoder(CODES)) - CODES)


def test_no_prior_leaves_a_path_for_gradients():
    codes, decoder = CODES.clone().requires_grad_(), ToyDecoder()
    weight = torch.ones(1, requires_grad=True)
    for prior in (
        NoPrior(),
        GaussianPrior(),
        LengthPrior(),
        AutoencoderPrior(lambda h: h * weight),
        JointPrior(lambda images: decoder.encode(images) * weight),
    ):
        assert not prior(codes, decoder(codes)).requires_grad, prior.name
