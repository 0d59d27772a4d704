"""From texts to pictures: a trained generator, with one back end per architecture."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from telephonegan import inference
from telephonegan.candidates import MOST_CANDIDATES, best_pictures
from telephonegan.errors import SettingsError, TextError
from telephonegan.images import to_images
from telephonegan.matcher import Matcher
from telephonegan.painting import BACK_ENDS, Latents, Painter
from telephonegan.results import Picture
from telephonegan.text import EncodedText, Vocabulary, tokenise
from telephonegan.zoo import catalogue
from telephonegan.zoo.worlds import explained

Edit = Mapping[str, Any]


class Generator:
    """Paints texts (Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs", 2018).

    >>> generator = Generator.load("flickr8k")  # doctest: +SKIP
    >>> generator(["a dog runs on the beach"], seeds=[3])[0].image.size  # doctest: +SKIP
    (128, 128)
    """

    def __init__(self, painter: Painter, *, name: str, sha256: str = "") -> None:
        self.painter, self.name, self.sha256, self.device = painter, name, sha256, painter.device
        self.precision = "float32"

    @classmethod
    def of(cls, entry: catalogue.Entry, device: str | torch.device = "auto") -> Generator:
        """The generator of a manifest entry. Raises WeightsError, or SettingsError for the device."""
        device = inference.resolve_device(device)
        inference.settings_of(entry, *BACK_ENDS)
        return cls(BACK_ENDS[entry.architecture].of(entry, device), name=entry.name, sha256=entry.sha256)

    @classmethod
    def load(cls, name: str = "flickr8k", device: str | torch.device = "auto") -> Generator:
        """The generator of that name. Raises UnknownModelError, WeightsError, or SettingsError for the device."""
        return cls.of(catalogue.find("generator", name), device)

    def computing_in(self, precision: str) -> Generator:
        """The same networks, computing in "float32" or "bf16". Raises SettingsError where that would be slower."""
        other = copy.copy(self)
        other.precision = inference.check_precision(precision, self.device)
        return other

    @property
    def vocabulary(self) -> Vocabulary:
        """The words it can paint."""
        return self.painter.vocabulary

    @property
    def size(self) -> int:
        """Width and height of its pictures in pixels."""
        return self.painter.size

    @property
    def takes_text(self) -> bool:
        """Whether it paints texts; if not, it paints the empty one only."""
        return self.painter.takes_text

    def __call__(
        self,
        texts: Sequence[str],
        *,
        seeds: Sequence[int],
        truncation: float = 1.0,
        candidates: int = 1,
        latents: Sequence[Edit | None] | None = None,
    ) -> list[Picture]:
        """One picture per text, computed together, at most 32 at a time.

        `seeds`, one per text, determine the pictures on every device and at every batch size, up to rounding.
        `truncation` from 0 to 2 scales the noise: 0 gives each text one mean picture. Each picture lists the words the
        model does not know and counts those beyond its limit. `candidates` (2 to 64) keeps the best of that many
        pictures, see `telephonegan.candidates`. `latents`, one dictionary or None per text, replace parts of what the
        seed draws, such as {"noise": array (Z,)}; see the method `latents`. The picture then stores all of its latents.
        Raises TextError for a text without any known word, and SettingsError.
        """
        truncation = check_truncation(truncation)
        if isinstance(texts, str) or len(texts) != len(seeds):
            raise SettingsError(f"{texts!r:.60} and {len(seeds)} seeds: give a list of texts and one seed for each.")
        encoded = [self.encode(text) for text in texts]
        seeds = [inference.check_seed(seed) for seed in seeds]
        edits = self.checked_latents(latents, len(texts))
        candidates = check_candidates(candidates)
        if candidates > 1:
            if any(edits):
                raise SettingsError("candidates tries several seeds, but latents fix the draw: give one or the other.")
            return best_pictures(partial(self, truncation=truncation), self.teacher(), texts, seeds, candidates)
        paint = partial(self._paint, truncation=truncation)
        size = inference.at_once(self.device, self.size**2)
        return inference.in_batches(paint, texts, encoded, seeds, edits, size=size)

    def encode(self, text: str) -> EncodedText:
        """The words the model knows of a text, and what it leaves out.

        Raises TextError where it knows none, with the worlds that know some.
        """
        try:
            return self.painter.encode(text)
        except TextError as error:
            if not self.painter.takes_text:
                raise
            words = list(dict.fromkeys(tokenise(text)))
            told = explained(words, self.name)
            if told == ", ".join(words):
                raise
            raise TextError(f"{error} Other worlds know more: {told}.") from error

    def knows(self, text: str) -> bool:
        """Whether the text contains a word that can be painted."""
        try:
            self.painter.encode(text)
        except TextError:
            return False
        return True

    def latents(self, seeds: Sequence[int], *, truncation: float = 1.0) -> Latents:
        """The latents that these seeds draw, by part: for an AttnGAN "noise" (B,Z) and "eps" (B,C), on its device.

        To paint edited latents, pass their rows to the generator. Raises SettingsError.

        >>> generator.latents([3])["noise"].shape  # doctest: +SKIP
        torch.Size([1, 100])
        """
        truncation = check_truncation(truncation)
        return {name: part.mul(truncation) for name, part in self.painter.latents(seeds).items()}

    @torch.inference_mode()
    def stages(
        self, encoded: Sequence[EncodedText], seeds: Sequence[int], *, truncation: float = 1.0
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Pictures (B,3,S,S) in [-1,1] of every stage, and attention maps (B,L,S,S), of one batch of encoded texts."""
        with inference.computing(self.device, self.precision):
            return self.painter.paint(self.latents(seeds, truncation=truncation), self.painter.read(encoded))

    @torch.inference_mode()
    def sketch(self, text: str, *, seed: int, latents: Edit | None = None) -> Picture | None:
        """A smaller picture of a text that is painted faster; None where the network has none. Arguments as in calls.

        >>> generator.sketch("a dog runs on the beach", seed=3).image.size  # doctest: +SKIP
        (32, 32)
        """
        encoded, [edit] = self.encode(text), self.checked_latents([latents], 1)
        drawn = self._edited(self.latents([inference.check_seed(seed)]), [edit])
        with inference.computing(self.device, self.precision):
            images = self.painter.sketch(drawn, self.painter.read([encoded]))
        if images is None:
            return None
        return Picture(to_images(images)[0], text=text, words=encoded.words, dropped_words=encoded.dropped, seed=seed)

    def _edited(self, latents: Latents, edits: Sequence[Latents]) -> Latents:
        """Latents (B,·) by part, with the parts replaced that the edits of each row name."""
        for row, edit in enumerate(edits):
            for name, part in edit.items():
                if name not in latents:
                    latents[name] = part.new_zeros(len(edits), len(part)).to(self.device)
                latents[name][row] = part
        return latents

    @torch.inference_mode()
    def _paint(
        self,
        texts: Sequence[str],
        encoded: Sequence[EncodedText],
        seeds: Sequence[int],
        edits: Sequence[Latents],
        *,
        truncation: float,
    ) -> list[Picture]:
        latents = self._edited(self.latents(seeds, truncation=truncation), edits)
        with inference.computing(self.device, self.precision):
            images, attentions = self.painter.paint(latents, self.painter.read(encoded))
        stages = [list(painted) for painted in zip(*map(to_images, images), strict=True)]
        maps = attentions[-1].float().cpu().numpy() if attentions else None
        return [
            Picture(
                image=stages[row][-1],
                stages=stages[row],
                attention=None if maps is None else maps[row, : len(text.words)],
                text=texts[row],
                words=text.words,
                dropped_words=text.dropped,
                truncated=text.truncated,
                seed=seeds[row],
                model=self.name,
                latents=self._kept(latents, edits[row], row),
            )
            for row, text in enumerate(encoded)
        ]

    def _kept(self, latents: Latents, edit: Latents, row: int) -> dict[str, np.ndarray] | None:
        """What a picture stores of its latents: all if some were given, or if it has no text to be made again from."""
        if self.painter.takes_text and not edit:
            return None
        own = {*self.painter.latent_widths, *edit}
        return {name: part[row].cpu().numpy() for name, part in latents.items() if name in own}

    def checked_latents(self, latents: Sequence[Edit | None] | None, count: int) -> list[Latents]:
        """The edits as tensors, {} where there is none. Raises SettingsError."""
        if latents is None:
            return [{}] * count
        if isinstance(latents, Mapping) or len(latents) != count:
            raise SettingsError(f"{count} texts need {count} latents: a list of a dictionary, or None, for each.")
        return [{} if edit is None else self._checked_edit(edit) for edit in latents]

    def _checked_edit(self, edit: Edit) -> Latents:
        widths = {**self.painter.latent_widths, **self.painter.offset_widths}
        if not isinstance(edit, Mapping):
            raise SettingsError(f"Latents are a dictionary of {', '.join(widths)}; {edit!r:.60} was given.")
        if unknown := set(edit) - set(widths):
            raise SettingsError(f"{self.name!r} has no latent {unknown.pop()!r}. It has {', '.join(widths)}.")
        parts = {name: _vector(part) for name, part in edit.items()}
        for name, part in parts.items():
            if part.shape != (widths[name],) or not part.isfinite().all():
                raise SettingsError(
                    f"The latent {name!r} of {self.name!r} is {widths[name]} finite numbers; "
                    f"an array {tuple(part.shape)} was given."
                )
        return parts

    def teacher(self) -> Matcher:
        """The DAMSM that chooses among candidates; SettingsError where there is none."""
        if self.painter.teacher is None:
            raise SettingsError(f"candidates needs the generator's DAMSM, and {self.name!r} has none.")
        return inference.shared_model(Matcher, catalogue.find(*self.painter.teacher.split("/")), self.device)


def check_truncation(truncation: float) -> float:
    """A noise scale from 0 to 2; SettingsError for all else."""
    if not inference.is_number(truncation) or not 0 <= truncation <= 2:
        raise SettingsError(f"truncation scales the noise and must be from 0 to 2; {truncation!r} was given.")
    return float(truncation)


def check_candidates(candidates: int) -> int:
    """A number of candidates from 1 to 64; SettingsError for all else."""
    return inference.check_whole(candidates, "candidates", 1, MOST_CANDIDATES)


def _vector(values: Any) -> Tensor:
    try:
        return torch.as_tensor(np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)).float()
    except (TypeError, ValueError, RuntimeError) as error:
        raise SettingsError(f"A latent is an array of numbers; {values!r:.60} was given ({error}).") from error
