import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from telephonegan.errors import SettingsError
from telephonegan.networks.attngan import (
    ConditionalBatchNorm2d,
    Discriminator,
    Generator,
    UpsampledConv2d,
    WordAttention,
    initialise,
)
from telephonegan.text import padding_mask

LENGTHS = torch.tensor([5, 2, 3])
TINY = {
    "channels": 4,
    "base_size": 8,
    "branches": 2,
    "residual_blocks": 1,
    "embedding_width": 6,
    "condition_width": 5,
    "noise_width": 7,
}


def parameter_count(net):
    return sum(p.numel() for p in net.parameters())


def inputs(batch=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    words = torch.randn(batch, 6, int(LENGTHS.max()), generator=g)
    mask = padding_mask(LENGTHS)
    return {
        "noise": torch.randn(batch, 7, generator=g),
        "sentence_embedding": torch.randn(batch, 6, generator=g),
        "word_embeddings": words.masked_fill(mask[:, None], 0.0),
        "mask": mask,
        "eps": torch.randn(batch, 5, generator=g),
    }


@pytest.fixture(params=[False, True], ids=["published", "conditional"])
def generator(request):
    torch.manual_seed(0)
    net = Generator(**TINY, conditional=request.param)
    initialise(net)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, ConditionalBatchNorm2d):
            nn.init.normal_(module.modulation.weight, 0, 0.1)
    return net.eval()


# ---------------------------------------------------------------------------------- the enlarging convolution


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 1)])
def test_the_enlarging_convolution_is_doubling_then_convolving(size):
    conv = UpsampledConv2d(3, 5).double()
    x = torch.randn(2, 3, *size, dtype=torch.double, requires_grad=True)
    expected = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), conv.weight, padding=1)
    found = conv(x)
    torch.testing.assert_close(found, expected)
    towards = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, (x, conv.weight), towards),
        torch.autograd.grad(expected, (x, conv.weight), towards),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_the_enlarging_convolution_keeps_its_values_in_channels_last():
    conv, x = UpsampledConv2d(3, 5), torch.randn(2, 3, 4, 6)
    reordered = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(conv(reordered), conv(x))


@pytest.mark.parametrize("size", [(4, 4), (3, 5), (1, 1)])
def test_one_transposed_convolution_enlarges_and_convolves(size):
    conv, x = UpsampledConv2d(3, 5).double(), torch.randn(2, 3, *size, dtype=torch.double)
    torch.testing.assert_close(conv.as_transposed()(x), conv(x))


# ---------------------------------------------------------------------------------- attention to the words


def attention_of(legacy_mask, lengths=LENGTHS):
    torch.manual_seed(1)
    att, h = WordAttention(4, 6), torch.randn(3, 4, 2, 3)
    mask = padding_mask(lengths)
    words = torch.randn(3, 6, mask.shape[1]).masked_fill(mask[:, None], 0.0)
    return (*att(h, words, mask, legacy_mask=legacy_mask), att, h, words, mask)


def test_attention_sums_to_one_over_the_words_and_is_zero_on_padding():
    _, attention, *_, mask = attention_of(False)
    assert attention.shape == (3, 5, 2, 3)
    torch.testing.assert_close(attention.sum(1), torch.ones(3, 2, 3))
    assert attention.permute(0, 2, 3, 1)[mask[:, None, None].expand(-1, 2, 3, -1)].abs().max() == 0
    assert attention.permute(0, 2, 3, 1)[~mask[:, None, None].expand(-1, 2, 3, -1)].min() > 0


def test_the_context_is_the_attended_sum_of_projected_words():
    context, attention, att, h, words, _ = attention_of(False)
    projected = torch.einsum("gd,bdl->bgl", att.conv_context.weight[:, :, 0, 0], words)
    torch.testing.assert_close(context, torch.einsum("bgl,blhw->bghw", projected, attention))
    logits = torch.einsum("gl,g->l", projected[0], h[0, :, 1, 2])
    torch.testing.assert_close(attention[0, :, 1, 2], logits.softmax(0))


def test_the_legacy_mask_hides_row_r_of_the_flattened_batch_by_sample_r_modulo_the_batch():
    _, attention, att, h, words, mask = attention_of(True)
    projected = torch.einsum("gd,bdl->bgl", att.conv_context.weight[:, :, 0, 0], words)
    rows = torch.einsum("bgq,bgl->bql", h.flatten(2), projected).flatten(0, 1)
    for r, logits in enumerate(rows):
        expected = logits.masked_fill(mask[r % 3], float("-inf")).softmax(0)
        torch.testing.assert_close(attention[r // 6, :, r % 6 // 3, r % 3], expected)
    assert not torch.allclose(attention, attention_of(False)[1])


def test_the_legacy_mask_is_right_for_equal_lengths():
    equal = torch.tensor([3, 3, 3])
    torch.testing.assert_close(attention_of(True, equal)[1], attention_of(False, equal)[1])


# ---------------------------------------------------------------------------------- the generator


def test_a_text_is_painted_alike_alone_and_in_a_batch_of_mixed_lengths(generator):
    given = inputs()
    images, attentions, mu, _ = generator(**given)
    for i, length in enumerate(LENGTHS.tolist()):
        own = {name: value[i : i + 1] for name, value in given.items()}
        own["word_embeddings"], own["mask"] = own["word_embeddings"][:, :, :length], own["mask"][:, :length]
        alone_images, alone_attentions, alone_mu, _ = generator(**own)
        for together, alone in zip(images, alone_images, strict=True):
            torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(attentions[0][i : i + 1, :length], alone_attentions[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mu[i : i + 1], alone_mu)


def test_the_legacy_mask_changes_pictures_of_mixed_lengths(generator):
    given = inputs()
    right = generator(**given)[0][-1]
    generator.legacy_mask = True
    assert not torch.allclose(generator(**given)[0][-1], right)


def test_pictures_double_in_size_and_stay_within_the_range(generator):
    images, attentions, mu, logvar = generator(**inputs())
    assert [tuple(image.shape) for image in images] == [(3, 3, 8, 8), (3, 3, 16, 16)]
    assert [tuple(attention.shape) for attention in attentions] == [(3, 5, 8, 8)]
    assert mu.shape == logvar.shape == (3, 5)
    assert generator.size == 16
    assert all(image.abs().max() <= 1 for image in images)


def test_eps_fixes_the_picture_and_its_absence_draws_one(generator):
    given = inputs()
    torch.manual_seed(1)
    first = generator(**given)[0][-1]
    torch.manual_seed(2)
    assert torch.equal(generator(**given)[0][-1], first)
    given["eps"] = None
    drawn = generator(**given)[0][-1]
    assert not torch.equal(generator(**given)[0][-1], drawn)


def test_the_condition_is_mu_plus_eps_times_the_deviation(generator):
    given = inputs()
    condition, mu, logvar = generator.ca_net(given["sentence_embedding"], given["eps"])
    torch.testing.assert_close(condition, mu + given["eps"] * logvar.exp().sqrt())
    torch.testing.assert_close(generator.ca_net(given["sentence_embedding"], torch.zeros(3, 5))[0], mu)


def test_calibrated_conditions_differ_between_sentences_and_hardly_within_one():
    torch.manual_seed(0)
    net = Generator(**{**TINY, "embedding_width": 16, "condition_width": 4}, conditional=True)
    initialise(net)
    sentences = 0.05 * torch.randn(500, 16) + torch.randn(16)
    net.ca_net.calibrate(sentences)
    _, mu, logvar = net.ca_net(sentences, torch.zeros(500, 4))
    assert mu.mean(0).abs().max() < 0.1
    assert ((mu.std(0) > 0.5) & (mu.std(0) < 1.2)).all()
    assert (0.5 * logvar).exp().mean() < 0.3


@pytest.mark.parametrize("sentences", [torch.ones(1, 6), torch.full((5, 6), 0.1)], ids=["one", "equal"])
def test_calibrating_where_nothing_differs_leaves_finite_conditions(sentences):
    net = Generator(**TINY)
    net.ca_net.calibrate(sentences)
    assert net.ca_net.fc.weight.isfinite().all()
    assert net.ca_net(sentences)[1].abs().max() < 1e-3


@pytest.mark.parametrize("name", ["noise", "sentence_embedding", "word_embeddings"])
def test_pictures_depend_on_every_input(generator, name):
    given = inputs()
    changed = {**given, name: given[name] + 0.5}
    assert not torch.allclose(generator(**changed)[0][-1], generator(**given)[0][-1], atol=1e-4)


@pytest.mark.parametrize("branches", [1, 2, 3])
@pytest.mark.parametrize("base_size", [4, 16])
def test_any_number_of_stages_and_any_power_of_two_can_be_built(branches, base_size):
    net = Generator(**{**TINY, "branches": branches, "base_size": base_size}).eval()
    images, attentions, *_ = net(**inputs())
    assert [image.shape[-1] for image in images] == [base_size << i for i in range(branches)]
    assert [a.shape[-1] for a in attentions] == [base_size << i for i in range(branches - 1)]


@pytest.mark.parametrize("base_size", [0, 2, 6, 48])
def test_a_base_size_that_cannot_be_painted_is_an_error(base_size):
    with pytest.raises(SettingsError, match=str(base_size)):
        Generator(**{**TINY, "base_size": base_size})


def test_no_branch_is_an_error():
    with pytest.raises(SettingsError, match=r"branches.*0"):
        Generator(**{**TINY, "branches": 0})


def test_conditional_batch_norm_is_the_plain_one_where_its_modulation_is_zero():
    norm, x = ConditionalBatchNorm2d(4, 5), torch.randn(3, 4, 6, 6)
    nn.init.zeros_(norm.modulation.weight)
    nn.init.zeros_(norm.modulation.bias)
    torch.testing.assert_close(norm(x, torch.randn(3, 5)), nn.BatchNorm2d(4)(x))


def test_training_starts_without_modulation():
    net = Generator(**TINY, conditional=True)
    initialise(net)
    modulations = [module.modulation for module in net.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert modulations
    for modulation in modulations:
        assert modulation.weight.abs().max() == 0
        assert modulation.bias.abs().max() == 0


def test_training_starts_from_orthogonal_weights_and_zero_biases():
    net = Generator(**TINY)
    initialise(net)
    fc = net.ca_net.fc
    torch.testing.assert_close(fc.weight.T @ fc.weight, torch.eye(6), atol=1e-5, rtol=0)
    assert fc.bias.abs().max() == 0
    gains = net.h_net1.fc[1].weight
    assert (gains - 1).abs().max() < 0.12
    assert gains.std() > 0


def test_a_sketch_is_the_picture_of_the_first_stage(generator):
    given = inputs()
    images, *_ = generator(**given)
    sketch = generator.sketch(given["noise"], given["sentence_embedding"], given["eps"])
    torch.testing.assert_close(sketch, images[0])


@pytest.mark.parametrize("settings", [{"previews": False}, {"branches": 1}])
def test_a_generator_of_one_picture_has_no_sketch(settings):
    given = inputs()
    net = Generator(**TINY | settings).eval()
    assert net.sketch(given["noise"], given["sentence_embedding"]) is None


# ---------------------------------------------------------------------------------- folded for painting


def test_a_folded_generator_paints_the_same_pictures(generator):
    given = inputs()
    images, attentions, mu, _ = generator.double()(**doubled(given))
    folded = copy.deepcopy(generator).folded()
    ours, own_attentions, own_mu, _ = folded(**doubled(given))
    for one, other in zip([*ours, *own_attentions, own_mu], [*images, *attentions, mu], strict=True):
        torch.testing.assert_close(one, other)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | UpsampledConv2d) for m in folded.modules())
    assert not any(p.requires_grad for p in folded.parameters())


def test_folding_a_copy_leaves_the_generator_as_it_was(generator):
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    copy.deepcopy(generator).folded()
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())


@pytest.mark.parametrize("settings", [{"memory": True}, {"previews": False}, {"branches": 1}])
def test_other_generators_can_be_folded_too(settings):
    torch.manual_seed(3)
    net = Generator(**TINY | settings).double().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    expected = net(**doubled(inputs()))[0]
    for one, other in zip(copy.deepcopy(net).folded()(**doubled(inputs()))[0], expected, strict=True):
        torch.testing.assert_close(one, other)


def doubled(given):
    return {name: value.double() if value.is_floating_point() else value for name, value in given.items()}


# ---------------------------------------------------------------------------------- the published networks


@pytest.mark.parametrize(
    "settings, net",
    [
        ({"channels": 48, "residual_blocks": 3}, "G@coco_attn2"),
        ({"channels": 32, "residual_blocks": 2}, "G@bird_attn2"),
    ],
)
def test_the_generator_has_the_published_tensors_in_their_order(settings, net, published_keys, keys_of):
    with torch.device("meta"):
        generator = Generator(**settings)
    assert list(keys_of(generator).items()) == list(published_keys(net).items())


@pytest.mark.parametrize(
    "channels, blocks, total, first, following",
    [(48, 3, 13_811_456, 12_017_472, 843_648), (32, 2, 7_084_592, 6_444_928, 267_136)],
)
def test_the_generator_has_the_published_number_of_parameters(channels, blocks, total, first, following):
    with torch.device("meta"):
        net = Generator(channels=channels, base_size=64, branches=3, residual_blocks=blocks, conditional=False)
    assert parameter_count(net) == total
    assert parameter_count(net.ca_net) == 102_800
    assert parameter_count(net.h_net1) == first
    assert parameter_count(net.h_net2) == parameter_count(net.h_net3) == following
    assert parameter_count(net.img_net1) == 27 * channels


@pytest.mark.parametrize(
    "channels, size, count",
    [
        (64, 64, 6_313_730),
        (64, 128, 19_424_002),
        (64, 256, 71_858_946),
        (96, 64, 13_304_450),
        (96, 128, 42_800_258),
        (96, 256, 160_774_274),
    ],
)
def test_the_discriminators_have_the_published_number_of_parameters(channels, size, count):
    with torch.device("meta"):
        assert parameter_count(Discriminator(size, channels=channels)) == count


def test_the_discriminator_without_an_unconditional_head_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameter_count(Discriminator(256, unconditional=False)) == 71_850_753


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("data, channels", [("bird", 64), ("coco", 96)])
def test_the_discriminators_have_the_published_tensors(size, data, channels, published_keys, keys_of):
    with torch.device("meta"):
        net = Discriminator(size, channels=channels)
    assert list(keys_of(net).items()) == list(published_keys(f"D_NET{size}@{data}_attn2").items())


@pytest.mark.parametrize("size", [64, 128, 256])
def test_every_discriminator_ends_in_one_probability_per_picture(size):
    net = Discriminator(size, channels=2, embedding_width=6).eval()
    features = net(torch.rand(2, 3, size, size))
    assert features.shape == (2, 16, 4, 4)
    for found in (net.UNCOND_DNET(features), net.COND_DNET(features, torch.randn(2, 6))):
        assert found.shape == (2,)
        assert ((found > 0) & (found < 1)).all()


def test_a_picture_size_without_a_discriminator_is_an_error():
    with pytest.raises(SettingsError, match=r"64, 128.*32"):
        Discriminator(32)
