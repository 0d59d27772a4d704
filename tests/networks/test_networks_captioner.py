import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from telephonegan.networks.captioner import AttentionDecoder, CaptionModel, EncoderHead, LSTMDecoder
from telephonegan.networks.show_attend_tell import AttendingDecoder
from tests.formula import published_sampler

WIDTHS = {"embedding_width": 6, "hidden_width": 8}
IDS = torch.tensor([[1, 4, 5, 6], [1, 9, 2, 0]])


def parameter_count(net):
    return sum(p.numel() for p in net.parameters())


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def stepped(decoder, features, ids):
    """Logits after each word, said one at a time, and where each step looked."""
    state, logits, attentions = decoder.start(features), [], []
    for column in ids.T:
        step_logits, state, attention = decoder.step(column, state)
        logits.append(step_logits)
        attentions.append(attention)
    return torch.stack(logits, 1), attentions


# ------------------------------------------------------------------------------------- without attention


@pytest.mark.parametrize("layers", [1, 2])
def test_a_plain_decoder_says_step_by_step_what_teacher_forcing_says(layers):
    decoder, feature = LSTMDecoder(10, **WIDTHS, layers=layers).eval(), torch.randn(2, 6)
    forced = decoder(feature, IDS)
    assert forced.shape == (2, 5, 10)
    logits, attentions = stepped(decoder, feature, IDS)
    torch.testing.assert_close(logits, forced[:, 1:])
    assert attentions == [None] * 4


def test_the_published_sampler_takes_its_own_most_probable_word():
    decoder, feature = LSTMDecoder(10, **WIDTHS).eval(), torch.randn(3, 6)
    ids = published_sampler(decoder, feature, steps=7)
    assert ids.shape == (3, 7)
    assert torch.equal(decoder(feature, ids[:, :-1]).argmax(2), ids)


def test_the_plain_decoder_is_the_published_one(published_keys, keys_of):
    with torch.device("meta"):
        decoder = LSTMDecoder(9956)
    assert list(keys_of(decoder).items()) == list(published_keys("yunjey.DecoderRNN@9956").items())


def test_the_published_decoder_has_its_number_of_parameters():
    with torch.device("meta"):
        assert parameter_count(LSTMDecoder(9956)) == 9_233_124
        assert parameter_count(EncoderHead(2048)) == 525_056


# ------------------------------------------------------------------------------------- with attention


@pytest.fixture
def decoder():
    return AttentionDecoder(10, feature_width=5, **WIDTHS, value_width=7, attention_width=4).eval()


def test_an_attending_decoder_says_step_by_step_what_teacher_forcing_says(decoder):
    cells = torch.randn(2, 9, 5)
    forced, attention = decoder(cells, IDS)
    logits, attentions = stepped(decoder, cells, IDS)
    torch.testing.assert_close(logits, forced)
    torch.testing.assert_close(torch.stack(attentions, 1), attention)


def test_the_attention_of_every_word_sums_to_one_over_the_cells(decoder):
    _, attention = decoder(torch.randn(2, 9, 5), IDS)
    assert attention.shape == (2, 4, 9)
    torch.testing.assert_close(attention.sum(2), torch.ones(2, 4))


def test_an_attending_decoder_hears_the_earlier_words_and_not_the_later_ones(decoder):
    cells = torch.randn(2, 9, 5)
    changed = IDS.clone()
    changed[:, 2] = 7
    before, after = decoder(cells, IDS)[0], decoder(cells, changed)[0]
    torch.testing.assert_close(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 3], after[:, 3])


def test_shuffled_cells_shuffle_the_attention_and_leave_the_words(decoder):
    cells, order = torch.randn(1, 9, 5), torch.randperm(9)
    logits, attention = decoder(cells, IDS[:1])
    shuffled_logits, shuffled_attention = decoder(cells[:, order], IDS[:1])
    torch.testing.assert_close(shuffled_logits, logits)
    torch.testing.assert_close(shuffled_attention, attention[:, :, order])


# ------------------------------------------------------------------------------------- the trained part


@pytest.mark.parametrize("attention", [True, False])
def test_several_captions_of_a_picture_share_its_cells(attention):
    model = CaptionModel(10, attention=attention, feature_width=5, **WIDTHS).eval()
    cells, ids = torch.randn(2, 9, 5), torch.randint(1, 10, (6, 4))
    logits, _ = model(cells, ids)
    assert logits.shape == (6, 4, 10)
    for picture in range(2):
        for caption in range(3 * picture, 3 * picture + 3):
            alone, _ = model(cells[picture : picture + 1], ids[caption : caption + 1])
            torch.testing.assert_close(logits[caption : caption + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", [True, False])
def test_packed_logits_are_those_of_teacher_forcing_without_the_padding(attention):
    model = CaptionModel(10, attention=attention, feature_width=5, **WIDTHS).eval()
    cells, ids = torch.randn(3, 9, 5), torch.randint(1, 10, (5, 6))
    owners, lengths = torch.tensor([2, 0, 0, 1, 2]), torch.tensor([6, 4, 4, 2, 1])
    expected = pack_padded_sequence(model(cells[owners], ids)[0], lengths, batch_first=True).data
    torch.testing.assert_close(model.packed_logits(cells, owners, ids, lengths), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", [True, False])
def test_decoding_the_features_says_what_teacher_forcing_says(attention):
    model = CaptionModel(10, attention=attention, feature_width=5, **WIDTHS).eval()
    cells = torch.randn(2, 9, 5)
    torch.testing.assert_close(stepped(model.decoder, model.features(cells), IDS)[0], model(cells, IDS)[0])


@pytest.mark.parametrize("attention", [True, False])
def test_every_parameter_learns(attention):
    model = CaptionModel(10, attention=attention, feature_width=5, **WIDTHS, dropout=0.0)
    model(torch.randn(4, 9, 5), torch.randint(1, 10, (4, 4)))[0].pow(2).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


@pytest.mark.parametrize(
    "decoder", [AttentionDecoder(30, feature_width=8, dropout=0.0), AttendingDecoder(30, feature_width=8)]
)
def test_sentences_of_one_picture_share_its_cells(decoder):
    decoder.eval()
    torch.manual_seed(0)
    state = decoder.start(torch.randn(2, 5, 8))
    ids = torch.tensor([3, 7, 7, 9, 1, 4])
    own = [part.repeat_interleave(3, 0) for part in state]
    shared = [*own[: -decoder.shared_parts], *state[-decoder.shared_parts :]]
    for found, expected in zip(decoder.step(ids, shared)[::2], decoder.step(ids, own)[::2], strict=True):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected)
