"""The published networks' own numbers, one reference file after the other, through the loader of published checkpoints.

Weights and inputs follow from their names by a formula, so that no checkpoint is needed.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from telephonegan.errors import TextError
from telephonegan.networks.attngan import Discriminator, Generator
from telephonegan.networks.captioner import LSTMDecoder
from telephonegan.networks.damsm import (
    TextEncoder,
    matching_loss,
    sentence_scores,
    word_region_attention,
    word_scores,
)
from telephonegan.text import Vocabulary, padding_mask
from telephonegan.training.objective import discriminator_loss, kl_divergence
from telephonegan.zoo.published import load_published
from tests.formula import published_sampler

LENGTHS = (9, 4)
GENERATORS = {
    "g_net_coco": "G@coco_attn2",
    "g_net_bird": "G@bird_attn2",
    "g_dcgan_bird": "G@bird_attnDCGAN2",
    "g_net_tiny": {"residual_blocks": 3},
    "g_net_tiny_branch2": {"residual_blocks": 3, "branches": 2},
    "g_net_tiny_branch1": {"residual_blocks": 3, "branches": 1},
    "g_dcgan_tiny": {"residual_blocks": 0, "previews": False},
}
TINY_GENERATOR = {"channels": 2, "embedding_width": 8, "condition_width": 5, "noise_width": 6}
TEXT_ENCODERS = {
    "rnn_bird": "RNN_ENCODER@bird5450",
    "rnn_coco": "RNN_ENCODER@coco27297",
    "rnn_gru_bird": "RNN_ENCODER_GRU@5450",
    "rnn_fc_golemxlv": "RNN_ENCODER_fc_golemxlv@5450",
    "rnn_fc_awin9": "RNN_ENCODER_fc_awin9@5450",
    "rnn_tiny": None,
}
DECODERS = {"decoder_9956": (None, 256), "decoder_tiny": (1, 8), "decoder_tiny_2layer": (2, 8)}
DISCRIMINATORS = [f"D_NET{size}_{data}" for size in (64, 128, 256) for data in ("bird", "coco")]
OTHERS = ["cnn_encoder", "encoder_resnet152", "losses_tiny"]


@pytest.fixture
def published(formula, published_keys, keys_of):
    """The network of a published key table, or of a tiny network of ours, with the formula's numbers."""

    def build(table_or_net, kind, gain=2.0):
        shapes = published_keys(table_or_net) if isinstance(table_or_net, str) else keys_of(table_or_net)
        net = load_published(formula.state(shapes, gain=gain), kind)
        assert not net.training
        return net

    return build


def close(found, expected, rtol=1e-5, atol=1e-4):
    found = found.detach().numpy() if isinstance(found, torch.Tensor) else found
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


def test_every_reference_file_has_its_test(shared):
    known = {f"{name}_b{n}" for name in GENERATORS for n in (1, 2)} | {
        *TEXT_ENCODERS,
        *DECODERS,
        *DISCRIMINATORS,
        *OTHERS,
    }
    assert {path.stem for path in (shared / "golden" / "formula").glob("*.npz")} == known


def generator_inputs(formula, net, lengths):
    batch, mask = len(lengths), padding_mask(torch.tensor(lengths))
    words = formula.input("words_embs", batch, net.ca_net.fc.in_features, max(lengths))
    return {
        "noise": formula.input("z", batch, net.noise_width, scale=1.7),
        "sentence_embedding": formula.input("sent_emb", batch, net.ca_net.fc.in_features),
        "word_embeddings": words.masked_fill(mask[:, None], 0.0),
        "mask": mask,
        "eps": formula.input("eps", batch, net.condition_width, scale=1.7),
    }


@pytest.fixture(params=GENERATORS)
def generator(request, published):
    spec = GENERATORS[request.param]
    net = published(spec if isinstance(spec, str) else Generator(**TINY_GENERATOR, **spec), "generator")
    return request.param, net


@torch.no_grad()
def test_generators_paint_the_published_pictures(generator, formula):
    name, net = generator
    expected = formula.expected(f"{name}_b1")
    images, attentions, mu, logvar = net(**generator_inputs(formula, net, LENGTHS[:1]))
    close(mu, expected["mu"])
    close(logvar, expected["logvar"])
    assert len(images) == sum(key.startswith("img") and "__" not in key for key in expected)
    for i, image in enumerate(images):
        close(formula.thinned(image), expected[f"img{i}"])
    for i, attention in enumerate(attentions):
        close(formula.thinned(attention), expected[f"att{i}"])


@torch.no_grad()
def test_captions_of_mixed_lengths_are_painted_as_alone_and_with_the_legacy_mask_as_published(generator, formula):
    name, net = generator
    expected, given = formula.expected(f"{name}_b2"), generator_inputs(formula, net, LENGTHS)
    images, attentions, *_ = net(**given)
    net.legacy_mask = True
    legacy_images, legacy_attentions, *_ = net(**given)
    for i, (image, legacy) in enumerate(zip(images, legacy_images, strict=True)):
        close(formula.thinned(legacy), expected[f"img{i}"])
        for row in range(2):
            close(formula.thinned(image[row : row + 1]), expected[f"alone{row}_img{i}"])
    for i, (attention, legacy) in enumerate(zip(attentions, legacy_attentions, strict=True)):
        close(formula.thinned(legacy), expected[f"att{i}"])
        for row, length in enumerate(LENGTHS):
            close(formula.thinned(attention[row : row + 1, :length]), expected[f"alone{row}_att{i}"])


@pytest.mark.parametrize("name", TEXT_ENCODERS)
@torch.no_grad()
def test_texts_are_encoded_as_published(name, published, formula):
    net = published(TEXT_ENCODERS[name] or TextEncoder(40, word_width=12, width=8), "text_encoder")
    expected = formula.expected(name)
    words, sentences = net(torch.from_numpy(expected["captions"]), torch.tensor([12, 7, 1]))
    close(words, expected["words_embs"], atol=1e-5)
    close(sentences, expected["sent_emb"], atol=1e-5)


@pytest.mark.parametrize("name", DISCRIMINATORS)
@torch.no_grad()
def test_discriminators_judge_as_published(name, published, formula):
    size, data = name.removeprefix("D_NET").split("_")
    net, expected = published(f"D_NET{size}@{data}_attn2", "discriminator"), formula.expected(name)
    features = net(formula.input(f"d{size}", 2, 3, int(size), int(size)))
    close(formula.thinned(features), expected["features"])
    close(net.COND_DNET(features, formula.input("d_sent", 2, 256)), expected["cond"])
    close(net.UNCOND_DNET(features), expected["uncond"])


@torch.no_grad()
def test_pictures_are_encoded_as_published_with_either_way_of_enlarging(published, formula):
    net, expected = published("CNN_ENCODER", "image_encoder"), formula.expected("cnn_encoder")
    assert net.align_corners
    for size, align_corners, suffix in ((256, True, "256_align_corners"), (256, False, "256"), (299, True, "299")):
        net.align_corners = align_corners
        regions, code = net(formula.input(f"img{size}", 1, 3, size, size))
        close(formula.thinned(regions), expected[f"features_{suffix}"])
        close(code, expected[f"code_{suffix}"])


@torch.no_grad()
def test_the_captioners_encoder_sees_what_the_published_one_saw(published, formula):
    net, expected = published("yunjey.EncoderCNN", "captioner_encoder"), formula.expected("encoder_resnet152")
    found = net(formula.input("img224", 1, 3, 224, 224, scale=2.0))
    close(found, expected["out"], atol=1e-3)
    close(found[0, :3], [18.42247, 265.69843, -55.24347], atol=1e-3)


@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_captions_are_those_of_the_published_decoder(name, published, formula):
    layers, width = DECODERS[name]
    tiny = layers and LSTMDecoder(20, embedding_width=8, hidden_width=16, layers=layers)
    net = published(tiny or "yunjey.DecoderRNN@9956", "captioner_decoder", gain=12.0)
    expected, feature = formula.expected(name), formula.input("cap_feat", 2, width, scale=1.7)
    assert published_sampler(net, feature).tolist() == expected["sample_ids"].tolist()
    logits = net(feature, torch.from_numpy(expected["captions"]))
    packed = pack_padded_sequence(logits, torch.tensor([6, 4]), batch_first=True).data
    close(packed[:, :64], expected["logits_first64"])
    assert packed.argmax(1).tolist() == expected["logits_argmax"].tolist()


# ----------------------------------------------------------------------------------------------------- losses


@pytest.fixture
def batch(formula):
    lengths = torch.tensor([5, 4, 4, 2])
    words = formula.input("l_words", 4, 8, 5).masked_fill(padding_mask(lengths)[:, None], 0.0)
    return words, padding_mask(lengths), lengths


@pytest.mark.parametrize("suffix, classes", [("none", None), ("mask", [3, 1, 3, 2])])
def test_matching_losses_are_the_published_ones_in_either_direction(suffix, classes, batch, formula):
    words, mask, _ = batch
    expected = formula.expected("losses_tiny")
    same = None if classes is None else torch.tensor(classes)[:, None] == torch.tensor(classes)
    by_words = word_scores(formula.input("l_feat", 4, 8, 17, 17), words, mask)
    by_sentence = sentence_scores(formula.input("l_code", 4, 8), formula.input("l_sent", 4, 8))
    for scores, name in ((by_words, "w"), (by_sentence, "s")):
        both = expected[f"{name}0_{suffix}"] + expected[f"{name}1_{suffix}"]
        close(matching_loss(scores, same=same), both, atol=1e-5)


def test_words_look_at_the_published_regions(batch, formula):
    words, mask, lengths = batch
    attention = word_region_attention(formula.input("l_feat", 4, 8, 17, 17), words, mask)
    expected = formula.expected("losses_tiny")
    for i, length in enumerate(lengths.tolist()):
        close(attention[i, :, i, :length].T.unflatten(1, (17, 17)), expected[f"att{i}"][0], atol=1e-6)


@pytest.mark.parametrize("size, unconditional", [(64, True), (128, True), (256, True), (256, False)])
def test_discriminator_losses_are_the_published_ones(size, unconditional, formula):
    net = Discriminator(size, channels=2, embedding_width=8, unconditional=unconditional)
    net = formula.fill(net).train()
    real, fake = (formula.input(f"{what}{size}", 4, 3, size, size) for what in ("real", "fake"))
    loss = discriminator_loss(net, real, fake, formula.input("l_sent", 4, 8))
    close(loss, formula.expected("losses_tiny")[f"errD{size}_jcu{int(unconditional)}"], atol=1e-5)


def test_the_divergence_of_the_conditioning_is_the_published_one(formula):
    kl = kl_divergence(formula.input("mu", 4, 5), formula.input("lv", 4, 5))
    close(kl, formula.expected("losses_tiny")["kl"], atol=1e-6)


# ---------------------------------------------------------------------------------------------------- words


def test_tokens_and_ids_are_those_of_the_published_code(shared):
    reference = json.loads((shared / "golden" / "tokenisation.json").read_text(encoding="utf-8"))
    vocabulary = Vocabulary(sorted(reference["vocab"], key=reference["vocab"].get), ascii_only=True)
    for row in reference["rows"]:
        if row["ids"]:
            assert vocabulary.encode(row["text"]).ids == row["ids"], row["text"]
        else:
            with pytest.raises(TextError):
                vocabulary.encode(row["text"])
