"""Splitting a large file into small pieces with checksums, and joining the pieces again."""

from __future__ import annotations

import hashlib
from pathlib import Path

from telephonegan.errors import DataError
from telephonegan.files import replace, replacing, writing

PIECE = 16 * 1024 * 1024  # bytes


def split_file(path: Path, *, limit: int = PIECE) -> list[Path]:
    """Replace a file by pieces NAME.000, NAME.001, … of at most `limit` bytes, and NAME.sha256, which lists them.

    The list has the format of sha256sum; the line of the whole file comes last. Raises OutputError.

    >>> split_file(Path("runs/attngan/checkpoint.pt"))  # doctest: +SKIP
    """
    whole, pieces, lines = hashlib.sha256(), [], []
    with writing(path), open(path, "rb") as file:
        while content := file.read(limit):
            piece = path.with_name(f"{path.name}.{len(pieces):03d}")
            replace(piece, content)
            whole.update(content)
            pieces.append(piece)
            lines.append(f"{hashlib.sha256(content).hexdigest()}  {piece.name}\n")
    replace(_list_of(path), "".join([*lines, f"{whole.hexdigest()}  {path.name}\n"]).encode())
    with writing(path):
        path.unlink()
    return pieces


def join_file(path: Path) -> bool:
    """Join a file's pieces and delete them, unless the file exists; returns whether there was anything to do.

    If a piece is missing or damaged, raises DataError and keeps all pieces.
    """
    if path.exists() or not _list_of(path).exists():
        return False
    *lines, last = _lines(_list_of(path))
    whole = hashlib.sha256()
    with replacing(path) as partial, open(partial, "wb") as file:
        for digest, name in lines:
            content = _piece(path.with_name(name), digest)
            whole.update(content)
            file.write(content)
        if [whole.hexdigest(), path.name] != last:
            raise DataError(
                f"The pieces of {path} do not make the file listed in {_list_of(path).name}. Copy them again."
            )
    for _, name in lines:
        path.with_name(name).unlink()
    _list_of(path).unlink()
    return True


def _lines(path: Path) -> list[list[str]]:
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    if not lines or any(len(line) != 2 or Path(line[1]).name != line[1] for line in lines):
        raise DataError(f"{path} is not a list of pieces: each line has a SHA-256 and a name. Copy it again.")
    return lines


def _piece(path: Path, digest: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"The piece {path} cannot be read: {error.strerror}. Copy it again.") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(f"The piece {path} is damaged: its SHA-256 is not the one listed. Copy it again.")
    return content


def _list_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
