"""Games that are played in the background: one round at a time, so that other requests come between."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from telephonegan.chains import PlaySettings
from telephonegan.errors import TelephoneganError
from telephonegan.files import png_bytes
from telephonegan.results import Round
from telephonegan.serving.model_thread import ModelThread
from telephonegan.serving.picture_folder import PictureFolder
from telephonegan.serving.refusals import Refusal
from telephonegan.serving.settings import Settings
from telephonegan.serving.work import Models, PlayRound
from telephonegan.telephone import Position

logger = logging.getLogger("telephonegan.serving")

_MOST_KEPT = 1000  # finished games
_BUSY_S = 15.0


@dataclass(eq=False)
class Game:
    """One game: what was asked, the rounds so far as they are answered, and how it stands.

    `status` is playing, done, out of words (the last caption holds none that can be painted), stopped or failed; then
    `reason` says why.
    """

    captioner: str
    generator: str
    settings: PlaySettings
    wanted: int
    seed: int
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    status: str = "playing"
    reason: str | None = None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    ended: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task | None = None

    def notify(self) -> None:
        """Wake those who wait for a round."""
        self.changed.set()
        self.changed = asyncio.Event()

    def end(self, status: str, reason: str | None = None) -> None:
        """No further round will come."""
        self.status, self.reason, self.ended = status, reason, time.monotonic()
        self.notify()

    async def news(self, first: int, patience_s: float) -> AsyncIterator[dict[str, Any] | None]:
        """The rounds from `first` on, each as soon as it is there; None where there was none for `patience_s`."""
        while True:
            changed = self.changed
            while first < len(self.rounds):
                yield self.rounds[first]
                first += 1
            if self.status != "playing":
                return
            try:
                await asyncio.wait_for(changed.wait(), patience_s)
            except TimeoutError:
                yield None


class Games:
    """The games of a server. A finished one is kept for a while, in memory; uploaded pictures are not kept.

    `aside(function, *args)` calls what takes milliseconds without holding up other requests.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models,
        thread: ModelThread,
        pictures: PictureFolder,
        aside: Callable[..., Awaitable[Any]],
    ) -> None:
        self._settings, self._models, self._thread, self._pictures = settings, models, thread, pictures
        self._aside, self._games = aside, {}

    @property
    def playing(self) -> int:
        """How many are being played."""
        return sum(game.status == "playing" for game in self._games.values())

    def begin(self, game: Game, source: Image.Image | str) -> Game:
        """Play a game from a picture or text. Raises Refusal where too many are played."""
        self._forget_old()
        most = self._settings.max_games
        if self.playing >= most:
            raise Refusal(503, "busy", f"{most} games are being played. Try again later.", retry_after=_BUSY_S)
        self._games[game.id] = game
        game.task = asyncio.create_task(self._play(game, source), name=f"game {game.id[:6]}")
        return game

    def find(self, game_id: str) -> Game:
        """The game of that id. Raises Refusal where there is none."""
        self._forget_old()
        if game_id not in self._games:
            kept = f"{self._settings.games_s:g}"
            raise Refusal(404, "game", f"There is no such game. Games are kept for {kept} s after their end.")
        return self._games[game_id]

    def cancel(self, game_id: str) -> None:
        """End a game and forget it. Raises Refusal where there is none."""
        game = self.find(game_id)
        del self._games[game_id]
        if game.task is not None:
            game.task.cancel()
        if game.status == "playing":
            game.end("stopped")

    def stop(self) -> None:
        """Let every game end after the round that it is at."""
        for game in self._games.values():
            if game.status == "playing":
                game.wanted = min(game.wanted, len(game.rounds))

    async def wait(self, timeout_s: float) -> None:
        """Wait until all games have ended, and end those that take longer."""
        tasks = [game.task for game in self._games.values() if game.task is not None and not game.task.done()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout_s)
            for task in late:
                task.cancel()

    def _forget_old(self) -> None:
        oldest = time.monotonic() - self._settings.games_s
        ended = sorted((game.ended, key) for key, game in self._games.items() if game.status != "playing")
        surplus = max(0, len(ended) - _MOST_KEPT)
        for number, (when, key) in enumerate(ended):
            if number < surplus or when < oldest:
                del self._games[key]

    async def _play(self, game: Game, source: Image.Image | str) -> None:
        wanted, generator = game.wanted, self._models.generators[game.generator]
        try:
            while len(game.rounds) <= game.wanted:
                position = Position(len(game.rounds), source, game.seed, 0)
                work = PlayRound(game.captioner, game.generator, game.settings, at_start=position.round == 0)
                weight = game.settings.candidates
                (played,) = await self._thread.submit(work, [position], weight=weight, always=True)
                game.rounds.append(await self._aside(self._record, played))
                game.notify()
                source = played.caption.text
                if len(game.rounds) <= game.wanted and not generator.knows(source):
                    game.end("out of words")
                    return
            game.end("done" if game.wanted == wanted else "stopped")
        except asyncio.CancelledError:
            game.end("stopped")
            raise
        except TelephoneganError as error:
            logger.warning("game %s failed: %s", game.id[:6], error)
            refusal = Refusal.of(error)
            game.end("failed", refusal.message if refusal.status < 500 else _at_fault(game))
        except Exception:
            logger.exception("game %s failed", game.id[:6])
            game.end("failed", _at_fault(game))

    def _record(self, played: Round) -> dict[str, Any]:
        """A round as it is answered. The picture of round 0 is the client's own, and not kept."""
        caption, picture = played.caption, played.picture if played.index else None
        return {
            "index": played.index,
            "caption": caption.text,
            "words": caption.words,
            "probabilities": [round(p, 4) for p in caption.probabilities],
            "picture": None if picture is None else f"/pictures/{self._pictures.add(png_bytes(picture.image))}",
            "dropped_words": [] if picture is None else picture.dropped_words,
        }


def _at_fault(game: Game) -> str:
    """Why a game failed that the server itself is to blame for; the rest is nobody else's business."""
    return f"The server made an error, which is in its log under game {game.id[:6]}."
