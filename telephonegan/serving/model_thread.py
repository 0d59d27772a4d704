"""The one thread that owns the models: a bounded queue, and batches of what came within a few milliseconds."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger("telephonegan.serving")

_LONGEST_WAIT = 60  # seconds that a client is asked to wait
_RETURN = 0.25  # of the time that a batch took, its clients are given to ask again


class BusyError(Exception):
    """The queue is full; `retry_after` is in how many seconds there may be room."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The queue is full. Try again in {retry_after} s.")
        self.retry_after = retry_after


@dataclass(eq=False)
class _Ticket:
    work: Hashable
    item: Any
    weight: int
    future: asyncio.Future
    since: float = field(default_factory=time.monotonic)


class ModelThread:
    """Computes `compute(work, items)` for items of equal `work` together, in a thread of its own.

    At most `batch` pictures are computed together, and `queue` wait. The first of a batch waits `window_s` for others,
    and a quarter of the time of the batch before for as many as that one had of the same work: clients often ask again
    at once, and would else be served in two groups, one of them small.
    A batch that fails is computed again one by one, so nobody's answer depends on what others sent. `on_batch` is
    called with the number of items of every batch.
    """

    def __init__(
        self,
        compute: Callable[[Any, list], list],
        *,
        queue: int = 256,
        batch: int = 16,
        window_s: float = 0.004,
        on_batch: Callable[[int], object] = lambda size: None,
    ) -> None:
        self._compute, self._capacity, self._batch, self._window = compute, queue, batch, window_s
        self._on_batch = on_batch
        self._changed = threading.Condition()
        self._tickets: deque[_Ticket] = deque()
        self._waiting, self._closed = 0, False
        self._seconds = 0.05  # for one picture, as lately measured
        self._answered: tuple[Hashable, int, float] = (None, 0, 0.0)  # work, weight, and until when it is awaited again
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)

    def start(self, prepare: Callable[[], object] = lambda: None) -> None:
        """Start the thread, and wait until it has called `prepare`, whose errors are raised here."""
        done, failure = threading.Event(), []
        self._prepare = (prepare, done, failure)
        self._thread.start()
        done.wait()
        if failure:
            raise failure[0]

    @property
    def waiting(self) -> int:
        """Pictures in the queue."""
        return self._waiting

    @property
    def is_alive(self) -> bool:
        """Whether it takes work."""
        return self._thread.is_alive() and not self._closed

    async def submit(self, work: Hashable, items: Sequence[Any], *, weight: int = 1, always: bool = False) -> list[Any]:
        """The results of the items, in order; each weighs as many pictures as `weight`. Cancelling drops the work.

        Raises BusyError if they do not all fit into the queue, unless they are to be taken `always`, and what
        `compute` raised.
        """
        loop = asyncio.get_running_loop()
        tickets = [_Ticket(work, item, weight, loop.create_future()) for item in items]
        with self._changed:
            more = weight * len(tickets)
            self._drop_cancelled()
            if self._closed or (not always and self._waiting and self._waiting + more > self._capacity):
                raise BusyError(self._retry_after())
            self._waiting += more
            self._tickets.extend(tickets)
            self._changed.notify()
        try:
            return list(await asyncio.gather(*(ticket.future for ticket in tickets)))
        finally:
            for ticket in tickets:
                ticket.future.cancel()

    def close(self) -> None:
        """Take no more work; what is queued is still done."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def join(self, timeout_s: float) -> None:
        """Wait until the queue is empty and the thread has ended."""
        self._thread.join(timeout_s)

    def _retry_after(self) -> int:
        return max(1, min(_LONGEST_WAIT, math.ceil(self._waiting * self._seconds)))

    # ------------------------------------------------------------------------------------------------ in the thread

    def _work(self) -> None:
        prepare, done, failure = self._prepare
        try:
            prepare()
        except BaseException as error:
            failure.append(error)
            return
        finally:
            done.set()
        while tickets := self._next_batch():
            began = time.monotonic()
            outcomes = self._outcomes(tickets)
            self._account(tickets, time.monotonic() - began)
            for loop in {ticket.future.get_loop() for ticket in tickets}:
                _call(loop, _deliver, tickets, outcomes)
            del tickets, outcomes  # pictures are not held until there is other work

    def _account(self, tickets: list[_Ticket], took: float) -> None:
        weight = sum(ticket.weight for ticket in tickets)
        self._seconds += 0.1 * (took / weight - self._seconds)
        self._answered = tickets[0].work, weight, time.monotonic() + _RETURN * took

    def _next_batch(self) -> list[_Ticket]:
        """The oldest work and what can be computed with it; none when closed."""
        with self._changed:
            while True:
                self._drop_cancelled()
                if not self._tickets:
                    if self._closed:
                        return []
                    self._changed.wait()
                    continue
                alike = [ticket for ticket in self._tickets if ticket.work == self._tickets[0].work]
                left = self._patience(alike)
                if left <= 0 or self._closed:
                    return self._taken(alike)
                self._changed.wait(left)

    def _patience(self, alike: list[_Ticket]) -> float:
        """Seconds for which these still wait for others."""
        weight, until = sum(ticket.weight for ticket in alike), alike[0].since + self._window
        if weight >= self._batch:
            return 0.0
        work, answered, awaited = self._answered
        if work == alike[0].work and weight < answered:
            until = max(until, awaited)
        return until - time.monotonic()

    def _drop_cancelled(self) -> None:
        if any(ticket.future.cancelled() for ticket in self._tickets):
            self._tickets = deque(ticket for ticket in self._tickets if not ticket.future.cancelled())
            self._waiting = sum(ticket.weight for ticket in self._tickets)

    def _taken(self, alike: list[_Ticket]) -> list[_Ticket]:
        chosen, weight = [], 0
        for ticket in alike:
            if chosen and weight + ticket.weight > self._batch:
                break
            chosen.append(ticket)
            weight += ticket.weight
        taken = set(map(id, chosen))
        self._tickets = deque(ticket for ticket in self._tickets if id(ticket) not in taken)
        self._waiting -= weight
        return chosen

    def _outcomes(self, tickets: list[_Ticket]) -> list[Any]:
        work, items = tickets[0].work, [ticket.item for ticket in tickets]
        self._on_batch(len(items))
        try:
            return self._compute(work, items)
        except Exception as error:
            if len(items) == 1:
                return [error]
        return [outcome for ticket in tickets for outcome in self._outcomes([ticket])]


def _call(loop: asyncio.AbstractEventLoop, function: Callable, *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *args)
    except RuntimeError:  # the loop has ended, and nobody waits any more
        logger.debug("an answer came after the server had stopped")


def _deliver(tickets: list[_Ticket], outcomes: list[Any]) -> None:
    for ticket, outcome in zip(tickets, outcomes, strict=True):
        if ticket.future.done():
            continue
        if isinstance(outcome, Exception):
            ticket.future.set_exception(outcome)
        else:
            ticket.future.set_result(outcome)
