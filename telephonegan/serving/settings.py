"""What a server allows, and what it serves."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from telephonegan.errors import SettingsError
from telephonegan.inference import check_whole, is_number
from telephonegan.zoo import catalogue

_RANGES = {  # of the whole numbers
    "port": (0, 65535),
    "max_body": (1000, 2**30),
    "max_held": (1000, 2**36),
    "max_pixels": (1, 2**30),
    "max_text": (1, 100_000),
    "max_pictures": (1, 256),
    "max_candidates": (1, 64),
    "max_rounds": (1, 1000),
    "max_steps": (1, 10_000),
    "max_games": (1, 10_000),
    "max_guides": (1, 1000),
    "max_requests": (1, 10_000),
    "queue": (1, 100_000),
    "batch": (1, 128),
    "pictures_bytes": (1_000_000, 2**50),
}
_SECONDS = ("window_s", "timeout_s", "body_s", "stop_s", "pictures_s", "games_s")


@dataclass(frozen=True)
class Settings:
    """How a server is reached, what it serves, and its limits. Raises SettingsError.

    - `host`, `port` (0: any free one); `token`, which clients must send if it is not empty; `allowed_hosts`, the names
      clients may call the server by, in addition to those of loopback addresses; `public_url`, its address if a proxy
      stands before it.
    - `worlds` (empty: all), and further `captioners` and `generators` by name; `bird` is the generator of the two
      routes of the original (default: that of the world birds, else the first). `device` of the models, and the
      `precision` they compute in, see `telephonegan.load`.
    - `axes` and `embeddings` by name, beside those that belong to the generators served; without `worlds` all axes and
      embeddings there are. An embedding is a name or, for any other model that reads texts, KIND/NAME.
    - `folder` of the pictures (default: one beside the user's own models), which holds at most `pictures_bytes`,
      each for `pictures_s` seconds. Several servers may share one.
    - Of one request: `max_body` bytes, `max_pixels` of a picture, `max_text` characters, `max_pictures` to paint,
      candidates included, `max_candidates` for each, `max_rounds` of a game, `max_steps` of a guide.
    - Of all together: `max_requests` at a time with `max_held` bytes of bodies, `max_games` being played,
      `max_guides` that take turns, `queue` pictures that wait for the models.
    - The models take up to `batch` pictures at a time, and wait `window_s` for others to join.
    - Seconds: `timeout_s` until an answer, `body_s` until a request has arrived, `stop_s` for what runs when the server
      is told to stop, `games_s` for which a finished game is kept.

    >>> Settings(port=8080).is_loopback
    True
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default="", repr=False)
    allowed_hosts: tuple[str, ...] = ()
    public_url: str = ""
    worlds: tuple[str, ...] = ()
    captioners: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    axes: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    bird: str = ""
    device: str = "auto"
    precision: str = "float32"
    folder: Path = field(default_factory=lambda: catalogue.home() / "served-pictures")
    pictures_bytes: int = 1_000_000_000
    pictures_s: float = 24 * 3600
    max_body: int = 16_000_000
    max_held: int = 256_000_000
    max_pixels: int = 50_000_000
    max_text: int = 2000
    max_pictures: int = 32
    max_candidates: int = 16
    max_rounds: int = 50
    max_steps: int = 60
    max_games: int = 32
    max_guides: int = 8
    max_requests: int = 128
    queue: int = 256
    batch: int = 16
    window_s: float = 0.004
    timeout_s: float = 60.0
    body_s: float = 20.0
    stop_s: float = 30.0
    games_s: float = 3600.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            check_whole(getattr(self, name), name, low, high)
        for name in _SECONDS:
            if not is_number(getattr(self, name)) or not 0 <= getattr(self, name) < 1e9:
                raise SettingsError(f"{name} must be seconds from 0 to 1e9; {getattr(self, name)!r} was given.")
        if self.token and not re.fullmatch(r"[\x21-\x7e]{16,512}", self.token):
            raise SettingsError(
                "A token must be 16 to 512 printable ASCII characters without blanks: it travels in a header, and must "
                "not be guessed."
            )
        if self.public_url and not re.fullmatch(r"https?://[\w.:\[\]-]+(/[\w./-]*)?", self.public_url):
            raise SettingsError(f"public_url must be like https://pictures.example.org; {self.public_url!r} was given.")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"
