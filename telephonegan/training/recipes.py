"""The recipes by name: their presets, and settings from a preset, a file and the command line."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from telephonegan.errors import SettingsError
from telephonegan.records import read_yaml

# Each module has PRESETS, settings by name; the class of the settings tells the recipe that takes them.
_MODULES = {
    "captioner": {
        "captioner": "CaptionerRecipe",
        "self_critical": "SelfCriticalRecipe",
    },
    "damsm": {"damsm": "DamsmRecipe", "published_damsm": "PublishedDamsmRecipe"},
    "attngan": {"attngan": "GanRecipe", "published_attngan": "PublishedGanRecipe"},
}
NAMES = tuple(_MODULES)
_ATTNGAN_SECTIONS = {"CONFIG_NAME", "DATASET_NAME", "TRAIN", "GAN", "TEXT", "TREE"}


def presets(name: str) -> dict[str, Any]:
    """Settings by preset of one recipe, one of `NAMES`."""
    return {preset: settings for module in _MODULES[name] for preset, settings in _imported(module).PRESETS.items()}


def recipe_class(name: str, settings: Any) -> type:
    """The recipe these settings belong to. Raises SettingsError for settings of another recipe."""
    module = type(settings).__module__.rpartition(".")[2]
    if module not in _MODULES[name]:
        raise SettingsError(f"These are settings of {module.replace('_', ' ')}, not of {name}.")
    return getattr(_imported(module), _MODULES[name][module])


def settings_of(name: str, preset: str, config: Path | None, assignments: Sequence[str]) -> Any:
    """A preset's settings, then those of a YAML file, then KEY=VALUE texts.

    A file of AttnGAN's own replaces the preset. Raises SettingsError for unknown recipes, presets, keys and values,
    DataError for a file that cannot be read.
    """
    if name not in NAMES:
        raise SettingsError(f"No recipe is called {name!r}; there are {', '.join(NAMES)}.")
    known = presets(name)
    if preset not in known:
        raise SettingsError(f"{name} has no preset {preset!r}; there are {', '.join(known)}.")
    settings = known[preset]
    if config is not None:
        settings = _from_file(settings, config)
    return changed(settings, assignments)


def _from_file(settings: Any, path: Path) -> Any:
    values = read_yaml(path)
    if _ATTNGAN_SECTIONS & values.keys():
        from telephonegan.training.published_attngan import settings_from_config
        from telephonegan.zoo.attngan_config import read_config

        return settings_from_config(read_config(path))
    return changed(settings, assignments_of(values))


def _imported(module: str) -> Any:
    return importlib.import_module(f"telephonegan.training.{module}")


def assignments_of(values: Mapping[str, Any]) -> list[str]:
    """Settings as the KEY=VALUE texts that the command line takes and run.json keeps.

    >>> assignments_of({"batch_size": 8, "mirror": False})
    ['batch_size=8', 'mirror=False']
    """
    return [f"{key}={value}" for key, value in values.items()]


def changed(settings: Any, assignments: Sequence[str]) -> Any:
    """Return the settings dataclass with KEY=VALUE texts applied; SettingsError lists the known keys."""
    kinds = {field.name: type(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in kinds:
            raise SettingsError(f"No setting is called {key!r}; there are {', '.join(kinds)}. Write KEY=VALUE.")
        try:
            values[key] = _READERS[kinds[key]](text)
        except (KeyError, ValueError):
            raise SettingsError(f"{key} must be {_ALLOWED[kinds[key]]}; {text!r} was given.") from None
    return dataclasses.replace(settings, **values)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _switch(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


_READERS = {bool: _switch, int: int, float: _finite, str: str}
_ALLOWED = {bool: "true or false", int: "a whole number", float: "a finite number"}
