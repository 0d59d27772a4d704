import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from telephonegan.errors import OutputError, SettingsError
from telephonegan.files import dated_folder, expanded, json_bytes, locked, place
from tests.locking import holding


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
    with pytest.raises(OutputError, match="already exists"):
        place(str(tmp_path), "title")


def test_a_home_folder_that_nobody_has_is_named():
    with pytest.raises(SettingsError, match=r"~nobody-of-that-name/x begins with ~.*Write the path out"):
        expanded("~nobody-of-that-name/x")
    assert expanded("~/x") == Path.home() / "x"


@pytest.mark.parametrize("text", ["a\x7fb", "a\x9b31mb", "\x1b[2J", "\udcff", "é 🐶"])
def test_json_holds_nothing_that_a_terminal_obeys(text):
    written = json_bytes({"text": text})
    assert json.loads(written) == {"text": text}
    assert all(character.isprintable() or character == "\n" for character in written.decode())


def test_a_lock_has_one_holder_at_a_time(tmp_path):
    path = tmp_path / "lock"
    with locked(path), pytest.raises(OutputError, match=str(tmp_path)), locked(path):
        pass
    with locked(path):
        pass


@pytest.mark.parametrize("left", [b"", b'{"pid": 1, "host": "elsewhere"}', b"\xff"])
def test_a_file_that_was_left_behind_locks_nobody_out(tmp_path, left):
    (tmp_path / "lock").write_bytes(left)
    with locked(tmp_path / "lock"):
        pass


def test_a_lock_dies_with_its_owner(tmp_path):
    with holding(tmp_path / "lock") as other:
        with pytest.raises(OutputError, match="Another process"), locked(tmp_path / "lock"):
            pass
        other.kill()
        other.wait()
        with locked(tmp_path / "lock"):
            pass


def test_a_disk_without_locks_is_used_with_a_warning(tmp_path, monkeypatch):
    def refusing(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr("filelock.FileLock.acquire", refusing)
    with pytest.warns(UserWarning, match="without file locks"), locked(tmp_path / "lock"):
        pass
