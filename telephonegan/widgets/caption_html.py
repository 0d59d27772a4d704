"""Captions as HTML, with words marked as kept, lost or new: by colour and also by line or weight."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape

from telephonegan.drift.words import Changes, content_words
from telephonegan.strips import CARD, INK

KEPT, LOST, NEW = "kept", "lost", "new"

# The card has its own background, so that words are readable in a dark theme too.
# It is as high as its widget, so that no edge moves with the text.
_CARD = (
    f"background:{CARD};color:{INK};padding:8px 12px;border-radius:6px;font:15px/1.45 system-ui,sans-serif;"
    "box-sizing:border-box;min-height:100%"
)
_FAINT = "#6b655c"
_TAGS = {KEPT: "u", LOST: "del", NEW: "b"}
_COLOURS = {KEPT: "#00598b", LOST: _FAINT, NEW: "#a84300"}


def round_html(captions: Sequence[Sequence[str]], index: int, title: str = "") -> str:
    """One round of a chain in four lines: number, previous caption, own caption, words left of the first caption.

    `captions` are the words of all rounds. Content words of the previous caption are marked as lost or kept, those of
    this one as kept or new.

    >>> "<del" in round_html([["red", "ball"], ["blue", "ball"]], 1)
    True
    """
    head = (
        f"<b>Round {index}</b> of {len(captions) - 1}{f' · {escape(title)}' if title else ''}{_key() if index else ''}"
    )
    lines = [head, *(_changed(captions, index) if index else [_numbered(0, " ".join(map(escape, captions[0])))])]
    return card_html("".join(f"<div>{line}</div>" for line in lines))


def card_html(content: str) -> str:
    """HTML on a light card."""
    return f'<div style="{_CARD}">{content}</div>'


def faint_html(text: str) -> str:
    """A text in a muted colour, escaped."""
    return f'<span style="color:{_FAINT}">{escape(text)}</span>'


def error_html(text: str) -> str:
    """An error message, escaped; screen readers announce it at once."""
    style = f"{_CARD};border-left:4px solid #b3261e"
    return f'<div role="alert" style="{style}"><b>That did not work.</b> {escape(text)}</div>'


def _changed(captions: Sequence[Sequence[str]], index: int) -> list[str]:
    before, now = captions[index - 1], captions[index]
    step, since_start = Changes.of(before, now), Changes.of(captions[0], now)
    left = [_marked(word, KEPT if word in since_start.kept else LOST) for word in content_words(captions[0])]
    return [
        _numbered(index - 1, _sentence(before, step.lost, LOST, step.kept)),
        _numbered(index, _sentence(now, step.gained, NEW, step.kept)),
        f"{faint_html('Of round 0:')} {' '.join(left) or 'no content word'}",
    ]


def _sentence(words: Sequence[str], changed: Collection[str], change: str, kept: Collection[str]) -> str:
    marks = dict.fromkeys(kept, KEPT) | dict.fromkeys(changed, change)
    return " ".join(_marked(word, marks[word]) if word in marks else escape(word) for word in words)


def _marked(word: str, mark: str) -> str:
    return f'<{_TAGS[mark]} style="color:{_COLOURS[mark]}" title="{mark}">{escape(word)}</{_TAGS[mark]}>'


def _numbered(index: int, sentence: str) -> str:
    return f"{faint_html(str(index))}&ensp;{sentence or faint_html('(no word)')}"


def _key() -> str:
    marks = "&ensp;".join(_marked(mark, mark) for mark in (KEPT, NEW, LOST))
    return f'<span style="float:right;font-size:13px">{marks}</span>'
