import json
import re
import sys
import types
import unicodedata
import warnings

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from telephonegan.errors import DataError, TextError, WeightsError
from telephonegan.text import (
    END,
    PAD,
    START,
    UNKNOWN,
    Alphabet,
    Vocabulary,
    lines_of,
    pad,
    padding_mask,
    read_text,
    tokenise,
)

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


@given(st.text() | st.text("aIİi\u0307\u0301\u0344\u200dкक\u093fé🐕"))
def test_tokenising_the_joined_words_again_changes_nothing(text):
    try:
        words = tokenise(text)
    except TextError:
        assume(False)
    assert tokenise(" ".join(words)) == words


@given(st.text(st.characters(codec="ascii")) | st.text("aé–“”’ñß \t.'0_"))
def test_words_of_letters_without_loose_marks_are_runs_of_word_characters(text):
    assert tokenise(text) == re.findall(r"\w+", unicodedata.normalize("NFC", text.lower()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("लड़का पानी में खेल रहा है", 6),
        ("একটি ছেলে জলে খেলছে", 4),
        ("ஒரு நாய் புல்வெளியில் ஓடுகிறது", 4),
        ("כֶּלֶב רָץ", 2),
        ("كَلْبٌ يَجْرِي فِي الْحَدِيقَةِ", 4),
        ("سگ می‌دود در پارک", 4),
        ("개가 잔디밭 위를 달린다", 4),
        ("con chó chạy trên bãi cỏ", 6),
        ("ሰማያዊ ሰማይ", 2),
        ("ខ្មែរ ស្អាត", 2),
    ],
)
def test_words_of_every_script_that_parts_them_stay_whole(text, words):
    expected = [unicodedata.normalize("NFC", word) for word in text.split(" ")]
    assert tokenise(text + " .") == expected and len(expected) == words


def test_a_capital_i_with_a_dot_is_an_i():
    for text in ("İstanbul", "I\u0307stanbul", "i\u0307stanbul", "ISTANBUL"):
        assert tokenise(text) == ["istanbul"]


def test_marks_beyond_thirty_a_letter_are_dropped_before_they_cost_anything():
    assert tokenise("a" + "\u0301\u0323" * 40_000 + "b c")[1:] == ["c"]
    assert len(tokenise("a" + "\u0301\u0323" * 40_000)[0]) <= 31
    assert tokenise("e\u0301") == ["é"]


UNPARTED = {
    "Chinese": ["一只狗在草地上奔跑", "两只狗", "狗在跑\uff0c猫在睡。", "iPhone手机在桌子上"],
    "Japanese": ["犬が草の上を走る", "スケートボード", "いぬ と ねこがのはらをはしる"],
    "Thai": ["สุนัขวิ่งบนหญ้า", "หมาวิ่ง แมวนอนหลับ"],
    "Lao": ["ໝາແລ່ນຢູ່ເທິງຫຍ້າ"],
    "Khmer": ["ឆ្កែកំពុងរត់លើស្មៅ"],
    "Burmese": ["ခွေးသည်မြက်ပေါ်တွင်ပြေးနေသည်"],
}


@pytest.fixture
def no_segmenters(monkeypatch):
    for package in ("jieba", "pythainlp"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize(("language", "text"), [(name, text) for name, texts in UNPARTED.items() for text in texts])
def test_a_language_without_blanks_is_refused_by_its_name(language, text, no_segmenters):
    with pytest.raises(TextError, match=f"is {language}, .*without spaces"):
        tokenise(text)


@pytest.mark.parametrize(("text", "package"), [("两只狗", "jieba"), ("สุนัขวิ่ง", "pythainlp")])
def test_the_refusal_names_the_package_that_helps(text, package, no_segmenters):
    with pytest.raises(TextError, match=f"pip install {package}"):
        tokenise(text)


@pytest.mark.parametrize("text", ["一 只 狗 在 草地 上 奔跑", "สุนัข วิ่ง บน หญ้า", "犬 が 走る", "ស្វាយ ដាំ លើ ដី"])
def test_blanks_between_words_are_enough(text, no_segmenters):
    assert tokenise(text) == text.split(" ")


def test_a_street_sign_is_a_word_of_an_english_sentence(no_segmenters):
    assert tokenise("A sign says 北京动物园 in red") == ["a", "sign", "says", "北京动物园", "in", "red"]


def test_installed_segmenters_part_the_words(monkeypatch):
    jieba = types.SimpleNamespace(setLogLevel=lambda level: None, lcut=lambda run: [run[:2], *run[2:]])
    thai = types.SimpleNamespace(word_tokenize=lambda run: [run[:5], run[5:]])
    monkeypatch.setitem(sys.modules, "jieba", jieba)
    monkeypatch.setitem(sys.modules, "pythainlp", thai)
    assert tokenise("两只狗, iPhone手机在!") == ["两只", "狗", "iphone", "手机", "在"]
    assert tokenise("สุนัขวิ่ง") == ["สุนัข", "วิ่ง"]


def test_jieba_itself_parts_chinese():
    pytest.importorskip("jieba")
    assert tokenise("一只狗在草地上奔跑") == ["一只", "狗", "在", "草地", "上", "奔跑"]


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


@pytest.mark.parametrize(
    ("text", "dropped"),
    [
        ("a dog 🐕 runs", ["🐕"]),
        ("a dog & a zebra → 5 € + tax", ["zebra", "→", "5", "€", "tax"]),
        ("🐕 a zebra ❤️ dog 🐕", ["🐕", "zebra", "❤️"]),
        ("a 👩‍👩‍👧 dog 👍🏽 🇩🇪🇫🇷", ["👩‍👩‍👧", "👍🏽", "🇩🇪", "🇫🇷"]),
        ("a dog ♥ ★ ♪ → © °", ["♥", "★", "♪", "→", "©", "°"]),
        ("a dog, runs! (brown) & a-dog: 'dog' $ + = <dog> …", []),
    ],
)
def test_emoji_and_other_symbols_are_reported_and_punctuation_is_not(vocabulary, text, dropped):
    assert vocabulary.encode(text).dropped == dropped


def test_ids_do_not_depend_on_symbols(vocabulary):
    assert vocabulary.encode("a 🐕 dog🐕runs").ids == vocabulary.encode("a dog runs").ids


def test_the_limit_counts_known_words_only(vocabulary):
    encoded = vocabulary.encode("zebra a brown dog runs", limit=2)
    assert (encoded.words, encoded.dropped, encoded.truncated) == (["a", "brown"], ["zebra"], 2)


def test_a_text_cannot_say_a_marker(vocabulary):
    assert vocabulary.encode("<start> a <unk> <end>").ids == [4, 8, 9]
    assert vocabulary.encode("<start> a <unk> <end>").dropped == ["start"]
    assert not any(marker in vocabulary for marker in SPECIALS)


@pytest.mark.parametrize("text", ["", "  ", "?!…", "\u200b", "🐕 ❤️", "\u0301"])
def test_a_text_without_words_is_an_error(vocabulary, text):
    with pytest.raises(TextError, match="contains no word"):
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


# ------------------------------------------------------------------------------------------------ text files


SENTENCE = "un café naïf – “oui”\r\nzwei Hündchen\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_files_are_read_without_a_word(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes(SENTENCE.encode(encoding))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_text(tmp_path / "a.txt") == SENTENCE


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        (SENTENCE.encode("cp1252"), SENTENCE, "cp1252"),
        (b"caf\xe9 \x81", "café \x81", "latin-1"),
        ("a dog runs".encode("utf-16-le"), "a dog runs", "UTF-16"),
        (SENTENCE.encode("utf-16-be"), SENTENCE, "UTF-16"),
        ("é ü ñ ".encode() + b"\xe9", "é ü ñ é", "UTF-8, apart from 1 bytes"),
    ],
)
def test_an_encoding_that_is_guessed_is_a_warning(tmp_path, content, text, encoding):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.warns(UserWarning, match=rf"a\.txt was read as {encoding}"):
        assert read_text(tmp_path / "a.txt") == text


@pytest.mark.parametrize("content", [b"a\0b", b"\x00\x01", b"\xff\xfea\x00\x00\xd8x", bytes(range(256))])
def test_what_is_not_text_is_refused(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt.*UTF-8"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["absent.txt", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read"):
        read_text(tmp_path / name)


def test_lines_end_where_editors_end_them():
    assert lines_of("a\r\nb\rc\n\nd\u2028e\x0bf\x85g\n") == ["a", "b", "c", "", "d\u2028e\x0bf\x85g"]
    assert lines_of("") == [] and lines_of("a") == ["a"]


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_any_text_comes_back_from_its_file(tmp_path_factory, text, encoding):
    assume("\0" not in text and not text.startswith("\ufeff"))
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_bytes(text.encode(encoding))
    assert read_text(path) == text


# the characters of a Char-CNN-RNN


def test_the_alphabet_has_seventy_characters_at_their_published_places():
    alphabet = Alphabet()
    assert len(alphabet.SYMBOLS) == 70 and len(alphabet) == 71
    ids = {letter: alphabet.encode(f"x{letter}x").ids[1] for letter in "az09-(} ,"}
    assert ids == {"a": 1, "z": 26, "0": 27, "9": 36, "-": 60, "(": 64, "}": 69, " ": 70, ",": 38}
    assert 37 not in alphabet.encode(alphabet.SYMBOLS).ids  # the first hyphen


def test_letters_are_read_in_lower_case_and_others_as_a_space_that_is_told():
    read = Alphabet().encode("A Café — no\tBIG one!")
    assert Alphabet().decode(read.ids) == ["a", "caf", "no", "big", "one!"]
    assert read.dropped == ["é", "—"]


def test_plain_text_is_read_without_punctuation_as_captions_are():
    plain = Alphabet(plain=True)
    assert plain.encode("a § flower, — é").dropped == ["§", "—", "é"]
    assert plain.encode("It's a t-shirt, isn't it?").ids == plain.known_ids(tokenise("It's a t-shirt, isn't it?"))


def test_characters_beyond_the_limit_are_not_read_and_their_words_counted():
    text = " ".join(["petals"] * 40)  # 279 characters
    read = Alphabet().encode(text)
    assert len(read.ids) == 201
    assert (len(read.words), read.truncated) == (28, 12)  # the 29th is cut in two
    assert Alphabet().encode("x" * 201).truncated == 0


@pytest.mark.parametrize("text", ["", " \n", "?!", "花"])
def test_a_text_of_no_letter_of_the_alphabet_is_an_error(text):
    with pytest.raises(TextError):
        Alphabet(plain=not text).encode(text)


def test_words_without_a_letter_are_padding():
    assert Alphabet().known_ids([]) == [0]
    assert "red" in Alphabet() and "é" not in Alphabet()
