"""Ctrl-C and SIGTERM: both stop a command in the same way, but with different exit codes."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_received: list[int] = []  # signals since the command began


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM, as a scheduler or `docker stop` sends it, save and stop as Ctrl-C does, in background jobs too.

    A background job that its shell made deaf to Ctrl-C remains so.
    """
    _received.clear()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if number == signal.SIGTERM or _is_heard(number)]
    before = {number: signal.signal(number, _stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stop_if_asked() -> None:
    """End a command that has saved and returned after a signal, instead of finishing its work."""
    if _received:
        raise KeyboardInterrupt


def exit_code() -> int:
    """130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (_received[-1] if _received else signal.SIGINT)


def _is_heard(number: int) -> bool:
    return signal.getsignal(number) != signal.SIG_IGN


def _stop(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    raise KeyboardInterrupt
