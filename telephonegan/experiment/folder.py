"""An experiment's folder: how it begins, and how it is read again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from telephonegan import files
from telephonegan.errors import DataError, OutputError, SettingsError, printable
from telephonegan.experiment import sources
from telephonegan.experiment.manifest import FORMAT, manifest
from telephonegan.experiment.plan import Plan
from telephonegan.telephone import Telephone
from telephonegan.training.runs import command_line

MANIFEST, REFERENCES, PLACE, PICTURES = "manifest.json", "references.json", "place.json", "pictures"
_PARTS_OF_A_MANIFEST = {"plan", "models", "code", "packages", "chains", "sources", "skipped"}
_WAIT_S = 3600.0  # the main process opens every source first
_TOLD = 20


def begin(plan: Plan, phone: Telephone, where: Path | None, open_folder: Callable[[], Path], *, progress: bool) -> Path:
    """Look at every source, tell those that are no use, and make the folder; the manifest, written last, completes it.

    Raises DataError when no source can be used, or OutputError.
    """
    from tqdm.auto import tqdm

    found = sources.candidates(plan, where)
    watched = tqdm(found, desc="sources", unit="source", disable=not progress)
    good, skipped = sources.usable(watched, plan.limit, phone.generator.encode)
    for each in skipped[:_TOLD]:
        tqdm.write(f"skipped {printable(each['name'])}: {printable(each['fault'])}", file=sys.stderr)
    if skipped:
        tqdm.write(f"{len(skipped)} sources cannot be used and are skipped; {MANIFEST} lists them.", file=sys.stderr)
    if not good:
        raise DataError(f"None of the {len(found)} sources can be used. The first: {skipped[0]['fault']}")
    content = manifest(plan, phone, good, skipped)
    folder = open_folder()
    references = {source.id: source.candidate.references for source in good if source.candidate.references}
    if references:
        files.replace(folder / REFERENCES, files.json_bytes(references))
    told = {"sources": None if where is None else str(where), "command": command_line()}
    files.replace(folder / PLACE, files.json_bytes(told))
    files.replace(folder / MANIFEST, files.json_bytes(content))
    return folder


def begun(folder: Path, plan: Plan) -> Path:
    """The main process's folder, as soon as it is there.

    Raises OutputError when it does not come, SettingsError when it is another experiment's.
    """
    deadline = time.monotonic() + _WAIT_S
    while not (folder / MANIFEST).exists():
        if time.monotonic() > deadline:
            raise OutputError(f"The process of RANK 0 has made no {folder / MANIFEST}. See what it says.")
        time.sleep(0.1)
    if Plan.of(read_manifest(folder)["plan"]) != plan:
        raise SettingsError(f"{folder} is an experiment with another plan. Choose another name with --out.")
    return folder


def place_of_sources(folder: Path) -> Path | None:
    """Where the sources were found when the experiment began; None for the samples. Raises DataError."""
    try:
        given = json.loads((folder / PLACE).read_text(encoding="utf-8"))["sources"]
        return None if given is None else Path(given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f'{folder / PLACE} is damaged or gone: {error}. Write it anew: {{"sources": "where they are now"}}.'
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """manifest.json of an experiment. Raises DataError."""
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} is no experiment: it holds no {MANIFEST}. Name the folder of one; one that was killed before "
            "its first round has nothing to go on with."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} is not of format {FORMAT}, the one this version reads.")
    if lost := _PARTS_OF_A_MANIFEST - content.keys():
        raise DataError(f"{path} is damaged: it tells nothing of {', '.join(sorted(lost))}.")
    return content
