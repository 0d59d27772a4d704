"""The picture and the caption of one round."""

from __future__ import annotations

import ipywidgets

from telephonegan.chains import Chain, Round
from telephonegan.drift import Track
from telephonegan.errors import SettingsError
from telephonegan.widgets.caption_html import round_html
from telephonegan.widgets.described_image import DescribedImage
from telephonegan.widgets.frames import SIDE, card_png, kept, picture_png


class RoundPanel:
    """Two widgets, `picture` and `caption`, and `show`, which brings a round into them.

    A chain may grow: the rounds are those it has now. Raises SettingsError where it has none.
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
        step = self.rounds[index]
        if step.picture is None:
            return card_png(f"“{step.caption}”", self._side)
        return picture_png(step.picture.image, self._side)

    def _written(self, index: int) -> str:
        return round_html(self._words, index, self._title)


def described(step: Round) -> str:
    """A round in words, for who cannot see its picture."""
    if step.picture is None:
        return f"Round {step.index}: the text that was given, “{step.caption}”"
    origin = f"painted from “{step.picture.text}”" if step.picture.text else "the picture that was given"
    return f"Round {step.index}: {origin}, captioned “{step.caption}”"
