"""A Jupyter of its own: on loopback, with this interpreter as its kernel, and with none of a person's settings."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ipykernel.kernelspec import write_kernel_spec

SECONDS_TO_START = 120
_NEWS = "@jupyterlab/apputils-extension/notification.jupyterlab-settings"


# Of every front end its module, its application, and where it shows a notebook.
LAB, NOTEBOOK_7 = ("jupyterlab", "LabApp", "lab/tree"), ("notebook", "JupyterNotebookApp", "notebooks")


@contextmanager
def jupyter(folder: Path, notebooks: Path, log: Path, front_end: tuple[str, str, str] = LAB) -> Iterator[str]:
    """Serves the folder `notebooks`; what it writes lies in `folder`, its words in `log`. Yields an address to fill in.

    Raises RuntimeError where it does not start.
    """
    module, application, place = front_end
    write_kernel_spec(folder / "jupyter" / "kernels" / "python3")
    _write_settings(folder / "settings" / _NEWS, {"fetchNews": "false", "checkForUpdates": False})
    command = [sys.executable, "-m", module, "--no-browser", "--ip=127.0.0.1", "--port=0", "--allow-root"]
    command += [f"--ServerApp.root_dir={notebooks}", "--LabApp.extension_manager=readonly"]
    # so that the page can be asked whether its kernel is ready
    command += [f"--{application}.expose_app_in_browser=True"]
    with open(log, "w", encoding="utf-8") as output:
        server = subprocess.Popen(command, env=_environment(folder), stdout=output, stderr=subprocess.STDOUT)
        try:
            yield _address(server, folder / "runtime", log, place)
        finally:
            server.terminate()  # it ends its kernels too
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _environment(folder: Path) -> dict[str, str]:
    unreachable = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    folders = {
        "HOME": "home",
        "IPYTHONDIR": "ipython",
        "JUPYTER_PATH": "jupyter",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    }
    own = {name: str(folder / inner) for name, inner in folders.items()}
    return {**os.environ, **unreachable, **own, "JUPYTER_TOKEN": secrets.token_hex(16), "OMP_NUM_THREADS": "1"}


def _write_settings(path: Path, settings: dict[str, object]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(settings))


def _address(server: subprocess.Popen, runtime: Path, log: Path, place: str) -> str:
    """The server tells its port in a file, once it listens."""
    end = time.monotonic() + SECONDS_TO_START
    while server.poll() is None and time.monotonic() < end:
        for path in runtime.glob("jpserver-*.json"):
            told = json.loads(path.read_text() or "{}")
            if told:
                return f"{told['url']}{place}/{{}}?token={told['token']}"
        time.sleep(0.1)
    raise RuntimeError(f"Jupyter did not start:\n{log.read_text()[-2000:]}")
