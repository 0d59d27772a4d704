"""What all tests of widgets share."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def no_pyplot(monkeypatch: pytest.MonkeyPatch):
    """Any import of pyplot fails: no view may need it."""
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
