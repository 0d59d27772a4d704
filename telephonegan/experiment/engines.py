"""What runs the shares of an experiment: processes of this machine, the nodes of a SLURM cluster, or Ray's actors.

A task is a function without arguments that can be sent to another process, and that may be called again. The processes
that run tasks keep the models that these load.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from telephonegan import inference
from telephonegan.errors import DataError, SettingsError

Task = Callable[[], object]

_MOST_SHARDS = 99_999
_PACKAGES = {"submitit": "cluster", "ray": "ray"}  # and the extras that install them


@dataclass(frozen=True)
class Engine:
    """How an experiment is played: by "local" processes, "submitit" or "ray", in so many `shards`.

    `options` are those of the engine: for "local" `workers`, the processes at a time; for "submitit" the parameters of
    its AutoExecutor, such as slurm_partition, and `cluster`; for "ray" `workers`, `num_cpus` and `num_gpus` of each,
    and `address` of the cluster. Raises SettingsError, also for an engine that is not installed.

    >>> Engine("local", shards=4, options={"workers": 2}).shards
    4
    """

    name: str = "local"
    shards: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise SettingsError(f"There is no engine {self.name!r}. Choose one of {', '.join(ENGINES)}.")
        inference.check_whole(self.shards, "shards", 1, _MOST_SHARDS)
        package = _PACKAGES.get(self.name)
        if package and importlib.util.find_spec(self.name) is None:
            raise SettingsError(
                f"The engine {self.name} needs the extra [{package}]: pip install 'telephonegan[{package}]'."
            )

    @property
    def is_this_process(self) -> bool:
        """Whether the only share is played here, by the process that asks."""
        return self.name == "local" and self.shards == 1

    def play(self, tasks: Sequence[Task], folder: Path, *, progress: bool = True) -> None:
        """Run all tasks, and return when all have ended. `folder` is where an engine may keep its own files.

        Raises what a task raises, and DataError if its process was killed. Before that jobs of a cluster are waited
        for, since they would go on and be in the way of whoever plays the rest.
        """
        from tqdm.auto import tqdm

        if self.is_this_process:
            tasks[0]()
            return
        done = ENGINES[self.name](tasks, folder, dict(self.options))
        for _ in tqdm(done, total=len(tasks), desc="shards", unit="shard", disable=not progress):
            pass


def _local(tasks: Sequence[Task], folder: Path, options: dict[str, Any]) -> Iterator[object]:
    """New processes, since a fork of one that has computed with torch may hang."""
    workers = inference.check_whole(options.pop("workers", min(len(tasks), os.cpu_count() or 1)), "workers", 1, 4096)
    _check_known("local", options, ())
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        running = [pool.submit(task) for task in tasks]
        try:
            yield from (future.result() for future in as_completed(running))
        except BrokenProcessPool as error:
            raise _killed() from error
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _submitit(tasks: Sequence[Task], folder: Path, options: dict[str, Any]) -> Iterator[object]:
    """An array of jobs. One that is preempted or runs out of time is queued again, and goes on."""
    import submitit

    executor = submitit.AutoExecutor(folder / _JOBS, cluster=options.pop("cluster", None))
    try:
        executor.update_parameters(**options)
    except (NameError, ValueError, AssertionError, TypeError) as error:
        raise SettingsError(f"submitit does not take these options: {error}.") from error
    with executor.batch():
        jobs = [executor.submit(_Requeued(task)) for task in tasks]
    failures = []
    for job in submitit.helpers.as_completed(jobs):
        failures += [failure for failure in [job.exception()] if failure is not None]
        yield job
    if failures:
        if isinstance(failures[0], submitit.core.utils.FailedJobError):  # with what the task raised
            raise failures[0]
        raise _killed() from failures[0]


def _ray(tasks: Sequence[Task], folder: Path, options: dict[str, Any]) -> Iterator[object]:
    """Actors, which take the next task when they have ended one."""
    import ray
    from ray.util import ActorPool

    workers = inference.check_whole(options.pop("workers", len(tasks)), "workers", 1, _MOST_SHARDS)
    address = options.pop("address", None)
    _check_known("ray", options, ("num_cpus", "num_gpus"))
    ray.init(address, ignore_reinit_error=True, log_to_driver=False)
    actor = ray.remote(**({"num_cpus": 1} | options))(_Worker)
    pool = ActorPool([actor.remote() for _ in range(min(workers, len(tasks)))])
    try:
        yield from pool.map_unordered(lambda each, task: each.play.remote(task), tasks)
    except ray.exceptions.RayActorError as error:
        raise _killed() from error


def _killed() -> DataError:
    return DataError(
        "A process that played a share was killed, perhaps because memory ran out. What it played is kept; resume the "
        "experiment."
    )


_JOBS = ".jobs"  # submitit's scripts and logs, beside the lines


class _Requeued:
    """A task as submitit wants it: with `checkpoint`, which is called when its job is about to be stopped."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __call__(self) -> None:
        self.task()

    def checkpoint(self) -> Any:
        import submitit

        return submitit.helpers.DelayedSubmission(self)


class _Worker:
    """An actor of Ray."""

    def play(self, task: Task) -> None:
        """Run a task."""
        task()


def _check_known(engine: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    if unknown := set(options) - set(known):
        told = ", ".join(["workers", *known])
        raise SettingsError(f"The engine {engine} has no option {sorted(unknown)[0]!r}. It has {told}.")


ENGINES: dict[str, Callable[[Sequence[Task], Path, dict[str, Any]], Iterator[object]]] = {
    "local": _local,
    "submitit": _submitit,
    "ray": _ray,
}
