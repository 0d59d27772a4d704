"""The thread that owns the models: batches, the bounded queue, cancelled work, and errors that stay with their item."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager

import pytest

pytest.importorskip("fastapi", reason="the server needs the extra [serve]")

from telephonegan.serving.model_thread import BusyError, ModelThread


class Recorder:
    """Doubles numbers, remembers the batches, and waits before the first one for as long as it is told."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[int]]] = []
        self.may_go = threading.Event()
        self.has_begun = threading.Event()

    def __call__(self, work: str, items: list[int]) -> list[int]:
        self.has_begun.set()
        assert self.may_go.wait(30)
        self.batches.append((work, items))
        if any(item < 0 for item in items):
            raise ValueError(f"no {min(items)}")
        return [2 * item for item in items]


@contextmanager
def thread_of(recorder: Callable, **settings):
    thread = ModelThread(recorder, **settings)
    thread.start()
    try:
        yield thread
    finally:
        thread.close()
        thread.join(30)
        assert not thread.is_alive


async def occupied(thread: ModelThread, recorder: Recorder) -> asyncio.Task:
    """The thread is busy with another item until the recorder lets it go on."""
    task = asyncio.create_task(thread.submit("other", [0]))
    while not recorder.has_begun.is_set():
        await asyncio.sleep(0.001)
    return task


def test_equal_work_is_computed_together_and_other_work_apart():
    recorder = Recorder()

    async def scenario(thread):
        other = await occupied(thread, recorder)
        tasks = [
            asyncio.create_task(thread.submit(work, [item])) for work, item in [("a", 1), ("b", 2), ("a", 3), ("a", 4)]
        ]
        await asyncio.sleep(0)
        recorder.may_go.set()
        return [await task for task in (other, *tasks)]

    with thread_of(recorder, batch=2, window_s=0) as thread:
        assert asyncio.run(scenario(thread)) == [[0], [2], [4], [6], [8]]
    assert recorder.batches == [("other", [0]), ("a", [1, 3]), ("b", [2]), ("a", [4])]


def test_clients_that_ask_again_are_served_together_again():
    recorder = Recorder()
    recorder.may_go.set()

    def slowly(work: str, items: list[int]) -> list[int]:
        time.sleep(0.4)
        return recorder(work, items)

    async def client(thread, first, delay):
        await thread.submit("a", [first])
        await asyncio.sleep(delay)
        await thread.submit("a", [first + 1])

    async def scenario(thread):
        await asyncio.gather(client(thread, 1, 0), client(thread, 11, 0.02))

    with thread_of(slowly, window_s=0.004) as thread:
        asyncio.run(scenario(thread))
    assert recorder.batches == [("a", [1, 11]), ("a", [2, 12])]


def test_the_first_waits_for_others_to_join_but_a_full_batch_does_not_wait():
    recorder = Recorder()
    recorder.may_go.set()

    async def scenario(thread):
        first = asyncio.create_task(thread.submit("a", [1]))
        await asyncio.sleep(0.02)
        return await asyncio.gather(first, thread.submit("a", [2]))

    with thread_of(recorder, batch=2, window_s=300) as thread:
        assert asyncio.run(asyncio.wait_for(scenario(thread), 60)) == [[2], [4]]
    assert recorder.batches == [("a", [1, 2])]


def test_an_item_that_fails_does_so_alone():
    recorder = Recorder()

    async def scenario(thread):
        other = await occupied(thread, recorder)
        tasks = [asyncio.create_task(thread.submit("a", [item])) for item in (1, -2, 3)]
        await asyncio.sleep(0)
        recorder.may_go.set()
        await other
        return await asyncio.gather(*tasks, return_exceptions=True)

    with thread_of(recorder) as thread:
        good, bad, also_good = asyncio.run(scenario(thread))
    assert (good, also_good) == ([2], [6]) and str(bad) == "no -2"


def test_a_full_queue_refuses_and_says_when_to_come_again():
    recorder = Recorder()

    async def scenario(thread):
        other = await occupied(thread, recorder)
        waiting = asyncio.create_task(thread.submit("a", [1, 2], weight=2))
        await asyncio.sleep(0)
        assert thread.waiting == 4
        with pytest.raises(BusyError) as refused:
            await thread.submit("a", [3])
        always = asyncio.create_task(thread.submit("a", [3], always=True))
        await asyncio.sleep(0)
        recorder.may_go.set()
        await other
        assert (await waiting, await always) == ([2, 4], [6])
        return refused.value.retry_after

    with thread_of(recorder, queue=4) as thread:
        assert 1 <= asyncio.run(scenario(thread)) <= 60
        assert thread.waiting == 0


def test_cancelled_work_is_not_done():
    recorder = Recorder()

    async def scenario(thread):
        other = await occupied(thread, recorder)
        gone, stays = asyncio.create_task(thread.submit("a", [1])), asyncio.create_task(thread.submit("a", [2]))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        recorder.may_go.set()
        await other
        return await stays

    with thread_of(recorder) as thread:
        assert asyncio.run(scenario(thread)) == [4]
    assert recorder.batches[1:] == [("a", [2])]


def test_closing_finishes_what_is_queued_and_takes_no_more():
    recorder = Recorder()

    async def scenario(thread):
        other = await occupied(thread, recorder)
        queued = asyncio.create_task(thread.submit("a", [1]))
        await asyncio.sleep(0)
        thread.close()
        with pytest.raises(BusyError):
            await thread.submit("a", [2], always=True)
        recorder.may_go.set()
        return await other, await queued

    with thread_of(recorder) as thread:
        assert asyncio.run(scenario(thread)) == ([0], [2])


def test_errors_of_loading_are_raised_where_it_was_started():
    def broken() -> None:
        raise ValueError("no weights")

    thread = ModelThread(Recorder())
    with pytest.raises(ValueError, match="no weights"):
        thread.start(broken)
    thread.join(30)
    assert not thread.is_alive
