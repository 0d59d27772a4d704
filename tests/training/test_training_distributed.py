"""Two processes on this machine must compute what one does on the same batch."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from telephonegan.errors import SettingsError
from telephonegan.networks.batchnorm import BatchNorm1d, BatchNorm2d
from telephonegan.training import distributed

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def run(count, script, folder):
    """Run a script in `count` processes that torchrun starts, each with one thread; its argument is a folder."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(script))
    command = [sys.executable, path]
    if count > 1:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count), path]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ROOT, "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(
        [str(part) for part in (*command, folder)], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]


# ------------------------------------------------------------------------------------------- one process


def test_alone_nothing_is_shared_or_averaged():
    rows = torch.arange(6.0)
    assert (distributed.size(), distributed.rank(), distributed.is_main()) == (1, 0, True)
    assert torch.equal(distributed.share(rows), rows) and torch.equal(distributed.gather(rows), rows)
    assert distributed.total(2.5) == 2.5
    with distributed.processes(torch.device("cpu")) as device:
        assert device == torch.device("cpu") and distributed.size() == 1


def test_a_batch_must_divide_among_the_processes(monkeypatch):
    monkeypatch.setattr(distributed, "size", lambda: 3)
    distributed.check_batch(6)
    with pytest.raises(SettingsError, match=r"multiple of the 3.*8"):
        distributed.check_batch(8)


@pytest.mark.parametrize(
    "ours, theirs, shape", [(BatchNorm1d, nn.BatchNorm1d, (6, 4)), (BatchNorm2d, nn.BatchNorm2d, (6, 4, 3, 2))]
)
def test_alone_batch_norm_is_torchs_own(ours, theirs, shape):
    x = torch.randn(shape)
    one, other = ours(4), theirs(4)
    assert torch.equal(one(x), other(x))
    assert torch.equal(one.running_var, other.running_var)


# ------------------------------------------------------------------------------------------- two processes

NORM = """
    import sys, torch
    from pathlib import Path
    from telephonegan.networks.batchnorm import BatchNorm2d
    from telephonegan.training import distributed as d
    with d.processes(torch.device("cpu")):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), BatchNorm2d(4), torch.nn.Conv2d(4, 2, 1))
        x, target = torch.randn(8, 3, 6, 6), torch.randn(8, 2, 4, 4)
        (net(d.share(x)) - d.share(target)).pow(2).mean().backward()
        d.average_gradients(net.parameters())
        both = d.gather(d.share(x))
        if d.is_main():
            assert torch.equal(both, x)
            gradients = [p.grad for p in net.parameters()]
            buffers = [net[1].running_mean, net[1].running_var, net[1].num_batches_tracked]
            torch.save(gradients + buffers, Path(sys.argv[1]) / f"{d.size()}.pt")
"""


def test_gradients_and_batch_statistics_of_two_processes_are_those_of_one(tmp_path):
    run(1, NORM, tmp_path)
    run(2, NORM, tmp_path)
    one, two = (torch.load(tmp_path / f"{n}.pt", weights_only=True) for n in (1, 2))
    for ours, theirs in zip(two, one, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


RECIPES = """
    import sys, torch
    from pathlib import Path
    from telephonegan.cli import train as commands
    from telephonegan.training import distributed as d, loop
    from telephonegan.data.shapes import write_world
    from telephonegan.cli.main import main
    root = Path(sys.argv[1])
    torch.set_num_threads(1)
    # Dropout draws per process; bfloat16 rounds sums differently for other batch sizes.
    real = torch.autocast
    torch.autocast = lambda kind, dtype=None, **rest: real(kind, dtype=torch.bfloat16, enabled=False)
    common = ["--data", str(root / "world"), "--cache", str(root / "cache"), "--preset", "tiny"]
    common += ["--steps", "1", "--device", "cpu", "--evaluate-every", "100"]
    size = __import__("os").environ.get("WORLD_SIZE", "1")
    code = main(["train", RECIPE, *common, "--run", str(root / f"{RECIPE}{size}"), *MORE])
    assert code == 0, code
"""
MORE = {
    "damsm": ["--set", "dropout=0.0", "image_dropout=0.0", "batch_size=16"],
    "captioner": ["--set", "dropout=0.0", "photos_per_batch=8"],
    "attngan": ["--damsm", "{root}/damsm1", "--set", "batch_size=16", "twins=0.0"],
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    from telephonegan.data.shapes import write_world

    root = tmp_path_factory.mktemp("processes")
    write_world(root / "world", train=40, dev=8, test=8, size=48)
    return root


def trained(recipe, workplace, count):
    more = [part.format(root=workplace) for part in MORE[recipe]]
    run(count, f"    RECIPE, MORE = {recipe!r}, {more!r}\n" + RECIPES.lstrip("\n"), workplace)
    return torch.load(workplace / f"{recipe}{count}" / "checkpoint.pt", weights_only=True)


def gradients(checkpoint):
    """By optimiser and parameter: after one step Adam's first moment is a multiple of the gradient."""
    return {
        (name, index): state["exp_avg"]
        for name, part in checkpoint.items()
        if name.endswith("optimiser")
        for index, state in part["state"].items()
    }


@pytest.mark.parametrize("recipe", MORE)
def test_two_processes_find_the_gradients_that_one_does(recipe, workplace):
    if recipe == "attngan" and not (workplace / "damsm1").exists():
        trained("damsm", workplace, 1)
    one, two = (gradients(trained(recipe, workplace, count)) for count in (1, 2))
    assert one.keys() == two.keys() and any(gradient.any() for gradient in one.values())
    for key, gradient in one.items():
        # Sums in another order may carry a logit over the hinge's edge; a wrong share or mean is off by far more.
        assert (two[key] - gradient).norm() <= 0.02 * gradient.norm() + 1e-7, key
