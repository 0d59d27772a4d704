"""The published losses in closed form: what they pull where, and which pairs they compare."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from telephonegan.networks.attngan import Discriminator
from telephonegan.training.objective import adversarial_loss, discriminator_loss, kl_divergence

SENTENCES = torch.zeros(4, 3)
REAL, FAKE = torch.ones(4, 3, 8, 8), torch.zeros(4, 3, 8, 8)


class Judge(nn.Module):
    """Features are the picture; each head answers with a given function of them."""

    def __init__(self, conditional, alone=None) -> None:
        super().__init__()
        self.COND_DNET, self.UNCOND_DNET = conditional, alone

    def forward(self, images):
        return images


def constant(probability):
    return lambda features, *_: torch.full((len(features),), probability)


def by_picture(real, fake):
    """One probability for pictures of ones, another for pictures of zeros."""
    return lambda features, *_: torch.where(features[:, 0, 0, 0] > 0.5, real, fake)


def bce(probability: float, real: bool) -> float:
    return -math.log(probability if real else 1 - probability)


# ---------------------------------------------------------------------------------------------------- discriminators


@pytest.mark.parametrize("alone, expected", [(True, 2 * math.log(2)), (False, 2 * math.log(2))])
def test_a_discriminator_that_tosses_coins_loses_two_times_ln_2(alone, expected):
    judge = Judge(constant(0.5), constant(0.5) if alone else None)
    assert discriminator_loss(judge, REAL, FAKE, SENTENCES).item() == pytest.approx(expected)


def test_real_pictures_count_a_half_each_way_and_fakes_a_third():
    judge = Judge(by_picture(0.7, 0.2), by_picture(0.6, 0.1))
    # The photographs of other sentences get 0.7 too: this head does not read.
    expected = (bce(0.6, True) + bce(0.7, True)) / 2 + (bce(0.1, False) + bce(0.2, False) + bce(0.7, False)) / 3
    assert discriminator_loss(judge, REAL, FAKE, SENTENCES).item() == pytest.approx(expected)


def test_without_an_unconditional_head_real_pictures_count_whole_and_the_others_a_half():
    judge = Judge(by_picture(0.7, 0.2))
    expected = bce(0.7, True) + (bce(0.2, False) + bce(0.7, False)) / 2
    assert discriminator_loss(judge, REAL, FAKE, SENTENCES).item() == pytest.approx(expected)


@pytest.mark.parametrize("alone", [True, False])
def test_each_photograph_but_the_last_meets_the_sentence_of_the_next(alone):
    asked = []

    def conditional(features, sentences):
        asked.append((features[:, 0, 0, 0].tolist(), sentences[:, 0].tolist()))
        return torch.full((len(features),), 0.5)

    real = torch.arange(1.0, 5)[:, None, None, None].expand(4, 3, 8, 8)
    sentences = torch.arange(10.0, 50, 10)[:, None].expand(4, 3)
    discriminator_loss(Judge(conditional, constant(0.5) if alone else None), real, -real, sentences)
    assert sorted(asked) == sorted(
        [
            ([1, 2, 3, 4], [10, 20, 30, 40]),
            ([-1, -2, -3, -4], [10, 20, 30, 40]),
            ([1, 2, 3], [20, 30, 40]),
        ]
    )


def test_one_picture_alone_has_no_other_sentence_and_a_finite_loss():
    judge = Judge(by_picture(0.7, 0.2), by_picture(0.6, 0.1))
    expected = (bce(0.6, True) + bce(0.7, True)) / 2 + (bce(0.1, False) + bce(0.2, False)) / 3
    assert discriminator_loss(judge, REAL[:1], FAKE[:1], SENTENCES[:1]).item() == pytest.approx(expected)


def test_certainty_in_the_wrong_is_dear_and_finite():
    judge = Judge(by_picture(0.0, 1.0), by_picture(0.0, 1.0))
    assert 50 < discriminator_loss(judge, REAL, FAKE, SENTENCES).item() < math.inf


@pytest.mark.parametrize("unconditional", [True, False])
def test_a_discriminators_step_leaves_the_generator_alone(unconditional):
    torch.manual_seed(0)
    net = Discriminator(64, channels=2, embedding_width=3, unconditional=unconditional)
    fake = torch.rand(3, 3, 64, 64, requires_grad=True)
    discriminator_loss(net, torch.rand(3, 3, 64, 64), fake, SENTENCES[:3]).backward()
    assert fake.grad is None
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("unconditional", [True, False])
def test_steps_down_the_loss_tell_photographs_from_paintings(unconditional):
    torch.manual_seed(0)
    net = Discriminator(64, channels=2, embedding_width=3, unconditional=unconditional)
    real, fake = torch.rand(4, 3, 64, 64), -torch.rand(4, 3, 64, 64)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        losses.append(discriminator_loss(net, real, fake, SENTENCES))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert losses[-1] < losses[0]
    features = net(real), net(fake)
    found_real, found_fake = (net.COND_DNET(f, SENTENCES).mean() for f in features)
    assert found_real > found_fake


# --------------------------------------------------------------------------------------------------------- generator


def test_the_generator_loses_what_the_heads_do_not_believe():
    judge = Judge(constant(0.7), constant(0.2))
    assert adversarial_loss(judge, FAKE, SENTENCES).item() == pytest.approx(bce(0.7, True) + bce(0.2, True))
    assert adversarial_loss(Judge(constant(0.7)), FAKE, SENTENCES).item() == pytest.approx(bce(0.7, True))


def test_the_generators_gradient_makes_its_pictures_more_believable():
    torch.manual_seed(0)
    net = Discriminator(64, channels=2, embedding_width=3).eval()
    fake = torch.rand(3, 3, 64, 64, requires_grad=True)
    before = adversarial_loss(net, fake, SENTENCES[:3])
    before.backward()
    with torch.no_grad():
        assert adversarial_loss(net, fake - 0.1 * fake.grad / fake.grad.norm(), SENTENCES[:3]) < before


def test_losses_are_taken_in_single_precision():
    judge = Judge(lambda f, *_: torch.full((len(f),), 0.501, dtype=torch.bfloat16))
    for loss in (discriminator_loss(judge, REAL, FAKE, SENTENCES), adversarial_loss(judge, FAKE, SENTENCES)):
        assert loss.dtype == torch.float32
    assert kl_divergence(torch.zeros(2, 3).bfloat16(), torch.zeros(2, 3).bfloat16()).dtype == torch.float32


# -------------------------------------------------------------------------------------------------------- divergence


def test_the_divergence_is_torchs_own_averaged_over_pictures_and_dimensions():
    torch.manual_seed(0)
    mu, logvar = torch.randn(5, 7), torch.randn(5, 7)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(normal(mu, (logvar / 2).exp()), normal(0.0, 1.0)).mean()
    torch.testing.assert_close(kl_divergence(mu, logvar), expected)
    # The published mean over dimensions as well as pictures: two times the width is not two times the loss.
    torch.testing.assert_close(kl_divergence(mu.repeat(3, 2), logvar.repeat(3, 2)), expected)


def test_the_divergence_is_nothing_for_a_standard_gaussian_and_positive_for_every_other():
    assert kl_divergence(torch.zeros(3, 4), torch.zeros(3, 4)).item() == 0
    for mu, logvar in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)):
        assert kl_divergence(torch.full((3, 4), mu), torch.full((3, 4), logvar)).item() > 0
