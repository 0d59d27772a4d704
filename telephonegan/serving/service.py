"""What the routes share: the models and their thread, the pictures, the games, and how a request is waited for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from telephonegan.serving.games import Games
from telephonegan.serving.guides import Guides
from telephonegan.serving.metrics import Metrics
from telephonegan.serving.model_thread import ModelThread
from telephonegan.serving.picture_folder import PictureFolder
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.settings import Settings
from telephonegan.serving.work import Item, Models, Work

logger = logging.getLogger("telephonegan.serving")

T = TypeVar("T")


class Service:
    """Everything behind the routes. `start` loads the models; `stop` finishes what runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.models = settings, Models(settings)
        self.pictures = PictureFolder(settings.folder, most_bytes=settings.pictures_bytes, seconds=settings.pictures_s)
        self.metrics = Metrics()
        self.thread = ModelThread(
            lambda work, items: work.compute(self.models, items),
            queue=settings.queue,
            batch=settings.batch,
            window_s=settings.window_s,
            on_batch=self.metrics.batch.observe,
        )
        self.games = Games(settings, self.models, self.thread, self.pictures, self.aside)
        self.guides = Guides(settings, self.thread)
        self.is_stopping = False
        # Decoding, encoding and writing: two at a time, so that large pictures cannot fill the memory.
        self._helpers = ThreadPoolExecutor(2, thread_name_prefix="pictures")
        self.metrics.watch(
            waiting=lambda: self.thread.waiting,
            games=lambda: self.games.playing,
            guides=lambda: self.guides.running,
        )

    def start(self) -> None:
        """Load the models, which takes seconds. Raises WeightsError or SettingsError."""
        self.thread.start(self.models.load)

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.thread.is_alive and not self.is_stopping

    def begin_stopping(self) -> None:
        """Take no more requests; games stop after the round that is being played, and their streams end."""
        self.is_stopping = True
        self.games.stop()

    async def stop(self) -> None:
        """Wait for games and for what is queued, at most as long as the settings say."""
        self.begin_stopping()
        await self.games.wait(self.settings.stop_s)
        self.thread.close()
        await asyncio.to_thread(self.thread.join, self.settings.stop_s)
        self._helpers.shutdown(wait=True, cancel_futures=True)

    async def compute(self, work: Work, items: Sequence[Item], *, weight: int = 1, always: bool = False) -> list[Any]:
        """What the models make of the items, see `ModelThread.submit`."""
        return await self.thread.submit(work, items, weight=weight, always=always)

    async def aside(self, function: Callable[..., T], *args: Any, **options: Any) -> T:
        """Call a function that takes milliseconds without holding up other requests."""
        return await asyncio.get_running_loop().run_in_executor(self._helpers, partial(function, *args, **options))

    async def answer(self, request: Request, work: Awaitable[T]) -> T:
        """The result of the work, which is dropped when it takes too long or the client goes.

        Raises Refusal, or ClientDisconnect when nobody waits any more.
        """
        task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
        try:
            done, _ = await asyncio.wait(
                {task, gone}, timeout=self.settings.timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if task in done:
                return task.result()
            if gone in done:
                raise ClientDisconnect
            told = f"This took more than {self.settings.timeout_s:g} s. Ask for less at once, or try again later."
            raise Refusal(503, "timeout", told, retry_after=self.settings.timeout_s)
        finally:
            for each in (task, gone):
                each.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await each


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
