"""Captions as HTML: which words are marked, by more than a colour, and nothing a person wrote is markup."""

from __future__ import annotations

import re

import pytest

from telephonegan.widgets.caption_html import error_html, round_html

CAPTIONS = ["a man in a red coat", "a man in a blue coat", "a dog in a red coat"]
EVIL = '<script>alert("x")</script>'


def lines(index: int, captions: list[str] = CAPTIONS) -> list[str]:
    return re.findall(r"<div>(.*?)</div>", round_html([text.split() for text in captions], index))


def marked(html: str) -> dict[str, str]:
    """Word → the tag around it."""
    return {word: tag for tag, word in re.findall(r"<(u|b|del) style[^>]*>([^<]*)</\1>", html)}


def test_words_are_lost_kept_or_new_since_the_round_before():
    _, before, now, _ = lines(1)
    assert marked(before) == {"man": "u", "red": "del", "coat": "u"}
    assert marked(now) == {"man": "u", "blue": "b", "coat": "u"}


def test_the_last_line_tells_what_is_left_of_round_0():
    *_, start = lines(2)
    assert marked(start) == {"man": "del", "red": "u", "coat": "u"}


def test_the_marks_differ_by_colour_too():
    colours = {
        tag: re.findall(rf"<{tag} style=\"color:(#\w+)\"", round_html([["a", "b"], ["a", "c"]], 1)) for tag in "ub"
    }
    assert len({*colours["u"], *colours["b"]}) == 2


def test_round_0_has_nothing_to_be_compared_with():
    assert marked("".join(lines(0))) == {}
    assert "a man in a red coat" in lines(0)[1]


def test_function_words_are_not_marked():
    assert not {"a", "in", "the"} & marked("".join(lines(1))).keys()


def test_every_place_of_a_word_is_marked():
    assert lines(1, ["a cat", "a dog and a dog"])[2].count("<b ") == 2


@pytest.mark.parametrize("html", [
    round_html([[EVIL], [EVIL, "dog"], ["dog"]], 1),
    round_html([[EVIL], ["dog"]], 0),
    round_html([["dog"], ["dog"]], 1, title=EVIL),
    error_html(EVIL),
])  # fmt: skip
def test_what_a_person_wrote_is_escaped(html):
    assert "<script" not in html and "&lt;script&gt;" in html
