"""A study: several experiments that answer one question, planned in one file and played by one command.

The file names the primary measure before anything is played. All other measures are exploratory. Doses change one
setting at a time, so that each can be compared with the run as planned, on the same photographs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from telephonegan import files
from telephonegan.drift.fates import fates
from telephonegan.drift.information import bits_left
from telephonegan.drift.ledger import kept_share
from telephonegan.drift.statistics import Estimate, Resamples, two_digits
from telephonegan.drift.tracks import Track
from telephonegan.errors import DataError, SettingsError, unknown_setting
from telephonegan.experiment.folder import MANIFEST
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.reading import Experiment
from telephonegan.experiment.runner import resume, run
from telephonegan.experiment.sources import place_of
from telephonegan.files import expanded
from telephonegan.records import read_json, read_yaml

STUDY = "study.json"
MEASURES = {
    "bits left": "InfoNCE bound, in bits, on which photograph the last caption is from (drift.information)",
    "words kept": "share of the first caption's words of meaning that the last caption has (drift.fates)",
    "distance to the prior": "change of the divergence from the captioner's training captions (drift.prior)",
}
DOSED = ("candidates", "beam_width", "temperature", "top_p", "truncation")
SHOWN_AGAIN = "photograph shown again every"
_AS_PLANNED = "as planned"


@dataclass(frozen=True)
class Study:
    """`runs` by name; `primary` is a name of `MEASURES`, `exploratory` and `question` are notes for the reader.

    `doses` are the values of one setting each, in addition to what a run has: they are runs of their own, named
    "RUN/SETTING=VALUE".
    """

    primary: str
    question: str
    exploratory: tuple[str, ...]
    runs: dict[str, Plan]
    doses: dict[str, tuple[Any, ...]]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Study:
        """A study from settings by name. Raises SettingsError, which names the run or dose that is wrong."""
        known = [field.name for field in fields(cls)] + ["base"]
        for name in values:
            if name not in known:
                raise unknown_setting("A study", str(name), known)
        if values.get("primary") not in MEASURES:
            raise SettingsError(f"primary must be one of {', '.join(MEASURES)}; {values.get('primary')!r} was given.")
        base, runs, doses = (_mapping(values, name) for name in ("base", "runs", "doses"))
        if not runs:
            raise SettingsError("A study needs runs: a name for each, and the settings in which it differs from base.")
        plans = {str(name): _plan(str(name), base, changes) for name, changes in runs.items()}
        for setting, steps in doses.items():
            if setting not in DOSED:
                raise unknown_setting("doses", str(setting), DOSED)
            if not isinstance(steps, list) or len(steps) < 2:
                raise SettingsError(f"doses of {setting} must be a list of two values or more; {steps!r} was given.")
            for name in runs:
                for step in steps:
                    _plan(f"{name}/{setting}={step}", base, {**(runs[name] or {}), **_dose(setting, step)})
        exploratory = values.get("exploratory", [])
        if not isinstance(exploratory, list) or not all(isinstance(each, str) for each in exploratory):
            raise SettingsError(f"exploratory must be a list of texts; {exploratory!r} was given.")
        return cls(
            values["primary"],
            str(values.get("question", "")),
            tuple(exploratory),
            plans,
            {str(setting): tuple(steps) for setting, steps in doses.items()},
        )

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Study:
        """A study from a YAML file. Raises DataError or SettingsError.

        >>> Study.read("study.yaml").primary  # doctest: +SKIP
        'bits left'
        """
        path = expanded(path)
        try:
            return cls.of(read_yaml(path, example="primary: bits left"))
        except SettingsError as error:
            raise SettingsError(f"{path}: {error}") from error

    def experiments(self) -> dict[str, Plan]:
        """Every plan by its folder: the runs, then each run with each dose that differs from it."""
        found = dict(self.runs)
        for name, plan in self.runs.items():
            for setting, steps in self.doses.items():
                for step in steps:
                    dosed = Plan.of({**plan.record(), **_dose(setting, step)})
                    if dosed != plan:
                        found[f"{name}/{setting}={step}"] = dosed
        return found

    def rounds(self) -> int:
        """The rounds that all experiments have if no chain ends early; unknown numbers of sources count as none."""
        return sum((plan.limit or 0) * len(plan.seeds) * plan.rounds for plan in self.experiments().values())

    def record(self) -> dict[str, Any]:
        """All of it as JSON holds it; `of` reads it back."""
        return {
            "primary": self.primary,
            "question": self.question,
            "exploratory": list(self.exploratory),
            "runs": {name: plan.record() for name, plan in self.runs.items()},
            "doses": {setting: list(steps) for setting, steps in self.doses.items()},
        }


def play_study(
    study: Study,
    out: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] = ".",
    device: str = "auto",
    progress: bool = True,
    on_run: Callable[[str], object] | None = None,
) -> Path:
    """Play every experiment of a study into a folder of its own in `out`, and return `out`; called again it goes on.

    A relative path to the sources is seen from `base`. `on_run` is called with the name of each before it is played.
    Raises DataError where `out` holds another study or sources are missing, before anything is played, and the errors
    of `experiment.run`.

    >>> play_study(Study.read("study.yaml"), "out/study")  # doctest: +SKIP
    """
    out = expanded(out)
    for name, plan in study.experiments().items():
        if not (out / _folder_name(name) / MANIFEST).exists():
            place_of(plan, Path(base))
    files.make_folder(out)
    path = out / STUDY
    if path.exists():
        if read_json(path, remedy="Name another folder.") != study.record():
            raise DataError(f"{out} holds another study, or this one before it was changed. Name another folder.")
    else:
        files.write_new(path, files.json_bytes(study.record()))
    for name, plan in study.experiments().items():
        if on_run is not None:
            on_run(name)
        folder = out / _folder_name(name)
        files.make_folder(folder.parent)
        if (folder / MANIFEST).exists():
            resume(folder, device=device, progress=progress)
        else:
            run(plan, folder, base=base, device=device, progress=progress, command=f"study: {name}")
    return out


def open_study(folder: str | os.PathLike[str]) -> Study:
    """The study that a folder holds. Raises DataError where it holds none."""
    folder = expanded(folder)
    values = read_json(
        folder / STUDY, dict[str, Any], remedy="Name the folder of a study, as `telephonegan drift play` makes it."
    )
    try:
        return Study.of(values)
    except SettingsError as error:
        raise DataError(f"{folder / STUDY} is damaged: {error}") from error


@dataclass(frozen=True, eq=False)
class Dose:
    """One row of a dose–response table.

    `kept` in round 1 and in the last round, and `mean` over rounds, are shares of the first caption's words; `change`
    is the last less that of the run as planned, on the same photographs; `bits` are those left in the last round.
    """

    run: str
    setting: str
    value: Any
    rounds: int
    kept: tuple[Estimate, Estimate]
    mean: Estimate
    change: Estimate | None
    bits: Estimate | None


def dose_response(folder: str | os.PathLike[str], *, resamples: int = 2000) -> list[Dose]:
    """The table of a study's doses, run by run; experiments that are not complete are left out.

    For "the photograph shown again" every so many rounds nothing is played: a captioner that does not sample says its
    first caption again, and the game begins anew, so the mean over rounds is that of the first rounds of the run.
    Raises DataError where nothing is complete.

    >>> dose_response("out/study")[0].kept[1].value  # doctest: +SKIP
    """
    folder = expanded(folder)
    study = open_study(folder)
    found: list[Dose] = []
    for name, plan in study.runs.items():
        whole = _tracks(folder / _folder_name(name))
        if whole is None:
            continue
        found.append(_row(name, _AS_PLANNED, "", whole, None, resamples))
        if plan.method != "sample":
            found += _shown_again(name, whole, resamples)
        for setting, steps in study.doses.items():
            for step in steps:
                if Plan.of({**plan.record(), **_dose(setting, step)}) == plan:
                    dosed = whole
                else:
                    dosed = _tracks(folder / _folder_name(f"{name}/{setting}={step}"))
                if dosed is not None:
                    found.append(_row(name, setting, step, dosed, whole, resamples))
    if not found:
        raise DataError(
            f"No experiment of {folder} is complete. Go on with: telephonegan drift play STUDY --out {folder}"
        )
    return found


def dose_table(found: Sequence[Dose]) -> str:
    """The table as Markdown."""
    head = "| run | setting | value | kept, round 1 | kept, last round | change | mean over rounds | bits left |"
    rows = [
        f"| {each.run} | {each.setting} | {each.value} | {_shown(each.kept[0])} | {_shown(each.kept[1])} "
        f"| {_shown(each.change)} | {_shown(each.mean)} | {_shown(each.bits)} |"
        for each in found
    ]
    return "\n".join([head, "|---" * 8 + "|", *rows])


def _row(name: str, setting: str, value: Any, tracks: list[Track], whole: list[Track] | None, resamples: int) -> Dose:
    kept, drawn = _kept(tracks), Resamples([track.source for track in tracks], resamples)
    means = drawn.means(kept)
    change = None
    if whole is not None and {track.source for track in whole} == {track.source for track in tracks}:
        # Resamples of the same sources are the same draws.
        base = Resamples([track.source for track in whole], resamples).means(_kept(whole))
        change = drawn.estimate(means[:, -1] - base[:, -1])
    try:
        bits = bits_left(tracks, resamples=resamples).bits
        last = Estimate(*(np.asarray(part)[-1] for part in (bits.value, bits.low, bits.high)))
    except DataError:
        last = None
    ends = tuple(drawn.estimate(means[:, t]) for t in (0, -1))
    return Dose(name, setting, value, kept.shape[1], ends, drawn.estimate(means.mean(axis=1)), change, last)


def _shown_again(name: str, tracks: list[Track], resamples: int) -> list[Dose]:
    kept = _kept(tracks)
    drawn = Resamples([track.source for track in tracks], resamples)
    means = np.concatenate([np.ones((resamples + 1, 1)), drawn.means(kept)], axis=1)
    every = [m for m in (2, 5, 10, 20) if m <= kept.shape[1]]
    ends = (drawn.estimate(means[:, 1]),)
    return [
        Dose(
            name,
            SHOWN_AGAIN,
            m,
            kept.shape[1],
            (*ends, drawn.estimate(means[:, kept.shape[1] % m])),
            drawn.estimate(means[:, [t % m for t in range(1, kept.shape[1] + 1)]].mean(axis=1)),
            drawn.estimate(means[:, kept.shape[1] % m] - means[:, -1]),
            None,
        )
        for m in every
    ]


def _kept(tracks: Sequence[Track]) -> np.ndarray:
    """The share of the first caption's words that each later round has, (N,T)."""
    last = max((turn.round for track in tracks for turn in track.turns), default=0)
    if last < 1 or not fates(tracks):
        raise DataError("These chains have no round after round 0, or begin without a word of meaning.")
    shares = np.full((len(tracks), last), np.nan)
    for i, track in enumerate(tracks):
        for turn in track.turns[1:]:
            shares[i, turn.round - 1] = kept_share(track.turns[0].words, turn.words)
    return shares


def _tracks(folder: Path) -> list[Track] | None:
    if not (folder / MANIFEST).exists():
        return None
    played = Experiment.open(folder)
    return played.tracks() if played.is_complete else None


def _plan(name: str, base: Mapping[str, Any], changes: Any) -> Plan:
    if not isinstance(changes, Mapping | None):
        raise SettingsError(f"The run {name} must be settings by name; {changes!r} was given.")
    try:
        return Plan.of({**base, **(changes or {})})
    except SettingsError as error:
        raise SettingsError(f"The run {name}: {error}") from error


def _dose(setting: str, value: Any) -> dict[str, Any]:
    """A dose of temperature or top_p is one of sampling."""
    return {setting: value, **({"method": "sample"} if setting in ("temperature", "top_p") else {})}


def _mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name) or {}
    if not isinstance(found, Mapping):
        raise SettingsError(f"{name} must be settings by name; {found!r} was given.")
    return found


def _folder_name(name: str) -> str:
    """A run's folder: one level for the run and one for its dose."""
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\\" in part for part in parts) or len(parts) > 2:
        raise SettingsError(f"{name!r} cannot name a run. Use letters, digits and hyphens.")
    return f"{parts[0]}/{parts[1]}" if len(parts) > 1 else f"{parts[0]}/{_AS_PLANNED.replace(' ', '-')}"


def _shown(found: Estimate | None) -> str:
    if found is None:
        return ""
    interval = f" [{two_digits(found.low)}, {two_digits(found.high)}]" if np.isfinite(found.low) else ""
    return f"{two_digits(found.value)}{interval}"
