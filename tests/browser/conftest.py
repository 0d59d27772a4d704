"""Notebooks in JupyterLab in headless Chromium, each opened and run once for all tests. No browser: all are skipped.

Screenshots, the server's log and latencies go to out/browser, or to the folder $TELEPHONEGAN_ARTEFACTS. With
$TELEPHONEGAN_SCREENSHOTS=docs the picture of two games in the README is made anew.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.jupyter_server import LAB
from tests.browser.notebook_page import NotebookPage, opened
from tests.browser.studio_page import StudioPage
from tests.browser.view_page import ViewPage

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = "03_broken_telephone.ipynb"
MEASURED = pytest.StashKey[dict[str, float]]()


@pytest.fixture(scope="session")
def artefacts() -> Path:
    folder = Path(os.environ.get("TELEPHONEGAN_ARTEFACTS") or ROOT / "out" / "browser")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def front_end() -> tuple[str, str, str]:
    """What shows the notebook, see `jupyter_server`."""
    return LAB


@pytest.fixture(scope="module")
def notebook(
    browser: Any, artefacts: Path, tmp_path_factory: pytest.TempPathFactory, front_end: tuple[str, str, str]
) -> Iterator[NotebookPage]:
    """Notebook 03, opened and run; a module with another one has its own fixture of this name."""
    folder, log = tmp_path_factory.mktemp("jupyter"), artefacts / "jupyter.log"
    with opened(browser, ROOT / "notebooks" / NOTEBOOK, folder, log, front_end) as notebook:
        yield notebook


@pytest.fixture
def nothing_goes_wrong(notebook: NotebookPage) -> Iterator[None]:
    yield
    assert notebook.problems() == []


@pytest.fixture
def explorer(notebook: NotebookPage) -> ViewPage:
    """The one in the studio, at round 0."""
    return _view(notebook, 0)


@pytest.fixture
def comparison(notebook: NotebookPage) -> ViewPage:
    return _view(notebook, 1)


@pytest.fixture
def studio(notebook: NotebookPage) -> StudioPage:
    """Its games replace the one that the explorer shows: what needs that one is tested before."""
    return StudioPage(notebook.page)


def _view(notebook: NotebookPage, index: int) -> ViewPage:
    view = ViewPage(notebook.page, index)
    view.go_to(0)
    return view


@pytest.fixture
def screenshot(notebook: NotebookPage, artefacts: Path) -> Callable[..., None]:
    """Keeps a picture of a part of the page, among the artefacts and where the README has its own."""
    folder = os.environ.get("TELEPHONEGAN_SCREENSHOTS")

    def keep(part: Any, name: str, *, for_readme: bool = False) -> None:
        if part is not notebook.page:
            part.evaluate("part => part.scrollIntoView({block: 'center'})")
        part.screenshot(path=artefacts / f"{name}.png")
        if for_readme and folder:
            shutil.copy(artefacts / f"{name}.png", Path(folder))

    return keep


# latency: measured and told, never a reason to fail


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> dict[str, float]:
    """Milliseconds by what was waited for."""
    return request.config.stash.setdefault(MEASURED, {})


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if told := config.stash.get(MEASURED, {}):
        terminalreporter.section("latency in the browser")
        for what, milliseconds in told.items():
            terminalreporter.write_line(f"{milliseconds:7.0f} ms  {what}")


@pytest.fixture(scope="session", autouse=True)
def written_latency(artefacts: Path, pytestconfig: pytest.Config) -> Iterator[None]:
    yield
    if told := pytestconfig.stash.get(MEASURED, {}):
        (artefacts / "latency.json").write_text(json.dumps(told, indent=2) + "\n")
