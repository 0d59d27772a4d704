"""When, where and how long an experiment was played: of no importance for its results, unless the machine changes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from telephonegan import files
from telephonegan.experiment.manifest import hardware, software
from telephonegan.experiment.shards import Shard
from telephonegan.telephone import Telephone

LOG = "log.jsonl"


@contextmanager
def logged(
    folder: Path, told: dict[str, Any], phone: Telephone, shard: Shard, batch_size: int | None
) -> Iterator[None]:
    """Note when, where and how long a process was at work, and warn where that is not how it began."""
    here = {**software(), "hardware": hardware(phone.generator.device)}
    _warn_of_differences({**told, **_first_hardware(folder)}, here)
    common = {"process": shard.rank, "processes": shard.processes}
    _note(folder, event="started", time=_now(), batch_size=batch_size, **common, **here)
    began, ending = time.monotonic(), "stopped"
    try:
        yield
        ending = "finished"
    finally:
        _note(folder, event=ending, time=_now(), seconds=round(time.monotonic() - began, 3), **common)


def _warn_of_differences(began: dict[str, Any], here: dict[str, Any]) -> None:
    differing = [
        f"{name} {began[group][name]} → {now}"
        for group, values in here.items()
        for name, now in values.items()
        if group in began and began[group].get(name, now) != now
    ]
    if differing:
        print(
            f"Not as it began, so sums may round otherwise from here on: {', '.join(differing)}. log.jsonl notes it.",
            file=sys.stderr,
        )


def _first_hardware(folder: Path) -> dict[str, Any]:
    try:
        with (folder / LOG).open(encoding="utf-8") as file:
            return {"hardware": json.loads(file.readline())["hardware"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _note(folder: Path, **event: Any) -> None:
    with files.writing(folder / LOG), (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(event, sort_keys=True) + "\n")


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
