"""Pictures that are pushed towards something: a few steps at a time, so that other requests come between."""

from __future__ import annotations

import asyncio

from telephonegan.latent import Guided
from telephonegan.serving.model_thread import ModelThread
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.settings import Settings
from telephonegan.serving.work import BeginGuide, GoOnGuiding

_SLICE = 4  # steps, about half a second of one core at 128 pixels
_BUSY_S = 10.0


class Guides:
    """The guides of a server. One of them is in the queue at a time, with one slice: others never wait for more.

    Cancelling `guided` ends a guide after the slice that is being computed.
    """

    def __init__(self, settings: Settings, thread: ModelThread) -> None:
        self._most, self._thread = settings.max_guides, thread
        self._turn = asyncio.Lock()  # which is fair: the others have a slice each before one has its next
        self.running = 0

    async def guided(self, work: BeginGuide, text: str, seed: int) -> Guided:
        """The guide of what the seed paints of a text. Raises Refusal where too many run, BusyError, and what it says.

        The result is that of `telephonegan.guide` with the same arguments.
        """
        if self.running >= self._most:
            raise Refusal(503, "busy", f"{self._most} guides are running. Try again later.", retry_after=_BUSY_S)
        self.running += 1
        try:
            async with self._turn:
                (guiding,) = await self._thread.submit(work, [(text, seed)])
            while not guiding.is_finished:
                async with self._turn:
                    (guiding,) = await self._thread.submit(GoOnGuiding(_SLICE), [guiding], weight=_SLICE, always=True)
            return guiding.result()
        finally:
            self.running -= 1
