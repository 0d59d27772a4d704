"""The page at /, in headless Chromium: a game from a sentence or a photograph, round by round, for everybody."""

from __future__ import annotations

import time

import pytest

from telephonegan.telephone import Telephone
from tests.servers import running

TEXT = "a red dog runs"
TOKEN = "0123456789abcdef"


@pytest.fixture
def opened(browser):
    """Opens a server's page; at the end nothing has gone wrong and nobody else was asked."""
    complaints, pages = [], []

    def open_(server):
        page = browser.new_page(viewport={"width": 900, "height": 1000})
        pages.append(page)
        page.set_default_timeout(60_000)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        ours = (server.url, "data:", "blob:")
        page.on("request", lambda asked: None if asked.url.startswith(ours) else complaints.append(asked.url))
        page.goto(server.url)
        return page

    yield open_
    for page in pages:
        page.close()
    assert complaints == []


def rounds(page) -> list[str]:
    """The captions, once the game is over."""
    page.get_by_text("The game is over").wait_for()
    return page.locator("#rounds li").evaluate_all("items => items.map(item => item.dataset.caption)")


def play(page, count: int) -> None:
    page.get_by_role("spinbutton", name="Rounds").fill(str(count))
    page.get_by_role("button", name="Play").click()


def test_a_sentence_is_played_with_the_keyboard_alone(server, opened):
    page = opened(server)
    expected = [each["caption"] for each in _game(server, {"text": TEXT, "rounds": 2})]
    page.get_by_label("a sentence").focus()
    page.keyboard.type(TEXT)
    page.get_by_role("spinbutton", name="Rounds").fill("2")
    page.keyboard.press("Enter")
    assert rounds(page) == expected
    pictures = page.get_by_role("img")
    assert [each.get_attribute("alt") for each in pictures.all()] == [
        f"A painting of: {text}" for text in expected[:-1]
    ]
    assert pictures.evaluate_all("all => all.every(image => image.complete && image.naturalWidth > 0)")


def test_a_photograph_is_played(server, opened, photo):
    page = opened(server)
    page.get_by_label("or a photograph").set_input_files({"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo})
    play(page, 1)
    assert len(rounds(page)) == 2
    assert page.get_by_role("img").first.get_attribute("alt") == "Your photograph"


def test_mistakes_are_explained_and_text_is_never_markup(server, opened):
    page = opened(server)
    play(page, 1)
    page.get_by_role("alert").get_by_text("Type a sentence or choose a photograph.").wait_for()
    page.get_by_label("a sentence").fill("<img src=x onerror=alert(1)> red dog")
    play(page, 1)
    told = rounds(page)
    assert told[0] == "<img src=x onerror=alert(1)> red dog"
    assert page.locator("#rounds img").count() == 1
    assert "src" in page.locator("#rounds small").inner_text()


def test_a_game_can_be_stopped(only_tiny, tmp_path, opened, monkeypatch):
    begun = Telephone.next_rounds

    def slowly(*given):
        time.sleep(0.1)  # or all rounds of a tiny model may be over before this test gets to click
        return begun(*given)

    monkeypatch.setattr(Telephone, "next_rounds", slowly)
    with running(tmp_path, max_rounds=1000) as server:
        page = opened(server)
        page.get_by_label("a sentence").fill(TEXT)
        play(page, 1000)
        page.locator("#rounds li").nth(2).wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("The game was stopped.").wait_for()
        assert page.locator("#rounds li").count() < 1000
        page.close()


def test_everything_has_a_name_and_a_contrast(server, opened):
    """Labels, a language, headings in order, live regions, and at least 4.5 : 1 between text and what is behind."""
    page = opened(server)
    assert page.locator("html").get_attribute("lang") == "en"
    unnamed = "all => all.filter(each => !each.hidden && !each.labels.length && !each.textContent).map(each => each.id)"
    assert page.locator("input, select, button").evaluate_all(unnamed) == []
    assert page.locator("h1, h2").evaluate_all("all => all.map(each => each.tagName)") == ["H1", "H2"]
    assert page.get_by_role("status").get_attribute("aria-live") == "polite"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert min(page.evaluate(_CONTRASTS).values()) >= 4.5


_CONTRASTS = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor
      if (colour !== 'rgba(0, 0, 0, 0)') return colour
    }
    return 'rgb(255, 255, 255)'
  }
  const found = {}
  for (const element of document.querySelectorAll('h1, h2, p, label, legend, input, select, button, a')) {
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))].sort((x, y) => y - x)
    if (element.getClientRects().length) found[element.outerHTML.slice(0, 60)] = (a + 0.05) / (b + 0.05)
  }
  return found
}"""


def test_a_token_is_asked_for(only_tiny, tmp_path, browser):
    with running(tmp_path, token=TOKEN) as server:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(server.url)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_label("a sentence").fill(TEXT)
        play(page, 1)
        assert len(rounds(page)) == 2
        page.close()


def _game(server, asked: dict) -> list[dict]:
    begun = server.post("/v1/telephone", json=asked).json()
    server.get(begun["events"])
    return server.get(f"/v1/telephone/{begun['id']}").json()["rounds"]
