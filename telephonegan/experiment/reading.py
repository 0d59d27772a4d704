"""Reading an experiment, finished or not: its manifest, and its chains as tracks for the measures of drift."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from telephonegan.drift.tracks import Track, Turn
from telephonegan.errors import DataError
from telephonegan.experiment.folder import REFERENCES, read_manifest
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.records import PACKED, PICTURES, ROUNDS, Record, read, read_all, read_parts
from telephonegan.files import expanded
from telephonegan.images import as_image
from telephonegan.records import inside, read_json
from telephonegan.text import tokenise

References = dict[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, slots=True)
class Played:
    """The rounds of one chain so far: their captions, and the names of their pictures, None for those not kept."""

    chain: str
    source: str
    seed: int
    captions: tuple[str, ...]
    pictures: tuple[str | None, ...]


@dataclass(frozen=True)
class Experiment:
    """The folder of an experiment.

    `manifest` is the same for all runs of a plan; `chains` are those played so far, by source and seed. Equal captions
    are held once. `is_complete` says whether all rounds have been played.
    """

    folder: Path
    plan: Plan
    manifest: dict[str, Any]
    chains: list[Played]
    is_complete: bool

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Experiment:
        """Read the folder of an experiment. Raises DataError if it is not one, or damaged.

        >>> Experiment.open("out/drift").chains[0].captions[3]  # doctest: +SKIP
        """
        folder = expanded(folder)
        manifest = read_manifest(folder)
        plan = Plan.of(manifest["plan"])
        merged = _merged(folder)
        lines = _Lines.of(manifest)
        for record in read_all(folder) if merged is None else read(merged):
            lines.add(record, folder, may_repeat=merged is None)
        return cls(folder, plan, manifest, list(lines.chains(folder)), merged is not None)

    @property
    def records(self) -> Iterator[Record]:
        """All that was noted of every round, by source, seed and round, read from the disk again.

        >>> next(Experiment.open("out/drift").records)["log_probability"]  # doctest: +SKIP
        """
        merged = _merged(self.folder)
        if merged is not None:
            yield from read(merged)
            return
        found = read_parts(self.folder)
        for played in self.chains:
            yield from (found[played.chain, number] for number in range(len(played.captions)))

    def tracks(self) -> list[Track]:
        """Its chains, for `drift.similarities` and figures; without pictures if their folder is missing.

        Raises ImageError if a single picture is damaged or missing, DataError for a name outside the folder.
        """
        references, picture_of = _references(self.folder), _pictures(self.folder)
        words_of = cache(lambda caption: tuple(map(sys.intern, tokenise(caption))))
        return [
            Track(
                chain=played.chain,
                source=played.source,
                seed=played.seed,
                turns=tuple(map(Turn, count(), map(words_of, played.captions), map(picture_of, played.pictures))),
                references=references.get(played.source, ()),
            )
            for played in self.chains
        ]


class _Lines:
    """Lines of an experiment as numbers of captions and pictures, by chain and round: -1 where there is none.

    So memory holds each caption once, and 8 bytes for a round.
    """

    def __init__(self, sources: Sequence[str], seeds: Sequence[int], rounds: int) -> None:
        self.sources, self.seeds = ({each: i for i, each in enumerate(dict.fromkeys(of))} for of in (sources, seeds))
        shape = (len(self.sources) * len(self.seeds), rounds + 1)
        self.names: dict[int, str] = {}
        self.caption, self.picture = np.full(shape, -1, np.int32), np.full(shape, -1, np.int32)
        self.captions: dict[str, int] = {}
        self.pictures: dict[str | None, int] = {}

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> _Lines:
        """None yet, of the experiment with this manifest."""
        plan = Plan.of(manifest["plan"])
        return cls([source["id"] for source in manifest["sources"]], plan.seeds, plan.rounds)

    def add(self, record: Record, folder: Path, *, may_repeat: bool) -> None:
        """Raises DataError for a round that is not in the manifest, or that was there before and may not repeat."""
        if record["source"] not in self.sources or record["seed"] not in self.seeds:
            raise DataError(
                f"{folder} has a round of source {record['source']!r} and seed {record['seed']}, which is not in its "
                "manifest: the files are from different experiments."
            )
        number = self.sources[record["source"]] * len(self.seeds) + self.seeds[record["seed"]]
        name, place = self.names.setdefault(number, record["chain"]), (number, record["round"])
        is_planned = name == record["chain"] and 0 <= record["round"] < self.caption.shape[1]
        if not is_planned or (not may_repeat and self.caption[place] >= 0):
            raise _broken(folder, record["chain"])
        self.caption[place] = self.captions.setdefault(record["caption"], len(self.captions))
        self.picture[place] = self.pictures.setdefault(record["picture"], len(self.pictures))

    def chains(self, folder: Path) -> Iterator[Played]:
        """Those that have begun, by source and seed. Raises DataError for one that lacks a round."""
        captions, pictures = list(self.captions), list(self.pictures)
        sources, seeds = list(self.sources), list(self.seeds)
        chains = Counter(self.names.values())
        for number in sorted(self.names):
            known = self.caption[number] >= 0
            length = int(known.sum())
            if not known[:length].all() or chains[self.names[number]] > 1:
                raise _broken(folder, self.names[number])
            source, seed = divmod(number, len(seeds))
            yield Played(
                self.names[number],
                sources[source],
                seeds[seed],
                tuple(captions[i] for i in self.caption[number, :length].tolist()),
                tuple(pictures[i] for i in self.picture[number, :length].tolist()),
            )


def _broken(folder: Path, chain: str) -> DataError:
    return DataError(f"{folder}: rounds of {chain!r} are missing or duplicated.")


def _merged(folder: Path) -> Path | None:
    return next((folder / name for name in (ROUNDS, PACKED) if (folder / name).exists()), None)


def _pictures(folder: Path) -> Callable[[str | None], Image.Image | None]:
    """A reader of the folder's pictures that reads each one once, because measures compare pictures by identity."""

    are_there = (folder / PICTURES).exists()  # results can be passed on without their pictures

    @cache
    def picture_of(name: str | None) -> Image.Image | None:
        return as_image(inside(folder, name, str(folder / ROUNDS))) if are_there and name is not None else None

    return picture_of


def _references(folder: Path) -> References:
    path = folder / REFERENCES
    if not path.exists():
        return {}
    return read_json(path, References, remedy="Move it away to continue without human captions.")
