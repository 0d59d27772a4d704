"""Mutated files of every kind that is read: each gives a result or a TelephoneganError, in bounded time and memory.

Files of captions are drawn at random instead, and must give the captions that went in.

    python -m tests.fuzz --seed 0 --pictures 10000 --files 2000 --captions 5000

Files are read in a child process under limits that the system enforces, so that a crash, a hang or an allocation too
large is caught, too: 5 s of CPU time and 600 MB of memory each. Prints what went wrong and exits with 1, or prints how
many files were read and refused. The same seed and number make the same file: `--keep files/4711` writes file 4711 to
the current folder.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

SECONDS, MEMORY = float(os.environ.get("FUZZ_SECONDS", "5")), 600_000_000
_WALL_SECONDS = 600  # for what waits instead of computing
KINDS = {"pictures": "tests.fuzz_pictures", "files": "tests.fuzz_files", "captions": "tests.fuzz_captions"}
_NOT_STARTED = 3  # exit code
_NO_MEMORY = ("can't allocate memory", "not enough memory", "Unable to allocate", "Cannot allocate memory")


def read_all(
    kind: str, number: int, seed: int, told: Callable[[str], object] = lambda fault: None
) -> tuple[Counter[str], list[str]]:
    """How many files were read and refused, and what went wrong with the others; `told` hears of that at once."""
    counts: Counter[str] = Counter()
    faults: list[str] = []
    while (done := counts.total()) < number:
        for line in _child(kind, seed, done, number):
            outcome, _, detail = line.partition(" ")
            if outcome == "fault":
                faults.append(f"{kind}/{counts.total()}: {detail}")
                told(faults[-1])
            counts[outcome] += 1
    return counts, faults


def _child(kind: str, seed: int, start: int, stop: int) -> Iterator[str]:
    """One line for each file; where the child dies, its last line says of what."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--child", f"{KINDS[kind]},{seed},{start},{stop}"]
    root = Path(__file__).resolve().parents[1]
    few = os.environ | {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}  # threads reserve more than they use
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=root, env=few, **pipes) as process:
        for line in process.stdout:
            yield line.rstrip("\n")
        errors = process.stderr.read()[-500:]
        code = process.wait()
        if code == _NOT_STARTED:
            raise RuntimeError(f"The process that reads the files cannot start: {errors}")
        if code:
            slow = f"took more than {SECONDS:g} s of CPU time, or {_WALL_SECONDS} s in all"
            is_slow = -code in (signal.SIGPROF, signal.SIGALRM)
            yield f"fault {slow if is_slow else f'ended the process ({code}): {errors}'}"


def _work(module: str, seed: int, start: int, stop: int) -> None:
    import resource

    from telephonegan.errors import TelephoneganError

    warnings.simplefilter("ignore")
    try:
        fuzzed = import_module(module)
        fuzzed.prepare()  # what the libraries allocate once does not count
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(_NOT_STARTED)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    for number in range(start, stop):
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # whose signal ends the process
        signal.setitimer(signal.ITIMER_REAL, _WALL_SECONDS)
        try:
            outcome = fuzzed.attempt(seed, number)
        except TelephoneganError as error:
            outcome = "fault out of memory" if _wanted_memory(error) else "refused"
        except BaseException as error:
            outcome = f"fault {type(error).__name__}: {error!s:.300}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(" ".join(outcome.split()).encode("ascii", "backslashreplace").decode(), flush=True)


def _wanted_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False


def main() -> int:
    """Read the mutated files of a seed, or be the child that does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=0, metavar="N", help="how many picture files")
    parser.add_argument("--files", type=int, default=0, metavar="N", help="how many files of all other kinds")
    parser.add_argument("--captions", type=int, default=0, metavar="N", help="how many files of captions, not damaged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", metavar="KIND/N", help="write this file instead of reading all")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        module, *numbers = options.child.split(",")
        _work(module, *map(int, numbers))
        return 0
    if options.keep is not None:
        kind, _, number = options.keep.partition("/")
        path = Path(f"mutated-{kind}-{options.seed}-{number}")
        path.write_bytes(import_module(KINDS[kind]).mutated(options.seed, int(number)))
        return 0
    failed = False
    for kind in (each for each in KINDS if getattr(options, each)):
        counts, faults = read_all(kind, getattr(options, kind), options.seed, partial(print, flush=True))
        print(f"{kind}: {', '.join(f'{count} {outcome}' for outcome, count in counts.items())}", flush=True)
        failed |= bool(faults)
    return failed


if __name__ == "__main__":
    sys.exit(main())
