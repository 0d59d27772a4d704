import math

import pytest
import torch
from torch.nn import functional as F

from telephonegan.networks.damsm import (
    ImageEncoder,
    TextEncoder,
    damsm_loss,
    matching_loss,
    pooled_features,
    region_features,
    sentence_scores,
    word_region_attention,
    word_scores,
)
from telephonegan.text import pad, padding_mask

LENGTHS = torch.tensor([5, 2, 3])


def score_of_one_pair(region, words, gamma1, gamma2):
    """Words (D,T) of one text against the regions (D,h,w) of one picture, word by word."""
    context = region.flatten(1)
    relevance = (context.T @ words).softmax(dim=1)
    total = 0.0
    for t in range(words.shape[1]):
        weights = (gamma1 * relevance[:, t]).softmax(dim=0)
        attended = sum(weights[r] * context[:, r] for r in range(context.shape[1]))
        cosine = (attended @ words[:, t]) / (attended.norm() * words[:, t].norm()).clamp_min(1e-8)
        total = total + (gamma2 * cosine).exp()
    return total.log()


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    words = torch.randn(3, 6, 5, generator=g)
    return torch.randn(4, 6, 2, 3, generator=g), words.masked_fill(padding_mask(LENGTHS)[:, None], 0.0)


def test_word_scores_equal_a_loop_over_pairs(batch):
    regions, words = batch
    found = word_scores(regions, words, padding_mask(LENGTHS), gamma1=4.0, gamma2=5.0)
    expected = torch.stack(
        [
            torch.stack([score_of_one_pair(r, w[:, :n], 4.0, 5.0) for w, n in zip(words, LENGTHS, strict=True)])
            for r in regions
        ]
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_word_score_gradients_equal_those_of_the_loop(batch):
    regions, words = (part.clone().requires_grad_() for part in batch)
    found = torch.autograd.grad(word_scores(regions, words, padding_mask(LENGTHS)).sum(), (regions, words))
    loop = sum(score_of_one_pair(r, w[:, :n], 4.0, 5.0) for r in regions for w, n in zip(words, LENGTHS, strict=True))
    expected = torch.autograd.grad(loop, (regions, words))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.isfinite().all()
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_what_stands_on_padding_does_not_matter(batch):
    regions, words = batch
    mask = padding_mask(LENGTHS)
    rubbish = torch.where(mask[:, None], torch.full_like(words, 9.0), words)
    torch.testing.assert_close(word_scores(regions, rubbish, mask), word_scores(regions, words, mask))


def test_the_attention_of_every_word_sums_to_one_over_the_regions(batch):
    attention = word_region_attention(*batch, padding_mask(LENGTHS))
    assert attention.shape == (4, 6, 3, 5)
    torch.testing.assert_close(attention.sum(1), torch.ones(4, 3, 5))


def test_sentence_scores_are_cosines():
    codes, sentences = torch.randn(4, 6), torch.randn(3, 6)
    torch.testing.assert_close(
        sentence_scores(codes, sentences), F.cosine_similarity(codes[:, None], sentences[None], dim=2)
    )
    assert torch.equal(sentence_scores(torch.zeros(1, 6), sentences), torch.zeros(1, 3))


def test_equal_scores_cost_the_logarithm_of_the_batch_in_each_direction():
    assert matching_loss(torch.full((8, 8), 0.3)).item() == pytest.approx(2 * math.log(8), rel=1e-5)


def test_a_lead_of_the_right_pair_costs_the_logistic_of_it():
    lead, gamma3 = 0.4, 10.0
    expected = 2 * math.log(1 + 4 * math.exp(-gamma3 * lead))
    assert matching_loss(lead * torch.eye(5), gamma3=gamma3).item() == pytest.approx(expected, rel=1e-4)


def test_both_directions_count():
    by_rows = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    row_wise = F.cross_entropy(10 * by_rows, torch.arange(2)) + F.cross_entropy(10 * by_rows.T, torch.arange(2))
    torch.testing.assert_close(matching_loss(by_rows), row_wise)
    torch.testing.assert_close(matching_loss(by_rows.T), matching_loss(by_rows))


def test_pairs_of_one_class_are_no_mismatches():
    scores = torch.randn(4, 4)
    labels = torch.tensor([7, 1, 7, 2])
    same = labels[:, None] == labels
    changed = scores.clone()
    changed[0, 2], changed[2, 0] = 50.0, 50.0
    assert matching_loss(changed, same=same).item() == pytest.approx(matching_loss(scores, same=same).item())
    assert matching_loss(changed) > matching_loss(scores) + 10
    two = torch.tensor([[0.1, 0.9], [0.8, 0.2]])
    assert matching_loss(two, same=torch.ones(2, 2, dtype=torch.bool)).item() == 0.0


def test_a_batch_of_one_costs_nothing():
    regions, codes = torch.randn(1, 6, 2, 2), torch.randn(1, 6)
    words, sentences = torch.randn(1, 6, 3), torch.randn(1, 6)
    assert [loss.item() for loss in damsm_loss(regions, codes, words, sentences, torch.tensor([3]))] == [0.0, 0.0]


# ------------------------------------------------------------------------------------------------ encoders


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return TextEncoder(20, word_width=6, width=8).eval()


def test_a_text_does_not_depend_on_its_neighbours_or_their_order(encoder):
    texts = [[3, 4, 5, 6, 7], [9], [8, 2, 19]]
    words, sentences = encoder(*pad(texts))
    shuffled_words, shuffled_sentences = encoder(*pad([texts[i] for i in (2, 0, 1)]))
    torch.testing.assert_close(shuffled_sentences, sentences[[2, 0, 1]])
    torch.testing.assert_close(shuffled_words, words[[2, 0, 1]])
    for i, text in enumerate(texts):
        alone_words, alone_sentence = encoder(*pad([text]))
        torch.testing.assert_close(alone_sentence[0], sentences[i])
        torch.testing.assert_close(alone_words[0], words[i, :, : len(text)])


def test_word_embeddings_are_zero_on_padding_and_as_wide_as_the_longest(encoder):
    ids, lengths = pad([[3, 4, 5], [9]])
    words, _ = encoder(F.pad(ids, (0, 4)), lengths)
    assert words.shape == (2, 8, 3)
    assert words[1, :, 1:].abs().max() == 0
    assert words[1, :, 0].abs().min() > 0


def test_the_sentence_is_the_last_state_of_either_direction(encoder):
    words, sentence = encoder(*pad([[3, 4, 5]]))
    torch.testing.assert_close(sentence[0, :4], words[0, :4, -1])
    torch.testing.assert_close(sentence[0, 4:], words[0, 4:, 0])


def test_the_text_encoder_is_the_published_one(formula, published_keys, keys_of):
    with torch.device("meta"):
        birds, coco = TextEncoder(5450), TextEncoder(27297)
    assert keys_of(birds) == published_keys("RNN_ENCODER@bird5450")
    assert keys_of(coco) == published_keys("RNN_ENCODER@coco27297")
    assert sum(p.numel() for p in birds.parameters()) == 2_075_320
    assert sum(p.numel() for p in coco.parameters()) == 8_629_420


def test_region_features_have_unit_mean_square_at_either_stride():
    pyramid = {16: 30 * torch.randn(2, 4, 6, 6), 32: 0.1 * torch.randn(2, 5, 3, 3)}
    regions = region_features(pyramid)
    assert regions.shape == (2, 9, 6, 6)
    for part in (regions[:, :4], regions[:, 4:]):
        torch.testing.assert_close(part.pow(2).mean((1, 2, 3)), torch.ones(2), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(regions[:, 4:, ::2, ::2], regions[:, 4:, 1::2, 1::2])


def test_region_features_of_a_picture_do_not_depend_on_its_neighbours():
    pyramid = {16: torch.randn(3, 4, 6, 6), 32: torch.randn(3, 5, 3, 3)}
    alone = region_features({stride: f[1:2] for stride, f in pyramid.items()})
    torch.testing.assert_close(region_features(pyramid)[1:2], alone)


def test_the_image_encoder_brings_regions_and_code_to_the_texts_width():
    regions, code = ImageEncoder(9, 7, 8)(torch.randn(2, 9, 3, 3), pooled_features(torch.randn(2, 7, 2, 2)))
    assert regions.shape == (2, 8, 3, 3)
    assert code.shape == (2, 8)
