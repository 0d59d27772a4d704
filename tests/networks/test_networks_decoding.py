import itertools
import math

import pytest
import torch

from telephonegan.errors import SettingsError
from telephonegan.networks.captioner import AttentionDecoder, LSTMDecoder
from telephonegan.networks.decoding import Markers, beam, greedy, log_probabilities, sample
from telephonegan.text import END, PAD, START, UNKNOWN, Vocabulary
from tests.formula import published_sampler

WORDS = [PAD, START, END, UNKNOWN, "a", "dog", "runs"]
MARKERS = Markers.of(Vocabulary(WORDS))
SAYABLE = [2, 4, 5, 6]


class TableDecoder:
    """Logits looked up by picture, step and last word, so that every sentence's probability is known."""

    shared_parts = 0

    def __init__(self, pictures=3, steps=8, seed=0, spread=2.0, cells=4):
        g = torch.Generator().manual_seed(seed)
        self.table = spread * torch.randn(pictures, steps, len(WORDS), len(WORDS), generator=g)
        self.maps = torch.randn(pictures, steps, len(WORDS), cells, generator=g).softmax(3)

    def start(self, features):
        return features, torch.zeros_like(features)

    def step(self, ids, state):
        picture, step = state
        return self.table[picture, step, ids], (picture, step + 1), self.maps[picture, step, ids]

    def log_probabilities(self, picture, ids):
        """Log-probability of each word of `ids`, by the definition: markers that are never said have none."""
        last, parts = MARKERS.start, []
        for step, word in enumerate(ids):
            logits = self.table[picture, step, last]
            parts.append((logits[word] - logits[SAYABLE].logsumexp(0)).item())
            last = word
        return parts

    def sentences(self, limit):
        """Every sentence: words and the end marker, or as many words as the limit allows."""
        words = [word for word in SAYABLE if word != MARKERS.end]
        for length in range(limit):
            yield from ([*said, MARKERS.end] for said in itertools.product(words, repeat=length))
        yield from map(list, itertools.product(words, repeat=limit))


PICTURES = torch.arange(3)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture
def decoder():
    return TableDecoder()


@pytest.fixture(params=["plain", "attending"])
def network(request):
    torch.manual_seed(0)
    widths = {"embedding_width": 6, "hidden_width": 8}
    if request.param == "plain":
        return LSTMDecoder(len(WORDS), **widths).eval(), 8 * torch.randn(5, 6)
    net = AttentionDecoder(len(WORDS), feature_width=5, **widths, value_width=7, attention_width=4).eval()
    torch.nn.init.normal_(net.linear.weight, 0, 3)
    return net, 8 * torch.randn(5, 9, 5)


def assert_consistent(decoder, sentence, picture, limit):
    """A sentence's own numbers are those of the table, and its attention rows are as many as its words."""
    complete = sentence.ids if len(sentence.ids) == limit else [*sentence.ids, MARKERS.end]
    parts = decoder.log_probabilities(picture, complete)
    assert sentence.log_probability == pytest.approx(sum(parts), abs=1e-4)
    assert sentence.probabilities == pytest.approx([math.exp(p) for p in parts[: len(sentence.ids)]], abs=1e-5)
    assert len(sentence.attention) == len(sentence.ids)
    last = MARKERS.start
    for step, word in enumerate(sentence.ids):
        torch.testing.assert_close(sentence.attention[step], decoder.maps[picture, step, last])
        last = word


# ---------------------------------------------------------------------------------------------- greedy


def test_greedy_takes_the_most_probable_word_each_time(decoder):
    for picture, sentence in enumerate(greedy(decoder, PICTURES, MARKERS, limit=8)):
        last, expected = MARKERS.start, []
        for step in range(8):
            word = max(SAYABLE, key=lambda w: decoder.table[picture, step, last, w].item())
            if word == MARKERS.end:
                break
            expected.append(last := word)
        assert sentence.ids == expected
        assert_consistent(decoder, sentence, picture, 8)


def test_greedy_stops_when_every_sentence_has_ended(decoder):
    decoder.table[:, 2, :, MARKERS.end] = 50.0
    calls = []
    step = decoder.step
    decoder.step = lambda ids, state: calls.append(1) or step(ids, state)
    sentences = greedy(decoder, PICTURES, MARKERS, limit=8)
    assert max(len(sentence.ids) for sentence in sentences) <= 2
    assert len(calls) <= 3


def test_greedy_equals_the_published_sampler_where_no_word_is_forbidden():
    torch.manual_seed(0)
    decoder, features = LSTMDecoder(len(WORDS), embedding_width=6, hidden_width=8).eval(), 8 * torch.randn(5, 6)
    for row, published in enumerate(published_sampler(decoder, features, steps=7).tolist()):
        start, ids = published[0], published[1:]
        (said,) = greedy(decoder, features[row : row + 1], Markers(start, MARKERS.end), limit=6)
        assert said.ids == ids[: ids.index(MARKERS.end) if MARKERS.end in ids else None]


@pytest.mark.parametrize("forbidden", [PAD, START, UNKNOWN])
def test_words_that_are_never_said_are_not_said_however_probable(decoder, forbidden):
    decoder.table[..., WORDS.index(forbidden)] = 40.0
    said = [
        *greedy(decoder, PICTURES, MARKERS),
        *sample(decoder, PICTURES, MARKERS, generators(0, 1, 2)),
        *(sentence for best in beam(decoder, PICTURES, MARKERS, limit=8) for sentence in best),
    ]
    assert all(set(sentence.ids) <= {4, 5, 6} for sentence in said)


def test_decoding_leaves_the_decoders_logits_alone(decoder):
    kept = torch.zeros(3, len(WORDS))
    decoder.step = lambda ids, state: (kept, state, None)
    greedy(decoder, PICTURES, MARKERS, limit=1)
    assert torch.equal(kept, torch.zeros(3, len(WORDS)))


@pytest.mark.parametrize(
    "decode",
    [greedy, beam, lambda *given, limit: sample(*given, generators(0, 1, 2), limit=limit)],
    ids=["greedy", "beam", "sample"],
)
def test_a_limit_below_one_is_an_error(decoder, decode):
    with pytest.raises(SettingsError, match="0"):
        decode(decoder, PICTURES, MARKERS, limit=0)


# ---------------------------------------------------------------------------------------------- beam


def test_a_beam_of_one_is_greedy(network):
    decoder, features = network
    narrow = beam(decoder, features, MARKERS, width=1, limit=10)
    for (one,), other in zip(narrow, greedy(decoder, features, MARKERS, limit=10), strict=True):
        assert one.ids == other.ids
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
        assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)


@pytest.mark.parametrize("power", [0.0, 0.7, 1.0])
def test_a_wide_beam_finds_the_best_of_all_sentences(decoder, power):
    limit = 4
    found = beam(decoder, PICTURES, MARKERS, width=130, limit=limit, length_power=power)
    for picture, best in enumerate(found):
        ranked = sorted(
            decoder.sentences(limit),
            reverse=True,
            key=lambda ids: sum(decoder.log_probabilities(picture, ids)) / len(ids) ** power,
        )
        for sentence, ids in zip(best[:20], ranked, strict=False):
            assert sentence.ids == [word for word in ids if word != MARKERS.end]
            assert_consistent(decoder, sentence, picture, limit)


def test_a_beam_holds_only_different_sentences_that_can_be_said(decoder):
    limit = 2
    for best in beam(decoder, PICTURES, MARKERS, width=30, limit=limit):
        said = [tuple(sentence.ids) for sentence in best]
        assert len(set(said)) == len(said) == 13
        assert all(math.isfinite(sentence.log_probability) for sentence in best)
        assert all(set(ids) <= {4, 5, 6} for ids in said)


def test_sentences_of_a_beam_come_best_first(decoder):
    for picture, best in enumerate(beam(decoder, PICTURES, MARKERS, width=5, limit=6, length_power=0.7)):
        scores = []
        for sentence in best:
            assert_consistent(decoder, sentence, picture, 6)
            scores.append(sentence.log_probability / min(6, len(sentence.ids) + 1) ** 0.7)
        assert scores == sorted(scores, reverse=True)


def test_a_pictures_beam_does_not_depend_on_its_neighbours(network):
    decoder, features = network
    together = beam(decoder, features, MARKERS, width=3, limit=10)
    for row in range(len(features)):
        (alone,) = beam(decoder, features[row : row + 1], MARKERS, width=3, limit=10)
        assert [s.ids for s in together[row]] == [s.ids for s in alone]
        assert [s.log_probability for s in together[row]] == pytest.approx([s.log_probability for s in alone], abs=1e-4)


def test_a_beam_may_be_wider_than_the_vocabulary(decoder):
    best = beam(decoder, PICTURES, MARKERS, width=len(WORDS) + 3, limit=4)[0]
    assert best[0].ids == beam(decoder, PICTURES, MARKERS, width=130, limit=4)[0][0].ids


def test_a_beam_of_nothing_is_an_error(decoder):
    with pytest.raises(SettingsError, match="0"):
        beam(decoder, PICTURES, MARKERS, width=0)


# ---------------------------------------------------------------------------------------------- sampling


def first_words(decoder, picture, count, **options):
    """The first word (or the end marker) of many samples for one picture."""
    rows = torch.full((count,), picture)
    drawn = sample(decoder, rows, MARKERS, generators(*range(count)), limit=1, **options)
    return torch.tensor([sentence.ids[0] if sentence.ids else MARKERS.end for sentence in drawn])


def distribution(decoder, picture, temperature=1.0):
    return (decoder.table[picture, 0, MARKERS.start, SAYABLE] / temperature).softmax(0)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_sampled_words_follow_their_probabilities(decoder, temperature):
    count = 1500
    words = first_words(decoder, 1, count, temperature=temperature)
    expected = distribution(decoder, 1, temperature) * count
    observed = torch.tensor([(words == word).sum() for word in SAYABLE])
    assert observed.sum() == count
    # The 0.9999 quantile of chi-square with three degrees of freedom.
    assert ((observed - expected) ** 2 / expected).sum() < 21.1


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.8])
def test_the_nucleus_is_the_smallest_set_that_holds_top_p(decoder, top_p):
    probabilities, order = distribution(decoder, 0).sort(descending=True)
    size = int((probabilities.cumsum(0) < top_p).sum()) + 1
    nucleus = {SAYABLE[i] for i in order[:size].tolist()}
    words = first_words(decoder, 0, 400, top_p=top_p)
    assert set(words.tolist()) == nucleus
    top_share = (words == SAYABLE[order[0]]).float().mean().item()
    assert top_share == pytest.approx((probabilities[0] / probabilities[:size].sum()).item(), abs=0.1)


@pytest.mark.parametrize("temperature", [1e-37, 1e-45, 5e-324])
def test_a_temperature_that_float32_cannot_hold_is_greedy(decoder, temperature):
    cold = first_words(decoder, 1, 20, temperature=1e-6)
    assert torch.equal(first_words(decoder, 1, 20, temperature=temperature), cold)
    assert len(cold.unique()) == 1


def test_a_temperature_towards_zero_is_greedy(network):
    decoder, features = network
    cold = sample(decoder, features, MARKERS, generators(*range(5)), temperature=1e-6, limit=10)
    assert [s.ids for s in cold] == [s.ids for s in greedy(decoder, features, MARKERS, limit=10)]


def test_a_tiny_nucleus_is_greedy(network):
    decoder, features = network
    narrow = sample(decoder, features, MARKERS, generators(*range(5)), top_p=1e-6, limit=10)
    assert [s.ids for s in narrow] == [s.ids for s in greedy(decoder, features, MARKERS, limit=10)]


def test_a_pictures_sample_depends_on_its_own_generator_only(decoder):
    def said(pictures, seeds):
        return [s.ids for s in sample(decoder, torch.tensor(pictures), MARKERS, generators(*seeds), limit=8)]

    together = said([0, 1, 2, 0], [7, 8, 9, 10])
    assert together == [said([p], [s])[0] for p, s in ((0, 7), (1, 8), (2, 9), (0, 10))]
    assert said([2, 0, 0, 1], [9, 10, 7, 8]) == [together[i] for i in (2, 3, 0, 1)]


def test_other_seeds_say_other_sentences(decoder):
    rows = torch.zeros(30, dtype=torch.long)
    assert len({tuple(s.ids) for s in sample(decoder, rows, MARKERS, generators(*range(30)), limit=8)}) > 5


def test_a_sampled_sentence_tells_its_untempered_probabilities(decoder):
    for temperature in (0.5, 2.0):
        for picture, sentence in enumerate(
            sample(decoder, PICTURES, MARKERS, generators(1, 2, 3), limit=6, temperature=temperature)
        ):
            assert_consistent(decoder, sentence, picture, 6)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.0},
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_p": math.nan},
    ],
)
def test_options_outside_their_range_are_errors(decoder, options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        sample(decoder, PICTURES, MARKERS, generators(0, 1, 2), **options)


def test_one_generator_for_several_pictures_is_an_error(decoder):
    with pytest.raises(SettingsError, match="1 generators were given for 3"):
        sample(decoder, PICTURES, MARKERS, generators(0))


# ---------------------------------------------------------------------------------------------- attention


@pytest.mark.parametrize(
    "decode",
    [
        lambda *given: greedy(*given, limit=7),
        lambda *given: sample(*given, generators(*range(5)), limit=7),
        lambda *given: [best[0] for best in beam(*given, limit=7)],
    ],
    ids=["greedy", "sample", "beam"],
)
def test_there_is_one_row_of_attention_per_word_and_it_sums_to_one(network, decode):
    decoder, features = network
    for sentence in decode(decoder, features, MARKERS):
        assert len(sentence.probabilities) == len(sentence.ids)
        if isinstance(decoder, LSTMDecoder):
            assert sentence.attention is None
        else:
            assert sentence.attention.shape == (len(sentence.ids), 9)
            torch.testing.assert_close(sentence.attention.sum(1), torch.ones(len(sentence.ids)))


# ---------------------------------------------------------------------------------------------- given sentences


def test_the_log_probabilities_of_given_words_are_those_of_the_table(decoder):
    ids = torch.tensor([[4, 5, MARKERS.end], [6, 6, 6], [5, MARKERS.end, MARKERS.end]])
    found = log_probabilities(decoder, decoder.start(PICTURES), ids, MARKERS)
    expected = torch.tensor([decoder.log_probabilities(picture, row) for picture, row in enumerate(ids.tolist())])
    torch.testing.assert_close(found, expected)


def test_a_word_that_is_never_said_has_no_probability(decoder):
    found = log_probabilities(decoder, decoder.start(PICTURES[:1]), torch.tensor([[4, WORDS.index(UNKNOWN)]]), MARKERS)
    assert found[0, 0].isfinite() and found[0, 1] == float("-inf")


def test_a_decoded_sentence_scores_its_own_log_probability(network):
    decoder, features = network
    for row, said in enumerate(greedy(decoder, features, MARKERS, limit=7)):
        words = said.ids if len(said.ids) == 7 else [*said.ids, MARKERS.end]
        with torch.no_grad():
            found = log_probabilities(decoder, decoder.start(features[row : row + 1]), torch.tensor([words]), MARKERS)
        assert found.sum().item() == pytest.approx(said.log_probability, abs=1e-4)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_pictures_whose_sentences_are_complete_leave_the_others_undisturbed(width):
    torch.manual_seed(1)
    decoder = AttentionDecoder(len(WORDS), feature_width=8, dropout=0.0).eval()
    with torch.no_grad():
        decoder.linear.weight.mul_(30)  # so that some sentences end soon and others never
        decoder.output.weight.mul_(20)
    cells = 3 * torch.randn(8, 5, 8)
    together = beam(decoder, cells, MARKERS, width=width, limit=12)
    assert len({max(len(said.ids) for said in each) for each in together}) > 1
    for row, several in enumerate(together):
        [alone] = beam(decoder, cells[row : row + 1], MARKERS, width=width, limit=12)
        assert [said.ids for said in several] == [said.ids for said in alone]
        for one, other in zip(several, alone, strict=True):
            torch.testing.assert_close(one.attention, other.attention)
            assert one.log_probability == pytest.approx(other.log_probability, abs=1e-4)
