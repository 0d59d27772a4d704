"""What chains begin with: photographs or texts, each known by the hash of its bytes, and those that cannot be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from telephonegan.data.layouts import open_data
from telephonegan.drift.tracks import source_id
from telephonegan.errors import DataError, ImageError, TextError
from telephonegan.experiment.plan import SAMPLES, Plan
from telephonegan.files import expanded
from telephonegan.images import PICTURE_SUFFIXES, working_image
from telephonegan.samples import samples
from telephonegan.telephone import Position
from telephonegan.text import read_lines

References = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Candidate:
    """Something a chain may begin with: its name in the place it comes from, and how to get its bytes."""

    name: str
    read: Callable[[], bytes]
    is_text: bool = False
    references: References = ()

    def content(self, data: bytes) -> Image.Image | str:
        """Bytes as what a chain begins with. Raises ImageError."""
        return data.decode() if self.is_text else working_image(data)


@dataclass(frozen=True)
class Source:
    """What some chains of an experiment begin with. `number` counts the sources from 0.

    `id` is its name in the experiment's files, such as "0007-beach"; those of older experiments are "s0007".
    """

    number: int
    sha256: str
    candidate: Candidate
    id: str

    @classmethod
    def of(cls, number: int, candidate: Candidate, data: bytes) -> Source:
        """A new source with these bytes."""
        title = data.decode() if candidate.is_text else Path(candidate.name).stem
        return cls(number, _sha256(data), candidate, source_id(number, title))

    def record(self) -> dict[str, str]:
        """Its entry in the manifest."""
        return {"id": self.id, "name": self.candidate.name, "sha256": self.sha256}

    def content(self) -> Image.Image | str:
        """The picture, at most 1024 pixels wide or high, or the text. DataError when it changed since the beginning."""
        try:
            data = self.candidate.read()
        except OSError as error:
            raise DataError(
                f"{self.candidate.name} cannot be read any more: {error.strerror or error}. Put it back."
            ) from error
        if _sha256(data) != self.sha256:
            raise DataError(f"{self.candidate.name} has changed since the experiment began. Put the old one back.")
        return self.candidate.content(data)


@dataclass
class PlannedChain:
    """One chain of a plan, and how far it is played: of its rounds only the last `caption` is held.

    `round` is the number of the round that comes next. Memory does not grow with the rounds.
    """

    source: Source
    seed: int
    round: int = 0
    caption: str = ""

    @property
    def id(self) -> str:
        """Its name in the experiment's files, such as "0007-beach-seed0"."""
        return f"{self.source.id}-seed{self.seed}"

    def position(self) -> Position:
        """All that its next round depends on. Raises DataError."""
        before = self.caption if self.round else self.source.content()
        return Position(self.round, before, self.seed, self.source.number)


def chains_of(plan: Plan, sources: Sequence[Source]) -> list[PlannedChain]:
    """Every chain of the plan, source by source."""
    return [PlannedChain(source, seed) for source in sources for seed in plan.seeds]


def place_of(plan: Plan, base: Path) -> Path | None:
    """Where the plan's sources are, a relative path seen from `base`; None for the samples. Raises DataError."""
    if plan.sources == SAMPLES:
        return None
    place = (base / expanded(plan.sources)).absolute()
    if not place.exists():
        raise DataError(
            f"There are no sources {place}. A plan names a folder of pictures, a text file of one caption per line, "
            f"or {SAMPLES}; a relative path is seen from the plan's own folder."
        )
    return place


def candidates(plan: Plan, place: Path | None) -> list[Candidate]:
    """Everything there is at the plan's place, in a fixed order, not yet opened. Raises DataError where nothing is."""
    found = list(_found(plan, place))
    if not found:
        raise DataError(f"{place} has nothing a chain can start from: no picture, or no line of text.")
    return found


def usable(
    found: Iterable[Candidate], limit: int | None, check_text: Callable[[str], object]
) -> tuple[list[Source], list[dict[str, str]]]:
    """The sources that can be used, at most `limit`, and name and fault of those met that cannot.

    `check_text` raises TextError for a text that cannot be painted.
    """
    good: list[Source] = []
    skipped: list[dict[str, str]] = []
    for candidate in found:
        if limit is not None and len(good) == limit:
            break
        try:
            data = candidate.read()
            content = candidate.content(data)
            if candidate.is_text:
                check_text(content)
            good.append(Source.of(len(good), candidate, data))
        except OSError as error:
            skipped.append({"name": candidate.name, "fault": f"It cannot be read: {error.strerror or error}."})
        except (ImageError, TextError) as error:
            skipped.append({"name": candidate.name, "fault": str(error)})
    return good, skipped


def listed(records: Iterable[Mapping[str, str]], found: Iterable[Candidate]) -> list[Source]:
    """The sources a manifest lists, as they are here. Raises DataError when one is not."""
    by_name = {candidate.name: candidate for candidate in found}
    gone = next((record["name"] for record in records if record["name"] not in by_name), None)
    if gone is not None:
        raise DataError(f"{gone} is missing from the sources. Put it back where it was.")
    return [Source(number, each["sha256"], by_name[each["name"]], each["id"]) for number, each in enumerate(records)]


def _found(plan: Plan, place: Path | None) -> Iterator[Candidate]:
    if place is None:
        for name, path in sorted(samples().items()):
            yield Candidate(name, path.read_bytes)
    elif plan.split is not None:
        photos = open_data(place).split(plan.split)
        for name, captions in zip(photos.names, photos.captions, strict=True):
            yield Candidate(name, (photos.folder / name).read_bytes, references=tuple(map(tuple, captions)))
    elif place.is_dir():
        for path in sorted(place.iterdir()):
            if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
                yield Candidate(path.name, path.read_bytes)
    else:
        for number, line in enumerate(read_lines(place), 1):
            if text := line.strip():
                yield Candidate(f"line {number}", partial(str.encode, text), is_text=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
