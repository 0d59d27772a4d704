"""Choosing one word of a caption."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import ipywidgets

from telephonegan.widgets.view import MAX_WIDTH


class WordChooser(ipywidgets.ToggleButtons):
    """A button for each word; `index` is the word that is chosen, None without words.

    `choose` is called with the index when a person changes it, not when `offer` does.
    """

    def __init__(self, choose: Callable[[int | None], None]) -> None:
        super().__init__(
            options=(),
            layout=ipywidgets.Layout(height="72px", overflow="auto", max_width=MAX_WIDTH),
            style=ipywidgets.ToggleButtonsStyle(button_width="auto"),
        )
        self._choose = choose
        self.observe(self._changed, "index")

    def offer(self, words: Sequence[str], index: int | None) -> None:
        """Offer other words, with one of them chosen, in one message to the browser."""
        self.unobserve(self._changed, "index")
        with self.hold_sync():
            self.options = distinct(words)
            self.index = index
        self.observe(self._changed, "index")

    def _changed(self, change: dict) -> None:
        self._choose(change["new"])


def distinct(words: Sequence[str]) -> list[str]:
    """Words as labels, no two alike: ToggleButtons tells its buttons apart by what stands on them.

    >>> distinct(["a", "man", "a"])
    ['a', 'man', 'a (2)']
    """
    counts: Counter[str] = Counter()
    labels = []
    for word in words:
        counts[word] += 1
        labels.append(word if counts[word] == 1 else f"{word} ({counts[word]})")
    return labels
