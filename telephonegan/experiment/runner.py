"""Playing an experiment: all chains in parallel, each round saved at once, in one or several processes.

A folder has manifest.json (the same for all runs of a plan), rounds.jsonl, pictures/, references.json if there are
references, and place.json and log.jsonl, which do not affect results. During the run there is a rounds-RRRRR.jsonl for
each process instead of rounds.jsonl.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from telephonegan import inference
from telephonegan.errors import SettingsError
from telephonegan.experiment import folder as folders
from telephonegan.experiment import records, sources
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.shards import Shard
from telephonegan.experiment.sources import PlannedChain
from telephonegan.files import expanded, place
from telephonegan.telephone import Telephone, load

Recall = Callable[[str, int], records.Record | None]

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
    command: str = "",
) -> Path:
    """Play a plan's chains into the new folder `out` (default: one in out/), and return the folder.

    A relative path of the sources is relative to `base`. `batch_size` is the number of chains that advance in parallel
    (default: all), in whole blocks of the plan; it does not affect results. Under torchrun every process plays its
    share, and `out` must be given. An interrupted run is continued by `resume`, with exactly the results of an
    uninterrupted one. Unusable sources are skipped and listed in the manifest. `on_folder` is called with the folder as
    soon as it can be resumed. `command` is recorded in place.json.
    Raises DataError, SettingsError, UnknownModelError, WeightsError or OutputError.

    >>> run(Plan("photos", seeds=(0, 1, 2)), "out/drift")  # doctest: +SKIP
    """
    if not isinstance(plan, Plan):
        raise SettingsError(f"Give a Plan, such as Plan(sources=…); {type(plan).__name__} was given.")
    _check_batch(batch_size)
    shard = Shard.of_environment()
    if out is None and shard.processes > 1:
        raise SettingsError("Several processes need a common folder. Give it with --out FOLDER.")
    where = sources.place_of(plan, Path(base))
    if shard.is_main:
        open_folder = place(None if out is None else os.fspath(out), "experiment")
        phone = load(plan.captioner, plan.generator, str(shard.device(device)))
        folder = folders.begin(plan, phone, where, open_folder, command=command, progress=progress)
    else:
        phone = load(plan.captioner, plan.generator, str(shard.device(device)))
        folder = folders.begun(expanded(out), plan)
    if on_folder is not None:
        on_folder(folder)
    _play(folder, plan, phone, where, shard, batch_size=batch_size, progress=progress)
    return folder


def resume(
    folder: str | os.PathLike[str], *, batch_size: int | None = None, device: str = "auto", progress: bool = True
) -> Path:
    """Continue an interrupted experiment and return its folder; a complete one is not changed.

    The number of processes may differ. Raises DataError if the folder is damaged or the sources have changed,
    SettingsError if a model has, OutputError if another process is working on it.

    >>> resume("out/drift")  # doctest: +SKIP
    """
    _check_batch(batch_size)
    folder, shard = expanded(folder), Shard.of_environment()
    plan = Plan.of(folders.read_manifest(folder)["plan"])
    if (folder / records.ROUNDS).exists():
        records.remove_parts(folder)
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
    """Play this process's share of the missing rounds, and merge all files if it is the last to finish."""
    manifest = folders.read_manifest(folder)
    models = folders.models(phone)
    if models != manifest["models"]:
        raise SettingsError(f"The experiment began with {manifest['models']}, not {models}. Use those models.")
    chains = sources.chains_of(plan, sources.listed(manifest["sources"], sources.candidates(plan, where)))
    with (
        shard.alone_in(folder),
        folders.logged(folder, manifest, phone, shard, batch_size),
        _one_way_of_computing(plan.threads),
    ):
        known = records.known_rounds(folder)
        if known is None:
            return
        blocks = [
            Block(group, phone, plan, lambda chain, number: known.get((chain, number)))
            for group in shard.share(grouped(chains, plan.block))
        ]
        with records.RoundsFile(records.part(folder, shard.rank)) as file:
            keep = records.Keeper(folder, plan, phone.generator.knows, file)
            _advance_all(blocks, keep, batch_size or _MOST_CHAINS, progress=progress and shard.is_main)
        records.merge(folder, chains, plan.rounds, phone.generator.knows)


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
        captions = [record["caption"] for record in known] if all(known) else self._play(going, known, keep)
        for chain, caption in zip(going, captions, strict=True):
            chain.round, chain.caption = chain.round + 1, caption
        return len(going)

    def _play(
        self, going: Sequence[PlannedChain], known: Sequence[records.Record | None], keep: records.Keeper
    ) -> list[str]:
        """Compute a round of all chains if it is missing for one, because a block is always computed together."""
        positions = [chain.position() for chain in going]
        rounds = self.phone.next_rounds(positions, self.plan.settings)
        keep([(chain, round_) for chain, round_, record in zip(going, rounds, known, strict=True) if record is None])
        return [round_.caption.text for round_ in rounds]


def grouped(items: Sequence, size: int) -> list[Sequence]:
    """Consecutive items in groups of `size`, the last of which may be smaller.

    >>> grouped("abcde", 2)
    ['ab', 'cd', 'e']
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def _check_batch(batch_size: int | None) -> None:
    if batch_size is not None:
        inference.check_whole(batch_size, "batch_size", 1, _MOST_CHAINS)


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
