"""Shared by captioning, generation and matching: devices, CPU threads, model settings, models in memory, seeds."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import inspect
import numbers
import os
import sys
import threading
import time
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from telephonegan.errors import SettingsError, WeightsError, unknown_setting
from telephonegan.networks.backbone import Backbone
from telephonegan.records import misfit
from telephonegan.text import Vocabulary
from telephonegan.zoo.catalogue import Entry
from telephonegan.zoo.store import read_vocabulary

BATCH = 32
THREADS = "TELEPHONEGAN_THREADS"  # variable of the environment
_ALLOCATOR = ("MALLOC_TRIM_", "MALLOC_MMAP_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES")  # of the environment
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4  # of malloc.h
SEEDS = 2**32  # torch's CPU generator has no more seeds than this

T = TypeVar("T")
_REQUIRED = object()
_RANDOM = {f"{how}{what}_" for how in ("", "kaiming_", "xavier_") for what in ("uniform", "normal")}


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """The torch device for "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N"; otherwise SettingsError.

    Everything that computes asks for its device first, so the number of threads in `THREADS` is set here, and on Linux
    up to 256 MB of freed memory is kept for the next layer.
    """
    _use_threads_of_environment()
    _keep_layers()
    name = str(device)
    kind, _, number = name.partition(":")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (name != "cuda" and not number.isdecimal()):
        raise SettingsError(f"{name!r} is not a device. Allowed: auto, cpu, cuda or cuda:N, such as cuda:0.")
    if not torch.cuda.is_available():
        raise SettingsError(f"The device {name!r} was requested, but torch sees no GPU here. Use auto or cpu.")
    if int(number or 0) >= torch.cuda.device_count():
        raise SettingsError(f"There is no device {name!r}: torch sees {torch.cuda.device_count()} GPU, counted from 0.")
    return torch.device(name)


@functools.cache
def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes faster in bfloat16 than in float32.

    GPUs since Ampere do, and CPUs that say so in /proc/cpuinfo: Intel's with AMX, AMD's since Zen 4 and some of ARM's.
    Intel's AVX512_BF16 without AMX does not count: products of matrices take twice as long with it as in float32, and
    paintings 1.5 times as long. Where there is no such file, the answer for a CPU is no.

    >>> has_bfloat16(torch.device("cpu"))  # doctest: +SKIP
    True
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    told_of = {
        name.strip().lower(): text.split() for name, _, text in (line.partition(":") for line in told.splitlines())
    }
    flags = {*told_of.get("flags", ()), *told_of.get("features", ())}
    is_amd = told_of.get("vendor_id") == ["AuthenticAMD"]
    return not flags.isdisjoint(("amx_bf16", "bf16", *(["avx512_bf16"] if is_amd else [])))


PRECISIONS = ("float32", "bf16")


def check_precision(precision: str, device: torch.device) -> str:
    """A precision that networks can compute in; SettingsError for all else, and for bf16 where it is slower."""
    if precision not in PRECISIONS:
        raise SettingsError(f"precision must be one of {', '.join(PRECISIONS)}; {precision!r} was given.")
    if precision == "bf16" and not has_bfloat16(device):
        raise SettingsError(
            f"This {device.type.upper()} has no fast instructions for bfloat16, so bf16 would be slower. Use float32."
        )
    return precision


@contextmanager
def computing(device: torch.device, precision: str = "float32") -> Iterator[None]:
    """The arithmetic of networks that are used: float32, the same on every device, or bfloat16 where it can be.

    On a GPU convolutions would otherwise be computed in TF32, with 10 bits, which changes captions.
    """
    cudnn, is_gpu = torch.backends.cudnn, device.type == "cuda"
    before = cudnn.allow_tf32 if is_gpu else None
    if is_gpu:
        cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        if is_gpu:
            cudnn.allow_tf32 = before


# ---------------------------------------------------------------------------------------------------- CPU threads


def use_threads(threads: int) -> None:
    """Compute with so many CPU threads in this process, whatever TELEPHONEGAN_THREADS says. Raises SettingsError.

    Without either, torch decides: OMP_NUM_THREADS, or else one per core.
    """
    _use_threads_of_environment()  # which is read once, so that it cannot undo this later
    torch.set_num_threads(check_whole(threads, "threads", 1, 1024))


@functools.cache
def _use_threads_of_environment() -> None:
    given = os.environ.get(THREADS, "")
    if given and not (given.isdecimal() and 1 <= int(given) <= 1024):
        raise SettingsError(f"{THREADS} must be a whole number from 1 to 1024; {given!r} is set. Correct or unset it.")
    if given:
        torch.set_num_threads(int(given))


# ---------------------------------------------------------------------------------------------------- memory


@functools.cache
def _keep_layers() -> None:
    """Keep the memory of layers below 32 MB, the most that glibc allows for this and `at_once` asks for."""
    _tell_allocator({_M_MMAP_THRESHOLD: 2**25, _M_TRIM_THRESHOLD: 2**28})


def keep_all_memory() -> None:
    """Keep all the memory that this process frees, for trainings: their layers are larger than 32 MB."""
    _tell_allocator({_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: 2**31 - 1})


def _tell_allocator(options: Mapping[int, int]) -> None:
    """Set options of glibc's allocator, unless the environment has such; elsewhere nothing happens.

    It would return freed memory to the system after every layer, and fetch it anew, page by page, for the next: on two
    cores and in batches pictures take 1.1 times as long then, and captions 1.2 times.
    """
    if sys.platform != "linux" or any(name.startswith(_ALLOCATOR) for name in os.environ):
        return
    with suppress(OSError, AttributeError):  # musl has no mallopt
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in options.items():
            mallopt(option, value)


class CoreWatch:
    """Warns, once per process, if other processes on the CPU cores hold up several threads.

    The threads wait for each other in every operation, so that one without a core stops all of them. The calling thread
    computes as much as any other: where its CPU time is a small part of the wall time, it waited. `what` names what is
    measured, such as "round".
    """

    _told = False
    _SHARE, _SECONDS, _TIMES = 0.5, 2.0, 2  # one slow time may be due to compiling or a disk

    def __init__(self, what: str) -> None:
        self.what, self._slow_s, self._times = what, 0.0, 0

    @contextmanager
    def __call__(self, device: torch.device) -> Iterator[None]:
        """Measure the block, which computes on this device."""
        wall_s, cpu_s = time.perf_counter(), time.thread_time()
        yield
        if device.type == "cpu":
            self.note(time.perf_counter() - wall_s, time.thread_time() - cpu_s)

    def note(self, wall_s: float, cpu_s: float) -> None:
        """Take note of one measurement in seconds."""
        threads, is_slow = torch.get_num_threads(), cpu_s < self._SHARE * wall_s
        self._slow_s, self._times = (self._slow_s + wall_s, self._times + 1) if is_slow else (0.0, 0)
        lasts = self._times >= self._TIMES and self._slow_s >= self._SECONDS
        if threads > 1 and lasts and not CoreWatch._told:
            CoreWatch._told = True
            warnings.warn(
                f"This {self.what} took {wall_s:.1f} s, and only {cpu_s:.1f} s of that were spent computing: other "
                f"processes use the CPU cores, and torch's {threads} threads wait for each other. One thread is "
                f"usually faster then: --threads 1, {THREADS}=1 or torch.set_num_threads(1).",
                stacklevel=4,
            )


# ---------------------------------------------------------------------------------------------------- kept in memory


def once(maxsize: int | None = None) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Like `functools.lru_cache`, but threads that ask at the same time wait for one of them to compute the value."""

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        cached, lock = functools.lru_cache(maxsize)(function), threading.RLock()

        @functools.wraps(function)
        def call(*args: Any) -> T:
            # Parameters created in inference mode could never have gradients.
            with lock, torch.inference_mode(False):
                return cached(*args)

        return call

    return decorate


@once()
def shared_backbone(name: str, device: torch.device) -> Backbone:
    """The frozen backbone of that name on a device, shared by all models that use it."""
    return Backbone(name).to(device=device, memory_format=torch.channels_last)


@once(maxsize=8)
def shared_model(kind: type[T], entry: Entry, device: torch.device) -> T:
    """The `Captioner`, `Generator` or `Matcher` of an entry on a device, shared by all calls. The last 8 are kept."""
    return kind.of(entry, device)


# ---------------------------------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class Settings:
    """A model's settings as JSON values. Missing or unknown settings and wrong types raise WeightsError.

    `where` names the model in error messages.

    >>> Settings("of captioner/mine", {"beam_width": 3}).value("beam_width", int)
    3
    """

    where: str
    values: Mapping[str, Any]

    def value(self, name: str, kind: Any, default: Any = _REQUIRED) -> Any:
        """One value of a type such as `int` or `int | None`, or the default if it is missing."""
        if name not in self.values:
            if default is _REQUIRED:
                raise self.error(f"{name} is missing")
            return default
        found = self.values[name]
        if problem := misfit(found, kind):
            raise self.error(f"{name} {problem}")
        return found

    def part(self, name: str) -> Settings:
        """The settings of one of its networks."""
        return Settings(f"{self.where}, {name}", self.value(name, dict))

    def without(self, name: str) -> Settings:
        """These settings without one value."""
        return Settings(self.where, {key: value for key, value in self.values.items() if key != name})

    def build(self, network: Callable[..., T], *given: Any) -> T:
        """Call `network` with `given` and these settings, which must match its signature.

        Its random weights are not drawn, because those of a file follow; for a ResNet-152 they would take 0.7 s.
        """
        wanted = dict(list(inspect.signature(network).parameters.items())[len(given) :])
        if unknown := self.values.keys() - wanted.keys():
            raise self.error(f"{network.__name__} has no {', '.join(sorted(unknown))}")
        kinds = typing.get_type_hints(network.__init__ if isinstance(network, type) else network)
        for name, parameter in wanted.items():
            is_optional = parameter.default is not inspect.Parameter.empty
            self.value(name, kinds.get(name, object), parameter.default if is_optional else _REQUIRED)
        with _NoRandomWeights():
            return network(*given, **self.values)

    def error(self, problem: str) -> WeightsError:
        """The exception to raise if they do not fit."""
        return WeightsError(
            f"The settings {self.where} do not fit this version: {problem}. "
            "Update telephonegan, or register the model again."
        )


class _NoRandomWeights(TorchFunctionMode):
    """Leaves the memory of new weights as it is."""

    def __torch_function__(self, function: Callable, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        if getattr(function, "__name__", "") in _RANDOM:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def known_settings(*others: Callable, without: Sequence[str] = ()) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorate a function to raise SettingsError for a keyword that it does not have, with the nearest that it has.

    It has its own parameters and, where it hands settings on, the optional ones of `others`, less those of `without`.

    >>> known_settings(Decoding)(caption)("bear.jpg", beam=3)  # doctest: +SKIP
    SettingsError: caption has no setting 'beam'. Did you mean beam_width? Allowed: image, captioner, …
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        own = [each for each in inspect.signature(function).parameters.values() if each.kind != each.VAR_KEYWORD]
        passed = [each for other in others for each in inspect.signature(other).parameters.values()]
        names = [each.name for each in own] + [each.name for each in passed if each.default is not each.empty]
        allowed = [name for name in dict.fromkeys(names) if name not in ("self", *without)]

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> T:
            if unknown := next((name for name in options if name not in allowed), None):
                raise unknown_setting(function.__name__, unknown, allowed)
            return function(*args, **options)

        return call

    return decorate


def settings_of(entry: Entry, *architectures: str) -> Settings:
    """The settings of a model, which must have one of these architectures. Raises WeightsError."""
    if entry.architecture not in architectures:
        raise WeightsError(
            f"{entry.kind}/{entry.name} has the architecture {entry.architecture!r}; "
            f"here {' or '.join(map(repr, architectures))} is needed."
        )
    return Settings(f"of {entry.kind}/{entry.name} in the manifest", entry.settings)


def vocabulary_of(entry: Entry) -> Vocabulary:
    """The words of a model that must have some; WeightsError if the manifest lists none."""
    vocabulary = read_vocabulary(entry)
    if vocabulary is None:
        raise WeightsError(f"{entry.kind}/{entry.name} has no vocabulary. Register it again with its list of words.")
    return vocabulary


# ---------------------------------------------------------------------------------------------------- numbers and seeds


def is_number(value: Any) -> bool:
    """Whether a setting is a real number, numpy's included; True and False are not, whatever Python says."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_whole(value: int, name: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`, also of numpy, as an int; SettingsError names the setting for all else."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or not low <= value <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}; {value!r} was given.")
    return int(value)


def check_seed(seed: int) -> int:
    """Return the seed if it is a whole number from 0 to 2³² - 1; otherwise SettingsError."""
    return check_whole(seed, "seed", 0, SEEDS - 1)


def derived_seed(*parts: int | str) -> int:
    """A seed that depends on every part, the same on every machine and in every version of Python."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") % SEEDS


def random_generator(seed: int) -> torch.Generator:
    """A separate CPU generator for one picture, so that neither its batch nor the device changes what is drawn."""
    return torch.Generator().manual_seed(check_seed(seed))


def in_batches(compute: Callable[..., list], *columns: Sequence, size: int = BATCH) -> list:
    """Apply `compute` to lists of equal length, at most `size` rows at a time; the results in one list."""
    starts = range(0, len(columns[0]), size)
    return [result for i in starts for result in compute(*(column[i : i + size] for column in columns))]


def at_once(device: torch.device, pixels: int) -> int:
    """How many pictures a network should see together, whose widest layer holds so many pixels of 64 to 96 channels.

    On a GPU `BATCH`. On a CPU fewer: layers that leave its cache cost more than large matrices save, and memory above
    32 MB goes back to the system after every layer, to be fetched anew page by page.
    """
    return BATCH if device.type == "cuda" else max(1, min(BATCH, 2**16 // pixels))
