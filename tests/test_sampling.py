"""Caption files to pictures: names, numbers and noise, what is skipped, and AttnGAN's own folders."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from telephonegan import generation, inference, sampling
from telephonegan.errors import DataError, ImageError, OutputError, SettingsError, TextError, WeightsError
from telephonegan.images import to_images
from telephonegan.networks.attngan import Generator
from telephonegan.networks.damsm import TextEncoder
from telephonegan.text import Vocabulary, pad, padding_mask
from telephonegan.zoo import store
from tests.tiny import WORDS


@pytest.fixture(autouse=True)
def workplace(tiny, tmp_path, monkeypatch) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def run(captions: str | None = None, **given: object) -> Path:
    return sampling.sample(captions, device="cpu", **given)


def paint(text: str, out: str, *, generator: str = "tiny", **given: object) -> dict[str, np.ndarray]:
    """The pictures of a caption file, by name."""
    captions = Path(f"{out}.txt")
    captions.write_bytes(text.encode())
    assert run(captions, generator=generator, out=out, **given) == Path(out)
    return pictures(out)


def pictures(folder: str | Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in Path(folder).iterdir()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """Equal up to the rounding of sums, which may cut a level off."""
    assert one.keys() == other.keys() and one
    for name, pixels in one.items():
        assert np.abs(pixels.astype(int) - other[name].astype(int)).max() <= 1, name


TWO_LINES = "a dog runs\nthe red ball on the blue beach\n"

# ---------------------------------------------------------------------------------------------------- names


def test_every_draw_of_every_line_has_all_sizes_and_maps():
    painted = paint(TWO_LINES, "out", n=2)
    names = [f"{i}_s_{s}_{k}.png" for i, s, k in itertools.product((0, 1), (0, 1), ("g0", "g1", "a0"))]
    assert sorted(painted) == sorted(names)
    assert [painted[f"1_s_1_{k}.png"].shape for k in ("g0", "g1", "a0")] == [(8, 8, 3), (16, 16, 3), (306, 1290, 3)]
    assert painted["0_s_0_a0.png"].shape == (306, 258 * 3, 3)


def test_sixteen_draws_by_default_in_a_dated_folder():
    Path("lines.txt").write_text("a dog")
    folder = run("lines.txt", generator="tiny", attention=False)
    assert [folder] == [*Path("out").iterdir()]
    assert folder.name.endswith("-lines")
    assert sorted(pictures(folder)) == sorted(f"{i}_s_0_g{k}.png" for i in range(16) for k in (0, 1))


def test_a_generator_of_one_stage_gives_no_map():
    network = {"channels": 2, "base_size": 8, "branches": 1, "embedding_width": 8}
    settings = {"network": network, "damsm": "tiny", "words_limit": 8}
    tensors = Generator(**network).state_dict()
    store.register("generator", "one-stage", tensors, architecture="attngan", settings=settings, replace=True)
    assert paint("a dog", "out", n=1, generator="one-stage").keys() == {"0_s_0_g0.png"}


def test_the_map_lies_over_the_size_it_led_to(monkeypatch):
    seen = []

    def spy(image, attention, words):
        seen.append((image.width, attention.shape, words))
        return image

    monkeypatch.setattr("telephonegan.attention_pictures.attention_picture", spy)
    paint(TWO_LINES, "out", n=1)
    assert seen == [
        (16, (3, 8, 8), ["a", "dog", "runs"]),
        (16, (7, 8, 8), ["the", "red", "ball", "on", "the", "blue", "beach"]),
    ]


# ---------------------------------------------------------------------------------------------------- noise


def test_noise_is_drawn_from_seed_draw_and_line():
    painted = paint(TWO_LINES, "out", n=2, seed=7, attention=False)
    painter = generation.Generator.load("tiny", "cpu").painter
    encoded = painter.vocabulary.encode(TWO_LINES.splitlines()[1])
    ids, lengths = pad([encoded.ids])
    generator = torch.Generator().manual_seed(inference.derived_seed(7, 1, 1))
    noise, eps = (torch.randn(1, 8, generator=generator) for _ in range(2))
    with torch.no_grad():
        words, sentence = painter.matcher.text(ids, lengths)
        images, *_ = painter.network(noise, sentence, words, padding_mask(lengths), eps)
    expected = ((images[1][0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    assert np.abs(painted["1_s_1_g1.png"].astype(int) - expected.astype(int)).max() <= 1


def test_the_batch_size_does_not_matter(monkeypatch):
    whole = paint(TWO_LINES, "whole", n=3)
    monkeypatch.setattr(sampling, "_BATCH", 1)
    assert_same(paint(TWO_LINES, "single", n=3), whole)


def test_other_lines_and_further_draws_do_not_matter():
    alone = paint("a dog runs", "alone", n=1)
    among = paint(TWO_LINES + "two people\n", "among", n=2)
    assert_same({name: among[name] for name in alone}, alone)


def test_another_seed_draw_or_line_gives_another_picture():
    first = paint("a dog\na dog", "first", n=2, attention=False)
    second = paint("a dog\na dog", "second", n=2, attention=False, seed=1)
    large = [pixels.tobytes() for name, pixels in (*first.items(), *second.items()) if "g1" in name]
    assert len(large) == 8 == len(set(large))


def test_the_default_seed_is_one_hundred():
    assert_same(paint("a dog", "default", n=1), paint("a dog", "hundred", n=1, seed=100))


# ---------------------------------------------------------------------------------------------------- grey levels


def test_levels_are_cut_off_and_not_rounded():
    values = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    published = ((values[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8)
    assert (np.asarray(sampling.truncated_images(values)[0]) == published).all()
    assert (np.asarray(to_images(values)[0]) != published).any()


def test_every_level_comes_back_and_the_ends_stay_in_range():
    levels = torch.arange(256).float()
    values = ((levels + 0.5) / 127.5 - 1).clamp(max=1).expand(1, 3, 1, 256)
    assert (np.asarray(sampling.truncated_images(values)[0])[0, :, 0] == levels.numpy()).all()
    assert sampling.truncated_images(torch.full((1, 3, 1, 1), -1.2))[0].getpixel((0, 0)) == (0, 0, 0)


def test_a_network_that_diverged_is_told():
    with pytest.raises(ImageError, match="diverged"):
        sampling.truncated_images(torch.full((1, 3, 1, 1), float("nan")))


# ---------------------------------------------------------------------------------------------------- lines


def test_lines_without_a_known_word_are_told_and_not_counted(capsys):
    painted = paint("a dog\n\nquux zebra\n!!!\nthe ball\n", "out", n=1, attention=False)
    assert painted.keys() == {f"0_s_{s}_g{k}.png" for s in (0, 1) for k in (0, 1)}
    said = capsys.readouterr().err
    assert "Line 3" in said and "quux zebra" in said and "Line 4" in said
    assert "Line 2" not in said and "Line 5" not in said


def test_unknown_words_of_kept_lines_are_told(capsys):
    paint("a zebra runs\nthe zebra jumps", "out", n=1, attention=False)
    assert "Not known, so not painted: zebra\n" in capsys.readouterr().err


def test_long_lines_are_not_cut():
    [line] = sampling.known_lines([" ".join(["dog"] * 40)], Vocabulary(["<pad>", *WORDS]))
    assert len(line.ids) == 40


def test_lost_characters_part_words_as_a_blank_does():
    vocabulary = Vocabulary(["<pad>", *WORDS])
    [line] = sampling.known_lines(["red\ufffd\ufffdball"], vocabulary)
    assert line.words == ["red", "ball"]


def test_marks_of_other_editors_do_not_matter():
    plain = paint("a dog\nthe ball", "plain", n=1, attention=False)
    assert_same(paint("\ufeffa dog\r\nthe ball\r\n", "marked", n=1, attention=False), plain)


# ---------------------------------------------------------------------------------------------------- mistakes


def test_nothing_is_overwritten():
    (Path("mine")).mkdir()
    Path("captions.txt").write_text("a dog")
    with pytest.raises(OutputError, match="mine already exists"):
        run("captions.txt", generator="tiny", out="mine")
    assert list(Path("mine").iterdir()) == []


def test_lines_of_unknown_words_alone_leave_no_folder():
    with pytest.raises(TextError, match="through"):
        paint("zebra\nquux\n", "out")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "--captions FILE"),
        ({"captions": "captions.txt", "data_dir": "."}, "--cfg"),
        ({"captions": "captions.txt", "config": "x.yml"}, "not both"),
        ({"captions": "captions.txt", "n": 0}, "n must be"),
        ({"captions": "captions.txt", "seed": -1}, "seed must be"),
    ],
)
def test_arguments_that_do_not_fit_are_told(given, told):
    Path("captions.txt").write_text("a dog")
    with pytest.raises(SettingsError, match=told):
        run(generator="tiny", out="out", **given)
    assert not Path("out").exists()


def test_captions_that_cannot_be_read_are_told():
    with pytest.raises(DataError, match=r"none\.txt cannot be read"):
        run("none.txt", generator="tiny")
    Path("picture.txt").write_bytes(bytes(range(256)))
    with pytest.raises(DataError, match="not a text file"):
        run("picture.txt", generator="tiny")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.filterwarnings("ignore:.*cp1252")
def test_captions_are_read_in_any_encoding(encoding, capsys):
    Path("mine.txt").write_bytes("a dog café\r\n".encode(encoding))
    run("mine.txt", generator="tiny", out="out", n=1)
    assert "Not known, so not painted: café" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------- AttnGAN's folders

SETTINGS = """
B_VALIDATION: False
DATA_DIR: ../data/coco
TRAIN: {FLAG: False, NET_G: ../models/tiny_AttnGAN2.pth, NET_E: ../encoders/text_encoder100.pth}
"""


@pytest.fixture
def published(tmp_path) -> Path:
    """code/cfg/eval.yml, models/, encoders/ and data/coco/ as AttnGAN lays them out."""
    (tmp_path / "code" / "cfg").mkdir(parents=True)
    for folder in ("models", "encoders", "data/coco/text"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "code" / "cfg" / "eval.yml").write_text(SETTINGS)
    words = dict(enumerate(["<end>", *WORDS, "caf"]))
    with (tmp_path / "data" / "coco" / "captions.pickle").open("wb") as file:
        pickle.dump([[[1]], [[2]], words, {word: i for i, word in words.items()}], file, protocol=2)
    torch.manual_seed(0)
    encoder = TextEncoder(len(words), word_width=6, width=8)
    torch.save(encoder.state_dict(), tmp_path / "encoders" / "text_encoder100.pth")
    put_generator(tmp_path)
    (tmp_path / "data" / "coco" / "example_filenames.txt").write_text("\ufefffirst\r\ntext/second\n\n", "utf-8")
    (tmp_path / "data" / "coco" / "first.txt").write_text(TWO_LINES)
    (tmp_path / "data" / "coco" / "text" / "second.txt").write_text("two people")
    return tmp_path


def put_generator(place: Path, **changes: object) -> None:
    settings = {"channels": 2, "base_size": 8, "branches": 3, "residual_blocks": 1, "embedding_width": 8}
    net = Generator(**{**settings, "condition_width": 4, "noise_width": 5, **changes})
    torch.save(net.state_dict(), place / "models" / "tiny_AttnGAN2.pth")


def cfg(place: Path) -> dict[str, Path]:
    return {"config": place / "code" / "cfg" / "eval.yml"}


def test_listed_files_are_painted_each_into_a_folder_of_its_own(published):
    run(**cfg(published), n=1, out="out")
    kinds = ("g0", "g1", "g2", "a0", "a1")
    assert {path.name for path in Path("out").iterdir()} == {"first", "second"}
    assert pictures("out/first").keys() == {f"0_s_{s}_{k}.png" for s in (0, 1) for k in kinds}
    assert pictures("out/second").keys() == {f"0_s_0_{k}.png" for k in kinds}


def test_the_folder_is_named_by_the_generator(published):
    run(**cfg(published), n=1, attention=False)
    [folder] = Path("out").iterdir()
    assert folder.name.endswith("-tiny-attngan2")


def test_one_caption_file_takes_the_place_of_the_list(published):
    Path("mine.txt").write_text("a dog runs")
    run("mine.txt", **cfg(published), n=1, out="out")
    run(**cfg(published), n=1, out="listed")
    listed = pictures("listed/first")
    assert_same({name: listed[name] for name in pictures("out")}, pictures("out"))


def test_a_generator_that_paints_the_last_size_only_has_all_maps(published):
    put_generator(published, previews=False)
    Path("mine.txt").write_text("a dog runs")
    run("mine.txt", **cfg(published), n=1, out="out")
    painted = pictures("out")
    assert painted.keys() == {"0_s_0_g0.png", "0_s_0_a0.png", "0_s_0_a1.png"}
    assert painted["0_s_0_g0.png"].shape == (32, 32, 3)


def test_words_are_looked_up_by_their_ascii_letters(published, capsys):
    Path("mine.txt").write_text("café\n", encoding="utf-8")
    run("mine.txt", **cfg(published), n=1, out="out", attention=False)
    assert capsys.readouterr().err == ""


def test_paths_are_looked_for_from_here_first(published, monkeypatch):
    monkeypatch.chdir(published / "data" / "coco")
    (published / "data" / "models").mkdir()
    (published / "data" / "models" / "tiny_AttnGAN2.pth").write_bytes(b"\0" * 600)
    with pytest.raises(WeightsError, match="empty or contains only zeros"):
        run(**cfg(published), out="out")


def test_another_data_folder_can_be_given(published):
    (published / "data" / "coco").rename(published / "elsewhere")
    with pytest.raises(DataError, match="DATA_DIR"):
        run(**cfg(published), out="out")
    run(**cfg(published), data_dir=str(published / "elsewhere"), n=1, out="out")


def test_what_is_missing_is_named_with_the_places_looked_at(published, workplace):
    (published / "models" / "tiny_AttnGAN2.pth").unlink()
    with pytest.raises(DataError) as caught:
        run(**cfg(published), out="out")
    said = str(caught.value)
    assert "TRAIN.NET_G" in said and str(workplace) in said and str(published / "code") in said
    assert not Path("out").exists()


def test_a_dictionary_of_another_size_is_refused_with_both_numbers(published):
    torch.save(TextEncoder(99, word_width=6, width=8).state_dict(), published / "encoders" / "text_encoder100.pth")
    with pytest.raises(WeightsError, match=r"22 words.* 99"):
        run(**cfg(published), out="out")


def test_a_text_encoder_of_another_width_is_refused(published):
    put_generator(published, embedding_width=10)
    with pytest.raises(WeightsError, match=r"10 .* 8"):
        run(**cfg(published), out="out")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("B_VALIDATION: False", "B_VALIDATION: True", "B_VALIDATION"),
        ("NET_G: ../models/tiny_AttnGAN2.pth", "NET_G: ''", "leaves TRAIN.NET_G empty"),
        ("DATA_DIR: ../data/coco", "DATA_DIR: ''", "leaves DATA_DIR empty"),
        ("NET_G:", "NETG:", "Did you mean TRAIN.NET_G"),
    ],
)
def test_settings_that_cannot_be_sampled_are_told(published, old, new, told):
    (published / "code" / "cfg" / "eval.yml").write_text(SETTINGS.replace(old, new))
    with pytest.raises(SettingsError, match=told):
        run(**cfg(published), out="out")


@pytest.mark.parametrize(("names", "told"), [("first\nsub/first\n", "first"), ("..\n", r"\.\."), ("\n", "no caption")])
def test_a_list_that_names_no_folders_of_their_own_is_refused(published, names, told):
    (published / "data" / "coco" / "example_filenames.txt").write_text(names)
    with pytest.raises(DataError, match=told):
        run(**cfg(published), out="out")
    assert not Path("out").exists()
