"""Starting and resuming training runs, singly or all three recipes in turn."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from telephonegan import files
from telephonegan.errors import DataError, SettingsError, printable
from telephonegan.records import read_json
from telephonegan.training import recipes, runs
from telephonegan.training.ranges import COUNT, check_range

_MATCHERS = {"attngan": "damsm", "gan-cls": "embedding"}  # recipe → kind of the model that encodes its texts
ORDER = ("damsm", "attngan", "captioner")  # of `train_all`: the generator needs the DAMSM
_WORLD = {"train": 1200, "dev": 100, "test": 100}  # pictures to draw for the tiny preset without data
_WORLD_SIZE = 48
_ARGUMENTS = {"run_folder": "run", "set": "settings"}  # names in run.json → arguments of `train`, if they differ


def train(
    recipe: str,
    *,
    data: str | Path | Sequence[str | Path],
    run: str | Path,
    settings: Mapping[str, Any] | Sequence[str] = (),
    preset: str = "cpu",
    config: str | Path | None = None,
    steps: int | None = None,
    seed: int = 0,
    damsm: str | Path | None = None,
    embedding: str | Path | None = None,
    origin: str | Path | None = None,
    without: Collection[int] = (),
    cache: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    checkpoint_minutes: float = 5.0,
    minutes: float | None = None,
    evaluate_every: int | None = None,
    command: str = "",
) -> bool:
    """Train a recipe into the folder `run`, or continue from its checkpoint; False if stopped before the end.

    - `recipe`: "damsm", "attngan", "captioner", "free", "embedding", "gan-cls" or "ppgn". `data`: a folder of
      photographs, captioned except for "free" and "ppgn"; for "ppgn" a list of folders too, whose photographs are
      joined.
    - Settings: those of the `preset`, overridden by the YAML file `config`, then by `settings`, a dictionary or
      KEY=VALUE texts. `steps`: the total number of optimiser steps.
    - `damsm`, for attngan: the folder of a DAMSM run, or the name of a DAMSM model. `embedding`, for gan-cls: the same
      of an embedding. `origin`: the folder of another
      run, or the name of a captioner or generator, whose weights this one starts with. `without`: class numbers of
      photographs to leave out.
    - `cache`: a folder for packed photographs and features, which runs may share (default: `run`/../cache).
    - `device`, CPU `threads`, `checkpoint_minutes` between two checkpoints and steps between two evaluations
      (`evaluate_every`, default: a tenth of all) may change when a run is resumed. `command` is stored in run.json.

    Ctrl-C or the end of `minutes` stops a run and saves its state. Called again with the same arguments, or with
    `resume`, it continues exactly as an uninterrupted run would. Raises SettingsError for arguments out of range or
    different from those the run started with, DataError for unreadable data, WeightsError for a DAMSM or a checkpoint
    that does not fit, and TrainingDiverged.

    >>> train("damsm", data="flickr8k", run="runs/damsm", settings={"batch_size": 32})  # doctest: +SKIP
    True
    """
    began = time.monotonic()
    import torch

    from telephonegan import inference
    from telephonegan.training import devices, distributed, loop

    assignments = recipes.assignments_of(settings) if isinstance(settings, Mapping) else list(settings)
    asked = {
        "recipe": recipe,
        "data": _absolute(data) if isinstance(data, str | Path) else [_absolute(each) for each in data],
        "run_folder": _absolute(run),
        "cache": _absolute(cache),
        "damsm": _run_or_name(damsm),
        "embedding": _run_or_name(embedding),
        "origin": _run_or_name(origin),
        "without": sorted(without),
        "preset": preset,
        "config": _absolute(config),
        "steps": steps,
        "seed": seed,
        "set": assignments,
    }
    run, cache = Path(run), Path(cache or Path(run).parent / "cache")
    _check(seed, checkpoint_minutes, minutes, evaluate_every)
    if threads is not None:
        inference.use_threads(threads)
    with distributed.processes(inference.resolve_device(device)) as own:
        devices.tune(own)
        chosen = _settings(recipe, preset, config, assignments, steps)
        torch.manual_seed(seed)
        sources = _sources(recipe, data, {"damsm": damsm, "embedding": embedding}, cache, without)
        begun = {"seed": seed, **sources.fingerprints()}
        runs.refuse_other(run, {"recipe": recipe, "settings": asdict(chosen), **begun})
        with distributed.main_first():
            made = recipes.recipe_class(recipe, chosen)(*sources.parts(), chosen, cache, own)
        if distributed.is_main():
            runs.describe(run, recipe, made, chosen, command=command, options=asked, **begun)
        if origin is not None and not (run / "checkpoint.pt").exists():
            _start_from(made, recipe, preset, origin)
        last = steps or getattr(made, "steps", None) or chosen.steps
        return loop.run(
            made,
            run,
            steps=last,
            seed=seed,
            evaluate_every=evaluate_every or max(1, last // 10),
            checkpoint_minutes=checkpoint_minutes,
            deadline=None if minutes is None else began + 60 * minutes,
        )


def _check(seed: int, checkpoint_minutes: float, minutes: float | None, evaluate_every: int | None) -> None:
    from telephonegan import inference

    inference.check_seed(seed)
    check_range("checkpoint_minutes", checkpoint_minutes, (0, 1e6))
    if minutes is not None:
        check_range("minutes", minutes, (0, 1e6))
    if evaluate_every is not None:
        check_range("evaluate_every", evaluate_every, COUNT)


def resume(run: str | Path, *, steps: int | None = None, **how: Any) -> bool:
    """Continue the run in the folder `run` with its original settings; False if stopped before the end.

    `steps` may be more than before for GANs, which have no schedule. `how` is what may change on resuming, as
    `train` takes it: device, threads, minutes, checkpoint_minutes, evaluate_every. Raises what `train` raises.

    >>> resume("runs/damsm", device="cuda")  # doctest: +SKIP
    True
    """
    run = Path(run)
    kept = runs.read_record(run / "run.json").get("options")
    if kept is None:
        raise SettingsError(f"{run} does not record how it was started. Give the original command.")
    known = {each.name for each in fields(runs.Options)}
    arguments = {_ARGUMENTS.get(name, name): value for name, value in kept.items() if name in known} | {"run": run}
    return train(**arguments | ({} if steps is None else {"steps": steps}), **how)


def train_all(
    run: str | Path,
    *,
    data: str | Path | None = None,
    cache: str | Path | None = None,
    preset: str = "cpu",
    minutes: float | None = None,
    **how: Any,
) -> bool:
    """Train the recipes in `ORDER` into sub-folders of `run`. If one is stopped, returns False and skips the rest.

    Without `data` the preset "tiny" draws a data set of coloured shapes. `minutes` is the total for all recipes. `how`
    takes steps, seed, device and so on, like `train`, and the errors are those of `train`.

    >>> train_all("runs/shapes", preset="tiny")  # doctest: +SKIP
    True
    """
    run = Path(run)
    left = time_left(minutes)
    data = data or _world(run, preset)
    how |= {"preset": preset, "cache": cache or run / "cache", "damsm": run / "damsm"}
    for recipe in ORDER:
        print(f"{recipe}: {run / recipe}", flush=True)
        if not train(recipe, data=data, run=run / recipe, minutes=left(), **how):
            return False
    return True


def time_left(minutes: float | None) -> Callable[[], float | None]:
    """A function that returns how many of these minutes are left, at least 0; None without a limit.

    >>> time_left(None)() is None
    True
    """
    began = time.monotonic()
    return lambda: None if minutes is None else max(0.0, minutes - (time.monotonic() - began) / 60)


def one_folder(recipe: str, data: str | Path | Sequence[str | Path]) -> str | Path:
    """The data folder of a recipe that takes only one. Raises SettingsError for several."""
    if isinstance(data, str | Path):
        return data
    if len(data) != 1:
        raise SettingsError(f"train {recipe} takes one data folder; {len(data)} were given. Only ppgn takes several.")
    return data[0]


def _world(run: Path, preset: str) -> Path:
    if preset != "tiny":
        raise SettingsError("train all needs --data FOLDER: only the preset tiny draws its own pictures.")
    from telephonegan.data.shapes import write_world

    folder = run / "world"
    if not folder.exists():
        write_world(folder, **_WORLD, size=_WORLD_SIZE)
    return folder


def _absolute(path: str | Path | None) -> str | None:
    """A path as run.json records it, so that a run can be resumed from any folder."""
    return None if path is None else str(files.expanded(path).absolute())


def _run_or_name(source: str | Path | None) -> str | None:
    return None if source is None else _absolute(source) if runs.means_folder(source) else str(source)


def _settings(recipe: str, preset: str, config: str | Path | None, assignments: list[str], steps: int | None) -> Any:
    from telephonegan.training import loop

    settings = recipes.settings_of(recipe, preset, None if config is None else Path(config), assignments)
    if steps is None:
        return settings
    loop.check_steps(steps)
    has_steps = "steps" in {field.name for field in fields(settings)}
    return replace(settings, steps=steps) if has_steps else settings


def _start_from(made: Any, recipe: str, preset: str, origin: str | Path) -> None:
    if not hasattr(made, "warm_start"):
        raise SettingsError(f"{recipe} with preset {preset} cannot start from other weights.")
    made.warm_start(runs.read_origin(recipe, origin))


# ---------------------------------------------------------------------------------------------------- data


@dataclass(frozen=True)
class _Sources:
    """A recipe's input: photographs for training and for evaluation and, for a GAN, the encoders of its texts."""

    train: Any
    measured: Any
    matcher: Any = None
    kind: str = "damsm"  # of the matcher

    def parts(self) -> list[Any]:
        """The first arguments of a recipe."""
        return [self.train, self.measured, *([] if self.matcher is None else [self.matcher])]

    def fingerprints(self) -> dict[str, str]:
        """What identifies these sources in run.json."""
        nets = () if self.matcher is None else filter(None, (self.matcher.text, self.matcher.image))
        matcher = {} if self.matcher is None else {self.kind: _fingerprint(*nets)}
        return {"data": self.train.fingerprint(), **matcher}


def _sources(
    recipe: str,
    data: str | Path | Sequence[str | Path],
    matchers: Mapping[str, str | Path | None],
    cache: Path,
    without: Collection[int],
) -> _Sources:
    from telephonegan.data.layouts import open_data, open_photographs

    if recipe == "ppgn":
        return _joined([data] if isinstance(data, str | Path) else data, cache, without)
    data = one_folder(recipe, data)
    if recipe == "free":
        folder = open_photographs(data)
        train, measured = (folder.rows(folder.splits[name]).without(without) for name in ("train", "dev"))
        return _Sources(_usable(train, cache), measured)
    folder = open_data(data)
    kind = _MATCHERS.get(recipe)
    measured = "test" if kind and "test" not in folder.absent else "dev"
    if recipe == "embedding":
        dev = folder.split("dev")
        chosen = dev.take(dev.rows_of(without)) if without else dev  # of the classes that are held out
        return _Sources(_usable(folder.split("train").without(without), cache), _usable(chosen, cache))
    train, measured = (_usable(folder.split(name).without(without), cache) for name in ("train", measured))
    if kind is None:
        return _Sources(train, measured)
    source = matchers[kind]
    if source is None:
        raise SettingsError(
            f"train {recipe} needs --{kind}: the folder of a run of {kind} or the name of such a model. "
            f"Train one first with: telephonegan train {kind}"
        )
    return _Sources(train, measured, runs.load_matcher(source, kind), kind)


def _joined(folders: Sequence[str | Path], cache: Path, without: Collection[int]) -> _Sources:
    from telephonegan.data.joined import JoinedPhotos, join_photographs

    if without:
        raise SettingsError("train ppgn takes all photographs of its folders: leave out --without-classes.")
    splits = (join_photographs(folders, split) for split in ("train", "dev"))
    return _Sources(*(JoinedPhotos(tuple(_usable(part, cache) for part in joined.parts)) for joined in splits))


def _usable(photos: Any, cache: Path) -> Any:
    """The readable photographs; the others are reported. The result is cached because the check is slow.

    Packs are not checked, because they have a checksum for every photograph.
    """
    from tqdm.auto import tqdm

    from telephonegan.training import distributed

    if photos.pack is not None:
        return photos
    broken = [(name, "it does not exist") for row, name in enumerate(photos.names) if not photos.is_there(row)]
    there = _without(photos, broken)
    found = cache / f"unreadable-{there.fingerprint()}.json"
    if not found.exists():
        files.make_folder(cache)
        files.replace(found, files.json_bytes(there.readable(progress=distributed.is_main())[1]))
    broken += read_json(found, list[tuple[str, str]], remedy="Delete it.")
    if distributed.is_main():
        for name, why in broken[:20]:
            tqdm.write(f"skipped {printable(name)}: {printable(why)}")
        if broken:
            tqdm.write(f"{len(broken)} of {len(photos)} photographs cannot be read and are skipped.")
    if len(broken) == len(photos):
        raise DataError(f"None of the {len(photos)} photographs in {photos.folder} can be read.")
    return _without(photos, broken)


def _without(photos: Any, broken: list) -> Any:
    lost = {name for name, _ in broken}
    return photos.take([row for row, name in enumerate(photos.names) if name not in lost])


def _fingerprint(*nets: Any) -> str:
    digest = hashlib.sha256()
    for net in nets:
        for tensor in net.state_dict().values():
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:8]
