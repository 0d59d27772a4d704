"""One game, round by round: what was seen, what was said, where the captioner looked, how far it has drifted."""

from __future__ import annotations

import ipywidgets
from PIL import Image

from telephonegan.chains import Chain
from telephonegan.drift import Drift, content_words
from telephonegan.widgets.described_image import DescribedImage
from telephonegan.widgets.drift_curve import HEIGHT, WIDTH, DriftCurve
from telephonegan.widgets.frames import SIDE, card_png, kept, overlay_png
from telephonegan.widgets.round_panel import RoundPanel
from telephonegan.widgets.round_slider import RoundSlider
from telephonegan.widgets.view import MAX_WIDTH, View
from telephonegan.widgets.word_chooser import WordChooser

WORD_MEASURES = ("tfidf_cosine", "content_f1")  # they need no model


class ChainExplorer(View):
    """A slider and a Play button over the rounds of a chain; `rounds.slider.value` is the round that is shown.

    For each round: the picture; where the captioner looked for the word chosen in `words`; the curve of drift with a
    marker; the caption with words kept, lost and new since the round before. `drift` (default: by words alone) gives
    the curves: those of its measures that compare texts with texts, or pictures with pictures. Computes with no model.
    Raises SettingsError for a chain without a round.

    >>> ChainExplorer(chain, drift=chain.drift())  # doctest: +SKIP
    """

    def __init__(self, chain: Chain, *, drift: Drift | None = None) -> None:
        self._chain, self._panel = chain, RoundPanel(chain)
        self.picture, self.caption = self._panel.picture, self._panel.caption
        self.overlay, self.curve = DescribedImage(SIDE, SIDE), DescribedImage(WIDTH, HEIGHT)
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
        return self._chain.strip(), "; ".join(f"{step.index}: {step.caption}" for step in self._panel.rounds)

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
        """The word that was chosen so far, if this caption has it; else its first content word, or its first word."""
        wanted = [self.words.label, *content_words(words), *words[:1]]
        return next((words.index(word) for word in wanted if word in words), None)

    def _looked_words(self, index: int) -> list[str]:
        """The words of a caption that have a map."""
        caption = self._panel.rounds[index].caption
        return [] if caption.attention is None else caption.words[: len(caption.attention)]

    def _overlaid(self, index: int, word: int | None) -> bytes:
        step = self._panel.rounds[index]
        if word is None:
            return card_png("Where the captioner looked is not known here.")
        return overlay_png(step.picture.image, step.caption.attention[word])
