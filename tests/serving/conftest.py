"""A server of the tiny models on loopback, in a thread of the tests, and the requests that they send to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="the server needs the extra [serve]")

import httpx

from telephonegan.serving.server import Server
from telephonegan.serving.service import Service
from telephonegan.serving.settings import Settings
from tests.tiny import NAME

SECONDS = 60


class Running:
    """A server that answers, and a client for it."""

    def __init__(self, service: Service, server: Server) -> None:
        self.service, self.server, self.url = service, server, server.address
        self.port = int(self.url.rpartition(":")[2])
        self.client = httpx.Client(base_url=self.url, timeout=SECONDS)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Running]:
    """A server of the tiny models."""
    given = {"port": 0, "worlds": (), "captioners": (NAME,), "generators": (NAME,), "device": "cpu", "folder": folder}
    service = Service(Settings(**given | settings))
    service.start()
    started = threading.Event()
    server = Server(service, on_start=lambda address: started.set())
    thread = threading.Thread(target=server.run)
    thread.start()
    assert started.wait(SECONDS)
    here = Running(service, server)
    try:
        yield here
    finally:
        here.client.close()
        server.should_exit = True
        thread.join(SECONDS)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def only_tiny(registered: str, no_shipped_models: Path) -> Iterator[None]:
    """The tiny models are the only ones while a server starts or a test of it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("telephonegan.zoo.catalogue.SHIPPED", no_shipped_models)
        yield


@pytest.fixture(scope="module")
def server(only_tiny: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the usual limits."""
    with running(tmp_path_factory.mktemp("pictures")) as here:
        yield here


@pytest.fixture
def serving(only_tiny: None, tmp_path: Path) -> Callable[..., Any]:
    """Starts a server with settings of its own."""
    return lambda folder=tmp_path / "pictures", **settings: running(folder, **settings)


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG file."""
    buffer = BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((96, 64)).save(buffer, "JPEG")
    return buffer.getvalue()
