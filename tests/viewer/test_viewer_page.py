"""The HTML file of a game, as text; tests/browser opens one."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from telephonegan.errors import OutputError
from telephonegan.viewer import game_page
from tests.games import SENTENCES, chain, chain_from_text


class Tags(HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def test_pictures_have_alt_texts_without_any_script():
    alts = [told["alt"] for tag, told in Tags(game_page(chain())).found if tag == "img"]
    assert len(alts) == len(SENTENCES)
    assert all(sentence in alt for sentence, alt in zip(SENTENCES, alts, strict=True))


def test_nothing_is_asked_of_a_network():
    page = game_page(chain())
    sources = [value for _, told in Tags(page).found for name, value in told.items() if name in ("src", "href")]
    assert sources and all(source.startswith("data:") for source in sources)
    assert "default-src 'none'" in page
    assert set(re.findall(r"https?://[^\s\"']+", page)) <= {"http://www.w3.org/2000/svg"}


def test_text_cannot_leave_its_place():
    evil = "a </script><script>alert(1)</script> <img src=x onerror=alert(2)> & dog"
    page = game_page(chain_from_text(evil))
    assert "<script>alert" not in page and "<img src=x" not in page
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data)["games"][0]["rounds"][0]["text"] == evil


def test_a_game_says_how_it_was_played():
    page = game_page(chain(seed=7))
    assert "2 rounds from a picture, seed 7, captions by beam, noise scale 1." in page


def test_exporting_writes_the_page_and_never_over_a_file(tmp_path):
    played = chain()
    path = played.export(tmp_path / "game.html")
    assert path.read_text(encoding="utf-8") == game_page(played)
    with pytest.raises(OutputError, match="refusing"):
        played.export(path)
    with pytest.raises(OutputError, match=r"\.html"):
        played.export(tmp_path / "game.pdf")
