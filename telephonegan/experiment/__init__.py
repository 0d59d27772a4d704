"""Experiments with many chains: a plan, a run that can be interrupted and resumed, and a summary of the drift."""

from __future__ import annotations

import importlib
from typing import Any

# Everything is loaded on first use, because the command line imports this package.
_HOMES = {"Engine": "engines", "Experiment": "reading", "Plan": "plan", "resume": "runner", "run": "runner"}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"telephonegan.experiment has no {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"telephonegan.experiment.{_HOMES[name]}"), name)
