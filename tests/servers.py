"""Servers of the tiny models on loopback, and how to ask them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
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


def request(body: bytes = b"", *, path: str = "/v1/generate", headers: str = "", length: int | None = None) -> bytes:
    """A request as bytes on the wire."""
    size = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n"
    return f"{head}connection: close\r\n{headers}\r\n".encode("latin-1") + body


class Blocking:
    """Work that takes until it is let go."""

    def __init__(self) -> None:
        self.has_begun, self.may_go = threading.Event(), threading.Event()

    def compute(self, models: Any, items: list) -> list:
        self.has_begun.set()
        assert self.may_go.wait(30)
        return items


@contextmanager
def occupied(server: Running) -> Iterator[None]:
    """The model thread is busy for the block."""
    work = Blocking()
    blocker = threading.Thread(target=asyncio.run, args=(server.service.compute(work, [0]),))
    blocker.start()
    assert work.has_begun.wait(30)
    try:
        yield
    finally:
        work.may_go.set()
        blocker.join(30)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return as soon as it holds."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
