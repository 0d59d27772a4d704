"""Folders of pictures and files of texts: streamed, resumed, nothing overwritten, and what cannot be used is listed."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from pathlib import Path

import pytest

from telephonegan import bulk
from telephonegan.bulk import caption_folder, paint_file, pictures_in
from telephonegan.cli.main import main
from telephonegan.errors import DataError, OutputError, SettingsError
from telephonegan.samples import sample, samples

TEXTS = "a dog runs\n\nzebra\nthe red ball\ntwo people on the beach\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three photographs, one of them in a folder below, and two files that are not pictures."""
    place = tmp_path / "photos"
    (place / "more").mkdir(parents=True)
    for name, target in (("coffee", "b.png"), ("chelsea", "a.PNG"), ("rocket", "more/c.png")):
        sample(name).resize((40, 30)).save(place / target)
    (place / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (place / "notes.md").write_text("mine")
    (place / ".hidden.png").write_bytes(b"")
    return place


@pytest.fixture
def texts(tmp_path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text(TEXTS)
    return path


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Stopped(Exception):
    pass


def stopping_after(model, batches):
    """A model that computes so many batches and then fails, as a killed process would."""
    left = iter(range(batches))

    class Model:
        name, sha256, encode = model.name, model.sha256, getattr(model, "encode", None)

        def __call__(self, *args, **options):
            if next(left, None) is None:
                raise Stopped
            return model(*args, **options)

    return Model()


# ---------------------------------------------------------------------------------------------------- captions


def test_pictures_are_found_in_order_and_in_folders_below(folder):
    assert pictures_in(folder) == ["a.PNG", "b.png", "broken.jpg", "more/c.png"]


def test_a_folder_becomes_lines_and_bad_files_are_listed(phone, folder, tmp_path):
    out = tmp_path / "captions.jsonl"
    outcome = caption_folder(folder, phone.captioner, out=out, progress=False)
    assert (outcome.written, outcome.found, list(outcome.skipped)) == (3, 0, ["broken.jpg"])
    assert [each["image"] for each in records(out)] == ["a.PNG", "b.png", "more/c.png"]
    assert records(out)[1]["text"] == phone.caption(folder / "b.png").text
    assert records(out)[1]["model"] == "tiny" and len(records(out)[1]["sha256"]) == 64


def test_captions_go_on_where_they_stopped_and_end_the_same(phone, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 1)
    whole, parted = tmp_path / "whole.jsonl", tmp_path / "parted.jsonl"
    caption_folder(folder, phone.captioner, out=whole, progress=False)
    with pytest.raises(Stopped):
        caption_folder(folder, stopping_after(phone.captioner, 2), out=parted, progress=False)
    assert len(records(parted)) == 2
    parted.write_bytes(parted.read_bytes() + b'{"image": "more/c.p')  # killed while it wrote
    outcome = caption_folder(folder, phone.captioner, out=parted, progress=False)
    assert (outcome.written, outcome.found) == (1, 2)
    assert parted.read_bytes() == whole.read_bytes()


def test_what_is_done_is_read_without_holding_its_lines(tmp_path):
    path, made_with = tmp_path / "captions.jsonl", {"model": "tiny"}
    text = "a dog " * 100
    with path.open("w") as file:
        file.writelines(json.dumps({"image": f"{i}.jpg", "text": text} | made_with) + "\n" for i in range(2000))
    tracemalloc.start()
    done, held = bulk._continued(path, "image", made_with), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(done) == 2000 and held < path.stat().st_size / 2


def test_captions_of_other_settings_are_not_mixed(phone, folder, tmp_path):
    out = tmp_path / "captions.jsonl"
    caption_folder(folder, phone.captioner, out=out, progress=False)
    with pytest.raises(SettingsError, match="other settings: decoding"):
        caption_folder(folder, phone.captioner, out=out, method="greedy", progress=False)


@pytest.mark.parametrize("content", ["my notes\n", '{"text": "a"}\n', "[1]\n", "half a line"])
def test_a_file_of_the_user_is_never_touched(phone, folder, tmp_path, content):
    out = tmp_path / "captions.jsonl"
    out.write_text(content)
    with pytest.raises(OutputError, match="refusing"):
        caption_folder(folder, phone.captioner, out=out, progress=False)
    assert out.read_text() == content


def test_captions_beside_the_pictures_leave_texts_alone(phone, folder):
    (folder / "b.txt").write_text("mine\n")
    shutil.copy(folder / "a.PNG", folder / "a.jpg")
    outcome = caption_folder(folder, phone.captioner, progress=False)
    assert (outcome.written, outcome.found) == (2, 1)
    assert (folder / "b.txt").read_text() == "mine\n"
    assert (folder / "more" / "c.txt").read_text() == f"{phone.caption(folder / 'more' / 'c.png')}\n"
    assert "text file would be that of a.PNG" in outcome.skipped["a.jpg"]
    assert caption_folder(folder, phone.captioner, progress=False).written == 0


def test_no_more_pictures_are_open_than_are_captioned_together(phone, folder, tmp_path, monkeypatch):
    events = []
    read = bulk.working_image
    monkeypatch.setattr(bulk, "BATCH", 2)
    monkeypatch.setattr(bulk, "working_image", lambda path: events.append(path.name) or read(path))

    class Model:
        name, sha256 = "tiny", ""

        def __call__(self, images, **options):
            events.append(len(images))
            return phone.captioner(images, **options)

    caption_folder(folder, Model(), out=tmp_path / "captions.jsonl", progress=False)
    assert events == ["a.PNG", "b.png", 2, "broken.jpg", "c.png", 1]


def test_a_folder_without_pictures_is_explained(phone, tmp_path):
    with pytest.raises(DataError, match="no picture in the folder"):
        caption_folder(tmp_path, phone.captioner)
    with pytest.raises(DataError, match="not a folder"):
        caption_folder(tmp_path / "nowhere", phone.captioner)


# ---------------------------------------------------------------------------------------------------- pictures


def test_every_line_is_painted_and_lines_without_a_known_word_are_listed(phone, texts, tmp_path):
    out = tmp_path / "painted"
    outcome = paint_file(texts, phone.generator, out, seed=3, progress=False)
    assert (outcome.written, list(outcome.skipped)) == (3, ["line 3"])
    assert {path.name for path in out.glob("*.png")} == {"00001.png", "00004.png", "00005.png"}
    assert [each["text"] for each in records(out / "pictures.jsonl")] == [TEXTS.split("\n")[i] for i in (0, 3, 4)]
    phone.generate("the red ball", seed=3).image.save(tmp_path / "alone.png")
    assert (out / "00004.png").read_bytes() == (tmp_path / "alone.png").read_bytes()


def test_painting_goes_on_where_it_stopped_and_ends_the_same(phone, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "BATCH", 1)
    paint_file(texts, phone.generator, tmp_path / "whole", n=2, progress=False)
    with pytest.raises(Stopped):
        paint_file(texts, stopping_after(phone.generator, 3), tmp_path / "parted", n=2, progress=False)
    outcome = paint_file(texts, phone.generator, tmp_path / "parted", n=2, progress=False)
    assert (outcome.written, outcome.found) == (3, 3)
    assert contents(tmp_path / "parted") == contents(tmp_path / "whole")
    assert "00001-seed-1.png" in contents(tmp_path / "whole")


def test_other_texts_or_settings_are_not_mixed(phone, texts, tmp_path):
    paint_file(texts, phone.generator, tmp_path / "painted", progress=False)
    with pytest.raises(SettingsError, match="other settings: seed 0 instead of 1"):
        paint_file(texts, phone.generator, tmp_path / "painted", seed=1, progress=False)
    texts.write_text("a dog\n")
    with pytest.raises(SettingsError, match="texts"):
        paint_file(texts, phone.generator, tmp_path / "painted", progress=False)


def test_a_folder_of_the_user_is_never_painted_into(phone, texts, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(OutputError, match="already exists"):
        paint_file(texts, phone.generator, tmp_path / "mine", progress=False)
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_file_without_texts_is_explained(phone, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match="no text in"):
        paint_file(tmp_path / "empty.txt", phone.generator, tmp_path / "painted")


# ---------------------------------------------------------------------------------------------------- commands


def test_the_commands_say_what_they_did_and_what_they_skipped(tiny, folder, texts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    own = ["--device=cpu"]
    assert main(["caption", "photos", "--out", "captions.jsonl", "--captioner=tiny", *own]) == 0
    said = capsys.readouterr()
    assert said.out == "3 captions written to captions.jsonl, 1 skipped\n" and "Skipped broken.jpg: " in said.err
    assert main(["caption", "photos", "--sidecars", "--captioner=tiny", *own]) == 0
    assert (folder / "more" / "c.txt").is_file()
    for expected in ("3 pictures written to new, 1 skipped\n", "0 pictures written to new, 3 were there, 1 skipped\n"):
        capsys.readouterr()
        assert main(["generate", "--file", "texts.txt", "--out", "new", "--generator=tiny", *own]) == 0
        assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["caption", str(samples()["coffee"]), "--out", "x.jsonl"], "not a folder"),
        (["caption", "nowhere", "--sidecars"], "nowhere is not a folder of pictures"),
        (["caption", "."], "add --out captions.jsonl or --sidecars"),
        (["caption", ".", ".", "--sidecars"], "one folder"),
        (["generate", "--file", "texts.txt"], "--out"),
    ],
)
def test_options_for_many_inputs_say_what_they_need(tiny, arguments, told, capsys):
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_ctrl_c_says_that_the_same_command_continues(tiny, folder, tmp_path, monkeypatch, capsys):
    def interrupted(*given, **how):
        raise KeyboardInterrupt

    monkeypatch.setattr(bulk, "caption_folder", interrupted)
    assert main(["caption", str(folder), "--out", str(tmp_path / "c.jsonl"), "--captioner=tiny"]) == 130
    assert "the same command continues" in capsys.readouterr().err


def test_a_world_names_the_model_of_its_kind(tiny, folder, tmp_path, capsys):
    assert main(["caption", str(folder / "a.PNG"), "--world=tiny", "--device=cpu"]) == 0
    assert main(["generate", "a dog", "--world=tiny", "--device=cpu", "--out", str(tmp_path / "dog")]) == 0
    assert (tmp_path / "dog" / "strip.png").is_file()
