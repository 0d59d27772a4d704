"""Servers of the tiny models on loopback, and how to ask them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def tiny_settings(folder: Path, **others: Any) -> Settings:
    """Settings of a server of the tiny models, which must be registered."""
    return Settings(
        **{"port": 0, "captioners": (NAME,), "generators": (NAME,), "device": "cpu", "folder": folder} | others
    )


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[Running]:
    """A server of the tiny models, in a thread of this process."""
    service = Service(tiny_settings(folder, **settings))
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
