"""The plan of an experiment: everything that determines its results, and nothing else."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from telephonegan import inference
from telephonegan.chains import MOST_ROUNDS, PlaySettings
from telephonegan.data.layouts import SPLITS
from telephonegan.errors import SettingsError, unknown_setting
from telephonegan.files import expanded
from telephonegan.records import read_yaml
from telephonegan.telephone import DEFAULT_MODEL

SAMPLES = "samples"
KEPT = ("all", "ends", "none")
_MOST = 1_000_000


@dataclass(frozen=True)
class Plan:
    """An experiment: each source with each seed is one chain. Invalid settings raise SettingsError.

    - `sources`: a folder of pictures, a text file of one caption per line, or "samples", the sample photographs. With
      `split` ("train", "dev" or "test") the folder is a data folder (see `telephonegan data check`), whose human
      captions are kept as references. `limit`: use only this many of the usable ones, from the first.
    - `captioner`, `generator`: names of models. `rounds` (1–1000). `seeds`: different whole numbers.
    - `seed_policy`: "fresh" uses new random numbers in every round, "fixed" the same ones in every round of a chain.
    - `method`, `beam_width`, `temperature`, `top_p`, `truncation`, `candidates`: see `chains.PlaySettings`.
    - `pictures`: which to store, "all", "ends" (the first and last of each chain) or "none".
    - `block` (1–32): how many chains a network computes at once, and `threads` (1–64), the CPU threads of a process.
      They are part of the plan because they affect floating-point rounding. The plan determines the blocks, so results
      depend neither on the number of processes nor on the batch size of a run; with 1, a chain's results do not depend
      on the other chains either.

    >>> Plan(sources="samples", rounds=4, seeds=(0, 1)).rounds
    4
    """

    sources: str
    split: str | None = None
    limit: int | None = None
    captioner: str = DEFAULT_MODEL
    generator: str = DEFAULT_MODEL
    rounds: int = 10
    seeds: tuple[int, ...] = (0,)
    seed_policy: str = "fresh"
    method: str = "beam"
    beam_width: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    truncation: float = 1.0
    candidates: int = 1
    pictures: str = "all"
    block: int = 8
    threads: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.sources, os.PathLike):
            object.__setattr__(self, "sources", os.fspath(self.sources))
        for name in ("sources", "captioner", "generator"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise SettingsError(f"{name} must be a text; {getattr(self, name)!r} was given.")
        object.__setattr__(self, "seeds", _checked_seeds(self.seeds))
        most = {"rounds": MOST_ROUNDS, "block": inference.BATCH, "threads": 64}
        for name, high in (most if self.limit is None else most | {"limit": _MOST}).items():
            object.__setattr__(self, name, inference.check_whole(getattr(self, name), name, 1, high))
        _check_choice("pictures", self.pictures, KEPT)
        if self.split is not None:
            _check_choice("split", self.split, SPLITS)
            if self.sources == SAMPLES:
                raise SettingsError("The sample photographs have no split: leave split out, or name a data folder.")
        for name, value in dataclasses.asdict(self.settings).items():
            object.__setattr__(self, name, value)

    @property
    def settings(self) -> PlaySettings:
        """The settings for decoding and painting."""
        return PlaySettings(
            **{
                field.name: getattr(self, field.name)
                for field in dataclasses.fields(PlaySettings)
                if hasattr(self, field.name)
            }
        )

    @property
    def repeats(self) -> bool:
        """Whether a caption said again needs no new painting: its noise is the same, and no picture is kept."""
        return self.seed_policy == "fixed" and self.pictures != "all"

    def record(self) -> dict[str, Any]:
        """All settings as JSON values, which `of` reads."""
        settings = self.settings.record()  # leaves out candidates=1, like older plans
        return {
            name: list(value) if name == "seeds" else value
            for name, value in dataclasses.asdict(self).items()
            if name != "candidates" or name in settings
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Plan:
        """A plan from settings by name. Raises SettingsError, which suggests names similar to an unknown one."""
        known = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                raise unknown_setting("A plan", str(name), known)
        if "sources" not in values:
            raise SettingsError(
                "A plan needs sources: a folder of pictures, a text file of captions, or samples. "
                "Write a line such as `sources: photos`."
            )
        return cls(**values)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Plan:
        """A plan from a YAML file of `setting: value` lines. Raises DataError or SettingsError.

        >>> Plan.read("plan.yaml")  # doctest: +SKIP
        """
        path = expanded(path)
        try:
            return cls.of(read_yaml(path, example="sources: photos"))
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from error


def _checked_seeds(seeds: Any) -> tuple[int, ...]:
    if not isinstance(seeds, list | tuple | range) or not seeds:
        raise SettingsError(f"seeds must be a list of whole numbers, such as [0, 1, 2]; {seeds!r} was given.")
    checked = tuple(inference.check_seed(seed) for seed in seeds)
    if len(set(checked)) != len(checked):
        raise SettingsError(f"seeds must differ from each other; {list(checked)} was given.")
    return checked


def _check_choice(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name} must be one of {', '.join(allowed)}; {value!r} was given.")
