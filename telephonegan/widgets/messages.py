"""Short messages as HTML, on a card in the colours of the front end's theme, if it tells them."""

from __future__ import annotations

from html import escape

from telephonegan.strips import CARD, INK

_CARD = (
    f"background:var(--jp-layout-color2, {CARD});color:var(--jp-content-font-color1, {INK});padding:8px 12px;"
    "border-radius:6px;font:15px/1.45 system-ui,sans-serif;box-sizing:border-box;min-height:100%"
)


def card_html(content: str) -> str:
    """HTML on a card."""
    return f'<div style="{_CARD}">{content}</div>'


def faint_html(text: str) -> str:
    """A text in a muted colour, escaped."""
    return f'<span style="opacity:0.85">{escape(text)}</span>'


def error_html(text: str) -> str:
    """An error message, escaped; screen readers announce it at once."""
    style = f"{_CARD};border-left:4px solid #b3261e"
    return f'<div role="alert" style="{style}"><b>That did not work.</b> {escape(text)}</div>'
