"""Numbers for Prometheus: what was asked and how it ended, how long it took, and how full the queue is."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The numbers of one server, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own = {"registry": self._registry, "namespace": "telephonegan"}
        labels = ("route", "method", "status")
        self.requests = Counter("requests", "Requests by route, method and status", labels, **own)
        self.seconds = Histogram("request_seconds", "Seconds until an answer", ("route",), buckets=_SECONDS, **own)
        self.batch = Histogram("batch_items", "Items that the models computed together", buckets=_BATCHES, **own)
        self._waiting = Gauge("waiting_pictures", "Pictures in the queue for the models", **own)
        self._games = Gauge("playing_games", "Games being played", **own)
        self._guides = Gauge("running_guides", "Guides that take turns", **own)

    def watch(self, *, waiting: Callable[[], int], games: Callable[[], int], guides: Callable[[], int]) -> None:
        """Say where the numbers are that go up and down."""
        self._waiting.set_function(waiting)
        self._games.set_function(games)
        self._guides.set_function(guides)

    def text(self) -> bytes:
        """All of them in the text format."""
        return generate_latest(self._registry)
