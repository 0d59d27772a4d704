"""What somebody may have given in place of a checkpoint or dictionary: the commonest slips of downloads."""

from __future__ import annotations

import zipfile
from pathlib import Path

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def mistaken(path: str | Path) -> str | None:
    """What the file is instead, and what to do; None where nothing is recognised.

    >>> mistaken("page.html")  # doctest: +SKIP
    'it is a web page, so the download failed. Get the file anew.'
    """
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(512)
    if not head.strip(b"\0"):
        return "it is empty or holds only zeros. Get the file anew."
    if head.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"<":
        return "it is a web page, so the download failed. Get the file anew."
    names = _zipped(path)
    if names and not any("data.pkl" in name for name in names):
        return f"it is a zip of {', '.join(names[:5])}. Unpack it and give the file inside."
    return None


def _zipped(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # no zip, or a damaged one, which fails in many ways
        return []
