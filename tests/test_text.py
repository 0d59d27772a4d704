import json
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from telephonegan.errors import TextError, WeightsError
from telephonegan.text import END, PAD, START, UNKNOWN, Vocabulary, pad, padding_mask, tokenise

SPECIALS = [PAD, START, END, UNKNOWN]


@pytest.fixture
def vocabulary():
    return Vocabulary([*SPECIALS, "a", "dog", "runs", "brown", "unk", "end"])


def test_words_are_lower_case_and_punctuation_is_dropped():
    assert tokenise("A dog's t-shirt,\tin 2 COLOURS…\n") == ["a", "dog", "s", "t", "shirt", "in", "2", "colours"]


def test_letters_of_other_languages_stay():
    assert tokenise("Ein Hündchen läuft по траве") == ["ein", "hündchen", "läuft", "по", "траве"]


def test_a_word_is_the_same_however_its_accents_are_stored():
    assert tokenise(unicodedata.normalize("NFD", "naïve Hündchen")) == ["naïve", "hündchen"]


def test_tokens_and_ids_agree_with_the_published_tokeniser(shared):
    published = json.loads((shared / "golden" / "tokenisation.json").read_text(encoding="utf-8"))
    vocabulary = Vocabulary(sorted(published["vocab"], key=published["vocab"].get))
    for row in published["rows"]:
        assert tokenise(row["text"]) == row["regexp_tokens"], row["text"]
        if row["ids"] and row["regexp_tokens"] == row["ascii_tokens"]:
            assert vocabulary.encode(row["text"]).ids == row["ids"], row["text"]


@given(st.text())
def test_tokenising_the_joined_words_again_changes_nothing(text):
    words = tokenise(text)
    assert tokenise(" ".join(words)) == words


@pytest.mark.parametrize("given_text", [None, 3, b"a dog", ["a", "dog"]])
def test_what_is_no_text_is_named_in_the_error(given_text):
    with pytest.raises(TextError, match=type(given_text).__name__):
        tokenise(given_text)


def test_encoding_reports_dropped_words_once_in_their_order(vocabulary):
    encoded = vocabulary.encode("a zebra, a happy zebra, runs")
    assert encoded.ids == [4, 4, 6]
    assert encoded.words == ["a", "a", "runs"]
    assert encoded.dropped == ["zebra", "happy"]
    assert encoded.truncated == 0


def test_the_limit_counts_known_words_only(vocabulary):
    encoded = vocabulary.encode("zebra a brown dog runs", limit=2)
    assert (encoded.words, encoded.dropped, encoded.truncated) == (["a", "brown"], ["zebra"], 2)


def test_a_text_cannot_say_a_marker(vocabulary):
    assert vocabulary.encode("<start> a <unk> <end>").ids == [4, 8, 9]
    assert vocabulary.encode("<start> a <unk> <end>").dropped == ["start"]
    assert not any(marker in vocabulary for marker in SPECIALS)


@pytest.mark.parametrize("text", ["", "  ", "?!…", "\u200b"])
def test_a_text_without_words_is_an_error(vocabulary, text):
    with pytest.raises(TextError, match="holds no word"):
        vocabulary.encode(text)


def test_a_text_of_unknown_words_is_an_error_that_suggests_known_ones(vocabulary):
    with pytest.raises(TextError, match=r"'zebra crossing'.*10 words.*dog, runs, brown"):
        vocabulary.encode("zebra crossing")


def test_a_long_text_is_shortened_in_the_error(vocabulary):
    with pytest.raises(TextError) as caught:
        vocabulary.encode("zebra " * 1000)
    assert len(str(caught.value)) < 300


def test_a_word_has_one_id():
    with pytest.raises(WeightsError, match="'dog' twice"):
        Vocabulary(["a", "dog", "cat", "dog"])


def test_building_sorts_by_frequency_then_alphabet_and_drops_rare_words():
    sentences = [["b", "a", "c"], ["b", "a", "c"], ["c", "rare"]]
    assert Vocabulary.build(sentences, minimum=2).words == [*SPECIALS, "c", "a", "b"]
    assert Vocabulary.build(sentences, specials=(PAD,)).words == [PAD, "c", "a", "b", "rare"]


def test_building_does_not_depend_on_the_order_of_the_sentences():
    sentences = [["b", "a"], ["d", "c"], ["c", "a", "e"]]
    assert Vocabulary.build(sentences).words == Vocabulary.build(sentences[::-1]).words


def test_known_words_are_looked_up_without_markers_and_cut(vocabulary):
    assert vocabulary.known_ids(["a", "zebra", "<unk>", "dog", "runs"], 2) == [4, 5]


def test_words_of_which_none_is_known_are_padding(vocabulary):
    assert vocabulary.known_ids(["zebra"], 5) == vocabulary.known_ids([], 5) == [0]


def test_decoding_stops_at_the_end_and_leaves_markers_out(vocabulary):
    assert vocabulary.decode(torch.tensor([1, 4, 5, 6, 2, 5, 0])) == ["a", "dog", "runs"]
    assert vocabulary.decode([4, 5]) == ["a", "dog"]
    assert vocabulary.decode([1, 2]) == []


def test_decoding_says_no_special_word(vocabulary):
    assert vocabulary.decode([4, 3, 5]) == ["a", "dog"]


def test_decoding_undoes_encoding(vocabulary):
    text = "a brown dog runs"
    assert vocabulary.decode(vocabulary.encode(text).ids) == text.split()


def test_a_vocabulary_survives_its_file(tmp_path, vocabulary):
    path = tmp_path / "words.json"
    path.write_text(json.dumps([*vocabulary.words, "été"], ensure_ascii=False), encoding="utf-8")
    assert Vocabulary.load(path).words == [*vocabulary.words, "été"]


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"a": 1}', b"\xff\xfe", b'["a", "a"]'])
def test_a_damaged_vocabulary_file_is_an_error(tmp_path, content):
    path = tmp_path / "words.json"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="vocabulary"):
        Vocabulary.load(path)


def test_a_missing_vocabulary_file_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="absent"):
        Vocabulary.load(tmp_path / "absent.json")


def test_padding_fills_the_ends_and_tells_the_lengths():
    ids, lengths = pad([[5], [1, 2, 3], []])
    assert ids.tolist() == [[5, 0, 0], [1, 2, 3], [0, 0, 0]]
    assert lengths.tolist() == [1, 3, 0]
    assert pad([[5], [1, 2]], value=9)[0].tolist() == [[5, 9], [1, 2]]


def test_the_mask_is_true_on_padding():
    lengths = torch.tensor([1, 3])
    assert padding_mask(lengths).tolist() == [[False, True, True], [False, False, False]]
    assert padding_mask(lengths, 4).tolist() == [[False, True, True, True], [False, False, False, True]]
