"""Arithmetic by device: bfloat16 where there are instructions for it, and never half precision for GPUs' LSTMs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from telephonegan import inference
from telephonegan.training import devices

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def fresh():
    inference.has_bfloat16.cache_clear()
    yield
    inference.has_bfloat16.cache_clear()


def cpu_with(monkeypatch, text):
    def read_text(path, **options):
        if text is None:
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read_text)


@pytest.mark.parametrize(
    "told, expected",
    [
        ("vendor_id\t: AuthenticAMD\nmodel name : x\nflags\t\t: fpu avx2 avx512f avx512_bf16 sha_ni\n", True),
        ("vendor_id\t: GenuineIntel\nmodel name : x\nflags\t\t: fpu avx2 avx512f avx512_bf16 sha_ni\n", False),
        ("flags : fpu amx_bf16 amx_tile\n", True),
        ("Features\t: fp asimd i8mm bf16 sve\n", True),
        ("flags : fpu avx2 avx512f avx512_vnni\n", False),
        ("model name : the bf16 machine\nflags : fpu\n", False),
        (None, False),
    ],
)
def test_a_cpu_has_bfloat16_if_it_names_instructions_that_are_faster_than_float32s(monkeypatch, told, expected):
    cpu_with(monkeypatch, told)
    assert inference.has_bfloat16(CPU) is expected


@pytest.mark.parametrize("capability, expected", [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_gpus_have_bfloat16_since_ampere(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert inference.has_bfloat16(CUDA) is expected


@pytest.mark.parametrize("flags, dtype", [("flags : amx_bf16", torch.bfloat16), ("flags : avx2", torch.float32)])
def test_training_computes_in_float32_where_bfloat16_would_be_emulated(monkeypatch, flags, dtype):
    cpu_with(monkeypatch, flags)
    with devices.autocast(CPU), devices.autocast(CPU, recurrent=True):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    with devices.autocast(CPU, wanted=False):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_recurrent_networks_stay_in_float32_on_a_gpu(monkeypatch):
    seen = []
    monkeypatch.setattr(devices, "has_bfloat16", lambda device: True)
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype, enabled: seen.append((kind, enabled)))
    devices.autocast(CUDA)
    devices.autocast(CUDA, recurrent=True)
    devices.autocast(CPU, recurrent=True)
    assert seen == [("cuda", True), ("cuda", False), ("cpu", True)]


def test_memory_that_is_freed_is_kept_for_the_next_step():
    """The pages of a large tensor are fetched in the first steps, not at every one."""
    import subprocess
    import sys

    script = (
        "import resource, torch; from telephonegan.training import devices\n"
        "devices.tune(torch.device('cpu'))\n"
        "for step in range(16):\n"
        "    torch.ones(3 * 2**22).sum()\n"  # 48 MB
        "    if step == 11: before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    if not sys.platform.startswith("linux"):
        pytest.skip("only glibc is told")
    assert int(done.stdout) < 4 * 3 * 2**22 * 4 / 4096 / 10
