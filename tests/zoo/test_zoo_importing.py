"""Importing published checkpoints: what fits is kept to the last bit, what does not fit leaves nothing behind."""

from __future__ import annotations

import itertools
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import telephonegan as tg
from telephonegan import generation
from telephonegan.captioning import Captioner
from telephonegan.cli import main as cli
from telephonegan.errors import OutputError, SettingsError, TextError, UnknownModelError, WeightsError
from telephonegan.networks.attngan import Generator
from telephonegan.networks.captioner import LSTMDecoder
from telephonegan.networks.damsm import TextEncoder
from telephonegan.networks.inception import InceptionEncoder
from telephonegan.networks.resnet import DEVIATION, MEAN, ResNetEncoder
from telephonegan.text import END, PAD, START, UNKNOWN, pad, padding_mask
from telephonegan.zoo import catalogue, store
from telephonegan.zoo.importing import import_attngan, import_captioner
from telephonegan.zoo.published import load_published
from tests.formula import published_sampler

WORDS = [END, "a", "dog", "runs", "through", "the", "grass", "caf", "black", "white", "t", "shirt"]
SAID = [PAD, START, END, UNKNOWN, "a", "dog", "runs", "."]
WIDTHS = {"embedding_width": 8, "condition_width": 5, "noise_width": 6}
# An object of the class that the published script defined, with its words by id.
VOCABULARY = b"c__main__\nVocabulary\n)\x81}S'idx2word'\n%sb."


@pytest.fixture(autouse=True)
def folders(no_shipped_models, tmp_path, monkeypatch) -> None:
    """No models but those a test imports."""
    monkeypatch.setattr("telephonegan.zoo.catalogue.SHIPPED", no_shipped_models)
    monkeypatch.setenv("TELEPHONEGAN_HOME", str(tmp_path / "home"))


@pytest.fixture
def shallow(monkeypatch) -> None:
    """The captioner's encoder with one block per stage: 8 million numbers in place of 58."""
    blocks = torchvision.models.resnet.Bottleneck
    monkeypatch.setattr("torchvision.models.resnet152", lambda weights: torchvision.models.ResNet(blocks, [1, 1, 1, 1]))


def write_captions(path: Path, words: list[str]) -> Path:
    ids = {word: i for i, word in enumerate(words)}
    path.write_bytes(pickle.dumps([[[1, 2]], [[3]], dict(enumerate(words)), ids], protocol=2))
    return path


def write_vocabulary(path: Path, words: list[str]) -> Path:
    listed = b"".join(b"I%d\nS%a\ns" % (i, word) for i, word in enumerate(words))
    path.write_bytes(VOCABULARY % (b"}" + listed + b"s"))
    return path


def saved(path: Path, net: torch.nn.Module) -> Path:
    torch.save(net.state_dict(), path)
    return path


@pytest.fixture
def attngan(tmp_path):
    """The files of a tiny published AttnGAN; settings of either network may be changed."""

    def write(seed: int = 0, words: list[str] = WORDS, text: dict[str, Any] | None = None, **changes: Any) -> dict:
        torch.manual_seed(seed)
        folder = tmp_path / f"attngan-{seed}"
        folder.mkdir(exist_ok=True)
        settings = {"channels": 2, "branches": 2, "residual_blocks": 1} | WIDTHS | changes
        encoder = TextEncoder(len(words), **{"word_width": 6, "width": 8} | (text or {}))
        return {
            "generator": saved(folder / "netG.pth", Generator(**settings)),
            "text_encoder": saved(folder / "text_encoder.pth", encoder),
            "dictionary": write_captions(folder / "captions.pickle", words),
        }

    return write


@pytest.fixture
def captioner(tmp_path, shallow):
    """The files of a small published captioner."""

    def write(words: list[str] = SAID, *, encoder_width: int = 8, size: int | None = None) -> dict[str, Path]:
        torch.manual_seed(0)
        decoder = LSTMDecoder(size or len(words), embedding_width=8, hidden_width=16)
        return {
            "encoder": saved(tmp_path / "encoder.pkl", ResNetEncoder(encoder_width)),
            "decoder": saved(tmp_path / "decoder.pkl", decoder),
            "vocabulary": write_vocabulary(tmp_path / "vocab.pkl", words),
        }

    return write


def contents() -> dict[str, bytes]:
    """Every file of the user's models."""
    folder = catalogue.home()
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def names() -> list[str]:
    return [f"{entry.kind}/{entry.name}" for entry in catalogue.entries()]


# ------------------------------------------------------------------------------------------------- what is imported


def test_a_generator_and_its_text_encoder_are_listed_with_where_they_came_from(attngan):
    sources = {"generator": {"file": "bird_AttnGAN2.pth", "sha256": "ab"}}
    painter, reader = import_attngan("birds", **attngan(), sources=sources)
    assert [(e.kind, e.name) for e in (painter, reader)] == [("generator", "birds"), ("damsm", "birds")]
    assert catalogue.find("generator", "birds") == painter and catalogue.find("damsm", "birds") == reader
    assert painter.settings["sources"] == reader.settings["sources"] == sources
    assert sorted(names()) == ["damsm/birds", "generator/birds"]
    assert "birds" in str(tg.models())


def test_every_number_is_kept_to_the_last_bit(attngan):
    files = attngan()
    painter, reader = import_attngan("birds", **files)
    kept = store.read_tensors(painter)
    for name, tensor in load_published(files["generator"]).state_dict().items():
        assert torch.equal(kept[name], tensor) and kept[name].dtype == tensor.dtype
    kept = store.read_tensors(reader)
    for name, tensor in load_published(files["text_encoder"]).state_dict().items():
        assert torch.equal(kept[f"text_encoder.{name}"], tensor)
    assert not torch.equal(tensor, tensor.half().float()), "half precision would do"


VARIANTS = {
    "as published": {},
    "one stage": {"branches": 1},
    "DCGAN": {"previews": False, "residual_blocks": 0},
    "GRU": {"text": {"cell": "GRU"}},
    "linear": {"text": {"fc_width": 5}},
    "rdc_text": {"text": {"fc_width": 3, "fc_name": "rdc_text", "dropout": 0.0}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_imported_model_paints_what_the_published_networks_paint(attngan, variant):
    files = attngan(**VARIANTS[variant])
    import_attngan("birds", **files)
    birds = generation.Generator.load("birds", "cpu")
    texts = ["A dog runs through the grass.", "the black-and-white dog"]
    pictures = birds(texts, seeds=[5, 6])

    generator, reader = load_published(files["generator"]), load_published(files["text_encoder"])
    ids, lengths = pad([[1, 2, 3, 4, 5, 6], [5, 8, 9, 2]])
    noise = [torch.Generator().manual_seed(seed) for seed in (5, 6)]
    z, eps = (torch.stack([torch.randn(width, generator=g) for g in noise]) for width in (6, 5))
    with torch.inference_mode():
        words, sentence = reader(ids, lengths)
        images, attentions, _, _ = generator(z, sentence, words, padding_mask(lengths), eps)
        painted, _ = birds.stages([birds.encode(text) for text in texts], [5, 6])
    assert len(painted) == len(images)
    for ours, theirs in zip(painted, images, strict=True):  # batch norms are folded when a model is loaded
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
    assert np.ptp(np.asarray(pictures[0].image)) > 0
    assert pictures[0].image.size == (generator.size, generator.size)
    if attentions:
        np.testing.assert_allclose(pictures[1].attention, attentions[-1][1, :4], rtol=0, atol=1e-6)


def test_words_are_looked_up_in_ascii_and_never_cut_off(attngan):
    import_attngan("birds", **attngan())
    generator = generation.Generator.load("birds", "cpu")
    encoded = generator.encode("Café Á T-shirt, " + "dog " * 60)
    assert encoded.words[:3] == ["caf", "t", "shirt"] and len(encoded.ids) == 63
    assert (encoded.dropped, encoded.truncated) == (["á"], 0)
    with pytest.raises(TextError):
        generator.encode("<end> Á")


def test_the_image_encoder_comes_along_where_it_is_given(attngan, tmp_path):
    seer = InceptionEncoder(8)
    files = attngan() | {"image_encoder": saved(tmp_path / "image_encoder.pth", seer)}
    _, reader = import_attngan("birds", **files)
    assert reader.settings["image"] == {"width": 8, "backbone": "inception"}
    kept = store.read_tensors(reader)
    assert all(torch.equal(kept[f"image_encoder.{name}"], tensor) for name, tensor in seer.state_dict().items())
    assert generation.Generator.load("birds", "cpu")(["a dog"], seeds=[0])


def test_a_captioner_is_kept_to_the_last_bit(captioner):
    files = captioner()
    [entry] = import_captioner("yunjey", **files, sources={"encoder": {"url": "somewhere"}})
    kept = store.read_tensors(entry)
    for part in ("encoder", "decoder"):
        for name, tensor in load_published(files[part]).state_dict().items():
            assert torch.equal(kept[f"{part}.{name}"], tensor)
    assert store.read_vocabulary(entry).words == SAID
    assert entry.settings["sources"] == {"encoder": {"url": "somewhere"}}
    assert names() == ["captioner/yunjey"]


# --------------------------------------------------------------------------------------- what does not belong together


def refused(error: type[Exception], told: str, run: Any, *args: Any, **given: Any) -> None:
    before = contents()
    with pytest.raises(error, match=told):
        run(*args, **given)
    assert contents() == before


def test_a_dictionary_of_another_size_is_refused_with_both_numbers_and_the_cause(attngan, tmp_path):
    files = attngan()
    files["dictionary"] = write_captions(tmp_path / "rebuilt.pickle", [*WORDS, "more"])
    told = r"rebuilt\.pickle has 13 words, but .*text_encoder\.pth was trained with 12\. .*rebuilt"
    refused(WeightsError, told, import_attngan, "birds", **files)


def test_a_vocabulary_of_another_size_is_refused_with_both_numbers(captioner):
    told = r"vocab\.pkl has 8 words, but .*decoder\.pkl was trained with 9"
    refused(WeightsError, told, import_captioner, "yunjey", **captioner(size=9))


def test_parts_of_different_widths_are_refused_with_both_numbers(attngan, captioner, tmp_path):
    refused(
        WeightsError, "sentences of 8 numbers, the text encoder writes 6",
        import_attngan, "birds", **attngan(text={"width": 6}),
    )  # fmt: skip
    files = attngan() | {"image_encoder": saved(tmp_path / "image_encoder.pth", InceptionEncoder(6))}
    refused(WeightsError, "codes of 6 numbers, the text encoder writes 8", import_attngan, "birds", **files)
    told = r"encoder\.pkl gives features of 4 numbers, .*decoder\.pkl reads 8"
    refused(WeightsError, told, import_captioner, "yunjey", **captioner(encoder_width=4))


def test_words_that_stand_twice_are_refused(attngan, captioner):
    refused(WeightsError, "'dog' twice", import_attngan, "birds", **attngan(words=[*WORDS[:-1], "dog"]))
    refused(WeightsError, "'dog' twice", import_captioner, "yunjey", **captioner([*SAID[:-1], "dog"]))


@pytest.mark.parametrize("marker", [PAD, START, END, UNKNOWN])
def test_a_vocabulary_without_its_markers_is_refused(captioner, marker):
    words = ["and" if word == marker else word for word in SAID]
    refused(WeightsError, rf"vocab\.pkl lacks {marker}", import_captioner, "yunjey", **captioner(words))


def test_files_in_each_others_place_are_refused(attngan, captioner):
    files = attngan()
    swapped = files | {"generator": files["text_encoder"], "text_encoder": files["generator"]}
    refused(WeightsError, "text encoder, not generator", import_attngan, "birds", **swapped)
    said = captioner()
    refused(
        WeightsError,
        "not AttnGAN's captions.pickle",
        import_attngan,
        "birds",
        **files | {"dictionary": said["vocabulary"]},
    )
    refused(WeightsError, "no vocabulary", import_captioner, "x", **said | {"vocabulary": files["dictionary"]})


@pytest.mark.parametrize("part", ["generator", "text_encoder", "dictionary"])
def test_a_missing_file_is_named(attngan, part, tmp_path):
    files = attngan() | {part: tmp_path / "nowhere.pth"}
    refused(WeightsError, r"nowhere\.pth cannot be read", import_attngan, "birds", **files)


# ------------------------------------------------------------------------------------------------- names and disks


def take(kind: str, name: str = "birds") -> None:
    store.register(kind, name, {"weight": torch.ones(1)}, architecture="other", settings={})


@pytest.mark.parametrize("kind", ["generator", "damsm"])
def test_a_taken_name_leaves_everything_as_it_was(attngan, kind):
    take(kind)
    refused(SettingsError, f"{kind}/birds already exists", import_attngan, "birds", **attngan())
    assert names() == [f"{kind}/birds"]


def test_another_kind_of_that_name_is_not_in_the_way(attngan):
    take("captioner")
    import_attngan("birds", **attngan())
    assert len(names()) == 3


def test_replacing_leaves_one_model_of_each_kind_and_no_old_files(attngan):
    import_attngan("birds", **attngan())
    old = contents()
    painter, _ = import_attngan("birds", **attngan(seed=1), replace=True)
    assert sorted(names()) == ["damsm/birds", "generator/birds"]
    assert catalogue.find("generator", "birds").sha256 == painter.sha256
    assert not {name for name in old if name.endswith(".safetensors")} & contents().keys()
    assert generation.Generator.load("birds", "cpu")(["a dog"], seeds=[0])


def test_a_captioner_is_replaced_only_when_asked(captioner):
    files = captioner()
    import_captioner("yunjey", **files)
    refused(SettingsError, "captioner/yunjey already exists", import_captioner, "yunjey", **files)
    import_captioner("yunjey", **files, replace=True)
    assert names() == ["captioner/yunjey"]


@pytest.mark.parametrize("name", ["", "Birds", "../birds", "a b", ".hidden"])
def test_a_name_that_is_none_is_refused(attngan, name):
    refused(SettingsError, "cannot name a model", import_attngan, name, **attngan())


def test_the_name_of_a_shipped_model_is_refused_even_for_replacing(attngan, monkeypatch, tmp_path):
    monkeypatch.setattr("telephonegan.zoo.catalogue.SHIPPED", tmp_path / "shipped")
    for kind in ("damsm", "generator"):
        store.register(kind, "birds", {"w": torch.ones(1)}, architecture="x", settings={}, folder=catalogue.SHIPPED)
    for replace in (False, True):
        refused(SettingsError, "birds", import_attngan, "birds", **attngan(), replace=replace)


def fail_at(monkeypatch, number: int) -> None:
    """The disk is full from the `number`th file on."""
    write, count = store.write_file, itertools.count(1)

    def failing(path: Path, content: bytes, **options: bool) -> None:
        if next(count) >= number:
            raise OSError(28, "No space left on device")
        write(path, content, **options)

    monkeypatch.setattr(store, "write_file", failing)


# Files are written in this order: the generator's weights, the text encoder's, its words, the manifest.
@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("replace", [False, True])
def test_a_full_disk_leaves_everything_as_it_was(attngan, monkeypatch, number, replace):
    if replace:
        import_attngan("birds", **attngan())
    with monkeypatch.context() as full:
        fail_at(full, number)
        refused(OutputError, "No space left", import_attngan, "birds", **attngan(seed=1), replace=replace)
    assert len(import_attngan("birds", **attngan(seed=1), replace=replace)) == 2


def test_a_full_disk_leaves_no_captioner(captioner, monkeypatch):
    files = captioner()
    for number in (1, 2, 3):
        with monkeypatch.context() as full:
            fail_at(full, number)
            refused(OutputError, "No space left", import_captioner, "yunjey", **files)
    assert names() == []


def test_two_imports_at_once_of_different_names_both_arrive(attngan):
    files = [attngan(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: import_attngan(f"birds-{i}", **files[i]), range(4)))
    assert len(names()) == 8
    for i in range(4):
        assert generation.Generator.load(f"birds-{i}", "cpu")(["a dog"], seeds=[0])


def test_of_two_imports_at_once_of_one_name_one_arrives_whole(attngan):
    files = [attngan(seed) for seed in range(4)]

    def attempt(i: int) -> Any:
        try:
            return import_attngan("birds", **files[i])
        except SettingsError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(attempt, range(4)))
    [arrived] = [result for result in results if not isinstance(result, str)]
    assert all("already exists" in result for result in results if isinstance(result, str))
    assert [catalogue.find(kind, "birds").sha256 for kind in ("generator", "damsm")] == [e.sha256 for e in arrived]


# ----------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def command(capsys):
    """Runs `telephonegan import` and returns its exit code and what it said."""

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            code = cli.main(["import", *map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


def options(files: dict[str, Path]) -> list[str]:
    return [f"--{name.replace('_', '-')}={path}" for name, path in files.items()]


def test_the_command_imports_a_generator_and_says_where_it_went(command, attngan):
    code, out, err = command("birds", *options(attngan()))
    assert (code, err) == (0, "")
    for line, kind in zip(out.splitlines(), ("generator", "damsm"), strict=True):
        assert re.fullmatch(rf"{kind}/birds: {re.escape(str(catalogue.home()))}.*\.safetensors \(\d+\.\d MB\)", line)
    assert sorted(names()) == ["damsm/birds", "generator/birds"]


def test_the_command_imports_a_captioner(command, captioner):
    code, out, _ = command("yunjey", *options(captioner()))
    assert code == 0 and out.startswith("captioner/yunjey: ")
    assert names() == ["captioner/yunjey"]


def test_the_command_replaces_only_when_asked(command, attngan):
    files = options(attngan())
    assert command("birds", *files)[0] == 0
    code, out, err = command("birds", *files)
    assert (code, out) == (2, "") and "already exists" in err
    assert command("birds", *files, "--replace")[0] == 0


@pytest.mark.parametrize(
    "given, told",
    [
        ([], "Give --generator, --text-encoder, --dictionary"),
        (["--generator=x"], "--text-encoder, --dictionary is missing"),
        (["--image-encoder=x"], "--generator, --text-encoder, --dictionary is missing"),
        (["--encoder=x", "--vocabulary=x"], "--decoder is missing"),
        (["--generator=x", "--encoder=x"], "one model at a time"),
        (["--image-encoder=x", "--encoder=x", "--decoder=x", "--vocabulary=x"], "one model at a time"),
        (["--generator=nowhere", "--text-encoder=x", "--dictionary=x"], "nowhere cannot be read"),
        (["--generator=", "--text-encoder=", "--dictionary="], "cannot be read"),
        (["--generator"], "expected one argument"),
        (["--weights=x"], "unrecognized arguments"),
        (["--checkpoint=x"], "--vocabulary is missing: give --checkpoint, --vocabulary together"),
        (["--checkpoint=x", "--encoder=x", "--vocabulary=x"], "one model at a time"),
        (["--checkpoint=nowhere", "--vocabulary=x"], "nowhere cannot be read"),
    ],
)
def test_a_mistake_of_the_command_is_explained(command, given, told):
    code, out, err = command("birds", *given)
    assert (code, out) == (2, "") and told in err
    assert contents() == {}


def test_a_file_that_does_not_fit_ends_the_command_with_one_line(command, attngan, tmp_path):
    files = attngan() | {"generator": tmp_path / "page.pth"}
    files["generator"].write_text("<html>")
    code, out, err = command("birds", *options(files))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "page.pth is not a checkpoint that can be read: it is a web page" in err


def test_the_help_shows_commands_that_can_be_copied(command):
    code, out, _ = command("--help")
    assert code == 0
    assert "telephonegan import yunjey --encoder encoder-5-3000.pkl --decoder decoder-5-3000.pkl" in out
    assert "telephonegan import attngan-coco --generator coco_AttnGAN2.pth" in out


# ------------------------------------------------------------------------------------------------ TelephoneGAN, whole


def published_view(picture: Image.Image) -> torch.Tensor:
    pixels = np.asarray(picture.convert("RGB").resize((224, 224), Image.Resampling.LANCZOS), np.float32) / 255
    return torch.from_numpy((pixels - np.float32(MEAN)) / np.float32(DEVIATION)).permute(2, 0, 1)[None]


def encoder_of_plain_words(decoder: LSTMDecoder, picture: Image.Image) -> tuple[ResNetEncoder, list[int]]:
    """An encoder after which the decoder says some word first and never again, and leaves two words out."""
    torch.manual_seed(0)
    encoder = ResNetEncoder(decoder.embed.embedding_dim).eval()
    with torch.no_grad():
        seen = encoder.resnet(published_view(picture)).flatten(1)
        for seed in range(200):
            torch.manual_seed(seed)
            torch.nn.init.normal_(encoder.linear.weight, std=1 / float(seen.norm()))
            torch.nn.init.normal_(encoder.bn.bias)
            said = published_sampler(decoder, encoder.bn(encoder.linear(seen)))[0].tolist()
            if said[0] not in said[1:] and len({*said}) <= decoder.embed.num_embeddings - 3:
                return encoder, said
    raise AssertionError("no such encoder among 200")


@torch.inference_mode()
def test_the_published_telephone_is_played_and_its_captioner_says_what_the_published_sampler_says(
    shared, tmp_path, attngan
):
    """The only test of the captioner's full size: 230 MB in a file, and the same once imported."""
    golden = shared / "golden" / "legacy_py2_tiny_decoder.pkl"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8))
    encoder, said = encoder_of_plain_words(load_published(golden), picture)
    # The markers are the word said first and words never said: then the sampler's words are all plain ones.
    unsaid = [i for i in range(20) if i not in said]
    spare = iter(WORDS[1:] + [f"w{i}" for i in range(20)])
    markers = dict(zip([said[0], *unsaid], (START, END, PAD, UNKNOWN), strict=False))
    words = [markers.get(i) or next(spare) for i in range(20)]
    vocabulary = write_vocabulary(tmp_path / "vocab.pkl", words)
    file = saved(tmp_path / "encoder-5-3000.pkl", encoder)
    [entry] = import_captioner("yunjey", encoder=file, decoder=golden, vocabulary=vocabulary)
    try:
        import_attngan("birds", **attngan())
        phone = tg.load("yunjey", "birds", "cpu")
        caption = phone.caption(picture)
        assert caption.words == [words[i] for i in said[1:]]
        assert len(caption.words) == 19 and caption.attention is None
        listing = str(tg.models())
        assert "yunjey" in listing and "birds" in listing

        chain = phone.play(image=picture, rounds=2, progress=False)
        assert len(chain) == 3 and chain[0].caption.words == caption.words
        assert chain[2].picture.image.size == (128, 128) and chain[2].caption.model == "yunjey"
    finally:
        file.unlink()
        entry.path.unlink()


def test_without_an_import_the_names_are_unknown():
    with pytest.raises(UnknownModelError, match="train or import one"):
        Captioner.load("yunjey", "cpu")
