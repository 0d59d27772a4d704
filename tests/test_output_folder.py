from concurrent.futures import ThreadPoolExecutor

import pytest

from telephonegan.errors import OutputError
from telephonegan.output_folder import dated_folder, place


def test_runs_of_one_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda form: "20260101-120000")
    with ThreadPoolExecutor(8) as pool:
        folders = [*pool.map(lambda _: dated_folder(tmp_path / "out", "A Dog! "), range(8))]
    assert {f.name for f in folders} == {"20260101-120000-a-dog", *(f"20260101-120000-a-dog-{i}" for i in range(2, 9))}


@pytest.mark.parametrize("title", ["", "🐶", "../../etc", "a" * 1000, "\0"])
def test_any_title_gives_a_harmless_folder_name(tmp_path, title):
    folder = dated_folder(tmp_path / "out", title)
    assert folder.parent == tmp_path / "out" and len(folder.name) < 60


def test_a_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out"):
        dated_folder(tmp_path / "out", "x")


def test_a_named_folder_is_made_when_it_is_needed_and_no_sooner(tmp_path):
    make = place(str(tmp_path / "mine"), "title")
    assert not (tmp_path / "mine").exists()
    assert make() == tmp_path / "mine"


def test_a_taken_name_is_told_at_once(tmp_path):
    with pytest.raises(OutputError, match="overwritten"):
        place(str(tmp_path), "title")
