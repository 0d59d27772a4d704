"""A person takes the captioner's turn: the game goes on with what they write or pick, and says that it was theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import ipywidgets
import numpy as np

from telephonegan.chains import Chain
from telephonegan.errors import SettingsError, TelephoneganError, TextError
from telephonegan.files import png_bytes
from telephonegan.inference import derived_seed
from telephonegan.results import PERSON, Caption, Round
from telephonegan.telephone import Position, Telephone
from telephonegan.text import tokenise

_SHOWN = 256  # pixels
_OFFERED = 4


class HumanTurn(ipywidgets.VBox):
    """The next picture of a chain, and a line for what a person sees in it.

    They write a sentence, or pick one of those the captioner considered, in an order that does not tell which it would
    have said. The round is added to `chain` with `caption.model` "person" and the captioner's own sentences in
    `caption.alternatives`, best first, so that both listeners can be compared; then the next picture is painted.
    `on_round` is called with the chain after each. A chain can be begun, saved and loaded as usual.
    Raises SettingsError for a chain of other models, or one without a caption to paint.

    >>> turn = HumanTurn(tg.play(image="dog.jpg", rounds=1), tg.load())  # doctest: +SKIP
    >>> turn.say("two dogs in the snow")  # doctest: +SKIP
    """

    def __init__(self, chain: Chain, phone: Telephone, on_round: Callable[[Chain], None] | None = None) -> None:
        if not chain.rounds or chain.models != phone.models:
            raise SettingsError("A person takes a turn in a chain that has begun, with the telephone that plays it.")
        self.chain, self.phone, self.on_round = chain, phone, on_round
        self._next: Round | None = None
        self._picture = ipywidgets.Image(format="png", width=_SHOWN, height=_SHOWN)
        self._line = ipywidgets.Text(placeholder="what do you see?", layout={"width": "32em"})
        self._say = ipywidgets.Button(description="Say it")
        self._choices = ipywidgets.VBox()
        self._note = ipywidgets.Label()
        self._say.on_click(lambda _: self._spoken(self._line.value))
        line = ipywidgets.HBox([self._line, self._say])
        super().__init__([self._picture, line, self._choices, self._note])
        self._show_next()

    def say(self, text: str) -> Round:
        """Add the next round with this caption, and show the picture after it.

        Raises TextError for a text without a word the generator knows.
        """
        words = tokenise(text)
        if not words or not self.phone.generator.knows(text):
            raise TextError(f"{text!r} has no word that the generator knows. Say it in other words.")
        machine = self._next.caption
        own = [] if machine.log_probability is None else [(machine.text, machine.log_probability)]
        said = Caption(
            " ".join(text.split()), words, alternatives=[*own, *machine.alternatives], model=PERSON, image=machine.image
        )
        done = replace(self._next, caption=said)
        self.chain.rounds.append(done)
        self.chain.wanted = max(self.chain.wanted, len(self.chain) - 1)
        if self.on_round is not None:
            self.on_round(self.chain)
        self._show_next()
        return done

    def offered(self) -> list[str]:
        """The sentences to pick from, in an order fixed by the chain's seed and round."""
        machine = self._next.caption
        texts = list(dict.fromkeys([machine.text, *(text for text, _ in machine.alternatives)]))[:_OFFERED]
        order = np.random.default_rng(derived_seed(self.chain.seed, self.chain.number, self._next.index, "offered"))
        return [texts[i] for i in order.permutation(len(texts))]

    def _show_next(self) -> None:
        self._next = self.phone.next_rounds([Position.of(self.chain)], self.chain.settings)[0]
        self._picture.value = png_bytes(self._next.picture.image)
        buttons = []
        for text in self.offered():
            button = ipywidgets.Button(description=text, layout={"width": "auto"})
            button.on_click(lambda _, text=text: self._spoken(text))
            buttons.append(button)
        self._choices.children = buttons
        self._line.value = ""
        self._note.value = f"Round {self._next.index}"

    def _spoken(self, text: str) -> None:
        try:
            self.say(text)
        except TelephoneganError as error:
            self._note.value = str(error)
