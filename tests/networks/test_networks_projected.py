import pytest
import torch

from telephonegan.networks.projected import ProjectedDiscriminator, ProjectedHead

SHAPES = {4: (6, 16), 8: (5, 8), 16: (7, 4)}


def pyramid(batch=3, **options):
    g = torch.Generator().manual_seed(0)
    return {stride: torch.randn(batch, c, r, r, generator=g, **options) for stride, (c, r) in SHAPES.items()}


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return ProjectedDiscriminator(SHAPES, embedding_width=9, width=4)


def test_every_head_gives_sixteen_logits_for_each_batch_of_sentences(discriminator):
    one, two = discriminator(pyramid(), torch.randn(3, 9), torch.randn(3, 9))
    assert one.shape == two.shape == (3, 16 * len(SHAPES))


def test_the_logits_depend_on_the_sentence(discriminator):
    discriminator.eval()
    sentence = torch.randn(3, 9)
    same, again, other = discriminator(pyramid(), sentence, sentence, sentence.roll(1, 0))
    assert torch.equal(same, again)
    assert (same - other).abs().amax(dim=1).min() > 1e-3


def test_the_length_of_a_sentence_embedding_does_not_matter():
    head = ProjectedHead(6, 8, 9, 4).eval()
    sentence = torch.randn(2, 9)
    own, longer = head(torch.randn(2, 6, 8, 8), sentence, 7 * sentence)
    torch.testing.assert_close(own, longer, rtol=1e-4, atol=1e-5)


def test_without_the_sentences_projection_only_the_unconditional_term_is_left():
    head = ProjectedHead(6, 8, 9, 4).eval()
    torch.nn.init.zeros_(head.sentence.weight)
    torch.nn.init.zeros_(head.sentence.bias)
    features = torch.randn(2, 6, 8, 8)
    expected = head.unconditional(head.trunk(head.mixing(features))).flatten(1)
    torch.testing.assert_close(head(features, torch.randn(2, 9))[0], expected)


def test_the_logits_of_a_picture_do_not_depend_on_its_neighbours(discriminator):
    discriminator.eval()
    features, sentence = pyramid(), torch.randn(3, 9)
    (together,) = discriminator(features, sentence)
    (alone,) = discriminator({stride: f[1:2] for stride, f in features.items()}, sentence[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


def test_the_gradient_reaches_the_features_of_every_level(discriminator):
    features = pyramid(requires_grad=True)
    (logits,) = discriminator(features, torch.randn(3, 9))
    for gradient in torch.autograd.grad(logits.sum(), list(features.values())):
        assert gradient.abs().amax(dim=(1, 2, 3)).min() > 0


def test_only_the_mixing_of_channels_is_frozen(discriminator):
    frozen = {name for name, p in discriminator.named_parameters() if not p.requires_grad}
    assert frozen == {f"heads.{stride}.mixing.weight" for stride in SHAPES}
    (logits,) = discriminator(pyramid(), torch.randn(3, 9))
    logits.sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name


def test_trained_convolutions_have_spectral_norm_one(discriminator):
    for _ in range(200):
        discriminator(pyramid(), torch.randn(3, 9))
    discriminator.eval()
    weights = [
        m.weight for m in discriminator.modules() if isinstance(m, torch.nn.Conv2d) and hasattr(m, "parametrizations")
    ]
    assert len(weights) >= 3 * len(SHAPES)
    for weight in weights:
        assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)


def test_the_finest_level_has_the_smaller_head(discriminator):
    widths = {stride: head.mixing.out_channels for stride, head in discriminator.heads.items()}
    assert widths == {"4": 4, "8": 8, "16": 8}
