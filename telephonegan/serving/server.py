"""A server process: uvicorn with limits for connections, a graceful stop and errors in the API's own form."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from telephonegan.errors import OutputError
from telephonegan.serving.app import create_app
from telephonegan.serving.refusals import answer
from telephonegan.serving.service import Service
from telephonegan.serving.settings import Settings

logger = logging.getLogger("telephonegan.serving")

_HEAD_S = 10.0  # until the head of a request must have arrived
_UNREAD_S = 30.0  # that a client may leave an answer unread
_REFUSED_S = 2.0  # that a connection stays open after a refusal, for its client to read it
_IDLE_S = 5  # that a connection is kept between two requests
_MOST_CONNECTIONS = 512
_MOST_HEAD = 32_768  # bytes


def serve(settings: Settings, *, on_start: Callable[[str], object] = lambda address: None) -> None:
    """Load the models and answer requests until SIGINT or SIGTERM. `on_start` is called with the server's address.

    Raises SettingsError, UnknownModelError, WeightsError or OutputError before the first request.

    >>> serve(Settings(port=8000, worlds=("flickr8k",)))  # doctest: +SKIP
    """
    _check_free(settings.host, settings.port)
    service = Service(settings)
    service.start()
    with suppress(KeyboardInterrupt):  # uvicorn sends itself the signal again after it has stopped
        Server(service, on_start=on_start).run()


def _check_free(host: str, port: int) -> None:
    """Raise OutputError, before the models are loaded, if one cannot listen there."""
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        raise OutputError(
            f"The server cannot listen at {host}, port {port}: {error.strerror or error}. Choose another port or host."
        ) from error


class Server(uvicorn.Server):
    """The uvicorn server of a service that has been started."""

    def __init__(self, service: Service, *, on_start: Callable[[str], object] = lambda address: None) -> None:
        self._service, self._on_start = service, on_start
        settings = service.settings
        super().__init__(
            uvicorn.Config(
                create_app(service),
                host=settings.host,
                port=settings.port,
                http=_Connection,
                ws="none",
                loop="asyncio",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_IDLE_S,
                timeout_graceful_shutdown=max(1, round(settings.stop_s)),
                h11_max_incomplete_event_size=_MOST_HEAD,
            )
        )

    @property
    def address(self) -> str:
        """Where the server listens, once it has started."""
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start(self.address)

    async def shutdown(self, sockets: list[Any] | None = None) -> None:
        self._service.begin_stopping()
        await super().shutdown(sockets)


class _Connection(H11Protocol):
    """A connection that is closed when its client is too slow to ask or to read, and answers bad HTTP in JSON."""

    _head_due = 0.0
    _unread: asyncio.TimerHandle | None = None
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        if len(self.connections) > _MOST_CONNECTIONS:
            self._answer(503, "busy", "Too many connections. Try again in a second.", "retry-after: 1\r\n")
        else:
            self._expect_head()

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        super().data_received(data)  # stops the timer
        if self.conn.their_state is h11.IDLE and self.timeout_keep_alive_task is None:
            self._expect_head()
        else:
            self._head_due = 0.0

    def _expect_head(self) -> None:
        if not self.transport.is_closing():
            self._head_due = self._head_due or self.loop.time() + _HEAD_S
            self.timeout_keep_alive_task = self.loop.call_at(self._head_due, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.transport.abort()  # closing would wait for a client that reads nothing

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(_UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_unread()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._forget_unread()

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def send_400_response(self, msg: str) -> None:
        is_free = self.cycle is None or self.cycle.response_complete
        if is_free and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._answer(400, "http", "This is not a valid HTTP request.")
        else:  # an answer to an earlier request is under way
            self.transport.close()

    def _answer(self, status: int, code: str, message: str, headers: str = "") -> None:
        body = json.dumps(answer(code, message, secrets.token_hex(8))).encode()
        head = (
            f"HTTP/1.1 {status} {'Bad Request' if status == 400 else 'Service Unavailable'}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-content-type-options: nosniff\r\n"
            f"{headers}connection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.write_eof()
        self._is_refused = True  # whoever sends into a closed connection never sees the answer
        self.loop.call_later(_REFUSED_S, self.transport.abort)
