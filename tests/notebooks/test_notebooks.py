"""The notebooks as a visitor runs them, top to bottom and without a network, in their quick mode."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
SECONDS = 300  # for one cell, on a machine that does other things too
VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


# as they lie in the repository


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert {path.name[:2] for path in NOTEBOOKS} >= {"01", "02", "03", "04", "05", "06", "07", "08", "09"}


@every_notebook
def test_the_format_is_valid(path):
    nbformat.validate(read(path))


@every_notebook
def test_nothing_of_a_run_is_kept(path):
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    assert [cell.id for cell in code_cells(notebook) if cell.outputs or cell.execution_count is not None] == []


@every_notebook
def test_all_begin_with_the_same_set_up(path):
    first = code_cells(read(path))[0]
    assert first.source == code_cells(read(NOTEBOOKS[0]))[0].source
    assert "telephonegan" in first.source


@every_notebook
def test_links_to_other_notebooks_lead_somewhere(path):
    text = "".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    linked = {part.partition(")")[0] for part in text.split("](")[1:]}
    assert linked, "a visitor is led on from every notebook"
    assert {name for name in linked if not (path.parent / name).is_file()} == set()


# the set-up, where telephonegan is not installed


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs the first cell as if nothing were installed, and returns the commands that it gave."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)

    def execute(repository: str = "", returncode: int = 0) -> list[list[str]]:
        commands: list[list[str]] = []

        def run(command: list[str], **_: Any) -> SimpleNamespace:
            commands.append(list(command))
            return SimpleNamespace(returncode=returncode, stdout="", stderr="fatal: no such repository")

        monkeypatch.setattr("subprocess.run", run)
        source = code_cells(read(NOTEBOOKS[0]))[0].source
        exec(re.sub('REPOSITORY = "[^"]*"', f"REPOSITORY = {repository!r}", source, count=1), {})
        return commands

    return execute


@pytest.fixture
def colab(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))


def test_without_the_package_a_visitor_is_told_how_to_install_it(set_up):
    with pytest.raises(ModuleNotFoundError, match="make notebooks"):
        set_up("https://example.org/telephonegan")


def test_on_colab_it_fetches_the_repository_that_was_named_and_installs_it(set_up, colab):
    fetched, installed = set_up("https://example.org/telephonegan")
    kit = Path("telephonegan-kit").resolve()
    assert fetched == ["git", "clone", "--quiet", "--depth", "1", "https://example.org/telephonegan", str(kit)]
    assert installed[1:] == [str(kit / "notebooks" / "install_on_colab.py")]
    assert sys.path[0] == str(kit)


def test_on_colab_the_address_must_be_known(set_up, colab):
    with pytest.raises(ValueError, match="REPOSITORY"):
        set_up()


def test_a_failed_clone_stops_with_its_message(set_up, colab):
    with pytest.raises(RuntimeError, match="fatal: no such repository"):
        set_up("https://example.org/gone", returncode=128)


def test_running_the_set_up_again_clones_nothing(set_up, colab):
    Path("telephonegan-kit").mkdir()
    Path("telephonegan-kit/pyproject.toml").touch()
    assert len(set_up("https://example.org/telephonegan")) == 1


def test_what_the_kernel_has_loaded_is_never_replaced():
    sys.path.insert(0, str(NOTEBOOKS[0].parent))
    try:
        import install_on_colab
    finally:
        del sys.path[0]
    installed = {"torch": "2.3.0+cu121", "ipywidgets": "7.7.1", "tqdm": "4.67.1", "timm": "0.9.2"}
    wanted = ["torch>=2.4", "ipywidgets>=8", "tqdm>=4.66", "timm>=1.0", "anywidget>=0.9", "jupyter>=1.0"]
    assert install_on_colab.missing(wanted, installed) == ["timm>=1.0", "anywidget>=0.9"]


# as they run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Executes a notebook with this interpreter, in an empty folder; any error in a cell is raised."""
    write_kernel_spec(tmp_path / "jupyter" / "kernels" / "this-python")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    folder = tmp_path / "work"
    folder.mkdir()
    unreachable = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    variables = {**os.environ, **unreachable, "TELEPHONEGAN_QUICK": "1", "OMP_NUM_THREADS": "1"}

    def execute(path: Path) -> NotebookNode:
        resources = {"metadata": {"path": str(folder)}}
        client = NotebookClient(read(path), timeout=SECONDS, kernel_name="this-python", resources=resources)
        done = client.execute(env=variables)
        assert {path.name for path in folder.iterdir()} <= {"out", "runs"}, "git ignores these"
        return done

    return execute


def shown_widgets(notebook: NotebookNode) -> list[dict[str, Any]]:
    """The states of the widgets that cells display, and of all that these consist of."""
    states = notebook.metadata.widgets[STATE]["state"]
    views = [output.data[VIEW]["model_id"] for output in outputs(notebook) if VIEW in output.get("data", {})]
    found: dict[str, dict[str, Any]] = {}
    while views:
        name = views.pop()
        found[name] = states[name]
        children = states[name]["state"].get("children", [])
        views += [child.removeprefix("IPY_MODEL_") for child in children]
    return list(found.values())


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


WITH_FIGURES_ONLY = ("09_text_to_image", "10_drift_lab")


@every_notebook
def test_it_runs_and_its_widgets_show_pictures(path, run):
    done = run(path)
    states = [widget["state"] for widget in shown_widgets(done)]
    views = [state["data"] for state in states if "data" in state]
    assert all(view["kind"] in ("games", "attention", "gallery", "upload", "knobs") for view in views)
    assert views or path.stem in WITH_FIGURES_ONLY
    texts = [state.get("value", "") for state in states if isinstance(state.get("value"), str)]
    assert [text for text in texts if 'role="alert"' in text] == [], "a widget reports an error"
    stills = {"image/jpeg"} if views else {"image/jpeg", "image/png"}
    assert any(stills & output.get("data", {}).keys() for output in outputs(done)), "a still, where no kernel runs"
