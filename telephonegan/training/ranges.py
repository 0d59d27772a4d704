"""Settings within their ranges, told before anything is written."""

from __future__ import annotations

from typing import Any

from telephonegan.errors import SettingsError

SHARE = (0.0, 1.0)
RATE = (1e-12, 1.0)  # of learning
COUNT = (1, 1_000_000)
SIZE = (1, 4096)  # pixels, channels or widths


def check_ranges(settings: Any, **allowed: tuple[float, float]) -> None:
    """Raise SettingsError for the first setting outside its range, both ends included."""
    for name, (low, high) in allowed.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise SettingsError(f"{name} must be from {low:g} to {high:g}; {value} was given.")
