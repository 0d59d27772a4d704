"""Playing an experiment: all chains side by side, every round kept as it is played, in one process or in several.

A folder holds manifest.json (what two runs of one plan have in common), rounds.jsonl, pictures/, references.json where
there are any and, of no importance for the results, place.json and log.jsonl. While it is played there is one
rounds-RRRRR.jsonl for each process instead of rounds.jsonl.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from telephonegan import inference
from telephonegan.errors import SettingsError
from telephonegan.experiment import folder as folders
from telephonegan.experiment import log, merging, records, sources
from telephonegan.experiment.blocks import Block, grouped, players
from telephonegan.experiment.keeper import Keeper
from telephonegan.experiment.manifest import models
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.shards import Shard
from telephonegan.files import place
from telephonegan.telephone import Telephone, load

_MOST_CHAINS = 10_000_000


def run(
    plan: Plan,
    out: str | os.PathLike[str] | None = None,
    *,
    base: str | os.PathLike[str] = ".",
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool = True,
    on_folder: Callable[[Path], object] | None = None,
) -> Path:
    """Play a plan's chains into the new folder `out` (default: one in out/), and return it.

    A relative path to the sources is seen from `base`. `batch_size` is how many chains advance side by side (default:
    all), in whole blocks of the plan; results do not depend on it. Under torchrun every process plays its share, and
    `out` must be given. Whatever ends the run, `resume` goes on with it, and the results are those of a run that was
    never interrupted, byte by byte. Sources that cannot be used are skipped; the manifest lists them. `on_folder` is
    called with the folder as soon as there is something to resume.
    Raises DataError, SettingsError, UnknownModelError, WeightsError or OutputError.

    >>> run(Plan("photos", seeds=(0, 1, 2)), "out/drift")  # doctest: +SKIP
    """
    if not isinstance(plan, Plan):
        raise SettingsError(f"A Plan is wanted, such as Plan(sources=…); {type(plan).__name__} was given.")
    _check_batch(batch_size)
    shard = Shard.of_environment()
    if out is None and shard.processes > 1:
        raise SettingsError("Several processes play into one folder: name it, with --out FOLDER.")
    where = sources.place_of(plan, Path(base))
    if shard.is_main:
        open_folder = place(None if out is None else os.fspath(out), "experiment")
        phone = load(plan.captioner, plan.generator, str(shard.device(device)))
        folder = folders.begin(plan, phone, where, open_folder, progress=progress)
    else:
        phone = load(plan.captioner, plan.generator, str(shard.device(device)))
        folder = folders.begun(Path(out).expanduser(), plan)
    if on_folder is not None:
        on_folder(folder)
    _play(folder, plan, phone, where, shard, batch_size=batch_size, progress=progress)
    return folder


def resume(
    folder: str | os.PathLike[str], *, batch_size: int | None = None, device: str = "auto", progress: bool = True
) -> Path:
    """Go on with an experiment that was interrupted; of one that is complete nothing is changed. Returns its folder.

    The number of processes may be another than before. Raises DataError where the folder is damaged or the sources
    have changed, SettingsError where a model has, OutputError where another process is at work.

    >>> resume("out/drift")  # doctest: +SKIP
    """
    _check_batch(batch_size)
    folder, shard = Path(folder).expanduser(), Shard.of_environment()
    plan = Plan.of(folders.read_manifest(folder)["plan"])
    if (folder / records.ROUNDS).exists():
        merging.remove_parts(folder)
        return folder
    phone = load(plan.captioner, plan.generator, str(shard.device(device)))
    _play(folder, plan, phone, folders.place_of_sources(folder), shard, batch_size=batch_size, progress=progress)
    return folder


def _play(
    folder: Path,
    plan: Plan,
    phone: Telephone,
    where: Path | None,
    shard: Shard,
    *,
    batch_size: int | None,
    progress: bool,
) -> None:
    """Play this process's share of what is missing, and merge when it was the last."""
    told = folders.read_manifest(folder)
    if models(phone) != told["models"]:
        raise SettingsError(f"The experiment began with {told['models']}; here are {models(phone)}. Load those models.")
    everyone = players(plan, phone, sources.listed(told["sources"], sources.candidates(plan, where)))
    with (
        shard.alone_in(folder),
        log.logged(folder, told, phone, shard, batch_size),
        _one_way_of_computing(plan.threads),
    ):
        known = merging.known_rounds(folder)
        if known is None:
            return
        blocks = [
            Block(group, phone, plan.seed_policy, lambda chain, number: known.get((chain, number)))
            for group in shard.share(grouped(everyone, plan.block))
        ]
        with records.Journal(records.part(folder, shard.rank)) as journal:
            keeper = Keeper(folder, plan, phone, journal)
            _advance_all(blocks, keeper, batch_size or _MOST_CHAINS, progress=progress and shard.is_main)
        merging.merge(folder, everyone, plan.rounds, phone)


def _advance_all(blocks: list[Block], keeper: Keeper, batch_size: int, *, progress: bool) -> None:
    from tqdm.auto import tqdm

    plan = keeper.plan
    chains = sum(len(block.players) for block in blocks)
    with tqdm(total=chains * (plan.rounds + 1), desc="rounds", unit="round", disable=not progress) as bar:
        for batch in grouped(blocks, -(-batch_size // plan.block)):
            for _ in range(plan.rounds + 1):
                for block in batch:
                    bar.update(block.advance(keeper))
                keeper.journal.settle()


def _check_batch(batch_size: int | None) -> None:
    if batch_size is not None:
        inference.check_whole(batch_size, "batch_size", 1, _MOST_CHAINS)


@contextmanager
def _one_way_of_computing(threads: int) -> Iterator[None]:
    """Sums in one order whatever the machine's load: a fixed number of threads, and no trying out of algorithms."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
            yield
    finally:
        torch.set_num_threads(before)
