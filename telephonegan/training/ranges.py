"""Range checks of settings, made before anything is written."""

from __future__ import annotations

from typing import Any

from telephonegan.errors import SettingsError

SHARE = (0.0, 1.0)
RATE = (1e-12, 1.0)  # learning rates
COUNT = (1, 1_000_000)
SIZE = (1, 4096)  # pixels, channels or widths


def check_range(name: str, value: float, allowed: tuple[float, float]) -> None:
    """Raise SettingsError for a value outside the range, whose ends are allowed.

    >>> check_range("dropout", 2, SHARE)
    Traceback (most recent call last):
    telephonegan.errors.SettingsError: dropout must be from 0 to 1; 2 was given.
    """
    low, high = allowed
    if not low <= value <= high:
        raise SettingsError(f"{name} must be from {low:g} to {high:g}; {value} was given.")


def check_ranges(settings: Any, **allowed: tuple[float, float]) -> None:
    """Raise SettingsError for the first of these settings that is outside its range."""
    for name, bounds in allowed.items():
        check_range(name, getattr(settings, name), bounds)
