"""The folder of pictures: bounded, for a day, whole files only, shared by several servers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the server needs the extra [serve]")

from telephonegan.serving.picture_folder import PictureFolder

ROOT = Path(__file__).resolve().parents[2]
DAY = 24 * 3600


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


def test_a_picture_is_found_under_a_name_that_says_nothing(tmp_path):
    folder = PictureFolder(tmp_path)
    names = {folder.add(b"png") for _ in range(5)}
    assert len(names) == 5 and all(len(name) == 36 for name in names)
    assert {folder.read(name) for name in names} == {b"png"}


@pytest.mark.parametrize("name", ["../secret.png", "/etc/passwd", "secret.png", "", "a" * 32, f"{'a' * 32}.png/.."])
def test_nothing_else_is_read(tmp_path, name):
    (tmp_path / "secret.png").write_bytes(b"secret")
    folder = PictureFolder(tmp_path / "pictures")
    (folder.path / "secret.png").write_bytes(b"secret")
    assert folder.read(name) is None


def test_a_picture_is_kept_for_a_day(tmp_path):
    folder = PictureFolder(tmp_path)
    old, new = folder.add(b"old"), folder.add(b"new")
    age(tmp_path / old, DAY + 1)
    assert folder.read(old) is None and folder.read(new) == b"new"
    folder.sweep()
    assert not (tmp_path / old).exists() and (tmp_path / new).exists()


def test_the_folder_stays_within_its_limit_and_the_oldest_go_first(tmp_path):
    most = 1_000_000
    first, second = PictureFolder(tmp_path, most_bytes=most), PictureFolder(tmp_path, most_bytes=most)
    for number in range(120):
        name = (first, second)[number % 2].add(bytes(20_000))
        age(tmp_path / name, 1000 - number)
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= most
    assert first.read(name) is not None  # the youngest


def test_files_of_others_stay(tmp_path):
    (tmp_path / "holiday.png").write_bytes(bytes(10))
    age(tmp_path / "holiday.png", 10 * DAY)
    PictureFolder(tmp_path)
    assert (tmp_path / "holiday.png").exists()


_WRITER = """
import sys
from pathlib import Path
from telephonegan.serving.picture_folder import PictureFolder
folder, png = PictureFolder(Path(sys.argv[1])), Path(sys.argv[2]).read_bytes()
while True:
    print(folder.add(png), flush=True)
"""


def test_a_kill_leaves_no_half_written_picture(tmp_path):
    """Two servers write to one folder and are killed; a third goes on there and clears up."""
    buffer = BytesIO()
    Image.effect_noise((512, 512), 64).save(buffer, "PNG")
    source, pictures = tmp_path / "source.png", tmp_path / "pictures"
    source.write_bytes(buffer.getvalue())
    command = [sys.executable, "-c", _WRITER, str(pictures), str(source)]
    writers = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [writer.stdout.readline().strip() for writer in writers for _ in range(20)]
    for writer in writers:
        writer.kill()
        writer.wait()
        writer.stdout.close()
    folder = PictureFolder(pictures)
    whole = [path for path in pictures.iterdir() if not path.name.startswith(".")]
    assert len(whole) >= 40 and {folder.read(path.name) for path in whole} == {buffer.getvalue()}
    assert all(folder.read(name) for name in told)
    for partial in pictures.glob(".*"):
        age(partial, DAY + 1)
    folder.sweep()
    assert not list(pictures.glob(".*")) and folder.read(folder.add(b"png")) == b"png"
