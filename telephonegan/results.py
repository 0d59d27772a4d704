"""The results of calls. Captions and pictures display themselves in a notebook, without loading from the web."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from telephonegan import strips
from telephonegan.errors import OutputError, SettingsError
from telephonegan.files import png_bytes, write_new
from telephonegan.records import Count, Probability, Seed

PERSON = "person"  # the model of a caption that a player wrote or picked


class _Shown:
    """Shared by captions and pictures: words, each with an attention map."""

    words: list[str]
    attention: np.ndarray | None
    image: Image.Image | None

    def overlay(self, word: int) -> Image.Image:
        """The picture, bright where the network looked for `words[word]`. Raises SettingsError if there is none."""
        self._check_attention()
        if not -len(self.words) <= word < len(self.words):
            raise SettingsError(f"There is no word {word}; the {len(self.words)} words are counted from 0.")
        return strips.overlay(self.image, self.attention[word])

    def attention_sheet(self) -> Image.Image:
        """The picture once per word, bright where the network looked. Raises SettingsError without attention."""
        self._check_attention()
        return strips.attention_sheet(self.image, self.words, self.attention, getattr(self, "probabilities", ()))

    def _check_attention(self) -> None:
        if self.attention is None or self.image is None:
            raise SettingsError("There are no attention maps: given texts and some models have none.")


@dataclass(frozen=True, eq=False, repr=False)
class Caption(_Shown):
    """A sentence about a picture, and how it came about. `str(caption)` is the sentence.

    - `words`, and for each its probability from 0 to 1 and its map: `attention` is (L,H,W), each map summing to 1;
      None for a captioner without attention.
    - `alternatives`: the other sentences considered, with their log-probabilities, best first.
    - `log_probability` of the whole sentence; None for a text that a person gave.
    - `model`, the captioner's name, or `PERSON` for what a player said; `seed`, if words were sampled; `image`, the
      picture that was captioned.
    """

    text: str
    words: list[str] = field(default_factory=list)
    probabilities: list[Probability] = field(default_factory=list)
    attention: np.ndarray | None = None
    alternatives: list[tuple[str, float]] = field(default_factory=list)
    log_probability: float | None = None
    model: str = ""
    seed: Seed | None = None
    image: Image.Image | None = None

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Caption({self.text!r})"

    def _repr_html_(self) -> str:
        picture = "" if self.image is None else inline_image(_for_screen(self.image), self.text)
        others = "".join(f"<li>{escape(text)} ({log:.2f})</li>" for text, log in self.alternatives)
        return f"<figure>{picture}<figcaption>{self._words_html()}<ul>{others}</ul></figcaption></figure>"

    def _words_html(self) -> str:
        if len(self.probabilities) != len(self.words):
            return escape(self.text)
        return " ".join(
            f'<span title="{p:.0%}" style="opacity:{0.4 + 0.6 * p:.2f}">{escape(word)}</span>'
            for word, p in zip(self.words, self.probabilities, strict=True)
        )


@dataclass(frozen=True, eq=False, repr=False)
class Picture(_Shown):
    """A picture, and how it came about; a photograph has an `image` only.

    - `image`, the last of the `stages` from small to large.
    - `attention` (L,H,W) of the last attention stage: the weight of each word at each pixel, summing to 1 over words.
    - `words` that were painted, `dropped_words` that the model does not know, `truncated`: the number beyond its limit.
    - `text`, `seed` and `model` (a name), from which the picture can be made again.
    - `latents` by part, such as {"noise": (Z,)}, if they were given instead of drawn from the seed; else None.
    """

    image: Image.Image
    stages: list[Image.Image] = field(default_factory=list)
    attention: np.ndarray | None = None
    text: str = ""
    words: list[str] = field(default_factory=list)
    dropped_words: list[str] = field(default_factory=list)
    truncated: Count = 0
    seed: Seed | None = None
    model: str = ""
    latents: dict[str, np.ndarray] | None = None

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a new file; the suffix (.png, .jpg, …) selects the format. Raises OutputError."""
        suffix = Path(path).suffix.lower()
        formats = Image.registered_extensions()
        if suffix not in formats:
            raise OutputError(f"{os.fspath(path)!r} does not end in a picture suffix. End it with .png or .jpg.")
        buffer = BytesIO()
        self.image.save(buffer, format=formats[suffix])
        return write_new(path, buffer.getvalue())

    def __repr__(self) -> str:
        return f"Picture({self.text!r}, seed={self.seed}, size={self.image.size})"

    def _repr_png_(self) -> bytes:
        return png_bytes(_for_screen(self.image))

    def _repr_html_(self) -> str:
        shown = inline_image(_for_screen(self.image), self.text)
        return f"<figure>{shown}<figcaption>{self._note()}</figcaption></figure>"

    def _note(self) -> str:
        from telephonegan.zoo.worlds import explained

        notes = [self.text]
        if self.dropped_words:
            notes.append(f"not known here: {explained(self.dropped_words, self.model)}")
        if self.truncated:
            notes.append(f"{self.truncated} words beyond the limit left out")
        return escape(" · ".join(notes))


@dataclass(frozen=True, eq=False)
class Round:
    """One round of a chain: a picture (None where the chain starts from a text) and the caption given to it."""

    index: int
    caption: Caption
    picture: Picture | None


def inline_image(image: Image.Image, alt: str) -> str:
    """An HTML image with embedded data, so that it displays without a network."""
    data = base64.b64encode(png_bytes(image)).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}" style="max-width:100%">'


def _for_screen(image: Image.Image) -> Image.Image:
    """Scaled to between 256 and 512 pixels: smaller is hard to see, larger bloats the notebook."""
    longest = max(image.size)
    target = min(max(longest, 256), 512)
    return image if target == longest else strips.scaled(image, target)
