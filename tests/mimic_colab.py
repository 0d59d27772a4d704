"""Notebooks as a visitor of Colab runs them, from the first cell on: python -m tests.mimic_colab [NOTEBOOK …]

Makes a virtual environment with the ipython, ipywidgets and ipykernel that Colab has, a module google.colab, and the
torch and numpy of this environment; and a bare repository of this checkout's HEAD. Then it runs the notebooks there, in
their quick form (default: 01 and 03). It needs a package index, and exits with 1 if a cell fails, a package that the
kernel has loaded was replaced, or no widget was shown.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
COLAB = ("ipython==7.34.0", "ipywidgets==7.7.1", "ipykernel==6.17.1", "traitlets==5.7.1")
PRESENT = ("torch", "torchvision", "numpy")  # of this environment: gigabytes that need not be fetched again
VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", default=["01", "03"], help="their numbers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        python = environment(place)
        repository = place / "telephonegan.git"
        run("git", "clone", "--quiet", "--bare", str(ROOT), str(repository))
        before = packages(python)
        os.environ["JUPYTER_PATH"] = str(place / "jupyter")
        good = [tried(number, place, repository.as_uri()) for number in options.notebooks]
        replaced = {name: (old, new) for name, old in before.items() if (new := packages(python).get(name)) != old}
    print(f"replaced: {replaced or 'nothing'}")
    return 0 if all(good) and not replaced else 1


def environment(place: Path) -> Path:
    """The interpreter of an environment like Colab's, whose kernel is called colab."""
    python = place / "venv" / "bin" / "python"
    run(sys.executable, "-m", "venv", str(place / "venv"))
    run(str(python), "-m", "pip", "install", "--quiet", *COLAB)
    (packages_folder,) = (place / "venv" / "lib").glob("python*/site-packages")
    linked(PRESENT, place / "present")
    (packages_folder / "present.pth").write_text(f"{place / 'present'}\n")
    stub = packages_folder / "google" / "colab"
    stub.mkdir(parents=True)
    (stub / "__init__.py").touch()
    start = place / "ipython" / "profile_default" / "startup"
    start.mkdir(parents=True)
    (start / "00-colab.py").write_text("import google.colab\n")
    kernel = place / "jupyter" / "kernels" / "colab"
    kernel.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    variables = {"IPYTHONDIR": str(place / "ipython"), "TELEPHONEGAN_QUICK": "1", "OMP_NUM_THREADS": "1"}
    variables["PYTHONPATH"] = ""  # or a checkout on it would pass for what is to be installed
    (kernel / "kernel.json").write_text(json.dumps({"argv": command, "display_name": "Colab", "env": variables}))
    return python


def linked(names: tuple[str, ...], folder: Path) -> None:
    """Links to the installed files of these packages and of all that they need."""
    folder.mkdir()
    waiting, known = list(names), set()
    while waiting:
        name = waiting.pop().lower()
        found = _installed(name)
        if name in known or found is None:
            continue
        known.add(name)
        waiting += [re.match(r"[\w.-]+", line)[0] for line in found.requires or [] if "extra ==" not in line]
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (folder / top).exists():
                (folder / top).symlink_to(found.locate_file(top))


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def packages(python: Path) -> dict[str, str]:
    """The versions of what was there before the notebook."""
    listed = json.loads(run(str(python), "-m", "pip", "list", "--format", "json"))
    kept = {*PRESENT, *(each.partition("==")[0] for each in COLAB)}
    return {each["name"].lower(): each["version"] for each in listed if each["name"].lower() in kept}


def tried(number: str, place: Path, repository: str) -> bool:
    """Whether a notebook runs and shows a widget."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    first = next(cell for cell in notebook.cells if cell.cell_type == "code")
    first.source = re.sub('REPOSITORY = "[^"]*"', f"REPOSITORY = {repository!r}", first.source, count=1)
    folder = place / f"content-{number}"
    folder.mkdir()
    client = NotebookClient(notebook, timeout=None, kernel_name="colab", resources={"metadata": {"path": str(folder)}})
    began = time.monotonic()
    done = client.execute()
    views = [output for cell in done.cells for output in cell.get("outputs", []) if VIEW in output.get("data", {})]
    states = done.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    seconds = time.monotonic() - began
    print(f"{path.name}: {len(views)} widgets of {len(states)} parts in {seconds:.0f} s", flush=True)
    return bool(views)


def run(*command: str) -> str:
    """What a command prints; its complaint is raised."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
