"""One chain round by round, or two side by side: pictures, captions, attention and drift."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets
from PIL import Image

from telephonegan.chains import Chain, Round
from telephonegan.drift import Drift, Track, content_words
from telephonegan.errors import SettingsError
from telephonegan.strips import PAPER
from telephonegan.widgets.caption_html import round_html
from telephonegan.widgets.frames import (
    CURVE_WIDTH,
    SIDE,
    DescribedImage,
    DriftCurve,
    card_png,
    kept,
    overlay_png,
    picture_png,
)
from telephonegan.widgets.view import MAX_WIDTH, RoundSlider, View, WordChooser

WORD_MEASURES = ("tfidf_cosine", "content_f1")  # they need no model
_SIDE, _GAP = 384, 24  # of a comparison


class ChainExplorer(View):
    """A slider and a Play button over the rounds of a chain; `rounds.slider.value` is the round shown.

    Each round shows the picture, the captioner's attention for the word selected in `words`, the drift curves with a
    marker, and the caption with words kept, lost and new since the previous round. The curves are those measures of
    `drift` (default: word measures only) that compare texts with texts or pictures with pictures. Runs no model.
    Raises SettingsError for a chain without rounds.

    >>> ChainExplorer(chain, drift=chain.drift())  # doctest: +SKIP
    """

    def __init__(self, chain: Chain, *, drift: Drift | None = None) -> None:
        self._chain, self._panel = chain, RoundPanel(chain)
        self.picture, self.caption = self._panel.picture, self._panel.caption
        self.overlay, self.curve = DescribedImage(SIDE, SIDE), DescribedImage(CURVE_WIDTH, SIDE)
        self.words = WordChooser(self._show_word)
        self.rounds = RoundSlider(self._panel.last, self._show_round)
        self._drift_curve = DriftCurve(drift or Drift.of(self._panel.track, WORD_MEASURES))
        self._curve_png, self._overlay_png = kept(self._drift_curve.png), kept(self._overlaid)
        self._show_round(0)
        wrapped = ipywidgets.Layout(flex_flow="row wrap", grid_gap="8px")
        pictures = ipywidgets.Box([self.picture, self.overlay, self.curve], layout=wrapped)
        self.caption.layout.max_width = MAX_WIDTH
        super().__init__([self.rounds, pictures, self.caption, self.words])

    def still(self) -> tuple[Image.Image, str]:
        return self._chain.strip(), "; ".join(f"{round_.index}: {round_.caption}" for round_ in self._panel.rounds)

    def _show_round(self, index: int) -> None:
        self._index = index
        self._panel.show(index)
        self.curve.show(self._curve_png(index), self._drift_curve.words(index))
        words = self._looked_words(index)
        word = self._word_after(words)
        self.words.offer(words, word)
        self._show_overlay(index, word)

    def _show_word(self, word: int | None) -> None:
        self._show_overlay(self._index, word)

    def _show_overlay(self, index: int, word: int | None) -> None:
        words = self._looked_words(index)
        what = "nothing is known" if word is None else f"the captioner looked for “{words[word]}”"
        self.overlay.show(self._overlay_png(index, word), f"Where {what} in round {index}")

    def _word_after(self, words: list[str]) -> int | None:
        """The word selected so far if this caption has it; else its first content word, or its first word."""
        wanted = [self.words.label, *content_words(words), *words[:1]]
        return next((words.index(word) for word in wanted if word in words), None)

    def _looked_words(self, index: int) -> list[str]:
        """The words of a caption that have attention maps."""
        caption = self._panel.rounds[index].caption
        return [] if caption.attention is None else caption.words[: len(caption.attention)]

    def _overlaid(self, index: int, word: int | None) -> bytes:
        round_ = self._panel.rounds[index]
        if word is None:
            return card_png("No attention maps are available here.")
        return overlay_png(round_.picture.image, round_.caption.attention[word])


class Comparison(View):
    """Two chains under one slider, `rounds.slider`, such as two seeds of one photograph. The shorter waits at its end.

    `panels` hold the picture and caption of each. Raises SettingsError unless given two chains with at least one round.

    >>> Comparison([phone.play(image="bear.jpg", seed=seed) for seed in (0, 1)])  # doctest: +SKIP
    """

    def __init__(self, chains: Sequence[Chain]) -> None:
        chains = [chains] if isinstance(chains, Chain) else list(chains)
        if len(chains) != 2:
            raise SettingsError(f"{len(chains)} chains were given. Give a list of two chains to compare.")
        self._chains = chains
        self.panels = [RoundPanel(chain, title=f"seed {chain.seed}", side=_SIDE) for chain in chains]
        self.rounds = RoundSlider(max(panel.last for panel in self.panels), self._show_round)
        self._show_round(0)
        wide = {"width": f"{_SIDE}px", "flex": "0 0 auto"}
        columns = [ipywidgets.VBox([p.picture, p.caption], layout=ipywidgets.Layout(**wide)) for p in self.panels]
        for panel in self.panels:
            panel.caption.layout.height = "230px"
        wrapped = ipywidgets.Layout(flex_flow="row wrap", grid_gap=f"{_GAP}px")
        super().__init__([self.rounds, ipywidgets.Box(columns, layout=wrapped)])

    def still(self) -> tuple[Image.Image, str]:
        """The two strips, one above the other."""
        upper, lower = (chain.strip() for chain in self._chains)
        sheet = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), PAPER)
        sheet.paste(upper, (0, 0))
        sheet.paste(lower, (0, upper.height))
        return sheet, " / ".join("; ".join(map(str, chain.captions)) for chain in self._chains)

    def _show_round(self, index: int) -> None:
        for panel in self.panels:
            panel.show(min(index, panel.last))


class RoundPanel:
    """The `picture` and `caption` widgets of one round; `show` displays another round in them.

    The chain may grow meanwhile. Raises SettingsError if it has no rounds.
    """

    def __init__(self, chain: Chain, *, title: str = "", side: int = SIDE) -> None:
        if not len(chain):
            raise SettingsError("This chain has no round yet, so there is nothing to show. Play it first.")
        self.rounds, self._side = list(chain), side
        self.track = Track.of(chain)
        self._words = [turn.words for turn in self.track.turns]
        self.picture = DescribedImage(side, side)
        self.caption = ipywidgets.HTML(layout=ipywidgets.Layout(height="142px", overflow="auto"))
        self._title = title
        self._picture_png, self._caption_html = kept(self._drawn), kept(self._written)

    @property
    def last(self) -> int:
        """The number of the last round."""
        return len(self.rounds) - 1

    def show(self, index: int) -> None:
        """Show round `index`."""
        self.picture.show(self._picture_png(index), described(self.rounds[index]))
        self.caption.value = self._caption_html(index)

    def _drawn(self, index: int) -> bytes:
        round_ = self.rounds[index]
        if round_.picture is None:
            return card_png(f"“{round_.caption}”", self._side)
        return picture_png(round_.picture.image, self._side)

    def _written(self, index: int) -> str:
        return round_html(self._words, index, self._title)


def described(round_: Round) -> str:
    """A round in words, as a description for people who cannot see the picture."""
    if round_.picture is None:
        return f"Round {round_.index}: the text that was given, “{round_.caption}”"
    origin = f"painted from “{round_.picture.text}”" if round_.picture.text else "the picture that was given"
    return f"Round {round_.index}: {origin}, captioned “{round_.caption}”"
