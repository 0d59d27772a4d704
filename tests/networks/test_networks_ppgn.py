"""Codes of pictures, the generator that inverts them, and the autoencoder of codes."""

from __future__ import annotations

import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.networks.backbone import Backbone
from telephonegan.networks.ppgn import (
    PICTURE,
    CodeDiscriminator,
    CodeEncoder,
    CodeGenerator,
    FeatureAutoencoder,
    PrincipalAxes,
)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return Backbone("lite0", pretrained=False)


@pytest.fixture
def maps():
    """Feature maps of 200 photographs, with scales that differ between channels and cells."""
    draws = torch.Generator().manual_seed(0)
    scales = torch.rand(320, 4, 4, generator=draws) + torch.arange(320)[:, None, None] / 40
    return 3 + scales * torch.randn(200, 320, 4, 4, generator=draws)


def test_fitted_codes_have_mean_0_and_deviation_1(backbone, maps):
    codes = CodeEncoder(backbone).fit(maps).of_map(maps)
    assert codes.shape == (200, 1024)
    torch.testing.assert_close(codes.mean(0), torch.zeros(1024), atol=1e-4, rtol=0)
    torch.testing.assert_close(codes.std(0), torch.ones(1024), atol=1e-4, rtol=0)


def test_a_thousandth_of_the_coordinates_is_beyond_the_bound(backbone, maps):
    encoder = CodeEncoder(backbone).fit(maps)
    coordinates = encoder.axes.coordinates(encoder.of_map(maps))
    share = (coordinates.abs() > encoder.axes.bound).float().mean()
    assert share == pytest.approx(0.001, abs=1e-4)


@pytest.fixture
def codes():
    """2,000 codes of 12 numbers, most of whose variance is in three directions."""
    draws = torch.Generator().manual_seed(0)
    hidden = torch.randn(2000, 3, generator=draws) * torch.tensor([3.0, 2.0, 1.0])
    return hidden @ torch.randn(3, 12, generator=draws) + 0.1 * torch.randn(2000, 12, generator=draws)


def test_coordinates_of_codes_are_uncorrelated_and_of_deviation_1(codes):
    codes = codes - codes.mean(0)
    axes = PrincipalAxes(12, 5)
    axes.fit(codes)
    torch.testing.assert_close(torch.cov(axes.coordinates(codes).T), torch.eye(5), atol=1e-3, rtol=0)


def test_standard_normal_coordinates_are_codes_with_the_covariance_of_those_seen(codes):
    axes = PrincipalAxes(12, 12)
    axes.fit(codes)
    drawn = axes.codes(torch.randn(20000, 12, generator=torch.Generator().manual_seed(1)))
    wanted = torch.cov(codes.T)
    assert (torch.cov(drawn.T) - wanted).abs().max() < 0.05 * wanted.abs().max()


def test_codes_keep_what_lies_along_the_axes(codes):
    axes = PrincipalAxes(12, 3)
    axes.fit(codes)
    again = axes.codes(axes.coordinates(codes))
    assert 0.02 < (codes - again).square().sum() / codes.square().sum() * 100 < 1  # percent
    torch.testing.assert_close(axes.codes(axes.coordinates(again)), again, atol=1e-4, rtol=1e-4)


def test_axes_of_fewer_photographs_than_axes_are_finite():
    axes = PrincipalAxes(12, 12)
    axes.fit(torch.randn(4, 12, generator=torch.Generator().manual_seed(0)))
    assert torch.isfinite(axes.rows).all() and torch.isfinite(axes.coordinates(torch.ones(1, 12))).all()


def test_the_projection_keeps_the_directions_of_most_variance(backbone, maps):
    kept = CodeEncoder(backbone).fit(maps).projection
    torch.testing.assert_close(kept @ kept.T, torch.eye(64), atol=1e-4, rtol=0)
    cells = maps.permute(0, 2, 3, 1).flatten(0, 2)
    variance = torch.linalg.eigvalsh(torch.cov(cells.T)).flip(0)[:64].sum()
    assert (cells @ kept.T).var(0).sum() == pytest.approx(variance.item(), rel=1e-4)


def test_a_code_keeps_the_layout(backbone, maps):
    encoder = CodeEncoder(backbone).fit(maps)
    changed = maps[:1].clone()
    changed[:, :, 2, 1] += 5
    different = (encoder.of_map(changed) != encoder.of_map(maps[:1])).view(64, 4, 4).any(0)
    assert different.nonzero().tolist() == [[2, 1]]


def test_pictures_of_any_size_have_codes_and_gradients(backbone):
    encoder = CodeEncoder(backbone)
    for size in (16, 128, 200):
        image = torch.rand(1, 3, size, size).requires_grad_(True)
        encoder.encode(image).sum().backward()
        assert image.grad.abs().sum() > 0


def test_the_backbone_is_not_among_the_weights(backbone):
    assert set(CodeEncoder(backbone).state_dict()) == {"projection", "mean", "deviation", "axes.rows", "axes.largest"}


@pytest.mark.parametrize("size", [8, 16, 64, 128])
def test_pictures_have_their_size(size):
    assert CodeGenerator(channels=2, size=size)(torch.randn(2, 1024)).shape == (2, 3, size, size)


@pytest.mark.parametrize("size", [4, 48, 256])
def test_a_size_without_a_stage_is_refused(size):
    with pytest.raises(SettingsError, match="size must be 8, 16, 32, 64, 128"):
        CodeGenerator(size=size)


def test_a_grown_generator_begins_with_the_pictures_of_the_smaller_one():
    torch.manual_seed(0)
    small, large = CodeGenerator(channels=4, size=16), CodeGenerator(channels=4, size=32)
    for stage in small.stages.values():
        torch.nn.init.normal_(stage.to_image.weight, std=0.1)
    large.load_state_dict(large.state_dict() | small.state_dict())
    for net in (small, large):
        net.eval()
    codes = torch.randn(2, 1024)
    enlarged = torch.nn.functional.interpolate(small(codes), scale_factor=2, mode="bilinear")
    torch.testing.assert_close(large(codes), enlarged)


def test_folding_changes_no_picture():
    torch.manual_seed(0)
    net = CodeGenerator(channels=4, size=16)
    for stage in net.stages.values():
        torch.nn.init.normal_(stage.to_image.weight)
    net(torch.randn(8, 1024))  # so that the norms have statistics
    codes = torch.randn(2, 1024)
    before = net.eval()(codes)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.folded().modules())
    torch.testing.assert_close(net(codes), before, atol=1e-4, rtol=1e-4)


def test_the_linear_part_paints_what_is_linear_in_the_code():
    torch.manual_seed(0)
    codes = torch.randn(4000, 1024)
    images = (0.5 + codes[:, :1] @ torch.linspace(-0.3, 0.3, 192)[None]).view(-1, 3, 8, 8)
    net = CodeGenerator(channels=2, size=8)
    net.fit(codes[:3000], images[:3000])
    torch.testing.assert_close(net(codes[3000:]), images[3000:], atol=0.15, rtol=0)


def test_training_leaves_the_linear_part_alone():
    net = CodeGenerator(channels=2, size=8)
    net(torch.randn(2, 1024)).sum().backward()
    assert net.base.weight.grad is None and net.stages["8"].to_image.bias.grad is not None


def test_the_generator_for_128_pixels_takes_at_most_9_megabytes_in_half_precision():
    assert 2 * sum(p.numel() for p in CodeGenerator(size=128).parameters()) < 9e6


def test_an_autoencoder_returns_codes():
    codes = torch.randn(2, 1024)
    assert FeatureAutoencoder()(codes).shape == codes.shape


def test_a_pooled_code_is_the_mean_of_the_head_in_standard_deviations(backbone, maps):
    encoder = CodeEncoder(backbone, "pooled").fit(maps)
    codes = encoder.of_map(maps)
    assert codes.shape == (200, 1280) == (200, encoder.code_width)
    torch.testing.assert_close(codes.mean(0), torch.zeros(1280), atol=1e-4, rtol=0)
    pooled = backbone.head(maps).mean((2, 3))
    used = pooled.std(0) > 1e-3
    expected = (pooled - pooled.mean(0)) / pooled.std(0)
    torch.testing.assert_close(codes[:, used], expected[:, used], atol=1e-3, rtol=1e-3)


def test_a_pooled_code_does_not_know_where_things_are(backbone, maps):
    encoder = CodeEncoder(backbone, "pooled").fit(maps)
    torch.testing.assert_close(encoder.of_map(maps[:2].flip(3)), encoder.of_map(maps[:2]), atol=1e-4, rtol=1e-4)


def test_a_pooled_code_can_be_painted():
    net = CodeGenerator(channels=2, size=16, code="pooled")
    assert net.code_width == 1280 and net(torch.randn(2, 1280)).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    "build", [CodeGenerator, lambda **how: CodeEncoder(Backbone("lite0", pretrained=False), **how)]
)
def test_another_kind_of_code_is_refused(build):
    with pytest.raises(SettingsError, match="layout, pooled"):
        build(code="h9")


@pytest.mark.parametrize("size", [8, 64, 128])
def test_the_plain_discriminator_judges_a_picture_by_its_code(size):
    torch.manual_seed(0)
    net = CodeDiscriminator(size=size, width=4)
    pictures = {PICTURE: torch.randn(2, 3, size, size)}
    (own,) = net(pictures, codes := torch.randn(2, 1024))
    (others,) = net(pictures, codes.flip(0))
    assert own.shape == (2, 1) and not torch.allclose(own, others)
