"""Recipes by name, their presets, and how settings are read from a preset, a file and the command line."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from telephonegan.errors import SettingsError
from telephonegan.records import read_yaml

# Each module has PRESETS, its settings by name; the class of the settings determines the recipe.
_MODULES = {
    "captioner": {
        "captioner": "CaptionerRecipe",
        "self_critical": "SelfCriticalRecipe",
    },
    "damsm": {"damsm": "DamsmRecipe", "published_damsm": "PublishedDamsmRecipe"},
    "attngan": {"attngan": "GanRecipe", "published_attngan": "PublishedGanRecipe"},
    "free": {"free": "FreeRecipe"},
    "embedding": {"embedding": "EmbeddingRecipe"},
    "gan-cls": {"gan_cls": "GanClsRecipe", "gan_cls_projected": "ProjectedGanClsRecipe"},
    "ppgn": {"ppgn": "PpgnRecipe"},
}
NAMES = tuple(_MODULES)
_ATTNGAN_SECTIONS = {"CONFIG_NAME", "DATASET_NAME", "TRAIN", "GAN", "TEXT", "TREE"}


def presets(name: str) -> dict[str, Any]:
    """Settings by preset of a recipe, one of `NAMES`."""
    return {preset: settings for module in _MODULES[name] for preset, settings in _imported(module).PRESETS.items()}


def recipe_class(name: str, settings: Any) -> type:
    """The class of the recipe for these settings. Raises SettingsError for settings of another recipe."""
    module = type(settings).__module__.rpartition(".")[2]
    if module not in _MODULES[name]:
        raise SettingsError(
            f"These settings are for {module.replace('_', ' ')}, not for {name}. Give settings for {name}."
        )
    return getattr(_imported(module), _MODULES[name][module])


def settings_of(name: str, preset: str, config: Path | None, assignments: Sequence[str]) -> Any:
    """The settings of a preset, overridden by a YAML file, then by KEY=VALUE texts.

    One of AttnGAN's own files replaces the preset. Raises SettingsError for unknown recipes, presets and keys and for
    invalid values, DataError for an unreadable file.
    """
    if name not in NAMES:
        raise SettingsError(f"There is no recipe {name!r}. Choose one of {', '.join(NAMES)}.")
    known = presets(name)
    if preset not in known:
        raise SettingsError(f"{name} has no preset {preset!r}. Choose one of {', '.join(known)}.")
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
    """Settings as KEY=VALUE texts, as the command line takes them and run.json records them.

    >>> assignments_of({"batch_size": 8, "mirror": False})
    ['batch_size=8', 'mirror=False']
    """
    return [f"{key}={value}" for key, value in values.items()]


def changed(settings: Any, assignments: Sequence[str]) -> Any:
    """A settings dataclass with KEY=VALUE texts applied. Raises SettingsError for unknown keys and invalid values."""
    kinds = {field.name: type(getattr(settings, field.name)) for field in dataclasses.fields(settings)}
    values = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key not in kinds:
            raise SettingsError(f"There is no setting {key!r}. Write KEY=VALUE with one of {', '.join(kinds)}.")
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
