"""Worlds: names under which a captioner, a DAMSM, a judge and a generator exist that learned the same photographs.

A manifest may say what its worlds know, beside the models:

    {"format": 1, "models": {…}, "worlds": {"flowers": {"knows": "garden flowers …", "examples": ["…", "…", "…"]}}}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from telephonegan.errors import TelephoneganError, UnknownModelError, WeightsError
from telephonegan.records import checked
from telephonegan.zoo import catalogue
from telephonegan.zoo.catalogue import MANIFEST, Entry

PARTS = ("captioner", "generator", "damsm", "judge")  # the kinds of model that a world has


@dataclass(frozen=True)
class World:
    """What a world knows, in one line, and sentences that its generator paints well."""

    name: str
    knows: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Told:
    """A world as a manifest describes it."""

    knows: str = ""
    examples: list[str] = field(default_factory=list)


def worlds(entries: Iterable[Entry] | None = None) -> list[World]:
    """All worlds among these models (default: all known here), those that a manifest describes first.

    Reads manifests only. Raises WeightsError for a damaged one.

    >>> [world.name for world in worlds()]  # doctest: +SKIP
    ['flickr8k', 'flowers', 'birds', 'fashion']
    """
    kinds: dict[str, set[str]] = {}
    for entry in catalogue.entries() if entries is None else entries:
        kinds.setdefault(entry.name, set()).add(entry.kind)
    whole = [name for name, own in kinds.items() if own >= {*PARTS}]
    told = _described(catalogue.SHIPPED)
    told |= {name: world for name, world in _described(catalogue.home()).items() if name not in told}
    return [*(told[name] for name in told if name in whole), *(World(name) for name in whole if name not in told)]


def find_world(name: str) -> World:
    """The world of that name. Raises UnknownModelError, with the worlds there are.

    >>> find_world("flowers").examples[0]  # doctest: +SKIP
    'a lavender flower with spiky petals'
    """
    entries = catalogue.entries()
    known = {world.name: world for world in worlds(entries)}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(str(name).lower(), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    if there := [kind for kind in PARTS if any((entry.kind, entry.name) == (kind, name) for entry in entries)]:
        lacking = [kind for kind in PARTS if kind not in there]
        hint = f" There is a {' and a '.join(there)} of that name, but no {' and no '.join(lacking)}: name the models."
    raise UnknownModelError(f"No world is called {name!r}.{hint} The worlds are {', '.join(known) or 'none yet'}.")


def explained(words: Iterable[str], generator: str) -> str:
    """Words that the generator of that name does not know, each with the worlds that do.

    Reads vocabularies and no weights. Where they are damaged the words stand alone, for this only helps.

    >>> explained(["penguin", "zyx"], "flickr8k")  # doctest: +SKIP
    'penguin (birds knows it), zyx'
    """
    try:
        vocabularies = {world.name: _words(world.name) for world in worlds() if world.name != generator}
    except TelephoneganError:
        vocabularies = {}
    return ", ".join(
        word + _known_in([name for name, vocabulary in vocabularies.items() if word in vocabulary]) for word in words
    )


def _known_in(names: list[str]) -> str:
    if len(names) < 2:
        return f" ({names[0]} knows it)" if names else ""
    return f" ({', '.join(names[:-1])} and {names[-1]} know it)"


def _words(world: str) -> frozenset[str]:
    """The words that a world's generator paints, which are those of the DAMSM that reads for it."""
    teacher = catalogue.find("generator", world).settings.get("damsm")
    return _vocabulary(catalogue.find("damsm", teacher)) if isinstance(teacher, str) else frozenset()


@lru_cache(maxsize=32)
def _vocabulary(entry: Entry) -> frozenset[str]:
    from telephonegan.zoo.store import read_vocabulary  # with torch, which a list of models does not need

    vocabulary = read_vocabulary(entry)
    return frozenset(word for word in vocabulary.words if word in vocabulary) if vocabulary else frozenset()


def _described(folder: Path) -> dict[str, World]:
    """The worlds that the manifest in this folder describes."""
    manifest = folder / MANIFEST
    kept = catalogue.read_whole(folder, optional=True).get("worlds", {})
    told = checked(kept, dict[str, _Told], f"{manifest}: worlds", WeightsError, catalogue.remedy(manifest))
    return {name: World(name, each.knows, tuple(each.examples)) for name, each in told.items()}
