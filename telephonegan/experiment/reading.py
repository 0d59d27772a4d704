"""Reading an experiment, finished or not: its manifest, and its chains as tracks for the measures of drift."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from telephonegan.drift.tracks import Track, Turn
from telephonegan.errors import DataError
from telephonegan.experiment.folder import REFERENCES, read_manifest
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.records import PACKED, PICTURES, ROUNDS, Record, read, read_parts
from telephonegan.files import expanded
from telephonegan.images import as_image
from telephonegan.records import inside, read_json
from telephonegan.text import tokenise

References = dict[str, tuple[tuple[str, ...], ...]]


@dataclass(frozen=True)
class Experiment:
    """The folder of an experiment.

    `manifest` is the same for all runs of a plan; `records` are the rounds played so far, by source, seed and round.
    `is_complete` says whether these are all.
    """

    folder: Path
    plan: Plan
    manifest: dict[str, Any]
    records: list[Record]
    is_complete: bool

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Experiment:
        """Read the folder of an experiment. Raises DataError if it is not one, or damaged.

        >>> Experiment.open("out/drift").tracks()[0].turns[3].words  # doctest: +SKIP
        """
        folder = expanded(folder)
        manifest = read_manifest(folder)
        plan = Plan.of(manifest["plan"])
        merged = next((folder / name for name in (ROUNDS, PACKED) if (folder / name).exists()), None)
        found = list(read_parts(folder).values()) if merged is None else list(read(merged))
        return cls(folder, plan, manifest, _in_order(found, manifest, folder), merged is not None)

    def tracks(self) -> list[Track]:
        """Its chains, for `drift.similarities` and figures; without pictures if their folder is missing.

        Raises ImageError if a single picture is damaged or missing, DataError for a name outside the folder.
        """
        references, picture_of = _references(self.folder), _pictures(self.folder)
        chains: dict[str, list[Record]] = defaultdict(list)
        for record in self.records:
            chains[record["chain"]].append(record)
        return [
            Track(
                chain=chain,
                source=rounds[0]["source"],
                seed=rounds[0]["seed"],
                turns=tuple(
                    Turn(each["round"], tuple(tokenise(each["caption"])), picture_of(each["picture"]))
                    for each in rounds
                ),
                references=references.get(rounds[0]["source"], ()),
            )
            for chain, rounds in chains.items()
        ]


def _in_order(found: list[Record], manifest: dict[str, Any], folder: Path) -> list[Record]:
    """Rounds by source, seed and number. Raises DataError for a round not in the manifest, and for missing rounds."""
    sources = {source["id"]: number for number, source in enumerate(manifest["sources"])}
    seeds = {seed: number for number, seed in enumerate(manifest["plan"]["seeds"])}
    strange = next((each for each in found if each["source"] not in sources or each["seed"] not in seeds), None)
    if strange is not None:
        raise DataError(
            f"{folder} has a round of source {strange['source']!r} and seed {strange['seed']}, which is not in its "
            "manifest: the files are from different experiments."
        )
    found = sorted(found, key=lambda each: (sources[each["source"]], seeds[each["seed"]], each["round"]))
    played: Counter[str] = Counter()
    for each in found:
        if each["round"] != played[each["chain"]]:
            raise DataError(f"{folder}: rounds of {each['chain']!r} are missing or duplicated.")
        played[each["chain"]] += 1
    return found


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
