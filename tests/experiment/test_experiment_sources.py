"""Sources: in a fixed order, known by their bytes, the bad ones listed."""

from pathlib import Path

import pytest

from telephonegan.errors import DataError, TextError
from telephonegan.experiment.sources import candidates, listed, place_of, usable
from telephonegan.samples import sample, samples


def refuse_qqq(text):
    if "qqq" in text:
        raise TextError("no known word")


def test_a_folder_gives_its_pictures_by_name_and_skips_what_is_none(photos, plan_of):
    (photos / "1b.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("not meant as one")
    (photos / "2b.png").mkdir()
    good, skipped = usable(candidates(plan_of(photos), photos), None, refuse_qqq)
    assert [(source.id, source.candidate.name) for source in good] == [
        ("0000-0", "0.png"),
        ("0001-1", "1.png"),
        ("0002-2", "2.png"),
    ]
    assert [each["name"] for each in skipped] == ["1b.jpg", "2b.png"]
    assert not any(str(photos) in each["fault"] for each in skipped)


def test_a_text_file_gives_its_lines_and_skips_what_cannot_be_painted(tmp_path, plan_of):
    path = tmp_path / "lines.txt"
    path.write_text("a dog\r\n\n qqq \na cat\n", encoding="utf-8")
    good, skipped = usable(candidates(plan_of(path), path), None, refuse_qqq)
    assert [source.content() for source in good] == ["a dog", "a cat"]
    assert [source.id for source in good] == ["0000-a-dog", "0001-a-cat"]
    assert [each["name"] for each in skipped] == ["line 3"]


def test_the_samples_are_sources_by_name(plan_of):
    plan = plan_of("samples")
    good, skipped = usable(candidates(plan, place_of(plan, Path())), None, refuse_qqq)
    assert [source.candidate.name for source in good] == sorted(samples())
    assert not skipped and good[0].content().size == sample(good[0].candidate.name).size


def test_the_limit_counts_what_can_be_used(photos, plan_of):
    (photos / "00.png").write_bytes(b"no picture")
    good, skipped = usable(candidates(plan_of(photos), photos), 2, refuse_qqq)
    assert ([source.candidate.name for source in good], len(skipped)) == (["0.png", "1.png"], 1)


def test_a_data_folder_gives_a_split_and_its_human_captions(photos, plan_of):
    (photos / "captions.txt").write_text("".join(f"{n}.png\tA dog, no {n}\n{n}.png\ttwo dogs\n" for n in range(3)))
    for split, name in (("train", "0.png"), ("dev", "1.png"), ("test", "2.png")):
        (photos / f"{split}.txt").write_text(name)
    [only] = candidates(plan_of(photos, split="test"), photos)
    assert only.name == "2.png"
    assert set(only.references) == {("a", "dog", "no", "2"), ("two", "dogs")}


def test_a_source_that_changed_or_went_since_the_beginning_is_told(photos, plan_of):
    good, _ = usable(candidates(plan_of(photos), photos), None, refuse_qqq)
    records = [source.record() for source in good]
    again = listed(records, candidates(plan_of(photos), photos))
    assert again[1].content().size == (60, 40)
    (photos / "1.png").write_bytes((photos / "2.png").read_bytes())
    with pytest.raises(DataError, match=r"1\.png has changed"):
        again[1].content()
    (photos / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png is missing from"):
        listed(records, candidates(plan_of(photos), photos))


def test_sources_that_are_not_there_or_empty_are_told(tmp_path, plan_of):
    with pytest.raises(DataError, match="There are no sources"):
        place_of(plan_of("nowhere"), tmp_path)
    with pytest.raises(DataError, match="has no sources"):
        candidates(plan_of(tmp_path), tmp_path)


def test_sources_keep_the_ids_that_an_experiment_began_with(photos, plan_of):
    found = candidates(plan_of(photos), photos)
    new, _ = usable(found, None, refuse_qqq)
    old = [source.record() | {"id": f"s{source.number:04}"} for source in new]
    assert [source.id for source in listed(old, found)] == ["s0000", "s0001", "s0002"]
    assert listed([source.record() for source in new], found) == new
