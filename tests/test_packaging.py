"""Installing and starting: requirements are whole, the import is light, and the Makefile does what it says."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORT_NAMES = {"pyyaml": "yaml", "pillow": "PIL", "scikit-image": "skimage", "ipython": "IPython"}
HEAVY = {"matplotlib", "ipywidgets", "IPython", "torchvision", "skimage", "pycocoevalcap"}

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")


# the wheel


def test_every_package_is_listed_for_installing():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "telephonegan").rglob("*.py")}
    assert set(listed) == {".".join(folder.parts) for folder in folders} | {
        *("telephonegan.weights", "telephonegan.coco_samples")
    }


def test_the_weights_and_the_list_of_samples_travel_in_the_wheel(tmp_path):
    source = tmp_path / "source"
    for name in ("telephonegan", "weights", "data", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        source.mkdir(exist_ok=True)
        copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*pip, "-w", tmp_path, source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as members:
        names = set(members.namelist())
    shipped = {path.name for path in (ROOT / "weights").iterdir() if path.suffix in (".json", ".safetensors")}
    assert {f"telephonegan/weights/{name}" for name in shipped} <= names
    assert {"telephonegan/viewer/viewer.js", "telephonegan/viewer/viewer.css"} <= names
    assert [name for name in names if "coco_samples" in name] == ["telephonegan/coco_samples/manifest.json"]
    assert "telephonegan/cli/main.py" in names and not any(
        name.startswith(("weights/", "data/", "tests/")) for name in names
    )


def test_an_installed_library_finds_the_weights_and_the_list_of_samples_beside_its_packages(tmp_path):
    """As a wheel lays them out, away from any checkout."""
    shutil.copytree(ROOT / "telephonegan", tmp_path / "telephonegan")
    (tmp_path / "telephonegan" / "weights").mkdir()
    shutil.copy(ROOT / "weights" / "manifest.json", tmp_path / "telephonegan" / "weights")
    (tmp_path / "telephonegan" / "coco_samples").mkdir()
    shutil.copy(ROOT / "data" / "coco_samples" / "manifest.json", tmp_path / "telephonegan" / "coco_samples")
    code = (
        "from telephonegan import samples; from telephonegan.zoo import catalogue; "
        "print(len(catalogue.entries()), catalogue.SHIPPED, len(samples._listed_photographs()), samples.COCO_SAMPLES)"
    )
    own = os.environ | {"TELEPHONEGAN_HOME": str(tmp_path / "home"), "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=own, capture_output=True, text=True)
    models = len(json.loads((ROOT / "weights" / "manifest.json").read_text())["models"])
    photographs = len(json.loads((ROOT / "data" / "coco_samples" / "manifest.json").read_text()))
    package = tmp_path / "telephonegan"
    found = [str(models), str(package / "weights"), str(photographs), str(package / "coco_samples")]
    assert done.stdout.split() == found, done.stderr


# requirements


def import_names(requirements: list[str]) -> set[str]:
    projects = [re.match(r"[\w.-]+", line).group().lower() for line in requirements if line.strip()]
    return {IMPORT_NAMES.get(project, project.replace("-", "_")) for project in projects}


def imported(source: str) -> Iterator[tuple[str, bool]]:
    """Yields (third-party package, whether it is imported as soon as the module is)."""
    tree = ast.parse(source)
    lazy = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        else:
            continue
        for name in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"telephonegan"}:
            yield name, id(node) not in lazy


def test_imports_are_told_apart():
    source = "import os, torch.nn\nfrom PIL import Image\nfrom . import x\ndef f():\n    from skimage import io\n"
    assert set(imported(source)) == {("torch", True), ("PIL", True), ("skimage", False)}


def test_requirements_cover_every_import():
    always = import_names((ROOT / "requirements.txt").read_text().splitlines())
    optional = PROJECT["optional-dependencies"]
    extras = import_names([line for extra in optional.values() for line in extra])
    own = {"serving": import_names(optional["serve"])}  # nothing else imports these packages as soon as they are
    uncovered = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "telephonegan").rglob("*.py")
        for name, at_once in imported(path.read_text(encoding="utf-8"))
        if name not in always | (own.get(path.parent.name, set()) if at_once else extras)
    }
    assert not uncovered


def test_every_requirement_has_a_lower_bound():
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+>=[\d.]+", line)] == []


def test_the_import_leaves_heavy_packages_alone():
    script = "import sys, telephonegan; print(*(name for name in sys.modules if '.' not in name))"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "telephonegan" in loaded.split()
    assert HEAVY.isdisjoint(loaded.split())


# make play


def make(*arguments: str, folder: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    # Not what an outer `make test` exported: its own MAKEFLAGS, IMAGE and so on would reach this one.
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return subprocess.run(["make", *arguments], cwd=folder, env=kept | environment, capture_output=True, text=True)


@pytest.fixture
def play(tmp_path: Path):
    """Runs `make play` with nothing to install and returns the arguments that the program would get."""
    (tmp_path / "stamp").touch()
    (tmp_path / "program.py").write_text("import json, sys\nprint(json.dumps(sys.argv[1:]))\n")

    def run(*arguments: str, **environment: str) -> list[str]:
        command = f"PLAY_COMMAND='{sys.executable}' '{tmp_path / 'program.py'}'"
        done = make("play", f"RUNTIME_STAMP={tmp_path / 'stamp'}", command, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


NASTY = [
    "a dog; touch {0}",
    "a $(touch {0}) `touch {0}` dog",
    "$(shell touch {0})",
    "$(eval $(shell touch {0}))",
    "costs $5 or $HOME or $$ or ${{HOME}} or $",
    "\"double\" and 'single' quotes, a \\ and a # hash",
    "--help",
    "-n",
    "two  blanks, naïve – ¿qué?",
    "a & b | c > {0} && touch {0}",
    "* ? [a-z] ~ !! %s",
]


@needs_make
@pytest.mark.parametrize("text", NASTY)
@pytest.mark.parametrize("by_environment", [False, True])
def test_text_reaches_the_program_unchanged_and_is_never_run(text, by_environment, play, tmp_path):
    text = text.format(tmp_path / "executed")
    arguments = play(TEXT=text) if by_environment else play(f"TEXT={text}")
    assert arguments == [f"--text={text}", "--rounds=8", "--seed=0"]
    assert not (tmp_path / "executed").exists()


@needs_make
def test_an_image_path_may_hold_blanks_and_dollars(play):
    path = "my photos/$5 bear's (1).jpg"
    assert play(f"IMAGE={path}", "ROUNDS=3", "SEED=7") == [f"--image={path}", "--rounds=3", "--seed=7"]


@needs_make
def test_a_world_reaches_the_program(play):
    assert play("WORLD=flowers", "TEXT=a rose") == ["--text=a rose", "--world=flowers", "--rounds=8", "--seed=0"]


@needs_make
def test_without_wishes_the_program_chooses(play):
    assert play() == ["--rounds=8", "--seed=0"]


@needs_make
def test_notebooks_are_opened_as_copies_and_a_copy_that_was_saved_is_kept(tmp_path):
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "stamp").touch()
    (tmp_path / "notebooks").mkdir()
    for name in ("01_a", "02_b"):
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text("original")
    (tmp_path / "out" / "notebooks").mkdir(parents=True)
    (tmp_path / "out" / "notebooks" / "01_a.ipynb").write_text("saved")
    done = make("notebooks", f"RUNTIME_STAMP={tmp_path / 'stamp'}", "JUPYTER=echo jupyter", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "jupyter lab out/notebooks\n")
    texts = {path.stem: path.read_text() for path in (tmp_path / "out" / "notebooks").iterdir()}
    assert texts == {"01_a": "saved", "02_b": "original"}


# set-up, with a Python that only pretends


FAKE_PYTHON = """#!/bin/sh
printf '%s\\n' "$*" >> "$LOG"
case "$*" in
  *version_info*) exit "${TOO_OLD:-0}" ;;
  *ensurepip*) exit "${NO_VENV:-0}" ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  *"pip install"*) exit "${PIP_STATUS:-0}" ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path):
    """A fresh clone in a folder whose name holds a blank, and a way to run make there; returns (result, log)."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    log = tmp_path / "log"

    def run(*arguments: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        log.write_text("")
        wishes = (f"PYTHON={python}", "PLAY_COMMAND=true", *arguments)
        done = make(*wishes, folder=folder, LOG=str(log), **environment)
        return done, log.read_text().splitlines()

    run.folder = folder
    return run


def installs(log: list[str]) -> list[str]:
    return [line for line in log if "pip install" in line]


@needs_make
def test_help_is_the_default_and_installs_nothing(clone):
    done, log = clone()
    targets = ["help", "play", "notebooks", "badges", "walkthrough", "test", "lint"]
    assert [line.split()[1] for line in done.stdout.splitlines()] == targets
    assert log == []


@needs_make
def test_the_first_play_installs_in_one_call_and_the_second_runs_no_python(clone):
    first, log = clone("play")
    assert first.returncode == 0, first.stderr
    assert installs(log) == ["-m pip install -r requirements.txt -e ."]
    second, log = clone("play")
    assert second.returncode == 0
    assert log == []


@needs_make
def test_test_installs_the_tools_once_then_checks_the_style_and_runs_pytest(clone):
    _, log = clone("test")
    assert installs(log) == ["-m pip install -r requirements.txt -e .[dev]"]
    checked = ["ruff check", "importlinter", "-m pytest"]
    assert all(wanted in line for wanted, line in zip(checked, log[-3:], strict=True))
    again = clone("test")[1]
    assert all(wanted in line for wanted, line in zip(checked, again, strict=True))
    assert clone("play")[1] == []


@needs_make
@pytest.mark.parametrize("name", ["requirements.txt", "pyproject.toml"])
def test_changed_requirements_are_installed_again(name, clone):
    clone("play")
    stamp = clone.folder / ".venv" / "runtime.stamp"
    os.utime(clone.folder / name, (stamp.stat().st_mtime + 5,) * 2)
    assert len(installs(clone("play")[1])) == 1


@needs_make
@pytest.mark.parametrize("target", ["play", "test"])
def test_a_failed_installation_is_tried_again(target, clone):
    failed, _ = clone(target, PIP_STATUS="1")
    assert failed.returncode != 0
    done, log = clone(target)
    assert done.returncode == 0, done.stderr
    assert len(installs(log)) == 1


@needs_make
def test_a_failed_installation_of_the_tools_leaves_no_older_stamp_either(clone):
    clone("play")
    clone("test", PIP_STATUS="1")
    assert len(installs(clone("play")[1])) == 1


@needs_make
@pytest.mark.parametrize(
    ("environment", "message"), [({"TOO_OLD": "1"}, "Python 3.11 or newer"), ({"NO_VENV": "1"}, "python3-venv")]
)
def test_an_unfit_python_is_refused_with_the_remedy(environment, message, clone):
    done, log = clone("play", **environment)
    assert done.returncode != 0
    assert message in done.stderr
    assert installs(log) == []


@needs_make
def test_a_python_that_is_not_there_is_refused_with_the_remedy(clone):
    done, _ = clone("play", "PYTHON=/nowhere/python3")
    assert done.returncode != 0
    assert "make play PYTHON=" in done.stderr
