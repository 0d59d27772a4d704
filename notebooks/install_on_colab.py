"""Installs telephonegan from this checkout on Colab, where torch, numpy, ipython and ipywidgets stay as they are.

The first cell of every notebook runs it after it has cloned the repository. Running it again changes nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Colab has notebooks of its own, and its kernel has loaded the others: replacing them would need a restart.
UNNEEDED = {"jupyter"}
KEPT = ("torch", "torchvision", "torchaudio", "numpy", "ipython", "ipykernel", "ipywidgets", "traitlets")


def main() -> None:
    installed = {normal(each.metadata["Name"]): each.version for each in distributions() if each.metadata["Name"]}
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text("".join(f"{name}=={installed[name]}\n" for name in KEPT if name in installed))
        if lacking := missing(lines, installed):
            pip("install", "--constraint", str(constraints), *lacking)
        pip("install", "--no-deps", "--editable", str(ROOT))


def missing(requirements: Iterable[str], installed: Mapping[str, str]) -> list[str]:
    """Requirements that must be installed or made newer; never those that Colab's kernel has loaded.

    >>> missing(["torch>=2.4", "anywidget>=0.9", "jupyter>=1.0", "tqdm>=4.66"], {"torch": "2.3", "tqdm": "4.67.1"})
    ['anywidget>=0.9']
    """
    lacking = []
    for line in requirements:
        found = re.match(r"([A-Za-z0-9._-]+)(?:>=([0-9.]+))?", line.strip())
        if not found or normal(found[1]) in UNNEEDED:
            continue
        version = installed.get(normal(found[1]))
        if version is None or (normal(found[1]) not in KEPT and numbers(version) < numbers(found[2] or "0")):
            lacking.append(line.strip())
    return lacking


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])[:3]))


def pip(*arguments: str) -> None:
    """Run pip; its own words are shown only if it fails."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"pip could not install {' '.join(arguments)}:\n{done.stderr[-3000:]}")


if __name__ == "__main__":
    main()
