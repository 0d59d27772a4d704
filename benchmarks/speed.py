"""How fast the game is: python benchmarks/speed.py [--threads 2] [--against CHECKOUT] [--repeats 5]

Numbers are medians, taken in turn on one machine; ratios are what to compare between machines.
With --against another checkout of telephonegan does the same, task by task in turn with this one, and every line ends
in the ratio of its time to ours. --cpu-time counts the time that the processor spends on the process instead of the
time on the clock: with one thread, that says what a quiet machine would need while others use this one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TEXT = "a brown dog runs through the green grass"
COMMANDS = {
    "telephonegan --version": ["--version"],
    "telephonegan models": ["models"],
    "telephonegan caption astronaut": ["caption", "astronaut"],
}
TASKS = [
    *(f"{what}, {batch} together" for what in ("captions", "pictures") for batch in (1, 8, 32)),
    *(f"rounds, {chains} chains" for chains in (1, 32)),
    "pictures of the published sizes (256 px), 1 together",
    "captions of the published sizes (ResNet-152), 1 together",
    "matmul peak, GFLOP",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout, such as a git worktree of main")
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.threads, options.cpu_time)
        return
    checkouts = [ROOT, *([options.against.resolve()] if options.against else [])]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"TELEPHONEGAN_HOME": home, "OMP_NUM_THREADS": str(options.threads)}
        clock = "CPU time" if options.cpu_time else "time on the clock"
        print(f"{platform.processor() or platform.machine()}, {options.threads} threads, medians of {clock}")
        start_up(checkouts, environment, options)
        steady(checkouts, environment, options)


def start_up(checkouts: list[Path], environment: dict[str, str], options: argparse.Namespace) -> None:
    for name, arguments in COMMANDS.items():
        if options.only not in name:
            continue
        times: list[list[float]] = [[] for _ in checkouts]
        for _ in range(options.repeats):
            for checkout, own in zip(checkouts, times, strict=True):
                own.append(command_seconds(checkout, arguments, environment, cpu_time=options.cpu_time))
        tell(name, times, lambda seconds: f"{seconds:8.2f} s")


def command_seconds(checkout: Path, arguments: list[str], environment: dict[str, str], *, cpu_time: bool) -> float:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "telephonegan", *arguments],
        cwd=checkout,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if cpu_time:
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - started


def steady(checkouts: list[Path], environment: dict[str, str], options: argparse.Namespace) -> None:
    flags = ["--threads", str(options.threads), *(["--cpu-time"] if options.cpu_time else [])]
    workers = [
        subprocess.Popen(
            [sys.executable, __file__, "--work", *flags],
            cwd=checkout,
            env=environment | {"PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for checkout in checkouts
    ]
    work_of: dict[str, float] = {}
    for name in TASKS:
        if options.only not in name:
            continue
        times: list[list[float]] = [[] for _ in checkouts]
        for turn in range(options.repeats + 1):  # the first loads models and lets torch choose its algorithms
            for worker, own in zip(workers, times, strict=True):
                told = ask(worker, name)
                work_of[name] = told["gflop"]
                own += [told["seconds"]] if turn else []
        tell(name, times, lambda seconds: f"{1 / seconds:8.2f} /s")
        if name.startswith("matmul"):
            peak = 1 / statistics.median(times[0])
            told = {task: gflop for task, gflop in work_of.items() if gflop and task.endswith(" 1 together")}
            print(f"{'matmul peak':58}{peak:8.1f} GFLOP/s")
            for task, gflop in told.items():
                print(f"{task:58}{gflop:8.2f} GFLOP each, {gflop / SECONDS[task] / peak:.0%} of the peak")
    for worker in workers:
        worker.stdin.close()
        worker.wait()


SECONDS: dict[str, float] = {}


def tell(name: str, times: list[list[float]], shown: Callable[[float], str]) -> None:
    ours, *other = (statistics.median(each) for each in times)
    SECONDS[name] = ours
    against = f"   {other[0] / ours:6.2f} × ({shown(other[0]).strip()})" if other else ""
    print(f"{name:58}{shown(ours)}{against}", flush=True)


def ask(worker: subprocess.Popen, name: str) -> dict[str, float]:
    worker.stdin.write(f"{name}\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


# ---------------------------------------------------------------------------------------------------- one checkout


def work(threads: int, cpu_time: bool) -> None:
    """Do the tasks whose names come in, one a line, and answer with the seconds for one picture, caption or round."""
    import torch
    from published import captioner, generator

    from telephonegan.samples import sample
    from telephonegan.telephone import load

    torch.set_num_threads(threads)
    clock = time.process_time if cpu_time else time.perf_counter
    phone, photo, matrix = load(device="cpu"), sample("astronaut"), torch.randn(1024, 1024)
    published: dict[str, object] = {}
    counted: dict[str, float] = {}

    def model(make: Callable[[], object]) -> object:
        if make.__name__ not in published:
            published[make.__name__] = make()
        return published[make.__name__]

    def task(name: str) -> tuple[Callable[[], object], int]:
        kind, rest = name.split(maxsplit=1)
        number = int("".join(letter for letter in rest.split(",")[-1] if letter.isdigit()) or 0)
        if kind == "matmul":
            return lambda: [matrix @ matrix for _ in range(8)], 8 * 2 * 1024**3 / 1e9
        if kind == "rounds,":
            number = int(rest.split()[0])
            return lambda: phone.play_many(images=[photo] * number, rounds=2, progress=False), 2 * number
        if "published" in name:
            net = model(generator if kind == "pictures" else captioner)
            if kind == "pictures":
                return lambda: net([TEXT] * number, seeds=range(number)), number
            return lambda: net([photo] * number, method="greedy"), number
        if kind == "pictures,":
            return lambda: phone.generate([TEXT] * number), number
        return lambda: phone.caption([photo] * number), number

    for line in sys.stdin:
        compute, number = task(line.strip())
        started = clock()
        compute()
        seconds = (clock() - started) / number
        if line not in counted:
            counted[line] = gflop(compute) / number
        print(json.dumps({"seconds": seconds, "gflop": counted[line]}), flush=True)


def gflop(compute: Callable[[], object]) -> float:
    """Thousand million multiplications and additions of a computation, those of convolutions and matrices."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        compute()
    return counter.get_total_flops() / 1e9


if __name__ == "__main__":
    main()
