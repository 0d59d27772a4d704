"""Playing an experiment: all chains in parallel, each round saved at once, in one or several shares.

A folder has manifest.json (the same for all runs of a plan), rounds.jsonl, pictures/, references.json if there are
references, and place.json and log.jsonl, which do not affect results. During the run there is a rounds-NNNNN.jsonl for
each share instead of rounds.jsonl, and a mark for each that is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from telephonegan import inference
from telephonegan.errors import SettingsError
from telephonegan.experiment import folder as folders
from telephonegan.experiment import records, sources
from telephonegan.experiment.engines import Engine
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.shards import Shard
from telephonegan.experiment.sources import PlannedChain
from telephonegan.files import expanded, place
from telephonegan.telephone import Telephone, load

Recall = Callable[[str, int], records.Record | None]

THIS_PROCESS = Engine()
_MOST_CHAINS = 10_000_000


def run(
    plan: Plan,
    out: str | os.PathLike[str] | None = None,
    *,
    base: str | os.PathLike[str] = ".",
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool = True,
    engine: Engine = THIS_PROCESS,
    on_folder: Callable[[Path], object] | None = None,
    command: str = "",
) -> Path:
    """Play a plan's chains into the new folder `out` (default: one in out/), and return the folder.

    A relative path of the sources is relative to `base`. `batch_size` is the number of chains that advance in parallel
    (default: all), in whole blocks of the plan, and `engine` says in how many shares they are played and where; neither
    affects results. An interrupted run is continued by `resume`, with exactly the results of an uninterrupted one.
    Unusable sources are skipped and listed in the manifest. `on_folder` is called with the folder as soon as it can be
    resumed. `command` is recorded in place.json.
    Raises DataError, SettingsError, UnknownModelError, WeightsError or OutputError.

    >>> run(Plan("photos", seeds=(0, 1, 2)), "out/drift")  # doctest: +SKIP
    >>> run(Plan("photos"), "out/shared", engine=Engine("local", shards=4))  # doctest: +SKIP
    """
    if not isinstance(plan, Plan):
        raise SettingsError(f"Give a Plan, such as Plan(sources=…); {type(plan).__name__} was given.")
    _check_batch(batch_size)
    _check_alone()
    folder = begin(plan, out, base=base, device=device, progress=progress, command=command)
    if on_folder is not None:
        on_folder(folder)
    _finish(folder, engine, batch_size=batch_size, device=device, progress=progress)
    return folder


def begin(
    plan: Plan,
    out: str | os.PathLike[str] | None = None,
    *,
    base: str | os.PathLike[str] = ".",
    device: str = "auto",
    progress: bool = True,
    command: str = "",
) -> Path:
    """Make the folder of an experiment of which nothing has been played, see `run`."""
    where = sources.place_of(plan, Path(base))
    open_folder = place(None if out is None else os.fspath(out), "experiment")
    phone = load(plan.captioner, plan.generator, device)
    return folders.begin(plan, phone, where, open_folder, command=command, progress=progress)


def resume(
    folder: str | os.PathLike[str],
    *,
    batch_size: int | None = None,
    device: str = "auto",
    progress: bool = True,
    engine: Engine = THIS_PROCESS,
) -> Path:
    """Continue an interrupted experiment and return its folder; a complete one is not changed.

    Engine and shares may differ from those it began with. Raises DataError if the folder is damaged or the sources have
    changed, SettingsError if a model has, OutputError if another process is working on it.

    >>> resume("out/drift")  # doctest: +SKIP
    """
    _check_batch(batch_size)
    _check_alone()
    folder = expanded(folder)
    folders.read_manifest(folder)
    if (folder / records.ROUNDS).exists():
        records.remove_parts(folder)
        return folder
    _finish(folder, engine, batch_size=batch_size, device=device, progress=progress)
    return folder


def play_shard(
    folder: Path, shard: Shard, *, batch_size: int | None = None, device: str = "auto", progress: bool = False
) -> None:
    """Play the missing rounds of one share, and mark it as done; what is done or merged is left alone.

    Raises the errors of `resume`.
    """
    manifest = (folder / folders.MANIFEST).read_bytes()
    if shard.is_done(folder, manifest):
        return
    opened = _Opened.of(folder, shard.device(device))
    with (
        shard.alone_in(folder),
        folders.logged(folder, opened.manifest, opened.phone, shard, batch_size),
        _one_way_of_computing(opened.plan.threads),
    ):
        groups = shard.share(grouped(opened.chains, opened.plan.block))
        known = records.known_rounds(folder, {chain.id for group in groups for chain in group})
        if known is None:
            return
        blocks = [
            Block(group, opened.phone, opened.plan, lambda chain, number: known.get((chain, number)))
            for group in groups
        ]
        with records.RoundsFile(records.part(folder, shard.number)) as file:
            keep = records.Keeper(folder, opened.plan, opened.phone.generator.knows, file)
            _advance_all(blocks, keep, batch_size or _MOST_CHAINS, progress=progress)
        shard.mark_done(folder, manifest)


def _finish(folder: Path, engine: Engine, *, batch_size: int | None, device: str, progress: bool) -> None:
    """Let the engine play all shares, and merge their lines."""
    own = {"batch_size": batch_size, "device": device, "progress": progress and engine.is_this_process}
    shards = [Shard(number, engine.shards) for number in range(engine.shards)]
    engine.play([partial(play_shard, folder.absolute(), shard, **own) for shard in shards], folder, progress=progress)
    opened = _Opened.of(folder, device)
    records.merge(folder, opened.chains, opened.plan.rounds, opened.phone.generator.knows)


@dataclass(frozen=True)
class _Opened:
    """An experiment that is being played: its manifest, plan, models and chains."""

    manifest: dict[str, Any]
    plan: Plan
    phone: Telephone
    chains: list[PlannedChain]

    @classmethod
    def of(cls, folder: Path, device: str | torch.device) -> _Opened:
        """Raises DataError if folder or sources are damaged or changed, SettingsError for other models."""
        manifest = folders.read_manifest(folder)
        plan = Plan.of(manifest["plan"])
        phone = load(plan.captioner, plan.generator, str(device))
        if (models := folders.models(phone)) != manifest["models"]:
            raise SettingsError(f"The experiment began with {manifest['models']}, not {models}. Use those models.")
        found = sources.candidates(plan, folders.place_of_sources(folder))
        return cls(manifest, plan, phone, sources.chains_of(plan, sources.listed(manifest["sources"], found)))


def _advance_all(blocks: list[Block], keep: records.Keeper, batch_size: int, *, progress: bool) -> None:
    from tqdm.auto import tqdm

    plan = keep.plan
    chains = sum(len(block.chains) for block in blocks)
    with tqdm(total=chains * (plan.rounds + 1), desc="rounds", unit="round", disable=not progress) as bar:
        for batch in grouped(blocks, -(-batch_size // plan.block)):
            for _ in range(plan.rounds + 1):
                for block in batch:
                    bar.update(block.advance(keep))
                keep.file.settle()
            for block in batch:
                block.forget()


class Block:
    """Chains that are computed in one call of each network, as determined by the plan.

    `recall` returns a chain's round from disk.
    """

    def __init__(self, chains: Sequence[PlannedChain], phone: Telephone, plan: Plan, recall: Recall) -> None:
        self.chains, self.phone, self.plan, self.recall = chains, phone, plan, recall

    def advance(self, keep: records.Keeper) -> int:
        """Play one more round of every chain that can go on; return the number of these chains."""
        going = [chain for chain in self.chains if not chain.round or self.phone.generator.knows(chain.caption)]
        known = [self.recall(chain.id, chain.round) for chain in going]
        for chain, record in zip(going, known if all(known) else self._play(going, known, keep), strict=True):
            if chain.round and self.plan.repeats and chain.caption not in chain.followed:
                chain.followed[chain.caption] = records.line(record)
            chain.round, chain.caption = chain.round + 1, record["caption"]
        return len(going)

    def forget(self) -> None:
        """Free what the chains said, when all their rounds have been played."""
        for chain in self.chains:
            chain.followed.clear()

    def _play(
        self, going: Sequence[PlannedChain], known: Sequence[records.Record | None], keep: records.Keeper
    ) -> list[records.Record]:
        """A round of all chains, of which it is missing for one at least; only the missing ones are written.

        What has been written is computed again, because the chains of a block are always computed together, but not
        what repeats an earlier round: that is so on every run.
        """
        repeated = [self._repeated(chain) for chain in going]
        new = [chain for chain, repeat in zip(going, repeated, strict=True) if repeat is None]
        positions = [chain.position() for chain in new]
        played = iter(self.phone.next_rounds(positions, self.plan.settings) if new else ())
        rounds = [repeat or next(played) for repeat in repeated]
        return keep(going, rounds, known)

    def _repeated(self, chain: PlannedChain) -> records.Record | None:
        """The next round if the chain has said its caption before with the same noise, and no picture is to be kept."""
        followed = chain.followed.get(chain.caption)
        if followed is None or (self.plan.pictures == "ends" and chain.round == self.plan.rounds):
            return None
        return json.loads(followed) | {"round": chain.round, "picture": None}


def grouped(items: Sequence, size: int) -> list[Sequence]:
    """Consecutive items in groups of `size`, the last of which may be smaller.

    >>> grouped("abcde", 2)
    ['ab', 'cd', 'e']
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def _check_batch(batch_size: int | None) -> None:
    if batch_size is not None:
        inference.check_whole(batch_size, "batch_size", 1, _MOST_CHAINS)


def _check_alone() -> None:
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise SettingsError(
            "torchrun shares training between processes. Share an experiment with --engine local --shards N instead."
        )


@contextmanager
def _one_way_of_computing(threads: int) -> Iterator[None]:
    """Make sums reproducible: a fixed number of threads, and no choice of algorithms by timing."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
            yield
    finally:
        torch.set_num_threads(before)
