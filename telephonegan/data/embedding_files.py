"""Photographs with text embeddings as other projects published them, read into one form.

Reed et al. published one `.t7` for each photograph, in a folder for each class; the PyTorch versions of GAN-CLS one
HDF5 file with a group for each caption.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from telephonegan.errors import DataError, WeightsError
from telephonegan.text import Alphabet
from telephonegan.zoo.torch7 import read_t7

SUFFIXES = (".t7", ".h5", ".hdf5")


@dataclass(frozen=True)
class EmbeddedPhoto:
    """One photograph: its captions and an embedding (k,D) of each, its class, and its encoded bytes where stored.

    Of Reed's files the captions are as their encoder read them: 201 characters at most. `sentences` is empty where a
    file has embeddings only.
    """

    name: str
    embeddings: np.ndarray
    sentences: list[str]
    class_name: str
    content: bytes | None = None


def read_embedded(path: str | Path, split: str = "train") -> list[EmbeddedPhoto]:
    """The photographs of a folder of `.t7` files (or of one of them), or of one `split` of an HDF5 file, by name.

    HDF5 needs the package h5py. Raises DataError for other files, and for embeddings of different lengths.

    >>> read_embedded("flowers_icml")[0].embeddings.shape  # doctest: +SKIP
    (10, 1024)
    """
    path = Path(path)
    if path.suffix.lower() in (".h5", ".hdf5"):
        found = list(_of_hdf5(path, split))
    else:
        files = sorted(path.rglob("*.t7")) if path.is_dir() else [path]
        if not files:
            raise DataError(f"{path} has no {' or '.join(SUFFIXES)} file with embeddings. Name another folder or file.")
        found = [_of_t7(file) for file in files]
    widths = {each.embeddings.shape[1]: each.name for each in found}
    if len(widths) > 1:
        (one, first), (other, second), *_ = sorted(widths.items())
        raise DataError(
            f"The embeddings in {path} differ in length: {one} numbers for {first}, {other} for {second}. Keep those "
            "of one encoder together."
        )
    return found


def _of_t7(path: Path) -> EmbeddedPhoto:
    try:
        found = read_t7(path)
    except WeightsError as error:
        raise DataError(str(error)) from error
    embeddings = found.get("txt") if isinstance(found, dict) else None
    if not isinstance(embeddings, np.ndarray) or embeddings.ndim != 2:
        raise DataError(f"{path} is not a photograph with embeddings: it lacks `txt`, a table of numbers.")
    name = found.get("img")
    characters = found.get("char")
    sentences = []
    if isinstance(characters, np.ndarray) and characters.ndim == 2:
        alphabet = Alphabet()
        sentences = [" ".join(alphabet.decode(column)) for column in characters.T]
    return EmbeddedPhoto(
        name if isinstance(name, str) else path.with_suffix(".jpg").name,
        embeddings.astype(np.float32),
        sentences,
        path.parent.name,
    )


def _of_hdf5(path: Path, split: str) -> Iterator[EmbeddedPhoto]:
    try:
        import h5py
    except ImportError:
        raise DataError(
            f"{path} needs the package h5py, which is not installed: pip install 'telephonegan[hdf5]'"
        ) from None
    try:
        with h5py.File(path, "r") as file:
            if split not in file:
                raise DataError(f"{path} has no split {split!r}. There are: {', '.join(file)}.")
            groups: dict[str, list[Any]] = {}
            for name in sorted(file[split]):
                group = file[split][name]
                # NAME_0, NAME_1, … are captions of one photograph; some are there twice.
                groups.setdefault(name.rpartition("_")[0] or name, []).append(
                    (
                        np.array(group["embeddings"], np.float32),
                        _text(group["txt"]),
                        _text(group["class"]),
                        group["img"][()],
                    )
                )
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is not an HDF5 file of photographs with embeddings: {error}.") from error
    for name, captions in groups.items():
        unlike = {sentence: vector for vector, sentence, _, _ in captions}
        content = captions[0][3]
        yield EmbeddedPhoto(
            name,
            np.stack([vector.reshape(-1) for vector in unlike.values()]),
            list(unlike),
            captions[0][2],
            content.tobytes() if hasattr(content, "tobytes") else bytes(content),
        )


def _text(dataset: Any) -> str:
    found = dataset[()]
    if isinstance(found, np.ndarray):  # one word, or an array of one
        found = found.reshape(-1)[0]
    return found.decode("utf-8", "replace").strip() if isinstance(found, bytes) else str(found).strip()
