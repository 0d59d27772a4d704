"""From texts to pictures: a trained generator and the text encoder it was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from telephonegan import inference
from telephonegan.candidates import MOST_CANDIDATES, best_pictures
from telephonegan.errors import SettingsError, TextError, WeightsError
from telephonegan.images import to_images
from telephonegan.networks.attngan import Generator
from telephonegan.networks.damsm import TextEncoder
from telephonegan.results import Picture
from telephonegan.text import EncodedText, Vocabulary, pad, padding_mask
from telephonegan.zoo import catalogue, store

_TEXT_ENCODER = "text_encoder."


class TextToImage:
    """Paints texts (Xu et al., "AttnGAN: Fine-Grained Text to Image Generation with Attentional GANs", 2018).

    >>> painter = TextToImage.load("flickr8k")  # doctest: +SKIP
    >>> painter(["a dog runs on the beach"], seeds=[3])[0].image.size  # doctest: +SKIP
    (64, 64)
    """

    def __init__(
        self,
        generator: Generator,
        text_encoder: TextEncoder,
        vocabulary: Vocabulary,
        *,
        name: str,
        sha256: str = "",
        words_limit: int | None = None,
        matching: str | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        self.name, self.sha256, self.words_limit = name, sha256, words_limit
        self.matching = matching  # KIND/NAME of the model that chooses among candidates
        self.vocabulary, self.device = vocabulary, inference.resolve_device(device)
        self.generator = generator.eval().to(self.device)
        self.text_encoder = text_encoder.eval().to(self.device)

    @classmethod
    def of(cls, entry: catalogue.Entry, device: str | torch.device = "auto") -> TextToImage:
        """The generator of a manifest's entry. Raises WeightsError or, for the device, SettingsError."""
        device = inference.resolve_device(device)
        with inference.settings_of(entry, "attngan") as settings:
            generator = Generator(**settings["network"])
            words_limit, text_entry = settings["words_limit"], catalogue.find("damsm", settings["damsm"])
        store.load_strict(generator, store.read_tensors(entry))
        vocabulary = inference.vocabulary_of(text_entry)
        return cls(
            generator,
            _text_encoder(text_entry, len(vocabulary)),
            vocabulary,
            name=entry.name,
            sha256=entry.sha256,
            words_limit=words_limit,
            matching=f"{text_entry.kind}/{text_entry.name}",
            device=device,
        )

    @classmethod
    def load(cls, name: str = "flickr8k", device: str | torch.device = "auto") -> TextToImage:
        """The generator of that name. Raises UnknownModelError, WeightsError or, for the device, SettingsError."""
        return cls.of(catalogue.find("generator", name), device)

    def __call__(
        self, texts: Sequence[str], *, seeds: Sequence[int], truncation: float = 1.0, candidates: int = 1
    ) -> list[Picture]:
        """One picture per text, computed together, at most 32 at a time.

        `seeds`, one per text, fix the pictures on every device and for every batch size, up to the rounding of sums.
        `truncation` from 0 to 2 scales the noise: 0 gives each text one mean picture. Words the model does not know
        and words beyond its limit are told by the picture. With `candidates` (to 64) above 1, the best of so many, see
        `telephonegan.candidates`. Raises TextError for a text without a known word, and SettingsError.
        """
        check_truncation(truncation)
        if isinstance(texts, str) or len(texts) != len(seeds):
            raise SettingsError(f"{texts!r:.60} and {len(seeds)} seeds: give a list of texts and one seed for each.")
        encoded = [self.encode(text) for text in texts]
        seeds = [inference.check_seed(seed) for seed in seeds]
        if inference.check_whole(candidates, "candidates", 1, MOST_CANDIDATES) > 1:
            return best_pictures(self, texts, seeds, candidates, truncation=truncation)
        return inference.in_batches(partial(self._paint, truncation=truncation), texts, encoded, seeds)

    def encode(self, text: str) -> EncodedText:
        """The words the model knows of a text, and what it leaves out. Raises TextError where it knows none."""
        return self.vocabulary.encode(text, limit=self.words_limit)

    def knows(self, text: str) -> bool:
        """Whether the text holds a word that can be painted."""
        try:
            self.encode(text)
        except TextError:
            return False
        return True

    @torch.inference_mode()
    def stages(
        self, encoded: Sequence[EncodedText], seeds: Sequence[int], *, truncation: float = 1.0
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Pictures (B,3,S,S) in [-1,1] of every stage, and attention maps (B,L,S,S), of one batch of encoded texts."""
        ids, lengths = pad([text.ids for text in encoded])
        words, sentence = self.text_encoder(ids.to(self.device), lengths)
        noise, eps = self._draw(seeds, truncation)
        mask = padding_mask(lengths).to(self.device)
        images, attentions, _, _ = self.generator(noise, sentence, words, mask, eps)
        return images, attentions

    @torch.inference_mode()
    def _paint(
        self, texts: Sequence[str], encoded: Sequence[EncodedText], seeds: Sequence[int], *, truncation: float
    ) -> list[Picture]:
        images, attentions = self.stages(encoded, seeds, truncation=truncation)
        stages = zip(*(to_images(batch) for batch in images), strict=True)
        maps = attentions[-1].float().cpu().numpy() if attentions else [None] * len(texts)
        return [
            Picture(
                image=painted[-1],
                stages=list(painted),
                attention=None if seen is None else seen[: len(text.words)],
                text=given,
                words=text.words,
                dropped_words=text.dropped,
                truncated=text.truncated,
                seed=seed,
                model=self.name,
            )
            for painted, seen, given, text, seed in zip(stages, maps, texts, encoded, seeds, strict=True)
        ]

    def _draw(self, seeds: Sequence[int], scale: float) -> tuple[Tensor, Tensor]:
        """Noise (B,Z) and then eps (B,C) of the conditioning augmentation, each picture from a generator of its own."""
        widths = (self.generator.noise_width, self.generator.condition_width)
        rows = [[torch.randn(width, generator=g) for width in widths] for g in map(inference.random_generator, seeds)]
        noise, eps = (torch.stack(column).mul(scale).to(self.device) for column in zip(*rows, strict=True))
        return noise, eps


def check_truncation(truncation: float) -> None:
    """SettingsError for a noise scale outside 0 to 2."""
    if not inference.is_number(truncation) or not 0 <= truncation <= 2:
        raise SettingsError(f"truncation scales the noise and must be from 0 to 2; {truncation!r} was given.")


def _text_encoder(entry: catalogue.Entry, words: int) -> TextEncoder:
    with inference.settings_of(entry, "damsm") as settings:
        encoder = TextEncoder(words, **settings["text"])
    tensors = store.read_tensors(entry)
    own = {name.removeprefix(_TEXT_ENCODER): t for name, t in tensors.items() if name.startswith(_TEXT_ENCODER)}
    if not own:
        raise WeightsError(f"{entry.kind}/{entry.name} holds no text encoder: no tensor is called {_TEXT_ENCODER}….")
    return store.load_strict(encoder, own)
