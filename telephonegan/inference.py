"""What captioning and generation share: where networks run, how their files become networks, and seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from telephonegan.errors import SettingsError, WeightsError
from telephonegan.networks.backbone import Backbone
from telephonegan.text import Vocabulary
from telephonegan.zoo.catalogue import Entry
from telephonegan.zoo.store import read_vocabulary

BATCH = 32
SEEDS = 2**32  # torch's CPU generator tells no more seeds apart


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device of "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N"; SettingsError for all else."""
    name = str(device)
    kind, _, number = name.partition(":")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (name != "cuda" and not number.isdecimal()):
        raise SettingsError(f"{name!r} is no device. Allowed: auto, cpu, cuda or cuda:N, such as cuda:0.")
    if not torch.cuda.is_available():
        raise SettingsError(f"The device {name!r} was asked for, but torch sees no GPU here. Use auto or cpu.")
    if int(number or 0) >= torch.cuda.device_count():
        raise SettingsError(f"There is no device {name!r}: torch sees {torch.cuda.device_count()} GPU, counted from 0.")
    return torch.device(name)


@cache
def shared_backbone(name: str, device: torch.device) -> Backbone:
    """One frozen backbone per device, whatever number of models looks through it."""
    return Backbone(name).to(device=device, memory_format=torch.channels_last)


@contextmanager
def settings_of(entry: Entry, *architectures: str) -> Iterator[dict[str, Any]]:
    """The settings of a model of one of these architectures; settings that do not fit become a WeightsError."""
    if entry.architecture not in architectures:
        raise WeightsError(
            f"{entry.kind}/{entry.name} has the architecture {entry.architecture!r}; "
            f"here {' or '.join(map(repr, architectures))} is needed."
        )
    try:
        yield entry.settings
    except (KeyError, TypeError) as error:
        raise WeightsError(
            f"The settings of {entry.kind}/{entry.name} in the manifest do not fit this version: {error}. "
            "Update telephonegan, or register the model again."
        ) from error


def vocabulary_of(entry: Entry) -> Vocabulary:
    """The words of a model that must have some; WeightsError where the manifest lists none."""
    vocabulary = read_vocabulary(entry)
    if vocabulary is None:
        raise WeightsError(f"{entry.kind}/{entry.name} has no vocabulary. Register it again with its list of words.")
    return vocabulary


def is_number(value: Any) -> bool:
    """Whether a setting is a real number; True and False are none, whatever Python says."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_whole(value: int, name: str, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`; SettingsError names the setting for all else."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}; {value!r} was given.")
    return value


def check_seed(seed: int) -> int:
    """A whole number from 0 to 2³² - 1; SettingsError for all else."""
    return check_whole(seed, "seed", 0, SEEDS - 1)


def derived_seed(*parts: int | str) -> int:
    """A seed that depends on every part, the same on every machine and in every version of Python."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % SEEDS


def random_generator(seed: int) -> torch.Generator:
    """A CPU generator of its own for one picture: neither neighbours nor the device change what it draws."""
    return torch.Generator().manual_seed(check_seed(seed))


def in_batches(compute: Callable[..., list], *columns: Sequence) -> list:
    """`compute` on at most `BATCH` rows at a time of lists of equal length; the results in one list."""
    starts = range(0, len(columns[0]), BATCH)
    return [result for i in starts for result in compute(*(column[i : i + BATCH] for column in columns))]
