"""Around all routes: who may ask, how much and how slowly, request ids, headers, the log and the metrics."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import secrets
import time
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telephonegan.errors import printable
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.service import Service

logger = logging.getLogger("telephonegan.serving")

_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}
_HEALTH = {"/livez", "/readyz"}
_OPEN = {*_HEALTH, "/", "/page.js", "/page.css", "/favicon.ico"}  # without a token; pictures have secret names
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DRAINED, _DRAIN_S = 4, 2.0  # so many of the largest bodies, and seconds, are read on and thrown away

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'"
_POLICY = f"{POLICY}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_DOCS_POLICY = _POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-inline'").replace(
    "style-src 'self'", "style-src 'self' 'unsafe-inline'"
)
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class Guard:
    """An ASGI application around the routes."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service, self._settings = app, service, service.settings
        self._running = self._held = 0
        own = {self._settings.host.lower(), *map(str.lower, self._settings.allowed_hosts)}
        self._hosts = _LOOPBACK | own if self._settings.is_loopback or self._settings.allowed_hosts else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Exchange(self, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await self._app(scope, receive, send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard, self._scope, self._receive, self._send = guard, scope, receive, send
        self._settings = guard._settings
        self._headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
        self._path, self._began = scope["path"], time.monotonic()
        asked = self._headers.get(b"x-request-id", "")
        self._id = asked if _REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        self._status, self._held, self._due, self._is_whole = 0, 0, 0.0, False
        scope.setdefault("state", {})["request_id"] = self._id

    async def run(self) -> None:
        counts = self._path not in _HEALTH
        try:
            self._check(counts)
            self._guard._running += counts
            try:
                await self._guard._app(self._scope, self._limited_receive, self._marked_send)
            finally:
                self._guard._running -= counts
                self._guard._held -= self._held
        except Refusal as refusal:
            await self._refuse(refusal)
        except Exception:
            logger.exception("%s failed", self._id)
            if not self._status:
                await self._refuse(Refusal.unexpected())
        finally:
            self._note()

    # ------------------------------------------------------------------------------------------------ checks

    def _check(self, counts: bool) -> None:
        """Raises Refusal for what is not even read."""
        self._check_host()
        self._check_origin()
        self._check_token()
        if counts and self._guard._running >= self._settings.max_requests:
            raise Refusal(
                503, "busy", "Too many requests at a time. Try again in a second.", retry_after=1, closes=True
            )
        if counts and self._guard._service.is_stopping:
            raise Refusal(503, "stopping", "The server is stopping. Try again later.", retry_after=10, closes=True)
        if self._headers.get(b"content-encoding", "identity").strip().lower() not in ("", "identity"):
            raise Refusal(415, "content-encoding", "Compressed bodies are not read: send the plain body.", closes=True)
        declared = self._headers.get(b"content-length", "0")
        if not declared.isdecimal() or int(declared) > self._settings.max_body:
            raise self._too_large()

    def _check_host(self) -> None:
        host = self._headers.get(b"host")
        name = re.sub(r":\d*$", "", host).lower() if host else None
        if name is not None and self._guard._hosts is not None and name not in self._guard._hosts:
            raise Refusal(
                421,
                "host",
                f"This server is not called {printable(name)[:100]!r}. Whoever runs it can allow the name with "
                "--allow-host.",
                closes=True,
            )

    def _check_origin(self) -> None:
        """Other web sites must not use a browser to send what they could not send themselves."""
        if self._scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return
        origin, site = self._headers.get(b"origin"), self._headers.get(b"sec-fetch-site", "same-origin")
        ours = {self._headers.get(b"host", ""), urlsplit(self._settings.public_url).netloc} - {""}
        if site in ("cross-site", "same-site") or (origin is not None and origin.partition("://")[2] not in ours):
            raise Refusal(403, "origin", "Requests from other web sites are not answered.", closes=True)

    def _check_token(self) -> None:
        if not self._settings.token or self._path in _OPEN or self._path.startswith("/pictures/"):
            return
        scheme, _, given = self._headers.get(b"authorization", "").partition(" ")
        expected = self._settings.token.encode()
        is_right = hmac.compare_digest(given.strip().encode("utf-8", "replace"), expected)
        if scheme.lower() != "bearer" or not is_right:
            refusal = Refusal(401, "token", "Send the token in the header Authorization: Bearer TOKEN.", closes=True)
            refusal.headers["www-authenticate"] = "Bearer"
            raise refusal

    def _too_large(self) -> Refusal:
        return Refusal(
            413, "size", f"A body may have {self._settings.max_body:,} bytes. Shrink the picture.", closes=True
        )

    # ------------------------------------------------------------------------------------------------ in and out

    async def _limited_receive(self) -> Message:
        if self._is_whole:  # what comes now is the news that the client has gone
            return await self._receive()
        message = await self._on_time(self._receive)
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._is_whole = not message.get("more_body", False)
        return message

    async def _on_time(self, receive: Receive) -> Message:
        self._due = self._due or time.monotonic() + self._settings.body_s
        try:
            return await asyncio.wait_for(receive(), max(0.001, self._due - time.monotonic()))
        except TimeoutError:
            told = f"The body did not arrive within {self._settings.body_s:g} s."
            raise Refusal(408, "slow", told, closes=True) from None

    def _count(self, size: int) -> None:
        self._held += size
        self._guard._held += size
        if self._held > self._settings.max_body:
            raise self._too_large()
        if self._guard._held > self._settings.max_held:
            raise Refusal(
                503, "busy", "Too much is being uploaded. Try again in a few seconds.", retry_after=5, closes=True
            )

    async def _marked_send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", []), *self._own_headers(message)]
        await self._send(message)

    def _own_headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        policy = _DOCS_POLICY if self._path == "/docs" else _POLICY
        own = [*_HEADERS, (b"content-security-policy", policy.encode()), (b"x-request-id", self._id.encode())]
        if b"cache-control" not in {name.lower() for name, _ in message.get("headers", [])}:
            own.append((b"cache-control", b"no-store"))
        return own

    async def _refuse(self, refusal: Refusal) -> None:
        if self._status:  # an answer has begun, and cannot be taken back
            return
        send = self._lingering_send if refusal.status == 413 else self._marked_send
        await refusal.response(self._id)(self._scope, self._receive, send)

    async def _lingering_send(self, message: Message) -> None:
        """Like `_marked_send`, but the connection stays open while the client is still sending.

        A client that sends into a closed connection never sees the answer.
        """
        if message["type"] != "http.response.body":
            await self._marked_send(message)
            return
        await self._marked_send({**message, "more_body": True})
        await self._drain()
        await self._marked_send({"type": "http.response.body", "body": b""})

    async def _drain(self) -> None:
        """Read on for a while, and throw it away."""
        left, self._due = _DRAINED * self._settings.max_body, time.monotonic() + _DRAIN_S
        try:
            while left > 0 and not self._is_whole:
                message = await self._on_time(self._receive)
                left -= len(message.get("body", b""))
                self._is_whole = not message.get("more_body", False)
        except Refusal:
            return

    # ------------------------------------------------------------------------------------------------ afterwards

    def _note(self) -> None:
        seconds, metrics = time.monotonic() - self._began, self._guard._service.metrics
        route = getattr(self._scope.get("route"), "path", "other")
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        metrics.requests.labels(route, method, str(self._status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        level = logging.DEBUG if self._path in _HEALTH else logging.INFO
        path = printable(self._path.encode("utf-8", "backslashreplace").decode())[:200]
        logger.log(level, "%s %s %s %s %.0f ms", self._id, method, path, self._status, 1000 * seconds)
