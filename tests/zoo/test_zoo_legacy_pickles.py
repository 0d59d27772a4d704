"""Old pickles are read as data: every name they could run is refused, and damage is told, never followed."""

from __future__ import annotations

import contextlib
import copyreg
import gzip
import io
import pickle
import random
import sys
import tracemalloc
import types
import zipfile
from collections import Counter, OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from telephonegan.errors import DataError, WeightsError
from telephonegan.zoo.legacy_pickles import read_captions, read_classes, read_names, read_vocabulary

WORDS = ["<pad>", "<start>", "<end>", "<unk>", "woods", "'s", "black-and-white", "``"]
READERS = {read_vocabulary: WeightsError, read_captions: WeightsError, read_names: DataError, read_classes: DataError}


@pytest.fixture
def written(tmp_path):
    def write(content: bytes) -> Path:
        path = tmp_path / "some.pickle"
        path.write_bytes(content)
        return path

    return write


# ---------------------------------------------------------------------------------------------- as Python 2 wrote them


def protocol_0(value: Any) -> bytes:
    """Lists, dictionaries, whole numbers and byte strings in the text form of Python 2's first protocol."""
    if isinstance(value, int):
        return b"I%d\n" % value
    if isinstance(value, str):
        return b"S%r\np0\n" % value
    if isinstance(value, list):
        return b"(lp0\n" + b"".join(protocol_0(item) + b"a" for item in value)
    return b"(dp0\n" + b"".join(protocol_0(key) + protocol_0(item) + b"s" for key, item in value.items())


def protocol_2(value: Any) -> bytes:
    """The same in the binary form of cPickle's protocol 2, where a string is one of bytes."""
    if isinstance(value, int):
        return b"K%c" % value if value < 256 else b"M" + value.to_bytes(2, "little")
    if isinstance(value, str):
        return b"U%c%s" % (len(value), value.encode("latin1"))
    if isinstance(value, list):
        return b"]q\x01(" + b"".join(map(protocol_2, value)) + b"e"
    return b"}q\x02(" + b"".join(protocol_2(key) + protocol_2(item) for key, item in value.items()) + b"u"


def vocabulary_of_python_2(words: list[str], module: str = "__main__", **more: Any) -> bytes:
    attributes = {
        "idx2word": dict(enumerate(words)),
        "word2idx": {word: i for i, word in enumerate(words)},
        "idx": len(words),
        **more,
    }
    head = b"ccopy_reg\n_reconstructor\np1\n(c%s\nVocabulary\np2\nc__builtin__\nobject\np3\nNtp4\nRp5\n"
    return head % module.encode() + protocol_0(attributes) + b"b."


def numbers_of_python_2(numbers: list[int], kind: str = "i8", order: str = "<") -> bytes:
    """A list of numpy scalars in protocol 0, as the class_info.pickle of the birds holds them."""
    dtype = b"cnumpy\ndtype\np2\n(S'%s'\np3\nI0\nI1\ntp4\nRp5\n(I3\nS'%s'\np6\nNNNI-1\nI-1\nI0\ntp7\nb"
    dtype %= (kind.encode(), order.encode())
    each = b"".join(
        b"cnumpy.core.multiarray\nscalar\n(%sS%a\ntRa" % (dtype, np.array(n, order + kind).tobytes().decode("latin1"))
        for n in numbers
    )
    return b"(lp0\n" + each + b"."


@pytest.mark.parametrize("module", ["__main__", "build_vocab"])
def test_a_vocabulary_of_python_2_gives_its_words_in_order(written, module):
    assert read_vocabulary(written(vocabulary_of_python_2(WORDS, module))) == WORDS


def test_the_order_of_words_is_that_of_their_ids_not_that_of_the_file(written):
    shuffled = {2: "dog", 0: "<pad>", 1: "a"}
    assert read_vocabulary(written(vocabulary_of_python_2([], idx2word=shuffled))) == ["<pad>", "a", "dog"]


def test_captions_with_byte_strings_are_read_as_text(written):
    train, test = [[1, 2], [2, 300, 1]], [[3]]
    words = ["<end>", "a", "caf\xe9", *(f"w{i}" for i in range(298))]
    both = [train, test, dict(enumerate(words)), {word: i for i, word in enumerate(words)}]
    found = read_captions(written(b"\x80\x02" + protocol_2(both) + b"."))
    assert (found.train, found.test, found.words) == (train, test, words)


def test_names_with_byte_strings_are_read_as_text(written):
    names = ["COCO_val2014_000000391895", "002.Laysan_Albatross/Laysan_Albatross_0002_1027"]
    for content in (b"\x80\x02" + protocol_2(names), protocol_0(names)):
        assert read_names(written(content + b".")) == names


@pytest.mark.parametrize("kind, order", [("i8", "<"), ("i8", ">"), ("i4", "<"), ("u1", "|")])
def test_class_numbers_of_python_2s_numpy_are_plain_numbers(written, kind, order):
    found = read_classes(written(numbers_of_python_2([2, 200, 13], kind, order)))
    assert found == [2, 200, 13]
    assert {type(number) for number in found} == {int}


def test_plain_class_numbers_are_read(written):
    assert read_classes(written(protocol_0([1, 1, 197]) + b".")) == [1, 1, 197]


# -------------------------------------------------------------------------------------------------- as Python 3 does


@pytest.fixture
def build_vocab(monkeypatch):
    """The module of the published captioner, as its users' pickles name it."""
    module = types.ModuleType("build_vocab")
    vocabulary = type("Vocabulary", (), {"__module__": "build_vocab"})
    module.Vocabulary = vocabulary
    monkeypatch.setitem(sys.modules, "build_vocab", module)

    def build(**attributes: Any) -> Any:
        made = vocabulary()
        vars(made).update(attributes)
        return made

    return build


@pytest.mark.parametrize("fix_imports", [True, False])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_vocabulary_of_python_3_is_read_in_every_protocol(written, build_vocab, protocol, fix_imports):
    made = build_vocab(idx2word=dict(enumerate(WORDS)), word2idx={}, idx=len(WORDS))
    assert read_vocabulary(written(pickle.dumps(made, protocol, fix_imports=fix_imports))) == WORDS


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_captions_names_and_classes_of_python_3_are_read_in_every_protocol(written, protocol):
    parts = [[[1]], [[1, 1]], {0: "<end>", 1: "naïve"}, {"<end>": 0, "naïve": 1}]
    assert read_captions(written(pickle.dumps(parts, protocol))).words == ["<end>", "naïve"]
    assert read_names(written(pickle.dumps(["a/b", "c"], protocol))) == ["a/b", "c"]
    assert read_classes(written(pickle.dumps([np.int64(200), np.int32(3), 7], protocol))) == [200, 3, 7]


@pytest.mark.parametrize("protocol", range(2, 5))
@pytest.mark.parametrize("kind", ["<i8", ">i4", "u1", "i2"])
def test_classes_in_an_array_are_read(written, protocol, kind):
    assert read_classes(written(pickle.dumps(np.array([200, 3, 7]).astype(kind), protocol))) == [
        *(np.array([200, 3, 7]).astype(kind).tolist())
    ]
    assert read_classes(written(pickle.dumps((4, 5), protocol))) == [4, 5]


@pytest.mark.parametrize(
    "value", [np.zeros((2, 2), int), np.zeros(2), np.array(3), np.array(["a"]), np.array([1, None]), [np.array([1])]]
)
def test_arrays_that_are_no_row_of_whole_numbers_are_refused(written, value):
    with pytest.raises(DataError):
        read_classes(written(pickle.dumps(value, 2)))


# ------------------------------------------------------------------------------------------------ by shape, not by name


IDS = {word: number for number, word in enumerate(WORDS)}
OTHER_SHAPES = {
    "a module of any name": lambda made: made("vocabulary", "Vocab", idx2word=dict(enumerate(WORDS)), size=3),
    "ids by word alone": lambda made: made("wordmaps", "Wordmap", word2idx=IDS),
    "as torchtext holds them": lambda made: made(
        "torchtext_vocab", "Vocab", freqs=Counter(WORDS), itos=WORDS, stoi=defaultdict(int, IDS)
    ),
    "beside another object": lambda made: made("x", "Vocab", idx2word=WORDS, tokeniser=made("y", "Tokeniser", a=1)),
    "a dictionary of tables": lambda made: {"word2idx": IDS, "idx2word": dict(enumerate(WORDS))},
    "words by id": lambda made: dict(enumerate(WORDS)),
    "ids by word": lambda made: IDS,
    "an ordered dictionary": lambda made: OrderedDict(reversed(IDS.items())),
    "a dictionary with defaults": lambda made: defaultdict(list, enumerate(WORDS)),
    "a counter": lambda made: Counter(IDS),
    "a list": lambda made: WORDS,
    "a tuple": lambda made: tuple(WORDS),
    "an array": lambda made: np.array(WORDS),
    "an array of objects": lambda made: np.array(WORDS, dtype=object),
    "words of numpy": lambda made: dict(enumerate(np.array(WORDS))),
}


@pytest.mark.parametrize("shape", OTHER_SHAPES)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_vocabulary_is_known_by_its_shape(written, monkeypatch, shape, protocol):
    def made(module: str, name: str, **attributes: Any) -> Any:
        """An object of a class that only the file's author has."""
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
        kind = type(name, (), {"__module__": module})
        setattr(sys.modules[module], name, kind)
        vars(instance := kind()).update(attributes)
        return instance

    content = pickle.dumps(OTHER_SHAPES[shape](made), protocol)
    monkeypatch.undo()
    assert read_vocabulary(written(content)) == WORDS


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_names_classes_and_captions_may_be_arrays_and_tuples(written, protocol):
    for kind in (np.array, tuple, np.asfortranarray):
        assert read_names(written(pickle.dumps(kind(["a/b", "c"]), protocol))) == ["a/b", "c"]
        assert read_classes(written(pickle.dumps(kind([200, 3]), protocol))) == [200, 3]
    assert read_classes(written(pickle.dumps(np.array([200, 3], ">i2"), protocol))) == [200, 3]
    words = OrderedDict([(0, "<end>"), (1, "a"), (2, "b")])
    parts = (np.array([[1, 2], [2, 1]]), ([1], (2,)), words, {word: number for number, word in words.items()})
    found = read_captions(written(pickle.dumps(parts, protocol)))
    assert (found.train, found.test, found.words) == ([[1, 2], [2, 1]], [[1], [2]], ["<end>", "a", "b"])


def test_an_object_of_a_strange_class_is_never_made_from_values(written):
    """Only its attributes are kept: whatever its class would do with values is not known here."""
    for content in (b"cmy.tools\nVocabulary\n(S'x'\ntR.", b"\x80\x02cmy.tools\nVocabulary\n(S'x'\nt\x81."):
        with pytest.raises(WeightsError, match=r"asks for 'my\.tools\.Vocabulary'"):
            read_vocabulary(written(content))


# ------------------------------------------------------------------------------------------------------------ attacks


def run(command: str) -> dict[str, tuple[bytes, str]]:
    """Pickles that would run a command, each with the name it is refused for."""
    text = repr(command).encode()
    short = b"\x8c%c%s" % (len(command), command.encode())
    kept = b"ccopy_reg\n_reconstructor\n(c__main__\nVocabulary\nc__builtin__\nobject\nNtR"
    return {
        "global": (b"cos\nsystem\n(S%s\ntR." % text, "os.system"),
        "posix": (b"cposix\nsystem\n(S%s\ntR." % text, "posix.system"),
        "stack_global": (b"\x80\x04\x8c\x02os\x8c\x06system\x93%s\x85R." % short, "os.system"),
        "inst": (b"(S%s\nios\nsystem\n." % text, "os.system"),
        "obj": (b"(cos\nsystem\nS%s\no." % text, "os.system"),
        "newobj": (b"\x80\x02csubprocess\nPopen\n(S%s\nt\x81." % text, "subprocess.Popen"),
        "newobj_ex": (b"\x80\x04csubprocess\nPopen\n(S%s\nt}\x92." % text, "subprocess.Popen"),
        "eval": (b"c__builtin__\neval\n(S'__import__(\"os\").system(%s)'\ntR." % text, "__builtin__.eval"),
        "getattr": (b"c__builtin__\ngetattr\n(cos\nS'system'\ntR.", "__builtin__.getattr"),
        "dotted": (b"\x80\x04\x8c\x08__main__\x8c\x19Vocabulary.__init__.__doc\x93.", "Vocabulary.__init__"),
        "own": (b"ctelephonegan.zoo.legacy_pickles\n_unpickle\n.", "telephonegan.zoo.legacy_pickles._unpickle"),
        "behind": (kept + b"}S'idx2word'\ncos\nsystem\n(S%s\ntRsb." % text, "os.system"),
        "setstate": (kept + b"}S'__setstate__'\ncos\nsystem\nsbS%s\nb." % text, "os.system"),
        "in a number": (b"cnumpy.core.multiarray\nscalar\n(cos\nsystem\nS%s\ntR." % text, "os.system"),
        "by name": (b"c_codecs\ndecode\n(S%s\nS'x'\ntR." % text, "_codecs.decode"),
    }


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("attack", run(""))
def test_nothing_a_file_asks_for_is_run_and_its_name_is_told(written, tmp_path, attack, read):
    ran = tmp_path / "ran"
    content, name = run(f"touch {ran}")[attack]
    with pytest.raises(READERS[read]) as refusal:
        read(written(content))
    assert name in str(refusal.value)
    assert not ran.exists()


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("value", [[len, 1, 2, 3], [[[1]], [[len]], {}, {}], {"idx2word": {0: len}}, {"a": (len,)}])
def test_a_function_that_is_only_named_is_told_wherever_it_stands(written, read, value):
    with pytest.raises(READERS[read], match=r"asks for '(__builtin__|builtins)\.len', .* refused"):
        read(written(pickle.dumps(value, 2)))


def test_a_function_among_the_attributes_of_an_object_is_not_read(written, build_vocab):
    made = build_vocab(idx2word=dict(enumerate(WORDS)), tokenise=len)
    assert read_vocabulary(written(pickle.dumps(made, 2))) == WORDS


def test_the_attack_would_run_a_command_in_a_plain_reader(tmp_path):
    ran = tmp_path / "ran"
    for attack in ("global", "stack_global", "inst", "obj"):
        pickle.loads(run(f"touch {ran}")[attack][0])
        assert ran.exists(), attack
        ran.unlink()


def test_a_name_that_would_colour_the_terminal_or_fill_it_is_told_in_short(written):
    name = b"\x1b[31m" + b"x" * 5000
    with pytest.raises(WeightsError) as refusal:
        read_vocabulary(written(b"\x80\x04\x8c\x02osX" + len(name).to_bytes(4, "little") + name + b"\x93."))
    assert "\x1b" not in str(refusal.value) and len(str(refusal.value)) < 500


def test_a_function_another_module_registered_by_number_is_refused(written, tmp_path):
    ran, code = tmp_path / "ran", 240
    copyreg.add_extension("os", "system", code)
    try:
        assert pickle.loads(b"\x80\x02\x82\xf0.").__name__ == "system"  # from here on Python finds it without its name
        for number in (b"\x82\xf0", b"\x83\xf0\x00", b"\x84\xf0\x00\x00\x00"):
            with pytest.raises(WeightsError, match="refused"):
                read_vocabulary(written(b"\x80\x02" + number + b"(S%a\ntR." % f"touch {ran}"))
    finally:
        copyreg.remove_extension("os", "system", code)
    assert not ran.exists()


@pytest.mark.parametrize("code", [b"\x95", b"B", b"\x8e", b"\x8d", b"X"])
def test_a_claim_to_be_larger_than_the_file_costs_no_memory(written, code):
    claimed = (2**31 - 1).to_bytes(8 if code in (b"\x95", b"\x8e", b"\x8d") else 4, "little")
    path = written(b"\x80\x04" + code + claimed + b"abc.")
    tracemalloc.start()
    with pytest.raises(WeightsError):
        read_vocabulary(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10**7


@pytest.mark.parametrize("persistent", [b"Pos.system\n.", b"S'os.system'\nQ."])
def test_objects_of_another_process_are_refused(written, persistent):
    with pytest.raises(WeightsError, match="refused"):
        read_vocabulary(written(persistent))


@pytest.mark.parametrize(
    "holder",
    [
        b"c__main__\nVocabulary\n",
        b"ccopy_reg\n_reconstructor\n",
        b"c__builtin__\nobject\n",
        b"cnumpy\ndtype\n",
        b"cnumpy.core.multiarray\nscalar\n",
    ],
)
def test_a_file_cannot_change_what_the_next_file_is_read_with(written, holder):
    words = b"}I0\nS'planted'\ns"
    for change in (b"(N}S'idx2word'\n%sstb." % words, b"}S'idx2word'\n%ssb." % words):
        with pytest.raises(WeightsError):
            read_vocabulary(written(holder + change))
    with pytest.raises(WeightsError, match="no vocabulary"):
        read_vocabulary(written(b"c__main__\nVocabulary\n)\x81."))
    assert read_vocabulary(written(vocabulary_of_python_2(WORDS))) == WORDS


def test_a_setstate_of_the_files_own_changes_nothing(written):
    for own in (b"c__main__\nVocabulary\n", b"cnumpy\ndtype\n", b"S'text'\n"):
        again = b"c__main__\nVocabulary\n)\x81}S'__setstate__'\n" + own + b"sb}S'idx2word'\n}I0\nS'x'\nssb."
        with pytest.raises(WeightsError):
            read_vocabulary(written(again))


@pytest.mark.parametrize(
    "lie",
    [
        b"]p100000000\n.",  # a place in the memo, which Python's own reader in C makes room for up to there
        b"]r\x00\xe1\xf5\x05.",
        b"\x80\x05\x96" + (10**9).to_bytes(8, "little") + b"x.",  # a bytearray, filled with zeros before it is read
    ],
)
def test_a_file_of_few_bytes_does_not_take_much_memory(written, lie):
    path = written(lie)
    tracemalloc.start()
    try:
        with contextlib.suppress(DataError):
            read_names(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [10**9, 2**62, 2**64 - 1])
@pytest.mark.parametrize("code", [b"\x80\x04\x8e", b"\x80\x04\x8d", b"\x80\x04\x95", b"\x80\x05\x96"])
def test_a_size_beyond_the_file_is_refused(written, code, size):
    with pytest.raises(DataError):
        read_names(written(code + size.to_bytes(8, "little") + b"x."))


# -------------------------------------------------------------------------------------------- other things than asked


def vocabulary(idx2word: Any) -> bytes:
    words = idx2word if isinstance(idx2word, bytes) else protocol_0(idx2word)
    return b"c__main__\nVocabulary\n)\x81}S'idx2word'\n" + words + b"sb."


@pytest.mark.parametrize(
    "content",
    [
        vocabulary({0: "a", 2: "b"}),
        vocabulary({1: "a", 2: "b"}),
        vocabulary({0: "a", 1: 2}),
        vocabulary({0: ["a"]}),
        vocabulary({0: {}}),
        vocabulary(3),
        vocabulary(b"}I0\nc__main__\nVocabulary\n)\x81s"),
        vocabulary(b"}I0\nc__main__\nVocabulary\ns"),
        vocabulary(b"c__main__\nVocabulary\n)\x81}S'idx2word'\n}I0\nS'a'\nssb"),
        vocabulary(b"cnumpy\ndtype\n(S'i8'\ntR"),
        b"(lc__main__\nVocabulary\n)\x81}S'idx2word'\n}I0\nS'a'\nssba.",
        b"c__main__\nVocabulary\n.",
        b"c__main__\nVocabulary\n)\x81.",
        b"N.",
    ],
)
def test_what_is_no_vocabulary_is_refused(written, content):
    with pytest.raises(WeightsError, match=r"some\.pickle"):
        read_vocabulary(written(content))


WORDS_BY_ID = {0: "<end>", 1: "a"}


@pytest.mark.parametrize(
    "parts",
    [
        [[[1]], [[1]], WORDS_BY_ID],
        {0: [[1]], 1: [[1]], 2: WORDS_BY_ID, 3: {}},
        [[[1]], [[1]], ["<end>", "a"], {}],
        [[[1]], [[1]], {0: "<end>", 2: "a"}, {}],
        [[[1]], [[1]], {0: "<end>", 1: b"a"}, {}],
        [[1], [[1]], WORDS_BY_ID, {}],
        [[[1]], "captions", WORDS_BY_ID, {}],
        "abcd",
    ],
)
def test_what_is_no_captions_pickle_is_refused(written, parts):
    with pytest.raises(WeightsError, match=r"some\.pickle"):
        read_captions(written(pickle.dumps(parts)))


@pytest.mark.parametrize("wrong", [{"a": 1}, ["a", 1], [1.5], [None], "ab", 3, [["a"]], [np.float64(1)]])
def test_what_is_no_list_of_names_or_numbers_is_refused(written, wrong):
    path = written(pickle.dumps(wrong))
    for read in (read_names, read_classes):
        with pytest.raises(DataError, match=r"some\.pickle"):
            read(path)


def test_fractions_in_numpys_form_are_refused_by_their_type(written):
    with pytest.raises(DataError, match="'f8'"):
        read_classes(written(numbers_of_python_2([1, 2], "f8")))


@pytest.mark.parametrize("read", READERS)
def test_missing_empty_and_foreign_files_are_told_by_their_path(tmp_path, written, read):
    for path in (tmp_path, tmp_path / "missing.pickle"):
        with pytest.raises(READERS[read], match=f"{path} cannot be read"):
            read(path)
    whole = vocabulary_of_python_2(WORDS)
    for content in (b"", b"\0" * 100, b"<html>not found</html>", b"PK\x03\x04", whole[: len(whole) // 2], b"."):
        with pytest.raises(READERS[read], match=r"some\.pickle is not a pickle that can be read: \S"):
            read(written(content))


def test_damage_anywhere_is_an_error_of_ours_or_other_words(written, build_vocab):
    made = build_vocab(idx2word=dict(enumerate(WORDS)))
    noise = random.Random(0)
    refused = 0
    for whole in (vocabulary_of_python_2(WORDS), pickle.dumps(made, 2), pickle.dumps(made, 4)):
        for _ in range(150):
            damaged = bytearray(whole)
            damaged[noise.randrange(len(whole))] = noise.randrange(256)
            try:
                assert all(isinstance(word, str) for word in read_vocabulary(written(bytes(damaged))))
            except WeightsError:
                refused += 1
    assert refused > 100


# ------------------------------------------------------------------------------------------- slips and traps


def test_keys_that_take_for_ever_to_hash_are_refused(tmp_path):
    path = tmp_path / "captions.pickle"
    path.write_bytes(b"\x80\x02})" + b"2\x86" * 70 + b"Ns.")
    with pytest.raises(WeightsError, match="keys"):
        read_captions(path)


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 58743\n"


@pytest.mark.parametrize(
    "content, cause",
    [
        (b"", "empty"),
        (b"<html>", "web page"),
        (b"\xef\xbb\xbf\r\n<!DOCTYPE html>", "web page"),
        (b"\x80\x02]q", "damaged"),
        (LFS, "Git LFS.*git lfs pull"),
        (zipped(vocab__pkl=b"x"), "a zip of vocab.pkl. Unpack it, and give the file inside"),
        (zipped(inner__zip=zipped(vocab__pkl=b"x")), "a zip of inner.zip. Unpack it, then inner.zip in it"),
        (zipped(vocab__pkl=b"x" * 999)[:500], "incomplete, 500 bytes"),
        (gzip.compress(b"x", mtime=0), "gzip"),
        (b'{"error": "quota"}', "JSON"),
        (b"\x10\0\0\0\0\0\0\0" + b'{"a": 1}', "safetensors"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
    ],
)
def test_a_file_that_is_no_pickle_is_told_by_its_likely_cause(tmp_path, content, cause):
    path = tmp_path / "captions.pickle"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=cause):
        read_captions(path)


@pytest.mark.parametrize(
    "words, ids", [({0: "a", 1: "b"}, {"a": 0, "b": 1}), ({0: "<end>", 1: "a"}, {"<end>": 0, "a": 2})]
)
def test_a_dictionary_that_attngan_cannot_have_trained_with_is_refused(tmp_path, words, ids):
    path = tmp_path / "captions.pickle"
    path.write_bytes(pickle.dumps([[[1]], [[1]], words, ids], protocol=2))
    with pytest.raises(WeightsError, match="tables must agree"):
        read_captions(path)
