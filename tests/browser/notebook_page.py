"""A notebook in JupyterLab or Notebook 7, as a person has it on the screen, and all that went wrong with it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.browser.jupyter_server import LAB, jupyter

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request

SCREEN = {"width": 1366, "height": 1100}  # as wide as a small laptop, and as high as the largest screenshot
SECONDS_TO_LOAD = 120
SECONDS_TO_RUN = 180
SECONDS_TO_ANSWER = 60

_PROMPTS = ".jp-Notebook .jp-CodeCell .jp-InputArea-prompt"
_ALL_RAN = f"""() => {{
    const prompts = [...document.querySelectorAll('{_PROMPTS}')].map(prompt => prompt.textContent.trim())
    return prompts.some(text => /[0-9]/.test(text)) && !prompts.includes('[*]:')
}}"""
_KERNEL_IS_READY = """async () => {
    const context = window.jupyterapp.shell.currentWidget.sessionContext
    await context.ready
    await context.session.kernel.info
}"""
_SAID_WRONG = '[data-mime-type="application/vnd.jupyter.stderr"], [data-mime-type="application/vnd.jupyter.error"]'


@contextmanager
def opened(
    browser: Browser, notebook: Path, folder: Path, log: Path, front_end: tuple[str, str, str] = LAB
) -> Iterator[NotebookPage]:
    """A copy of a notebook, run in a Jupyter of its own that lives in `folder`."""
    copies = folder / "notebooks"
    copies.mkdir()
    shutil.copy(notebook, copies)
    with jupyter(folder, copies, log, front_end) as address:
        page = browser.new_page(viewport=SCREEN, device_scale_factor=1.5)
        shown = NotebookPage(page, address.format(notebook.name), log)
        shown.run_all()
        yield shown
        page.close()


def one_cell(folder: Path, code: str) -> Path:
    """A new notebook of one cell."""
    import nbformat

    path = folder / "cell.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)], metadata=kernel), path)
    return path


class NotebookPage:
    """Opens `address` and listens for errors from then on; `log` is the file with the words of the server."""

    def __init__(self, page: Page, address: str, log: Path) -> None:
        self.page, self._log, self._origin = page, log, "{0.scheme}://{0.netloc}".format(urlsplit(address))
        self._complaints: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self._complaints.append(f"page: {error}"))
        page.on("request", self._asked)
        page.set_default_timeout(1000 * SECONDS_TO_ANSWER)
        page.goto(address, timeout=1000 * SECONDS_TO_LOAD)
        self.cells.first.wait_for(timeout=1000 * SECONDS_TO_LOAD)

    @property
    def cells(self) -> Locator:
        """Code cells, from top to bottom."""
        return self.page.locator(".jp-Notebook .jp-CodeCell")

    def run_all(self) -> None:
        """Run ▸ Run All Cells, until the last cell is done or one has failed."""
        self.page.evaluate(_KERNEL_IS_READY)  # before that JupyterLab drops what it is told to run
        self.page.get_by_role("menuitem", name="Run", exact=True).click()
        self.page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
        self.page.wait_for_function(_ALL_RAN, timeout=1000 * SECONDS_TO_RUN)

    def prompts(self) -> list[str]:
        """What stands beside the code cells: the numbers of those that ran, [1]: and so on."""
        return self.page.locator(_PROMPTS).all_text_contents()

    def problems(self) -> list[str]:
        """What cells, the page, and the server with its kernels complained of since the last time; not warnings."""
        cells = [f"cell: {text}" for text in self.page.locator(_SAID_WRONG).all_text_contents()]
        logged = [line for line in self._log.read_text().splitlines() if re.match(r"\[[EC] |Traceback", line)]
        found, self._complaints = [*cells, *logged, *self._complaints], []
        return found

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._complaints.append(f"console: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        """All there is to see comes from this machine."""
        if not request.url.startswith((self._origin, "data:", "blob:")):
            self._complaints.append(f"asked another server: {request.url}")
