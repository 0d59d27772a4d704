"""Sources of chains: photographs or texts, identified by the hash of their bytes, and which of them are unusable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
    """A possible source: its name in its folder or file, and how to get its bytes."""

    name: str
    read: Callable[[], bytes]
    is_text: bool = False
    references: References = ()

    def content(self, data: bytes) -> Image.Image | str:
        """The picture or text in these bytes. Raises ImageError."""
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
        """The picture, at most 1024 pixels wide or high, or the text. Raises DataError if it has changed."""
        try:
            data = self.candidate.read()
        except OSError as error:
            raise DataError(
                f"{self.candidate.name} can no longer be read: {error.strerror or error}. Put it back."
            ) from error
        if _sha256(data) != self.sha256:
            raise DataError(f"{self.candidate.name} has changed since the experiment began. Restore the old one.")
        return self.candidate.content(data)


@dataclass
class PlannedChain:
    """One chain of a plan and its progress. Of its rounds, only the last `caption` is kept in memory.

    `round` is the number of the next round. Where the noise is the same in all rounds, `followed` has the line of the
    round after each caption, because it would be the same again.
    """

    source: Source
    seed: int
    round: int = 0
    caption: str = ""
    followed: dict[str, bytes] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its name in the experiment's files, such as "0007-beach-seed0"."""
        return f"{self.source.id}-seed{self.seed}"

    def position(self) -> Position:
        """Everything on which its next round depends. Raises DataError."""
        before = self.caption if self.round else self.source.content()
        return Position(self.round, before, self.seed, self.source.number)


def chains_of(plan: Plan, sources: Sequence[Source]) -> list[PlannedChain]:
    """Every chain of the plan, source by source."""
    return [PlannedChain(source, seed) for source in sources for seed in plan.seeds]


def place_of(plan: Plan, base: Path) -> Path | None:
    """Where the plan's sources are, relative to `base`; None for the samples. Raises DataError."""
    if plan.sources == SAMPLES:
        return None
    place = (base / expanded(plan.sources)).absolute()
    if not place.exists():
        raise DataError(
            f"There are no sources {place}. Give a folder of pictures, a text file with one caption per line, or "
            f"{SAMPLES}; a relative path starts at {base.absolute()}."
        )
    return place


def candidates(plan: Plan, place: Path | None) -> list[Candidate]:
    """All possible sources at a place, unopened, in a fixed order. Raises DataError if there are none."""
    found = list(_found(plan, place))
    if not found:
        raise DataError(f"{place} has no sources. Give a folder with pictures, or a file with lines of text.")
    return found


def usable(
    found: Iterable[Candidate], limit: int | None, check_text: Callable[[str], object]
) -> tuple[list[Source], list[dict[str, str]]]:
    """The usable sources, at most `limit`, and the names and faults of the unusable ones before them.

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
    """The sources listed in a manifest. Raises DataError if one is missing."""
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
